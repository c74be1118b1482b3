//! The daemon's resolver, as its runs see it: who is served, and what has to be let go of.

use std::collections::BTreeSet;
use std::io;

use super::failure::chain;
use super::naming;
use super::session::Prepared;
use super::voice::Voice;
use crate::dns::resolv::ADDRESS;
use crate::dns::server::{self, Server};
use crate::dns::zone::Zones;
use crate::kernel::{Op, netns, redirect};
use crate::names::ContainerName;
use crate::plan::Plan;
use crate::resource::ResourceId;
use crate::resource::link::Link;
use crate::resource::netns::NsRef;
use crate::resource::state::State;
use crate::topology::Topology;
use crate::watch::Held;

/// A server, with what it was told last.
pub(super) struct Resolver {
    server: Server,
    /// `None` before the first run.
    topology: Option<Topology>,
    running: BTreeSet<ContainerName>,
    /// Whether it has to be told again, whatever it was told last.
    unsettled: bool,
}

impl Resolver {
    /// Starts a server, with nobody to serve yet.
    pub(super) fn start() -> io::Result<Self> {
        let server = Server::new(server::Options { resolv_conf: naming::source() })?;
        Ok(Self { server, topology: None, running: BTreeSet::new(), unsettled: false })
    }

    /// Lets go of namespaces whose names are gone: a socket would keep them alive, with all that is in them. Whoever shares
    /// an alias with a container that stopped so has it from now on.
    pub(super) async fn let_go(&mut self) {
        self.leave(&self.server.gone()).await;
    }

    /// Lets go of the namespaces that a plan deletes.
    pub(super) async fn make_way(&mut self, plan: &Plan) {
        self.leave(&going(plan)).await;
    }

    async fn leave(&mut self, namespaces: &BTreeSet<NsRef>) {
        let (Some(topology), false) = (&self.topology, namespaces.is_empty()) else { return };
        for container in topology.containers.iter().filter(|container| namespaces.contains(&container.ns)) {
            self.running.remove(&container.name);
        }
        // What fails is told when the run is over: `serve` tries everything again.
        let _ = self.server.set(&Zones::new(topology, &self.running)).await;
        self.unsettled = true;
    }

    /// Serves the containers of a topology whose namespaces are there; without one, those of the last.
    ///
    /// Returns what is wrong, unless it is about to pass: a namespace that is gone by now, or one whose `lo` is still down.
    pub(super) async fn serve(&mut self, topology: Option<Topology>) -> Option<Held> {
        let edited = topology.is_some() && self.topology != topology;
        self.topology = topology.or_else(|| self.topology.take());
        let topology = self.topology.as_ref()?;
        let there = topology.containers.iter().filter(|container| netns::is_there(&container.ns));
        let running: BTreeSet<_> = there.map(|container| container.name.clone()).collect();
        if !edited && !self.unsettled && running == self.running && self.server.gone().is_empty() {
            return None;
        }
        self.running = running;
        let failures = self.server.set(&Zones::new(topology, &self.running)).await;
        self.unsettled = !failures.is_empty();
        held(&failures)
    }

    /// Brings back what leads questions to the resolver, where somebody took it away.
    pub(super) async fn mend(&mut self) -> Option<Held> {
        let broken = self.server.broken().await;
        held(&self.server.mend(&broken).await)
    }
}

/// Takes what led questions to a resolver out of namespaces that stay when the project leaves them: whoever has them does
/// not get rid of it otherwise. Where a daemon answers, it does that itself.
///
/// This comes before all else, so that a run that is killed has done it: without a daemon it leads nowhere.
pub(super) async fn forsake(prepared: &Prepared, voice: &Voice) {
    let target = prepared.target();
    let left = left_by(&prepared.applied, target).chain(left_by(&prepared.observed.own, target));
    let mut left: BTreeSet<&NsRef> = left.filter(|ns| **ns != NsRef::Host).collect();
    if left.is_empty() {
        return;
    }
    let stays: BTreeSet<&NsRef> = links(target).flat_map(|(_, link)| link.namespaces()).collect();
    let going = going(&prepared.plan);
    left.retain(|ns| !stays.contains(ns) && !going.contains(ns));
    let left = left.into_iter().cloned().collect();
    for (ns, error) in redirect::leave(left, ADDRESS).await {
        voice.note(&format!(
            "warning: nft table ip netform-dns in namespace {ns} leads to nobody, and stays there: {error}"
        ));
    }
}

/// Returns the namespaces of links that a state has and another one has not, or elsewhere.
fn left_by<'s>(state: &'s State, target: &State) -> impl Iterator<Item = &'s NsRef> {
    let stays = |id: &ResourceId, link: &Link| {
        let there = target.get(id).and_then(|entry| entry.resource.link());
        there.is_some_and(|there| there.namespaces().eq(link.namespaces()))
    };
    links(state).filter(move |(id, link)| !stays(id, link)).flat_map(|(_, link)| link.namespaces())
}

fn links(state: &State) -> impl Iterator<Item = (&ResourceId, &Link)> {
    state.iter().filter_map(|(id, entry)| Some((id, entry.resource.link()?)))
}

/// Returns the namespaces that a plan deletes.
fn going(plan: &Plan) -> BTreeSet<NsRef> {
    let going = plan.waves.iter().flatten().filter_map(|op| match op {
        Op::Create(_) | Op::Update { .. } => None,
        Op::Delete(entry) => entry.resource.id().netns().cloned().map(NsRef::Named),
    });
    going.collect()
}

fn held(failures: &[server::Failure]) -> Option<Held> {
    let is_lasting = |failure: &&server::Failure| {
        // The kernel tells when a namespace comes, and when `lo` goes up: 127.0.0.11 is its address.
        !matches!(failure.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::AddrNotAvailable)
    };
    let lines: Vec<_> = failures.iter().filter(is_lasting).map(|failure| chain(failure)).collect();
    (!lines.is_empty()).then(|| Held { message: lines.join("; "), may_pass: true })
}
