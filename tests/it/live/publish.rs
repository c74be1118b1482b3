//! Published ports, as those see them who connect.

use super::world::{Listen, live};

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
