//! Addresses and routes of a link, with all that they have to have again when it comes back. Nothing here is sent.
//!
//! Source: `include/uapi/linux/{if_addr,rtnetlink}.h`.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use netlink_packet_core::DefaultNla;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::super::answer::{each, ip, u32_at};
use super::super::netlink::text;
use crate::resource::device::{Held, Led};

const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;

/// Flags that somebody sets: `IFA_F_NODAD`, `_HOMEADDRESS`, `_MANAGETEMPADDR`, `_NOPREFIXROUTE`, `_MCAUTOJOIN`. The others tell how far
/// the kernel is with an address.
const CHOSEN_FLAGS: u32 = 0x712;
/// `IFA_F_NOPREFIXROUTE`: the kernel makes no route to the subnet.
pub(super) const NO_ROUTE: u32 = 0x200;
const IFA_F_NODAD: u32 = 0x02;

/// What ends by itself has a time; `INFINITY_LIFE_TIME`.
const FOR_EVER: u32 = u32::MAX;

/// Addresses that the kernel makes itself: `IFAPROT_KERNEL_LO`, `_RA`, `_LL`.
const KERNEL_ADDRESSES: [u8; 3] = [1, 2, 3];

/// Routes that the kernel makes itself, or redirects: `RTPROT_KERNEL`, `RTPROT_REDIRECT`.
const KERNEL_ROUTES: [u8; 2] = [2, 1];

/// Reads an address that has to be had again.
pub(super) fn address(kind: u16, body: &[u8]) -> Option<Held> {
    let (header, attributes) = body.split_at_checked(8).filter(|_| kind == RTM_NEWADDR)?;
    let (mut local, mut other, mut broadcast, mut valid) = (None, None, None, FOR_EVER);
    let mut flags = u32::from(*header.get(2)?);
    let (mut metric, mut protocol, mut label) = (0, 0, Default::default());
    each(attributes, |kind, value| match kind {
        1 => other = ip(value),
        2 => local = ip(value),
        3 => label = text(value),
        4 => broadcast = <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from),
        6 => valid = u32_at(value, 4).unwrap_or(FOR_EVER),
        8 => flags = u32_at(value, 0).unwrap_or(flags),
        9 => metric = u32_at(value, 0).unwrap_or(0),
        11 => protocol = value.first().copied().unwrap_or(0),
        _ => {}
    });
    if valid != FOR_EVER || KERNEL_ADDRESSES.contains(&protocol) {
        return None;
    }
    let addr = IpNet::new(local.or(other)?, *header.get(1)?).ok()?;
    Some(Held {
        addr,
        peer: other.filter(|other| *other != addr.addr()),
        broadcast,
        scope: *header.get(3)?,
        flags: flags & CHOSEN_FLAGS,
        protocol,
        metric,
        label,
    })
}

/// Reads a route that leaves by the link of this index and has to be had again.
pub(super) fn route(kind: u16, body: &[u8], index: u32) -> Option<Led> {
    let (header, attributes) = body.split_at_checked(12).filter(|_| kind == RTM_NEWROUTE)?;
    let byte = |at: usize| header.get(at).copied();
    let anywhere = match byte(0)? {
        2 => IpAddr::from([0; 4]),
        10 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let (mut dest, mut via, mut source, mut leaves_by) = (anywhere, None, None, None);
    let (mut metric, mut table, mut ends, mut extra) = (0, u32::from(byte(4)?), false, vec![]);
    each(attributes, |kind, value| match kind {
        1 => dest = ip(value).unwrap_or(anywhere),
        4 => leaves_by = u32_at(value, 0),
        5 => via = ip(value),
        6 => metric = u32_at(value, 0).unwrap_or(0),
        7 => source = ip(value),
        8 => extra = value.to_vec(),
        12 => ends = u32_at(value, 8).is_some_and(|expires| expires != 0),
        15 => table = u32_at(value, 0).unwrap_or(table),
        // A gateway of the other family has its family before it.
        18 => via = ip(value.get(2..).unwrap_or_default()),
        _ => {}
    });
    // `RTN_UNICAST`; `RT_TABLE_LOCAL` is the kernel's own.
    let is_chosen = byte(7)? == 1 && table != 255 && !KERNEL_ROUTES.contains(&byte(5)?);
    (leaves_by == Some(index) && is_chosen && !ends).then_some(Led {
        dest: IpNet::new(dest, byte(1)?).ok()?,
        via,
        source,
        metric,
        table,
        protocol: byte(5)?,
        scope: byte(6)?,
        onlink: u32_at(header, 8)? & 4 != 0,
        extra,
    })
}

/// Reads a route that leads by the link of this index and by others, which a link alone cannot have again: where it leads.
/// `RTA_MULTIPATH` is 9, and holds one `struct rtnexthop` after the other.
pub(super) fn shared_route(kind: u16, body: &[u8], index: u32) -> Option<IpNet> {
    let (header, attributes) = body.split_at_checked(12).filter(|_| kind == RTM_NEWROUTE)?;
    let (mut dest, mut is_shared) = (None, false);
    each(attributes, |kind, value| match kind {
        1 => dest = ip(value),
        9 => {
            let mut hops = value;
            while let Some(length) = hops.first_chunk().map(|it| usize::from(u16::from_ne_bytes(*it))) {
                is_shared |= u32_at(hops, 4) == Some(index);
                hops = hops.get(length.next_multiple_of(4).max(8)..).unwrap_or_default();
            }
        }
        _ => {}
    });
    let everywhere = if header.first() == Some(&10) { IpAddr::from([0; 16]) } else { IpAddr::from([0; 4]) };
    let dest = IpNet::new(dest.unwrap_or(everywhere), *header.get(1)?).ok()?;
    is_shared.then_some(dest)
}

/// Adds an address to the link of this index; with `nodad`, it can be a source at once.
pub(super) fn new_address(held: &Held, index: u32, nodad: bool) -> RouteNetlinkMessage {
    let Held { addr, peer, broadcast, scope, flags, protocol, metric, label } = held;
    let mut message = AddressMessage::default();
    message.header.family = family(addr.addr());
    message.header.prefix_len = addr.prefix_len();
    message.header.scope = AddressScope::from(*scope);
    message.header.index = index;
    let raw = |kind, value: Vec<u8>| AddressAttribute::Other(DefaultNla::new(kind, value));
    let flags = flags | if nodad && addr.addr().is_ipv6() { IFA_F_NODAD } else { 0 };
    message.attributes.extend([
        AddressAttribute::Local(addr.addr()),
        AddressAttribute::Address(peer.unwrap_or(addr.addr())),
        raw(8, flags.to_ne_bytes().to_vec()),
        raw(11, vec![*protocol]),
    ]);
    message.attributes.extend(broadcast.map(AddressAttribute::Broadcast));
    message.attributes.extend((*metric > 0).then(|| raw(9, metric.to_ne_bytes().to_vec())));
    if !label.is_empty() {
        message.attributes.push(AddressAttribute::Label(label.to_string()));
    }
    RouteNetlinkMessage::NewAddress(message)
}

/// Adds a route that leaves by the link of this index.
pub(super) fn new_route(led: &Led, index: u32) -> RouteNetlinkMessage {
    let Led { dest, via, source, metric, table, protocol, scope, onlink, extra } = led;
    let mut message = RouteMessage::default();
    message.header.address_family = family(dest.addr());
    message.header.destination_prefix_length = dest.prefix_len();
    message.header.protocol = RouteProtocol::from(*protocol);
    message.header.scope = RouteScope::from(*scope);
    message.header.kind = RouteType::Unicast;
    message.header.table = u8::try_from(*table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    if *onlink {
        message.header.flags = RouteFlags::Onlink;
    }
    let raw = |kind, value: Vec<u8>| RouteAttribute::Other(DefaultNla::new(kind, value));
    let octets = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    };
    message.attributes.extend([RouteAttribute::Oif(index), RouteAttribute::Table(*table)]);
    message.attributes.extend((dest.prefix_len() > 0).then(|| raw(1, octets(dest.network()))));
    message.attributes.extend(via.map(|via| {
        if via.is_ipv4() == dest.addr().is_ipv4() {
            raw(5, octets(via))
        } else {
            // `struct rtvia`: the family, and the address.
            raw(18, [u16::from(u8::from(family(via))).to_ne_bytes().to_vec(), octets(via)].concat())
        }
    }));
    message.attributes.extend(source.map(|source| raw(7, octets(source))));
    message.attributes.extend((*metric > 0).then_some(RouteAttribute::Priority(*metric)));
    message.attributes.extend((!extra.is_empty()).then(|| raw(8, extra.clone())));
    RouteNetlinkMessage::NewRoute(message)
}

fn family(addr: IpAddr) -> AddressFamily {
    match addr {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
