//! Why there is no daemon.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::names::ProjectName;

/// Why there is no daemon.
#[derive(Debug, Error)]
pub enum WatchError {
    /// Another one runs.
    #[error("another `netform watch` keeps project {0}")]
    Taken(ProjectName),
    /// Another one runs since the claim of this one was removed.
    #[error("another `netform watch` keeps project {project} by now: somebody has removed {}", run.display())]
    Lost {
        /// The project.
        project: ProjectName,
        /// The directory that was removed.
        run: PathBuf,
    },
    /// The run directory cannot be used.
    #[error("cannot open the daemon's socket")]
    Socket(#[source] io::Error),
    /// The kernel cannot be listened to.
    #[error("cannot listen to the kernel's events")]
    Kernel(#[source] io::Error),
    /// Files cannot be watched.
    #[error("cannot watch files")]
    Files(#[source] notify::Error),
    /// Metrics cannot be served.
    #[error("cannot serve metrics")]
    Metrics(#[source] io::Error),
    /// Signals cannot be caught.
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
}
