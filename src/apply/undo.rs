//! Undoing is a plan toward what was there before: it works from what is there now, whatever that is.

use std::collections::BTreeSet;

use super::execute::{Mode, execute};
use super::{Dirs, FailedOp, Left, Phase, ROUNDS, Watcher, recover};
use crate::kernel::{Kernel, Op, Scope};
use crate::names::NetnsName;
use crate::plan::{Touched, is_as_before, plan_around};
use crate::resource::ResourceId;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::{Desired, Entry, Observed, State};

/// How often the kernel may show what it is still removing.
const POLLS: usize = 100;
const POLL: std::time::Duration = std::time::Duration::from_millis(20);

/// What came of undoing.
pub(super) struct Undone {
    pub(super) done: usize,
    pub(super) failed: Vec<FailedOp>,
    pub(super) left: Vec<Left>,
}

/// Lets namespaces go that a run has deleted, unless what it did may yet be undone.
pub(super) fn let_go<K: Kernel>(kernel: &mut K, dirs: &Dirs, touched: &[Touched]) {
    let deleted = touched.iter().any(|touched| matches!(touched.id, ResourceId::Netns(_)));
    if deleted && matches!(dirs.read_pending(), Ok(None)) {
        kernel.let_go();
    }
}

/// Takes back what was touched, pressing on past failures, and looks at what came of it.
pub(super) async fn undo<K: Kernel>(
    kernel: &mut K,
    scope: &Scope,
    touched: &[Touched],
    watcher: &mut Watcher<'_>,
) -> Undone {
    let scope = recover::widened(scope, touched);
    let touched = &settled(touched);
    let were_there = namespaces(touched);
    if !were_there.is_empty() {
        // What is undone then is what others see who live in there.
        kernel.revive(&were_there).await;
    }
    let mut undone = Undone { done: 0, failed: vec![], left: unknown(touched) };
    let mut polls = POLLS;
    let mut rounds = 0;
    // A read that fails may work the next time; that it is tried is worth more than knowing why it failed.
    while rounds <= ROUNDS + 1 {
        let Ok(observed) = kernel.observe(&scope).await else {
            rounds += 1;
            continue;
        };
        undone.left = differing(touched, &observed);
        let plan = plan_around(&Desired(before(touched, &observed)), &observed, &State::default());
        if plan.is_empty() || rounds > ROUNDS {
            break;
        }
        // What dies with a namespace is shown for a while: only the first round deletes, later ones wait first.
        let vanishing = plan.waves.iter().flatten().all(|op| matches!(op, Op::Delete(_)));
        if rounds > 0 && vanishing && polls > 0 && undone.failed.is_empty() {
            polls -= 1;
            tokio::time::sleep(POLL).await;
            continue;
        }
        rounds += 1;
        let executed = execute(kernel, &plan.waves, Mode::PressOn, Phase::Undoing, watcher).await;
        undone.done += executed.done.len();
        undone.failed = executed.failed;
    }
    if undone.left.is_empty() {
        undone.failed.clear();
    }
    undone
}

/// Returns the namespaces that were there before.
fn namespaces(touched: &[Touched]) -> Vec<(NetnsName, Owner)> {
    let before = touched.iter().filter_map(|touched| match (&touched.id, &touched.before) {
        (ResourceId::Netns(name), Some(entry)) => Some((name.clone(), entry.owner.clone())),
        (_, _) => None,
    });
    before.collect()
}

/// Returns what was touched, links of the host left out that were on their way back there: that is where they belong, and
/// nothing is to be made of them again.
fn settled(touched: &[Touched]) -> Vec<Touched> {
    let strays = |touched: &&Touched| match &touched.before {
        Some(entry) => !is_stray(entry),
        None => true,
    };
    touched.iter().filter(strays).cloned().collect()
}

/// Tells whether an object is a link of the host that a container had, and that is not given back yet.
fn is_stray(entry: &Entry) -> bool {
    entry.resource.link().is_some_and(|link| link.ns == NsRef::Host && link.kind.device().is_some())
}

/// Returns what is not as it was before.
pub(super) async fn left<K: Kernel>(kernel: &mut K, scope: &Scope, touched: &[Touched]) -> Vec<Left> {
    match kernel.observe(&recover::widened(scope, touched)).await {
        Ok(observed) => differing(touched, &observed),
        Err(_) => unknown(touched),
    }
}

/// Returns what is there now, with all that was touched as it was before.
fn before(touched: &[Touched], observed: &Observed) -> State {
    let mut state = observed.own.clone();
    let ids: BTreeSet<&ResourceId> = touched.iter().map(|touched| &touched.id).collect();
    state.retain(|id| !ids.contains(id));
    state.extend(touched.iter().filter_map(|touched| touched.before.clone()));
    let devices = |touched: &Touched| {
        let both = [&touched.before, &touched.after].into_iter().flatten();
        both.filter_map(|entry| Some(entry.resource.link()?.kind.device()?.name.clone())).collect::<Vec<_>>()
    };
    let devices: Vec<_> = touched.iter().flat_map(devices).collect();
    if devices.is_empty() {
        return state;
    }
    // One that the run took out of a container is given back, or goes in again.
    let is_ours = |entry: &Entry| {
        let device = entry.resource.link().and_then(|link| link.kind.device());
        is_stray(entry) && device.is_some_and(|device| devices.contains(&device.name))
    };
    Vec::from(state).into_iter().filter(|entry| !is_ours(entry)).collect()
}

fn differing(touched: &[Touched], observed: &Observed) -> Vec<Left> {
    let differs = |touched: &&Touched| {
        match (&touched.before, observed.own.get(&touched.id)) {
            // A kernel parameter is there as long as its link is, and what it was nobody knows.
            (None, Some(_)) => !matches!(touched.id, ResourceId::Sysctl(..)),
            (Some(before), Some(now)) => !is_as_before(before, now),
            (before, now) => before.is_some() != now.is_some(),
        }
    };
    let left = |touched: &Touched| Left {
        id: touched.id.clone(),
        there: Some(observed.own.get(&touched.id).is_some()),
        was_there: touched.before.is_some(),
    };
    touched.iter().filter(differs).map(left).collect()
}

fn unknown(touched: &[Touched]) -> Vec<Left> {
    let left =
        |touched: &Touched| Left { id: touched.id.clone(), there: None, was_there: touched.before.is_some() };
    touched.iter().map(left).collect()
}
