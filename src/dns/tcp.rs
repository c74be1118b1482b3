//! Streams: those who ask over TCP. Source: RFC 7766.
//!
//! A container has a few streams at a time, a stream a few questions that others are being asked, and everything a time-out:
//! who is slow keeps nobody waiting but themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{self, Verdict};
use super::cache;
use super::seat::Seat;
use super::shared::{Asker, Job, Shared};
use super::wire::{self, Query, Transport};

/// How many streams a container has at a time.
const STREAMS: usize = 32;

/// How many questions of one stream others are asked at a time.
const OUT: usize = 16;

/// How long a stream may be silent. Source: RFC 7766 section 6.2.3 advises a few seconds.
const IDLE: Duration = Duration::from_secs(10);

/// How long a question may take to come in whole, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait when there are no descriptors left.
const BREATHER: Duration = Duration::from_millis(100);

/// Serves the streams of a namespace until it is closed.
pub(super) async fn serve(listener: std::net::TcpListener, seat: Arc<Seat>, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let closed = seat.until_closed();
    tokio::pin!(closed);
    // Streams end with this function.
    let mut streams = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = &mut closed => return,
            Some(_) = streams.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if streams.len() < STREAMS => {
                streams.spawn_local(converse(stream, Arc::clone(&seat), Arc::clone(&shared)));
            }
            // One too many: it is closed.
            Ok(_) => {}
            Err(_) => tokio::time::sleep(BREATHER).await,
        }
    }
}

async fn converse(stream: TcpStream, seat: Arc<Seat>, shared: Arc<Shared>) {
    let (questions, answers) = stream.into_split();
    let (tell, told) = mpsc::channel(OUT);
    tokio::join!(listen(questions, tell, &seat, &shared), speak(answers, told));
}

/// Reads questions until there are no more; answers may go out in another order. Source: RFC 7766 section 6.2.1.1.
async fn listen(mut stream: OwnedReadHalf, tell: mpsc::Sender<Vec<u8>>, seat: &Arc<Seat>, shared: &Shared) {
    let out = Arc::new(Semaphore::new(OUT));
    let (mut packet, mut query, mut turn) = (vec![], Query::blank(), 0);
    loop {
        let Ok(Ok(length)) = timeout(IDLE, stream.read_u16()).await else { return };
        packet.resize(usize::from(length), 0);
        let Ok(Ok(_)) = timeout(PATIENCE, stream.read_exact(&mut packet)).await else { return };
        turn += 1;
        shared.counters.queries.fetch_add(1, Ordering::Relaxed);
        let zone = seat.zone.load_full();
        let mut text = vec![];
        match answer::answer(&zone, (&packet, Transport::Tcp), turn, &mut query, &mut text) {
            Verdict::Answered => {}
            Verdict::Malformed => {
                shared.counters.malformed.fetch_add(1, Ordering::Relaxed);
            }
            // Who sends what is no question at all is not listened to any longer.
            Verdict::Silence => return,
            Verdict::Forward => {
                let mut key = vec![];
                cache::key(&query, zone.forward(), &mut key);
                let now = Instant::now();
                if let Some(kept) = shared.kept(&key, now) {
                    let spent = now.saturating_duration_since(kept.since).as_secs();
                    wire::relay(&kept.answer, &query, u32::try_from(spent).unwrap_or(u32::MAX), &mut text);
                } else {
                    let Ok(permit) = Arc::clone(&out).acquire_owned().await else { return };
                    let asker = Asker::Stream { answers: tell.clone(), _permit: permit };
                    match Job::new(&query, zone.forward(), seat, asker).map(|job| shared.jobs.try_send(job)) {
                        Some(Ok(())) => continue,
                        Some(Err(_)) | None => answer::failure(&query, &mut text),
                    }
                }
            }
        }
        if tell.send(text).await.is_err() {
            return;
        }
    }
}

/// Writes answers until there are no more, or nobody takes them.
async fn speak(mut stream: OwnedWriteHalf, mut told: mpsc::Receiver<Vec<u8>>) {
    while let Some(text) = told.recv().await {
        // A message has at most that many bytes.
        let Ok(length) = u16::try_from(text.len()) else { return };
        let framed = [&length.to_be_bytes(), text.as_slice()].concat();
        let Ok(Ok(())) = timeout(PATIENCE, stream.write_all(&framed)).await else { return };
    }
}
