//! Networks behind a VLAN of a link of the host.

use super::super::daemon::Daemon;
use super::super::world::{World, eventually, live};
use super::{Feature, has, wired};

/// Lets the host's neighbour hear two VLANs.
fn tagged(world: &World) {
    wired(world);
    for id in ["10", "20"] {
        world.sh(&format!(
            "ip -n peer link add link p0 name v{id} type vlan id {id}; ip -n peer link set v{id} up
             ip -n peer addr add 10.{id}.0.1/24 dev v{id}; ip -n peer addr add fd00:{id}::1/64 dev v{id} nodad"
        ));
    }
}

live! {
    fn a_vlan_of_somebody_else_is_a_parent_as_any_other(world) {
        if !has(world, Feature::Vlan) {
            return;
        }
        tagged(world);
        world.sh("ip link add link eth0 name eth0.10 type vlan id 10; ip link set eth0.10 up");
        let link = || world.sh("ip -d -o link show eth0.10 | sed 's/state [A-Z]*//'");
        let before = link();

        world.apply(
            "netform: 1
project: lan
networks:
  ten: {driver: macvlan, options: {parent: eth0.10}, subnets: [10.10.0.0/24, 'fd00:10::/64']}
containers: {a: {networks: {ten: {address: [10.10.0.7, 'fd00:10::7']}}}}
",
        );

        world.assert_in_sync();
        assert!(world.pings("a", "10.10.0.1") && world.pings("a", "fd00:10::1"));
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(link(), before);
    }
}

fn tens(networks: &str, containers: &str) -> String {
    format!("netform: 1\nproject: lan\nnetworks:\n{networks}containers: {containers}\n")
}

const TEN: &str =
    "  ten: {driver: macvlan, options: {parent: eth0.10}, subnets: [10.10.0.0/24, 'fd00:10::/64']}\n";
const TOO: &str = "  too: {driver: macvlan, options: {parent: eth0.10}, subnets: [10.11.0.0/24]}\n";
const TWENTY: &str = "  twenty: {driver: ipvlan, options: {parent: eth0.20}, subnets: [10.20.0.0/24]}\n";

live! {
    fn a_vlan_is_made_shared_repaired_handed_over_and_removed(world) {
        if !has(world, Feature::Vlan) || !has(world, Feature::Ipvlan) {
            return;
        }
        tagged(world);
        world.sh("ip link set eth0 down");
        let both = "{a: {networks: {ten: {address: [10.10.0.7, 'fd00:10::7']}}}, b: {networks: {too: , twenty: {address: 10.20.0.7}}}}";
        let told = world.apply(&tens(&format!("{TEN}{TOO}{TWENTY}"), both));

        assert!(told.contains("vlan: 10") && told.contains("`eth0` is down"), "{told}");
        world.assert_in_sync();
        world.sh("ip link set eth0 up");
        for (from, to) in [("a", "10.10.0.1"), ("a", "fd00:10::1"), ("b", "10.20.0.1")] {
            // The carrier of what stands on the link follows by the kernel's work queue (net/core/link_watch.c).
            eventually(to, || world.pings(from, to));
        }
        assert!(world.sh("ip link show netform.lan.ten").contains("eth0.10@eth0"), "it carries its name and mark");

        world.sh("ip link set eth0.20 down; ip link del eth0.10");
        let (plan, _) = world.plan();
        assert!(plan.contains("network.ten") && plan.contains("network.twenty") && plan.contains("attachment.a@ten"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        eventually("both are repaired", || world.pings("a", "10.10.0.1") && world.pings("b", "10.20.0.1"));

        let fewer = world.apply(&tens(TOO, "{b: {networks: [too]}}"));
        assert!(fewer.contains("altname: netform.lan.ten -> netform.lan.too") && fewer.contains("(its VLAN is removed)"), "the VLAN is handed over as it is:\n{fewer}");
        assert_eq!(world.try_sh("ip link show eth0.20").code, 1);
        world.assert_in_sync();

        world.file("theirs.yaml", "netform: 1\nproject: theirs\nnetworks: {n: {driver: macvlan, options: {parent: eth0.10}, subnets: [10.12.0.0/24]}}\ncontainers: {z: {networks: [n]}}\n");
        world.run(&["apply", "--yes", "theirs.yaml"]).exits(0);
        let refused = world.run(&["destroy", "--yes"]).exits(9).stderr;
        assert!(refused.contains("eth0 in z of project theirs stands on it"), "{refused}");
        world.run(&["destroy", "--yes", "theirs.yaml"]).exits(0);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link | grep -c vlan || true").trim(), "0");
    }
}

live! {
    fn the_daemon_makes_a_vlan_again_and_waits_for_its_link(world) {
        if !has(world, Feature::Vlan) {
            return;
        }
        tagged(world);
        world.file("netform.yaml", &tens(TEN, "{a: {networks: {ten: {address: [10.10.0.7, 'fd00:10::7']}}}}"));
        let daemon = Daemon::start(world, &[]);
        world.sh("ip link del eth0.10");
        daemon.brings_it_in_sync("the VLAN was deleted");
        assert!(world.pings("a", "10.10.0.1"));

        world.sh("ip link del eth0");
        daemon.says("network `ten` waits for it");
        world.sh("ip netns del peer");
        tagged(world);
        eventually("the link is back", || world.pings("a", "10.10.0.1"));
        daemon.brings_it_in_sync("the link is back");
    }
}
