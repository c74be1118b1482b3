//! Operations become waves: the order comes from what the objects require and provide, and from nowhere else.
//!
//! The firewall is the one exception: what holds packets back comes in a first wave and goes in the last one, what lets
//! them through goes in the first and comes in the last. Each of the two is one transaction.

use foldhash::{HashMap, HashSet};

use super::diff::{Act, Diff, Step};
use super::overlap::Coming;
use crate::kernel::Op;
use crate::resource::link::Link;
use crate::resource::nft::Stance;
use crate::resource::qdisc::{Qdisc, QdiscKind};
use crate::resource::state::Entry;
use crate::resource::{Bond, Resource, ResourceId, Slot};

/// Returns the operations in waves.
pub(super) fn waves(diff: &mut Diff<'_>) -> Vec<Vec<Op>> {
    let middle = loop {
        let todo: Vec<Todo<'_>> =
            diff.steps.iter().filter(|step| !step.id.is_of_firewall()).flat_map(todo).flatten().collect();
        let stuck = match levels(&todo) {
            Ok(levels) => break levels.iter().map(|level| pick(&todo, level)).collect::<Vec<Vec<Op>>>(),
            Err(stuck) => stuck,
        };
        drop(todo);
        diff.replace(&stuck);
    };
    let (mut first, mut last) = (vec![], vec![]);
    let coming = Coming::of(&diff.steps);
    for step in diff.steps.iter().filter(|step| step.id.is_of_firewall()) {
        // In one transaction nothing has to outlive the swap of its table.
        let cannot_stay = coming.is_in_the_way_of(step);
        let is_carried = matches!(step.act, Act::Carry);
        let goes_at_once = is_carried && (middle.is_empty() || cannot_stay);
        if goes_at_once || !is_carried {
            first.extend(left_by_swap(diff, step).map(|gone| Op::Delete(gone.clone())));
        }
        if goes_at_once {
            continue;
        }
        for op in todo(step).into_iter().flatten().map(|todo| todo.op()) {
            if tightens(&op, step) || cannot_stay { first.push(op) } else { last.push(op) }
        }
    }
    if middle.is_empty() {
        first.append(&mut last);
    }
    let mut waves = vec![first];
    waves.extend(middle);
    waves.push(last);
    waves.retain(|wave| !wave.is_empty());
    waves
}

/// An operation that is not made yet: what it changes is large, and is copied once.
#[derive(Clone, Copy)]
struct Todo<'s> {
    old: Option<&'s Entry>,
    new: Option<&'s Entry>,
    /// Whether the kernel has taken the link from its bridge by then.
    detached: bool,
}

impl Todo<'_> {
    fn op(&self) -> Op {
        match (self.old, self.new) {
            (Some(from), Some(to)) if self.detached => {
                Op::Update { from: detached(from.clone()), to: to.clone() }
            }
            (Some(from), Some(to)) => Op::Update { from: from.clone(), to: to.clone() },
            (Some(gone), None) => Op::Delete(gone.clone()),
            #[expect(clippy::expect_used, reason = "`todo` gives one of the two")]
            (None, new) => Op::Create(new.expect("an object").clone()),
        }
    }
}

/// Returns what has to be done for one object, in its own order.
fn todo<'s>(step: &'s Step<'_>) -> [Option<Todo<'s>>; 2] {
    let (before, after) = (step.before.as_deref(), step.after.as_deref());
    let create = |new: Option<&'s Entry>| new.map(|_| Todo { old: None, new, detached: false });
    let delete = |old: Option<&'s Entry>| old.map(|_| Todo { old, new: None, detached: false });
    let update = |detached| Some(Todo { old: before, new: after, detached });
    match &step.act {
        Act::Create | Act::Restore(_) => [create(after), None],
        Act::Update => [update(false), None],
        Act::Reattach(_) => [update(true), None],
        Act::Replace(_) => [delete(before), create(after)],
        Act::Delete => [delete(before), None],
        Act::GoesWith(_) => [None, None],
        Act::Carry => [create(before), delete(before)],
    }
}

/// Returns an element that led packets somewhere or let them through, and is not in the table that its own is swapped for,
/// or is another there. The swap deletes it in any case; but its flows go on until they are forgotten, by what the wave
/// says.
fn left_by_swap<'s>(diff: &Diff<'_>, step: &'s Step<'_>) -> Option<&'s Entry> {
    let is_swapped = match &step.act {
        Act::GoesWith(table) | Act::Restore(table) => diff.desired.get(table).is_some(),
        Act::Carry => true,
        Act::Create | Act::Update | Act::Reattach(_) | Act::Replace(_) | Act::Delete => false,
    };
    let before = step.before.as_deref().filter(|_| is_swapped)?;
    let stays = step.after.as_deref().is_some_and(|after| after.resource == before.resource);
    let element = before.resource.element()?;
    let leads = element.data.is_some() || element.stance == Stance::Allows;
    (leads && !stays).then_some(before)
}

fn pick(todo: &[Todo<'_>], level: &[usize]) -> Vec<Op> {
    level.iter().filter_map(|at| todo.get(*at)).map(Todo::op).collect()
}

/// Returns a link as the kernel leaves it when its bridge goes: `br_del_if()` in Linux `net/bridge/br_if.c`; and what
/// leads to a link that goes as leading nowhere: `mirred_device_event()` in `net/sched/act_mirred.c`.
fn detached(mut entry: Entry) -> Entry {
    match &mut entry.resource {
        Resource::Link(link) => {
            let Link { master, hairpin, isolated, vlans, port, amiss, .. } = link.as_mut();
            (*master, *hairpin, *isolated, *vlans, *port) = (None, false, false, None, None);
            amiss.port.clear();
        }
        Resource::Qdisc(Qdisc { link: _, kind: QdiscKind::Diversion(to) }) => *to = None,
        Resource::Qdisc(Qdisc { link: _, kind: QdiscKind::Limit(..) })
        | Resource::Netns(_)
        | Resource::Address(_)
        | Resource::Route(_)
        | Resource::Neighbour(_)
        | Resource::Sysctl(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Passage(_)
        | Resource::File(_) => {}
    }
    entry
}

/// Tells whether an operation on the firewall belongs before the links, where nothing may be let through newly.
fn tightens(op: &Op, step: &Step<'_>) -> bool {
    let stance = |entry: &Entry| match &entry.resource {
        Resource::NftElement(element) => Some(element.stance),
        Resource::Passage(_) => Some(Stance::Allows),
        Resource::Netns(_)
        | Resource::Link(_)
        | Resource::Address(_)
        | Resource::Route(_)
        | Resource::Sysctl(_)
        | Resource::NftTable(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => None,
    };
    match op {
        Op::Update { .. } => true,
        Op::Create(entry) => match stance(entry) {
            None | Some(Stance::Restricts) => true,
            // What was let through before goes on without a gap when its table is swapped.
            Some(Stance::Allows) => {
                let unchanged = step.before.as_deref().is_some_and(|old| old.resource == entry.resource);
                matches!(step.act, Act::Restore(_) | Act::Replace(_)) && unchanged
            }
        },
        Op::Delete(entry) => match stance(entry) {
            None => false,
            Some(Stance::Allows) => true,
            // Deleted and created in one transaction it never lets go.
            Some(Stance::Restricts) => matches!(step.act, Act::Replace(_)),
        },
    }
}

/// Which operations fill a slot.
#[derive(Default)]
struct Fillers {
    sole: HashMap<Slot, usize>,
    shared: HashMap<Slot, Vec<usize>>,
}

impl Fillers {
    fn add(&mut self, entry: &Entry, op: usize) {
        for slot in entry.resource.provides() {
            match slot {
                Slot::Addressed(..) | Slot::Shared(_) | Slot::Filtered(_) => {
                    self.shared.entry(slot).or_default().push(op)
                }
                Slot::Ns(_) | Slot::Ifname(..) | Slot::Altname(..) | Slot::Device(_) | Slot::Object(_) => {
                    self.sole.insert(slot, op);
                }
            }
        }
    }

    fn get(&self, slot: &Slot) -> impl Iterator<Item = usize> {
        let shared = self.shared.get(slot).into_iter().flatten();
        self.sole.get(slot).into_iter().chain(shared).copied()
    }
}

/// Returns operations in topological levels: one that waits for none of the others is in the first.
///
/// Fails with the updates that wait for each other in a circle; made anew instead, they no longer do.
fn levels(todo: &[Todo<'_>]) -> Result<Vec<Vec<usize>>, HashSet<ResourceId>> {
    let (next, mut waits) = edges(todo);
    let mut levels = vec![];
    let waiting = waits.iter().enumerate();
    let mut ready: Vec<usize> = waiting.filter(|(_, count)| **count == 0).map(|(op, _)| op).collect();
    while !ready.is_empty() {
        let mut later = vec![];
        for op in ready.iter().flat_map(|done| next.get(*done)).flatten() {
            if let Some(count) = waits.get_mut(*op) {
                *count -= 1;
                if *count == 0 {
                    later.push(*op);
                }
            }
        }
        later.sort_unstable();
        levels.push(std::mem::replace(&mut ready, later));
    }
    let circle: Vec<usize> =
        waits.iter().enumerate().filter(|(_, count)| **count > 0).map(|(op, _)| op).collect();
    let updates = circle.iter().filter_map(|op| todo.get(*op).filter(|todo| todo.old.is_some())?.new);
    let updates: HashSet<ResourceId> = updates.map(|entry| entry.resource.id()).collect();
    if !updates.is_empty() {
        return Err(updates);
    }
    // Deletes wait for deletes and updates, creates for all three: a circle has an update in it. Were there one
    // without, one by one is the best that can be done.
    levels.extend(circle.into_iter().map(|op| vec![op]));
    Ok(levels)
}

/// Returns which operations wait for each, and for how many each waits.
fn edges(todo: &[Todo<'_>]) -> (Vec<Vec<usize>>, Vec<usize>) {
    let (mut makers, mut leavers) = (Fillers::default(), Fillers::default());
    for (at, Todo { old, new, detached: _ }) in todo.iter().enumerate() {
        match (new, old) {
            (Some(entry), _) => makers.add(entry, at),
            (None, Some(entry)) => leavers.add(entry, at),
            (None, None) => {}
        }
    }
    let mut next = vec![vec![]; todo.len()];
    let mut waits = vec![0_usize; todo.len()];
    let mut edge = |earlier: usize, later: usize| {
        if let (true, Some(list), Some(count)) =
            (earlier != later, next.get_mut(earlier), waits.get_mut(later))
        {
            list.push(later);
            *count += 1;
        }
    };
    let renamed = renamed(todo);
    for (at, Todo { old, new, detached }) in todo.iter().enumerate() {
        let needs = new.map_or(vec![], |entry| entry.resource.requires());
        for need in &needs {
            makers.get(&need.slot).for_each(|maker| edge(maker, at));
            // A route that comes back must not be taken along by an address that goes.
            leavers.shared.get(&need.slot).into_iter().flatten().for_each(|leaver| edge(*leaver, at));
        }
        if !renamed.is_empty() {
            let stood = old.map_or(vec![], |entry| entry.resource.requires());
            let slots: HashSet<&Slot> = needs.iter().chain(&stood).map(|need| &need.slot).collect();
            slots.into_iter().filter_map(|slot| renamed.get(slot)).for_each(|renames| edge(at, *renames));
        }
        if leavers.sole.is_empty() {
            continue;
        }
        // Whoever leaves a place goes before whoever takes it.
        if let (None, Some(entry)) = (old, new) {
            entry
                .resource
                .provides()
                .iter()
                .flat_map(|slot| leavers.get(slot))
                .for_each(|leaver| edge(leaver, at));
        }
        // What others stood on goes when they are gone, or stand on something else.
        for need in old.map_or(vec![], |entry| entry.resource.requires()) {
            // The kernel has taken it from its bridge by then.
            let is_off = *detached && need.bond == Bond::Stays;
            if !needs.contains(&need) && !is_off {
                leavers.get(&need.slot).for_each(|ground| edge(at, ground));
            }
        }
    }
    (next, waits)
}

/// Returns the updates by which links lose their names, as when that somebody gave them another is undone: all that is said of
/// what is on them is said by the names that they had.
fn renamed(todo: &[Todo<'_>]) -> HashMap<Slot, usize> {
    let lost = |(at, todo): (usize, &Todo<'_>)| {
        let (old, new) = (todo.old?.resource.link()?, todo.new?.resource.link()?);
        let is_lost = *old.called() == old.name && *new.called() != new.name;
        is_lost.then(|| (Slot::Ifname(old.ns.clone(), old.name.clone()), at))
    };
    todo.iter().enumerate().filter_map(lost).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Story, planned};
    use super::*;

    fn shop(rules: &str) -> Story {
        Story::default().table(rules).network("front", 1500, "10.0.0.1/24").internal("front")
    }

    /// Returns the elements that are deleted and created, with the number of the wave.
    fn elements(old: &Story, new: &Story) -> Vec<String> {
        let mut out = vec![];
        for (number, wave) in planned(old, old, new).waves.iter().enumerate() {
            for op in wave.iter().filter(|op| matches!(op.id(), ResourceId::NftElement(..))) {
                let sign = match op {
                    Op::Create(_) => '+',
                    Op::Update { .. } => '~',
                    Op::Delete(_) => '-',
                };
                out.push(format!("{number} {sign} {}", op.id()));
            }
        }
        out
    }

    #[test]
    fn a_swap_tells_what_leads_elsewhere_afterwards_or_nowhere() {
        let old = shop("rules1").port("80", "10.0.0.2").port("81", "10.0.0.2").port("82", "10.0.0.2");
        let new = shop("rules2").port("80", "10.0.0.2").port("81", "10.0.0.3");
        let [same, moved, gone] = ["80", "81", "82"].map(|port| format!("nft element published {port}"));
        let internal = "0 + nft element internal br-front".to_owned();

        let [kept, left] = [format!("0 + {same}"), format!("0 - {moved}")];
        let went = format!("0 - {gone}");
        let mut told = elements(&old, &new);
        told.sort();
        let mut wanted = vec![internal, kept.clone(), left.clone(), format!("0 + {moved}"), went.clone()];
        wanted.sort();
        assert_eq!(told, wanted);

        // What leads elsewhere begins to when the links are there.
        let told = elements(&old, &new.container("web", ""));
        assert!([kept, left, went, format!("2 + {moved}")].iter().all(|op| told.contains(op)), "{told:?}");
    }

    #[test]
    fn what_goes_with_a_table_for_good_is_told_by_the_table() {
        let old = shop("rules1").port("80", "10.0.0.2");
        assert_eq!(elements(&old, &Story::default()), Vec::<String>::new());
    }
}
