//! The daemon's resolver, as its runs see it: who is served, and what has to be let go of.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use super::ask;
use super::failure::chain;
use super::naming::{self, Naming};
use super::session::{Prepared, Session};
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
use crate::watch::protocol::{Condition, Status};
use crate::watch::{Held, Reconciled};

/// How long a namespace may take to become ready before the user is told: whoever makes one brings up its `lo` right afterwards.
const GRACE: Duration = Duration::from_millis(500);

/// After which time, at least and at most, a namespace is looked at again that was not ready, though nothing tells of it.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// A server, with what it was told last.
pub(super) struct Resolver {
    server: Server,
    /// `None` before the first run.
    topology: Option<Topology>,
    running: BTreeSet<ContainerName>,
    /// Whether it has to be told again, whatever it was told last.
    unsettled: bool,
    /// Where others answer, if that is all that it has to be told again for.
    beaten: Option<Vec<server::Failure>>,
    /// How often was worked out what is answered, since that was told last.
    worked_out: u64,
    /// The namespaces that are not ready to be served, with what they lack and since when.
    waiting: BTreeMap<NsRef, (Lack, Instant)>,
    /// Whether the way to it could not be brought back somewhere.
    unmended: bool,
}

/// What a namespace lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Its `lo` is not up.
    Lo,
    /// It is gone by now, or on its way.
    Itself,
    /// Another daemon answers there.
    Another,
    /// It is not the one that netform has made.
    Mark,
}

impl Lack {
    /// Returns what to tell the user of a namespace that has lacked it for so long.
    fn warning(self, ns: &NsRef, waited: Duration) -> Option<String> {
        match self {
            Self::Lo if waited >= GRACE => {
                Some(format!("names are not answered in namespace {ns} until its `lo` is up"))
            }
            Self::Another => Some(format!(
                "names of this project are not answered in namespace {ns}: another daemon answers there"
            )),
            Self::Mark => Some(format!(
                "names are not answered in namespace {ns}: it does not bear the mark of this project"
            )),
            Self::Lo | Self::Itself => None,
        }
    }
}

/// What serving came to.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// What is wrong.
    held: Option<Held>,
    /// Who is not answered yet.
    warnings: Vec<String>,
    /// In how long that is worth another look.
    again: Option<Duration>,
    /// How often was worked out what is answered.
    worked_out: u64,
}

impl Served {
    /// Adds it to what a run came to.
    pub(super) fn told_of(self, mut run: Reconciled) -> Reconciled {
        let Self { held, warnings, again, worked_out } = self;
        run.held = run.held.or(held);
        run.warnings.extend(warnings.iter().cloned());
        Reconciled { again, unanswered: warnings, worked_out, ..run }
    }
}

impl Resolver {
    /// Starts a server, with nobody to serve yet.
    pub(super) fn start() -> io::Result<Self> {
        let server = Server::new(server::Options { resolv_conf: naming::source() })?;
        Ok(Self {
            server,
            topology: None,
            running: BTreeSet::new(),
            unsettled: false,
            beaten: None,
            worked_out: 0,
            waiting: BTreeMap::new(),
            unmended: false,
        })
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
        self.worked_out += 1;
        (self.unsettled, self.beaten) = (true, None);
    }

    /// Serves the containers of a topology whose namespaces are there; without one, those of the last.
    ///
    /// Namespaces that are not ready are tried again at the next run, which the kernel's events lead to, and which comes in
    /// any case: some namespaces are not heard, and some events are lost.
    pub(super) async fn serve(&mut self, topology: Option<Topology>) -> Served {
        let served = self.serve_if_need_be(topology).await;
        Served { worked_out: std::mem::take(&mut self.worked_out), ..served }
    }

    async fn serve_if_need_be(&mut self, topology: Option<Topology>) -> Served {
        let edited = topology.is_some() && self.topology != topology;
        self.topology = topology.or_else(|| self.topology.take());
        let Some(topology) = self.topology.as_ref() else { return Served::default() };
        let there = topology.containers.iter().filter(|container| netns::is_there(&container.ns));
        let running: BTreeSet<_> = there.map(|container| container.name.clone()).collect();
        if !edited && running == self.running && self.server.gone().is_empty() {
            if !self.unsettled {
                return Served::default();
            }
            if let Some(failures) = self.beaten.take() {
                let theirs = failures.iter().map(|failure| failure.ns.clone()).collect();
                if self.server.are_taken(theirs).await {
                    return self.wait(failures, Instant::now());
                }
            }
        }
        self.running = running;
        let failures = self.server.set(&Zones::new(topology, &self.running)).await;
        self.worked_out += 1;
        self.unsettled = !failures.is_empty();
        self.wait(failures, Instant::now())
    }

    /// Notes who is not ready, and returns what that means.
    fn wait(&mut self, failures: Vec<server::Failure>, now: Instant) -> Served {
        let waiting = failures.iter().filter_map(|failure| Some((&failure.ns, lack(failure)?)));
        let waiting = waiting.map(|(ns, lack)| {
            let before = self.waiting.get(ns).filter(|(before, _)| *before == lack);
            (ns.clone(), *before.unwrap_or(&(lack, now)))
        });
        self.waiting = waiting.collect();
        let waits = |since: &Instant| now.saturating_duration_since(*since);
        let warnings = self.waiting.iter().filter_map(|(ns, (lack, since))| lack.warning(ns, waits(since)));
        let served = Served {
            held: held(&failures),
            warnings: warnings.collect(),
            // As long as it has waited already, so seldom when it waits for long.
            again: self.waiting.values().map(|(_, since)| waits(since).clamp(AGAIN.0, AGAIN.1)).min(),
            worked_out: 0,
        };
        let is_beaten = !failures.is_empty() && failures.iter().all(is_lost);
        self.beaten = is_beaten.then_some(failures);
        served
    }

    /// Brings back what leads questions to the resolver, where somebody `may` have taken it away, or it could not be
    /// brought back the last time.
    pub(super) async fn mend(&mut self, may: bool) -> Option<Held> {
        if !may && !self.unmended {
            return None;
        }
        let broken = self.server.broken().await;
        let failures = self.server.mend(&broken).await;
        // Where another daemon answers by now there is nothing to be mended, and this one waits for its turn.
        self.unmended = !failures.iter().all(is_lost);
        if failures.iter().any(is_lost) {
            (self.unsettled, self.beaten) = (true, None);
        }
        held(&failures)
    }

    /// Takes what leads questions to it out of namespaces that others have taken off the project, of which it has not heard:
    /// it was suspended, or is stopped at the same moment. Elsewhere it stays for whoever comes next.
    pub(super) async fn end(&self, applied: &State, voice: &Voice) {
        let stays: BTreeSet<&NsRef> = links(applied).flat_map(|(_, link)| link.namespaces()).collect();
        let left = self.server.serving().filter(|ns| !stays.contains(ns)).cloned().collect();
        leave(left, Some(std::process::id()), voice).await;
    }
}

/// Takes what led questions to a resolver out of namespaces that stay when the project leaves them: whoever has them does
/// not get rid of it otherwise. Where a daemon answers, it does that itself; one that is suspended does not hear of it, and
/// may be killed before it does.
///
/// This comes before all else, so that a run that is killed has done it: without a daemon it leads nowhere.
pub(super) async fn forsake(prepared: &Prepared, session: &Session) {
    let target = prepared.target();
    let left = left_by(&prepared.applied, target).chain(left_by(&prepared.observed.own, target));
    let mut left: BTreeSet<&NsRef> = left.filter(|ns| **ns != NsRef::Host).collect();
    if left.is_empty() {
        return;
    }
    let stays: BTreeSet<&NsRef> = links(target).flat_map(|(_, link)| link.namespaces()).collect();
    let going = going(&prepared.plan);
    left.retain(|ns| !stays.contains(ns) && !going.contains(ns));
    let left: Vec<NsRef> = left.into_iter().cloned().collect();
    if left.is_empty() {
        return;
    }
    let asleep = match session.naming {
        Naming::Daemon => None,
        Naming::Asked => ask::status(&session.dirs).await.filter(hears_of_nothing),
    };
    leave(left, asleep.map(|status| status.pid).filter(|pid| *pid > 0), &session.voice).await;
}

/// Tells whether a daemon does nothing about what is done beside it.
fn hears_of_nothing(status: &Status) -> bool {
    status.suspended_until.is_some() || status.state == Condition::Silent
}

async fn leave(namespaces: Vec<NsRef>, asleep: Option<u32>, voice: &Voice) {
    for (ns, error) in redirect::leave(namespaces, ADDRESS, asleep).await {
        voice.note(&format!(
            "warning: nft table ip netform-dns in namespace {ns} leads to nobody, and stays there: {error}"
        ));
    }
}

/// Returns the namespaces of links that a state has and another one has not, or elsewhere. Both are in order.
fn left_by<'s>(state: &'s State, target: &'s State) -> impl Iterator<Item = &'s NsRef> {
    let mut there = links(target).peekable();
    let mut stays = move |id: &ResourceId, link: &Link| {
        while there.next_if(|(other, _)| *other < id).is_some() {}
        let there = there.next_if(|(other, _)| *other == id);
        there.is_some_and(|(_, there)| there.namespaces().eq(link.namespaces()))
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
    let lines: Vec<_> = failures.iter().filter(|it| lack(it).is_none()).map(|it| chain(it)).collect();
    (!lines.is_empty()).then(|| Held { message: lines.join("; "), may_pass: true })
}

/// Tells whether another daemon answers in a namespace.
fn is_lost(failure: &server::Failure) -> bool {
    lack(failure) == Some(Lack::Another)
}

/// Returns what a namespace lacks that nothing is wrong with.
fn lack(failure: &server::Failure) -> Option<Lack> {
    let lacks = [
        // 127.0.0.11 is an address of `lo`.
        (io::ErrorKind::AddrNotAvailable, Lack::Lo),
        (io::ErrorKind::NotFound, Lack::Itself),
        (io::ErrorKind::ResourceBusy, Lack::Another),
        (io::ErrorKind::StaleNetworkFileHandle, Lack::Mark),
    ];
    lacks.into_iter().find(|(kind, _)| failure.source.kind() == *kind).map(|(_, lack)| lack)
}
