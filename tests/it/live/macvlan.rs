//! Containers on the network behind a link of the host.

use super::daemon::{Daemon, patiently};
use super::world::{World, live};

/// A host whose `eth0` leads to a router, which knows 203.0.113.5.
fn wired(world: &World) {
    world.sh("ip netns add router; ip link add eth0 type veth peer name r0 netns router; ip link set eth0 up
         ip addr add 192.168.9.10/24 dev eth0; ip -n router link set r0 up; ip -n router link set lo up
         ip -n router addr add 192.168.9.1/24 dev r0; ip -n router addr add 203.0.113.5/32 dev lo
         ip -n router addr add fd00:9::1/64 dev r0 nodad");
}

fn lan(mode: &str, containers: &str) -> String {
    format!(
        "netform: 1
project: lan
networks:
  lan:
    driver: macvlan
    options: {{parent: eth0{mode}}}
    subnets: [{{cidr: 192.168.9.0/24, gateway: 192.168.9.1, pool: 192.168.9.8/29}}, {{cidr: 'fd00:9::/64', gateway: 'fd00:9::1'}}]
containers: {containers}
"
    )
}

live! {
    fn a_container_is_one_more_host_behind_the_parent(world) {
        wired(world);
        let before = world.sh("ip -o link show eth0; ip -o -4 addr show eth0; sysctl -n net.ipv4.ip_forward");

        world.apply(&lan("", "{a: {networks: [lan]}, b: {networks: [lan]}, c: {networks: [lan]}}"));

        world.assert_in_sync();
        let address = |ns: &str| world.sh(&format!("ip -n {ns} -4 -o addr show eth0 | awk '{{print $4}}'"));
        assert_eq!(["a", "b", "c"].map(address), ["192.168.9.8/24\n", "192.168.9.9/24\n", "192.168.9.11/24\n"], "the host has .10");
        for to in ["b", "192.168.9.1", "203.0.113.5", "fd00:9::1"] {
            let to = if to == "b" { "192.168.9.9" } else { to };
            assert!(world.pings("a", to), "{to}");
        }
        assert!(world.pings("router", "192.168.9.8"), "nothing stands between");
        assert!(!world.pings("host", "192.168.9.8"), "the host itself is not on the network");
        assert_eq!(world.sh("ip -o link show eth0; ip -o -4 addr show eth0; sysctl -n net.ipv4.ip_forward"), before);
        assert_eq!(world.try_sh("nft list ruleset | grep -w eth0").code, 1, "its packets are not judged");
        assert_eq!(world.sh("ip netns exec a getent hosts b").split_whitespace().next(), Some("fd00:9::3"));

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show eth0; ip -o -4 addr show eth0; sysctl -n net.ipv4.ip_forward"), before);
        assert_eq!(world.sh("ip netns list | awk '{print $1}'"), "router\n");
        assert_eq!(world.try_sh("ip -o link | grep macvlan").code, 1);
    }
}

live! {
    fn a_link_goes_though_somebody_is_in_the_container(world) {
        wired(world);
        let two = "{a: {networks: [lan]}, b: {networks: [lan]}}";
        world.apply(&lan("", two));
        let mut inside = world.beside("ip netns exec b sleep 60");
        let links = format!("nsenter -t {} -n ip -o link show eth0", inside.id());
        let addresses = format!("nsenter -t {} -n ip -o addr", inside.id());
        let has_moved_in = || world.try_sh(&addresses).stdout.contains("192.168.9.9/24");
        patiently(&|| "b".to_owned(), has_moved_in);

        world.apply(&lan("", "{a: {networks: [lan]}}"));

        assert_eq!(world.try_sh(&links).code, 1, "it is gone for whoever is in there");
        assert!(!world.pings("router", "192.168.9.9"));
        world.apply(&lan("", two));
        // The router still asks for who did not answer, once a second.
        world.sh("ip -n router neigh flush all");
        assert!(world.pings("router", "192.168.9.9"), "and can be made again");
        inside.kill().unwrap();
        inside.wait().unwrap();
    }
}

live! {
    fn a_mode_says_whom_a_container_reaches_besides(world) {
        wired(world);
        let two = "{a: {networks: [lan]}, b: {networks: [lan]}}";
        world.apply(&lan("", two));
        for mode in ["private", "vepa", "bridge"] {
            world.file("netform.yaml", &lan(&format!(", mode: {mode}"), two));
            let (plan, _) = world.plan();
            assert!(plan.contains("must be replaced (its mode becomes"), "{plan}");
            world.run(&["apply", "--yes"]).exits(0);

            world.assert_in_sync();
            assert!(world.sh("ip -n a -d link show eth0").contains(&format!("macvlan mode {mode}")));
            assert!(world.pings("a", "192.168.9.1"), "{mode}");
            assert_eq!(world.pings("a", "192.168.9.9"), mode == "bridge", "{mode}");
        }
        world.apply(&lan(", mode: passthru", "{a: {networks: [lan]}}"));
        world.assert_in_sync();
        let mac = |at: &str| world.sh(&format!("ip {at} -o link show eth0 | grep -o 'ether [^ ]*'"));
        assert_eq!(mac("-n a"), mac(""));
        world.apply(&lan("", "{b: {networks: [lan]}}"));
        world.assert_in_sync();
    }
}

live! {
    fn what_is_broken_in_the_container_is_repaired(world) {
        wired(world);
        world.apply(&lan("", "{a: {networks: [lan]}}"));
        for break_it in [
            "ip -n a link del eth0",
            "ip -n a link set eth0 down",
            "ip -n a link set eth0 mtu 1300",
            "ip -n a addr del 192.168.9.8/24 dev eth0",
            "ip -n a route del default",
            "ip netns del a",
        ] {
            world.sh(break_it);
            let (plan, changes) = world.plan();
            assert!(changes, "`{break_it}` should show in the plan:\n{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert!(world.pings("a", "203.0.113.5"), "{break_it}");
        }
    }
}

live! {
    fn a_parent_that_goes_takes_the_network_with_it_and_brings_it_back(world) {
        wired(world);
        world.apply(&lan("", "{a: {networks: [lan]}}"));
        world.sh("ip link set eth0 name lan0");
        let refused = world.run(&["apply", "--yes"]).exits(65);
        assert!(refused.stderr.contains("there is no link `eth0`"), "{}", refused.stderr);
        assert!(world.pings("a", "203.0.113.5"), "what lives on under another name is not taken away");
        world.sh("ip link del lan0");
        world.file("netform.yaml", &(lan("", "{a: {networks: [lan, back]}}") + "  b: {networks: [back]}\n").replace("containers: {a", "  back: {subnets: [10.5.0.0/24]}\ncontainers:\n  a").replace("[lan, back]}}\n", "[lan, back]}\n"));
        let waits = world.run(&["apply", "--yes"]).exits(0).stdout;
        assert!(waits.contains("network `lan` waits for it"), "{waits}");
        assert!(world.pings("b", "10.5.0.2"), "the other networks go on");
        let status = world.run(&["status", "--tree", "--manifest", "netform.yaml"]).exits(0).stdout;
        assert!(status.contains("[waiting]"), "{status}");
        world.assert_in_sync();

        world.sh("ip netns del router");
        wired(world);
        world.run(&["apply", "--yes"]).exits(0);
        assert!(world.pings("a", "203.0.113.5"));
    }
}

live! {
    fn a_parent_without_carrier_blocks_nothing(world) {
        wired(world);
        world.sh("ip link set eth0 down; ip -n router link set r0 down");

        let told = world.apply(&lan("", "{a: {networks: [lan]}}"));

        assert!(told.contains("`eth0` is down"), "{told}");
        world.assert_in_sync();
        world.sh("ip link set eth0 up; ip -n router link set r0 up");
        assert!(world.pings("a", "192.168.9.1"));
    }
}

live! {
    fn another_network_can_be_added_to_a_running_container(world) {
        wired(world);
        world.apply("netform: 1\nproject: lan\nnetworks: {front: {subnets: [10.5.0.0/24]}}\ncontainers: {a: {networks: [front]}}\n");
        let mut held = world.beside("ip netns exec a sleep 60");
        let inside = format!("ip netns identify {}", held.id());
        patiently(&|| "in a".to_owned(), || world.try_sh(&inside).stdout == "a\n");

        world.apply(
            "netform: 1
project: lan
networks:
  front: {subnets: [10.5.0.0/24]}
  lan: {driver: macvlan, options: {parent: eth0}, subnets: [192.168.9.0/24]}
containers: {a: {networks: {front: , lan: {address: 192.168.9.77}}, publish: ['8080:80']}}
",
        );

        assert!(held.try_wait().unwrap().is_none(), "it runs on");
        held.kill().unwrap();
        held.wait().unwrap();
        assert!(world.pings("a", "192.168.9.1") && world.pings("a", "10.5.0.1"));
        let routes = world.sh("ip -n a route show default");
        assert_eq!(routes.trim(), "default via 10.5.0.1 dev eth0 proto 110", "nobody said who leads out of `lan`");
    }
}

live! {
    fn the_daemon_hears_what_happens_to_links_that_were_there_before_it(world) {
        wired(world);
        world.apply(&lan("", "{a: {networks: [lan]}, b: {networks: [lan]}}"));
        let daemon = Daemon::start(world, &[]);
        for break_it in ["ip -n b addr flush dev eth0", "ip -n a link set eth0 down", "ip -n b link del eth0"] {
            world.sh(break_it);
            daemon.brings_it_in_sync(break_it);
        }
    }
}

live! {
    fn the_daemon_brings_a_link_back_and_waits_for_its_parent(world) {
        wired(world);
        world.file("netform.yaml", &lan("", "{a: {networks: [lan]}, b: {networks: [lan]}}"));
        let daemon = Daemon::start(world, &[]);
        for break_it in ["ip -n a link del eth0", "ip -n a link set eth0 down", "ip -n b addr flush dev eth0"] {
            world.sh(break_it);
            daemon.brings_it_in_sync(break_it);
        }

        world.sh("ip link del eth0");
        daemon.says("there is no link `eth0`");
        world.sh("ip netns del router");
        wired(world);
        daemon.brings_it_in_sync("the parent is back");
        assert!(world.pings("a", "203.0.113.5") && world.pings("a", "192.168.9.9"));
    }
}

live! {
    fn the_host_is_beside_its_containers_when_it_is_given_an_address_there(world) {
        wired(world);
        let before = world.sh("ip -o link show eth0; ip -o -4 addr show eth0; ip route; ip -6 route show dev eth0 | grep -v fe80 || true");
        let beside = |containers: &str| lan(", host_address: [192.168.9.8, 'fd00:9::8']", containers);
        let two = "{a: {networks: [lan]}, b: {networks: [lan]}}";

        let told = world.apply(&beside(two));

        assert!(!told.contains("interrupts"), "{told}");
        world.assert_in_sync();
        let address = world.sh("ip -n a -4 -o addr show eth0 | awk '{print $4}'");
        assert_eq!(address, "192.168.9.9/24\n", "the host has .8, and no container gets it");
        let v6 = world.sh("ip -n a -6 -o addr show eth0 scope global | awk '{print $4}' | sed 's|/.*||'");
        for (from, to) in [("host", "192.168.9.9"), ("host", v6.trim()), ("a", "192.168.9.8"), ("a", "fd00:9::8"), ("b", "192.168.9.9"), ("host", "192.168.9.1"), ("a", "203.0.113.5")] {
            assert!(world.pings(from, to), "{from} to {to}");
        }
        let link = world.sh("ip -o link show netform.lan.lan.host | sed 's/^[0-9]*: \\([^@]*\\)@.*/\\1/'");
        let link = link.trim();
        let said = world.run(&["explain", link]).exits(0).stdout;
        assert!(said.contains("is netform's link by which the host is beside the containers of network lan"), "{said}");
        // What is said of the way is what pings have shown.
        for (from, to) in [("host", "a"), ("a", "host"), ("a", "b"), ("a", "203.0.113.5"), ("router", "192.168.9.9"), ("host", "router")] {
            let said = world.run(&["explain", "--path", from, to]).exits(0).stdout;
            assert!(said.contains("arrives, and is answered"), "{said}");
        }
        let said = world.run(&["explain", "container.a"]).exits(0).stdout;
        assert!(said.contains("it has eth0 with 192.168.9.9/24"), "{said}");

        let daemon = Daemon::start(world, &[]);
        for break_it in [
            format!("ip link del {link}"),
            format!("ip link set {link} down"),
            format!("ip addr flush dev {link}"),
            format!("ip route del 192.168.9.9 dev {link}"),
            format!("sysctl -qw net.ipv6.conf.{link}.accept_ra=1"),
        ] {
            world.sh(&break_it);
            daemon.brings_it_in_sync(&break_it);
            assert!(world.pings("host", "192.168.9.9"), "{break_it}");
        }
        drop(daemon);
        let fewer = world.apply(&beside("{b: {networks: [lan]}}"));
        assert!(!fewer.contains("interrupts b"), "{fewer}");
        assert_eq!(world.sh(&format!("ip route show dev {link} | wc -l")).trim(), "1", "no route to who has gone");
        let without = world.apply(&lan("", "{b: {networks: [lan]}}"));
        assert!(!without.contains("interrupts"), "{without}");
        assert_eq!(world.try_sh("ip link show netform.lan.lan.host").code, 1);
        world.apply(&beside(two));
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show eth0; ip -o -4 addr show eth0; ip route; ip -6 route show dev eth0 | grep -v fe80 || true"), before);
    }
}

live! {
    fn what_the_kernel_lacks_is_told_before_anything_is_changed(world) {
        wired(world);
        for (kind, driver, parent, what) in [
            ("ipvlan", "ipvlan", "eth0", "ipvlan links"),
            ("vlan id 9", "macvlan", "eth0.9", "VLANs"),
        ] {
            let has = world.try_sh(&format!("ip link add link eth0 name probe type {kind} && ip link del probe")).code == 0;
            let manifest = lan("", "{a: {networks: [lan]}}").replace("macvlan", driver).replace("parent: eth0", &format!("parent: {parent}"));
            world.file("netform.yaml", &manifest);
            let before = world.sh("ip -o link; ip netns");
            let done = world.run(&["apply", "--yes"]);
            if has {
                done.exits(0);
                world.run(&["destroy", "--yes"]).exits(0);
                continue;
            }
            let told = done.exits(69).stderr;
            assert!(told.contains(&format!("this kernel makes no {what}; nothing was changed")), "{told}");
            let (plan, changes) = world.plan();
            assert!(changes && plan.contains(&format!("this kernel makes no {what}: an apply is refused")), "{plan}");
            assert!(plan.contains("Warning: netform.yaml:"), "{plan}");
            assert_eq!(world.sh("ip -o link; ip netns"), before);
        }
    }
}

live! {
    fn what_carries_no_link_or_not_this_one_is_told_by_the_plan(world) {
        wired(world);
        world.sh("ip netns add vm; ip tuntap add mode tun name tun0; ip link set tun0 up");
        let on = |parent: &str, mode: &str| lan(mode, "{a: {networks: [lan]}}").replace("eth0", parent);
        let refused = |parent: &str, mode: &str, words: &[&str]| {
            world.file("netform.yaml", &on(parent, mode));
            let before = world.sh("ip -o link | cut -d: -f2; ip netns");
            for verb in [&["plan"][..], &["apply", "--yes"]] {
                let told = world.run(verb).exits(65).stderr;
                assert!(told.contains("netform.yaml:6:23") && words.iter().all(|word| told.contains(word)), "{told}");
            }
            assert_eq!(world.sh("ip -o link | cut -d: -f2; ip netns"), before);
        };
        let passthru = ", mode: passthru";
        refused("tun0", "", &["an Ethernet link, and needs one below it"]);
        refused("lo", "", &["nothing can stand on `lo`"]);
        for (kind, ns) in [("macvlan", "vm"), ("macvtap", "")] {
            if kind == "macvtap" && world.try_sh("ip link add link eth0 name probe type macvtap && ip link del probe").code != 0 {
                continue;
            }
            let (on, name) = if ns.is_empty() { ("-4", "mv0 ") } else { ("-n vm", "mv0 in vm") };
            let make = |mode: &str| {
                world.sh(&format!("ip link add link eth0 name mv0 type {kind} mode {mode}"));
                if !ns.is_empty() {
                    world.sh("ip link set mv0 netns vm");
                }
            };
            make("passthru");
            refused("eth0", "", &[name, "in mode passthru"]);
            refused("eth0", passthru, &["in mode passthru"]);
            world.sh(&format!("ip {on} link del mv0"));
            make("bridge");
            refused("eth0", passthru, &["in mode passthru, one link alone has it", name]);
            if ns.is_empty() {
                refused("mv0", "", &["it is a macvlan link itself", "name `eth0`"]);
            }
            world.apply(&lan("", "{a: {networks: [lan]}}"));
            world.assert_in_sync();
            world.run(&["destroy", "--yes"]).exits(0);
            world.sh(&format!("ip {on} link del mv0"));
        }
        world.sh("ip link add link eth0 name mv0 type macvlan mode bridge");
        refused("mv0", "", &["it is a macvlan link itself", "`mv0` is on `eth0`", "name `eth0`"]);
    }
}
