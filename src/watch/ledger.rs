//! What the daemon knows of itself, and tells: its log, its event stream, its status.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{broadcast, watch};

use super::protocol::{Answer, Condition, Counts, Fate, Happened, Line, Status, VERSION};
use super::{Held, OnDrift, Options, Reconciled, Trouble};
use crate::kernel;
use crate::kernel::events::Notice;
use crate::plan::{Drift, Moved, Spot, Winner};

/// How many lines a slow reader of the event stream may lag behind before it misses some.
const BACKLOG: usize = 1024;

/// Keeps the status, and tells what happens.
pub(super) struct Ledger {
    status: watch::Sender<Status>,
    pub(super) lines: broadcast::Sender<String>,
    /// What was told and still holds: it is told once.
    told: BTreeSet<String>,
    /// Whether a run has succeeded.
    started: bool,
}

impl Reconciled {
    /// Returns what was set back.
    pub(super) fn corrected(&self) -> Vec<Spot> {
        let ours = self.drift.iter().filter(|drift| drift.winner == Winner::Manifest);
        ours.map(Drift::spot).filter(|spot| !self.left.contains(spot)).collect()
    }
}

impl Ledger {
    pub(super) fn new(options: &Options) -> Self {
        let status = Status {
            format_version: VERSION.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            project: options.project.to_string(),
            repairs: options.drift == OnDrift::Repair,
            started_at: now(),
            ..Status::default()
        };
        Self {
            status: watch::Sender::new(status),
            lines: broadcast::Sender::new(BACKLOG),
            told: BTreeSet::new(),
            started: false,
        }
    }

    /// Returns the status, as it will be whenever somebody looks.
    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Tells whether no run has succeeded yet.
    pub(super) fn starting(&self) -> bool {
        !self.started
    }

    /// Tells something: in the log, and to whoever reads the event stream.
    pub(super) fn tell(&self, happened: Happened) {
        // A log that nobody takes is no reason to end.
        let _ = writeln!(std::io::stderr(), "{happened}");
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let line = Line { format_version: VERSION.to_owned(), time, happened };
        if let Ok(line) = serde_json::to_string(&line) {
            // Nobody may be reading.
            let _ = self.lines.send(line);
        }
    }

    pub(super) fn noticed(&self, notice: &Notice) {
        self.status.send_modify(|status| {
            status.counts.notices += 1;
            match notice {
                Notice::Overrun => status.counts.overruns += 1,
                Notice::Network(_) | Notice::Firewall | Notice::Redirect => {}
            }
        });
    }

    pub(super) fn suspended(&self, seconds: Option<u64>) {
        self.status.send_modify(|status| {
            status.suspended_until = seconds.map(|seconds| now().saturating_add(seconds));
            if status.suspended_until.is_some() {
                status.state = Condition::Suspended;
            } else if status.state == Condition::Suspended {
                // The run that is due at once says more.
                status.state = Condition::Differs;
            }
        });
    }

    pub(super) fn contested(&self, contested: &BTreeSet<Spot>) {
        let contested = contested.iter().map(ToString::to_string).collect();
        self.status.send_modify(|status| status.contested = contested);
    }

    /// Takes in a run that succeeded; `contested` is what has become contested by it.
    pub(super) fn reconciled(&mut self, reconciled: &Reconciled, took: Duration, contested: &[String]) {
        let Reconciled { drift, left, changed, generation, objects, differing, edited, .. } = reconciled;
        let Reconciled { held, names, warnings, unanswered, worked_out, .. } = reconciled;
        let before = self.status.borrow().clone();
        if *edited {
            self.tell(Happened::Edited);
        }
        let (mut drifted, mut repaired) = (0, 0);
        let mut still = BTreeSet::new();
        for moved in drift.iter().filter(|moved| moved.winner == Winner::Manifest) {
            let fate = if left.contains(&moved.spot()) { Fate::Left } else { Fate::Repaired };
            let happened = told(moved, fate);
            let text = happened.to_string();
            match fate {
                Fate::Repaired => repaired += 1,
                Fate::Left => drop(still.insert(text.clone())),
            }
            if fate == Fate::Repaired || !self.told.contains(&text) {
                drifted += 1;
                self.tell(happened);
            }
        }
        for message in warnings {
            if !self.told.contains(message) {
                self.tell(Happened::Warning { message: message.clone() });
            }
            still.insert(message.clone());
        }
        self.told = still;
        if *changed > 0 {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.tell(Happened::Applied { generation: *generation, changed: *changed, took_ms });
        }
        contested.iter().for_each(|what| self.tell(Happened::Contested { what: what.clone() }));
        let message = held.as_ref().map(|Held { message, may_pass: _ }| message.clone());
        if let Some(message) = message.clone().filter(|message| before.held.as_ref() != Some(message)) {
            self.tell(Happened::Held { message });
        }
        if before.failed.is_some() || (before.held.is_some() && held.is_none()) {
            self.tell(Happened::Recovered);
        }
        if !std::mem::replace(&mut self.started, true) {
            self.tell(Happened::Started { generation: *generation });
        }
        self.status.send_modify(|status| {
            status.generation = *generation;
            status.objects = *objects;
            status.differing = *differing;
            status.names = *names;
            status.unanswered.clone_from(unanswered);
            status.held.clone_from(&message);
            status.failed = None;
            status.last_success_at = now();
            status.counts.runs += 1;
            status.counts.edits += u64::from(*edited);
            status.counts.changed += *changed as u64;
            status.counts.drifted += drifted;
            status.counts.repaired += repaired;
            status.counts.zones += worked_out;
            took_long(status, took);
            set_state(
                status,
                if message.is_some() {
                    Condition::Held
                } else if *differing > 0 {
                    Condition::Differs
                } else {
                    Condition::InSync
                },
            );
        });
    }

    pub(super) fn undecided(&self, generation: u64) {
        if self.status.borrow().state != Condition::Undecided {
            self.tell(Happened::Undecided { generation });
        }
        self.status.send_modify(|status| set_state(status, Condition::Undecided));
    }

    pub(super) fn failed(&self, message: &str, took: Duration, pause: Duration) {
        // Transitions only: a failure that goes on is not told again.
        if self.status.borrow().failed.as_deref() != Some(message) {
            let retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            self.tell(Happened::Failed { message: message.to_owned(), retry_ms });
        }
        self.status.send_modify(|status| {
            status.failed = Some(message.to_owned());
            status.counts.failures += 1;
            took_long(status, took);
            set_state(status, Condition::Failing);
        });
    }

    /// Returns the answer to somebody who asked for a run.
    pub(super) fn answer(&self, reconciled: &Reconciled) -> Answer {
        let Reconciled { changed, generation, held, .. } = reconciled;
        match held {
            Some(Held { message, may_pass: _ }) => Answer::Refused { message: message.clone() },
            None => {
                let s = if *changed == 1 { "" } else { "s" };
                let message = format!("in sync, {changed} resource{s} changed; generation {generation}");
                Answer::Done { message }
            }
        }
    }

    /// Tells what the run came to that was under way when the daemon was asked to end.
    pub(super) fn last_words(&mut self, result: Result<Reconciled, Trouble>) {
        match result {
            Ok(reconciled) => self.reconciled(&reconciled, Duration::ZERO, &[]),
            Err(Trouble::Undecided { generation: _ }) => {}
            Err(Trouble::Failed(message) | Trouble::Overtaken(message)) => {
                self.failed(&message, Duration::ZERO, Duration::ZERO)
            }
        }
    }
}

fn told(drift: &Drift, fate: Fate) -> Happened {
    let Drift { owner, object, moved, winner: _ } = drift;
    let (field, applied, live) = match moved {
        Moved::Changed { field, last_applied, live } => {
            (Some(field.clone()), last_applied.clone(), live.clone())
        }
        Moved::Deleted => (None, None, None),
    };
    Happened::Drift { resource: owner.to_string(), object: object.to_string(), field, applied, live, fate }
}

fn took_long(status: &mut Status, took: Duration) {
    status.counts.last_run_micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    status.counts.run_micros += status.counts.last_run_micros;
    let kernel::count::Counts { requests, transactions, listings } = kernel::count::counts();
    status.counts = Counts { requests, transactions, listings, ..status.counts };
}

/// Sets the state, unless somebody has suspended the daemon while the run was under way.
fn set_state(status: &mut Status, state: Condition) {
    status.state = if status.suspended_until.is_some() { Condition::Suspended } else { state };
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
