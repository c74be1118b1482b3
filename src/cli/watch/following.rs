//! What tells the daemon that containers come and go: the runtimes' events, and the processes' ends. And Open vSwitch's
//! database, which tells of its bridges; and what tells that a namespace's name stands for another one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cli::runtimes::wanted;
use crate::cli::scope::has_switch;
use crate::cli::session::Session;
use crate::kernel::mounts::{Mounts, Places};
use crate::kernel::moved::{Parts, Whole};
use crate::kernel::{ovsdb, process};
use crate::resource::netns::{NsRef, Process};
use crate::resource::state::State;
use crate::runtime::{Follower, Kind};
use crate::watch::{Bell, Trouble};

/// How long mounts may go on changing before names are looked at: a name that gets another namespace has none in between. A
/// host whose containers come and go looks no more often than this.
const MOUNTS_SETTLE: Duration = Duration::from_millis(50);

/// Those that are listened to.
#[derive(Default)]
pub(super) struct Following {
    /// `None` before the daemon has begun.
    pub(super) bell: Option<Bell>,
    runtimes: BTreeMap<Kind, Follower>,
    processes: BTreeMap<Process, Follower>,
    /// Open vSwitch's database.
    switch: Option<Follower>,
    /// Mounts, and the namespaces whose names are some; `None` where nothing can tell of them.
    mounts: Option<Follower>,
    places: Arc<Mutex<Places>>,
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

    /// Listens to what happens to the names of these namespaces, and those that are made for containers, and of nobody else's.
    pub(super) fn watch(&mut self, given: &BTreeSet<NsRef>, desired: &State) {
        let Some(bell) = &self.bell else { return };
        if self.mounts.is_none()
            && let Ok(mounts) = Mounts::open()
        {
            let told = tell_of(mounts, Arc::clone(&self.places), bell.clone());
            self.mounts = Some(Follower::beside(told));
        }
        let made = desired.iter().filter_map(|(id, _)| id.netns().cloned().map(NsRef::Named));
        let namespaces = given.iter().cloned().chain(made).collect();
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remember(&namespaces);
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

/// Tells of each name that stands for another namespace, for as long as mounts can be listened to.
async fn tell_of(mut mounts: Mounts, places: Arc<Mutex<Places>>, bell: Bell) {
    while mounts.change().await.is_ok() {
        tokio::time::sleep(MOUNTS_SETTLE).await;
        let moved = places.lock().unwrap_or_else(PoisonError::into_inner).moved();
        if !moved.is_empty() {
            bell.moved(moved);
        }
    }
}

/// Returns what a failure is when a container that it was about has ended meanwhile.
pub(super) fn overtaken(session: &Session, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Failed(message) if Following::misses_somebody(session) => Trouble::Overtaken(message),
        trouble @ (Trouble::Failed(_) | Trouble::Overtaken(_) | Trouble::Undecided { .. }) => trouble,
    }
}
