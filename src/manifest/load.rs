//! Finds and reads the files of a manifest. This is the only part of the manifest that touches the file system.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::retry_on_intr;
use thiserror::Error;

use super::collect::Collector;
use super::fields::shortened;
use super::problem::{Problem, Problems};
use super::yaml::SIZE_LIMIT;
use super::{At, Loaded};

/// How long somebody may take to begin to write to a pipe.
const WRITER: Duration = Duration::from_secs(5);

/// How many files a manifest may have.
const FILES_LIMIT: usize = 1_000;

/// Where a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file, or a directory whose `*.yaml` and `*.yml` are one manifest.
    Path(PathBuf),
    /// Standard input, `-` on the command line.
    Stdin,
}

impl Input {
    /// Returns what an argument of the command line means.
    pub fn from_arg(argument: &OsStr) -> Self {
        if argument == "-" { Self::Stdin } else { Self::Path(PathBuf::from(argument)) }
    }
}

/// Why there is no manifest.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file or directory is not there, or has no manifests; exit code 66.
    #[error("cannot read {}", path.display())]
    Read {
        /// What was named.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The directory has no `*.yaml` and no `*.yml`; exit code 66.
    #[error("the directory {} has no manifest: no file in it ends in .yaml or .yml", path.display())]
    EmptyDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The files are there, and are no correct manifest; exit code 65.
    #[error(transparent)]
    Bad(#[from] Problems),
}

/// Reads a manifest with all that it includes.
///
/// # Errors
///
/// When a file named on the command line cannot be read, and when there are problems in what was read.
pub fn load(input: &Input) -> Result<Loaded, LoadError> {
    read(input, None)
}

/// Reads a manifest as if one of its files, named by its true path, had another text.
///
/// # Errors
///
/// As [`load`].
pub fn load_edited(input: &Input, file: &Path, text: &str) -> Result<Loaded, LoadError> {
    read(input, Some((file, text)))
}

fn read(input: &Input, edited: Option<(&Path, &str)>) -> Result<Loaded, LoadError> {
    let mut reader = Reader { collector: Collector::default(), read: vec![], chain: vec![], edited };
    match input {
        Input::Stdin => {
            let bytes = limited(io::stdin().lock())
                .map_err(|source| LoadError::Read { path: PathBuf::from("-"), source })?;
            let includes = reader.collector.add("<stdin>".to_owned(), bytes);
            reader.follow(Path::new(""), includes);
        }
        Input::Path(path) if path.is_dir() => {
            for file in manifests_in(path)? {
                reader.root(&file, open_regular)?;
            }
        }
        Input::Path(path) => reader.root(path, open)?,
    }
    Ok(reader.collector.finish()?)
}

/// Opens a file that the user named, which may be a pipe: `netform plan <(COMMAND)`.
fn open(path: &Path) -> io::Result<File> {
    let file =
        File::from(fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    if file.metadata()?.file_type().is_fifo() {
        let mut writer = [PollFd::new(&file, PollFlags::IN)];
        let patience = Timespec::try_from(WRITER).map_err(io::Error::other)?;
        // A signal that is caught does not end it.
        if retry_on_intr(|| poll(&mut writer, Some(&patience)))? == 0 {
            let message = format!("it is a pipe, and nobody wrote to it for {} s", WRITER.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
    }
    fs::fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

/// Opens a file that was found by a pattern or an `include`: a pipe or a device there is a mistake.
fn open_regular(path: &Path) -> io::Result<File> {
    let file =
        File::from(fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// Reads a file, at most one byte more than is allowed.
fn limited(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    source.take(SIZE_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the files of a directory that are its manifest, in the order in which they are read.
///
/// # Errors
///
/// When the directory cannot be read, or has none.
pub fn manifests_in(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Read { path: directory.to_owned(), source };
    let mut files = vec![];
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // Editors keep half-written copies under names that begin with a dot.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let manifest = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if manifest && !hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(LoadError::EmptyDirectory { path: directory.to_owned() });
    }
    Ok(files)
}

struct Reader<'e> {
    collector: Collector,
    /// The files that were read, by their true path.
    read: Vec<PathBuf>,
    /// The files that are being included: the one named on the command line, what it includes, and so on.
    chain: Vec<PathBuf>,
    /// The file whose text is another one, and that text.
    edited: Option<(&'e Path, &'e str)>,
}

impl Reader<'_> {
    /// Reads a file that the user named, or one of the directory that the user named.
    fn root(&mut self, path: &Path, open: fn(&Path) -> io::Result<File>) -> Result<(), LoadError> {
        let failed = |source| LoadError::Read { path: path.to_owned(), source };
        // The pipe of a shell's `<(COMMAND)` has no true path.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.read.contains(&real) {
            return Ok(());
        }
        let bytes = open(path).and_then(limited).map_err(failed)?;
        self.take(path, real, bytes);
        Ok(())
    }

    fn take(&mut self, path: &Path, real: PathBuf, bytes: Vec<u8>) {
        let bytes = match self.edited {
            Some((edited, text)) if edited == real => text.into(),
            Some(_) | None => bytes,
        };
        let includes = self.collector.add(path.display().to_string(), bytes);
        self.read.push(real.clone());
        self.chain.push(real);
        self.follow(path.parent().unwrap_or(Path::new("")), includes);
        self.chain.pop();
    }

    /// Reads what the `include` of a file in `directory` names.
    fn follow(&mut self, directory: &Path, includes: Vec<At<String>>) {
        for include in includes {
            match matching(directory, &include) {
                Ok(paths) => {
                    for path in paths {
                        if let Err(problem) = self.include(&path, &include) {
                            self.collector.report.add(problem);
                        }
                    }
                }
                Err(problem) => self.collector.report.add(problem),
            }
        }
    }

    fn include(&mut self, path: &Path, include: &At<String>) -> Result<(), Problem> {
        let failed = |error: io::Error| {
            let message = format!("cannot read the included file {}: {error}", path.display());
            Problem::new("manifest::include_unreadable", message, include.place, "included here")
        };
        let real = path.canonicalize().map_err(failed)?;
        if let Some(position) = self.chain.iter().position(|open| *open == real) {
            // `include: [*.yaml]` may well find the file that it is in.
            let itself = position + 1 == self.chain.len();
            if itself && is_pattern(&include.value) {
                return Ok(());
            }
            let message = format!("{} is included by what it includes", path.display());
            let problem = Problem::new("manifest::include_cycle", message, include.place, "included here");
            return Err(problem.help("take one of the includes out of the circle"));
        }
        // Two files may include the same third one.
        if self.read.contains(&real) {
            return Ok(());
        }
        if self.read.len() >= FILES_LIMIT {
            let message = format!("the manifest has more than {FILES_LIMIT} files, the limit");
            return Err(Problem::new("manifest::too_many_files", message, include.place, "included here"));
        }
        let bytes = open_regular(path).and_then(limited).map_err(failed)?;
        self.take(path, real, bytes);
        Ok(())
    }
}

/// Returns the files that an include names, in the order of their names.
fn matching(directory: &Path, include: &At<String>) -> Result<Vec<PathBuf>, Problem> {
    let At { value: pattern, place } = include;
    let named = shortened(pattern);
    if !is_pattern(pattern) {
        let path = directory.join(pattern);
        return if path.is_dir() {
            let message = format!("the include `{named}` is a directory");
            let problem = Problem::new("manifest::include_directory", message, *place, "a directory");
            Err(problem.help(format!("write `{}/*.yaml`", pattern.trim_end_matches('/'))))
        } else if path.exists() {
            Ok(vec![path])
        } else {
            let message = format!("the included file `{named}` is not there");
            let problem = Problem::new("manifest::include_missing", message, *place, "no such file");
            Err(problem.help(format!("it was looked for at {}", path.display())))
        };
    }
    let whole = Path::new(&glob::Pattern::escape(&directory.to_string_lossy())).join(pattern);
    let found = find(&whole).map_err(|error| {
        let message = format!("the include `{named}` is not a pattern: {error}");
        Problem::new("manifest::include_pattern", message, *place, "not a pattern")
    })?;
    if found.is_empty() {
        let message = format!("the include `{named}` matches no file");
        let problem = Problem::new("manifest::include_missing", message, *place, "no such file");
        return Err(problem.help(format!("it was looked for at {}", whole.display())));
    }
    Ok(found)
}

/// Returns the files that a pattern matches, in the order of their names.
///
/// `**` follows no symbolic links to directories, as in shells: two that lead back to where they are would never end.
fn find(pattern: &Path) -> Result<Vec<PathBuf>, glob::PatternError> {
    let is_deep = |component: &Component<'_>| component.as_os_str() == "**";
    let head: PathBuf = pattern.components().take_while(|component| !is_deep(component)).collect();
    let tail: PathBuf = pattern.components().skip_while(|component| !is_deep(component)).collect();
    if tail.as_os_str().is_empty() {
        let found = glob::glob(&head.to_string_lossy())?.filter_map(Result::ok);
        return Ok(found.filter(|path| !path.is_dir()).take(FILES_LIMIT + 1).collect());
    }
    let tail = glob::Pattern::new(&tail.to_string_lossy())?;
    let literal = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
    let bases = if head.as_os_str().is_empty() {
        vec![head]
    } else {
        glob::glob(&head.to_string_lossy())?.filter_map(Result::ok).collect()
    };
    let mut found = vec![];
    for base in bases {
        let files = files_below(&base).into_iter();
        found.extend(files.filter(|file| {
            file.strip_prefix(&base).is_ok_and(|inside| tail.matches_path_with(inside, literal))
        }));
    }
    found.sort();
    Ok(found)
}

/// Returns all files in a directory and in those below it; what cannot be read is passed over.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let (mut files, mut todo) = (vec![], vec![directory.to_owned()]);
    while let Some(directory) = todo.pop() {
        let here = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
        for entry in std::fs::read_dir(here).into_iter().flatten().filter_map(Result::ok) {
            let path = directory.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => todo.push(path),
                Ok(_) if !path.is_dir() => files.push(path),
                Ok(_) | Err(_) => {}
            }
        }
    }
    files
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}
