//! Namespaces of others that drift is about: when one is made anew, what was in it is gone, and nobody took it away.

use std::collections::BTreeMap;

use crate::kernel::netns::{self, Identity};
use crate::plan::Drift;
use crate::resource::ResourceId;
use crate::resource::netns::NsRef;
use crate::resource::state::State;

/// Returns the namespace of somebody else that each object that drifted is in, or leads into, as it is now.
pub(super) fn of(drift: &[Drift], desired: &State) -> BTreeMap<ResourceId, Identity> {
    let mut homes = BTreeMap::new();
    for object in drift.iter().map(|drift| &drift.object) {
        if homes.contains_key(object) {
            continue;
        }
        let link = desired.get(object).and_then(|entry| entry.resource.link());
        let far = link.into_iter().flat_map(|link| link.namespaces().cloned());
        let theirs = far.chain([object.ns()]).find(|ns| is_of_others(ns, desired));
        let identity = theirs.and_then(|ns| netns::identity(&ns).ok());
        homes.extend(identity.map(|identity| (object.clone(), identity)));
    }
    homes
}

fn is_of_others(ns: &NsRef, desired: &State) -> bool {
    match ns {
        NsRef::Host => false,
        NsRef::Named(name) => desired.get(&ResourceId::Netns(name.clone())).is_none(),
        NsRef::Path(_) | NsRef::Process(_) => true,
    }
}
