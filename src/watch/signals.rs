//! Signals that would end a daemon that does not expect them yet: it catches them before it does anything else.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::mpsc;

use super::Event;

/// Signals that are caught. What comes before the daemon has begun waits for that.
#[derive(Debug)]
pub struct Signals(Vec<(unix::Signal, fn() -> Event)>);

impl Signals {
    /// Catches them from now on, and those that were put off.
    ///
    /// # Errors
    ///
    /// When they cannot be caught.
    pub fn catch() -> io::Result<Self> {
        let events: [(SignalKind, fn() -> Event); 3] = [
            (SignalKind::hangup(), || Event::Reload),
            // What other daemons are told by these, such as to open their logs anew, this one need not be.
            (SignalKind::user_defined1(), || Event::Meaningless("SIGUSR1")),
            (SignalKind::user_defined2(), || Event::Meaningless("SIGUSR2")),
        ];
        let caught = events.into_iter().map(|(kind, event)| Ok((signal(kind)?, event)));
        let caught = Self(caught.collect::<io::Result<_>>()?);
        all().thread_unblock()?;
        Ok(caught)
    }

    /// Tells the daemon of them from now on, and of those that end it.
    pub(super) fn pass_on(&mut self, tell: &mpsc::UnboundedSender<Event>) -> io::Result<()> {
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            self.0.push((signal(kind)?, || Event::Stop));
        }
        for (mut caught, event) in self.0.drain(..) {
            let tell = tell.clone();
            tokio::spawn(async move { while caught.recv().await.is_some() && tell.send(event()).is_ok() {} });
        }
        Ok(())
    }
}

/// Puts them off while the process becomes another program, which catches nothing before it begins: what is put off stays so,
/// execve(2).
///
/// # Errors
///
/// When the kernel refuses.
pub fn put_off(meanwhile: impl FnOnce()) -> io::Result<()> {
    all().thread_block()?;
    meanwhile();
    Ok(all().thread_unblock()?)
}

fn all() -> SigSet {
    [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2].into_iter().collect()
}
