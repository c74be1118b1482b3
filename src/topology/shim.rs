//! The host beside the containers that are behind a link of its own: a link like theirs, with an address.

use std::net::IpAddr;

use super::prefix::usable;
use super::scene::{Net, Scene};
use super::subnet::Ground;
use super::{prefix, strangers, text};
use crate::manifest::problem::Problem;
use crate::manifest::{At, Driver};
use crate::names::IfName;
use crate::resource::link::{IpvlanFlag, MacvlanMode};

/// By what the host reaches the containers behind a link of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shim {
    /// Its link.
    pub link: IfName,
    /// Its addresses, at most one for each subnet.
    pub addresses: Vec<IpAddr>,
}

/// Checks that the host can have the addresses that the manifest gives it, and can reach anybody from there.
pub(super) fn check(scene: &Scene<'_>, grounds: &[Option<Vec<Ground<'_>>>], problems: &mut Vec<Problem>) {
    for (net, grounds) in scene.nets.iter().zip(grounds) {
        let Some(grounds) = grounds else { continue };
        let mut taken: Vec<(usize, &At<IpAddr>)> = vec![];
        for at in &net.spec.host {
            problems.extend(apart(net, at));
            let place = grounds.iter().position(|ground| ground.cidr.contains(&at.value));
            let Some((index, ground)) = place.and_then(|index| Some((index, grounds.get(index)?))) else {
                problems.push(outside(net, at, grounds));
                continue;
            };
            let refusal = unusable(scene, net, at, ground);
            problems.extend(refusal.or_else(|| strangers::refusal_of_host(scene.facts, net, at)));
            match taken.iter().find(|(other, _)| *other == index) {
                Some((_, first)) => problems.push(twice(net, at, first)),
                None => taken.push((index, at)),
            }
        }
    }
}

/// Where containers do not hear each other, they do not hear the host either.
fn apart(net: &Net<'_>, at: &At<IpAddr>) -> Option<Problem> {
    let (how, parent) = match &net.spec.driver {
        Driver::Macvlan { parent, mode } if *mode != MacvlanMode::Bridge => (format!("mode {mode}"), parent),
        Driver::Ipvlan { parent, flag, mode: _ } if *flag != IpvlanFlag::Bridge => {
            (format!("flag {flag}"), parent)
        }
        Driver::Bridge
        | Driver::Macvlan { .. }
        | Driver::Ipvlan { .. }
        | Driver::Veth(_)
        | Driver::Physical
        | Driver::OpenVswitch(_) => return None,
    };
    Some(Problem {
        message: format!("the host cannot reach the containers of network `{}` with {how}", net.name),
        code: "topology::host_apart",
        labels: vec![
            (at.place, "nobody would hear it".to_owned()),
            (parent.place, format!("its containers do not hear each other: {how}")),
        ],
        help: Some("leave `host_address` out, or use bridge for both".to_owned()),
    })
}

fn outside(net: &Net<'_>, at: &At<IpAddr>, grounds: &[Ground<'_>]) -> Problem {
    let cidrs: Vec<_> = grounds.iter().map(|ground| ground.cidr).collect();
    let mut labels = vec![(at.place, "the host's".to_owned())];
    labels.extend(grounds.iter().map(|ground| (ground.place, format!("{} here", ground.cidr))));
    Problem {
        message: format!("host address {} is outside every subnet of network `{}`", at.value, net.name),
        code: "topology::host_address_outside",
        labels,
        help: Some(format!("use an address of {}", text::list(&cidrs))),
    }
}

fn unusable(scene: &Scene<'_>, net: &Net<'_>, at: &At<IpAddr>, ground: &Ground<'_>) -> Option<Problem> {
    let (low, high) = usable(ground.cidr);
    let addr = at.value;
    let reserved = ground.reserve.iter().find(|(_, reserved)| reserved.value == addr);
    let (why, other) = if ground.gateway == Some(addr) {
        ("is the gateway".to_owned(), (ground.place, "the subnet with its gateway".to_owned()))
    } else if !(low..=high).contains(&prefix::number(addr)) {
        ("is one that no host has".to_owned(), (ground.place, format!("subnet {}", ground.cidr)))
    } else if ground.held.contains(&addr) {
        let parent = net.spec.driver.parent()?;
        let link = scene.facts.addresses.get(&addr).unwrap_or(&parent.value);
        (format!("is that of `{link}` already"), (parent.place, format!("`{link}` has it beside the parent")))
    } else if let Some((name, reserved)) = reserved {
        (format!("is reserved for `{name}`"), (reserved.place, "reserved here".to_owned()))
    } else {
        return None;
    };
    Some(Problem {
        message: format!("host address {addr} of network `{}` {why}", net.name),
        code: "topology::host_address_taken",
        labels: vec![(at.place, "the host is to have it".to_owned()), other],
        help: Some("use an address that nobody has; no container will get it".to_owned()),
    })
}

fn twice(net: &Net<'_>, at: &At<IpAddr>, first: &At<IpAddr>) -> Problem {
    Problem {
        message: format!("the host has two addresses in one subnet of network `{}`", net.name),
        code: "topology::host_address_twice",
        labels: vec![(at.place, "a second one".to_owned()), (first.place, "the first one".to_owned())],
        help: Some("keep one for each subnet".to_owned()),
    }
}
