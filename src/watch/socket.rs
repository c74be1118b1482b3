//! The daemon's socket: who may write to the run directory may ask.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::Event;
use super::protocol::{Answer, Request, Status};

/// The longest request; anything longer is not one.
const LONGEST: u64 = 4096;

/// What a connection needs.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) lines: broadcast::Sender<String>,
}

/// Serves whoever connects.
pub(super) async fn serve(listener: UnixListener, desk: Desk) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(attend(stream, desk.clone()))),
            // Too many open files, most likely: they get fewer.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

async fn attend(stream: UnixStream, desk: Desk) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LONGEST)).read_line(&mut line).await?;
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(Request::Status) => Answer::Status(Box::new(desk.status.borrow().clone())),
        Ok(Request::Events) => {
            let mut lines = desk.lines.subscribe();
            loop {
                match lines.recv().await {
                    Ok(line) => write.write_all(format!("{line}\n").as_bytes()).await?,
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                }
            }
        }
        Ok(request @ (Request::Reconcile | Request::Suspend { .. } | Request::Resume)) => {
            let (tell, told) = oneshot::channel();
            let gone = || Answer::Refused { message: "the daemon is ending".to_owned() };
            match desk.events.send(Event::Asked(request, tell)) {
                Ok(()) => told.await.unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            }
        }
        Err(error) => Answer::Refused { message: format!("this is no request: {error}") },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await
}
