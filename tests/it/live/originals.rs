//! Parameters of the host that several projects need: the last one to go sets them back, and to what they were last.

use std::process::Stdio;

use super::daemon::Daemon;
use super::proxy::{ADVERTISE, BLOG, SHOP, answers, router};
use super::world::{Done, World, eventually, live};

const PLAIN: &str =
    "netform: 1\nproject: plain\nnetworks: {side: {subnets: [172.27.0.0/24, '2001:db8:7::/64']}}\n";
const OTHER: &str = "netform: 1\nproject: other\nnetworks: {rear: {subnets: [172.28.0.0/24]}}\n";

/// Applies or destroys one manifest after the other.
fn go(world: &World, runs: &[[&str; 2]]) {
    for [verb, file] in runs {
        world.run(&[verb, "--yes", file]).exits(0);
    }
}

live! {
    fn what_was_set_back_is_nobodys_any_more(world) {
        let forwards = || world.sh("sysctl -n net.ipv4.ip_forward").trim().to_owned();
        world.sh("sysctl -qw net.ipv4.ip_forward=0");
        world.file("plain.yaml", PLAIN);
        world.file("other.yaml", OTHER);
        for files in [["plain.yaml", "other.yaml"], ["other.yaml", "plain.yaml"]] {
            go(world, &[["apply", "plain.yaml"], ["apply", "other.yaml"]]);
            go(world, &files.map(|file| ["destroy", file]));
            assert_eq!(forwards(), "0", "{files:?}");
        }

        // The admin wants it, and nobody takes it from him.
        world.sh("sysctl -qw net.ipv4.ip_forward=1");
        for file in ["plain.yaml", "other.yaml"] {
            go(world, &[["destroy", file], ["apply", file], ["destroy", file]]);
            assert_eq!(forwards(), "1", "{file}");
        }
        go(world, &[["apply", "plain.yaml"], ["apply", "other.yaml"], ["destroy", "plain.yaml"], ["destroy", "other.yaml"]]);
        assert_eq!(forwards(), "1");
    }
}

/// Runs verbs at the same moment; all of them must succeed.
fn at_once(world: &World, runs: &[[&str; 2]]) {
    let start = |[verb, file]: &[&str; 2]| {
        let mut command = world.netform();
        command.args([verb, "--yes", file]).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let started: Vec<_> = runs.iter().map(start).collect();
    for child in started {
        Done::of(child.wait_with_output().unwrap()).exits(0);
    }
}

live! {
    fn of_two_that_come_and_go_at_the_same_moment_the_last_sets_it_back(world) {
        let forwards = || world.sh("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding").replace('\n', " ");
        world.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
        world.file("plain.yaml", PLAIN);
        world.file("other.yaml", &OTHER.replace("172.28.0.0/24", "172.28.0.0/24, '2001:db8:8::/64'"));

        for round in 0..5 {
            at_once(world, &[["apply", "plain.yaml"], ["apply", "other.yaml"]]);
            assert_eq!(forwards(), "1 1 ", "both, round {round}");
            at_once(world, &[["destroy", "plain.yaml"], ["destroy", "other.yaml"]]);
            assert_eq!(forwards(), "0 0 ", "none, round {round}");
            go(world, &[["apply", "plain.yaml"]]);
            at_once(world, &[["destroy", "plain.yaml"], ["apply", "other.yaml"]]);
            assert_eq!(forwards(), "1 1 ", "one comes while the other goes, round {round}");
            go(world, &[["destroy", "other.yaml"]]);
            assert_eq!(forwards(), "0 0 ", "neither, round {round}");
        }
    }
}

live! {
    fn an_uplink_that_was_left_is_left_as_it_was_found_the_next_time(world) {
        router(world);
        world.file("shop.yaml", SHOP);
        world.file("blog.yaml", BLOG);
        let both = [["apply", "shop.yaml"], ["apply", "blog.yaml"], ["destroy", "shop.yaml"], ["destroy", "blog.yaml"]];
        go(world, &both);
        assert_eq!(answers(world), "0 1 0 ");

        world.sh("cd /proc/sys/net/ipv6/conf/uplink && echo 1 > proxy_ndp && echo 2 > accept_ra");
        go(world, &[["apply", "shop.yaml"], ["destroy", "shop.yaml"]]);
        assert_eq!(answers(world), "1 2 0 ");
        go(world, &both);
        assert_eq!(answers(world), "1 2 0 ");
    }
}

live! {
    fn the_last_project_that_forwards_has_routers_heard_as_before(world) {
        router(world);
        world.sh("ip -6 route del default");
        eventually("the router is heard", || {
            world.sh(&format!("ip netns exec out python3 -c '{ADVERTISE}'"));
            world.sh("ip -6 route show default").contains("proto ra")
        });
        world.file("shop.yaml", SHOP);
        world.file("plain.yaml", PLAIN);

        go(world, &[["apply", "shop.yaml"], ["apply", "plain.yaml"], ["destroy", "shop.yaml"]]);
        assert_eq!(answers(world), "0 2 1 ");
        go(world, &[["destroy", "plain.yaml"]]);

        assert_eq!(answers(world), "0 1 0 ");
    }
}

live! {
    fn a_link_by_which_the_default_route_led_for_a_while_is_left_as_it_was(world) {
        router(world);
        world.sh("ip link add other type veth peer name o0 && ip link set other up && ip link set o0 up");
        let of = |link: &str| {
            let proxies = world.sh(&format!("ip -6 neigh show proxy dev {link}"));
            !proxies.is_empty() && world.sh(&format!("cat /proc/sys/net/ipv6/conf/{link}/proxy_ndp")).trim() == "1"
        };
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        eventually("it is applied", || of("uplink"));
        world.sh("ip -6 route replace default via fe80::9 dev other metric 512 && ip -6 route del default dev uplink");
        eventually("it is on the other link", || of("other"));
        daemon.brings_it_in_sync("the default route moved");
        world.sh("ip -6 route replace default via 2001:db8::1 dev uplink metric 600 && ip -6 route del default dev other");
        eventually("it is on the uplink again", || of("uplink"));
        daemon.brings_it_in_sync("the default route moved back");
        drop(daemon);

        world.run(&["destroy", "--yes"]).exits(0);

        assert_eq!(world.sh("cd /proc/sys/net/ipv6/conf; cat uplink/proxy_ndp other/proxy_ndp"), "0\n0\n");
    }
}
