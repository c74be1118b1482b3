//! Published ports, as those see them who connect.

use super::world::{Listen, World, live};

live! {
    fn a_published_port_is_reached_from_everywhere_and_an_unpublished_one_from_nowhere(world) {
        world.sh("ip netns add remote && ip link add uplink type veth peer name eth0 netns remote &&
            ip addr add 192.0.2.1/24 dev uplink && ip link set uplink up &&
            ip -n remote addr add 192.0.2.2/24 dev eth0 && ip -n remote link set eth0 up &&
            ip -n remote route add 172.25.0.0/16 via 192.0.2.1");
        world.apply("netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}, other: {subnets: [10.9.0.0/24]}}\ncontainers:\n  \
            web: {networks: {front: {address: 172.25.3.3}}, publish: ['8080:80', '127.0.0.1:8081:80', '5353:53/udp']}\n  \
            app: {networks: [front]}\n  far: {networks: [other]}\n");
        let _web = world.serve("web", &Listen::tcp(80), "web");
        let _dns = world.serve("web", &Listen::udp(53), "dns");
        let says = |from: &str, protocol: &str, to: &str, port: u16| {
            world.ask(from, protocol, to, port).is_some_and(|answer| answer.starts_with("web") || answer.starts_with("dns"))
        };

        assert_eq!(world.ask("remote", "tcp", "192.0.2.1", 8080).as_deref(), Some("web 192.0.2.2"), "with its own address");
        assert!(says("remote", "udp", "192.0.2.1", 5353));
        for address in ["127.0.0.1", "192.0.2.1", "172.25.0.1"] {
            assert!(says("host", "tcp", address, 8080), "the host, by {address}");
        }
        assert!(says("host", "tcp", "127.0.0.1", 8081));
        assert!(says("far", "tcp", "10.9.0.1", 8080), "another network, by the host");
        assert!(says("app", "tcp", "172.25.0.1", 8080), "the same network, by the host");

        assert!(!says("remote", "tcp", "192.0.2.1", 8081), "bound to 127.0.0.1");
        assert!(!says("remote", "tcp", "172.25.3.3", 80), "a container is not reached by its own address");
        assert!(!says("far", "tcp", "172.25.3.3", 80), "networks are apart");
        world.sh("sysctl -q -w net.ipv4.conf.all.route_localnet=1; ip -n remote addr flush dev lo; ip -n remote route add 127.0.0.1 via 192.0.2.1");
        assert!(!says("remote", "tcp", "127.0.0.1", 8081), "not even routed to us");
    }
}

live! {
    fn any_address_of_one_family_is_that_family_alone(world) {
        world.apply("netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}}\ncontainers:\n  \
            web: {networks: [front], publish: ['0.0.0.0:8080:80', '[::]:8081:80', {host_address: 0.0.0.0, host_port: 8082, target_port: 80, allow_from: [192.0.2.0/24]}]}\n");
        let _web = world.serve("web", &Listen::tcp(80), "web");
        let _host = world.serve("host", &Listen { protocol: "tcp", address: "::", port: 8080 }, "host");
        let _guarded = world.serve("host", &Listen { protocol: "tcp", address: "::", port: 8082 }, "host");
        let says = |from: &str, to: &str, port: u16| {
            world.ask(from, "tcp", to, port).map(|answer| answer.split(' ').next().unwrap().to_owned())
        };

        for (to, port, want) in [
            ("127.0.0.1", 8080, Some("web")),
            ("172.25.0.1", 8080, Some("web")),
            ("fd00:25::1", 8080, Some("host")),
            ("fd00:25::1", 8081, Some("web")),
            ("172.25.0.1", 8081, None),
            ("127.0.0.1", 8082, Some("web")),
        ] {
            assert_eq!(says("host", to, port).as_deref(), want, "{to} {port}");
        }
        assert_eq!(says("web", "172.25.0.1", 8082), None, "web is not allowed");
        assert_eq!(says("web", "fd00:25::1", 8082).as_deref(), Some("host"), "the port is not published over IPv6");
    }
}

live! {
    fn a_container_reaches_its_own_published_port_through_the_host(world) {
        let quiet = "quiet: {subnets: [10.8.0.0/24, 'fd00:8::/64'], icc: false}";
        world.apply(&format!("netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/16, 'fd00:25::/64']}}, {quiet}}}\ncontainers:\n  \
            web: {{networks: [front], publish: ['8080:80', '5353:53/udp', '9000-9001:9000-9001']}}\n  shy: {{networks: [quiet], publish: ['8081:80', '5354:53/udp']}}\n"));
        let services = [("web", [Listen::tcp(80), Listen::udp(53), Listen::tcp(9000)]), ("shy", [Listen::tcp(80), Listen::udp(53), Listen::tcp(9000)])];
        let _servers: Vec<_> =
            services.iter().flat_map(|(ns, all)| all.iter().map(|listen| world.serve(ns, listen, ns))).collect();
        let filtered = world.try_sh("test -e /proc/sys/net/bridge/bridge-nf-call-iptables").code == 0;
        if !filtered {
            super::world::skip("br_netfilter", "this kernel does not show bridged frames to the IP layer");
        }

        for (who, gateway) in [("web", "fd00:25::1"), ("shy", "fd00:8::1")] {
            super::world::eventually("the new link is ready for IPv6", || world.pings(who, gateway));
        }
        let mut failures = vec![];
        for call in if filtered { &["1", "0"][..] } else { &["no"] } {
            if filtered {
                world.sh(&format!("sysctl -qw net.bridge.bridge-nf-call-iptables={call} net.bridge.bridge-nf-call-ip6tables={call}"));
            }
            for (who, to, protocol, port) in [
                ("web", "172.25.0.1", "tcp", 8080), ("web", "172.25.0.1", "udp", 5353), ("web", "172.25.0.1", "tcp", 9000),
                ("web", "fd00:25::1", "tcp", 8080), ("web", "fd00:25::1", "udp", 5353), ("web", "fd00:25::1", "tcp", 9000),
                ("shy", "10.8.0.1", "tcp", 8081), ("shy", "10.8.0.1", "udp", 5354),
                ("shy", "fd00:8::1", "tcp", 8081), ("shy", "fd00:8::1", "udp", 5354),
            ] {
                let answer = world.ask(who, protocol, to, port);
                if answer != Some(format!("{who} {to}")) {
                    failures.push(format!("{who} by {protocol} to {to} {port}, bridge-nf-call {call}: {answer:?}"));
                }
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

live! {
    fn the_first_packet_to_a_new_container_is_sent_on_over_ipv6(world) {
        world.sh("ip netns add outside && ip link add up0 type veth peer name eth0 netns outside && ip link set up0 up
            ip addr add 2001:db8::1/64 dev up0 nodad && ip -n outside link set eth0 up
            ip -n outside addr add 2001:db8::2/64 dev eth0 nodad && ip -n outside route add default via 2001:db8::1");
        super::world::eventually("the outside reaches the host", || world.pings("outside", "2001:db8::1"));

        world.apply("netform: 1\nproject: shop\nnetworks: {front: {subnets: ['fd00:25::/64'], ingress: open}}\n\
            containers: {web: {networks: {front: {address: 'fd00:25::2'}}}}\n");
        // The host asks for the container's link-layer address with its own link-local one, once that is nobody else's.
        let tentative = world.sh("ip -6 addr show dev br-front tentative");

        assert_eq!(tentative, "");
        assert!(world.pings("outside", "fd00:25::2"));
    }
}

live! {
    fn hairpin_mode_is_there_for_those_who_publish_and_comes_back_when_it_is_lost(world) {
        let manifest = |publish: &str| format!("netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/16, 'fd00:25::/64']}}, back: {{subnets: [10.7.0.0/24]}}}}\n\
            containers:\n  web: {{networks: [front, back], publish: [{publish}]}}\n  app: {{networks: [front]}}\n");
        let hairpin = |name: &str| world.sh(&format!("ip -d link show netform.shop.{name} | grep -o 'hairpin o[nf]*'")).trim().to_owned();
        world.apply(&manifest("'8080:80'"));
        assert_eq!(["web.front", "web.back", "app.front"].map(hairpin), ["hairpin on", "hairpin off", "hairpin off"]);
        super::world::eventually("the link-local address is not taken for a duplicate", || {
            let addresses = world.sh("ip -n web -6 addr show dev eth0 scope link");
            assert!(!addresses.contains("dadfailed"), "{addresses}");
            addresses.contains("fe80::") && !addresses.contains("tentative")
        });
        world.assert_in_sync();

        let link = world.sh("ip -j link show netform.shop.web.front | sed 's/.*\"ifname\":\"\\([^\"]*\\)\".*/\\1/'").trim().to_owned();
        let index = || world.sh(&format!("ip -o link show {link} | cut -d: -f1"));
        let before = index();
        world.sh(&format!("ip link set {link} type bridge_slave hairpin off"));
        let done = world.run(&["plan", "-v"]).exits(0);
        for wanted in ["hairpin: ".to_owned(), format!("bridge link set dev {link} hairpin on")] {
            assert!(done.stdout.contains(&wanted), "{wanted}:\n{}", done.stdout);
        }
        world.apply(&manifest("'8080:80'"));
        assert_eq!(hairpin("web.front"), "hairpin on");
        for by_hand in [format!("ip link set {link} nomaster"), "ip link del br-front".to_owned()] {
            world.sh(&by_hand);
            world.apply(&manifest("'8080:80'"));
            assert_eq!(hairpin("web.front"), "hairpin on", "after {by_hand}");
            world.assert_in_sync();
        }
        world.apply(&manifest(""));
        assert_eq!(hairpin("web.front"), "hairpin off");
        assert_eq!(index(), before, "all in place");
        world.assert_in_sync();
    }
}

live! {
    fn a_container_on_two_networks_is_reached_through_the_host_from_both(world) {
        let two = "front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}, back: {subnets: [10.7.0.0/24, 'fd00:7::/64']}";
        world.apply(&format!("netform: 1\nproject: shop\nnetworks: {{{two}, far: {{subnets: [10.9.0.0/24]}}}}\ncontainers:\n  \
            web: {{networks: [front, back], publish: ['8080:80', '5353:53/udp', '9000-9001:9000-9001']}}\n  \
            app: {{networks: [front]}}\n  db: {{networks: [back]}}\n  other: {{networks: [far]}}\n"));
        let _servers = [Listen::tcp(80), Listen::udp(53), Listen::tcp(9000)].map(|listen| world.serve("web", &listen, "web"));
        for (who, gateway) in [("web", "fd00:25::1"), ("web", "fd00:7::1"), ("app", "fd00:25::1"), ("db", "fd00:7::1")] {
            super::world::eventually("the new link is ready for IPv6", || world.pings(who, gateway));
        }

        let filtered = world.try_sh("test -e /proc/sys/net/bridge/bridge-nf-call-iptables").code == 0;
        let mut failures = vec![];
        for call in if filtered { &["1", "0"][..] } else { &["no"] } {
            if filtered {
                world.sh(&format!("sysctl -qw net.bridge.bridge-nf-call-iptables={call} net.bridge.bridge-nf-call-ip6tables={call}"));
            }
            failures.extend(unheard(world).into_iter().map(|failure| format!("{failure}, bridge-nf-call {call}")));
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        let seen = world.ask("other", "tcp", "10.9.0.1", 8080).unwrap();
        assert!(seen.starts_with("web 10.9.0."), "a source of elsewhere keeps its address: {seen}");
    }
}

/// Returns who does not hear from the published ports, and how.
fn unheard(world: &World) -> Vec<String> {
    let mut failures = vec![];
    for (who, to) in [
        ("web", "172.25.0.1"),
        ("web", "10.7.0.1"),
        ("web", "fd00:25::1"),
        ("web", "fd00:7::1"),
        ("app", "172.25.0.1"),
        ("app", "10.7.0.1"),
        ("db", "10.7.0.1"),
        ("db", "172.25.0.1"),
        ("db", "fd00:7::1"),
        ("other", "10.9.0.1"),
        ("other", "10.7.0.1"),
    ] {
        for (protocol, port) in [("tcp", 8080), ("udp", 5353), ("tcp", 9000)] {
            let answer = world.ask(who, protocol, to, port);
            if !answer.as_ref().is_some_and(|answer| answer.starts_with("web ")) {
                failures.push(format!("{who} by {protocol} to {to} {port}: {answer:?}"));
            }
        }
    }
    failures
}

live! {
    fn a_plan_says_of_a_published_port_that_the_host_does_not_have_its_address(world) {
        world.sh("ip link add eth0 type veth peer name eth1; ip addr add 198.51.100.1/24 dev eth0; ip link set eth0 up; ip addr add 192.0.2.10/32 dev lo");
        world.file("netform.yaml", "netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/24]}}
containers: {web: {networks: [front], publish: ['203.0.113.9:8080:80', '198.51.100.1:8080:80', '192.0.2.10:80:80', '172.25.0.1:80:80', '127.0.0.1:81:80', '82:80']}}
");
        let said = "netform.yaml:4:49: this host does not have 203.0.113.9: nobody reaches port 8080/tcp of it until it does";
        for _ in 0..2 {
            let plan = world.plan().0;
            assert_eq!(plan.matches("this host does not have").count(), 1, "{plan}");
            assert!(plan.contains(said), "{plan}");
            world.run(&["apply", "--yes"]).exits(0);
        }
        world.sh("ip addr add 203.0.113.9/32 dev lo");
        assert!(!world.plan().0.contains("does not have"), "{}", world.plan().0);
        // As when somebody has put it on a bridge of ours.
        world.sh("ip addr del 203.0.113.9/32 dev lo; ip addr add 203.0.113.9/32 dev br-front");
        assert!(!world.plan().0.contains("does not have"), "{}", world.plan().0);
    }
}
