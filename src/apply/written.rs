//! How a generation is written and read: what is as it was in the one before is copied from its text.
//!
//! Nothing is begun before the generation is on the disk, so a small change must not wait until thousands of objects are put
//! into words again. Where the manifest asks for an object stands apart, since a line more moves all that are behind it.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use smol_str::SmolStr;

use super::disk::Known;
use super::generation::Generation;
use crate::halves::halves;
use crate::resource::Resource;
use crate::resource::owner::{Origin, Owner};
use crate::resource::state::{Entry, State};
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
}

/// An object, but for where the manifest asks for it.
#[derive(Serialize)]
struct Object<'a> {
    resource: &'a Resource,
    owner: &'a Owner,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ignore: &'a [String],
}

/// A generation as it is written. Unknown fields are passed over, a later format is refused.
#[derive(Deserialize)]
struct Raw<'t> {
    #[serde(rename = "format")]
    _format: Known,
    number: u64,
    applied_at: u64,
    manifest: String,
    manifest_sha256: String,
    #[serde(borrow)]
    state: Vec<&'t RawValue>,
    #[serde(default)]
    origins: Origins,
    leases: Leases,
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
pub(super) fn write(generation: &Generation, before: Option<Before<'_>>) -> serde_json::Result<Vec<u8>> {
    let Generation { number, applied_at, manifest, manifest_sha256, state, leases } = generation;
    let (number, applied_at) = (*number, *applied_at);
    let head = serde_json::to_vec(&Head { format: Known, number, applied_at, manifest, manifest_sha256 })?;
    let copied: Vec<Option<&[u8]>> = match before {
        Some(before) => before.unchanged(state),
        None => vec![None; state.len()],
    };
    let with_copies = || state.iter().map(|(_, entry)| entry).zip(&copied);
    let changed: Vec<&Entry> = with_copies().filter(|(_, text)| text.is_none()).map(|it| it.0).collect();
    let (first, second) = halves(&changed, worded);
    let mut worded = first?.into_iter().chain(second?);

    let mut text = head;
    // The head's closing bracket comes at the end.
    text.pop();
    text.extend(b",\"state\":[");
    for (number, copy) in copied.iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        match copy {
            Some(copy) => text.extend(*copy),
            None => text.extend(worded.next().iter().flat_map(|words| words.get().bytes())),
        }
    }
    text.extend(b"],\"origins\":");
    serde_json::to_writer(&mut text, &Origins::of(state))?;
    text.extend(b",\"leases\":");
    serde_json::to_writer(&mut text, leases)?;
    text.push(b'}');
    Ok(text)
}

fn worded(entries: &[&Entry]) -> serde_json::Result<Vec<Box<RawValue>>> {
    let object = |Entry { resource, owner, origin: _, ignore }: &Entry| {
        to_raw_value(&Object { resource, owner, ignore })
    };
    entries.iter().map(|entry| object(entry)).collect()
}

impl<'a> Before<'a> {
    /// Returns the text of each object of a state that is as it was.
    fn unchanged(&self, state: &State) -> Vec<Option<&'a [u8]>> {
        let Self { state: before, written: Written { text, objects } } = *self;
        let mut earlier = before.iter().zip(objects).peekable();
        let copy = |(id, entry)| {
            while earlier.next_if(|((other, _), _)| *other < id).is_some() {}
            let ((_, was), range) = earlier.next_if(|((other, _), _)| *other == id)?;
            let is_same = |was: &Entry, is: &Entry| {
                (&was.resource, &was.owner, &was.ignore) == (&is.resource, &is.owner, &is.ignore)
            };
            text.get(range.clone()).filter(|_| is_same(was, entry))
        };
        state.iter().map(copy).collect()
    }
}

/// Reads a generation, on two threads; what the next one may copy from is not there when its objects are in another order
/// than ours.
pub(super) fn read(text: Vec<u8>) -> Result<(Generation, Option<Written>), (serde_json::Error, Vec<u8>)> {
    let raw = match serde_json::from_slice::<Raw<'_>>(&text) {
        Ok(raw) => raw,
        Err(error) => return Err((error, text)),
    };
    let Raw { _format, number, applied_at, manifest, manifest_sha256, state: objects, origins, leases } = raw;
    let (first, second) = halves(&objects, entries);
    let entries = first.and_then(|mut all| {
        all.extend(second?);
        Ok(all)
    });
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return Err((error, text)),
    };
    for (number, entry) in entries.iter_mut().enumerate() {
        entry.origin = origins.get(number).or(entry.origin.take());
    }
    let start = text.as_ptr().addr();
    let range = |object: &&RawValue| {
        let at = object.get().as_ptr().addr() - start;
        at..at + object.get().len()
    };
    // One that says itself where it is asked for cannot be copied.
    let is_plain = origins.at.len() == objects.len();
    let objects: Vec<_> = objects.iter().map(range).collect();
    let (state, in_order) = State::in_order(entries);
    let generation = Generation { number, applied_at, manifest, manifest_sha256, state, leases };
    Ok((generation, (in_order && is_plain).then_some(Written { text, objects })))
}

fn entries(texts: &[&RawValue]) -> serde_json::Result<Vec<Entry>> {
    texts.iter().map(|text| serde_json::from_str(text.get())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::NetnsName;
    use crate::resource::netns::Netns;

    fn object(name: &str, owner: &str, line: u32) -> Entry {
        let netns = Netns::new(NetnsName::try_from(name).unwrap());
        let owner = Owner::try_from(owner).unwrap();
        let origin = Some(Origin { file: "shop.yaml".into(), line, column: 3 });
        Entry { resource: Resource::Netns(netns), owner, origin, ignore: vec![] }
    }

    fn generation(number: u64, objects: Vec<Entry>) -> Generation {
        Generation::new(number, 7, "netform: 1\n".to_owned(), objects.into(), Leases::default())
    }

    fn read_back(text: &[u8]) -> (Generation, Option<Written>) {
        read(text.to_vec()).unwrap()
    }

    #[test]
    fn a_copy_says_what_anew_would_be_said() {
        let first = generation(1, (0..200).map(|n| object(&format!("c{n}"), "container.web", n)).collect());
        let text = write(&first, None).unwrap();
        let (again, written) = read_back(&text);
        assert_eq!(again, first);

        let written = written.unwrap();
        let before = Before { state: &again.state, written: &written };
        // One is gone, one is new, one is another's now, and all stand a line further down.
        let mut objects: Vec<Entry> =
            (1..200).map(|n| object(&format!("c{n}"), "container.web", n + 1)).collect();
        objects.push(object("new", "container.new", 1));
        objects[6] = object("c7", "container.db", 8);
        let second = generation(2, objects);
        let copied = write(&second, Some(before)).unwrap();
        assert_eq!(copied, write(&second, None).unwrap());
        assert_eq!(read_back(&copied).0, second);
        let anew = before.unchanged(&second.state).iter().filter(|copy| copy.is_none()).count();
        assert_eq!(anew, 2, "what is as it was is copied");
    }

    #[test]
    fn what_an_earlier_netform_wrote_is_read_and_not_copied() {
        let text = r#"{"format":1,"number":1,"applied_at":7,"manifest":"","manifest_sha256":"","state":[
            {"resource":{"netns":{"name":"b","whole":true}},"owner":"container.b",
             "origin":{"file":"shop.yaml","line":4,"column":3}},
            {"resource":{"netns":{"name":"a","whole":true}},"owner":"container.a"}],
            "leases":{"addresses":{},"subnets":{}}}"#;
        let (generation, written) = read_back(text.as_bytes());
        let origins =
            generation.state.iter().map(|(_, entry)| entry.origin.as_ref().map(|origin| origin.line));
        assert_eq!(origins.collect::<Vec<_>>(), [None, Some(4)]);
        assert_eq!(written, None);
    }
}
