//! Projects that come to a bridge of another's for the first time, while that one gives addresses: nobody gets the address of
//! another, whoever began.

use std::process::{Child, Stdio};

use super::daemon::{Daemon, patiently};
use super::failure::{haunted, killed};
use super::world::{Done, World, address_of, eventually, live};

/// Whose bridge it is, with these containers beside the first.
fn owner(more: &[&str]) -> String {
    let more: String = more.iter().map(|line| format!("  {line}\n")).collect();
    format!(
        "netform: 1\nproject: shop\nnetworks:\n  front: {{interface: br-shop, subnets: [10.80.0.0/24]}}\ncontainers:\n  a: {{networks: [front]}}\n{more}"
    )
}

/// Who joins it, with these containers.
fn guest(more: &[&str]) -> String {
    let more: String = more.iter().map(|line| format!("  {line}\n")).collect();
    format!(
        "netform: 1\nproject: two\nnetworks:\n  lan: {{external: br-shop, subnets: [{{cidr: 10.80.0.0/24, pool: 10.80.0.0/24}}]}}\ncontainers:\n{more}"
    )
}

/// Containers that publish a port: whoever holds the lock of ports holds up their run before its first operation.
const OWN: &str = "b: {networks: [front], publish: ['8081:80']}";
const GUEST: &str = "g: {networks: [lan], publish: ['8082:80']}";

/// Holds up whoever is about to take ports.
struct Gate(Child);

impl Gate {
    fn shut(world: &World) -> Self {
        world.sh("mkdir -p run && touch run/ports.lock");
        let gate = world.beside(&format!("flock {}/run/ports.lock sleep 60", world.dir().display()));
        eventually("the gate is shut", || world.try_sh("flock -n run/ports.lock true").code != 0);
        Self(gate)
    }

    fn open(mut self, world: &World) {
        // Whoever sleeps has the lock, too.
        world.sh(&format!("pkill -P {} ; kill {} 2>/dev/null || true", self.0.id(), self.0.id()));
        self.0.wait().unwrap();
    }
}

/// Begins to apply a manifest of a file of its own.
fn begin(world: &World, name: &str, manifest: &str) -> Child {
    world.file(&format!("{name}.yaml"), manifest);
    let mut run = world.netform();
    run.args(["apply", "--yes", &format!("{name}.yaml")]).stdin(Stdio::null());
    run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn end(run: Child) -> String {
    Done::of(run.wait_with_output().unwrap()).exits(0).stdout
}

fn address(world: &World, name: &str) -> String {
    address_of(world, name, "eth0").to_string()
}

/// Lets a run that was begun come to where it waits.
fn come_to_wait() {
    std::thread::sleep(std::time::Duration::from_millis(800));
}

fn notes(world: &World) -> String {
    world.sh("ls -A state | grep @ || true")
}

live! {
    fn whose_bridge_it_is_waits_for_who_joins_it_for_the_first_time(world) {
        end(begin(world, "shop", &owner(&[])));
        let gate = Gate::shut(world);
        let joins = begin(world, "two", &guest(&[GUEST]));
        come_to_wait();
        let gives = begin(world, "shop", &owner(&["b: {networks: [front]}"]));
        come_to_wait();
        gate.open(world);
        end(joins);
        end(gives);

        assert_eq!((address(world, "g"), address(world, "b")), ("10.80.0.3".to_owned(), "10.80.0.4".to_owned()));
        assert_eq!(notes(world), ".two@br-shop\n");
    }
}

live! {
    fn who_joins_a_bridge_for_the_first_time_waits_for_whose_it_is(world) {
        end(begin(world, "shop", &owner(&[])));
        let gate = Gate::shut(world);
        let gives = begin(world, "shop", &owner(&[OWN]));
        come_to_wait();
        let joins = begin(world, "two", &guest(&["g: {networks: [lan]}"]));
        come_to_wait();
        gate.open(world);
        end(gives);
        end(joins);

        assert_eq!((address(world, "b"), address(world, "g")), ("10.80.0.3".to_owned(), "10.80.0.4".to_owned()));
    }
}

live! {
    fn the_daemon_of_whose_bridge_it_is_waits_as_well(world) {
        world.file("shop.yaml", &owner(&[]));
        let daemon = Daemon::of(world, "shop.yaml", &[]);
        patiently(&|| daemon.log(), || world.try_sh("ip -n a addr show eth0").code == 0);
        let gate = Gate::shut(world);
        let joins = begin(world, "two", &guest(&[GUEST]));
        come_to_wait();
        world.file("shop.yaml", &owner(&["b: {networks: [front]}"]));
        come_to_wait();
        gate.open(world);
        end(joins);
        patiently(&|| daemon.log(), || world.try_sh("ip -n b -4 addr show eth0 | grep -q inet").code == 0);
        assert_eq!((address(world, "g"), address(world, "b")), ("10.80.0.3".to_owned(), "10.80.0.4".to_owned()));
    }
}

live! {
    fn a_saved_plan_gives_nobody_what_another_project_was_given_since(world) {
        end(begin(world, "shop", &owner(&[])));
        world.file("shop.yaml", &owner(&["b: {networks: [front]}"]));
        world.run(&["plan", "--out", "shop.plan", "shop.yaml"]).exits(0);
        world.file("two.yaml", &guest(&["g: {networks: [lan]}"]));
        world.run(&["plan", "--out", "two.plan", "two.yaml"]).exits(0);
        world.run(&["apply", "two.plan"]).exits(0);

        let there = || world.sh("ip -o link; ip netns; ls -A run/shop state/shop");
        let before = there();
        let told = world.run(&["apply", "shop.plan"]).exits(5).stderr;
        assert!(told.contains("shop.yaml:7:") && told.contains("attachment.b@front would get 10.80.0.3"), "{told}");
        assert!(told.contains("container g of project two has it on br-shop") && told.contains("two.yaml:6:"), "{told}");
        assert!(told.contains("nothing was changed") && told.contains("plan again"), "{told}");
        assert_eq!(there(), before);
        world.run(&["plan", "--out", "shop.plan", "shop.yaml"]).exits(0);
        world.run(&["apply", "shop.plan"]).exits(0);
        assert_eq!(address(world, "b"), "10.80.0.4");

        // The same for who joins, whether or not he has joined before.
        for name in ["h", "i"] {
            world.file("two.yaml", &guest(&["g: {networks: [lan]}", &format!("{name}: {{networks: [lan]}}")]));
            world.run(&["plan", "--out", "two.plan", "two.yaml"]).exits(0);
            end(begin(world, "shop", &owner(&["b: {networks: [front]}", &format!("c{name}: {{networks: [front]}}"), "ch: {networks: [front]}"][..if name == "h" { 2 } else { 3 }])));
            let told = world.run(&["apply", "two.plan"]).exits(5).stderr;
            assert!(told.contains(&format!("attachment.{name}@lan would get 10.80.0.")), "{told}");
        }
    }
}

live! {
    fn what_a_killed_run_has_given_is_nobody_elses(world) {
        end(begin(world, "shop", &owner(&[])));
        world.file("two.yaml", &guest(&[GUEST]));
        killed(world, 2, &["apply", "--yes", "two.yaml"]);
        assert_eq!((address(world, "g"), notes(world)), ("10.80.0.3".to_owned(), ".two@br-shop\n".to_owned()));

        end(begin(world, "shop", &owner(&[OWN])));
        assert_eq!(address(world, "b"), "10.80.0.4");
        end(begin(world, "two", &guest(&[GUEST])));
        assert_eq!(address(world, "g"), "10.80.0.3");

        // The same when it is the owner's.
        world.file("shop.yaml", &owner(&[OWN, "c: {networks: [front], publish: ['8083:80']}"]));
        killed(world, 1, &["apply", "--yes", "shop.yaml"]);
        end(begin(world, "two", &guest(&[GUEST, "h: {networks: [lan]}"])));
        assert_eq!(address(world, "h"), "10.80.0.6");
    }
}

live! {
    fn a_visit_that_is_undone_leaves_no_note(world) {
        end(begin(world, "shop", &owner(&[])));
        world.file("two.yaml", &guest(&[GUEST]));
        haunted(world, 2, &["apply", "--yes", "two.yaml"]).exits(4);
        assert_eq!(notes(world), "");

        killed(world, 2, &["apply", "--yes", "two.yaml"]);
        assert_eq!(notes(world), ".two@br-shop\n");
        world.run(&["destroy", "--yes", "two.yaml"]).exits(0);
        assert_eq!(notes(world), "");
        end(begin(world, "shop", &owner(&["b: {networks: [front]}"])));
        assert_eq!(address(world, "b"), "10.80.0.3");
    }
}

live! {
    fn a_bridge_that_is_made_anew_has_its_guests_whatever_names_it(world) {
        let named = |more: &[&str]| owner(more).replace("interface: br-shop, ", "");
        let guest = |more: &[&str]| guest(more).replace("br-shop", "br-front");
        end(begin(world, "shop", &named(&[])));
        end(begin(world, "two", &guest(&["g: {networks: [lan]}"])));
        assert_eq!(address(world, "g"), "10.80.0.3");

        for lost in ["true", "rm -r state/shop"] {
            world.sh("ip link delete br-front");
            world.run(&["destroy", "--yes", "shop.yaml"]).exits(0);
            world.sh(lost);
            world.file("shop.yaml", &named(&["b: {networks: {front: {address: 10.80.0.3}}}"]));
            let refused = world.run(&["plan", "shop.yaml"]).exits(65).stderr;
            assert!(refused.contains("project two has address 10.80.0.3 on br-front, too"), "{refused}");
            assert!(refused.contains("shop.yaml:7:") && refused.contains("project two is on br-front, too"), "both places: {refused}");

            end(begin(world, "shop", &named(&["b: {networks: [front]}"])));
            assert_eq!(address(world, "b"), "10.80.0.4");
            end(begin(world, "two", &guest(&["g: {networks: [lan]}"])));
            assert_eq!(address(world, "g"), "10.80.0.3");
            assert!(world.pings("b", "10.80.0.3"));
        }

        // Where it cannot be called that, it is another bridge.
        world.sh("ip link delete br-front");
        world.run(&["destroy", "--yes", "shop.yaml"]).exits(0);
        world.sh("rm -r state/shop; ip link add br-front type bridge");
        end(begin(world, "shop", &named(&["b: {networks: {front: {address: 10.80.0.3}}}"])));
    }
}

live! {
    fn what_stays_of_a_run_that_stops_is_nobody_elses(world) {
        end(begin(world, "shop", &owner(&[])));
        end(begin(world, "two", &guest(&["g: {networks: [lan]}"])));
        // One moves, and one comes, as far as it gets.
        world.file("two.yaml", &guest(&["g: {networks: {lan: {address: 10.80.0.5}}}", "h: {networks: [lan], publish: ['8082:80']}"]));
        haunted(world, 1, &["apply", "--yes", "--on-failure", "stop", "two.yaml"]).exits(3);
        let theirs = world.sh("for ns in g h; do ip -n $ns -o -4 addr show dev eth0 || true; done");
        assert!(theirs.contains("10.80.0.5/24"), "{theirs}");

        end(begin(world, "shop", &owner(&["b: {networks: [front]}", "c: {networks: [front]}"])));
        for name in ["b", "c"] {
            let ours = address(world, name);
            assert!(!theirs.contains(&format!("{ours}/24")), "{ours} in {theirs}");
        }
        world.run(&["apply", "--yes", "two.yaml"]).exits(0);
        assert_eq!((address(world, "g"), address(world, "h")), ("10.80.0.5".to_owned(), "10.80.0.3".to_owned()));
        world.run(&["destroy", "--yes", "two.yaml"]).exits(0);
        assert_eq!(notes(world), "");
    }
}

live! {
    fn who_has_lost_his_leases_is_a_guest_still_when_a_run_is_undone(world) {
        end(begin(world, "shop", &owner(&[])));
        end(begin(world, "two", &guest(&["g: {networks: [lan]}"])));
        for loses in ["rm state/two/leases.json", "echo garbage > state/two/leases.json"] {
            world.sh(loses);
            world.file("two.yaml", &guest(&["g: {networks: [lan]}", "h: {networks: [lan], publish: ['8082:80']}"]));
            haunted(world, 1, &["apply", "--yes", "two.yaml"]).exits(4);
            assert_eq!(notes(world), ".two@br-shop\n", "{loses}");
        }
        end(begin(world, "shop", &owner(&["b: {networks: [front]}"])));
        assert_eq!((address(world, "g"), address(world, "b")), ("10.80.0.3".to_owned(), "10.80.0.4".to_owned()));
    }
}
