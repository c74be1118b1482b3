//! Networks on Open vSwitch: which VLANs their ports carry; and existing bridges, be they of Open vSwitch or the kernel's.

use super::facts::LinkFact;
use super::scene::{Net, Scene};
use super::{Network, Topology};
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
            let SwitchedPort { vlan, trunks, trunks_at: _ } =
                port.map(|at| at.value.clone()).unwrap_or_default();
            Some(SwitchPort { vlan, trunks, intact: true })
        }
        super::Driver::Bridge
        | super::Driver::Macvlan(_)
        | super::Driver::Ipvlan(..)
        | super::Driver::Veth(_)
        | super::Driver::Physical => None,
    }
}

/// Returns a sentence for each network that policies are about and that nobody guards.
pub(super) fn warnings(topology: &Topology) -> Vec<String> {
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
    guarded.collect()
}
