//! `netform apply` and `netform destroy`: show, ask, do, verify.

use std::io::{IsTerminal, Write as _};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::args::{PlanFormat, Rendering, Run};
use super::failure::{self, Code, Failure, chain, not_locked};
use super::interrupt::Shield;
use super::lacking;
use super::reunite::reunited;
use super::session::{Aim, Prepared, Session};
use super::signals::Interrupts;
use super::voice::{Told, Voice};
use super::{confirm, ports, report, resolver, show, ssh};
use crate::apply::generation::Generation;
use crate::apply::lock::{self, Held, Holder};
use crate::apply::{self, Job, OnFailure, Outcome, Phase, Progress};
use crate::kernel::Scope;
use crate::plan::target::Selection;
use crate::plan::{Guard, Limits, guard};

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// There was nothing to do.
    Nothing,
    /// The kernel was changed.
    Changed,
    /// The user said no.
    Declined,
}

/// How a run is asked for.
#[derive(Clone)]
pub(super) struct Request<'a> {
    pub(super) verb: &'static str,
    pub(super) aim: Aim,
    pub(super) show: &'a Rendering,
    pub(super) run: &'a Run,
    pub(super) style: show::Style,
    /// How long the confirmation may take; `None` needs none.
    pub(super) confirm: Option<Duration>,
    pub(super) selection: Selection,
    pub(super) voice: Voice,
    pub(super) shield: Shield,
}

impl<'a> Request<'a> {
    /// Returns a request for everything that needs no confirmation.
    pub(super) fn new(
        verb: &'static str,
        aim: Aim,
        show: &'a Rendering,
        run: &'a Run,
        style: show::Style,
    ) -> Self {
        let (voice, shield) = (Voice::new(show.output), Shield::default());
        Self { verb, aim, show, run, style, confirm: None, selection: Selection::default(), voice, shield }
    }
}

/// How a plan is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct How {
    pub(super) style: show::Style,
    pub(super) on_failure: OnFailure,
    pub(super) saves: Saves,
}

/// When a run makes a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Saves {
    /// Whenever it changes something.
    Always,
    /// When it leads elsewhere than the newest one: what only repairs drift is no step of the history.
    WhatIsNew,
}

impl How {
    /// Returns the way in which what fails is undone.
    pub(super) fn or_undone(style: show::Style) -> Self {
        Self { style, on_failure: OnFailure::RollBack, saves: Saves::Always }
    }
}

/// Plans, shows, asks, and does it.
pub(super) async fn run(session: &mut Session, request: &Request<'_>) -> Result<Ran, Failure> {
    let Request { verb, aim, show: _, run, style: _, confirm: _, selection, voice, shield } = request;
    session.voice = voice.clone();
    session.shield = shield.clone();
    if !run.yes && voice.is_for_machines() {
        return Err(Failure::new(Code::Usage, "`--output json` is for machines, which are not asked")
            .help("--yes answers the question"));
    }
    if !run.yes && !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Code::Usage,
            format!("`netform {verb}` asks before it changes anything, and there is no terminal"),
        )
        .help("--yes answers the question; `netform plan` only shows"));
    }
    let _lock = take_lock(session, verb, run.lock_timeout).await?;
    recover(session).await?;
    confirm::settle(session, *aim).await?;
    let began = Instant::now();
    session.turn.at_once = run.yes;
    let prepared = session.prepare_part(*aim, selection).await?;
    session.check_given_away(*aim, &prepared)?;
    shown(&prepared, request, began.elapsed())?;
    let ran = finish(session, &prepared, request).await;
    // To free a large state piece by piece takes long, and the process ends: the kernel frees it at once.
    std::mem::forget(prepared);
    ran
}

/// Shows a plan, which took so long to make.
pub(super) fn shown(prepared: &Prepared, request: &Request<'_>, took: Duration) -> Result<(), Failure> {
    let Request { verb, show, style, voice, .. } = request;
    if voice.is_for_machines() {
        voice.plan(&prepared.plan, took);
        // Nothing is done yet, and nobody would know of it.
        return voice.heard();
    }
    show::plan(&prepared.plan, &prepared.desired, show, *style, verb)
}

/// Asks, and carries out a plan that was shown.
pub(super) async fn finish(
    session: &mut Session,
    prepared: &Prepared,
    request: &Request<'_>,
) -> Result<Ran, Failure> {
    let Request { verb, aim, show, run, style, confirm, selection, .. } = request;
    let attended = std::io::stdin().is_terminal() && !run.yes && !request.voice.is_for_machines();
    check_guards(prepared, run, *aim, attended).await?;
    // What may have to be undone needs a number of its own.
    let saves = if confirm.is_some() { Saves::Always } else { Saves::WhatIsNew };
    let how = How { style: *style, on_failure: run.on_failure.into(), saves };
    if prepared.plan.is_empty() {
        // The manifest may have changed in ways that the kernel does not see: it is saved all the same.
        carry_out(session, prepared, how).await?;
        return Ok(Ran::Nothing);
    }
    let comes_back = match aim {
        Aim::Nothing | Aim::Generation(_) => super::ask::status(&session.dirs).await.is_some(),
        Aim::Manifest => false,
    };
    if comes_back {
        session.voice.note(
            "warning: `netform watch` runs for this project and brings back what its manifest says; stop it, or \
             `netform suspend` it",
        );
    }
    if attended && !agreed(verb).await? {
        session.voice.say("Nothing was changed.");
        return Ok(Ran::Declined);
    }
    if attended {
        still_locked(session)?;
    }
    let started = Instant::now();
    let reunited = match aim {
        Aim::Generation(_) => reunited(session, prepared, *aim, selection).await?,
        Aim::Manifest | Aim::Nothing => None,
    };
    let prepared = reunited.as_ref().unwrap_or(prepared);
    let number = match confirm {
        None => carry_out(session, prepared, how).await?,
        Some(patience) => confirm::carry_out(session, prepared, how, *patience).await?,
    };
    if let Aim::Generation(_) = aim {
        confirm::forget(session)?;
    }
    if show.output == PlanFormat::Text {
        let (done, took) = (prepared.plan.changes.len(), started.elapsed());
        let changes = if done == 1 { "1 change" } else { &format!("{done} changes") };
        match aim {
            Aim::Nothing => {
                session.voice.say(&format!("Destroyed: {changes} in {} ms, verified.", took.as_millis()));
            }
            Aim::Manifest | Aim::Generation(_) => session.voice.say(&format!(
                "Applied {changes} in {} ms, verified. Generation {number}.",
                took.as_millis()
            )),
        }
        if let Some(patience) = confirm {
            session.voice.say(&format!(
                "Confirm within {} s or this is undone: netform confirm --project {}",
                patience.as_secs(),
                session.project
            ));
        }
    }
    if let Some(patience) = confirm {
        session.voice.awaits(number, *patience);
    }
    Ok(Ran::Changed)
}

/// Takes the project's lock.
pub(super) async fn take_lock(
    session: &mut Session,
    verb: &str,
    patience: Duration,
) -> Result<lock::Lock, Failure> {
    let lock = lock::lock(&session.dirs, &holder(verb), patience).await;
    lock.map(|lock| session.begun_with(lock)).map_err(|error| not_locked(&error, now()))
}

/// Refuses to go on after somebody has removed the lock while the user was asked: another run may have come and gone since.
fn still_locked(session: &Session) -> Result<(), Failure> {
    match lock::held(&session.dirs) {
        Held::By(holder) if holder.pid == std::process::id() => return Ok(()),
        Held::By(_) | Held::ByNobody | Held::Unseen => {}
    }
    let message = format!(
        "somebody has removed the lock in {} meanwhile; nothing was changed",
        session.dirs.run.display()
    );
    Err(Failure::new(Code::Locked, message).help("plan again"))
}

/// Returns who this run is to others.
pub(super) fn holder(verb: &str) -> Holder {
    Holder { pid: std::process::id(), verb: verb.to_owned(), since: now() }
}

/// Finishes or undoes what a killed run began, and says so.
pub(super) async fn recover(session: &mut Session) -> Result<(), Failure> {
    let _shield = session.shield.raise();
    let voice = session.voice.clone();
    let is_killed = session.dirs.has_journal();
    if is_killed {
        session.look_who_runs().await;
    }
    let scope = if is_killed { session.scope() } else { Scope::new(session.project.clone()) };
    let _turn = session.claim_turn_to_recover().await?;
    let mut watcher = |_: Progress<'_>| ControlFlow::Continue(());
    let recovered = apply::recover(&mut session.kernel, &session.dirs, &scope, &mut watcher).await;
    let recovered = recovered.map_err(|error| failure::unrecovered(&error))?;
    // Another run may have ended while this one waited for the lock.
    session.refresh_past()?;
    voice.generation(session.newest());
    if let Some(recovery) = recovered {
        voice.note(&report::recovered(&recovery));
    }
    Ok(())
}

/// Refuses a plan that does what its user may not want.
pub(super) async fn check_guards(
    prepared: &Prepared,
    run: &Run,
    aim: Aim,
    attended: bool,
) -> Result<(), Failure> {
    let mut limits = if attended { Limits::default() } else { Limits::unattended(prepared.plan.existing) };
    match aim {
        // Who asks for everything to go, or for an earlier state, means it; protection is another matter.
        Aim::Nothing | Aim::Generation(_) => limits.max_destroy = None,
        Aim::Manifest => {}
    }
    if run.max_destroy.is_some() {
        limits.max_destroy = run.max_destroy;
    }
    if run.allow_empty {
        limits.empty = crate::plan::EmptyManifest::Allowed;
        limits.max_destroy = run.max_destroy;
    }
    if run.allow_management_path {
        limits.uplink = crate::plan::Uplink::Allowed;
    } else if !prepared.plan.is_empty() {
        limits.management = ssh::management().await?;
    }
    let refused = guard(&prepared.plan, &limits);
    if refused.is_empty() {
        return lacking::check(&prepared.plan).await;
    }
    let lines: Vec<_> = refused.iter().map(|guard| format!("  {}", chain(guard))).collect();
    let help = refused.iter().map(|guard| match guard {
        Guard::Protected { .. } => "take `prevent_destroy` off its network, apply that, and then destroy it",
        Guard::TooMany { .. } => "`netform apply --max-destroy N` allows more",
        Guard::Empty { .. } => "--allow-empty means it, `netform destroy` says it",
        Guard::ManagementPath { .. } | Guard::Uplink { .. } => "--allow-management-path does it all the same",
    });
    let help = Vec::from_iter(help.collect::<std::collections::BTreeSet<_>>());
    Err(Failure::new(Code::Guarded, format!("a guard refused; nothing was changed\n{}", lines.join("\n")))
        .help(help.join("; ")))
}

/// Asks on the terminal; only `yes` is a yes.
pub(super) async fn agreed(verb: &str) -> Result<bool, Failure> {
    let question = match verb {
        "destroy" => "Destroy all of this?",
        "import" => "Adopt it?",
        "forget" => "Give it up?",
        _ => "Apply these changes?",
    };
    print!("\n{question} Only `yes` is a yes: ");
    std::io::stdout().flush().map_err(|error| Failure::of(Code::Failed, &error))?;
    Ok(confirm::line().await.is_some_and(|line| line.trim() == "yes"))
}

/// Carries out a plan and returns the number of the generation that it led to.
pub(super) async fn carry_out(session: &mut Session, prepared: &Prepared, how: How) -> Result<u64, Failure> {
    let How { style, on_failure, saves } = how;
    let _turn = session.claim_turn(prepared).await?;
    let _claim = ports::claim(session, prepared, &prepared.desired).await?;
    resolver::forsake(prepared, session).await;
    let Prepared { topology: _, desired, scope, observed: _, applied, kept, leases, manifest, plan } =
        prepared;
    let kept = kept.as_ref().unwrap_or(&desired.0).clone();
    // Beside one that is damaged and newer, there has to be one that is newer still.
    let next = session.next();
    let is_last = |it: &&Generation| it.number + 1 == next;
    let is_in_force = |it: &&Generation| it.manifest == *manifest && it.state == kept && it.leases == *leases;
    let newest = session.past.generation.as_ref().filter(|_| saves == Saves::WhatIsNew && !plan.is_empty());
    let (generation, is_new) = match newest.filter(is_last).filter(is_in_force) {
        Some(newest) => (newest.clone(), false),
        None => (Generation::new(next, now(), manifest.clone(), kept, leases.clone()), true),
    };
    let number = generation.number;
    let (dirs, before) = (&session.dirs, session.past.before());
    let job = Job { scope, desired, applied, plan, dirs, generation: &generation, before, on_failure };
    let (voice, _shield) = (session.voice.clone(), session.shield.raise());
    voice.generation(session.newest());
    let interrupts = Interrupts::listen(on_failure, voice.clone());
    let bar = show::Bar::new(style);
    let mut watcher = |progress: Progress<'_>| {
        bar.show(&progress);
        voice.phase(progress.phase);
        match (progress.phase, interrupts.asked()) {
            (Phase::Applying | Phase::Verifying, true) => ControlFlow::Break(()),
            (Phase::Applying | Phase::Verifying, false) | (Phase::Undoing, _) => ControlFlow::Continue(()),
        }
    };
    let context = report::Context { desired: &desired.0, on_failure, newest: session.newest() };
    let began = Instant::now();
    let mut kernel = Told { kernel: &mut session.kernel, voice: voice.clone() };
    let outcome = match is_new {
        true => apply::run(&mut kernel, &job, &mut watcher).await,
        false => apply::repair(&mut kernel, &job, &mut watcher).await,
    };
    voice.outcome(&outcome, began.elapsed());
    bar.clear();
    let nothing = matches!(outcome, Outcome::NothingToDo);
    judged(outcome, context, &voice)?;
    // Only a manifest that says something else makes a generation.
    let numbers = || session.dirs.numbers().unwrap_or_default();
    voice.generation(if nothing { numbers().last().copied().unwrap_or_default() } else { number });
    Ok(number)
}

/// Returns the failure that an outcome is.
pub(super) fn judged(outcome: Outcome, context: report::Context<'_>, voice: &Voice) -> Result<(), Failure> {
    match outcome {
        Outcome::NothingToDo | Outcome::Applied { done: _, unsaved: None } => Ok(()),
        Outcome::Applied { done: _, unsaved: Some(error) } => {
            let why = chain(&error);
            voice.note(&format!(
                "warning: all was done, but {why}; the next run saves it, once that can be written: repeat it when there is room"
            ));
            Ok(())
        }
        Outcome::NotBegun(error) => Err(failure::disk_failure(&error)),
        Outcome::Unchanged(report) => Err(report::unchanged(&report, context)),
        Outcome::RolledBack(report) => Err(report::rolled_back(&report, context)),
        Outcome::Stranded(report) => Err(report::stranded(&report, context)),
    }
}

/// Returns the time in seconds since 1970.
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
