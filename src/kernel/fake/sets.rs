//! What the sets of the firewall take.

use crate::kernel::{FailureKind, OpError};
use crate::resource::Resource;
use crate::resource::nft::NftElement;
use crate::resource::nft_key::{Covered, covered, meet};
use crate::resource::nft_set::{self, Lookup, Part};
use crate::resource::state::State;

/// Refuses an element that overlaps another one in a set of intervals, as far as policies are concerned.
pub(super) fn fits(resource: &Resource, there: &State) -> Result<(), OpError> {
    let Some((element, key)) = interval(resource) else { return Ok(()) };
    let of_set = |other: &NftElement| (&other.table, &other.set) == (&element.table, &element.set);
    let others = there.iter().filter_map(|(_, entry)| interval(&entry.resource));
    match others.filter(|(other, _)| of_set(other)).find(|(_, other)| meet(other, &key)) {
        Some((other, _)) => Err(refused(format!("{}: File exists: {:?}", resource.id(), other.key))),
        None => Ok(()),
    }
}

/// Returns an element of a set of intervals that policies fill, with what it covers.
fn interval(resource: &Resource) -> Option<(&NftElement, Covered)> {
    let element = resource.element()?;
    let set = nft_set::find(element.table.family, &element.set)?;
    let is_one = set.part == Part::Policies && set.lookup == Lookup::Interval;
    is_one.then(|| covered(&element.key)).flatten().map(|key| (element, key))
}

/// Returns what the kernel says when it refuses.
pub(super) fn refused(message: impl Into<String>) -> OpError {
    OpError { kind: FailureKind::Other, message: message.into() }
}
