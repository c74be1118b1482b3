//! Networks that are a pair of links: who has its two ends.

use std::net::IpAddr;

use ipnet::IpNet;

use super::scene::{Net, Scene};
use super::subnet::Ground;
use super::{Container, Topology};
use crate::manifest::problem::Problem;
use crate::manifest::{Driver, OtherEnd};
use crate::names::IfName;

/// Returns the name of the pair's end on the host, when it is there.
pub(super) fn host_end<'a>(scene: &Scene<'a>, net: &Net<'_>) -> Option<&'a IfName> {
    match net.spec.driver {
        Driver::Veth(OtherEnd::Host) => {
            let (_, member) = scene.on(net).next()?;
            scene.facts.host_ends.get(member.container)?.get(net.name)
        }
        Driver::Bridge
        | Driver::Macvlan { .. }
        | Driver::Ipvlan { .. }
        | Driver::Physical
        | Driver::Veth(OtherEnd::Container)
        | Driver::OpenVswitch(_) => None,
    }
}

/// Checks that no more containers are on such a network than it has ends for.
pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for net in &scene.nets {
        let (most, who, help) = match net.spec.driver {
            Driver::Bridge
            | Driver::Macvlan { .. }
            | Driver::Ipvlan { .. }
            | Driver::OpenVswitch(_)
            | Driver::Physical => continue,
            Driver::Veth(OtherEnd::Container) => {
                (2, "two containers", "use `driver: bridge` for more than two")
            }
            Driver::Veth(OtherEnd::Host) => {
                (1, "the host and one container", "use `driver: bridge` for more than one container")
            }
        };
        if net.members.len() <= most {
            continue;
        }
        let mut labels: Vec<_> = scene
            .on(net)
            .enumerate()
            .map(|(at, (_, member))| {
                let word = if at < most { "has an end" } else { "is one too many" };
                (member.place, format!("`{}` {word}", member.container))
            })
            .collect();
        labels.sort_by_key(|(_, label)| !label.ends_with("too many"));
        labels.push((net.place, "this network".to_owned()));
        problems.push(Problem {
            message: format!("network `{}` is a pair of links: it joins {who}", net.name),
            code: "topology::pair_full",
            labels,
            help: Some(help.to_owned()),
        });
    }
}

/// Checks that the gateway between two containers is one of them: nobody else could be.
pub(super) fn check_gateways(
    scene: &Scene<'_>,
    grounds: &[Option<Vec<Ground<'_>>>],
    addresses: &[Vec<IpNet>],
    problems: &mut Vec<Problem>,
) {
    for (net, grounds) in scene.nets.iter().zip(grounds) {
        // Who comes later may have the address.
        if net.members.len() < 2 {
            continue;
        }
        let is_held = |gateway: IpAddr| {
            scene.on(net).any(|(index, _)| {
                addresses.get(index).into_iter().flatten().any(|address| address.addr() == gateway)
            })
        };
        for ground in grounds.iter().flatten().filter(|ground| ground.is_pair) {
            let Some(gateway) = ground.gateway.filter(|gateway| !is_held(*gateway)) else { continue };
            let mut labels = vec![(ground.place, format!("{gateway} is nobody's"))];
            labels.extend(scene.on(net).map(|(index, member)| {
                let held =
                    addresses.get(index).into_iter().flatten().find(|it| ground.cidr.contains(&it.addr()));
                let held = held.map_or_else(String::new, |held| format!(" has {}", held.addr()));
                (member.place, format!("`{}`{held}", member.container))
            }));
            problems.push(Problem {
                message: format!(
                    "the gateway {gateway} of network `{}` is neither of its containers",
                    net.name
                ),
                code: "topology::gateway_is_nobody",
                labels,
                help: Some("give one of them this address, or leave the gateway out".to_owned()),
            });
        }
    }
}

/// Returns a sentence for each pair that one container alone is to have.
pub(super) fn lonely(topology: &Topology) -> Vec<String> {
    let pairs = topology.networks.iter().filter(|network| match network.driver {
        super::Driver::Veth(OtherEnd::Container) => true,
        super::Driver::Bridge
        | super::Driver::Macvlan(_)
        | super::Driver::Ipvlan(..)
        | super::Driver::Physical
        | super::Driver::Veth(OtherEnd::Host)
        | super::Driver::OpenVswitch(_) => false,
    });
    let lonely = pairs.filter_map(|network| {
        let on_it = |container: &&Container| container.attachments.iter().any(|at| at.network == network.name);
        let mut members = topology.containers.iter().filter(on_it);
        let (first, second) = (members.next()?, members.next());
        second.is_none().then(|| {
            format!(
                "network `{}` joins two containers, and only `{}` is on it: nothing is made until a second one is",
                network.name, first.name
            )
        })
    });
    lonely.collect()
}
