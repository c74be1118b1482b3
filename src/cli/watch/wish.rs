//! Which manifest a run leads to: the one that is on disk, or the last that could be applied.

use super::Keeper;
use crate::apply::generation::digest;
use crate::cli::confirm;
use crate::cli::failure::{self, Failure};
use crate::cli::loaded::{self, Loaded};
use crate::cli::session::{Aim, Session};

impl Keeper {
    /// Reads the manifest; tells whether it is another one than the last time.
    pub(super) fn reread(&mut self) -> bool {
        let new = match loaded::load(&self.path, self.style) {
            Ok(new) if new.manifest.project.value != self.session.project => {
                let (old, new) = (&self.session.project, &new.manifest.project.value);
                self.unreadable = Some(format!(
                    "its project is {new} now, and this daemon keeps {old}: start another one for {new}"
                ));
                self.fresh = None;
                return false;
            }
            Ok(new) => new,
            Err(failure) => {
                self.unreadable = Some(failure.to_string());
                self.fresh = None;
                return false;
            }
        };
        self.unreadable = None;
        let text = new.text();
        if self.session.loaded.as_ref().is_some_and(|loaded| loaded.text() == text) {
            self.fresh = None;
            return false;
        }
        let known = self.fresh.as_ref().is_some_and(|fresh| fresh.text() == text);
        self.fresh = Some(new);
        !known
    }

    /// Returns the generation that waits for its confirmation, and notes what becomes of its manifest.
    pub(super) async fn undecided(&mut self) -> Result<Option<u64>, Failure> {
        let manifest = |session: &Session| session.past.generation.as_ref().map(|it| it.manifest.clone());
        let tried = manifest(&self.session);
        if let Some(generation) = confirm::undecided(&mut self.session).await? {
            self.trial = tried;
            return Ok(Some(generation));
        }
        if let Some(trial) = self.trial.take() {
            let stands = manifest(&self.session).as_ref() == Some(&trial);
            self.undone = (!stands).then(|| digest(&trial));
        }
        // It may have been tried while nobody ran here.
        let unconfirmed = self.session.dirs.unconfirmed(self.session.newest());
        let unconfirmed = unconfirmed.map_err(|error| failure::disk_failure(&error))?;
        self.undone = unconfirmed.or_else(|| self.undone.take());
        Ok(None)
    }

    /// Tells whether a manifest was tried and not confirmed.
    pub(super) fn is_undone(&self, loaded: &Loaded) -> bool {
        self.undone.as_ref().is_some_and(|undone| *undone == digest(&loaded.text()))
    }

    /// Returns where a run shall lead: to the manifest that is kept up, unless that was tried and undone.
    pub(super) fn aim(&self) -> Aim {
        let is_undone = self.session.loaded.as_ref().is_some_and(|loaded| self.is_undone(loaded));
        // Of what is in force, no more may be left than what it led to.
        match (self.session.newest(), is_undone || self.session.loaded.is_none()) {
            (newest, true) if newest > 0 => Aim::Generation(newest),
            (_, true | false) => Aim::Manifest,
        }
    }
}
