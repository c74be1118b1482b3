//! What the threads of a server have in common.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use rustix::event::{EventfdFlags, epoll, eventfd};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::cache::{Cache, Kept};
use super::seat::Seat;
use super::wire::Query;
use super::zone::Forward;

/// The number of the event that ends the thread; no seat has it.
pub(super) const WAKE: u64 = u64::MAX;

/// How many questions of one container others are asked at a time.
const WAITING_MOST: usize = 1024;

/// How many questions may lie between the two threads.
const JOBS: usize = 4096;

/// What the threads have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) epoll: OwnedFd,
    wake: OwnedFd,
    /// The namespaces, by the number of their events.
    pub(super) seats: ArcSwap<HashMap<u64, Arc<Seat>>>,
    cache: Mutex<Cache>,
    /// To the thread that asks others.
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) counters: Tally,
}

/// How much has been done.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) queries: AtomicU64,
    pub(super) forwarded: AtomicU64,
    pub(super) cached: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) malformed: AtomicU64,
}

impl Shared {
    /// Returns it, and where the questions for others come out.
    pub(super) fn new() -> io::Result<(Self, mpsc::Receiver<Job>)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let (jobs, come) = mpsc::channel(JOBS);
        let (seats, cache, counters) = (ArcSwap::default(), Mutex::default(), Tally::default());
        Ok((Self { epoll, wake, seats, cache, jobs, counters }, come))
    }

    /// Ends the thread that answers datagrams.
    pub(super) fn stop(&self) {
        // Adding one to a counter of zero neither fails nor waits: eventfd(2).
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Returns what the cache has for a question, and counts it.
    pub(super) fn kept(&self, key: &[u8], now: Instant) -> Option<Arc<Kept>> {
        let kept = self.with_cache(|cache| cache.get(key, now));
        if kept.is_some() {
            self.counters.cached.fetch_add(1, Ordering::Relaxed);
        }
        kept
    }

    /// Uses the cache, which is never locked for longer than that takes.
    pub(super) fn with_cache<T>(&self, use_it: impl FnOnce(&mut Cache) -> T) -> T {
        // What a thread that died has left is still a cache.
        use_it(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A question for others.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) query: Query,
    pub(super) forward: Forward,
    pub(super) asker: Asker,
    _ticket: Ticket,
}

/// Whom the answer is for.
#[derive(Debug)]
pub(super) enum Asker {
    /// Who sent a datagram, unless the namespace is closed until then.
    Datagram { seat: Weak<Seat>, addr: SocketAddr },
    /// Who is at the other end of a stream, which may have a few questions out at a time.
    Stream { answers: mpsc::Sender<Vec<u8>>, _permit: OwnedSemaphorePermit },
}

impl Job {
    /// Returns the job; `None` when the container has too many questions out.
    pub(super) fn new(query: &Query, forward: &Forward, seat: &Seat, asker: Asker) -> Option<Self> {
        let ticket = Ticket::draw(&seat.waiting)?;
        Some(Self { query: query.clone(), forward: forward.clone(), asker, _ticket: ticket })
    }
}

/// The right to have a question out, given back when dropped.
#[derive(Debug)]
struct Ticket(Arc<AtomicUsize>);

impl Ticket {
    fn draw(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let ticket = Self(Arc::clone(waiting));
        (waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MOST).then_some(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
