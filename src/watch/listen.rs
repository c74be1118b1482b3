//! What events come from, files and the socket aside.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::error::WatchError;
use super::ledger::Ledger;
use super::{Event, Options, http};
use crate::kernel::events::{Ear, Notice};
use crate::names::ProjectName;

/// How long a kernel that cannot be listened to is left alone.
const DEAF: Duration = Duration::from_secs(1);

/// Begins to listen to the kernel and to signals, and serves metrics.
pub(super) async fn start(
    options: &Options,
    tell: &mpsc::UnboundedSender<Event>,
    ledger: &Ledger,
) -> Result<(), WatchError> {
    let ear = Ear::open(&options.project).map_err(WatchError::Kernel)?;
    tokio::spawn(listen(ear, options.project.clone(), tell.clone()));
    let signals = [
        (SignalKind::hangup(), (|| Event::Reload) as fn() -> Event),
        (SignalKind::terminate(), || Event::Stop),
        (SignalKind::interrupt(), || Event::Stop),
        // What other daemons are told by these, such as to open their logs anew, this one need not be.
        (SignalKind::user_defined1(), || Event::Meaningless("SIGUSR1")),
        (SignalKind::user_defined2(), || Event::Meaningless("SIGUSR2")),
    ];
    for (kind, event) in signals {
        let mut caught = signal(kind).map_err(WatchError::Signals)?;
        let tell = tell.clone();
        tokio::spawn(async move { while caught.recv().await.is_some() && tell.send(event()).is_ok() {} });
    }
    if let Some(address) = options.metrics {
        let listener = http::open(address).await.map_err(WatchError::Metrics)?;
        tokio::spawn(http::serve(listener, ledger.status()));
    }
    Ok(())
}

/// Returns what has come by now and was not taken in yet.
pub(super) fn come(events: &mut mpsc::UnboundedReceiver<Event>) -> impl Iterator<Item = Event> {
    (0..events.len()).map_while(|_| events.try_recv().ok())
}

/// Passes on what the kernel tells. It runs on the daemon's own thread: what comes while that is busy waits in the kernel,
/// and when there is no more room there, the kernel says so.
async fn listen(mut ear: Ear, project: ProjectName, tell: mpsc::UnboundedSender<Event>) {
    loop {
        match ear.hear().await {
            Ok(notice) => drop(tell.send(Event::Kernel(notice))),
            Err(_) => {
                tokio::time::sleep(DEAF).await;
                if let Ok(new) = Ear::open(&project) {
                    ear = new;
                }
                drop(tell.send(Event::Kernel(Notice::Overrun)));
            }
        }
    }
}
