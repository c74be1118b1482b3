//! What others do to our objects is seen, judged alike by plan, apply and status, and left alone where it shall be.

use serde_json::Value;

use super::daemon::{Daemon, patiently};
use super::world::{World, live};
use crate::schema::assert_follows;

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16], lifecycle: {ignore: [mtu]}}
  back: {subnets: [10.7.0.0/24]}
containers:
  web: {networks: [front, back]}
  later: {netns: later, networks: [back]}
";

/// What a verb prints for machines, which follows its schema.
#[track_caller]
fn json(world: &World, verb: &str, code: i32, more: &[&str]) -> Value {
    let done = world.run(&[&[verb, "--output", "json"], more].concat()).exits(code);
    let document = serde_json::from_str(&done.stdout).unwrap();
    assert_follows(verb, &document);
    document
}

live! {
    fn what_only_repairs_drift_is_no_step_of_the_history(world) {
        let manifest = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front]}}\n";
        world.apply(manifest);
        let history = || world.run(&["history"]).exits(0).stdout;
        let before = history();

        for break_it in ["ip link set br-front mtu 1400", "ip netns del web", "nft delete table inet netform-shop"] {
            world.sh(break_it);
            let said = world.run(&["apply", "--yes"]).exits(0).stdout;
            assert!(said.contains("Generation 1."), "{said}");
            world.assert_in_sync();
            assert_eq!(history(), before, "{break_it}");
        }
        world.sh("ip link set br-front mtu 1400");
        world.run(&["apply", "--yes", "--confirm-timeout", "20s"]).exits(0);
        assert_ne!(history(), before, "what may be undone has a number");
        world.run(&["confirm"]).exits(0);

        // What is to be done besides is another step.
        world.sh("ip link set br-front mtu 1400");
        let said = world.apply(&manifest.replace("web: {networks", "db: {networks: [front]}, web: {networks"));
        assert!(said.contains("Generation 3."), "{said}");
    }
}

live! {
    fn what_is_foreign_on_our_links_is_shown_everywhere_and_left_alone(world) {
        world.apply(SHOP);
        world.sh("ip addr add 192.0.2.7/24 dev br-front; ip -n web addr add 192.0.2.8/24 dev eth0");
        world.sh("ip route add 198.51.100.0/24 via 172.25.0.9 dev br-front; ip -n web route add 203.0.113.0/24 via 172.25.0.1");
        let all = ["192.0.2.7/24", "192.0.2.8/24", "198.51.100.0/24", "203.0.113.0/24"];

        let (text, changes) = world.plan();
        let markdown = world.run(&["plan", "--output", "markdown"]).exits(0).stdout;
        let document = json(world, "plan", 0, &[]);

        assert!(!changes, "{text}");
        let shown = text.lines().filter(|line| line.starts_with("  ? ")).collect::<Vec<_>>().join("\n");
        let listed = document["foreign"].to_string();
        for foreign in all {
            assert!(shown.contains(foreign), "{foreign} in:\n{text}");
            assert!(markdown.contains(foreign), "{foreign} in:\n{markdown}");
            assert!(listed.contains(foreign), "{foreign} in:\n{listed}");
        }
        assert_eq!(document["summary"]["foreign"], all.len());
        world.run(&["status", "--exit-code"]).exits(0);
        world.apply(&SHOP.replace("back: {subnets: [10.7.0.0/24]}", "back: {subnets: [10.7.0.0/24], mtu: 1400}"));
        let there = world.sh("ip -o addr; ip route; ip -n web -o addr; ip -n web route");
        for foreign in all {
            assert!(there.contains(foreign), "{foreign} in:\n{there}");
        }
    }
}

live! {
    fn an_ignored_field_is_left_alone_by_plan_and_apply_alike(world) {
        world.apply(SHOP);
        world.sh("ip link set br-front mtu 1400");

        let (plan, changes) = world.plan();
        assert!(!changes && plan.contains("mtu 1500 -> 1400") && plan.contains("left alone: ignored"), "{plan}");
        assert_eq!(json(world, "plan", 0, &[])["summary"]["ignored_drift"], 1);
        world.run(&["status", "--exit-code"]).exits(0);
        world.run(&["apply", "--yes"]).exits(0);
        assert!(world.sh("ip -o link show br-front").contains("mtu 1400"));

        // Another change of the same link is no reason to touch it, either.
        world.sh("ip link set br-front down");
        world.run(&["apply", "--yes"]).exits(0);
        let link = world.sh("ip -o link show br-front");
        assert!(link.contains("mtu 1400") && link.contains("UP"), "{link}");
        world.apply(&SHOP.replace(", lifecycle: {ignore: [mtu]}", ""));
        assert!(world.sh("ip -o link show br-front").contains("mtu 1500"), "it is set back when nothing is ignored");
    }
}

live! {
    fn status_says_what_differs_by_its_exit_code_and_for_machines(world) {
        world.file("netform.yaml", SHOP);
        let before = json(world, "status", 2, &["--exit-code"]);
        assert_eq!((&before["in_sync"], &before["generation"]), (&Value::Bool(false), &Value::Null));
        assert_eq!(before["networks"][0]["state"], "missing");

        world.apply(SHOP);
        let after = json(world, "status", 0, &["--exit-code"]);
        assert_eq!((&after["in_sync"], after["generation"].as_u64()), (&Value::Bool(true), Some(1)));
        let web = &after["networks"][0]["attachments"][0];
        assert_eq!((web["container"].as_str(), web["state"].as_str()), (Some("web"), Some("in-sync")), "{web}");
        let address = super::world::address_of(world, "web", "eth0").to_string();
        assert!(web["addresses"][0].as_str().unwrap().starts_with(&address), "{web}");
        assert_eq!(after["containers"][1]["state"], "waiting", "{after}");

        world.sh("ip link set br-back mtu 1400; ip -n web route del default");
        let drifted = json(world, "status", 2, &["--exit-code"]);
        assert_eq!(drifted["in_sync"], false);
        let states: Vec<_> = drifted["networks"].as_array().unwrap().iter().map(|network| &network["state"]).collect();
        assert_eq!(states, ["in-sync", "differs"], "{drifted}");
        assert_eq!(drifted["networks"][0]["attachments"][0]["state"], "differs", "{drifted}");
        assert!(world.run(&["status"]).exits(0).stdout.contains("differs from the manifest"));

        world.file("netform.yaml", &SHOP.replace("front, back]", "front]"));
        let leftover = json(world, "status", 0, &[]);
        assert_eq!(leftover["leftover"], serde_json::json!(["attachment.web@back"]), "{leftover}");
    }
}

live! {
    fn what_was_off_and_somebody_switched_on_is_drift_beside_an_edit(world) {
        let shop = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/24]}}\ncontainers: {web: {networks: [front]}}\n";
        world.apply(shop);
        world.sh("ip link set br-front type bridge stp_state 1");
        world.file("netform.yaml", &shop.replace("{subnets", "{mtu: 1400, subnets"));

        let plan = world.run(&["plan"]).exits(0).stdout;

        assert!(plan.contains("stp: on  [drift]") && plan.contains("mtu: 1500 -> 1400  [config]"), "{plan}");
    }
}

const SMALL: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [10.1.0.0/24], lifecycle: {ignore: [mtu]}}, back: {subnets: [10.2.0.0/24]}}
containers: {web: {networks: [front]}}
";

live! {
    fn a_bridge_that_somebody_made_too_small_for_ipv6_keeps_nothing_else_from_being_done(world) {
        world.apply(SMALL);
        world.sh("ip link set br-front mtu 1200");
        assert!(world.sh("ls /proc/sys/net/ipv6/conf").lines().all(|link| link != "br-front"));
        let (plan, changes) = world.plan();
        assert!(!changes && plan.contains("mtu 1500 -> 1200"), "{plan}");
        world.run(&["status", "--exit-code"]).exits(0);

        world.apply(&SMALL.replace("containers: {", "containers: {new: {networks: [back]}, "));
        world.assert_in_sync();
        assert!(world.sh("ip -o link show br-front").contains("mtu 1200"));
        assert!(world.pings("new", "10.2.0.1") && world.pings("web", "10.1.0.1"));

        // What it can have again is as it shall be.
        world.sh("ip link set br-front mtu 1500");
        let (plan, changes) = world.plan();
        assert!(changes && plan.contains("accept_ra"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(world.sh("sysctl -n net.ipv6.conf.br-front.accept_ra"), "0\n");
        world.assert_in_sync();

        // Where the MTU is not left alone, all of it is set back.
        world.sh("ip link set br-front mtu 1200");
        world.apply(&SMALL.replace(", lifecycle: {ignore: [mtu]}", ""));
        assert_eq!(world.sh("sysctl -n net.ipv6.conf.br-front.accept_ra"), "0\n");
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn a_daemon_that_only_tells_goes_on_beside_a_bridge_that_is_too_small_for_ipv6(world) {
        let manifest = SMALL.replace(", lifecycle: {ignore: [mtu]}", "");
        world.file("netform.yaml", &manifest);
        let daemon = Daemon::start(world, &["--drift", "warn", "--resync", "1h"]);
        world.sh("ip link set br-front mtu 1200");
        daemon.says("mtu 1500 -> 1200");
        world.file("netform.yaml", &manifest.replace("containers: {", "containers: {new: {networks: [back]}, "));
        patiently(&|| daemon.log(), || world.try_sh("ip netns exec new true").code == 0);
        assert!(world.sh("ip -o link show br-front").contains("mtu 1200"));
        assert!(!daemon.log().contains("failed"), "{}", daemon.log());
    }
}

live! {
    fn a_status_says_of_a_container_which_of_its_networks_is_not_as_it_shall_be(world) {
        world.apply("netform: 1\nproject: shop\nnetworks: {front: {}, back: {}}\ncontainers: {web: {networks: [front, back]}, db: {networks: [back]}}\n");
        world.sh("ip -n web link del eth1");

        let table = world.run(&["status"]).exits(0).stdout;

        let row = |name: &str| table.lines().filter(|it| it.starts_with(name)).next_back().unwrap().to_owned();
        assert_eq!(row("web "), "web               differs  front, back  (back: missing)", "{table}");
        assert_eq!(row("db "), "db                in sync  back", "{table}");
    }
}
