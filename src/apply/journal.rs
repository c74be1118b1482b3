//! The journal: what a run is about to change, written before it does. It is there exactly while a run is under way, so
//! one that is found belongs to a run that was killed.

use serde::{Deserialize, Serialize};

use super::disk::{self, Dirs, DiskError, KNOWN, Known, Staged};
use crate::plan::Touched;

/// In place of a generation's number: the run leads back to the newest one.
pub(super) const REPAIR: u64 = 0;

/// What a run is about to change. It grows with the changes, not with the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    format: Known,
    /// The generation that the run leads to; 0 is the newest one, which drifted.
    pub generation: u64,
    /// When the run began, in seconds since 1970.
    pub began_at: u64,
    /// Every object that it changes, before and after.
    pub touched: Vec<Touched>,
    /// Whether all of it was done, and seen, and only what it came to could not be written down: it is not undone, whatever
    /// others make of it meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_done: bool,
}

impl Journal {
    pub(super) fn new(generation: u64, began_at: u64, touched: Vec<Touched>) -> Self {
        Self { format: Known, generation, began_at, touched, is_done: false }
    }

    /// Takes up what a further plan of the same run changes: `before` is what was there at first.
    pub(super) fn extend(&mut self, touched: Vec<Touched>) {
        for Touched { id, before, after } in touched {
            match self.touched.iter_mut().find(|known| known.id == id) {
                Some(known) => known.after = after,
                None => self.touched.push(Touched { id, before, after }),
            }
        }
    }

    /// Notes that all was done. Where that cannot be written down either, what is live has to say it.
    pub(super) fn is_over(&mut self, dirs: &Dirs) {
        self.is_done = true;
        let _ = self.write(dirs);
    }

    /// Has the journal ready to be put in its place.
    pub(super) fn stage(&self, dirs: &Dirs) -> Result<Staged, DiskError> {
        disk::stage(&dirs.journal(), self)
    }

    pub(super) fn write(&self, dirs: &Dirs) -> Result<(), DiskError> {
        self.stage(dirs)?.put()
    }
}

impl Dirs {
    /// Tells whether a run was killed, or is under way.
    pub fn has_journal(&self) -> bool {
        self.journal().exists()
    }

    /// Reads the journal of a run that was killed; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is damaged, or is from a later netform.
    pub fn read_journal(&self) -> Result<Option<Journal>, DiskError> {
        disk::read(&self.journal(), KNOWN)
    }

    /// Keeps a damaged journal beside its place, for whoever wants to know what it said; returns where.
    pub(super) fn set_journal_aside(&self) -> Result<std::path::PathBuf, DiskError> {
        self.discard()?;
        let (path, aside) = (self.journal(), self.journal().with_extension("damaged"));
        let failed = |source| DiskError::Write { path: aside.clone(), source };
        std::fs::rename(path, &aside).and_then(|()| disk::sync_dir(&self.run)).map_err(failed)?;
        Ok(aside)
    }

    /// Removes the journal: the run is over. What was prepared and not committed goes after it: without that a journal would say that
    /// its generation is committed.
    pub(super) fn close_journal(&self) -> Result<(), DiskError> {
        disk::remove(&self.journal())?;
        self.discard()
    }
}
