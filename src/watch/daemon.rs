//! The loop: events come in, runs go out, one at a time.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::agenda::{Agenda, Due, Ended};
use super::backoff::Backoff;
use super::claim::{self, Claim, Kept};
use super::contest::Contest;
use super::error::WatchError;
use super::files::{Files, Targets};
use super::ledger::{self, Ledger};
use super::protocol::{Answer, Happened, LONGEST_SUSPENSION, Request};
use super::{Bell, Event, Leave, OnDrift, Options, Order, Reconciled, Reconciler, Trouble};
use super::{listen, pause, socket, supervisor};
use crate::apply::Dirs;
use crate::kernel::events::Notice;
use crate::kernel::moved::Moved;
use crate::kernel::netns;

/// How often an apply that waits for its confirmation is looked at.
const UNDECIDED: Duration = Duration::from_millis(500);

/// How long to wait when a container went while it was attached: others may be going.
const OVERTAKEN: Duration = Duration::from_millis(20);

/// How long whoever reads the event stream has for the last line.
const FAREWELL: Duration = Duration::from_millis(50);

/// A run under way: it gives the reconciler back.
type Run<R> = Pin<Box<dyn Future<Output = (R, Result<Reconciled, Trouble>)>>>;

/// Keeps the kernel at what the manifest says, until the process is asked to end.
///
/// # Errors
///
/// When the daemon cannot begin. Once it has begun, nothing ends it but the user, and another daemon of the project.
pub async fn run<R: Reconciler + 'static>(mut reconciler: R, mut options: Options) -> Result<(), WatchError> {
    let lock = claim::lock(&options.dirs).map_err(WatchError::Socket)?;
    let Some(lock) = lock else { return Err(WatchError::Taken(options.project)) };
    let (tell, mut events) = mpsc::unbounded_channel();
    let ledger = Ledger::new(&options);
    listen::start(&mut options, &tell, &ledger).await?;
    let desk = socket::Desk { events: tell.clone(), status: ledger.status(), lines: ledger.lines.clone() };
    let claim = Claim::new(options.dirs.clone(), lock, desk).map_err(WatchError::Socket)?;
    let mut daemon = Daemon::new(&options, ledger, claim);
    let hints = tell.clone();
    let files = Files::new(move |event| drop(hints.send(event))).map_err(WatchError::Files)?;
    daemon.files = Some(files);
    daemon.aim(&reconciler);
    reconciler.hear(Bell(tell.clone()));

    let mut idle = Some(reconciler);
    let mut running: Option<(Instant, Run<R>)> = None;
    if let Some(order) = daemon.still_suspended() {
        running = started(&mut idle, order);
    }
    loop {
        let (next, doubted) = (daemon.agenda.next(), daemon.claim.doubted());
        tokio::select! {
            Some(event) = events.recv() => {
                if daemon.take(event).is_break() {
                    break;
                }
            }
            (reconciler, result) = result_of(&mut running), if running.is_some() => {
                let began = running.take().map_or_else(Instant::now, |(began, _)| began);
                daemon.ended(&reconciler, result, began.elapsed());
                idle = Some(reconciler);
            }
            () = tokio::time::sleep_until(doubted.unwrap_or(next).into()), if doubted.is_some() => {
                if daemon.keep_claim().is_break() {
                    break;
                }
            }
            () = tokio::time::sleep_until(next.into()), if running.is_none() => {
                // What has come meanwhile may put it off: files that do not rest yet.
                let mut came = listen::come(&mut events);
                if came.any(|event| daemon.take(event).is_break()) || daemon.keep_claim().is_break() {
                    break;
                }
                if daemon.agenda.next() <= Instant::now() {
                    running = started(&mut idle, daemon.begin());
                }
            }
        }
    }
    supervisor::stopping();
    // A run that is under way is not broken off: it leaves everything working.
    if running.is_some() {
        let (reconciler, result) = result_of(&mut running).await;
        daemon.ledger.last_words(result);
        idle = Some(reconciler);
    }
    // It lets go of its containers before it gives up its project: whoever comes next finds them free.
    if let Some(mut reconciler) = idle {
        reconciler.end().await;
    }
    if daemon.end().await {
        return Err(WatchError::Lost { project: options.project, run: options.dirs.run });
    }
    Ok(())
}

/// Starts a run.
fn started<R: Reconciler + 'static>(idle: &mut Option<R>, order: Order) -> Option<(Instant, Run<R>)> {
    let mut reconciler = idle.take()?;
    let run: Run<R> = Box::pin(async move {
        let result = reconciler.reconcile(&order).await;
        (reconciler, result)
    });
    Some((Instant::now(), run))
}

async fn result_of<R>(running: &mut Option<(Instant, Run<R>)>) -> (R, Result<Reconciled, Trouble>) {
    match running {
        Some((_, run)) => run.await,
        None => std::future::pending().await,
    }
}

/// What the loop knows.
struct Daemon {
    drift: OnDrift,
    dirs: Dirs,
    agenda: Agenda,
    contest: Contest,
    backoff: Backoff,
    ledger: Ledger,
    files: Option<Files>,
    claim: Claim,
    /// Whether another daemon has the project by now.
    is_lost: bool,
    /// Whether the run under way may find other files than those that are watched.
    looks_at_files: bool,
    /// Whether a resolver's redirection may be gone.
    redirect: bool,
    /// Who waits for a run that begins from now on, and for the one under way.
    asked: Vec<oneshot::Sender<Answer>>,
    waiting: Vec<oneshot::Sender<Answer>>,
}

impl Daemon {
    fn new(options: &Options, ledger: Ledger, claim: Claim) -> Self {
        Self {
            drift: options.drift,
            dirs: options.dirs.clone(),
            agenda: Agenda::new(Instant::now(), options.resync),
            contest: Contest::new(options.contested_after),
            backoff: Backoff::default(),
            ledger,
            files: None,
            claim,
            is_lost: false,
            looks_at_files: true,
            redirect: false,
            asked: vec![],
            waiting: vec![],
        }
    }

    /// Takes an event in; breaks when the daemon shall end.
    fn take(&mut self, event: Event) -> ControlFlow<()> {
        self.agenda.note(&event, Instant::now());
        match event {
            Event::Kernel(notice) => {
                self.redirect |= matches!(notice, Notice::Redirect | Notice::Overrun);
                self.ledger.noticed(&notice);
            }
            Event::Files | Event::Namespaces(_) | Event::Object(_) | Event::Containers => {}
            Event::Claim => self.claim.doubt(Instant::now()),
            Event::Reload => self.contest.settle(),
            Event::Asked(request, answer) => self.asked(request, answer),
            Event::Meaningless(signal) => {
                let message = format!(
                    "{signal} means nothing to it: SIGHUP has it read everything anew, SIGTERM ends it"
                );
                self.ledger.tell(Happened::Warning { message });
            }
            Event::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn asked(&mut self, request: Request, answer: oneshot::Sender<Answer>) {
        let done = match request {
            Request::Reconcile if self.agenda.suspended_until().is_some() => {
                let message = "the daemon is suspended; `netform resume` ends that".to_owned();
                Answer::Refused { message }
            }
            Request::Reconcile => {
                self.contest.settle();
                self.agenda.ask(Instant::now());
                self.asked.push(answer);
                return;
            }
            Request::Suspend { seconds } if !(1..=LONGEST_SUSPENSION).contains(&seconds) => {
                let message =
                    format!("it can be suspended for {LONGEST_SUSPENSION} s at most, and for 1 at least");
                Answer::Refused { message }
            }
            Request::Suspend { seconds } => {
                let message = self.suspend(seconds);
                match pause::note(&self.dirs, Some(ledger::now().saturating_add(seconds))) {
                    Ok(()) => Answer::Done { message },
                    Err(error) => {
                        Answer::Done { message: format!("{message}, until it is restarted: {error}") }
                    }
                }
            }
            Request::Resume => {
                self.resume();
                Answer::Done { message: "resumed".to_owned() }
            }
            // The socket answers these itself.
            Request::Status | Request::Events => Answer::Refused { message: "not here".to_owned() },
        };
        // Who has hung up does not want to know.
        let _ = answer.send(done);
    }

    /// Has nothing touched for so long; returns what to say about it.
    fn suspend(&mut self, seconds: u64) -> String {
        let happened = Happened::Suspended { seconds };
        let message = happened.to_string();
        self.agenda.suspend(Instant::now() + Duration::from_secs(seconds));
        self.ledger.suspended(Some(seconds));
        self.ledger.tell(happened);
        message
    }

    /// Takes up a suspension that was asked for before the daemon was restarted; returns what the first run is about then.
    fn still_suspended(&mut self) -> Option<Order> {
        let seconds = pause::left(&self.dirs, ledger::now())?;
        self.suspend(seconds);
        let leave = Leave::Everything;
        let moved = Moved::Everywhere;
        Some(Order { moved, reread: false, retry: false, leave, containers: false, mend: false })
    }

    fn resume(&mut self) {
        // What cannot be removed is over by itself before long.
        let _ = pause::note(&self.dirs, None);
        if self.agenda.suspended_until().is_some() {
            self.ledger.tell(Happened::Resumed);
        }
        self.agenda.resume(Instant::now());
        self.ledger.suspended(None);
    }

    /// Sees to it that this stays the only daemon of the project, whatever was removed; breaks when it is not any more.
    fn keep_claim(&mut self) -> ControlFlow<()> {
        let told = match self.claim.keep() {
            Ok(Kept::AsItWas) => return ControlFlow::Continue(()),
            Ok(Kept::Lost) => {
                self.is_lost = true;
                return ControlFlow::Break(());
            }
            Ok(Kept::Anew) => {
                let now = Instant::now();
                let left = self.agenda.suspended_until().map(|until| until.saturating_duration_since(now));
                if let Some(left) = left {
                    // What cannot be noted holds until it is restarted.
                    let _ = pause::note(&self.dirs, Some(ledger::now().saturating_add(left.as_secs())));
                }
                let missed = self.files.iter_mut().flat_map(Files::look_again).collect::<Vec<_>>();
                self.missed(&missed);
                "somebody has removed what makes this the only daemon of its project; it is made anew"
                    .to_owned()
            }
            Err(error) => {
                format!(
                    "what makes this the only daemon of its project is gone, and cannot be made anew: {error}"
                )
            }
        };
        self.ledger.tell(Happened::Warning { message: told });
        ControlFlow::Continue(())
    }

    /// Says that it ends, and gives up its project; tells whether another daemon has that by now.
    async fn end(self) -> bool {
        self.ledger.tell(Happened::Stopped);
        self.claim.end();
        if self.ledger.lines.receiver_count() > 0 {
            tokio::time::sleep(FAREWELL).await;
        }
        self.is_lost
    }

    /// Begins a run and returns what it is about.
    fn begin(&mut self) -> Order {
        let now = Instant::now();
        if self.agenda.suspended_until().is_some() {
            self.resume();
        }
        self.contest.forget(now);
        self.waiting.append(&mut self.asked);
        let due = self.agenda.begin(now);
        self.looks_at_files = due.reread || due.moved.has_files();
        let leave = match self.drift {
            OnDrift::Repair => Leave::Spots(self.contest.contested().clone()),
            OnDrift::Warn => Leave::AllDrift,
        };
        let mend = std::mem::take(&mut self.redirect) || due.reread;
        let Due { moved, reread, retry, containers } = due;
        Order { moved, reread, retry, leave, containers, mend }
    }

    /// Takes in what a run came to.
    fn ended(&mut self, reconciler: &impl Reconciler, result: Result<Reconciled, Trouble>, took: Duration) {
        let now = Instant::now();
        let first = self.ledger.starting();
        let answer = match &result {
            Ok(reconciled) => self.ledger.answer(reconciled),
            Err(Trouble::Undecided { generation }) => {
                Answer::Refused { message: format!("generation {generation} waits for its confirmation") }
            }
            Err(Trouble::Failed(message) | Trouble::Overtaken(message)) => {
                Answer::Refused { message: message.clone() }
            }
        };
        let ended = match &result {
            Ok(reconciled) => {
                if reconciled.edited {
                    self.contest.settle();
                }
                if self.contest.moved(&reconciled.homes) {
                    // What was left alone until now is not any more.
                    self.agenda.ask(now);
                }
                let contested = self.contest_with(reconciled, now);
                self.ledger.reconciled(reconciled, took, &contested);
                self.ledger.contested(self.contest.contested());
                if reconciled.held.as_ref().is_some_and(|held| held.may_pass) {
                    Ended::Held(self.backoff.failed(fastrand::f64()))
                } else {
                    self.backoff.succeeded();
                    reconciled.again.map_or(Ended::Well, Ended::Again)
                }
            }
            Err(Trouble::Undecided { generation }) => {
                self.ledger.undecided(*generation);
                Ended::Failed(UNDECIDED)
            }
            Err(Trouble::Overtaken(_)) => Ended::Failed(OVERTAKEN),
            Err(Trouble::Failed(message)) => {
                let pause = self.backoff.failed(fastrand::f64());
                self.ledger.failed(message, took, pause);
                Ended::Failed(pause)
            }
        };
        self.agenda.end(now, took, ended);
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(answer.clone());
        }
        if self.looks_at_files {
            self.aim(reconciler);
        }
        supervisor::status(&self.ledger.status().borrow());
        if first {
            supervisor::ready();
        }
    }

    /// Counts corrections; returns what has become contested by them.
    fn contest_with(&mut self, reconciled: &Reconciled, now: Instant) -> Vec<String> {
        let corrected = reconciled.corrected();
        corrected
            .into_iter()
            .filter(|spot| self.contest.corrected(spot, now))
            .map(|spot| spot.to_string())
            .collect()
    }

    /// Watches what the manifest is read from now.
    fn aim(&mut self, reconciler: &impl Reconciler) {
        let mut namespaces = reconciler.namespace_directories();
        namespaces.push(netns::DIR.into());
        if let Some(files) = &mut self.files {
            let (sources, objects) = (reconciler.sources(), reconciler.objects());
            let claim = vec![self.dirs.watch_lock(), self.dirs.watch_socket()];
            let missed = files.aim(Targets { sources, objects, namespaces, claim });
            self.missed(&missed);
        }
    }

    /// Takes in what happened to files before they were watched: it is seen by looking once more.
    fn missed(&mut self, events: &[Event]) {
        let now = Instant::now();
        events.iter().for_each(|event| self.agenda.note(event, now));
        if events.iter().any(|event| matches!(event, Event::Claim)) {
            self.claim.doubt(now);
        }
    }
}
