//! The comments of a text.

use std::ops::Range;

use super::super::sources::Source;
use super::super::spans;

/// Returns where the comments of a text stand, in order, their line breaks left out.
pub(super) fn comments(source: &Source) -> Vec<Range<usize>> {
    let text = &*source.text;
    let mut scalars: Vec<_> = spans::index(source).map(|spans| spans.scalars().collect()).unwrap_or_default();
    scalars.sort_by_key(|range: &Range<usize>| range.start);
    let is_in_scalar = |at: usize| {
        let before = scalars.partition_point(|range| range.start <= at);
        before.checked_sub(1).and_then(|last| scalars.get(last)).is_some_and(|range| range.contains(&at))
    };
    let mut found: Vec<Range<usize>> = vec![];
    for (at, _) in text.match_indices('#') {
        let begins = text.get(..at).is_none_or(|before| before.is_empty() || before.ends_with(BLANK));
        let is_in_another = found.last().is_some_and(|last| last.contains(&at));
        if begins && !is_in_another && !is_in_scalar(at) {
            found.push(at..source.line_end(source.line_of(at)));
        }
    }
    found
}

/// What a comment is separated by from what is before it: YAML 1.2.2 section 6.6.
const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::sources::Sources;

    #[test]
    fn a_comment_is_told_from_a_text_with_a_hash() {
        let text = "# one\na: 'x # y' # two\nb: x#y\nc: |\n  # text\nd: [1, # three\n  2]\r\n\"#e\": '#' # four # still\n";
        let mut sources = Sources::default();
        sources.add("", text);

        let found: Vec<_> = comments(&sources.files()[0]).into_iter().map(|range| &text[range]).collect();

        assert_eq!(found, ["# one", "# two", "# three", "# four # still"]);
    }
}
