//! Laws that hold for every plan, on a kernel in memory that fails and dies on demand.

mod adopt;
mod part;
mod world;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use netform::apply::generation::Generation;
use netform::apply::{Dirs, Job, OnFailure, Outcome, Progress, Settled, recover, run};
use netform::kernel::fake::{Fake, WaveOrder};
use netform::kernel::{Kernel, Scope};
use netform::names::{Mtu, ProjectName};
use netform::plan::{Extra, Plan, plan};
use netform::resource::link::LinkKind;
use netform::resource::netns::NsRef;
use netform::resource::qdisc::{Qdisc, QdiscKind};
use netform::resource::state::{Desired, Foreign, State};
use netform::resource::{Resource, ResourceId, Slot};
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;
use world::{World, ifname, named, world};

/// A host: a kernel, and the directories that survive a run.
struct Host {
    kernel: Fake,
    dir: TempDir,
    scope: Scope,
    runs: u64,
}

impl Host {
    fn new(worlds: &[&World]) -> Self {
        // Laws write thousands of small files; memory is faster than any disk.
        let memory = PathBuf::from("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        let mut scope = Scope::new(ProjectName::try_from("law").unwrap());
        for (id, _) in worlds.iter().flat_map(|world| {
            world.desired().0.iter().map(|(id, e)| (id.clone(), e.clone())).collect::<Vec<_>>()
        }) {
            if let ResourceId::Sysctl(ns, key) = id {
                scope.sysctls.insert((ns, key));
            }
        }
        let foreign = |what: &str| Foreign {
            what: what.to_owned(),
            owner: Some("Docker".to_owned()),
            on: None,
            bears: None,
        };
        let mut kernel = Fake::default();
        kernel.foreign = BTreeMap::from([
            (Slot::Ifname(NsRef::Host, ifname("docker0")), foreign("bridge docker0")),
            (Slot::Ns(named("other")), foreign("namespace other")),
        ]);
        Self { kernel, dir, scope, runs: 0 }
    }

    fn dirs(&self) -> Dirs {
        Dirs::new(&self.dir.path().join("state"), &self.dir.path().join("run"), &self.scope.project)
    }

    fn applied(&self) -> State {
        self.dirs().past().unwrap().state()
    }

    async fn plan(&mut self, desired: &Desired) -> Plan {
        let observed = self.kernel.observe(&self.scope).await.unwrap();
        plan(desired, &observed, &self.applied(), Extra::default()).unwrap()
    }

    /// Applies, and returns `None` when the kernel killed the run.
    async fn apply(&mut self, desired: &Desired) -> Option<Outcome> {
        self.runs += 1;
        let (plan, applied, dirs) = (self.plan(desired).await, self.applied(), self.dirs());
        let number = dirs.numbers().unwrap().last().copied().unwrap_or_default() + 1;
        let generation =
            Generation::new(number, self.runs, String::new(), desired.0.clone(), Default::default());
        let job = Job {
            scope: &self.scope,
            desired,
            applied: &applied,
            plan: &plan,
            dirs: &dirs,
            generation: &generation,
            before: None,
            on_failure: OnFailure::RollBack,
        };
        let dead = self.kernel.dead.clone();
        let mut go_on = |_: Progress<'_>| ControlFlow::Continue(());
        tokio::select! {
            biased;
            outcome = run(&mut self.kernel, &job, &mut go_on) => Some(outcome),
            () = dead.notified() => None,
        }
    }

    async fn recover(&mut self) -> Option<Settled> {
        self.kernel.dies_at = None;
        self.kernel.fails_at.clear();
        let dirs = self.dirs();
        let found = recover(&mut self.kernel, &dirs, &self.scope, &mut |_| ControlFlow::Continue(())).await;
        found.unwrap().map(|recovery| recovery.settled)
    }

    /// Returns what is there, by id.
    async fn holds(&mut self) -> BTreeMap<ResourceId, Resource> {
        let observed = self.kernel.observe(&self.scope).await.unwrap();
        assert_eq!(observed.foreign.len(), 2, "what others have is as it was");
        observed.own.iter().map(|(id, entry)| (id.clone(), entry.resource.clone())).collect()
    }

    /// Returns what is there, but not what the kernel parameters were left at.
    async fn objects(&mut self) -> BTreeMap<ResourceId, Resource> {
        let mut objects = self.holds().await;
        objects.retain(|id, _| !matches!(id, ResourceId::Sysctl(..)));
        objects
    }
}

#[track_caller]
fn is_applied(outcome: Option<Outcome>) {
    match outcome {
        Some(Outcome::Applied { done: _, unsaved: None } | Outcome::NothingToDo) => {}
        other => panic!("{other:#?}"),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Mutates one object of ours, as somebody with `ip` and `nft` would.
fn meddle(kernel: &mut Fake, which: &Index) {
    let ids: Vec<ResourceId> = kernel.own.iter().map(|(id, _)| id.clone()).collect();
    let Some(id) = (!ids.is_empty()).then(|| which.get(&ids)) else { return };
    let mut entry = kernel.own.get(id).unwrap().clone();
    match &mut entry.resource {
        Resource::Link(link) if link.mtu.bytes() == 1500 => link.mtu = Mtu::try_from(1400).unwrap(),
        Resource::Link(link) if link.kind == LinkKind::Bridge => {
            link.kind = LinkKind::Other("dummy".to_owned())
        }
        Resource::Link(link) => link.master = None,
        Resource::NftTable(table) => table.intact = false,
        Resource::File(file) => file.content = format!("{}10.9.9.9 mine\n", file.content).into(),
        Resource::NftElement(element) if element.data.is_some() => element.data = Some("10.9.9.9".into()),
        Resource::Sysctl(sysctl) => sysctl.value = "7".into(),
        Resource::Qdisc(Qdisc { link: _, kind: QdiscKind::Limit(_, bucket) }) if bucket.intact => {
            bucket.intact = false;
        }
        Resource::Route(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::Address(_)
        | Resource::Netns(_)
        | Resource::NftElement(_)
        | Resource::Passage(_) => {
            return kernel.vanish(id);
        }
    }
    kernel.own.insert(entry);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_apply_leads_where_it_should_and_the_next_plan_is_empty(a in world(), b in world(), backward: bool) {
        block_on(async {
            let mut host = Host::new(&[&a, &b]);
            host.kernel.order = if backward { WaveOrder::Backward } else { WaveOrder::Forward };

            is_applied(host.apply(&a.desired()).await);
            let planned = host.plan(&b.desired()).await.len();
            let begun = host.kernel.begun;
            is_applied(host.apply(&b.desired()).await);

            prop_assert_eq!(host.kernel.begun - begun, planned, "the first plan is enough");
            prop_assert!(host.plan(&b.desired()).await.is_empty());
            prop_assert!(host.dirs().read_journal().unwrap().is_none());

            let mut fresh = Host::new(&[&a, &b]);
            is_applied(fresh.apply(&b.desired()).await);
            prop_assert_eq!(host.objects().await, fresh.objects().await, "A then B equals B alone");

            is_applied(host.apply(&Desired::default()).await);
            prop_assert_eq!(host.objects().await, BTreeMap::new(), "nothing is left of ours");
            Ok(())
        })?;
    }

    #[test]
    fn whichever_operation_fails_the_kernel_ends_as_it_began(a in world(), b in world(), which: Index) {
        block_on(async {
            let mut host = Host::new(&[&a, &b]);
            is_applied(host.apply(&a.desired()).await);
            let before = host.holds().await;
            let operations = host.plan(&b.desired()).await.len();
            if operations == 0 {
                return Ok(());
            }

            host.kernel.fails_at = vec![host.kernel.begun + which.index(operations)];
            let outcome = host.apply(&b.desired()).await;

            prop_assert!(matches!(outcome, Some(Outcome::RolledBack(_) | Outcome::Unchanged(_))), "{outcome:#?}");
            prop_assert_eq!(host.holds().await, before);
            prop_assert!(host.dirs().read_journal().unwrap().is_none());
            Ok(())
        })?;
    }

    #[test]
    fn a_run_that_was_killed_is_finished_or_undone(a in world(), b in world(), which: Index, fails: Option<Index>) {
        block_on(async {
            let mut host = Host::new(&[&a, &b]);
            is_applied(host.apply(&a.desired()).await);
            let before = host.holds().await;
            let operations = host.plan(&b.desired()).await.len();
            if operations == 0 {
                return Ok(());
            }

            // With a failure before it, the kill may hit the undoing.
            let begun = host.kernel.begun;
            host.kernel.fails_at = fails.map(|at| begun + at.index(operations)).into_iter().collect();
            host.kernel.dies_at = Some(begun + which.index(2 * operations));
            let killed = host.apply(&b.desired()).await.is_none();
            let settled = host.recover().await;

            prop_assert_eq!(settled.is_some(), killed);
            prop_assert!(host.dirs().read_journal().unwrap().is_none());
            match settled {
                Some(Settled::Untold { journal }) => prop_assert!(false, "{journal:?}"),
                Some(Settled::Stranded { left }) => prop_assert!(false, "{left:?}"),
                Some(Settled::Lost) => prop_assert!(false, "nothing was lost"),
                Some(Settled::Undone { .. }) => prop_assert_eq!(host.holds().await, before),
                Some(Settled::Finished { .. }) => prop_assert!(host.plan(&b.desired()).await.is_empty()),
                None => {}
            }
            is_applied(host.apply(&b.desired()).await);
            prop_assert!(host.plan(&b.desired()).await.is_empty());
            Ok(())
        })?;
    }

    #[test]
    fn drift_is_repaired_exactly(a in world(), meddling in proptest::collection::vec(any::<Index>(), 1..4)) {
        block_on(async {
            let mut host = Host::new(&[&a]);
            is_applied(host.apply(&a.desired()).await);
            let intact = host.holds().await;

            meddling.iter().for_each(|which| meddle(&mut host.kernel, which));
            let (planned, begun) = (host.plan(&a.desired()).await.len(), host.kernel.begun);
            is_applied(host.apply(&a.desired()).await);

            prop_assert_eq!(host.holds().await, intact);
            prop_assert_eq!(host.kernel.begun - begun, planned, "the first plan is enough");
            Ok(())
        })?;
    }

    #[test]
    fn a_plan_depends_on_nothing_but_its_input_and_survives_the_disk(a in world(), b in world()) {
        block_on(async {
            let mut host = Host::new(&[&a, &b]);
            is_applied(host.apply(&a.desired()).await);

            let (plan, again) = (host.plan(&b.desired()).await, host.plan(&b.desired()).await);

            prop_assert_eq!(&plan, &again);
            let text = serde_json::to_string(&plan).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Plan>(&text).unwrap(), &plan);
            Ok(())
        })?;
    }

    #[test]
    fn what_the_kernel_removes_late_is_waited_for(a in world(), b in world()) {
        block_on(async {
            let mut host = Host::new(&[&a, &b]);
            is_applied(host.apply(&a.desired()).await);
            host.kernel.lingers = 2;
            is_applied(host.apply(&b.desired()).await);
            prop_assert!(host.plan(&b.desired()).await.is_empty());
            Ok(())
        })?;
    }
}
