//! What events come from, files and the socket aside.

use std::time::Duration;

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
    options: &mut Options,
    tell: &mpsc::UnboundedSender<Event>,
    ledger: &Ledger,
) -> Result<(), WatchError> {
    let ear = Ear::open(&options.project).map_err(WatchError::Kernel)?;
    tokio::spawn(listen(ear, options.project.clone(), tell.clone()));
    options.signals.pass_on(tell).map_err(WatchError::Signals)?;
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
