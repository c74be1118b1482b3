//! Where a project keeps what outlives a run, and how it is written so that a crash leaves the old or the new.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use crate::halves::Meanwhile;
use crate::kernel::file;
use crate::names::ProjectName;

/// The directories of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// What survives a reboot, as the kernel's state does not: generations and leases.
    pub state: PathBuf,
    /// What does not: the lock and the journal.
    pub run: PathBuf,
}

impl Dirs {
    /// Returns the directories of `project` below `state_dir` (`/var/lib/netform`) and `run_dir` (`/run/netform`).
    pub fn new(state_dir: &Path, run_dir: &Path, project: &ProjectName) -> Self {
        Self { state: state_dir.join(project.as_str()), run: run_dir.join(project.as_str()) }
    }

    pub(super) fn generations(&self) -> PathBuf {
        self.state.join("generations")
    }

    pub(super) fn leases(&self) -> PathBuf {
        self.state.join("leases.json")
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.run.join("journal")
    }

    /// Returns where namespaces are kept alive that a run has deleted, as long as it may be undone.
    pub fn kept_namespaces(&self) -> PathBuf {
        self.run.join("netns")
    }

    pub(super) fn pending(&self) -> PathBuf {
        self.state.join("pending.json")
    }

    pub(super) fn undone(&self) -> PathBuf {
        self.state.join("undone.json")
    }

    /// Returns where the daemon of the project listens.
    pub fn watch_socket(&self) -> PathBuf {
        self.run.join("watch.sock")
    }

    /// Returns the file that says until when the daemon touches nothing.
    pub fn watch_suspended(&self) -> PathBuf {
        self.run.join("suspended")
    }

    /// Returns what the daemon holds as long as it runs.
    pub fn watch_lock(&self) -> PathBuf {
        self.run.join("watch.lock")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.run.join("lock")
    }

    /// What all projects share: no project's name has a dot.
    pub(super) fn ports_lock(&self) -> PathBuf {
        self.run.with_file_name("ports.lock")
    }

    /// The same.
    pub(super) fn host_lock(&self) -> PathBuf {
        self.run.with_file_name("host.lock")
    }

    /// The same.
    pub(super) fn joins_lock(&self) -> PathBuf {
        self.run.with_file_name("joins.lock")
    }

    /// Tells whether the project has ever kept something here.
    pub fn is_known(&self) -> bool {
        self.state.exists() || self.has_journal()
    }
}

/// Returns the projects that keep something below `state_dir`; none when that cannot be read. What is not called as a
/// project may be, such as somebody's copy of one's directory, is no project's.
pub fn projects(state_dir: &Path) -> BTreeSet<ProjectName> {
    let all = fs::read_dir(state_dir).into_iter().flatten().filter_map(Result::ok);
    let dirs = all.filter(|entry| entry.path().is_dir());
    let names = dirs.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| ProjectName::try_from(name).ok()).collect()
}

/// Why a file of ours could not be used.
#[derive(Debug, Error)]
pub enum DiskError {
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// A later netform wrote it.
    #[error("{} was written by a later netform: format {found}, this one knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The latest format known here.
        known: u64,
    },
}

impl DiskError {
    /// Tells whether a file could not be written for want of a place to write to, and the one that is there is whole.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match self {
            Self::Write { path: _, source } => {
                matches!(source.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
            }
            Self::Read { .. } | Self::Damaged { .. } | Self::Newer { .. } => false,
        }
    }
}

/// Writes a file that a crash or a power cut leaves either as it was or as it shall be.
pub(super) fn write(path: &Path, value: &impl Serialize) -> Result<(), DiskError> {
    stage(path, value)?.put()
}

/// A file that has no name yet.
pub(super) struct Staged {
    path: PathBuf,
    file: file::Staged,
}

/// Writes a file that is nowhere until it is [put](Staged::put) in its place.
pub(super) fn stage(path: &Path, value: &impl Serialize) -> Result<Staged, DiskError> {
    draft(path, value)?.sunk()
}

/// Writes a file that need not have reached the disk yet.
pub(super) fn draft(path: &Path, value: &impl Serialize) -> Result<Staged, DiskError> {
    draft_by(path, |file| Ok(serde_json::to_writer(file, value)?))
}

/// The same for what `write` writes.
pub(super) fn draft_by(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<Staged, DiskError> {
    let drafted = file::draft_by(path, write);
    let path = path.to_owned();
    match drafted {
        Ok(file) => Ok(Staged { path, file }),
        Err(source) => Err(DiskError::Write { path, source }),
    }
}

impl Staged {
    /// Returns the file once it has reached the disk.
    pub(super) fn sunk(self) -> Result<Self, DiskError> {
        let Self { path, file } = self;
        match file.sunk() {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(DiskError::Write { path, source }),
        }
    }

    /// Puts the file in its place, where it takes that of another.
    pub(super) fn put(self) -> Result<(), DiskError> {
        let Self { path, file } = self;
        file.put().map_err(|source| DiskError::Write { path, source })
    }

    /// The same; after a power cut either may be there.
    pub(super) fn put_for_now(self) -> Result<(), DiskError> {
        let Self { path, file } = self;
        file.put_for_now().map_err(|source| DiskError::Write { path, source })
    }
}

/// Files on their way to the disk, which takes them as long as a change takes the kernel.
pub(super) struct Sinking {
    path: PathBuf,
    files: Arc<Vec<File>>,
    sinking: Meanwhile<io::Result<()>>,
}

impl Sinking {
    /// Has files reach the disk while something else is done.
    pub(super) fn begin<'f>(files: impl IntoIterator<Item = &'f Staged>) -> Result<Self, DiskError> {
        let (mut all, mut path) = (vec![], PathBuf::new());
        for Staged { path: of, file } in files {
            all.push(file.file().map_err(|source| DiskError::Write { path: of.clone(), source })?);
            path.clone_from(of);
        }
        let files = Arc::new(all);
        let own = Arc::clone(&files);
        let sinking = Meanwhile::begin(move || sync(&own));
        Ok(Self { path, files, sinking })
    }

    /// Waits until they have.
    pub(super) fn end(self) -> Result<(), DiskError> {
        let Self { path, files, sinking } = self;
        let done = sinking.end().unwrap_or_else(|| sync(&files));
        done.map_err(|source| DiskError::Write { path, source })
    }
}

fn sync(files: &[File]) -> io::Result<()> {
    files.iter().try_for_each(File::sync_all)
}

impl Dirs {
    /// Removes files that killed runs were writing and had no time to put in their places: `tempfile` calls them `.tmp` and six
    /// letters. Whoever writes has the lock, and has said so in its file, so that what is older is nobody's.
    pub(super) fn sweep(&self) {
        let Ok(since) = fs::metadata(self.lock()).and_then(|lock| lock.modified()) else { return };
        let is_old = |entry: &fs::DirEntry| {
            entry.metadata().is_ok_and(|it| it.is_file() && it.modified().is_ok_and(|at| at <= since))
        };
        let is_named = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(".tmp"));
            rest.is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        };
        for dir in [&self.state, &self.generations(), &self.run] {
            let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
            // What cannot be removed is only litter.
            entries.filter(is_named).filter(is_old).for_each(|entry| drop(fs::remove_file(entry.path())));
        }
    }
}

/// Has a directory's entries reach the disk: fsync(2) of a file does not do that.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes a file, unless it is gone already.
pub(super) fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DiskError::Write { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads a file of a known format; `None` when there is none.
pub(super) fn read<T: serde::de::DeserializeOwned>(path: &Path, known: u64) -> Result<Option<T>, DiskError> {
    let Some(text) = text(path)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|source| unreadable(path, &text, source, known))
}

/// Returns what a file holds; `None` when there is none.
pub(super) fn text(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match file::ordinary_bytes(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DiskError::Read { path: path.to_owned(), source }),
    }
}

/// Tells why a text of ours says nothing. A later format is told from damage, since the advice differs.
pub(super) fn unreadable(path: &Path, text: &[u8], source: serde_json::Error, known: u64) -> DiskError {
    let path = path.to_owned();
    match serde_json::from_slice::<Format>(text) {
        Ok(Format { format: found }) if found > known => DiskError::Newer { path, found, known },
        Ok(_) | Err(_) => DiskError::Damaged { path, source },
    }
}

#[derive(serde::Deserialize)]
struct Format {
    format: u64,
}

/// The only format so far.
pub(super) const KNOWN: u64 = 1;

/// The number that says which format a file has; a later one is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known;

impl Serialize for Known {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(KNOWN)
    }
}

impl<'de> serde::Deserialize<'de> for Known {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let found = u64::deserialize(d)?;
        if found > KNOWN {
            return Err(serde::de::Error::custom(format!("format {found} is not known")));
        }
        Ok(Self)
    }
}
