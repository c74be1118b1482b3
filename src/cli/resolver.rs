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
    let Prepared { desired, observed, applied, kept, plan, .. } = prepared;
    let mut left = inhabited(applied);
    left.extend(inhabited(&observed.own));
    let stays = inhabited(kept.as_ref().unwrap_or(&desired.0));
    left.retain(|ns| **ns != NsRef::Host && !stays.contains(ns));
    if left.is_empty() {
        return;
    }
    let going = going(plan);
    let left = left.into_iter().filter(|ns| !going.contains(ns)).cloned().collect();
    for (ns, error) in redirect::leave(left, ADDRESS).await {
        voice.note(&format!(
            "warning: nft table ip netform-dns in namespace {ns} leads to nobody, and stays there: {error}"
        ));
    }
}

/// Returns the namespaces that links are in.
fn inhabited(state: &State) -> BTreeSet<&NsRef> {
    state.iter().filter_map(|(_, entry)| entry.resource.link()).flat_map(Link::namespaces).collect()
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
