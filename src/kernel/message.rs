//! Requests to the kernel, as messages. Nothing here is sent.

mod address;
mod bridge;

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::DefaultNla;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags,
    LinkMessage, Prop,
};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{LinkIfb, LinkMessageBuilder, LinkUnspec, LinkVeth};
use sha2::{Digest, Sha256};

pub(crate) use self::address::{
    LOOPBACK, LOOPBACK6, address, addresses_of, all_addresses, all_addresses_in, connected_route,
    find_address, new_address, new_external_address, new_link_local, new_loopback_address,
    new_loopback6_address, no_loopback_address, no_loopback6_address, promote_secondaries,
};
use super::inside::Traveller;
use crate::names::{IfName, ProjectName};
use crate::resource::link::{Link, Peer};
use crate::resource::owner::Mark;
use crate::resource::sysctl::Family;
pub(crate) use bridge::{VlanVerb, mend_port, new_bridge, shut_port, vlans};
use bridge::{change_bridge, port};

/// The main table: `RT_TABLE_MAIN`, `include/uapi/linux/rtnetlink.h`.
pub(crate) const MAIN_TABLE: u8 = RouteHeader::RT_TABLE_MAIN;

/// The group of links that have no mark yet: the kernel takes none at creation (`rtnl_create_link()` in `net/core/
/// rtnetlink.c`), but it does take a group. Whoever dies before [`settle`] leaves links that can be told from others'.
pub(crate) const NEWBORN: u32 = 0x6e66_6e65;

/// Returns the group that the links of a project are in: what all goes at once, goes by one request. It is a hint and no
/// mark, since anybody may put a link into any group.
///
/// Groups are numbers that tools print as signed ones (`dev->group`, `include/linux/netdevice.h`); these lie between
/// 2^29 and 2^30, where people who number groups by hand do not go.
pub(crate) fn group_of(project: &ProjectName) -> u32 {
    let hash = Sha256::digest(project.as_str().as_bytes());
    let number = hash.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    1 << 29 | number >> 3
}

/// Marks a namespace that is there.
pub(crate) fn mark_namespace(mark: &str) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = 1;
    link.attributes.push(alias_of(mark));
    RouteNetlinkMessage::NewLink(link)
}

/// Marks a namespace that was just made, and brings up its `lo`: in this order, so that nobody has to be told of the mark
/// (`do_setlink()`, `net/core/rtnetlink.c`).
pub(crate) fn begin_namespace(mark: &Mark) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = 1;
    link.attributes.push(alias(mark));
    set_state(&mut link, true);
    RouteNetlinkMessage::NewLink(link)
}

/// Brings up `lo`, the first link of every namespace, or down.
pub(crate) fn loopback(up: bool) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = 1;
    set_state(&mut link, up);
    RouteNetlinkMessage::NewLink(link)
}

/// Creates a link through which packets are led that come in by another one; it is down.
pub(crate) fn new_ifb(link: &Link) -> RouteNetlinkMessage {
    let ifb = LinkMessageBuilder::<LinkIfb>::new(link.name.as_str()).link_group(NEWBORN);
    RouteNetlinkMessage::NewLink(single_queue(ifb).build())
}

/// Creates a veth pair whose peer is in its namespace from the start: moving it there would cost 20 times as much. Both
/// ends are down.
///
/// The peer is brought up later: the kernel refuses to open it before the pair is tied (`veth_open()`,
/// `drivers/net/veth.c`). One queue for each end makes it a third cheaper.
pub(crate) fn new_veth(
    link: &Link,
    peer: &Peer,
    master: Option<u32>,
    ns: BorrowedFd<'_>,
) -> RouteNetlinkMessage {
    let other = LinkUnspec::new_with_name(peer.name.as_str())
        .address(peer.mac.0.to_vec())
        .mtu(peer.mtu.bytes())
        .setns_by_fd(ns.as_raw_fd());
    let mut pair = LinkMessageBuilder::<LinkVeth>::new(link.name.as_str(), peer.name.as_str())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(single_queue(other).build())))
        .link_group(NEWBORN)
        .mtu(link.mtu.bytes());
    if let Some(mac) = link.mac {
        pair = pair.address(mac.0.to_vec());
    }
    if let Some(master) = master {
        pair = pair.controller(master);
    }
    RouteNetlinkMessage::NewLink(single_queue(pair).build())
}

fn single_queue<T>(link: LinkMessageBuilder<T>) -> LinkMessageBuilder<T> {
    link.append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}

/// Marks a new link, moves it from the group of those without a mark to that of its project, fixes its MTU and says
/// what it is as a port.
///
/// All of that is cheap while a link is down: each change of one that is up when the request ends is told to everybody
/// who listens, the bridge included (`do_setlink()`, `net/core/rtnetlink.c`; `netdev_state_change()`, `net/core/dev.c`).
/// The kernel takes that only for a link that is a bridge's port already (`__rtnl_newlink()`,
/// `net/core/rtnetlink.c`).
pub(crate) fn settle(link: &Link, mark: &Mark) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewLink(settled(link, mark))
}

/// As [`settle`], for a port of a bridge and the like: it is never spoken to itself, so it needs no link-local address, nor to ask whether
/// somebody has it, nor routes for it.
pub(crate) fn settle_port(link: &Link, mark: &Mark) -> RouteNetlinkMessage {
    let mut message = settled(link, mark);
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]));
    RouteNetlinkMessage::NewLink(message)
}

fn settled(link: &Link, mark: &Mark) -> LinkMessage {
    let mut message = named(&link.name);
    message.attributes.extend([
        alias(mark),
        LinkAttribute::Group(group_of(&mark.project)),
        LinkAttribute::Mtu(link.mtu.bytes()),
    ]);
    message.attributes.extend((link.hairpin || link.isolated).then(|| port(link)));
    message
}

/// Brings up a link.
pub(crate) fn bring_up(link: &IfName) -> RouteNetlinkMessage {
    let mut message = named(link);
    set_state(&mut message, true);
    RouteNetlinkMessage::NewLink(message)
}

/// Changes a link, and what is written on it; `None` when there is nothing to change but perhaps what it is as a port, its further name or its peer.
pub(crate) fn change(
    (from, old): (&Link, &str),
    (to, new): (&Link, &str),
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
    attributes.extend((old != new).then(|| alias_of(new)));
    attributes.extend(change_bridge(to, from));
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

/// Takes a link down.
pub(crate) fn take_down(link: &IfName) -> RouteNetlinkMessage {
    let mut message = named(link);
    set_state(&mut message, false);
    RouteNetlinkMessage::NewLink(message)
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

/// Asks for a link by its index.
pub(crate) fn link_at(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    RouteNetlinkMessage::GetLink(message)
}

/// Asks for all links, without their counters.
pub(crate) fn all_links() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

pub(super) fn named(link: &IfName) -> LinkMessage {
    LinkUnspec::new_with_name(link.as_str()).build()
}

/// Writes a mark, or what stands in its place.
pub(super) fn alias(mark: &Mark) -> LinkAttribute {
    alias_of(&mark.to_string())
}

/// Writes what stands on a link; nothing is written as nothing, since a text ends with a zero byte.
pub(super) fn alias_of(text: &str) -> LinkAttribute {
    /// `include/uapi/linux/if_link.h`.
    const IFLA_IFALIAS: u16 = 20;
    if text.is_empty() {
        LinkAttribute::Other(DefaultNla::new(IFLA_IFALIAS, vec![]))
    } else {
        LinkAttribute::IfAlias(text.to_owned())
    }
}

fn set_state(message: &mut LinkMessage, up: bool) {
    message.header.change_mask = LinkFlags::Up;
    message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
}

/// Asks for the routes of all families, of one table or of all.
pub(crate) fn all_routes(table: Option<u8>) -> RouteNetlinkMessage {
    all_routes_in(AddressFamily::Unspec, table)
}

/// Asks for the routes of one family, of one table or of all.
pub(crate) fn all_routes_in(family: AddressFamily, table: Option<u8>) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
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

/// Asks which way a packet goes, arriving by an interface or beginning here.
pub(crate) fn find_way(traveller: &Traveller) -> RouteNetlinkMessage {
    let Traveller { from, to, arrives_by, mark } = *traveller;
    let mut message = way(to);
    if let Some(from) = from {
        message.header.source_prefix_length = if from.is_ipv4() { 32 } else { 128 };
        message.attributes.push(RouteAttribute::Source(RouteAddress::from(from)));
    }
    message.attributes.extend(arrives_by.map(RouteAttribute::Iif));
    message.attributes.extend((mark != 0).then_some(RouteAttribute::Mark(mark)));
    RouteNetlinkMessage::GetRoute(message)
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

pub(super) fn family(of: Family) -> AddressFamily {
    match of {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}
