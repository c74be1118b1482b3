//! What is written down before a run changes anything, and what becomes of it when nothing comes of the run.

use super::disk::{DiskError, Sinking, Staged};
use super::journal::{Journal, REPAIR};
use super::{Job, recover};
use crate::halves::both;
use crate::plan::Touched;

/// What is written down of where a run leads when it begins. It is there for whoever finds the run killed; that a power cut leaves
/// it is seen to while the kernel works, since that takes everything else along.
pub(super) struct Begun {
    generation: Prepared,
    /// The leases, which count when all is done. Where there was no room for them, there may be then.
    leases: Option<Staged>,
}

/// Whether the generation that a run leads to is written down.
enum Prepared {
    /// It is, and reaches the disk with the leases.
    Yes(Sinking),
    /// There is no room for it, nor need of it: nothing is what the run leads to.
    No,
}

impl Begun {
    /// Makes a generation the newest now that all is done. Where it is not written down, or did not reach the disk, that may go by
    /// now: the kernel tells of what did not reach it but once.
    pub(super) fn finish(self, job: &Job<'_>, touched: &[Touched]) -> Result<(), DiskError> {
        let Self { generation, mut leases } = self;
        let has_sunk = match generation {
            Prepared::Yes(sinking) => sinking.end().is_ok(),
            Prepared::No => false,
        };
        if !has_sunk {
            leases = None;
            job.dirs.prepare(job.generation, None)?.sunk()?.put()?;
        }
        recover::finish(job.dirs, (job.generation, leases), touched)
    }
}

/// Notes what a run leads to, and then what it is about to change. Both are written at a time, and count one after the
/// other. Before that, whose links it comes to are told.
///
/// Where there is no room for the former, everything may go all the same: by the journal it is undone or goes on.
pub(super) fn begin(job: &Job<'_>, journal: &Journal) -> Result<Begun, DiskError> {
    let Job { dirs, generation, .. } = job;
    if job.plan.is_empty() {
        let (leases, drafted) = (None, dirs.prepare(generation, job.before)?);
        let generation = Prepared::Yes(Sinking::begin([&drafted])?);
        drafted.put_for_now()?;
        return Ok(Begun { generation, leases });
    }
    dirs.announce(&generation.leases)?;
    let small = || (journal.stage(dirs), dirs.draft_leases(&generation.leases).ok());
    let ((journal, mut leases), mut drafted) =
        both(generation.state.len(), small, || dirs.prepare(generation, job.before));
    if drafted.as_ref().is_err_and(DiskError::is_full) && leases.take().is_some() {
        // The leases can wait, and may have taken the last room.
        drafted = dirs.prepare(generation, job.before);
    }
    let put = |drafted: Staged| {
        let sinking = Sinking::begin([&drafted].into_iter().chain(&leases))?;
        drafted.put_for_now().map(|()| Prepared::Yes(sinking))
    };
    let prepared = match drafted.and_then(put) {
        Err(error) if error.is_full() && generation.manifest.is_empty() => Prepared::No,
        prepared => prepared?,
    };
    journal?.put()?;
    Ok(Begun { generation: prepared, leases })
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
