//! YAML text to nodes: [`super::values`] has the values, [`super::spans`] the places; limits and syntax errors are here.

use std::ops::Range;

use super::Place;
use super::fields::shortened;
use super::node::{Kind, Node};
use super::problem::Problem;
use super::report::Report;
use super::sources::Source;
use super::spans::{self, ALIASED_LIMIT, DEPTH_LIMIT, Refused, Spans};
use super::values::{self, Documents};
use crate::halves::both;

/// The largest file that is read, in bytes.
pub(super) const SIZE_LIMIT: usize = 4 << 20;

/// Returns the text of a file, byte order mark left out; `Err` has what can be shown of it, and the problem.
pub(super) fn text(file: usize, bytes: Vec<u8>) -> Result<String, (String, Problem)> {
    if bytes.len() > SIZE_LIMIT {
        let place = Place { file, start: 0, end: 0 };
        let message = format!("the file is larger than {} MiB, the limit for a manifest", SIZE_LIMIT >> 20);
        let problem = Problem::new("manifest::too_large", message, place, "")
            .help("split it, and name the parts in `include`: all of them together may be larger");
        return Err((String::new(), problem));
    }
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        let shown = printable(&from_utf16(&bytes));
        let place = Place { file, start: 0, end: shown.lines().next().map_or(0, str::len) };
        let problem = Problem::new(
            "manifest::not_utf8",
            "the file is UTF-16, not UTF-8",
            place,
            "two bytes a character",
        )
        .help("save the file as UTF-8, or convert it: `iconv -f UTF-16 -t UTF-8 OLD > NEW`");
        return Err((shown, problem));
    }
    let (bytes, skipped) = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => (rest.to_vec(), 3),
        None => (bytes, 0),
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let start = error.utf8_error().valid_up_to();
        let shown = printable(&String::from_utf8_lossy(error.as_bytes()));
        let place = Place { file, start, end: start + '\u{FFFD}'.len_utf8() };
        let message = format!("the file is not UTF-8: byte {} belongs to no character", start + skipped);
        let problem = Problem::new("manifest::not_utf8", message, place, "not UTF-8 from here on")
            .help("save the file as UTF-8");
        (shown, problem)
    })?;
    match text.char_indices().find(|(_, char)| is_forbidden(*char)) {
        None => Ok(text),
        Some((start, char)) => {
            let place = Place { file, start, end: start + char.len_utf8() };
            let message = format!("the control character U+{:04X} is not allowed in YAML", u32::from(char));
            let problem = Problem::new("manifest::control_character", message, place, "here")
                .help("delete it, or write it as an escape in double quotes");
            Err((printable(&text), problem))
        }
    }
}

/// Reads what begins with a byte order mark of UTF-16, as far as it can be shown.
fn from_utf16(bytes: &[u8]) -> String {
    let little = bytes.starts_with(b"\xFF\xFE");
    let units = bytes.chunks_exact(2).skip(1).filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
    let units = units.map(if little { u16::from_le_bytes } else { u16::from_be_bytes });
    char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Whether YAML forbids a character: YAML 1.2.2 section 5.1.
fn is_forbidden(char: char) -> bool {
    char.is_control() && !matches!(char, '\t' | '\n' | '\r' | '\u{85}')
}

/// Returns a text of as many bytes in which nothing can steer a terminal.
fn printable(text: &str) -> String {
    let shown = text.chars().map(|char| match (is_forbidden(char), char.len_utf8()) {
        (true, 1) => '?',
        (true, _) => '\u{BF}',
        (false, _) => char,
    });
    shown.collect()
}

/// Returns the value of a text, or reports why it has none.
pub(super) fn read(file: usize, source: &Source, report: &mut Report) -> Option<Node> {
    let at = |range: Range<usize>| Place { file, start: range.start, end: range.end };
    let (spans, documents) = looks(source);
    let spans = match spans {
        Ok(spans) => spans,
        Err(refused) => {
            report.add(refusal(refused, file));
            return None;
        }
    };
    for (later, earlier) in &spans.duplicates {
        let key = source.text.get(later.clone()).unwrap_or_default();
        let key = shortened(unquoted(key));
        report.add(
            Problem::new(
                "manifest::duplicate_key",
                format!("the key `{key}` is there twice"),
                at(later.clone()),
                "here again",
            )
            .and(at(earlier.clone()), "first here")
            .help("delete one, or give it another name"),
        );
    }
    if !spans.duplicates.is_empty() {
        return None;
    }
    if let Some(second) = spans.second {
        report.add(
            Problem::new(
                "manifest::many_documents",
                "the file holds more than one YAML document",
                at(second),
                "the second one begins here",
            )
            .help("put it into a file of its own, and name that in `include`"),
        );
        return None;
    }
    let at_start = at(0..0);
    match values::read((file, source), documents, &spans, report) {
        Ok(Node { kind: Kind::Null, place: _ }) => {
            report.add(
                Problem::new("manifest::empty", "the file is empty", at_start, "no manifest here")
                    .help("a manifest begins with `netform: 1` and `project: NAME`"),
            );
            None
        }
        Ok(node) => Some(node),
        Err(error) => {
            report.add(syntax_problem(file, source, &error));
            None
        }
    }
}

/// Returns a key without the quotes around it.
fn unquoted(key: &str) -> &str {
    let inside = |quote: char| key.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(key)
}

/// How many bytes of a text are as much work as one of [`both`]'s items.
const BYTES_PER_ITEM: usize = 64;

/// Looks at a text twice, at a time when that is worth it: for its places, and for its values.
///
/// libyaml takes quadratic time for brackets in brackets: a text with many is not given to it before it was looked at for
/// places.
fn looks(source: &Source) -> (Result<Spans, Refused>, Documents<'_>) {
    let mut documents = Documents::of(source);
    if spans::check_brackets(&source.text).is_err() {
        return (spans::index(source), documents);
    }
    let items = source.text.len() / BYTES_PER_ITEM;
    let (spans, ()) = both(items, || spans::index(source), || documents.begin());
    (spans, documents)
}

fn refusal(refused: Refused, file: usize) -> Problem {
    let at = |range: Range<usize>| Place { file, start: range.start, end: range.end };
    match refused {
        Refused::TooDeep(range) => Problem::new(
            "manifest::too_deep",
            format!("maps and lists nest deeper than {DEPTH_LIMIT} levels"),
            at(range),
            "this is one level too many",
        )
        .help("no manifest needs more than eight levels: look for a bracket that is not closed"),
        Refused::TooMany(range) => Problem::new(
            "manifest::too_many_aliases",
            format!("the aliases stand for more than {ALIASED_LIMIT} values, the limit for a file"),
            at(range),
            "this alias is one too many",
        )
        .help("use fewer aliases of aliases"),
        Refused::InsideItself(range) => Problem::new(
            "manifest::endless_alias",
            "an alias stands inside of its own anchor, which has no end",
            at(range),
            "this alias means what it is in",
        )
        .help("write out what the alias shall stand for"),
    }
}

fn syntax_problem(file: usize, source: &Source, error: &serde_yaml::Error) -> Problem {
    let text = error.to_string();
    let (first, context) = text.split_once(", while ").map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let (message, mark) = split_mark(first);
    // libyaml counts characters, whatever its field's name says.
    let byte = match (error.location(), mark) {
        (Some(location), _) => source.byte_of_char(location.index()),
        (None, Some((line, column))) => source.byte_at(line, column),
        (None, None) => 0,
    };
    // At the end of the text there is nothing to point at: the last line that has something is where to look.
    let byte = if byte >= source.text.len() { source.text.trim_end().len() } else { byte };
    if let Some(problem) = tab_problem(file, source, byte) {
        return problem;
    }
    let width = source.text.get(byte..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    let place = Place { file, start: byte, end: byte + width };
    let problem =
        Problem::new("manifest::syntax", format!("this is not YAML: {message}"), place, "unexpected here");
    match context.map(split_mark) {
        Some((what, Some((line, column)))) => {
            let start = source.byte_at(line, column);
            problem.and(Place { file, start, end: start }, format!("while {what} that begins here"))
        }
        Some((what, None)) => problem.help(format!("found while {what}")),
        None => problem.help(match message {
            "unknown anchor" => "an alias `*NAME` needs an anchor `&NAME` before it",
            "mapping values are not allowed in this context" => {
                "write a space behind each `:`, and look at the line above"
            }
            _ => "look at the indentation, and for a missing `:`, quote or bracket",
        }),
    }
}

/// Splits `MESSAGE at line 3 column 4`.
fn split_mark(text: &str) -> (&str, Option<(usize, usize)>) {
    let parsed = text.rsplit_once(" at line ").and_then(|(message, mark)| {
        let (line, column) = mark.split_once(" column ")?;
        Some((message, (line.parse().ok()?, column.parse().ok()?)))
    });
    match parsed {
        Some((message, mark)) => (message, Some(mark)),
        None => (text.rsplit_once(" at position ").map_or(text, |(message, _)| message), None),
    }
}

/// YAML 1.2.2 section 6.1: tabs must not be used for indentation.
fn tab_problem(file: usize, source: &Source, byte: usize) -> Option<Problem> {
    let line = source.line_of(byte);
    [line, line.saturating_sub(1)].into_iter().find_map(|line| {
        let start = source.line_start(line);
        let text = source.text.get(start..source.line_end(line))?;
        let indentation = text.len() - text.trim_start_matches([' ', '\t']).len();
        let tab = start + text.get(..indentation)?.find('\t')?;
        Some(
            Problem::new(
                "manifest::tab",
                "a tab indents this line, which YAML does not allow",
                Place { file, start: tab, end: tab + 1 },
                "a tab",
            )
            .help("indent with spaces"),
        )
    })
}
