//! What a user would type to mend what nobody asks to be otherwise: namespaces, and what links do not speak.

use std::net::IpAddr;

use ipnet::IpNet;

use super::equivalent::{In, state};
use crate::names::{IfName, Mac};
use crate::resource::address::{Address, How, Lost, link_local_of};
use crate::resource::amiss::Silence;
use crate::resource::file::{MODE, TextFile};
use crate::resource::link::Link;
use crate::resource::netns::{Lack, Netns, NsRef, Table};
use crate::resource::sysctl::Family;

/// Returns what gives a namespace what it lacks.
pub(super) fn namespace(from: &Netns, to: &Netns) -> Vec<String> {
    let ip = format!("ip -n {}", to.name);
    let up = (from.lo != to.lo).then(|| format!("{ip} link set lo {}", state(to.lo)));
    // The kernel itself gives it to what comes up.
    let verb = if to.loopback { "replace" } else { "del" };
    let address =
        (from.loopback != to.loopback).then(|| format!("{ip} addr {verb} 127.0.0.1/8 dev lo scope host"));
    let given = from.lacks.iter().filter(|lack| !to.lacks.contains(lack)).map(|lack| lacking(lack, to, true));
    let taken =
        to.lacks.iter().filter(|lack| !from.lacks.contains(lack)).map(|lack| lacking(lack, to, false));
    up.into_iter().chain(address).chain(given).chain(taken).collect()
}

/// Returns what gives a namespace what the kernel gives every one, or takes it away.
fn lacking(lack: &Lack, ns: &Netns, there: bool) -> String {
    let name = &ns.name;
    match lack {
        Lack::Ipv6 => {
            format!("ip netns exec {name} sysctl -w net/ipv6/conf/lo/disable_ipv6={}", u8::from(!there))
        }
        Lack::Loopback6 => {
            let (verb, how) = if there { ("replace", " scope host noprefixroute") } else { ("del", "") };
            format!("ip -n {name} addr {verb} ::1/128 dev lo{how}")
        }
        Lack::Rule(family, table) => rule(name.as_str(), (*family, *table), there),
    }
}

fn rule(ns: &str, (family, table): (Family, Table), there: bool) -> String {
    let (_, priority) = table.numbers();
    let family = match family {
        Family::Ipv4 => "",
        Family::Ipv6 => " -6",
    };
    let (verb, made) = if there { ("add", " protocol kernel") } else { ("del", "") };
    format!("ip -n {ns}{family} rule {verb} pref {priority} table {}{made}", table.name())
}

/// Returns what has a link and its other end speak again.
pub(super) fn link(from: &Link, to: &Link) -> Vec<String> {
    let mut lines = bridging(from, to);
    lines.extend(speaking((&to.ns, &to.name), &from.amiss.silent, &to.amiss.silent));
    if let Some(peer) = to.kind.peer() {
        lines.extend(speaking((&peer.ns, &peer.name), &from.amiss.peer_silent, &to.amiss.peer_silent));
    }
    lines
}

/// Returns what has a bridge remember who is where, and who listens to what.
fn bridging(from: &Link, to: &Link) -> Vec<String> {
    let (time, snoops) = (to.amiss.ageing_time(), to.amiss.mcast_snooping());
    let time = (time != from.amiss.ageing_time()).then(|| format!("ageing_time {time}"));
    let snoops =
        (snoops != from.amiss.mcast_snooping()).then(|| format!("mcast_snooping {}", u8::from(snoops)));
    let line = |what| format!("{} link set {} type bridge {what}", In("ip", &to.ns), to.name);
    time.into_iter().chain(snoops).map(line).collect()
}

fn speaking((ns, link): (&NsRef, &IfName), from: &[Silence], to: &[Silence]) -> Vec<String> {
    let changed = [Silence::Arp, Silence::Ipv6, Silence::Forwarding].into_iter();
    let changed = changed.filter(|silence| from.contains(silence) != to.contains(silence));
    let line = |silence: Silence| match (silence, !to.contains(&silence)) {
        (Silence::Arp, on) => {
            format!("{} link set {link} arp {}", In("ip", ns), if on { "on" } else { "off" })
        }
        (Silence::Ipv6, on) => {
            format!("{} -w net/ipv6/conf/{link}/disable_ipv6={}", In("sysctl", ns), u8::from(!on))
        }
        (Silence::Forwarding, on) => {
            format!("{} -w net/ipv4/conf/{link}/forwarding={}", In("sysctl", ns), u8::from(on))
        }
    };
    changed.map(line).collect()
}

/// Returns what makes routes again that came with an address, as the kernel does: beside those of the same subnet by other links.
pub(super) fn connected(from: &Address, to: &Address) -> Vec<String> {
    let ip = In("ip", &to.ns);
    let route = |verb: &str, lost: &Lost| {
        let (what, how) = match (to.addr.addr(), lost.how) {
            (IpAddr::V4(addr), _) if lost.is_local() => {
                (format!("local {addr}"), format!("scope host src {addr} table local"))
            }
            (IpAddr::V4(addr), _) => (lost.dest.to_string(), format!("scope link src {addr}")),
            (IpAddr::V6(_), How::Gone) => (lost.dest.to_string(), "metric 256".to_owned()),
            (IpAddr::V6(_), How::Replaced | How::Covered) => (lost.dest.to_string(), "metric 255".to_owned()),
            (IpAddr::V6(_), How::Preceded(by)) => (lost.dest.to_string(), format!("metric {}", by - 1)),
        };
        format!("{ip} route {verb} {what} dev {} proto kernel {how}", to.link)
    };
    let back = from.lost.iter().filter(|lost| !to.lost.contains(lost));
    let lines = back.flat_map(|lost| match (lost.how, to.addr) {
        // The kernel makes it with the address.
        (_, IpNet::V6(addr)) if lost.is_local() => {
            let link = &to.link;
            vec![format!("{ip} addr del {addr} dev {link}"), format!("{ip} addr add {addr} dev {link} nodad")]
        }
        (How::Preceded(_), _) => vec![route("append", lost)],
        (How::Gone, _) => vec![route("append", lost)],
        (How::Replaced, _) | (How::Covered, IpNet::V6(_)) => vec![route("prepend", lost)],
        (How::Covered, IpNet::V4(_)) => vec![route("del", lost), route("prepend", lost)],
    });
    lines.collect()
}

/// Returns what has a link's own address follow its link-layer address, as far as it has the one that is made of the former.
pub(super) fn link_local((ns, link): (&NsRef, &IfName), [old, new]: [Mac; 2]) -> Option<String> {
    let (ip, [old, becomes]) = (In("ip", ns), [old, new].map(link_local_of));
    (old != becomes).then(|| {
        format!("{ip} addr add {becomes} dev {link}; {ip} addr del {old} dev {link}  # where it has {old}")
    })
}

/// Returns what opens a file to all.
pub(super) fn mode(to: &TextFile) -> String {
    let mode = to.mode.map_or_else(|| MODE.1.to_owned(), |mode| format!("{mode:o}"));
    format!("chmod {mode} {}", to.path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_links_own_address_is_told_where_it_follows() {
        let (ns, link) = (NsRef::Named("web".try_into().unwrap()), IfName::try_from("eth0").unwrap());
        let macs = [Mac([2, 0x42, 0, 0, 0, 1]), Mac([2, 0x42, 0, 0, 0, 2])];
        assert_eq!(
            link_local((&ns, &link), macs).unwrap(),
            "ip -n web addr add fe80::42:ff:fe00:2/64 dev eth0; ip -n web addr del fe80::42:ff:fe00:1/64 dev eth0  # where it \
             has fe80::42:ff:fe00:1/64"
        );
        assert_eq!(link_local((&ns, &link), [macs[0]; 2]), None);
    }
}
