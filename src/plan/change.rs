//! What the steps mean to a user: one change for each resource.

use std::collections::BTreeSet;

use foldhash::HashMap;

use super::agree::agrees;
use super::diff::{Act, Diff, Row, Step};
use super::release::{self, Spot};
use super::target::Part;
use super::{Action, Cause, Change, Fate, Object, field, interruption};
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::resource::{Resource, ResourceId};

/// How many resources there are.
pub(super) struct Tally {
    pub(super) unchanged: usize,
    pub(super) existing: usize,
}

/// What the states say of one resource.
#[derive(Default)]
struct Presence {
    live: bool,
    wanted: bool,
    main_live: bool,
    main_wanted: bool,
    /// `prevent_destroy`, as the manifest says, or else as it said when the resource was still in it.
    protected_by_manifest: bool,
    protected_before: bool,
}

/// Returns what happens to each resource.
pub(super) fn changes(diff: &Diff<'_>, part: Option<&Part>) -> (Vec<Change>, Tally) {
    let presence = presences(&diff.rows);
    let mut grouped = HashMap::<&Owner, Vec<&Step<'_>>>::default();
    let owners = StepOwners::new(diff);
    for step in &diff.steps {
        if let Some(owner) = owners.of(step) {
            grouped.entry(owner).or_default().push(step);
        }
    }
    let nothing = Presence::default();
    let mut ports = None;
    let mut changes = Vec::with_capacity(grouped.len());
    let mut sorted: Vec<_> = grouped.iter().collect();
    sorted.sort_unstable_by_key(|(owner, _)| **owner);
    for (owner, steps) in sorted {
        let mut change = change(owner, steps, presence.get(owner).unwrap_or(&nothing));
        change.interrupts = interruption::interruptions(owner, steps, || {
            std::rc::Rc::clone(
                ports.get_or_insert_with(|| std::rc::Rc::new(interruption::attachments(&diff.rows))),
            )
        });
        changes.push(change);
    }
    let existing = presence.values().filter(|presence| presence.live).count();
    let known = presence.iter().filter(|(_, presence)| presence.live || presence.wanted);
    // Nothing is known of what is left out.
    let known = known.filter(|(owner, _)| part.is_none_or(|part| part.chosen.contains(*owner)));
    let unchanged = known.filter(|(owner, _)| !grouped.contains_key(*owner)).count();
    (changes, Tally { unchanged, existing })
}

/// Which resource a step is told under.
struct StepOwners<'a> {
    by_id: HashMap<&'a ResourceId, &'a Owner>,
    /// Whose links are, where something is given back to one.
    by_place: HashMap<Spot, &'a Owner>,
}

impl<'a> StepOwners<'a> {
    /// Looks up only those who take others along.
    fn new(diff: &'a Diff<'_>) -> Self {
        let killers: BTreeSet<&ResourceId> = diff.steps.iter().filter_map(killer).collect();
        let killers = diff.steps.iter().filter(|step| killers.contains(step.id));
        let by_id = killers.filter_map(|step| own(step).map(|owner| (step.id, owner))).collect();
        let mut by_place = HashMap::default();
        if diff.steps.iter().any(|step| given_back(step).is_some()) {
            let links = diff.rows.iter().filter_map(|row| row.observed).filter(|it| !it.owner.is_unmarked());
            let places = links
                .flat_map(|link| release::places([link].into_iter()).into_iter().map(|at| (at, &link.owner)));
            by_place = places.collect();
        }
        Self { by_id, by_place }
    }

    /// What is only restored belongs to whoever took it along; otherwise a new table would change every port.
    fn of(&self, step: &'a Step<'_>) -> Option<&'a Owner> {
        let same = step.before.as_deref().map(|entry| &entry.resource)
            == step.after.as_deref().map(|entry| &entry.resource);
        match killer(step) {
            Some(killer) if same => self.by_id.get(killer).copied(),
            Some(_) | None => {
                let link = given_back(step).and_then(|at| self.by_place.get(&at).copied());
                link.or_else(|| own(step))
            }
        }
    }
}

/// Returns where something is given back that bears nobody's mark: nothing but the link there says whose that was.
fn given_back(step: &Step<'_>) -> Option<Spot> {
    let after = step.after.as_deref().filter(|entry| step.before.is_none() && entry.owner.is_unmarked())?;
    release::place(&after.resource)
}

fn own<'s>(step: &'s Step<'_>) -> Option<&'s Owner> {
    // What is given up is told of whoever has it still.
    let after = step.after.as_deref();
    let marked = after.filter(|entry| !entry.owner.is_unmarked());
    marked.or(step.applied).or(step.before.as_deref()).or(after).map(|entry| &entry.owner)
}

fn killer<'a>(step: &Step<'a>) -> Option<&'a ResourceId> {
    match step.act {
        Act::GoesWith(killer) | Act::Restore(killer) | Act::Reattach(killer) => Some(killer),
        Act::Create | Act::Update | Act::Replace(_) | Act::Delete | Act::Carry => None,
    }
}

fn presences<'a>(rows: &[Row<'a>]) -> HashMap<&'a Owner, Presence> {
    let mut presences = HashMap::<&'a Owner, Presence>::default();
    for row in rows {
        // What is given back is told of the link that it is on.
        let Some(owner) = row.owner().filter(|it| row.observed.is_some() || !it.is_unmarked()) else {
            continue;
        };
        let presence = presences.entry(owner).or_default();
        let main = is_main(owner, row.id);
        // A kernel parameter is always there, ours or not.
        let live = row.observed.is_some() && !matches!(row.id, ResourceId::Sysctl(..));
        presence.live |= live;
        presence.wanted |= row.desired.is_some();
        presence.main_live |= main && row.observed.is_some();
        presence.main_wanted |= main && row.desired.is_some();
        let protected = |entry: Option<&Entry>| matches!(entry, Some(Entry { resource: Resource::Link(link), .. }) if link.protected);
        presence.protected_by_manifest |= protected(row.desired);
        presence.protected_before |= protected(row.observed) || protected(row.applied);
    }
    presences
}

/// Tells whether the object is what the resource is above all: a network is its bridge.
fn is_main(owner: &Owner, id: &ResourceId) -> bool {
    match owner {
        Owner::Project => matches!(id, ResourceId::NftTable(_)),
        Owner::Network(_) | Owner::Attachment { .. } => matches!(id, ResourceId::Link(..)),
        Owner::Container(_) => matches!(id, ResourceId::Netns(_)),
        Owner::Port(_) | Owner::Policy(_) | Owner::External(_) => matches!(id, ResourceId::NftElement(..)),
        Owner::Unmarked(_) => true,
    }
}

fn change(owner: &Owner, steps: &[&Step<'_>], presence: &Presence) -> Change {
    let main =
        steps.iter().filter(|step| is_main(owner, step.id) && step.after.is_some() && step.before.is_some());
    let reason =
        main.filter(|step| matches!(step.id, ResourceId::Link(..) | ResourceId::Netns(_))).find_map(|step| {
            match &step.act {
                Act::Replace(reason) => Some(reason.clone()),
                Act::Restore(killer) => Some(format!("it is lost with {killer}")),
                Act::Create
                | Act::Update
                | Act::Reattach(_)
                | Act::Delete
                | Act::GoesWith(_)
                | Act::Carry => None,
            }
        });
    let there = if presence.main_wanted { presence.main_live } else { presence.live };
    let action = match (presence.wanted, there, &reason) {
        (false, _, _) => Action::Destroy,
        (true, _, Some(_)) => Action::Replace,
        (true, false, None) => Action::Create,
        (true, true, None) => Action::Update,
    };
    let mut causes: BTreeSet<Cause> = steps.iter().flat_map(|step| causes(step)).collect();
    if causes.is_empty() {
        causes.insert(Cause::Config);
    }
    Change {
        owner: owner.clone(),
        action,
        causes,
        origin: steps.iter().filter_map(|step| step.after.as_deref()).find_map(|entry| entry.origin.clone()),
        reason,
        protected: if presence.wanted { presence.protected_by_manifest } else { presence.protected_before },
        interrupts: vec![],
        fields: match action {
            Action::Update | Action::Replace => field::fields(steps),
            Action::Create | Action::Destroy => vec![],
        },
        objects: steps.iter().map(|step| Object { id: step.id.clone(), fate: fate(&step.act) }).collect(),
    }
}

fn fate(act: &Act<'_>) -> Fate {
    match act {
        Act::Create => Fate::Create,
        Act::Update => Fate::Update,
        Act::Replace(_) => Fate::Replace,
        Act::Delete | Act::Carry => Fate::Destroy,
        Act::GoesWith(killer) => Fate::GoesWith((*killer).clone()),
        Act::Restore(killer) | Act::Reattach(killer) => Fate::Restored((*killer).clone()),
    }
}

/// Compares the three: the kernel against the last apply is drift, the manifest against it is configuration.
fn causes(step: &Step<'_>) -> impl Iterator<Item = Cause> {
    let (before, after) = (step.before.as_deref(), step.after.as_deref());
    let differs =
        |applied: &Entry, entry: Option<&Entry>| !entry.is_some_and(|entry| agrees(applied, &entry.resource));
    let (rewritten, moved) = match step.applied {
        Some(applied) => (differs(applied, after), differs(applied, before)),
        None => (killer(step).is_none(), false),
    };
    rewritten.then_some(Cause::Config).into_iter().chain(moved.then_some(Cause::Drift))
}
