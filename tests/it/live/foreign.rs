//! What others put beside, under or on ours: it stays, and nothing of theirs goes with ours unsaid.

use super::daemon::Daemon;
use super::snapshot::{assert_same, everything};
use super::world::live;

const FRONT: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front], publish: ['8080:80']}}\n";
const BLOG: &str = "netform: 1\nproject: blog\nnetworks: {blog: {subnets: [10.99.0.0/24]}}\ncontainers: {www: {networks: [blog]}}\n";

live! {
    fn a_bridge_does_not_go_while_links_of_others_stand_on_it(world) {
        world.apply(FRONT);
        for (stands, what) in [
            ("ip link add vm type veth peer name tap && ip link set vm master br-front", "veth vm"),
            ("ip link add mv link br-front type macvlan", "macvlan mv"),
            ("ip link add mv type vxlan id 5 remote 172.25.0.9 dstport 4789 dev br-front", "vxlan mv"),
        ] {
            world.sh(stands);
            let before = everything(world);

            let refused = world.run(&["destroy", "--yes"]).exits(9);

            assert!(refused.stderr.contains(&format!("{what} stands on it")), "{}", refused.stderr);
            assert_same(&everything(world), &before, what);
            world.assert_in_sync();
            world.sh("ip link del vm 2>/dev/null || ip link del mv");
        }
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn what_is_no_file_where_one_is_to_be_is_in_the_way_and_keeps_nobody_waiting(world) {
        world.apply(FRONT);
        for odd in ["mkfifo", "mkdir"] {
            world.sh(&format!("rm /etc/netns/web/hosts; {odd} /etc/netns/web/hosts"));

            let refused = world.run(&["plan"]).exits(9);

            assert!(refused.stderr.contains("file /etc/netns/web/hosts"), "{}", refused.stderr);
            world.run(&["status"]).exits(0);
            world.run(&["destroy", "--yes"]).exits(0);
            world.sh("rm -d /etc/netns/web/hosts");
            world.apply(FRONT);
        }
    }
}

live! {
    fn a_directory_of_a_namespace_that_is_none_is_in_the_way_and_nothing_is_written_through_it(world) {
        world.sh("mkdir -p /etc/netns elsewhere; touch elsewhere/theirs");
        let elsewhere = world.dir().join("elsewhere");
        let linked = format!("ln -s {} /etc/netns/web", elsewhere.display());
        for (odd, what) in [
            (linked.as_str(), "symbolic link /etc/netns/web"),
            ("ln -s /nowhere /etc/netns/web", "symbolic link /etc/netns/web"),
            ("touch /etc/netns/web", "file /etc/netns/web"),
            ("mkdir /etc/netns/web; ln -s /etc/hosts /etc/netns/web/hosts", "symbolic link /etc/netns/web/hosts"),
        ] {
            world.file("netform.yaml", FRONT);
            world.sh(odd);
            let before = everything(world);
            for verb in [&["plan"][..], &["apply", "--yes"]] {
                let refused = world.run(verb).exits(9);
                assert!(refused.stderr.contains(&format!("but {what} is in the way")), "{odd}: {}", refused.stderr);
                assert!(refused.stderr.contains(&format!("move {what} away")), "{odd}: {}", refused.stderr);
            }
            assert_same(&everything(world), &before, odd);
            world.sh("rm -rf /etc/netns/web");

            // What comes while ours is there is no way for ours to go elsewhere.
            world.apply(FRONT);
            world.sh(&format!("rm -r /etc/netns/web; {odd}"));
            world.run(&["plan"]).exits(9);
            world.run(&["destroy", "--yes"]).exits(0);
            world.sh("rm -rf /etc/netns/web");
        }
        assert_eq!(world.sh("ls elsewhere"), "theirs\n");
    }
}

live! {
    fn what_is_of_others_in_what_goes_is_said_to_go_along(world) {
        world.apply(&FRONT.replace("web: {", "db: {networks: [front]}, web: {"));
        world.sh(
            "ip -n web link add their0 type bridge; ip -n web addr add 192.0.2.1/32 dev eth0; \
             ip -n web route add 192.0.2.128/25 dev eth0; ip addr add 192.0.2.2/32 dev br-front; \
             ip -n db addr add 192.0.2.3/32 dev eth0",
        );
        world.sh(
            "ip -n web route add 198.51.100.0/24 dev eth0 table 100; ip -n web route add blackhole 203.0.113.0/24; \
             ip -n web rule add from 192.0.2.1 table 100 priority 77; ip -n web neigh add 172.25.0.99 lladdr 02:00:00:00:00:09 dev eth0; \
             ip netns exec web nft add table inet theirs; ip -n db rule add from 192.0.2.3 table 100 priority 78",
        );
        world.file("netform.yaml", "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {db: {networks: [front]}}\n");

        let (plan, _) = world.plan();
        let fate = |what: &str| plan.lines().find(|line| line.contains('?') && line.contains(what)).unwrap();
        let within = [
            "route 198.51.100.0/24 on eth0 in table 100", "route 203.0.113.0/24 (blackhole)", "routing rule 77",
            "neighbour 172.25.0.99", "nft table inet theirs",
        ];
        assert!(!plan.contains("routing rule 78"), "{plan}");
        for what in ["bridge their0", "192.0.2.1/32", "192.0.2.128/25"].into_iter().chain(within) {
            assert!(fate(what).contains("goes along: not ours"), "{plan}");
        }
        for what in ["192.0.2.2/32", "192.0.2.3/32"] {
            assert!(fate(what).contains("left alone: not ours"), "{plan}");
        }
        let warning = plan.lines().find(|line| line.starts_with("Warning: what is not ours goes along")).unwrap();
        assert!(warning.contains("bridge their0 with container.web"), "{plan}");
        assert!(warning.contains("nft table inet theirs with container.web") && warning.ends_with("and 3 more"), "{plan}");
        let json = world.run(&["plan", "--output", "json"]).exits(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let going = json["foreign"].as_array().unwrap().iter().filter(|note| note["goes"] == true).count();
        assert_eq!(going, 8, "{json}");

        world.run(&["apply", "--yes"]).exits(0);
        assert!(world.sh("ip addr show dev br-front; ip -n db addr").contains("192.0.2.2/32"), "left alone");
        let destroy = world.run(&["destroy", "--yes"]).exits(0).stdout;
        assert!(destroy.contains("address 192.0.2.2/32 on br-front with network.front"), "{destroy}");
    }
}

live! {
    fn a_table_of_our_name_that_somebody_else_made_is_left_alone(world) {
        world.sh("nft add table inet netform-shop; nft 'add chain inet netform-shop theirs'");
        let before = everything(world);
        world.file("netform.yaml", FRONT);

        let refused = world.run(&["apply", "--yes"]).exits(9);

        assert!(refused.stderr.contains("nft table inet netform-shop is in the way"), "{}", refused.stderr);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_same(&everything(world), &before, "left alone");
    }
}

live! {
    fn the_last_project_to_go_sets_forwarding_back(world) {
        world.sh("sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
        world.apply(FRONT);
        let blog = world.file("blog.yaml", BLOG);
        let blog = blog.to_str().unwrap();
        world.run(&["apply", "--yes", blog]).exits(0);

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("sysctl -n net.ipv4.ip_forward").trim(), "1", "the other one needs it");
        world.run(&["destroy", "--yes", blog]).exits(0);

        assert_eq!(world.sh("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding"), "0\n0\n");
    }
}

live! {
    fn a_route_into_a_live_subnet_keeps_nothing_else_from_being_repaired(world) {
        world.apply(FRONT);
        let gateway = world.sh("ip -j -4 addr show dev br-front | grep -o '\"local\":\"[0-9.]*' | cut -d'\"' -f4");
        let inside = gateway.trim().rsplit_once('.').unwrap().0.to_owned() + ".77";
        world.sh(&format!("ip link add br-x type bridge; ip link set br-x up; ip route add {inside}/32 dev br-x"));
        world.sh("ip -n web route del default; ip link set br-front mtu 1400");

        let (plan, _) = world.plan();
        assert!(plan.contains(&format!("a route of somebody else to {inside}/32")), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);

        world.assert_in_sync();
        assert!(world.sh("ip link show br-front").contains("mtu 1500"));
        world.run(&["destroy", "--yes"]).exits(0);
        assert!(world.sh("ip route").contains(&inside), "it is not ours");
    }
}

live! {
    fn a_namespace_that_somebody_works_in_goes_all_the_same(world) {
        world.apply(FRONT);
        world.sh("(ip netns exec web sleep 30 > /dev/null 2>&1 &); sleep 0.2");

        world.run(&["destroy", "--yes"]).exits(0);

        assert_eq!(world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables"), "");
    }
}

live! {
    fn a_directory_that_is_a_file_stops_no_destroy(world) {
        world.apply(FRONT);
        world.sh("rm -r /etc/netns/web; touch /etc/netns/web");

        world.run(&["destroy", "--yes"]).exits(0);

        assert_eq!(world.sh("ip -o link show type bridge; ip netns; ls /etc/netns"), "web\n");
    }
}

live! {
    fn a_status_shows_what_is_in_the_way_and_what_is_well(world) {
        let manifest = "netform: 1\nproject: shop\nnetworks: {front: {interface: br-front, subnets: [172.25.0.0/16]}, back: {subnets: [10.7.0.0/24]}}\ncontainers: {web: {networks: [back]}}\n";
        world.sh("ip link add br-front type bridge");
        world.file("netform.yaml", manifest);
        world.run(&["apply", "--yes"]).exits(9);

        let status = world.run(&["status"]).exits(0).stdout;

        let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        assert!(line("in the way: ").contains("br-front"), "{status}");
        assert!(line("front ").contains("blocked") && line("back ").contains("missing"), "{status}");
        world.run(&["status", "--exit-code"]).exits(2);
        let json = world.run(&["status", "--output", "json"]).exits(0).stdout;
        crate::schema::assert_follows("status", &serde_json::from_str(&json).unwrap());
    }
}

live! {
    fn what_another_project_owns_is_not_said_to_be_adoptable(world) {
        world.apply("netform: 1\nproject: blog\nnetworks: {front: {subnets: [10.99.0.0/24], interface: br-front}}\ncontainers: {web: {networks: [front]}}\n");
        world.sh("ip netns add db");
        let mine = FRONT.replace("front: {sub", "front: {interface: br-front, sub").replace("web: {", "db: {networks: [front]}, web: {");
        world.file("netform.yaml", &mine);

        let told = world.run(&["plan"]).exits(9).stderr;

        let help = |what: &str| {
            let at = told.lines().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {told}"));
            told.lines().nth(at + 1).unwrap().trim().to_owned()
        };
        assert_eq!(help("bridge br-front of project blog is in the way"), "help: give network.front another `interface`, or remove what is there");
        assert!(help("namespace web of project blog is in the way").starts_with("help: use it as it is with `netns: web`"), "{told}");
        assert!(help("namespace db is in the way").starts_with("help: adopt it with `netform import container.db db`"), "{told}");
    }
}

/// A network behind `eth0` on which the host has 192.168.9.8, and a container the first address after that.
const LAN: &str = "netform: 1
project: lan
networks:
  lan: {driver: macvlan, options: {parent: eth0, host_address: 192.168.9.8}, subnets: [{cidr: 192.168.9.0/24, pool: 192.168.9.8/29}]}
containers: {a: {networks: [lan]}}
";

live! {
    fn a_route_of_others_where_ours_would_be_is_told_by_the_plan(world) {
        world.sh("ip link add eth0 type veth peer name r0; ip link set eth0 up; ip link set r0 up; ip netns add pod
             ip -n pod link add p0 type veth peer name p1; ip -n pod link set p0 up; ip -n pod link set p1 up
             ip -n pod addr add 10.88.0.2/24 dev p0");
        let pod = "netform: 1\nproject: lan\nnetworks: {front: {subnets: [10.9.0.0/24]}}\ncontainers: {a: {netns: pod, networks: [front]}}\n";
        for (manifest, ns, route, what) in [
            (LAN, "", "192.168.9.9 dev r0", "route 192.168.9.9/32 on r0"),
            (LAN, "", "blackhole 192.168.9.9", "route 192.168.9.9/32 (blackhole)"),
            (pod, "-n pod", "default via 10.88.0.1", "route 0.0.0.0/0 via 10.88.0.1 on p0"),
        ] {
            world.file("netform.yaml", manifest);
            world.run(&["plan", "--out", "saved.json"]).exits(0);
            world.sh(&format!("ip {ns} route add {route}"));
            let before = everything(world);

            for verb in [&["plan"][..], &["apply", "--yes"]] {
                let refused = world.run(verb).exits(9).stderr;
                assert!(refused.contains(&format!("{what} is in the way")), "{refused}");
            }
            let stale = world.run(&["apply", "--yes", "saved.json"]).exits(5).stderr;
            assert!(stale.contains(what), "{stale}");
            assert_same(&everything(world), &before, "nothing was begun");

            world.sh(&format!("ip {ns} route del {route}"));
            world.run(&["apply", "--yes", "saved.json"]).exits(0);
            world.assert_in_sync();
            world.run(&["destroy", "--yes"]).exits(0);
        }
    }
}

live! {
    fn the_daemon_goes_on_when_a_route_of_others_has_gone(world) {
        world.sh("ip link add eth0 type veth peer name r0; ip link set eth0 up; ip link set r0 up");
        world.apply(LAN);
        let daemon = Daemon::start(world, &[]);
        world.sh("ip route del 192.168.9.9; ip route add 192.168.9.9 dev eth0");
        daemon.says("route 192.168.9.9/32 on eth0 is in the way");

        world.sh("ip route del 192.168.9.9");

        daemon.brings_it_in_sync("their route is gone");
        assert!(world.sh("ip route show 192.168.9.9").contains("proto 110"));
    }
}

live! {
    fn an_address_that_the_host_has_elsewhere_is_not_given_behind_a_parent(world) {
        world.sh("ip link add eth0 type veth peer name r0; ip link set eth0 up; ip link set r0 up");
        world.file("netform.yaml", LAN);
        world.sh("ip addr add 192.168.9.8/32 dev r0");
        let refused = world.run(&["plan"]).exits(65).stderr;
        assert!(refused.contains("host address 192.168.9.8 of network `lan` is that of `r0` already"), "{refused}");
        world.sh("ip addr flush dev r0; ip addr add 192.168.9.9/32 dev r0");

        world.run(&["apply", "--yes"]).exits(0);

        let address = world.sh("ip -n a -4 -o addr show eth0 | awk '{print $4}'");
        assert_eq!(address, "192.168.9.10/24\n", "what is sent to .9 stays on the host");
        world.file("netform.yaml", &LAN.replace("[lan]", "{lan: {address: 192.168.9.9}}"));
        let refused = world.run(&["plan"]).exits(65).stderr;
        assert!(refused.contains("address 192.168.9.9 is the host's own"), "{refused}");
    }
}
