//! Where each node of a YAML text stands: a tree of byte ranges of the same form as the values.
//!
//! `serde_yaml` reads the values, and keeps no places; this is a second look at the same text. It comes first, since it
//! also refuses what would make the values too deep or too many. Where it cannot follow a text that `serde_yaml` can, a
//! node is missing, and the node above it stands in for it.

use std::borrow::Cow;
use std::ops::Range;

use foldhash::HashMap;
use saphyr_parser::{Event, Parser, Span};

use super::sources::Source;

/// How deep maps and lists may nest.
pub(super) const DEPTH_LIMIT: usize = 64;
/// How many nodes the aliases of a file may stand for.
pub(super) const ALIASED_LIMIT: usize = 100_000;

/// The number of a node in [`Spans`].
pub(super) type Id = usize;

/// The nodes of a text, and what is wrong with it as a text.
#[derive(Debug, Default)]
pub(super) struct Spans {
    nodes: Vec<Stretch>,
    /// The node of the first document.
    pub(super) root: Option<Id>,
    /// Keys that a map has twice: the later and the earlier one.
    pub(super) duplicates: Vec<(Range<usize>, Range<usize>)>,
    /// The second document.
    pub(super) second: Option<Range<usize>>,
}

/// A node: its bytes, and the nodes in it.
#[derive(Debug)]
struct Stretch {
    range: Range<usize>,
    inside: Inside,
    /// How many nodes it stands for, aliases followed.
    size: usize,
    /// How deep it nests, aliases followed.
    depth: usize,
}

#[derive(Debug, Clone)]
enum Inside {
    Scalar,
    List(Vec<Id>),
    Map(Vec<(Id, Id)>),
    Alias(Id),
}

/// Why a text is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Maps and lists nest deeper than [`DEPTH_LIMIT`].
    TooDeep(Range<usize>),
    /// Aliases stand for more than [`ALIASED_LIMIT`] nodes.
    TooMany(Range<usize>),
    /// An alias is inside of what it stands for.
    InsideItself(Range<usize>),
}

impl Spans {
    /// Returns the bytes of a node.
    pub(super) fn range(&self, id: Id) -> Option<Range<usize>> {
        self.nodes.get(id).map(|node| node.range.clone())
    }

    /// Returns the items of a list, or of the list that an alias stands for.
    pub(super) fn items(&self, id: Id) -> &[Id] {
        match self.inside(id) {
            Some(Inside::List(items)) => items,
            Some(Inside::Scalar | Inside::Map(_) | Inside::Alias(_)) | None => &[],
        }
    }

    /// Returns the keys and values of a map, or of the map that an alias stands for.
    pub(super) fn entries(&self, id: Id) -> &[(Id, Id)] {
        match self.inside(id) {
            Some(Inside::Map(entries)) => entries,
            Some(Inside::Scalar | Inside::List(_) | Inside::Alias(_)) | None => &[],
        }
    }

    /// Tells whether a node is an alias, which stands for a node elsewhere.
    pub(super) fn is_alias(&self, id: Id) -> bool {
        self.nodes.get(id).is_some_and(|node| matches!(node.inside, Inside::Alias(_)))
    }

    /// Returns the bytes of all keys and values that are neither maps nor lists, in no order.
    pub(super) fn scalars(&self) -> impl Iterator<Item = Range<usize>> {
        let scalars = self.nodes.iter().filter(|node| matches!(node.inside, Inside::Scalar));
        scalars.map(|node| node.range.clone())
    }

    fn inside(&self, id: Id) -> Option<&Inside> {
        match self.nodes.get(id).map(|node| &node.inside) {
            // An alias never stands for another alias: anchors are on nodes.
            Some(Inside::Alias(target)) => self.nodes.get(*target).map(|node| &node.inside),
            other => other,
        }
    }

    fn add(&mut self, node: Stretch) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }
}

/// Returns the places of all nodes of the first document, as far as the text can be followed.
///
/// # Errors
///
/// Why the values must not be read at all.
pub(super) fn index(source: &Source) -> Result<Spans, Refused> {
    let mut indexer =
        Indexer { source, spans: Spans::default(), open: vec![], anchors: HashMap::default(), aliased: 0 };
    for event in Parser::new_from_str(&source.text) {
        // A text that this parser cannot follow is judged by `serde_yaml`, and has no further places; it is broken anyway.
        let Ok((event, span)) = event else {
            check_brackets(&source.text)?;
            break;
        };
        if indexer.spans.second.is_some() {
            break;
        }
        indexer.take(event, span)?;
    }
    // Close what a broken text left open, so that its complete part has places.
    while !indexer.open.is_empty() {
        indexer.close();
    }
    Ok(indexer.spans)
}

/// Refuses a text with many open brackets, in quotes or not: libyaml takes quadratic time for them.
pub(super) fn check_brackets(text: &str) -> Result<(), Refused> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_LIMIT {
            return Err(Refused::TooDeep(at..at + 1));
        }
    }
    Ok(())
}

struct Indexer<'t> {
    source: &'t Source,
    spans: Spans,
    open: Vec<Open<'t>>,
    /// Anchors by saphyr's number, `None` as long as their node is open.
    anchors: HashMap<usize, Option<Id>>,
    aliased: usize,
}

/// A map or a list whose end is not reached.
struct Open<'t> {
    start: usize,
    anchor: usize,
    inside: OpenInside<'t>,
    size: usize,
    depth: usize,
}

enum OpenInside<'t> {
    List(Vec<Id>),
    Map { entries: Vec<(Id, Id)>, key: Option<Id>, names: Vec<(Cow<'t, str>, Id)> },
}

impl<'t> Indexer<'t> {
    fn take(&mut self, event: Event<'t>, span: Span) -> Result<(), Refused> {
        let range = self.range(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                if self.spans.root.is_some() {
                    self.spans.second = Some(range);
                }
            }
            Event::Alias(anchor) => return self.alias(anchor, range),
            Event::Scalar(text, _, anchor, _) => {
                let range = self.without_comment(range);
                let id = self.spans.add(Stretch { range, inside: Inside::Scalar, size: 1, depth: 0 });
                if anchor > 0 {
                    self.anchors.insert(anchor, Some(id));
                }
                self.place(id, Some(text));
            }
            Event::SequenceStart(anchor, _) => {
                return self.open(range, anchor, OpenInside::List(vec![]));
            }
            Event::MappingStart(anchor, _) => {
                return self.open(
                    range,
                    anchor,
                    OpenInside::Map { entries: vec![], key: None, names: vec![] },
                );
            }
            Event::SequenceEnd | Event::MappingEnd => {
                // What the parser takes for the bracket reaches over a comment behind it.
                let end = range.start + 1;
                let flow = matches!(self.source.text.as_bytes().get(range.start), Some(b']' | b'}'));
                if let Some(id) = self.close()
                    && flow
                    && let Some(node) = self.spans.nodes.get_mut(id)
                {
                    node.range.end = node.range.end.max(end);
                }
            }
        }
        Ok(())
    }

    /// Ends a text in quotes at its last quote: what the parser takes for it reaches over a comment behind it.
    fn without_comment(&self, range: Range<usize>) -> Range<usize> {
        let text = self.source.text.get(range.clone()).unwrap_or_default();
        let mut signs = text.char_indices();
        let Some((_, quote @ ('"' | '\''))) = signs.next() else { return range };
        while let Some((at, sign)) = signs.next() {
            // A backslash escapes what follows, and so does the first of two single quotes.
            if quote == '"' && sign == '\\'
                || sign == '\'' && text.get(at..).is_some_and(|rest| rest.starts_with("''"))
            {
                signs.next();
            } else if sign == quote {
                return range.start..range.start + at + 1;
            }
        }
        range
    }

    /// Turns saphyr's characters into bytes, white space at the end left out.
    fn range(&self, span: Span) -> Range<usize> {
        let start = self.source.byte_of_char(span.start.index());
        let end = self.source.byte_of_char(span.end.index()).max(start);
        let text = self.source.text.get(start..end).unwrap_or_default();
        start..start + text.trim_end().len()
    }

    fn open(&mut self, range: Range<usize>, anchor: usize, inside: OpenInside<'t>) -> Result<(), Refused> {
        if self.open.len() >= DEPTH_LIMIT {
            return Err(Refused::TooDeep(range));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        self.open.push(Open { start: range.start, anchor, inside, size: 1, depth: 1 });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, range: Range<usize>) -> Result<(), Refused> {
        let Some(Some(target)) = self.anchors.get(&anchor).copied() else {
            return Err(Refused::InsideItself(range));
        };
        let (size, depth) = self.spans.nodes.get(target).map_or((1, 0), |node| (node.size, node.depth));
        self.aliased = self.aliased.saturating_add(size);
        if self.aliased > ALIASED_LIMIT {
            return Err(Refused::TooMany(range));
        }
        if self.open.len() + depth > DEPTH_LIMIT {
            return Err(Refused::TooDeep(range));
        }
        let id = self.spans.add(Stretch { range, inside: Inside::Alias(target), size, depth });
        self.place(id, None);
        Ok(())
    }

    fn close(&mut self) -> Option<Id> {
        let Open { start, anchor, inside, size, depth } = self.open.pop()?;
        let end = |id: Option<Id>| {
            id.and_then(|id| self.spans.range(id)).map_or(start, |range| range.end.max(start))
        };
        let is_written = |id: Id| self.spans.range(id).is_some_and(|range| !range.is_empty());
        let end = match &inside {
            OpenInside::List(items) => end(items.last().copied()),
            OpenInside::Map { entries, key: None, .. } => match entries.last() {
                // A value that is not written stands, for the parser, where the next thing begins.
                Some((key, value)) if !is_written(*value) => {
                    let key = end(Some(*key));
                    let colon = self.source.text.get(key..).and_then(|rest| rest.find(':'));
                    colon.map_or(key, |colon| key + colon + 1)
                }
                last => end(last.map(|(_, value)| *value)),
            },
            OpenInside::Map { key, .. } => end(*key),
        };
        let inside = match inside {
            OpenInside::List(items) => Inside::List(items),
            OpenInside::Map { entries, names, .. } => {
                self.find_duplicates(names);
                Inside::Map(entries)
            }
        };
        let id = self.spans.add(Stretch { range: start..end, inside, size, depth });
        if let Some(slot) = self.anchors.get_mut(&anchor) {
            *slot = Some(id);
        }
        self.place(id, None);
        Some(id)
    }

    fn find_duplicates(&mut self, mut names: Vec<(Cow<'t, str>, Id)>) {
        names.sort();
        for ((one, earlier), (other, later)) in names.iter().zip(names.iter().skip(1)) {
            if one == other
                && let (Some(earlier), Some(later)) = (self.spans.range(*earlier), self.spans.range(*later))
            {
                self.spans.duplicates.push((later, earlier));
            }
        }
    }

    /// Puts a finished node into what is open, as its next key, value or item.
    fn place(&mut self, id: Id, text: Option<Cow<'t, str>>) {
        let (size, depth) = self.spans.nodes.get(id).map_or((1, 0), |node| (node.size, node.depth));
        let Some(open) = self.open.last_mut() else {
            self.spans.root.get_or_insert(id);
            return;
        };
        open.size = open.size.saturating_add(size);
        open.depth = open.depth.max(depth + 1);
        match &mut open.inside {
            OpenInside::List(items) => items.push(id),
            OpenInside::Map { entries, key, names } => match key.take() {
                Some(key) => entries.push((key, id)),
                None => {
                    *key = Some(id);
                    names.extend(text.map(|text| (text, id)));
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::sources::Sources;

    fn index_of(text: &str) -> Result<Spans, Refused> {
        let mut sources = Sources::default();
        sources.add("shop.yaml", text);
        index(&sources.files()[0])
    }

    /// Checks the texts of keys and values of the map at the root.
    #[track_caller]
    fn check(text: &str, want: &[(&str, &str)]) {
        let spans = index_of(text).unwrap();
        let entries = spans.entries(spans.root.unwrap());
        let at = |id| &text[spans.range(id).unwrap()];
        let found: Vec<_> = entries.iter().map(|(key, value)| (at(*key), at(*value))).collect();
        assert_eq!(found, want, "{text:?}");
    }

    #[test]
    fn a_node_stands_where_its_text_is() {
        check("a: 1\nb: [x, y]\n", &[("a", "1"), ("b", "[x, y]")]);
        check(
            "a: {x: 1}\nb:\n  - p\n  - q\n\nc: 'd'\n",
            &[("a", "{x: 1}"), ("b", "- p\n  - q"), ("c", "'d'")],
        );
        check("a: 1\r\nb:\r\n  c: d\r\n", &[("a", "1"), ("b", "c: d")]);
        check("ä: ö # ß\n🦀: \"x\"\n", &[("ä", "ö"), ("🦀", "\"x\"")]);
        check("a: 'x''# y' # z\nb: \"x\\\"# y\" # z\n", &[("a", "'x''# y'"), ("b", "\"x\\\"# y\"")]);
        check("a: {b: '}'} # }\nc: [d] # ]\n", &[("a", "{b: '}'}"), ("c", "[d]")]);
        check("a: &x {b: 1}\nc: *x\n", &[("a", "&x {b: 1}"), ("c", "*x")]);
        check("a: |\n  x\n  y\nb: 2\n", &[("a", "x\n  y"), ("b", "2")]);
    }

    #[test]
    fn a_broken_text_has_places_up_to_the_break() {
        check("a: 1\nb: [x\nc: 2\n", &[("a", "1"), ("b", "")]);
    }

    #[test]
    fn what_aliases_stand_for_is_limited() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let alias = format!("*a{}", level - 1);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", ")));
        }

        assert!(matches!(index_of(&bomb), Err(Refused::TooMany(_))));
        assert!(matches!(index_of("a: &a [*a]"), Err(Refused::InsideItself(_))));
        assert!(matches!(index_of(&"[".repeat(65)), Err(Refused::TooDeep(_))));
        assert!(matches!(index_of(&"{a: ".repeat(5_000)), Err(Refused::TooDeep(_))));
        assert!(index_of(&format!("{}{}", "[".repeat(64), "]".repeat(64))).is_ok());
    }
}
