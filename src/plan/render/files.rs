//! Files before and after.

use std::collections::BTreeSet;

use similar::{ChangeTag, TextDiff};

/// How many changed lines of a file are shown unless everything is.
pub(super) const SHOWN: usize = 12;

/// Returns the lines that differ, each with `-` or `+`.
pub(super) fn changed_lines(before: &str, after: &str) -> Vec<(char, String)> {
    let diff = TextDiff::from_lines(before, after);
    let sign = |tag| match tag {
        ChangeTag::Delete => Some('-'),
        ChangeTag::Insert => Some('+'),
        ChangeTag::Equal => None,
    };
    let lines = diff.iter_all_changes().filter_map(|change| {
        let line = change.value().trim_end_matches('\n').to_owned();
        sign(change.tag()).map(|sign| (sign, line))
    });
    lines.collect()
}

/// Returns which names a hosts file gains and loses, e.g. `+app -old`; `None` when only addresses differ.
pub(super) fn changed_names(before: &str, after: &str) -> Option<String> {
    let (old, new) = (names(before), names(after));
    let added = new.difference(&old).map(|name| format!("+{name}"));
    let removed = old.difference(&new).map(|name| format!("-{name}"));
    let words: Vec<String> = added.chain(removed).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Returns the names in a hosts file, hosts(5).
fn names(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split_whitespace().skip(1)).collect()
}
