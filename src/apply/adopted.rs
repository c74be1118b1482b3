//! What was adopted: it was there before netform, so that going back to before its adoption gives it up, and does not
//! remove it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::disk::{self, Dirs, DiskError, KNOWN, Known};
use crate::plan::Touched;
use crate::resource::ResourceId;

#[derive(Serialize, Deserialize)]
struct AdoptedFile {
    format: Known,
    adopted: BTreeSet<ResourceId>,
}

impl Dirs {
    /// Returns what was adopted and is still the project's.
    ///
    /// # Errors
    ///
    /// When a later netform wrote it down, or it cannot be read at all.
    pub fn adopted(&self) -> Result<BTreeSet<ResourceId>, DiskError> {
        let path = self.adopted_path();
        match self
            .read_spare(&path)
            .map_or_else(|| disk::read::<AdoptedFile>(&path, KNOWN), |file| Ok(Some(file)))
        {
            Ok(file) => Ok(file.map(|file| file.adopted).unwrap_or_default()),
            Err(DiskError::Damaged { .. }) => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// Notes what a run has adopted, and forgets what it has given up, removed or made anew. Twice is as good as once.
    ///
    /// # Errors
    ///
    /// When that cannot be written down.
    pub(super) fn remember_adopted(&self, touched: &[Touched]) -> Result<(), DiskError> {
        let known = self.adopted()?;
        let mut adopted = known.clone();
        for Touched { id, before, after } in touched {
            let (Some(before), Some(after)) = (before, after) else {
                adopted.remove(id);
                continue;
            };
            if before.owner.is_unmarked() && !after.owner.is_unmarked() {
                adopted.insert(id.clone());
            } else if after.owner.is_unmarked() || before.resource.can_become(&after.resource).is_err() {
                adopted.remove(id);
            }
        }
        if adopted == known {
            return Ok(());
        }
        self.write_somewhere(&[self.adopted_path()], &AdoptedFile { format: Known, adopted })
    }

    pub(super) fn adopted_path(&self) -> PathBuf {
        self.state.join("adopted.json")
    }
}
