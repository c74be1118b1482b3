//! What the sets of the firewall take, and in which order a transaction fills them.

use crate::kernel::{FailureKind, Op, OpError};
use crate::resource::nft::NftElement;
use crate::resource::nft_key::{Covered, covered, meet};
use crate::resource::nft_set::{self, Lookup, Part};
use crate::resource::state::State;
use crate::resource::{Resource, ResourceId};

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

/// Returns the place of an operation in the one nft transaction of its wave; `None` when it is not nft's.
pub(super) fn transaction_rank(op: &Op) -> Option<u8> {
    let (table, element) = match op.id() {
        ResourceId::NftTable(_) => (true, false),
        ResourceId::NftElement(..) | ResourceId::Passage(..) => (false, true),
        ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::Sysctl(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => (false, false),
    };
    match op {
        Op::Create(_) | Op::Update { .. } => table.then_some(0).or(element.then_some(2)),
        Op::Delete(_) => element.then_some(1).or(table.then_some(3)),
    }
}
