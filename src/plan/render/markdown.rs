//! A plan for a pull request.

use std::fmt::Write as _;

use super::{Colour, Detail, Style, summary, text};
use crate::plan::Plan;

/// The most bytes that a comment may have, with some to spare: GitHub takes 65,536 characters.
const LIMIT: usize = 60_000;

/// Returns a plan as markdown: the summary first, and the changes as a diff that folds.
pub fn markdown(plan: &Plan) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "### {}\n", if plan.is_empty() { "No changes.".to_owned() } else { summary(plan) });
    let style = Style { colour: Colour::None, detail: Detail::Changes };
    let body = text(plan, style);
    let mut diff = String::new();
    for line in body.lines() {
        let line = in_first_column(line);
        if diff.len() + line.len() > LIMIT {
            diff.push_str("# (cut here; `netform plan` shows all of it)\n");
            break;
        }
        diff.push_str(&line);
        diff.push('\n');
    }
    let _ = writeln!(page, "<details><summary>Changes</summary>\n\n```diff\n{diff}```\n\n</details>");
    page
}

/// Puts a line's sign where a diff has it: in the first column, `!` for changes.
fn in_first_column(line: &str) -> String {
    let trimmed = line.trim_start();
    let sign = match trimmed.split(' ').next() {
        Some("+") => "+",
        Some("-") => "-",
        Some("~" | "-/+") => "!",
        Some(_) | None => " ",
    };
    format!("{sign}{line}")
}
