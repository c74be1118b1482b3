//! A plan is carried out, or undone.
//!
//! The order is what makes it safe: the new generation is prepared and the journal written before the first operation,
//! the kernel is observed again after the last, the generation is committed by a rename, and only then the journal goes.
//! Whenever a run is killed, [`recover`] finds the journal and finishes or undoes.

mod adopted;
mod again;
mod begin;
mod beside;
mod disk;
mod execute;
pub mod generation;
mod guests;
pub mod journal;
pub mod lock;
mod originals;
pub mod pending;
mod recover;
pub mod saved;
mod spare;
mod undo;
mod verify;
mod weave;
pub mod written;

use std::ops::ControlFlow;

use thiserror::Error;

use crate::kernel::{FailureKind, Kernel, ObserveError, Op, OpError, Scope};
use crate::plan::{Conflict, Plan};
use crate::resource::ResourceId;
use crate::resource::state::{Desired, State};
use begin::begin;
pub use disk::{Dirs, DiskError, projects};
use execute::{Mode, Target, execute, settle};
use generation::Generation;
use journal::Journal;
pub use originals::{lasting, shared};
pub use recover::{RecoverError, Recovery, Settled, recover, widened};
pub use verify::glance;
use written::Before;

/// How often what is left to do may be done again before the kernel counts as unwilling.
const ROUNDS: usize = 2;

/// What is to be carried out.
#[derive(Debug)]
pub struct Job<'a> {
    /// What to look at.
    pub scope: &'a Scope,
    /// Where the plan leads.
    pub desired: &'a Desired,
    /// What the last apply led to.
    pub applied: &'a State,
    /// The plan.
    pub plan: &'a Plan,
    /// Where the journal and the generations are.
    pub dirs: &'a Dirs,
    /// What to save when all is done.
    pub generation: &'a Generation,
    /// What that may be copied from.
    pub before: Option<Before<'a>>,
    /// What to do when something fails.
    pub on_failure: OnFailure,
}

/// What to do when something fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Undo what was done.
    #[default]
    RollBack,
    /// Leave what was done.
    Stop,
}

/// How far a run is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// What it is doing.
    pub phase: Phase,
    /// How many operations were begun.
    pub done: usize,
    /// How many there are.
    pub total: usize,
    /// The first operation of the wave that comes next.
    pub next: Option<&'a Op>,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It carries out the plan.
    Applying,
    /// It looks at what came of it.
    Verifying,
    /// It takes back what was done.
    Undoing,
}

/// Is told the progress before each wave; breaks off when the run shall stop and undo.
pub type Watcher<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// The plan was empty; the new generation is saved if it says something else than the last.
    NothingToDo,
    /// All was done, and seen to be done.
    Applied {
        /// What was done, further rounds included.
        done: Vec<Op>,
        /// The generation could not be saved; the next run will do that.
        unsaved: Option<DiskError>,
    },
    /// Nothing was begun, since nothing could be written down.
    NotBegun(DiskError),
    /// Something failed, and nothing had been changed.
    Unchanged(Report),
    /// Something failed, and all is as before, seen by observing.
    RolledBack(Report),
    /// Something failed, and all is not as before.
    Stranded(Report),
}

/// What was done, what failed, what was not started, what was undone, and what is left.
#[derive(Debug)]
pub struct Report {
    /// Why the run did not go on.
    pub failure: Failure,
    /// What was done.
    pub done: Vec<Op>,
    /// What was not started.
    pub not_started: Vec<Op>,
    /// How many operations took back what was done.
    pub undone: usize,
    /// What could not be taken back.
    pub not_undone: Vec<FailedOp>,
    /// What is not as it was before.
    pub left: Vec<Left>,
    /// The journal could not be removed, or the generation not be discarded.
    pub disk: Option<DiskError>,
}

/// An operation that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedOp {
    /// Which.
    pub op: Op,
    /// Why.
    pub error: OpError,
}

/// An object that is not as it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub id: ResourceId,
    /// Whether it is there now; `None` when nobody could look.
    pub there: Option<bool>,
    /// Whether it was there before.
    pub was_there: bool,
}

/// Why a run did not go on.
#[derive(Debug, Error)]
pub enum Failure {
    /// Operations of one wave failed.
    #[error("{}", operations(.0))]
    Operations(Vec<FailedOp>),
    /// All was done, but the kernel holds something else than was asked for.
    #[error("the kernel still differs after {ROUNDS} more rounds: {}", ids(.0))]
    Differs(Vec<ResourceId>),
    /// Others put something in the way.
    #[error("something came in the way: {}", conflicts(.0))]
    InTheWay(Vec<Conflict>),
    /// The kernel could not be read.
    #[error("cannot verify")]
    Unreadable(#[source] ObserveError),
    /// What a further round would do could not be written down.
    #[error("cannot write the journal")]
    Journal(#[source] DiskError),
    /// The watcher broke off.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// Returns the way to fail that decides the exit code when nothing was changed.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Operations(failed) => {
                let kinds = failed.iter().map(|failed| failed.error.kind);
                kinds.into_iter().find(|kind| *kind != FailureKind::Other).unwrap_or(FailureKind::Other)
            }
            Self::Unreadable(error) => error.kind,
            Self::Differs(_) | Self::InTheWay(_) | Self::Journal(_) | Self::Interrupted => FailureKind::Other,
        }
    }
}

fn operations(failed: &[FailedOp]) -> String {
    let texts: Vec<String> =
        failed.iter().map(|failed| format!("{}: {}", failed.op.id(), failed.error)).collect();
    texts.join("; ")
}

fn ids(ids: &[ResourceId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn conflicts(conflicts: &[Conflict]) -> String {
    conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Carries out a plan, verifies it by observing, and saves the generation; or undoes it.
///
/// The caller holds the lock, and has called [`recover`] before planning.
pub async fn run<K: Kernel>(kernel: &mut K, job: &Job<'_>, watcher: &mut Watcher<'_>) -> Outcome {
    if job.plan.is_empty() && *job.applied == job.desired.0 {
        return match job.dirs.note_segments(&job.generation.leases) {
            Ok(()) => Outcome::NothingToDo,
            Err(error) => Outcome::NotBegun(error),
        };
    }
    let touched = job.plan.touched();
    let mut journal = Journal::new(job.generation.number, job.generation.applied_at, touched);
    let begun = match begin(job, &journal) {
        Ok(begun) => begun,
        Err(error) => {
            // Nothing was done, so what was prepared is only litter.
            let _ = job.dirs.close_journal();
            job.renounce();
            return Outcome::NotBegun(error);
        }
    };
    if job.plan.is_empty() {
        let kept = job.dirs.keep_record(job.generation);
        return match kept.and_then(|()| begun.finish(job, &[])) {
            Ok(()) => Outcome::NothingToDo,
            Err(error) => Outcome::NotBegun(error),
        };
    }
    match carry_out(kernel, job, &mut journal, watcher).await {
        Ok(done) => {
            let saved = begun.finish(job, &journal.touched);
            if saved.is_err() {
                journal.is_over(job.dirs);
            }
            undo::let_go(kernel, job.dirs, &journal.touched);
            let saved = saved.and_then(|()| job.dirs.close_journal());
            Outcome::Applied { done, unsaved: saved.err() }
        }
        Err(broken) => end(kernel, job, &journal, *broken, watcher).await,
    }
}

/// Brings back what drifted: like [`run`], for a generation that is committed already, so that nothing new is saved.
pub async fn repair<K: Kernel>(kernel: &mut K, job: &Job<'_>, watcher: &mut Watcher<'_>) -> Outcome {
    if job.plan.is_empty() {
        return Outcome::NothingToDo;
    }
    let mut journal = Journal::new(journal::REPAIR, job.generation.applied_at, job.plan.touched());
    if let Err(error) = journal.write(job.dirs) {
        return Outcome::NotBegun(error);
    }
    match carry_out(kernel, job, &mut journal, watcher).await {
        Ok(done) => {
            let noted = job.dirs.remember(&journal.touched, None);
            if noted.is_err() {
                journal.is_over(job.dirs);
            }
            undo::let_go(kernel, job.dirs, &journal.touched);
            Outcome::Applied { done, unsaved: noted.and_then(|()| job.dirs.close_journal()).err() }
        }
        Err(broken) => end(kernel, job, &journal, *broken, watcher).await,
    }
}

/// A run that did not go on.
struct Broken {
    failure: Failure,
    done: Vec<Op>,
    not_started: Vec<Op>,
}

/// Carries out the plan and whatever observing shows to be left, and returns what was done.
async fn carry_out<K: Kernel>(
    kernel: &mut K,
    job: &Job<'_>,
    journal: &mut Journal,
    watcher: &mut Watcher<'_>,
) -> Result<Vec<Op>, Box<Broken>> {
    let mut executed = execute(kernel, &job.plan.waves, Mode::StopAtFailure, Phase::Applying, watcher).await;
    let mut round = 0;
    loop {
        let broken = |failure, done, not_started| Box::new(Broken { failure, done, not_started });
        if let Some(failure) = executed.failure() {
            return Err(broken(failure, executed.done, executed.not_started));
        }
        let total = executed.done.len();
        let _ = watcher(Progress { phase: Phase::Verifying, done: total, total, next: None });
        let seen = round == 0 && verify::is_done_at_a_glance(kernel, job.scope, &journal.touched).await;
        let rest = match seen {
            true => Ok(Plan::default()),
            false => {
                let scope = recover::widened(job.scope, &journal.touched);
                let target = Target { scope: &scope, desired: job.desired, applied: job.applied };
                settle(kernel, &target).await
            }
        };
        let rest = match rest {
            Ok(rest) if rest.is_empty() => {
                // Whoever asked for an end in the meantime gets what was promised: all is undone.
                let told = watcher(Progress { phase: Phase::Verifying, done: total, total, next: None });
                let undo = told.is_break() && job.on_failure == OnFailure::RollBack;
                return match undo {
                    true => Err(broken(Failure::Interrupted, executed.done, vec![])),
                    false => Ok(executed.done),
                };
            }
            Ok(rest) => rest,
            Err(failure) => return Err(broken(failure, executed.done, vec![])),
        };
        if round == ROUNDS {
            let ids = rest.waves.iter().flatten().map(Op::id).collect();
            return Err(broken(Failure::Differs(ids), executed.done, vec![]));
        }
        round += 1;
        journal.extend(rest.touched());
        if let Err(error) = journal.write(job.dirs) {
            return Err(broken(Failure::Journal(error), executed.done, vec![]));
        }
        let mut further = execute(kernel, &rest.waves, Mode::StopAtFailure, Phase::Applying, watcher).await;
        executed.done.append(&mut further.done);
        further.done = executed.done;
        executed = further;
    }
}

/// Ends a run that did not go on.
async fn end<K: Kernel>(
    kernel: &mut K,
    job: &Job<'_>,
    journal: &Journal,
    broken: Broken,
    watcher: &mut Watcher<'_>,
) -> Outcome {
    let Broken { failure, done, not_started } = broken;
    let mut report =
        Report { failure, done, not_started, undone: 0, not_undone: vec![], left: vec![], disk: None };
    if job.on_failure == OnFailure::Stop {
        kernel.end_flows(&[]).await;
        report.left = undo::left(kernel, job.scope, &journal.touched).await;
        let mut stays = journal.touched.clone();
        stays.retain(|touched| report.left.iter().any(|left| left.id == touched.id));
        let noted = job.dirs.remember(&stays, None).and_then(|()| job.keep_leases(journal, &stays));
        undo::let_go(kernel, job.dirs, &journal.touched);
        report.disk = noted.and_then(|()| job.dirs.close_journal()).err();
        return if report.left.is_empty() { Outcome::Unchanged(report) } else { Outcome::Stranded(report) };
    }
    let undone = undo::undo(kernel, job.scope, &journal.touched, watcher).await;
    report.undone = undone.done;
    report.not_undone = undone.failed;
    report.left = undone.left;
    if !report.left.is_empty() {
        // The journal stays: the next run tries again.
        return Outcome::Stranded(report);
    }
    undo::let_go(kernel, job.dirs, &journal.touched);
    report.disk = job.dirs.close_journal().err();
    job.renounce();
    if report.done.is_empty() && report.undone == 0 {
        Outcome::Unchanged(report)
    } else {
        Outcome::RolledBack(report)
    }
}

#[cfg(test)]
mod tests;
