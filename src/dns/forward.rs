//! Questions for others: asked once for all who have them, of several resolvers when one is slow, and kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::cache::{self, Kept};
use super::exchange::{Asked, Refusal, Reply};
use super::hostfile::HostFile;
use super::shared::{Asker, Job, Shared};
use super::zone::Forward;
use super::{answer, wire};

/// How many questions are out at a time.
const OUT: usize = 4096;

/// How many askers may wait for one question.
const ASKERS: usize = 1024;

/// How long a resolver may be silent until the next one is asked as well.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long a question may be out: a little less than the five seconds that the C library waits (resolv.conf(5)).
const DEADLINE: Duration = Duration::from_millis(4500);

/// How often a question is asked at least, even when there is one resolver only: datagrams get lost.
const TRIES: usize = 3;

/// For how long a resolver that did not answer comes after the others.
const SICK: Duration = Duration::from_secs(10);

/// Asks others. It lives on one thread.
pub(super) struct Forwarder {
    shared: Arc<Shared>,
    host: RefCell<HostFile>,
    /// Those who wait, by the key of their question.
    waiting: RefCell<HashMap<Box<[u8]>, Vec<Job>>>,
    /// When resolvers were last waited for in vain.
    sick: RefCell<HashMap<IpAddr, Instant>>,
}

impl Forwarder {
    /// Returns one that reads the host's resolvers from a file.
    pub(super) fn new(shared: Arc<Shared>, resolv_conf: PathBuf) -> Self {
        let host = RefCell::new(HostFile::new(resolv_conf));
        Self { shared, host, waiting: RefCell::default(), sick: RefCell::default() }
    }

    /// Takes a question, and sees to it that it is answered.
    pub(super) fn take(self: &Rc<Self>, job: Job) {
        self.shared.counters.forwarded.fetch_add(1, Ordering::Relaxed);
        let servers = self.servers(&job.forward);
        let mut key = vec![];
        cache::key(&job.query, &job.forward, &mut key);
        let mut waiting = self.waiting.borrow_mut();
        if let Some(jobs) = waiting.get_mut(key.as_slice()) {
            if jobs.len() < ASKERS {
                jobs.push(job);
                return;
            }
        } else if let Some(asked) = Asked::of(&job.query)
            && waiting.len() < OUT
            && !servers.is_empty()
        {
            let key: Box<[u8]> = key.into();
            waiting.insert(key.clone(), vec![job]);
            tokio::task::spawn_local(Rc::clone(self).settle(key, asked, servers));
            return;
        }
        drop(waiting);
        self.tell(&job, None);
    }

    /// Asks a question, keeps the answer, and tells everybody who waits for it.
    async fn settle(self: Rc<Self>, key: Box<[u8]>, asked: Asked, servers: Vec<IpAddr>) {
        let reply = timeout(DEADLINE, self.race(&asked, &servers)).await.ok().flatten();
        let kept = reply.map(|Reply { answer, keep }| {
            let since = Instant::now();
            Arc::new(Kept { answer, since, until: since + keep })
        });
        let jobs = self.waiting.borrow_mut().remove(&key).unwrap_or_default();
        for job in jobs {
            self.tell(&job, kept.as_deref());
        }
        if let Some(kept) = kept {
            self.shared.with_cache(|cache| cache.put(key, kept));
        }
    }

    /// Asks one resolver after the other, the next one when one refuses or is slow; the first answer counts, also that of a
    /// slow one.
    async fn race(&self, asked: &Asked, servers: &[IpAddr]) -> Option<Reply> {
        let tries = servers.len().max(TRIES);
        let mut next = servers.iter().cycle().take(tries);
        let mut asking = FuturesUnordered::new();
        loop {
            match next.next() {
                Some(server) => asking.push(async move { (*server, asked.ask(*server).await) }),
                None if asking.is_empty() => return None,
                None => {}
            }
            let last = asking.len();
            tokio::select! {
                Some((server, answer)) = asking.next() => match answer {
                    Ok(reply) => {
                        self.sick.borrow_mut().remove(&server);
                        return Some(reply);
                    }
                    // It answers, and the order that the user gave still holds.
                    Err(Refusal::Said(_)) => {}
                    Err(Refusal::Io(_) | Refusal::Proto(_)) => self.mark(server),
                },
                () = sleep(PATIENCE), if last > 0 => self.mark_silent(servers, last),
            }
        }
    }

    /// Remembers that a resolver was of no use just now.
    fn mark(&self, server: IpAddr) {
        self.sick.borrow_mut().insert(server, Instant::now());
    }

    /// Remembers that those asked so far are silent.
    fn mark_silent(&self, servers: &[IpAddr], asked: usize) {
        for server in servers.iter().take(asked) {
            self.mark(*server);
        }
    }

    /// Returns whom to ask, those who were of use first.
    fn servers(&self, forward: &Forward) -> Vec<IpAddr> {
        let mut servers = match forward {
            Forward::Nowhere => vec![],
            Forward::Host => {
                let mut host = self.host.borrow_mut();
                if host.refresh(Instant::now()) {
                    // What others said of a name may not be what these say.
                    self.shared.with_cache(cache::Cache::clear);
                }
                host.servers().to_vec()
            }
            Forward::To(servers) => servers.to_vec(),
        };
        let mut sick = self.sick.borrow_mut();
        sick.retain(|_, since| since.elapsed() < SICK);
        servers.sort_by_key(|server| sick.contains_key(server));
        servers
    }

    /// Answers somebody, with what came, or with the failure.
    fn tell(&self, job: &Job, kept: Option<&Kept>) {
        let mut out = vec![];
        match kept {
            Some(kept) => wire::relay(&kept.answer, &job.query, 0, &mut out),
            None => {
                self.shared.counters.failed.fetch_add(1, Ordering::Relaxed);
                answer::failure(&job.query, &mut out);
            }
        }
        match &job.asker {
            Asker::Datagram { seat, addr } => {
                if let Some(seat) = seat.upgrade() {
                    // Who does not read gets nothing.
                    let _ = seat.udp.send_to(&out, addr);
                }
            }
            // There is room for as many as may be out, unless the stream does not take its answers: then it goes.
            Asker::Stream { answers, _permit: _ } => {
                let _ = answers.try_send(out);
            }
        }
    }
}
