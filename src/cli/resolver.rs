//! The daemon's resolver, as its runs see it: who is served, and what has to be let go of.

use std::collections::BTreeSet;
use std::io;

use super::failure::chain;
use super::naming;
use crate::dns::server::{self, Server};
use crate::dns::zone::Zones;
use crate::kernel::{Op, netns};
use crate::names::ContainerName;
use crate::plan::Plan;
use crate::resource::netns::NsRef;
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
        let going = plan.waves.iter().flatten().filter_map(|op| match op {
            Op::Create(_) | Op::Update { .. } => None,
            Op::Delete(entry) => entry.resource.id().netns().cloned().map(NsRef::Named),
        });
        self.leave(&going.collect()).await;
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

fn held(failures: &[server::Failure]) -> Option<Held> {
    let is_lasting = |failure: &&server::Failure| {
        // The kernel tells when a namespace comes, and when `lo` goes up: 127.0.0.11 is its address.
        !matches!(failure.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::AddrNotAvailable)
    };
    let lines: Vec<_> = failures.iter().filter(is_lasting).map(|failure| chain(failure)).collect();
    (!lines.is_empty()).then(|| Held { message: lines.join("; "), may_pass: true })
}
