//! Networks on Open vSwitch: which VLANs their ports carry, and the bridges of others.

use super::facts::LinkFact;
use super::scene::{Net, Scene};
use super::{Attachment, Network, Topology};
use crate::manifest::problem::Problem;
use crate::manifest::{At, Driver, SwitchedPort};
use crate::resource::vswitch::SwitchPort;

/// Returns the bridge of somebody else that a network is on, when it is there.
pub(super) fn external<'a>(scene: &Scene<'a>, net: &Net<'_>) -> Option<&'a LinkFact> {
    let bridges = match net.spec.driver {
        Driver::OpenVswitch(_) => &scene.facts.vswitches,
        Driver::Bridge
        | Driver::Macvlan { .. }
        | Driver::Ipvlan { .. }
        | Driver::Veth(_)
        | Driver::Physical => &scene.facts.bridges,
    };
    bridges.get(&net.spec.external.as_ref()?.value)
}

/// Returns what a port on a network carries.
pub(super) fn switched(network: &Network, port: Option<&At<SwitchedPort>>) -> Option<SwitchPort> {
    match network.driver {
        super::Driver::OpenVswitch(_) => {
            let SwitchedPort { vlan, trunks } = port.map(|at| at.value.clone()).unwrap_or_default();
            Some(SwitchPort { vlan, trunks, intact: true })
        }
        super::Driver::Bridge
        | super::Driver::Macvlan(_)
        | super::Driver::Ipvlan(..)
        | super::Driver::Veth(_)
        | super::Driver::Physical => None,
    }
}

/// Checks that only ports of Open vSwitch are in VLANs.
pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for member in &scene.members {
        let (Some(port), Some(net)) = (&member.spec.port, scene.net(member)) else { continue };
        match net.spec.driver {
            Driver::OpenVswitch(_) => continue,
            Driver::Bridge
            | Driver::Macvlan { .. }
            | Driver::Ipvlan { .. }
            | Driver::Veth(_)
            | Driver::Physical => {}
        }
        let key = if port.value.vlan.is_some() { "vlan" } else { "trunks" };
        problems.push(Problem {
            message: format!(
                "`{}` cannot have `{key}` on network `{}`: it is not on Open vSwitch",
                member.container, net.name
            ),
            code: "topology::vlan_without_switch",
            labels: vec![
                (port.place, "a port of Open vSwitch has VLANs".to_owned()),
                (net.place, "this network".to_owned()),
            ],
            help: Some(format!("leave `{key}` out, or write `driver: openvswitch`")),
        });
    }
}

/// Returns a sentence for each network with containers that do not reach its gateway, which is in no VLAN.
pub(super) fn warnings(topology: &Topology) -> Vec<String> {
    let has_gateway =
        |network: &&Network| !network.external && network.subnets.iter().any(|it| it.gateway.is_some());
    let told = topology.networks.iter().filter(has_gateway).filter_map(|network| {
        let is_tagged = |attachment: &Attachment| {
            let port = attachment.switched.as_ref().filter(|_| attachment.network == network.name);
            port.is_some_and(|port| port.vlan.is_some() || !port.trunks.is_empty())
        };
        let tagged = topology.containers.iter().filter(|it| it.attachments.iter().any(is_tagged));
        let names: Vec<&str> = tagged.map(|container| container.name.as_str()).collect();
        let shown = names.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let more = names.len().saturating_sub(5);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        (!names.is_empty()).then(|| {
            format!(
                "on network `{}`, the host is in no VLAN, and {shown}{more} in one: they reach those in the same VLAN, \
                 neither the host nor what is behind it, and no port published to them leads there",
                network.name
            )
        })
    });
    let is_guarded = |network: &&Network| {
        matches!(network.driver, super::Driver::OpenVswitch(_))
            && topology.policies.guarded.contains(&network.name)
    };
    let guarded = topology.networks.iter().filter(is_guarded).map(|network| {
        format!(
            "on network `{}` of Open vSwitch nobody makes containers send with their own addresses only: who takes \
             another one's gets round policies about single containers",
            network.name
        )
    });
    told.chain(guarded).collect()
}
