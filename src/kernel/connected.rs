//! Routes that the kernel makes with addresses: to their subnets, and to all that is link-local. Anybody may delete one, and
//! the address stays: then what is on the link is not reached.
//!
//! Sources: `fib_add_ifaddr()` in Linux `net/ipv4/fib_frontend.c`, `inet6_addr_add()` and `addrconf_add_linklocal()` in
//! `net/ipv6/addrconf.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;

use super::links::{Outcome, channel, found, send_unless};
use super::live::Live;
use super::message;
use super::netlink::Channel;
use super::observe::{UNICAST, is_link_local};
use super::reading::NsReading;
use crate::resource::address::Address;
use crate::resource::route::{MAIN_TABLE, PROTOCOL};

/// Returns where routes led that came with our addresses on our links and are gone, by the link and the address.
///
/// That of a subnet belongs to the first address of it, as the kernel has it; that of what is link-local to the first IPv6
/// address. Any route by the link does that needs no next hop: who has put another metric on it, or his own in its place, has not
/// cut off anybody. What is down has no such routes, and those of what is in a VRF are in its table.
pub(super) fn lost(ns: &NsReading, is_ours: impl Fn(u32) -> bool) -> BTreeMap<(u32, IpNet), Vec<IpNet>> {
    let mut missing = made(ns, &is_ours);
    for route in &ns.routes {
        if missing.is_empty() {
            break;
        }
        if let (None, Some(index), UNICAST, MAIN_TABLE) = (route.via, route.index, route.kind, route.table) {
            missing.remove(&(index, route.dest));
        }
    }
    let mut lost = BTreeMap::<_, Vec<_>>::new();
    if missing.is_empty() || !ns.knows_routes {
        return lost;
    }
    let up = ns.links.iter().filter(|link| link.up && link.master.is_none());
    let up: BTreeSet<u32> = up.map(|link| link.index).collect();
    for ((index, dest), addr) in missing.into_iter().filter(|((index, _), _)| up.contains(index)) {
        lost.entry((index, addr)).or_default().push(dest);
    }
    lost
}

/// Returns the routes that come with our addresses on our links: the link and the subnet, each with its address.
fn made(ns: &NsReading, is_ours: &impl Fn(u32) -> bool) -> BTreeMap<(u32, IpNet), IpNet> {
    let (mut made, mut with_ipv6) = (BTreeMap::new(), BTreeMap::<u32, IpNet>::new());
    let ours = ns.addresses.iter().filter(|it| it.protocol == PROTOCOL && is_ours(it.index));
    for address in ours {
        if let IpNet::V6(_) = address.addr {
            with_ipv6.entry(address.index).or_insert(address.addr);
        }
        let subnet = address.addr.trunc();
        // An address alone has none in IPv4, and needs none; nor has 0.0.0.0/8.
        let is_made = address.routed
            && subnet.prefix_len() < subnet.max_prefix_len()
            && subnet.addr() != IpAddr::from([0; 4]);
        if is_made {
            made.entry((address.index, subnet)).or_insert(address.addr);
        }
    }
    for address in ns.addresses.iter().filter(|it| it.routed && is_link_local(it.addr.addr())) {
        if let Some(first) = with_ipv6.get(&address.index) {
            made.entry((address.index, address.addr.trunc())).or_insert(*first);
        }
    }
    made
}

/// Makes routes that came with an address and are gone; or takes them away, as they were found.
pub(super) async fn restore(live: &Live, from: &Address, to: &Address) -> Outcome {
    let channel = channel(live, &to.ns)?;
    let index = found(channel, &to.link)?;
    for dest in from.lost.iter().filter(|dest| !to.lost.contains(dest)) {
        make(channel, message::connected_route(to.addr, *dest, index)).await?;
    }
    for dest in to.lost.iter().filter(|dest| !from.lost.contains(dest)) {
        let route = message::connected_route(to.addr, *dest, index);
        send_unless(channel, RouteNetlinkMessage::DelRoute(route), &[Errno::SRCH]).await?;
    }
    Ok(())
}

async fn make(channel: &Channel, route: netlink_packet_route::route::RouteMessage) -> Outcome {
    // As the kernel does it: beside one of the same subnet by another link.
    let flags = NLM_F_CREATE | NLM_F_APPEND;
    match channel.request(RouteNetlinkMessage::NewRoute(route), flags).await {
        Err(refusal) if refusal.errno() == Some(Errno::EXIST) => Ok(()),
        answer => answer.map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::answer;
    use crate::kernel::answer::{AddressAnswer, RouteAnswer};
    use crate::resource::netns::NsRef;

    /// A namespace in which links 2 (up) and 3 (down) are ours, and 4 (up) is not.
    fn ns(addresses: &[(u32, &str, u8, bool)], routes: &[(u32, &str)]) -> NsReading {
        let link = |(index, up): (u32, u32)| {
            let mut body = vec![0; 16];
            body[4..8].copy_from_slice(&index.to_ne_bytes());
            body[8..12].copy_from_slice(&up.to_ne_bytes());
            answer::link(16, &body).unwrap()
        };
        let address = |(index, addr, protocol, routed): &(u32, &str, u8, bool)| AddressAnswer {
            index: *index,
            addr: addr.parse().unwrap(),
            protocol: *protocol,
            routed: *routed,
        };
        let route = |(index, dest): &(u32, &str)| RouteAnswer {
            table: MAIN_TABLE,
            protocol: 2,
            kind: UNICAST,
            dest: dest.parse().unwrap(),
            via: None,
            index: Some(*index),
            hops: vec![],
            metric: 0,
            onlink: false,
            plain: false,
        };
        NsReading {
            links: [(2, 1), (3, 0), (4, 1)].map(link).into(),
            addresses: addresses.iter().map(address).collect(),
            routes: routes.iter().map(route).collect(),
            knows_routes: true,
            ..NsReading::empty(NsRef::Host)
        }
    }

    #[track_caller]
    fn check(addresses: &[(u32, &str, u8, bool)], routes: &[(u32, &str)], want: &[&str]) {
        let lost = lost(&ns(addresses, routes), |index| index < 4);
        let lost: Vec<_> =
            lost.iter().map(|((index, addr), dests)| format!("{index} {addr} {dests:?}")).collect();
        assert_eq!(lost, want, "{addresses:?} {routes:?}");
    }

    #[test]
    fn a_route_that_came_with_an_address_is_missed_where_the_kernel_makes_one() {
        let ours = |link, addr| (link, addr, PROTOCOL, true);
        check(&[ours(2, "10.7.0.2/24")], &[(2, "10.7.0.0/24")], &[]);
        check(&[ours(2, "10.7.0.2/24")], &[], &["2 10.7.0.2/24 [10.7.0.0/24]"]);
        check(&[ours(2, "10.7.0.2/31")], &[], &["2 10.7.0.2/31 [10.7.0.2/31]"]);
        check(&[ours(2, "10.7.0.2/24")], &[(4, "10.7.0.0/24")], &["2 10.7.0.2/24 [10.7.0.0/24]"]);
        // Of several in one subnet, the first.
        check(&[ours(2, "10.7.0.2/24"), ours(2, "10.7.0.3/24")], &[], &["2 10.7.0.2/24 [10.7.0.0/24]"]);
        // There is none for a single address, for one that shall have none, of a link that is down, and of others.
        check(&[ours(2, "10.7.0.2/32"), ours(2, "fd00::1/128"), ours(2, "0.0.0.5/8")], &[], &[]);
        check(&[(2, "10.7.0.2/24", PROTOCOL, false), ours(3, "10.7.0.3/24")], &[], &[]);
        check(&[ours(4, "10.7.0.2/24"), (2, "10.8.0.2/24", 0, true)], &[], &[]);
    }

    #[test]
    fn what_is_link_local_is_missed_where_a_link_has_an_ipv6_address_of_ours() {
        let (local, ours) = ((2, "fe80::1/64", 3, true), (2, "fd00::2/64", PROTOCOL, true));
        check(&[ours, local], &[(2, "fd00::/64"), (2, "fe80::/64")], &[]);
        check(&[ours, local], &[], &["2 fd00::2/64 [fd00::/64, fe80::/64]"]);
        check(&[local, (2, "10.7.0.2/24", PROTOCOL, true)], &[(2, "10.7.0.0/24")], &[]);
    }

    #[test]
    fn nothing_is_missed_where_nobody_has_asked() {
        let unread = NsReading { knows_routes: false, ..ns(&[(2, "10.7.0.2/24", PROTOCOL, true)], &[]) };
        assert_eq!(lost(&unread, |_| true), BTreeMap::new());
    }
}
