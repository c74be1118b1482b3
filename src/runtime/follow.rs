//! Following what happens: the event streams of the runtimes, and the end of processes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::StatusCode;
use rustix::process::{Pid, PidfdFlags};
use serde::Deserialize;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::api::{Connection, Unreachable};
use crate::kernel::process;
use crate::resource::netns::Process;

/// How long a runtime that cannot be asked is left alone: twice as long each time, but so short that containers which start
/// with it are attached within their first second. To knock at a socket where nobody is costs next to nothing.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_millis(400);

/// The longest line that an event may be.
const LONGEST_LINE: usize = 1 << 20;

/// What may change whether, and as whom, a container runs. Docker's words, and Podman's own.
const MATTERS: [&str; 8] = ["start", "restart", "die", "died", "stop", "rename", "destroy", "remove"];

/// Only events of containers: `{"type":["container"]}`, encoded.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D";

/// Something that goes on beside, until it is dropped.
#[derive(Debug)]
pub struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An event, as far as it matters.
#[derive(Debug, Deserialize)]
struct Happened {
    #[serde(alias = "Action", default)]
    status: String,
}

impl Follower {
    /// Follows the events of a runtime, for as long as there may be one: `tell` is called whenever one of its containers may
    /// have come or gone, and whenever the runtime itself has.
    pub fn of(socket: PathBuf, tell: impl Fn() + Send + Sync + 'static) -> Self {
        Self(tokio::spawn(async move {
            let mut pause = SHORTEST;
            loop {
                if let Ok(stream) = Stream::open(&socket).await {
                    let began = Instant::now();
                    // Whatever happened before is seen by looking.
                    tell();
                    stream.follow(&tell).await;
                    tell();
                    // One that ends as soon as it begins is as good as none.
                    if began.elapsed() > LONGEST {
                        pause = SHORTEST;
                    }
                }
                tokio::time::sleep(pause.mul_f64(1.0 + 0.25 * fastrand::f64())).await;
                pause = (pause * 2).min(LONGEST);
            }
        }))
    }

    /// Has something else go on beside.
    pub fn beside(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Waits for the end of a process, and tells it.
    pub fn until_end(process: Process, tell: impl Fn() + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            ended(process).await;
            tell();
        }))
    }

    /// Tells whether it has nothing more to tell.
    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

/// Waits until a process has ended.
pub async fn ended(process: Process) {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    // One that cannot be opened has ended.
    let opened = pid.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    let Some(descriptor) = opened.filter(|_| process::lives(process)) else { return };
    #[expect(deprecated, reason = "the descriptor is owned, and so is open for as long as it is waited for")]
    let Ok(descriptor) = AsyncFd::with_interest(descriptor, Interest::READABLE) else {
        return std::future::pending().await;
    };
    // It is readable once the process has ended: pidfd_open(2).
    let _ = descriptor.readable().await;
}

/// The events of a runtime.
struct Stream {
    body: hyper::body::Incoming,
    /// Nobody else may ask by the connection.
    _connection: Connection,
}

impl Stream {
    async fn open(socket: &Path) -> Result<Self, Unreachable> {
        let mut connection = Connection::open(socket).await?;
        match connection.ask(EVENTS).await? {
            (StatusCode::OK, body) => Ok(Self { body, _connection: connection }),
            (status, _) => Err(Unreachable::Nonsense(status.to_string())),
        }
    }

    /// Reads until it ends.
    async fn follow(mut self, tell: &impl Fn()) {
        let mut line = vec![];
        while let Some(Ok(frame)) = self.body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            for byte in data {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                if matters(&line) {
                    tell();
                }
                line.clear();
            }
            if line.len() > LONGEST_LINE {
                return;
            }
        }
    }
}

/// Tells whether an event may change who runs; one that cannot be read may.
fn matters(line: &[u8]) -> bool {
    let read = serde_json::from_slice::<Happened>(line);
    !line.is_empty() && read.map_or(true, |event| MATTERS.contains(&event.status.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_starts_matters_and_a_command_in_it_does_not() {
        assert!(matters(br#"{"status":"start","id":"1","Type":"container"}"#));
        assert!(matters(br#"{"Action":"die","Type":"container"}"#));
        assert!(!matters(br#"{"status":"exec_start: ls","id":"1","Type":"container"}"#));
        assert!(!matters(b""));
        assert!(matters(b"{"));
    }
}
