//! A plan as markdown for a pull request: the summary first, a block for each change that folds away.

use std::fmt::Write;

use super::moved;
use super::view::{self, Entries, Line, Sign};
use super::{Detail, Look, Operations, Standing};
use crate::plan::{Change, ForeignNote, Plan, equivalent};

/// What a comment on a pull request may hold: GitHub takes 65,536 characters.
const LIMIT: usize = 60_000;
/// How much of that lists may fill: what follows says what did not fit.
const ROOM: usize = LIMIT - 1_000;

/// Returns a plan as markdown of at most 60 kB; what does not fit is counted.
pub fn markdown(plan: &Plan, look: &Look) -> String {
    let mut out = String::new();
    if plan.is_empty() {
        let [first, second] = view::no_changes(plan, &look.source);
        let _ = writeln!(out, "**{first}** {second}.\n");
    } else {
        let _ = writeln!(out, "**{}**\n", view::summary(plan));
    }
    if let Some(part) = view::part(plan) {
        let _ = writeln!(out, "> **Note:** {part}\n");
    }
    if look.detail == Detail::Summary {
        if let Some(moved) = moved::moved(plan) {
            let _ = writeln!(out, "Drift: {moved}.\n");
        }
        warnings(&mut out, plan);
        push(&mut out, plan.changes.iter().map(line), "changes");
        return out;
    }
    let mut items: Vec<String> = plan.drift.iter().map(drift).collect();
    items.extend(plan.foreign.iter().map(|note| {
        let ForeignNote { owner, what, by: _, goes: _ } = note;
        format!("- `{owner}`: {what}, {}\n", moved::fate(note))
    }));
    if !items.is_empty() {
        out.push_str("### Drift\n\n");
        push(&mut out, items, "items");
        out.push('\n');
    }
    warnings(&mut out, plan);
    let entries = Entries::new(plan);
    push(&mut out, plan.changes.iter().map(|change| block(change, &entries, look)), "changes");
    if look.detail == Detail::Full {
        push(&mut out, look.standing.iter().map(unchanged), "unchanged resources");
    }
    if look.operations == Operations::Shown {
        operations(&mut out, plan);
    }
    out
}

fn warnings(out: &mut String, plan: &Plan) {
    let waiting = plan.extra.waiting.iter();
    let waiting = waiting
        .map(|(name, _)| format!("> **Waiting:** `container.{name}`: its namespace is not there yet\n\n"));
    push(out, waiting, "waiting containers");
    let warnings = plan.extra.warnings.iter();
    push(out, warnings.map(|warning| format!("> **Warning:** {warning}\n\n")), "warnings");
}

/// A change in a line.
fn line(change: &Change) -> String {
    let sign = Sign::of(change.action).as_str();
    let (causes, cost) = (view::causes(&change.causes), view::interruption(change));
    let place = change.origin.as_ref().map_or(String::new(), |origin| format!(" `{origin}`"));
    format!("- `{sign:3} {}` {causes} {cost}{place}\n", change.owner)
}

/// A block for what stays as it is.
fn unchanged(standing: &Standing) -> String {
    let Standing { owner, origin, objects } = standing;
    let place = origin.as_ref().map_or(String::new(), |origin| format!("`{origin}`\n\n"));
    let count =
        if objects.len() == 1 { "1 object stays" } else { &format!("{} objects stay", objects.len()) };
    let objects: String = objects.iter().map(|object| format!("- `{object}`\n")).collect();
    format!("<details><summary>{owner}: {count} unchanged</summary>\n\n{place}{objects}</details>\n\n")
}

/// The operations that fit, as commands that do the same.
fn operations(out: &mut String, plan: &Plan) {
    let commands = plan.waves.iter().flatten().flat_map(equivalent);
    out.push_str("<details><summary>Operations</summary>\n\n```sh\n");
    let mut left = 0;
    for command in commands {
        if left == 0 && out.len() + command.len() < ROOM {
            let _ = writeln!(out, "{command}");
        } else {
            left += 1;
        }
    }
    out.push_str("```\n</details>\n");
    if left > 0 {
        let _ = writeln!(out, "\n{left} more operations do not fit here; see the plan's text.");
    }
}

fn drift(item: &crate::plan::Drift) -> String {
    let (sign, owner, what, winner) = moved::drift(item);
    format!("- `{} {owner}`: {what}, {winner}\n", sign.as_str())
}

/// Appends what fits, and says how much does not.
fn push(out: &mut String, items: impl IntoIterator<Item = String>, what: &str) {
    let mut left = 0;
    for item in items {
        if left == 0 && out.len() + item.len() < ROOM {
            out.push_str(&item);
        } else {
            left += 1;
        }
    }
    if left > 0 {
        let _ = writeln!(out, "\n{left} more {what} do not fit here; see the plan's text.");
    }
}

fn block(change: &Change, entries: &Entries<'_>, look: &Look) -> String {
    let mut out = String::new();
    let sign = Sign::of(change.action).as_str();
    let (causes, cost) = (view::causes(&change.causes), view::interruption(change));
    let _ = writeln!(
        out,
        "<details><summary><code>{sign}</code> {} {causes} {cost}</summary>\n",
        view::headline(entries, change)
    );
    if let Some(origin) = &change.origin {
        let _ = writeln!(out, "`{origin}`\n");
    }
    out.push_str("```diff\n");
    for Line { sign, depth, text } in view::body(change, entries, look) {
        // GitHub colours by the first character.
        let mark = match sign {
            Sign::Add => '+',
            Sign::Remove => '-',
            Sign::Change | Sign::Replace => '!',
            Sign::Note | Sign::Foreign => '#',
        };
        let indent = 2 * depth.saturating_sub(1);
        let _ = writeln!(out, "{mark} {:indent$}{}", "", text.replace("```", "'''"));
    }
    out.push_str("```\n</details>\n\n");
    out
}
