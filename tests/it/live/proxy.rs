//! Containers that neighbours of the host find on its uplink, since that answers for them.

use std::time::Duration;

use super::daemon::Daemon;
use super::failure::haunted;
use super::world::{Listen, World, eventually, live};

/// A router whose only route is the prefix of the link that it shares with the host.
pub(super) fn router(world: &World) {
    world.sh("ip netns add out && ip link add uplink type veth peer name eth0 netns out && ip link set uplink up &&
        ip addr add 2001:db8::10/64 dev uplink nodad && ip -n out link set lo up && ip -n out link set eth0 up &&
        ip -n out addr add 2001:db8::1/64 dev eth0 nodad && ip route add default via 2001:db8::1");
}

pub(super) const SHOP: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/24, '2001:db8::5:0/112'], egress: routed, ingress: open, ndp_proxy: true}}
containers: {web: {networks: {front: {address: ['2001:db8::5:7', 172.25.0.7]}}}}
";

pub(super) const BLOG: &str = "\
netform: 1
project: blog
networks: {back: {subnets: [172.26.0.0/24, '2001:db8::6:0/112'], egress: routed, ndp_proxy: uplink}}
containers: {db: {networks: [back]}}
";

/// An advertisement of a router for half an hour (RFC 4861 section 4.2).
pub(super) const ADVERTISE: &str = r#"
import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))
"#;

/// What the uplink answers for, and its parameters.
pub(super) fn answers(world: &World) -> String {
    let parameters = "cd /proc/sys/net/ipv6/conf/uplink; cat proxy_ndp accept_ra forwarding | tr '\\n' ' '";
    world.sh(&format!("ip -6 neigh show proxy | sort | sed 's/ *$//'; {parameters}"))
}

const BOTH: &str = "2001:db8::5:7 dev uplink proxy proto 110\n1 2 1 ";
const NONE: &str = "0 1 0 ";

/// Applies a network within the prefix for which nobody answers any more: one that is new is refused.
fn unanswered(world: &World) {
    world.apply(SHOP);
    world.apply(&SHOP.replace("ndp_proxy: true", "ndp_proxy: false"));
}

live! {
    fn a_router_with_nothing_but_the_prefix_reaches_a_container_and_is_reached(world) {
        router(world);
        unanswered(world);
        let _web = world.serve("web", &Listen::tcp(80), "web");
        assert_eq!(world.ask("out", "tcp", "2001:db8::5:7", 80), None);
        assert!(!world.pings("web", "2001:db8::1"), "the router does not find who asks");

        world.apply(SHOP);

        assert_eq!(answers(world), BOTH);
        world.sh("ip -n out neigh flush all");
        eventually("the router asks the web server", || {
            world.ask("out", "tcp", "2001:db8::5:7", 80).as_deref() == Some("web 2001:db8::1")
        });
        eventually("the web server asks the router", || world.pings("web", "2001:db8::1"));
        assert!(!world.pings("out", "2001:db8::5:8"), "nobody answers for an address that no container has");
        let (plan, changes) = world.plan();
        assert!(!changes && !plan.contains("Warning"), "{plan}");

        world.apply(&SHOP.replace("::5:7", "::5:9"));
        assert_eq!(answers(world), "2001:db8::5:9 dev uplink proxy proto 110\n1 2 1 ");
        world.apply(&SHOP.replace("ndp_proxy: true", "ndp_proxy: false"));
        assert_eq!(answers(world), "0 2 1 ");
        world.apply(SHOP);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(answers(world), NONE);
    }
}

live! {
    fn a_host_that_begins_to_forward_goes_on_hearing_its_router(world) {
        router(world);
        world.sh("ip -6 route del default");
        let told = || world.sh("ip -6 route show default").contains("proto ra");
        eventually("the router is heard", || {
            world.sh(&format!("ip netns exec out python3 -c '{ADVERTISE}'"));
            told()
        });

        world.apply(SHOP);

        assert_eq!(answers(world), BOTH);
        assert!(told(), "the route that a router told stays");
        // Without its route there is no uplink to answer, and the router has to be heard for that to change.
        world.sh("ip link set uplink down; ip link set uplink up");
        for _ in 0..2 {
            world.run(&["apply", "--yes"]).exits(0);
            assert!(answers(world).ends_with(" 2 1 "), "{}", answers(world));
        }
        let (plan, changes) = world.plan();
        assert!(!changes, "{plan}");
        eventually("it is heard after the link was down", || {
            world.sh(&format!("ip netns exec out python3 -c '{ADVERTISE}'"));
            told()
        });
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(answers(world), BOTH);
        world.sh("ip -6 route del default");
        world.sh(&format!("ip netns exec out python3 -c '{ADVERTISE}'"));
        eventually("it is still heard", told);
        world.sh("sysctl -qw net.ipv6.conf.uplink.accept_ra=1");
        assert!(world.plan().0.contains("accept_ra: 1 -> 2"), "{}", world.plan().0);
        world.run(&["apply", "--yes"]).exits(0);
        world.sh("ip -6 route flush default && sysctl -qw net.ipv6.conf.uplink.accept_ra=1 && ip -6 route add default dev uplink");
        assert!(world.plan().0.contains("accept_ra: 1 -> 2"), "{}", world.plan().0);
        world.run(&["apply", "--yes"]).exits(0);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(answers(world), NONE);

        // Whoever hears no router does not begin to.
        world.sh("sysctl -qw net.ipv6.conf.uplink.accept_ra=0");
        world.apply(SHOP);
        assert_eq!(answers(world), BOTH.replace("1 2 1", "1 0 1"));
    }
}

live! {
    fn a_host_that_begins_to_forward_for_any_network_goes_on_hearing_its_router(world) {
        router(world);
        world.sh("ip -6 route del default");
        let told = || world.sh("ip -6 route show default").contains("proto ra");
        let advertise = || world.sh(&format!("ip netns exec out python3 -c '{ADVERTISE}'"));
        let accepts = || world.sh("cat /proc/sys/net/ipv6/conf/uplink/accept_ra").trim().to_owned();
        eventually("the router is heard", || {
            advertise();
            told()
        });

        let plain = SHOP.replace(", ndp_proxy: true", "").replace("2001:db8::5:", "fd00:25::5:");
        let done = world.apply(&plain);

        assert!(told() && accepts() == "2", "the route that a router told stays:\n{done}");
        let (plan, changes) = world.plan();
        assert!(!changes, "{plan}");
        world.sh("ip -6 route del default");
        assert!(!world.plan().1, "it stays heard while it says nothing");
        advertise();
        eventually("it is still heard", told);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(accepts(), "1");

        // Without IPv6 nothing changes for routers.
        advertise();
        eventually("it is heard again", told);
        world.apply(&plain.replace(", 'fd00:25::5:0/112'", "").replace("'fd00:25::5:7', ", ""));
        assert!(told() && accepts() == "1");
    }
}

live! {
    fn the_daemon_goes_on_hearing_a_router_whose_link_was_down(world) {
        router(world);
        world.sh("ip -6 route del default");
        let advertised = |what: &str| {
            eventually(what, || {
                world.sh(&format!("ip netns exec out python3 -c '{ADVERTISE}'"));
                world.sh("ip -6 route show default").contains("proto ra")
            });
        };
        advertised("the router is heard");
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        eventually("it is applied", || answers(world) == BOTH);

        world.sh("ip link set uplink down");
        daemon.brings_it_in_sync("the uplink is down");
        world.sh("ip link set uplink up");
        daemon.brings_it_in_sync("the uplink is up");

        assert!(answers(world).ends_with(" 2 1 "), "{}", answers(world));
        advertised("it is heard again");
        eventually("the uplink answers again", || answers(world) == BOTH);
    }
}

live! {
    fn what_the_uplink_answers_for_comes_back_and_follows_the_default_route(world) {
        router(world);
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "2s"]);
        eventually("it is applied", || answers(world) == BOTH);

        // The kernel tells nobody: the clock finds it.
        world.sh("ip -6 neigh del proxy 2001:db8::5:7 dev uplink");
        assert!(world.plan().0.contains("neighbour 2001:db8::5:7 on uplink is gone"), "{}", world.plan().0);
        eventually("it is back", || answers(world) == BOTH);
        daemon.says("drift: attachment.web@front: neighbour 2001:db8::5:7 on uplink is gone");
        drop(daemon);

        let daemon = Daemon::start(world, &["--resync", "1h"]);
        world.sh("sysctl -qw net.ipv6.conf.uplink.proxy_ndp=0");
        eventually("the parameter is set back", || answers(world) == BOTH);
        // What a link answers for goes when it goes down, with its routes.
        world.sh("ip link set uplink down && ip link set uplink up && ip addr add 2001:db8::10/64 dev uplink nodad && ip route add default via 2001:db8::1");
        eventually("it is back again", || answers(world) == BOTH);

        // Below 1,280 bytes the kernel takes IPv6 off a link, and all else goes on.
        world.sh("ip link set uplink mtu 1000");
        daemon.brings_it_in_sync("the uplink has no IPv6");

        world.sh("ip link del uplink");
        daemon.brings_it_in_sync("the uplink is gone");
        let plan = world.plan().0;
        assert!(plan.contains("no link has a default route of IPv6: neighbours find the containers of network front"), "{plan}");
        world.sh("ip link add uplink type veth peer name eth1 && ip link set uplink up && ip link set eth1 up");
        std::thread::sleep(Duration::from_millis(500));
        world.sh("ip addr add 2001:db8::10/64 dev uplink nodad && ip route add default via 2001:db8::1");
        let is_there = || answers(world).starts_with("2001:db8::5:7 dev uplink proxy proto 110\n1 ");
        eventually("the new uplink answers", is_there);
    }
}

live! {
    fn what_others_have_a_link_answer_for_is_theirs(world) {
        router(world);
        world.sh("ip -6 neigh add proxy 2001:db8::77 dev uplink && ip -6 neigh add proxy 2001:db8::5:7 dev uplink");
        world.file("netform.yaml", SHOP);
        let refused = world.run(&["apply", "--yes"]).exits(9).stderr;
        assert!(refused.contains("attachment.web@front needs neighbour 2001:db8::5:7 on uplink"), "{refused}");
        assert!(refused.contains("the entry of 2001:db8::5:7 among what uplink answers for is in the way"), "{refused}");

        world.sh("ip -6 neigh del proxy 2001:db8::5:7 dev uplink");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        // Somebody has taken it over since: it is not taken away from him.
        world.sh("ip -6 neigh replace proxy 2001:db8::5:7 dev uplink protocol static");
        world.run(&["destroy", "--yes"]).exits(0);
        let left = "2001:db8::5:7 dev uplink proxy proto static\n2001:db8::77 dev uplink proxy\n";
        assert_eq!(answers(world), format!("{left}1 1 0 "), "and the link goes on answering");
    }
}

live! {
    fn two_projects_behind_one_uplink_leave_it_to_the_other(world) {
        router(world);
        world.apply(SHOP);
        world.file("blog.yaml", BLOG);
        world.run(&["apply", "--yes", "blog.yaml"]).exits(0);
        world.assert_in_sync();
        let both = answers(world);
        assert_eq!(both.lines().count(), 3, "{both}");

        world.run(&["destroy", "--yes"]).exits(0);

        assert_eq!(answers(world), "2001:db8::6:2 dev uplink proxy proto 110\n1 2 1 ");
        let plan = world.run(&["plan", "blog.yaml"]).exits(0).stdout;
        assert!(plan.contains("No changes"), "{plan}");
        world.run(&["destroy", "--yes", "blog.yaml"]).exits(0);
        assert_eq!(answers(world), NONE);
    }
}

live! {
    fn what_an_uplink_answers_for_is_undone_and_known_without_files(world) {
        router(world);
        world.file("netform.yaml", SHOP);
        haunted(world, 2, &["apply", "--yes"]).exits(4);
        assert_eq!(answers(world), NONE);

        world.run(&["apply", "--yes"]).exits(0);
        world.sh("rm -rf state run");
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -6 neigh show proxy"), "", "the subnet of the bridge says whose they are");
    }
}

live! {
    fn a_killed_apply_or_destroy_leaves_no_answer_behind(world) {
        router(world);
        for delay in [10, 20, 30, 45, 60, 80] {
            for verb in ["apply", "destroy"] {
                world.file("netform.yaml", SHOP);
                let mut child = world.netform().args([verb, "--yes"]).spawn().unwrap();
                std::thread::sleep(Duration::from_millis(delay));
                child.kill().unwrap();
                child.wait().unwrap();
                world.run(&["apply", "--yes"]).exits(0);
                assert_eq!(answers(world), BOTH, "{verb} killed after {delay} ms");
                world.assert_in_sync();
            }
            world.run(&["destroy", "--yes"]).exits(0);
            assert_eq!(answers(world), NONE, "after {delay} ms");
        }
    }
}

live! {
    fn whoever_asks_is_told_who_answers_for_a_container(world) {
        router(world);
        world.apply(SHOP);
        let path = |from: &str, to: &str| world.run(&["explain", "--path", from, to]).exits(0).stdout;
        let (there, back) = (path("out", "2001:db8::5:7"), path("web", "2001:db8::1"));
        assert!(there.contains("arrives, and is answered"), "{there}");
        assert!(there.contains("the host: uplink answers for 2001:db8::5:7, which is behind it"), "{there}");
        assert!(back.contains("arrives, and is answered"), "{back}");
        let inspected = world.run(&["network", "inspect", "front"]).exits(0).stdout;
        assert!(inspected.contains("  ndp_proxy: uplink\n"), "{inspected}");

        world.sh("sysctl -qw net.ipv6.conf.uplink.proxy_ndp=0");
        let off = path("out", "2001:db8::5:7");
        assert!(off.contains("and does not: net.ipv6.conf.uplink.proxy_ndp is 0"), "{off}");
        let cured = |code: &str| {
            let told = world.run(&["doctor"]).exits(0).stdout;
            let finding = told.split("error[").find(|it| it.starts_with(code)).unwrap_or_else(|| panic!("{told}"));
            world.sh(finding.split("cure: ").nth(1).unwrap().lines().next().unwrap());
        };
        cured("parameter-changed");
        world.sh("ip -6 neigh del proxy 2001:db8::5:7 dev uplink");
        assert!(path("out", "2001:db8::5:7").contains("nobody behind uplink has the address 2001:db8::5:7"));
        cured("answer-missing");
        world.assert_in_sync();
    }
}

live! {
    fn a_router_behind_a_switch_finds_a_container_too(world) {
        world.sh("ip netns add sw && ip netns add out && ip link add uplink type veth peer name p0 netns sw &&
            ip -n sw link add p1 type veth peer name eth0 netns out && ip -n sw link add lan0 type bridge &&
            ip -n sw link set p0 master lan0 && ip -n sw link set p1 master lan0 && ip -n sw link set lan0 up &&
            ip -n sw link set p0 up && ip -n sw link set p1 up && ip link set uplink up && ip -n out link set eth0 up &&
            ip addr add 2001:db8::10/64 dev uplink nodad && ip -n out addr add 2001:db8::1/64 dev eth0 nodad");
        world.apply(&SHOP.replace("ndp_proxy: true", "ndp_proxy: uplink"));

        eventually("the router reaches it", || world.pings("out", "2001:db8::5:7"));
        let path = world.run(&["explain", "--path", "out", "2001:db8::5:7"]).exits(0).stdout;
        assert!(path.contains("arrives, and is answered") && path.contains("uplink answers for"), "{path}");
    }
}

live! {
    fn the_example_opens_two_ports_to_the_neighbours(world) {
        router(world);
        world.apply(include_str!("../../../examples/ndp-proxy.yaml"));
        let [_http, _other] = [80, 81].map(|port| world.serve("web", &Listen::tcp(port), "web"));

        let asked = |port| world.ask("out", "tcp", "2001:db8::5:2", port);
        eventually("neighbours are served", || asked(80).as_deref() == Some("web 2001:db8::1"));
        assert_eq!(asked(81), None);
        assert!(world.run(&["plan"]).exits(0).stdout.contains("No changes"));
    }
}

live! {
    fn the_key_is_set_by_hand_as_any_other_and_of_networks_that_are_created(world) {
        router(world);
        unanswered(world);
        world.run(&["set", "networks.front.ndp_proxy=uplink"]).exits(0);
        assert_eq!(world.run(&["get", "networks.front.ndp_proxy"]).exits(0).stdout, "uplink\n");
        let create = ["network", "create", "--subnet", "2001:db8::9:0/112", "-o", "ndp_proxy=true", "-o"];
        world.run(&[&create[..], &["enable_ip_masquerade=false", "--yes", "lan"]].concat()).exits(0);
        world.run(&["network", "connect", "--yes", "lan", "web"]).exits(0);
        assert!(answers(world).contains("2001:db8::9:2 dev uplink proxy proto 110"), "{}", answers(world));
    }
}

live! {
    fn the_default_route_takes_what_is_answered_for_along_and_leaves_the_old_link_as_it_was(world) {
        router(world);
        world.sh("ip link add other type veth peer name o0 && ip link set other up && ip link set o0 up");
        let of = |link: &str| {
            let proxies = world.sh(&format!("ip -6 neigh show proxy dev {link}"));
            (proxies.trim().to_owned(), world.sh(&format!("cat /proc/sys/net/ipv6/conf/{link}/proxy_ndp")).trim().to_owned())
        };
        let (ours, none) = (("2001:db8::5:7 proxy proto 110".to_owned(), "1".to_owned()), (String::new(), "0".to_owned()));
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        eventually("it is applied", || of("uplink") == ours);

        world.sh("ip -6 route replace default via fe80::9 dev other metric 512 && ip -6 route del default dev uplink");
        eventually("it is on the other link", || of("other") == ours && of("uplink") == none);
        daemon.brings_it_in_sync("the default route moved");
        drop(daemon);

        // A link that is renamed takes along what it answers for; before Linux 6.2 one that is up keeps its name.
        let renamed = world.try_sh("ip link set other name wan0").code == 0;
        let now = if renamed { "wan0" } else { "other" };
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(of(now), ours);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!((of(now).0, of("uplink")), (String::new(), none));
    }
}

live! {
    fn a_named_link_that_is_renamed_answers_no_more(world) {
        router(world);
        world.apply(&SHOP.replace("ndp_proxy: true", "ndp_proxy: uplink"));
        world.sh("ip link set uplink down && ip link set uplink name wan0 && ip link set wan0 up");
        world.sh("ip -6 neigh add proxy 2001:db8::5:7 dev wan0 protocol 110");
        let plan = world.plan().0;
        assert!(plan.contains("there is no link `uplink` of the host's own: neighbours find the containers"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -6 neigh show proxy"), "");
        world.assert_in_sync();
    }
}

live! {
    fn an_earlier_generation_answers_as_it_did_and_a_part_of_a_plan_leaves_the_rest(world) {
        router(world);
        unanswered(world);
        world.apply(SHOP);
        world.apply(&SHOP.replace("::5:7", "::5:9"));

        world.run(&["rollback", "3", "--yes"]).exits(0);
        assert!(answers(world).starts_with("2001:db8::5:7 dev uplink proxy proto 110\n1 "), "{}", answers(world));
        world.run(&["rollback", "2", "--yes"]).exits(0);
        assert!(answers(world).starts_with("0 "), "{}", answers(world));
        world.run(&["rollback", "4", "--yes"]).exits(0);
        assert!(answers(world).starts_with("2001:db8::5:9 dev uplink proxy proto 110\n1 "), "{}", answers(world));

        world.sh("ip -6 neigh del proxy 2001:db8::5:9 dev uplink && sysctl -qw net.ipv6.conf.uplink.proxy_ndp=0");
        let part = world.run(&["plan", "--target", "attachment.web@front"]).exits(0).stdout;
        assert!(part.contains("+ neighbour: 2001:db8::5:9 on uplink"), "{part}");
        world.run(&["apply", "--yes", "--target", "attachment.web@front"]).exits(0);
        assert!(answers(world).starts_with("2001:db8::5:9 dev uplink proxy proto 110\n"), "{}", answers(world));
        world.run(&["forget", "network.front", "--force", "--yes"]).exits(0);
        assert!(answers(world).starts_with("2001:db8::5:9 dev uplink"), "what is given up goes on working");
    }
}

live! {
    fn a_named_link_without_ipv6_is_waited_for(world) {
        router(world);
        let shop = SHOP.replace("ndp_proxy: true", "ndp_proxy: uplink");
        world.file("netform.yaml", &shop);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        let is_there = || answers(world).starts_with("2001:db8::5:7 dev uplink proxy proto 110\n1 ");
        eventually("it is applied", is_there);

        world.sh("ip link set uplink mtu 1000");
        daemon.brings_it_in_sync("the uplink has no IPv6");
        let plan = world.plan().0;
        assert!(plan.contains("there is no IPv6 on uplink: neighbours find the containers of network front once"), "{plan}");
        world.file("netform.yaml", &shop.replace("172.25.0.7", "172.25.0.9"));
        eventually("all else goes on", || world.sh("ip -n web addr").contains("172.25.0.9"));

        world.sh("ip link set uplink mtu 1500 && ip addr add 2001:db8::10/64 dev uplink nodad");
        eventually("it answers again, and hears its router", || answers(world) == BOTH);
    }
}
