//! Kernel parameters of the host as they were before netform changed them.

use crate::resource::state::{Desired, Entry, Observed};
use crate::topology::facts::Facts;

/// Asks for the forwarding switches as they were before netform changed them, once nobody can rely on them.
///
/// A host that goes on forwarding is open, one that stops is cut off: so only what is on record is set back, and only
/// when no other project and no container engine is there.
pub(super) fn restore(originals: &[Entry], desired: &mut Desired, observed: &Observed, facts: &Facts) {
    if !facts.subnets.is_empty() {
        return;
    }
    for entry in originals {
        let id = entry.resource.id();
        let live = observed.own.get(&id);
        if desired.0.get(&id).is_none() && live.is_some() {
            desired.0.insert(entry.clone());
        }
    }
}
