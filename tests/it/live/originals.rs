//! Parameters of the host that several projects need: the last one to go sets them back, and to what they were last.

use std::process::Stdio;

use super::daemon::Daemon;
use super::failure::killed;
use super::proxy::{ADVERTISE, BLOG, SHOP, answers, router};
use super::world::{Done, Listen, World, eventually, live};

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

live! {
    fn a_killed_run_that_is_undone_takes_nothing_from_who_came_after_it(world) {
        let forwards = || world.sh("sysctl -n net.ipv4.ip_forward").trim().to_owned();
        world.sh("sysctl -qw net.ipv4.ip_forward=0");
        world.file("plain.yaml", PLAIN);
        world.file("other.yaml", OTHER);

        let begin = || {
            killed(world, 2, &["apply", "--yes", "plain.yaml"]);
            // It has not come to its end, or so it seems.
            world.sh("ip link del br-side");
        };
        begin();
        assert_eq!(forwards(), "1");
        go(world, &[["apply", "other.yaml"]]);
        let done = world.run(&["destroy", "--yes", "plain.yaml"]).exits(0);

        assert!(done.stderr.contains("it was undone"), "{}", done.stderr);
        assert_eq!(forwards(), "1", "the other one relies on it");
        go(world, &[["destroy", "other.yaml"]]);
        assert_eq!(forwards(), "0", "and knows what it was");

        // Where nobody relies on it, it is as it was.
        begin();
        assert_eq!(forwards(), "1");
        go(world, &[["destroy", "plain.yaml"]]);
        assert_eq!(forwards(), "0");
    }
}

live! {
    fn a_killed_run_is_undone_when_it_is_the_turn_of_its_project(world) {
        world.sh("sysctl -qw net.ipv4.ip_forward=0");
        world.file("plain.yaml", PLAIN);
        killed(world, 2, &["apply", "--yes", "plain.yaml"]);

        let mut turn = world.beside(&format!("flock {}/run/host.lock sleep 1.5", world.dir().display()));
        eventually("it is somebody's turn", || world.try_sh("flock -n run/host.lock true").code != 0);
        let began = std::time::Instant::now();
        go(world, &[["destroy", "plain.yaml"]]);
        assert!(began.elapsed().as_millis() > 500, "it has waited");
        turn.wait().unwrap();
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
    /// Such a project has no bridge that would say that it needs the host to forward.
    fn who_is_on_bridges_of_others_goes_on_when_another_project_goes(world) {
        world.sh("sysctl -qw net.ipv4.ip_forward=0; ip link add br-lan type bridge; ip addr add 10.8.0.1/24 dev br-lan; ip link set br-lan up
            ip netns add remote; ip link add uplink type veth peer name eth0 netns remote; ip link set uplink up; ip addr add 192.0.2.1/24 dev uplink
            ip -n remote link set eth0 up; ip -n remote addr add 192.0.2.2/24 dev eth0");
        let forwards = || world.sh("sysctl -n net.ipv4.ip_forward").trim().to_owned();
        let lan = |name: &str, address: &str, port: u16| format!("netform: 1\nproject: {name}\nnetworks: {{lan: {{external: br-lan}}}}\ncontainers: {{{name}1: {{networks: {{lan: {{address: {address}}}}}, publish: ['{port}:80']}}}}\n");
        let pair = "netform: 1\nproject: pair\nnetworks: {cable: {driver: veth, options: {host: true}, subnets: [10.9.0.0/31]}}\ncontainers: {pair1: {networks: [cable], publish: ['8083:80']}}\n";
        world.file("blog.yaml", &lan("blog", "10.8.0.2", 8081));
        world.file("shop.yaml", &lan("shop", "10.8.0.3", 8082));
        world.file("pair.yaml", pair);
        world.sh("ip link add eth7 type veth peer name eth8; ip link set eth7 up; ip link set eth8 up");
        world.file("tv.yaml", "netform: 1\nproject: tv\nnetworks: {street: {driver: macvlan, options: {parent: eth7}, subnets: [192.168.7.0/24]}}\ncontainers: {tv1: {networks: [street]}}\n");

        for (stays, port) in [("blog", 8081), ("pair", 8083)] {
            let (stays_file, container) = (format!("{stays}.yaml"), format!("{stays}1"));
            for order in [[&*stays_file, "shop.yaml"], ["shop.yaml", &stays_file]] {
                go(world, &order.map(|file| ["apply", file]));
                let _server = world.serve(&container, &Listen::tcp(80), stays);
                go(world, &[["destroy", "shop.yaml"]]);
                assert_eq!((forwards(), world.ask("remote", "tcp", "192.0.2.1", port).is_some()), ("1".to_owned(), true), "{order:?}");
                // Who needs no forwarding keeps nobody's.
                go(world, &[["apply", "tv.yaml"], ["destroy", &stays_file]]);
                assert_eq!(forwards(), "0", "{order:?}");
                go(world, &[["destroy", "tv.yaml"]]);
            }
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

live! {
    fn what_a_damaged_record_has_lost_is_told_with_the_command_that_sets_it(world) {
        let forwards = || world.sh("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding").replace('\n', " ");
        world.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
        world.file("plain.yaml", PLAIN);
        for damage in ["echo nonsense", "echo nonsense | tee state/plain/originals.copy.json"] {
            go(world, &[["apply", "plain.yaml"]]);
            world.sh(&format!("{damage} > state/plain/originals.json"));
            let is_lost = damage.contains("copy");
            let told = world.run(&["plan", "plain.yaml"]).exits(0).stdout;
            assert!(told.contains("state/plain/originals.json is damaged"), "{told}");
            assert_eq!(told.contains("stay as they are"), is_lost, "{told}");

            let told = world.run(&["destroy", "--yes", "plain.yaml"]).exits(0).stdout;

            assert_eq!(forwards(), if is_lost { "1 1 " } else { "0 0 " });
            for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
                let said = format!("{key} stays 1: what it was before netform changed it was lost with ");
                assert_eq!(told.contains(&said), is_lost, "{told}");
                let command = format!("`sysctl -w {key}=0`");
                assert_eq!(told.contains(&command), is_lost, "{told}");
            }
            world.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
        }
        // It is told once.
        let told = world.run(&["apply", "--yes", "plain.yaml"]).exits(0).stdout;
        assert!(!told.contains("damaged"), "{told}");
        go(world, &[["destroy", "plain.yaml"]]);
        assert_eq!(forwards(), "0 0 ");
    }
}

live! {
    fn what_a_record_that_is_gone_has_lost_is_told_with_the_command_that_sets_it(world) {
        let forwards = || world.sh("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding").replace('\n', " ");
        let gone = "state/plain/originals.json and its copy are gone: what kernel parameters were before netform changed them is not known any more";
        world.file("plain.yaml", PLAIN);
        for (before, more) in [("0", ""), ("1", ""), ("0", "apply")] {
            world.sh(&format!("sysctl -qw net.ipv4.ip_forward={before} net.ipv6.conf.all.forwarding={before}"));
            go(world, &[["apply", "plain.yaml"]]);
            let told = world.run(&["plan", "plain.yaml"]).exits(0).stdout;
            assert!(!told.contains("originals"), "{told}");
            // Of two there is one still.
            world.sh("rm state/plain/originals.json");
            let told = world.run(&["plan", "plain.yaml"]).exits(0).stdout;
            assert!(!told.contains("originals"), "{told}");

            world.sh("rm state/plain/originals.copy.json");
            for verb in [&["plan", "plain.yaml"][..], &["status", "--manifest", "plain.yaml"]] {
                let told = world.run(verb).exits(0).stdout;
                assert!(told.contains(gone), "{verb:?}: {told}");
            }
            if more == "apply" {
                // Whatever is applied meanwhile, it is not forgotten.
                world.file("plain.yaml", &PLAIN.replace("172.27.0.0", "172.27.1.0"));
                go(world, &[["apply", "plain.yaml"]]);
            }
            let told = world.run(&["destroy", "--yes", "plain.yaml"]).exits(0).stdout;
            assert_eq!(forwards(), "1 1 ");
            for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
                assert!(told.contains(&format!("{key} stays 1: what it was before netform changed it was lost with ")), "{told}");
                assert!(told.contains(&format!("`sysctl -w {key}=0`")), "{told}");
            }
        }
        // It is told once, and nothing is told of what an earlier netform wrote, which did not say that there is a record.
        world.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
        let told = world.run(&["apply", "--yes", "plain.yaml"]).exits(0).stdout;
        assert!(!told.contains("originals"), "{told}");
        world.sh("rm state/plain/originals*; sed -i 's/,\"notes_originals\":true//' state/plain/generations/*.json");
        let told = world.run(&["plan", "plain.yaml"]).exits(0).stdout;
        assert!(!told.contains("originals"), "{told}");
    }
}

live! {
    fn what_a_record_that_is_gone_has_lost_is_not_forgotten_when_the_daemon_saves_the_same_generation_again(world) {
        world.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
        world.file("netform.yaml", &format!("{PLAIN}containers: {{late: {{netns: late, networks: [side]}}}}\n"));
        world.run(&["apply", "--yes"]).exits(0);
        world.sh("rm state/plain/originals*.json");

        let daemon = Daemon::start(world, &["--resync", "1h"]);
        world.sh("ip netns add late; ip -n late link set lo up");
        daemon.brings_it_in_sync("the container has started");
        drop(daemon);
        assert_eq!(world.sh("ls state/plain/generations"), "1.json\n");

        let told = world.run(&["destroy", "--yes"]).exits(0).stdout;
        assert!(told.contains("net/ipv4/ip_forward stays 1: what it was before netform changed it was lost with "), "{told}");
    }
}

live! {
    fn whoever_has_lost_a_record_that_is_gone_may_rely_on_what_another_project_sets_back(world) {
        let forwards = || world.sh("sysctl -n net.ipv4.ip_forward").trim().to_owned();
        world.file("plain.yaml", PLAIN);
        world.file("other.yaml", OTHER);
        world.sh("sysctl -qw net.ipv4.ip_forward=0");
        go(world, &[["apply", "plain.yaml"], ["apply", "other.yaml"]]);
        world.sh("rm state/plain/originals*");
        go(world, &[["destroy", "other.yaml"]]);
        assert_eq!(forwards(), "1");
    }
}

live! {
    fn what_another_project_has_on_record_is_not_lost_with_a_damaged_one(world) {
        let forwards = || world.sh("sysctl -n net.ipv4.ip_forward").trim().to_owned();
        world.sh("sysctl -qw net.ipv4.ip_forward=0");
        world.file("plain.yaml", PLAIN);
        world.file("other.yaml", OTHER);
        go(world, &[["apply", "plain.yaml"], ["apply", "other.yaml"]]);
        world.sh("for file in originals.json originals.copy.json; do echo x > state/plain/$file; done");

        // The one that knows goes first, and leaves on what the other one relies on.
        world.file("plain.yaml", &PLAIN.replace("172.27.0.0", "172.27.1.0"));
        go(world, &[["apply", "plain.yaml"], ["destroy", "other.yaml"]]);
        assert_eq!(forwards(), "1");
        go(world, &[["destroy", "plain.yaml"]]);
        assert_eq!(forwards(), "0");
    }
}

live! {
    fn a_directory_in_the_place_of_a_record_is_a_damaged_one(world) {
        world.sh("sysctl -qw net.ipv4.ip_forward=0");
        world.apply("netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front]}}\n");
        world.sh("rm state/shop/originals.json state/shop/originals.copy.json; mkdir state/shop/originals.json state/shop/originals.copy.json");
        let plan = world.run(&["plan"]).exits(0).stdout;
        assert!(plan.contains("is not known any more, and they stay as they are"), "{plan}");
        let done = world.run(&["destroy", "--yes", "--project", "shop"]).exits(0);
        assert!(done.stdout.contains("net/ipv4/ip_forward stays 1: what it was before netform changed it was lost"), "{}", done.stdout);
        assert!(world.dir().join("state/shop/originals.json").is_file());
        world.run(&["plan", "--detailed-exitcode"]).exits(2);
    }
}

live! {
    fn where_all_records_are_gone_it_is_told_that_forwarding_stays(world) {
        world.sh("sysctl -qw net.ipv4.ip_forward=0");
        world.file("netform.yaml", "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front]}}\n");
        let clean = world.run(&["plan", "--destroy"]).exits(0).stdout;
        world.run(&["apply", "--yes"]).exits(0);
        world.sh("rm -r state");
        let done = world.run(&["destroy", "--yes"]).exits(0);
        assert!(done.stdout.contains("net/ipv4/ip_forward stays 1: whether netform has changed it is not known, since its records are gone; `sysctl -w"), "{}", done.stdout);
        assert!(!clean.contains("stays"), "{clean}");
        assert_eq!(world.sh("sysctl -n net.ipv4.ip_forward").trim(), "1");
    }
}
