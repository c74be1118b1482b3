//! The end of a pair on the host that somebody has moved to another namespace: the container's is made again.

use super::daemon::{Daemon, patiently};
use super::failure::{haunted, killed};
use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}}
containers:
  web: {networks: {front: {address: [172.25.3.3, 'fd00:25::3']}}}
  db: {networks: {front: {address: [172.25.3.4, 'fd00:25::4']}}}
";

/// Moves the end of `web` on the host away.
fn depart(world: &World) {
    world
        .sh("ip link set netform.shop.web.front netns outs && ip -n outs link set netform.shop.web.front up");
    assert!(!world.pings("web", "172.25.3.4"));
}

fn links(world: &World) -> String {
    world.sh("for ns in outs web; do ip -n $ns -br link | sed 's/ .*//'; done")
}

fn works(world: &World) -> bool {
    world.pings("web", "172.25.3.4") && world.pings("db", "fd00:25::3")
}

live! {
    fn the_end_that_somebody_moved_away_is_made_again(world) {
        world.apply(SHOP);
        world.sh("ip netns add outs; ip -n outs link add theirs type veth peer name theirs2");
        let before = links(world).replace(|it: char| it.is_ascii_digit(), "");
        for run in [&["apply", "--yes"][..], &["apply", "--yes", "--target", "attachment.web@front"]] {
            depart(world);
            let (plan, changes) = world.plan();
            assert!(changes && plan.contains("attachment.web@front") && plan.contains("drift"), "{plan}");
            world.run(run).exits(0);
            world.assert_in_sync();
            assert!(works(world));
            assert_eq!(links(world).replace(|it: char| it.is_ascii_digit(), ""), before);
        }
        // What is published is led there last, so that the links are made by then.
        depart(world);
        world.file("netform.yaml", &SHOP.replace("web: {", "web: {publish: ['8080:80'], "));
        let failed = haunted(world, 1, &["apply", "--yes"]);
        assert!([3, 4].contains(&failed.code), "{}: {}", failed.code, failed.stderr);
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(works(world), "after one failed");

        for manifest in [SHOP.to_owned(), SHOP.replace("web: {", "web: {publish: ['8081:80'], ")] {
            depart(world);
            world.file("netform.yaml", &manifest);
            killed(world, 1, &["apply", "--yes"]);
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert!(works(world), "after one was killed");
        }

        depart(world);
        world.run(&["destroy", "--yes"]).exits(0);
        // The kernel removes what was in a namespace a little later.
        let left = || world.sh("ls /run/netns; ip -n outs -br link | sed 's/[ @].*//'");
        patiently(&left, || left() == "outs\nlo\ntheirs2\ntheirs\n");
    }
}

live! {
    fn the_daemon_makes_the_end_again(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h", "--contested-after", "0"]);
        world.sh("ip netns add outs");
        for _ in 0..2 {
            depart(world);
            patiently(&|| daemon.log(), || works(world));
        }
        daemon.brings_it_in_sync("a departure");
    }
}

live! {
    fn what_is_not_sure_to_be_that_pair_stays(world) {
        world.apply(SHOP);
        let mac = world.sh("ip -n web -br link show eth0 | awk '{print $3}'");
        world.sh("ip netns add outs");
        for (mac, addr) in [("02:00:00:00:00:09", "172.25.3.3/16"), (mac.trim(), "10.0.0.1/24")] {
            world.sh("ip link del netform.shop.web.front; ip -n web link del eth0 2>/dev/null || true");
            world.sh(&format!("ip -n web link add eth0 address {mac} type veth peer name theirs netns outs; ip -n web addr add {addr} dev eth0; ip -n web link set eth0 up"));
            let refused = world.run(&["apply", "--yes"]).exits(9).stderr;
            assert!(refused.contains("veth eth0 is in the way"), "{refused}");
            assert!(links(world).contains("theirs"));
            world.sh("ip -n web link del eth0");
            world.run(&["apply", "--yes"]).exits(0);
        }
    }
}
