//! What is written down before a run changes anything, and what becomes of it when nothing comes of the run.

use super::Job;
use super::disk::{DiskError, Staged};
use super::journal::{Journal, REPAIR};
use crate::halves::both;
use crate::plan::Touched;

/// Whether what a run leads to is written down when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is.
    Prepared,
    /// There is no room for it, nor need of it: nothing is what the run leads to.
    Unprepared,
}

impl Begun {
    /// Has what a run leads to written down once all is done; there may be room by now.
    pub(super) fn go_on(self, job: &Job<'_>) -> Result<(), DiskError> {
        match self {
            Self::Prepared => Ok(()),
            Self::Unprepared => job.dirs.prepare(job.generation, None).and_then(Staged::put),
        }
    }
}

/// Notes what a run leads to, and then what it is about to change. Both are written at a time, and count one after the
/// other. Before either, whose links it comes to are told.
///
/// Where there is no room for the former, everything may go all the same: by the journal it is undone or goes on.
pub(super) fn begin(job: &Job<'_>, journal: &Journal) -> Result<Begun, DiskError> {
    if job.plan.is_empty() {
        return job.dirs.prepare(job.generation, job.before)?.put().map(|()| Begun::Prepared);
    }
    job.dirs.announce(&job.generation.leases)?;
    let (journal, generation) = both(
        journal.touched.len(),
        || journal.stage(job.dirs),
        || job.dirs.prepare(job.generation, job.before),
    );
    let begun = match generation.and_then(Staged::put) {
        Ok(()) => Begun::Prepared,
        Err(error) if error.is_full() && job.generation.manifest.is_empty() => Begun::Unprepared,
        Err(error) => return Err(error),
    };
    journal?.put().map(|()| begun)
}

impl Job<'_> {
    /// Has others know of addresses that stay though their generation comes to nothing, beside those that were there before.
    pub(super) fn keep_leases(&self, journal: &Journal, stays: &[Touched]) -> Result<(), DiskError> {
        if journal.generation == REPAIR || stays.is_empty() {
            return Ok(());
        }
        let before = self.dirs.kept_leases().ok().flatten().unwrap_or_default();
        self.dirs.save_leases(&self.generation.leases.clone().beside(before))
    }

    /// Has nobody told any more of links that it comes to: it does not.
    pub(super) fn renounce(&self) {
        if !self.generation.leases.joined().is_empty() {
            self.dirs.renounce();
        }
    }
}
