//! Containers with links of the host for themselves.

use super::daemon::{Daemon, patiently};
use super::world::{World, live};

/// A host whose `eth2` leads to a router, with all that a link may have.
fn wired(world: &World) {
    world.sh("ip netns add router; ip link add eth2 type veth peer name r0 netns router; ip -n router link set r0 up
         ip -n router addr add 192.168.9.1/24 dev r0; ip -n router addr add fd00:9::1/64 dev r0 nodad
         ip link set eth2 address 02:00:00:00:00:09 mtu 1400 alias 'uplink to rack 4' up
         ip link property add dev eth2 altname enp5s0
         ip addr add 192.168.9.5/24 brd + dev eth2; ip addr add 192.168.9.6/24 dev eth2 label eth2:1
         ip addr add 10.77.0.1 peer 10.77.0.2 dev eth2; ip addr add fd00:9::5/64 dev eth2 nodad
         ip route add 10.200.0.0/16 via 192.168.9.1 metric 7 proto static mtu 1300
         ip route add 10.201.0.0/16 dev eth2 src 192.168.9.6; ip route add 10.202.0.0/16 via 192.168.9.1 table 77
         ip -6 route add fd00:77::/64 via fd00:9::1 dev eth2");
}

/// Returns all that the host knows of `eth2`, what the kernel makes itself aside.
fn eth2(world: &World) -> String {
    world.sh("ip -d link show eth2 | sed 's/^[0-9]*: //; s/state [A-Z]*//'; ip addr show eth2 | grep inet | grep -v fe80 | sed 's/ tentative//' | sort
         ip route show table all dev eth2 | grep -v fe80 | sort; ip -6 route show table all dev eth2 | grep -v fe80 | sort")
}

fn lab(containers: &str) -> String {
    format!(
        "netform: 1
project: lab
networks:
  lab: {{driver: physical, subnets: [{{cidr: 192.168.9.0/24, gateway: 192.168.9.1}}, {{cidr: 'fd00:9::/64', gateway: 'fd00:9::1'}}]}}
  back: {{subnets: [10.5.0.0/24]}}
containers: {containers}
"
    )
}

const WEB: &str = "{web: {networks: {lab: {device: eth2, address: [192.168.9.10, 'fd00:9::10']}, back: }}}";

live! {
    fn a_bridge_does_not_take_the_name_of_a_link_that_comes_back(world) {
        wired(world);
        let before = eth2(world);
        world.apply(&lab(WEB));
        let without = lab("{web: {networks: {back: }}}");
        world.file("netform.yaml", &without.replace("back: {subnets", "back: {interface: eth2, subnets"));

        let refused = world.run(&["apply", "--yes"]).exits(9);
        for said in [
            "network.back needs link eth2, but the host's own eth2, which attachment.web@lab gives back, is in the way",
            "netform.yaml:5:",
            "give network.back another `interface`",
        ] {
            assert!(refused.stderr.contains(said), "{said} in:\n{}", refused.stderr);
        }
        world.file("netform.yaml", &lab(WEB));
        world.assert_in_sync();
        world.apply(&without);
        assert_eq!(eth2(world), before);
    }
}

live! {
    fn a_bridge_is_not_put_where_a_link_that_comes_back_is(world) {
        wired(world);
        let before = eth2(world);
        let home = |subnet: &str| {
            format!("netform: 1\nproject: lab\nnetworks:\n  back: {{subnets: [{subnet}]}}\ncontainers: {{web: {{networks: [back]}}}}\n")
        };
        world.apply(&lab(WEB));
        for (subnet, said) in [
            ("192.168.9.0/24", "link eth2 comes back to the host and leads to 192.168.9.0/24,"),
            ("10.0.0.0/8", "link eth2 comes back to the host and leads to 10."),
            ("10.202.0.0/16", "link eth2 comes back to the host and leads to 10.202.0.0/16"),
            ("'fd00:9::/64'", "link eth2 comes back to the host and leads to fd00:9::/64"),
            ("192.168.9.128/25", "subnet 192.168.9.128/25 is a part of 192.168.9.0/24, the network that link eth2"),
        ] {
            world.file("netform.yaml", &home(subnet));
            for verb in [&["plan"][..], &["apply", "--yes"]] {
                let told = world.run(verb).exits(65).stderr;
                assert!(told.contains(said) && told.contains("netform.yaml:4:"), "{subnet}: {told}");
            }
        }
        world.file("netform.yaml", &lab(WEB));
        world.assert_in_sync();

        // What lies within a route is told, and what is nobody's is not.
        world.file("netform.yaml", &home("10.200.7.0/24"));
        let (plan, _) = world.plan();
        assert!(plan.contains("a route of somebody else to 10.200.0.0/16, of which subnet 10.200.7.0/24"), "{plan}");
        let told = world.apply(&home("10.5.0.0/24"));
        assert!(!told.contains("somebody else to") && !told.contains("comes back"), "{told}");
        assert_eq!(eth2(world), before);
    }
}

live! {
    fn what_a_link_brings_back_into_a_subnet_that_is_there_is_told(world) {
        wired(world);
        let both = "netform: 1
project: lab
networks: {lab: {driver: physical}, back: {subnets: [192.168.9.0/24]}}
containers: {web: {networks: {lab: {device: eth2}, back: }}}
";
        world.apply(&both.replace(", back: {subnets: [192.168.9.0/24]}", "").replace(", back: }", "}"));
        let told = world.apply(both);
        assert!(!told.contains("comes back to the host"), "{told}");

        world.file("netform.yaml", &both.replace("lab: {device: eth2}, ", ""));
        let (plan, _) = world.plan();

        assert!(plan.contains("link eth2 comes back to the host and leads to 192.168.9.0/24, which is in subnet 192.168.9.0/24 of network back"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(world.sh("ip addr show dev eth2").contains("192.168.9.5/24"));
    }
}

live! {
    fn a_link_goes_into_a_container_and_comes_back_as_it_was(world) {
        wired(world);
        let before = eth2(world);

        let told = world.apply(&lab(WEB));

        assert!(told.contains("`eth2` leaves the host for `web`: 192.168.9.5/24") && told.contains("the route to 10.200.0.0/16"), "{told}");
        world.assert_in_sync();
        for to in ["192.168.9.1", "fd00:9::1", "10.5.0.1"] {
            assert!(world.pings("web", to), "{to}");
        }
        assert_eq!(world.try_sh("ip link show eth2").code, 1);
        let inside = world.sh("ip -n web -d link show eth0");
        assert!(inside.contains("02:00:00:00:00:09") && inside.contains("mtu 1400"), "{inside}");
        assert_eq!(world.sh("ip -n web route show default").trim(), "default via 192.168.9.1 dev eth0 proto 110");
        let status = world.run(&["status", "--tree", "--manifest", "netform.yaml"]).exits(0).stdout;
        assert!(status.contains("eth0  192.168.9.10/24"), "{status}");
        let said = world.run(&["explain", "192.168.9.10"]).exits(0).stdout;
        assert!(said.contains("container web") && said.contains("network lab"), "{said}");
        // The other end of the pair that `eth2` is of is the router's.
        let said = world.run(&["explain", "container.web"]).exits(0).stdout;
        assert!(said.contains("it lives in namespace web; ") && said.contains("eth0 with 192.168.9.10/24"), "{said}");
        let said = world.run(&["explain", "--path", "web", "router"]).exits(0).stdout;
        assert!(said.contains("arrives, and is answered"), "{said}");

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(eth2(world), before);
        assert!(!world.sh("ip link").contains("netform"));
    }
}

live! {
    fn what_the_manifest_says_of_it_holds_as_long_as_it_says_so(world) {
        wired(world);
        let before = eth2(world);
        let given = "{web: {networks: {lab: {device: eth2, interface: lan0, mac: '02:00:00:00:00:77', sysctls: {net.ipv4.conf.IFNAME.log_martians: 1}, routes: [{to: 10.9.0.0/16, via: 192.168.9.1}]}}}}";
        world.apply(&lab(given).replace("physical,", "physical, mtu: 1350,"));
        world.assert_in_sync();
        let inside = world.sh("ip -n web -d link show lan0; ip -n web route; ip netns exec web sysctl -n net.ipv4.conf.lan0.log_martians");
        for wanted in ["02:00:00:00:00:77", "mtu 1350", "10.9.0.0/16 via 192.168.9.1"] {
            assert!(inside.contains(wanted), "{wanted}: {inside}");
        }
        assert!(inside.ends_with("1\n"), "{inside}");

        let moved = world.apply(&lab(WEB));
        world.assert_in_sync();
        assert!(!moved.contains("leaves the host"), "it was away before:\n{moved}");
        let inside = world.sh("ip -n web -d link show eth0");
        assert!(inside.contains("02:00:00:00:00:09") && inside.contains("mtu 1400"), "{inside}");

        world.apply(&lab(&WEB.replace("web:", "db:")));
        world.assert_in_sync();
        assert!(world.pings("db", "192.168.9.1"), "from one container to another");
        world.run(&["rollback", "--yes"]).exits(0);
        assert!(world.pings("web", "192.168.9.1"));
        world.apply(&lab("{web: {networks: [back]}}"));
        assert_eq!(eth2(world), before, "taken off the network");
    }
}

live! {
    fn what_is_in_a_namespace_of_somebody_else_comes_back_when_the_manifest_forgets_it(world) {
        wired(world);
        let before = eth2(world);
        world.sh("ip netns add theirs; ip link add eth3 type veth peer name p3");
        let wan = "  wan: {driver: macvlan, options: {parent: eth3}, subnets: [10.8.0.0/24]}\ncontainers:";
        let theirs = lab("{web: {netns: theirs, networks: {lab: {device: eth2}, wan: }}}").replace("containers:", wan);
        world.apply(&theirs);
        world.assert_in_sync();

        world.apply(&lab(WEB));

        world.assert_in_sync();
        assert!(world.pings("web", "192.168.9.1"));
        assert_eq!(world.sh("ip -n theirs -o link | wc -l").trim(), "1", "nothing but lo is left in there");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(eth2(world), before);
    }
}

live! {
    fn what_is_broken_in_the_container_is_repaired(world) {
        wired(world);
        let before = eth2(world);
        world.apply(&lab(WEB));
        let daemon = Daemon::start(world, &[]);
        for break_it in [
            "ip -n web link set eth0 down",
            "ip -n web link set eth0 mtu 1300",
            "ip -n web link set eth0 address 02:00:00:00:00:55",
            "ip -n web addr flush dev eth0",
            "ip -n web route del default",
            "ip -n web link set eth0 alias mine",
            "ip -n web link property del dev eth0 altname netform.lab.web.lab",
            "ip -n web link set eth0 down; ip -n web link set eth0 name eth9",
            "ip -n web link set eth0 netns 1",
        ] {
            world.sh(&break_it.replace("netns 1", &format!("netns {}", std::process::id())));
            daemon.brings_it_in_sync(break_it);
            assert!(world.pings("web", "192.168.9.1") && world.pings("web", "fd00:9::1"), "{break_it}");
        }
        drop(daemon);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(eth2(world), before, "what it was is not what somebody made of it");
    }
}

live! {
    fn a_link_that_is_not_there_is_waited_for(world) {
        world.file("netform.yaml", &lab(WEB));
        let (plan, _) = world.plan();
        assert!(plan.contains("there is no link `eth2`: `web` waits for it"), "{plan}");
        let daemon = Daemon::start(world, &[]);
        patiently(&|| daemon.log(), || world.try_sh("ip netns exec web ping -c1 -W1 10.5.0.1").code == 0);
        let status = world.run(&["status", "--tree", "--manifest", "netform.yaml"]).exits(0).stdout;
        assert!(status.contains("[waiting]"), "{status}");

        wired(world);
        let is_there = || world.try_sh("ip netns exec web ping -c1 -W1 -I eth0 192.168.9.1").code == 0;
        patiently(&|| daemon.log(), is_there);
        world.sh("ip -n web link del eth0");
        daemon.says("there is no link `eth2`");
        assert!(world.pings("web", "10.5.0.1"), "the other networks go on");
        world.sh("ip netns del router");
        wired(world);
        patiently(&|| daemon.log(), is_there);
    }
}

live! {
    fn what_cannot_be_had_is_refused_with_who_has_it(world) {
        wired(world);
        world.file("netform.yaml", &lab(WEB));
        let refused = |prepare: &str, code: i32, why: &str| {
            world.sh(prepare);
            let said = world.run(&["apply", "--yes"]).exits(code).stderr;
            assert!(said.contains(why), "{prepare}: {said}");
        };
        refused("ip route add default via 192.168.9.1 dev eth2", 7, "attachment.web@lab would take eth2 from the host, whose default route leaves by it");
        refused("ip route del default; ip link add br9 type bridge; ip link set eth2 master br9", 65, "is a port of bridge br9");
        refused("ip link set eth2 nomaster; ip link add m0 link eth2 type macvlan", 65, "carries m0, which stands on it");
        refused("ip netns add other; ip link set m0 netns other", 65, "carries m0 in other, which stands on it");
        refused("ip netns del other; ip link del br9; ip link set eth2 down; ip link set eth2 name eth3; ip link add eth2 type bridge", 65, "is a bridge, which the kernel moves nowhere");
        world.sh("ip link del eth2; ip link set eth3 name eth2; ip link set eth2 up");
        world.file("theirs.yaml", &lab("{z: {networks: {lab: {device: eth2}}}}").replace("project: lab", "project: theirs").replace("10.5.0", "10.6.0"));
        world.run(&["apply", "--yes", "theirs.yaml"]).exits(0);
        refused("true", 65, "is in z, where project theirs has it");
        world.run(&["destroy", "--yes", "theirs.yaml"]).exits(0);
        world.run(&["apply", "--yes"]).exits(0);

        refused("ip link add eth2 type bridge", 0, "");
        let said = world.run(&["destroy", "--yes"]).exits(9).stderr;
        assert!(said.contains("has to give back link eth0 in web, but bridge eth2 is in the way"), "{said}");
        world.sh("ip link del eth2");
        world.run(&["destroy", "--yes"]).exits(0);
        assert!(world.sh("ip link show eth2").contains("uplink to rack 4"));
    }
}

live! {
    fn a_tunnel_without_a_link_layer_address_goes_as_well(world) {
        world.sh("ip tuntap add dev tun9 mode tun; ip link set tun9 up; ip addr add 10.88.0.1/24 dev tun9");
        let before = world.sh("ip -d link show tun9 | sed 's/^[0-9]*: //'; ip addr show tun9 | grep -w inet");
        let manifest = "netform: 1\nproject: lab\nnetworks: {vpn: {driver: physical}}\ncontainers: {web: {networks: {vpn: {device: tun9}}}}\n";

        world.apply(manifest);

        world.assert_in_sync();
        assert!(world.sh("ip -n web addr show eth0").contains("POINTOPOINT"), "with no address, since no subnet says which");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -d link show tun9 | sed 's/^[0-9]*: //'; ip addr show tun9 | grep -w inet"), before);
    }
}

live! {
    fn what_a_container_writes_on_a_link_moves_nothing_to_the_host(world) {
        wired(world);
        world.apply(&lab(WEB));
        let noted = world.sh("ip -n web -o link show eth0 | grep -o 'netform=eth2=00=[^ \\\\]*'");
        let forged = noted.trim().replace("192.168.9.5", "192.168.9.7");
        assert!(forged.contains("192.168.9.7"), "{noted}");

        // Another address for the host, and another link in the place of the one that it gave.
        world.sh(&format!("ip -n web link property del dev eth0 altname '{}'; ip -n web link property add dev eth0 altname '{forged}'", noted.trim()));
        let said = world.run(&["destroy", "--yes"]).exits(4).stderr;
        assert!(said.contains("says that it is eth2 of the host") && said.contains("devices.json"), "{said}");
        assert_eq!(world.try_sh("ip link show eth2").code, 1);
        world.sh(&format!("ip -n web link property del dev eth0 altname '{forged}'; ip -n web link property add dev eth0 altname '{}'", noted.trim()));
        world.run(&["destroy", "--yes"]).exits(0);
        assert!(world.sh("ip addr show eth2").contains("192.168.9.5/24"));

        // A project that never took anything.
        world.apply("netform: 1\nproject: lab\nnetworks: {back: {subnets: [10.5.0.0/24]}}\ncontainers: {web: {networks: [back]}}\n");
        world.sh(&format!("ip -n web link add eth9 type veth peer name eth8; ip -n web link property add dev eth9 altname '{}'", noted.trim().replace("eth2", "eth7")));
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.try_sh("ip link show eth7").code, 1, "it stays out of the host");
    }
}

live! {
    fn a_link_comes_back_also_when_files_are_lost(world) {
        wired(world);
        let before = eth2(world);
        let state = world.dir().join("state").display().to_string();
        let lost = |lose: &str, then: &[&str]| {
            world.apply(&lab(WEB));
            world.sh(&lose.replace("STATE", &state));
            for verb in then {
                world.run(&[verb, "--yes"]).exits(0);
            }
            assert_eq!(eth2(world), before, "{lose}");
        };
        lost("rm -rf STATE", &["destroy"]);
        lost("rm -rf STATE", &["apply", "destroy"]);
        lost("rm STATE/lab/devices.json", &["destroy"]);
        lost("echo '{}' > STATE/lab/devices.json", &["destroy"]);
    }
}

live! {
    fn what_cannot_be_noted_is_refused_before_anything_is_changed(world) {
        wired(world);
        world.file("netform.yaml", &lab(WEB));
        world.sh("for i in $(seq 80); do ip addr add 10.66.$i.1/24 dev eth2; done");
        let said = world.run(&["apply", "--yes"]).exits(4).stderr;
        assert!(said.contains("more addresses and routes than can be noted on it"), "{said}");
        world.sh("for i in $(seq 80); do ip addr del 10.66.$i.1/24 dev eth2; done; ip link property add dev eth2 altname netform=x");
        let said = world.run(&["apply", "--yes"]).exits(4).stderr;
        assert!(said.contains("netform=x"), "{said}");
        world.sh("ip link property del dev eth2 altname netform=x; ip link add other type veth peer name p9; ip link set other up; ip link set p9 up
             ip route add 10.55.0.0/16 nexthop via 192.168.9.1 dev eth2 nexthop dev other");
        for verb in [&["plan"][..], &["apply", "--yes"]] {
            let said = world.run(verb).exits(65).stderr;
            assert!(said.contains("it shares the route to 10.55.0.0/16 with other links"), "{said}");
            assert!(said.contains("netform.yaml:"), "{said}");
        }
        world.sh("ip route del 10.55.0.0/16");
        world.run(&["apply", "--yes"]).exits(0);
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn an_address_of_a_link_that_leaves_can_lead_to_a_container(world) {
        wired(world);
        let before = eth2(world);
        world.sh("ip link add eth0 type veth peer name u0; ip link set eth0 up; ip link set u0 up");
        let manifest = lab(WEB).replace("project: lab", "project: lab\nown_external_addresses: eth0").replace("back: }", "back: {external_address: 192.168.9.5}}");

        world.apply(&manifest);

        world.assert_in_sync();
        assert!(world.sh("ip -o addr show dev eth0").contains("192.168.9.5/32"));
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(eth2(world), before);
        assert!(!world.sh("ip -o addr show dev eth0").contains("192.168.9.5"));
    }
}

live! {
    fn what_is_no_name_of_a_link_of_the_hosts_own_is_told(world) {
        wired(world);
        world.file("netform.yaml", &lab("{web: {networks: {lab: {device: enp5s0}}}}"));
        let told = world.run(&["plan"]).exits(65).stderr;
        assert!(told.contains("`enp5s0` is a further name of `eth2`") && told.contains("netform.yaml:6:"), "{told}");
        world.file("netform.yaml", &lab("{web: {networks: {lab: {device: br-back}, back: }}}"));
        for _ in 0..2 {
            let told = world.run(&["apply", "--yes"]).exits(65).stderr;
            assert!(told.contains("netform makes it for network `back`"), "{told}");
            world.file("other.yaml", &lab("{web: {networks: [back]}}"));
            world.run(&["apply", "--yes", "other.yaml"]).exits(0);
        }
    }
}
