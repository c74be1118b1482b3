//! What is said of a run that did not go on: what was done, what failed and which line asks for it, what was not started,
//! and what was undone.

use super::failure::{self, Code, Failure, chain};
use crate::apply::{self, OnFailure, Recovery, Report, Settled};
use crate::kernel::Op;
use crate::resource::ResourceId;
use crate::resource::owner::Origin;
use crate::resource::state::State;

/// How many operations are listed of each kind.
const SHOWN: usize = 10;

/// What a report needs to know of its run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// What was asked for, with the places in the manifest.
    pub(super) desired: &'a State,
    /// What was to be done about a failure.
    pub(super) on_failure: OnFailure,
    /// The newest generation; 0 when there is none.
    pub(super) newest: u64,
}

/// Says what came of a run that was killed.
pub(super) fn recovered(recovery: &Recovery) -> String {
    let Recovery { began_at: _, objects, settled } = recovery;
    match settled {
        Settled::Finished { generation } => {
            format!("A run was killed after it had done everything; generation {generation} is saved.")
        }
        Settled::Lost => {
            "A run was killed after it had done everything, and what it led to was lost with its files. The plan goes on \
             from what the kernel holds."
                .to_owned()
        }
        Settled::Undone { operations } => {
            format!(
                "A run was killed while it changed {objects} objects; it was undone ({operations} operations)."
            )
        }
        Settled::Untold { journal } => format!(
            "A run was killed, and its journal is damaged; it is kept as {}. The plan goes on from what the kernel holds.",
            journal.display()
        ),
        Settled::Stranded { left } => {
            let left: String = left.iter().map(|left| format!("\n  {}", left.id)).collect();
            format!("A run was killed, and could not be undone whole; the plan goes on from what is there:{left}")
        }
    }
}

/// Returns the failure of a run that changed nothing.
pub(super) fn unchanged(report: &Report, context: Context<'_>) -> Failure {
    let code = match report.failure {
        apply::Failure::Interrupted => Code::Interrupted,
        apply::Failure::InTheWay(_) => Code::Foreign,
        apply::Failure::Operations(_)
        | apply::Failure::Differs(_)
        | apply::Failure::Unreadable(_)
        | apply::Failure::Journal(_) => failure::code_of(report.failure.kind()),
    };
    let not_started = listed("Not started", &report.not_started);
    let text = format!("{}{not_started}\nNothing was changed.", failed(report, context.desired));
    let help = failure::help_for(report.failure.kind()).map(str::to_owned);
    Failure { help, ..Failure::new(code, text) }
}

/// Returns the failure of a run that was undone.
pub(super) fn rolled_back(report: &Report, context: Context<'_>) -> Failure {
    let code = match report.failure {
        apply::Failure::Interrupted => Code::Interrupted,
        apply::Failure::InTheWay(_)
        | apply::Failure::Operations(_)
        | apply::Failure::Differs(_)
        | apply::Failure::Unreadable(_)
        | apply::Failure::Journal(_) => Code::RolledBack,
    };
    let mut text = failed(report, context.desired);
    text.push_str(&listed("Done, and undone again", &report.done));
    text.push_str(&listed("Not started", &report.not_started));
    text.push_str(&format!(
        "\nUndone: {} took back what was done. The live state is as it was, verified.",
        operations(report.undone)
    ));
    Failure::new(code, text)
}

/// Returns the failure of a run that left the kernel between before and after.
pub(super) fn stranded(report: &Report, context: Context<'_>) -> Failure {
    let mut text = failed(report, context.desired);
    match context.on_failure {
        OnFailure::Stop => {
            text.push_str(&listed("Done, and left so", &report.done));
            text.push_str(&listed("Not started", &report.not_started));
            text.push_str("\nUndone: nothing, since --on-failure stop asks for that.");
            let back = match context.newest {
                0 => "`netform destroy` removes it".to_owned(),
                number => format!("`netform rollback {number}` goes back"),
            };
            Failure::new(Code::Stranded, text)
                .help(format!("`netform plan` shows what is left to do, `netform apply` goes on, {back}"))
        }
        OnFailure::RollBack => {
            text.push_str(&listed("Done", &report.done));
            text.push_str(&listed("Not started", &report.not_started));
            text.push_str(&format!(
                "\nUndone: {}, but it could not be undone whole. Not as before:",
                operations(report.undone)
            ));
            text.push_str(&left(report));
            Failure::new(Code::Stranded, text)
                .help("the next run tries again; `netform plan` shows what is left to do")
        }
    }
}

/// Returns an operation in words, e.g. `create link br-front`.
fn words(op: &Op) -> String {
    format!("{} {}", verb(op), op.id())
}

/// Returns what an operation does, in a word.
pub(super) fn verb(op: &Op) -> &'static str {
    match op {
        Op::Create(_) => "create",
        Op::Update { .. } => "update",
        Op::Delete(_) => "delete",
    }
}

/// Returns where the manifest asks for what an operation makes.
pub(super) fn origin(op: &Op) -> Option<&Origin> {
    match op {
        Op::Create(entry) | Op::Delete(entry) => entry.origin.as_ref(),
        Op::Update { from, to } => to.origin.as_ref().or(from.origin.as_ref()),
    }
}

/// Returns why the run did not go on, in the kernel's own words and at the manifest's lines.
fn failed(report: &Report, desired: &State) -> String {
    let at = |id: &ResourceId, origin: Option<&Origin>| {
        let origin = origin.or_else(|| desired.get(id).and_then(|entry| entry.origin.as_ref()));
        origin.map_or_else(|| id.to_string(), |origin| format!("{id} ({origin})"))
    };
    match &report.failure {
        apply::Failure::Operations(failed) => {
            let lines = failed.iter().map(|failed| {
                let id = failed.op.id();
                format!("{}: {}", at(&id, origin(&failed.op)), failed.error)
            });
            format!("the kernel refused{}", capped(lines))
        }
        apply::Failure::Differs(ids) => {
            let lines = ids.iter().map(|id| at(id, None));
            format!("all was done, but the kernel still differs{}", capped(lines))
        }
        apply::Failure::InTheWay(_)
        | apply::Failure::Unreadable(_)
        | apply::Failure::Journal(_)
        | apply::Failure::Interrupted => chain(&report.failure),
    }
}

fn left(report: &Report) -> String {
    let left = report.left.iter().map(|left| {
        let now = match (left.there, left.was_there) {
            (Some(true), true) => "differs",
            (Some(true), false) => "is there, and was not",
            (Some(false), _) => "is gone",
            (None, _) => "cannot be seen",
        };
        format!("{} {now}", left.id)
    });
    let refused = report.not_undone.iter();
    let refused = refused.map(|failed| format!("undoing failed: {}: {}", failed.op.id(), failed.error));
    left.chain(refused).map(|line| format!("\n  {line}")).collect()
}

fn listed(what: &str, ops: &[Op]) -> String {
    if ops.is_empty() {
        return String::new();
    }
    format!("\n{what}: {}{}", operations(ops.len()), capped(ops.iter().map(words)))
}

fn operations(count: usize) -> String {
    if count == 1 { "1 operation".to_owned() } else { format!("{count} operations") }
}

fn capped(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = lines.collect();
    let mut text: String = lines.iter().take(SHOWN).map(|line| format!("\n  {line}")).collect();
    if let Some(more) = lines.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}
