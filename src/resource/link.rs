//! Links: bridges, veth pairs, macvlan and ipvlan links, VLANs, bridges of Open vSwitch.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::device::Device;
use super::netns::NsRef;
use super::owner::Owner;
use super::vlan::Vlan;
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
    /// What makes it a port of a bridge of Open vSwitch, where `master` is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<SwitchPort>,
    /// The further name that `ip link show` takes; `None` when it would not fit into `ALTIFNAMSIZ` (128 bytes).
    pub altname: Option<SmolStr>,
    /// Whether `prevent_destroy` is written into the mark.
    pub protected: bool,
    /// What kind of link it is.
    pub kind: LinkKind,
}

impl Link {
    /// Returns the namespaces that it lives in: a veth pair in two.
    pub fn namespaces(&self) -> impl Iterator<Item = &NsRef> {
        std::iter::once(&self.ns).chain(self.kind.peer().map(|peer| &peer.ns))
    }

    /// Tells whether what it is as a port has to be said to the kernel once the rest of the change from `before` is made: a
    /// link that comes to another bridge is an ordinary port.
    pub(crate) fn must_set_port(&self, before: &Self) -> bool {
        let stays = before.master == self.master;
        let was = (before.hairpin && stays, before.isolated && stays);
        self.master.is_some() && (self.hairpin, self.isolated) != was
    }

    /// Returns the attributes that users see change, as [`super::Resource::fields`].
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Link {
            ns: _,
            name,
            mac,
            mtu,
            up,
            master,
            hairpin,
            isolated,
            stp,
            port,
            altname,
            protected,
            kind,
        } = self;
        let state = |up: bool| if up { "up" } else { "down" }.to_owned();
        let mut fields = vec![("interface", name.to_string())];
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
        fields.extend(port.iter().flat_map(SwitchPort::fields));
        fields.push(("altname", altname.as_ref().map_or_else(|| "none".to_owned(), SmolStr::to_string)));
        if *protected {
            fields.push(("prevent_destroy", "true".to_owned()));
        }
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

/// What a macvlan link has beside others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Macvlan {
    /// The link of the host whose packets it shares.
    pub parent: IfName,
    /// Whom it reaches through it.
    pub mode: MacvlanMode,
}

/// Whom a macvlan link reaches, besides what is behind its parent: `include/uapi/linux/if_link.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// The others on the same parent.
    #[default]
    Bridge,
    /// The others, if the switch behind the parent sends their packets back (IEEE 802.1Qbg).
    Vepa,
    /// None of the others.
    Private,
    /// It has the parent for itself, with the parent's link-layer address.
    Passthru,
}

impl MacvlanMode {
    /// All modes, each with its name.
    pub const ALL: [(Self, &str); 4] = [
        (Self::Bridge, "bridge"),
        (Self::Vepa, "vepa"),
        (Self::Private, "private"),
        (Self::Passthru, "passthru"),
    ];
}

impl fmt::Display for MacvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bridge => "bridge",
            Self::Vepa => "vepa",
            Self::Private => "private",
            Self::Passthru => "passthru",
        })
    }
}

/// How a link shares what a link of the host receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shares {
    /// As a macvlan link.
    Macvlan(MacvlanMode),
    /// As an ipvlan link.
    Ipvlan(IpvlanMode, IpvlanFlag),
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Macvlan(_) => f.write_str("macvlan"),
            Self::Ipvlan(mode, IpvlanFlag::Bridge) => write!(f, "ipvlan in mode {mode}"),
            Self::Ipvlan(mode, flag) => write!(f, "ipvlan in mode {mode}, {flag}"),
        }
    }
}

/// What an ipvlan link has beside others. Mode and flag are the parent's: all on it have the same, and whoever makes one
/// more sets them for all (`ipvlan_link_new()` in Linux `drivers/net/ipvlan/ipvlan_main.c`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipvlan {
    /// The link of the host whose packets it shares.
    pub parent: IfName,
    /// At which layer packets find their way.
    pub mode: IpvlanMode,
    /// Whom it reaches on the same parent.
    pub flag: IpvlanFlag,
}

/// Returns why an ipvlan link has to be made anew. The kernel would change mode and flag in place, for all on the parent
/// at once, whoever has them: made anew, each interruption is told of those who have it.
pub(super) fn moved(old: &Ipvlan, new: &Ipvlan) -> String {
    if old.parent != new.parent {
        format!("its parent becomes {} instead of {}", new.parent, old.parent)
    } else if old.mode != new.mode {
        format!("its mode becomes {} instead of {}", new.mode, old.mode)
    } else {
        format!("its flag becomes {} instead of {}", new.flag, old.flag)
    }
}

/// At which layer the packets of an ipvlan link find their way: `include/uapi/linux/if_link.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// As on any Ethernet: neighbours are asked for.
    #[default]
    L2,
    /// They are routed where the parent lives, and there is no broadcast.
    L3,
    /// As `l3`, and the firewall where the parent lives sees them.
    L3s,
}

impl IpvlanMode {
    /// All modes, each with its name.
    pub const ALL: [(Self, &str); 3] = [(Self::L2, "l2"), (Self::L3, "l3"), (Self::L3s, "l3s")];

    /// Tells whether packets are routed, with no next hop and no neighbours.
    pub fn is_routed(self) -> bool {
        match self {
            Self::L2 => false,
            Self::L3 | Self::L3s => true,
        }
    }
}

impl fmt::Display for IpvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3s => "l3s",
        })
    }
}

/// Whom an ipvlan link reaches on the same parent: `IPVLAN_F_PRIVATE`, `IPVLAN_F_VEPA`, `include/uapi/linux/if_link.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanFlag {
    /// The others.
    #[default]
    Bridge,
    /// None of the others.
    Private,
    /// The others, if the switch behind the parent sends their packets back.
    Vepa,
}

impl IpvlanFlag {
    /// All flags, each with its name.
    pub const ALL: [(Self, &str); 3] =
        [(Self::Bridge, "bridge"), (Self::Private, "private"), (Self::Vepa, "vepa")];
}

impl fmt::Display for IpvlanFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bridge => "bridge",
            Self::Private => "private",
            Self::Vepa => "vepa",
        })
    }
}
