//! A plan as text, in ASCII, with or without colour.

use std::fmt::Write;

use super::moved;
use super::view::{self, Entries, Line, Sign};
use super::{Colour, Detail, Look, Operations, Standing};
use crate::plan::{Action, Change, Plan, equivalent};

/// Where the right-hand column begins.
const COLUMN: usize = 64;

/// Returns a plan as text.
pub fn text(plan: &Plan, look: &Look) -> String {
    let mut out = String::new();
    match look.detail {
        Detail::Summary => lines(&mut out, plan, look),
        Detail::Changed | Detail::Full => {
            drift(&mut out, plan, look);
            blocks(&mut out, plan, look);
        }
    }
    if look.operations == Operations::Shown {
        operations(&mut out, plan);
    }
    notes(&mut out, plan);
    if look.detail != Detail::Summary {
        going(&mut out, plan, look);
    }
    if let Some(part) = view::part(plan) {
        let _ = writeln!(out, "Note: {part}\n");
    }
    if plan.is_empty() {
        let [first, second] = view::no_changes(plan, &look.source);
        let _ = writeln!(out, "{first} {second} ({} objects).", plan.objects);
    } else {
        let _ = writeln!(out, "{}", view::summary(plan));
    }
    out
}

/// A line for each resource that does not stay as it is.
fn lines(out: &mut String, plan: &Plan, look: &Look) {
    let width = plan.changes.iter().map(|change| change.owner.to_string().len()).max().unwrap_or_default();
    for change in &plan.changes {
        let sign = Sign::of(change.action);
        let sign = painted(&format!("{:3}", sign.as_str()), sign, look.colour);
        let (causes, cost) = (view::causes(&change.causes), view::interruption(change));
        let place = change.origin.as_ref().map(ToString::to_string).unwrap_or_default();
        let line = format!("{sign} {:width$}  {causes:15}  {cost:15}  {place}", change.owner);
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if let Some(moved) = moved::moved(plan) {
        let _ = writeln!(out, "Drift: {moved}.");
    }
    if !out.is_empty() {
        out.push('\n');
    }
}

/// What happens to the resources, and what stays as it is when all is asked for.
fn blocks(out: &mut String, plan: &Plan, look: &Look) {
    if !plan.changes.is_empty() {
        out.push_str("Changes\n");
        let entries = Entries::new(plan);
        for change in &plan.changes {
            block(out, change, &entries, look);
        }
    }
    if look.detail == Detail::Full && !look.standing.is_empty() {
        out.push_str("Unchanged\n");
        for Standing { owner, origin, objects } in &look.standing {
            let place = origin.as_ref().map(ToString::to_string).unwrap_or_default();
            let line = format!("    {:60}  {place}", view::block(owner));
            let _ = writeln!(out, "{}", line.trim_end());
            for object in objects {
                let _ = writeln!(out, "        {object}");
            }
        }
        out.push('\n');
    }
}

fn drift(out: &mut String, plan: &Plan, look: &Look) {
    if plan.drift.is_empty() && plan.foreign.is_empty() {
        return;
    }
    match look.generation {
        Some(number) => {
            let _ = writeln!(out, "Drift since generation {number}");
        }
        None => out.push_str("Drift\n"),
    }
    let mut rows: Vec<(Sign, String, String, String)> = plan
        .drift
        .iter()
        .map(moved::drift)
        .map(|(sign, owner, what, winner)| (sign, owner, what, winner.to_owned()))
        .collect();
    rows.extend(plan.foreign.iter().map(|note| {
        let by = note.by.as_ref().map_or("not ours".to_owned(), |by| format!("of {by}"));
        let fate = moved::fate(note);
        (Sign::Foreign, note.owner.to_string(), note.what.clone(), format!("{fate}: {by}"))
    }));
    let width = |column: fn(&(Sign, String, String, String)) -> &str| {
        rows.iter().map(|row| column(row).chars().count()).max().unwrap_or_default()
    };
    let (owners, whats) = (width(|row| &row.1), width(|row| &row.2).min(COLUMN));
    for (sign, owner, what, winner) in &rows {
        let sign = painted(sign.as_str(), *sign, look.colour);
        let _ = writeln!(out, "  {sign} {owner:owners$}  {what:whats$}  {winner}");
    }
    out.push('\n');
}

fn block(out: &mut String, change: &Change, entries: &Entries<'_>, look: &Look) {
    let sign = Sign::of(change.action);
    let head = format!("  # {}", view::headline(entries, change));
    let _ = writeln!(
        out,
        "{}  {:8}  {}",
        painted(&format!("{head:COLUMN$}"), Sign::Note, look.colour),
        view::causes(&change.causes),
        view::interruption(change)
    );
    let head = format!(
        "{} {}",
        painted(&format!("{:>3}", sign.as_str()), sign, look.colour),
        view::block(&change.owner)
    );
    let place = change.origin.as_ref().map(ToString::to_string).unwrap_or_default();
    // The paint has no width.
    let wide = COLUMN + head.len() - (4 + view::block(&change.owner).len());
    let _ = writeln!(out, "{}", format!("{head:wide$}  {place}").trim_end());
    for Line { sign, depth, text } in view::body(change, entries, look) {
        let indent = 2 + 4 * depth;
        let _ = writeln!(out, "{:indent$}{} {text}", "", painted(sign.as_str(), sign, look.colour));
    }
    out.push('\n');
}

fn operations(out: &mut String, plan: &Plan) {
    for (number, wave) in plan.waves.iter().enumerate() {
        let _ = writeln!(out, "Operations, wave {} of {}", number + 1, plan.waves.len());
        for line in wave.iter().flat_map(equivalent) {
            let _ = writeln!(out, "  $ {line}");
        }
        out.push('\n');
    }
}

fn notes(out: &mut String, plan: &Plan) {
    let (waiting, warnings) = (&plan.extra.waiting, &plan.extra.warnings);
    if !waiting.is_empty() {
        out.push_str("Waiting\n");
        for (container, origin) in waiting {
            let place = origin.as_ref().map_or(String::new(), |origin| format!("  {origin}"));
            let _ = writeln!(out, "  container.{container}  its namespace is not there yet{place}");
        }
        out.push('\n');
    }
    for warning in warnings {
        let _ = writeln!(out, "Warning: {warning}");
    }
    if !warnings.is_empty() {
        out.push('\n');
    }
}

/// Repeats what goes or interrupts, so that a long plan does not hide it.
fn going(out: &mut String, plan: &Plan, look: &Look) {
    let goes = |change: &&Change| match change.action {
        Action::Replace | Action::Destroy => true,
        Action::Create | Action::Update => !change.interrupts.is_empty(),
    };
    let changes: Vec<&Change> = plan.changes.iter().filter(goes).collect();
    if changes.is_empty() {
        return;
    }
    out.push_str("Destroys, replacements and interruptions\n");
    let width = changes.iter().map(|change| change.owner.to_string().len()).max().unwrap_or_default();
    for change in changes {
        let sign = Sign::of(change.action);
        let sign = painted(&format!("{:3}", sign.as_str()), sign, look.colour);
        let _ = writeln!(out, "  {sign} {:width$}  {}", change.owner, view::interruption(change));
    }
    out.push('\n');
}

fn painted(text: &str, sign: Sign, colour: Colour) -> String {
    let code = match sign {
        Sign::Add => 32,
        Sign::Remove | Sign::Replace => 31,
        Sign::Change => 33,
        Sign::Note => 90,
        Sign::Foreign => 36,
    };
    match colour {
        Colour::Never => text.to_owned(),
        Colour::Always => format!("\x1b[{code}m{text}\x1b[0m"),
    }
}
