//! Applies that are undone unless somebody confirms them: `netform try`, `apply --confirm-timeout`, `netform confirm`.
//!
//! A process of its own, in a session of its own, waits for the deadline: it outlives the terminal and the client. When it
//! dies, too, `try` undoes what is overdue; without one the next run of any verb that changes something does.

use std::io::IsTerminal;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::args::{Common, WhichProject};
use super::failure::{Code, Failure, disk_failure};
use super::reunite::reunited;
use super::run::{self, How, Ran};
use super::session::{Aim, Prepared, Session};
use super::show::{self, Style};
use crate::apply::pending::{Due, Pending};
use crate::kernel::Kernel as _;
use crate::plan::target::Selection;

/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long the process that waits for the deadline may take to begin with the undo.
const GRACE: Duration = Duration::from_secs(1);
/// How long an undo waits for another run to end.
const LOCK_PATIENCE: Duration = Duration::from_secs(600);

/// Carries out a plan that has to be confirmed; returns the number of its generation.
pub(super) async fn carry_out(
    session: &mut Session,
    prepared: &Prepared,
    how: How,
    patience: Duration,
) -> Result<u64, Failure> {
    let previous = session.newest();
    let deadline = run::now() + patience.as_secs().max(1);
    let pending = Pending::new(session.next(), previous, deadline, boot());
    session.dirs.write_pending(&pending).map_err(|error| disk_failure(&error))?;
    let done = match start_guard(session) {
        Ok(()) => run::carry_out(session, prepared, how).await,
        Err(error) => {
            Err(Failure::new(Code::Failed, format!("cannot start the process that would undo this: {error}")))
        }
    };
    if done.is_err() {
        forget(session)?;
    }
    done
}

/// Undoes what is overdue before anything else is done, and refuses to build on what may yet be undone.
pub(super) async fn settle(session: &mut Session, aim: Aim) -> Result<(), Failure> {
    let Some(pending) = waiting(session)? else { return Ok(()) };
    match (pending.due(run::now(), &boot()), aim) {
        (Due::Overdue, _) => {
            let number = pending.generation;
            session
                .voice
                .note(&format!("Generation {number} was not confirmed in time: it is undone first."));
            revert(session, &pending).await
        }
        // A rollback ends the waiting once it is done: until then, whoever waits has no answer.
        (Due::Waiting(_), Aim::Generation(_)) => Ok(()),
        (Due::Waiting(left), Aim::Manifest | Aim::Nothing) => Err(Failure::new(
            Code::Guarded,
            format!("generation {} waits for its confirmation for {left} s more", pending.generation),
        )
        .help("`netform confirm` keeps it, `netform rollback` undoes it at once")),
    }
}

/// Returns the generation that waits for its confirmation; one that is overdue is undone. The caller holds the lock.
pub(super) async fn undecided(session: &mut Session) -> Result<Option<u64>, Failure> {
    let Some(pending) = waiting(session)? else { return Ok(None) };
    match pending.due(run::now(), &boot()) {
        Due::Waiting(_) => Ok(Some(pending.generation)),
        Due::Overdue => revert(session, &pending).await.map(|()| None),
    }
}

/// `netform confirm`.
pub(super) async fn confirm(common: &Common, which: &WhichProject) -> Result<(), Failure> {
    let mut session = Session::of_known_project(common, which)?;
    let _lock = run::take_lock(&mut session, "confirm", Duration::from_secs(10)).await?;
    run::recover(&mut session).await?;
    let too_late = |generation: u64| {
        Failure::new(Code::Unconfirmed, format!("too late: generation {generation} was undone"))
    };
    let Some(pending) = waiting(&mut session)? else {
        let undone = session.dirs.undone_before(session.newest()).map_err(|error| disk_failure(&error))?;
        // Whoever confirms what was undone must not take it for confirmed.
        return undone
            .map_or_else(|| show::out("Nothing waits for a confirmation.\n"), |it| Err(too_late(it)));
    };
    if pending.due(run::now(), &boot()) == Due::Overdue {
        revert(&mut session, &pending).await?;
        return Err(too_late(pending.generation));
    }
    forget(&mut session)?;
    show::out(&format!("Confirmed: generation {} stays.\n", pending.generation))?;
    Ok(())
}

/// Waits, after `netform try`, until the apply is confirmed or undone.
pub(super) async fn wait(session: &mut Session) -> Result<Ran, Failure> {
    let Some(pending) = session.dirs.read_pending().map_err(|error| disk_failure(&error))? else {
        return Ok(Ran::Changed);
    };
    if std::io::stdin().is_terminal() {
        session.voice.say("Press Enter to keep it, Ctrl-C to undo it now.");
    }
    // From here on an interruption undoes it.
    let _shield = session.shield.raise();
    let mut enter = std::pin::pin!(pressed_enter());
    let mut interrupt = std::pin::pin!(interrupted());
    let mut listening = true;
    let is_tried = |session: &Session| {
        let now = session.dirs.read_pending().map_err(|error| disk_failure(&error))?;
        Ok(now.as_ref() == Some(&pending) && pending.due(run::now(), &boot()) != Due::Overdue)
    };
    while is_tried(session)? {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = &mut enter, if listening => {
                listening = false;
                keep(session, &pending).await?;
            }
            () = &mut interrupt, if listening => {
                let overdue = Pending::new(pending.generation, pending.previous, 0, boot());
                session.dirs.write_pending(&overdue).map_err(|error| disk_failure(&error))?;
            }
        }
    }
    // Whoever undoes it removes what is pending last.
    let began = std::time::Instant::now();
    while session.dirs.read_pending().map_err(|error| disk_failure(&error))?.is_some() {
        if began.elapsed() > GRACE {
            undo(session, &pending, "try").await?;
        }
        tokio::time::sleep(LOOK).await;
    }
    session.past = session.dirs.past().map_err(|error| disk_failure(&error))?;
    let undone = session.dirs.undone_before(session.newest()).map_err(|error| disk_failure(&error))?;
    if session.newest() == pending.generation && undone != Some(pending.generation) {
        session.voice.say(&format!("Confirmed: generation {} stays.", pending.generation));
        Ok(Ran::Changed)
    } else {
        session.voice.generation(session.newest());
        // To go back to the same manifest is to leave what had drifted set back.
        let how = if undone == Some(session.newest()) {
            "what had drifted stays set back"
        } else {
            "and is undone"
        };
        let message = format!("generation {} was not confirmed, {how}", pending.generation);
        Err(Failure::new(Code::Unconfirmed, message))
    }
}

/// What the process does that waits for the deadline.
pub(super) async fn guard(common: &Common, which: &WhichProject) -> Result<(), Failure> {
    // A session of its own: the end of the terminal does not end it. It fails only when there is one already.
    let _ = rustix::process::setsid();
    let mut session = Session::of_project(common, which)?;
    let Some(mine) = session.dirs.read_pending().map_err(|error| disk_failure(&error))? else {
        return Ok(());
    };
    loop {
        let pending = session.dirs.read_pending().map_err(|error| disk_failure(&error))?;
        match pending {
            Some(pending) if pending.generation == mine.generation => {
                if pending.due(run::now(), &boot()) == Due::Overdue {
                    break;
                }
            }
            Some(_) | None => return Ok(()),
        }
        tokio::time::sleep(LOOK).await;
    }
    undo(&mut session, &mine, "revert").await
}

/// Undoes what is overdue, unless somebody has done so by now: whoever does holds the lock.
async fn undo(session: &mut Session, tried: &Pending, verb: &str) -> Result<(), Failure> {
    let _lock = run::take_lock(session, verb, LOCK_PATIENCE).await?;
    run::recover(session).await?;
    session.past = session.dirs.past().map_err(|error| disk_failure(&error))?;
    match waiting(session)? {
        Some(pending) if pending.generation == tried.generation => revert(session, &pending).await,
        Some(_) | None => Ok(()),
    }
}

/// Returns what waits for its confirmation. The caller holds the lock: what waits without having been applied is
/// forgotten, since the run that wanted it failed or was undone.
fn waiting(session: &mut Session) -> Result<Option<Pending>, Failure> {
    let pending = session.dirs.read_pending().map_err(|error| disk_failure(&error))?;
    match pending {
        Some(pending) if pending.generation == session.newest() => Ok(Some(pending)),
        Some(_) => forget(session).map(|()| None),
        None => Ok(None),
    }
}

async fn revert(session: &mut Session, pending: &Pending) -> Result<(), Failure> {
    let aim = if pending.previous == 0 { Aim::Nothing } else { Aim::Generation(pending.previous) };
    let tried = session.dirs.generation(pending.generation).ok().flatten();
    let tried = tried.map_or_else(String::new, |generation| generation.manifest_sha256);
    session.turn.at_once = true;
    let mut prepared = session.prepare(aim).await?;
    if let Some(reunited) = reunited(session, &prepared, aim, &Selection::default()).await? {
        prepared = reunited;
    }
    let how = How::or_undone(Style::Plain);
    run::carry_out(session, &prepared, how).await?;
    session.past = session.dirs.past().map_err(|error| disk_failure(&error))?;
    session.dirs.undo_pending(pending, session.newest(), tried).map_err(|error| disk_failure(&error))?;
    session.kernel.let_go();
    Ok(())
}

/// Keeps what was tried, unless somebody undoes it by now.
async fn keep(session: &mut Session, tried: &Pending) -> Result<(), Failure> {
    let _lock = run::take_lock(session, "try", LOCK_PATIENCE).await?;
    let pending = session.dirs.read_pending().map_err(|error| disk_failure(&error))?;
    if pending.as_ref() == Some(tried) { forget(session) } else { Ok(()) }
}

/// Forgets what is pending: there is nothing to be undone any more. The caller holds the lock.
pub(super) fn forget(session: &mut Session) -> Result<(), Failure> {
    session.dirs.clear_pending().map_err(|error| disk_failure(&error))?;
    session.kernel.let_go();
    Ok(())
}

fn start_guard(session: &Session) -> std::io::Result<()> {
    let parent = |path: &std::path::Path| path.parent().map(std::path::absolute).transpose();
    let mut command = Command::new(std::env::current_exe()?);
    if let (Some(state), Some(run)) = (parent(&session.dirs.state)?, parent(&session.dirs.run)?) {
        command.arg("--state-dir").arg(state).arg("--run-dir").arg(run);
    }
    command.args(["revert-unconfirmed", "--project", session.project.as_str()]);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop)
}

/// Returns what the kernel calls this boot; `random(4)`.
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Waits for Ctrl-C, or for somebody who asks the process to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Waits for a line on the terminal; without one, for ever.
async fn pressed_enter() {
    if std::io::stdin().is_terminal() && line().await.is_some() {
        return;
    }
    std::future::pending().await
}

/// Reads a line from standard input; `None` at its end.
pub(super) async fn line() -> Option<String> {
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own, which is left behind when nobody presses Enter.
    std::thread::spawn(move || {
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {
            let _ = tell.send(line);
        }
    });
    told.await.ok()
}
