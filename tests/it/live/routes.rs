//! Routes that a container has besides.

use super::daemon::Daemon;
use super::world::{World, live};

const NETWORKS: &str =
    "netform: 1\nproject: shop\nnetworks:\n  front: {subnets: [10.7.0.0/24, 'fd00:7::/64']}\n";

/// Two containers, of which `gw` leads on to 10.9.0.1 and fd09::1; `web` has these routes.
fn shop(routes: &str) -> String {
    format!(
        "{NETWORKS}containers:\n  gw: {{networks: {{front: {{address: [10.7.0.9, 'fd00:7::9']}}}}}}\n  \
         web: {{networks: {{front: }}, routes: [{routes}]}}\n"
    )
}

const BOTH: &str = "{to: 10.9.0.0/16, via: 10.7.0.9}, {to: 'fd09::/64', via: 'fd00:7::9', metric: 7}";

fn ours(world: &World) -> String {
    let script =
        "for f in -4 -6; do ip -n web $f route show table all proto 110 | grep -v default || true; done";
    let lines = world.sh(script);
    let mut lines: Vec<_> =
        lines.lines().map(|line| line.replace(" proto 110", "").trim().to_owned()).collect();
    lines.sort();
    lines.join("\n")
}

live! {
    fn a_route_leads_where_it_says_and_goes_when_nobody_asks_for_it(world) {
        world.apply(&shop(BOTH));
        world.sh("ip -n gw addr add 10.9.0.1/16 dev lo; ip -n gw addr add fd09::1/64 dev lo nodad");

        world.assert_in_sync();
        assert_eq!(ours(world), "10.9.0.0/16 via 10.7.0.9 dev eth0\nfd09::/64 via fd00:7::9 dev eth0 metric 7 pref medium");
        assert!(world.pings("web", "10.9.0.1") && world.pings("web", "fd09::1"));

        world.sh("ip -n web route add 10.77.0.0/16 via 10.7.0.9; ip -n web route add blackhole 10.78.0.0/16");
        world.file("netform.yaml", &shop(""));
        let (plan, _) = world.plan();
        assert!(plan.contains("route 10.9.0.0/16"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(ours(world), "");
        let theirs = world.sh("ip -n web route show 10.77.0.0/16; ip -n web route show 10.78.0.0/16");
        assert_eq!(theirs.lines().count(), 2, "others' stay: {theirs}");
        assert!(world.pings("web", "10.7.0.9"));
    }
}

live! {
    fn a_route_changes_in_place_and_is_repaired(world) {
        let refused = "{to: 10.66.0.0/16, type: unreachable}, {to: 'fd66::/64', type: blackhole}";
        let others = "{to: 10.10.0.0/16, via: 10.7.0.9, table: 100, metric: 5}, {to: 'fd10::/64', via: 'fd00:7::9', table: 1000}";
        world.apply(&shop(&format!("{BOTH}, {refused}, {others}")));
        world.assert_in_sync();
        let whole = ours(world);
        assert_eq!(whole.lines().count(), 6, "{whole}");
        assert!(whole.contains("unreachable 10.66.0.0/16") && whole.contains("table 1000"), "{whole}");
        for break_it in [
            "ip -n web route del 10.9.0.0/16",
            "ip -n web route replace 10.9.0.0/16 via 10.7.0.77 proto 110",
            "ip -n web -6 route del fd09::/64",
            "ip -n web route del unreachable 10.66.0.0/16",
            "ip -n web route replace prohibit 10.66.0.0/16 proto 110",
            "ip -n web -6 route del blackhole fd66::/64",
            "ip -n web route flush table 100",
            "ip -n web -6 route flush table 1000",
            "ip -n web link set eth0 down",
            "ip netns del web",
        ] {
            world.sh(break_it);
            let (plan, changes) = world.plan();
            assert!(changes, "`{break_it}` should show in the plan:\n{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert_eq!(ours(world), whole, "{break_it}");
        }
        let swapped = "{to: 10.9.0.0/16, type: prohibit}, {to: 10.66.0.0/16, via: 10.7.0.9}, {to: 'fd66::/64', via: 'fd00:7::9'}, \
                       {to: 'fd09::/64', type: unreachable, metric: 7}";
        world.apply(&shop(swapped));
        world.assert_in_sync();
        let now = ours(world);
        assert!(now.contains("prohibit 10.9.0.0/16") && now.contains("10.66.0.0/16 via 10.7.0.9"), "{now}");
        assert_eq!(now.lines().count(), 4, "{now}");
        world.run(&["rollback", "--yes"]).exits(0);
        assert_eq!(ours(world), whole);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip netns list"), "");
    }
}

live! {
    fn the_daemon_repairs_routes_of_every_kind(world) {
        let all = format!("{BOTH}, {{to: 10.66.0.0/16, type: blackhole}}, {{to: 10.10.0.0/16, via: 10.7.0.9, table: 100}}");
        world.file("netform.yaml", &shop(&all));
        let daemon = Daemon::start(world, &[]);
        for break_it in [
            "ip -n web route del 10.9.0.0/16",
            "ip -n web route replace 10.9.0.0/16 via 10.7.0.77 proto 110",
            "ip -n web -6 route del fd09::/64",
            "ip -n web route del blackhole 10.66.0.0/16",
            "ip -n web route flush table 100",
        ] {
            world.sh(break_it);
            daemon.brings_it_in_sync(break_it);
        }
        world.file("netform.yaml", &shop(""));
        daemon.brings_it_in_sync("the routes are gone from the manifest");
        assert_eq!(ours(world), "");
    }
}

live! {
    fn routes_that_lead_nowhere_are_told_apart_in_a_namespace_of_two_projects(world) {
        world.sh("ip netns add lab");
        let project = |name: &str, net: u8, routes: &str| {
            format!(
                "netform: 1\nproject: {name}\nnetworks: {{n: {{subnets: [10.{net}.0.0/24], internal: true}}}}\ncontainers:\n  \
                 {name}: {{netns: /run/netns/lab, networks: {{n: {{interface: {name}0}}}}, routes: [{routes}]}}\n"
            )
        };
        let has = |dest: &str| !world.sh(&format!("ip -n lab route show type blackhole {dest}")).is_empty();
        let (shop, blog) = ("{to: 10.66.0.0/16, type: blackhole}", "{to: 10.67.0.0/16, type: blackhole}");
        world.apply(&project("shop", 5, shop));
        world.apply(&project("blog", 6, blog));
        assert!(has("10.66.0.0/16") && has("10.67.0.0/16"));

        world.apply(&project("shop", 5, ""));
        assert!(!has("10.66.0.0/16") && has("10.67.0.0/16"));
        world.run(&["destroy", "--yes"]).exits(0);
        assert!(has("10.67.0.0/16"), "it is the other project's");
        world.file("netform.yaml", &project("blog", 6, ""));
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -n lab route show table all type blackhole"), "");
    }
}

live! {
    fn a_router_that_no_subnet_knows_is_reached_on_the_link(world) {
        let front = "{routes: [{to: 10.9.0.0/16, via: 192.0.2.1, onlink: true}, {to: 10.12.0.0/16}, {to: 'fd09::/64', via: 'fe80::9', onlink: true}]}";
        world.apply(&format!("{NETWORKS}containers: {{web: {{networks: {{front: {front}}}}}}}\n"));

        world.assert_in_sync();
        let routes = ours(world);
        assert!(routes.contains("10.9.0.0/16 via 192.0.2.1 dev eth0 onlink\n"), "{routes}");
        assert!(routes.contains("10.12.0.0/16 dev eth0 scope link\n"), "{routes}");
        assert!(routes.contains("fd09::/64 via fe80::9 dev eth0 metric 1024 onlink"), "{routes}");
    }
}

live! {
    fn a_process_gets_routes_and_loses_them(world) {
        let mut lab = world.beside("unshare --net sleep 60");
        let pid = lab.id();
        super::daemon::patiently(&|| "unshared".to_owned(), || {
            world.try_sh(&format!("test \"$(readlink /proc/{pid}/ns/net)\" != \"$(readlink /proc/self/ns/net)\"")).code == 0
        });
        let manifest = |routes: &str| {
            format!("{NETWORKS}containers: {{web: {{pid: {pid}, networks: {{front: }}, routes: [{routes}]}}}}\n")
        };
        let routes = || world.sh(&format!("nsenter -t {pid} -n ip route show table all proto 110 | grep -v default || true"));
        world.apply(&manifest("{to: 10.9.0.0/16, via: 10.7.0.9}, {to: 10.66.0.0/16, type: blackhole}"));
        world.assert_in_sync();
        assert_eq!(routes().lines().count(), 2, "{}", routes());

        world.run(&["destroy", "--yes"]).exits(0);

        assert_eq!(routes(), "");
        lab.kill().unwrap();
        lab.wait().unwrap();
    }
}
