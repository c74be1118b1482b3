//! Requests to the kernel, as messages. Nothing here is sent.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::IpNet;
use netlink_packet_core::DefaultNla;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope,
};
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo,
    LinkMessage, Prop,
};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::names::IfName;
use crate::resource::link::{Link, Peer};
use crate::resource::owner::Mark;
use crate::resource::route::Route;
use crate::resource::sysctl::Family;

/// The group of links that have no mark yet: the kernel takes none at creation (`rtnl_create_link()` in `net/core/
/// rtnetlink.c`), but it does take a group. Whoever dies before [`settle`] leaves links that can be told from others'.
pub(crate) const NEWBORN: u32 = 0x6e66_6e65;

/// Brings up `lo` and marks its namespace.
pub(crate) fn loopback(mark: &Mark) -> RouteNetlinkMessage {
    let mut link = lo();
    link.attributes.push(alias(mark));
    RouteNetlinkMessage::NewLink(link)
}

/// Marks a namespace that is there.
pub(crate) fn mark_namespace(mark: &Mark) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = 1;
    link.attributes.push(alias(mark));
    RouteNetlinkMessage::NewLink(link)
}

/// Brings up `lo`.
pub(crate) fn loopback_up() -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewLink(lo())
}

/// `lo`, to be up; it is the first link of every namespace.
fn lo() -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = 1;
    set_state(&mut link, true);
    link
}

/// Creates a bridge with its own link-layer address, so that it does not change with the ports.
///
/// The MTU is set later, by [`settle`]: only a change makes the kernel keep it when ports come and go
/// (`br_change_mtu()` sets `BROPT_MTU_SET_BY_USER`, `net/bridge/br_device.c`).
pub(crate) fn new_bridge(link: &Link) -> RouteNetlinkMessage {
    let mut message = named(&link.name);
    set_state(&mut message, link.up);
    message.attributes.extend(link.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    message.attributes.push(LinkAttribute::Group(NEWBORN));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Bridge),
        LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::ForwardDelay(0)])),
    ]));
    RouteNetlinkMessage::NewLink(message)
}

/// Creates a veth pair whose peer is in its namespace from the start: moving it there would cost 20 times as much.
///
/// The peer is brought up later: the kernel refuses to open it before the pair is tied (`veth_open()`,
/// `drivers/net/veth.c`). One queue for each end makes it a third cheaper.
pub(crate) fn new_veth(
    link: &Link,
    peer: &Peer,
    master: Option<u32>,
    ns: BorrowedFd<'_>,
) -> RouteNetlinkMessage {
    let queues = [LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];
    let mut other = named(&peer.name);
    other.attributes.extend([
        LinkAttribute::Address(peer.mac.0.to_vec()),
        LinkAttribute::Mtu(peer.mtu.bytes()),
        LinkAttribute::NetNsFd(ns.as_raw_fd()),
    ]);
    other.attributes.extend(queues.clone());
    let mut message = named(&link.name);
    set_state(&mut message, link.up);
    message.attributes.extend(link.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    message.attributes.extend([LinkAttribute::Group(NEWBORN), LinkAttribute::Mtu(link.mtu.bytes())]);
    message.attributes.extend(master.map(LinkAttribute::Controller));
    message.attributes.extend(queues);
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other))),
    ]));
    RouteNetlinkMessage::NewLink(message)
}

/// Marks a new link, takes it out of the group of those without a mark, and fixes its MTU.
pub(crate) fn settle(link: &Link, mark: &Mark) -> RouteNetlinkMessage {
    let mut message = named(&link.name);
    message.attributes.extend([alias(mark), LinkAttribute::Group(0), LinkAttribute::Mtu(link.mtu.bytes())]);
    RouteNetlinkMessage::NewLink(message)
}

/// Changes a link; `None` when there is nothing to change but perhaps its further name or its peer.
pub(crate) fn change(
    (from, old): (&Link, &Mark),
    (to, new): (&Link, &Mark),
    master: Option<u32>,
) -> Option<RouteNetlinkMessage> {
    let mut message = named(&to.name);
    if from.up != to.up {
        set_state(&mut message, to.up);
    }
    let mac = to.mac.filter(|_| from.mac != to.mac);
    let attributes = &mut message.attributes;
    attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    attributes.extend((from.mtu != to.mtu).then(|| LinkAttribute::Mtu(to.mtu.bytes())));
    attributes.extend((from.master != to.master).then(|| LinkAttribute::Controller(master.unwrap_or(0))));
    attributes.extend((old != new).then(|| alias(new)));
    (from.up != to.up || message.attributes.len() > 1).then_some(RouteNetlinkMessage::NewLink(message))
}

/// Changes the peer of a veth pair; `None` when there is nothing to change.
pub(crate) fn change_peer(from: &Peer, to: &Peer) -> Option<RouteNetlinkMessage> {
    let mut message = named(&to.name);
    if from.up != to.up {
        set_state(&mut message, to.up);
    }
    message.attributes.extend((from.mac != to.mac).then(|| LinkAttribute::Address(to.mac.0.to_vec())));
    message.attributes.extend((from.mtu != to.mtu).then(|| LinkAttribute::Mtu(to.mtu.bytes())));
    (from.up != to.up || message.attributes.len() > 1).then_some(RouteNetlinkMessage::NewLink(message))
}

/// Gives a link a further name.
pub(crate) fn add_altname(link: &IfName, altname: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewLinkProp(properties(link, altname))
}

/// Takes a further name from a link.
pub(crate) fn remove_altname(link: &IfName, altname: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelLinkProp(properties(link, altname))
}

fn properties(link: &IfName, altname: &str) -> LinkMessage {
    let mut message = named(link);
    message.attributes.push(LinkAttribute::PropList(vec![Prop::AltIfName(altname.to_owned())]));
    message
}

/// Deletes a link.
pub(crate) fn delete_link(link: &IfName) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelLink(named(link))
}

/// Puts a link into a group.
pub(crate) fn group_link(link: &IfName, group: u32) -> RouteNetlinkMessage {
    let mut message = named(link);
    message.attributes.push(LinkAttribute::Group(group));
    RouteNetlinkMessage::NewLink(message)
}

/// Deletes all links of a group at once.
pub(crate) fn delete_group(group: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Group(group));
    RouteNetlinkMessage::DelLink(message)
}

/// Asks for a link by its name.
pub(crate) fn find_link(link: &IfName) -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetLink(named(link))
}

/// Asks for all links, without their counters.
pub(crate) fn all_links() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

fn named(link: &IfName) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(link.to_string()));
    message
}

/// Writes a mark, or what stands in its place; nothing is written as nothing, since a text ends with a zero byte.
fn alias(mark: &Mark) -> LinkAttribute {
    /// `include/uapi/linux/if_link.h`.
    const IFLA_IFALIAS: u16 = 20;
    let text = mark.to_string();
    if text.is_empty() {
        LinkAttribute::Other(DefaultNla::new(IFLA_IFALIAS, vec![]))
    } else {
        LinkAttribute::IfAlias(text)
    }
}

fn set_state(message: &mut LinkMessage, up: bool) {
    message.header.change_mask = LinkFlags::Up;
    message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
}

/// An address, to be added to or removed from the link with this index.
pub(crate) fn address(addr: IpNet, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(Family::of(addr.addr()));
    message.header.prefix_len = addr.prefix_len();
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(addr.addr()), AddressAttribute::Address(addr.addr())];
    message
}

/// Adds an address: the kernel keeps the mark beside it (`IFA_PROTO`).
pub(crate) fn new_address(addr: IpNet, index: u32, protocol: u8) -> RouteNetlinkMessage {
    let mut message = address(addr, index);
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(protocol)));
    match addr {
        // A subnet of one or two addresses has no broadcast address (RFC 3021 section 2.2).
        IpNet::V4(net) if net.prefix_len() < 31 && net.broadcast() != Ipv4Addr::UNSPECIFIED => {
            message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
        }
        IpNet::V4(_) => {}
        IpNet::V6(_) => {
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
    }
    RouteNetlinkMessage::NewAddress(message)
}

/// Asks for all addresses.
pub(crate) fn all_addresses() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

/// A route in the main table that leaves by the link with this index.
pub(crate) fn route(route: &Route, index: u32, protocol: u8) -> RouteMessage {
    let Route { ns: _, dest, link: _, via, metric } = route;
    let mut message = RouteMessage::default();
    message.header.address_family = family(Family::of(dest.addr()));
    message.header.destination_prefix_length = dest.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::from(protocol);
    message.header.kind = RouteType::Unicast;
    message.header.scope = match (via, dest) {
        // What has no next hop is on the link itself; IPv6 knows no such scope.
        (None, IpNet::V4(_)) => RouteScope::Link,
        (None, IpNet::V6(_)) | (Some(_), _) => RouteScope::Universe,
    };
    if dest.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(dest.network())));
    }
    message.attributes.extend(via.map(|via| RouteAttribute::Gateway(RouteAddress::from(via))));
    message.attributes.push(RouteAttribute::Oif(index));
    if *metric > 0 {
        message.attributes.push(RouteAttribute::Priority(*metric));
    }
    message
}

/// Asks for all routes of a family, of one table or of all.
pub(crate) fn all_routes(of: Family, table: Option<u8>) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(of);
    message.header.table = table.unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    RouteNetlinkMessage::GetRoute(message)
}

/// Asks by which route packets to an address leave.
pub(crate) fn find_route(to: IpAddr) -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetRoute(way(to))
}

/// Asks which entry of the tables decides that, without what is derived from it (`RTM_F_FIB_MATCH`).
pub(crate) fn find_route_entry(to: IpAddr) -> RouteNetlinkMessage {
    let mut message = way(to);
    message.header.flags = RouteFlags::FibMatch;
    RouteNetlinkMessage::GetRoute(message)
}

fn way(to: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(Family::of(to));
    message.header.destination_prefix_length = if to.is_ipv4() { 32 } else { 128 };
    message.attributes.push(RouteAttribute::Destination(RouteAddress::from(to)));
    message
}

/// Asks for all neighbours of the address's family.
pub(crate) fn neighbours(like: IpAddr) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(Family::of(like));
    RouteNetlinkMessage::GetNeighbour(message)
}

/// Asks what all bridges have learnt: which link-layer address is behind which port.
pub(crate) fn forwarding() -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    RouteNetlinkMessage::GetNeighbour(message)
}

/// Asks by which number the links of this namespace refer to the namespace `ns`.
pub(crate) fn find_nsid(ns: BorrowedFd<'_>) -> RouteNetlinkMessage {
    let mut message = NsidMessage::default();
    message.attributes.push(NsidAttribute::Fd(ns.as_raw_fd().unsigned_abs()));
    RouteNetlinkMessage::GetNsId(message)
}

fn family(of: Family) -> AddressFamily {
    match of {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}
