//! Names of namespaces are mounts, and nothing else tells of one that is unmounted: its file stays, and the namespace
//! lives on as long as somebody is in there. The kernel tells that mounts changed, but not which; so the names are
//! compared with what they stood for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::moved::Parts;
use super::netns::{self, Identity};
use crate::resource::netns::NsRef;

/// The mounts of this process's mount namespace.
pub struct Mounts(AsyncFd<File>);

impl Mounts {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// When they cannot be listened to.
    pub fn open() -> io::Result<Self> {
        let table = File::open("/proc/self/mountinfo")?;
        #[expect(deprecated, reason = "a file does not give up its descriptor")]
        Ok(Self(AsyncFd::with_interest(table, Interest::PRIORITY)?))
    }

    /// Waits until they have changed since it was asked last: `mounts_poll()` in Linux `fs/proc_namespace.c`.
    ///
    /// # Errors
    ///
    /// When they cannot be listened to any more.
    pub async fn change(&mut self) -> io::Result<()> {
        self.0.ready_mut(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}

/// Files that stand for namespaces, and for which.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<PathBuf, Option<Identity>>);

impl Places {
    /// Remembers what these namespaces' files stand for, and forgets all others. What is remembered already stays so, until
    /// it is compared.
    pub fn remember(&mut self, namespaces: &BTreeSet<NsRef>) {
        let file = |ns: &NsRef| match ns {
            // Nothing is mounted on the kernel's own files.
            NsRef::Path(path) if !path.starts_with("/proc") => Some(path.clone()),
            NsRef::Named(_) => Some(netns::path(ns)),
            NsRef::Path(_) | NsRef::Process(_) | NsRef::Host => None,
        };
        let mut known = std::mem::take(&mut self.0);
        let remembered = namespaces.iter().filter_map(file).map(|path| {
            let stands_for = known.remove(&path).unwrap_or_else(|| stands_for(&path));
            (path, stands_for)
        });
        self.0 = remembered.collect();
    }

    /// Returns those that stand for another one now, or for none, or for one again.
    pub fn moved(&mut self) -> Parts {
        let mut moved = Parts::default();
        for (path, before) in &mut self.0 {
            let now = stands_for(path);
            if std::mem::replace(before, now) != now {
                moved.extend(Parts::namespace_at(path));
            }
        }
        moved
    }
}

/// Returns which namespace a file stands for, without opening it.
fn stands_for(path: &Path) -> Option<Identity> {
    let is_one = netns::has_namespace(path).unwrap_or(false);
    is_one.then(|| netns::identity_at(path).ok())?
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_place_has_moved_once_whenever_it_stands_for_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let (web, db) = (dir.path().join("web"), dir.path().join("db"));
        let moved_to = |target: &str| {
            let _ = fs::remove_file(&web);
            symlink(target, &web).unwrap();
        };
        moved_to("/proc/self/ns/net");
        fs::write(&db, "").unwrap();
        let namespaces = BTreeSet::from([&web, &db].map(|path| NsRef::Path(path.clone())));
        let mut places = Places::default();
        places.remember(&namespaces);
        assert!(places.moved().is_empty());

        for target in ["/proc/self/ns/mnt", "/dev/null", "/proc/self/ns/net"] {
            moved_to(target);
            // What is asked for again meanwhile has moved all the same.
            places.remember(&namespaces);
            assert_eq!(places.moved(), Parts::namespace_at(&web), "{target}");
            assert!(places.moved().is_empty(), "{target}");
        }

        places.remember(&[NsRef::Path(db)].into());
        moved_to("/dev/null");
        assert!(places.moved().is_empty());
    }
}
