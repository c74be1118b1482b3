//! What a plan shows that no state holds.

use crate::plan::Extra;
use crate::resource::netns::NsRef;
use crate::resource::state::{Desired, Observed};
use crate::resource::sysctl::SysctlKey;
use crate::resource::{Resource, ResourceId};
use crate::topology::facts::Facts;
use crate::topology::{Runtime, Topology};

/// Returns who waits, whether there is anything at all, and what becomes of the host.
pub(super) fn extra(
    topology: Option<&Topology>,
    desired: &Desired,
    observed: &Observed,
    facts: &Facts,
) -> Extra {
    let uplinks = facts.devices.iter().filter(|(_, fact)| fact.is_uplink);
    let waiting = topology.into_iter().flat_map(|topology| &topology.containers);
    let waiting = waiting.filter(|container| container.runtime == Runtime::Waiting);
    Extra {
        waiting: waiting.map(|container| (container.name.clone(), Some(container.origin.clone()))).collect(),
        warnings: forwarding(desired, observed),
        manifest_empty: topology.is_some_and(|it| it.networks.is_empty() && it.containers.is_empty()),
        uplinks: uplinks.map(|(name, _)| name.clone()).collect(),
        part: None,
    }
}

/// Says that the host becomes a router.
fn forwarding(desired: &Desired, observed: &Observed) -> Vec<String> {
    let mut warnings = vec![];
    for (id, entry) in desired.0.iter() {
        if let (
            ResourceId::Sysctl(NsRef::Host, SysctlKey::Ipv4Forward | SysctlKey::Ipv6Forward),
            Resource::Sysctl(to),
        ) = (id, &entry.resource)
        {
            let live = observed.own.get(id).map(|entry| &entry.resource);
            if to.value == "1" && live.is_some_and(|live| *live != entry.resource) {
                let key = &to.key;
                warnings.push(format!(
                    "{key} becomes 1: this host will forward packets between all its interfaces"
                ));
            }
        }
    }
    warnings
}
