//! Collects problems while a manifest is read.

use super::problem::Problem;

/// How many problems are worth the memory; what comes after is counted.
const ROOM: usize = 1_000;

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<Problem>,
    /// How many more there were.
    pub(crate) more: usize,
}

impl Report {
    /// Adds a problem.
    pub(crate) fn add(&mut self, problem: Problem) {
        if self.problems.len() < ROOM {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// Adds what somebody else found.
    pub(crate) fn append(&mut self, other: Self) {
        self.more += other.more;
        other.problems.into_iter().for_each(|problem| self.add(problem));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }
}
