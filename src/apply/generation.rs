//! Generations: one applied manifest each, with the state that it led to.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

use super::disk::{self, Dirs, DiskError, KNOWN, Known, Staged};
use super::originals::{Originals, lasting};
use super::written::{self, Before, Leased, Written};
use crate::kernel::file::make_directory;
use crate::names::ProjectName;
use crate::plan::release::Adopted;
use crate::resource::hex::hex;
use crate::resource::state::{Entry, State};
use crate::topology::facts::Leases;

/// How many generations are kept.
const KEPT: usize = 20;

/// One applied manifest with the state that it led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u64,
    /// When it was applied, in seconds since 1970.
    pub applied_at: u64,
    /// The manifest's text.
    pub manifest: String,
    /// The SHA-256 of that text, in hex.
    pub manifest_sha256: String,
    /// What the manifest asked for, and what the kernel held right after.
    pub state: State,
    /// Who holds which address.
    pub leases: Leases,
    /// Whether there is a record beside it of what kernel parameters were before; an earlier netform did not say that.
    pub notes_originals: bool,
}

impl Generation {
    /// Returns the generation that an apply of `manifest` leads to; `number` and `applied_at` as the caller knows them.
    pub fn new(number: u64, applied_at: u64, manifest: String, state: State, leases: Leases) -> Self {
        let manifest_sha256 = digest(&manifest);
        let notes_originals = lasting(&state).next().is_some();
        Self { number, applied_at, manifest, manifest_sha256, state, leases, notes_originals }
    }
}

/// Returns the SHA-256 of a text in hex, by which manifests are compared.
pub fn digest(text: &str) -> String {
    hex(Sha256::digest(text.as_bytes()))
}

/// What is known of the past.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// The newest generation that can be read.
    pub generation: Option<Generation>,
    /// How that one is written, for the next to copy from.
    pub written: Option<Written>,
    /// Who holds which address.
    pub leases: Leases,
    /// Kernel parameters as they were before they were changed.
    pub originals: Originals,
    /// The same of what other projects have changed.
    pub originals_of_others: Vec<Entry>,
    /// What was there before netform, and was adopted.
    pub adopted: Adopted,
    /// What could not be read, and what was done instead.
    pub warnings: Vec<String>,
}

impl Past {
    /// Returns what the last apply led to.
    pub fn state(&self) -> State {
        self.generation.as_ref().map(|generation| generation.state.clone()).unwrap_or_default()
    }

    /// Returns what the next generation may be copied from.
    pub fn before(&self) -> Option<Before<'_>> {
        let state = &self.generation.as_ref()?.state;
        Some(Before { state, written: self.written.as_ref()? })
    }

    /// Returns the manifest that was applied last; empty when none was.
    pub fn manifest(&self) -> String {
        self.generation.as_ref().map(|generation| generation.manifest.clone()).unwrap_or_default()
    }
}

/// Tells one past from another without reading it: the files, their inodes, and when they changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp(Vec<(PathBuf, u64, i64, i64)>);

#[derive(Serialize, Deserialize)]
struct LeaseFile {
    format: Known,
    leases: Box<RawValue>,
}

impl LeaseFile {
    fn leases(&self, path: &Path) -> Result<Leases, DiskError> {
        let path = path.to_owned();
        serde_json::from_str(self.leases.get()).map_err(|source| DiskError::Damaged { path, source })
    }
}

impl Dirs {
    /// Reads the newest generation and the leases. A damaged one is passed over with a warning: what is ours is marked
    /// in the kernel, too, so only explanations get poorer.
    ///
    /// # Errors
    ///
    /// When a later netform wrote them, or when they cannot be read at all.
    pub fn past(&self) -> Result<Past, DiskError> {
        let mut past = Past { originals: self.originals()?, adopted: self.adopted()?, ..Past::default() };
        past.originals_of_others = self.originals_of_others();
        let path = self.leases();
        let file = disk::read::<LeaseFile>(&path, KNOWN);
        let apart = file.and_then(|file| file.map(|file| Ok((file.leases(&path)?, file))).transpose());
        let leased = apart.as_ref().ok().and_then(Option::as_ref);
        let leased = leased.map(|(leases, file)| Leased { text: file.leases.get(), leases });
        let mut damaged = vec![];
        for number in self.numbers()?.into_iter().rev() {
            match self.written_generation(number, leased) {
                Ok(Some((generation, written))) => {
                    (past.generation, past.written) = (Some(generation), written);
                    break;
                }
                Ok(None) => {}
                Err(DiskError::Damaged { path, source }) => {
                    damaged.push(format!("{} is damaged ({source})", path.display()));
                }
                Err(error) => return Err(error),
            }
        }
        let instead = match past.generation {
            Some(_) => "using an older one",
            None => "no other one is whole: what is this project's is told by its marks alone",
        };
        past.warnings.extend(damaged.iter().map(|damaged| format!("{damaged}; {instead}")));
        if let (true, Some(newest)) = (past.originals.is_missing, &past.generation) {
            past.originals = self.without_record(newest).unwrap_or(past.originals);
        }
        let apart = match apart {
            Ok(apart) => apart.map(|(leases, _)| leases),
            Err(DiskError::Damaged { path, source }) => {
                past.warnings.push(format!(
                    "{} is damaged ({source}); addresses are kept as they are live",
                    path.display()
                ));
                None
            }
            Err(error) => return Err(error),
        };
        let of_generation = || past.generation.as_ref().map(|generation| generation.leases.clone());
        past.leases = apart.or_else(of_generation).unwrap_or_default();
        Ok(past)
    }

    /// Returns what changes whenever [`Dirs::past`] does: every file of the past is replaced, never written to.
    pub fn stamp(&self) -> Stamp {
        let newest = self.numbers().unwrap_or_default().last().map(|number| self.path(*number, "json"));
        let kept = [self.originals_path(), self.adopted_path()];
        let files = newest.into_iter().chain([self.leases()]);
        let files = files.chain(kept.iter().map(|path| self.spare(path))).chain(kept.clone());
        let stamp = |path: PathBuf| {
            let metadata = fs::metadata(&path).ok()?;
            Some((path, metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
        };
        Stamp(files.filter_map(stamp).collect())
    }

    /// Returns the numbers of the generations, oldest first.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn numbers(&self) -> Result<Vec<u64>, DiskError> {
        self.numbered("json")
    }

    /// Reads a generation; `None` when it is not kept.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is damaged, or is from a later netform.
    pub fn generation(&self, number: u64) -> Result<Option<Generation>, DiskError> {
        Ok(self.written_generation(number, None)?.map(|(generation, _)| generation))
    }

    fn written_generation(
        &self,
        number: u64,
        leased: Option<Leased<'_>>,
    ) -> Result<Option<(Generation, Option<Written>)>, DiskError> {
        let path = self.path(number, "json");
        let Some(text) = disk::text(&path)? else { return Ok(None) };
        written::read(text, leased)
            .map(Some)
            .map_err(|(source, text)| disk::unreadable(&path, &text, source, KNOWN))
    }

    /// Has a generation ready to be put beside the others; it counts only after [`Dirs::commit`], before which it has to reach the
    /// disk.
    pub(super) fn prepare(
        &self,
        generation: &Generation,
        before: Option<Before<'_>>,
    ) -> Result<Staged, DiskError> {
        disk::draft_by(&self.path(generation.number, "pending"), |file| {
            written::write(generation, before, file)
        })
    }

    /// Has a prepared generation reach the disk, if there is one: whoever prepared it may have been killed before it did.
    pub(super) fn sink(&self, number: u64) -> Result<(), DiskError> {
        let path = self.path(number, "pending");
        match File::open(&path).and_then(|file| file.sync_all()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|source| DiskError::Write { path, source }),
        }
    }

    /// Makes a prepared generation the newest; after a power cut an older one may be. Twice is as good as once.
    pub(super) fn commit_for_now(&self, number: u64) -> Result<(), DiskError> {
        let (pending, path) = (self.path(number, "pending"), self.path(number, "json"));
        match fs::rename(&pending, &path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.exists() => Ok(()),
            other => other.map_err(|source| DiskError::Write { path, source }),
        }
    }

    /// The same for good, and forgets the oldest.
    pub(super) fn commit(&self, number: u64) -> Result<(), DiskError> {
        self.commit_for_now(number)?;
        let dir = self.generations();
        disk::sync_dir(&dir).map_err(|source| DiskError::Write { path: dir, source })?;
        let numbers = self.numbers()?;
        for old in numbers.iter().take(numbers.len().saturating_sub(KEPT)) {
            disk::remove(&self.path(*old, "json"))?;
        }
        Ok(())
    }

    /// Has leases ready to be put apart, which have to reach the disk before.
    pub(super) fn draft_leases(&self, leases: &Leases) -> Result<Staged, DiskError> {
        let path = self.leases();
        let text = to_raw_value(leases)
            .map_err(|error| DiskError::Write { path: path.clone(), source: error.into() })?;
        disk::draft(&path, &LeaseFile { format: Known, leases: text })
    }

    /// Writes the leases of the newest generation apart, so that they outlive a damaged one.
    pub(super) fn save_leases(&self, leases: &Leases) -> Result<(), DiskError> {
        self.put_leases(leases, None)
    }

    fn put_leases(&self, leases: &Leases, staged: Option<Staged>) -> Result<(), DiskError> {
        let now = || self.draft_leases(leases)?.sunk();
        self.with_notes(leases, || staged.map_or_else(now, Ok)?.put())
    }

    /// The same for a generation that is committed. Where there is no room, those in there count, as they do when there are no
    /// others.
    pub(super) fn save_leases_of(
        &self,
        newest: &Generation,
        staged: Option<Staged>,
    ) -> Result<(), DiskError> {
        match self.put_leases(&newest.leases, staged) {
            Err(error) if error.is_full() => disk::remove(&self.leases()).map_err(|_| error),
            other => other,
        }
    }

    /// Has other projects know where the networks are, though nothing else changed: an earlier netform did not say that.
    pub(super) fn note_segments(&self, leases: &Leases) -> Result<(), DiskError> {
        let is_noted = || Some(self.kept_leases().ok()??.segments == leases.segments);
        let is_noted = leases.segments.is_empty() || is_noted() == Some(true) && self.has_notes(leases);
        if is_noted {
            return Ok(());
        }
        match self.save_leases(leases) {
            // Where there are none apart, those of the newest generation count.
            Err(error) if error.is_full() && !self.leases().exists() => Ok(()),
            other => other,
        }
    }

    /// Returns the leases that were written apart; `None` when there are none.
    pub(super) fn kept_leases(&self) -> Result<Option<Leases>, DiskError> {
        let path = self.leases();
        disk::read::<LeaseFile>(&path, KNOWN)?.map(|file| file.leases(&path)).transpose()
    }

    /// Returns who holds which address in other projects, as far as that can be read. A project is there twice when a run of it
    /// was killed, or is under way: what it leads to may be there already.
    pub fn leases_of_others(&self) -> Vec<(ProjectName, Leases)> {
        let leases = |project: ProjectName| {
            let dirs = self.of_neighbour(&project);
            let kept = dirs.kept_leases().ok().flatten();
            let newest = if kept.is_none() || dirs.has_journal() { dirs.newest_leases() } else { vec![] };
            kept.into_iter().chain(newest).map(move |leases| (project.clone(), leases))
        };
        self.neighbours().into_iter().flat_map(leases).collect()
    }

    /// Returns what the newest generation says that can be read, and what those say that are not committed yet.
    pub(super) fn newest_leases(&self) -> Vec<Leases> {
        let read = |number: &u64, extension| {
            let text = disk::text(&self.path(*number, extension)).ok()??;
            Some(written::read(text, None).ok()?.0.leases)
        };
        let begun = if self.has_journal() { self.numbered("pending").unwrap_or_default() } else { vec![] };
        let newest = self.numbers().unwrap_or_default().iter().rev().find_map(|number| read(number, "json"));
        newest.into_iter().chain(begun.iter().filter_map(|number| read(number, "pending"))).collect()
    }

    /// Tells whether there is a generation of this number, be it one that is about to be saved again.
    pub(super) fn has_generation(&self, number: u64) -> bool {
        self.path(number, "json").exists()
    }

    /// Tells whether a generation was committed, as it was prepared last.
    pub(super) fn is_committed(&self, number: u64) -> bool {
        self.has_generation(number) && !self.is_prepared(number)
    }

    /// Tells whether a generation can be committed.
    pub(super) fn is_prepared(&self, number: u64) -> bool {
        self.path(number, "pending").exists()
    }

    /// Tells whether a generation can be committed and read: a power cut may have left a part of it.
    pub(super) fn is_prepared_whole(&self, number: u64) -> bool {
        let text = disk::text(&self.path(number, "pending")).ok().flatten();
        text.is_some_and(|text| written::read(text, None).is_ok())
    }

    /// Removes what was prepared and never committed.
    pub(super) fn discard(&self) -> Result<(), DiskError> {
        let pending = self.numbered("pending")?;
        pending.into_iter().try_for_each(|number| disk::remove(&self.path(number, "pending")))
    }

    fn path(&self, number: u64, extension: &str) -> PathBuf {
        self.generations().join(format!("{number}.{extension}"))
    }

    fn numbered(&self, extension: &str) -> Result<Vec<u64>, DiskError> {
        let dir = self.generations();
        let failed = |source| DiskError::Read { path: dir.clone(), source };
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            other => other.map_err(failed)?,
        };
        let mut numbers = vec![];
        for entry in entries {
            let path = PathBuf::from(entry.map_err(failed)?.file_name());
            let matches = path.extension().is_some_and(|found| found == extension);
            let number =
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            numbers.extend(number.filter(|_| matches));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// Tells whether `dir` can be written to, before anything is done that would have to be written down.
///
/// # Errors
///
/// When it cannot.
pub fn writable(dir: &Path) -> Result<(), DiskError> {
    let failed = |source| DiskError::Write { path: dir.to_owned(), source };
    make_directory(dir).map_err(failed)?;
    tempfile::NamedTempFile::new_in(dir).map(drop).map_err(failed)
}
