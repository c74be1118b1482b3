//! The daemon: what drifts is brought back, what is edited is applied.
//!
//! Everything that happens is an [`Event`]; one `select!` in `daemon` takes them in, the [`agenda`](Agenda) says when
//! to look at the kernel, and a [`Reconciler`] looks, plans and acts, one run at a time. An event never says what to
//! do: it only says where something may have [`Moved`], which is read anew and planned for, and a plan that is empty does
//! nothing. So events may be doubled and late, and our own changes, which the kernel tells us of like all others, lead to
//! one more look and no further. What was lost is found when everything is read anew, every few minutes.

mod agenda;
mod backoff;
mod claim;
pub mod client;
mod contest;
mod daemon;
mod error;
mod files;
mod http;
mod ledger;
mod listen;
mod metrics;
mod pause;
pub mod protocol;
pub mod signals;
mod socket;
mod supervisor;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::apply::Dirs;
use crate::kernel::events::Notice;
use crate::kernel::moved::{Moved, Parts};
use crate::kernel::netns::Identity;
use crate::names::ProjectName;
use crate::plan::{Drift, Spot};
use crate::resource::ResourceId;
pub use agenda::Agenda;
pub use backoff::Backoff;
pub use contest::Contest;
pub use daemon::run;
pub use error::WatchError;
use protocol::{Answer, Names, Request};
use signals::Signals;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A file of the manifest may be another one.
    Files,
    /// The kernel tells that something changed.
    Kernel(Notice),
    /// A namespace came or went; where its name is, or was.
    Namespaces(PathBuf),
    /// A file that shall hold something was touched, or any in a directory.
    Object(PathBuf),
    /// The files that the daemon's claim to its project is may be gone.
    Claim,
    /// A container of Docker's or Podman's came or went, or one of these runtimes.
    Containers,
    /// Somebody asks through the socket.
    Asked(Request, oneshot::Sender<Answer>),
    /// `SIGHUP`: everything is to be read anew, now.
    Reload,
    /// `SIGTERM` or `SIGINT`: the daemon ends, and leaves everything working.
    Stop,
    /// A signal, by its name, that would end a process that does not expect it.
    Meaningless(&'static str),
}

/// Tells the daemon that containers came or went, bridges of Open vSwitch changed, or names of namespaces stand for others.
#[derive(Debug, Clone)]
pub struct Bell(mpsc::UnboundedSender<Event>);

impl Bell {
    /// Tells it.
    pub fn ring(&self) {
        // When the daemon is gone, nobody needs to know.
        let _ = self.0.send(Event::Containers);
    }

    /// Tells it where something else may have changed that the kernel does not tell of.
    pub fn moved(&self, parts: Parts) {
        let _ = self.0.send(Event::Kernel(Notice::Network(parts)));
    }
}

/// How the daemon goes about it.
#[derive(Debug)]
pub struct Options {
    /// Whose objects are kept.
    pub project: ProjectName,
    /// Where the socket is.
    pub dirs: Dirs,
    /// What to do about drift.
    pub drift: OnDrift,
    /// How long nothing may happen before everything is looked at all the same.
    pub resync: Duration,
    /// How many corrections of one field within ten minutes make it contested; `None` is any number.
    pub contested_after: Option<usize>,
    /// Where metrics and health are served.
    pub metrics: Option<SocketAddr>,
    /// What it has caught since it was started.
    pub signals: Signals,
}

/// What to do about drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrift {
    /// It is set back.
    Repair,
    /// It is told, and left.
    Warn,
}

/// What a run is about.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where something may have changed since the run before.
    pub moved: Moved,
    /// Whether the manifest is to be read anew.
    pub reread: bool,
    /// Whether a manifest that could not be applied is to be tried again.
    pub retry: bool,
    /// What must not be touched.
    pub leave: Leave,
    /// Whether a container that somebody else runs may have come or gone.
    pub containers: bool,
    /// Whether somebody may have taken away what leads the containers' questions to their resolver.
    pub mend: bool,
}

/// What a run must not touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// These.
    Spots(BTreeSet<Spot>),
    /// Everything that drifted.
    AllDrift,
    /// Everything: only names are answered.
    Everything,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Reconciled {
    /// What had moved when it began.
    pub drift: Vec<Drift>,
    /// What was left alone of it.
    pub left: BTreeSet<Spot>,
    /// How many resources it changed.
    pub changed: usize,
    /// The generation that is in force; 0 when none is.
    pub generation: u64,
    /// How many kernel objects there shall be.
    pub objects: usize,
    /// How many of them were left alone though they differ.
    pub differing: usize,
    /// What the manifest says now, when it says something else than before.
    pub edited: bool,
    /// Why the manifest, as it stands, is not in force.
    pub held: Option<Held>,
    /// What makes names work in the containers.
    pub names: Names,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Those of them that say where names are not answered.
    pub unanswered: Vec<String>,
    /// How often was worked out what names are answered with.
    pub worked_out: u64,
    /// In how long another look is worth while, though nothing may tell of it.
    pub again: Option<Duration>,
    /// The namespaces of others that what drifted is in, or leads into.
    pub homes: BTreeMap<ResourceId, Identity>,
}

/// Why the manifest, as it stands, is not in force; what was applied last is kept up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What is wrong, for the user.
    pub message: String,
    /// Whether it may pass by itself.
    pub may_pass: bool,
}

/// Why a run came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// An apply waits for its confirmation: nothing is touched until it is decided.
    Undecided {
        /// The generation that waits.
        generation: u64,
    },
    /// A container went while it was attached: what was done for it is undone, and the next run does not want it any more.
    Overtaken(String),
    /// Something failed.
    Failed(String),
}

/// Looks, plans and acts, in the name of the daemon.
///
/// A run takes the project's lock for as long as it lasts, and no longer. It leaves the kernel as it was or better, and
/// may be repeated at any time. A manifest that cannot be used does not end it: what was applied last is kept up, and
/// [`Reconciled::held`] says why.
#[expect(async_fn_in_trait, reason = "only this crate calls it, on one thread")]
pub trait Reconciler {
    /// Makes one run.
    ///
    /// # Errors
    ///
    /// When nothing could be done, or what was done had to be undone.
    async fn reconcile(&mut self, order: &Order) -> Result<Reconciled, Trouble>;

    /// Takes back what only makes sense while it runs and is in nobody's interest any more; it is not called again.
    async fn end(&mut self);

    /// Is given what tells the daemon that a container came or went.
    fn hear(&mut self, bell: Bell);

    /// Returns the files and directories that the manifest is read from, as the user named them.
    fn sources(&self) -> Vec<PathBuf>;

    /// Returns the files that the kernel objects of the last run are, or show in.
    fn objects(&self) -> Vec<PathBuf>;

    /// Returns the directories in which namespaces of others come and go, that of named ones aside.
    fn namespace_directories(&self) -> Vec<PathBuf>;
}
