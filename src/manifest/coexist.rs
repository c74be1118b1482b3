//! `coexist`: whose firewalls shall let our packets pass.

use super::At;
use super::fields::{self, Fields};
use super::node::Entry;
use super::problem::Problem;
use super::report::Report;
use super::scalar;

/// Whose firewalls shall let our packets pass.
///
/// ```yaml
/// coexist: {docker: true}
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coexist {
    /// `docker: true`: rules of ours in Docker's chain `DOCKER-USER`; the default is false.
    pub docker: Option<At<bool>>,
}

/// Returns what `coexist` says.
pub(super) fn coexist(entry: &Entry, report: &mut Report) -> Coexist {
    let Some(fields) = Fields::open(&entry.value, &fields::COEXIST, report) else {
        return Coexist::default();
    };
    Coexist { docker: fields.get("docker").and_then(|entry| scalar::flag(entry, report)) }
}

impl Coexist {
    /// Adds what another file says; what both say is reported.
    pub(super) fn merge(&mut self, other: Self, report: &mut Report) {
        let Self { docker } = other;
        match (&self.docker, docker) {
            (None, theirs) => self.docker = theirs,
            (Some(_), None) => {}
            (Some(ours), Some(theirs)) => report.add(
                Problem::new(
                    "manifest::declared_twice",
                    "`coexist.docker` is declared in two places",
                    theirs.place,
                    "here again",
                )
                .and(ours.place, "first here")
                .help("a key is declared in one file only: delete one"),
            ),
        }
    }
}
