//! When to look. Nothing here reads a clock.

use std::time::{Duration, Instant};

use super::Event;
use crate::kernel::moved::{Moved, Parts};

/// How long the kernel has to be silent before somebody looks, and how long that may be put off.
const KERNEL_QUIET: Duration = Duration::from_millis(8);
const KERNEL_LATEST: Duration = Duration::from_millis(40);

/// The same for files: editors write in several steps, and `git checkout` many files. What else there is to look at meanwhile
/// is no reason to read half of them, and waits: whoever has edited them may have applied them, and what they said before is
/// not to be brought back.
const FILES_QUIET: Duration = Duration::from_millis(100);
const FILES_LATEST: Duration = Duration::from_secs(2);

/// A name appears before the namespace does, which nothing tells: `ip netns add` makes a file and mounts on it.
const NAMESPACE_ECHOES: [Duration; 2] = [Duration::from_millis(150), Duration::from_secs(1)];

/// After a run, the kernel is left alone for so many times as long as the run took, so that a busy host stays usable.
const REST: u32 = 2;
const LONGEST_REST: Duration = Duration::from_secs(10);

/// When to look, and what for.
#[derive(Debug)]
pub struct Agenda {
    resync: Duration,
    kernel: Option<Burst>,
    files: Option<Burst>,
    /// Where something may have changed since the last run began.
    moved: Moved,
    /// When to look again at namespaces that came or went, and at which.
    echoes: Vec<Instant>,
    echoing: Parts,
    /// When to look again for another reason that nothing tells of.
    again_at: Option<Instant>,
    /// Containers may have come or gone.
    containers: bool,
    /// Since when somebody wants it.
    asked: Option<Instant>,
    resync_at: Instant,
    retry_at: Option<Instant>,
    rest_until: Instant,
    suspended_until: Option<Instant>,
}

/// Events that follow each other closely.
#[derive(Debug, Clone, Copy)]
struct Burst {
    first: Instant,
    last: Instant,
}

/// What a run is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Where something may have changed since the last run began.
    pub moved: Moved,
    /// The manifest is to be read anew.
    pub reread: bool,
    /// What failed is to be tried again.
    pub retry: bool,
    /// Containers may have come or gone.
    pub containers: bool,
}

impl Burst {
    fn joined(burst: Option<Self>, now: Instant) -> Option<Self> {
        Some(Self { first: burst.map_or(now, |burst| burst.first), last: now })
    }

    fn over(self, quiet: Duration, latest: Duration) -> Instant {
        (self.last + quiet).min(self.first + latest)
    }
}

impl Agenda {
    /// Returns an agenda on which everything is due at once.
    pub fn new(now: Instant, resync: Duration) -> Self {
        Self {
            resync,
            kernel: None,
            files: None,
            moved: Moved::Everywhere,
            echoes: vec![],
            echoing: Parts::default(),
            again_at: None,
            containers: false,
            asked: Some(now),
            resync_at: now + resync,
            retry_at: None,
            rest_until: now,
            suspended_until: None,
        }
    }

    /// Takes an event in.
    pub(crate) fn note(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Files => self.files = Burst::joined(self.files, now),
            Event::Kernel(notice) => self.see(notice.moved(), now),
            Event::Object(path) => self.see(Parts::file(path.clone()).into(), now),
            Event::Namespaces(path) => {
                let parts = Parts::namespace_at(path);
                self.echoing.extend(parts.clone());
                self.see(parts.into(), now);
                self.echoes = NAMESPACE_ECHOES.iter().map(|later| now + *later).collect();
            }
            Event::Containers => {
                self.containers = true;
                self.see(Moved::default(), now);
            }
            Event::Reload => self.ask(now),
            Event::Asked(..) | Event::Claim | Event::Stop | Event::Meaningless(_) => {}
        }
    }

    /// Notes where something may have changed.
    fn see(&mut self, moved: Moved, now: Instant) {
        self.moved.extend(moved);
        self.kernel = Burst::joined(self.kernel, now);
    }

    /// Puts everything on for now. Whoever asks waits for no rest, nor for what failed to be tried again: they may have
    /// mended what it failed for.
    pub fn ask(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// Puts everything off until then.
    pub fn suspend(&mut self, until: Instant) {
        self.suspended_until = Some(until);
    }

    /// Takes that back: what was put off is due.
    pub fn resume(&mut self, now: Instant) {
        self.ask(now);
        self.suspended_until = None;
    }

    /// Tells until when everything is put off.
    pub fn suspended_until(&self) -> Option<Instant> {
        self.suspended_until
    }

    /// Returns when the next run is due.
    pub fn next(&self) -> Instant {
        let rested = |at: Instant| at.max(self.rest_until);
        let due = [
            self.kernel.map(|burst| rested(burst.over(KERNEL_QUIET, KERNEL_LATEST))),
            self.echoes.first().map(|at| rested(*at)),
            self.again_at.map(rested),
            self.retry_at,
        ];
        let due = match self.files {
            Some(burst) => burst.over(FILES_QUIET, FILES_LATEST),
            None => due.into_iter().flatten().fold(rested(self.resync_at), Instant::min),
        };
        match (self.suspended_until, self.asked) {
            (Some(until), _) => until,
            (None, Some(asked)) => asked.min(due),
            (None, None) => due,
        }
    }

    /// Returns what is due at `now`, and takes it off.
    pub fn begin(&mut self, now: Instant) -> Due {
        let resumed = self.suspended_until.take().is_some();
        let files = self.files.is_some_and(|burst| burst.over(FILES_QUIET, FILES_LATEST) <= now);
        let resync = self.resync_at <= now;
        let asked = self.asked.take().is_some() || resumed;
        let reread = files || asked || resync && self.files.is_none();
        if reread {
            self.files = None;
        }
        let retry = self.retry_at.is_some_and(|at| at <= now);
        if retry || asked || files {
            self.retry_at = None;
        }
        self.kernel = None;
        self.again_at = None;
        let mut moved = std::mem::take(&mut self.moved);
        moved.extend(self.echoing.clone().into());
        self.echoes.retain(|at| *at > now);
        if self.echoes.is_empty() {
            self.echoing = Parts::default();
        }
        if resync || asked || retry {
            moved = Moved::Everywhere;
        }
        let containers = std::mem::take(&mut self.containers) || moved == Moved::Everywhere;
        Due { moved, reread, retry: retry || asked || files, containers }
    }

    /// Notes that a run is over, how long it took, and when what failed is to be tried again.
    pub fn end(&mut self, now: Instant, took: Duration, ended: Ended) {
        let rest = (took * REST).min(LONGEST_REST);
        self.resync_at = now + self.resync;
        match ended {
            Ended::Well => self.rest_until = now + rest,
            Ended::Again(pause) => {
                self.rest_until = now + rest;
                self.again_at = Some(now + pause);
            }
            // Only the manifest has to wait: what is in force is kept up meanwhile.
            Ended::Held(pause) => {
                self.rest_until = now + rest;
                self.retry_at = Some(now + pause);
            }
            Ended::Failed(pause) => {
                self.moved = Moved::Everywhere;
                // Whatever failed, what drifts besides is not to wait for it that long.
                self.rest_until = now + pause.min(LONGEST_REST);
                self.retry_at = Some(now + pause);
            }
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There is nothing to try again.
    Well,
    /// There is something to look at again after this time.
    Again(Duration),
    /// The manifest is to be tried again after this time.
    Held(Duration),
    /// Everything is to be tried again after this time.
    Failed(Duration),
}

#[cfg(test)]
mod tests;
