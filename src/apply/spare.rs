//! Files that there was no room for where they belong. What they say matters until the host starts anew, no longer, and so
//! they are kept with the journal until there is room.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk::{self, Dirs, DiskError, KNOWN};
use crate::kernel::file;

impl Dirs {
    /// Returns where a file is kept as long as there is no room for it in its place.
    pub(super) fn spare(&self, path: &Path) -> PathBuf {
        path.file_name().map_or_else(|| self.run.clone(), |name| self.run.join(name))
    }

    /// Reads what was written last of a file that is kept elsewhere; `None` when it is in its place.
    pub(super) fn read_spare<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        disk::read(&self.spare(path), KNOWN).ok().flatten()
    }

    /// Writes a file and its copies, or where there is no room for them, the file elsewhere. That one counts as long as it is
    /// there, so it is the first to be written and the last to go.
    pub(super) fn write_somewhere(&self, paths: &[PathBuf], value: &impl Serialize) -> Result<(), DiskError> {
        let Some(path) = paths.last() else { return Ok(()) };
        let spare = self.spare(path);
        let is_spared = spare.exists();
        if is_spared {
            disk::write(&spare, value)?;
        }
        match paths.iter().try_for_each(|path| disk::write(path, value)) {
            Ok(()) if is_spared => disk::remove(&spare),
            Ok(()) => Ok(()),
            Err(error) if error.is_full() && !is_spared => disk::write(&spare, value).map_err(|_| error),
            Err(error) if error.is_full() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts a file that is kept elsewhere into its place, where there is room by now.
    pub(super) fn bring_in(&self, paths: &[PathBuf]) {
        let Some(spare) = paths.last().map(|path| self.spare(path)) else { return };
        let Ok(Some(text)) = disk::text(&spare) else { return };
        let put = |path: &PathBuf| file::stage(path, &text).and_then(file::Staged::put);
        if paths.iter().try_for_each(put).is_ok() {
            let _ = disk::remove(&spare);
        }
    }
}
