//! Tells when files of the manifest, or namespaces, come, change and go.
//!
//! Directories are watched, not files: editors put a new file in place of the old one. Every step of the way to a file
//! counts, symbolic links included, so that a link that is swapped (as Kubernetes does) and a directory that is made
//! anew are seen. What is told is only that it is worth reading again: contents are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::os::unix::fs::MetadataExt;

use super::Event;
use crate::kernel::events::Notice;

/// How many symbolic links may follow each other: as many as the kernel follows, path_resolution(7).
const MOST_LINKS: usize = 40;

/// Watches directories.
pub(super) struct Files {
    watcher: RecommendedWatcher,
    /// Directories by path, with the inode that is watched.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    interest: Arc<Mutex<Interest>>,
    targets: Targets,
}

/// What to watch.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets {
    /// Files and directories of the manifest.
    pub(super) sources: Vec<PathBuf>,
    /// Files that shall hold something.
    pub(super) objects: Vec<PathBuf>,
    /// Directories in which namespaces come and go.
    pub(super) namespaces: Vec<PathBuf>,
    /// The files that the daemon's claim is.
    pub(super) claim: Vec<PathBuf>,
}

/// What matters of what happens in the directories.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interest {
    /// Entries that matter.
    entries: BTreeSet<PathBuf>,
    /// Directories in which every entry matters.
    directories: BTreeSet<PathBuf>,
    /// Files that shall hold something.
    objects: BTreeSet<PathBuf>,
    /// Directories in which namespaces come and go.
    namespaces: BTreeSet<PathBuf>,
    /// The files that the daemon's claim is.
    claim: BTreeSet<PathBuf>,
    /// What went away since it was last looked at: another one of its name may have the same inode.
    gone: BTreeSet<PathBuf>,
}

impl Interest {
    /// Returns the event that something at `path` is.
    fn event(&self, path: &Path) -> Option<Event> {
        let inside = |set: &BTreeSet<PathBuf>| path.parent().is_some_and(|parent| set.contains(parent));
        if inside(&self.namespaces) || self.namespaces.contains(path) {
            Some(Event::Namespaces(path.to_owned()))
        } else if self.entries.contains(path) || inside(&self.directories) {
            Some(Event::Files)
        } else if self.objects.contains(path) {
            Some(Event::Object(path.to_owned()))
        } else if self.claim.iter().any(|file| file == path || file.parent() == Some(path)) {
            Some(Event::Claim)
        } else {
            None
        }
    }

    /// Adds every step of the way to `path`; returns where it ends.
    fn follow(&mut self, path: &Path) -> Option<PathBuf> {
        let mut at = PathBuf::from("/");
        let mut steps: Vec<PathBuf> = steps(&std::path::absolute(path).ok()?);
        let mut links = 0;
        while let Some(step) = steps.pop() {
            if step == Path::new("..") {
                at.pop();
                continue;
            }
            let entry = at.join(step);
            self.entries.insert(entry.clone());
            match fs::read_link(&entry) {
                Ok(target) if links < MOST_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    steps.extend(self::steps(&target));
                }
                Ok(_) => return None,
                Err(_) if entry.exists() => at = entry,
                Err(_) => return None,
            }
        }
        Some(at)
    }
}

/// Returns the steps of a path, the last one first.
fn steps(path: &Path) -> Vec<PathBuf> {
    let steps = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    steps.collect()
}

impl Files {
    /// Prepares to watch; nothing is watched yet.
    pub(super) fn new(tell: impl Fn(Event) + Send + 'static) -> notify::Result<Self> {
        let interest = Arc::new(Mutex::new(Interest::default()));
        let shared = Arc::clone(&interest);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let mut interest = shared.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Ok(event) if event.need_rescan() => {
                    tell(Event::Files);
                    tell(Event::Kernel(Notice::Overrun));
                }
                Ok(event) if is_change(event.kind) => {
                    if matches!(event.kind, EventKind::Remove(_)) {
                        interest.gone.extend(event.paths.iter().cloned());
                    }
                    event.paths.iter().filter_map(|path| interest.event(path)).for_each(&tell);
                }
                Ok(_) | Err(_) => {}
            }
        })?;
        Ok(Self { watcher, watched: BTreeMap::new(), interest, targets: Targets::default() })
    }

    /// Watches what leads to these files and directories, and nothing else; returns what may have been missed because
    /// it was not watched until now.
    ///
    /// What cannot be watched is left to the clock.
    pub(super) fn aim(&mut self, targets: Targets) -> Vec<Event> {
        self.targets = targets;
        self.look_again()
    }

    /// The same for what is watched already: directories may be others by now.
    pub(super) fn look_again(&mut self) -> Vec<Event> {
        let mut interest = Interest::default();
        let Targets { sources, objects, namespaces, claim } = &self.targets;
        for source in sources {
            let end = interest.follow(source);
            interest.directories.extend(end.filter(|end| end.is_dir()));
        }
        interest.objects.extend(objects.iter().cloned());
        interest.namespaces.extend(namespaces.iter().cloned());
        interest.claim.extend(claim.iter().cloned());
        let mut wanted: BTreeSet<PathBuf> = interest
            .entries
            .iter()
            .chain(&interest.objects)
            .chain(&interest.claim)
            .filter_map(|entry| entry.parent())
            .map(Path::to_owned)
            .collect();
        wanted.extend(interest.directories.iter().cloned());
        wanted.extend(interest.namespaces.iter().cloned());
        let of_manifest: BTreeSet<PathBuf> = interest
            .entries
            .iter()
            .filter_map(|entry| entry.parent())
            .map(Path::to_owned)
            .chain(interest.directories.iter().cloned())
            .collect();
        let mut shared = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
        let led_elsewhere = shared.entries != interest.entries;
        let gone = std::mem::replace(&mut *shared, interest).gone;
        drop(shared);

        let claimed: BTreeSet<&Path> = claim.iter().filter_map(|file| file.parent()).collect();
        let unwatched: Vec<PathBuf> = self
            .watched
            .keys()
            .filter(|path| !wanted.contains(*path) || gone.contains(*path))
            .cloned()
            .collect();
        // What happened to a new step of the way did not matter before, even where it was seen.
        let (mut missed, mut manifest_missed) = (vec![], led_elsewhere);
        for path in unwatched {
            self.watched.remove(&path);
            let _ = self.watcher.unwatch(&path);
        }
        for path in wanted {
            let Ok(inode) = inode(&path) else { continue };
            if self.watched.get(&path) == Some(&inode) {
                continue;
            }
            // Another directory of this name: the old watch has died with the old one.
            let _ = self.watcher.unwatch(&path);
            if self.watcher.watch(&path, RecursiveMode::NonRecursive).is_ok() {
                if of_manifest.contains(&path) {
                    manifest_missed = true;
                } else if claimed.contains(path.as_path()) {
                    missed.push(Event::Claim);
                } else {
                    missed.push(Event::Object(path.clone()));
                }
                self.watched.insert(path, inode);
            }
        }
        missed.extend(manifest_missed.then_some(Event::Files));
        missed
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Tells whether an event is more than somebody reading: we ourselves do.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_happens_to_a_new_step_of_the_way_before_it_is_one_is_not_missed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["one", "two"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::write(root.join(name).join("netform.yaml"), name).unwrap();
        }
        symlink("one", root.join("..data")).unwrap();
        symlink("..data/netform.yaml", root.join("netform.yaml")).unwrap();
        let targets = Targets {
            sources: vec![root.join("netform.yaml")],
            objects: vec![],
            namespaces: vec![],
            claim: vec![],
        };
        let mut files = Files::new(|_| {}).unwrap();
        files.aim(targets.clone());
        assert!(files.aim(targets.clone()).is_empty());

        symlink("two", root.join("..new")).unwrap();
        fs::rename(root.join("..new"), root.join("..data")).unwrap();
        fs::remove_dir_all(root.join("two")).unwrap();

        assert!(matches!(files.aim(targets.clone()).as_slice(), [Event::Files]));
        assert!(files.aim(targets.clone()).is_empty());
    }

    #[test]
    fn every_step_of_the_way_counts_links_included() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir(root.join("..one")).unwrap();
        fs::write(root.join("..one/netform.yaml"), "").unwrap();
        symlink("..one", root.join("..data")).unwrap();
        symlink("..data/netform.yaml", root.join("netform.yaml")).unwrap();

        let mut interest = Interest::default();
        let end = interest.follow(&root.join("netform.yaml"));

        assert_eq!(end, Some(root.join("..one/netform.yaml")));
        for entry in ["netform.yaml", "..data", "..one", "..one/netform.yaml"] {
            assert!(matches!(interest.event(&root.join(entry)), Some(Event::Files)), "{entry}");
        }
        assert!(interest.event(&root).is_some());
        assert!(interest.event(&root.join("other.yaml")).is_none());
    }

    #[test]
    fn a_way_that_ends_nowhere_is_followed_as_far_as_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        symlink("circle", root.join("circle")).unwrap();

        let mut interest = Interest::default();
        assert_eq!(interest.follow(&root.join("not/there.yaml")), None);
        assert!(interest.event(&root.join("not")).is_some());
        assert_eq!(interest.follow(&root.join("circle")), None);
    }
}
