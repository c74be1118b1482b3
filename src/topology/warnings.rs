//! What the user should know of a manifest that is right.

use super::facts::Facts;
use super::{Topology, barriers, called, device, external, limits, proxy, silent, subnet, vlans, vswitch};

impl Topology {
    /// Returns what the host and others make of it that its author may not expect, in sentences.
    pub fn warnings(&self, facts: &Facts) -> Vec<String> {
        let (limits, subnets) = (limits::warnings(self, &facts.limits), subnet::warnings(self, facts));
        let (barriers, silent) = (barriers::warnings(self, facts), silent::warnings(self, facts));
        let (external, devices) = (external::warnings(self, facts), device::warnings(self, facts));
        let (vlans, switches) = (vlans::warnings(self), vswitch::warnings(self));
        let joined = self.kept_from(facts);
        let (proxies, policies) = (proxy::warnings(self, facts), self.policies.warnings.clone());
        [
            self.notes.clone(),
            called::warnings(self),
            limits,
            barriers,
            silent,
            subnets,
            external,
            joined,
            devices,
            vlans,
            switches,
            proxies,
            policies,
        ]
        .concat()
    }

    /// Returns those of them that are so on whichever host.
    pub fn warnings_anywhere(&self) -> Vec<String> {
        let policies = self.policies.warnings.clone();
        [self.notes.clone(), called::warnings(self), vlans::warnings(self), vswitch::warnings(self), policies]
            .concat()
    }
}
