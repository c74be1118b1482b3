//! What is remembered of a topology, so that addresses and subnets stay.

use super::facts::Leases;
use super::{Container, Topology, existing};

/// Returns who holds which address and which network which subnets, to be saved after an apply.
///
/// Given subnets and static addresses are among them: whoever takes them out of the manifest keeps them, as long as they
/// are free and in a pool. Whoever waits for a bridge keeps what he had: `before`.
pub fn leases(topology: &Topology, before: &Leases) -> Leases {
    let own = topology.networks.iter().filter(|network| !network.external);
    let subnets =
        own.map(|network| (network.name.clone(), network.subnets.iter().map(|subnet| subnet.cidr).collect()));
    let held = |container: &Container| {
        let attachments = container.attachments.iter().map(|attachment| {
            (attachment.network.clone(), attachment.addresses.iter().map(|net| net.addr()).collect())
        });
        (container.name.clone(), attachments.collect())
    };
    let run = |container: &Container| Some((container.name.clone(), container.run.clone()?));
    let behind = topology.networks.iter().filter(|network| !network.driver.has_host());
    let mut leases = Leases {
        subnets: subnets.collect(),
        addresses: topology.containers.iter().map(held).collect(),
        parents: behind.filter_map(|network| network.on_host().cloned()).collect(),
        runs: topology.containers.iter().filter_map(run).collect(),
    };
    existing::held_meanwhile(topology, before, &mut leases);
    leases
}
