//! Records that are gone: a generation says that there was one.

use super::{Originals, OriginalsFile};
use crate::apply::disk::{Dirs, DiskError};
use crate::apply::generation::Generation;
use crate::resource::state::State;

/// What comes of a record that is lost.
pub(super) const UNKNOWN: &str = "what kernel parameters were before netform changed them is not known any more, and they stay as they are";

impl Dirs {
    /// Returns what is known without a file that the newest generation says to have been there. A run that is under way, or was
    /// killed, writes it after its generation.
    pub(in crate::apply) fn without_record(&self, newest: &Generation) -> Option<Originals> {
        let path = self.originals_path();
        let is_gone = || !self.has_journal() && self.is_without_originals();
        if !newest.notes_originals || !is_gone() {
            return None;
        }
        let mut known = State::default();
        self.take_over(&mut known, &[], Some(&newest.state));
        let warning = format!("{} and its copy are gone: {UNKNOWN}", path.display());
        Some(Originals { known: known.into(), lost: Some(path), warning: Some(warning), is_missing: true })
    }

    /// Tells whether another project may ask for parameters of the host of which it has lost its record.
    pub fn others_have_lost_theirs(&self) -> bool {
        self.others().iter().any(|other| {
            let file = other.read_originals(None);
            let is_gone = || !other.has_journal() && other.has_noted(None);
            file.is_ok_and(|file| file.lost || (file.is_missing && is_gone()))
        })
    }

    /// Tells whether the newest generation says that there is a record, of those before one.
    pub(super) fn has_noted(&self, before: Option<u64>) -> bool {
        self.last_generation(before).is_ok_and(|last| last.is_some_and(|last| last.notes_originals))
    }

    /// Has a record be there before a generation says so, which no journal speaks for.
    ///
    /// # Errors
    ///
    /// When it cannot be written down.
    pub(in crate::apply) fn keep_record(&self, generation: &Generation) -> Result<(), DiskError> {
        let number = Some(generation.number);
        if !generation.notes_originals || !self.read_originals(number)?.is_missing {
            return Ok(());
        }
        // It may be the newest one, which is saved again.
        self.write_originals(&OriginalsFile { lost: self.has_noted(None), ..OriginalsFile::none() })
    }

    /// Has it be known that a record is lost where the generation that says so is about to be saved again: what it says then
    /// is true of the new one.
    ///
    /// # Errors
    ///
    /// When it cannot be written down.
    pub(in crate::apply) fn keep_loss(&self, number: u64) -> Result<(), DiskError> {
        let is_again = self.has_generation(number) && self.is_prepared(number);
        if !is_again || !self.is_without_originals() {
            return Ok(());
        }
        let old = self.generation(number);
        if !old.is_ok_and(|old| old.is_some_and(|old| old.notes_originals)) {
            return Ok(());
        }
        self.write_originals(&OriginalsFile { lost: true, ..OriginalsFile::none() })
    }
}
