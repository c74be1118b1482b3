//! One run of a project at a time. The kernel frees the lock of a process that dies, however it dies: flock(2).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::disk::Dirs;
use crate::kernel::file::make_directory;

/// For how long whoever asks whether somebody holds a lock may hold it.
const MOMENT: Duration = Duration::from_millis(5);

/// How often a lock that somebody holds is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// The mode of a lock's file: nobody but its owner has any business with it.
const MODE: u32 = 0o600;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    /// How many had it before.
    pub turn: u64,
}

/// Who holds a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// What it does, e.g. `apply`.
    pub verb: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// What is written into a lock's file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    holder: Holder,
    /// How many had it before; those of an older netform are not counted.
    #[serde(default)]
    turn: u64,
}

/// Why the lock was not had.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("another run holds the lock: {}", Told(holder))]
    Held {
        /// Who; the default when that could not be read.
        holder: Holder,
    },
    /// The lock's file cannot be used.
    #[error("cannot lock {path}")]
    Unusable {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
}

struct Told<'a>(&'a Holder);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Holder { pid, verb, since: _ } = self.0;
        if verb.is_empty() { f.write_str("unknown") } else { write!(f, "`netform {verb}`, process {pid}") }
    }
}

/// Takes the lock of a project, waiting up to `patience` for whoever holds it.
///
/// # Errors
///
/// [`LockError::Held`] names the holder.
pub async fn lock(dirs: &Dirs, holder: &Holder, patience: Duration) -> Result<Lock, LockError> {
    take(&dirs.lock(), holder, patience).await
}

/// Takes what all projects share while one of them takes ports of the host. Whoever holds it holds the project's lock.
///
/// # Errors
///
/// As [`lock`].
pub async fn lock_ports(dirs: &Dirs, holder: &Holder, patience: Duration) -> Result<Lock, LockError> {
    take(&dirs.ports_lock(), holder, patience).await
}

/// Takes what all projects share of the host itself, its kernel parameters: what one makes of them depends on whether others
/// are there, and on what they have on record. Whoever holds it holds the project's lock, and takes that of ports after it.
///
/// # Errors
///
/// As [`lock`].
pub async fn lock_host(dirs: &Dirs, holder: &Holder, patience: Duration) -> Result<Lock, LockError> {
    take(&dirs.host_lock(), holder, patience).await
}

/// Returns the turn that comes next at what all projects share of the host. It is another one when somebody has had it since;
/// while somebody has it, whose end nobody has seen, it is none that ever comes.
pub fn next_host_turn(dirs: &Dirs) -> u64 {
    next_turn(&dirs.host_lock())
}

/// Returns the turn that comes next at a project, as [`next_host_turn`] does.
pub fn next_run(dirs: &Dirs) -> u64 {
    next_turn(&dirs.lock())
}

fn next_turn(path: &Path) -> u64 {
    let Ok(mut file) = File::open(path) else { return 0 };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => u64::MAX,
        Ok(()) | Err(_) => told(&mut file).turn + 1,
    }
}

/// What somebody is about to do on links of the host where others may give the same addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// To give addresses on links of its own, as long as nobody else is there. Many may do so at a time.
    Nobody,
    /// To come to a link of others for the first time: whose it is knows of it when that is done.
    Others,
}

/// Takes what keeps those who come to a link of the host from giving addresses at the same moment as whose link it is, who goes
/// by whether somebody is there, and mostly waits for nobody's turn. Whoever waits for that of the host takes this after it,
/// and whoever has this waits for no turn of the host.
///
/// # Errors
///
/// As [`lock`]; who holds it is not told.
pub async fn lock_joins(dirs: &Dirs, joining: Joining, patience: Duration) -> Result<Lock, LockError> {
    let how = match joining {
        Joining::Nobody => FlockOperation::NonBlockingLockShared,
        Joining::Others => FlockOperation::NonBlockingLockExclusive,
    };
    Ok(Lock { _file: hold(&dirs.joins_lock(), how, patience).await?, turn: 0 })
}

async fn take(path: &Path, holder: &Holder, patience: Duration) -> Result<Lock, LockError> {
    let mut file = hold(path, FlockOperation::NonBlockingLockExclusive, patience).await?;
    let failed = |source| LockError::Unusable { path: path.display().to_string(), source };
    let is_first = file.metadata().map_err(failed)?.len() == 0;
    let turn = if is_first { 0 } else { told(&mut file).turn + 1 };
    let text = serde_json::to_vec(&Written { holder: holder.clone(), turn });
    let text = text.map_err(|error| failed(error.into()))?;
    // Whoever is killed in between leaves the next one something to count from.
    file.rewind().map_err(failed)?;
    file.write_all(&text).map_err(failed)?;
    file.set_len(text.len() as u64).map_err(failed)?;
    Ok(Lock { _file: file, turn })
}

/// Returns a file that is locked, once whoever else has locked it lets go.
async fn hold(path: &Path, how: FlockOperation, patience: Duration) -> Result<File, LockError> {
    let failed = |source| LockError::Unusable { path: path.display().to_string(), source };
    let mut file = open(path).map_err(failed)?;
    // Who only asks whether somebody holds it, holds it for a moment.
    let mut left = patience.max(MOMENT);
    loop {
        match flock(&file, how) {
            Ok(()) if leads_to(path, &file).map_err(failed)? => return Ok(file),
            // Somebody has removed it: what was locked locks nobody out.
            Ok(()) => file = open(path).map_err(failed)?,
            Err(rustix::io::Errno::WOULDBLOCK) if left.is_zero() => {
                return Err(LockError::Held { holder: told(&mut file).holder });
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pause = left.min(RETRY);
                tokio::time::sleep(pause).await;
                left -= pause;
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// Opens the file of a lock, which nobody else can open: whoever only reads a file can lock it, flock(2), and keep it.
///
/// # Errors
///
/// When it cannot be opened or made, or is somebody else's.
pub fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        make_directory(directory)?;
    }
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path)?;
    // An earlier netform had all read it.
    if file.metadata()?.mode() & 0o777 & !MODE != 0 {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(file)
}

/// Tells whether a path leads to a file that is open: whoever comes opens what is at the path.
///
/// # Errors
///
/// When that cannot be seen.
pub fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    let there = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let locked = file.metadata()?;
    Ok((there.dev(), there.ino()) == (locked.dev(), locked.ino()))
}

/// Who holds the lock of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Somebody.
    By(Holder),
    /// Nobody.
    ByNobody,
    /// That is not for everybody to see.
    Unseen,
}

/// Returns who holds the lock of a project now.
pub fn held(dirs: &Dirs) -> Held {
    let mut file = match File::open(dirs.lock()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Held::Unseen,
        Err(_) => return Held::ByNobody,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => Held::By(told(&mut file).holder),
        Ok(()) | Err(_) => Held::ByNobody,
    }
}

fn told(file: &mut File) -> Written {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    // Behind it may stand the end of what was longer.
    let mut written = serde_json::Deserializer::from_str(&text).into_iter();
    read.ok().and_then(|_| written.next()?.ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_run_is_told_who_holds_the_lock_and_a_dead_one_never_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs { state: dir.path().to_owned(), run: dir.path().to_owned() };
        let first = Holder { pid: 4711, verb: "apply".to_owned(), since: 1 };
        let second = Holder { pid: 4712, verb: "destroy".to_owned(), since: 2 };

        let held = lock(&dirs, &first, Duration::ZERO).await.unwrap();
        let refused = lock(&dirs, &second, Duration::from_millis(60)).await.unwrap_err();
        assert_eq!(refused.to_string(), "another run holds the lock: `netform apply`, process 4711");

        drop(held);
        lock(&dirs, &second, Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn many_are_alone_on_their_links_and_one_comes_to_that_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs { state: dir.path().to_owned(), run: dir.path().join("shop") };
        let joins = async |joining| lock_joins(&dirs, joining, Duration::ZERO).await;

        let alone = [joins(Joining::Nobody).await.unwrap(), joins(Joining::Nobody).await.unwrap()];
        assert!(matches!(joins(Joining::Others).await, Err(LockError::Held { .. })));
        drop(alone);
        let comes = joins(Joining::Others).await.unwrap();
        for joining in [Joining::Nobody, Joining::Others] {
            assert!(matches!(joins(joining).await, Err(LockError::Held { .. })), "{joining:?}");
        }
        drop(comes);
        joins(Joining::Nobody).await.unwrap();
    }

    #[tokio::test]
    async fn whoever_has_had_it_meanwhile_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs { state: dir.path().to_owned(), run: dir.path().join("shop") };
        let holder = Holder { pid: 4711, verb: "apply".to_owned(), since: 1 };

        for turn in 0..3 {
            assert_eq!((next_run(&dirs), next_host_turn(&dirs)), (turn, turn));
            assert_eq!(lock(&dirs, &holder, Duration::ZERO).await.unwrap().turn, turn);
            assert_eq!(lock_host(&dirs, &holder, Duration::ZERO).await.unwrap().turn, turn);
        }
        let held = lock_host(&dirs, &holder, Duration::ZERO).await.unwrap();
        assert_eq!(next_host_turn(&dirs), u64::MAX, "what it does is not seen yet");
        drop(held);
        // Another netform wrote it.
        fs::write(dirs.host_lock(), r#"{"pid":1,"verb":"apply","since":1}"#).unwrap();
        assert_eq!(next_host_turn(&dirs), lock_host(&dirs, &holder, Duration::ZERO).await.unwrap().turn);
    }
}
