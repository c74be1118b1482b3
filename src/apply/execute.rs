//! Waves are carried out, and the kernel is given the time that it takes.

use std::borrow::Cow;
use std::time::Duration;

use super::weave::{Step, steps};
use super::{FailedOp, Failure, Phase, Progress, Watcher};
use crate::kernel::{Kernel, Op, Scope};
use crate::plan::{Extra, Plan, plan};
use crate::resource::state::{Desired, State};

/// How long the kernel may take to remove what dies with a namespace: `cleanup_net()` in Linux `net/core/
/// net_namespace.c` runs in a work queue.
const POLLS: usize = 25;
const POLL: Duration = Duration::from_millis(20);

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing after the wave of a failure is started.
    StopAtFailure,
    /// Everything is tried.
    PressOn,
}

/// What came of waves.
#[derive(Debug, Default)]
pub(super) struct Executed {
    pub(super) done: Vec<Op>,
    pub(super) failed: Vec<FailedOp>,
    pub(super) not_started: Vec<Op>,
    pub(super) interrupted: bool,
}

impl Executed {
    /// Takes out why it did not go on.
    pub(super) fn failure(&mut self) -> Option<Failure> {
        if !self.failed.is_empty() {
            Some(Failure::Operations(std::mem::take(&mut self.failed)))
        } else if self.interrupted {
            Some(Failure::Interrupted)
        } else {
            None
        }
    }
}

/// Carries out waves one after the other.
pub(super) async fn execute<K: Kernel>(
    kernel: &mut K,
    waves: &[Vec<Op>],
    mode: Mode,
    phase: Phase,
    watcher: &mut Watcher<'_>,
) -> Executed {
    let total = waves.iter().map(Vec::len).sum();
    let (mut executed, mut begun) = (Executed::default(), 0);
    // Who presses on tries everything, whatever failed before.
    let steps = match mode {
        Mode::StopAtFailure => steps(waves),
        Mode::PressOn => waves.iter().map(|wave| Step::Wave(Cow::Borrowed(wave))).collect(),
    };
    for step in steps {
        let ops = step.ops();
        let stopped = mode == Mode::StopAtFailure && (!executed.failed.is_empty() || executed.interrupted);
        if !stopped {
            let told = watcher(Progress { phase, done: begun, total, next: ops.first().copied() });
            executed.interrupted |= told.is_break();
        }
        if stopped || (executed.interrupted && mode == Mode::StopAtFailure) {
            executed.not_started.extend(ops.into_iter().cloned());
            continue;
        }
        let results = match &step {
            Step::Wave(wave) => kernel.execute(wave).await.into_iter().map(Some).collect(),
            Step::Woven(ops) => kernel.execute_in_order(ops).await,
        };
        begun += ops.len();
        for (op, result) in ops.into_iter().zip(results) {
            match result {
                Some(Ok(())) => executed.done.push(op.clone()),
                Some(Err(error)) => executed.failed.push(FailedOp { op: op.clone(), error }),
                None => executed.not_started.push(op.clone()),
            }
        }
    }
    // What is undone permits again what is gone by now.
    if mode == Mode::PressOn || (executed.failed.is_empty() && !executed.interrupted) {
        kernel.end_flows(&[]).await;
    }
    executed
}

/// Where the kernel shall be.
pub(super) struct Target<'a> {
    pub(super) scope: &'a Scope,
    pub(super) desired: &'a Desired,
    pub(super) applied: &'a State,
}

/// Observes until nothing is left to do, or something that does not pass by itself; returns that.
pub(super) async fn settle<K: Kernel>(kernel: &mut K, target: &Target<'_>) -> Result<Plan, Failure> {
    let mut polls = POLLS;
    loop {
        let observed = kernel.observe(target.scope).await.map_err(Failure::Unreadable)?;
        let rest =
            plan(target.desired, &observed, target.applied, Extra::default()).map_err(Failure::InTheWay)?;
        let vanishing = rest.waves.iter().flatten().all(|op| matches!(op, Op::Delete(_)));
        if rest.is_empty() || !vanishing || polls == 0 {
            return Ok(rest);
        }
        polls -= 1;
        tokio::time::sleep(POLL).await;
    }
}
