//! Routes: what is asked of the kernel for each operation, and what is seen of them.

use std::collections::BTreeSet;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use smol_str::ToSmolStr;

use super::Scope;
use super::answer::{self, LinkAnswer, RouteAnswer};
use super::links::{NEW, NOBODYS_ROUTE, Outcome, channel, found, protocol, send, send_unless};
use super::live::Live;
use super::netlink::Channel;
use super::observe::UNICAST;
use super::reading::{NsReading, Reading};
use super::sight::Sight;
use super::whose::{self, OwnLinks};
use crate::names::IfName;
use crate::resource::netns::NsRef;
use crate::resource::owner::{Mark, Owner};
use crate::resource::route::{LOCAL_TABLE, MAIN_TABLE, PROTOCOL, Rank, Refusal, Route, Way};
use crate::resource::state::Foreign;
use crate::resource::{Resource, ResourceId, Slot};

/// Routes that the kernel makes itself: `RTPROT_UNSPEC`, `_REDIRECT`, `_KERNEL`, `_RA`.
pub(super) const KERNEL_ROUTES: [u8; 4] = [0, 1, 2, 9];

/// Adds a route, or puts it in the place of the one of its rank.
pub(super) async fn put(live: &Live, route: &Route, (owner, flags): (&Owner, u16)) -> Outcome {
    let channel = channel(live, &route.ns)?;
    let index = match route.leaves_by() {
        Some((link, _)) => Some(found(channel, link)?),
        None => None,
    };
    let message = message(route, index, number(route, owner));
    send(channel, RouteNetlinkMessage::NewRoute(message), flags).await
}

/// Changes a route.
pub(super) async fn replace(
    live: &Live,
    (from, old): (&Route, &Owner),
    (to, new): (&Route, &Owner),
) -> Outcome {
    // Which route a replacement hits is decided by destination, table and metric, which are the route's id.
    let Route { ns, dest, way: _, rank, stray: _ } = to;
    if (&from.ns, &from.dest, &from.rank) == (ns, dest, rank) {
        put(live, to, (new, NLM_F_CREATE | NLM_F_REPLACE)).await
    } else {
        put(live, to, (new, NEW)).await?;
        remove(live, from, old).await
    }
}

/// Removes a route.
pub(super) async fn remove(live: &Live, route: &Route, owner: &Owner) -> Outcome {
    let channel = channel(live, &route.ns)?;
    let index = match index_of(channel, route) {
        Err(refusal) if refusal.errno() == Some(Errno::NODEV) => return Ok(()),
        index => index?,
    };
    let message = message(route, index, number(route, owner));
    send_unless(channel, RouteNetlinkMessage::DelRoute(message), &[Errno::SRCH, Errno::NODEV]).await
}

/// Returns the protocol number of a route: ours, or what stands in its place.
fn number(route: &Route, owner: &Owner) -> u8 {
    route.stray.unwrap_or_else(|| protocol(owner, NOBODYS_ROUTE))
}

fn index_of(channel: &Channel, route: &Route) -> Result<Option<u32>, super::netlink::Refusal> {
    route.leaves_by().map(|(link, _)| channel.index(link)).transpose()
}

/// A route that leaves by the link with this index, if by any.
fn message(route: &Route, index: Option<u32>, protocol: u8) -> RouteMessage {
    let Route { ns: _, dest, way, rank: Rank { table, metric }, stray: _ } = route;
    let mut message = RouteMessage::default();
    message.header.address_family =
        if dest.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = dest.prefix_len();
    message.header.protocol = RouteProtocol::from(protocol);
    message.header.scope = RouteScope::Universe;
    match u8::try_from(*table) {
        Ok(table) => message.header.table = table,
        Err(_) => {
            message.header.table = RouteHeader::RT_TABLE_UNSPEC;
            message.attributes.push(RouteAttribute::Table(*table));
        }
    }
    if dest.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(dest.network())));
    }
    message.header.kind = match way {
        Way::By { link: _, via, onlink } => {
            match via {
                Some(via) => message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(*via))),
                // What has no next hop is on the link itself; IPv6 knows no such scope.
                None if dest.addr().is_ipv4() => message.header.scope = RouteScope::Link,
                None => {}
            }
            if *onlink {
                message.header.flags = RouteFlags::Onlink;
            }
            RouteType::Unicast
        }
        Way::Refused(Refusal::Blackhole) => RouteType::BlackHole,
        Way::Refused(Refusal::Unreachable) => RouteType::Unreachable,
        Way::Refused(Refusal::Prohibit) => RouteType::Prohibit,
    };
    message.attributes.extend(index.map(RouteAttribute::Oif));
    if *metric > 0 {
        message.attributes.push(RouteAttribute::Priority(*metric));
    }
    message
}

/// Returns the namespaces with routes that matter in other tables than the main one.
pub(super) fn in_other_tables(scope: &Scope) -> BTreeSet<NsRef> {
    let elsewhere = scope.routes.iter().filter_map(|route| match route {
        ResourceId::Route(ns, _, rank) if rank.table != MAIN_TABLE => Some(ns.clone()),
        ResourceId::Route(..)
        | ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => None,
    });
    elsewhere.collect()
}

/// Reads a route as [`answer::route`] does, unless it only tells what is here and is for no address: every namespace has a
/// handful of those.
pub(super) fn read_inside(kind: u16, body: &[u8]) -> Option<RouteAnswer> {
    /// `RT_TABLE_LOCAL` and `RTN_LOCAL`.
    const LOCAL: [u8; 2] = [255, 2];
    let is_kept = matches!(body, [2, 32, _, _, table, _, _, kind, ..] | [10, 128, _, _, table, _, _, kind, ..] if [*table, *kind] == LOCAL)
        || body.get(4) != Some(&LOCAL[0]);
    is_kept.then(|| answer::route(kind, body))?
}

/// Notes the routes of a namespace that are ours, that others put on our links, or that are in the place of one of ours.
pub(super) fn see(
    observed: &mut Sight,
    (ns, own): (&NsReading, &OwnLinks),
    reading: &Reading,
    scope: &Scope,
) {
    for route in &ns.routes {
        let is_seen = match refusal(route) {
            Some(refusal) => see_refusal(observed, (route, refusal), (ns, own), reading, scope),
            None => see_one(observed, route, (ns, own), scope),
        };
        if !is_seen {
            see_others(observed, route, (ns, own), scope);
        }
    }
}

/// Notes a route of others that is where one of ours may have to be: the kernel takes one for a destination, a table and a
/// priority, by whatever link it leaves (`fib_table_insert()`, `net/ipv4/fib_trie.c`; `fib6_add_rt2node()`, `net/ipv6/
/// ip6_fib.c`). A host may have hundreds of thousands, and there we know which matter.
fn see_others(observed: &mut Sight, route: &RouteAnswer, (ns, own): (&NsReading, &OwnLinks), scope: &Scope) {
    let RouteAnswer {
        table,
        protocol: _,
        kind: _,
        dest,
        via,
        index,
        hops: _,
        metric,
        onlink: _,
        narrow: _,
        plain: _,
    } = route;
    let id = ResourceId::Route(ns.ns.clone(), *dest, Rank { table: *table, metric: *metric });
    if *table == LOCAL_TABLE || (ns.ns == NsRef::Host && !scope.routes.contains(&id)) {
        return;
    }
    let next = via.map(|via| format!(" via {via}")).unwrap_or_default();
    let link = index.and_then(|index| ns.links.iter().find(|link| link.index == index));
    let way = match (link, refusal(route)) {
        (_, Some(refusal)) => format!(" ({refusal})"),
        (Some(link), None) => format!(" on {}", link.name),
        (None, None) => String::new(),
    };
    let table = if *table == MAIN_TABLE { String::new() } else { format!(" in table {table}") };
    let (over, on) = overruled(route, (ns, own)).unzip();
    let over = over.map(|over| format!(", which comes before {over}")).unwrap_or_default();
    let what = format!("route {dest}{next}{way}{table}{over}");
    observed.foreign.entry(Slot::Object(id)).or_insert(Foreign { what, owner: None, on, bears: None });
}

/// Returns what of ours in a container a route of others comes before, and whose that is: the subnet of an address, or where
/// a route leads. What is put before all of a subnet is passed by ([`super::connected`]), where it can be; what is put before
/// a part of it, or before a route, may be meant, and is shown.
fn overruled(route: &RouteAnswer, (ns, own): (&NsReading, &OwnLinks)) -> Option<(IpNet, Owner)> {
    let is_made = KERNEL_ROUTES.contains(&route.protocol) || route.protocol == PROTOCOL;
    if ns.ns == NsRef::Host || route.table != MAIN_TABLE || route.narrow || is_made {
        return None;
    }
    let owner = |index: &u32| own.get(index).map(|(_, owner)| owner.clone());
    let is_inside = |dest: IpNet| dest.contains(&route.dest) && dest.prefix_len() < route.dest.prefix_len();
    let subnet = ns.addresses.iter().filter(|it| it.protocol == PROTOCOL).find_map(|it| {
        let dest = it.addr.trunc();
        let is_best = dest == route.dest && dest.addr().is_ipv6() && route.metric == 1;
        let is_over = dest.prefix_len() < dest.max_prefix_len() && (is_inside(dest) || is_best);
        Some((dest, owner(&it.index).filter(|_| is_over)?))
    });
    subnet.or_else(|| {
        ns.routes.iter().filter(|it| (it.table, it.protocol) == (MAIN_TABLE, PROTOCOL)).find_map(|it| {
            let is_over = (it.dest.prefix_len() > 0 && is_inside(it.dest))
                || (it.dest == route.dest && route.metric < it.metric);
            Some((it.dest, owner(it.index.as_ref()?).filter(|_| is_over)?))
        })
    })
}

/// `RTN_BLACKHOLE`, `_UNREACHABLE` and `_PROHIBIT`, `include/uapi/linux/rtnetlink.h`.
fn refusal(route: &RouteAnswer) -> Option<Refusal> {
    match route.kind {
        6 => Some(Refusal::Blackhole),
        7 => Some(Refusal::Unreachable),
        8 => Some(Refusal::Prohibit),
        _ => None,
    }
}

/// Returns the number that stands in the place of ours on a route that is ours by what is on record. What says more than we
/// could say again is somebody's.
fn stray(route: &RouteAnswer, id: &ResourceId, scope: &Scope) -> Option<u8> {
    let is_stray = route.protocol != PROTOCOL && route.plain && scope.strays.contains_key(id);
    is_stray.then_some(route.protocol)
}

/// Returns whose a route was in whose place another one is.
fn bore(id: &ResourceId, scope: &Scope) -> Option<Owner> {
    if scope.strays.is_empty() { None } else { Some(scope.strays.get(id)?.bore.owner.clone()) }
}

/// A route that leads nowhere is on no link that says whose it is. It is ours in a namespace in which nobody else of us
/// has anything; where another project has, it is ours when we asked for it.
fn see_refusal(
    observed: &mut Sight,
    (route, refusal): (&RouteAnswer, Refusal),
    (ns, own): (&NsReading, &OwnLinks),
    reading: &Reading,
    scope: &Scope,
) -> bool {
    let rank = Rank { table: route.table, metric: route.metric };
    let id = ResourceId::Route(ns.ns.clone(), route.dest, rank);
    let stray = stray(route, &id, scope);
    if route.protocol != PROTOCOL && stray.is_none() {
        return false;
    }
    let is_home = whose::is_home(ns, scope);
    let is_asked = scope.routes.contains(&id) && ns.ns != NsRef::Host;
    let is_ours = is_asked || ((is_home || !own.is_empty()) && !has_others(ns, reading, scope));
    if is_ours {
        let way = Way::Refused(refusal);
        let resource = Route { ns: ns.ns.clone(), dest: route.dest, way, rank, stray };
        observed.insert(Resource::Route(resource), bore(&id, scope).unwrap_or(Owner::Project));
    }
    is_ours
}

/// Tells whether another project has something in a namespace.
fn has_others(ns: &NsReading, reading: &Reading, scope: &Scope) -> bool {
    let is_others = |mark: &Mark| mark.project != scope.project;
    let pairs: BTreeSet<u32> =
        ns.links.iter().filter(|link| link.peer_ns == ns.host_id).filter_map(|link| link.peer).collect();
    let outside = reading.host.links.iter().filter(|link| pairs.contains(&link.index));
    ns.links.iter().chain(outside).filter_map(LinkAnswer::mark).any(|mark| is_others(&mark))
}

/// Notes a route that is on a link of ours, or in the place of one that was; tells whether it is.
fn see_one(
    observed: &mut Sight,
    route: &RouteAnswer,
    (ns, own): (&NsReading, &OwnLinks),
    scope: &Scope,
) -> bool {
    let RouteAnswer { table, protocol, kind, dest, via, index, hops: _, metric, onlink, narrow: _, plain } =
        route;
    let on_ours = index.and_then(|index| own.get(&index));
    if *kind != UNICAST || (on_ours.is_none() && scope.strays.is_empty()) {
        return false;
    }
    let rank = Rank { table: *table, metric: *metric };
    let id = ResourceId::Route(ns.ns.clone(), *dest, rank);
    let stray = stray(route, &id, scope);
    let resource = |link: &IfName| {
        let way = Way::By { link: link.clone(), via: *via, onlink: *onlink };
        Resource::Route(Route { ns: ns.ns.clone(), dest: *dest, way, rank, stray })
    };
    if let Some(bore) = bore(&id, scope).filter(|_| stray.is_some()) {
        let link = ns.links.iter().find(|link| Some(link.index) == *index).and_then(LinkAnswer::ifname);
        link.iter().for_each(|link| observed.insert(resource(link), bore.clone()));
        return link.is_some();
    }
    let Some((link, owner)) = on_ours else { return false };
    let ours = *protocol == PROTOCOL;
    if *table != MAIN_TABLE && !ours {
        return false;
    }
    if ours {
        observed.insert(resource(link), owner.clone());
    } else if *plain && scope.unmarked.contains(&id) {
        observed.insert(resource(link), Owner::Unmarked(protocol.to_smolstr()));
    } else if !KERNEL_ROUTES.contains(protocol) {
        let next = via.map(|via| format!(" via {via}")).unwrap_or_default();
        let what = format!("route {dest}{next} on {link}");
        let foreign = Foreign { what, owner: None, on: Some(owner.clone()), bears: None };
        observed.foreign.insert(Slot::Object(id), foreign);
    }
    true
}
