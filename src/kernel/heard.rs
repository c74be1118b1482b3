//! What the kernel's events are about. Nothing here asks the kernel.
//!
//! Source: `include/uapi/linux/{rtnetlink,if_link,if_addr,netconf}.h`, and for the firewall
//! `include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h`.

use netlink_packet_core::NetlinkBuffer;

use super::answer::{attributes, u32_at};
use super::connected::{LOCAL, PRIORITY};
use super::events::Notice;
use super::message::MAIN_TABLE;
use super::moved::{Parts, Whole};
use super::netlink::text;
use super::nft::passages;
use super::observe::UNICAST;
use super::redirect;
use crate::names::IfName;
use crate::resource::route::PROTOCOL;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
/// `RTM_NEWQDISC`, `_DELQDISC`, `_NEWTFILTER` and `_DELTFILTER`.
const QDISCS: [u16; 4] = [36, 37, 44, 45];
/// `RTM_NEWRULE` and `RTM_DELRULE`, of `include/uapi/linux/fib_rules.h`.
const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const RTM_NEWNETCONF: u16 = 80;
const RTM_DELNETCONF: u16 = 81;

/// `NFT_MSG_DELTABLE`, `_DELCHAIN` and `_DELRULE` of `NFNL_SUBSYS_NFTABLES`.
const REMOVALS: [u16; 3] = [0xa02, 0xa05, 0xa08];

/// Another route has taken the place of this one: `NLM_F_REPLACE`, `include/uapi/linux/netlink.h`.
const NLM_F_REPLACE: u16 = 0x100;

/// `RTPROT_KERNEL`, `include/uapi/linux/rtnetlink.h`.
const KERNEL: u8 = 2;

/// What is told of a link as a port of a bridge: `AF_BRIDGE`, `include/linux/socket.h`.
const AF_BRIDGE: u8 = 7;

/// Returns where something of ours may have changed, as a datagram from the namespace of this number says; `None` is the
/// host.
pub(super) fn network(datagram: &[u8], number: Option<i32>) -> Parts {
    let mut parts = Parts::default();
    each(datagram, |kind, flags, body| match number {
        // Nothing of ours limits anything in there.
        Some(_) if QDISCS.contains(&kind) || kind == RTM_NEWRULE => {}
        // The host's rules are its own.
        None if [RTM_NEWRULE, RTM_DELRULE].contains(&kind) => {}
        Some(number) if concerns(kind, flags, body) => drop(parts.numbers.insert(number)),
        None if leads_out(kind, body) => parts.whole.extend([Whole::Routes, Whole::Uplinks]),
        None if concerns(kind, flags, body) => host(&mut parts, kind, body),
        Some(_) | None => {}
    });
    parts
}

/// Calls `see` with the type, the flags and the body of every message of a datagram.
fn each(mut datagram: &[u8], mut see: impl FnMut(u16, u16, &[u8])) {
    while let Ok(message) = NetlinkBuffer::new_checked(datagram) {
        see(message.message_type(), message.flags(), message.payload());
        let length = (message.length() as usize).next_multiple_of(4);
        datagram = datagram.get(length..).unwrap_or_default();
    }
}

/// Tells whether a message may be about something of ours. A host that speaks BGP changes routes all day, so others'
/// routes do not count, unless they replace one, or go and were the kernel's own: those that it makes with addresses. The protocol
/// is the sixth byte of `struct rtmsg`.
fn concerns(kind: u16, flags: u16, body: &[u8]) -> bool {
    let ours = body.get(5) == Some(&PROTOCOL);
    match kind {
        RTM_NEWROUTE => ours || flags & NLM_F_REPLACE != 0 || comes_before(body),
        RTM_DELROUTE => ours || is_connected(body),
        _ => true,
    }
}

/// Tells whether a route is one that the kernel makes with an address: `rtm_table`, `rtm_protocol` and `rtm_type`.
fn is_connected(body: &[u8]) -> bool {
    /// `RT_TABLE_LOCAL`.
    const LOCAL_TABLE: u8 = 255;
    matches!(body, [2, 32, _, _, LOCAL_TABLE, KERNEL, _, LOCAL, ..])
        || (matches!(body, [10, 128, _, _, LOCAL_TABLE, KERNEL, _, LOCAL, ..]) && !is_link_local(body))
        || matches!(body, [_, _, _, _, MAIN_TABLE, KERNEL, _, UNICAST, ..])
}

/// Tells whether a route leads to a link-local address: those come and go with links, of which the kernel tells, too.
fn is_link_local(body: &[u8]) -> bool {
    /// `RTA_DST`.
    const DESTINATION: u16 = 1;
    attribute(body, 12, DESTINATION, |dest| dest.starts_with(&[0xfe, 0x80]).then_some(())).is_some()
}

/// Tells whether a new route may come before one that the kernel has made to a subnet: it has no next hop, as nearly all
/// routes have that are told by others, and no priority, or in IPv6 none that is worse.
fn comes_before(body: &[u8]) -> bool {
    /// `RTA_GATEWAY`, `_MULTIPATH` and `_VIA`, `include/uapi/linux/rtnetlink.h`.
    const ELSEWHERE: [u16; 3] = [5, 9, 18];
    /// `RTA_PRIORITY`.
    const RANK: u16 = 6;
    let best = match body {
        [2, length, _, _, MAIN_TABLE, protocol, ..] if (1..32).contains(length) && *protocol != KERNEL => 0,
        [10, length, _, _, MAIN_TABLE, protocol, ..] if (1..128).contains(length) && *protocol != KERNEL => {
            PRIORITY
        }
        _ => return false,
    };
    !attributes(body.get(12..).unwrap_or_default()).any(|(kind, value)| {
        ELSEWHERE.contains(&kind) || (kind == RANK && u32_at(value, 0).is_none_or(|rank| rank > best))
    })
}

/// Tells whether a message is about a new default route in the main table: what is on the uplink moves there. One that goes
/// moves nothing before another one comes. `rtm_dst_len` and `rtm_table` in `struct rtmsg`.
fn leads_out(kind: u16, body: &[u8]) -> bool {
    kind == RTM_NEWROUTE && body.get(1) == Some(&0) && body.get(4) == Some(&MAIN_TABLE)
}

/// Adds what a message of the host is about.
fn host(parts: &mut Parts, kind: u16, body: &[u8]) {
    // `ifi_index` in `struct ifinfomsg`, `ifa_index` in `struct ifaddrmsg`.
    let index = body.get(4..).and_then(|rest| rest.first_chunk()).map(|index| u32::from_ne_bytes(*index));
    match kind {
        RTM_NEWLINK | RTM_DELLINK => {
            parts.indexes.extend(index);
            parts.ends.extend(index.filter(|_| kind == RTM_DELLINK && body.first() != Some(&AF_BRIDGE)));
            // A link that is renamed may have taken a name that is known.
            const IFLA_IFNAME: u16 = 3;
            let name = |name: &[u8]| IfName::try_from(text(name).as_str()).ok();
            parts.links.extend(attribute(body, 16, IFLA_IFNAME, name));
        }
        RTM_NEWADDR | RTM_DELADDR => parts.indexes.extend(index),
        // `tcm_ifindex` in `struct tcmsg` is in the same place.
        kind if QDISCS.contains(&kind) => parts.indexes.extend(index),
        RTM_NEWROUTE | RTM_DELROUTE => drop(parts.whole.insert(Whole::Routes)),
        // Forwarding is told of each link when it changes for all, and what stands on a link has nothing to do with it.
        RTM_NEWNETCONF | RTM_DELNETCONF => drop(parts.whole.insert(Whole::Parameters)),
        _ => drop(parts.whole.insert(Whole::Host)),
    }
}

/// Returns the number of the link of the host whose forwarding of IPv4 a datagram tells of, alone or with all: a negative one is
/// that of all of them (`NETCONFA_IFINDEX_ALL`), and then each is told of, too (`inet_forward_change()`, `net/ipv4/devinet.c`).
pub(super) fn forwarding(datagram: &[u8]) -> Option<i32> {
    const AF_INET: u8 = 2;
    const NETCONFA_IFINDEX: u16 = 1;
    const NETCONFA_FORWARDING: u16 = 2;
    let mut link = None;
    each(datagram, |kind, _, body| {
        let is_told = || attribute(body, 4, NETCONFA_FORWARDING, |value| u32_at(value, 0)).is_some();
        if kind == RTM_NEWNETCONF && body.first() == Some(&AF_INET) && is_told() {
            link = attribute(body, 4, NETCONFA_IFINDEX, |value| u32_at(value, 0)).map(u32::cast_signed);
        }
    });
    link
}

/// Returns what `read` makes of the attribute of a kind behind a header.
fn attribute<T>(body: &[u8], header: usize, kind: u16, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    attributes(body.get(header..)?).find(|(other, _)| *other == kind).and_then(|(_, value)| read(value))
}

/// Returns what a datagram of nftables means to us, from the namespace of this number.
pub(super) fn firewall(datagram: &[u8], number: Option<i32>, table: &str) -> Option<Notice> {
    let mut notice = None;
    each(datagram, |kind, _, body| {
        // A container's redirection that comes is one that we make ourselves.
        if REMOVALS.contains(&kind) && concerns_table(body, redirect::NAME) {
            notice = Some(Notice::Redirect);
        } else if notice.is_none()
            && number.is_none()
            && (concerns_table(body, table) || concerns_docker_user(kind, body))
        {
            notice = Some(Notice::Firewall);
        }
    });
    notice
}

/// Tells whether a message is about the chain that Docker leaves to the rules of users, or the table that it is in. Docker
/// changes other chains of that table whenever a container comes or goes.
fn concerns_docker_user(kind: u16, body: &[u8]) -> bool {
    // `NFT_MSG_NEWCHAIN`, `_DELCHAIN`, `_NEWRULE`, `_DELRULE`, `_DELTABLE`; `NFTA_CHAIN_NAME`, `NFTA_RULE_CHAIN`.
    let name = match kind {
        0xa03 | 0xa05 => 3,
        0xa06 | 0xa08 => 2,
        0xa02 => return concerns_table(body, passages::TABLE),
        _ => return false,
    };
    concerns_table(body, passages::TABLE)
        && attribute(body, 4, name, |chain| (text(chain) == passages::CHAIN).then_some(())).is_some()
}

/// Tells whether a message is about a table. Behind the four bytes of `struct nfgenmsg` come attributes, and the first
/// kind is the table's name in every message that has one: `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE` and so on.
fn concerns_table(body: &[u8], table: &str) -> bool {
    attributes(body.get(4..).unwrap_or_default()).any(|(kind, name)| kind == 1 && text(name) == table)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as it is sent.
    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.resize(16, 0);
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    /// A route by way of 10.0.0.1.
    fn route(protocol: u8) -> [u8; 20] {
        [2, 24, 0, 0, 254, protocol, 0, 1, 0, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0, 1]
    }

    #[test]
    fn a_route_of_others_counts_that_may_come_before_one_that_came_with_an_address() {
        let direct = |bytes: &[u8]| [&route(3)[..12], bytes].concat();
        assert!(concerns(RTM_NEWROUTE, 0, &direct(&[])));
        assert!(!concerns(RTM_NEWROUTE, 0, &direct(&[8, 0, 6, 0, 50, 0, 0, 0])), "of another priority");
        let local = [2, 32, 0, 0, 255, 2, 254, 2, 0, 0, 0, 0];
        assert!(concerns(RTM_DELROUTE, 0, &local), "what an address answers by");
        let local6 = |first: [u8; 2]| {
            let dest = [20, 0, 1, 0, first[0], first[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            [[10, 128, 0, 0, 255, 2, 0, 2, 0, 0, 0, 0].as_slice(), &dest].concat()
        };
        assert!(concerns(RTM_DELROUTE, 0, &local6([0xfd, 0])));
        assert!(!concerns(RTM_DELROUTE, 0, &local6([0xfe, 0x80])), "it goes with its link");
        let direct6 = |rank: u8| {
            [[10, 64, 0, 0, 254, 3, 0, 7, 0, 0, 0, 0].as_slice(), &[8, 0, 6, 0, rank, 4, 0, 0]].concat()
        };
        assert!(!concerns(RTM_NEWROUTE, 0, &direct6(0)), "1024 is worse");
        let mut better = direct6(100);
        better[17] = 0;
        assert!(concerns(RTM_NEWROUTE, 0, &better));
        let broadcast = [2, 32, 0, 0, 255, 2, 253, 3, 0, 0, 0, 0];
        assert!(!concerns(RTM_DELROUTE, 0, &broadcast));
    }

    /// A message about link 7, called `br-front`.
    fn link(kind: u16, family: u8) -> Vec<u8> {
        let mut body = vec![family, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, 0, 3, 0];
        body.extend(b"br-front\0\0\0\0");
        message(kind, &body)
    }

    #[test]
    fn routes_of_others_do_not_count() {
        assert!(concerns(RTM_DELROUTE, 0, &route(PROTOCOL)));
        assert!(!concerns(RTM_DELROUTE, 0, &route(186)));
        assert!(concerns(RTM_DELROUTE, 0, &route(2)), "one that came with an address");
        assert!(!concerns(RTM_NEWROUTE, 0, &route(2)));
        assert!(!concerns(RTM_NEWROUTE, 0, &route(186)));
        assert!(concerns(RTM_NEWROUTE, NLM_F_REPLACE, &route(186)));
        assert_eq!(network(&message(RTM_NEWROUTE, &route(186)), Some(3)), Parts::default());
        assert_eq!(network(&message(RTM_NEWROUTE, &route(PROTOCOL)), None), Parts::whole(Whole::Routes));
    }

    #[test]
    fn a_new_default_route_of_the_host_counts_whoever_makes_it() {
        let route = |length, table| {
            let mut body = route(4);
            (body[1], body[4]) = (length, table);
            message(RTM_NEWROUTE, &body)
        };
        let told = Parts { whole: [Whole::Routes, Whole::Uplinks].into(), ..Parts::default() };
        assert_eq!(network(&route(0, 254), None), told);
        assert_eq!(network(&route(0, 100), None), Parts::default());
        assert_eq!(network(&route(24, 254), None), Parts::default());
        assert_eq!(network(&route(0, 254), Some(3)), Parts::default());
    }

    #[test]
    fn a_message_says_which_link_of_the_host_or_which_namespace_it_is_about() {
        let name = IfName::try_from("br-front").unwrap();
        let changed = Parts { links: [name].into(), indexes: [7].into(), ..Parts::default() };
        assert_eq!(network(&link(RTM_NEWLINK, 0), None), changed);
        assert_eq!(network(&link(RTM_DELLINK, AF_BRIDGE), None), changed, "a port that was let go of");
        assert_eq!(network(&link(RTM_DELLINK, 0), None), Parts { ends: [7].into(), ..changed.clone() });
        let inside = Parts { numbers: [3].into(), ..Parts::default() };
        assert_eq!(network(&link(RTM_DELLINK, 0), Some(3)), inside);

        let address = message(RTM_DELADDR, &[2, 24, 0, 0, 7, 0, 0, 0]);
        assert_eq!(network(&address, None), Parts { indexes: [7].into(), ..Parts::default() });
        let both = [message(RTM_DELROUTE, &route(PROTOCOL)), link(RTM_NEWLINK, 0)].concat();
        assert_eq!(network(&both, None), Parts { whole: [Whole::Routes].into(), ..changed });
    }

    #[test]
    fn a_parameter_of_a_link_is_no_change_of_the_link() {
        for index in [7_i32, -1] {
            let mut body = vec![2, 0, 0, 0, 8, 0, 1, 0];
            body.extend(index.to_ne_bytes());
            assert_eq!(network(&message(RTM_NEWNETCONF, &body), None), Parts::whole(Whole::Parameters));
        }
    }

    #[test]
    fn tables_of_others_do_not_count() {
        let about = |table: &[u8]| {
            let mut body = vec![1, 0, 0, 0];
            body.extend((table.len() as u16 + 4).to_ne_bytes());
            body.extend(1_u16.to_ne_bytes());
            body.extend(table);
            body.resize(body.len().next_multiple_of(4), 0);
            body
        };
        assert!(concerns_table(&about(b"netform-shop\0"), "netform-shop"));
        assert!(!concerns_table(&about(b"filter\0"), "netform-shop"));
        assert!(!concerns_table(&[], "netform-shop"));

        let notice = |kind, table, number| firewall(&message(kind, &about(table)), number, "netform-shop");
        assert_eq!(notice(0xa00, b"netform-shop\0", None), Some(Notice::Firewall));
        assert_eq!(notice(0xa00, b"netform-shop\0", Some(3)), None, "somebody's own, in a container");
        assert_eq!(notice(0xa00, b"netform-dns\0", Some(3)), None, "we made it ourselves");
        assert_eq!(notice(0xa02, b"netform-dns\0", Some(3)), Some(Notice::Redirect));
    }
}
