//! Single changes of a text: by the editor where it can, else by the places of its nodes.

use std::ops::Range;

use noyalib::cst::parse_document;
use noyalib::path::push_key;
use serde_yaml::Value;

use super::super::sources::{Source, Sources};
use super::super::spans::{self, Id, Spans};
use super::path::{Path, Step};
use super::render::{self, Dialect};

/// How wide a line may become before a new value gets several.
const WIDTH: usize = 100;

/// Where a value stands.
struct Spot {
    id: Id,
    /// Its key; `None` for an item of a list and for the whole.
    key: Option<Range<usize>>,
    /// Its own bytes; empty where nothing is written.
    value: Range<usize>,
}

/// A text with the places of its nodes.
pub(super) struct Places {
    sources: Sources,
    spans: Spans,
}

impl Places {
    /// Returns the places of a text; `None` when it cannot be followed.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut sources = Sources::default();
        let file = sources.add("", text);
        let spans = spans::index(sources.get(file)?).ok()?;
        Some(Self { sources, spans })
    }

    /// Returns the text with its lines.
    pub(super) fn source(&self) -> Option<&Source> {
        self.sources.get(0)
    }

    /// Returns the bytes of all keys and values that are neither maps nor lists.
    pub(super) fn scalars(&self) -> impl Iterator<Item = Range<usize>> {
        self.spans.scalars()
    }

    fn text(&self) -> &str {
        self.source().map_or("", |source| &source.text)
    }

    fn at(&self, path: &Path) -> Option<Spot> {
        let root = self.spans.root?;
        let mut spot = Spot { id: root, key: None, value: self.spans.range(root)? };
        for step in &path.0 {
            // What an alias stands for is elsewhere, and others may stand for it, too.
            if self.spans.is_alias(spot.id) {
                return None;
            }
            let (key, id) = match step {
                Step::Item(index) => (None, self.spans.items(spot.id).get(*index).copied()?),
                Step::Key(name) => {
                    let is_named = |(key, _): &&(Id, Id)| {
                        let written = self.spans.range(*key).and_then(|range| self.text().get(range));
                        written.and_then(|text| serde_yaml::from_str::<String>(text).ok()).as_deref()
                            == Some(name)
                    };
                    let (key, id) = self.spans.entries(spot.id).iter().find(is_named).copied()?;
                    (Some(self.spans.range(key)?), id)
                }
            };
            spot = Spot { id, key, value: self.spans.range(id)? };
        }
        Some(spot)
    }

    /// Returns the bytes that go when an entry or an item goes: with the comments right above it, and behind it.
    pub(super) fn whole_entry(&self, path: &Path) -> Option<Range<usize>> {
        let (source, spot) = (self.source()?, self.at(path)?);
        let start = spot.key.map_or(spot.value.start, |key| key.start);
        let is_item = matches!(path.0.last(), Some(Step::Item(_)));
        let dash = is_item.then(|| self.lonely_dash(start)).flatten();
        let mut first = dash.unwrap_or_else(|| source.line_of(start));
        let is_comment = |line: usize| {
            let text = source.text.get(source.line_start(line)..source.line_end(line));
            text.is_some_and(|text| text.trim_start().starts_with('#'))
        };
        while let Some(above) = first.checked_sub(1).filter(|line| is_comment(*line)) {
            first = above;
        }
        let end = source.line_end(source.line_of(spot.value.end.max(start)));
        Some(source.line_start(first)..end)
    }

    /// Returns the line of an item's dash, when that has a line for itself above the item.
    fn lonely_dash(&self, start: usize) -> Option<usize> {
        let source = self.source()?;
        let line = source.line_of(start);
        let before = source.text.get(source.line_start(line)..start)?;
        if !before.trim().is_empty() {
            return None;
        }
        for above in (0..line).rev() {
            let text = source.text.get(source.line_start(above)..source.line_end(above))?.trim_start();
            let rest = text.strip_prefix('-').map(str::trim_start);
            match rest {
                Some(rest) if rest.trim_end().is_empty() || rest.starts_with('#') => return Some(above),
                Some(_) => return None,
                None if text.trim_end().is_empty() || text.starts_with('#') => {}
                None => return None,
            }
        }
        None
    }

    /// Returns the bytes of a value, and what stands between its key and it.
    pub(super) fn whole_value(&self, path: &Path) -> Option<Range<usize>> {
        let spot = self.at(path)?;
        Some(spot.key.map_or(spot.value.start, |key| key.end)..spot.value.end)
    }

    /// Tells whether the last value of a map has lines of its own.
    fn is_roomy(&self, path: &Path) -> bool {
        let last = self.at(path).and_then(|spot| self.spans.entries(spot.id).last().copied());
        let Some((key, value)) = last else { return path.0.is_empty() };
        let line = |id: Id, of: fn(Range<usize>) -> usize| {
            let byte = self.spans.range(id).map(of)?;
            Some(self.source()?.line_of(byte))
        };
        self.spans.entries(value).first().is_some_and(|(first, _)| {
            line(key, |range| range.end) != line(*first, |range| range.start) && !self.is_flow(value)
        })
    }

    /// Tells whether there is a map or a list in brackets.
    pub(super) fn is_in_brackets(&self, path: &Path) -> bool {
        self.at(path).is_some_and(|spot| self.is_flow(spot.id))
    }

    fn is_flow(&self, id: Id) -> bool {
        let written = self.spans.range(id).and_then(|range| self.text().get(range));
        written.is_some_and(|text| text.starts_with(['{', '[']))
    }
}

/// Returns the text with another value at a path, as the editor does it.
pub(super) fn set(text: &str, path: &Path, value: &Value) -> Option<String> {
    let mut document = parse_document(text).ok()?;
    match (value, Dialect::of(text)) {
        // It keeps the quotes that are there.
        (Value::String(word), Dialect::Yaml) => {
            document.set_value(&address(path), &noyalib::Value::String(word.clone())).ok()?;
        }
        (value, dialect) => document.set(&address(path), &render::flow(value, dialect)).ok()?,
    }
    Some(document.to_string())
}

/// Returns the text without what is at a path, as the editor does it.
pub(super) fn remove(text: &str, path: &Path) -> Option<String> {
    let mut document = parse_document(text).ok()?;
    document.remove(&address(path)).ok()?;
    Some(document.to_string())
}

/// Returns the text without the lines of an entry or an item, where these are its own.
pub(super) fn cut(text: &str, path: &Path) -> Option<String> {
    let lines = Places::of(text)?.whole_entry(path)?;
    let end = text.get(lines.end..)?.find('\n').map_or(text.len(), |at| lines.end + at + 1);
    spliced(text, lines.start..end, "")
}

/// Returns the text with another item at the end of a list, as the editor does it.
pub(super) fn push(text: &str, path: &Path, value: &Value) -> Option<String> {
    let mut document = parse_document(text).ok()?;
    let fragment = render::flow(value, Dialect::of(text));
    document.push_back(&address(path), &fragment).ok()?;
    Some(document.to_string())
}

/// Returns the text with another key at the end of a map, as the editor does it: with lines of its own where its
/// neighbour has such, and on one line elsewhere.
pub(super) fn insert(text: &str, path: &Path, key: &str, value: &Value) -> Option<String> {
    let flow = render::flow(value, Dialect::of(text));
    let roomy = Places::of(text).is_some_and(|places| places.is_roomy(path));
    let fragment = match render::block(value) {
        Some(block) if roomy || flow.len() + key.len() + 2 * path.0.len() > WIDTH => block,
        Some(_) | None => flow,
    };
    let mut document = parse_document(text).ok()?;
    document.insert_entry(&address(path), key, &fragment).ok()?;
    let mut after = document.to_string();
    // A value of several lines swallows the break at the end of the text.
    if text.ends_with('\n') && !after.ends_with('\n') {
        after.push('\n');
    }
    Some(after)
}

/// Returns the text with another key on a line of its own below a map that is not in brackets: the editor knows no place
/// in an item of a list that has one key.
pub(super) fn append(text: &str, path: &Path, key: &str, value: &Value) -> Option<String> {
    let (places, dialect) = (Places::of(text)?, Dialect::of(text));
    let (source, spot) = (places.source()?, places.at(path)?);
    let (first, _) = places.spans.entries(spot.id).first().filter(|_| !places.is_flow(spot.id))?;
    let first = places.spans.range(*first)?.start;
    let indent = " ".repeat(text.get(source.line_start(source.line_of(first))..first)?.chars().count());
    let end = source.line_end(source.line_of(spot.value.end));
    let newline = if text.get(end..)?.starts_with('\r') { "\r\n" } else { "\n" };
    let fragment =
        format!("{newline}{indent}{}: {}", render::scalar(key, dialect), render::flow(value, dialect));
    spliced(text, end..end, &fragment)
}

/// Returns the text with another value at a path, whatever was there, on one line behind its key.
pub(super) fn replace(text: &str, path: &Path, value: &Value) -> Option<String> {
    let places = Places::of(text)?;
    let (source, Spot { id, key, value: range }) = (places.source()?, places.at(path)?);
    let fragment = render::flow(value, Dialect::of(text));
    let Some(key) = key.filter(|_| range.is_empty() || !places.is_flow(id)) else {
        return spliced(text, range, &fragment);
    };
    let colon = key.end + text.get(key.end..)?.find(':')? + 1;
    let end_of_line = source.line_end(source.line_of(colon));
    if range.is_empty() || range.start <= end_of_line {
        let range = if range.is_empty() { colon..colon } else { range };
        let space = if range.start == colon { " " } else { "" };
        return spliced(text, range, &format!("{space}{fragment}"));
    }
    let comment = text.get(colon..end_of_line)?;
    spliced(text, colon..range.end, &format!(" {fragment}{comment}"))
}

/// Returns the text with something more in front of the bracket that ends a map or a list: the editor wants it to be on
/// one line.
pub(super) fn extend(text: &str, path: &Path, key: Option<&str>, value: &Value) -> Option<String> {
    let (places, dialect) = (Places::of(text)?, Dialect::of(text));
    let spot = places.at(path)?;
    let end = spot.value.end.checked_sub(1).filter(|_| places.is_flow(spot.id))?;
    let before = text.get(..end)?.trim_end();
    let comma = match before.chars().next_back() {
        Some(',' | '{' | '[') => "",
        // Without a space the colon would be a part of the key.
        Some(':') => " ,",
        Some(_) | None => ",",
    };
    let space = if before.ends_with(['{', '[']) { "" } else { " " };
    let key = key.map_or_else(String::new, |key| format!("{}: ", render::scalar(key, dialect)));
    let addition = format!("{comma}{space}{key}{}", render::flow(value, dialect));
    let until = if before.ends_with(':') && !text.get(before.len()..end)?.contains('\n') {
        end
    } else {
        before.len()
    };
    spliced(text, before.len()..until, &addition)
}

/// Returns the text with a list of names as a map of these names, each with nothing behind it.
pub(super) fn list_to_map(text: &str, path: &Path) -> Option<String> {
    let places = Places::of(text)?;
    let spot = places.at(path)?;
    let items = places.spans.items(spot.id);
    if places.is_flow(spot.id) {
        return None;
    }
    let source = places.source()?;
    let parent = spot.key.map(|key| source.line_and_column(key.start).1)?;
    let mut edited = text.to_owned();
    for item in items.iter().rev() {
        let name = places.spans.range(*item)?;
        let dash = text.get(..name.start)?.rfind('-')?;
        let indent = if source.line_and_column(dash).1 > parent { "" } else { "  " };
        edited.insert(name.end, ':');
        edited.replace_range(dash..name.start, indent);
    }
    Some(edited)
}

fn spliced(text: &str, range: Range<usize>, fragment: &str) -> Option<String> {
    Some(format!("{}{fragment}{}", text.get(..range.start)?, text.get(range.end..)?))
}

/// Returns a path as the editor writes it.
fn address(path: &Path) -> String {
    let mut text = String::new();
    for step in &path.0 {
        match step {
            Step::Key(key) => push_key(&mut text, key),
            Step::Item(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}
