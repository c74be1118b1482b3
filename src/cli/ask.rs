//! `netform reconcile`, `suspend`, `resume` and `events`: what is asked of the daemon.

use std::io;

use super::args::{Common, WhichProject};
use super::failure::{Code, Failure, goes_on};
use super::session::Session;
use super::show;
use crate::apply::Dirs;
use crate::watch::client::{self, AskError};
use crate::watch::protocol::{Answer, Condition, Names, Request, Status};

/// Asks the daemon, and prints what it says.
pub(super) async fn ask(common: &Common, which: &WhichProject, request: &Request) -> Result<(), Failure> {
    let session = Session::of_project(common, which)?;
    let answer = client::ask(&session.dirs, request).await.map_err(|error| unreachable_daemon(&error))?;
    match answer {
        Some(Answer::Done { message }) => show::out(&format!("{message}\n")),
        Some(Answer::Refused { message }) => {
            // What holds the daemon back may be the text of a failure of its own.
            let message = message.strip_prefix("error: ").unwrap_or(&message);
            Err(Failure::new(Code::Failed, message))
        }
        Some(Answer::Status(_)) => Err(Failure::new(Code::Failed, "the daemon answers something else")),
        None => Err(no_daemon(&session)),
    }
}

/// Prints what happens, until the daemon ends or nobody reads.
pub(super) async fn events(common: &Common, which: &WhichProject) -> Result<(), Failure> {
    let session = Session::of_project(common, which)?;
    let lines = client::events(&session.dirs).await.map_err(|error| unreachable_daemon(&error))?;
    let Some(mut lines) = lines else { return Err(no_daemon(&session)) };
    while let Some(line) = lines.next_line().await.map_err(|error| unreachable_daemon(&error.into()))? {
        show::out(&format!("{line}\n"))?;
    }
    Ok(())
}

/// Returns how the daemon is doing; `None` when none runs, or it cannot be asked.
pub(super) async fn status(dirs: &Dirs) -> Option<Status> {
    match client::ask(dirs, &Request::Status).await {
        Ok(Some(Answer::Status(status))) => Some(*status),
        Err(AskError::Silent { pid }) => Some(silent(dirs, pid)),
        Ok(Some(Answer::Done { .. } | Answer::Refused { .. }) | None) | Err(AskError::Broken(_)) => None,
    }
}

/// Returns what is known of a daemon that does not answer. It goes on when it is let, and finds then what points at it.
fn silent(dirs: &Dirs, pid: Option<u32>) -> Status {
    let project = dirs.run.file_name().map(|name| name.to_string_lossy().into_owned());
    let told = format!(
        "{}: what points containers at it stays; {}",
        client::silent(pid),
        pid.map_or_else(has_it_go_on_somehow, has_it_go_on)
    );
    Status {
        pid: pid.unwrap_or_default(),
        project: project.unwrap_or_default(),
        state: Condition::Silent,
        names: Names::Daemon,
        unanswered: vec![told],
        ..Status::default()
    }
}

fn has_it_go_on(pid: u32) -> String {
    format!("if somebody has stopped it, {}", goes_on(pid))
}

fn has_it_go_on_somehow() -> String {
    "if somebody has stopped it, `kill -CONT` has it go on".to_owned()
}

fn no_daemon(session: &Session) -> Failure {
    Failure::new(Code::Missing, format!("no `netform watch` runs for project {}", session.project))
        .help("start it with `netform watch MANIFEST`")
}

fn unreachable_daemon(error: &AskError) -> Failure {
    match error {
        AskError::Silent { pid } => Failure::new(Code::Failed, error.to_string())
            .help(pid.map_or_else(has_it_go_on_somehow, has_it_go_on)),
        AskError::Broken(source) => {
            let is_denied = source.kind() == io::ErrorKind::PermissionDenied;
            Failure::new(if is_denied { Code::Privilege } else { Code::Failed }, error.to_string())
        }
    }
}
