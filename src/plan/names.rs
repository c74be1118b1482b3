//! Links that pass their further names on to each other: two networks swap the names of their bridges.

use foldhash::HashMap;

use super::diff::{Act, Step};
use crate::resource::netns::NsRef;
use crate::resource::state::Entry;

/// A further name in a namespace.
type Name<'a> = (NsRef, &'a str);

/// Has links made anew that would take a further name from another one, or leave theirs to one. In place each would wait
/// for the other; and a bridge that becomes another network's would have ports of both for a moment.
pub(super) fn part(steps: &mut [Step<'_>]) {
    for at in passed_on(steps) {
        if let Some(step) = steps.get_mut(at) {
            step.act = Act::Replace("it changes names with another link".to_owned());
        }
    }
}

/// Returns the places of links that would change such a name in place.
fn passed_on(steps: &[Step<'_>]) -> Vec<usize> {
    let renamed = |step: &Step<'_>| matches!(step.act, Act::Update) && left(step).is_some();
    if !steps.iter().any(renamed) {
        return vec![];
    }
    let before = by_name(steps, |step| step.before.as_deref());
    let after = by_name(steps, |step| step.after.as_deref());
    let is_passed_on = |at: usize, step: &Step<'_>| {
        let from = name(step.after.as_deref()).and_then(|name| before.get(&name));
        let to = left(step).and_then(|name| after.get(&name));
        [from, to].into_iter().flatten().any(|other| *other != at)
    };
    let steps = steps.iter().enumerate();
    steps.filter(|(at, step)| renamed(step) && is_passed_on(*at, step)).map(|(at, _)| at).collect()
}

fn by_name<'s>(
    steps: &'s [Step<'_>],
    side: impl Fn(&'s Step<'_>) -> Option<&'s Entry>,
) -> HashMap<Name<'s>, usize> {
    let named = |(at, step): (usize, &'s Step<'_>)| Some((name(side(step))?, at));
    steps.iter().enumerate().filter_map(named).collect()
}

/// Returns the further name that a link has before, and not after.
fn left<'s>(step: &'s Step<'_>) -> Option<Name<'s>> {
    let (before, after) = (name(step.before.as_deref()), name(step.after.as_deref()));
    before.filter(|before| Some(before) != after.as_ref())
}

fn name(entry: Option<&Entry>) -> Option<Name<'_>> {
    let link = entry?.resource.link()?;
    Some((link.ns.clone(), link.altname.as_deref()?))
}
