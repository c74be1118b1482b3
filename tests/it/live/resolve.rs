//! Names while the daemon runs: they follow the containers, and containers ask its resolver.

use super::daemon::{Daemon, patiently};
use super::world::{World, eventually, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [10.1.0.0/24], internal: true}
  back: {subnets: [10.2.0.0/24], internal: true}
containers:
  four: {networks: {front: {address: 10.1.0.4}}}
  six: {netns: given6, networks: {front: {address: 10.1.0.6, aliases: [app]}}}
  seven: {netns: given7, networks: {front: {address: 10.1.0.7, aliases: [app]}}}
  db: {networks: {front: {address: 10.1.0.9}, back: {}}}
";

/// Where `four` finds its resolver.
const RESOLV_CONF: &str = "/etc/netns/four/resolv.conf";

/// Asks 127.0.0.11 from inside a container; returns the code and the answers.
pub(super) fn ask(world: &World, from: &str, name: &str) -> String {
    let asked = world.run(&["exec", from, "--", "python3", "ask.py", "udp", name]);
    format!("{}{}", asked.stdout, asked.stderr).trim().to_owned()
}

/// Waits until the resolver of a container says something.
#[track_caller]
pub(super) fn answers(world: &World, daemon: &Daemon<'_>, (from, name): (&str, &str), what: &str) {
    let told = || format!("{name} is {what}, not {}\n{}", ask(world, from, name), daemon.log());
    patiently(&told, || ask(world, from, name) == what);
}

/// Starts a namespace of somebody else.
fn start(world: &World, ns: &str) {
    world.sh(&format!("ip netns add {ns}; ip -n {ns} link set lo up"));
}

/// Starts a daemon that keeps a manifest.
pub(super) fn watch<'w>(world: &'w World, manifest: &str) -> Daemon<'w> {
    world.file("ask.py", include_str!("ask.py"));
    world.file("netform.yaml", manifest);
    Daemon::start(world, &[])
}

live! {
    fn an_alias_goes_to_the_next_container_when_one_stops_and_comes_back_with_it(world) {
        start(world, "given6");
        start(world, "given7");
        let daemon = watch(world, SHOP);
        let app = ("four", "app");
        answers(world, &daemon, app, "NOERROR 10.1.0.6");
        assert_eq!(world.sh("ip netns exec four dig +short app").trim(), "10.1.0.6", "by its resolv.conf");

        for _ in 0..3 {
            world.sh("ip netns del given6");
            answers(world, &daemon, app, "NOERROR 10.1.0.7");
            assert_eq!(ask(world, "four", "six"), "NXDOMAIN");
            eventually("nothing keeps the namespace", || {
                world.try_sh("ip link show netform.shop.six.front").code != 0
            });

            start(world, "given6");
            answers(world, &daemon, app, "NOERROR 10.1.0.6");
            answers(world, &daemon, ("six", "four"), "NOERROR 10.1.0.4");
        }
        assert!(world.pings("four", "10.1.0.6"));
        daemon.brings_it_in_sync("restarts");
    }
}

live! {
    fn a_link_leads_to_a_container_that_comes_later_and_follows_it(world) {
        let linked = SHOP.replace("{front: {address: 10.1.0.4}}", "{front: {address: 10.1.0.4, links: {c5: five}}}");
        let five = |address: &str| format!("{linked}  five: {{networks: {{front: {{address: {address}}}}}}}\n");
        let daemon = watch(world, &linked);
        assert_eq!(ask(world, "four", "c5"), "NXDOMAIN");

        world.file("netform.yaml", &five("10.1.0.5"));
        answers(world, &daemon, ("four", "c5"), "NOERROR 10.1.0.5");
        assert_eq!(ask(world, "five", "c5"), "NXDOMAIN", "a link is its owner's alone");
        answers(world, &daemon, ("five", "four"), "NOERROR 10.1.0.4");

        world.file("netform.yaml", &five("10.1.0.55"));
        answers(world, &daemon, ("four", "c5"), "NOERROR 10.1.0.55");
        world.sh("ip netns del five");
        daemon.brings_it_in_sync("a restart");
        answers(world, &daemon, ("four", "c5"), "NOERROR 10.1.0.55");
        answers(world, &daemon, ("five", "four"), "NOERROR 10.1.0.4");
    }
}

live! {
    fn an_alias_of_all_who_run_is_answered_with_each_of_them_in_turn(world) {
        start(world, "given6");
        start(world, "given7");
        let all = SHOP.replace("front: {subnets: [10.1.0.0/24], ", "front: {subnets: [10.1.0.0/24], dns: {alias_policy: all}, ");
        let daemon = watch(world, &all);
        let both = ["NOERROR 10.1.0.6 10.1.0.7", "NOERROR 10.1.0.7 10.1.0.6"];
        let seen: std::collections::BTreeSet<_> = (0..8).map(|_| ask(world, "four", "app")).collect();
        assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), both);

        world.sh("ip netns del given6");
        answers(world, &daemon, ("four", "app"), "NOERROR 10.1.0.7");
        start(world, "given6");
        patiently(&|| daemon.log(), || both.contains(&ask(world, "four", "app").as_str()));
    }
}

live! {
    fn links_lead_both_ways_by_another_name_on_each_network(world) {
        let before = "netform: 1\nproject: seed\nnetworks: {mynet: {subnets: [10.3.0.0/24], internal: true}, local_alias: {subnets: [10.4.0.0/24], internal: true}}\ncontainers:\n  \
            container4: {networks: {mynet: {address: 10.3.0.4, links: {c5: container5}}, local_alias: {address: 10.4.0.4, links: {foo: container5}}}}\n";
        let both = |last: &str| format!("{before}  container5: {{networks: {{mynet: {{address: 10.3.0.{last}, links: {{c4: container4}}}}, \
            local_alias: {{address: 10.4.0.{last}, links: {{bar: container4}}}}}}}}\n");
        let daemon = watch(world, before);
        let (c5, foo) = (("container4", "c5"), ("container4", "foo"));
        assert_eq!((ask(world, c5.0, c5.1), ask(world, foo.0, foo.1)), ("NXDOMAIN".into(), "NXDOMAIN".into()));

        for last in ["5", "55"] {
            world.file("netform.yaml", &both(last));
            for restart in ["true", "ip netns del container5"] {
                world.sh(restart);
                answers(world, &daemon, c5, &format!("NOERROR 10.3.0.{last}"));
                answers(world, &daemon, foo, &format!("NOERROR 10.4.0.{last}"));
                answers(world, &daemon, ("container5", "c4"), "NOERROR 10.3.0.4");
                answers(world, &daemon, ("container5", "bar"), "NOERROR 10.4.0.4");
            }
            daemon.brings_it_in_sync("a restart");
            assert!(world.pings("container4", &format!("10.3.0.{last}")));
        }
        assert_eq!(ask(world, "container5", "foo"), "NXDOMAIN", "each has its own");
    }
}

live! {
    fn who_has_ipv6_alone_is_answered_too(world) {
        let daemon = watch(world, "netform: 1\nproject: six\nnetworks: {n: {subnets: ['fd00:6::/64'], internal: true}}\ncontainers:\n  \
            a: {networks: {n: {address: 'fd00:6::a'}}}\n  b: {networks: {n: {address: 'fd00:6::b'}}}\n");
        let told = |how: &str, question: &str| world.sh(&format!("ip netns exec a python3 ask.py {how} {question}"));
        answers(world, &daemon, ("a", "b"), "NOERROR");

        let back = format!("b.{}6.0.0.0.0.0.d.f.ip6.arpa", "0.".repeat(23));
        for how in ["udp", "tcp"] {
            assert_eq!(told(how, "b AAAA"), "NOERROR fd00:6::b\n");
            assert_eq!(told(how, &format!("{back} PTR")), "NOERROR b.n\n");
        }
        assert!(world.pings("a", "b"));
    }
}

live! {
    fn taking_a_container_off_a_network_cuts_its_name_and_its_packets(world) {
        let daemon = watch(world, SHOP);
        answers(world, &daemon, ("four", "db"), "NOERROR 10.1.0.9");
        assert!(world.pings("four", "10.1.0.9"));

        world.file("netform.yaml", &SHOP.replace("front: {address: 10.1.0.9}, ", ""));
        daemon.says("generation 2 is in force");

        assert_eq!(ask(world, "four", "db"), "NXDOMAIN");
        assert!(!world.pings("four", "10.1.0.9"));

        world.file("netform.yaml", &SHOP.replace("  db: {networks: {front: {address: 10.1.0.9}, back: {}}}\n", ""));
        daemon.says("generation 3 is in force");
        assert_ne!(world.try_sh("ip -o link show type veth | grep back").code, 0);
        assert_ne!(world.try_sh("test -e /etc/netns/db").code, 0, "its files go with it");
        daemon.brings_it_in_sync("edits");
    }
}

live! {
    fn a_daemon_that_is_killed_comes_back_with_its_resolver(world) {
        let daemon = watch(world, SHOP);
        answers(world, &daemon, ("four", "db"), "NOERROR 10.1.0.9");
        let before = world.sh(&format!("cat {RESOLV_CONF}; stat -c %i {RESOLV_CONF}; ip netns exec four nft list ruleset"));

        daemon.signal("KILL");
        assert_eq!(daemon.ends(), -1);
        assert_eq!(ask(world, "four", "db"), "TimeoutError");
        assert!(world.pings("four", "db"), "the hosts file knows it");
        let daemon = watch(world, SHOP);

        answers(world, &daemon, ("four", "db"), "NOERROR 10.1.0.9");
        let after = world.sh(&format!("cat {RESOLV_CONF}; stat -c %i {RESOLV_CONF}; ip netns exec four nft list ruleset"));
        assert_eq!(before, after);
        daemon.brings_it_in_sync("a new start");
    }
}

live! {
    fn the_way_to_the_resolver_is_brought_back(world) {
        let daemon = watch(world, SHOP);
        answers(world, &daemon, ("four", "db"), "NOERROR 10.1.0.9");

        for break_it in [
            "ip netns exec four nft flush ruleset",
            "ip netns exec four nft delete table ip netform-dns",
            "ip netns del four",
        ] {
            world.sh(break_it);
            answers(world, &daemon, ("four", "db"), "NOERROR 10.1.0.9");
        }
        for break_it in ["rm", "echo nameserver 192.0.2.1 >>"] {
            world.sh(&format!("{break_it} {RESOLV_CONF}"));
            let whole = format!("grep 127.0.0.11 {RESOLV_CONF} && ! grep 192.0.2.1 {RESOLV_CONF}");
            patiently(&|| daemon.log(), || world.try_sh(&whole).code == 0);
        }
        daemon.brings_it_in_sync("all of it");
    }
}

live! {
    fn an_apply_keeps_the_daemons_files_while_it_runs_and_takes_them_away_afterwards(world) {
        let there = || world.try_sh(&format!("test -e {RESOLV_CONF}")).code == 0;
        let daemon = watch(world, SHOP);
        world.assert_in_sync();
        world.run(&["suspend", "--for", "10m"]).exits(0);
        let db = SHOP.lines().last().unwrap();
        world.apply(&SHOP.replace(db, ""));
        assert_ne!(world.try_sh("ip link show netform.shop.db.back").code, 0, "though its resolver is open still");
        let more = format!("{SHOP}  more: {{networks: [front]}}\n");
        world.apply(&more);
        assert!(there() && world.try_sh("test -e /etc/netns/more/resolv.conf").code == 0);
        world.apply(SHOP);
        world.run(&["resume"]).exits(0);
        daemon.brings_it_in_sync("an apply");
        assert!(world.run(&["status"]).stdout.contains("names: answered by the daemon"));

        daemon.signal("TERM");
        assert_eq!(daemon.ends(), 0);
        assert!(there(), "the next daemon will want it");
        assert!(world.run(&["status"]).stdout.contains("names: hosts files"));
        world.apply(SHOP);
        assert!(!there());
        assert!(world.pings("four", "db"));
        world.assert_in_sync();
        world.run(&["rollback", "--yes"]).exits(0);
        assert!(!there(), "an earlier state has no resolver either");

        let daemon = watch(world, SHOP);
        daemon.signal("KILL");
        daemon.ends();
        assert!(there());
        world.run(&["destroy", "--yes"]).exits(0);
        assert_ne!(world.try_sh("ls -d /etc/netns/*").code, 0, "destroy takes all of it");
    }
}

live! {
    fn a_resolv_conf_of_somebody_else_stays(world) {
        let daemon = watch(world, SHOP);
        world.sh(&format!("echo 'nameserver 192.0.2.1' > {RESOLV_CONF}"));

        daemon.says("is somebody else");
        assert_eq!(world.sh(&format!("cat {RESOLV_CONF}")), "nameserver 192.0.2.1\n");
        world.sh(&format!("rm {RESOLV_CONF}"));
        world.run(&["reconcile"]).exits(0);
        answers(world, &daemon, ("four", "db"), "NOERROR 10.1.0.9");
        daemon.brings_it_in_sync("the end of a conflict");
    }
}
