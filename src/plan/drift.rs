//! What moved in the kernel since the last apply.

use foldhash::HashSet;

use super::agree::agrees;
use super::diff::{Diff, Row};
use super::field::{tells, value};
use super::{Drift, Moved, Winner};
use crate::resource::state::Entry;
use crate::resource::{Bond, ResourceId, Slot};

/// Returns everything of ours that moved, each once.
pub(super) fn drift(diff: &Diff<'_>) -> Vec<Drift> {
    let gone = |row: &&Row<'_>| row.applied.is_some() && row.observed.is_none();
    let lost: HashSet<Slot> = diff
        .rows
        .iter()
        .filter(gone)
        .filter_map(|row| row.applied)
        .flat_map(|entry| entry.resource.provides())
        .collect();
    let mut drift: Vec<Drift> = diff.rows.iter().flat_map(|row| moved(row, &lost)).collect();
    drift.sort_by(|a, b| (&a.owner, &a.object).cmp(&(&b.owner, &b.object)));
    drift
}

fn moved(row: &Row<'_>, lost: &HashSet<Slot>) -> Vec<Drift> {
    let (Some(applied), Some(owner)) = (row.applied, row.owner()) else { return vec![] };
    let item = |moved, winner| Drift { owner: owner.clone(), object: row.id.clone(), moved, winner };
    let Some(live) = row.observed else {
        // What went with something else is told by that.
        let needs = applied.resource.requires();
        let implied = needs.iter().any(|need| need.bond == Bond::Dies && lost.contains(&need.slot));
        if implied || matches!(row.id, ResourceId::Sysctl(..)) {
            return vec![];
        }
        let winner = if row.desired.is_some() { Winner::Manifest } else { Winner::Agreed };
        return vec![item(Moved::Deleted, winner)];
    };
    // What is ignored has moved nevertheless, and is said to be left alone.
    if applied.ignore.is_empty() && agrees(applied, &live.resource) {
        return vec![];
    }
    let (before, now) = (applied.resource.fields(), live.resource.fields());
    let wanted = row.desired.map(|entry| entry.resource.fields());
    let only_now = now.iter().filter(|(name, _)| !tells(&before, name));
    let names: Vec<&'static str> = before.iter().chain(only_now).map(|(name, _)| *name).collect();
    // What is something else altogether differs in everything.
    let is_another = value(&before, "kind") != value(&now, "kind");
    let names = names.into_iter().filter(|name| !is_another || *name == "kind");
    let mut drift = vec![];
    for name in names {
        let (last_applied, live) = (value(&before, name), value(&now, name));
        // A MAC that was left to the kernel has not moved.
        if last_applied == live || (name == "mac" && last_applied.is_none()) {
            continue;
        }
        let winner = match (&wanted, row.desired) {
            (Some(wanted), Some(entry)) => winner(entry, name, value(wanted, name) == live),
            (None, _) | (_, None) => Winner::Removed,
        };
        drift.push(item(Moved::Changed { field: name.to_owned(), last_applied, live }, winner));
    }
    drift
}

fn winner(desired: &Entry, name: &str, agreed: bool) -> Winner {
    let plain = name.strip_prefix("peer ").unwrap_or(name);
    let ignored = desired.ignore.iter().any(|field| field == name || field == plain);
    match (agreed, ignored) {
        (true, _) => Winner::Agreed,
        (false, true) => Winner::Ignored,
        (false, false) => Winner::Manifest,
    }
}
