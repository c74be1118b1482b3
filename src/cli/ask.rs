//! `netform reconcile`, `suspend`, `resume` and `events`: what is asked of the daemon.

use std::io;

use super::args::{Common, WhichProject};
use super::failure::{Code, Failure};
use super::session::Session;
use super::show;
use crate::apply::Dirs;
use crate::watch::client;
use crate::watch::protocol::{Answer, Request, Status};

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
    while let Some(line) = lines.next_line().await.map_err(|error| unreachable_daemon(&error))? {
        show::out(&format!("{line}\n"))?;
    }
    Ok(())
}

/// Returns how the daemon is doing; `None` when none runs, or it cannot be asked.
pub(super) async fn status(dirs: &Dirs) -> Option<Status> {
    match client::ask(dirs, &Request::Status).await {
        Ok(Some(Answer::Status(status))) => Some(*status),
        Ok(Some(Answer::Done { .. } | Answer::Refused { .. }) | None) | Err(_) => None,
    }
}

fn no_daemon(session: &Session) -> Failure {
    Failure::new(Code::Missing, format!("no `netform watch` runs for project {}", session.project))
        .help("start it with `netform watch MANIFEST`")
}

fn unreachable_daemon(error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::PermissionDenied { Code::Privilege } else { Code::Failed };
    Failure::new(code, format!("cannot talk to the daemon: {error}"))
}
