//! An apply that is undone unless somebody confirms it.
//!
//! What is pending is written down before the first operation, in the directory that survives a reboot. A process of its
//! own waits for the deadline; when that process dies, too, the next run of any verb finds what is overdue.

use serde::{Deserialize, Serialize};

use super::disk::{self, Dirs, DiskError, KNOWN, Known};

/// An apply that waits for its confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    format: Known,
    /// The generation that waits.
    pub generation: u64,
    /// The generation to go back to; 0 is nothing at all.
    pub previous: u64,
    /// When it is undone, in seconds since 1970.
    pub deadline: u64,
    /// The boot in which it was applied: after another one, nobody who could confirm has seen it work.
    pub boot: String,
}

/// An apply that nobody confirmed in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Undone {
    format: Known,
    generation: u64,
    /// The generation that was in force once it was undone.
    then: u64,
    /// The SHA-256 of the manifest that nobody confirmed, in hex; empty when it is not known.
    #[serde(default)]
    manifest_sha256: String,
}

/// What becomes of a pending apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It may still be confirmed, for so many seconds.
    Waiting(u64),
    /// It has to be undone.
    Overdue,
}

impl Pending {
    /// Returns an apply that is to be confirmed by `deadline`.
    pub fn new(generation: u64, previous: u64, deadline: u64, boot: String) -> Self {
        Self { format: Known, generation, previous, deadline, boot }
    }

    /// Tells what becomes of it at `now`, in the boot `boot`.
    pub fn due(&self, now: u64, boot: &str) -> Due {
        let left = self.deadline.saturating_sub(now);
        if left == 0 || self.boot != boot { Due::Overdue } else { Due::Waiting(left) }
    }
}

impl Dirs {
    /// Returns what waits for its confirmation.
    ///
    /// # Errors
    ///
    /// When it cannot be read; a damaged file is an error, too, since it may mean that something has to be undone.
    pub fn read_pending(&self) -> Result<Option<Pending>, DiskError> {
        disk::read(&self.pending(), KNOWN)
    }

    /// Writes down what is to be confirmed.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then nothing must be applied.
    pub fn write_pending(&self, pending: &Pending) -> Result<(), DiskError> {
        disk::write(&self.pending(), pending)
    }

    /// Forgets what is pending, and remembers that it was undone as long as generation `then` is the newest.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then it is still pending.
    pub fn undo_pending(
        &self,
        pending: &Pending,
        then: u64,
        manifest_sha256: String,
    ) -> Result<(), DiskError> {
        let undone = Undone { format: Known, generation: pending.generation, then, manifest_sha256 };
        disk::write(&self.undone(), &undone)?;
        self.clear_pending()
    }

    /// Returns the generation that was undone because nobody confirmed it, unless there is another one since `newest`.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn undone_before(&self, newest: u64) -> Result<Option<u64>, DiskError> {
        let undone: Option<Undone> = disk::read(&self.undone(), KNOWN)?;
        Ok(undone.filter(|undone| undone.then == newest).map(|undone| undone.generation))
    }

    /// Returns the SHA-256 of the manifest that was undone because nobody confirmed it, unless another one was applied since
    /// `newest`.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn unconfirmed(&self, newest: u64) -> Result<Option<String>, DiskError> {
        let undone: Option<Undone> = disk::read(&self.undone(), KNOWN)?;
        // Where nothing but drift was set back, what is in force is what was in force.
        let undone = undone.filter(|undone| undone.then == newest && undone.generation != newest);
        let undone = undone.map(|undone| undone.manifest_sha256);
        Ok(undone.filter(|digest| !digest.is_empty()))
    }

    /// Confirms, or forgets, what is pending.
    ///
    /// # Errors
    ///
    /// When the file cannot be removed; then it is still pending.
    pub fn clear_pending(&self) -> Result<(), DiskError> {
        disk::remove(&self.pending())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(now: u64, boot: &str, due: Due) {
        assert_eq!(Pending::new(2, 1, 100, "monday".to_owned()).due(now, boot), due);
    }

    #[test]
    fn what_is_pending_is_overdue_after_its_deadline_and_after_a_reboot() {
        check(40, "monday", Due::Waiting(60));
        check(100, "monday", Due::Overdue);
        check(40, "tuesday", Due::Overdue);
    }
}
