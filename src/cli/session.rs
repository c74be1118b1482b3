//! From a manifest's path to a plan: what `plan`, `apply`, `destroy` and `status` have in common.

use std::collections::BTreeMap;
use std::path::Path;

use super::ahead::{self, Ahead, Began, Glimpsed, Looks};
use super::args::{Common, PlanFormat, WhichProject};
use super::extra;
use super::failure::{Code, Failure, disk_failure, in_the_way, unknown_project, unreadable, unselectable};
use super::foresight;
use super::housing::tell_given_up;
use super::interrupt::Shield;
use super::loaded::{self, Loaded};
use super::naming::{self, Naming};
use super::originals::{self, Others};
use super::ports;
pub(super) use super::prepared::{Prepared, Target};
use super::runtimes::{self, Runtimes};
use super::scope::{Looked, declare, must_look_again, recall, seals, widen};
use super::show::Style;
use super::turns::Turn;
use super::voice::Voice;
use crate::apply::generation::{Generation, Past, Stamp};
use crate::apply::{self, Dirs, lock::Lock};
use crate::halves;
use crate::kernel::facts::Survey;
use crate::kernel::live::Live;
use crate::kernel::moved::Moved;
use crate::kernel::{Kernel as _, Scope, Seals};
use crate::names::ProjectName;
use crate::plan::target::{self, Selection};
use crate::plan::{self, Away, Conflict, Plan};
use crate::resource::netns::NsRef;
use crate::resource::state::Desired;
use crate::resource::sysctl::SysctlKey;
use crate::topology::facts::{Facts, Leases};
use crate::topology::strangers::GivenAway;

/// How often what is remembered may turn out to be past before a plan is carried out all the same: it is verified.
const MOST_LOOKS: usize = 3;

/// What a plan leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// What the manifest says.
    Manifest,
    /// Nothing of the project.
    Nothing,
    /// What a generation led to.
    Generation(u64),
}

/// Everything that a verb works with.
pub(super) struct Session {
    pub(super) project: ProjectName,
    /// `None` when only the project is known.
    pub(super) loaded: Option<Loaded>,
    pub(super) kernel: Live,
    pub(super) dirs: Dirs,
    pub(super) past: Past,
    /// Of the past that was read.
    stamp: Stamp,
    /// Who knows what makes names work.
    pub(super) naming: Naming,
    /// Who runs containers, and what was seen of them last.
    pub(super) runtimes: Runtimes,
    /// Who is told how a run goes.
    pub(super) voice: Voice,
    /// Whether a run ends itself when it is interrupted.
    pub(super) shield: Shield,
    /// The project's turn at what all share.
    pub(super) turn: Turn,
    /// What was next when the host was looked at ahead.
    glimpsed: Option<Began>,
}

impl Session {
    /// Reads the manifest and what is known of the past. Nothing of the kernel is read yet.
    pub(super) fn open(common: &Common, manifest: &Path) -> Result<Self, Failure> {
        Self::opened(common, manifest, Ahead::begin(common, manifest, Looks::No))
    }

    /// Does the same, and looks at the host meanwhile, for whoever is about to plan.
    pub(super) fn open_to_plan(common: &Common, manifest: &Path) -> Result<Self, Failure> {
        Self::opened(common, manifest, Ahead::begin(common, manifest, Looks::Yes))
    }

    fn opened(common: &Common, manifest: &Path, ahead: Option<Ahead>) -> Result<Self, Failure> {
        let loaded = loaded::load(manifest, Style::of_stderr(common))?;
        let dirs = dirs(common, &loaded.manifest.project.value);
        let (past, glimpsed) = Ahead::take(ahead, &dirs);
        let project = loaded.manifest.project.value.clone();
        let session = Self::new(common, (dirs, past), (project, Some(loaded)))?;
        let Some(Glimpsed { glimpse, began }) = glimpsed else { return Ok(session) };
        Ok(Self { kernel: session.kernel.glimpsing(glimpse), glimpsed: Some(began), ..session })
    }

    /// Reads what is known of the past of a manifest that was read already.
    pub(super) fn of_loaded(common: &Common, loaded: Loaded) -> Result<Self, Failure> {
        let dirs = dirs(common, &loaded.manifest.project.value);
        let (past, _) = Ahead::take(None, &dirs);
        Self::new(common, (dirs, past), (loaded.manifest.project.value.clone(), Some(loaded)))
    }

    /// Reads what is known of the past of a project; its manifest may be wrong or lost.
    pub(super) fn of_project(common: &Common, which: &WhichProject) -> Result<Self, Failure> {
        let WhichProject { project, manifest } = which;
        match project {
            Some(name) => {
                let project = ProjectName::try_from(name.as_str());
                let project = project.map_err(|error| Failure::of(Code::Usage, &error))?;
                let dirs = dirs(common, &project);
                let (past, _) = Ahead::take(None, &dirs);
                Self::new(common, (dirs, past), (project, None))
            }
            None => Self::open(common, manifest).map_err(|failure| {
                let unusable = matches!(failure.code, Code::Manifest | Code::NoInput);
                if unusable { failure.help("--project NAME works without a manifest") } else { failure }
            }),
        }
    }

    /// Reads what is known of the past of a project; one that was named and never applied is a mistake.
    pub(super) fn of_known_project(common: &Common, which: &WhichProject) -> Result<Self, Failure> {
        let session = Self::of_project(common, which)?;
        if which.project.is_none() || session.dirs.is_known() {
            return Ok(session);
        }
        Err(unknown_project(&session.project, &session.dirs, common))
    }

    fn new(
        common: &Common,
        (dirs, (stamp, past)): (Dirs, ahead::Read),
        (project, loaded): (ProjectName, Option<Loaded>),
    ) -> Result<Self, Failure> {
        let past = past.map_err(|error| disk_failure(&error))?;
        let (voice, shield) = (Voice::new(PlanFormat::Text), Shield::default());
        let (naming, runtimes) = (Naming::default(), Runtimes::new(common));
        let kernel = Live::new(project.clone()).keeping(Seals::in_dir(&dirs.state), dirs.kept_namespaces());
        let turn = Turn::default();
        Ok(Self {
            project,
            loaded,
            kernel,
            dirs,
            past,
            stamp,
            naming,
            runtimes,
            voice,
            shield,
            turn,
            glimpsed: None,
        })
    }

    /// Begins a run of the project.
    pub(super) fn begun_with(&mut self, lock: Lock) -> Lock {
        self.believe_glimpse(|began| began.run == lock.turn);
        lock
    }

    /// Forgets what was seen of the host ahead where that is past.
    pub(super) fn believe_glimpse(&mut self, is_next: impl Fn(Began) -> bool) {
        if !self.glimpsed.is_some_and(is_next) {
            self.kernel.forget_glimpse();
        }
    }

    /// Reads the past anew when another run has changed it.
    pub(super) fn refresh_past(&mut self) -> Result<(), Failure> {
        // What changes while it is read is read again the next time.
        let stamp = self.dirs.stamp();
        if self.stamp != stamp {
            self.past = self.dirs.past().map_err(|error| disk_failure(&error))?;
            self.stamp = stamp;
            self.kernel.moved(Moved::Everywhere);
        }
        Ok(())
    }

    /// Takes a generation that was just saved for the past, instead of reading it. The caller has the lock.
    pub(super) fn saved(&mut self, generation: Option<Generation>) {
        let (Ok(originals), Ok(adopted)) = (self.dirs.originals(), self.dirs.adopted()) else { return };
        (self.past.originals, self.past.adopted) = (originals, adopted);
        if let Some(generation) = generation {
            self.past.leases = generation.leases.clone();
            (self.past.generation, self.past.written) = (Some(generation), None);
            self.past.warnings.clear();
        }
        self.stamp = self.dirs.stamp();
    }

    /// Returns the number of the newest generation; 0 when there is none.
    pub(super) fn newest(&self) -> u64 {
        self.past.generation.as_ref().map_or(0, |generation| generation.number)
    }

    /// Returns the number of the next generation: one that nobody has, not even one that cannot be read.
    pub(super) fn next(&self) -> u64 {
        let kept = self.dirs.numbers().unwrap_or_default();
        kept.last().copied().unwrap_or_default().max(self.newest()) + 1
    }

    /// Returns what has to be looked at before anything is decided.
    pub(super) fn scope(&self) -> Scope {
        let mut scope = Scope::new(self.project.clone());
        scope.sysctls = [SysctlKey::Ipv4Forward, SysctlKey::Ipv6Forward].map(|key| (NsRef::Host, key)).into();
        if let Some(Loaded { manifest, .. }) = &self.loaded {
            declare(&mut scope, manifest);
        }
        self.runtimes.widen(&mut scope);
        scope.seals = seals(&self.kernel, &self.past);
        if let Some(generation) = &self.past.generation {
            widen(&mut scope, &generation.state);
        }
        recall(&mut scope, &self.past);
        match self.dirs.read_journal() {
            Ok(Some(journal)) => apply::widened(&scope, &journal.touched),
            // Whoever changes something deals with a journal that cannot be read.
            Ok(None) | Err(_) => scope,
        }
    }

    /// Asks who runs the containers of the manifest.
    pub(super) async fn look_who_runs(&mut self) {
        let manifest = self.loaded.as_ref().map(|loaded| &*loaded.manifest);
        self.runtimes.look(manifest, &self.past.leases).await;
    }

    /// Reads the kernel and plans.
    pub(super) async fn prepare(&mut self, aim: Aim) -> Result<Prepared, Failure> {
        self.prepare_part(aim, &Selection::default()).await
    }

    /// Reads the kernel and plans for a part of the resources.
    pub(super) async fn prepare_part(
        &mut self,
        aim: Aim,
        selection: &Selection,
    ) -> Result<Prepared, Failure> {
        let (prepared, conflicts) = self.prepare_around(aim, selection).await?;
        if conflicts.is_empty() { Ok(prepared) } else { Err(in_the_way(&conflicts)) }
    }

    /// Reads the kernel and plans as far as objects of others let it; returns what of theirs is in the way, too.
    ///
    /// What is only remembered of what the plan touches, or cannot touch for others, is read again, and planned for.
    pub(super) async fn prepare_surely(
        &mut self,
        aim: Aim,
        selection: &Selection,
    ) -> Result<(Prepared, Vec<Conflict>), Failure> {
        let mut looks = 0;
        loop {
            let (prepared, conflicts) = self.plan_around(aim, selection).await?;
            looks += 1;
            let is_last = self.kernel.version().is_none() || looks == MOST_LOOKS;
            if is_last || (prepared.plan.is_empty() && conflicts.is_empty()) {
                return Ok((prepared, conflicts));
            }
            let touched = plan::at_stake(&prepared.plan, &conflicts, &prepared.desired);
            let scope = apply::widened(&Scope::new(self.project.clone()), &touched);
            let holds = self.kernel.still_holds(&scope, apply::glance(&touched)).await;
            if holds.map_err(unreadable)? {
                return Ok((prepared, conflicts));
            }
        }
    }

    /// Returns what is known of the host, with what the kernel cannot tell.
    pub(super) fn completed(&self, facts: Facts) -> Facts {
        self.recalled().added(facts)
    }

    async fn plan_around(
        &mut self,
        aim: Aim,
        selection: &Selection,
    ) -> Result<(Prepared, Vec<Conflict>), Failure> {
        self.look_who_runs().await;
        self.call_namespaces_as_now(aim)?;
        let mut scope = self.scope();
        let (known, foreseen) = self.survey_foreseeing(aim, &mut scope).await?;
        let Survey { mut observed, facts, projects } = known;
        let Target { topology, mut desired, leases, manifest, warnings } =
            self.settled(aim, &facts, foreseen).await?;
        let away = match aim {
            Aim::Generation(_) => plan::settle_ground(&mut desired.0, &observed),
            Aim::Manifest | Aim::Nothing => Away::default(),
        };
        let others = Others { projects: &projects, dirs: &self.dirs };
        originals::restore(&self.past, (&mut desired, &observed), &facts, &others);
        let lost = originals::left(&self.past, (&desired, &observed), &facts, &others);
        let (given_up, mut kept) = self.give_up(aim, &mut desired, &observed);
        kept = away.whole.or(kept);
        scope.unmarked.extend(given_up.iter().cloned());
        let before = Looked::at(&scope);
        widen(&mut scope, &desired.0);
        let is_left = self.leave_usurped(&mut scope, &desired.0, &observed.own);
        if is_left || must_look_again(&before, &scope, &observed) {
            observed = self.kernel.observe(&scope).await.map_err(unreadable)?;
        }
        let mut applied = self.runtimes.outlasting(self.past.state(), &self.past.leases.runs);
        originals::reset(&applied, &mut desired, &observed);
        originals::check(&desired, &observed)?;
        let yielded = naming::yield_to_others(&mut desired, &observed);
        let mut extra = extra::extra(topology.as_ref(), &desired, &observed, &facts);
        extra.warnings.splice(0..0, self.past.warnings.iter().cloned());
        extra.warnings.extend(self.past.originals.warning.iter().cloned().chain(lost));
        extra.warnings.extend(yielded.into_iter().chain(away.warnings).chain(warnings));
        extra.idle.extend(away.idle);
        extra.warnings.extend(self.runtimes.look.warnings.iter().cloned());
        if let Some(topology) = &topology {
            extra.warnings.extend(topology.warnings(&facts));
        }
        if let Aim::Generation(_) = aim
            && !leases.segments.is_empty()
        {
            let given_away = self.given_away(&leases);
            extra.warnings.extend(given_away.iter().map(GivenAway::warning));
        }
        extra.warnings.extend(tell_given_up(aim, &given_up, &self.past.adopted));
        if !selection.is_everything() {
            let part = target::choose(selection, &desired, &observed, &applied, &extra)
                .map_err(|errors| unselectable(&errors))?;
            let narrowed = target::narrow(&part, &desired, &observed, &applied);
            (desired, applied, kept) = (narrowed.desired, narrowed.applied, Some(narrowed.kept));
            kept.iter_mut().for_each(|kept| kept.retain(|id| !given_up.contains(id)));
            extra.part = Some(part);
        }
        extra.warnings.extend(ports::confront(&desired, &mut observed, (&projects, &facts)).await?);
        extra.warnings.extend(ports::taken_over(&desired, &observed, &facts));
        let (mut plan, conflicts) = match plan::plan(&desired, &observed, &applied, extra.clone()) {
            Ok(plan) => (plan, vec![]),
            Err(conflicts) => (Plan { extra, ..plan::plan_around(&desired, &observed, &applied) }, conflicts),
        };
        halves::discard(facts.host_ends.len(), facts);
        extra::tell_inhabitants(&mut plan);
        extra::tell_stowaways(&mut plan).await;
        self.tell_guests(&mut plan, &desired, &observed);
        let prepared = Prepared { topology, desired, scope, observed, applied, kept, leases, manifest, plan };
        Ok((prepared, conflicts))
    }

    /// Returns what a plan shall lead to.
    pub(super) async fn target(&self, aim: Aim, facts: &Facts) -> Result<Target, Failure> {
        self.settled(aim, facts, None).await
    }

    /// Returns what a plan shall lead to; what was foreseen of it is right.
    async fn settled(&self, aim: Aim, facts: &Facts, foreseen: Option<Target>) -> Result<Target, Failure> {
        let mut target = match foreseen {
            Some(target) => target,
            None => self.target_without_daemon(aim, facts)?,
        };
        if aim != Aim::Nothing {
            naming::settle(&mut target, self.naming.answers(&self.dirs).await);
        }
        Ok(target)
    }

    /// Returns what a plan shall lead to, as far as no daemon matters.
    fn target_without_daemon(&self, aim: Aim, facts: &Facts) -> Result<Target, Failure> {
        match aim {
            Aim::Nothing => {
                let leases = Leases { segments: BTreeMap::new(), ..self.past.leases.clone() };
                Ok(Target { leases, ..Target::default() })
            }
            Aim::Manifest => {
                let Some(loaded) = &self.loaded else {
                    return Err(Failure::new(Code::Usage, "this needs a manifest"));
                };
                foresight::target(loaded, facts)
            }
            Aim::Generation(number) => {
                let generation = self.dirs.generation(number).map_err(|error| disk_failure(&error))?;
                let Some(generation) = generation else {
                    let kept = self.dirs.numbers().unwrap_or_default();
                    let kept: Vec<_> = kept.iter().map(u64::to_string).collect();
                    return Err(Failure::new(Code::NoInput, format!("there is no generation {number}"))
                        .help(format!("these are kept: {}", kept.join(", "))));
                };
                let Generation { state, leases, manifest, .. } = generation;
                let state = runtimes::as_of_now(state, facts);
                Ok(Target { desired: Desired(state), leases, manifest, ..Target::default() })
            }
        }
    }
}

fn dirs(common: &Common, project: &ProjectName) -> Dirs {
    Dirs::new(&common.state_dir, &common.run_dir, project)
}
