//! Carrying out operations in their order, while a thread makes the namespaces that come next.
//!
//! The kernel makes a namespace without the lock that links need for the most part (`setup_net()`, Linux
//! `net/core/net_namespace.c`), so that a second core is of use, and one thread is as fast as whoever fills them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::announce::{self, Bulletin};
use super::live::{Closed, Live};
use super::netlink::{Blocking, Refusal};
use super::wave::{Outcome, Placed, carry_out, firewall, namespaces_of, write_files, write_sysctls};
use super::{Op, OpError, netns, sysctl};
use crate::halves::make_room;
use crate::names::NetnsName;
use crate::resource::Resource;
use crate::resource::netns::NsRef;
use crate::resource::owner::Mark;
use crate::resource::sysctl::Sysctl;

/// How many namespaces are made ahead at most: each holds a socket open.
const AHEAD: usize = 128;

/// A namespace to be made, with its place among the operations, and parameters of it that no link has: a link takes over some when
/// it comes.
#[derive(Clone)]
struct New {
    place: usize,
    name: NetnsName,
    mark: Mark,
    parameters: Vec<(usize, Sysctl)>,
}

/// One that was made, or not.
struct Made {
    place: usize,
    name: NetnsName,
    socket: Result<Blocking, OpError>,
    parameters: Vec<(usize, Outcome)>,
}

/// The operations by how they are done.
#[derive(Default)]
struct Groups<'a> {
    namespaces: Vec<New>,
    nft: Vec<Placed<'a>>,
    passages: Vec<Placed<'a>>,
    /// Those that stand before all links.
    sysctls: Vec<(usize, Sysctl)>,
    files: Vec<Placed<'a>>,
    /// What is done in its turn.
    rest: Vec<Placed<'a>>,
}

impl<'a> Groups<'a> {
    fn of(live: &Live, ops: &[&'a Op]) -> Self {
        let (mut groups, mut homes) = (Self::default(), HashMap::new());
        for (place, op) in ops.iter().copied().enumerate() {
            let (Op::Create(entry) | Op::Update { from: _, to: entry } | Op::Delete(entry)) = op;
            match &entry.resource {
                Resource::Netns(netns) => {
                    let (name, mark) = (netns.name.clone(), live.mark(&entry.owner));
                    homes.insert(NsRef::Named(name.clone()), groups.namespaces.len());
                    groups.namespaces.push(New { place, name, mark, parameters: vec![] });
                }
                Resource::NftTable(_) | Resource::NftElement(_) => groups.nft.push((place, op)),
                Resource::Passage(_) => groups.passages.push((place, op)),
                Resource::Sysctl(sysctl) if groups.rest.is_empty() && groups.namespaces.is_empty() => {
                    groups.sysctls.push((place, sysctl.clone()));
                }
                Resource::Sysctl(sysctl) => {
                    let home = homes.get(&sysctl.ns).filter(|_| sysctl.key.link().is_none());
                    match home.and_then(|home| groups.namespaces.get_mut(*home)) {
                        Some(new) => new.parameters.push((place, sysctl.clone())),
                        None => groups.rest.push((place, op)),
                    }
                }
                Resource::File(_) => groups.files.push((place, op)),
                Resource::Link(_)
                | Resource::Address(_)
                | Resource::Route(_)
                | Resource::Neighbour(_)
                | Resource::Qdisc(_) => groups.rest.push((place, op)),
            }
        }
        groups
    }
}

/// Carries out operations up to the first that fails.
pub(super) async fn execute(live: &mut Live, ops: &[&Op]) -> Vec<Option<Outcome>> {
    let Groups { namespaces, nft, passages, sysctls, files, rest } = Groups::of(live, ops);
    // In an empty namespace there is nothing to let through or hold back.
    let making = Making::begin(namespaces, AHEAD.min(live.most_channels() / 4).max(1));
    let mut first = firewall(live, nft, passages).await;
    let mut failed = first.iter().any(|(_, outcome)| outcome.is_err());
    if !failed {
        let written = write_sysctls(sysctls).await;
        failed = written.iter().any(|(_, outcome)| outcome.is_err());
        first.extend(written);
    }
    let (files, links) = if failed {
        making.stop();
        (vec![], making.end(live).await)
    } else {
        tokio::join!(write_files(files), furnish(live, rest, making))
    };
    let mut outcomes: BTreeMap<usize, Outcome> = first.into_iter().chain(files).chain(links).collect();
    (0..ops.len()).map(|place| outcomes.remove(&place)).collect()
}

/// Does the rest, each when its namespaces are there.
async fn furnish(live: &mut Live, ops: Vec<Placed<'_>>, mut making: Making) -> Vec<(usize, Outcome)> {
    let (mut outcomes, mut bulletin, mut closed) = (vec![], Bulletin::new(), HashMap::new());
    for some in ops.chunk_by(|one, next| parameter(one.1).is_some() && parameter(next.1).is_some()) {
        let homes: Vec<_> = some.iter().flat_map(|(_, op)| namespaces_of(op)).collect();
        making.bring(live, &homes, &mut outcomes).await;
        if making.is_over() {
            break;
        }
        let done = match some {
            [(place, op)] if parameter(op).is_none() => {
                open(live, homes, &mut closed).await;
                vec![(*place, carry_out(live, op, &closed, &mut bulletin).await)]
            }
            parameters => {
                let sysctls =
                    parameters.iter().filter_map(|(place, op)| Some((*place, parameter(op)?.clone())));
                write_sysctls(sysctls.collect()).await
            }
        };
        let failed = done.iter().any(|(_, outcome)| outcome.is_err());
        outcomes.extend(done);
        if failed {
            making.stop();
            break;
        }
    }
    outcomes.extend(making.end(live).await);
    announce::tell(bulletin).await;
    outcomes
}

/// Returns the kernel parameter that an operation sets.
fn parameter(op: &Op) -> Option<&Sysctl> {
    match op {
        Op::Create(entry) | Op::Update { from: _, to: entry } => entry.resource.sysctl(),
        Op::Delete(_) => None,
    }
}

/// Opens sockets where there are none: those in new namespaces are kept as long as they are not too many.
async fn open(live: &mut Live, homes: Vec<NsRef>, closed: &mut HashMap<NsRef, Closed>) {
    let is_open = |ns: &NsRef| live.channels.contains_key(ns) || closed.contains_key(ns);
    if homes.iter().all(is_open) {
        return;
    }
    if live.channels.len() + homes.len() > live.most_channels() {
        live.close_channels();
    }
    let homes: BTreeSet<NsRef> = homes.into_iter().filter(|ns| !closed.contains_key(ns)).collect();
    closed.extend(live.open_channels(homes).await);
}

/// Namespaces that are being made, by a thread.
struct Making {
    /// Those that did not come yet.
    coming: HashSet<NsRef>,
    made: Receiver<Made>,
    /// Whether no more are made.
    is_over: Arc<AtomicBool>,
}

impl Making {
    /// Begins to make namespaces, in their order, at most so many ahead.
    fn begin(namespaces: Vec<New>, ahead: usize) -> Self {
        let coming = namespaces.iter().map(|new| NsRef::Named(new.name.clone())).collect();
        let (tell, made) = channel(ahead);
        let is_over = Arc::new(AtomicBool::new(false));
        let (own, todo, is_to_end) = (tell.clone(), namespaces.clone(), Arc::clone(&is_over));
        let begun = netns::ready_directory().and_then(|()| {
            let work = move || {
                make_room();
                make(todo, &own, &is_to_end);
            };
            std::thread::Builder::new().name("netns".to_owned()).spawn(work).map(drop)
        });
        if let (Err(error), Some(New { place, name, .. })) = (begun, namespaces.into_iter().next()) {
            let socket = Err(Refusal::Socket(error).into());
            // The receiver is in our hands.
            let _ = tell.try_send(Made { place, name, socket, parameters: vec![] });
        }
        Self { coming, made, is_over }
    }

    /// Waits until these namespaces are there, or one cannot be made.
    async fn bring(&mut self, live: &mut Live, namespaces: &[NsRef], outcomes: &mut Vec<(usize, Outcome)>) {
        while !self.is_over() && namespaces.iter().any(|ns| self.coming.contains(ns)) {
            let Some(made) = self.made.recv().await else { return };
            self.take(live, made, outcomes);
        }
    }

    /// Waits until all are there, or no more are made.
    async fn end(mut self, live: &mut Live) -> Vec<(usize, Outcome)> {
        let mut outcomes = vec![];
        while let Some(made) = self.made.recv().await {
            self.take(live, made, &mut outcomes);
        }
        outcomes
    }

    /// Keeps the socket in a namespace, and notes what came of it.
    fn take(&mut self, live: &mut Live, made: Made, outcomes: &mut Vec<(usize, Outcome)>) {
        let Made { place, name, socket, parameters } = made;
        self.coming.remove(&NsRef::Named(name.clone()));
        if socket.is_err() || parameters.iter().any(|(_, outcome)| outcome.is_err()) {
            self.stop();
        }
        outcomes.extend(parameters);
        outcomes.push((place, socket.map(|socket| live.keep(name, socket))));
    }

    /// Has no more made.
    fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Makes namespaces until one fails, nobody wants more, or nobody listens.
fn make(namespaces: Vec<New>, tell: &Sender<Made>, is_over: &AtomicBool) {
    for New { place, name, mark, parameters } in namespaces {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let socket = netns::create(&name, &mark).map_err(OpError::from);
        let failed = socket.is_err();
        // This thread is in the namespace.
        let written = parameters.into_iter().filter(|_| !failed).map(|(place, sysctl)| {
            let written = sysctl::write_here(&sysctl.key, &sysctl.value);
            (place, written.map_err(|error| Refusal::Socket(error).into()))
        });
        let parameters: Vec<(usize, Outcome)> = written.collect();
        let failed = failed || parameters.iter().any(|(_, outcome)| outcome.is_err());
        if tell.blocking_send(Made { place, name, socket, parameters }).is_err() || failed {
            return;
        }
    }
}
