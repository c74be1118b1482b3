//! How runs end, on the kernel in memory; that they end well is claimed by `tests/it/laws`.

use std::fs;

use super::*;
use crate::kernel::fake::Fake;
use crate::names::{NetnsName, ProjectName};
use crate::plan::{Extra, plan};
use crate::resource::Resource;
use crate::resource::netns::Netns;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::topology::facts::Leases;

struct Bench {
    kernel: Fake,
    dir: tempfile::TempDir,
    on_failure: OnFailure,
}

impl Bench {
    fn new() -> Self {
        Self { kernel: Fake::default(), dir: tempfile::tempdir().unwrap(), on_failure: OnFailure::RollBack }
    }

    fn dirs(&self) -> Dirs {
        let project = ProjectName::try_from("shop").unwrap();
        Dirs::new(&self.dir.path().join("state"), &self.dir.path().join("run"), &project)
    }

    async fn apply(&mut self, number: u64, names: &[&str], watcher: &mut Watcher<'_>) -> Outcome {
        let (desired, dirs) = (desired(names), self.dirs());
        let applied = dirs.past().unwrap().state();
        let observed = self.kernel.observe(&scope()).await.unwrap();
        let plan = plan(&desired, &observed, &applied, Extra::default()).unwrap();
        let manifest = names.join(" ");
        let generation = Generation::new(number, number, manifest, desired.0.clone(), Leases::default());
        let job = Job {
            scope: &scope(),
            desired: &desired,
            applied: &applied,
            plan: &plan,
            dirs: &dirs,
            generation: &generation,
            before: None,
            on_failure: self.on_failure,
        };
        run(&mut self.kernel, &job, watcher).await
    }
}

fn scope() -> Scope {
    Scope::new(ProjectName::try_from("shop").unwrap())
}

/// A namespace for each name.
fn desired(names: &[&str]) -> Desired {
    let entry = |name: &&str| Entry {
        resource: Resource::Netns(Netns::new(NetnsName::try_from(*name).unwrap())),
        owner: Owner::try_from(format!("container.{name}").as_str()).unwrap(),
        origin: None,
        ignore: vec![],
    };
    Desired(names.iter().map(entry).collect())
}

fn go_on(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[tokio::test]
async fn a_failure_is_told_with_what_was_done_and_undone() {
    let mut bench = Bench::new();
    bench.kernel.fails_at = vec![1];

    let Outcome::RolledBack(report) = bench.apply(1, &["a", "b", "c"], &mut go_on).await else { panic!() };

    assert_eq!(report.failure.to_string(), "netns b: operation 1 was told to fail");
    assert_eq!((report.done.len(), report.not_started.len(), report.undone), (2, 0, 2));
    assert!(bench.kernel.own.is_empty());
    assert_eq!(bench.dirs().numbers().unwrap(), Vec::<u64>::new());
}

#[tokio::test]
async fn a_failure_that_changed_nothing_is_no_rollback() {
    let mut bench = Bench::new();
    bench.kernel.fails_at = vec![0];
    assert!(matches!(bench.apply(1, &["a"], &mut go_on).await, Outcome::Unchanged(_)));
}

#[tokio::test]
async fn what_cannot_be_undone_is_listed_and_the_next_run_tries_again() {
    let mut bench = Bench::new();
    bench.kernel.fails_at = vec![1, 2, 3, 4, 5];

    let Outcome::Stranded(report) = bench.apply(1, &["a", "b"], &mut go_on).await else { panic!() };
    assert_eq!(report.left.len(), 1);
    assert_eq!((report.left[0].there, report.left[0].was_there), (Some(true), false));

    bench.kernel.fails_at.clear();
    let dirs = bench.dirs();
    let recovery = recover(&mut bench.kernel, &dirs, &scope(), &mut go_on).await.unwrap().unwrap();
    assert!(matches!(recovery.settled, Settled::Undone { operations: 1 }), "{recovery:?}");
    assert!(bench.kernel.own.is_empty());
}

#[tokio::test]
async fn stopping_leaves_what_was_done() {
    let mut bench = Bench { on_failure: OnFailure::Stop, ..Bench::new() };
    bench.kernel.fails_at = vec![1];

    let Outcome::Stranded(report) = bench.apply(1, &["a", "b"], &mut go_on).await else { panic!() };

    assert_eq!((report.left.len(), bench.kernel.own.len()), (1, 1));
    assert!(bench.dirs().read_journal().unwrap().is_none());
}

#[tokio::test]
async fn an_interrupted_run_is_undone() {
    let mut bench = Bench::new();
    let Outcome::Unchanged(report) = bench.apply(1, &["a"], &mut |_| ControlFlow::Break(())).await else {
        panic!()
    };
    assert!(matches!(report.failure, Failure::Interrupted));
}

#[tokio::test]
async fn a_repair_saves_nothing_and_one_that_was_killed_counts_as_done() {
    let mut bench = Bench::new();
    bench.apply(1, &["a", "b"], &mut go_on).await;
    let dirs = bench.dirs();
    let past = dirs.past().unwrap();
    let (generation, applied) = (past.generation.clone().unwrap(), past.state());
    bench.kernel.own.remove(&applied.iter().next().unwrap().0.clone());

    let observed = bench.kernel.observe(&scope()).await.unwrap();
    let desired = Desired(applied.clone());
    let plan = plan(&desired, &observed, &applied, Extra::default()).unwrap();
    let job = Job {
        scope: &scope(),
        desired: &desired,
        applied: &applied,
        plan: &plan,
        dirs: &dirs,
        generation: &generation,
        before: None,
        on_failure: OnFailure::Stop,
    };
    let outcome = repair(&mut bench.kernel, &job, &mut go_on).await;

    assert!(matches!(outcome, Outcome::Applied { unsaved: None, .. }), "{outcome:?}");
    assert_eq!((bench.kernel.own.len(), dirs.numbers().unwrap()), (2, vec![1]));

    Journal::new(journal::REPAIR, 1, plan.touched()).write(&dirs).unwrap();
    let recovery = recover(&mut bench.kernel, &dirs, &scope(), &mut go_on).await.unwrap().unwrap();
    assert!(matches!(recovery.settled, Settled::Finished { generation: 1 }), "{recovery:?}");
    assert_eq!(bench.kernel.own.len(), 2);
}

#[tokio::test]
async fn a_run_that_saves_its_generation_again_and_was_killed_half_way_is_undone() {
    for is_whole in [true, false] {
        let mut bench = Bench::new();
        bench.apply(1, &["a"], &mut go_on).await;
        let dirs = bench.dirs();
        let (applied, all) = (dirs.past().unwrap().state(), desired(&["a", "b", "c"]));
        let observed = bench.kernel.observe(&scope()).await.unwrap();
        let touched = plan(&all, &observed, &applied, Extra::default()).unwrap().touched();
        let generation = Generation::new(1, 1, "a".to_owned(), all.0.clone(), Leases::default());
        dirs.prepare(&generation, None).unwrap().put_for_now().unwrap();
        Journal::new(1, 1, touched).write(&dirs).unwrap();
        let done = if is_whole { 3 } else { 2 };
        bench.kernel.own.extend(all.0.iter().take(done).map(|(_, entry)| entry.clone()).collect::<Vec<_>>());

        let recovery = recover(&mut bench.kernel, &dirs, &scope(), &mut go_on).await.unwrap().unwrap();

        let is_as_it_shall = match is_whole {
            true => matches!(recovery.settled, Settled::Finished { generation: 1 }),
            false => matches!(recovery.settled, Settled::Undone { operations: 1 }),
        };
        assert!(is_as_it_shall, "{:?}", recovery.settled);
        assert_eq!(bench.kernel.own.len(), if is_whole { 3 } else { 1 });
        assert_eq!(dirs.past().unwrap().state(), bench.kernel.own);
        assert_eq!(dirs.numbers().unwrap(), [1]);
    }
}

#[tokio::test]
async fn a_run_that_was_killed_is_over_though_all_that_it_wrote_is_lost() {
    for lost in ["state/shop", "state/shop/generations", "state/shop/generations/2.pending"] {
        let mut bench = Bench::new();
        bench.apply(1, &["a"], &mut go_on).await;
        let dirs = bench.dirs();
        let (applied, all) = (dirs.past().unwrap().state(), desired(&["a", "b"]));
        let observed = bench.kernel.observe(&scope()).await.unwrap();
        let touched = plan(&all, &observed, &applied, Extra::default()).unwrap().touched();
        bench.kernel.own.extend(all.0.iter().map(|(_, entry)| entry.clone()).collect::<Vec<_>>());
        Journal::new(2, 2, touched).write(&dirs).unwrap();
        let _ = fs::remove_dir_all(bench.dir.path().join(lost));

        let recovery = recover(&mut bench.kernel, &dirs, &scope(), &mut go_on).await.unwrap().unwrap();

        assert!(matches!(recovery.settled, Settled::Lost), "{recovery:?}");
        assert!(!dirs.has_journal() && bench.kernel.own.len() == 2);
        assert!(recover(&mut bench.kernel, &dirs, &scope(), &mut go_on).await.unwrap().is_none());
        assert!(matches!(bench.apply(3, &[], &mut go_on).await, Outcome::Applied { .. }));
        assert!(bench.kernel.own.is_empty());
    }
}

#[tokio::test]
async fn nothing_is_begun_when_nothing_can_be_written_down() {
    let mut bench = Bench::new();
    fs::write(bench.dir.path().join("run"), "in the way").unwrap();

    assert!(matches!(bench.apply(1, &["a"], &mut go_on).await, Outcome::NotBegun(_)));
    assert_eq!(bench.kernel.begun, 0);
}

#[tokio::test]
async fn twenty_generations_are_kept_and_a_damaged_one_is_passed_over() {
    let mut bench = Bench::new();
    for number in 1..=25 {
        let name = format!("c{number}");
        assert!(matches!(bench.apply(number, &[&name], &mut go_on).await, Outcome::Applied { .. }));
    }
    let dirs = bench.dirs();
    assert_eq!(dirs.numbers().unwrap(), (6..=25).collect::<Vec<u64>>());

    let newest = dirs.generations().join("25.json");
    fs::write(&newest, "{\"format\": 1, ").unwrap();
    let past = dirs.past().unwrap();
    assert_eq!(past.generation.unwrap().number, 24);
    assert_eq!(past.warnings.len(), 1);

    fs::write(&newest, "{\"format\": 2, \"unheard\": \"of\"}").unwrap();
    let refused = dirs.past().unwrap_err();
    assert!(matches!(refused, DiskError::Newer { found: 2, known: 1, .. }), "{refused}");
}

#[tokio::test]
async fn a_field_that_a_later_netform_added_is_passed_over() {
    let mut bench = Bench::new();
    bench.apply(1, &["a"], &mut go_on).await;
    let path = bench.dirs().generations().join("1.json");
    let text = fs::read_to_string(&path).unwrap().replacen('{', "{\"new\": [1, 2], ", 1);
    fs::write(&path, text).unwrap();

    assert_eq!(bench.dirs().past().unwrap().generation.unwrap().manifest, "a");
}
