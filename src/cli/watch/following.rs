//! What tells the daemon that containers come and go: the runtimes' events, and the processes' ends. And Open vSwitch's
//! database, which tells of its bridges.

use std::collections::BTreeMap;

use crate::cli::runtimes::wanted;
use crate::cli::scope::has_switch;
use crate::cli::session::Session;
use crate::kernel::moved::{Parts, Whole};
use crate::kernel::{ovsdb, process};
use crate::resource::netns::Process;
use crate::runtime::{Follower, Kind};
use crate::watch::{Bell, Trouble};

/// Those that are listened to.
#[derive(Default)]
pub(super) struct Following {
    /// `None` before the daemon has begun.
    pub(super) bell: Option<Bell>,
    runtimes: BTreeMap<Kind, Follower>,
    processes: BTreeMap<Process, Follower>,
    /// Open vSwitch's database.
    switch: Option<Follower>,
}

impl Following {
    /// Listens to the runtimes that the manifest names and to the processes that were seen last, and to nobody else.
    pub(super) fn follow(&mut self, session: &Session) {
        let Some(bell) = &self.bell else { return };
        let wanted = session.loaded.iter().flat_map(|loaded| wanted(&loaded.manifest)).collect::<Vec<_>>();
        let named = |kind: Kind| wanted.iter().any(|it| it.engine().is_some_and(|(of, _)| of == kind));
        self.runtimes.retain(|kind, _| named(*kind));
        for kind in [Kind::Docker, Kind::Podman].into_iter().filter(|kind| named(*kind)) {
            let follow = || {
                let bell = bell.clone();
                Follower::of(session.runtimes.sockets.of(kind).to_owned(), move || bell.ring())
            };
            self.runtimes.entry(kind).or_insert_with(follow);
        }
        let has_switch = session.loaded.iter().any(|loaded| has_switch(&loaded.manifest));
        self.switch.take_if(|_| !has_switch);
        if has_switch && self.switch.is_none() {
            let bell = bell.clone();
            let tell = move || bell.moved(Parts::whole(Whole::Host));
            self.switch = Some(Follower::beside(ovsdb::follow(tell)));
        }
        let seen = || session.runtimes.look.runs.values().map(|run| run.process);
        self.processes.retain(|process, follower| !follower.is_over() && seen().any(|it| it == *process));
        for process in seen() {
            let bell = bell.clone();
            let follow = || Follower::until_end(process, move || bell.ring());
            self.processes.entry(process).or_insert_with(follow);
        }
    }

    /// Tells whether a container that was seen last has ended.
    pub(super) fn misses_somebody(session: &Session) -> bool {
        session.runtimes.look.runs.values().any(|run| !process::lives(run.process))
    }

    /// Tells whether the manifest names anybody who is listened to.
    pub(super) fn is_needed(&self) -> bool {
        !self.runtimes.is_empty() || !self.processes.is_empty()
    }
}

/// Returns what a failure is when a container that it was about has ended meanwhile.
pub(super) fn overtaken(session: &Session, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Failed(message) if Following::misses_somebody(session) => Trouble::Overtaken(message),
        trouble @ (Trouble::Failed(_) | Trouble::Overtaken(_) | Trouble::Undecided { .. }) => trouble,
    }
}
