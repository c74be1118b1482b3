//! The loop: events come in, runs go out, one at a time.

use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::agenda::{Agenda, Due, Ended};
use super::backoff::Backoff;
use super::contest::Contest;
use super::files::{Files, Targets};
use super::ledger::{self, Ledger};
use super::protocol::{Answer, Happened, LONGEST_SUSPENSION, Request};
use super::{Bell, Event, Leave, OnDrift, Options, Order, Reconciled, Reconciler, Trouble};
use super::{http, pause, socket, supervisor};
use crate::apply::Dirs;
use crate::kernel::events::{Ear, Notice};
use crate::kernel::moved::Moved;
use crate::kernel::netns;
use crate::names::ProjectName;

/// How often an apply that waits for its confirmation is looked at.
const UNDECIDED: Duration = Duration::from_millis(500);

/// How long to wait when a container went while it was attached: others may be going.
const OVERTAKEN: Duration = Duration::from_millis(20);

/// How long a kernel that cannot be listened to is left alone.
const DEAF: Duration = Duration::from_secs(1);

/// How long whoever reads the event stream has for the last line.
const FAREWELL: Duration = Duration::from_millis(50);

/// Why there is no daemon.
#[derive(Debug, Error)]
pub enum WatchError {
    /// Another one runs.
    #[error("another `netform watch` keeps project {0}")]
    Taken(ProjectName),
    /// The run directory cannot be used.
    #[error("cannot open the daemon's socket")]
    Socket(#[source] io::Error),
    /// The kernel cannot be listened to.
    #[error("cannot listen to the kernel's events")]
    Kernel(#[source] io::Error),
    /// Files cannot be watched.
    #[error("cannot watch files")]
    Files(#[source] notify::Error),
    /// Metrics cannot be served.
    #[error("cannot serve metrics")]
    Metrics(#[source] io::Error),
    /// Signals cannot be caught.
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
}

/// A run under way: it gives the reconciler back.
type Run<R> = Pin<Box<dyn Future<Output = (R, Result<Reconciled, Trouble>)>>>;

/// Keeps the kernel at what the manifest says, until the process is asked to end.
///
/// # Errors
///
/// When the daemon cannot begin. Once it has begun, nothing ends it but the user.
pub async fn run<R: Reconciler + 'static>(mut reconciler: R, options: Options) -> Result<(), WatchError> {
    let claim = socket::claim(&options.dirs).map_err(WatchError::Socket)?;
    let Some(_claim) = claim else { return Err(WatchError::Taken(options.project)) };
    let (tell, mut events) = mpsc::unbounded_channel();
    let mut daemon = Daemon::new(&options);
    start_listening(&options, &tell, &daemon.ledger).await?;
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
        let next = daemon.agenda.next();
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
            () = tokio::time::sleep_until(next.into()), if running.is_none() => {
                let order = daemon.begin();
                running = started(&mut idle, order);
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
    if let Some(reconciler) = &mut idle {
        reconciler.end().await;
    }
    daemon.ledger.tell(Happened::Stopped);
    let _ = std::fs::remove_file(options.dirs.watch_socket());
    if daemon.ledger.lines.receiver_count() > 0 {
        tokio::time::sleep(FAREWELL).await;
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

/// Opens what events come from.
async fn start_listening(
    options: &Options,
    tell: &mpsc::UnboundedSender<Event>,
    ledger: &Ledger,
) -> Result<(), WatchError> {
    let ear = Ear::open(&options.project).map_err(WatchError::Kernel)?;
    tokio::spawn(listen(ear, options.project.clone(), tell.clone()));
    let signals = [
        (SignalKind::hangup(), (|| Event::Reload) as fn() -> Event),
        (SignalKind::terminate(), || Event::Stop),
        (SignalKind::interrupt(), || Event::Stop),
    ];
    for (kind, event) in signals {
        let mut caught = signal(kind).map_err(WatchError::Signals)?;
        let tell = tell.clone();
        tokio::spawn(async move { while caught.recv().await.is_some() && tell.send(event()).is_ok() {} });
    }
    let listener = socket::open(&options.dirs).map_err(WatchError::Socket)?;
    let desk = socket::Desk { events: tell.clone(), status: ledger.status(), lines: ledger.lines.clone() };
    tokio::spawn(socket::serve(listener, desk));
    if let Some(address) = options.metrics {
        let listener = http::open(address).await.map_err(WatchError::Metrics)?;
        tokio::spawn(http::serve(listener, ledger.status()));
    }
    Ok(())
}

/// Passes on what the kernel tells. It runs on the daemon's own thread: what comes while that is busy waits in the kernel,
/// and when there is no more room there, the kernel says so.
async fn listen(mut ear: Ear, project: ProjectName, tell: mpsc::UnboundedSender<Event>) {
    loop {
        match ear.hear().await {
            Ok(notice) => drop(tell.send(Event::Kernel(notice))),
            Err(_) => {
                tokio::time::sleep(DEAF).await;
                if let Ok(new) = Ear::open(&project) {
                    ear = new;
                }
                drop(tell.send(Event::Kernel(Notice::Overrun)));
            }
        }
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
    /// Whether the run under way may find other files than those that are watched.
    looks_at_files: bool,
    /// Whether a resolver's redirection may be gone.
    redirect: bool,
    /// Who waits for a run that begins from now on, and for the one under way.
    asked: Vec<oneshot::Sender<Answer>>,
    waiting: Vec<oneshot::Sender<Answer>>,
}

impl Daemon {
    fn new(options: &Options) -> Self {
        Self {
            drift: options.drift,
            dirs: options.dirs.clone(),
            agenda: Agenda::new(Instant::now(), options.resync),
            contest: Contest::new(options.contested_after),
            backoff: Backoff::default(),
            ledger: Ledger::new(options),
            files: None,
            looks_at_files: true,
            redirect: false,
            asked: vec![],
            waiting: vec![],
        }
    }

    /// Takes an event in; breaks when the daemon shall end.
    fn take(&mut self, event: Event) -> std::ops::ControlFlow<()> {
        self.agenda.note(&event, Instant::now());
        match event {
            Event::Kernel(notice) => {
                self.redirect |= matches!(notice, Notice::Redirect | Notice::Overrun);
                self.ledger.noticed(&notice);
            }
            Event::Files | Event::Namespaces(_) | Event::Object(_) | Event::Containers => {}
            Event::Reload => self.contest.settle(),
            Event::Asked(request, answer) => self.asked(request, answer),
            Event::Stop => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
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
            let targets =
                Targets { sources: reconciler.sources(), objects: reconciler.objects(), namespaces };
            // What changed before it was watched is seen by looking once more.
            for event in files.aim(&targets) {
                self.agenda.note(&event, Instant::now());
            }
        }
    }
}
