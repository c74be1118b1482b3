//! Links: bridges, veth pairs, macvlan and ipvlan links, VLANs, bridges of Open vSwitch.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::amiss::Amiss;
use super::device::Device;
use super::netns::NsRef;
use super::owner::Owner;
pub use super::sharing::{Ipvlan, IpvlanFlag, IpvlanMode, Macvlan, MacvlanMode, Shares};
use super::vlan::{Filtering, PortVlans, Vlan};
use super::vswitch::{SwitchPort, Vswitch};
use crate::names::{IfName, Mac, Mtu};

/// A network interface of our making; a veth pair is one link, seen from its host end, or between two containers from the
/// end of the one whose name comes first in the alphabet.
///
/// It carries its owner's mark as ifalias, and a readable altname such as `netform.shop.web.front`
/// (`ip link show netform.shop.web.front` works).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where it lives; of a veth pair, where the host end lives.
    pub ns: NsRef,
    /// Its name; of a veth pair, the host end's.
    pub name: IfName,
    /// Its link-layer address; `None` leaves the choice to the kernel.
    pub mac: Option<Mac>,
    /// The largest packet.
    pub mtu: Mtu,
    /// Whether it is administratively up.
    pub up: bool,
    /// The bridge whose port it is.
    pub master: Option<IfName>,
    /// Whether the bridge sends frames back to this port that came from it: hairpin mode. The kernel switches it off when
    /// the link comes to a bridge (`new_nbp()` in Linux `net/bridge/br_if.c`).
    #[serde(default)]
    pub hairpin: bool,
    /// Whether the bridge passes nothing on between this port and others that say so, too; switched off likewise.
    #[serde(default)]
    pub isolated: bool,
    /// Whether it is a bridge that speaks the spanning tree protocol.
    #[serde(default)]
    pub stp: bool,
    /// Whether it is a bridge that keeps VLANs apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtering: Option<Filtering>,
    /// Which VLANs a port of a bridge has, or the bridge itself, where that is not the usual. The kernel gives a link that
    /// comes to a bridge the usual (`nbp_vlan_init()` in Linux `net/bridge/br_vlan.c`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlans: Option<PortVlans>,
    /// What makes it a port of a bridge of Open vSwitch, where `master` is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<SwitchPort>,
    /// The further name that `ip link show` takes; `None` when it would not fit into `ALTIFNAMSIZ` (128 bytes).
    pub altname: Option<SmolStr>,
    /// Whether `prevent_destroy` is written into the mark.
    pub protected: bool,
    /// What somebody has changed of it that nobody asks to be otherwise.
    #[serde(default, skip_serializing_if = "Amiss::is_none")]
    pub amiss: Amiss,
    /// What kind of link it is.
    pub kind: LinkKind,
}

impl Link {
    /// Returns a link that is up and no port of a bridge, without a further name; the kernel chooses its address.
    pub fn alone(ns: NsRef, name: IfName, mtu: Mtu, kind: LinkKind) -> Self {
        Self {
            ns,
            name,
            mac: None,
            mtu,
            up: true,
            master: None,
            hairpin: false,
            isolated: false,
            stp: false,
            filtering: None,
            vlans: None,
            port: None,
            altname: None,
            protected: false,
            amiss: Amiss::default(),
            kind,
        }
    }

    /// Returns what it is called now: its name, unless somebody has renamed it.
    pub fn called(&self) -> &IfName {
        self.amiss.name.as_ref().unwrap_or(&self.name)
    }

    /// Returns the namespaces that it lives in: a veth pair in two.
    pub fn namespaces(&self) -> impl Iterator<Item = &NsRef> {
        std::iter::once(&self.ns).chain(self.kind.peer().map(|peer| &peer.ns))
    }

    /// Tells whether what it is as a port has to be said to the kernel once the rest of the change from `before` is made: a
    /// link that comes to another bridge is an ordinary port.
    pub(crate) fn must_set_port(&self, before: &Self) -> bool {
        let stays = before.master == self.master;
        let was = (before.hairpin && stays, before.isolated && stays);
        let was_well = before.amiss.port == self.amiss.port || !stays;
        self.master.is_some() && ((self.hairpin, self.isolated) != was || !was_well)
    }

    /// Tells whether its VLANs have to be said to the kernel once the rest of the change from `before` is made.
    pub(crate) fn must_set_vlans(&self, before: &Self) -> bool {
        let is_in_one = self.master.is_some() || self.kind == LinkKind::Bridge;
        let was = before.vlans.as_ref().filter(|_| before.master == self.master);
        is_in_one && self.vlans.as_ref() != was
    }

    /// Returns the attributes that users see change, as [`super::Resource::fields`].
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Link {
            ns: _,
            name: _,
            mac,
            mtu,
            up,
            master,
            hairpin,
            isolated,
            stp,
            filtering,
            vlans,
            port,
            altname,
            protected,
            amiss,
            kind,
        } = self;
        let state = |up: bool| if up { "up" } else { "down" }.to_owned();
        let mut fields = vec![("interface", self.called().to_string())];
        match kind {
            LinkKind::Bridge => fields.push(("kind", "bridge".to_owned())),
            LinkKind::Ifb => fields.push(("kind", "ifb".to_owned())),
            LinkKind::Other(kind) => fields.push(("kind", kind.clone())),
            LinkKind::Macvlan(Macvlan { parent, mode }) => fields.extend([
                ("kind", "macvlan".to_owned()),
                ("parent", parent.to_string()),
                ("mode", mode.to_string()),
            ]),
            LinkKind::Ipvlan(Ipvlan { parent, mode, flag }) => fields.extend([
                ("kind", "ipvlan".to_owned()),
                ("parent", parent.to_string()),
                ("mode", mode.to_string()),
                ("flag", flag.to_string()),
            ]),
            LinkKind::Vlan(Vlan { parent, id }) => fields.extend([
                ("kind", "vlan".to_owned()),
                ("parent", parent.to_string()),
                ("vlan", id.to_string()),
            ]),
            LinkKind::Device(device) => {
                fields.extend([("kind", "physical".to_owned()), ("device", device.name.to_string())]);
            }
            LinkKind::Veth(peer) => fields.extend(peer.fields()),
            LinkKind::OpenVswitch(switch) => fields.extend(switch.fields()),
        }
        fields.extend(mac.map(|mac| ("mac", mac.to_string())));
        fields.extend([("mtu", mtu.to_string()), ("state", state(*up))]);
        fields.extend(master.as_ref().map(|master| ("master", master.to_string())));
        fields.extend(hairpin.then(|| ("hairpin", "on".to_owned())));
        fields.extend(isolated.then(|| ("isolated", "on".to_owned())));
        fields.extend(stp.then(|| ("stp", "on".to_owned())));
        fields.extend(filtering.iter().flat_map(|it| it.fields()));
        fields.extend(vlans.iter().flat_map(PortVlans::fields));
        fields.extend(port.iter().flat_map(SwitchPort::fields));
        fields.push(("altname", altname.as_ref().map_or_else(|| "none".to_owned(), SmolStr::to_string)));
        if *protected {
            fields.push(("prevent_destroy", "true".to_owned()));
        }
        fields.extend(amiss.fields());
        fields
    }
}

/// What kind of link it is, with what only this kind has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// A Linux bridge.
    Bridge,
    /// A veth pair; the other end.
    Veth(Peer),
    /// A link with an address of its own on a link of the host.
    Macvlan(Macvlan),
    /// A link on a link of the host that has the same link-layer address.
    Ipvlan(Ipvlan),
    /// A VLAN of a link of the host.
    Vlan(Vlan),
    /// A bridge of Open vSwitch, by its local port.
    OpenVswitch(Vswitch),
    /// A link of the host that a container has for itself.
    Device(Device),
    /// A link of the host through which what comes in by another one is led.
    Ifb,
    /// Something else that carries our mark: read from the kernel, never asked for.
    Other(String),
}

impl LinkKind {
    /// Returns the link of the host whose packets it shares.
    pub fn shares(&self) -> Option<&IfName> {
        match self {
            Self::Macvlan(Macvlan { parent, mode: _ })
            | Self::Ipvlan(Ipvlan { parent, mode: _, flag: _ }) => Some(parent),
            Self::Bridge
            | Self::Veth(_)
            | Self::Vlan(_)
            | Self::OpenVswitch(_)
            | Self::Device(_)
            | Self::Ifb
            | Self::Other(_) => None,
        }
    }

    /// Returns the link of the host that it stands on, and goes with.
    pub fn parent(&self) -> Option<&IfName> {
        match self {
            Self::Vlan(Vlan { parent, id: _ }) => Some(parent),
            Self::Macvlan(_) | Self::Ipvlan(_) => self.shares(),
            Self::Bridge
            | Self::Veth(_)
            | Self::OpenVswitch(_)
            | Self::Device(_)
            | Self::Ifb
            | Self::Other(_) => None,
        }
    }

    /// Returns its other end, when it is a pair.
    pub fn peer(&self) -> Option<&Peer> {
        match self {
            Self::Veth(peer) => Some(peer),
            Self::Bridge
            | Self::Macvlan(_)
            | Self::Ipvlan(_)
            | Self::Vlan(_)
            | Self::OpenVswitch(_)
            | Self::Device(_)
            | Self::Ifb
            | Self::Other(_) => None,
        }
    }
}

/// The end of a veth pair that a container has; of one between two containers, the end of the one whose name comes second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The namespace that the peer lives in.
    pub ns: NsRef,
    /// Its name there, e.g. `eth0`.
    pub name: IfName,
    /// Its link-layer address.
    pub mac: Mac,
    /// The largest packet.
    pub mtu: Mtu,
    /// Whether it is administratively up.
    pub up: bool,
    /// What is on it where the other end is in a container, too, which may be gone sooner than this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
}

impl Peer {
    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { ns, name, mac, mtu, up, tag } = self;
        let none = || "none".to_owned();
        let mut fields = vec![
            ("kind", "veth".to_owned()),
            ("peer", format!("{name} in {ns}")),
            ("peer mac", mac.to_string()),
            ("peer mtu", mtu.to_string()),
            ("peer state", if *up { "up" } else { "down" }.to_owned()),
        ];
        if let Some(Tag { owner, altname }) = tag {
            let mark = if owner.is_unmarked() { none() } else { owner.to_string() };
            let altname = altname.as_ref().map_or_else(none, SmolStr::to_string);
            fields.extend([("peer mark", mark), ("peer altname", altname)]);
        }
        fields
    }
}

/// What the second end of a pair between two containers carries: each says whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The resource that it belongs to.
    pub owner: Owner,
    /// Its further name.
    pub altname: Option<SmolStr>,
}
