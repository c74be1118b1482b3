//! What the reading threads do, and which namespace is looked into next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::kernel::neighbours::Proxies;
use crate::kernel::qdisc::Asked;
use crate::kernel::{Scope, routes, vlans};
use crate::names::{IfName, ProjectName};
use crate::resource::netns::NsRef;
use crate::resource::sysctl::SysctlKey;

/// What the reading threads need to know.
pub(super) struct Task {
    pub(super) project: ProjectName,
    pub(super) wanted: BTreeMap<NsRef, Vec<SysctlKey>>,
    /// Where other tables of routes matter, beside the main one.
    pub(super) elsewhere: Elsewhere,
    /// The links of the host whose qdiscs matter.
    pub(super) limited: Asked,
    /// The links of the host that may answer for addresses of ours.
    pub(super) proxies: Proxies,
    /// Whose VLANs of ports of bridges matter.
    pub(super) vlans: vlans::Asked,
}

/// Where other tables of routes matter.
pub(super) enum Elsewhere {
    Everywhere,
    In(BTreeSet<NsRef>),
}

impl Elsewhere {
    /// Returns where it matters to a scope: everywhere, where that is cheap.
    pub(super) fn of(scope: &Scope, is_cheap: bool) -> Self {
        if is_cheap { Self::Everywhere } else { Self::In(routes::in_other_tables(scope)) }
    }

    pub(super) fn matter_in(&self, ns: &NsRef) -> bool {
        match self {
            Self::Everywhere => true,
            Self::In(namespaces) => namespaces.contains(ns),
        }
    }
}

/// Links of the host, by name and by index, and whether its routes are asked for.
pub(super) struct SomeLinks {
    pub(super) names: BTreeSet<IfName>,
    pub(super) indexes: BTreeSet<u32>,
    pub(super) routes: bool,
}

/// Namespaces that are still to be looked into. Whoever is done with one takes the next: threads that were given as many
/// each would not end together.
pub(super) struct Todo {
    namespaces: Vec<NsRef>,
    next: AtomicUsize,
}

impl Todo {
    pub(super) fn new(namespaces: Vec<NsRef>) -> Self {
        Self { namespaces, next: AtomicUsize::new(0) }
    }

    /// Returns how many there were.
    pub(super) fn count(&self) -> usize {
        self.namespaces.len()
    }

    /// Returns the next one, with its place in the list.
    pub(super) fn take(&self) -> Option<(usize, &NsRef)> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        Some((at, self.namespaces.get(at)?))
    }
}

/// Returns what two threads saw, in the order of the list.
pub(super) fn in_order<T>(first: Vec<(usize, T)>, second: Vec<(usize, T)>) -> impl Iterator<Item = T> {
    let mut all: Vec<_> = first.into_iter().chain(second).collect();
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, seen)| seen)
}
