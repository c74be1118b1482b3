//! Parents of networks that lead to nobody, and links that networks wait for: what can be made is made all the same, and told.

use super::facts::{Facts, Silent};
use super::{Network, Topology, existing};

/// Returns the sentence that says that no answer comes back by the uplink.
fn unheard(topology: &Topology, facts: &Facts) -> Option<String> {
    let link = facts.deaf.as_ref()?;
    let leads_out = |network: &Network| network.is_judged() && !network.internal;
    topology.networks.iter().any(leads_out).then(|| {
        format!(
            "the host forwards no IPv4 that comes by `{link}`, where its default route leaves: no answer comes back to \
             containers, and nobody reaches their ports; `sysctl -w net/ipv4/conf/{link}/forwarding=1`"
        )
    })
}

/// Returns a sentence for each network behind a link that leads to nobody at the moment, or is not there.
pub fn warnings(topology: &Topology, facts: &Facts) -> Vec<String> {
    let behind = topology.networks.iter().filter(|network| network.waits || !network.driver.has_host());
    let told = behind.filter_map(|network| {
        let (name, interface) = (&network.name, &network.interface);
        if network.waits && network.external {
            return Some(existing::sentence(network, facts));
        }
        if network.waits {
            return Some(format!(
                "there is no link `{interface}`: network `{name}` waits for it, with all that is on it"
            ));
        }
        let parent = network.vlan.as_ref().map_or(interface, |(vlan, _)| &vlan.parent);
        let why = match facts.silent.get(parent)? {
            Silent::Down => format!("`{parent}` is down (`ip link set {parent} up`)"),
            Silent::NoCarrier => format!("`{parent}` has no carrier"),
        };
        Some(format!("{why}: until that changes, nobody behind it hears of network `{name}`"))
    });
    let told = told.chain(unheard(topology, facts));
    told.chain(existing::warnings(topology)).chain(existing::unreached(topology, facts)).collect()
}
