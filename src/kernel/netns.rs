//! Network namespaces: their files under `/run/netns`, and threads that enter them.
//!
//! `setns(2)` moves a thread, so it is only ever done on threads of our own that end right afterwards.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, StatFs, fstatfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use tokio::sync::oneshot;

use super::answer::{self, LinkAnswer};
use super::netlink::{Blocking, Refusal};
use super::reading::is_named_for;
use super::{message, process};
use crate::halves::make_room;
use crate::names::{NetnsName, ProjectName};
use crate::resource::netns::NsRef;
use crate::resource::owner::Mark;

/// Where named namespaces are; see `ip-netns(8)`.
pub const DIR: &str = "/run/netns";

/// What `statfs(2)` says of a namespace's file: `NSFS_MAGIC` in `include/uapi/linux/magic.h`.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Returns the file that stands for a namespace.
pub fn path(ns: &NsRef) -> PathBuf {
    match ns {
        // The first thread of this process never leaves its namespace.
        NsRef::Host => PathBuf::from("/proc/self/ns/net"),
        NsRef::Named(name) => Path::new(DIR).join(name.as_str()),
        NsRef::Path(path) => path.clone(),
        NsRef::Process(process) => PathBuf::from(format!("/proc/{}/ns/net", process.pid)),
    }
}

/// Tells a namespace from all others that there are: the device and the inode of its file. It keeps them for as long as it lives,
/// and then another one may get them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The device.
    pub device: u64,
    /// The inode, by which `/proc/PID/ns/net` calls it.
    pub inode: u64,
}

/// Tells which namespace is behind a name.
///
/// # Errors
///
/// When there is none.
pub fn identity(ns: &NsRef) -> io::Result<Identity> {
    identity_of(open(ns)?.as_fd())
}

/// Tells which namespace is open.
pub(crate) fn identity_of(ns: BorrowedFd<'_>) -> io::Result<Identity> {
    let stat = rustix::fs::fstat(ns)?;
    Ok(Identity { device: stat.st_dev, inode: stat.st_ino })
}

/// Tells which namespace a file stands for, without opening it.
pub(crate) fn identity_at(path: &Path) -> io::Result<Identity> {
    let stat = rustix::fs::stat(path)?;
    Ok(Identity { device: stat.st_dev, inode: stat.st_ino })
}

/// Opens a namespace.
///
/// # Errors
///
/// `NotFound` when there is no such file, or when it is an ordinary file that a namespace has left behind.
pub fn open(ns: &NsRef) -> io::Result<OwnedFd> {
    open_if_namespace(ns)?.ok_or_else(|| {
        let path = path(ns);
        io::Error::new(io::ErrorKind::NotFound, format!("{} is not a namespace", path.display()))
    })
}

/// Opens a namespace; `None` when its file does not stand for one: a bind mount that is gone leaves an ordinary file
/// behind.
pub(crate) fn open_if_namespace(ns: &NsRef) -> io::Result<Option<OwnedFd>> {
    let path = path(ns);
    let open = |flags| rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC | flags, Mode::empty());
    match ns {
        NsRef::Process(process) => process::namespace(*process),
        // It is looked at before it is opened: who opens somebody's device may set it going.
        NsRef::Path(_) if !has_namespace(&path)? => Ok(None),
        NsRef::Path(_) | NsRef::Host => Ok(Some(open(OFlags::empty())?)),
        // Where root alone makes files, they are opened at once, which saves a way to each of a thousand. To open a pipe
        // would wait for somebody to write to it.
        NsRef::Named(_) => match open(OFlags::NONBLOCK) {
            // A socket.
            Err(Errno::NXIO) => Ok(None),
            file => Ok(Some(file?).filter(|file| fstatfs(file).is_ok_and(|it| is_nsfs(&it)))),
        },
    }
}

/// Tells whether a namespace is there.
pub fn is_there(ns: &NsRef) -> bool {
    match ns {
        NsRef::Process(process) => process::lives(*process),
        NsRef::Host | NsRef::Named(_) | NsRef::Path(_) => has_namespace(&path(ns)).unwrap_or(false),
    }
}

/// Tells whether a namespace may be mounted at a path some day where none is: on nothing yet, or on the empty file that
/// runtimes make for it and leave behind. What else is there is something else.
pub(crate) fn may_come(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(found) => found.is_file() && found.len() == 0,
        Err(error) => error.kind() != io::ErrorKind::NotADirectory,
    }
}

/// Tells whether a file stands for a namespace.
pub(crate) fn has_namespace(path: &Path) -> io::Result<bool> {
    match rustix::fs::statfs(path) {
        // The way there leads through a file.
        Err(Errno::NOTDIR) => Ok(false),
        found => Ok(is_nsfs(&found?)),
    }
}

fn is_nsfs(filesystem: &StatFs) -> bool {
    u64::try_from(filesystem.f_type).is_ok_and(|kind| kind == NSFS_MAGIC)
}

/// Moves the calling thread into a network namespace.
pub(crate) fn join(ns: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(ns, Some(LinkNameSpaceType::Network))?)
}

/// Tells whether the namespace of the calling thread is the one that a project has made under a name, by its mark.
pub(crate) fn is_made_by(project: &ProjectName, ns: &NsRef) -> Result<bool, Refusal> {
    let lo = Blocking::open()?.ask(message::link_at(1), answer::link)?;
    let mark = lo.and_then(|lo: LinkAnswer| lo.mark());
    Ok(mark.is_some_and(|mark| mark.project == *project && is_named_for(&mark, ns)))
}

/// Moves the calling thread (for users: the process) into new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    #[expect(deprecated, reason = "only `FILES` makes it unsafe, which nobody here passes")]
    Ok(rustix::thread::unshare(flags)?)
}

/// Runs `work` on a thread of its own, which may enter namespaces and ends afterwards.
///
/// # Errors
///
/// When there can be no more threads, or `work` panics.
pub(crate) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new().name("netns".to_owned()).spawn(move || {
        make_room();
        let _ = tell.send(work());
    })?;
    told.await.map_err(|_| io::Error::other("a thread died"))
}

/// Makes a namespace with its `lo` up and marked, and moves the calling thread into it; returns a socket there.
///
/// The mark comes before the name, so that whatever has a name has its mark, too. After a failure there is no name.
pub(crate) fn create(name: &NetnsName, mark: &Mark) -> Result<Blocking, Refusal> {
    unshare(UnshareFlags::NEWNET)?;
    let mut socket = Blocking::open()?;
    socket.command(message::begin_namespace(mark), 0)?;
    let path = path(&NsRef::Named(name.clone()));
    OpenOptions::new().write(true).create_new(true).mode(0o444).open(&path)?;
    rustix::mount::mount_bind("/proc/thread-self/ns/net", &path).map_err(|errno| {
        // The file is ours and empty; if it cannot be removed, it is reported as left behind.
        let _ = fs::remove_file(&path);
        Refusal::Socket(errno.into())
    })?;
    Ok(socket)
}

/// Takes away a namespace's name; the namespace itself lives as long as somebody is in it.
pub(crate) fn delete(name: &NetnsName) -> io::Result<()> {
    release(&path(&NsRef::Named(name.clone())))
}

/// Takes away a file that stands for a namespace, or has stood for one.
pub(super) fn release(path: &Path) -> io::Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH) {
        // `INVAL` says that nothing is mounted there.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes the directory of named namespaces, as `ip netns add` does: a mount of its own that passes mounts on, so that a
/// name taken away here goes away in every mount namespace.
pub(crate) fn prepare_directory() -> io::Result<()> {
    fs::create_dir_all(DIR)?;
    fs::set_permissions(DIR, Permissions::from_mode(0o755))?;
    let share =
        || rustix::mount::mount_change(DIR, MountPropagationFlags::SHARED | MountPropagationFlags::REC);
    match share() {
        Err(Errno::INVAL) => {
            // It is not a mount yet.
            rustix::mount::mount_bind_recursive(DIR, DIR)?;
            Ok(share()?)
        }
        shared => Ok(shared?),
    }
}

/// The same, and says in an error which directory it is.
pub(crate) fn ready_directory() -> io::Result<()> {
    prepare_directory().map_err(|error| io::Error::new(error.kind(), format!("{DIR}: {error}")))
}

/// Returns the names under `/run/netns`, those that a namespace left behind included.
pub(crate) fn names() -> io::Result<Vec<NetnsName>> {
    let entries = match fs::read_dir(DIR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut names = vec![];
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok().and_then(|name| NetnsName::try_from(name).ok()));
    }
    names.sort();
    Ok(names)
}

/// Moves the calling process into a container's namespaces, as `ip netns exec` does: its network, and a mount namespace
/// in which the files of `/etc/netns/NAME`, and these, stand in for those of `/etc`: each with the one that it stands in for.
///
/// To be called in a process of one thread that is about to become another program.
///
/// # Errors
///
/// When there is no such namespace, or privileges are missing.
pub fn enter(ns: &NsRef, files: &[(PathBuf, PathBuf)]) -> io::Result<()> {
    join(open(ns)?.as_fd())?;
    unshare(UnshareFlags::NEWNS)?;
    // What is mounted here must not be seen outside.
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    cover_sysfs();
    for (file, target) in files.iter().filter(|(file, target)| file.exists() && target.exists()) {
        rustix::mount::mount_bind(file, target)?;
    }
    let NsRef::Named(name) = ns else { return Ok(()) };
    let files = match fs::read_dir(Path::new("/etc/netns").join(name.as_str())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files?,
    };
    for file in files {
        let file = file?;
        let target = Path::new("/etc").join(file.file_name());
        if target.exists() {
            rustix::mount::mount_bind(file.path(), &target)?;
        }
    }
    Ok(())
}

/// Shows the new namespace's links under `/sys/class/net`; nothing depends on it, so a refusal is no failure.
fn cover_sysfs() {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let _ = rustix::mount::mount("sysfs", "/sys", "sysfs", flags, None);
}
