//! Asks the daemon of a project.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

use super::protocol::{Answer, Request};
use crate::apply::Dirs;
use crate::kernel::process;

/// How long a daemon may take to answer: it does so beside its runs, so one that is silent is stopped or stuck.
const A_WORD: Duration = Duration::from_secs(3);
/// How long it may take to end a run.
const A_RUN: Duration = Duration::from_secs(120);

/// Why a daemon that there is does not answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// It takes what it is told, and says nothing.
    #[error("{}", silent(*pid))]
    Silent {
        /// Its process, as far as the kernel tells.
        pid: Option<u32>,
    },
    /// It cannot be talked to.
    #[error("cannot talk to the daemon: {0}")]
    Broken(#[from] io::Error),
}

/// Says that a daemon does not answer.
pub fn silent(pid: Option<u32>) -> String {
    let process = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
    format!("`netform watch`{process} runs, but does not answer")
}

/// What is heard of a daemon.
type Heard = Lines<BufReader<OwnedReadHalf>>;

/// Asks, and returns the answer; `None` when no daemon runs.
///
/// # Errors
///
/// When the daemon does not answer, cannot be talked to, or hangs up.
pub async fn ask(dirs: &Dirs, request: &Request) -> Result<Option<Answer>, AskError> {
    match request {
        Request::Status | Request::Suspend { .. } | Request::Resume | Request::Events => {
            answer(dirs, request, A_WORD).await
        }
        // The answer comes when the run is over; whoever is there says so before.
        Request::Reconcile => match answer(dirs, &Request::Status, A_WORD).await? {
            Some(_) => answer(dirs, request, A_RUN).await,
            None => Ok(None),
        },
    }
}

/// Returns everything that happens from now on, a line of JSON each; `None` when no daemon runs.
///
/// # Errors
///
/// When the daemon does not answer, or cannot be talked to.
pub async fn events(dirs: &Dirs) -> Result<Option<Heard>, AskError> {
    match answer(dirs, &Request::Status, A_WORD).await? {
        Some(_) => Ok(say(dirs, &Request::Events).await?.map(|(lines, _)| lines)),
        None => Ok(None),
    }
}

async fn answer(dirs: &Dirs, request: &Request, patience: Duration) -> Result<Option<Answer>, AskError> {
    let Some((mut lines, pid)) = say(dirs, request).await? else { return Ok(None) };
    match tokio::time::timeout(patience, lines.next_line()).await {
        Err(_) => Err(AskError::Silent { pid }),
        Ok(line) => {
            let line = line?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            Ok(Some(serde_json::from_str(&line).map_err(io::Error::from)?))
        }
    }
}

/// Says something; returns what is answered, and who answers.
async fn say(dirs: &Dirs, request: &Request) -> Result<Option<(Heard, Option<u32>)>, AskError> {
    let stream = match UnixStream::connect(dirs.watch_socket()).await {
        Ok(stream) => stream,
        // A daemon that was killed leaves its socket behind.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        // So many wait for it that nobody can join them: `unix_stream_connect()` in Linux `net/unix/af_unix.c`.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(AskError::Silent { pid: None });
        }
        Err(error) => return Err(error.into()),
    };
    // That of a process in another namespace of processes is 0.
    let pid = stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    // One that somebody has stopped says nothing, however long it is waited for.
    if pid.is_some_and(process::is_stopped) {
        return Err(AskError::Silent { pid });
    }
    let (read, mut write) = stream.into_split();
    let mut text = serde_json::to_vec(request).map_err(io::Error::from)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    // Dropping this half would end the conversation.
    write.forget();
    Ok(Some((BufReader::new(read).lines(), pid)))
}
