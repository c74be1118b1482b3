//! What a plan leaves as it is, for those who want to see all of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Plan;
use crate::resource::ResourceId;
use crate::resource::owner::{Origin, Owner};
use crate::resource::state::Desired;

/// What stays as it is of a resource: all of it, or the objects that its change leaves alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its address.
    pub owner: Owner,
    /// Where the manifest declares it.
    pub origin: Option<Origin>,
    /// The kernel objects.
    pub objects: Vec<ResourceId>,
}

/// Returns what is desired and stays as it is, in the order of addresses; of a part, what the part is about.
pub fn standing(plan: &Plan, desired: &Desired) -> Vec<Standing> {
    let changed: BTreeSet<&ResourceId> =
        plan.changes.iter().flat_map(|change| &change.objects).map(|object| &object.id).collect();
    let part = plan.extra.part.as_ref();
    let mut standing = BTreeMap::<&Owner, Standing>::new();
    for (id, entry) in desired.0.iter() {
        let owner = &entry.owner;
        if changed.contains(id) || part.is_some_and(|part| !part.chosen.contains(owner)) {
            continue;
        }
        let empty = || Standing { owner: owner.clone(), origin: entry.origin.clone(), objects: vec![] };
        standing.entry(owner).or_insert_with(empty).objects.push(id.clone());
    }
    standing.into_values().collect()
}
