//! Elements of interval sets that cannot be there at the same time.
//!
//! What holds packets back comes in the first transaction and goes in the last one, and an interval set takes no two
//! elements that overlap. So what is in the way of a new element goes when that comes. What it held back beyond that is let
//! through by the new state, too: else another new element would hold it back.

use foldhash::HashMap;
use smol_str::SmolStr;

use super::diff::{Act, Step};
use crate::resource::nft::{NftElement, NftTableId, Stance};
use crate::resource::nft_key::{Covered, covered, meet};
use crate::resource::nft_set::{self, Lookup};
use crate::resource::state::Entry;

/// The elements that come to interval sets and hold packets back.
#[derive(Debug, Default)]
pub(super) struct Coming<'s>(HashMap<(&'s NftTableId, &'s SmolStr), Vec<Covered>>);

impl<'s> Coming<'s> {
    /// Collects them, from the sets that something goes from.
    pub(super) fn of(steps: &'s [Step<'_>]) -> Self {
        let mut coming = Self::default();
        for element in
            steps.iter().filter(|step| goes(step)).filter_map(|it| holds_back(it.before.as_deref()))
        {
            coming.0.entry((&element.table, &element.set)).or_default();
        }
        if coming.0.is_empty() {
            return coming;
        }
        let come = |step: &&Step<'_>| match step.act {
            Act::Create | Act::Restore(_) | Act::Replace(_) => true,
            Act::Update | Act::Reattach(_) | Act::Delete | Act::GoesWith(_) | Act::Carry => false,
        };
        for element in steps.iter().filter(come).filter_map(|step| holds_back(step.after.as_deref())) {
            if let (Some(all), Some(key)) =
                (coming.0.get_mut(&(&element.table, &element.set)), covered(&element.key))
            {
                all.push(key);
            }
        }
        coming
    }

    /// Tells whether an element goes, and cannot stay until the end.
    pub(super) fn is_in_the_way_of(&self, step: &Step<'_>) -> bool {
        let Some(element) = holds_back(step.before.as_deref()).filter(|_| goes(step)) else { return false };
        let Some(all) = self.0.get(&(&element.table, &element.set)).filter(|all| !all.is_empty()) else {
            return false;
        };
        let Some(own) = covered(&element.key) else { return false };
        all.iter().any(|other| meet(&own, other))
    }
}

fn goes(step: &Step<'_>) -> bool {
    match step.act {
        Act::Delete | Act::Carry => true,
        Act::Create
        | Act::Update
        | Act::Reattach(_)
        | Act::Replace(_)
        | Act::GoesWith(_)
        | Act::Restore(_) => false,
    }
}

/// Returns an element of an interval set that holds packets back.
fn holds_back(entry: Option<&Entry>) -> Option<&NftElement> {
    let element = entry?.resource.element()?;
    let set = nft_set::find(element.table.family, &element.set)?;
    (element.stance == Stance::Restricts && set.lookup == Lookup::Interval).then_some(element)
}
