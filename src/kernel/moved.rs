//! Where something may have changed since it was read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Glance, netns};
use crate::names::{IfName, NetnsName};
use crate::resource::Resource;
use crate::resource::netns::NsRef;
use crate::resource::state::Entry;

/// How many parts are so many that it is not worth while to tell them apart.
const MANY: usize = 4096;

/// Where something may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// Anywhere.
    Everywhere,
    /// Nowhere but here.
    Here(Parts),
}

/// Parts of what can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// Namespaces.
    pub namespaces: BTreeSet<NsRef>,
    /// Namespaces, by the numbers that the host has for them.
    pub numbers: BTreeSet<i32>,
    /// Links of the host.
    pub links: BTreeSet<IfName>,
    /// Links of the host, by their indexes.
    pub indexes: BTreeSet<u32>,
    /// Namespaces, by the indexes of links of the host that were paired with one in there, and are gone.
    pub ends: BTreeSet<u32>,
    /// Files, those of the host's kernel parameters included, and directories of files.
    pub files: BTreeSet<PathBuf>,
    /// What is only read in whole.
    pub whole: BTreeSet<Whole>,
}

/// What is only read in whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whole {
    /// The host's links, addresses and routes.
    Host,
    /// The host's routes.
    Routes,
    /// Which of the host's links has the default route, which decides what is asked for.
    Uplinks,
    /// The host's kernel parameters.
    Parameters,
    /// The firewall's tables.
    Firewall,
}

impl Default for Moved {
    fn default() -> Self {
        Self::Here(Parts::default())
    }
}

impl From<Parts> for Moved {
    fn from(parts: Parts) -> Self {
        Self::Here(parts)
    }
}

impl Moved {
    /// Adds what else may have changed.
    pub fn extend(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Everywhere, Self::Everywhere | Self::Here(_)) => {}
            (Self::Here(_), Self::Everywhere) => *self = Self::Everywhere,
            (Self::Here(parts), Self::Here(more)) => {
                parts.extend(more);
                if parts.len() > MANY {
                    *self = Self::Everywhere;
                }
            }
        }
    }

    /// Tells whether files or names of namespaces may have changed.
    pub fn has_files(&self) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Here(parts) => !parts.files.is_empty() || !parts.namespaces.is_empty(),
        }
    }

    /// Tells whether a file may have changed.
    pub fn has_file(&self, path: &Path) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Here(parts) => parts.has_file(path),
        }
    }
}

impl Parts {
    /// Returns the part that is only read in whole.
    pub fn whole(whole: Whole) -> Self {
        Self { whole: [whole].into(), ..Self::default() }
    }

    /// Returns a file, or all files of a directory.
    pub fn file(path: PathBuf) -> Self {
        Self { files: [path].into(), ..Self::default() }
    }

    /// Returns the namespaces that a path may stand for.
    pub fn namespace_at(path: &Path) -> Self {
        let name = path.strip_prefix(netns::DIR).ok().and_then(Path::to_str);
        let named = name.and_then(|name| NetnsName::try_from(name).ok()).map(NsRef::Named);
        let namespaces = named.into_iter().chain([NsRef::Path(path.to_owned())]).collect();
        Self { namespaces, ..Self::default() }
    }

    /// Adds further parts.
    pub fn extend(&mut self, more: Self) {
        let Self { namespaces, numbers, links, indexes, ends, files, whole } = more;
        self.namespaces.extend(namespaces);
        self.numbers.extend(numbers);
        self.links.extend(links);
        self.indexes.extend(indexes);
        self.ends.extend(ends);
        self.files.extend(files);
        self.whole.extend(whole);
    }

    /// Returns where an object is seen, and what else changes with it.
    pub(super) fn of(entry: &Entry) -> Self {
        let mut parts = Self::default();
        let ns = entry.resource.id().ns();
        match &entry.resource {
            Resource::Netns(netns) => drop(parts.namespaces.insert(NsRef::Named(netns.name.clone()))),
            Resource::Link(link) => {
                parts.links.extend((ns == NsRef::Host).then(|| link.name.clone()));
                parts.namespaces.extend(link.kind.peer().map(|peer| peer.ns.clone()));
                parts.links.extend(link.kind.parent().cloned());
                parts.links.extend(link.kind.device().map(|device| device.name.clone()));
            }
            Resource::Address(address) => {
                parts.links.extend((ns == NsRef::Host).then(|| address.link.clone()));
            }
            Resource::Neighbour(it) => parts.links.extend((ns == NsRef::Host).then(|| it.link.clone())),
            Resource::Route(_) if ns == NsRef::Host => drop(parts.whole.insert(Whole::Routes)),
            Resource::Route(_) => {}
            Resource::Sysctl(sysctl) if ns == NsRef::Host => {
                parts.files.insert(super::sysctl::path(&sysctl.key));
            }
            Resource::Sysctl(_) => {}
            Resource::NftTable(_) | Resource::NftElement(_) | Resource::Passage(_) => {
                parts.whole.insert(Whole::Firewall);
            }
            Resource::Qdisc(qdisc) => drop(parts.links.insert(qdisc.link.clone())),
            Resource::File(file) => drop(parts.files.insert(file.path.to_path_buf())),
        }
        match ns {
            NsRef::Host => {}
            NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => drop(parts.namespaces.insert(ns)),
        }
        parts
    }

    /// Adds what a glance is at.
    pub(super) fn extend_with(&mut self, at: &Glance) {
        let Glance { namespaces, links, firewall } = at;
        self.namespaces.extend(namespaces.iter().cloned());
        self.links.extend(links.iter().cloned());
        if *firewall {
            self.whole.insert(Whole::Firewall);
        }
    }

    /// Tells whether a file is one of these.
    pub(super) fn has_file(&self, path: &Path) -> bool {
        self.files.contains(path) || path.parent().is_some_and(|parent| self.files.contains(parent))
    }

    /// Returns how many parts there are.
    pub fn len(&self) -> usize {
        let Self { namespaces, numbers, links, indexes, ends, files, whole } = self;
        let named = namespaces.len() + links.len() + files.len() + whole.len();
        named + numbers.len() + indexes.len() + ends.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_everywhere_is_more_than_all_of_them() {
        let mut moved = Moved::default();
        moved.extend(Parts { numbers: [1, 2].into(), ..Parts::default() }.into());
        moved.extend(Parts { numbers: [2, 3].into(), ..Parts::whole(Whole::Firewall) }.into());
        assert_eq!(moved, Parts { numbers: [1, 2, 3].into(), ..Parts::whole(Whole::Firewall) }.into());

        moved.extend(Parts { numbers: (0..5000).collect(), ..Parts::default() }.into());
        assert_eq!(moved, Moved::Everywhere);
        moved.extend(Moved::default());
        assert_eq!(moved, Moved::Everywhere);
    }

    #[test]
    fn a_directory_stands_for_its_files() {
        let moved = Moved::from(Parts::file("/etc/netns/web".into()));
        assert!(moved.has_file(Path::new("/etc/netns/web/hosts")));
        assert!(!moved.has_file(Path::new("/etc/netns/db/hosts")));
    }
}
