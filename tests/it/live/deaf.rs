//! Forwarding that is switched off on one link: nothing that comes by it goes any further.

use super::daemon::{Daemon, patiently};
use super::failure::{haunted, killed};
use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/24]}
  cable: {driver: veth, options: {host: true}, subnets: [10.9.0.0/30]}
containers: {web: {networks: [front]}, db: {networks: [cable]}}
";

fn uplink(world: &World) {
    world.sh("ip netns add ext && ip link add up0 type veth peer name r0 netns ext && ip link set up0 up &&
        ip -n ext link set lo up && ip -n ext link set r0 up && ip -n ext addr add 192.0.2.1/24 dev r0 &&
        ip addr add 192.0.2.10/24 dev up0 && ip route add default via 192.0.2.1");
}

fn forwarding(world: &World, link: &str) -> String {
    world.sh(&format!("cat /proc/sys/net/ipv4/conf/{link}/forwarding")).trim().to_owned()
}

fn reach(world: &World) -> [bool; 2] {
    ["web", "db"].map(|from| world.pings(from, "192.0.2.1"))
}

live! {
    fn forwarding_that_is_off_on_a_link_of_ours_is_set_back(world) {
        uplink(world);
        world.apply(SHOP);
        assert_eq!(reach(world), [true, true]);
        for link in ["br-front", "ve-cable"] {
            world.sh(&format!("sysctl -qw net.ipv4.conf.{link}.forwarding=0"));
            assert_ne!(reach(world), [true, true]);

            let (plan, changes) = world.plan();
            assert!(changes && plan.contains("[drift]") && plan.contains("forwarding on -> off"), "{plan}");
            let verbose = world.run(&["plan", "-v"]).exits(0).stdout;
            assert!(verbose.contains(&format!("sysctl -w net/ipv4/conf/{link}/forwarding=1")), "{verbose}");

            world.file("netform.yaml", &SHOP.replace("web: {", "web: {publish: ['8080:80'], "));
            haunted(world, 1, &["apply", "--yes"]).exits(4);
            assert_eq!(forwarding(world, link), "0", "undone");
            killed(world, 1, &["apply", "--yes"]);
            world.file("netform.yaml", SHOP);
            world.run(&["apply", "--yes"]).exits(0);
            assert_eq!(forwarding(world, link), "1");
            assert_eq!(reach(world), [true, true]);
            world.assert_in_sync();
        }
        // Where the host does not forward at all, that is all there is to say.
        world.sh("sysctl -qw net.ipv4.ip_forward=0");
        let plan = world.plan().0;
        assert!(plan.contains("ip_forward") && !plan.contains("forwarding on -> off"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert_eq!(reach(world), [true, true]);
    }
}

live! {
    fn a_new_link_is_forwarded_from_though_new_links_are_not(world) {
        uplink(world);
        world.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.default.forwarding=0");
        world.apply(SHOP);
        assert_eq!(reach(world), [true, true]);
        world.assert_in_sync();
    }
}

live! {
    fn nothing_is_switched_on_for_who_goes_nowhere(world) {
        world.apply("netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/24], internal: true}}\ncontainers: {web: {networks: [front]}}\n");
        assert_eq!(forwarding(world, "br-front"), "0");
        world.assert_in_sync();
    }
}

live! {
    fn the_uplink_that_is_not_forwarded_from_is_told(world) {
        uplink(world);
        world.apply(SHOP);
        assert!(!world.plan().0.contains("Warning"), "{}", world.plan().0);

        world.sh("sysctl -qw net.ipv4.conf.up0.forwarding=0");

        let (plan, changes) = world.plan();
        assert!(!changes && plan.contains("Warning: the host forwards no IPv4 that comes by `up0`"), "{plan}");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(forwarding(world, "up0"), "0", "it is not ours");
    }
}

live! {
    fn the_daemon_switches_forwarding_on_again(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h", "--contested-after", "0"]);
        // After what is told of all links.
        world.sh("sysctl -qw net.ipv4.ip_forward=0");
        patiently(&|| daemon.log(), || world.sh("cat /proc/sys/net/ipv4/ip_forward") == "1\n");
        std::thread::sleep(std::time::Duration::from_millis(300));
        for link in ["br-front", "ve-cable"] {
            world.sh(&format!("sysctl -qw net.ipv4.conf.{link}.forwarding=0"));
            patiently(&|| format!("{link}: {}", daemon.log()), || forwarding(world, link) == "1");
        }
        daemon.says("forwarding on -> off; set back");
    }
}

live! {
    fn the_daemon_does_not_blame_the_uplink_for_what_it_has_switched_on_itself(world) {
        uplink(world);
        assert_eq!([forwarding(world, "all"), forwarding(world, "up0")], ["0", "0"]);
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        assert_eq!(forwarding(world, "up0"), "1");
        daemon.signal("HUP");
        world.file("netform.yaml", &SHOP.replace("web: {", "web: {publish: ['8080:80'], "));
        daemon.says("generation 2 is in force");
        assert!(!daemon.log().contains("forwards no IPv4"), "{}", daemon.log());

        // What somebody does afterwards is told, and so is what he takes back.
        world.sh("sysctl -qw net.ipv4.conf.up0.forwarding=0");
        world.file("netform.yaml", SHOP);
        daemon.says("forwards no IPv4 that comes by `up0`");
    }
}
