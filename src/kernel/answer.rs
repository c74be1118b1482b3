//! What the kernel answers, as values: the few attributes of links, addresses, routes and neighbours that netform looks
//! at.
//!
//! It is read from the bytes and not into the message types, since those drop a whole message when a newer kernel has
//! changed an attribute that nobody here asks about. Source: `include/uapi/linux/{if_link,if_addr,neighbour,rtnetlink}.h`.

mod hops;
mod port;
mod shares;
mod silent;

use std::net::IpAddr;
use std::ops::Deref;

use ipnet::IpNet;
use smol_str::SmolStr;

use self::port::PortAnswer;
pub(super) use self::silent::promotes_secondaries;
use super::netlink::text;
use super::ovsdb::Switched;
use super::vlans::VlanEntry;
use crate::names::{IfName, Mac, ProjectName};
use crate::resource::amiss::BridgeFault;
use crate::resource::device::{self, Device};
use crate::resource::link::Shares;
use crate::resource::owner::Mark;
use crate::resource::vlan::VlanId;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_NEWNEIGH: u16 = 28;
const RTM_NEWNSID: u16 = 88;

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkAnswer {
    /// Its index in its namespace.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: SmolStr,
    /// Its kind, e.g. `bridge`; empty for hardware.
    pub(crate) kind: SmolStr,
    /// Its link-layer address, when it is an Ethernet one.
    pub(crate) mac: Option<Mac>,
    /// Whether it is an Ethernet link: `ARPHRD_ETHER`.
    pub(crate) ethernet: bool,
    /// The largest packet, in bytes.
    pub(crate) mtu: u32,
    /// Whether it is administratively up.
    pub(crate) up: bool,
    /// The index of the link whose port it is.
    pub(crate) master: Option<u32>,
    /// Whether it is a bridge's port in hairpin mode.
    pub(crate) hairpin: bool,
    /// Whether it is a bridge that speaks the spanning tree protocol.
    pub(crate) stp: bool,
    /// Of a bridge, what it does otherwise than a new one.
    pub(crate) bridge_faults: Vec<BridgeFault>,
    /// Whether it is a bridge that keeps VLANs apart.
    pub(crate) filters: bool,
    /// Of a bridge, the VLAN that a new port is in; `None` is none, or a kernel without VLANs of bridges.
    pub(crate) default_vlan: Option<VlanId>,
    /// Of a bridge or its port, which VLANs it has, when that was asked for.
    pub(crate) vlans: Option<Vec<VlanEntry>>,
    /// Whether it is one that is isolated.
    pub(crate) isolated: bool,
    /// What else it is as one.
    pub(crate) port: PortAnswer,
    /// What its owner wrote on it.
    pub(crate) alias: Alias,
    /// Its further names.
    pub(crate) altnames: Vec<SmolStr>,
    /// The index of the link that it is paired with or stacked on.
    pub(crate) peer: Option<u32>,
    /// The number of the namespace in which that link lives; `None` when it is the same one.
    pub(crate) peer_ns: Option<i32>,
    /// Its group.
    pub(crate) group: u32,
    /// Of a macvlan or ipvlan link, how it shares its parent; `None` when that is no way that netform asks for.
    pub(crate) shares: Option<Shares>,
    /// Of a VLAN, which one; `None` when its tags are no 802.1Q ones.
    pub(crate) vlan: Option<VlanId>,
    /// Whether a token bucket is at its root.
    pub(crate) has_bucket: bool,
    /// The link-layer address that it was made with, when it is a device that has one: nobody changes that.
    pub(crate) permanent: Option<Mac>,
    /// Whether something is at the other end: `IFF_LOWER_UP`, `include/uapi/linux/if.h`.
    pub(crate) carrier: bool,
    /// Whether it can send, as the kernel has told all who care: `IFF_RUNNING`.
    pub(crate) running: bool,
    /// Whether it neither asks nor answers who has an address: `IFF_NOARP`.
    pub(crate) mute: bool,
    /// Whether it speaks IPv6; `None` where the kernel has none for it.
    pub(crate) ipv6: Option<bool>,
    /// Whether the host forwards what comes by it, of IPv4; `None` where the kernel has none for it.
    pub(crate) forwards: Option<bool>,
    /// What Open vSwitch makes of it, when its database was asked.
    pub(crate) switch: Option<Switched>,
}

impl LinkAnswer {
    /// Returns the mark, when it carries one.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.alias.mark.clone()
    }

    /// Returns the further name that netform gave it.
    pub(crate) fn our_altname(&self) -> Option<SmolStr> {
        self.altnames.iter().find(|name| name.starts_with("netform.")).cloned()
    }

    /// Returns the project that gave it a further name.
    pub(crate) fn named_by(&self) -> Option<&str> {
        self.altnames.iter().find_map(|name| name.strip_prefix("netform.")?.split('.').next())
    }

    /// Returns whose it is and what it was on the host, when it is a link that was taken from there.
    pub(crate) fn device(&self) -> Option<(ProjectName, Device)> {
        // Nearly no link has further names that say so.
        if self.altnames.iter().any(|name| device::is_piece(name)) {
            device::read(&self.altnames)
        } else {
            None
        }
    }

    /// Returns the name, when it is one that a manifest can ask for.
    pub(crate) fn ifname(&self) -> Option<IfName> {
        IfName::try_from(self.name.clone()).ok()
    }
}

/// What is written on a link. Whether it is a mark is asked over and over, so it is found out once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Alias {
    text: SmolStr,
    mark: Option<Mark>,
}

impl From<SmolStr> for Alias {
    fn from(text: SmolStr) -> Self {
        Self { mark: Mark::parse(&text), text }
    }
}

impl Deref for Alias {
    type Target = SmolStr;

    fn deref(&self) -> &SmolStr {
        &self.text
    }
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressAnswer {
    /// The index of the link that it is on.
    pub(crate) index: u32,
    /// The address with the prefix length of its subnet.
    pub(crate) addr: IpNet,
    /// Who says that it added it: `IFA_PROTO`, 0 when it is silent.
    pub(crate) protocol: u8,
    /// Whether the kernel makes a route to its subnet: not `IFA_F_NOPREFIXROUTE`.
    pub(crate) routed: bool,
    /// Whether it was new when it was read, so that not all may have been there yet that comes with it.
    pub(crate) young: bool,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteAnswer {
    /// The table that holds it.
    pub(crate) table: u32,
    /// Who says that it added it.
    pub(crate) protocol: u8,
    /// What kind of route it is: `RTN_UNICAST`, ...
    pub(crate) kind: u8,
    /// Where it leads.
    pub(crate) dest: IpNet,
    /// The next hop.
    pub(crate) via: Option<IpAddr>,
    /// The index of the link that it leaves by.
    pub(crate) index: Option<u32>,
    /// The indexes of the links of its next hops, when it has several.
    pub(crate) hops: Vec<u32>,
    /// Its priority.
    pub(crate) metric: u32,
    /// Whether its next hop is on the link though no subnet says so: `RTNH_F_ONLINK`.
    pub(crate) onlink: bool,
    /// Whether it is for some packets only: those of a type of service, or from some sources.
    pub(crate) narrow: bool,
    /// Whether it says nothing else that a replacement by a route of ours would lose: another source address, metrics, a
    /// type of service.
    pub(crate) plain: bool,
}

/// A neighbour, or what a bridge has learnt of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NeighbourAnswer {
    /// The index of the link that it is on; for a bridge, of the port that it is behind.
    pub(crate) index: u32,
    /// Its address.
    pub(crate) addr: Option<IpAddr>,
    /// Its link-layer address.
    pub(crate) mac: Option<Mac>,
}

/// Reads a link; `None` for anything else.
pub(crate) fn link(kind: u16, body: &[u8]) -> Option<LinkAnswer> {
    let (header, attributes) = body.split_at_checked(16).filter(|_| kind == RTM_NEWLINK)?;
    let mut link = LinkAnswer {
        index: u32_at(header, 4)?,
        name: SmolStr::default(),
        kind: SmolStr::default(),
        mac: None,
        ethernet: header.get(2..4) == Some(&1_u16.to_ne_bytes()),
        mtu: 0,
        up: u32_at(header, 8)? & 1 == 1,
        master: None,
        hairpin: false,
        isolated: false,
        port: PortAnswer::default(),
        stp: false,
        bridge_faults: vec![],
        filters: false,
        default_vlan: None,
        vlans: None,
        alias: Alias::default(),
        altnames: vec![],
        peer: None,
        peer_ns: None,
        group: 0,
        shares: None,
        vlan: None,
        has_bucket: false,
        permanent: None,
        carrier: u32_at(header, 8)? & 0x1_0000 != 0,
        running: u32_at(header, 8)? & 0x40 != 0,
        mute: u32_at(header, 8)? & 0x80 != 0,
        ipv6: None,
        forwards: None,
        switch: None,
    };
    each(attributes, |kind, value| match kind {
        1 => link.mac = value.try_into().ok().map(Mac),
        3 => link.name = text(value),
        4 => link.mtu = u32_at(value, 0).unwrap_or(0),
        5 => link.peer = u32_at(value, 0),
        6 => link.has_bucket = value == b"tbf\0",
        10 => link.master = u32_at(value, 0),
        18 => port::link_info(value, &mut link),
        20 => link.alias = text(value).into(),
        26 => (link.ipv6, link.forwards) = (silent::speaks_ipv6(value), silent::forwards(value)),
        27 => link.group = u32_at(value, 0).unwrap_or(0),
        37 => link.peer_ns = value.first_chunk().map(|number| i32::from_ne_bytes(*number)),
        52 => each(value, |kind, value| {
            if kind == 53 {
                link.altnames.push(text(value));
            }
        }),
        54 => link.permanent = value.try_into().ok().map(Mac),
        _ => {}
    });
    Some(link)
}
/// Reads an address; `None` for anything else.
pub(crate) fn address(kind: u16, body: &[u8]) -> Option<AddressAnswer> {
    let (header, attributes) = body.split_at_checked(8).filter(|_| kind == RTM_NEWADDR)?;
    let prefix = *header.get(1)?;
    let (mut local, mut other, mut protocol, mut flags, mut young) = (None, None, 0, 0, false);
    each(attributes, |kind, value| match kind {
        1 => other = ip(value),
        // Of a point-to-point link's two addresses this is ours.
        2 => local = ip(value),
        6 => young = silent::is_young(value),
        8 => flags = u32_at(value, 0).unwrap_or(0),
        11 => protocol = value.first().copied().unwrap_or(0),
        _ => {}
    });
    let addr = IpNet::new(local.or(other)?, prefix).ok()?;
    Some(AddressAnswer { index: u32_at(header, 4)?, addr, protocol, routed: flags & 0x200 == 0, young })
}

/// Reads a route; `None` for anything else, or a route that is no IP route.
pub(crate) fn route(kind: u16, body: &[u8]) -> Option<RouteAnswer> {
    let (header, attributes) = body.split_at_checked(12).filter(|_| kind == RTM_NEWROUTE)?;
    let byte = |at: usize| header.get(at).copied();
    let anywhere = match byte(0)? {
        2 => IpAddr::from([0; 4]),
        10 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let mut table = u32::from(byte(4)?);
    let (mut dest, mut via, mut index, mut metric, mut hops) = (anywhere, None, None, 0, vec![]);
    let narrow = byte(2)? != 0 || byte(3)? != 0;
    let mut plain = byte(3)? == 0 && header.get(8..12)?.iter().all(|flags| *flags == 0);
    each(attributes, |kind, value| match kind {
        1 => dest = ip(value).unwrap_or(anywhere),
        4 => index = u32_at(value, 0),
        5 => via = ip(value),
        6 => metric = u32_at(value, 0).unwrap_or(0),
        9 => (plain, hops) = (false, hops::links(value)),
        15 => table = u32_at(value, 0).unwrap_or(table),
        // What the cache and the router's preference say is the kernel's own.
        12 | 20 => {}
        _ => plain = false,
    });
    let onlink = u32_at(header, 8)? & 4 != 0;
    let (dest, protocol, kind) = (IpNet::new(dest, byte(1)?).ok()?, byte(5)?, byte(7)?);
    Some(RouteAnswer { table, protocol, kind, dest, via, index, hops, metric, onlink, narrow, plain })
}

/// Reads a neighbour; `None` for anything else.
pub(crate) fn neighbour(kind: u16, body: &[u8]) -> Option<NeighbourAnswer> {
    let (header, attributes) = body.split_at_checked(12).filter(|_| kind == RTM_NEWNEIGH)?;
    let mut neighbour = NeighbourAnswer { index: u32_at(header, 4)?, addr: None, mac: None };
    each(attributes, |kind, value| match kind {
        1 => neighbour.addr = ip(value),
        2 => neighbour.mac = value.try_into().ok().map(Mac),
        _ => {}
    });
    Some(neighbour)
}

/// Reads the number of a namespace; `None` when it has none, since no link here refers to it.
pub(crate) fn nsid(kind: u16, body: &[u8]) -> Option<i32> {
    // `struct rtgenmsg` is one byte, padded to four.
    let attributes = body.get(4..).filter(|_| kind == RTM_NEWNSID)?;
    let mut id = None;
    each(attributes, |kind, value| {
        if kind == 1 {
            id = value.first_chunk().map(|number| i32::from_ne_bytes(*number));
        }
    });
    id.filter(|id| *id >= 0)
}

/// Returns all attributes, each with its kind, up to the first one that is cut off: `struct nlattr` in `include/uapi/linux/
/// netlink.h`.
///
/// There are some 60 for each link of a host, which is why no error is made out for any.
pub(crate) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    // What is left of a kind without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
    const NLA_TYPE_MASK: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let [a, b, c, d] = rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([*c, *d]) & NLA_TYPE_MASK, value))
    })
}

/// Shows all attributes, each by its kind.
pub(crate) fn each(bytes: &[u8], mut see: impl FnMut(u16, &[u8])) {
    attributes(bytes).for_each(|(kind, value)| see(kind, value));
}

/// Returns the value of an attribute among others; the last one's when there are several.
pub(crate) fn value_of(attributes: &[u8], wanted: u16) -> Option<Vec<u8>> {
    let mut found = None;
    each(attributes, |kind, value| {
        if kind == wanted {
            found = Some(value.to_vec());
        }
    });
    found
}

/// Returns the value of an attribute that is a number in the order of bytes of networks, as netfilter writes them.
pub(crate) fn number_of(attributes: &[u8], wanted: u16) -> Option<u32> {
    value_of(attributes, wanted)?.first_chunk().map(|number| u32::from_be_bytes(*number))
}

/// Returns the value of an attribute that is a number of two bytes in the order of this machine.
pub(super) fn short_of(attributes: &[u8], wanted: u16) -> Option<u16> {
    short_at(&value_of(attributes, wanted)?, 0)
}

pub(super) fn short_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|number| u16::from_ne_bytes(*number))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|number| u32::from_ne_bytes(*number))
}

/// Reads an address of either family.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
