//! Plans as text, JSON and markdown. Equal plans give equal bytes.

mod json;
mod markdown;
mod text;

pub use json::{json, schema};
pub use markdown::markdown;
pub use text::text;

use super::{Action, Cause, Change, Plan};

/// How to render.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to colour.
    pub colour: Colour,
    /// How much to say.
    pub detail: Detail,
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// ANSI escape sequences, for terminals.
    Ansi,
    /// None, for pipes and files.
    None,
}

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What changes.
    Changes,
    /// The kernel operations, too, as ip(8) and nft(8) commands.
    Operations,
}

/// Returns the sign of an action, as Terraform writes it.
fn sign(action: Action) -> &'static str {
    match action {
        Action::Create => "+",
        Action::Update => "~",
        Action::Replace => "-/+",
        Action::Destroy => "-",
    }
}

fn done(action: Action) -> &'static str {
    match action {
        Action::Create => "will be created",
        Action::Update => "will be updated in place",
        Action::Replace => "must be replaced",
        Action::Destroy => "will be destroyed",
    }
}

fn causes(change: &Change) -> String {
    let names = change.causes.iter().map(|cause| match cause {
        Cause::Config => "config",
        Cause::Drift => "drift",
    });
    format!("[{}]", names.collect::<Vec<_>>().join(", "))
}

/// Returns whose packets are lost, and why.
fn interruption(change: &Change) -> String {
    if change.interrupts.is_empty() {
        return "no interruption".to_owned();
    }
    let whom = change.interrupts.iter().map(|it| format!("{} ({})", it.attachment, it.why));
    format!("interrupts {}", whom.collect::<Vec<_>>().join(", "))
}

/// Returns the last line of a plan.
fn summary(plan: &Plan) -> String {
    let counts = plan.counts();
    let mut line =
        format!("Plan: {} to add, {} to change, {} to destroy", counts.add, counts.change, counts.destroy);
    match counts.replace {
        0 => {}
        1 => line.push_str(" (1 is a replacement)"),
        more => line.push_str(&format!(" ({more} are replacements)")),
    }
    line.push('.');
    let repairs = plan.changes.iter().filter(|change| change.causes.contains(&Cause::Drift)).count();
    match repairs {
        0 => {}
        1 => line.push_str(" 1 repairs drift."),
        more => line.push_str(&format!(" {more} repair drift.")),
    }
    if plan.unchanged > 0 {
        line.push_str(&format!(" {} unchanged.", plan.unchanged));
    }
    line
}

