//! The live kernel.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::process::{Resource as Limit, Rlimit, getrlimit, setrlimit};

use super::conntrack::{self, Permits};
use super::device::Seals;
use super::facts::Survey;
use super::memory::{Memory, Version};
use super::moved::{Moved, Parts};
use super::netlink::{Blocking, Channel, Refusal};
use super::reading;
use super::slice::Slice;
use super::{
    Glance, Glimpse, Kernel, ObserveError, Op, OpError, Scope, kept, netns, nft, observe, wave, woven,
};
use crate::names::{NetnsName, ProjectName};
use crate::resource::netns::NsRef;
use crate::resource::owner::{Mark, Owner};
use crate::resource::state::Observed;

/// How many file descriptors are left for everything but sockets: files of namespaces, pipes of programs, epoll.
const SPARE_DESCRIPTORS: u64 = 256;

/// The kernel that netform runs on.
///
/// It lives on one thread, in a tokio runtime with time and I/O enabled.
pub struct Live {
    project: ProjectName,
    pub(super) channels: HashMap<NsRef, Channel>,
    most_channels: usize,
    pub(super) recall: Recall,
    /// What is being seen of the host already.
    pub(super) glimpse: Option<Glimpse>,
    seals: Option<Seals>,
    kept: Option<PathBuf>,
    /// How often everything was read to be remembered.
    times: u64,
    /// The numbers that the host has for namespaces which were there when all was read, and not remembered.
    pub(super) numbers: BTreeMap<NsRef, i32>,
    /// What has been permitted, and is not since flows were ended last.
    pub(super) gone: Permits,
}

/// Whether what is read is remembered.
pub(super) enum Recall {
    /// Everything is read anew each time.
    Never,
    /// Everything is to be read anew the next time, and remembered.
    Next,
    /// It is remembered.
    Kept(Box<Memory>),
}

/// Why there is no socket in a namespace.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    /// What to tell the user.
    pub(super) error: OpError,
    /// Whether the namespace is gone, and all that was in it.
    pub(super) gone: bool,
}

impl Closed {
    /// Returns what becomes of an operation there: what shall be deleted is gone already.
    pub(super) fn outcome(&self, op: &Op) -> Result<(), OpError> {
        match op {
            Op::Delete(_) if self.gone => Ok(()),
            Op::Create(_) | Op::Update { .. } | Op::Delete(_) => Err(self.error.clone()),
        }
    }
}

impl Live {
    /// Prepares to talk to the kernel in the name of a project. Nothing is opened yet.
    pub fn new(project: ProjectName) -> Self {
        let (channels, most_channels) = (HashMap::new(), raise_descriptor_limit());
        let (recall, seals, kept, times, numbers) = (Recall::Never, None, None, 0, BTreeMap::new());
        let gone = Permits::default();
        Self { project, channels, most_channels, recall, glimpse: None, seals, kept, times, numbers, gone }
    }

    /// Has what tells whether a link was taken from the host, or only says so, and a directory in which namespaces that are
    /// deleted are kept alive until they are let go.
    #[must_use]
    pub fn keeping(self, seals: Seals, namespaces: PathBuf) -> Self {
        Self { seals: Some(seals), kept: Some(namespaces), ..self }
    }

    /// Is given what is being seen of the host already, for the next time that all is read.
    #[must_use]
    pub fn glimpsing(self, glimpse: Glimpse) -> Self {
        Self { glimpse: Some(glimpse), ..self }
    }

    /// Forgets what is being seen of the host already: it is read anew.
    pub fn forget_glimpse(&mut self) {
        self.glimpse = None;
    }

    /// Remembers from now on what is read, and reads again only what is [said](Self::moved) to have moved.
    pub fn remember(&mut self) {
        self.recall = Recall::Next;
    }

    /// Notes where something may have changed since it was read.
    pub fn moved(&mut self, moved: Moved) {
        match (&mut self.recall, moved) {
            (Recall::Kept(memory), Moved::Here(parts)) => memory.note(parts),
            (recall @ Recall::Kept(_), Moved::Everywhere) => *recall = Recall::Next,
            (Recall::Never | Recall::Next, Moved::Here(_) | Moved::Everywhere) => {}
        }
    }

    /// Returns what was read that was something else before, and that was not [looked through](Self::looked_through) yet;
    /// `None` when that is everything.
    pub fn slice(&self, scope: &Scope) -> Option<Slice> {
        match &self.recall {
            Recall::Kept(memory) => memory.slice(scope),
            Recall::Never | Recall::Next => None,
        }
    }

    /// Notes that a plan was made for all that was read.
    pub fn looked_through(&mut self) {
        if let Recall::Kept(memory) = &mut self.recall {
            memory.unchecked = Moved::default();
        }
    }

    /// Begins a run: what was read before it has to be read again before something is done about it.
    pub fn begin(&mut self) {
        if let Recall::Kept(memory) = &mut self.recall {
            memory.begin();
        }
    }

    /// Returns what changes whenever something else is read than what is remembered; `None` when nothing is.
    pub fn version(&self) -> Option<Version> {
        match &self.recall {
            Recall::Kept(memory) => Some(memory.version),
            Recall::Never | Recall::Next => None,
        }
    }

    /// Reads what may have changed, or everything when nothing is remembered.
    ///
    /// # Errors
    ///
    /// As [`Live::survey`].
    pub async fn catch_up(&mut self, scope: &Scope) -> Result<(), ObserveError> {
        // A namespace may have been replaced by another of its name.
        self.close_channels();
        match std::mem::replace(&mut self.recall, Recall::Next) {
            Recall::Never => self.recall = Recall::Never,
            Recall::Next => {
                self.times += 1;
                self.recall = Recall::Kept(Box::new(Memory::of(scope, self.times).await?));
            }
            // When this fails, all is read anew the next time.
            Recall::Kept(mut memory) => {
                memory.catch_up(scope).await?;
                self.recall = Recall::Kept(memory);
            }
        }
        Ok(())
    }

    /// Tells whether what is remembered holds within a glance, too, where it was not read since the run began; `None` is
    /// nearly everywhere.
    ///
    /// # Errors
    ///
    /// As [`Live::survey`].
    pub async fn still_holds(&mut self, scope: &Scope, at: Option<Glance>) -> Result<bool, ObserveError> {
        let Recall::Kept(memory) = &self.recall else { return Ok(true) };
        let Some(at) = at else {
            let holds = memory.is_fresh();
            if !holds {
                self.recall = Recall::Next;
            }
            return Ok(holds);
        };
        let before = memory.version;
        let Some(at) = memory.unread(at) else { return Ok(true) };
        self.glance(scope, &at).await?;
        Ok(self.version() == Some(before))
    }

    /// Returns what is there, and what planning needs to know of it, from one look.
    ///
    /// # Errors
    ///
    /// When something cannot be read: privileges, a dump that keeps being interrupted, a time-out.
    pub async fn survey(&mut self, scope: &Scope) -> Result<Survey, ObserveError> {
        Ok(self.survey_foretelling::<()>(scope, None).await?.0)
    }

    /// Returns what tells whether a link is what it says of itself.
    pub(crate) fn seals(&self) -> Option<&Seals> {
        self.seals.as_ref()
    }

    /// Returns where namespaces that are deleted are kept alive.
    pub(super) fn kept(&self) -> Option<&Path> {
        self.kept.as_deref()
    }

    /// Returns the numbers that the host has for namespaces, as far as they were seen.
    pub(super) fn numbers(&self) -> &BTreeMap<NsRef, i32> {
        &self.numbers
    }

    /// Returns whose objects are ours.
    pub(super) fn project(&self) -> &ProjectName {
        &self.project
    }

    /// Returns the mark of an owner, as links and namespaces carry it.
    pub(super) fn mark(&self, owner: &Owner) -> Mark {
        Mark { project: self.project.clone(), owner: owner.clone(), protected: false }
    }

    /// Opens sockets in namespaces that have none yet; tells which could not be opened, and why.
    pub(super) async fn open_channels(&mut self, namespaces: BTreeSet<NsRef>) -> HashMap<NsRef, Closed> {
        let missing: Vec<_> = namespaces.into_iter().filter(|ns| !self.channels.contains_key(ns)).collect();
        if missing.is_empty() {
            return HashMap::new();
        }
        let names = missing.clone();
        let opened = netns::on_thread(move || names.iter().map(open_inside).collect::<Vec<_>>());
        let opened = match opened.await {
            Ok(opened) => opened,
            Err(error) => missing.iter().map(|_| Err(io::Error::other(error.to_string()))).collect(),
        };
        let mut failed = HashMap::new();
        for (ns, socket) in missing.into_iter().zip(opened) {
            match socket {
                Ok(socket) => drop(self.channels.insert(ns, Channel::new(socket))),
                Err(error) => {
                    let gone = error.kind() == io::ErrorKind::NotFound;
                    let OpError { kind, message } = Refusal::Socket(error).into();
                    let message = format!("cannot enter namespace {ns}: {message}");
                    failed.insert(ns, Closed { error: OpError { kind, message }, gone });
                }
            }
        }
        failed
    }

    /// Keeps the socket in a new namespace for what else is to be done there, as long as there may be more.
    pub(super) fn keep(&mut self, name: NetnsName, socket: Blocking) {
        if self.channels.len() < self.most_channels {
            self.channels.insert(NsRef::Named(name), Channel::new(socket));
        }
    }

    /// Returns how many sockets may be open at a time.
    pub(super) fn most_channels(&self) -> usize {
        self.most_channels
    }

    /// Notes that something is about to be changed.
    fn touch<'o>(&mut self, ops: impl IntoIterator<Item = &'o Op>) {
        self.forget_glimpse();
        if let Recall::Kept(memory) = &mut self.recall {
            memory.touch(ops);
        }
    }

    /// Closes all sockets.
    pub(super) fn close_channels(&mut self) {
        self.channels.clear();
    }

    /// Closes the sockets of namespaces that shall go: each would keep its namespace alive.
    pub(super) fn leave(&mut self, names: &[NetnsName]) {
        for ns in names.iter().cloned().map(NsRef::Named) {
            self.channels.remove(&ns);
            // The number may be that of another one next.
            self.numbers.remove(&ns);
        }
        self.forget_indexes();
    }

    /// Forgets the indexes of all links: a pair that goes takes a link from two namespaces.
    pub(super) fn forget_indexes(&self) {
        self.channels.values().for_each(Channel::forget_indexes);
    }
}

impl Kernel for Live {
    async fn observe(&mut self, scope: &Scope) -> Result<Observed, ObserveError> {
        self.catch_up(scope).await?;
        match &self.recall {
            Recall::Kept(memory) => Ok(observe::observed(&memory.reading, memory.tables.own.clone(), scope)),
            Recall::Never | Recall::Next => {
                let (reading, tables, _) = self.read::<()>(scope, None).await?;
                Ok(observe::observed(&reading, tables.own, scope))
            }
        }
    }

    async fn glance(&mut self, scope: &Scope, at: &Glance) -> Result<Observed, ObserveError> {
        self.close_channels();
        if let Recall::Kept(memory) = &mut self.recall {
            let reading = memory.glance(scope, at).await?;
            let tables = if at.firewall { memory.tables.own.clone() } else { vec![] };
            return Ok(observe::observed(&reading, tables, scope));
        }
        let mut parts = Parts::default();
        parts.extend_with(at);
        let tables = async {
            match at.firewall {
                true => nft::read(&scope.project).await.map(|tables| tables.own),
                false => Ok(vec![]),
            }
        };
        let (reading, tables) = tokio::try_join!(reading::read(scope, Some(&parts)), tables)?;
        Ok(observe::observed(&reading, tables, scope))
    }

    async fn execute(&mut self, wave: &[Op]) -> Vec<Result<(), OpError>> {
        self.touch(wave);
        wave::execute(self, wave).await
    }

    async fn execute_in_order(&mut self, ops: &[&Op]) -> Vec<Option<Result<(), OpError>>> {
        self.touch(ops.iter().copied());
        woven::execute(self, ops).await
    }

    async fn end_flows(&mut self, more: &[Op]) {
        let more: Vec<&Op> = more.iter().collect();
        conntrack::forget_stale(&more).await;
        self.gone.note_gone(&more);
        conntrack::forget_refused(std::mem::take(&mut self.gone)).await;
    }

    async fn revive(&mut self, gone: &[(NetnsName, Owner)]) -> bool {
        let names: Vec<_> = gone.iter().map(|(name, _)| name.clone()).collect();
        let kept = self.kept.as_deref().is_some_and(|dir| kept::revive(dir, &names));
        let marked: Vec<_> = gone.iter().map(|(name, owner)| (name.clone(), self.mark(owner))).collect();
        let revived = kept::revive_inhabited(&marked).await || kept;
        if revived {
            self.moved(Moved::Everywhere);
        }
        revived
    }

    fn let_go(&mut self) {
        self.kept.iter().for_each(|dir| kept::let_go(dir));
    }
}

fn open_inside(ns: &NsRef) -> io::Result<Blocking> {
    match ns {
        // The host comes first, when the thread is still there; entering it anew would need privileges.
        NsRef::Host => {}
        NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => netns::join(netns::open(ns)?.as_fd())?,
    }
    Blocking::open()
}

/// Allows as many open files as the administrator lets us have; returns how many of them may be sockets.
pub(crate) fn raise_descriptor_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Limit::Nofile);
    let raised = setrlimit(Limit::Nofile, Rlimit { current: maximum, maximum });
    let most = if raised.is_ok() { maximum } else { current };
    let sockets = most.unwrap_or(u64::MAX).saturating_sub(SPARE_DESCRIPTORS).max(32);
    usize::try_from(sockets).unwrap_or(usize::MAX)
}
