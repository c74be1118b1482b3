//! What is remembered of a topology, so that addresses and subnets stay.

use super::facts::{Leases, Segment};
use super::{Container, Network, Topology, existing};
use crate::names::NetName;

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
        segments: topology.networks.iter().filter_map(|network| segment(topology, network)).collect(),
    };
    existing::held_meanwhile(topology, before, &mut leases);
    leases
}

/// Returns where a network is on the host.
fn segment(topology: &Topology, network: &Network) -> Option<(NetName, Segment)> {
    let link = network.on_host()?.clone();
    let host = network.shim.iter().flat_map(|shim| shim.addresses.iter().copied()).collect();
    // Mostly nobody is in a VLAN, and a network has one link whatever its containers are.
    let in_vlans = topology.containers.iter().flat_map(|container| {
        let on = container.attachments.iter().filter(|attachment| attachment.network == network.name);
        on.filter_map(|attachment| Some((container.name.clone(), attachment.carries().0?)))
    });
    let vlans = if network.may_have_vlans() { in_vlans.collect() } else { [].into() };
    Some((network.name.clone(), Segment { link, host, vlans }))
}
