//! Namespaces of somebody else that are not ready when they come, that are made anew again and again, and that are let go.

use super::daemon::{Daemon, patiently};
use super::resolve::{answers, ask, watch};
use super::world::{World, live};

/// `six` has no IPv4 address: nothing makes a table of local addresses in its namespace but its `lo`.
const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16], internal: true}
  back: {subnets: ['fd00:6::/64'], internal: true}
containers:
  web: {networks: {front: {address: 172.25.0.9}, back: {}}}
  four: {netns: legacy4, networks: {front: {address: 172.25.0.4}}}
  six: {netns: legacy6, networks: [back]}
";

/// Waits until the daemon's status says something, or does not.
#[track_caller]
fn status(world: &World, daemon: &Daemon<'_>, what: &str, says: bool) {
    let said = || world.run(&["status"]).exits(0).stdout;
    patiently(&|| format!("`{what}`: {says}\n{}\n{}", said(), daemon.log()), || {
        said().contains(what) == says
    });
}

live! {
    fn names_are_answered_once_lo_is_up_however_late_that_is(world) {
        world.sh("ip netns add legacy4; ip netns add legacy6");
        let daemon = watch(world, SHOP);
        daemon.brings_it_in_sync("the start");

        for ns in ["legacy4", "legacy6"] {
            daemon.says(&format!("names are not answered in namespace {ns} until its `lo` is up"));
        }
        world.sh("ip -n legacy4 link set lo up; ip -n legacy6 link set lo up");

        answers(world, &daemon, ("four", "web"), "NOERROR 172.25.0.9");
        answers(world, &daemon, ("six", "web"), "NOERROR");
        for after in [
            "ip -n legacy6 link set lo down; ip -n legacy6 link set lo up",
            "ip -n legacy6 addr flush dev lo; ip -n legacy6 link set lo down; ip -n legacy6 link set lo up",
            "ip -n legacy6 link set lo down; sleep 0.3; ip -n legacy6 link set lo up",
        ] {
            world.sh(after);
            answers(world, &daemon, ("six", "web"), "NOERROR");
        }
        status(world, &daemon, "in sync", true);
    }
}

live! {
    fn a_namespace_that_its_owner_makes_anew_again_and_again_is_no_contest(world) {
        world.sh("ip netns add legacy4; ip -n legacy4 link set lo up; ip netns add legacy6");
        let daemon = watch(world, SHOP);

        for late in [0, 11, 22, 33, 5, 55, 0, 3, 80] {
            world.sh(&format!("ip netns del legacy4; ip netns add legacy4; sleep 0.{late:03}; ip -n legacy4 link set lo up"));
            answers(world, &daemon, ("four", "web"), "NOERROR 172.25.0.9");
            daemon.brings_it_in_sync("a restart");
        }
        assert!(world.pings("legacy4", "172.25.0.9"));
        assert!(!daemon.log().contains("contested"), "{}", daemon.log());

        // What somebody changes in there is another matter.
        let before = daemon.log().len();
        for _ in 0..6 {
            world.sh("ip -n legacy4 link set eth0 mtu 1400");
            patiently(&|| daemon.log(), || {
                let mtu = world.sh("ip -n legacy4 -o link show eth0");
                mtu.contains("mtu 1500") || daemon.log()[before..].contains("contested")
            });
        }
        assert!(daemon.log()[before..].contains("contested"), "{}", daemon.log());

        // It is over once the namespace is another one.
        world.sh("ip netns del legacy4; ip netns add legacy4; ip -n legacy4 link set lo up");
        answers(world, &daemon, ("four", "web"), "NOERROR 172.25.0.9");
        daemon.brings_it_in_sync("a restart");
        assert_eq!(ask(world, "web", "four"), "NOERROR 172.25.0.4");
    }
}

live! {
    fn a_suspended_daemon_leaves_nothing_in_a_namespace_that_is_let_go(world) {
        world.sh("ip netns add legacy4; ip -n legacy4 link set lo up; ip netns add legacy6; ip -n legacy6 link set lo up");
        let left = || world.sh("for ns in legacy4 legacy6; do ip netns exec $ns nft list tables; ip -n $ns -o link | grep -v lo: || true; done");
        let mut daemon = watch(world, SHOP);
        let started = |daemon: &Daemon<'_>| {
            answers(world, daemon, ("four", "web"), "NOERROR 172.25.0.9");
            world.run(&["suspend", "--for", "10m"]).exits(0);
        };
        let six = SHOP.replace("  four: {netns: legacy4, networks: {front: {address: 172.25.0.4}}}\n", "");

        // Let go by a part, and then by all of it; the daemon is killed, and asked to end.
        for signal in ["KILL", "TERM"] {
            started(&daemon);
            world.apply(&six);
            assert_eq!(world.sh("ip netns exec legacy4 nft list tables"), "", "one of two");
            assert_eq!(world.sh("ip netns exec legacy6 nft list tables"), "table ip netform-dns\n", "the other has its names");
            world.run(&["destroy", "--yes"]).exits(0);
            assert_eq!(left(), "");
            daemon.signal(signal);
            daemon.ends();
            assert_eq!(left(), "");
            world.sh("rm -f run/shop/suspended");
            daemon = watch(world, SHOP);
        }

        // A daemon that goes on brings all of it back.
        started(&daemon);
        world.run(&["destroy", "--yes"]).exits(0);
        world.run(&["resume"]).exits(0);
        answers(world, &daemon, ("four", "web"), "NOERROR 172.25.0.9");
        answers(world, &daemon, ("six", "web"), "NOERROR");
        daemon.brings_it_in_sync("resume");

        // Whoever cannot ask the daemon leaves it what is its own, and it takes that away when it ends.
        started(&daemon);
        let netform = env!("CARGO_BIN_EXE_netform");
        world.sh(&format!("{netform} --state-dir state --run-dir elsewhere destroy --yes"));
        assert!(left().contains("netform-dns"));
        daemon.signal("TERM");
        assert_eq!(daemon.ends(), 0);
        assert_eq!(left(), "");
    }
}

live! {
    fn what_another_projects_daemon_has_in_a_container_stays_when_a_suspended_one_lets_go(world) {
        world.sh("ip netns add legacy4; ip -n legacy4 link set lo up; ip netns add legacy6; ip -n legacy6 link set lo up");
        let shop = watch(world, SHOP);
        answers(world, &shop, ("four", "web"), "NOERROR 172.25.0.9");
        world.run(&["suspend", "--for", "10m"]).exits(0);
        world.file("lab.yaml", "netform: 1\nproject: lab\nnetworks: {lab: {subnets: [172.26.0.0/16]}}\ncontainers:\n  \
            bench: {networks: {lab: {address: 172.26.0.9}}}\n  four: {netns: /run/netns/legacy4, networks: {lab: {interface: lab0}}}\n");
        let lab = Daemon::of(world, "lab.yaml", &[]);
        let asked = || world.sh("ip netns exec legacy4 python3 ask.py udp bench");
        lab.says("names of this project are not answered in namespace /run/netns/legacy4");

        // Who is asked no more makes room for the other, and takes nothing of it when it ends.
        world.run(&["destroy", "--yes"]).exits(0);
        patiently(&|| lab.log(), || asked() == "NOERROR 172.26.0.9\n");
        shop.signal("TERM");
        assert_eq!(shop.ends(), 0);

        assert_eq!(asked(), "NOERROR 172.26.0.9\n");
    }
}
