//! What stays when a project leaves namespaces and files of others: nothing.

use super::daemon::Daemon;
use super::world::{World, live};

/// A container in a namespace of somebody else's, and one of our own.
const SHOP: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/24, 'fd00:25::/64']}}
containers:
  lab: {netns: /run/netns/lab, networks: [front]}
  web: {networks: [front]}
";

fn tables(world: &World, ns: &str) -> String {
    world.sh(&format!("ip netns exec {ns} nft list tables"))
}

live! {
    fn nothing_leads_to_a_daemon_that_has_ended_once_the_project_has_left(world) {
        world.sh("ip netns add lab; ip -n lab link set lo up");
        let without = SHOP.replace("  lab: {netns: /run/netns/lab, networks: [front]}\n", "");
        for signal in ["TERM", "KILL"] {
            for leaves in ["destroy", "apply"] {
                world.file("netform.yaml", SHOP);
                let daemon = Daemon::start(world, &[]);
                assert!(tables(world, "lab").contains("netform-dns"));
                daemon.signal(signal);
                daemon.ends();
                if leaves == "apply" {
                    world.file("netform.yaml", &without);
                }
                world.run(&[leaves, "--yes"]).exits(0);
                assert_eq!(tables(world, "lab"), "", "after {signal} and {leaves}");
                world.run(&["destroy", "--yes"]).exits(0);
                assert_eq!(world.sh("ip -n lab -o link | grep -vc ' lo:' || true").trim(), "0");
            }
        }
    }
}

live! {
    fn a_daemon_that_starts_with_a_container_less_leaves_nothing_either(world) {
        world.sh("ip netns add lab; ip -n lab link set lo up");
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        daemon.signal("KILL");
        daemon.ends();
        world.file("netform.yaml", &SHOP.replace("  lab: {netns: /run/netns/lab, networks: [front]}\n", ""));

        let _daemon = Daemon::start(world, &[]);

        assert_eq!(tables(world, "lab"), "");
        assert!(tables(world, "web").contains("netform-dns"));
    }
}

live! {
    fn what_leads_to_the_daemon_of_another_project_stays(world) {
        world.sh("ip netns add lab; ip -n lab link set lo up");
        let blog = SHOP.replace("project: shop", "project: blog").replace("172.25", "172.26").replace("fd00:25", "fd00:26");
        let blog = blog.replace("web:", "blog:").replace("{front: {", "{rear: {internal: true, ").replace("[front]", "[rear]");
        world.file("blog.yaml", &blog.replace("networks: [rear]}\n  blog", "networks: {rear: {interface: rear0}}}\n  blog"));
        world.run(&["apply", "--yes", "blog.yaml"]).exits(0);
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        let before = tables(world, "lab");
        assert!(before.contains("netform-dns"));

        world.run(&["destroy", "--yes", "blog.yaml"]).exits(0);

        assert_eq!(tables(world, "lab"), before);
        drop(daemon);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(tables(world, "lab"), "");
    }
}
