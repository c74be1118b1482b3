//! What Docker's firewall has to let pass, so that packets of ours arrive (`coexist: {docker: true}`).
//!
//! What comes to a network of ours passes whole: our own firewall judges it. What leaves one passes only where it leaves the
//! host: behind other bridges and pairs are containers of Docker and of others, which their firewalls keep to themselves.

use super::facts::Facts;
use super::{Network, Topology};
use crate::names::{IfName, NetName};
use crate::resource::passage::Passage;
use crate::resource::sysctl::Family;

/// Returns the rules that let packets of the networks pass, each with its network.
pub(super) fn passages(networks: &[Network], facts: &Facts) -> Vec<(NetName, Passage)> {
    let of = |network: &Network| {
        let families = families(network).filter(|family| facts.docker_user.contains(family));
        let all = families.flat_map(|family| of_network(network, family, facts));
        all.map(|passage| (network.name.clone(), passage)).collect::<Vec<_>>()
    };
    networks.iter().filter(|network| network.is_judged()).flat_map(of).collect()
}

/// Tells whether packets of a network pass Docker's firewall, as far as its chain is there.
pub(super) fn passes(topology: &Topology, network: &Network) -> bool {
    topology.passages.iter().any(|(name, _)| *name == network.name)
}

fn families(network: &Network) -> impl Iterator<Item = Family> {
    let has =
        |family: &Family| network.subnets.iter().any(|subnet| Family::of(subnet.cidr.addr()) == *family);
    [Family::Ipv4, Family::Ipv6].into_iter().filter(has)
}

fn of_network(network: &Network, family: Family, facts: &Facts) -> Vec<Passage> {
    let bridge = &network.interface;
    let passage = |from: Option<&IfName>, to: Option<&IfName>| Passage {
        family,
        from: from.cloned(),
        to: to.cloned(),
        intact: true,
    };
    // Packets from one container to the other pass it, too, where frames of bridges are shown to it.
    if network.internal {
        return vec![passage(Some(bridge), Some(bridge))];
    }
    let leaving = facts.outside.iter().map(|link| passage(Some(bridge), Some(link)));
    leaving.chain([passage(None, Some(bridge))]).collect()
}
