//! What is written on our links and namespaces, and what is changed of ports, by somebody else: it is set back where it surely
//! is ours.

use super::daemon::{Daemon, patiently};
use super::failure::{haunted, killed};
use super::snapshot::{assert_same, everything};
use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16], lifecycle: {prevent_destroy: false}}
  cable: {driver: veth, subnets: [10.9.0.0/31]}
containers:
  web: {networks: {front: {address: 172.25.3.3}, cable: {address: 10.9.0.0}}, publish: ['8080:80']}
  db: {networks: {front: {address: 172.25.3.4}, cable: {address: 10.9.0.1}}}
";

/// What somebody writes on what is ours, and what the plan says of it.
const STRAYS: &[(&str, &str)] = &[
    ("ip link set br-front alias 'uplink to rack 4'", "mark ours -> `uplink to rack 4`"),
    ("ip link set br-front alias ''", "mark ours -> none"),
    ("ip link set netform.shop.web.front alias mine", "mark ours -> `mine`"),
    ("ip link set netform.shop.web.front alias ''", "mark ours -> none"),
    ("ip -n web link set lo alias ''", "mark ours -> none"),
    ("ip -n web link set lo alias mine", "mark ours -> `mine`"),
    (
        "ip link set br-front alias ''; ip link property del dev br-front altname netform.shop.front",
        "mark ours -> none",
    ),
    (
        "ip link set br-front alias ''; ip link set netform.shop.web.front alias ''; ip link set br-front mtu 1400",
        "mark ours -> none",
    ),
];

live! {
    fn what_is_surely_ours_is_marked_again(world) {
        world.apply(SHOP);
        let before = everything(world);
        for (stray, said) in STRAYS {
            world.sh(stray);
            let (plan, changes) = world.plan();
            assert!(changes && plan.contains(said) && plan.contains("[drift]"), "after `{stray}`, {said} in:\n{plan}");
            assert!(!plan.contains("replace") && plan.contains(" 0 to add") && plan.contains(" 0 to destroy"), "{plan}");
            assert_eq!(world.run(&["status", "--exit-code"]).code, 2, "{stray}");
            world.run(&["apply", "--yes"]).exits(0);
            assert_same(&everything(world), &before, stray);
            world.assert_in_sync();
        }
        assert!(world.pings("web", "172.25.3.4"));
    }
}

live! {
    fn what_is_surely_ours_goes_with_the_rest(world) {
        let before = everything(world);
        for (stray, _) in STRAYS {
            world.apply(SHOP);
            world.sh(stray);
            world.run(&["destroy", "--yes"]).exits(0);
            assert_same(&everything(world), &before, stray);
        }
    }
}

live! {
    fn the_daemon_marks_again_what_is_surely_ours(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        let before = everything(world);
        for (stray, said) in STRAYS {
            world.sh(stray);
            daemon.says(said);
            patiently(&|| format!("`{stray}`: {}", daemon.log()), || everything(world) == before);
        }
    }
}

live! {
    fn a_run_that_is_undone_or_killed_leaves_strays_as_they_were(world) {
        world.apply(SHOP);
        world.sh("ip link set br-front alias 'uplink to rack 4'; ip -n db link set lo alias ''");
        let before = everything(world);
        world.file("netform.yaml", &SHOP.replace("172.25.3.3}", "172.25.3.5}"));
        haunted(world, 2, &["apply", "--yes"]).exits(4);
        assert_same(&everything(world), &before, "undone");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn a_run_that_is_killed_while_it_marks_is_finished_or_undone_by_the_next(world) {
        let moved = SHOP.replace("172.25.3.3}", "172.25.3.5}");
        world.apply(&moved);
        let wanted = everything(world);
        for (stray, _) in STRAYS {
            for nth in [1, 2] {
                world.apply(SHOP);
                world.sh(stray);
                world.file("netform.yaml", &moved);
                killed(world, nth, &["apply", "--yes"]);
                world.run(&["apply", "--yes"]).exits(0);
                world.assert_in_sync();
                assert_same(&everything(world), &wanted, &format!("{stray}, {nth}"));
            }
        }
        world.sh("ip link set br-front alias ''; ip -n db link set lo alias ''");
        world.file("netform.yaml", SHOP);
        killed(world, 2, &["apply", "--yes"]);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables"), "");
    }
}

live! {
    fn what_may_be_somebody_elses_stays_so_and_is_told(world) {
        let shop = SHOP.replace("front: {subnets", "front: {interface: br-front, subnets");
        world.apply(&shop);
        // Another link of the name; another namespace of the name; the mark of another project; no memory of ours.
        for (deed, cure) in [
            ("ip link del br-front; ip link add br-front type bridge", "netform import network.front br-front"),
            (
                // The kernel takes its time for what was in there.
                "ip netns del db; while ip -o link show type veth | grep -q attachment.db; do sleep 0.05; done; \
                 ip netns add db; ip -n db link set lo up",
                "netform import container.db db",
            ),
            (
                "ip link set br-front alias netform:blog:network.front; \
                 ip link property del dev br-front altname netform.shop.front",
                "project blog",
            ),
            ("ip link set br-front alias mine; ip link set br-front address 02:00:00:00:00:99", "netform import network.front br-front"),
            ("ip link set br-front alias mine; rm -r state/shop", "netform import network.front br-front"),
        ] {
            world.sh(deed);
            let before = everything(world);
            let refused = world.run(&["apply", "--yes"]);
            assert!([9, 65].contains(&refused.code) && refused.stderr.contains(cure), "`{deed}`: {}", refused.stderr);
            assert_same(&everything(world), &before, deed);
            if deed.contains("netns") {
                world.sh("ip netns del db");
            } else {
                world.sh("ip link del br-front");
            }
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
        }
    }
}

/// What somebody does to a port, and what the plan says of it.
const PORTS: &[(&str, &str)] = &[
    ("learning off", "learning on -> off"),
    ("flood off", "flood on -> off"),
    ("mcast_flood off", "mcast_flood on -> off"),
    ("bcast_flood off", "bcast_flood on -> off"),
    ("guard on", "guard off -> on"),
    ("neigh_suppress on", "neigh_suppress off -> on"),
    ("locked on", "locked off -> on"),
    ("state 0", "port state forwarding -> disabled"),
    ("isolated on", "isolated none -> on"),
    ("proxy_arp on", "proxy_arp off -> on"),
    ("proxy_arp_wifi on", "proxy_arp_wifi off -> on"),
];

/// Has a port do something otherwise; ip(8) says what bridge(8) cannot.
fn scribble(world: &World, deed: &str) {
    let (begin, kind) = if deed.starts_with("proxy") { ("ip", "type bridge_slave ") } else { ("bridge", "") };
    world.sh(&format!("{begin} link set dev netform.shop.web.front {kind}{deed}"));
}

/// What is said of the port.
fn port(world: &World) -> String {
    world.sh("bridge -d link show dev netform.shop.web.front; ip -d link show dev netform.shop.web.front | grep -o 'proxy_arp[_a-z]* o[nf]*'")
}

live! {
    fn what_a_port_does_otherwise_is_set_back(world) {
        world.apply(SHOP);
        let before = port(world);
        for (deed, said) in PORTS {
            scribble(world, deed);
            let (plan, changes) = world.plan();
            assert!(changes && plan.contains(said) && plan.contains("[drift]"), "after `{deed}`, {said} in:\n{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            assert_eq!(port(world), before, "{deed}");
            world.assert_in_sync();
            assert!(world.pings("web", "172.25.3.4"), "{deed}");

            scribble(world, deed);
            let verbose = world.run(&["plan", "-v"]).exits(0).stdout;
            let commands: Vec<_> = verbose.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
            world.sh(&commands.join("\n"));
            assert_eq!(port(world), before, "{commands:?} after {deed}");
        }
        // Whoever is down, or behind a bridge that is, passes nothing on, and is told as that.
        world.sh("ip link set br-front down");
        let plan = world.plan().0;
        assert!(!plan.contains("port state"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.sh("ip -n web link set eth0 down");
        let plan = world.plan().0;
        assert!(!plan.contains("port state"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert_eq!(port(world), before);
    }
}

live! {
    fn the_daemon_sets_back_what_a_port_does_otherwise(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h", "--contested-after", "0"]);
        let before = port(world);
        for (deed, said) in PORTS {
            scribble(world, deed);
            daemon.says(said);
            patiently(&|| format!("`{deed}`: {}", daemon.log()), || port(world) == before);
        }
        assert!(world.pings("web", "172.25.3.4"));
    }
}

live! {
    fn an_undone_run_leaves_a_port_as_it_was(world) {
        world.apply(SHOP);
        world.sh("bridge link set dev netform.shop.web.front learning off; bridge link set dev netform.shop.db.front state 0");
        let look = || world.sh("bridge -d link");
        let before = look();
        world.file("netform.yaml", &SHOP.replace("172.25.3.3}", "172.25.3.5}"));
        haunted(world, 2, &["apply", "--yes"]).exits(4);
        assert_eq!(look(), before);
    }
}

live! {
    fn a_namespace_that_was_unmounted_is_made_anew_over_its_file(world) {
        world.apply(SHOP);
        world.sh("umount -l /run/netns/web");
        let (plan, changes) = world.plan();
        assert!(changes && plan.contains("container.web") && plan.contains("[drift]"), "{plan}");
        assert!(plan.contains("there is no namespace behind its name"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(world.pings("web", "172.25.3.4"));

        let daemon = Daemon::start(world, &["--resync", "1s"]);
        world.sh("umount -l /run/netns/web");
        patiently(&|| daemon.log(), || world.try_sh("ip netns exec web true").code == 0);
        daemon.brings_it_in_sync("umount -l /run/netns/web");
        assert!(world.pings("web", "172.25.3.4"), "{}", daemon.log());
        drop(daemon);

        world.sh("umount -l /run/netns/web");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ls /run/netns"), "");
    }
}

live! {
    fn what_somebody_put_where_a_namespace_of_ours_was_stays(world) {
        world.apply(SHOP);
        world.sh("umount -l /run/netns/web; chmod 644 /run/netns/web; echo notes > /run/netns/web");
        let refused = world.run(&["apply", "--yes"]).exits(9).stderr;
        assert!(refused.contains("file /run/netns/web, which is no namespace"), "{refused}");
        assert_eq!(world.sh("cat /run/netns/web"), "notes\n");
        // Without a word of it on record nobody's empty file is taken away.
        world.sh("ip netns del db; touch /run/netns/new; rm /run/netns/web");
        world.file("netform.yaml", &SHOP.replace("  db:", "  new: {networks: [front]}\n  db:"));
        let refused = world.run(&["apply", "--yes"]).exits(9).stderr;
        assert!(refused.contains("file /run/netns/new, which a namespace left behind"), "{refused}");
        assert!(refused.contains("help: remove it, if nobody needs it") && !refused.contains("import"), "{refused}");
    }
}

live! {
    fn whoever_was_in_a_namespace_that_was_unmounted_gets_its_name_back_or_another(world) {
        world.apply(SHOP);
        let mut inside = world.beside("ip netns exec web sleep 600");
        super::world::eventually("somebody inside", || world.sh("ip netns pids web").trim() != "");
        world.sh("umount -l /run/netns/web");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(world.pings("web", "172.25.3.4"));
        inside.kill().unwrap();
        inside.wait().unwrap();
    }
}
