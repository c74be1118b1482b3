//! Who is told how a run goes: people in text, or machines in lines of JSON.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::args::PlanFormat;
use super::events::{self, Begin, Durations, End, Event, Line, Operation, Operations, Outcome};
use super::failure::{Code, Failure};
use super::run::Ran;
use super::{report, show};
use crate::apply;
use crate::kernel::{Glance, Kernel, ObserveError, Op, OpError, Scope};
use crate::names::NetnsName;
use crate::plan::Plan;
use crate::plan::render::{digest, json};
use crate::resource::owner::Owner;
use crate::resource::state::Observed;

/// Tells how a run goes; clones tell of the same run.
#[derive(Clone)]
pub(super) struct Voice(Arc<Telling>);

struct Telling {
    to: Listener,
    began: Instant,
    tally: Mutex<Tally>,
    /// Why machines could not be told of something.
    unheard: Mutex<Option<Failure>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    People,
    Machines,
}

/// What the last line says.
#[derive(Debug, Default)]
struct Tally {
    undoing: bool,
    waves: usize,
    generation: Option<u64>,
    operations: Operations,
    durations: Durations,
}

impl Voice {
    /// Returns a voice that speaks as the user asked for.
    pub(super) fn new(output: PlanFormat) -> Self {
        let to = match output {
            PlanFormat::Json => Listener::Machines,
            PlanFormat::Text | PlanFormat::Markdown => Listener::People,
        };
        let (tally, unheard) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Telling { to, began: Instant::now(), tally, unheard }))
    }

    /// Tells whether standard output is for lines of JSON only.
    pub(super) fn is_for_machines(&self) -> bool {
        self.0.to == Listener::Machines
    }

    /// Tells that the run begins.
    pub(super) fn begin(&self, verb: &'static str) {
        self.event(Event::RunBegin(Begin {
            verb,
            tool_version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            began_at: humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string(),
        }));
    }

    /// Tells people how it went; machines are told by the last line.
    pub(super) fn say(&self, text: &str) {
        if !self.is_for_machines() {
            // Whoever does not listen any more is not told.
            let _ = show::out(&format!("{text}\n"));
        }
    }

    /// Tells something that one should know.
    pub(super) fn note(&self, text: &str) {
        match self.0.to {
            Listener::People => show::err(&format!("{text}\n")),
            Listener::Machines => self.event(Event::Note { message: text.to_owned() }),
        }
    }

    /// Tells machines what will be done.
    pub(super) fn plan(&self, plan: &Plan, took: Duration) {
        self.tally().durations.plan_ms = Some(millis(took));
        self.event(Event::Plan(digest::digest(plan)));
    }

    /// Notes the newest generation; 0 is none.
    pub(super) fn generation(&self, number: u64) {
        self.tally().generation = (number > 0).then_some(number);
    }

    /// Notes what the run is doing.
    pub(super) fn phase(&self, phase: apply::Phase) {
        self.tally().undoing = phase == apply::Phase::Undoing;
    }

    /// Tells what carrying out a plan came to.
    pub(super) fn outcome(&self, outcome: &apply::Outcome, took: Duration) {
        let report = |report: &apply::Report| {
            let failed = match &report.failure {
                apply::Failure::Operations(failed) => failed.len(),
                apply::Failure::Differs(_)
                | apply::Failure::InTheWay(_)
                | apply::Failure::Unreadable(_)
                | apply::Failure::Journal(_)
                | apply::Failure::Interrupted => 0,
            };
            let (done, not_started) = (report.done.len(), report.not_started.len());
            Operations { done, failed, not_started, undone: report.undone }
        };
        let operations = match outcome {
            apply::Outcome::NothingToDo | apply::Outcome::NotBegun(_) => Operations::default(),
            apply::Outcome::Applied { done, unsaved: _ } => {
                self.event(Event::Verified { operations: done.len() });
                Operations { done: done.len(), ..Operations::default() }
            }
            apply::Outcome::Unchanged(it) | apply::Outcome::Stranded(it) => report(it),
            apply::Outcome::RolledBack(it) => {
                self.event(Event::RolledBack { operations: it.undone });
                report(it)
            }
        };
        let mut tally = self.tally();
        tally.operations = operations;
        tally.durations.apply_ms = Some(millis(took));
    }

    /// Tells that the run waits for its confirmation.
    pub(super) fn awaits(&self, generation: u64, patience: Duration) {
        self.event(Event::AwaitingConfirmation { generation, seconds: patience.as_secs() });
    }

    /// Tells how the run ended.
    pub(super) fn end(&self, ran: &Result<Ran, Failure>, exit_code: u8) {
        let outcome = match ran {
            Ok(Ran::Nothing) => Outcome::NothingToDo,
            Ok(Ran::Changed) => Outcome::Applied,
            Ok(Ran::Declined) => Outcome::Declined,
            Err(failure) => outcome(failure.code),
        };
        let failure = ran.as_ref().err();
        let Tally { generation, operations, mut durations, .. } = *self.tally();
        durations.total_ms = millis(self.0.began.elapsed());
        self.event(Event::RunEnd(End {
            outcome,
            exit_code,
            generation,
            operations,
            durations,
            message: failure.map(|failure| failure.message.clone()),
            help: failure.and_then(|failure| failure.help.clone()),
        }));
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Whoever panicked has told all that it will.
        self.0.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, event: Event) {
        self.events([event]);
    }

    fn events(&self, events: impl IntoIterator<Item = Event>) {
        if !self.is_for_machines() {
            return;
        }
        let mut text = String::new();
        for event in events {
            let line = Line { format_version: events::FORMAT, at_ms: millis(self.0.began.elapsed()), event };
            // Every key is a text, so that it can be written.
            if let Ok(line) = serde_json::to_string(&line) {
                text.push_str(&line);
                text.push('\n');
            }
        }
        if let Err(failure) = show::out(&text) {
            self.unheard().get_or_insert(failure);
        }
    }

    fn unheard(&self) -> MutexGuard<'_, Option<Failure>> {
        // As with the tally.
        self.0.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when machines could not be told of something. Whoever does not listen any more is not told.
    pub(super) fn heard(&self) -> Result<(), Failure> {
        self.unheard().take().map_or(Ok(()), Err)
    }

    fn operation(&self, op: &Op) -> Operation {
        let (word, Op::Create(entry) | Op::Update { from: _, to: entry } | Op::Delete(entry)) =
            (report::verb(op), op);
        let tally = self.tally();
        Operation {
            phase: if tally.undoing { events::Phase::Undoing } else { events::Phase::Applying },
            wave: tally.waves,
            op: word,
            object: op.id().to_string(),
            address: entry.owner.to_string(),
            source: json::source(report::origin(op)),
            duration_us: None,
            error: None,
        }
    }
}

/// A kernel that tells of every operation.
pub(super) struct Told<'a, K> {
    pub(super) kernel: &'a mut K,
    pub(super) voice: Voice,
}

impl<K> Told<'_, K> {
    /// Tells of what is begun at a time.
    fn begin<'o>(&self, ops: impl IntoIterator<Item = &'o Op>) -> Instant {
        self.voice.events(ops.into_iter().map(|op| Event::OperationStarted(self.voice.operation(op))));
        Instant::now()
    }

    /// Tells of what was begun then.
    fn end<'o>(&self, done: impl Iterator<Item = (&'o Op, &'o Result<(), OpError>)>, began: Instant) {
        let took = Some(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let ended = done.map(|(op, result)| {
            let operation = Operation { duration_us: took, ..self.voice.operation(op) };
            match result {
                Ok(()) => Event::OperationDone(operation),
                Err(error) => {
                    Event::OperationFailed(Operation { error: Some(error.to_string()), ..operation })
                }
            }
        });
        self.voice.events(ended);
        self.voice.tally().waves += 1;
    }
}

impl<K: Kernel> Kernel for Told<'_, K> {
    async fn observe(&mut self, scope: &Scope) -> Result<Observed, ObserveError> {
        self.kernel.observe(scope).await
    }

    async fn glance(&mut self, scope: &Scope, at: &Glance) -> Result<Observed, ObserveError> {
        self.kernel.glance(scope, at).await
    }

    async fn execute(&mut self, wave: &[Op]) -> Vec<Result<(), OpError>> {
        if !self.voice.is_for_machines() {
            return self.kernel.execute(wave).await;
        }
        let began = self.begin(wave);
        let results = self.kernel.execute(wave).await;
        self.end(wave.iter().zip(&results), began);
        results
    }

    async fn execute_in_order(&mut self, ops: &[&Op]) -> Vec<Option<Result<(), OpError>>> {
        if !self.voice.is_for_machines() {
            return self.kernel.execute_in_order(ops).await;
        }
        let began = self.begin(ops.iter().copied());
        let results = self.kernel.execute_in_order(ops).await;
        let ended = ops.iter().zip(&results).filter_map(|(op, result)| Some((*op, result.as_ref()?)));
        self.end(ended, began);
        results
    }

    async fn end_flows(&mut self, more: &[Op]) {
        self.kernel.end_flows(more).await;
    }

    async fn revive(&mut self, gone: &[(NetnsName, Owner)]) -> bool {
        self.kernel.revive(gone).await
    }

    fn let_go(&mut self) {
        self.kernel.let_go();
    }
}

fn outcome(code: Code) -> Outcome {
    match code {
        Code::Failed => Outcome::Failed,
        Code::Stranded => Outcome::Stranded,
        Code::RolledBack => Outcome::RolledBack,
        Code::Stale => Outcome::Stale,
        Code::Locked => Outcome::Locked,
        Code::Guarded => Outcome::Guarded,
        Code::Unconfirmed => Outcome::Unconfirmed,
        Code::Foreign => Outcome::Foreign,
        Code::Usage => Outcome::Usage,
        Code::Manifest => Outcome::Manifest,
        Code::NoInput => Outcome::NoInput,
        Code::Missing => Outcome::Missing,
        Code::Privilege => Outcome::Privilege,
        Code::Interrupted => Outcome::Interrupted,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
