//! The server: opens and closes namespaces, and runs the two threads that serve them.
//!
//! One thread answers datagrams from the zones and the cache, and never waits. The other has everything that does:
//! streams, and questions for others. Neither is the daemon's, so nothing that the daemon does delays a name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use rustix::event::epoll;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::forward::Forwarder;
use super::seat::{self, Opened, Seat};
use super::shared::{Job, Shared, Tally};
use super::zone::{Zone, Zones};
use super::{tcp, udp};
use crate::kernel::live::raise_descriptor_limit;
use crate::kernel::netns::{self, Identity, on_thread};
use crate::names::ProjectName;
use crate::resource::netns::NsRef;

/// What a server needs to know of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The file that names the host's resolvers; it is read anew when it was changed or replaced.
    pub resolv_conf: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { resolv_conf: PathBuf::from("/etc/resolv.conf") }
    }
}

/// Why a namespace has no resolver.
#[derive(Debug, Error)]
#[error("cannot open the resolver in namespace {ns}")]
pub struct Failure {
    /// The namespace.
    pub ns: NsRef,
    /// The cause.
    pub source: io::Error,
}

/// How much has been done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Queries that came in.
    pub queries: u64,
    /// Those that were asked elsewhere.
    pub forwarded: u64,
    /// Those that the cache knew.
    pub cached: u64,
    /// Those that nobody elsewhere answered in time.
    pub failed: u64,
    /// Those that made no sense.
    pub malformed: u64,
}

/// A resolver in each of many namespaces. Its threads end with it; what it wrote to the namespaces stays, so that a server
/// that comes after it has less to do.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    /// The namespaces, each with the number of its events.
    seats: BTreeMap<NsRef, (u64, Arc<Seat>)>,
    next: u64,
    /// To the thread that serves streams; it ends when this is gone.
    streams: Option<mpsc::UnboundedSender<Stream>>,
    threads: Vec<JoinHandle<()>>,
}

/// A listener whose streams shall be served.
struct Stream {
    listener: std::net::TcpListener,
    seat: Arc<Seat>,
}

impl Server {
    /// Starts a server, with no namespace yet.
    ///
    /// It takes as many descriptors as the administrator lets it have: two for each namespace, and one for each question that
    /// is asked elsewhere.
    ///
    /// # Errors
    ///
    /// When there can be no more threads or descriptors.
    pub fn new(options: Options) -> io::Result<Self> {
        raise_descriptor_limit();
        let Options { resolv_conf } = options;
        let (shared, jobs) = Shared::new()?;
        let shared = Arc::new(shared);
        let (streams, come) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut server =
            Self { shared, seats: BTreeMap::new(), next: 0, streams: Some(streams), threads: vec![] };
        let shared = Arc::clone(&server.shared);
        server.spawn("dns", move || udp::serve(&shared))?;
        let shared = Arc::clone(&server.shared);
        server.spawn("dns-wait", move || {
            LocalSet::new().block_on(&runtime, wait(shared, resolv_conf, come, jobs));
        })?;
        Ok(server)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }

    /// Makes the server answer in exactly these namespaces, as these zones say: sockets are opened where there are none, and
    /// closed where there is no zone any more, or another namespace of the same name. No query is lost where there is a
    /// zone before and after.
    ///
    /// Returns the namespaces that could not be opened, and those that what was written to could not be taken from; the next
    /// call tries the former again.
    pub async fn set(&mut self, zones: &Zones) -> Vec<Failure> {
        // What is served already comes first: it takes microseconds, and names move at once.
        for (ns, zone) in zones.iter() {
            if let Some((_, seat)) = self.seats.get(ns) {
                seat.zone.store(Arc::clone(zone));
            }
        }
        let wanted = zones.iter().map(|(ns, zone)| Wanted {
            ns: ns.clone(),
            served: self.seats.get(ns).map(|(_, seat)| seat.identity),
            maker: zone.maker().cloned(),
        });
        let wanted: Vec<Wanted> = wanted.collect();
        let unwanted = self.seats.iter().filter(|(ns, _)| zones.get(ns).is_none());
        let unwanted: Vec<_> = unwanted.map(|(ns, (_, seat))| (ns.clone(), seat.identity)).collect();
        self.remove(unwanted.iter().map(|(ns, _)| ns));
        match on_thread(move || visit(wanted, unwanted)).await {
            Ok(visits) => self.settle(visits, zones),
            Err(error) => zones.iter().map(|(ns, _)| failure(ns, io::Error::from(error.kind()))).collect(),
        }
    }

    /// Takes over what the visits found and opened.
    fn settle(&mut self, visits: Vec<(NsRef, Visit)>, zones: &Zones) -> Vec<Failure> {
        let mut failures = vec![];
        let mut opened = vec![];
        for (ns, visit) in visits {
            match visit {
                Visit::Served | Visit::Left(Ok(())) => {}
                Visit::Left(Err(source)) => failures.push(Failure { ns, source }),
                Visit::Opened(outcome) => {
                    // Whatever was served under that name is another namespace, or gone.
                    self.remove([&ns]);
                    match (outcome, zones.get(&ns)) {
                        (Ok(sockets), Some(zone)) => opened.push((ns, sockets, zone)),
                        (Err(source), _) => failures.push(Failure { ns, source }),
                        (Ok(_), None) => {}
                    }
                }
            }
        }
        failures.extend(self.add(opened));
        failures
    }

    fn add(&mut self, opened: Vec<(NsRef, Opened, &Arc<Zone>)>) -> Vec<Failure> {
        let mut fresh = vec![];
        for (ns, sockets, zone) in opened {
            let (seat, listener) = Seat::new(sockets, zone);
            let seat = Arc::new(seat);
            if let Some(streams) = &self.streams {
                // The thread lives as long as the sender does.
                let _ = streams.send(Stream { listener, seat: Arc::clone(&seat) });
            }
            self.seats.insert(ns.clone(), (self.next, Arc::clone(&seat)));
            fresh.push((ns, self.next, seat));
            self.next += 1;
        }
        // Seats are known before their first event.
        self.publish();
        let mut failures = vec![];
        for (ns, number, seat) in fresh {
            let data = epoll::EventData::new_u64(number);
            if let Err(errno) = epoll::add(&self.shared.epoll, &seat.udp, data, epoll::EventFlags::IN) {
                self.remove([&ns]);
                failures.push(failure(&ns, errno.into()));
            }
        }
        failures
    }

    fn remove<'n>(&mut self, namespaces: impl IntoIterator<Item = &'n NsRef>) {
        let mut removed = false;
        for ns in namespaces {
            if let Some((_, seat)) = self.seats.remove(ns) {
                // A socket that was never added has nothing to be deleted.
                let _ = epoll::delete(&self.shared.epoll, &seat.udp);
                seat.close();
                removed = true;
            }
        }
        if removed {
            self.publish();
        }
    }

    fn publish(&self) {
        let seats: HashMap<_, _> =
            self.seats.values().map(|(number, seat)| (*number, Arc::clone(seat))).collect();
        self.shared.seats.store(Arc::new(seats));
    }

    /// Returns the namespaces in which it answers and that are gone from their names, or replaced by others: its sockets
    /// keep them alive until [`Server::set`] is called without them.
    pub fn gone(&self) -> BTreeSet<NsRef> {
        let is_gone =
            |ns: &NsRef, seat: &Seat| netns::identity(ns).map_or(true, |found| found != seat.identity);
        let gone = self.seats.iter().filter(|(ns, (_, seat))| is_gone(ns, seat));
        gone.map(|(ns, _)| ns.clone()).collect()
    }

    /// Tells whether others still answer in all of these namespaces, where [`Server::set`] found them: as long as they do, there is
    /// nothing to be tried again.
    pub async fn are_taken(&self, namespaces: Vec<NsRef>) -> bool {
        // One that cannot be looked into is gone, or has to be told of.
        let look = move || namespaces.iter().all(|ns| seat::is_taken(ns).unwrap_or(false));
        on_thread(look).await.unwrap_or(false)
    }

    /// Returns the namespaces in which somebody has removed the redirection from port 53: [`Server::mend`] is for them.
    pub async fn broken(&self) -> BTreeSet<NsRef> {
        let served: Vec<_> =
            self.seats.iter().map(|(ns, (_, seat))| (ns.clone(), Arc::clone(seat))).collect();
        let look = move || {
            let broken = served.into_iter().filter(|(ns, seat)| {
                // One that cannot be looked into is gone, or refuses what would mend it.
                !seat::is_redirected(ns, seat).unwrap_or(true)
            });
            broken.map(|(ns, _)| ns).collect()
        };
        on_thread(look).await.unwrap_or_default()
    }

    /// Writes the redirection from port 53 anew in namespaces in which somebody may have removed it.
    ///
    /// Returns those in which that failed. Namespaces that are not served are passed over; one in which another daemon answers
    /// by now is not served any more.
    pub async fn mend(&mut self, namespaces: &BTreeSet<NsRef>) -> Vec<Failure> {
        let served =
            namespaces.iter().filter_map(|ns| Some((ns.clone(), Arc::clone(&self.seats.get(ns)?.1))));
        let served: Vec<_> = served.collect();
        let mend = move || {
            let mended = served.into_iter().map(|(ns, seat)| (seat::mend(&ns, &seat), ns));
            mended.filter_map(|(done, ns)| done.err().map(|source| Failure { ns, source })).collect()
        };
        let failures: Vec<Failure> = on_thread(mend).await.unwrap_or_else(|error| {
            namespaces.iter().map(|ns| failure(ns, io::Error::from(error.kind()))).collect()
        });
        let is_lost = |failure: &&Failure| failure.source.kind() == io::ErrorKind::ResourceBusy;
        self.remove(failures.iter().filter(is_lost).map(|failure| &failure.ns));
        failures
    }

    /// Returns the namespaces in which it answers.
    pub fn serving(&self) -> impl Iterator<Item = &NsRef> {
        self.seats.keys()
    }

    /// Returns how much has been done since the start.
    pub fn counters(&self) -> Counters {
        let Tally { queries, forwarded, cached, failed, malformed } = &self.shared.counters;
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            queries: read(queries),
            forwarded: read(forwarded),
            cached: read(cached),
            failed: read(failed),
            malformed: read(malformed),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.streams = None;
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A thread that died has said why.
            let _ = thread.join();
        }
    }
}

fn failure(ns: &NsRef, source: io::Error) -> Failure {
    Failure { ns: ns.clone(), source }
}

/// What was done in a namespace.
enum Visit {
    /// It is served already.
    Served,
    /// It was opened.
    Opened(io::Result<Opened>),
    /// What was written there was taken away.
    Left(io::Result<()>),
}

/// A namespace that shall be served.
struct Wanted {
    ns: NsRef,
    /// The one that is served under that name.
    served: Option<Identity>,
    /// The project that has made it.
    maker: Option<ProjectName>,
}

/// Goes from namespace to namespace: opens those that are not served yet, and leaves the unwanted.
fn visit(wanted: Vec<Wanted>, unwanted: Vec<(NsRef, Identity)>) -> Vec<(NsRef, Visit)> {
    let come = wanted.into_iter().map(|Wanted { ns, served, maker }| {
        let is_served = served.is_some_and(|served| netns::identity(&ns).is_ok_and(|found| found == served));
        let visit = if is_served { Visit::Served } else { Visit::Opened(seat::open(&ns, maker.as_ref())) };
        (ns, visit)
    });
    let left = unwanted.into_iter().map(|(ns, identity)| {
        let left = seat::forsake(&ns, identity);
        (ns, Visit::Left(left))
    });
    come.chain(left).collect()
}

/// Serves streams and asks others, until the server is gone.
async fn wait(
    shared: Arc<Shared>,
    resolv_conf: PathBuf,
    mut streams: mpsc::UnboundedReceiver<Stream>,
    mut jobs: mpsc::Receiver<Job>,
) {
    let forwarder = Rc::new(Forwarder::new(Arc::clone(&shared), resolv_conf));
    loop {
        tokio::select! {
            stream = streams.recv() => match stream {
                Some(Stream { listener, seat }) => {
                    tokio::task::spawn_local(tcp::serve(listener, seat, Arc::clone(&shared)));
                }
                None => return,
            },
            Some(job) = jobs.recv() => forwarder.take(job),
        }
    }
}
