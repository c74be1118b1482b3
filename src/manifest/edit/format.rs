//! One layout for all manifests.
//!
//! Two spaces a level, items of lists one level deeper than their key, one space between a value and its comment unless
//! the comment stands further to the right, quotes that are double, at most one empty line, lists and maps in brackets
//! broken where they are wider than a line. Keys keep their order, and brackets stay brackets.

use std::ops::Range;

use pretty_yaml::config::{FormatOptions, LanguageOptions, LayoutOptions, LineBreak, Quotes};
use pretty_yaml::format_text;

use super::comments::comments;
use super::splice::Places;
use super::{EditError, keeps, meaning, same, words};

/// How wide a line may be.
const WIDTH: usize = 120;

/// How many keys and values before a comment may be looked at: a long text of comments shall not take for ever.
const NEAR: usize = 1_000;

/// How often a layout may change before it must stay.
const ROUNDS: usize = 4;

/// Returns a text in the one layout: laid out once more, it stays as it is.
///
/// # Errors
///
/// When there is no such layout that says the same with the same comments.
pub fn formatted(text: &str) -> Result<String, EditError> {
    let meant = meaning(text).ok_or(EditError::Unreadable)?;
    let (mut before, comments) = (text.to_owned(), words(text, None));
    for _ in 0..ROUNDS {
        let after = laid_out(&before).ok_or(EditError::Layout)?;
        if after == before {
            let all_there = words(&after, None) == comments && keeps(&comments, &words(&after, None));
            let is_same = meaning(&after).is_some_and(|after| same(&after, &meant));
            return if is_same && all_there { Ok(after) } else { Err(EditError::Layout) };
        }
        before = after;
    }
    Err(EditError::Layout)
}

fn laid_out(text: &str) -> Option<String> {
    let line_break = if text.contains("\r\n") { LineBreak::Crlf } else { LineBreak::Lf };
    let options = FormatOptions {
        layout: LayoutOptions { print_width: WIDTH, indent_width: 2, line_break },
        language: LanguageOptions {
            quotes: Quotes::PreferDouble,
            trailing_comma: false,
            brace_spacing: false,
            ..LanguageOptions::default()
        },
    };
    let after = format_text(text, &options).ok()?;
    let meant = meaning(text)?;
    let is_same = |text: &str| meaning(text).is_some_and(|means| same(&means, &meant));
    if is_same(&after) {
        let short = in_short(&after);
        return aligned(text, if is_same(&short) { &short } else { &after });
    }
    // In brackets, a key with nothing behind it loses the space that tells its colon from a part of it.
    let spaced = after.replace(":,", ": ,").replace(":}", ": }");
    if is_same(&spaced) { aligned(text, &spaced) } else { None }
}

/// Writes keys with nothing behind them as others are: `? a` as `a:`. What that makes of a text which has such lines elsewhere is
/// another meaning, or none.
fn in_short(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let short = lines.iter().enumerate().map(|(at, line)| {
        let Some(key) = line.trim_start_matches(' ').strip_prefix("? ") else { return (*line).to_owned() };
        let next = lines.iter().skip(at + 1).find(|next| !next.trim().is_empty());
        let has_value = next.is_some_and(|next| {
            indentation(next) > indentation(line)
                || (indentation(next) == indentation(line) && next.trim_start().starts_with(':'))
        });
        if has_value {
            return (*line).to_owned();
        }
        let behind = key.find(" #").unwrap_or_else(|| key.trim_end().len());
        let (key, rest) = key.split_at(behind);
        format!("{}{}:{rest}", " ".repeat(indentation(line)), key.trim_end())
    });
    short.collect()
}

/// Moves comments to where they stood before: those behind a value to the same column, those with a line of their own to
/// the indentation of what they followed there.
fn aligned(before: &str, after: &str) -> Option<String> {
    let (old, new) = (Page::of(before)?, Page::of(after)?);
    if old.comments.len() != new.comments.len() {
        return None;
    }
    let mut text = after.to_owned();
    for (was, is) in old.comments.iter().zip(&new.comments).rev() {
        let line = new.line_start(is.start);
        if !after.get(line..is.start)?.trim().is_empty() {
            let room = old.column(was.start).saturating_sub(new.column(is.start));
            text.insert_str(is.start, &" ".repeat(room));
        } else if let Some(column) = old.leader(was.start).and_then(|leader| new.indentation(leader)) {
            text.replace_range(line..is.start, &" ".repeat(column));
        }
    }
    Some(text)
}

/// A text with what stands where in it.
struct Page {
    places: Places,
    comments: Vec<Range<usize>>,
    /// All keys and values that are neither maps nor lists, in the order of the text.
    scalars: Vec<usize>,
}

impl Page {
    fn of(text: &str) -> Option<Self> {
        let places = Places::of(text)?;
        let comments = comments(places.source()?);
        let mut scalars: Vec<_> = places.scalars().map(|range| range.start).collect();
        scalars.sort_unstable();
        Some(Self { places, comments, scalars })
    }

    fn line_start(&self, byte: usize) -> usize {
        self.places.source().map_or(0, |source| source.line_start(source.line_of(byte)))
    }

    /// Returns how many characters are before a byte on its line.
    fn column(&self, byte: usize) -> usize {
        self.places.source().map_or(0, |source| source.line_and_column(byte).1.saturating_sub(1))
    }

    /// Returns the indentation of the line that a scalar is on.
    fn indentation(&self, scalar: usize) -> Option<usize> {
        let source = self.places.source()?;
        let line = source.text.get(self.line_start(*self.scalars.get(scalar)?)..)?;
        Some(line.len() - line.trim_start_matches(' ').len())
    }

    /// Returns the scalar before a comment whose line has the same indentation, unless one with less is between them.
    fn leader(&self, comment: usize) -> Option<usize> {
        let column = self.column(comment);
        let before = self.scalars.partition_point(|start| *start < comment);
        let near = (0..before)
            .rev()
            .take(NEAR)
            .find(|scalar| self.indentation(*scalar).is_some_and(|it| it <= column))?;
        (self.indentation(near) == Some(column)).then_some(near)
    }
}
