//! How a run goes, for machines: lines of JSON, the last of which always says how it ended.
//!
//! Minor versions add fields and events; a reader passes over what it does not know.

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::render::digest::Digest;
use crate::plan::render::json::Source;

/// The version of the lines.
pub(super) const FORMAT: &str = "1.0";

/// One line.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Line {
    /// The version of these lines, `MAJOR.MINOR`.
    pub(super) format_version: &'static str,
    /// Milliseconds since the run began.
    pub(super) at_ms: u64,
    #[serde(flatten)]
    pub(super) event: Event,
}

/// What happened.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// The run begins: always the first line.
    RunBegin(Begin),
    /// What will be done.
    Plan(Digest),
    /// Something that a user should know.
    Note {
        /// What.
        message: String,
    },
    /// An operation is begun; those of a wave run together. Where one fails, others of its wave may not be come to: nothing more is
    /// said of them.
    OperationStarted(Operation),
    /// An operation is done.
    OperationDone(Operation),
    /// An operation failed.
    OperationFailed(Operation),
    /// All was done, and seen to be done by reading the kernel again.
    Verified {
        /// How many operations were done.
        operations: usize,
    },
    /// What was done is undone, seen by reading the kernel again.
    RolledBack {
        /// How many operations took back what was done.
        operations: usize,
    },
    /// The run is undone unless it is confirmed.
    AwaitingConfirmation {
        /// The generation that waits.
        generation: u64,
        /// For how many seconds.
        seconds: u64,
    },
    /// The run is over: always the last line.
    RunEnd(End),
}

/// How a run begins.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Begin {
    /// `apply`, `try`, `destroy` or `rollback`.
    pub(super) verb: &'static str,
    /// The version of netform.
    pub(super) tool_version: &'static str,
    pub(super) pid: u32,
    /// When, by RFC 3339.
    pub(super) began_at: String,
}

/// One operation on the kernel.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Operation {
    /// Whether it carries out the plan or takes it back.
    pub(super) phase: Phase,
    /// The wave, from 0; further rounds and undoing go on counting.
    pub(super) wave: usize,
    /// `create`, `update` or `delete`.
    pub(super) op: &'static str,
    /// The kernel object.
    pub(super) object: String,
    /// The resource that it belongs to.
    pub(super) address: String,
    /// Where the manifest asks for it.
    pub(super) source: Option<Source>,
    /// How long its wave took, in microseconds, once that is known.
    pub(super) duration_us: Option<u64>,
    /// Why it failed, in the kernel's own words.
    pub(super) error: Option<String>,
}

/// What an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Applying,
    Undoing,
}

/// How a run ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct End {
    pub(super) outcome: Outcome,
    /// The exit code of the process.
    pub(super) exit_code: u8,
    /// The newest generation, when there is one and it was looked at.
    pub(super) generation: Option<u64>,
    pub(super) operations: Operations,
    pub(super) durations: Durations,
    /// What went wrong, as people are told.
    pub(super) message: Option<String>,
    /// What to do about it.
    pub(super) help: Option<String>,
}

/// How many operations there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Operations {
    pub(super) done: usize,
    pub(super) failed: usize,
    pub(super) not_started: usize,
    /// How many took back what was done.
    pub(super) undone: usize,
}

/// How long a run took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Durations {
    /// All of it, waiting for the lock included.
    pub(super) total_ms: u64,
    /// Reading the kernel and planning, when it came to that.
    pub(super) plan_ms: Option<u64>,
    /// Carrying out and verifying, or undoing, when it came to that.
    pub(super) apply_ms: Option<u64>,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The live state was right already.
    NothingToDo,
    /// All was done, and verified.
    Applied,
    /// The user said no.
    Declined,
    /// Failed, nothing was changed.
    Failed,
    /// Failed part-way, and not undone, or not whole.
    Stranded,
    /// Failed, and undone.
    RolledBack,
    /// The saved plan does not fit any more.
    Stale,
    /// Another run holds the lock.
    Locked,
    /// A guard refused.
    Guarded,
    /// Not confirmed in time, and undone.
    Unconfirmed,
    /// An object in the way is somebody else's.
    Foreign,
    /// The command line is wrong.
    Usage,
    /// The manifest is wrong.
    Manifest,
    /// A file is not there.
    NoInput,
    /// The kernel lacks a feature, or a program is not installed.
    Missing,
    /// A privilege is missing.
    Privilege,
    /// The user interrupted.
    Interrupted,
}

/// Returns the schema of a line, as `schemas/events.v1.json` holds it.
pub(super) fn schema() -> schemars::Schema {
    schemars::schema_for!(Line)
}
