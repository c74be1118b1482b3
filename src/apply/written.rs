//! How a generation is written and read: what is as it was in the one before is copied from its text.
//!
//! Nothing is begun before the generation is written, so a small change must not wait until thousands of objects are put
//! into words again. Where the manifest asks for an object stands apart, since a line more moves all that are behind it.
//!
//! Each object has a line of its own, so that it is found without reading what is before it. No other line ends in the text, for
//! JSON allows none in a string.

use std::io::{self, Write};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use smol_str::SmolStr;

use super::disk::Known;
use super::generation::Generation;
use crate::halves::{both, halves};
use crate::resource::owner::{Origin, Owner};
use crate::resource::state::{Entry, Placed, State};
use crate::resource::{Resource, ResourceId};
use crate::topology::facts::Leases;

/// The text of a generation, and where in it each object stands, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    text: Vec<u8>,
    objects: Vec<Range<usize>>,
}

/// What a generation may be copied from: an earlier one, and how it is written.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    pub(super) state: &'a State,
    pub(super) written: &'a Written,
}

/// What stands before the state.
#[derive(Serialize)]
struct Head<'a> {
    format: Known,
    number: u64,
    applied_at: u64,
    manifest: &'a str,
    manifest_sha256: &'a str,
    notes_originals: bool,
}

/// An object, but for where the manifest asks for it.
#[derive(Serialize)]
struct Object<'a> {
    resource: &'a Resource,
    owner: &'a Owner,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ignore: &'a [String],
}

/// A generation as it is written, with its objects or without. Unknown fields are passed over, a later format is refused.
#[derive(Deserialize)]
struct Raw<'t> {
    #[serde(rename = "format")]
    _format: Known,
    number: u64,
    applied_at: u64,
    manifest: String,
    manifest_sha256: String,
    #[serde(default)]
    notes_originals: bool,
    #[serde(borrow)]
    state: Vec<&'t RawValue>,
    #[serde(default)]
    origins: Origins,
    #[serde(borrow)]
    leases: &'t RawValue,
}

/// Leases that were read already, and how they are written: mostly a generation has the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leased<'a> {
    pub(super) text: &'a str,
    pub(super) leases: &'a Leases,
}

/// Where the manifest asks for the objects, in their order; earlier ones say that themselves.
#[derive(Default, Serialize, Deserialize)]
struct Origins {
    files: Vec<SmolStr>,
    /// The file by its number in that list, the line and the column.
    at: Vec<Option<(usize, u32, u32)>>,
}

impl Origins {
    fn of(state: &State) -> Self {
        let mut files: Vec<SmolStr> = vec![];
        let mut number = |name: &SmolStr| {
            files.iter().position(|file| file == name).unwrap_or_else(|| {
                files.push(name.clone());
                files.len() - 1
            })
        };
        let at = state.iter().map(|(_, entry)| entry.origin.as_ref());
        let at = at.map(|origin| origin.map(|it| (number(&it.file), it.line, it.column))).collect();
        Self { files, at }
    }

    fn get(&self, object: usize) -> Option<Origin> {
        let (file, line, column) = (*self.at.get(object)?)?;
        Some(Origin { file: self.files.get(file)?.clone(), line, column })
    }
}

/// Writes a generation.
pub(super) fn write(
    generation: &Generation,
    before: Option<Before<'_>>,
    out: &mut impl Write,
) -> io::Result<()> {
    let Generation { number, applied_at, manifest, manifest_sha256, state, leases, notes_originals } =
        generation;
    let (format, number, applied_at, notes_originals) = (Known, *number, *applied_at, *notes_originals);
    let head = Head { format, number, applied_at, manifest, manifest_sha256, notes_originals };
    let head = serde_json::to_vec(&head)?;
    let (rest, done) =
        both(state.len(), || ending(state, leases), || write_objects(&head, (state, before), out));
    done?;
    out.write_all(&rest?)
}

/// Writes what stands before the objects, and these: what is as it was is copied.
fn write_objects(
    head: &[u8],
    (state, before): (&State, Option<Before<'_>>),
    out: &mut impl Write,
) -> io::Result<()> {
    let copied: Vec<Option<Range<usize>>> = match before {
        Some(before) => before.unchanged(state),
        None => vec![None; state.len()],
    };
    let with_copies = || state.iter().map(|(_, entry)| entry).zip(&copied);
    let changed: Vec<&Entry> = with_copies().filter(|(_, text)| text.is_none()).map(|it| it.0).collect();
    let (first, second) = halves(&changed, worded);
    let mut worded = first?.into_iter().chain(second?);

    // The head's closing bracket comes at the end.
    out.write_all(head.strip_suffix(b"}").unwrap_or(head))?;
    out.write_all(b",\"state\":[")?;
    let earlier = before.map_or(&[][..], |before| &before.written.text);
    let mut separator = "\n";
    for run in copied.chunk_by(follows) {
        out.write_all(separator.as_bytes())?;
        separator = SEPARATOR;
        match (run.first(), run.last()) {
            (Some(Some(first)), Some(Some(last))) => {
                out.write_all(earlier.get(first.start..last.end).unwrap_or_default())?;
            }
            _ => worded.next().map_or(Ok(()), |words| out.write_all(words.get().as_bytes()))?,
        }
    }
    Ok(())
}

/// Returns what stands behind the objects.
fn ending(state: &State, leases: &Leases) -> io::Result<Vec<u8>> {
    let mut text = b"\n],\"origins\":".to_vec();
    serde_json::to_writer(&mut text, &Origins::of(state))?;
    text.extend(b",\"leases\":");
    serde_json::to_writer(&mut text, leases)?;
    text.extend(b"}");
    Ok(text)
}

/// What stands between two objects.
const SEPARATOR: &str = ",\n";

/// Tells whether two objects are copied, and the text of one follows that of the other, as it shall.
fn follows(one: &Option<Range<usize>>, next: &Option<Range<usize>>) -> bool {
    matches!((one, next), (Some(one), Some(next)) if one.end + SEPARATOR.len() == next.start)
}

fn worded(entries: &[&Entry]) -> serde_json::Result<Vec<Box<RawValue>>> {
    let object = |Entry { resource, owner, origin: _, ignore }: &Entry| {
        to_raw_value(&Object { resource, owner, ignore })
    };
    entries.iter().map(|entry| object(entry)).collect()
}

impl Before<'_> {
    /// Returns where the text of each object of a state stands that is as it was.
    fn unchanged(&self, state: &State) -> Vec<Option<Range<usize>>> {
        let objects: Vec<_> = state.iter().collect();
        let (mut first, second) = halves(&objects, |objects| self.unchanged_of(objects));
        first.extend(second);
        first
    }

    /// The same of some objects, which are in order.
    fn unchanged_of(&self, objects: &[(&ResourceId, &Entry)]) -> Vec<Option<Range<usize>>> {
        let Self { state: before, written: Written { text: _, objects: ranges } } = *self;
        let mut earlier = before.iter().zip(ranges).peekable();
        let copy = |&(id, entry): &(&ResourceId, &Entry)| {
            while earlier.next_if(|((other, _), _)| *other < id).is_some() {}
            let ((_, was), range) = earlier.next_if(|((other, _), _)| *other == id)?;
            let is_same = |was: &Entry, is: &Entry| {
                (&was.resource, &was.owner, &was.ignore) == (&is.resource, &is.owner, &is.ignore)
            };
            is_same(was, entry).then(|| range.clone())
        };
        objects.iter().map(copy).collect()
    }
}

/// Reads a generation, on two threads; what the next one may copy from is not there when its objects are in another order
/// than ours.
pub(super) fn read(
    text: Vec<u8>,
    leased: Option<Leased<'_>>,
) -> Result<(Generation, Option<Written>), (serde_json::Error, Vec<u8>)> {
    let lines = str::from_utf8(&text).ok().and_then(lines);
    // What an earlier netform wrote has no lines, and what is damaged has an error with a place.
    let read = lines.and_then(|(frame, objects)| {
        assembled(serde_json::from_str(&frame).ok()?, objects, &text, leased).ok()
    });
    let read = read.map_or_else(
        || {
            let mut raw: Raw<'_> = serde_json::from_slice(&text)?;
            let objects = std::mem::take(&mut raw.state).into_iter().map(RawValue::get).collect();
            assembled(raw, objects, &text, leased)
        },
        Ok,
    );
    match read {
        Ok((generation, objects)) => Ok((generation, objects.map(|objects| Written { text, objects }))),
        Err(error) => Err((error, text)),
    }
}

/// Parts a text by its lines into what is around the objects, and the objects.
fn lines(text: &str) -> Option<(String, Vec<&str>)> {
    let (before, rest) = text.split_once('\n')?;
    let (objects, after) = rest.rsplit_once('\n').unwrap_or(("", rest));
    let mut lines: Vec<&str> = if objects.is_empty() { vec![] } else { objects.split('\n').collect() };
    // All but the last end in a comma.
    if let Some((_, others)) = lines.split_last_mut() {
        others.iter_mut().try_for_each(|line| {
            *line = line.strip_suffix(',')?;
            Some(())
        })?;
    }
    (before.ends_with("\"state\":[") && after.starts_with(']')).then(|| ([before, after].concat(), lines))
}

/// Puts a generation together; tells where in its text each object stands, when they are in our order.
fn assembled(
    raw: Raw<'_>,
    objects: Vec<&str>,
    text: &[u8],
    leased: Option<Leased<'_>>,
) -> serde_json::Result<(Generation, Option<Vec<Range<usize>>>)> {
    let Raw {
        _format,
        number,
        applied_at,
        manifest,
        manifest_sha256,
        notes_originals,
        state: _,
        origins,
        leases,
    } = raw;
    let leases = match leased {
        Some(known) if known.text == leases.get() => known.leases.clone(),
        Some(_) | None => serde_json::from_str(leases.get())?,
    };
    let numbered: Vec<_> = objects.iter().copied().enumerate().collect();
    let (first, second) = halves(&numbered, |objects| placed(objects, &origins));
    let mut placed = first?;
    placed.extend(second?);
    // One that says itself where it is asked for cannot be copied.
    let is_plain = origins.at.len() == objects.len();
    let start = text.as_ptr().addr();
    let range = |object: &str| {
        let at = object.as_ptr().addr() - start;
        at..at + object.len()
    };
    let objects: Vec<_> = objects.into_iter().map(range).collect();
    let (state, in_order) = State::in_order(placed);
    let generation =
        Generation { number, applied_at, manifest, manifest_sha256, state, leases, notes_originals };
    Ok((generation, (in_order && is_plain).then_some(objects)))
}

fn placed(texts: &[(usize, &str)], origins: &Origins) -> serde_json::Result<Vec<Placed>> {
    let object = |&(number, text): &(usize, &str)| {
        let entry: Entry = serde_json::from_str(text)?;
        Ok(Entry { origin: origins.get(number).or(entry.origin), ..entry }.into())
    };
    texts.iter().map(object).collect()
}

#[cfg(test)]
mod tests;
