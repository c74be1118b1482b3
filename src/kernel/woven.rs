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
use super::{Op, OpError, netns};
use crate::halves::make_room;
use crate::names::NetnsName;
use crate::resource::Resource;
use crate::resource::netns::NsRef;
use crate::resource::owner::Mark;
use crate::resource::sysctl::Sysctl;

/// How many namespaces are made ahead: each holds a socket open.
const AHEAD: usize = 128;

/// A namespace to be made, with its place among the operations.
type New = (usize, NetnsName, Mark);

/// One that was made, or not.
type Made = (usize, NetnsName, Result<Blocking, OpError>);

/// The operations by how they are done.
#[derive(Default)]
struct Groups<'a> {
    namespaces: Vec<New>,
    nft: Vec<Placed<'a>>,
    passages: Vec<Placed<'a>>,
    sysctls: Vec<(usize, Sysctl)>,
    files: Vec<Placed<'a>>,
    requests: Vec<Placed<'a>>,
}

impl<'a> Groups<'a> {
    fn of(live: &Live, ops: &[&'a Op]) -> Self {
        let mut groups = Self::default();
        for (place, op) in ops.iter().copied().enumerate() {
            let (Op::Create(entry) | Op::Update { from: _, to: entry } | Op::Delete(entry)) = op;
            match &entry.resource {
                Resource::Netns(netns) => {
                    groups.namespaces.push((place, netns.name.clone(), live.mark(&entry.owner)));
                }
                Resource::NftTable(_) | Resource::NftElement(_) => groups.nft.push((place, op)),
                Resource::Passage(_) => groups.passages.push((place, op)),
                Resource::Sysctl(sysctl) => groups.sysctls.push((place, sysctl.clone())),
                Resource::File(_) => groups.files.push((place, op)),
                Resource::Link(_)
                | Resource::Address(_)
                | Resource::Route(_)
                | Resource::Neighbour(_)
                | Resource::Qdisc(_) => groups.requests.push((place, op)),
            }
        }
        groups
    }
}

/// Carries out operations up to the first that fails.
pub(super) async fn execute(live: &mut Live, ops: &[&Op]) -> Vec<Option<Outcome>> {
    let Groups { namespaces, nft, passages, sysctls, files, requests } = Groups::of(live, ops);
    // In an empty namespace there is nothing to let through or hold back.
    let making = Making::begin(namespaces);
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
        tokio::join!(write_files(files), furnish(live, requests, making))
    };
    let mut outcomes: BTreeMap<usize, Outcome> = first.into_iter().chain(files).chain(links).collect();
    (0..ops.len()).map(|place| outcomes.remove(&place)).collect()
}

/// Sends requests, each when its namespaces are there.
async fn furnish(live: &mut Live, ops: Vec<Placed<'_>>, mut making: Making) -> Vec<(usize, Outcome)> {
    let (mut outcomes, mut bulletin) = (vec![], Bulletin::new());
    let mut closed = HashMap::new();
    for (place, op) in ops {
        let homes = namespaces_of(op);
        making.bring(live, &homes, &mut outcomes).await;
        if making.is_over() {
            break;
        }
        open(live, homes, &mut closed).await;
        let outcome = carry_out(live, op, &closed, &mut bulletin).await;
        let failed = outcome.is_err();
        outcomes.push((place, outcome));
        if failed {
            making.stop();
            break;
        }
    }
    outcomes.extend(making.end(live).await);
    announce::tell(bulletin).await;
    outcomes
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
    /// Begins to make namespaces, in their order.
    fn begin(namespaces: Vec<New>) -> Self {
        let coming = namespaces.iter().map(|(_, name, _)| NsRef::Named(name.clone())).collect();
        let (tell, made) = channel(AHEAD);
        let is_over = Arc::new(AtomicBool::new(false));
        let (own, todo, is_to_end) = (tell.clone(), namespaces.clone(), Arc::clone(&is_over));
        let begun = netns::ready_directory().and_then(|()| {
            let work = move || {
                make_room();
                make(todo, &own, &is_to_end);
            };
            std::thread::Builder::new().name("netns".to_owned()).spawn(work).map(drop)
        });
        if let (Err(error), Some((place, name, _))) = (begun, namespaces.into_iter().next()) {
            // The receiver is in our hands.
            let _ = tell.try_send((place, name, Err(Refusal::Socket(error).into())));
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
        let (place, name, socket) = made;
        self.coming.remove(&NsRef::Named(name.clone()));
        if socket.is_err() {
            self.stop();
        }
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
    for (place, name, mark) in namespaces {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let socket = netns::create(&name, &mark).map_err(OpError::from);
        let failed = socket.is_err();
        if tell.blocking_send((place, name, socket)).is_err() || failed {
            return;
        }
    }
}
