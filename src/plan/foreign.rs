//! What others put on our objects: it is left alone, and goes along with what it stands on.

use std::collections::BTreeSet;

use foldhash::{HashMap, HashSet};

use super::diff::{Act, Diff, Step};
use super::{ForeignNote, Plan};
use crate::names::IfName;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::route::MAIN_TABLE;
use crate::resource::state::{Foreign, Observed};
use crate::resource::{ResourceId, Slot};

/// How many are named in a warning.
const NAMED: usize = 5;

/// What goes, and takes along what others have on it.
#[derive(Default)]
struct Going<'a> {
    slots: HashSet<Slot>,
    /// Whose namespaces they are.
    namespaces: HashMap<NsRef, &'a Owner>,
    /// Where links go, and whose they are.
    links: BTreeSet<(NsRef, &'a Owner)>,
}

/// Returns what others put on our objects, and into namespaces of ours that go.
pub(super) fn foreign(observed: &Observed, diff: &Diff<'_>) -> Vec<ForeignNote> {
    let going = Going::of(&diff.steps);
    let note = |(slot, foreign): (&Slot, &Foreign)| {
        let owner = foreign.on.as_ref().or_else(|| going.inside(slot, foreign))?;
        let (what, by) = (foreign.what.clone(), foreign.owner.clone());
        Some(ForeignNote { owner: owner.clone(), what, by, goes: going.takes(slot, owner) })
    };
    let mut notes: Vec<ForeignNote> = observed.foreign.iter().filter_map(note).collect();
    notes.sort_by(|a, b| (&a.owner, &a.what).cmp(&(&b.owner, &b.what)));
    notes.dedup();
    notes
}

/// Adds what else of others goes along, which no observation tells.
pub fn take_along(plan: &mut Plan, notes: Vec<ForeignNote>) {
    if notes.is_empty() {
        return;
    }
    let before = warning(&plan.foreign);
    plan.foreign.extend(notes);
    plan.foreign.sort_by(|a, b| (&a.owner, &a.what).cmp(&(&b.owner, &b.what)));
    plan.extra.warnings.retain(|other| Some(other) != before.as_ref());
    plan.extra.warnings.extend(warning(&plan.foreign));
}

/// Says what of others goes along; `None` when nothing does.
pub(super) fn warning(notes: &[ForeignNote]) -> Option<String> {
    let going: Vec<&ForeignNote> = notes.iter().filter(|note| note.goes).collect();
    let text = |note: &&ForeignNote| {
        let ForeignNote { owner, what, by, goes: _ } = note;
        let by = by.as_ref().map_or_else(String::new, |by| format!(" of {by}"));
        format!("{what}{by} with {owner}")
    };
    let named: Vec<String> = going.iter().take(NAMED).map(text).collect();
    let more = match going.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = named.join(", ");
    (!going.is_empty()).then(|| format!("what is not ours goes along: {named}{more}"))
}

/// Says what bears a mark of ours and is none of ours: nobody but who wrote it there is to wonder what becomes of it.
pub(super) fn impostors(observed: &Observed) -> impl Iterator<Item = String> {
    observed.foreign.iter().filter_map(|(slot, foreign)| {
        let Foreign { what, owner, on: _, bears } = foreign;
        let (bears, ns) = (bears.as_ref()?, slot_ns(slot)?);
        let inside = if ns == NsRef::Host { String::new() } else { format!(" in {ns}") };
        let (whose, cure) = match (owner, slot) {
            (Some(owner), _) => (
                format!("is that of {owner}"),
                "it is left alone, and the mark is for that one to set back".to_owned(),
            ),
            (None, Slot::Ifname(_, name)) => (
                "has nothing else that netform gives what it makes".to_owned(),
                format!("it is left alone; `ip link set {name} alias ''` takes the mark off"),
            ),
            (None, _) => return None,
        };
        Some(format!("{what}{inside} bears the mark of {bears} and {whose}: {cure}"))
    })
}

/// Returns where a link is, or a namespace.
fn slot_ns(slot: &Slot) -> Option<NsRef> {
    match slot {
        Slot::Ifname(ns, _) => Some(ns.clone()),
        Slot::Ns(_) => Some(NsRef::Host),
        Slot::Altname(..)
        | Slot::Addressed(..)
        | Slot::Shared(_)
        | Slot::Device(_)
        | Slot::Filtered(_)
        | Slot::Object(_) => None,
    }
}

impl<'a> Going<'a> {
    fn of(steps: &'a [Step<'_>]) -> Self {
        let mut going = Self::default();
        for step in steps {
            let goes = match step.act {
                Act::Delete | Act::GoesWith(_) | Act::Replace(_) | Act::Restore(_) => true,
                Act::Create | Act::Update | Act::Reattach(_) | Act::Carry => false,
            };
            let Some(before) = step.before.as_deref().filter(|_| goes) else { continue };
            match step.id {
                ResourceId::Netns(name) => {
                    going.namespaces.insert(NsRef::Named(name.clone()), &before.owner);
                }
                ResourceId::Link(..) => {
                    let link = before.resource.link();
                    let peer = link.and_then(|link| link.kind.peer()).map(|peer| peer.ns.clone());
                    going.links.extend(peer.into_iter().chain([step.id.ns()]).map(|ns| (ns, &before.owner)));
                }
                ResourceId::Address(..)
                | ResourceId::Route(..)
                | ResourceId::Sysctl(..)
                | ResourceId::NftTable(_)
                | ResourceId::NftElement(..)
                | ResourceId::Passage(..)
                | ResourceId::Neighbour(..)
                | ResourceId::Qdisc(..)
                | ResourceId::File(_) => continue,
            }
            going.slots.extend(before.resource.provides());
        }
        going
    }

    /// Returns whose namespace a link is in, or a route that goes with no link of its own, when that goes. The main table is
    /// where the kernel's own are, which come with links.
    fn inside(&self, slot: &Slot, foreign: &Foreign) -> Option<&'a Owner> {
        match slot {
            Slot::Ifname(ns, _) => self.namespaces.get(ns).copied(),
            Slot::Object(ResourceId::Route(ns, _, rank))
                if rank.table != MAIN_TABLE || !foreign.what.contains(" on ") =>
            {
                self.namespaces.get(ns).copied()
            }
            Slot::Ns(_)
            | Slot::Altname(..)
            | Slot::Addressed(..)
            | Slot::Shared(_)
            | Slot::Device(_)
            | Slot::Filtered(_)
            | Slot::Object(_) => None,
        }
    }

    /// Tells whether what fills a slot, and stands on something of `owner`, goes.
    fn takes(&self, slot: &Slot, owner: &Owner) -> bool {
        let namespace = |ns: &NsRef| self.slots.contains(&Slot::Ns(ns.clone()));
        let link = |ns: &NsRef, name: &IfName| self.slots.contains(&Slot::Ifname(ns.clone(), name.clone()));
        match slot {
            Slot::Object(ResourceId::Address(ns, name, _)) => namespace(ns) || link(ns, name),
            // It is not known by its link.
            Slot::Object(ResourceId::Route(ns, ..)) => {
                namespace(ns) || self.links.contains(&(ns.clone(), owner))
            }
            Slot::Ifname(ns, _) => namespace(ns),
            Slot::Shared(parent) | Slot::Filtered(parent) => link(&NsRef::Host, parent),
            Slot::Object(id) => namespace(&id.ns()),
            Slot::Ns(_) | Slot::Altname(..) | Slot::Addressed(..) | Slot::Device(_) => false,
        }
    }
}
