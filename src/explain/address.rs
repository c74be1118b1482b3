//! Addresses, subnets and MACs.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Finding, Kind, Scene, interface};
use crate::kernel::census::Interface;
use crate::names::Mac;

/// Returns who has an address, a subnet or a MAC.
pub(super) fn find(thing: &str, scene: &Scene) -> Vec<Finding> {
    if let Ok(mac) = Mac::try_from(thing.to_owned()) {
        return holders(scene, |link| link.mac == Some(mac))
            .map(|found| named(thing, found, scene))
            .collect();
    }
    let Some((addr, net)) = parse(thing) else { return vec![] };
    // Every namespace has the addresses of `lo`; whoever asks means the host's.
    let holds = |link: &Interface| link.addresses.iter().any(|held| held.addr() == addr);
    let exact: Vec<_> =
        holders(scene, holds).filter(|(place, link)| link.index != 1 || *place == 0).collect();
    if !exact.is_empty() {
        return exact.into_iter().map(|found| named(thing, found, scene)).collect();
    }
    let lies_in = |link: &Interface| subnet(link, addr, net).is_some();
    let around: Vec<_> = holders(scene, lies_in).collect();
    let at_home = around.iter().any(|(place, _)| *place == 0);
    let nearest = around.into_iter().filter(|(place, _)| !at_home || *place == 0);
    nearest.filter_map(|(place, link)| within(thing, (addr, net), (place, link), scene)).collect()
}

/// Tells whether a thing is an address, a subnet or a MAC.
pub(super) fn is_one(thing: &str) -> bool {
    parse(thing).is_some() || Mac::try_from(thing.to_owned()).is_ok()
}

fn parse(thing: &str) -> Option<(IpAddr, Option<IpNet>)> {
    let net = || thing.parse::<IpNet>().ok().map(|net| (net.addr(), Some(net)));
    thing.parse::<IpAddr>().ok().map(|addr| (addr, None)).or_else(net)
}

fn holders<'s>(
    scene: &'s Scene,
    is_one: impl Fn(&Interface) -> bool + 's,
) -> impl Iterator<Item = (usize, &'s Interface)> {
    scene.interfaces().filter(move |(_, _, link)| is_one(link)).map(|(place, _, link)| (place, link))
}

/// Returns what the interface is that has an address.
fn named(thing: &str, (place, link): (usize, &Interface), scene: &Scene) -> Finding {
    let holder = interface::finding(scene, place, link);
    let sentence = format!("{thing} is on {}", holder.sentence.replacen(" is ", ", ", 1));
    Finding { kind: Kind::Address, name: thing.to_owned(), sentence, ..holder }
}

/// Returns the subnet of an interface that an address, or a whole subnet, is in.
fn subnet(link: &Interface, addr: IpAddr, net: Option<IpNet>) -> Option<IpNet> {
    let subnets = link.addresses.iter().map(IpNet::trunc);
    let everybodys = |subnet: &IpNet| match subnet {
        IpNet::V4(_) => false,
        IpNet::V6(subnet) => subnet.addr().is_unicast_link_local(),
    };
    subnets.filter(|subnet| subnet.prefix_len() > 0 && !everybodys(subnet)).find(|subnet| match net {
        Some(net) if net.trunc() == net => subnet.contains(&net),
        Some(_) | None => subnet.contains(&addr),
    })
}

/// Returns what an address is that nobody has, by the subnet that it is in.
fn within(
    thing: &str,
    (addr, net): (IpAddr, Option<IpNet>),
    (place, link): (usize, &Interface),
    scene: &Scene,
) -> Option<Finding> {
    let subnet = subnet(link, addr, net)?;
    let holder = interface::finding(scene, place, link);
    let begin = if net == Some(subnet) {
        format!("{thing} is the subnet of")
    } else if net.is_some_and(|net| net.trunc() == net && net.prefix_len() < net.max_prefix_len()) {
        format!("{thing} is a part of the subnet {subnet} of")
    } else if addr == subnet.broadcast() && addr.is_ipv4() && !addr.is_loopback() {
        format!("{thing} is the broadcast address of the subnet {subnet} of")
    } else if addr == subnet.network() {
        format!("{thing} is the address of the subnet {subnet} itself, that of")
    } else {
        format!("{thing} is on no interface that can be seen from here, but in the subnet {subnet} of")
    };
    let sentence = format!("{begin} {}", holder.sentence.replacen(" is ", ", ", 1));
    Some(Finding { kind: Kind::Address, name: thing.to_owned(), sentence, ..holder })
}
