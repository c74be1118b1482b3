//! What a run makes of signals: the first asks it to undo what it did, the second ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::failure::{Code, Failure};
use super::voice::Voice;
use crate::apply::OnFailure;

/// Listens to SIGINT, SIGTERM and SIGHUP as long as it lives.
///
/// The end of the terminal is no wish of its user, who may have lost the connection by this very run: it goes on, and is
/// finished or undone by itself.
pub(super) struct Interrupts {
    asked: Arc<AtomicBool>,
    listener: JoinHandle<()>,
}

impl Interrupts {
    /// Begins to listen.
    pub(super) fn listen(on_failure: OnFailure, voice: Voice) -> Self {
        let asked = Arc::new(AtomicBool::new(false));
        let streams = [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok());
        let hangup = signal(SignalKind::hangup()).ok();
        let told = Told { on_failure, voice };
        let listener = tokio::spawn(hear(streams, hangup, Arc::clone(&asked), told));
        Self { asked, listener }
    }

    /// Tells whether somebody asked the run to end.
    pub(super) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Who is told of a signal, and what comes of it.
struct Told {
    on_failure: OnFailure,
    voice: Voice,
}

async fn hear(
    streams: [Option<Signal>; 2],
    hangup: Option<Signal>,
    asked: Arc<AtomicBool>,
    Told { on_failure, voice }: Told,
) {
    // It is kept, so that the signal does not kill; there is nothing to do about it.
    let _hangup = hangup;
    let [mut interrupt, mut terminate] = streams;
    loop {
        tokio::select! {
            () = next(&mut interrupt) => {}
            () = next(&mut terminate) => {}
        }
        if asked.swap(true, Ordering::Relaxed) {
            let left = Failure::new(
                Code::Interrupted,
                "interrupted twice: left as it is; the next run finishes or undoes it",
            );
            super::show::err(&format!("{left}\n"));
            voice.end(&Err(left), Code::Interrupted as u8);
            std::process::exit(Code::Interrupted as i32);
        }
        super::show::err(match on_failure {
            OnFailure::RollBack => {
                "interrupted: undoing what was done; once more leaves everything as it is now\n"
            }
            OnFailure::Stop => "interrupted: stopping after what is under way\n",
        });
    }
}

/// Waits for a signal; for ever when it cannot be listened to.
async fn next(stream: &mut Option<Signal>) {
    match stream {
        Some(stream) => drop(stream.recv().await),
        None => std::future::pending().await,
    }
}
