//! A run that fails, or is killed, at each of its operations in turn, on the real kernel.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use netform::apply::generation::Generation;
use netform::apply::saved::SavedPlan;
use netform::apply::{Dirs, Job, OnFailure, Outcome, run};
use netform::kernel::live::Live;
use netform::kernel::{FailureKind, Glance, Kernel, ObserveError, Op, OpError, Scope};
use netform::names::NetnsName;
use netform::resource::ResourceId;
use netform::resource::owner::Owner;
use netform::resource::state::Observed;

use super::snapshot::{assert_same, everything};
use super::world::{World, live};

/// Tells a process that it is the one that fails or is killed, and where, e.g. `fail:3,die:5`.
const STEPS: &str = "NETFORM_TEST_STEPS";
/// The directory of the test that started it.
const DIR: &str = "NETFORM_TEST_DIR";

/// More than half of what there is goes or is replaced, which is refused unless it is asked for.
const APPLY: &[&str] = &["apply", "--yes", "--max-destroy", "99"];

/// Makes a link of the host that goes from one container to another, and one for external addresses.
fn nic(world: &World) {
    world.sh(
        "ip tuntap add dev nic0 mode tap; ip link set nic0 address 02:00:00:00:00:09 mtu 1450 alias theirs up
         ip link property add dev nic0 altname enp5s0; ip addr add 192.168.9.5/24 brd + dev nic0
         ip route add 10.200.0.0/16 via 192.168.9.1 metric 7
         ip tuntap add dev up0 mode tap; ip link set up0 up; ip tuntap add dev nic1 mode tap; ip link set nic1 up",
    );
}

/// All kinds of object: namespaces, bridges, pairs, links of the host, addresses, routes, parameters, both tables, elements,
/// files.
const BEFORE: &str = "\
netform: 1
project: shop
own_external_addresses: up0
networks:
  front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}
  back: {subnets: [10.7.0.0/24], icc: false}
  old: {subnets: [10.8.0.0/24]}
  lab: {driver: physical, subnets: [192.168.9.0/24]}
  own: {subnets: ['2001:db8:5::/112'], egress: routed, ndp_proxy: up0}
containers:
  web: {networks: {front: {address: [172.25.3.3], external_address: [203.0.113.9, '2001:db8::9']}, back: {}, lab: {device: nic0}}, publish: ['8080:80']}
  db: {networks: {back: {interface: eth7}, old: {}}}
  gone: {networks: [old, own]}
";

/// Everything is added to, changed, replaced and removed.
const AFTER: &str = "\
netform: 1
project: shop
own_external_addresses: up0
networks:
  front: {subnets: [172.25.0.0/16, 'fd00:25::/64'], mtu: 1400}
  back: {subnets: [10.7.0.0/24]}
  new: {subnets: [10.9.0.0/24], internal: true}
  lab: {driver: physical, subnets: [192.168.9.0/24], mtu: 1300}
  own: {subnets: ['2001:db8:5::/112'], egress: routed}
  near: {subnets: ['2001:db8:6::/112'], egress: routed, ndp_proxy: nic1}
containers:
  web: {networks: {back: {}, front: {address: [172.25.3.4], external_address: 203.0.113.8}}, publish: ['8080:80', '9090:90/udp']}
  db: {networks: {back: {interface: eth8}, new: {}, lab: {device: nic0}}}
  gone: {networks: [own, near]}
  come: {networks: {new: {}, front: {external_address: 203.0.113.9}}}
";

live! {
    fn whichever_operation_fails_all_is_as_before(world) {
        if die_or_fail(world) {
            return;
        }
        nic(world);
        world.apply(BEFORE);
        let before = everything(world);
        world.file("netform.yaml", AFTER);
        for step in 0.. {
            match meddle(world, &format!("fail:{step}")) {
                End::RolledBack => {}
                End::Applied => return assert!(step > 20, "there are more operations than {step}"),
                End::Killed => panic!("operation {step}"),
            }
            assert_same(&everything(world), &before, &format!("operation {step} failed"));
            assert!(!world.dir().join("run/shop/journal").exists());
        }
    }
}

live! {
    fn at_whichever_operation_a_run_is_killed_the_next_one_ends_as_if_it_had_not_been(world) {
        if die_or_fail(world) {
            return;
        }
        nic(world);
        world.apply(BEFORE);
        let before = everything(world);
        world.file("netform.yaml", AFTER);
        world.run(APPLY).exits(0);
        let after = everything(world);

        // There and back, so that each kill finds something to remove as well as something to make.
        let ways = [(BEFORE, before.as_str()), (AFTER, after.as_str())];
        let mut step = 0;
        for (manifest, whole) in ways.into_iter().cycle() {
            world.file("netform.yaml", manifest);
            let killed = meddle(world, &format!("die:{step}")) == End::Killed;
            if killed {
                let done = world.run(APPLY).exits(0);
                assert!(done.stderr.contains("A run was killed"), "{}", done.stderr);
            }
            assert_same(&everything(world), whole, &format!("killed at operation {step}"));
            if !killed {
                world.assert_in_sync();
                assert!(step > 20, "there are more operations than {step}");
                break;
            }
            step += usize::from(manifest == AFTER);
        }
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables; ls /etc/netns 2>/dev/null || true"), "");
        assert!(!world.sh("ip link show nic0").contains("netform"), "it has come back as it was");
        assert!(!world.sh("ip addr show dev up0").contains("203.0.113"));
    }
}

live! {
    fn a_run_that_is_killed_while_it_undoes_is_undone_by_the_next(world) {
        if die_or_fail(world) {
            return;
        }
        nic(world);
        world.apply(BEFORE);
        let before = everything(world);
        for step in (24..).step_by(3) {
            world.file("netform.yaml", AFTER);
            match meddle(world, &format!("fail:23,die:{step}")) {
                End::Killed => {}
                End::RolledBack => return assert!(step > 30, "undoing takes more operations than {step}"),
                End::Applied => panic!("operation 23 failed, and yet all was applied"),
            }
            world.file("netform.yaml", BEFORE);
            world.run(APPLY).exits(0);
            assert_same(&everything(world), &before, &format!("killed at operation {step}"));
        }
    }
}

live! {
    fn what_a_killed_run_had_no_time_to_mark_is_ours_all_the_same(world) {
        if die_or_fail(world) {
            return;
        }
        nic(world);
        world.apply(BEFORE);
        let before = everything(world);
        world.file("netform.yaml", AFTER);
        assert_eq!(meddle(world, "die:0"), End::Killed);
        // The kernel takes no mark together with a new link, a namespace has its name before its mount, a file its name
        // before its text.
        world.sh("ip link add br-new group 1852206693 type bridge; touch /run/netns/come; mkdir -p /etc/netns/come; touch /etc/netns/come/hosts");

        world.file("netform.yaml", BEFORE);
        world.run(APPLY).exits(0);

        assert_same(&everything(world), &before, "undone");
    }
}

live! {
    fn what_others_made_while_nobody_looked_stays_theirs(world) {
        if die_or_fail(world) {
            return;
        }
        nic(world);
        world.apply(BEFORE);
        world.file("netform.yaml", AFTER);
        assert_eq!(meddle(world, "die:0"), End::Killed);
        world.sh("ip link add br-new type bridge; ip netns add come");
        let before = everything(world);

        world.file("netform.yaml", BEFORE);
        world.run(APPLY).exits(0);

        assert_same(&everything(world), &before, "left alone");
    }
}

live! {
    fn a_destroy_that_is_killed_is_done_by_the_next(world) {
        if die_or_fail(world) {
            return;
        }
        nic(world);
        let empty = everything(world);
        world.apply(BEFORE);
        for step in (0..).step_by(2) {
            let killed = meddle(world, &format!("destroy,die:{step}")) == End::Killed;
            world.run(&["destroy", "--yes"]).exits(0);
            assert_same(&everything(world), &empty, &format!("killed at operation {step}"));
            if !killed {
                assert!(step > 10, "there are more operations than {step}");
                return;
            }
            world.apply(BEFORE);
        }
    }
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Applied,
    RolledBack,
    Killed,
}

/// Carries out what the manifest of the test asks for in a process that fails or is killed as `steps` say.
fn meddle(world: &World, steps: &str) -> End {
    let mut plan = vec!["plan", "--out", "saved.plan"];
    plan.extend(steps.starts_with("destroy").then_some("--destroy"));
    world.run(&plan).exits(0);
    let name = std::thread::current().name().unwrap().to_owned();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(STEPS, steps)
        .env(DIR, world.dir())
        .output()
        .unwrap();
    let words = std::fs::read_to_string(world.dir().join("words")).unwrap_or_default();
    let _ = std::fs::remove_file(world.dir().join("words"));
    match words.as_str() {
        "applied" => End::Applied,
        "rolled back" => End::RolledBack,
        "" if !output.status.success() => End::Killed,
        words => panic!("{steps}: {words}{}", String::from_utf8_lossy(&output.stdout)),
    }
}

/// In the process that [`meddle`] starts: carries out the saved plan, and writes down how that ended.
fn die_or_fail(world: &World) -> bool {
    let Ok(steps) = std::env::var(STEPS) else { return false };
    let dir = std::env::var(DIR).unwrap();
    let saved = SavedPlan::read(&Path::new(&dir).join("saved.plan")).unwrap().unwrap();
    let dirs = Dirs::new(&Path::new(&dir).join("state"), &Path::new(&dir).join("run"), &saved.project);
    let mut scope = Scope::new(saved.project.clone());
    saved.desired.0.iter().for_each(|(_, entry)| scope.add(entry));
    let touched = saved.plan.touched();
    touched.iter().flat_map(|it| [&it.before, &it.after]).flatten().for_each(|entry| scope.add(entry));
    let state = saved.desired.0.clone();
    let generation = Generation::new(saved.base + 1, 1, saved.manifest.clone(), state, saved.leases.clone());
    let at = |what: &str| steps.split(',').find_map(|step| step.strip_prefix(what)?.parse().ok());
    let mut kernel = Meddled {
        live: Live::new(saved.project.clone()),
        begun: 0,
        fails_at: at("fail:"),
        dies_at: at("die:"),
    };
    let applied = dirs.past().unwrap().state();
    let job = Job {
        scope: &scope,
        desired: &saved.desired,
        applied: &applied,
        plan: &saved.plan,
        dirs: &dirs,
        generation: &generation,
        before: None,
        on_failure: OnFailure::RollBack,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(run(&mut kernel, &job, &mut |_| ControlFlow::Continue(())));
    let words = match outcome {
        Outcome::Applied { unsaved: None, .. } => "applied".to_owned(),
        Outcome::RolledBack(_) | Outcome::Unchanged(_) => "rolled back".to_owned(),
        other @ (Outcome::NothingToDo
        | Outcome::Applied { .. }
        | Outcome::NotBegun(_)
        | Outcome::Stranded(_)) => format!("{other:?}"),
    };
    std::fs::write(Path::new(&dir).join("words"), words).unwrap();
    assert!(world.dir().exists());
    true
}

/// The live kernel, with an operation that fails and one before which the process is killed.
struct Meddled {
    live: Live,
    begun: usize,
    fails_at: Option<usize>,
    dies_at: Option<usize>,
}

impl Meddled {
    /// Counts operations that are done together; tells whether one of them shall fail.
    fn begin(&mut self, count: usize) -> bool {
        let now = self.begun..self.begun + count;
        self.begun = now.end;
        if self.dies_at.is_some_and(|at| now.contains(&at)) {
            std::process::abort();
        }
        self.fails_at.is_some_and(|at| now.contains(&at))
    }
}

impl Kernel for Meddled {
    async fn revive(&mut self, gone: &[(NetnsName, Owner)]) -> bool {
        self.live.revive(gone).await
    }

    fn let_go(&mut self) {
        self.live.let_go();
    }

    async fn observe(&mut self, scope: &Scope) -> Result<Observed, ObserveError> {
        self.live.observe(scope).await
    }

    async fn glance(&mut self, scope: &Scope, at: &Glance) -> Result<Observed, ObserveError> {
        self.live.glance(scope, at).await
    }

    async fn end_flows(&mut self, more: &[Op]) {
        self.live.end_flows(more).await;
    }

    /// So few are never carried out in that way.
    async fn execute_in_order(&mut self, ops: &[&Op]) -> Vec<Option<Result<(), OpError>>> {
        self.live.execute_in_order(ops).await
    }

    /// Carries out one operation after the other; those of nft are one, as they are one transaction.
    async fn execute(&mut self, wave: &[Op]) -> Vec<Result<(), OpError>> {
        let haunted = || OpError { kind: FailureKind::Other, message: "the kernel is haunted".to_owned() };
        let is_nft = |op: &Op| matches!(op.id(), ResourceId::NftTable(_) | ResourceId::NftElement(..));
        let mut results = vec![];
        let together: Vec<Op> = wave.iter().filter(|op| is_nft(op)).cloned().collect();
        let mut transaction = if together.is_empty() {
            vec![]
        } else if self.begin(1) {
            together.iter().map(|_| Err(haunted())).collect()
        } else {
            self.live.execute(&together).await
        }
        .into_iter();
        for op in wave {
            let result = if is_nft(op) {
                transaction.next().unwrap()
            } else if self.begin(1) {
                Err(haunted())
            } else {
                self.live.execute(std::slice::from_ref(op)).await.remove(0)
            };
            results.push(result);
        }
        results
    }
}
