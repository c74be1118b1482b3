//! Namespaces whose names were taken away. Each is kept alive beside until nothing can be undone any more, so that an undo
//! gives it its name back: processes stay in a namespace that has lost its name, and one that is made anew is not theirs.
//!
//! The kernel keeps a namespace as long as its file is mounted somewhere, whoever dies meanwhile: `nsfs.c` in Linux `fs`.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use super::reading::Other;
use super::{census, netns};
use crate::names::NetnsName;
use crate::resource::netns::NsRef;
use crate::resource::owner::Mark;

/// Keeps the namespace of this name alive; a name that none is behind needs nothing.
pub(super) fn keep(dir: &Path, name: &NetnsName) -> io::Result<()> {
    let (named, kept) = (named(name), dir.join(name.as_str()));
    if !netns::has_namespace(&named).unwrap_or(false) {
        return Ok(());
    }
    prepare(dir)?;
    // What a run left here that was killed before it let go.
    netns::release(&kept)?;
    OpenOptions::new().write(true).create_new(true).mode(0o400).open(&kept)?;
    Ok(mount_bind(&named, &kept)?)
}

/// Gives the namespaces that are kept their names back, unless somebody else has those; tells whether any got its own.
pub(super) fn revive(dir: &Path, names: &[NetnsName]) -> bool {
    let kept = names.iter().map(|name| (name, dir.join(name.as_str())));
    let kept = kept.filter(|(_, kept)| netns::has_namespace(kept).unwrap_or(false));
    let revived = kept.filter(|(name, kept)| {
        // The name comes first: whoever is killed in between leaves no namespace without any.
        let is_named = name_again(name, kept).is_ok();
        is_named && netns::release(kept).is_ok()
    });
    revived.count() > 0
}

/// Gives namespaces that only processes keep alive their names back, by the marks that they carry; tells whether any got
/// its own.
pub(super) async fn revive_inhabited(lost: &[(NetnsName, Mark)]) -> bool {
    let gone = lost.iter().filter(|(name, _)| !netns::has_namespace(&named(name)).unwrap_or(false));
    let gone: Vec<_> = gone.collect();
    if gone.is_empty() {
        return false;
    }
    let found = census::take().await.unwrap_or_default();
    let nameless = |mark: &Mark| {
        let mut all = found.iter().filter(|it| !it.home && it.names.is_empty() && it.files.is_empty());
        all.find(|it| it.mark.as_ref() == Some(mark))?.path()
    };
    let inhabited = gone.into_iter().filter_map(|(name, mark)| Some((name, nameless(mark)?)));
    inhabited.filter(|(name, path)| name_again(name, path).is_ok()).count() > 0
}

/// Lets namespaces go that are kept: they live on as long as somebody is in there. What stays goes the next time.
pub(super) fn let_go(dir: &Path) {
    if is_mount(dir).unwrap_or(false) {
        let _ = unmount(dir, UnmountFlags::DETACH);
    }
    let _ = fs::remove_dir(dir);
}

/// Makes the place in which namespaces are kept: a mount, so that all of them are let go at once. One by one takes the
/// kernel longer than all else that it takes to delete them.
fn prepare(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    if is_mount(dir)? {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("tmpfs", dir, "tmpfs", flags, Some(c"mode=0700"))?)
}

/// Tells whether something is mounted on a directory.
fn is_mount(dir: &Path) -> io::Result<bool> {
    let above = dir.parent().map_or_else(|| fs::metadata(dir), fs::metadata)?;
    Ok(fs::metadata(dir)?.dev() != above.dev())
}

fn named(name: &NetnsName) -> std::path::PathBuf {
    netns::path(&NsRef::Named(name.clone()))
}

/// Has a name stand for the namespace behind another file.
fn name_again(name: &NetnsName, file: &Path) -> io::Result<()> {
    netns::prepare_directory()?;
    let named = named(name);
    match OpenOptions::new().write(true).create_new(true).mode(0o444).open(&named) {
        Ok(_) => {}
        // A mere file is what a run leaves that is killed right here.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_empty_file(&named) => {}
        Err(error) => return Err(error),
    }
    Ok(mount_bind(file, &named)?)
}

/// Tells what stands where a namespace of this name would.
pub(super) fn in_place_of(name: &NetnsName) -> Other {
    if is_empty_file(&named(name)) { Other::Stale } else { Other::Strange }
}

fn is_empty_file(path: &Path) -> bool {
    let is_empty = fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0);
    is_empty && !netns::has_namespace(path).unwrap_or(true)
}
