//! Plans for a part of the resources: what is asked for, what it needs, and nothing else.
//!
//! Whatever is left out is desired as it is now, so no plan can change it. A part has to stand on its own: what stays must
//! not stand on what goes, and what comes must not stand on what is left out.

mod walls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Extra;
use crate::names::NetName;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::{Desired, Entry, Observed, State};
use crate::resource::{Resource, ResourceId, Slot};
use walls::Declared;

/// Which resources the user asks for; both empty is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The addresses of these, and of what they need.
    pub targets: Vec<String>,
    /// The addresses that are left alone, with what cannot be without them.
    pub excludes: Vec<String>,
}

impl Selection {
    /// Tells whether all resources are asked for.
    pub fn is_everything(&self) -> bool {
        let Self { targets, excludes } = self;
        targets.is_empty() && excludes.is_empty()
    }
}

/// Which resources a plan is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What was asked for.
    pub targets: BTreeSet<Owner>,
    /// What was to be left alone.
    pub excludes: BTreeSet<Owner>,
    /// All that the plan is about.
    pub chosen: BTreeSet<Owner>,
    /// All that it leaves alone.
    pub left_out: BTreeSet<Owner>,
}

/// Why there is no plan for a part.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectError {
    /// There is no such resource.
    #[error("there is no resource `{address}`")]
    Unknown {
        /// The address, as the user wrote it.
        address: String,
        /// What it may have meant.
        meant: Option<Owner>,
    },
    /// A target needs what is left out.
    #[error("{target} needs {needs}, which is left out")]
    Needs {
        /// What was asked for, or is needed for it.
        target: Owner,
        /// What it needs.
        needs: Owner,
    },
    /// A target would go, but what is left out stands on it.
    #[error("{target} would be destroyed or moved, but {on} stands on it and is left out")]
    Carries {
        /// What was asked for.
        target: Owner,
        /// What stands on it.
        on: Owner,
    },
    /// A target takes the place of what is left out.
    #[error("{target} takes {place} from {from}, which is left out")]
    Taken {
        /// What was asked for, or is needed for it.
        target: Owner,
        /// The place.
        place: String,
        /// What has it now.
        from: Owner,
    },
}

/// The states of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// What the part shall be, and the rest is.
    pub desired: Desired,
    /// What the last apply led to, and the rest as it is: nothing is said of its drift.
    pub applied: State,
    /// What the last apply and this one lead to together, which the next plan has to be compared with.
    pub kept: State,
}

/// Returns the resources that a plan is about.
///
/// # Errors
///
/// Every address that is unknown; or the first thing that keeps the part from standing on its own.
pub fn choose(
    selection: &Selection,
    desired: &Desired,
    observed: &Observed,
    applied: &State,
    extra: &Extra,
) -> Result<Part, Vec<SelectError>> {
    let owners = Owners::new(&desired.0, &observed.own, applied);
    let known: BTreeSet<Owner> =
        owners.by_id.values().map(|owner| (*owner).clone()).chain(waiting(extra)).collect();
    let (targets, excludes) = (named(&selection.targets, &known), named(&selection.excludes, &known));
    let (targets, excludes) = match (targets, excludes) {
        (Ok(targets), Ok(excludes)) => (targets, excludes),
        (targets, excludes) => {
            return Err([targets.err(), excludes.err()].into_iter().flatten().flatten().collect());
        }
    };
    let needed = if targets.is_empty() { known.clone() } else { needed(&targets, &desired.0) };
    let mut part = Part {
        chosen: needed.difference(&excludes).cloned().collect(),
        left_out: BTreeSet::new(),
        targets,
        excludes,
    };
    walls::together(&mut part, &known).map_err(|error| vec![error])?;
    while let Some((owner, error)) = broken(&part, &owners, desired, observed) {
        // Who names a target means it; what was only not excluded goes along with what was.
        if !part.targets.is_empty() || !part.chosen.remove(&owner) {
            return Err(vec![error]);
        }
    }
    part.left_out = known.difference(&part.chosen).cloned().collect();
    Ok(part)
}

/// Returns the states of a part.
pub fn narrow(part: &Part, desired: &Desired, observed: &Observed, applied: &State) -> Narrowed {
    let owners = Owners::new(&desired.0, &observed.own, applied);
    let mut narrowed = Narrowed::default();
    for (id, owner) in &owners.by_id {
        let (wanted, known) = (desired.0.get(id).cloned(), applied.get(id).cloned());
        if part.chosen.contains(*owner) {
            narrowed.kept.extend(wanted.clone());
            narrowed.desired.0.extend(wanted);
            narrowed.applied.extend(known);
        } else {
            let live = observed.own.get(id).map(|live| as_it_is(live, owner));
            narrowed.kept.extend(known);
            narrowed.desired.0.extend(live.clone());
            narrowed.applied.extend(live);
        }
    }
    narrowed
}

/// Who owns each object of the three states, by whoever knows best: the kernel has no place for some marks.
struct Owners<'a> {
    by_id: BTreeMap<&'a ResourceId, &'a Owner>,
}

impl<'a> Owners<'a> {
    fn new(desired: &'a State, observed: &'a State, applied: &'a State) -> Self {
        let mut by_id = BTreeMap::new();
        for state in [observed, applied, desired] {
            by_id.extend(state.iter().map(|(id, entry)| (id, &entry.owner)));
        }
        Self { by_id }
    }
}

/// Returns an object as it is. A link keeps the owner on its mark, since another one would be written.
fn as_it_is(live: &Entry, owner: &Owner) -> Entry {
    let owner = if matches!(live.resource, Resource::Link(_)) { &live.owner } else { owner };
    Entry { resource: live.resource.clone(), owner: owner.clone(), origin: None, ignore: vec![] }
}

/// What is declared, but has no objects until its namespace, or what else it needs, is there.
fn waiting(extra: &Extra) -> impl Iterator<Item = Owner> {
    let containers = extra.waiting.iter().map(|(container, _)| Owner::Container(container.clone()));
    containers.chain(extra.idle.iter().cloned())
}

fn named(addresses: &[String], known: &BTreeSet<Owner>) -> Result<BTreeSet<Owner>, Vec<SelectError>> {
    let (mut found, mut unknown) = (BTreeSet::new(), vec![]);
    for address in addresses {
        match known.iter().find(|owner| owner.to_string() == *address) {
            Some(owner) => drop(found.insert(owner.clone())),
            None => {
                unknown.push(SelectError::Unknown { address: address.clone(), meant: meant(address, known) })
            }
        }
    }
    if unknown.is_empty() { Ok(found) } else { Err(unknown) }
}

/// Returns the address that one may have meant: a near one, or one whose name is this.
fn meant(address: &str, known: &BTreeSet<Owner>) -> Option<Owner> {
    let named = |owner: &&Owner| owner.to_string().split_once('.').is_some_and(|(_, name)| name == address);
    let scored = known.iter().map(|owner| (strsim::damerau_levenshtein(address, &owner.to_string()), owner));
    let near = scored.min_by_key(|(distance, _)| *distance);
    let near = near.filter(|(distance, _)| *distance <= 1 + address.len() / 5).map(|(_, owner)| owner);
    known.iter().find(named).or(near).cloned()
}

/// Returns the targets with all that they need, directly or not.
fn needed(targets: &BTreeSet<Owner>, desired: &State) -> BTreeSet<Owner> {
    let (mut providers, mut objects) = (BTreeMap::<Slot, BTreeSet<&Owner>>::new(), BTreeMap::new());
    let mut holders = BTreeMap::<String, &Owner>::new();
    for (_, entry) in desired.iter() {
        objects.entry(&entry.owner).or_insert_with(Vec::new).push(entry);
        for slot in entry.resource.provides() {
            providers.entry(slot).or_default().insert(&entry.owner);
        }
        if let Resource::Address(address) = &entry.resource {
            holders.insert(address.addr.addr().to_string(), &entry.owner);
        }
    }
    let mut needed = BTreeSet::new();
    let mut todo: Vec<Owner> = targets.iter().cloned().collect();
    while let Some(owner) = todo.pop() {
        for entry in objects.get(&owner).into_iter().flatten() {
            let needs = entry.resource.requires();
            todo.extend(
                needs.iter().filter_map(|need| providers.get(&need.slot)).flatten().copied().cloned(),
            );
            todo.extend(led_to(entry).and_then(|address| holders.get(address)).copied().cloned());
        }
        todo.extend(ends(&owner).into_iter().filter(|end| objects.contains_key(end)));
        needed.insert(owner);
        todo.retain(|owner| !needed.contains(owner));
    }
    needed
}

/// Returns the address that a published port leads to: the port is of no use without whoever has it.
fn led_to(entry: &Entry) -> Option<&str> {
    match (&entry.owner, &entry.resource) {
        (Owner::Port(_) | Owner::External(_), Resource::NftElement(element)) => element.data.as_deref(),
        (
            Owner::Project
            | Owner::Network(_)
            | Owner::Container(_)
            | Owner::Attachment { .. }
            | Owner::Port(_)
            | Owner::Policy(_)
            | Owner::External(_)
            | Owner::Unmarked(_),
            _,
        ) => None,
    }
}

/// Returns what an attachment is between, also where no object of it says so.
fn ends(owner: &Owner) -> Vec<Owner> {
    match owner {
        Owner::Attachment { container, network } => {
            vec![Owner::Container(container.clone()), Owner::Network(network.clone())]
        }
        Owner::Project
        | Owner::Network(_)
        | Owner::Container(_)
        | Owner::Port(_)
        | Owner::Policy(_)
        | Owner::External(_)
        | Owner::Unmarked(_) => {
            vec![]
        }
    }
}

/// Returns the first resource of the part that breaks it: it needs or takes from what is left out, or goes from under it.
fn broken(
    part: &Part,
    owners: &Owners<'_>,
    desired: &Desired,
    observed: &Observed,
) -> Option<(Owner, SelectError)> {
    let side = |id: &ResourceId| match owners.by_id.get(id) {
        Some(owner) if part.chosen.contains(*owner) => Side::Chosen,
        Some(_) | None => Side::Left,
    };
    let of =
        |entry: &Entry| owners.by_id.get(&entry.resource.id()).map_or(&entry.owner, |owner| owner).clone();
    let wanted = desired.0.iter().filter(|(id, _)| side(id) == Side::Chosen);
    let left = observed.own.iter().filter(|(id, _)| side(id) == Side::Left);
    let after: Vec<(Side, &Entry)> = wanted.chain(left).map(|(id, entry)| (side(id), entry)).collect();
    let there: BTreeSet<Slot> = after.iter().flat_map(|(_, entry)| entry.resource.provides()).collect();
    let lost = |state: &State| {
        let mut lost = BTreeMap::<Slot, Owner>::new();
        for (_, entry) in state.iter() {
            let slots = entry.resource.provides().into_iter().filter(|slot| !there.contains(slot));
            lost.extend(slots.map(|slot| (slot, of(entry))));
        }
        lost
    };
    let (missing, gone) = (lost(&desired.0), lost(&observed.own));
    let (declared, side_of) = (Declared::by(desired), side);
    let falls = after.iter().find_map(|(side, entry)| {
        let needs = entry.resource.requires().into_iter().filter(|need| need.slot != Slot::Ns(NsRef::Host));
        let mut slots = needs.map(|need| need.slot);
        match side {
            Side::Chosen => {
                let needs = slots.find_map(|slot| missing.get(&slot).or(gone.get(&slot)))?.clone();
                Some((of(entry), SelectError::Needs { target: of(entry), needs }))
            }
            Side::Left => {
                let swapped = declared.without(entry).filter(|table| side_of(table) == Side::Chosen);
                let swapped = swapped.and_then(|table| owners.by_id.get(&table).copied());
                let target = slots.find_map(|slot| gone.get(&slot)).or(swapped)?.clone();
                Some((target.clone(), SelectError::Carries { target, on: of(entry) }))
            }
        }
    });
    falls.or_else(|| {
        let (one, other, place) = taken(&after)?;
        let (target, from) = (of(one), of(other));
        Some((target.clone(), SelectError::Taken { target, place, from }))
    })
}

/// Whether an object belongs to the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Chosen,
    Left,
}

/// A place that only one object can have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Slot(Slot),
    /// An address on a network, whichever container has it.
    Host(NetName, IpAddr),
}

/// Returns an object of the part that takes the place of one that is left out, with that one and the place.
fn taken<'a>(after: &[(Side, &'a Entry)]) -> Option<(&'a Entry, &'a Entry, String)> {
    let mut held = BTreeMap::<Place, (Side, &'a Entry)>::new();
    for (side, entry) in after {
        for place in places(entry) {
            let said = match &place {
                Place::Slot(_) => entry.resource.id().to_string(),
                Place::Host(network, address) => format!("{address} of {network}"),
            };
            match (held.insert(place, (*side, entry)), side) {
                (Some((Side::Left, other)), Side::Chosen) => return Some((entry, other, said)),
                (Some((Side::Chosen, other)), Side::Left) => return Some((other, entry, said)),
                (Some(_) | None, _) => {}
            }
        }
    }
    None
}

fn places(entry: &Entry) -> Vec<Place> {
    let sole = |slot: &Slot| match slot {
        Slot::Ns(_) | Slot::Ifname(..) | Slot::Altname(..) | Slot::Device(_) | Slot::Object(_) => true,
        Slot::Addressed(..) | Slot::Shared(_) | Slot::Filtered(_) => false,
    };
    let mut places: Vec<Place> =
        entry.resource.provides().into_iter().filter(sole).map(Place::Slot).collect();
    if let (Owner::Attachment { network, .. }, Resource::Address(address)) = (&entry.owner, &entry.resource) {
        places.push(Place::Host(network.clone(), address.addr.addr()));
    }
    places
}

#[cfg(test)]
mod tests;
