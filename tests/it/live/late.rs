//! Namespaces of somebody else that are not ready when they come, and that are made anew again and again.

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
