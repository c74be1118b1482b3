//! Asking a runtime: HTTP over its socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;

/// How long a runtime may take to answer. A busy one is not waited for: what is remembered of its containers still holds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer; one about a container has some ten thousand bytes.
const LARGEST: usize = 4 << 20;

/// Why a runtime cannot be asked.
#[derive(Debug, Error)]
pub(super) enum Unreachable {
    /// There is no such socket, or nobody listens there.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// It does not speak as it should.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// It does not answer.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// It answers what makes no sense.
    #[error("{0}")]
    Nonsense(String),
}

/// A connection.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
}

impl Connection {
    /// Connects to a socket.
    pub(super) async fn open(socket: &Path) -> Result<Self, Unreachable> {
        patiently(async {
            let stream = UnixStream::connect(socket).await?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // It ends with the sender, and whatever goes wrong the sender is told.
            tokio::spawn(async move { drop(connection.await) });
            Ok(Self { sender })
        })
        .await
    }

    /// Asks; returns what has begun to come.
    pub(super) async fn ask(&mut self, target: &str) -> Result<(StatusCode, Incoming), Unreachable> {
        let request = Request::get(target).header("Host", "localhost").body(Empty::new());
        let request = request.map_err(|error| Unreachable::Nonsense(error.to_string()))?;
        patiently(async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            Ok((head.status, body))
        })
        .await
    }

    /// Asks; returns the whole answer.
    pub(super) async fn get(&mut self, target: &str) -> Result<(StatusCode, Bytes), Unreachable> {
        let (status, body) = self.ask(target).await?;
        patiently(async {
            let body = Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|error| Unreachable::Nonsense(error.to_string()))?;
            Ok((status, body.to_bytes()))
        })
        .await
    }
}

async fn patiently<T>(work: impl Future<Output = Result<T, Unreachable>>) -> Result<T, Unreachable> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(Unreachable::Silent))
}
