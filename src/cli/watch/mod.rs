//! `netform watch`: the daemon's runs, made of what the other verbs are made of.

mod beginning;
mod following;
mod heap;
mod held;
mod homes;
mod leave;
mod settled;
mod wish;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{Common, DriftArg, Watching};
use super::failure::{self, Code, Failure};
use super::loaded::Loaded;
use super::naming::{self, Naming};
use super::resolver::Resolver;
use super::session::{Aim, Prepared, Session};
use super::show::Style;
use super::{ports, report, resolver, run, scope};
use crate::apply::generation::Generation;
use crate::apply::{self, Job, OnFailure, Outcome, Progress};
use crate::kernel::events::files_of;
use crate::kernel::moved::{Moved, Parts, Whole};
use crate::plan::Spot;
use crate::plan::target::Selection;
use crate::resource::netns::NsRef;
use crate::resource::state::Desired;
use crate::watch::protocol::Names;
use crate::watch::signals::Signals;
use crate::watch::{
    self, Bell, Held, Leave, OnDrift, Options, Order, Reconciled, Reconciler, Trouble, WatchError,
};
use following::Following;
use held::{UNATTENDED, not_confirmed, not_yet};
use settled::Settled;

/// How long a run waits for another one's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Keeps the kernel at what the manifest says, until the process is asked to end.
pub(super) async fn run(common: &Common, manifest: &Path, how: &Watching) -> Result<(), Failure> {
    let signals = Signals::catch().map_err(WatchError::Signals);
    let signals = signals.map_err(|error| Failure::of(Code::Failed, &error))?;
    if manifest == Path::new("-") {
        return Err(Failure::new(Code::Usage, "standard input cannot be watched")
            .help("name the manifest: a file or a directory"));
    }
    heap::give_back();
    let beginning::Beginning { mut session, fresh, unreadable } = beginning::begin(common, manifest)?;
    session.naming = Naming::Daemon;
    session.kernel.remember();
    let Watching { drift, resync, contested_after, metrics } = how;
    let options = Options {
        project: session.project.clone(),
        dirs: session.dirs.clone(),
        drift: match drift {
            DriftArg::Repair => OnDrift::Repair,
            DriftArg::Warn => OnDrift::Warn,
        },
        resync: *resync,
        contested_after: Some(*contested_after).filter(|limit| *limit > 0),
        metrics: *metrics,
        signals,
    };
    let resolver = Resolver::start()
        .map_err(|error| Failure::new(Code::Failed, format!("cannot start the resolver: {error}")))?;
    session.turn.at_once = true;
    let keeper = Keeper {
        session,
        resolver,
        path: manifest.to_owned(),
        style: Style::of_stderr(common),
        fresh,
        refused: None,
        objects: vec![],
        unreadable,
        trial: None,
        undone: None,
        following: Following::default(),
        settled: None,
    };
    watch::run(keeper, options).await.map_err(|error| {
        let code = match &error {
            WatchError::Taken(_) | WatchError::Lost { .. } => Code::Locked,
            WatchError::Socket(source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Code::Privilege
            }
            WatchError::Socket(_)
            | WatchError::Kernel(_)
            | WatchError::Files(_)
            | WatchError::Metrics(_)
            | WatchError::Signals(_) => Code::Failed,
        };
        Failure::of(code, &error)
    })
}

/// Makes the daemon's runs.
struct Keeper {
    /// Its manifest is the one that is kept up: the last that could be applied.
    session: Session,
    resolver: Resolver,
    path: PathBuf,
    style: Style,
    /// A manifest that is right in itself, and not in force yet.
    fresh: Option<Loaded>,
    /// Why it is not.
    refused: Option<Held>,
    /// The files that the kernel objects of the last run are, or show in.
    objects: Vec<PathBuf>,
    /// Why the manifest cannot be read.
    unreadable: Option<String>,
    /// An apply that waits for its confirmation: its manifest.
    trial: Option<String>,
    /// The SHA-256 of a manifest that was not confirmed, and so is not put in force again.
    undone: Option<String>,
    /// What tells of containers that come and go.
    following: Following,
    /// The last run that planned for everything, as long as what moved since is known.
    settled: Option<Settled>,
}

impl Reconciler for Keeper {
    async fn reconcile(&mut self, order: &Order) -> Result<Reconciled, Trouble> {
        let result = self.keep(order).await;
        self.session.turn.end();
        self.following.follow(&self.session);
        result.map_err(|trouble| following::overtaken(&self.session, trouble))
    }

    async fn end(&mut self) {
        // What cannot be read says nothing of what is not wanted.
        if self.session.refresh_past().is_ok() {
            let applied = self.session.past.state();
            self.resolver.end(&applied, &self.session.voice).await;
        }
    }

    fn hear(&mut self, bell: Bell) {
        self.following.bell = Some(bell);
    }

    fn sources(&self) -> Vec<PathBuf> {
        let mut sources = BTreeSet::from([self.path.clone()]);
        for loaded in self.session.loaded.iter().chain(&self.fresh) {
            for file in loaded.files() {
                sources.insert(file.to_owned());
                // An include may be a pattern, which a new file beside this one fits.
                let beside = file.parent().filter(|_| file != self.path);
                sources.extend(beside.filter(|beside| *beside != Path::new("")).map(Path::to_owned));
            }
        }
        sources.into_iter().collect()
    }

    fn objects(&self) -> Vec<PathBuf> {
        self.objects.iter().cloned().chain([naming::source()]).collect()
    }

    fn namespace_directories(&self) -> Vec<PathBuf> {
        let given = self.session.loaded.iter().flat_map(|loaded| scope::given_namespaces(&loaded.manifest));
        let directory = |ns: NsRef| match ns {
            // The kernel tells of none of its own files.
            NsRef::Path(path) if !path.starts_with("/proc") => path.parent().map(Path::to_owned),
            NsRef::Path(_) | NsRef::Named(_) | NsRef::Process(_) | NsRef::Host => None,
        };
        let directories: BTreeSet<PathBuf> = given.filter_map(directory).collect();
        directories.into_iter().collect()
    }
}

impl Keeper {
    /// Makes one run.
    async fn keep(&mut self, order: &Order) -> Result<Reconciled, Trouble> {
        self.session.kernel.begin();
        self.session.kernel.moved(order.moved.clone());
        let came = order.containers && self.following.is_needed();
        let moved = came || Following::misses_somebody(&self.session);
        if order.retry || moved || order.moved.has_file(&naming::source()) {
            self.settled = None;
        }
        if order.leave == Leave::Everything {
            return self.only_serve().await.map_err(|failure| Trouble::Failed(failure.to_string()));
        }
        self.resolver.let_go().await;
        let unmended = self.resolver.mend(order.mend).await;
        let mut reading = order.reread && self.reread();
        let newest = self.session.newest();
        let failed = |failure: Failure| Trouble::Failed(failure.to_string());
        let _lock = run::take_lock(&mut self.session, "watch", LOCK_PATIENCE).await.map_err(failed)?;
        run::recover(&mut self.session).await.map_err(failed)?;
        // Whoever has applied something meanwhile has edited it before: what was said until then is not brought back.
        reading |= self.session.newest() != newest && self.reread();
        if reading {
            // Where there is room for what is new depends on all that others have.
            let others = [Whole::Host, Whole::Firewall].into();
            self.session.kernel.moved(Parts { whole: others, ..Parts::default() }.into());
            self.settled = None;
        }
        if let Some(generation) = self.undecided().await.map_err(failed)? {
            return Err(Trouble::Undecided { generation });
        }
        let mut held = self.unreadable.clone().map(|message| Held { message, may_pass: false }).or(unmended);
        if let Some(fresh) = self.fresh.take() {
            if self.is_undone(&fresh) {
                held = Some(not_confirmed());
                self.fresh = Some(fresh);
            } else if reading || order.retry || order.moved != Moved::default() {
                // What moved may be what was in its way.
                match self.take_up(fresh, order).await {
                    Ok(reconciled) => {
                        let held = held.or_else(|| reconciled.held.clone());
                        return Ok(Reconciled { edited: true, held, ..reconciled });
                    }
                    Err(failure) => {
                        self.refused = Some(not_yet(&failure));
                        held = self.refused.clone();
                    }
                }
            } else {
                held = self.refused.clone();
                self.fresh = Some(fresh);
            }
        }
        let aim = self.aim();
        if aim != Aim::Manifest {
            held = held.or_else(|| Some(not_confirmed()));
        }
        let reconciled = match self.briefly(aim, order).await.map_err(failed)? {
            Some(reconciled) => reconciled,
            None => match self.act(aim, order).await {
                // Somebody made of the host what the manifest cannot stand on: what is in force is kept up meanwhile.
                Err(failure) if failure.code == Code::Manifest && self.session.newest() > 0 => {
                    held = held.or_else(|| Some(not_yet(&failure)));
                    self.act(Aim::Generation(self.session.newest()), order).await.map_err(failed)?
                }
                done => done.map_err(failed)?,
            },
        };
        Ok(Reconciled { held: held.or(reconciled.held.clone()), ..reconciled })
    }

    /// Has names answered, and leaves everything as it is.
    async fn only_serve(&mut self) -> Result<Reconciled, Failure> {
        let (prepared, _) = self.session.prepare_around(self.aim(), &Selection::default()).await?;
        let (generation, objects) = (self.session.newest(), prepared.desired.0.len());
        let (differing, names) = (prepared.plan.len(), Names::Daemon);
        let reconciled = Reconciled { generation, objects, differing, names, ..Reconciled::default() };
        Ok(self.resolver.serve(prepared.topology).await.told_of(reconciled))
    }

    /// Puts a manifest in force; when that fails, the one before it stays the one that is kept up.
    async fn take_up(&mut self, fresh: Loaded, order: &Order) -> Result<Reconciled, Failure> {
        let before = self.session.loaded.replace(fresh);
        match self.act(Aim::Manifest, order).await {
            Ok(reconciled) => {
                self.undone = None;
                Ok(reconciled)
            }
            Err(failure) => {
                self.fresh = std::mem::replace(&mut self.session.loaded, before);
                Err(failure)
            }
        }
    }

    /// Plans, and carries the plan out.
    async fn act(&mut self, aim: Aim, order: &Order) -> Result<Reconciled, Failure> {
        let (mut prepared, conflicts) = self.session.prepare_around(aim, &Selection::default()).await?;
        self.following.watch(&prepared.scope.namespaces, &prepared.desired.0);
        let drift = prepared.plan.drift.clone();
        let in_the_way = (!conflicts.is_empty()).then(|| failure::in_the_way(&conflicts));
        let held = match in_the_way {
            None => None,
            // What is in force is kept up as far as it can be; something new is not begun.
            Some(failure) if prepared.applied == *prepared.target() => Some(not_yet(&failure)),
            Some(failure) => return Err(failure),
        };
        let all = prepared.plan.len();
        let mut left = leave::spots(&prepared, &order.leave);
        left.extend(conflicts.into_iter().map(|conflict| Spot { object: conflict.object, field: None }));
        let desired = leave::leave(&mut prepared, &left)?;
        let differing = all.saturating_sub(prepared.plan.len());
        run::check_guards(&prepared, &UNATTENDED, aim, false).await?;
        self.objects = files_of(&prepared.desired.0, &prepared.observed);
        let (changed, objects) = (prepared.plan.changes.len(), prepared.desired.0.len());
        let warnings = prepared.plan.extra.warnings.clone();
        let is_settled = prepared.plan.is_empty();
        if is_settled {
            self.session.kernel.looked_through();
        }
        self.resolver.make_way(&prepared.plan).await;
        let carried_out = self.carry_out(&prepared, &desired).await;
        let (topology, scope) = (prepared.topology.filter(|_| carried_out.is_ok()), prepared.scope);
        let served = self.resolver.serve(topology).await;
        let generation = carried_out?;
        let names = Names::Daemon;
        let before = Reconciled { generation, objects, differing, held, names, ..Reconciled::default() };
        let homes = homes::of(&drift, &prepared.desired.0);
        let reconciled = Reconciled { drift, left, changed, warnings, homes, ..before };
        self.settled = is_settled.then(|| Settled::new(scope, aim, &order.leave, &reconciled));
        Ok(served.told_of(reconciled))
    }

    /// Carries out a plan that leads to `desired`; returns the generation that is in force afterwards.
    ///
    /// There is a new generation for a new manifest. What else changes, such as a container that starts, is saved in the
    /// newest one, and drift that is repaired nowhere: the history is the user's.
    async fn carry_out(&mut self, prepared: &Prepared, desired: &Desired) -> Result<u64, Failure> {
        let _turn = self.session.claim_turn(prepared).await?;
        let _claim = ports::claim(&self.session, prepared, desired).await?;
        let Prepared { scope, applied, leases, manifest, plan, .. } = prepared;
        let state = prepared.target();
        let past = self.session.past.generation.as_ref();
        let known = past.filter(|generation| generation.manifest == *manifest);
        let (number, at) = match known {
            Some(generation) => (generation.number, generation.applied_at),
            None => (self.session.next(), run::now()),
        };
        let is_noted =
            self.session.past.leases.segments == leases.segments && self.session.dirs.has_notes(leases);
        let saved = past.filter(|_| applied == state && is_noted);
        if saved.is_none() {
            resolver::forsake(prepared, &self.session).await;
        }
        if let (Some(generation), true) = (saved, plan.is_empty()) {
            return Ok(generation.number);
        }
        let generation = saved
            .cloned()
            .unwrap_or_else(|| Generation::new(number, at, manifest.clone(), state.clone(), leases.clone()));
        let on_failure = if saved.is_some() { OnFailure::Stop } else { OnFailure::RollBack };
        let context = report::Context { desired: &desired.0, on_failure, newest: self.session.newest() };
        let dirs = &self.session.dirs;
        let job =
            Job { scope, desired, applied, plan, dirs, generation: &generation, before: None, on_failure };
        // A run is never broken off: it is short, and what it leaves is whole.
        let mut watcher = |_: Progress<'_>| ControlFlow::Continue(());
        let kernel = &mut self.session.kernel;
        let outcome = if saved.is_some() {
            apply::repair(kernel, &job, &mut watcher).await
        } else {
            apply::run(kernel, &job, &mut watcher).await
        };
        let is_saved = matches!(outcome, Outcome::NothingToDo | Outcome::Applied { done: _, unsaved: None });
        run::judged(outcome, context, &self.session.voice)?;
        let (number, is_new) = (generation.number, saved.is_none());
        if is_saved {
            self.session.saved(Some(generation).filter(|_| is_new));
        }
        Ok(number)
    }
}
