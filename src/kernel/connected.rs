//! Routes that the kernel makes with addresses: to their subnets, to all that is link-local, and to themselves. Anybody may
//! delete one or put his own in its place, and the address stays: then what is on the link is not reached, or the address
//! does not answer.
//!
//! Sources: `fib_add_ifaddr()` in Linux `net/ipv4/fib_frontend.c`, `inet6_addr_add()` and `addrconf_add_linklocal()` in
//! `net/ipv6/addrconf.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;

use super::answer::{AddressAnswer, RouteAnswer};
use super::links::{NEW, Outcome, channel, found, send, send_unless};
use super::live::Live;
use super::message;
use super::netlink::Channel;
use super::observe::{UNICAST, is_link_local};
use super::reading::{NsReading, Tables};
use super::routes::KERNEL_ROUTES;
use crate::resource::address::{Address, How, Lost, is_local};
use crate::resource::netns::NsRef;
use crate::resource::route::{LOCAL_TABLE, MAIN_TABLE, PROTOCOL};

/// `IP6_RT_PRIO_ADDRCONF`, `include/uapi/linux/ipv6_route.h`: the priority of such a route to an IPv6 subnet. Those to IPv4
/// subnets have none, and nothing comes before them but what is put into their place.
pub(super) const PRIORITY: u32 = 256;

/// `RTPROT_KERNEL` and `RTN_LOCAL`, `include/uapi/linux/rtnetlink.h`.
const KERNEL: u8 = 2;
pub(super) const LOCAL: u8 = 2;

/// The routes that came with addresses on links, by the link and where they lead; each with its address.
type Made = BTreeMap<(u32, IpNet), IpNet>;

/// Returns the routes that came with our addresses on our links and that no packet takes, by the link and the address.
///
/// That of a subnet belongs to the first address of it, as the kernel has it; that of what is link-local to the first IPv6
/// address. Any route by the link does that needs no next hop: who has put another metric on it, or his own in its place, has not
/// cut off anybody. What is down has no such routes, and those of what is in a VRF are in its table.
pub(super) fn lost(ns: &NsReading, is_ours: impl Fn(u32) -> bool) -> BTreeMap<(u32, IpNet), Vec<Lost>> {
    let mut lost = BTreeMap::<_, Vec<_>>::new();
    let mut missing = made(ns, &is_ours);
    match ns.tables {
        Tables::None => return lost,
        // What is not asked for is not missed.
        Tables::Main => missing.retain(|(_, dest), _| !is_local(*dest)),
        Tables::All => {}
    }
    let (covered, hidden) = behind(ns, &mut missing);
    if missing.is_empty() && covered.is_empty() {
        return lost;
    }
    let up = ns.links.iter().filter(|link| link.up && link.master.is_none());
    let up: BTreeSet<u32> = up.map(|link| link.index).collect();
    let lost_by = |by: fn(u32) -> How| {
        let hidden = &hidden;
        move |((index, dest), addr): ((u32, IpNet), IpNet)| {
            let how = hidden.get(&dest).map_or(How::Gone, |priority| match dest {
                // What is better than the kernel's own is come before in the same way, be that there or gone.
                IpNet::V6(_) if *priority < PRIORITY => How::Preceded(*priority),
                IpNet::V4(_) | IpNet::V6(_) => by(*priority),
            });
            (index, addr, Lost { dest, how })
        }
    };
    let gone = missing.into_iter().map(lost_by(|_| How::Replaced));
    let covered = covered.into_iter().map(lost_by(|_| How::Covered));
    for (index, addr, route) in gone.chain(covered).filter(|(index, ..)| up.contains(index)) {
        lost.entry((index, addr)).or_default().push(route);
    }
    lost
}

/// Takes out of `missing` what is there. Returns what of that has somebody's before it, and where such ones lead, with their
/// priorities.
///
/// The kernel lists the routes to one place in the order in which it tries them (`fn_trie_dump_leaf()`, `net/ipv4/fib_trie.c`;
/// `fib6_dump_node()`, `net/ipv6/ip6_fib.c`).
fn behind(ns: &NsReading, missing: &mut Made) -> (Made, BTreeMap<IpNet, u32>) {
    let (mut covered, mut hidden) = (Made::new(), BTreeMap::new());
    let places: BTreeSet<IpNet> = missing.keys().map(|(_, dest)| *dest).collect();
    for route in &ns.routes {
        if missing.is_empty() {
            break;
        }
        let leads_there = route.via.is_none()
            && matches!((route.kind, route.table), (UNICAST, MAIN_TABLE) | (LOCAL, LOCAL_TABLE));
        let found = route.index.filter(|_| leads_there).map(|index| (index, route.dest));
        match found.and_then(|key| Some((key, missing.remove(&key)?))) {
            Some((key, addr)) if hidden.contains_key(&route.dest) => drop(covered.insert(key, addr)),
            Some(_) => {}
            None if places.contains(&route.dest) && is_in_the_way(route, ns) => {
                hidden.entry(route.dest).or_insert(route.metric);
            }
            None => {}
        }
    }
    (covered, hidden)
}

/// Tells whether a route takes all packets from those that the kernel has made to the same place. Others by which the kernel
/// reaches the same subnet came first, and what the manifest asks for is asked for. What only says that the kernel has made it
/// is found out in a container, of which all addresses are known.
fn is_in_the_way(route: &RouteAnswer, ns: &NsReading) -> bool {
    // Nothing comes before what has the best.
    let is_before = match route.dest {
        IpNet::V4(_) => route.metric == 0,
        IpNet::V6(_) => (2..=PRIORITY).contains(&route.metric),
    };
    let came_with = |it: &AddressAnswer| Some(it.index) == route.index && it.addr.trunc() == route.dest;
    let is_made = || route.protocol != KERNEL || ns.ns == NsRef::Host || ns.addresses.iter().any(came_with);
    let is_kernels = KERNEL_ROUTES.contains(&route.protocol) && route.kind == UNICAST && is_made();
    route.table == MAIN_TABLE && is_before && !route.narrow && !is_kernels && route.protocol != PROTOCOL
}

/// Returns the routes that come with our addresses on our links.
fn made(ns: &NsReading, is_ours: &impl Fn(u32) -> bool) -> Made {
    let (mut made, mut with_ipv6) = (BTreeMap::new(), BTreeMap::<u32, IpNet>::new());
    let ours = ns.addresses.iter().filter(|it| it.protocol == PROTOCOL && is_ours(it.index));
    for address in ours {
        match address.addr {
            IpNet::V4(_) => {}
            IpNet::V6(_) => drop(with_ipv6.entry(address.index).or_insert(address.addr)),
        }
        // Without one of its own nothing answers for it. Those of IPv6 come a little later than their addresses
        // (`addrconf_dad_work()`), when nobody can tell them from lost ones.
        if address.addr.addr().is_ipv4() || !address.young {
            made.insert((address.index, IpNet::from(address.addr.addr())), address.addr);
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

/// Has packets take routes that came with an address; or leaves them as they were found. What others have put in their
/// place stays behind them.
pub(super) async fn restore(live: &Live, from: &Address, to: &Address) -> Outcome {
    let channel = channel(live, &to.ns)?;
    let index = found(channel, &to.link)?;
    for lost in from.lost.iter().filter(|lost| !to.lost.contains(lost)) {
        if lost.is_local() && lost.dest.addr().is_ipv6() {
            renew(channel, to.addr, index).await?;
            continue;
        }
        if lost.how == How::Covered {
            unmake(channel, message::connected_route(to.addr, lost, index)).await?;
        }
        // As the kernel does it: beside one of the same subnet by another link.
        let place = if lost.how == How::Gone { NLM_F_APPEND } else { 0 };
        make(channel, message::connected_route(to.addr, lost, index), NLM_F_CREATE | place).await?;
    }
    for lost in to.lost.iter().filter(|lost| !from.lost.contains(lost)) {
        unmake(channel, message::connected_route(to.addr, lost, index)).await?;
        if lost.how == How::Covered {
            let behind = Lost { dest: lost.dest, how: How::Gone };
            let route = message::connected_route(to.addr, &behind, index);
            make(channel, route, NLM_F_CREATE | NLM_F_APPEND).await?;
        }
    }
    Ok(())
}

/// Gives a link an address again. A route to itself that somebody else puts back the kernel does not know for its own, and
/// would leave behind (`ipv6_del_addr()`, `net/ipv6/addrconf.c`).
async fn renew(channel: &Channel, addr: IpNet, index: u32) -> Outcome {
    let old = RouteNetlinkMessage::DelAddress(message::address(addr, index));
    send_unless(channel, old, &[Errno::ADDRNOTAVAIL]).await?;
    send(channel, message::new_address(addr, index, PROTOCOL), NEW).await
}

async fn make(channel: &Channel, route: netlink_packet_route::route::RouteMessage, flags: u16) -> Outcome {
    match channel.request(RouteNetlinkMessage::NewRoute(route), flags).await {
        Err(refusal) if refusal.errno() == Some(Errno::EXIST) => Ok(()),
        answer => answer.map_err(Into::into),
    }
}

async fn unmake(channel: &Channel, route: netlink_packet_route::route::RouteMessage) -> Outcome {
    send_unless(channel, RouteNetlinkMessage::DelRoute(route), &[Errno::SRCH]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::answer;

    /// A route as the kernel makes it.
    fn route(index: u32, dest: &str) -> RouteAnswer {
        let dest: IpNet = dest.parse().unwrap();
        RouteAnswer {
            table: MAIN_TABLE,
            protocol: 2,
            kind: UNICAST,
            dest,
            via: None,
            index: Some(index),
            hops: vec![],
            metric: if dest.addr().is_ipv4() { 0 } else { PRIORITY },
            onlink: false,
            narrow: false,
            plain: false,
        }
    }

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
            young: false,
        };
        let local = addresses.iter().map(|(index, addr, ..)| {
            let addr = IpNet::from(addr.parse::<IpNet>().unwrap().addr());
            RouteAnswer { table: LOCAL_TABLE, kind: LOCAL, ..route(*index, &addr.to_string()) }
        });
        let routes = routes.iter().map(|(index, dest)| route(*index, dest));
        NsReading {
            links: [(2, 1), (3, 0), (4, 1)].map(link).into(),
            addresses: addresses.iter().map(address).collect(),
            routes: local.chain(routes).collect(),
            tables: Tables::All,
            ..NsReading::empty(NsRef::Host)
        }
    }

    fn said(ns: &NsReading) -> Vec<String> {
        let lost = lost(ns, |index| index < 4);
        let words = |lost: &[Lost]| lost.iter().map(Lost::to_string).collect::<Vec<_>>().join(", ");
        lost.iter().map(|((index, addr), lost)| format!("{index} {addr} [{}]", words(lost))).collect()
    }

    #[track_caller]
    fn check(addresses: &[(u32, &str, u8, bool)], routes: &[(u32, &str)], want: &[&str]) {
        assert_eq!(said(&ns(addresses, routes)), want, "{addresses:?} {routes:?}");
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
    fn what_others_put_before_such_a_route_covers_it() {
        #[track_caller]
        fn check(routes: Vec<RouteAnswer>, want: &[&str]) {
            let mut ns = ns(&[(2, "10.7.0.2/24", PROTOCOL, true), (2, "fd00::2/64", PROTOCOL, true)], &[]);
            ns.routes.extend(routes);
            assert_eq!(said(&ns), want);
        }
        let (v4, v6) = (|| route(2, "10.7.0.0/24"), || route(2, "fd00::/64"));
        let theirs = |route: RouteAnswer| RouteAnswer { index: Some(4), protocol: 3, ..route };
        let refused = |route: RouteAnswer| RouteAnswer { index: None, protocol: 3, kind: 7, ..route };
        let v4_gone = |how: &str| format!("2 10.7.0.2/24 [10.7.0.0/24{how}]");

        for other in [theirs(v4()), refused(v4())] {
            check(vec![v6(), other.clone()], &[&v4_gone(" replaced")]);
            check(vec![v6(), other.clone(), v4()], &[&v4_gone(" covered")]);
            check(vec![v6(), v4(), other], &[]);
        }
        check(vec![v4(), theirs(v6())], &["2 fd00::2/64 [fd00::/64 replaced]"]);
        check(vec![v4(), theirs(v6()), v6()], &["2 fd00::2/64 [fd00::/64 covered]"]);
        // In IPv6 a better one comes before it, and is come before, unless there is none better.
        let better = |metric| RouteAnswer { metric, ..theirs(v6()) };
        check(vec![v4(), better(100), v6()], &["2 fd00::2/64 [fd00::/64 preceded by 100]"]);
        check(vec![v4(), better(100)], &["2 fd00::2/64 [fd00::/64 preceded by 100]"]);
        check(vec![v4(), RouteAnswer { metric: 99, ..v6() }, better(100), v6()], &[]);
        check(vec![v4(), better(1), v6()], &[]);
        // What has another priority, is for some packets only, or is what the kernel or the manifest made, is nobody's fault.
        check(vec![v6(), RouteAnswer { metric: 50, ..theirs(v4()) }], &[&v4_gone("")]);
        check(vec![v6(), RouteAnswer { narrow: true, ..theirs(v4()) }, v4()], &[]);
        check(vec![v6(), RouteAnswer { protocol: 2, ..theirs(v4()) }, v4()], &[]);
        check(vec![v6(), RouteAnswer { protocol: PROTOCOL, ..theirs(v4()) }, v4()], &[]);

        // In a container nothing counts as the kernel's that came with no address.
        let mut ns = ns(&[(2, "10.7.0.2/24", PROTOCOL, true)], &[]);
        ns.ns = NsRef::Named("web".try_into().unwrap());
        ns.routes.extend([RouteAnswer { protocol: 2, ..theirs(v4()) }, v4()]);
        assert_eq!(said(&ns), [v4_gone(" covered")]);
        ns.addresses.push(AddressAnswer {
            index: 4,
            addr: "10.7.0.4/24".parse().unwrap(),
            protocol: 0,
            routed: true,
            young: false,
        });
        assert_eq!(said(&ns), [""; 0]);
    }

    #[test]
    fn an_address_without_a_route_to_itself_is_missed_unless_it_is_about_to_come() {
        let mut ns = ns(
            &[(2, "10.7.0.2/24", PROTOCOL, true), (2, "fd00::2/128", PROTOCOL, true)],
            &[(2, "10.7.0.0/24")],
        );
        ns.routes.retain(|route| route.table != LOCAL_TABLE);
        assert_eq!(said(&ns), ["2 10.7.0.2/24 [10.7.0.2/32]", "2 fd00::2/128 [fd00::2/128]"]);
        ns.addresses.iter_mut().for_each(|address| address.young = true);
        assert_eq!(said(&ns), ["2 10.7.0.2/24 [10.7.0.2/32]"]);
        ns.tables = Tables::Main;
        assert_eq!(said(&ns), [""; 0]);
    }

    #[test]
    fn nothing_is_missed_where_nobody_has_asked() {
        let unread = NsReading { tables: Tables::None, ..ns(&[(2, "10.7.0.2/24", PROTOCOL, true)], &[]) };
        assert_eq!(lost(&unread, |_| true), BTreeMap::new());
    }
}
