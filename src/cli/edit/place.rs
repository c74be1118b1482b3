//! The files that a manifest is in: one editor at a time, and a crash leaves the old text or the new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use super::super::failure::{Code, Failure};

/// How the file begins that an edit writes: hidden, and without the ending of a manifest, so that a directory of manifests has
/// no further one for a moment.
const DRAFT: &str = ".netform-edit.";

/// How old such a file is that a killed edit has left behind: an edit writes its own in no time.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// How often is looked whether the other editor is done.
const RETRY: Duration = Duration::from_millis(50);

/// The right to edit what is in a directory, until it is dropped.
///
/// It is the lock of the directory: a file that is written anew is another one.
pub(super) struct Turn {
    _directory: File,
}

impl Turn {
    /// Waits until nobody else edits the manifest at a path.
    pub(super) fn take(manifest: &Path, patience: Duration) -> Result<Self, Failure> {
        let missing = |error: io::Error| {
            Failure::new(Code::NoInput, format!("cannot read {}: {error}", manifest.display()))
                .help("name the manifest with --manifest, or write one with `netform init`")
        };
        let real = manifest.canonicalize().map_err(missing)?;
        if !real.is_dir() {
            file(&real)?;
        }
        let directory = if real.is_dir() { &real } else { real.parent().unwrap_or(&real) };
        let directory = File::open(directory).map_err(missing)?;
        let began = Instant::now();
        loop {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _directory: directory }),
                Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < patience => std::thread::sleep(RETRY),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let message = format!("another netform edits {}", manifest.display());
                    return Err(Failure::new(Code::Locked, message).help("--lock-timeout waits longer"));
                }
                Err(error) => return Err(Failure::of(Code::Failed, &error)),
            }
        }
    }
}

/// Why a file was left as it is.
#[derive(Debug, Error)]
pub(super) enum WriteError {
    /// Its text is not the one that was edited.
    #[error("{} was changed by somebody else meanwhile, and is left as it is", file.display())]
    Moved {
        /// The file.
        file: PathBuf,
    },
    /// The system refuses.
    #[error("cannot write {}", file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl WriteError {
    /// Returns why.
    pub(super) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Moved { .. } => io::ErrorKind::Other,
            Self::Refused { source, .. } => source.kind(),
        }
    }
}

/// Returns the file itself that a name leads to, symbolic links followed; what is no file of text cannot be edited.
pub(super) fn file(name: &Path) -> Result<PathBuf, Failure> {
    let real = name.canonicalize().map_err(|error| Failure::of(Code::NoInput, &error))?;
    if real.is_file() {
        return Ok(real);
    }
    let message = format!("{} cannot be edited: it is not a regular file", name.display());
    Err(Failure::new(Code::Usage, message).help("name the file with --manifest"))
}

/// Writes what `text` makes of a file, with the owner and the mode that it has; nothing when that is nothing.
pub(super) fn write(file: &Path, text: impl FnOnce(&[u8]) -> Option<String>) -> Result<(), Box<WriteError>> {
    let refused = |source| Box::new(WriteError::Refused { file: file.to_owned(), source });
    let now = fs::read(file).map_err(refused)?;
    let text = text(&now).ok_or_else(|| Box::new(WriteError::Moved { file: file.to_owned() }))?;
    replace(file, &text).map_err(refused)
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    let was = fs::metadata(file)?;
    clear(directory);
    let mut new = tempfile::Builder::new().prefix(DRAFT).tempfile_in(directory)?;
    let made = new.as_file().metadata()?;
    if (made.uid(), made.gid()) != (was.uid(), was.gid()) {
        fchown(new.as_file(), Some(was.uid()), Some(was.gid()))?;
    }
    new.as_file().set_permissions(was.permissions())?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Removes what killed edits have left behind, as far as that may be done.
fn clear(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        let is_draft = entry.file_name().as_encoded_bytes().starts_with(DRAFT.as_bytes());
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if is_draft && age().is_some_and(|age| age > LEFT_BEHIND) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Returns how many further names a file has: a text that is written anew is not theirs.
pub(super) fn further_names(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |file| file.nlink().saturating_sub(1))
}

/// Writes a file that is not there yet.
pub(super) fn create(file: &Path, text: &str) -> io::Result<()> {
    let mut new = File::create_new(file)?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all())
}
