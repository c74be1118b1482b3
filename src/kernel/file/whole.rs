//! Files that are ours as a whole, each in a directory of its namespace: those are directories and files, and no links to
//! somewhere else.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{MODE, ordinary_contents};
use crate::resource::file::{HOMES, is_whole};

/// What stands at the beginning where something else than a file of ours is read: no text does.
const NO_FILE: u8 = 0;

/// The directory that has one for each namespace.
pub(super) enum Directory {
    There(OwnedFd),
    Absent,
    /// Something else is there.
    Odd,
}

impl Directory {
    pub(super) fn open() -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(HOMES, flags, Mode::empty()) {
            Ok(directory) => Self::There(directory),
            Err(Errno::NOTDIR) => Self::Odd,
            Err(_) => Self::Absent,
        }
    }

    /// Reads a file, with its mode, or says [what is there](no_file) instead of it.
    pub(super) fn read(&self, path: &Path) -> io::Result<Option<(Vec<u8>, u32)>> {
        let directory = match self {
            Self::There(directory) => directory,
            Self::Absent => return Ok(None),
            Self::Odd => return Ok(Some(odd(&format!("file {HOMES}")))),
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let below = path.strip_prefix(HOMES).unwrap_or(path);
        let resolve = ResolveFlags::NO_SYMLINKS;
        let opened = match rustix::fs::openat2(directory, below, flags, Mode::empty(), resolve) {
            // Before Linux 5.6, or where a filter of system calls does not know it.
            Err(Errno::NOSYS | Errno::PERM) => {
                rustix::fs::openat(directory, below, flags | OFlags::NOFOLLOW, Mode::empty())
            }
            opened => opened,
        };
        let file = match opened {
            Ok(file) => File::from(file),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => return Ok(Some(odd(&what_is_at(path)))),
            Err(errno) => return Err(errno.into()),
        };
        let Some((mut bytes, mode)) = ordinary_contents(file)? else {
            return Ok(Some(odd(&what_is_at(path))));
        };
        if let Some(first) = bytes.first_mut().filter(|first| **first == NO_FILE) {
            *first = b'\n';
        }
        Ok(Some((bytes, mode)))
    }
}

/// Returns what is there instead of a file, as it was read.
pub(crate) fn no_file(text: &str) -> Option<&str> {
    text.strip_prefix(char::from(NO_FILE))
}

fn odd(what: &str) -> (Vec<u8>, u32) {
    ([&[NO_FILE], what.as_bytes()].concat(), MODE)
}

/// Says what is in the way of a file: the directory that it would be in, or what has its own name.
fn what_is_at(path: &Path) -> String {
    let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink());
    let is_directory = |path: &Path| fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
    let home = path.parent().unwrap_or(path);
    let odd = if is_directory(home) { path } else { home };
    let kind = if is_link(odd) { "symbolic link" } else { "file" };
    format!("{kind} {}", odd.display())
}

/// Refuses a file whose directory is something else, such as a link to another one.
pub(super) fn check_home(path: &Path) -> io::Result<()> {
    let home: PathBuf = path.parent().unwrap_or(path).to_owned();
    match fs::symlink_metadata(&home) {
        Ok(found) if !found.is_dir() => {
            let message = format!("{} is in the way: it is no directory", what_is_at(path));
            Err(io::Error::new(io::ErrorKind::NotADirectory, message))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Makes the directory that a file is in, and that of all namespaces, as far as they are not there: all may look into them,
/// whatever the mask of this process is.
pub(super) fn make_home(home: &Path) -> io::Result<()> {
    const MODE: u32 = 0o755;
    let make = || DirBuilder::new().mode(MODE).create(home);
    let made = match make() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_whole(home) => {
            make_home(home.parent().unwrap_or(home)).and_then(|()| make())
        }
        made => made,
    };
    match made {
        Ok(()) => fs::set_permissions(home, Permissions::from_mode(MODE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the directories that a file was in as far as it was the last there: that of its namespace, and that of all
/// namespaces. One with something in it is not removed, which is what we want.
pub(crate) fn tidy(path: &Path) {
    for directory in path.ancestors().skip(1).take_while(|above| is_whole(above)) {
        if fs::remove_dir(directory).is_err() {
            break;
        }
    }
}
