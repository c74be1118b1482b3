//! What differs between two states, and what the kernel takes along.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::OnceLock;

use foldhash::{HashMap, HashSet};

use super::agree::{agrees, settled};
use super::names;
use crate::halves::halves;
use crate::names::Mtu;
use crate::resource::link::Link;
use crate::resource::netns::NsRef;
use crate::resource::nft::{NftTable, Stance};
use crate::resource::owner::Owner;
use crate::resource::state::{Entry, Observed, State};
use crate::resource::sysctl::{Family, Sysctl, SysctlKey};
use crate::resource::{Bond, Resource, ResourceId, Slot};

/// What differs, object by object.
pub(super) struct Diff<'a> {
    pub(super) desired: &'a State,
    pub(super) observed: &'a State,
    pub(super) applied: &'a State,
    /// All objects of all three, in the order of ids.
    pub(super) rows: Vec<Row<'a>>,
    /// In the order of ids, except that what is made again comes last.
    pub(super) steps: Vec<Step<'a>>,
    at: HashMap<&'a ResourceId, usize>,
    /// Links that stay too small for IPv6; found out when something of IPv6 is not there.
    small: OnceLock<HashSet<Slot>>,
}

/// An object in the three states.
pub(super) struct Row<'a> {
    pub(super) id: &'a ResourceId,
    pub(super) desired: Option<&'a Entry>,
    pub(super) observed: Option<&'a Entry>,
    pub(super) applied: Option<&'a Entry>,
}

impl<'a> Row<'a> {
    /// Returns the resource that the object belongs to, by whoever knows best: the kernel has no place for some marks.
    pub(super) fn owner(&self) -> Option<&'a Owner> {
        // What is given up is told of whoever has it still.
        let desired = self.desired.filter(|entry| !entry.owner.is_unmarked());
        desired.or(self.applied).or(self.observed).or(self.desired).map(|entry| &entry.owner)
    }
}

/// An object that does not stay as it is.
pub(super) struct Step<'a> {
    pub(super) id: &'a ResourceId,
    pub(super) applied: Option<&'a Entry>,
    pub(super) before: Option<Cow<'a, Entry>>,
    pub(super) after: Option<Cow<'a, Entry>>,
    pub(super) act: Act<'a>,
}

/// What is done about an object.
pub(super) enum Act<'a> {
    /// It is not there.
    Create,
    /// It can change in place.
    Update,
    /// The bridge that it is a port of is made anew, so it has to be made a port again.
    Reattach(&'a ResourceId),
    /// It cannot change in place, for this reason.
    Replace(String),
    /// Nobody asks for it.
    Delete,
    /// Nobody asks for it, and the kernel removes it with this one.
    GoesWith(&'a ResourceId),
    /// The kernel removes it with this one, so it is made again.
    Restore(&'a ResourceId),
    /// Nobody asks for it, but it holds packets back: it survives the swap of its table, and goes at the end.
    Carry,
}

impl<'a> Diff<'a> {
    pub(super) fn new(desired: &'a State, observed: &'a Observed, applied: &'a State) -> Self {
        let rows = rows(desired, &observed.own, applied);
        let mut diff = Self {
            desired,
            observed: &observed.own,
            applied,
            rows,
            steps: vec![],
            at: HashMap::default(),
            small: OnceLock::new(),
        };
        diff.compare();
        names::part(&mut diff.steps);
        diff.spread();
        diff
    }

    /// Returns what the kernel takes along without an operation of its own, as it is now.
    pub(super) fn lost(&self) -> Vec<Entry> {
        let taken = self.steps.iter().filter(|step| match step.act {
            Act::GoesWith(_) | Act::Restore(_) | Act::Carry | Act::Reattach(_) => true,
            Act::Create | Act::Update | Act::Replace(_) | Act::Delete => false,
        });
        taken.filter_map(|step| step.before.as_deref().cloned()).collect()
    }

    /// Has the objects made anew that cannot be changed in place, because each waits for the other.
    pub(super) fn replace(&mut self, stuck: &HashSet<ResourceId>) {
        for step in self.steps.iter_mut().filter(|step| stuck.contains(step.id)) {
            step.act = Act::Replace("it and others wait for each other".to_owned());
        }
        self.spread();
    }

    fn compare(&mut self) {
        let (mut steps, more): (Vec<_>, Vec<_>) =
            halves(&self.rows, |rows| rows.iter().filter_map(|row| self.step(row)).collect());
        steps.extend(more);
        self.steps = steps;
    }

    /// Returns what is done about an object, when something is.
    fn step(&self, row: &Row<'a>) -> Option<Step<'a>> {
        let Row { id, desired, observed, applied } = *row;
        let (before, after, act) = match (desired, observed) {
            (None, None) => return None,
            (Some(wanted), None) if self.cannot_be(&wanted.resource) => return None,
            (Some(wanted), None) => (None, Some(Cow::Borrowed(wanted)), Act::Create),
            // A kernel parameter cannot be deleted, and what it was before us nobody knows.
            (None, Some(Entry { resource: Resource::Sysctl(_), .. })) => return None,
            (None, Some(seen)) => (Some(self.with_body(seen)), None, Act::Delete),
            (Some(wanted), Some(seen)) => {
                if agrees(wanted, &seen.resource) && !must_remark(wanted, seen) {
                    return None;
                }
                let after = settled(wanted, &seen.resource);
                let act = match seen.resource.can_become(&after.resource) {
                    Ok(()) => Act::Update,
                    Err(reason) => Act::Replace(reason),
                };
                (Some(self.with_body(seen)), Some(after), act)
            }
        };
        Some(Step { id, applied, before, after, act })
    }

    /// Tells whether a kernel parameter is one of IPv6 of a link whose MTU somebody has made too small for that, and whose MTU
    /// is left to him: the kernel has none then (`addrconf_notify()` in Linux `net/ipv6/addrconf.c`).
    fn cannot_be(&self, wanted: &Resource) -> bool {
        let Resource::Sysctl(Sysctl { ns, key, value: _ }) = wanted else { return false };
        let SysctlKey::PerLink { family: Family::Ipv6, link, name: _ } = key else { return false };
        self.small.get_or_init(|| self.small()).contains(&Slot::Ifname(ns.clone(), link.clone()))
    }

    fn small(&self) -> HashSet<Slot> {
        let ends = |(id, seen): (&ResourceId, &Entry)| {
            let mut small = vec![];
            if let Resource::Link(live) = &seen.resource {
                let after = self.desired.get(id).map(|wanted| settled(wanted, &seen.resource));
                let after = after.as_ref().and_then(|entry| entry.resource.link());
                let stays = |now: Mtu, after: Option<Mtu>| {
                    !now.carries_ipv6() && after.is_some_and(|after| !after.carries_ipv6())
                };
                if stays(live.mtu, after.map(|it| it.mtu)) {
                    small.push(Slot::Ifname(live.ns.clone(), live.name.clone()));
                }
                let peer = live.kind.peer();
                let peer_after = after.and_then(|it| it.kind.peer()).map(|it| it.mtu);
                let peer = peer.filter(|peer| stays(peer.mtu, peer_after));
                small.extend(peer.map(|peer| Slot::Ifname(peer.ns.clone(), peer.name.clone())));
            }
            small
        };
        self.observed.iter().flat_map(ends).collect()
    }

    /// Returns a table with the commands that make it, which the kernel does not tell, so that it can be made again.
    fn with_body(&self, entry: &'a Entry) -> Cow<'a, Entry> {
        let Resource::NftTable(table) = &entry.resource else { return Cow::Borrowed(entry) };
        let id = entry.resource.id();
        let known = [self.applied, self.desired].into_iter().filter_map(|state| state.get(&id));
        let is_same = |known: &NftTable| known.digest == table.digest && !known.body.is_empty();
        let mut same = known.filter(|known| known.resource.table().is_some_and(is_same));
        if !table.body.is_empty() {
            return Cow::Borrowed(entry);
        }
        same.next().map_or(Cow::Borrowed(entry), |known| {
            let mut resource = known.resource.clone();
            if let Resource::NftTable(known) = &mut resource {
                known.intact = table.intact;
            }
            Cow::Owned(Entry { resource, owner: entry.owner.clone(), origin: None, ignore: vec![] })
        })
    }

    /// Finds what dies with the objects that go, and what has to be made again because of it.
    fn spread(&mut self) {
        let mut killers: Vec<usize> = (0..self.steps.len()).filter(|at| self.kills(*at)).collect();
        if killers.is_empty() {
            return;
        }
        self.at = self.steps.iter().enumerate().map(|(at, step)| (step.id, at)).collect();
        let mut standing = HashMap::<Slot, Vec<(&'a ResourceId, Bond)>>::default();
        for (id, entry) in self.observed.iter() {
            // The host's namespace never goes.
            let needs = entry.resource.requires().into_iter();
            for need in needs.filter(|need| need.slot != Slot::Ns(NsRef::Host)) {
                standing.entry(need.slot).or_default().push((id, need.bond));
            }
        }
        while let Some(at) = killers.pop() {
            let Some(step) = self.steps.get(at) else { continue };
            let Some(before) = step.before.as_deref() else { continue };
            let killer = step.id;
            // With an address that dies with its link the routes die by the link, too.
            let named = matches!(step.act, Act::Delete | Act::Replace(_) | Act::Update);
            let slots = before.resource.provides().into_iter();
            for slot in slots.filter(|slot| named || !matches!(slot, Slot::Addressed(..))) {
                for (id, bond) in standing.get(&slot).into_iter().flatten() {
                    let died = match bond {
                        Bond::Dies => self.dies(id, killer, &slot),
                        Bond::Stays => self.detaches(id, killer),
                    };
                    killers.extend(died);
                }
            }
        }
    }

    /// Tells whether what stands on a step's object dies in it.
    fn kills(&self, at: usize) -> bool {
        self.steps.get(at).is_some_and(|step| match &step.act {
            Act::Replace(_) | Act::Delete => true,
            Act::Update => matches!(step.id, ResourceId::NftTable(_)),
            Act::Create | Act::Reattach(_) | Act::GoesWith(_) | Act::Restore(_) | Act::Carry => false,
        })
    }

    /// Notes that an object dies with another one; returns its step when more may die with it.
    fn dies(&mut self, id: &'a ResourceId, killer: &'a ResourceId, slot: &Slot) -> Option<usize> {
        if matches!(slot, Slot::Addressed(..)) {
            self.replace_route(id);
            return None;
        }
        let outlives = self.outlives(id, killer);
        let carried = matches!(killer, ResourceId::NftTable(_)) && self.survives_swap(id, killer);
        if let Some(at) = self.at.get(id).copied() {
            let step = self.steps.get_mut(at)?;
            match step.act {
                Act::Update | Act::Reattach(_) => step.act = Act::Restore(killer),
                Act::Delete if carried => step.act = Act::Carry,
                Act::Delete if outlives => return None,
                Act::Delete => step.act = Act::GoesWith(killer),
                // The swap of its table has deleted it.
                Act::Replace(_) if matches!(killer, ResourceId::NftTable(_)) => {
                    step.act = Act::Restore(killer)
                }
                Act::Replace(_) | Act::Create | Act::GoesWith(_) | Act::Restore(_) | Act::Carry => {
                    return None;
                }
            }
            return Some(at);
        }
        let entry = self.observed.get(id)?;
        let after = self.desired.get(id).map(|wanted| settled(wanted, &entry.resource));
        let act = if after.is_some() { Act::Restore(killer) } else { Act::GoesWith(killer) };
        self.add(id, entry, after, act);
        Some(self.steps.len() - 1)
    }

    /// Tells whether an object goes with a namespace only once nobody is in there any more: unlike a pair it has no end that
    /// could be taken away outside, and would go on for whoever is.
    fn outlives(&self, id: &ResourceId, killer: &ResourceId) -> bool {
        let is_inside = |entry: &Entry| {
            let link = entry.resource.link();
            let is_pair = |link: &Link| link.ns != NsRef::Host && link.kind.peer().is_some();
            link.is_some_and(|link| {
                // What the kernel takes along leaves a record behind in the database of Open vSwitch.
                let has_record = link.port.is_some();
                link.kind.shares().is_some() || link.kind.device().is_some() || is_pair(link) || has_record
            })
        };
        matches!(killer, ResourceId::Netns(_)) && self.observed.get(id).is_some_and(is_inside)
    }

    /// Has a route made anew because an address of its link goes. Only the last of a family surely takes the routes
    /// along; before others the route is deleted, so that it can be made again in either case.
    fn replace_route(&mut self, id: &'a ResourceId) {
        let reason = || Act::Replace("an address of its link goes".to_owned());
        if let Some(step) = self.at.get(id).and_then(|at| self.steps.get_mut(*at)) {
            if matches!(step.act, Act::Update) {
                step.act = reason();
            }
            return;
        }
        if let (Some(entry), Some(wanted)) = (self.observed.get(id), self.desired.get(id)) {
            self.add(id, entry, Some(Cow::Borrowed(wanted)), reason());
        }
    }

    fn add(&mut self, id: &'a ResourceId, seen: &'a Entry, after: Option<Cow<'a, Entry>>, act: Act<'a>) {
        let step = Step { id, applied: self.applied.get(id), before: Some(Cow::Borrowed(seen)), after, act };
        self.steps.push(step);
        self.at.insert(id, self.steps.len() - 1);
    }

    /// Notes that an object stays, but loses the bridge that it is a port of.
    fn detaches(&mut self, id: &'a ResourceId, bridge: &'a ResourceId) -> Option<usize> {
        if let Some(step) = self.at.get(id).and_then(|at| self.steps.get_mut(*at)) {
            if matches!(step.act, Act::Update) {
                step.act = Act::Reattach(bridge);
            }
            return None;
        }
        let entry = self.observed.get(id)?;
        let after = settled(self.desired.get(id)?, &entry.resource);
        self.add(id, entry, Some(after), Act::Reattach(bridge));
        None
    }

    /// Tells whether an element that nobody asks for has to outlive the swap of its table: it holds packets back, and
    /// what it holds back goes later. The sets are surely the same when the skeleton is.
    fn survives_swap(&self, element: &ResourceId, table: &ResourceId) -> bool {
        let digest = |state: &State| Some(state.get(table)?.resource.table()?.digest.clone());
        let restricts = self.observed.get(element).and_then(|entry| entry.resource.element());
        let restricts = restricts.is_some_and(|element| element.stance == Stance::Restricts);
        restricts && digest(self.desired).is_some_and(|wanted| Some(wanted) == digest(self.observed))
    }
}

/// Walks three states in step.
fn rows<'a>(desired: &'a State, observed: &'a State, applied: &'a State) -> Vec<Row<'a>> {
    let mut states = [desired, observed, applied].map(|state| state.iter().peekable());
    let mut rows = Vec::with_capacity(desired.len().max(observed.len()));
    let [desired, observed, applied] = &mut states;
    loop {
        let ids = [&mut *desired, observed, applied].map(|state| state.peek().map(|(id, _)| *id));
        let [wanted, seen, known] = ids;
        // Nearly always all three are the same object, so that two comparisons do.
        let (id, mask) = least(least((wanted, 0b001), (seen, 0b010)), (known, 0b100));
        let Some(id) = id else { return rows };
        let take = |state: &mut std::iter::Peekable<_>, bit: u8| {
            if mask & bit == 0 { None } else { state.next().map(|(_, entry): (_, &'a Entry)| entry) }
        };
        let (desired, observed) = (take(desired, 0b001), take(observed, 0b010));
        rows.push(Row { id, desired, observed, applied: take(applied, 0b100) });
    }
}

/// Returns the lesser of two ids with the set of the states that have it.
fn least<'a>(
    a: (Option<&'a ResourceId>, u8),
    b: (Option<&'a ResourceId>, u8),
) -> (Option<&'a ResourceId>, u8) {
    match (a.0, b.0) {
        (_, None) => a,
        (None, Some(_)) => b,
        (Some(first), Some(second)) => match first.cmp(second) {
            Ordering::Less => a,
            Ordering::Equal => (a.0, a.1 | b.1),
            Ordering::Greater => b,
        },
    }
}

/// Tells whether the mark on a link, or on what a policy decides, names another owner, or whether a mark has to be set or
/// taken away. Other objects carry no owner, or have it in their content.
pub(super) fn must_remark(wanted: &Entry, seen: &Entry) -> bool {
    let is_marked = matches!(seen.resource, Resource::Link(_)) || matches!(wanted.owner, Owner::Policy(_));
    let another = is_marked && wanted.owner != seen.owner;
    another || wanted.owner.is_unmarked() != seen.owner.is_unmarked()
}
