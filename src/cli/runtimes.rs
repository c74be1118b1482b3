//! The runtimes that a manifest's containers are of, and what was seen of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::args::Common;
use crate::kernel::{Scope, process};
use crate::manifest::{Home, Manifest};
use crate::names::ContainerName;
use crate::resource::file::is_whole;
use crate::resource::link::LinkKind;
use crate::resource::netns::{NsRef, Process};
use crate::resource::owner::Owner;
use crate::resource::state::{Entry, State};
use crate::resource::{Resource, Slot};
use crate::runtime::{self, Look, Sockets, Wanted};
use crate::topology::facts::{Facts, Leases, Running};

/// Who runs containers, and what was seen of them last.
pub(super) struct Runtimes {
    pub(super) sockets: Sockets,
    pub(super) look: Look,
}

impl Runtimes {
    /// Returns the runtimes at the sockets that the user names; nothing is looked at yet.
    pub(super) fn new(common: &Common) -> Self {
        let path = |socket: &str| PathBuf::from(socket.strip_prefix("unix://").unwrap_or(socket));
        let sockets = Sockets { docker: path(&common.docker), podman: path(&common.podman) };
        Self { sockets, look: Look::default() }
    }

    /// Looks which containers run. Without a manifest, these are those that were seen last and still live.
    pub(super) async fn look(&mut self, manifest: Option<&Manifest>, leases: &Leases) {
        self.look = match manifest {
            Some(manifest) => runtime::look(&self.sockets, &wanted(manifest), &leases.runs).await,
            None => {
                let alive = leases.runs.iter().filter(|(_, run)| process::lives(run.process));
                let runs = alive.map(|(name, run)| (name.clone(), run.clone())).collect();
                Look { runs, warnings: vec![] }
            }
        };
    }

    /// Returns what of an applied state has not ended with the containers that it was for; `before` is what was known of them
    /// then. What went with a container is not drift: nobody took it away, and it is not somebody's who keeps changing it.
    pub(super) fn outlasting(&self, applied: State, before: &BTreeMap<ContainerName, Running>) -> State {
        let known = || self.look.runs.values().chain(before.values()).map(|run| run.process);
        if known().next().is_none() {
            return applied;
        }
        let alive: BTreeSet<Process> = known().filter(|process| process::lives(*process)).collect();
        let lives = |ns: &NsRef| match ns {
            NsRef::Process(process) => alive.contains(process),
            NsRef::Host | NsRef::Named(_) | NsRef::Path(_) => true,
        };
        // What stood on a pair between two containers went with either of them.
        let dead = applied.iter().map(|(_, entry)| &entry.resource);
        let dead = dead.filter(|it| it.link().is_some_and(|link| !link.namespaces().all(lives)));
        let dead: BTreeSet<Slot> = dead.flat_map(Resource::provides).collect();
        let stood = |resource: &Resource| {
            !dead.is_empty() && resource.requires().iter().any(|need| dead.contains(&need.slot))
        };
        let has_outlasted = |entry: &Entry| match (&entry.resource, &entry.owner) {
            (Resource::Address(_) | Resource::Route(_), _) if stood(&entry.resource) => false,
            (Resource::Link(link), _) => link.namespaces().all(lives),
            // A runtime writes the files anew whenever it starts the container.
            (Resource::File(file), Owner::Container(name)) if !is_whole(&file.path) => {
                before.get(name).is_some_and(|run| alive.contains(&run.process))
            }
            (resource, _) => lives(&resource.id().ns()),
        };
        Vec::from(applied).into_iter().filter(has_outlasted).collect()
    }

    /// Adds where those that run live, and their files.
    pub(super) fn widen(&self, scope: &mut Scope) {
        for run in self.look.runs.values() {
            scope.namespaces.insert(NsRef::Process(run.process));
            scope.files.extend(run.hosts.iter().chain(&run.resolv_conf).map(|path| path.as_path().into()));
        }
    }
}

/// Returns the containers of a manifest that somebody else runs.
pub(super) fn wanted(manifest: &Manifest) -> Vec<Wanted> {
    let wanted = manifest.containers.iter().filter_map(|(name, container)| {
        let home = &container.value.home.as_ref()?.value;
        match home {
            Home::Docker(_) | Home::Podman(_) | Home::Process(_) => {
                Some(Wanted { name: name.clone(), home: home.clone() })
            }
            Home::Netns(_) => None,
        }
    });
    wanted.collect()
}

/// Returns a state of before in the namespaces of now: containers that were started again live elsewhere, and what was in a
/// process that has ended, or in a chain of Docker's that is gone, cannot be had again.
pub(super) fn as_of_now(state: State, facts: &Facts) -> State {
    let is_there = |resource: &Resource| match resource {
        Resource::File(file) => is_whole(&file.path) || file.path.exists(),
        Resource::Passage(passage) => facts.docker_user.contains(&passage.family),
        Resource::Link(_)
        | Resource::Address(_)
        | Resource::Route(_)
        | Resource::Sysctl(_)
        | Resource::Netns(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_) => true,
    };
    let state = Vec::from(state).into_iter().filter(|entry| is_there(&entry.resource)).collect();
    rehoused(state, &|ns, owner| moved(ns, owner, facts))
}

/// Returns a state in other namespaces, without what is in none.
pub(super) fn rehoused(state: State, to: &dyn Fn(NsRef, &Owner) -> Option<NsRef>) -> State {
    let now = |entry: Entry| -> Option<Entry> {
        let Entry { mut resource, owner, origin, ignore } = entry;
        let ns = match &mut resource {
            Resource::Link(link) => match &mut link.kind {
                LinkKind::Veth(peer) => {
                    // Of a pair between two containers, this end is the other one's.
                    let other = peer.tag.as_ref().map_or(&owner, |tag| &tag.owner);
                    peer.ns = to(peer.ns.clone(), other)?;
                    Some(&mut link.ns)
                }
                LinkKind::Macvlan(_) | LinkKind::Ipvlan(_) | LinkKind::Device(_) => Some(&mut link.ns),
                LinkKind::Bridge
                | LinkKind::Vlan(_)
                | LinkKind::OpenVswitch(_)
                | LinkKind::Ifb
                | LinkKind::Other(_) => None,
            },
            Resource::Address(address) => Some(&mut address.ns),
            Resource::Route(route) => Some(&mut route.ns),
            Resource::Sysctl(sysctl) => Some(&mut sysctl.ns),
            Resource::File(_)
            | Resource::Passage(_)
            | Resource::Netns(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_) => None,
        };
        if let Some(ns) = ns {
            *ns = to(ns.clone(), &owner)?;
        }
        Some(Entry { resource, owner, origin, ignore })
    };
    Vec::from(state).into_iter().filter_map(now).collect()
}

/// Returns where something of an owner lives now; `None` when its process has ended.
fn moved(ns: NsRef, owner: &Owner, facts: &Facts) -> Option<NsRef> {
    let NsRef::Process(process) = ns else { return Some(ns) };
    let run = match owner {
        Owner::Container(name) | Owner::Attachment { container: name, network: _ } => facts.runs.get(name),
        Owner::Project
        | Owner::Network(_)
        | Owner::Port(_)
        | Owner::Policy(_)
        | Owner::External(_)
        | Owner::Unmarked(_) => None,
    };
    let process = run.map_or(process, |run| run.process);
    process::lives(process).then_some(NsRef::Process(process))
}
