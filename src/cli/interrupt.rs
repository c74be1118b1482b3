//! Ctrl-C and SIGTERM end a run at once while it only looks, waits or asks; a run that changes something ends itself.

use std::cell::Cell;
use std::rc::Rc;

use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Code, Failure};

/// Tells whether a run ends itself when it is interrupted; clones are of the same run.
#[derive(Debug, Clone, Default)]
pub(super) struct Shield(Rc<Cell<usize>>);

/// A shield that is up until it is dropped.
pub(super) struct Raised(Rc<Cell<usize>>);

impl Shield {
    /// Has the run end itself from now on.
    pub(super) fn raise(&self) -> Raised {
        self.0.set(self.0.get() + 1);
        Raised(Rc::clone(&self.0))
    }

    /// Does the work, unless it is interrupted without the shield up.
    pub(super) async fn unless_interrupted<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut work = std::pin::pin!(work);
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return work.await;
        };
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if self.0.get() == 0 {
                return Err(Failure::new(Code::Interrupted, "interrupted; nothing was changed"));
            }
        }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
