//! What has to be looked at.

use std::collections::BTreeSet;

use crate::kernel::Scope;
use crate::manifest::Manifest;
use crate::resource::ResourceId;
use crate::resource::netns::NsRef;
use crate::resource::state::{Observed, State};
use crate::resource::sysctl::SysctlKey;

/// Adds what has to be looked at because a state names it.
pub(super) fn widen(scope: &mut Scope, state: &State) {
    state.iter().for_each(|(id, _)| scope.add(id));
}

/// Tells whether a kernel parameter matters that was not looked at, of a link that is there.
pub(super) fn must_look_again(
    before: &BTreeSet<(NsRef, SysctlKey)>,
    scope: &Scope,
    observed: &Observed,
) -> bool {
    scope.sysctls.difference(before).any(|(ns, key)| match key {
        SysctlKey::Ipv4Forward | SysctlKey::Ipv6Forward => true,
        SysctlKey::PerLink { family: _, link, name: _ } => {
            observed.own.get(&ResourceId::Link(ns.clone(), link.clone())).is_some()
        }
    })
}

/// Returns the namespaces of others that a manifest names.
pub(super) fn given_namespaces(manifest: &Manifest) -> BTreeSet<NsRef> {
    let given = manifest.containers.values().filter_map(|container| container.value.netns.as_ref());
    given.map(|ns| ns.value.clone()).collect()
}
