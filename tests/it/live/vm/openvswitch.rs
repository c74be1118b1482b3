//! Bridges of Open vSwitch whose packets the kernel forwards.

use super::super::switch::Switch;
use super::super::world::{World, eventually, live};
use super::{Feature, has};

const SHOP: &str = "\
netform: 1
project: shop
networks: {front: {driver: openvswitch, subnets: [172.25.0.0/24]}}
containers:
  web: {networks: {front: {address: 172.25.0.10}}, publish: ['8080:80']}
  db: {networks: {front: {address: 172.25.0.11}}}
  red: {networks: {front: {address: 172.25.0.12, vlan: 10}}}
  too: {networks: {front: {address: 172.25.0.13, vlan: 10}}}
";

/// Tells whether a namespace gets an answer over TCP. What is asked first after a change may be lost: a packet that the datapath
/// knows no flow for waits for `ovs-vswitchd`, which has a core that is emulated, and shares it with another story.
fn hears(world: &World, from: &str, to: &str) -> bool {
    let began = std::time::Instant::now();
    let answer = world.try_sh(&format!("{from} timeout 5 busybox nc -w 3 {to} </dev/null"));
    let hears = answer.stdout.contains("hello");
    if !hears {
        eprintln!("`{from}` to {to}: code {} after {:?}: {}", answer.code, began.elapsed(), answer.stderr);
        eprintln!("{}", world.try_sh("ovs-appctl dpctl/dump-flows; ovs-appctl fdb/show br-front; ip netns exec db ip neigh; ip netns exec web ip neigh").stdout);
    }
    hears
}

live! {
    fn the_kernel_forwards_what_a_bridge_of_open_vswitch_has(world) {
        if !has(world, Feature::Openvswitch) {
            return;
        }
        let Some(switch) = Switch::start(world) else { return };
        let before = world.sh("ip -o link show type veth; ip -o -4 addr") + &switch.records();
        world.apply(SHOP);

        world.assert_in_sync();
        assert!(world.sh("ip -d link show br-front").contains("openvswitch"));
        let serve = "ip netns exec web busybox nc -ll -p 80 -e /bin/echo hello";
        let mut server = world.beside(serve);
        // 80 is 50 in there, and `LISTEN` is 0A.
        let listens = "ip netns exec web grep -q ':0050 .* 0A ' /proc/net/tcp /proc/net/tcp6";
        eventually("it listens", || world.try_sh(listens).code == 0);
        for (from, to) in [("ip netns exec db", "172.25.0.10 80"), ("", "172.25.0.10 80"), ("", "127.0.0.1 8080"), ("ip netns exec db", "172.25.0.1 8080")] {
            eventually(&format!("`{from}` hears {to}"), || hears(world, from, to));
        }
        eventually("neighbours in one VLAN", || world.pings("red", "172.25.0.13"));
        assert!(!world.pings("red", "172.25.0.10") && !world.pings("red", "172.25.0.1"));

        for break_it in [
            "ovs-vsctl del-br br-front",
            "ip netns del red",
            "ip link set br-front down",
        ] {
            world.sh(break_it);
            assert!(world.plan().1, "{break_it}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            eventually(break_it, || hears(world, "ip netns exec db", "172.25.0.10 80") && world.pings("red", "172.25.0.13"));
        }
        // What the daemon makes anew when it starts, is known by its record.
        switch.stop_daemon();
        switch.start_daemon();
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        eventually("a start of ovs-vswitchd", || hears(world, "ip netns exec db", "172.25.0.10 80"));
        server.kill().ok();
        server.wait().ok();

        world.file("linux.yaml", &SHOP.replace("driver: openvswitch, ", "").replace(", vlan: 10", ""));
        world.run(&["apply", "--yes", "linux.yaml"]).exits(0);
        eventually("the same links, on a Linux bridge", || world.pings("red", "172.25.0.10"));
        world.run(&["apply", "--yes"]).exits(0);
        eventually("and back", || world.pings("red", "172.25.0.13"));

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show type veth; ip -o -4 addr") + &switch.records(), before);
    }
}
