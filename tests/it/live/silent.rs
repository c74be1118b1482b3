//! Links on which somebody has switched off what they speak with: ARP, and IPv6.

use super::daemon::{Daemon, patiently};
use super::failure::haunted;
use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}
  back: {subnets: [10.7.0.0/24]}
  cable: {driver: veth, subnets: ['fd00:9::/64']}
containers:
  web: {networks: {front: {address: [172.25.3.3, 'fd00:25::3']}, back: {}, cable: {address: 'fd00:9::2'}}, routes: [{to: 'fd00:77::/64', via: 'fd00:25::9'}]}
  db: {networks: {back: {address: 10.7.0.9}, cable: {address: 'fd00:9::3'}}}
";

/// What somebody switches off, and what the plan says of it.
const DEEDS: &[(&str, &[&str])] = &[
    (
        "ip netns exec web sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1",
        &["peer ipv6 on -> off", "fd00:25::3/64 on eth0 in web is gone"],
    ),
    (
        "ip netns exec web sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
        &["peer ipv6 on -> off", "netns web lo up -> without IPv6"],
    ),
    ("ip netns exec db sysctl -qw net.ipv6.conf.eth1.disable_ipv6=1", &["ipv6 on -> off"]),
    ("ip -n web link set eth0 arp off", &["peer arp on -> off"]),
    ("ip -n db link set eth1 arp off", &["arp on -> off"]),
    ("ip link set br-front arp off", &["network.front  arp on -> off"]),
];

/// Tells whether all reach each other, from neighbours that they have to ask for.
fn is_well(world: &World) -> bool {
    for ns in ["", "-n web", "-n db"] {
        world.try_sh(&format!("ip {ns} neigh flush all; ip {ns} -6 neigh flush all"));
    }
    let pairs = [
        ("web", "172.25.0.1"),
        ("web", "fd00:25::1"),
        ("web", "fd00:9::3"),
        ("db", "10.7.0.1"),
        ("web", "::1"),
    ];
    pairs.iter().all(|(from, to)| world.pings(from, to))
}

/// Addresses and routes of IPv6, and what is on or off.
fn state(world: &World) -> String {
    let of = |ns: &str| {
        world.sh(&format!(
            "ip -n {ns} -o -6 addr show scope global | tr -s ' ' | cut -d' ' -f2,4 | sort; ip -n {ns} -6 route show; ip -n {ns} -o link \
             | grep -c NOARP || true; ip netns exec {ns} sh -c 'cat /proc/sys/net/ipv6/conf/*/disable_ipv6' | tr '\\n' ' '"
        ))
    };
    ["web", "db"].map(of).join("\n")
}

fn applied(world: &World) -> String {
    world.apply(SHOP);
    let settled = || world.sh("ip -n web -6 route; ip -n db -6 route").matches("fe80::/64").count() >= 4;
    patiently(&|| state(world), settled);
    state(world)
}

live! {
    fn what_is_switched_off_is_told_and_switched_on_again(world) {
        let before = applied(world);
        assert!(is_well(world));
        for (deed, said) in DEEDS {
            world.sh(deed);
            assert!(!is_well(world), "{deed}");
            let plan = world.plan().0;
            for said in *said {
                assert!(plan.contains(said) && plan.contains("[drift]"), "after `{deed}`, {said} in:\n{plan}");
            }
            assert_eq!(world.run(&["status", "--exit-code"]).code, 2, "{deed}");

            world.run(&["apply", "--yes"]).exits(0);

            patiently(&|| format!("{before}\nafter `{deed}`:\n{}", state(world)), || is_well(world));
            world.assert_in_sync();
        }
        // That of links that are to come may stay: whoever asks for IPv6 has it all the same.
        world.sh("ip netns exec web sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
        world.apply(&SHOP.replace("back: {}, cable", "back: {}, late: {address: 'fd00:44::2'}, cable").replace("  cable: {driver", "  late: {subnets: ['fd00:44::/64']}\n  cable: {driver"));
        assert!(world.pings("web", "fd00:44::1"));
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn the_daemon_switches_it_on_again(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        patiently(&|| daemon.log(), || is_well(world));
        for (deed, _) in DEEDS {
            world.sh(deed);
            patiently(&|| format!("after `{deed}`:\n{}\n{}", state(world), daemon.log()), || is_well(world));
            daemon.brings_it_in_sync(deed);
        }
    }
}

live! {
    fn the_commands_of_the_plan_switch_it_on_again(world) {
        applied(world);
        for (deed, _) in DEEDS {
            world.sh(deed);
            // Addresses come without their protocol numbers by hand.
            let verbose = world.run(&["plan", "-v"]).exits(0).stdout;
            let commands = verbose.lines().filter_map(|line| line.trim().strip_prefix("$ "));
            let commands: Vec<_> = commands.filter(|line| line.contains("arp") || line.contains("disable_ipv6")).collect();
            assert!(!commands.is_empty(), "{verbose}");
            world.sh(&commands.join("\n"));
            world.run(&["apply", "--yes"]).exits(0);
            assert!(is_well(world), "{deed}");
        }
        world.assert_in_sync();
    }
}

live! {
    fn an_undone_run_leaves_off_what_it_found_off(world) {
        applied(world);
        world.sh("ip netns exec web sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip -n db link set eth0 arp off; ip -n db rule flush; ip -n db addr del ::1/128 dev lo");
        let found = || format!("{}{}", state(world), world.sh("ip -n db rule; ip -n db addr show lo"));
        let before = found();
        world.file("netform.yaml", &SHOP.replace("172.25.3.3", "172.25.3.4").replace("db: {", "db: {publish: ['8080:80'], "));

        haunted(world, 1, &["apply", "--yes"]).exits(4);

        assert_eq!(found(), before);
        world.run(&["apply", "--yes"]).exits(0);
        patiently(&|| state(world), || is_well(world));
        world.assert_in_sync();
    }
}

live! {
    fn what_is_off_where_nobody_asks_for_it_stays_off(world) {
        world.sh("ip netns add lab; ip -n lab link set lo up; ip netns exec lab sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        world.apply("netform: 1\nproject: shop\nnetworks: {back: {subnets: [10.7.0.0/24]}}\ncontainers: {lab: {netns: /run/netns/lab, networks: [back]}, db: {networks: [back]}}\n");
        world.sh("ip netns exec db sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip -n lab rule flush");
        world.assert_in_sync();
        assert_eq!(world.sh("ip netns exec db cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6"), "1\n");
        assert!(!world.sh("ip -n lab rule").contains("main"), "others' rules are theirs");
    }
}

live! {
    fn what_others_put_before_a_part_of_a_subnet_is_shown(world) {
        applied(world);
        world.sh("ip -n web -6 route add unreachable fd00:25::1; ip -n db route add blackhole 10.7.0.1; ip -n web -6 route add prohibit fd00:77::/64 metric 5
            ip -n web -6 route add blackhole default metric 3; ip -n db route add unreachable 192.0.2.0/24");
        let (plan, changes) = world.plan();
        assert!(!changes, "{plan}");
        for said in [
            "route fd00:25::1/128 (unreachable), which comes before fd00:25::/64",
            "route 10.7.0.1/32 (blackhole), which comes before 10.7.0.0/24",
            "route fd00:77::/64 (prohibit), which comes before fd00:77::/64",
            "route ::/0 (blackhole), which comes before ::/0",
        ] {
            assert!(plan.lines().any(|line| line.starts_with("  ? ") && line.contains(said)), "{said} in:\n{plan}");
        }
        assert!(!plan.contains("192.0.2.0"), "{plan}");
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn what_is_to_have_an_address_and_not_to_speak_ipv6_is_refused_before_anything_is_done(world) {
        world.file("netform.yaml", &SHOP.replace("'fd00:9::2'}", "'fd00:9::2', sysctls: {net.ipv6.conf.IFNAME.disable_ipv6: 1}}"));
        let told = world.run(&["plan"]).exits(65).stderr;
        assert!(told.contains("net/ipv6/conf/eth2/disable_ipv6 is 1, and eth2 is to have fd00:9::2/64"), "{told}");

        // Where there is none, it is nobody's drift.
        world.apply(&SHOP.replace("back: {},", "back: {sysctls: {net.ipv6.conf.IFNAME.disable_ipv6: 1}},"));
        world.assert_in_sync();
    }
}
