//! Containers behind a link of the host, with that link's address.

use super::super::daemon::Daemon;
use super::super::world::live;
use super::{Feature, has, wired};

fn lan(options: &str, containers: &str) -> String {
    format!(
        "netform: 1
project: lan
networks:
  lan:
    driver: ipvlan
    options: {{parent: eth0{options}}}
    subnets: [{{cidr: 192.168.9.0/24, gateway: 192.168.9.1, pool: 192.168.9.8/29}}, {{cidr: 'fd00:9::/64', gateway: 'fd00:9::1'}}]
containers: {containers}
"
    )
}

/// Two subnets that the host routes.
fn routed(mode: &str, containers: &str) -> String {
    format!(
        "netform: 1
project: lan
networks:
  lan: {{driver: ipvlan, options: {{parent: eth0, mode: {mode}}}, subnets: [10.50.0.0/24, 10.51.0.0/24, 'fd00:50::/64']}}
containers: {containers}
"
    )
}

live! {
    fn a_container_is_one_more_host_with_the_parents_address(world) {
        if !has(world, Feature::Ipvlan) {
            return;
        }
        wired(world);
        let before = world.sh("ip -o link show eth0 | sed 's/state [A-Z]*//'; ip -o -4 addr show eth0");

        world.apply(&lan("", "{a: {networks: [lan]}, b: {networks: [lan]}, c: {networks: [lan]}}"));

        world.assert_in_sync();
        for to in ["192.168.9.9", "192.168.9.11", "192.168.9.1", "203.0.113.5", "fd00:9::1", "fd00:9::3"] {
            assert!(world.pings("a", to), "{to}");
        }
        assert!(world.pings("peer", "192.168.9.8"), "nothing stands between");
        assert!(!world.pings("host", "192.168.9.8"), "the host itself is not on the network");
        let mac = |at: &str| world.sh(&format!("ip {at} -o link show eth0 | grep -o 'ether [^ ]*'"));
        assert_eq!(mac("-n a"), mac(""));
        let told = world.run(&["explain", "lan"]).exits(0).stdout;
        assert!(told.contains("it is behind eth0"), "{told}");
        let path = world.run(&["explain", "--path", "a", "b"]).exits(0).stdout;
        assert!(path.contains("from one ipvlan interface to another"), "{path}");

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show eth0 | sed 's/state [A-Z]*//'; ip -o -4 addr show eth0"), before);
        assert_eq!(world.sh("ip netns list | awk '{print $1}'"), "peer\n");
    }
}

live! {
    fn where_the_host_routes_a_container_needs_no_gateway_and_reaches_every_subnet(world) {
        if !has(world, Feature::Ipvlan) {
            return;
        }
        wired(world);
        world.sh("ip -6 addr add fd00:9::10/64 dev eth0 nodad
             ip -n peer route add 10.50.0.0/23 via 192.168.9.10; ip -n peer route add fd00:50::/64 via fd00:9::10");
        let both = "{a: {networks: {lan: {address: [10.50.0.7, 'fd00:50::7']}}}, b: {networks: {lan: {address: [10.51.0.8, 'fd00:50::8']}}}}";
        for mode in ["l3", "l3s"] {
            world.apply(&routed(mode, both));

            let routes = world.sh("ip -n a route show default; ip -n a -6 route show default");
            assert_eq!(routes.matches("default dev eth0 proto 110").count(), 2, "{routes}");
            assert!(world.sh("ip -n a -d link show eth0").contains(&format!("mode {mode} ")));
            for to in ["10.51.0.8", "fd00:50::8", "192.168.9.1", "fd00:9::1"] {
                assert!(world.pings("a", to), "{mode}: {to}");
            }
        }
        world.sh("ip -n a route del default; ip -n b link del eth0");
        let (plan, changes) = world.plan();
        assert!(changes && plan.contains("attachment.a@lan") && plan.contains("attachment.b@lan"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(world.pings("a", "10.51.0.8"));
    }
}

live! {
    fn mode_flag_and_driver_are_changed_by_making_all_links_anew(world) {
        if !has(world, Feature::Ipvlan) {
            return;
        }
        wired(world);
        let two = "{a: {networks: [lan]}, b: {networks: [lan]}}";
        world.apply(&lan("", two));
        for (options, why, hears) in [
            (", flag: private", "its flag becomes private instead of bridge", false),
            ("", "its flag becomes bridge instead of private", true),
        ] {
            let done = world.apply(&lan(options, two));
            assert!(done.contains(why) && done.contains("interrupts a (its link is replaced)"), "{done}");
            assert_eq!(world.pings("a", "192.168.9.9"), hears, "{options}");
            assert!(world.pings("a", "192.168.9.1"), "{options}");
        }
        for driver in ["macvlan", "ipvlan"] {
            world.apply(&lan("", two).replace("ipvlan", driver));
            assert!(world.pings("a", "192.168.9.9"), "{driver}");
        }
        world.sh("ip -n a link set eth0 type ipvlan mode l3");
        let done = world.run(&["apply", "--yes"]).exits(0).stdout;
        assert!(done.contains("attachment.a@lan") && done.contains("attachment.b@lan"), "the kernel changed both:\n{done}");
        world.assert_in_sync();
    }
}

live! {
    fn what_others_have_on_the_parent_is_told_before_anything_is_done(world) {
        if !has(world, Feature::Ipvlan) {
            return;
        }
        wired(world);
        let manifest = lan("", "{a: {networks: [lan]}}");
        world.file("netform.yaml", &manifest);
        world.sh("ip netns add theirs; ip link add link eth0 name m0 netns theirs type macvlan");
        let refused = world.run(&["apply", "--yes"]).exits(65).stderr;
        assert!(refused.contains("m0 in theirs is macvlan on it") && refused.contains("netform.yaml:6"), "{refused}");
        assert_eq!(world.try_sh("ip netns list | grep -w a").code, 1, "nothing was made");

        // The kernel takes the link away a little after its namespace.
        world.sh("ip -n theirs link del m0; ip netns del theirs; ip link add link eth0 name i0 type ipvlan mode l3");
        let refused = world.run(&["apply", "--yes"]).exits(65).stderr;
        assert!(refused.contains("i0 is ipvlan in mode l3 on it"), "{refused}");

        world.sh("ip link del i0");
        world.apply(&manifest);
        world.file("other.yaml", "netform: 1\nproject: other\nnetworks: {n: {driver: macvlan, options: {parent: eth0}, subnets: [10.1.0.0/24]}}\ncontainers: {z: {networks: [n]}}\n");
        let refused = world.run(&["apply", "--yes", "other.yaml"]).exits(65).stderr;
        assert!(refused.contains("eth0 in a of project lan is ipvlan in mode l2"), "{refused}");
    }
}

live! {
    fn the_daemon_keeps_ipvlan_links_up(world) {
        if !has(world, Feature::Ipvlan) {
            return;
        }
        wired(world);
        world.file("netform.yaml", &lan("", "{a: {networks: [lan]}, b: {networks: [lan]}}"));
        let daemon = Daemon::start(world, &[]);
        let break_it = "ip -n a link del eth0; ip -n b addr flush dev eth0";
        world.sh(break_it);
        daemon.brings_it_in_sync(break_it);
        assert!(world.pings("a", "192.168.9.9") && world.pings("b", "203.0.113.5"));
    }
}

live! {
    fn the_host_is_beside_its_containers_in_every_mode(world) {
        if !has(world, Feature::Ipvlan) {
            return;
        }
        wired(world);
        for mode in ["l2", "l3"] {
            world.apply(&format!(
                "netform: 1
project: lan
networks:
  lan: {{driver: ipvlan, options: {{parent: eth0, mode: {mode}, host_address: [192.168.9.20, 'fd00:9::20']}}, subnets: [192.168.9.0/24, 'fd00:9::/64']}}
containers: {{a: {{networks: {{lan: {{address: [192.168.9.30, 'fd00:9::30']}}}}}}}}
"
            ));
            world.assert_in_sync();
            for (from, to) in [("host", "192.168.9.30"), ("host", "fd00:9::30"), ("a", "192.168.9.20"), ("a", "fd00:9::20")] {
                assert!(world.pings(from, to), "{mode}: {from} to {to}");
            }
        }
        world.run(&["destroy", "--yes"]).exits(0);
        assert!(!world.sh("ip -o link").contains("ipvlan"));
    }
}
