//! A private world for a process without privileges: its own users, network and mounts, with nothing of the host in
//! reach.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::{fs, io};

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{getgid, getuid};
use rustix::thread::UnshareFlags;

use super::message;
use super::netlink::{Blocking, Refusal};
use super::netns::unshare;

/// What netform writes to: covered by directories in memory, so that the host's stay as they are.
const COVERED: [&str; 3] = ["/run", "/etc/netns", "/var/lib/netform"];

/// Moves the calling process into new user, network and mount namespaces, in which it is root over nothing but these.
///
/// To be called first thing in `main`, as long as the process has one thread: the kernel refuses a new user namespace to
/// others (`check_unshare_flags()`, `kernel/fork.c`).
///
/// # Errors
///
/// When the host forbids user namespaces to users (`kernel.unprivileged_userns_clone`, AppArmor).
pub fn sandbox() -> io::Result<()> {
    let (uid, gid) = (getuid(), getgid());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWNS)?;
    // A process may map its own ids only, and its group only once it cannot drop groups: `user_namespaces(7)`.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {} 1", uid.as_raw()))?;
    fs::write("/proc/self/gid_map", format!("0 {} 1", gid.as_raw()))?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    for directory in COVERED {
        cover(Path::new(directory))?;
    }
    fs::create_dir_all(super::netns::DIR)?;
    bring_up_loopback().map_err(io::Error::other)
}

/// Covers one of the host's directories by an empty one in memory. One that the host lacks must not be made there, so
/// its parent is covered by a directory in memory that links to all that was in there.
fn cover(directory: &Path) -> io::Result<()> {
    if !directory.exists() {
        if let Some(parent) = directory.parent() {
            cover_with_links(parent)?;
        }
        fs::create_dir(directory)?;
    }
    mount_memory(directory)
}

fn mount_memory(directory: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(rustix::mount::mount("tmpfs", directory, "tmpfs", flags, Some(c"mode=0755"))?)
}

/// Covers a directory by one in memory that links to the same entries.
fn cover_with_links(directory: &Path) -> io::Result<()> {
    let inside = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    // The covered directory stays in reach at a place that is in memory already.
    let below = Path::new("/run/netform-below").join(directory.strip_prefix("/").unwrap_or(directory));
    fs::create_dir_all(&below)?;
    rustix::mount::mount_bind_recursive(directory, &below)?;
    mount_memory(directory)?;
    for entry in inside {
        // A link may be relative to where it is, so it is made anew and not linked to.
        let target = if entry.file_type()?.is_symlink() {
            fs::read_link(below.join(entry.file_name()))?
        } else {
            below.join(entry.file_name())
        };
        symlink(target, directory.join(entry.file_name()))?;
    }
    Ok(())
}

fn bring_up_loopback() -> Result<(), Refusal> {
    Blocking::open()?.command(message::loopback(true), 0)
}
