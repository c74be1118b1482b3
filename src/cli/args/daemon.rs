//! The verbs and flags of the daemon.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{ManifestArg, WhichProject, duration};
use crate::watch::protocol::LONGEST_SUSPENSION;

/// The daemon, and what it can be asked for.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DaemonVerb {
    /// Keep the kernel at what a manifest says: apply edits, repair drift. Ends with SIGTERM, and leaves all working.
    Watch {
        #[command(flatten)]
        manifest: ManifestArg,
        #[command(flatten)]
        how: Watching,
    },
    /// Have `netform watch` look now, and take up again what it has given up.
    Reconcile {
        #[command(flatten)]
        which: WhichProject,
    },
    /// Have `netform watch` touch nothing for a while.
    Suspend {
        /// For how long, e.g. 10m; 24h at most.
        #[arg(long = "for", value_name = "TIME", value_parser = suspension)]
        time: Duration,
        #[command(flatten)]
        which: WhichProject,
    },
    /// Have `netform watch` go on at once.
    Resume {
        #[command(flatten)]
        which: WhichProject,
    },
    /// Print what `netform watch` does, a line of JSON for each event, until it is interrupted.
    Events {
        #[command(flatten)]
        which: WhichProject,
    },
}

/// Reads how long nothing shall be touched.
fn suspension(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time < Duration::from_secs(1) {
        Err("write a second at least; `netform resume` ends a suspension".to_owned())
    } else if time > Duration::from_secs(LONGEST_SUSPENSION) {
        Err("write 24h at most; stop the daemon to have it touch nothing for longer".to_owned())
    } else {
        Ok(time)
    }
}

/// How the daemon goes about it.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Watching {
    /// What to do about drift.
    #[arg(long, value_name = "WHAT", default_value = "repair")]
    pub(in crate::cli) drift: DriftArg,
    /// How long nothing may happen before everything is looked at all the same.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub(in crate::cli) resync: Duration,
    /// After how many corrections within ten minutes a field is left to whoever keeps changing it; 0 is never.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(in crate::cli) contested_after: usize,
    /// Serve /metrics, /livez and /readyz there, e.g. 127.0.0.1:9469.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) metrics: Option<SocketAddr>,
}

/// What to do about drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum DriftArg {
    /// Set it back.
    Repair,
    /// Tell it, and leave it.
    Warn,
}
