//! What an apply does to a host: exactly what its plan says, to its own objects only, or nothing.

use super::snapshot::assert_same;
use super::world::live;

pub(super) const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}
  back: {subnets: [10.7.0.0/24], internal: true}
containers:
  web:
    networks: {front: {address: 172.25.3.3}, back: {links: {database: db}}}
    publish: ['8080:80']
  db: {networks: [back]}
";

live! {
    fn a_second_apply_does_nothing_and_says_so(world) {
        world.apply(SHOP);
        let before = world.sh("ip -o link; ip -n web -o -4 addr; nft -s list ruleset");

        let again = world.run(&["apply", "--yes", "--detailed-exitcode"]).exits(0);

        assert!(again.stdout.contains("No changes"), "{}", again.stdout);
        assert_eq!(world.sh("ip -o link; ip -n web -o -4 addr; nft -s list ruleset"), before);
    }
}

live! {
    fn drift_of_every_kind_is_seen_and_repaired(world) {
        world.apply(SHOP);
        let everything = "ip -d -o addr; ip -n web -d -o addr; ip -n web route; ip -n web -6 route show default; \
            ip -n db route; nft -s list ruleset; cat /etc/netns/web/hosts; sysctl -n net.ipv4.ip_forward";
        // Addresses of the kernel's own making are tentative for a while, and counters of time run on.
        let settle = |text: String| text.lines().filter(|line| !line.contains("fe80:")).map(|line| format!("{}\n", line.trim())).collect::<String>();
        let before = settle(world.sh(everything));

        for break_it in [
            "ip link set br-front mtu 1400",
            "ip link set br-front down",
            "ip addr del 172.25.0.1/16 dev br-front",
            "ip -n web route del default",
            "ip -n web -6 route del default",
            "ip -n web addr del 172.25.3.3/16 dev eth0",
            "ip -n web link set eth0 down",
            "ip -n web link set eth0 mtu 1300",
            "ip link set netform.shop.web.front nomaster",
            "ip link set netform.shop.web.front down",
            "nft flush chain inet netform-shop forward",
            "nft flush table inet netform-shop",
            "echo nonsense >> /etc/netns/web/hosts",
            "rm /etc/netns/web/hosts",
            "sysctl -q -w net.ipv4.ip_forward=0",
            "sysctl -q -w net.ipv4.conf.br-front.route_localnet=0",
        ] {
            world.sh(break_it);
            let (plan, changes) = world.plan();
            assert!(changes, "`{break_it}` should show in the plan:\n{plan}");
            assert!(plan.contains("drift"), "`{break_it}` is drift:\n{plan}");
            let applied = world.run(&["apply", "--yes"]);
            assert_eq!(applied.code, 0, "after `{break_it}`:\n{}{}", applied.stdout, applied.stderr);
            world.assert_in_sync();
            assert_same(&settle(world.sh(everything)), &before, break_it);
        }
    }
}

live! {
    fn what_was_deleted_by_hand_is_made_again(world) {
        world.apply(SHOP);
        for break_it in [
            "ip link del netform.shop.web.front",
            "ip -n web link del eth0",
            "ip link del br-front",
            "ip netns del web",
            "nft delete table inet netform-shop",
            "nft flush ruleset",
        ] {
            world.sh(break_it);
            // The kernel takes a namespace apart behind our back; its links go a little later.
            super::world::eventually("the plan sees it", || world.plan().1);
            let applied = world.run(&["apply", "--yes"]);
            assert_eq!(applied.code, 0, "after `{break_it}`:\n{}{}", applied.stdout, applied.stderr);
            world.assert_in_sync();
            assert!(world.pings("web", "172.25.0.1"), "after `{break_it}`");
            assert!(world.pings("web", "database"), "after `{break_it}`");
        }
    }
}

live! {
    fn a_change_is_made_in_place_where_the_kernel_can(world) {
        world.apply(SHOP);
        let index = world.sh("ip -n web -o link show eth0 | cut -d: -f1; ip -o link show br-front | cut -d: -f1");

        world.apply(&SHOP.replace("'fd00:25::/64']", "'fd00:25::/64'], mtu: 1450"));

        assert_eq!(world.sh("ip -n web -o link show eth0 | cut -d: -f1; ip -o link show br-front | cut -d: -f1"), index);
        assert!(world.sh("ip -n web link show eth0").contains("mtu 1450"));
        assert!(world.sh("ip link show br-front").contains("mtu 1450"));
        world.assert_in_sync();
    }
}

live! {
    fn a_container_gets_another_address_and_keeps_its_link(world) {
        world.apply(SHOP);
        let index = world.sh("ip -n web -o link show eth0 | cut -d: -f1");

        world.apply(&SHOP.replace("172.25.3.3", "172.25.3.4"));

        assert_eq!(world.sh("ip -n web -o link show eth0 | cut -d: -f1"), index);
        let addresses = world.sh("ip -n web -o -4 addr show dev eth0");
        assert!(addresses.contains("172.25.3.4/16") && !addresses.contains("172.25.3.3/16"), "{addresses}");
        assert!(world.sh("ip -n web route show default").contains("via 172.25.0.1"));
        world.assert_in_sync();
    }
}

live! {
    fn interfaces_swap_their_networks_in_one_apply(world) {
        world.apply(SHOP);
        world.apply(&SHOP.replace(
            "{front: {address: 172.25.3.3}, back: {links: {database: db}}}",
            "{back: {links: {database: db}}, front: {address: 172.25.3.3}}",
        ));

        assert!(world.sh("ip -n web -o -4 addr show dev eth1").contains("172.25.3.3/16"));
        assert!(world.sh("ip -n web -o -4 addr show dev eth0").contains("10.7.0."));
        assert!(world.pings("web", "172.25.0.1") && world.pings("web", "database"));
        world.assert_in_sync();
    }
}

live! {
    fn an_address_that_was_given_stays_when_others_come_and_go(world) {
        world.apply(SHOP);
        let db = super::world::address_of(world, "db", "eth0");
        world.apply(&SHOP.replace("  db: ", "  aaa: {networks: [back]}\n  db: "));
        assert_eq!(super::world::address_of(world, "db", "eth0"), db);

        world.run(&["destroy", "--yes"]).exits(0);
        world.apply(&SHOP.replace("  db: ", "  aaa: {networks: [back]}\n  db: "));
        assert_eq!(super::world::address_of(world, "db", "eth0"), db, "the lease outlives destroy");
    }
}

live! {
    fn a_foreign_object_in_the_way_is_named_and_left_alone(world) {
        for (foreign, what) in [
            ("ip link add br-mine type bridge", "br-mine"),
            ("ip netns add web", "web"),
            ("mkdir -p /etc/netns/db && echo '127.0.0.1 mine' > /etc/netns/db/hosts", "/etc/netns/db/hosts"),
        ] {
            world.sh(foreign);
            let before = world.sh("ip -o link; ip netns; nft list ruleset; ls -R /etc/netns 2>/dev/null || true");
            world.file("netform.yaml", &SHOP.replace("front: {sub", "front: {interface: br-mine, sub"));

            let done = world.run(&["apply", "--yes"]).exits(9);

            assert!(done.stderr.contains(what), "{}", done.stderr);
            assert!(done.stderr.contains("netform.yaml:"), "{}", done.stderr);
            let after = world.sh("ip -o link; ip netns; nft list ruleset; ls -R /etc/netns 2>/dev/null || true");
            assert_eq!(after, before);
            world.sh("ip link del br-mine 2>/dev/null || true; ip netns del web 2>/dev/null || true; rm -rf /etc/netns/db");
        }
    }
}

live! {
    fn a_foreign_address_on_our_link_is_shown_and_left_alone(world) {
        world.apply(SHOP);
        world.sh("ip addr add 192.0.2.7/24 dev br-front; ip -n web route add 198.51.100.0/24 via 172.25.0.1");

        let (plan, changes) = world.plan();

        assert!(!changes, "{plan}");
        assert!(plan.contains("? ") && plan.contains("192.0.2.7/24"), "{plan}");
        world.apply(&SHOP.replace("'fd00:25::/64']", "'fd00:25::/64'], mtu: 1450"));
        assert!(world.sh("ip -o addr show dev br-front").contains("192.0.2.7/24"));
        assert!(world.sh("ip -n web route").contains("198.51.100.0/24"));
    }
}

live! {
    fn two_projects_live_side_by_side(world) {
        world.apply(SHOP);
        let shop = world.sh("ip -n web -o -4 addr; nft -s list table inet netform-shop");
        let blog = world.file("blog.yaml", "netform: 1\nproject: blog\nnetworks: {front: {}}\ncontainers: {www: {networks: [front]}}\n");
        let blog = blog.to_str().unwrap();

        world.run(&["apply", "--yes", blog]).exits(0);

        assert_eq!(world.sh("ip -n web -o -4 addr; nft -s list table inet netform-shop"), shop);
        assert!(world.pings("www", "172.17.0.1"));
        assert!(!world.pings("www", "172.25.3.3"), "projects are apart");
        assert!(!world.pings("web", "172.17.0.2"), "projects are apart");
        world.run(&["destroy", "--yes", blog]).exits(0);
        assert_eq!(world.sh("ip -n web -o -4 addr; nft -s list table inet netform-shop"), shop);
        world.assert_in_sync();
    }
}

live! {
    fn a_failed_apply_undoes_itself_and_says_so(world) {
        world.apply(SHOP);
        let before = world.sh("ip -o link; ip -n web -o -4 addr; nft -s list ruleset; ip netns");
        // An `nft` that reads and refuses to write lets the first wave fail; one that refuses the second write, the last.
        for writes in [0, 1] {
            world.sh(&format!(
                "mkdir -p bin; rm -f count; real=$(command -v nft); cat > bin/nft <<EOF
#!/bin/sh
case \"\\$*\" in *-f*) echo x >> {dir}/count; [ \\$(wc -l < {dir}/count) -le {writes} ] || {{ echo 'Error: the disk is haunted' >&2; exit 1; }};; esac
exec $real \"\\$@\"
EOF
chmod +x bin/nft",
                dir = world.dir().display()
            ));
            let more = SHOP.replace("  back: {", "  more: {subnets: [10.9.0.0/24]}\n  back: {");
            world.file("netform.yaml", &format!("{more}  extra: {{networks: [more], publish: ['9000:90']}}\n"));

            let path = format!("{}/bin:{}", world.dir().display(), std::env::var("PATH").unwrap());
            let output = world.netform().args(["apply", "--yes"]).env("PATH", path).output().unwrap();

            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(output.status.code(), Some(1 | 3 | 4)), "{output:?}");
            assert!(stderr.contains("the disk is haunted"), "{stderr}");
            if output.status.code() != Some(3) {
                assert_eq!(world.sh("ip -o link; ip -n web -o -4 addr; nft -s list ruleset; ip netns"), before);
            }
            world.file("netform.yaml", SHOP);
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
        }
    }
}

live! {
    fn an_existing_bridge_is_attached_to_and_never_changed(world) {
        world.sh("ip link add br-lan type bridge && ip addr add 10.20.0.1/24 dev br-lan && ip link set br-lan up");
        world.apply("netform: 1\nproject: shop\nnetworks: {lan: {external: br-lan}}\ncontainers: {web: {networks: [lan]}}\n");
        assert!(world.pings("web", "10.20.0.1"));
        world.assert_in_sync();

        world.run(&["destroy", "--yes"]).exits(0);

        assert!(world.sh("ip -d -o addr show dev br-lan").contains("10.20.0.1/24"));
    }
}

live! {
    /// A bridge is known by its name, and marked as its network's by a further one, which two must not have.
    fn networks_swap_the_names_of_their_bridges_and_pass_them_on(world) {
        let named = |front: &str, back: &str| {
            format!(
                "netform: 1\nproject: shop\nnetworks:\n  front: {{interface: {front}, subnets: [172.25.0.0/16, 'fd00:25::/64']}}\n  \
                 back: {{interface: {back}, subnets: [10.7.0.0/24]}}\ncontainers:\n  web: {{networks: [front], publish: ['8080:80']}}\n  \
                 db: {{networks: [back]}}\n"
            )
        };
        world.apply(&named("br1", "br2"));

        for (front, back, what) in [
            ("br2", "br1", "swapped"),
            ("br1", "br2", "swapped back"),
            ("br2", "br3", "a name is passed on, and one is new"),
            ("br3", "br1", "one is passed on the other way"),
            ("br1", "br3", "swapped again"),
        ] {
            world.file("netform.yaml", &named(front, back));
            let done = world.run(&["apply", "--yes"]);
            assert_eq!(done.code, 0, "{what}:\n{}{}", done.stdout, done.stderr);
            world.assert_in_sync();
            for (network, bridge, container, gateway) in [("front", front, "web", "172.25.0.1"), ("back", back, "db", "10.7.0.1")] {
                let link = world.sh(&format!("ip -br link show netform.shop.{network}"));
                assert!(link.starts_with(&format!("{bridge} ")), "{what}: {link}");
                assert!(world.pings(container, gateway), "{what}: {container}");
            }
            assert!(!world.pings("web", "10.7.0.2") && world.pings("web", "fd00:25::1"), "{what}");
        }

        // What fails is undone: all have their names again.
        let before = world.sh("ip -br link; ip -br -4 addr; nft list ruleset");
        world.file("netform.yaml", &named("br3", "br1"));
        super::failure::haunted(world, 2, &["apply", "--yes"]).exits(4);
        assert!(world.sh("ip -br link; ip -br -4 addr; nft list ruleset") == before);
    }
}
