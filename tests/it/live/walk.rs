//! The walk through three containers and two networks.

use super::world::{Listen, address_of, live};

const WALK: &str = include_str!("../../../examples/seed-walk.yaml");

live! {
    fn containers_meet_on_the_networks_that_they_share_and_nowhere_else(world) {
        world.apply(WALK);
        let container1 = address_of(world, "container1", "eth0").to_string();
        let container2 = address_of(world, "container2", "eth0").to_string();

        assert!(world.pings("container2", "172.25.3.3"), "2 reaches 3 by address");
        assert!(world.pings("container2", "container3"), "2 reaches 3 by name");
        assert!(!world.pings("container1", "172.25.3.3"), "1 does not reach 3");
        assert!(world.pings("container2", &container1), "2 reaches 1 on the default network");
        assert!(world.pings("container1", &container2), "1 reaches 2 on the default network");
        assert!(!world.pings("container1", "container2"), "the default network has no names");

        let eth0 = world.sh("ip -n container3 -o -4 addr show dev eth0");
        assert!(eth0.contains("inet 172.25.3.3/16 brd 172.25.255.255"), "{eth0}");
        let route = world.sh("ip -n container3 -4 route show default");
        assert!(route.starts_with("default via 172.25.0.1 dev eth0"), "{route}");
        world.assert_in_sync();
    }
}

live! {
    fn the_host_shows_a_bridge_for_each_network_and_a_veth_for_each_attachment(world) {
        world.apply(WALK);

        assert_eq!(world.sh("ip -o link show type bridge | wc -l").trim(), "2");
        assert_eq!(world.sh("ip -o link show type veth | wc -l").trim(), "4");
        assert_eq!(world.sh("ip -o link show type veth master br-mynet | wc -l").trim(), "2");
        assert!(world.sh("ip link show netform.walk.container3.mynet").contains("master br-mynet"));
    }
}

live! {
    fn taking_a_container_off_a_network_cuts_exactly_that(world) {
        world.apply(WALK);
        let before = world.sh("ip -n container3 -o link; ip -n container1 -o link; ip -o link show master br-default");
        world.apply(&WALK.replace("[default, mynet]", "[default]"));

        assert!(!world.pings("container2", "172.25.3.3"));
        let container1 = address_of(world, "container1", "eth0").to_string();
        assert!(world.pings("container2", &container1));
        assert_eq!(world.sh("ip -n container2 -o link | wc -l").trim(), "2", "lo and eth0");
        let after = world.sh("ip -n container3 -o link; ip -n container1 -o link; ip -o link show master br-default");
        assert_eq!(before, after);
    }
}

live! {
    fn a_network_that_is_still_named_cannot_be_removed(world) {
        world.apply(WALK);
        let without = WALK.replace("  mynet:\n    subnets: [172.25.0.0/16]\n", "  other: {}\n");
        let line = 1 + without.lines().position(|line| line.contains("[default, mynet]")).unwrap();
        world.file("netform.yaml", &without);

        let done = world.run(&["apply", "--yes"]).exits(65);

        assert!(done.stderr.contains(&format!("netform.yaml:{line}:")), "{}", done.stderr);
        assert!(done.stderr.contains("`container3` still on `mynet`"), "{}", done.stderr);
        assert!(world.pings("container2", "172.25.3.3"), "nothing has changed");
    }
}

live! {
    fn removing_a_network_and_its_last_container_removes_the_bridge_and_nothing_else(world) {
        world.sh("ip link add br-mine type bridge && ip addr add 192.0.2.1/24 dev br-mine && nft add table ip mine");
        let foreign = world.sh("ip -d -o addr show dev br-mine");
        world.apply(WALK);
        world.apply(
            &WALK
                .replace("  mynet:\n    subnets: [172.25.0.0/16]\n", "  other: {subnets: [10.9.0.0/24]}\n")
                .replace("[default, mynet]", "[default]")
                .replace("  container3:\n    networks:\n      mynet: {address: 172.25.3.3}\n", ""),
        );

        assert_ne!(world.try_sh("ip link show br-mynet").code, 0);
        assert_ne!(world.try_sh("ip netns pids container3").code, 0);
        assert_eq!(world.sh("ip -o link show type veth | wc -l").trim(), "2");
        assert_eq!(world.sh("ip -d -o addr show dev br-mine"), foreign);
        assert!(world.sh("nft list tables").contains("table ip mine"));
    }
}

live! {
    fn destroy_leaves_the_host_as_it_was(world) {
        let before = world.sh("ip -o link; ip -o addr; ip route; ip -6 route; nft list ruleset; ip netns; sysctl -n net.ipv4.ip_forward");
        world.apply(WALK);

        world.run(&["destroy", "--yes"]).exits(0);
        let again = world.run(&["destroy", "--yes"]).exits(0);

        assert!(again.stdout.contains("othing to destroy"), "{}", again.stdout);
        let after = world.sh("ip -o link; ip -o addr; ip route; ip -6 route; nft list ruleset; ip netns; sysctl -n net.ipv4.ip_forward");
        assert_eq!(before, after);
    }
}

live! {
    fn a_connection_outlives_an_apply_that_changes_something_else(world) {
        world.apply(WALK);
        let _server = world.serve("container3", &Listen::tcp(80), "three");
        world.sh("mkfifo in; (ip netns exec container2 python3 -c '
import socket, sys
s = socket.create_connection((\"172.25.3.3\", 80)); s.recv(100); open(\"open\", \"w\")
open(\"in\").read(); s.send(b\"still here\"); s.settimeout(2); open(\"out\", \"w\").write(s.recv(100).decode())' > /dev/null 2>&1 &) ; \
            while [ ! -e open ]; do sleep 0.02; done");
        let index = world.sh("ip -n container3 -o link show eth0");

        world.apply(&format!("{WALK}  container4: {{networks: [mynet], publish: [\"8080:80\"]}}\n"));
        world.sh("echo > in; for _ in $(seq 100); do [ -s out ] && break; sleep 0.02; done");

        assert_eq!(world.sh("cat out"), "still here");
        assert_eq!(world.sh("ip -n container3 -o link show eth0"), index);
    }
}
