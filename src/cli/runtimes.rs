//! The runtimes that a manifest's containers are of, and what was seen of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::args::Common;
use crate::kernel::{Scope, process};
use crate::manifest::{Home, Manifest};
use crate::names::ContainerName;
use crate::resource::Resource;
use crate::resource::file::is_whole;
use crate::resource::link::{Link, LinkKind};
use crate::resource::netns::{NsRef, Process};
use crate::resource::owner::Owner;
use crate::resource::state::{Entry, State};
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
        let has_outlasted = |entry: &Entry| match (&entry.resource, &entry.owner) {
            (Resource::Link(Link { kind: LinkKind::Veth(peer), .. }), _) => lives(&peer.ns),
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
            scope.files.extend(run.hosts.iter().chain(&run.resolv_conf).cloned());
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
    let now = |entry: Entry| -> Option<Entry> {
        let Entry { mut resource, owner, origin, ignore } = entry;
        let run = match &owner {
            Owner::Container(name) | Owner::Attachment { container: name, network: _ } => {
                facts.runs.get(name)
            }
            Owner::Project | Owner::Network(_) | Owner::Port(_) | Owner::Policy(_) | Owner::Unmarked(_) => {
                None
            }
        };
        let ns = match &mut resource {
            Resource::Link(link) => match &mut link.kind {
                LinkKind::Veth(peer) => Some(&mut peer.ns),
                LinkKind::Macvlan(_) | LinkKind::Ipvlan(_) => Some(&mut link.ns),
                LinkKind::Bridge | LinkKind::Vlan(_) | LinkKind::Other(_) => None,
            },
            Resource::Address(address) => Some(&mut address.ns),
            Resource::Route(route) => Some(&mut route.ns),
            Resource::Sysctl(sysctl) => Some(&mut sysctl.ns),
            Resource::File(file) if !is_whole(&file.path) && !file.path.exists() => return None,
            Resource::Passage(passage) if !facts.docker_user.contains(&passage.family) => return None,
            Resource::File(_)
            | Resource::Netns(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_) => None,
        };
        if let Some(NsRef::Process(process)) = ns {
            *process = run.map(|run| run.process).or(Some(*process)).filter(|it| process::lives(*it))?;
        }
        Some(Entry { resource, owner, origin, ignore })
    };
    Vec::from(state).into_iter().filter_map(now).collect()
}
