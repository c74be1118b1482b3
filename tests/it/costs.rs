//! What is asked of the kernel is counted, since costs have to follow the change and not the state. Seconds say nothing
//! on a machine that others use, so none are measured here; `benches/` does.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::time::Duration;

use netform::apply::generation::Generation;
use netform::apply::{self, Dirs, Job, OnFailure, Outcome};
use netform::desired::desired;
use netform::kernel::count::{Counts, counts};
use netform::kernel::live::Live;
use netform::kernel::{Op, Scope, nft};
use netform::manifest::{Loaded, parse};
use netform::names::ProjectName;
use netform::plan::{Extra, Plan, plan};
use netform::resource::netns::NsRef;
use netform::resource::owner::Origin;
use netform::resource::state::{Desired, Observed, State};
use netform::resource::sysctl::SysctlKey;
use netform::resource::{ResourceId, Slot};
use netform::topology::facts::{Facts, Leases};
use netform::topology::resolve;

use crate::live::daemon::{Daemon, patiently};
use crate::live::world::{World, live};

/// A manifest with ten containers to a network, and a port for every fifth.
struct Shop {
    containers: usize,
    /// The last part of the first container's address.
    first: usize,
    /// The first container's port.
    port: usize,
}

impl Shop {
    fn of(containers: usize) -> Self {
        Self { containers, first: 2, port: 10_000 }
    }

    fn text(&self) -> String {
        let mut text = "netform: 1\nproject: shop\nnetworks:\n".to_owned();
        for network in 0..self.containers / 10 {
            writeln!(text, "  n{network}: {{subnets: [10.{}.{}.0/24]}}", network / 256, network % 256)
                .unwrap();
        }
        text.push_str("containers:\n");
        for container in 0..self.containers {
            let network = container / 10;
            let host = if container == 0 { self.first } else { 2 + container % 10 };
            let (high, low) = (network / 256, network % 256);
            write!(text, "  c{container}: {{networks: {{n{network}: {{address: 10.{high}.{low}.{host}}}}}")
                .unwrap();
            if container == 0 {
                write!(text, ", publish: ['{}:80']", self.port).unwrap();
            } else if container % 5 == 0 {
                write!(text, ", publish: ['{}:80']", 10_000 + container).unwrap();
            }
            text.push_str("}\n");
        }
        text
    }

    fn desired(&self, facts: &Facts) -> Desired {
        let files = [("shop.yaml".to_owned(), self.text().into_bytes())];
        let Ok(Loaded { manifest, sources: _ }) = parse(files) else { panic!("the manifest is wrong") };
        let origin = |_| Origin { file: "shop.yaml".into(), line: 1, column: 1 };
        desired(&resolve(&manifest, facts, &origin).unwrap())
    }
}

/// The host of one test, with what was applied to it last.
struct Host {
    runtime: tokio::runtime::Runtime,
    live: Live,
    dirs: Dirs,
    applied: State,
    generation: u64,
}

impl Host {
    fn new(dir: &std::path::Path) -> Self {
        let project = ProjectName::try_from("shop").unwrap();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            live: Live::new(project.clone()),
            dirs: Dirs::new(&dir.join("state"), &dir.join("run"), &project),
            applied: State::default(),
            generation: 0,
        }
    }

    /// Applies a manifest, or nothing; returns what reading and planning asked of the kernel, and what the rest did.
    fn reach(&mut self, shop: Option<&Shop>) -> (Counts, Counts) {
        let began = counts();
        let wanted = shop.map(|shop| shop.desired(&Facts::default())).unwrap_or_default();
        let mut scope = Scope::new(ProjectName::try_from("shop").unwrap());
        scope.sysctls = [SysctlKey::Ipv4Forward, SysctlKey::Ipv6Forward].map(|key| (NsRef::Host, key)).into();
        for (id, _) in self.applied.iter().chain(wanted.0.iter()) {
            if let ResourceId::Sysctl(ns, key) = id {
                scope.sysctls.insert((ns.clone(), key.clone()));
            } else if let ResourceId::File(path) = id {
                scope.files.insert(path.clone());
            }
        }
        let observed = self.runtime.block_on(self.live.survey(&scope)).unwrap().observed;
        let plan = plan(&wanted, &observed, &self.applied, Extra::default()).unwrap();
        let planned = counts();
        self.apply(&scope, &wanted, &plan);
        (planned.since(began), counts().since(planned))
    }

    fn apply(&mut self, scope: &Scope, desired: &Desired, plan: &Plan) {
        self.generation += 1;
        let generation =
            Generation::new(self.generation, 0, String::new(), desired.0.clone(), Leases::default());
        let job = Job {
            scope,
            desired,
            applied: &self.applied,
            plan,
            dirs: &self.dirs,
            generation: &generation,
            before: None,
            on_failure: OnFailure::RollBack,
        };
        let mut watcher = |_: apply::Progress<'_>| ControlFlow::Continue(());
        let outcome = self.runtime.block_on(apply::run(&mut self.live, &job, &mut watcher));
        assert!(
            matches!(outcome, Outcome::Applied { unsaved: None, .. } | Outcome::NothingToDo),
            "{outcome:?}"
        );
        self.applied = desired.0.clone();
    }
}

fn line(name: &str, counts: Counts) -> String {
    let Counts { requests, transactions, listings } = counts;
    format!("{name}: {requests} requests, {transactions} transactions, {listings} listings\n")
}

live! {
    fn what_is_asked_of_the_kernel_follows_the_change_and_not_the_state(world) {
        let mut host = Host::new(world.dir());
        let mut text = String::new();
        let steps = [
            ("create", Shop::of(20)),
            ("nothing", Shop::of(20)),
            ("another address", Shop { first: 100, ..Shop::of(20) }),
            ("another port", Shop { first: 100, port: 60_000, ..Shop::of(20) }),
        ];

        for (name, shop) in steps.iter().map(|(name, shop)| (*name, Some(shop))).chain([("destroy", None)]) {
            let (planned, applied) = host.reach(shop);
            text.push_str(&line(&format!("{name}, plan"), planned));
            text.push_str(&line(&format!("{name}, apply"), applied));
        }

        insta::assert_snapshot!(text);
    }
}

live! {
    fn one_change_asks_no_more_of_the_kernel_where_there_is_three_times_as_much(world) {
        let mut applied = vec![];
        for containers in [20, 60] {
            let mut host = Host::new(&world.dir().join(containers.to_string()));
            host.reach(Some(&Shop::of(containers)));
            let (_, address) = host.reach(Some(&Shop { first: 100, ..Shop::of(containers) }));
            let (_, port) = host.reach(Some(&Shop { first: 100, port: 60_000, ..Shop::of(containers) }));
            host.reach(None);
            applied.push((address, port));
        }

        assert_eq!(applied[0], applied[1]);
    }
}

/// What the daemon has asked of the kernel so far, once it has nothing more to do.
fn asked(world: &World) -> (u64, u64) {
    let counts = || {
        let status = world.run(&["status", "--output", "json"]).stdout;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let counts = &status["daemon"]["counts"];
        (counts["requests"].as_u64().unwrap(), counts["listings"].as_u64().unwrap())
    };
    let mut last = counts();
    loop {
        // Every look leads to one more at most, right after it.
        std::thread::sleep(Duration::from_millis(1500));
        let now = counts();
        if std::mem::replace(&mut last, now) == now {
            return now;
        }
    }
}

live! {
    fn the_daemon_pays_for_what_moves_and_not_for_what_does_not(world) {
        let edited = Shop { first: 100, ..Shop::of(60) };
        world.file("netform.yaml", &Shop::of(60).text());
        let daemon = Daemon::start(world, &[]);
        // On a busy machine something may make the daemon look at everything just then: its own clock, or a failure.
        let costs = |deed: &dyn Fn(), done: &dyn Fn() -> bool| {
            let once = || {
                let before = asked(world);
                deed();
                patiently(&|| daemon.log(), done);
                let after = asked(world);
                (after.0 - before.0, after.1 - before.1)
            };
            (0..3).map(|_| once()).min().unwrap()
        };
        let all_of_them = 60 * 6;

        let route = || world.sh("ip -n c7 route show default").contains("10.0.0.1");
        let (requests, listings) = costs(&|| drop(world.sh("ip -n c7 route flush default")), &route);
        assert!(requests < all_of_them / 3 && listings == 0, "a route: {requests}, {listings}");

        let pair = || world.try_sh("ip -n c7 route show default").stdout.contains("10.0.0.1");
        let (requests, listings) = costs(&|| drop(world.sh("ip link del netform.shop.c7.n0")), &pair);
        assert!(requests < all_of_them / 3 && listings == 0, "a pair: {requests}, {listings}");

        let table = || world.try_sh("nft list table inet netform-shop").stdout.contains("10055");
        let (requests, listings) = costs(&|| drop(world.sh("nft flush ruleset")), &table);
        assert!(requests < all_of_them / 3 && listings > 0, "a table: {requests}, {listings}");

        let forwards = || world.sh("cat /proc/sys/net/ipv4/ip_forward") == "1\n";
        let (requests, listings) = costs(&|| drop(world.sh("sysctl -q -w net.ipv4.ip_forward=0")), &forwards);
        assert!(requests < all_of_them / 3 && listings == 0, "a parameter: {requests}, {listings}");

        let address = || world.sh("ip -n c0 addr show eth0").contains("10.0.0.100");
        let before = asked(world).0;
        world.file("netform.yaml", &edited.text());
        patiently(&|| daemon.log(), address);
        let requests = asked(world).0 - before;
        assert!(requests < all_of_them / 2, "an edit: {requests}");
    }
}

live! {
    fn what_a_link_answers_for_is_one_request_where_it_matters(world) {
        world.sh("ip link add up0 type veth peer name p0 && ip link set up0 up && ip link set p0 up &&
            for i in $(seq 50); do ip -6 neigh add proxy 2001:db8::$i dev up0; done");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut live = Live::new(ProjectName::try_from("shop").unwrap());
        let mut read = |scope: &Scope| {
            let began = counts();
            let foreign = runtime.block_on(live.survey(scope)).unwrap().observed.foreign;
            let seen = foreign.keys().filter(|slot| matches!(slot, Slot::Object(ResourceId::Neighbour(..)))).count();
            (counts().since(began).requests, seen)
        };
        let silent = Scope::new(ProjectName::try_from("shop").unwrap());
        let mut asked = silent.clone();
        asked.answers(&"up0".try_into().unwrap());

        let (few, none) = read(&silent);
        assert_eq!((read(&asked), none), ((few + 1, 50), 0));
    }
}

live! {
    fn nft_is_run_for_changes_only(world) {
        world.sh(&format!(
            "mkdir bin; printf '#!/bin/sh\\necho \"$*\" >> {dir}/runs\\nexec %s \"$@\"\\n' $(command -v nft) > bin/nft; chmod +x bin/nft",
            dir = world.dir().display()
        ));
        let path = format!("{}/bin:{}", world.dir().display(), std::env::var("PATH").unwrap());
        let runs = |verb: &[&str], publish: &str| {
            world.file("netform.yaml", &format!("netform: 1\nproject: shop\ncontainers: {{web: {{publish: [{publish}]}}}}\n"));
            world.run_with(&[("PATH", &path)], verb).exits(0);
            world.sh("touch runs; cat runs; rm runs")
        };

        world.apply("netform: 1\nproject: shop\ncontainers: {web: {}}\n");
        world.apply("netform: 1\nproject: blog\ncontainers: {www: {}}\n");
        assert_eq!(runs(&["plan"], ""), "");
        assert_eq!(runs(&["plan"], "'8080:80'"), "", "what others publish the kernel says itself");
        assert_eq!(runs(&["apply", "--yes"], "'8080:80'"), "-j -f -\n", "one transaction");
        assert_eq!(runs(&["apply", "--yes"], "'8080:80'"), "");
    }
}

#[test]
fn one_port_of_thousands_is_one_transaction_of_few_elements() {
    let before = Shop::of(5000).desired(&Facts::default());
    let after = Shop { port: 60_000, ..Shop::of(5000) }.desired(&Facts::default());
    let observed = Observed { own: before.0.clone(), ..Observed::default() };

    let plan = plan(&after, &observed, &before.0, Extra::default()).unwrap();

    let ops: Vec<&Op> = plan.waves.iter().flatten().collect();
    let elements = ops.iter().filter(|op| matches!(op.id(), ResourceId::NftElement(..))).count();
    assert_eq!((plan.waves.len(), ops.len() - elements), (1, 0), "no more than elements, all in one go");
    assert_eq!(nft::commands(&ops).unwrap().len(), elements, "an element each");
    assert!(elements <= 8, "{elements} elements for one port");
}
