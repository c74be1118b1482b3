//! Open vSwitch's database: its records are what `ovs-vswitchd` makes bridges and ports of.
//!
//! It is spoken to by its own protocol (RFC 7047: JSON-RPC 1.0 over a unix socket). Of that, three requests are needed, and
//! JSON is here anyway, so there is no client crate: the two that there are stand at 0.0.x and bring code generators with
//! them. Nor is `ovs-vsctl` run: a wave of operations is one transaction here, `monitor` tells of changes, and no program
//! has to be installed beside the daemons. Columns are those of ovs-vswitchd.conf.db(5).
//!
//! What only the manifests with `driver: openvswitch` need costs the others nothing: without such a network, and without
//! a link that one has left behind, the socket is not opened.

mod change;
mod execute;
mod follow;
mod generic;

mod records;
mod seen;
mod told;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{FailureKind, ObserveError, OpError};

pub use execute::check;
pub(super) use execute::{after, before, settle};
pub use follow::follow;
pub(crate) use seen::{Absent, ODD_BRIDGE, Switched, look, merge, see};
pub use told::SWITCH;
pub(crate) use told::tell;

/// The database's name.
const DATABASE: &str = "Open_vSwitch";

/// Where the daemons' sockets are, unless the user names another directory.
const RUN_DIRECTORY: &str = "/run/openvswitch";

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer: a record of a port has some 300 bytes.
const LARGEST: usize = 64 << 20;

static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// Sets the directory of the daemons' sockets, once for the process.
pub fn set_directory(directory: &Path) {
    let _ = DIRECTORY.set(directory.to_owned());
}

/// Returns where the database listens.
fn socket() -> PathBuf {
    DIRECTORY.get().map_or(Path::new(RUN_DIRECTORY), PathBuf::as_path).join("db.sock")
}

/// Why the database does not do what it is asked to.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// There is no such socket, or nobody listens there.
    #[error("Open vSwitch's database does not answer at {}: {error}", path.display())]
    Socket {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It does not answer.
    #[error("Open vSwitch's database did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// `ovs-vswitchd` does not do what the database says.
    #[error("{0}")]
    Switch(String),
    /// It says no, or what makes no sense.
    #[error("Open vSwitch's database refuses: {0}")]
    Refused(String),
}

impl Refusal {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Socket { path: _, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                FailureKind::Privilege
            }
            Self::Socket { .. } => FailureKind::Switch,
            Self::Silent | Self::Switch(_) => FailureKind::Switch,
            Self::Refused(_) => FailureKind::Other,
        }
    }
}

impl From<Refusal> for OpError {
    fn from(refusal: Refusal) -> Self {
        Self { kind: refusal.kind(), message: refusal.to_string() }
    }
}

impl From<Refusal> for ObserveError {
    fn from(refusal: Refusal) -> Self {
        let what = "the bridges of Open vSwitch".to_owned();
        Self { what, kind: refusal.kind(), source: Box::new(refusal) }
    }
}

/// A connection to the database.
pub(super) struct Connection {
    path: PathBuf,
    stream: UnixStream,
    /// What was received and not taken yet.
    received: Vec<u8>,
    requests: u64,
}

impl Connection {
    /// Connects to the database.
    pub(super) async fn open() -> Result<Self, Refusal> {
        let path = socket();
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Self { path, stream, received: vec![], requests: 0 }),
            Err(error) => Err(Refusal::Socket { path, error }),
        }
    }

    /// Carries out a transaction; returns what it answers to each operation.
    async fn transact(&mut self, operations: Vec<Value>) -> Result<Vec<Value>, Refusal> {
        let params: Vec<Value> = std::iter::once(json!(DATABASE)).chain(operations).collect();
        let answer = self.call("transact", Value::Array(params)).await?;
        let Value::Array(results) = answer else { return Err(Refusal::Refused(answer.to_string())) };
        // What failed is told at its place, or behind all of them when it failed at the end.
        let failed = results.iter().find(|result| result.get("error").is_some_and(|error| !error.is_null()));
        match failed {
            None => Ok(results),
            Some(error) => {
                let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
                Err(Refusal::Refused(format!("{}: {}", text("error"), text("details"))))
            }
        }
    }

    /// Calls a method; returns its result.
    async fn call(&mut self, method: &str, params: Value) -> Result<Value, Refusal> {
        self.requests += 1;
        let id = json!(self.requests);
        let call = async {
            self.send(&json!({"method": method, "params": params, "id": id})).await?;
            loop {
                let mut message = self.receive().await?;
                if message.get("id") == Some(&id) && message.get("method").is_none() {
                    return match message.get("error") {
                        None | Some(Value::Null) => {
                            Ok(message.get_mut("result").map(Value::take).unwrap_or_default())
                        }
                        Some(error) => Err(Refusal::Refused(error.to_string())),
                    };
                }
            }
        };
        tokio::time::timeout(PATIENCE, call).await.unwrap_or(Err(Refusal::Silent))
    }

    async fn send(&mut self, message: &Value) -> Result<(), Refusal> {
        let sent = self.stream.write_all(message.to_string().as_bytes()).await;
        sent.map_err(|error| Refusal::Socket { path: self.path.clone(), error })
    }

    /// Returns the next message; the database's question whether we are alive (RFC 7047 section 4.1.11) is answered.
    async fn receive(&mut self) -> Result<Value, Refusal> {
        loop {
            let mut values = serde_json::Deserializer::from_slice(&self.received).into_iter::<Value>();
            match values.next() {
                Some(Ok(message)) => {
                    let taken = values.byte_offset();
                    self.received.drain(..taken);
                    if message.get("method").is_some_and(|method| method == "echo") {
                        let (params, id) = (message.get("params"), message.get("id"));
                        self.send(&json!({"result": params, "error": null, "id": id})).await?;
                        continue;
                    }
                    return Ok(message);
                }
                Some(Err(error)) if !error.is_eof() => return Err(Refusal::Refused(error.to_string())),
                Some(Err(_)) | None if self.received.len() > LARGEST => {
                    return Err(Refusal::Refused("an answer without end".to_owned()));
                }
                Some(Err(_)) | None => {
                    let failed = |error| Refusal::Socket { path: self.path.clone(), error };
                    if self.stream.read_buf(&mut self.received).await.map_err(failed)? == 0 {
                        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
            }
        }
    }
}
