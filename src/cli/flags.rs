//! The flags of verbs that plan and change something.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::{PlanFormat, duration};
use crate::apply::OnFailure;
use crate::plan::render::Detail;
use crate::plan::target::Selection;

/// How a plan is shown.
#[derive(Debug, Clone, Args)]
pub(super) struct Rendering {
    /// Show the kernel operations, too, as their ip and nft equivalents.
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// How much to show: a line for each resource, what changes, or also what does not and every kernel object.
    #[arg(long = "show", value_name = "HOW-MUCH", default_value = "changed")]
    pub(super) detail: HowMuch,
    /// How to print the plan.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) output: PlanFormat,
}

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum HowMuch {
    Summary,
    Changed,
    Full,
}

impl From<HowMuch> for Detail {
    fn from(detail: HowMuch) -> Self {
        match detail {
            HowMuch::Summary => Self::Summary,
            HowMuch::Changed => Self::Changed,
            HowMuch::Full => Self::Full,
        }
    }
}

/// Which resources a plan is about.
#[derive(Debug, Clone, Args)]
pub(super) struct Part {
    /// Only this resource, e.g. network.front or attachment.web@front, and what it needs; may be repeated.
    #[arg(long = "target", value_name = "ADDRESS")]
    targets: Vec<String>,
    /// Leave this resource alone, and what cannot be without it; may be repeated.
    #[arg(long = "exclude", value_name = "ADDRESS")]
    excludes: Vec<String>,
}

impl From<Part> for Selection {
    fn from(part: Part) -> Self {
        let Part { targets, excludes } = part;
        Self { targets, excludes }
    }
}

/// How a run goes.
#[derive(Debug, Clone, Args)]
pub(super) struct Run {
    /// Do not ask.
    #[arg(short, long, visible_alias = "auto-approve")]
    pub(super) yes: bool,
    /// How long to wait for another run to end, e.g. 30s or 500ms.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) lock_timeout: Duration,
    /// Refuse to destroy more resources than this.
    #[arg(long, value_name = "N")]
    pub(super) max_destroy: Option<usize>,
    /// Let a manifest without networks and containers destroy what is there.
    #[arg(long)]
    pub(super) allow_empty: bool,
    /// Let it cut the SSH session that netform was started from.
    #[arg(long)]
    pub(super) allow_management_path: bool,
    /// What to do when something fails: undo what was done, or leave it and stop.
    #[arg(long, value_name = "WHAT", default_value = "rollback")]
    pub(super) on_failure: WhenItFails,
}

/// What to do when something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WhenItFails {
    Rollback,
    Stop,
}

impl From<WhenItFails> for OnFailure {
    fn from(what: WhenItFails) -> Self {
        match what {
            WhenItFails::Rollback => Self::RollBack,
            WhenItFails::Stop => Self::Stop,
        }
    }
}
