//! Two containers that are joined directly, and a container that is joined with the host.

use super::daemon::{Daemon, patiently};
use super::world::{Listen, World, live};

fn wire(containers: &str) -> String {
    format!(
        "netform: 1
project: shop
networks: {{wire: {{driver: veth, subnets: [10.9.0.0/31, 'fd00:9::/127']}}}}
containers: {containers}
"
    )
}

const BOTH: &str = "{web: {networks: {wire: {aliases: [front]}}}, db: {networks: [wire]}}";

/// What the host has of its own.
fn host(world: &World) -> String {
    world.sh("ip -o link; ip -o addr; ip route; sysctl -n net.ipv4.ip_forward")
}

live! {
    fn two_containers_are_joined_by_a_pair_of_which_the_host_has_nothing(world) {
        let before = host(world);
        world.apply(&wire(BOTH));

        world.assert_in_sync();
        let address = |ns: &str| world.sh(&format!("ip -n {ns} -o addr show eth0 scope global | awk '{{print $4}}'"));
        assert_eq!(["web", "db"].map(address), ["10.9.0.0/31\nfd00:9::/127\n", "10.9.0.1/31\nfd00:9::1/127\n"]);
        for to in ["10.9.0.1", "fd00:9::1", "db", "db.wire"] {
            assert!(world.pings("web", to), "{to}");
        }
        assert!(world.pings("db", "front") && world.pings("db", "web"));
        assert_eq!(world.sh("ip -n web route show default; ip -n db -6 route show default"), "", "nobody leads out");
        assert!(world.sh("ip -n web link show netform.shop.web.wire; ip -n db link show netform.shop.db.wire").contains("eth0"));
        assert!(!world.pings("host", "10.9.0.1"));
        assert_eq!(host(world), before);
        let said = world.run(&["explain", "eth0"]).exits(0).stdout;
        assert!(said.contains("container web has on netform's network wire"), "{said}");

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(host(world), before);
        assert_eq!(world.sh("ip netns list"), "");
    }
}

live! {
    fn what_is_broken_at_either_end_is_repaired(world) {
        world.apply(&wire(BOTH));
        for break_it in [
            "ip -n db link del eth0",
            "ip -n web link set eth0 down",
            "ip -n db link set eth0 mtu 1300",
            "ip -n web link set eth0 mtu 1300",
            "ip -n web link set eth0 address 02:00:00:00:00:01",
            "ip -n db link set eth0 address 02:00:00:00:00:02",
            "ip -n db link set eth0 alias mine",
            "ip -n web link set eth0 alias mine",
            "ip -n db link set eth0 alias mine; ip -n db link property del dev eth0 altname netform.shop.db.wire",
            "ip -n web link property del dev eth0 altname netform.shop.web.wire",
            "ip -n db addr del 10.9.0.1/31 dev eth0",
            "ip -n web link set eth0 down; ip -n web link set eth0 name eth7",
            "ip netns add away; ip -n db link set eth0 netns away",
            "ip netns del web",
            "ip netns del db",
        ] {
            world.sh(break_it);
            let (plan, changes) = world.plan();
            assert!(changes, "`{break_it}` should show in the plan:\n{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert!(world.pings("web", "10.9.0.1") && world.pings("db", "fd00:9::"), "{break_it}");
            let marks = "ip -n web -d link show eth0; ip -n db -d link show eth0";
            let marks = world.sh(marks).matches("alias netform:shop:attachment").count();
            assert_eq!(marks, 2, "{break_it}");
        }
    }
}

live! {
    fn one_may_be_the_way_out_of_the_other(world) {
        world.apply("netform: 1\nproject: shop\nnetworks:\n  wire: {driver: veth, subnets: [{cidr: 10.9.0.0/31, gateway: 10.9.0.0}]}\n  front: {subnets: [10.8.0.0/24]}\ncontainers:\n  router: {networks: {front: , wire: {address: 10.9.0.0}}}\n  inner: {networks: [wire]}\n");

        world.assert_in_sync();
        assert_eq!(world.sh("ip -n inner route show default").trim(), "default via 10.9.0.0 dev eth0 proto 110");
        assert_eq!(world.sh("ip -n router route show default").trim(), "default via 10.8.0.1 dev eth0 proto 110");
    }
}

live! {
    fn the_pair_comes_when_both_are_there_and_goes_with_either(world) {
        world.sh("ip netns add theirs");
        let manifest = wire("{web: {networks: [wire]}, db: {netns: later, networks: [wire]}}");
        world.apply(&manifest);
        world.assert_in_sync();
        assert_eq!(world.try_sh("ip -n web link show eth0").code, 1, "there is nobody to be joined with");
        let status = world.run(&["status", "--output", "json"]).exits(0).stdout;
        assert_eq!(status.matches("\"state\": \"waiting\"").count(), 3, "{status}");

        let daemon = Daemon::start(world, &[]);
        world.sh("ip netns add later");
        let joined = || world.pings("web", "10.9.0.1");
        patiently(&|| format!("joined:\n{}", daemon.log()), joined);
        world.sh("ip netns del later");
        let gone = || world.try_sh("ip -n web link show eth0").code == 1;
        patiently(&|| "gone".to_owned(), gone);
        world.sh("ip netns add later");
        patiently(&|| format!("joined again:\n{}", daemon.log()), joined);
        for break_it in ["ip -n later link set eth0 down", "ip -n web link del eth0", "ip -n web addr flush dev eth0"] {
            world.sh(break_it);
            daemon.brings_it_in_sync(break_it);
            assert!(joined(), "{break_it}");
        }
        assert!(!daemon.log().contains("contested"), "{}", daemon.log());
    }
}

live! {
    fn containers_by_process_are_joined_and_joined_anew_when_they_start_again(world) {
        let mut first = world.beside("unshare -n sleep 600");
        let mut second = world.beside("unshare -n sleep 600");
        let apart = |pid: u32| world.try_sh(&format!("test $(readlink /proc/{pid}/ns/net) != $(readlink /proc/self/ns/net)")).code == 0;
        patiently(&|| "in namespaces of their own".to_owned(), || apart(first.id()) && apart(second.id()));
        let pids = |a: u32, b: u32| wire(&format!("{{a: {{pid: {a}, networks: [wire]}}, b: {{pid: {b}, networks: [wire]}}}}"));
        world.apply(&pids(first.id(), second.id()));

        let ping = |pid: u32, to: &str| world.try_sh(&format!("nsenter -t {pid} -n ping -c 1 -W 1 {to}")).code == 0;
        assert!(ping(first.id(), "10.9.0.1") && ping(second.id(), "fd00:9::"));
        world.assert_in_sync();
        second.kill().unwrap();
        second.wait().unwrap();
        patiently(&|| "the pair is gone".to_owned(), || !ping(first.id(), "10.9.0.0"));
        let (plan, changes) = world.plan();
        assert!(!changes && !plan.contains("Drift"), "it waits:\n{plan}");

        let mut third = world.beside("unshare -n sleep 600");
        patiently(&|| "in a namespace of its own".to_owned(), || apart(third.id()));
        world.apply(&pids(first.id(), third.id()));
        assert!(ping(first.id(), "10.9.0.1"));
        world.assert_in_sync();
        for held in [&mut first, &mut third] {
            held.kill().unwrap();
            held.wait().unwrap();
        }
    }
}

live! {
    fn a_bridge_becomes_a_pair_and_a_pair_a_bridge(world) {
        let bridged = wire(BOTH).replace("driver: veth, subnets: [10.9.0.0/31, 'fd00:9::/127']", "subnets: [10.9.0.0/29]");
        let direct = wire(BOTH).replace("10.9.0.0/31, 'fd00:9::/127'", "10.9.0.0/29");
        world.apply(&bridged);
        for (next, name) in [(&direct, "a pair"), (&bridged, "a bridge"), (&direct, "a pair again")] {
            world.file("netform.yaml", next);
            let (plan, _) = world.plan();
            let apart = ["interrupts web", "interrupts db"].iter().all(|what| plan.contains(what));
            assert!(apart || plan.contains("interrupts db, web"), "{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert!(world.pings("web", "db"), "{name}");
        }
        assert_eq!(world.try_sh("ip -o link | grep -E 'br-|nf-'").code, 1);
    }
}

live! {
    fn the_host_and_a_container_are_joined_directly(world) {
        let before = host(world);
        let manifest = |options: &str| format!("netform: 1\nproject: shop\nnetworks:\n  up: {{driver: veth, options: {{host: true}}, subnets: [10.9.0.0/31, 'fd00:9::/127']{options}}}\n  other: {{subnets: [10.7.0.0/24]}}\ncontainers:\n  web: {{networks: [up], publish: ['8080:80']}}\n  x: {{networks: [other]}}\n");
        world.apply(&manifest(""));

        world.assert_in_sync();
        let _server = world.serve("web", &Listen::tcp(80), "web");
        assert!(world.pings("host", "10.9.0.0") && world.pings("web", "10.9.0.1") && world.pings("web", "fd00:9::1"));
        assert!(world.pings("web", "host.netform.internal"));
        for to in ["127.0.0.1", "10.9.0.1", "10.9.0.0"] {
            let port = if to == "10.9.0.0" { 80 } else { 8080 };
            assert!(world.ask("host", "tcp", to, port).is_some_and(|said| said.starts_with("web")), "{to}");
        }
        assert!(world.ask("x", "tcp", "10.7.0.1", 8080).is_some(), "published for everybody");
        assert!(world.ask("x", "tcp", "10.9.0.0", 80).is_none(), "networks are apart");
        for break_it in ["ip link del ve-up", "ip addr del 10.9.0.1/31 dev ve-up", "ip link set ve-up down", "ip netns del web"] {
            world.sh(break_it);
            assert!(world.plan().1, "{break_it}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert!(world.pings("host", "fd00:9::"), "{break_it}");
        }
        world.apply(&manifest(", interface: cable0").replace("10.9.0.0/31", "10.9.2.0/31"));
        world.assert_in_sync();
        assert!(world.pings("host", "10.9.2.0") && world.sh("ip -br addr show cable0").contains("10.9.2.1/31"));

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(host(world), before);
    }
}
