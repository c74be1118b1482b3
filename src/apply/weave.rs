//! Namespaces are made while others are furnished: of the two cores that this takes, one makes namespaces and the other links.
//!
//! Wave after wave, all namespaces would be made first, then all pairs, and so on. Woven, each namespace is followed by
//! what goes into it, and the next ones are made meanwhile. What the host has goes first where it needs none of them, and
//! last where it may. The firewall that comes before all links does so still, and may do so while the first namespaces are
//! made: nobody is in there.

use std::borrow::Cow;

use foldhash::HashMap;

use crate::halves::is_worthwhile;
use crate::kernel::Op;
use crate::resource::link::LinkKind;
use crate::resource::state::Entry;
use crate::resource::{Resource, Slot};

/// How many namespaces are made in one step: after each it is told how far the run is, and it can be broken off.
const TOGETHER: usize = 250;

/// What is carried out at a time.
pub(super) enum Step<'a> {
    /// Operations with no order between them.
    Wave(Cow<'a, [Op]>),
    /// Operations in an order, with new namespaces among them.
    Woven(Vec<&'a Op>),
}

impl Step<'_> {
    pub(super) fn ops(&self) -> Vec<&Op> {
        match self {
            Self::Wave(ops) => ops.iter().collect(),
            Self::Woven(ops) => ops.clone(),
        }
    }
}

/// Returns waves as they are carried out.
pub(super) fn steps(waves: &[Vec<Op>]) -> Vec<Step<'_>> {
    let (mut steps, mut rest) = (vec![], waves);
    while let Some((first, later)) = rest.split_first() {
        rest = match Web::of(rest) {
            Some((web, behind)) => {
                steps.extend(web.steps());
                behind
            }
            None => {
                steps.push(Step::Wave(Cow::Borrowed(first)));
                later
            }
        };
    }
    steps
}

/// When an operation is carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before there are new namespaces.
    Early,
    /// After the namespace with this number, and before the next.
    With(usize),
    /// When all namespaces are furnished.
    Late,
}

/// Consecutive waves, being woven.
#[derive(Default)]
struct Web<'a> {
    /// The new namespaces.
    new: HashMap<Slot, usize>,
    /// What goes before all, as a wave.
    apart: Vec<&'a Op>,
    /// The firewall, and kernel parameters that stand on nothing new.
    first: Vec<&'a Op>,
    early: Vec<&'a Op>,
    with: Vec<Vec<&'a Op>>,
    /// What goes last, in waves.
    late: Vec<Vec<&'a Op>>,
    /// When what others stand on is there.
    filled: HashMap<Slot, Place>,
}

impl<'a> Web<'a> {
    /// Weaves the first of some waves, and returns the others, too; `None` when nothing is to be gained.
    fn of(waves: &'a [Vec<Op>]) -> Option<(Self, &'a [Vec<Op>])> {
        let (first, behind) = waves.split_first()?;
        let (firewall, wave, behind) = match behind.split_first() {
            Some((second, behind)) if is_firewall(first) => (first.as_slice(), second, behind),
            Some(_) | None => (&[][..], first, behind),
        };
        let mut web = Self::begin(wave)?;
        if !firewall.is_empty() && !web.apart.is_empty() {
            return None;
        }
        web.first.splice(0..0, firewall);
        let taken = behind.iter().take_while(|wave| web.take(wave)).count();
        // By themselves, namespaces are made by both cores.
        let is_worthwhile = web.with.iter().any(|ops| ops.len() > 1);
        is_worthwhile.then(|| (web, behind.get(taken..).unwrap_or_default()))
    }

    /// Begins with a wave in which enough namespaces are made.
    fn begin(wave: &'a [Op]) -> Option<Self> {
        if !is_worthwhile(wave.iter().filter(|op| is_new_namespace(op)).count()) {
            return None;
        }
        let mut web = Self::default();
        for op in wave {
            match op {
                Op::Create(entry) if is_new_namespace(op) => {
                    let slots = entry.resource.provides();
                    web.new.extend(slots.into_iter().map(|slot| (slot, web.with.len())));
                    web.with.push(vec![op]);
                }
                Op::Create(entry) | Op::Update { from: _, to: entry }
                    if entry.resource.sysctl().is_some() =>
                {
                    web.first.push(op);
                }
                Op::Create(entry) if is_in_order(&entry.resource) => web.put(op, entry, Place::Early),
                Op::Create(_) | Op::Update { .. } | Op::Delete(_) => web.apart.push(op),
            }
        }
        Some(web)
    }

    /// Takes in a wave, unless it has to wait for all that is in already.
    fn take(&mut self, wave: &'a [Op]) -> bool {
        let placed = wave.iter().map(|op| match op {
            Op::Create(entry) => Some((op, entry, self.place(&entry.resource)?)),
            Op::Update { .. } | Op::Delete(_) => None,
        });
        let Some(placed) = placed.collect::<Option<Vec<_>>>() else { return false };
        self.late.push(vec![]);
        // What is made in a wave finds its parameters as they shall be: a link has none that are its own before it is there, and takes
        // over some when it comes.
        let (parameters, others): (Vec<_>, Vec<_>) =
            placed.into_iter().partition(|(_, entry, _)| entry.resource.sysctl().is_some());
        for (op, entry, place) in parameters.into_iter().chain(others) {
            self.put(op, entry, place);
        }
        true
    }

    /// Returns when something can be made; `None` when that is neither before nor after all namespaces, nor with one.
    fn place(&self, resource: &Resource) -> Option<Place> {
        if !is_in_order(resource) {
            return Some(Place::Late);
        }
        let needs = resource.requires();
        let ground = || needs.iter().filter_map(|need| self.filled.get(&need.slot));
        let homes = needs.iter().filter_map(|need| self.new.get(&need.slot)).map(|home| Place::With(*home));
        let mut homes = homes.collect::<Vec<_>>();
        if resource.sysctl().is_some() {
            // That of a link of the host goes with the link.
            homes.extend(ground().copied().filter(|place| *place != Place::Early));
        }
        let Some(home) = homes.first().copied() else {
            let is_early = ground().all(|place| *place == Place::Early);
            return Some(if is_early { Place::Early } else { Place::Late });
        };
        let is_near = |place: &Place| [Place::Early, home].contains(place);
        (home != Place::Late && homes.iter().chain(ground()).all(is_near)).then_some(home)
    }

    fn put(&mut self, op: &'a Op, entry: &Entry, place: Place) {
        match place {
            Place::Early => self.early.push(op),
            Place::With(home) => self.with.get_mut(home).into_iter().for_each(|ops| ops.push(op)),
            Place::Late => self.late.last_mut().into_iter().for_each(|ops| ops.push(op)),
        }
        for slot in entry.resource.provides() {
            // What several fill is there when the last of them does.
            let filled = self.filled.entry(slot).or_insert(place);
            if *filled != place {
                *filled = Place::Late;
            }
        }
    }

    fn steps(self) -> impl Iterator<Item = Step<'a>> {
        let Self { new: _, apart, mut first, early, with, late, filled: _ } = self;
        first.extend(early);
        let wave = |ops: Vec<&Op>| Step::Wave(ops.into_iter().cloned().collect());
        let woven: Vec<Step<'a>> = with
            .chunks(TOGETHER)
            .map(|some| Step::Woven(first.drain(..).chain(some.iter().flatten().copied()).collect()))
            .collect();
        let apart = Some(apart).filter(|ops| !ops.is_empty()).into_iter().map(wave);
        apart.chain(woven).chain(late.into_iter().filter(|ops| !ops.is_empty()).map(wave))
    }
}

fn is_firewall(wave: &[Op]) -> bool {
    wave.iter().all(|op| op.id().is_of_firewall())
}

fn is_new_namespace(op: &Op) -> bool {
    matches!(op, Op::Create(Entry { resource: Resource::Netns(_), .. }))
}

/// Tells whether something can be made in its turn.
fn is_in_order(resource: &Resource) -> bool {
    match resource {
        // The database is told of a whole wave.
        Resource::Link(link) => link.port.is_none() && !matches!(link.kind, LinkKind::OpenVswitch(_)),
        Resource::Address(_)
        | Resource::Route(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::Sysctl(_)
        | Resource::File(_) => true,
        Resource::Netns(_) | Resource::NftTable(_) | Resource::NftElement(_) | Resource::Passage(_) => false,
    }
}

#[cfg(test)]
mod tests;
