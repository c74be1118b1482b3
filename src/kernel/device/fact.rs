//! What planning needs to know of links that containers are to have for themselves. Nothing here asks the kernel.

use std::collections::BTreeMap;

use super::super::answer::LinkAnswer;
use super::super::message::MAIN_TABLE;
use super::super::observe::{self, UNICAST};
use super::super::reading::{NsReading, Other, Reading};
use super::super::whose;
use super::super::{Scope, maker};
use crate::names::{IfName, Mtu, NetnsName};
use crate::resource::device::Device;
use crate::topology::facts::DeviceFact;

/// The routes that come with addresses: `RTPROT_KERNEL`.
const WITH_ADDRESS: u8 = 2;

/// Kinds of links that the kernel moves nowhere: `netns_immutable` in Linux `include/linux/netdevice.h`.
const IMMOBILE: [&str; 3] = ["bridge", "bond", "team"];

/// Returns what is known of the links that are asked for, by their names on the host.
pub(in super::super) fn facts(reading: &Reading, scope: &Scope) -> BTreeMap<IfName, DeviceFact> {
    let known = |name: &IfName| {
        let fact = taken(reading, scope, name).or_else(|| on_host(reading, scope, name));
        Some((name.clone(), fact.or_else(|| elsewhere(reading, name))?))
    };
    scope.devices.iter().filter_map(known).collect()
}

/// Returns what one was before it was taken for this project, wherever it is.
fn taken(reading: &Reading, scope: &Scope, name: &IfName) -> Option<DeviceFact> {
    let device = all_taken(reading, scope).find(|device| device.name == *name)?;
    let before = device.before?;
    Some(DeviceFact { mtu: before.mtu, mac: before.mac, held: vec![], obstacle: None, is_uplink: false })
}

/// Returns what was taken for this project, wherever it is.
pub(super) fn all_taken(reading: &Reading, scope: &Scope) -> impl Iterator<Item = Device> {
    let all = reading.namespaces.iter().chain([&reading.host]);
    all.flat_map(move |ns| ns.links.iter().filter_map(move |link| whose::taken(link, &ns.ns, scope)))
}

fn on_host(reading: &Reading, scope: &Scope, name: &IfName) -> Option<DeviceFact> {
    let host = &reading.host;
    let link = host.links.iter().find(|link| link.name == name.as_str())?;
    let mut routes = host.routes.iter().filter(|route| {
        route.index == Some(link.index) && route.kind == UNICAST && route.protocol != WITH_ADDRESS
    });
    let is_uplink = routes.clone().any(|it| it.dest.prefix_len() == 0 && it.table == u32::from(MAIN_TABLE));
    let addresses = host.addresses.iter().filter(|address| address.index == link.index);
    let addresses = addresses.filter(|address| !observe::is_link_local(address.addr.addr()));
    let mut held: Vec<String> = addresses.map(|address| address.addr.to_string()).collect();
    held.extend(routes.by_ref().map(|route| format!("the route to {}", route.dest)));
    Some(DeviceFact {
        mtu: Mtu::try_from(link.mtu).unwrap_or(Mtu::ETHERNET),
        mac: link.mac,
        held,
        obstacle: obstacle(link, reading, scope),
        is_uplink,
    })
}

/// Returns why a link of the host cannot go into a container.
fn obstacle(link: &LinkAnswer, reading: &Reading, scope: &Scope) -> Option<String> {
    let host = &reading.host;
    if let Some(mark) = link.mark() {
        let whose = if mark.project == scope.project { "netform".to_owned() } else { maker::owner_of(&mark) };
        return Some(format!("is made by {whose} for {}", mark.owner));
    }
    if link.index == 1 || IMMOBILE.contains(&link.kind.as_str()) {
        let what =
            if link.index == 1 { "the loopback interface".to_owned() } else { format!("a {}", link.kind) };
        return Some(format!("is {what}, which the kernel moves nowhere"));
    }
    if let Some(master) = host.links.iter().find(|it| Some(it.index) == link.master) {
        return Some(format!("is a port of {} {}", master.kind, master.name));
    }
    let shared = host.routes.iter().find(|route| route.hops.contains(&link.index));
    if let Some(route) = shared {
        let dest = route.dest;
        return Some(format!("shares the route to {dest} with other links, which could not be given back"));
    }
    let stands = |it: &&LinkAnswer| it.peer == Some(link.index) && it.peer_ns.is_none() && it.kind != "veth";
    let upper = host.links.iter().find(stands).map(|upper| upper.name.to_string());
    let in_others = || reading.namespaces.iter().find_map(|ns| standing_in(ns, link.index));
    let named = || reading.others.iter().find_map(|(name, other)| standing_in_other(name, other, link.index));
    upper.or_else(in_others).or_else(named).map(|upper| format!("carries {upper}, which stands on it"))
}

fn standing_in(ns: &NsReading, index: u32) -> Option<String> {
    let upper = ns.links.iter().find(|it| ns.stands_on(it) == Some(index))?;
    Some(format!("{} in {}", upper.name, ns.ns))
}

fn standing_in_other(ns: &NetnsName, other: &Other, index: u32) -> Option<String> {
    match other {
        Other::Namespace(_, sharing, _) => {
            let (_, _, upper) = sharing.iter().find(|(parent, _, _)| *parent == index)?;
            Some(format!("{upper} in {ns}"))
        }
        Other::Stale | Other::Strange => None,
    }
}

/// Returns that another project has one.
fn elsewhere(reading: &Reading, name: &IfName) -> Option<DeviceFact> {
    let mut others = reading.others.iter().filter_map(|(ns, other)| match other {
        Other::Namespace(_, _, devices) => {
            let (project, _) = devices.iter().find(|(_, device)| device == name)?;
            Some(format!("is in {ns}, where project {project} has it"))
        }
        Other::Stale | Other::Strange => None,
    });
    let obstacle = Some(others.next()?);
    Some(DeviceFact { mtu: Mtu::ETHERNET, mac: None, held: vec![], obstacle, is_uplink: false })
}
