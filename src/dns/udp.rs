//! The thread that answers datagrams, those of all namespaces.
//!
//! One round is a wait for all sockets, and then a few datagrams of each that has some: nobody is starved by another's
//! flood. Nothing here ever waits for anything else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;

use super::answer::{self, Verdict};
use super::cache;
use super::seat::Seat;
use super::shared::{Asker, Job, Shared, WAKE};
use super::wire::{self, Query, Transport, UDP_MOST};

/// How many datagrams of one socket are answered before the others have their turn.
const BURST: usize = 16;

/// How many sockets are looked at in one round.
const ROUND: usize = 64;

/// Answers until the server is stopped.
pub(super) fn serve(shared: &Shared) {
    let mut desk = Desk {
        packet: vec![0; usize::from(UDP_MOST)],
        query: Query::blank(),
        out: Vec::with_capacity(usize::from(UDP_MOST)),
        key: vec![],
        turn: 0,
    };
    let mut events = Vec::with_capacity(ROUND);
    loop {
        match epoll::wait(&shared.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            // The descriptor is ours and valid, so there is no other way to fail: epoll_wait(2).
            Err(_) => return,
        }
        let seats = shared.seats.load();
        for event in events.drain(..) {
            let number = event.data.u64();
            if number == WAKE {
                return;
            }
            if let Some(seat) = seats.get(&number) {
                desk.serve(seat, shared);
            }
        }
    }
}

/// What is used for each datagram again.
struct Desk {
    packet: Vec<u8>,
    query: Query,
    out: Vec<u8>,
    key: Vec<u8>,
    turn: usize,
}

impl Desk {
    fn serve(&mut self, seat: &Arc<Seat>, shared: &Shared) {
        let zone = seat.zone.load();
        for _ in 0..BURST {
            // A datagram that cannot be received is either not there, or an error of an earlier one.
            let Ok((length, asker)) = seat.udp.recv_from(&mut self.packet) else { return };
            let Some(packet) = self.packet.get(..length) else { return };
            self.turn = self.turn.wrapping_add(1);
            shared.counters.queries.fetch_add(1, Ordering::Relaxed);
            let packet = (packet, Transport::Udp);
            match answer::answer(&zone, packet, self.turn, &mut self.query, &mut self.out) {
                Verdict::Answered => {}
                Verdict::Malformed => {
                    shared.counters.malformed.fetch_add(1, Ordering::Relaxed);
                }
                Verdict::Silence => continue,
                Verdict::Forward => {
                    cache::key(&self.query, zone.forward(), &mut self.key);
                    let now = Instant::now();
                    match shared.kept(&self.key, now) {
                        Some(kept) => {
                            let spent = now.saturating_duration_since(kept.since).as_secs();
                            let spent = u32::try_from(spent).unwrap_or(u32::MAX);
                            wire::relay(&kept.answer, &self.query, spent, &mut self.out);
                        }
                        None => {
                            let asker = Asker::Datagram { seat: Arc::downgrade(seat), addr: asker };
                            let job = Job::new(&self.query, zone.forward(), seat, asker);
                            if job.is_some_and(|job| shared.jobs.try_send(job).is_ok()) {
                                continue;
                            }
                            shared.counters.failed.fetch_add(1, Ordering::Relaxed);
                            answer::failure(&self.query, &mut self.out);
                        }
                    }
                }
            }
            // Who does not read gets nothing: an answer is never waited for.
            let _ = seat.udp.send_to(&self.out, asker);
        }
    }
}
