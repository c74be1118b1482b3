//! Routes that the kernel makes with addresses, and `lo`: what somebody takes away is seen, and had again.

use super::daemon::{Daemon, patiently};
use super::failure::haunted;
use super::world::{Listen, World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}
  back: {subnets: [10.7.0.0/24]}
containers:
  web: {networks: {front: {address: [172.25.3.3, 'fd00:25::3']}, back: {}}}
  db: {networks: {back: {address: 10.7.0.9}}}
";

/// What somebody takes away, and what the plan says of it.
const LOSSES: &[(&str, &str)] = &[
    (
        "ip -n db route del 10.7.0.0/24",
        "address 10.7.0.9/24 on eth0 in db has lost a connected route: 10.7.0.0/24 is gone",
    ),
    (
        "ip route del 10.7.0.0/24",
        "address 10.7.0.1/24 on br-back has lost a connected route: 10.7.0.0/24 is gone",
    ),
    (
        "ip -n web -6 route del fd00:25::/64 dev eth0",
        "address fd00:25::3/64 on eth0 in web has lost a connected route: fd00:25::/64 is gone",
    ),
    (
        "ip -n web -6 route del fe80::/64 dev eth0",
        "address fd00:25::3/64 on eth0 in web has lost a connected route: fe80::/64 is gone",
    ),
    (
        "ip -6 route del fd00:25::/64 dev br-front; ip -6 route del fe80::/64 dev br-front",
        "address fd00:25::1/64 on br-front has lost a connected route: fd00:25::/64, fe80::/64 are gone",
    ),
    ("ip -n db link set lo down", "netns db lo up -> down"),
    (
        "ip -n db route del local 10.7.0.9 dev eth0 table local",
        "address 10.7.0.9/24 on eth0 in db has lost a connected route: local 10.7.0.9 is gone",
    ),
    (
        "ip route del local 10.7.0.1 dev br-back table local",
        "address 10.7.0.1/24 on br-back has lost a connected route: local 10.7.0.1 is gone",
    ),
    ("ip -n db addr del 127.0.0.1/8 dev lo", "netns db lo up -> without 127.0.0.1"),
    (
        "ip -n web -6 route del local fd00:25::3 dev eth0 table local",
        "address fd00:25::3/64 on eth0 in web has lost a connected route: local fd00:25::3 is gone",
    ),
    (
        "ip -6 route del local fd00:25::1 dev br-front table local",
        "address fd00:25::1/64 on br-front has lost a connected route: local fd00:25::1 is gone",
    ),
    ("ip -n web addr del ::1/128 dev lo", "netns web lo up -> without ::1"),
    (
        "ip -n db addr del ::1/128 dev lo; ip -n db addr del 127.0.0.1/8 dev lo",
        "netns db lo up -> without 127.0.0.1 and ::1",
    ),
    ("ip -n db rule flush", "netns db rules all there -> without main, default"),
    ("ip -n web -6 rule flush", "netns web rules all there -> without main (IPv6)"),
    ("ip -n db rule del pref 0", "netns db rules all there -> without local"),
];

/// What somebody puts before such a route, and what the plan says of it.
const COVERS: &[(&str, &str)] = &[
    (
        "ip -n db route replace unreachable 10.7.0.0/24",
        "address 10.7.0.9/24 on eth0 in db has lost a connected route: 10.7.0.0/24 is replaced by another",
    ),
    (
        "ip -n db route replace 10.7.0.0/24 dev other",
        "address 10.7.0.9/24 on eth0 in db has lost a connected route: 10.7.0.0/24 is replaced by another",
    ),
    (
        "ip -n db route replace 10.7.0.0/24 dev other proto kernel",
        "address 10.7.0.9/24 on eth0 in db has lost a connected route: 10.7.0.0/24 is replaced by another",
    ),
    (
        "ip -n db route prepend 10.7.0.0/24 dev other",
        "address 10.7.0.9/24 on eth0 in db has lost a connected route: 10.7.0.0/24 is behind another",
    ),
    (
        "ip route replace 10.7.0.0/24 dev other",
        "address 10.7.0.1/24 on br-back has lost a connected route: 10.7.0.0/24 is replaced by another",
    ),
    (
        "ip -n web -6 route replace fd00:25::/64 dev other metric 256",
        "address fd00:25::3/64 on eth0 in web has lost a connected route: fd00:25::/64 is replaced by another",
    ),
    (
        "ip -n web -6 route add unreachable fd00:25::/64 metric 100",
        "address fd00:25::3/64 on eth0 in web has lost a connected route: fd00:25::/64 is behind another",
    ),
    (
        "ip -n web -6 route add fd00:25::/64 dev other metric 7",
        "address fd00:25::3/64 on eth0 in web has lost a connected route: fd00:25::/64 is behind another",
    ),
    (
        "ip -6 route add blackhole fd00:25::/64 metric 20",
        "address fd00:25::1/64 on br-front has lost a connected route: fd00:25::/64 is behind another",
    ),
];

/// Makes a link of somebody else's in a namespace, and in the host.
fn others(world: &World) {
    for ns in ["", "-n db", "-n web"] {
        world.sh(&format!("ip {ns} link add other type bridge; ip {ns} link set other up"));
    }
}

/// Tells whether all reach each other.
fn is_well(world: &World) -> bool {
    let pairs = [("db", "10.7.0.1"), ("host", "10.7.0.9"), ("web", "fd00:25::1")];
    pairs.iter().all(|(from, to)| world.pings(from, to))
}

/// Takes away what somebody has put before such a route.
fn uncover(world: &World, cover: &str) {
    let (ns, how) = cover.split_once(" route ").unwrap();
    let (_, what) = how.split_once(' ').unwrap();
    world.sh(&format!("{ns} route del {what}"));
}

/// All routes and rules, as ip(8) prints them, and what `lo` has.
fn routes(world: &World) -> String {
    let all = ["", "-n web", "-n db"].map(|ns| {
        let text = world.sh(&format!(
            "ip -d {ns} route show table all; ip -d {ns} -6 route show table all; ip {ns} -br link show lo; ip {ns} -br addr \
             show lo; ip -d {ns} rule; ip -d {ns} -6 rule"
        ));
        // A link-local address is there once nobody else has it.
        let is_settled = |line: &&str| !line.contains("local fe80:") && !line.contains("anycast fe80:");
        let mut lines: Vec<_> = text.lines().map(str::trim).filter(is_settled).collect();
        lines.sort_unstable();
        lines.join("\n")
    });
    all.join("\n\n")
}

/// Applies the manifest; returns all routes, once those that are link-local are there.
fn applied(world: &World) -> String {
    world.apply(SHOP);
    patiently(&|| world.sh("ip -6 route"), || {
        world
            .sh("ip -6 route show dev br-front; ip -n web -6 route show dev eth0")
            .matches("fe80::/64")
            .count()
            == 2
    });
    routes(world)
}

live! {
    fn a_route_that_came_with_an_address_is_had_again_as_it_was(world) {
        let before = applied(world);
        world.assert_in_sync();

        for (loss, said) in LOSSES {
            world.sh(loss);
            let (plan, changes) = world.plan();
            assert!(changes && plan.contains(said), "after `{loss}`, {said} in:\n{plan}");
            assert!(plan.contains("[drift]") && plan.contains("1 repairs drift."), "{plan}");
            assert_eq!(world.run(&["status", "--exit-code"]).code, 2, "{loss}");
            world.run(&["apply", "--yes"]).exits(0);
            assert_eq!(routes(world), before, "after `{loss}`");
            world.assert_in_sync();
        }

        // The route to the gateway's subnet comes before the one by way of the gateway.
        world.sh("ip -n web route flush table main; ip -n web -6 route flush table main dev eth0; ip -n db route flush table main");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(routes(world), before, "after all were flushed");
        assert!(world.pings("web", "172.25.0.1") && world.pings("web", "fd00:25::1") && world.pings("db", "10.7.0.1"));
        world.run(&["destroy", "--yes"]).exits(0);
        assert!(!world.sh("ip route; ip -6 route").contains("br-"), "nothing is left");
    }
}

live! {
    fn what_somebody_puts_before_such_a_route_comes_behind_it_and_stays(world) {
        applied(world);
        others(world);

        for (cover, said) in COVERS {
            world.sh(cover);
            assert!(!is_well(world), "{cover}");
            let (plan, changes) = world.plan();
            assert!(changes && plan.contains(said) && plan.contains("[drift]"), "after `{cover}`, {said} in:\n{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            assert!(is_well(world), "after `{cover}`:\n{}", routes(world));
            world.assert_in_sync();
            // It is still there, and its owner may take it away.
            uncover(world, cover);
            assert!(is_well(world), "{cover}");
            world.assert_in_sync();
        }
        // A worse priority is nobody's harm, and nobody's business.
        world.sh("ip -n db route add unreachable 10.7.0.0/24 metric 50; ip -n web -6 route add fd00:25::/64 dev other metric 300");
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
        assert!(!world.sh("ip route; ip -6 route").contains("br-"), "nothing is left");
    }
}

live! {
    fn what_comes_before_such_a_route_is_passed_by_the_commands_of_the_plan_too(world) {
        applied(world);
        others(world);
        for (cover, _) in COVERS {
            world.sh(cover);
            let verbose = world.run(&["plan", "-v"]).exits(0).stdout;
            let commands: Vec<_> = verbose.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
            world.sh(&commands.join("\n"));
            assert!(is_well(world), "{commands:?} after `{cover}`");
            uncover(world, cover);
            world.assert_in_sync();
        }
    }
}

live! {
    fn the_daemon_hears_of_what_comes_before_such_a_route(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        others(world);
        for (cover, said) in COVERS {
            world.sh(cover);
            daemon.says(&format!("{said}; set back"));
            patiently(&|| format!("`{cover}`:\n{}\n{}", routes(world), daemon.log()), || is_well(world));
            uncover(world, cover);
        }
        assert!(is_well(world));
    }
}

live! {
    fn an_undone_run_leaves_what_came_before_such_a_route_before_it(world) {
        applied(world);
        others(world);
        let changed = SHOP.replace("172.25.3.3", "172.25.3.4").replace("db: {", "db: {publish: ['8080:80'], ");
        for (cover, said) in COVERS {
            world.sh(cover);
            world.file("netform.yaml", &changed);
            haunted(world, 1, &["apply", "--yes"]).exits(4);
            assert!(!is_well(world), "{cover}");
            world.file("netform.yaml", SHOP);
            assert!(world.plan().0.contains(said), "{cover}:\n{}\n{}", world.plan().0, routes(world));
            world.run(&["apply", "--yes"]).exits(0);
            uncover(world, cover);
        }
    }
}

live! {
    fn the_commands_of_the_plan_do_the_same(world) {
        let before = applied(world);
        // An address that is had again has no mark by hand.
        for (loss, _) in LOSSES.iter().filter(|(loss, _)| !loss.contains("del local fd00")) {
            world.sh(loss);
            let verbose = world.run(&["plan", "-v"]).exits(0).stdout;
            let commands: Vec<_> = verbose.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
            assert!(!commands.is_empty(), "{verbose}");
            world.sh(&commands.join("\n"));
            assert_eq!(routes(world), before, "{commands:?} after `{loss}`");
        }
        world.assert_in_sync();
    }
}

live! {
    fn the_daemon_hears_of_it_at_once(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        patiently(&|| world.sh("ip -6 route"), || {
            world.sh("ip -6 route show dev br-front; ip -n web -6 route show dev eth0").matches("fe80::/64").count() == 2
        });
        let before = routes(world);

        for (loss, said) in LOSSES {
            world.sh(loss);
            daemon.says(&format!("{said}; set back"));
            patiently(&|| format!("{before}\nafter `{loss}`:\n{}\n{}", routes(world), daemon.log()), || routes(world) == before);
        }
        assert!(world.pings("db", "10.7.0.1") && world.pings("web", "fd00:25::1"));
    }
}

live! {
    fn among_many_the_daemon_hears_of_what_no_look_at_all_of_them_finds(world) {
        let containers: String = (0..70).map(|n| format!("  c{n}: {{networks: [front]}}\n")).collect();
        world.file("netform.yaml", &format!("netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/16]}}}}\ncontainers:\n{containers}"));
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        let local = || world.sh("ip -n c42 route show table local dev eth0 | grep ^local");
        let before = local();
        world.sh("ip -n c42 route del $(ip -n c42 route show table local dev eth0 | grep ^local | cut -d' ' -f1,2) dev eth0 table local");

        daemon.says("has lost a connected route: local 172.25.");
        patiently(&|| daemon.log(), || world.try_sh("ip -n c42 route show table local dev eth0 | grep -q ^local").code == 0);
        assert_eq!(local(), before);
        world.assert_in_sync();
    }
}

live! {
    fn an_undone_run_leaves_it_as_it_was_found(world) {
        applied(world);
        world.sh("ip -n db route del 10.7.0.0/24; ip -n web -6 route del fe80::/64 dev eth0; ip -n db link set lo down");
        let found = routes(world);
        world.file("netform.yaml", &SHOP.replace("172.25.3.3", "172.25.3.4").replace("db: {", "db: {publish: ['8080:80'], "));

        haunted(world, 1, &["apply", "--yes"]).exits(4);

        assert_eq!(routes(world), found);
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn what_does_what_such_a_route_did_is_as_good(world) {
        applied(world);
        // Another metric, and what the kernel does not make of what others have put there.
        world.sh("ip -n db route del 10.7.0.0/24; ip -n db route add 10.7.0.0/24 dev eth0 metric 77 proto kernel scope link src 10.7.0.9");
        world.sh("ip -n db addr add 10.7.0.77/24 dev eth0; ip -n db addr add 192.0.2.7/24 dev eth0 noprefixroute");
        world.sh("ip -n db addr add 192.0.3.7/24 dev eth0; ip -n db route del 192.0.3.0/24");
        world.assert_in_sync();

        // What is down is told as that, and has all again when it is up.
        world.sh("ip -n db link set eth0 down");
        let plan = world.plan().0;
        assert!(plan.contains("peer state up -> down") || plan.contains("up -> down"), "{plan}");
        assert!(!plan.contains("connected route"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        assert!(world.pings("db", "10.7.0.1"));
        world.assert_in_sync();
    }
}

live! {
    fn links_that_share_a_parent_and_pairs_without_the_host_have_theirs_again(world) {
        world.sh("ip link add up0 type veth peer name p0 && ip link set up0 up && ip link set p0 up");
        world.sh("ip addr add 192.168.1.1/24 dev up0; ip link add br-lan type bridge; ip link set br-lan up; ip addr add 10.6.0.1/24 dev br-lan");
        world.apply(OTHERS);
        world.assert_in_sync();
        let served = world.serve("two", &Listen::tcp(80), "two");

        world.sh("ip -n one route del 192.168.1.0/24; ip -n one route del 10.9.0.0/31; ip -n one route del 10.6.0.0/24");
        assert_eq!(world.ask("one", "tcp", "10.9.0.1", 80), None);
        assert_eq!(world.plan().0.matches("has lost a connected route").count(), 3);
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert_eq!(world.ask("one", "tcp", "10.9.0.1", 80).as_deref(), Some("two 10.9.0.0"));
        assert!(world.pings("one", "10.6.0.1"));
        drop(served);

        // Those of the parent, and of a bridge of others, are theirs.
        world.sh("ip route del 192.168.1.0/24 dev up0; ip route del 10.6.0.0/24 dev br-lan");
        world.assert_in_sync();
    }
}

const OTHERS: &str = "\
netform: 1
project: shop
networks:
  street: {driver: macvlan, options: {parent: up0, host_address: 192.168.1.250}, subnets: [192.168.1.0/24]}
  cable: {driver: veth, subnets: [10.9.0.0/31]}
  lan: {external: br-lan}
containers:
  one: {networks: {street: {address: 192.168.1.10}, cable: {address: 10.9.0.0}, lan: {}}}
  two: {networks: {cable: {address: 10.9.0.1}}}
";
