//! What makes this daemon the only one of its project: a lock that the kernel frees when it dies, and the socket at which it
//! is asked. Both are names in a directory that anybody may clear who may clear `/run`: then another daemon would find
//! nobody there. So both are looked at whenever that directory changes, and before each run.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::socket::{self, Desk};
use crate::apply::Dirs;
use crate::apply::lock::{leads_to, open};

/// How long whoever removes the directory has to be done: what is made anew in it meanwhile would be in their way.
const CLEARED: Duration = Duration::from_millis(100);

/// The claim to a project.
pub(super) struct Claim {
    dirs: Dirs,
    lock: File,
    desk: Desk,
    served: Served,
    /// When to look whether it still holds.
    doubted: Option<Instant>,
}

/// A socket that is served.
struct Served {
    inode: (u64, u64),
    serving: JoinHandle<()>,
}

/// What has become of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It holds.
    AsItWas,
    /// Something of it was gone, and is made anew.
    Anew,
    /// Another daemon has the project by now.
    Lost,
}

/// Takes the lock of a project's daemon; `None` when another daemon has it.
pub(super) fn lock(dirs: &Dirs) -> io::Result<Option<File>> {
    let path = dirs.watch_lock();
    loop {
        let lock = open(&path)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            // Somebody may have removed it before it was locked.
            Ok(()) if leads_to(&path, &lock)? => return Ok(Some(lock)),
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

impl Claim {
    /// Opens the socket of whoever has taken the lock.
    pub(super) fn new(dirs: Dirs, lock: File, desk: Desk) -> io::Result<Self> {
        let served = Served::open(&dirs, &desk)?;
        Ok(Self { dirs, lock, desk, served, doubted: None })
    }

    /// Notes that the directory has changed.
    pub(super) fn doubt(&mut self, now: Instant) {
        self.doubted.get_or_insert(now + CLEARED);
    }

    /// Returns when to look whether it still holds.
    pub(super) fn doubted(&self) -> Option<Instant> {
        self.doubted
    }

    /// Sees to it that the claim holds.
    pub(super) fn keep(&mut self) -> io::Result<Kept> {
        self.doubted = None;
        let is_locked = leads_to(&self.dirs.watch_lock(), &self.lock)?;
        if !is_locked {
            let Some(lock) = lock(&self.dirs)? else { return Ok(Kept::Lost) };
            self.lock = lock;
        }
        if self.served.is_there(&self.dirs) && is_locked {
            return Ok(Kept::AsItWas);
        }
        if !self.served.is_there(&self.dirs) {
            let before = std::mem::replace(&mut self.served, Served::open(&self.dirs, &self.desk)?);
            before.serving.abort();
        }
        Ok(Kept::Anew)
    }

    /// Takes the socket away, unless it is another daemon's.
    pub(super) fn end(self) {
        if self.served.is_there(&self.dirs) {
            let _ = fs::remove_file(self.dirs.watch_socket());
        }
    }
}

impl Served {
    /// Opens the socket; one that a killed daemon has left is replaced.
    fn open(dirs: &Dirs, desk: &Desk) -> io::Result<Self> {
        let path = dirs.watch_socket();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let inode = inode(&path)?;
        Ok(Self { inode, serving: tokio::spawn(socket::serve(listener, desk.clone())) })
    }

    fn is_there(&self, dirs: &Dirs) -> bool {
        inode(&dirs.watch_socket()).is_ok_and(|inode| inode == self.inode)
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
