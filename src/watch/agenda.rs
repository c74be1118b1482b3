//! When to look. Nothing here reads a clock.

use std::time::{Duration, Instant};

use super::Event;
use crate::kernel::moved::{Moved, Parts};

/// How long the kernel has to be silent before somebody looks, and how long that may be put off.
const KERNEL_QUIET: Duration = Duration::from_millis(8);
const KERNEL_LATEST: Duration = Duration::from_millis(40);

/// The same for files: editors write in several steps, and `git checkout` many files.
const FILES_QUIET: Duration = Duration::from_millis(100);
const FILES_LATEST: Duration = Duration::from_millis(500);

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
            self.files.map(|burst| burst.over(FILES_QUIET, FILES_LATEST)),
            self.echoes.first().map(|at| rested(*at)),
            self.again_at.map(rested),
            self.retry_at,
        ];
        let due = due.into_iter().flatten().fold(rested(self.resync_at), Instant::min);
        match (self.suspended_until, self.asked) {
            (Some(until), _) => until,
            (None, Some(asked)) => asked.min(due),
            (None, None) => due,
        }
    }

    /// Returns what is due at `now`, and takes it off.
    pub fn begin(&mut self, now: Instant) -> Due {
        let resumed = self.suspended_until.take().is_some();
        let files = self.files.take().is_some();
        let resync = self.resync_at <= now;
        let asked = self.asked.take().is_some() || resumed;
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
        Due { moved, reread: files || resync || asked, retry: retry || asked || files, containers }
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
mod tests {
    use super::*;
    use crate::kernel::events::Notice;
    use crate::kernel::moved::Whole;

    const RESYNC: Duration = Duration::from_secs(300);
    const ALL: Due = Due { moved: Moved::Everywhere, reread: true, retry: true, containers: true };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// An agenda after its first run, which took no time.
    fn idle(now: Instant) -> Agenda {
        let mut agenda = Agenda::new(now, RESYNC);
        assert_eq!(agenda.next(), now);
        assert_eq!(agenda.begin(now), ALL);
        agenda.end(now, Duration::ZERO, Ended::Well);
        agenda
    }

    fn links() -> Parts {
        Parts { indexes: [7].into(), ..Parts::default() }
    }

    /// What is due when nothing but the kernel has told something.
    fn look(moved: impl Into<Moved>) -> Due {
        Due { moved: moved.into(), reread: false, retry: false, containers: false }
    }

    fn kernel() -> Event {
        Event::Kernel(Notice::Network(links()))
    }

    #[test]
    fn events_that_follow_each_other_are_one_and_are_not_put_off_for_ever() {
        let now = Instant::now();
        let mut agenda = idle(now);
        assert_eq!(agenda.next(), now + RESYNC);

        agenda.note(&kernel(), now);
        assert_eq!(agenda.next(), now + ms(8));
        for at in 1..=20 {
            agenda.note(&kernel(), now + ms(5 * at));
        }
        assert_eq!(agenda.next(), now + ms(40));

        assert_eq!(agenda.begin(now + ms(100)), look(links()));
        assert_eq!(agenda.next(), now + RESYNC);
    }

    #[test]
    fn a_busy_kernel_is_looked_at_a_third_of_the_time_and_an_edit_does_not_wait() {
        let now = Instant::now();
        let mut agenda = idle(now);
        agenda.end(now, ms(100), Ended::Well);

        agenda.note(&kernel(), now);
        assert_eq!(agenda.next(), now + ms(200));
        agenda.note(&Event::Files, now);
        assert_eq!(agenda.next(), now + ms(100));
        assert_eq!(agenda.begin(now + ms(100)), Due { moved: links().into(), containers: false, ..ALL });
    }

    #[test]
    fn what_failed_is_tried_again_and_drift_of_what_is_in_force_does_not_wait_for_it() {
        let now = Instant::now();
        let mut agenda = idle(now);

        agenda.end(now, ms(1), Ended::Held(ms(5000)));
        assert_eq!(agenda.next(), now + ms(5000));
        agenda.note(&kernel(), now + ms(100));
        assert_eq!(agenda.next(), now + ms(108));
        assert_eq!(agenda.begin(now + ms(108)), look(links()));
        assert_eq!(agenda.next(), now + ms(5000));
        assert_eq!(agenda.begin(now + ms(5000)), Due { reread: false, ..ALL });

        agenda.end(now, ms(1), Ended::Failed(ms(5000)));
        agenda.note(&kernel(), now + ms(100));
        assert_eq!(agenda.next(), now + ms(5000));

        // However long what failed has to wait: what drifts besides does not.
        agenda.end(now, ms(1), Ended::Failed(ms(300_000)));
        assert_eq!(agenda.next(), now + LONGEST_REST);
    }

    #[test]
    fn who_asks_waits_neither_for_a_rest_nor_for_what_failed() {
        let now = Instant::now();
        let mut agenda = idle(now);
        for ended in [Ended::Well, Ended::Again(ms(5000)), Ended::Held(ms(5000)), Ended::Failed(ms(5000))] {
            agenda.end(now, ms(1000), ended);
            agenda.note(&Event::Reload, now + ms(7));
            assert_eq!(agenda.next(), now + ms(7), "{ended:?}");
            assert_eq!(agenda.begin(now + ms(7)), ALL);
        }

        // Who asks while a run is under way does not wait for what that one comes to.
        agenda.ask(now + ms(8));
        agenda.end(now + ms(10), ms(1), Ended::Failed(ms(5000)));
        assert_eq!(agenda.next(), now + ms(8));
        assert_eq!(agenda.begin(now + ms(10)), ALL);
        agenda.end(now + ms(20), ms(1), Ended::Failed(ms(5000)));
        assert_eq!(agenda.next(), now + ms(5020));
    }

    #[test]
    fn nothing_is_due_while_suspended_and_everything_afterwards() {
        let now = Instant::now();
        let mut agenda = idle(now);
        agenda.suspend(now + ms(60_000));
        agenda.note(&kernel(), now);
        agenda.note(&Event::Files, now);
        agenda.note(&Event::Reload, now);
        assert_eq!(agenda.next(), now + ms(60_000));
        assert_eq!(agenda.begin(now + ms(60_000)), ALL);
        assert_eq!(agenda.suspended_until(), None);

        agenda.suspend(now + ms(60_000));
        agenda.resume(now + ms(5));
        assert_eq!(agenda.next(), now + ms(5));
    }

    #[test]
    fn a_namespace_is_looked_at_again_since_its_name_comes_first() {
        let now = Instant::now();
        let mut agenda = idle(now);
        agenda.note(&Event::Namespaces("/run/netns/web".into()), now);
        for at in [8, 150, 1000] {
            assert_eq!(agenda.next(), now + ms(at));
            assert_eq!(agenda.begin(now + ms(at)), look(Parts::namespace_at("/run/netns/web".as_ref())));
        }
        assert_eq!(agenda.next(), now + RESYNC);
        agenda.note(&Event::Kernel(Notice::Firewall), now);
        assert_eq!(agenda.begin(now + ms(2000)), look(Parts::whole(Whole::Firewall)));
    }

    #[test]
    fn what_nothing_tells_of_is_looked_at_again_and_whoever_looks_before_says_when() {
        let now = Instant::now();
        let mut agenda = idle(now);
        agenda.end(now, ms(100), Ended::Again(ms(1000)));
        assert_eq!(agenda.next(), now + ms(1000));
        agenda.note(&kernel(), now + ms(500));
        assert_eq!(agenda.begin(now + ms(508)), look(links()));
        assert_eq!(agenda.next(), now + RESYNC, "that run looks at it, too");
        agenda.end(now + ms(510), ms(1), Ended::Again(ms(1000)));
        assert_eq!(agenda.next(), now + ms(1510));
        assert_eq!(agenda.begin(now + ms(1510)), look(Parts::default()));
        agenda.end(now + ms(1511), ms(1), Ended::Well);
        assert_eq!(agenda.next(), now + ms(1511) + RESYNC);
    }

    #[test]
    fn a_container_that_comes_is_looked_for_at_once_and_nothing_else_is() {
        let now = Instant::now();
        let mut agenda = idle(now);
        agenda.note(&Event::Containers, now);
        assert_eq!(agenda.next(), now + ms(8));
        assert_eq!(agenda.begin(now + ms(8)), Due { containers: true, ..look(Parts::default()) });
        agenda.note(&kernel(), now + ms(20));
        assert_eq!(agenda.begin(now + ms(28)), look(links()));
    }

    #[test]
    fn after_a_failure_nothing_is_taken_for_known() {
        let now = Instant::now();
        let mut agenda = idle(now);
        agenda.end(now, ms(1), Ended::Failed(ms(500)));
        agenda.note(&kernel(), now);
        assert_eq!(agenda.begin(now + ms(500)).moved, Moved::Everywhere);
    }
}
