//! What is wrong with a manifest, and where.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;

use super::Place;
use super::render::Shown;
pub use super::render::{Style, render};
pub use super::sources::{Source, Sources};

/// How many problems are kept: who has more has one mistake that is everywhere.
const KEPT: usize = 100;

/// Something that the user has to change in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in one sentence, lower-case, without a full stop.
    pub message: String,
    /// Its kind, e.g. `topology::subnet_overlap`.
    pub code: &'static str,
    /// The places that it is about, the offending one first, each with what stands there.
    pub labels: Vec<(Place, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    /// Returns a problem at a place; `label` says what stands there.
    pub fn new(
        code: &'static str,
        message: impl Into<String>,
        place: Place,
        label: impl Into<String>,
    ) -> Self {
        Self { message: message.into(), code, labels: vec![(place, label.into())], help: None }
    }

    /// Adds a further place that the problem is about.
    #[must_use]
    pub fn and(mut self, place: Place, label: impl Into<String>) -> Self {
        self.labels.push((place, label.into()));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All problems of a manifest, in the order of their places, with the texts that they point into.
#[derive(Debug, Clone, Error)]
pub struct Problems {
    pub(super) sources: Arc<Sources>,
    pub(super) shown: Vec<Shown>,
    /// How many more there are than the list has.
    pub(super) more: usize,
}

impl Problems {
    /// Puts problems in the order of their places, and keeps the first hundred.
    pub fn new(sources: Arc<Sources>, list: Vec<Problem>) -> Self {
        Self::counted(sources, list, 0)
    }

    pub(super) fn counted(sources: Arc<Sources>, mut list: Vec<Problem>, more: usize) -> Self {
        list.sort_by_key(|problem| problem.labels.first().map(|(place, _)| *place));
        let more = more + list.len().saturating_sub(KEPT);
        list.truncate(KEPT);
        let shown = list.into_iter().map(|problem| Shown::new(problem, &sources)).collect();
        Self { sources, shown, more }
    }

    /// Returns the problems, in the order of their places.
    pub fn list(&self) -> impl Iterator<Item = &Problem> {
        self.shown.iter().map(|shown| &shown.problem)
    }

    /// Returns the texts that the places are in.
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// Returns how many problems there are, those beyond the first hundred counted.
    pub fn count(&self) -> usize {
        self.shown.len() + self.more
    }

    /// Returns the problems for machines to read: `netform validate --output json`.
    pub fn records(&self) -> Vec<Record> {
        self.list().map(|problem| Record::new(problem, &self.sources)).collect()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count() {
            1 => f.write_str("the manifest has a problem"),
            count => write!(f, "the manifest has {count} problems"),
        }
    }
}

/// A problem for machines to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Record {
    /// What is wrong, in one sentence.
    pub message: String,
    /// Its kind, e.g. `manifest::unknown_key`.
    pub code: &'static str,
    /// Where it is.
    #[serde(flatten)]
    pub at: Option<RecordPlace>,
    /// Further places that it is about, e.g. where a key was declared first.
    pub related: Vec<RecordPlace>,
    /// What to do.
    pub help: Option<String>,
}

/// A place for machines to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RecordPlace {
    /// The file, as the user named it.
    pub file: String,
    /// The line of the first character, from 1.
    pub line: u32,
    /// The column of the first character, in characters from 1.
    pub column: u32,
    /// The place behind the last character.
    pub end: RecordEnd,
    /// What stands there.
    pub label: String,
}

/// Where a place ends, for machines to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RecordEnd {
    /// The line, from 1.
    pub line: u32,
    /// The column of the character behind the last, from 1.
    pub column: u32,
}

impl Record {
    /// Returns a problem of the kind that is at no place.
    pub fn nowhere(code: &'static str, message: String, help: Option<String>) -> Self {
        Self { message, code, at: None, related: vec![], help }
    }

    fn new(problem: &Problem, sources: &Sources) -> Self {
        let mut places = problem.labels.iter().map(|(place, label)| RecordPlace::new(*place, label, sources));
        Self {
            message: problem.message.clone(),
            code: problem.code,
            at: places.next(),
            related: places.collect(),
            help: problem.help.clone(),
        }
    }
}

impl RecordPlace {
    fn new(place: Place, label: &str, sources: &Sources) -> Self {
        let start = sources.place_to_origin(place);
        let end = sources.place_to_origin(Place { start: place.end, ..place });
        Self {
            file: start.file.into(),
            line: start.line,
            column: start.column,
            end: RecordEnd { line: end.line, column: end.column },
            label: label.to_owned(),
        }
    }
}
