//! Files that names need.

mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::netlink::Refusal;
use super::{ObserveError, reading};
use crate::resource::file::{FilePath, TextFile, is_whole};
use crate::resource::part;
pub(crate) use whole::{no_file, tidy};

/// The largest file of somebody else that is read: whoever is in a container may write to its own.
pub(crate) const LARGEST: u64 = 1 << 20;

/// The mode of a file that is ours as a whole: all may read it.
const MODE: u32 = 0o644;

/// What was found in a file, and the mode of one that is ours as a whole, where it has another than it shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) text: Arc<str>,
    pub(crate) mode: Option<u32>,
}

/// Writes a file, with the directories that it is in, that a crash or a power cut leaves either as it was or as it shall be.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    stage(path, text)?.put()
}

/// A file that has no name yet.
pub(crate) struct Staged {
    path: PathBuf,
    file: tempfile::NamedTempFile,
}

/// Writes a file that is nowhere until it is [put](Staged::put) in its place.
pub(crate) fn stage(path: &Path, text: &[u8]) -> io::Result<Staged> {
    draft_by(path, |file| file.write_all(text))?.sunk()
}

/// Writes a file that need not have reached the disk yet, of a text that comes in pieces: as a whole it would take as much room
/// again.
pub(crate) fn draft_by(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> io::Result<Staged> {
    let dir = dir_of(path);
    make_directory(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    Ok(Staged { path: path.to_owned(), file })
}

impl Staged {
    /// Returns the file once it has reached the disk.
    pub(crate) fn sunk(self) -> io::Result<Self> {
        self.file.as_file().sync_all()?;
        Ok(self)
    }

    /// Returns what reaches the disk by [`File::sync_all`].
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.as_file().try_clone()
    }

    /// Puts the file in its place, where it takes that of another; after a power cut either may be there.
    pub(crate) fn put_for_now(self) -> io::Result<()> {
        let Self { path, file } = self;
        file.persist(&path)?;
        Ok(())
    }

    /// Puts the file in its place, where it takes that of another.
    pub(crate) fn put(self) -> io::Result<()> {
        let Self { path, file } = self;
        file.persist(&path)?;
        // fsync(2) of a file does not have the directory's entries reach the disk.
        File::open(dir_of(&path))?.sync_all()
    }
}

/// Makes a directory, with those that it is in, which nobody else can write to, whatever the mask of the process says.
pub(crate) fn make_directory(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(dir)
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a file, with the directories that it is in; one that is there already is somebody else's. Where only some lines are
/// ours, the file has to be there.
pub(crate) fn create(file: &TextFile) -> io::Result<()> {
    let path = &file.path;
    if !is_whole(path) {
        return update(file);
    }
    whole::check_home(path)?;
    let made = path.parent().is_some_and(|home| !home.exists());
    let done = open_new(path).and_then(|mut open| {
        open.write_all(file.content.as_bytes()).inspect_err(|_| {
            // Half a file may lack the mark that says whose it is.
            let _ = fs::remove_file(path);
        })
    });
    if done.is_err() && made {
        whole::tidy(path);
    }
    done
}

/// Makes an empty file. Another project, whose last file goes, may take an empty directory away as soon as it is made.
fn open_new(path: &Path) -> io::Result<File> {
    const ATTEMPTS: usize = 8;
    let attempt = || -> io::Result<File> {
        path.parent().map_or(Ok(()), whole::make_home)?;
        let open = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
        // Whoever is in the container reads it, whatever the mask of this process is.
        open.set_permissions(Permissions::from_mode(MODE))?;
        Ok(open)
    };
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    attempt()
}

/// Rewrites a file in place: a container that has it bind-mounted would not see another file of the same name.
///
/// The text is written in one piece and cut off behind it, so that a reader finds no empty file in between.
pub(crate) fn update(file: &TextFile) -> io::Result<()> {
    if is_whole(&file.path) {
        whole::check_home(&file.path)?;
        return rewrite(&file.path, &file.content, Some(file.mode.unwrap_or(MODE)));
    }
    let text = theirs(&file.path)?;
    rewrite(&file.path, &part::with(&file.path, &text, &file.content), None)
}

/// Writes what shall be in a file, and gives it a mode.
fn rewrite(path: &Path, content: &str, mode: Option<u32>) -> io::Result<()> {
    // A file of ours is no link to that of somebody else.
    let follow = if is_whole(path) { OFlags::NOFOLLOW } else { OFlags::empty() };
    let mut open = ordinary(path, OFlags::WRONLY | follow)?;
    // Only who may do everything can change that of another user's file: it is left alone where it is right.
    if let Some(mode) = mode.filter(|mode| open.metadata().is_ok_and(|it| mode_of(&it) != *mode)) {
        open.set_permissions(Permissions::from_mode(mode))?;
    }
    open.write_all(content.as_bytes())?;
    open.set_len(content.len() as u64)
}

/// Opens what is an ordinary file. Whoever opened a pipe would wait for somebody at its other end.
fn ordinary(path: &Path, how: OFlags) -> io::Result<File> {
    let file = File::from(rustix::fs::open(path, how | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"))
    }
}

/// Reads a file that has to be an ordinary one.
pub(crate) fn ordinary_bytes(path: &Path) -> io::Result<Vec<u8>> {
    contents(ordinary(path, OFlags::RDONLY)?)
}

/// Returns what is in a file; a directory, a pipe or the like holds nothing.
fn contents(file: File) -> io::Result<Vec<u8>> {
    Ok(ordinary_contents(file)?.map(|(bytes, _)| bytes).unwrap_or_default())
}

/// Returns what is in a file, and its mode; `None` when it is no ordinary one.
fn ordinary_contents(file: File) -> io::Result<Option<(Vec<u8>, u32)>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    // A plain `File` would be asked once more how large it is.
    let length = usize::try_from(metadata.len().min(LARGEST)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(length);
    file.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(Some((bytes, mode_of(&metadata))))
}

fn mode_of(metadata: &fs::Metadata) -> u32 {
    metadata.permissions().mode() & 0o7777
}

/// Reads a file of somebody else.
fn theirs(path: &Path) -> io::Result<String> {
    let file = ordinary(path, OFlags::RDONLY)?;
    if file.metadata()?.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(String::from_utf8_lossy(&contents(file)?).into_owned())
}

/// Removes a file, and the directories that it was in as far as it was the last there: that of its namespace, and that of
/// all namespaces (`ip netns` makes do without). Where only some lines are ours, these are removed.
pub(crate) fn delete(file: &TextFile) -> io::Result<()> {
    let path = &file.path;
    if !is_whole(path) {
        return match theirs(path).and_then(|text| rewrite(path, &part::without(&text, &file.content), None)) {
            Err(error) if is_absent(&error) => Ok(()),
            done => done,
        };
    }
    if whole::check_home(path).is_err() {
        // It is not there any more.
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if is_absent(&error) => {}
        removed => removed?,
    }
    whole::tidy(path);
    Ok(())
}

/// Tells whether there is no such file; where a directory should be may be something else.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns the files that exist.
pub(crate) fn read(paths: &BTreeSet<FilePath>) -> Result<BTreeMap<FilePath, Found>, ObserveError> {
    let mut files = BTreeMap::new();
    let whole = whole::Directory::open();
    for path in paths {
        // Who may read a file of somebody else is theirs to say.
        let read = if is_whole(path) {
            whole.read(path)
        } else {
            read_shared(path).map(|bytes| bytes.map(|bytes| (bytes, MODE)))
        };
        match read {
            Ok(Some((bytes, mode))) => {
                let text = String::from_utf8_lossy(&bytes).into();
                files.insert(path.clone(), Found { text, mode: Some(mode).filter(|mode| *mode != MODE) });
            }
            Ok(None) => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(reading::failed(path.display().to_string(), Refusal::Socket(error))),
        }
    }
    Ok(files)
}

/// Reads a file of which only some lines are ours; `None` when it is too large for that.
fn read_shared(path: &Path) -> io::Result<Option<Vec<u8>>> {
    if fs::metadata(path)?.len() > LARGEST {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    contents(File::from(rustix::fs::open(path, flags, Mode::empty())?)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_in_the_place_of_somebody_elses_file_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = FilePath::from(dir.path().join("resolv.conf"));
        assert!(std::process::Command::new("mkfifo").arg(&*path).status().unwrap().success());
        let file = TextFile::new(path.clone(), "# Ours.\n".into());

        for done in [create(&file), update(&file), delete(&file)] {
            assert_eq!(done.unwrap_err().to_string(), "it is no ordinary file");
        }
        assert_eq!(&*read(&[path.clone()].into()).unwrap()[&path].text, "");
    }
}
