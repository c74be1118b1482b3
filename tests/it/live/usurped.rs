//! Routes that somebody puts in the place of ours: in a namespace that netform made they are set back, elsewhere they are others'.

use super::daemon::{Daemon, patiently};
use super::failure::{haunted, killed};
use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}}
containers:
  web:
    networks:
      front: {address: [172.25.3.3, 'fd00:25::3'], routes: [{to: 10.77.0.0/16, via: 172.25.3.4, table: 100}]}
  db: {networks: {front: {address: 172.25.3.4}}}
";

/// What somebody puts in the place of what.
const DEEDS: &[(&str, &str)] = &[
    ("route replace default via 172.25.3.4", "default route in web via 172.25.0.1 -> 172.25.3.4"),
    ("route replace default dev other", "interface eth0 -> other"),
    ("route replace prohibit default", "default route in web"),
    ("-6 route replace default via fd00:25::9", "default route (IPv6) in web via fd00:25::1 -> fd00:25::9"),
    ("-6 route replace default dev eth0", "default route (IPv6) in web via fd00:25::1 -> none"),
    ("-6 route replace default dev other", "interface eth0 -> other"),
    ("-6 route replace blackhole default metric 1024", "default route (IPv6) in web"),
    (
        "route replace 10.77.0.0/16 via 172.25.3.9 table 100",
        "route 10.77.0.0/16 table 100 in web via 172.25.3.4 -> 172.25.3.9",
    ),
];

/// A link of somebody else's in the container.
fn stranger(world: &World) {
    world.sh("ip -n web link add other type veth peer name other2 && ip -n web link set other up && ip -n web link set other2 up");
}

fn routes(world: &World) -> String {
    world.sh("for f in -4 -6; do ip -n web $f route show table all proto 110; ip -n web $f route show default; done")
}

/// All routes of the container, whoever made them.
fn all(world: &World) -> String {
    world.sh(
        "for f in -4 -6; do ip -n web $f route show table all | grep -v -e multicast -e fe80 | sed 's/ pref.*//'; done",
    )
}

live! {
    fn in_a_namespace_of_ours_what_took_the_place_of_a_route_of_ours_is_set_back(world) {
        world.apply(SHOP);
        stranger(world);
        let before = routes(world);
        for (deed, said) in DEEDS {
            world.sh(&format!("ip -n web {deed}"));
            let usurped = all(world);

            let (plan, changes) = world.plan();
            assert!(changes && plan.contains("[drift]") && plan.contains(said), "after `{deed}`, {said} in:\n{plan}");

            // The port comes after the route.
            let port = SHOP.replace("  db:", "    publish: ['8080:80']\n  db:");
            world.file("netform.yaml", &port);
            haunted(world, 1, &["apply", "--yes"]).exits(4);
            assert_eq!(all(world), usurped, "undone: {deed}");
            killed(world, 1, &["apply", "--yes"]);
            world.file("netform.yaml", SHOP);
            world.run(&["apply", "--yes"]).exits(0);
            assert_eq!(routes(world), before, "{deed}");
            world.assert_in_sync();
        }
        world.sh("ip -n web route replace default dev other");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip netns; ip -o link show type bridge"), "");
    }
}

live! {
    fn the_daemon_sets_back_what_took_the_place_of_a_route_of_ours(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h", "--contested-after", "0"]);
        stranger(world);
        let before = routes(world);
        for (deed, said) in DEEDS {
            world.sh(&format!("ip -n web {deed}"));
            daemon.says(said);
            patiently(&|| format!("`{deed}`: {}", daemon.log()), || routes(world) == before);
        }
    }
}

live! {
    fn in_a_namespace_of_somebody_else_it_is_in_the_way(world) {
        world.sh("ip netns add pod && ip -n pod link set lo up");
        let pod = SHOP.replace("  web:\n", "  web:\n    netns: pod\n");
        world.apply(&pod);
        for deed in ["route replace default via 172.25.3.4", "-6 route replace default dev eth0"] {
            world.sh(&format!("ip -n pod {deed}"));
            let refused = world.run(&["plan"]).exits(9).stderr;
            assert!(refused.contains("is in the way"), "{refused}");
            world.sh(&format!("ip -n pod {}", deed.split(" via").next().unwrap().split(" dev").next().unwrap().replace("replace", "del")));
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
        }
    }
}

live! {
    fn what_took_the_place_of_a_route_stays_when_ours_is_not_wanted_any_more(world) {
        for daemon in [false, true] {
            world.apply(SHOP);
            stranger(world);
            let daemon = daemon.then(|| Daemon::start(world, &["--drift", "warn"]));
            world.sh("ip -n web route replace default dev other && ip -n web -6 route replace default via fd00:25::9");
            let internal = SHOP.replace("'fd00:25::/64']}", "'fd00:25::/64'], internal: true}");
            world.file("netform.yaml", &internal);

            match &daemon {
                None => assert!(world.run(&["apply", "--yes"]).exits(0).stdout.contains("Applied")),
                Some(daemon) => daemon.says("generation 2 is in force"),
            }

            let left = world.sh("ip -n web route show default; ip -n web -6 route show default");
            assert_eq!(left.matches("default").count(), 2, "{left}");
            assert!(left.contains("dev other") && left.contains("via fd00:25::9"), "{left}");
            world.assert_in_sync();

            // Whoever wants it back is told whose it is by now.
            drop(daemon);
            world.file("netform.yaml", SHOP);
            let refused = world.run(&["plan"]).exits(9).stderr;
            assert!(refused.contains("route 0.0.0.0/0"), "{refused}");
            world.file("netform.yaml", &internal);
            world.run(&["destroy", "--yes"]).exits(0);
            assert_eq!(world.sh("ip netns; ip -o link show type bridge"), "");
            world.sh("rm -rf state");
        }
    }
}

live! {
    fn what_says_more_than_could_be_said_again_is_in_the_way_until_it_goes(world) {
        world.apply(SHOP);
        for deed in [
            "route replace default via 172.25.3.4 mtu 1300",
            "route replace default via 172.25.3.4 src 172.25.3.3",
            "route replace default nexthop via 172.25.3.4 nexthop via 172.25.0.1",
        ] {
            world.sh(&format!("ip -n web {deed}"));
            let before = all(world);

            let refused = world.run(&["apply", "--yes"]).exits(9).stderr;

            assert!(refused.contains("ip -n web route del default"), "{deed}: {refused}");
            assert_eq!(all(world), before, "{deed}");
            world.sh("ip -n web route del default");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
        }
    }
}
