//! What makes names work in the containers: hosts files always, and the daemon's resolver while it runs.
//!
//! The files that point containers at the resolver are wanted as long as somebody answers there. So the daemon wants them,
//! and whoever plans beside it wants them, too, and neither undoes what the other does. Without a daemon they would lead
//! to nobody: the next `apply` takes them away.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::ask;
use super::session::Target;
use crate::apply::Dirs;
use crate::desired::resolver_files;
use crate::dns::resolv;
use crate::manifest::{Home, Manifest};
use crate::names::NetnsName;
use crate::resource::file::{FilePath, NetnsFile};
use crate::resource::netns::NsRef;
use crate::resource::state::{Desired, Observed};
use crate::resource::{ResourceId, Slot};
use crate::watch::protocol::Names;

/// Where the host says whom it asks, and in which domains it searches.
const HOST_FILE: &str = "/etc/resolv.conf";

/// How long a daemon may take to say how it is doing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who knows what makes names work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Naming {
    /// The daemon, if one runs: it is asked.
    #[default]
    Asked,
    /// The daemon, and that is us.
    Daemon,
}

/// What the resolver does.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// What the files say that point containers at it; `None` when nobody answers there.
    resolv_conf: Option<String>,
    /// Where it does not answer, and why.
    unanswered: Vec<String>,
}

impl Naming {
    /// Returns what the resolver does.
    pub(super) async fn answers(self, dirs: &Dirs) -> Answers {
        let (names, unanswered) = match self {
            // What it has to say of it, it says when it has tried.
            Self::Daemon => (Names::Daemon, vec![]),
            Self::Asked => {
                let status = tokio::time::timeout(PATIENCE, ask::status(dirs)).await;
                status.ok().flatten().map(|status| (status.names, status.unanswered)).unwrap_or_default()
            }
        };
        let resolv_conf = match names {
            Names::HostsFiles => None,
            Names::Daemon => {
                // A host without the file is one that asks nobody.
                let host = std::fs::read_to_string(HOST_FILE).unwrap_or_default();
                Some(resolv::container(&resolv::parse(&host)))
            }
        };
        Answers { resolv_conf, unanswered }
    }
}

/// Gives a target the files that point containers at a resolver, or takes them out of it.
pub(super) fn settle(target: &mut Target, answers: Answers) {
    let Answers { resolv_conf, unanswered } = answers;
    target.warnings = unanswered;
    let state = &mut target.desired.0;
    match (resolv_conf, &target.topology) {
        (Some(text), Some(topology)) => state.extend(resolver_files(topology, &text)),
        // A generation has those of its time.
        (Some(_), None) => {}
        (None, Some(_) | None) => {
            let pointing = state.iter().map(|(id, _)| id).filter(|id| points_at_resolver(id));
            for id in pointing.cloned().collect::<Vec<_>>() {
                state.remove(&id);
            }
        }
    }
}

/// Leaves alone what others have where a container would be pointed at the resolver; returns what the user should know.
pub(super) fn yield_to_others(desired: &mut Desired, observed: &Observed) -> Vec<String> {
    let theirs = |id: &&ResourceId| {
        points_at_resolver(id) && observed.foreign.contains_key(&Slot::Object((*id).clone()))
    };
    let taken: Vec<_> = desired.0.iter().map(|(id, _)| id).filter(theirs).cloned().collect();
    for id in &taken {
        desired.0.remove(id);
    }
    let sentence = |id: &ResourceId| {
        format!(
            "{id} is somebody else's and is left alone: who reads it asks the resolvers that it names, and not the \
             daemon's; remove it, and the daemon puts its own there"
        )
    };
    taken.iter().map(sentence).collect()
}

fn points_at_resolver(id: &ResourceId) -> bool {
    match id {
        ResourceId::File(path) => NetnsFile::ResolvConf.is_at(path),
        ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..) => false,
    }
}

/// Returns the files that the names of a manifest's containers may be in.
pub(super) fn files(manifest: &Manifest) -> BTreeSet<FilePath> {
    let named = manifest.containers.iter().filter_map(|(name, container)| {
        match container.value.home.as_ref().map(|home| &home.value) {
            None => Some(NetnsName::from(name)),
            Some(Home::Netns(NsRef::Named(name))) => Some(name.clone()),
            Some(Home::Netns(NsRef::Host | NsRef::Path(_) | NsRef::Process(_))) => None,
            // Who runs them says where they are.
            Some(Home::Docker(_) | Home::Podman(_) | Home::Process(_)) => None,
        }
    });
    named.flat_map(|name| [NetnsFile::Hosts, NetnsFile::ResolvConf].map(|file| file.path(&name))).collect()
}

/// Returns the file that the host's resolvers are in: what a container's says depends on it.
pub(super) fn source() -> PathBuf {
    PathBuf::from(HOST_FILE)
}
