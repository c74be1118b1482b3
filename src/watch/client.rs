//! Asks the daemon of a project.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

use super::protocol::{Answer, Request};
use crate::apply::Dirs;

/// How long a daemon may take to answer: it does so beside its runs, so one that is silent is stopped or stuck.
const A_WORD: Duration = Duration::from_secs(3);
/// How long it may take to end a run.
const A_RUN: Duration = Duration::from_secs(120);

/// Asks, and returns the answer; `None` when no daemon runs.
///
/// # Errors
///
/// When the daemon cannot be talked to, or hangs up.
pub async fn ask(dirs: &Dirs, request: &Request) -> io::Result<Option<Answer>> {
    let patience = match request {
        // The answer comes when the run is over.
        Request::Reconcile => A_RUN,
        Request::Status | Request::Suspend { .. } | Request::Resume | Request::Events => A_WORD,
    };
    let answer = async {
        let Some(mut lines) = say(dirs, request).await? else { return Ok(None) };
        let line = lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Some(serde_json::from_str(&line)?))
    };
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Returns everything that happens from now on, a line of JSON each; `None` when no daemon runs.
///
/// # Errors
///
/// When the daemon cannot be talked to.
pub async fn events(dirs: &Dirs) -> io::Result<Option<Lines<BufReader<OwnedReadHalf>>>> {
    say(dirs, &Request::Events).await
}

async fn say(dirs: &Dirs, request: &Request) -> io::Result<Option<Lines<BufReader<OwnedReadHalf>>>> {
    let stream = match UnixStream::connect(dirs.watch_socket()).await {
        Ok(stream) => stream,
        // A daemon that was killed leaves its socket behind.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let (read, mut write) = stream.into_split();
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    // Dropping this half would end the conversation.
    write.forget();
    Ok(Some(BufReader::new(read).lines()))
}
