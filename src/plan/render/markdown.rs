//! A plan as markdown for a pull request: the summary first, a block for each change that folds away.

use std::fmt::Write;

use super::view::{self, Entries, Line, Sign};
use super::{Detail, Look};
use crate::plan::{Change, Plan};

/// What a comment on a pull request may hold: GitHub takes 65,536 characters.
const LIMIT: usize = 60_000;

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
    let mut items: Vec<String> = plan.drift.iter().map(drift).collect();
    items.extend(plan.foreign.iter().map(|note| format!("- `{}`: {}, left alone\n", note.owner, note.what)));
    if !items.is_empty() {
        out.push_str("### Drift\n\n");
        push(&mut out, items, "items");
        out.push('\n');
    }
    for warning in &plan.extra.warnings {
        let _ = writeln!(out, "> **Warning:** {warning}\n");
    }
    let entries = Entries::new(plan);
    push(&mut out, plan.changes.iter().map(|change| block(change, &entries, look.detail)), "changes");
    out
}

fn drift(item: &crate::plan::Drift) -> String {
    let (sign, owner, what, winner) = view::drift(item);
    format!("- `{} {owner}`: {what}, {winner}\n", sign.as_str())
}

/// Appends what fits, and says how much does not.
fn push(out: &mut String, items: impl IntoIterator<Item = String>, what: &str) {
    let mut left = 0;
    for item in items {
        if left == 0 && out.len() + item.len() < LIMIT - 200 {
            out.push_str(&item);
        } else {
            left += 1;
        }
    }
    if left > 0 {
        let _ = writeln!(out, "\n{left} more {what} do not fit here; see the plan's text.");
    }
}

fn block(change: &Change, entries: &Entries<'_>, detail: Detail) -> String {
    let mut out = String::new();
    let sign = Sign::of(change.action).as_str();
    let (causes, cost) = (view::causes(&change.causes), view::interruption(change));
    let _ = writeln!(
        out,
        "<details><summary><code>{sign}</code> {} {causes} {cost}</summary>\n",
        view::headline(change)
    );
    if let Some(origin) = &change.origin {
        let _ = writeln!(out, "`{origin}`\n");
    }
    out.push_str("```diff\n");
    for Line { sign, depth, text } in view::body(change, entries, detail) {
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
