//! `netform network`, as somebody uses it who knows `docker network`.

use std::time::Duration;

use super::failure::haunted;
use super::world::{eventually, live};
use crate::schema::assert_follows;

const SHOP: &str = "\
# A shop.
netform: 1
project: shop

networks:
  front:
    subnets: [172.25.0.0/16] # what the world sees

# Who is there.
containers:
  web: {networks: [front]} # the server
";

live! {
    fn networks_come_are_used_and_go_as_with_docker(world) {
        world.run(&["init", "--project", "shop"]).exits(0);
        let starter = std::fs::read_to_string(world.dir().join("netform.yaml")).unwrap();
        world.run(&["apply", "--yes"]).exits(0);
        let comments = |text: &str| text.matches('#').count();

        let told = world.run(&["network", "create", "--subnet", "10.9.0.0/24", "--yes", "lan"]).exits(0).stdout;
        assert!(told.contains("+  lan:\n+    subnets: [10.9.0.0/24]\n"), "{told}");
        assert!(told.contains("+ network \"lan\"") && told.contains("verified"), "{told}");
        world.run(&["network", "connect", "--ip", "10.9.0.7", "--yes", "lan", "web"]).exits(0);
        world.run(&["network", "connect", "--alias", "shop.db", "--yes", "lan", "db"]).exits(0);
        world.run(&["network", "connect", "--create", "--yes", "lan", "job"]).exits(0);

        assert!(world.pings("db", "10.9.0.7") && world.pings("job", "10.9.0.7"));
        assert!(world.run(&["exec", "web", "--", "getent", "hosts", "shop.db"]).exits(0).stdout.contains("10.9.0."));
        world.assert_in_sync();

        let done = world.run(&["network", "rm", "--yes", "lan"]).exits(7);
        for user in ["web  netform.yaml:", "db  netform.yaml:", "job  netform.yaml:", "network disconnect lan web"] {
            assert!(done.stderr.contains(user), "{user} in {}", done.stderr);
        }
        for name in ["web", "db", "job"] {
            world.run(&["network", "disconnect", "--yes", "lan", name]).exits(0);
        }
        assert!(!world.pings("db", "10.9.0.7"));
        world.run(&["network", "rm", "--yes", "lan"]).exits(0);
        assert!(!world.sh("ip -br link").contains("br-lan"));
        world.assert_in_sync();

        let text = std::fs::read_to_string(world.dir().join("netform.yaml")).unwrap();
        assert_eq!(comments(&text), comments(&starter), "{text}");
        assert_eq!(world.run(&["get", "containers.job.mode"]).exits(0).stdout, "none\n");
    }
}

live! {
    fn a_dry_run_shows_text_and_plan_and_changes_nothing(world) {
        world.apply(SHOP);
        let before = world.sh("cat netform.yaml; ip -o link; ls -A");

        let told = world.run(&["network", "create", "back", "--internal", "--dry-run"]).exits(0).stdout;

        assert!(told.contains("+  back:\n+    internal: true\n") && told.contains("Plan: 1 to add"), "{told}");
        assert_eq!(world.sh("cat netform.yaml; ip -o link; ls -A"), before);
    }
}

live! {
    fn no_apply_edits_the_manifest_alone(world) {
        world.apply(SHOP);

        let done = world.run(&["network", "create", "back", "--no-apply"]).exits(0);

        assert!(done.stderr.contains("`netform apply` makes it so"), "{}", done.stderr);
        assert!(world.plan().1);
        world.run(&["apply", "--yes"]).exits(0);
        assert!(world.sh("ip -br link").contains("br-back"));
    }
}

live! {
    fn an_apply_that_is_undone_leaves_the_manifest_as_it_was(world) {
        world.apply(SHOP);
        let refused = |nth: usize, args: &[&str], code: i32| {
            let before = world.sh("cat netform.yaml; ip -o link; nft -s list ruleset; ip netns");

            let done = haunted(world, nth, args).exits(code);

            assert!(done.stderr.contains("the disk is haunted"), "{}", done.stderr);
            assert!(done.stderr.contains("netform.yaml is as it was"), "{}", done.stderr);
            assert_eq!(world.sh("cat netform.yaml; ip -o link; nft -s list ruleset; ip netns"), before);
            world.assert_in_sync();
        };

        let create = ["network", "create", "--subnet", "10.7.0.0/24", "back", "--yes"];
        refused(1, &create, 1);
        refused(2, &create, 4);
        world.run(&create).exits(0);
        refused(1, &["network", "rm", "back", "--yes"], 1);
    }
}

live! {
    fn what_cannot_be_is_refused_and_changes_nothing(world) {
        world.apply(SHOP);
        let before = world.sh("cat netform.yaml; ip -o link");
        for (args, code, why) in [
            (&["network", "create", "front", "--yes"] as &[_], 1, "network front is declared already: netform.yaml:6:3"),
            (&["network", "create", "-x", "--yes"], 64, "--help"),
            (&["network", "create", "a b", "--yes"], 64, "network name"),
            (&["network", "create", "back"], 64, "--yes answers the question"),
            (&["network", "create", "back", "--subnet", "172.25.3.0/24", "--yes"], 65, "overlap"),
            (&["network", "create", "back", "--subnet", "10.7.0.1/24", "--yes"], 65, "netform.yaml:9:15"),
            (&["network", "create", "lan", "-d", "overlay", "--yes"], 65, "overlay"),
            (&["network", "create", "lan", "-d", "macvlan", "-o", "parent=eth7", "--subnet", "10.7.0.0/24", "--yes"], 65, "eth7"),
            (&["network", "connect", "front", "web", "--yes"], 1, "web is on network front already: netform.yaml:11:"),
            (&["network", "connect", "frnt", "web", "--yes"], 65, "did you mean `front`?"),
            (&["network", "connect", "front", "wbe", "--yes"], 66, "did you mean `web`?"),
            (&["network", "connect", "front", "job", "--create", "--ip", "10.0.0.1", "--yes"], 65, "10.0.0.1"),
            (&["network", "disconnect", "back", "web", "--yes"], 66, "web is not on network back"),
            (&["network", "rm", "bck", "--yes"], 66, "declares no network bck"),
            (&["network", "rm", "front", "--yes"], 7, "web  netform.yaml:11:"),
            (&["network", "inspect", "frnt"], 66, "did you mean `front`?"),
            (&["network", "ls", "--filter", "label=x"], 64, "there is no filter `label=x`"),
        ] {
            let done = world.run(args).exits(code);
            assert!(done.stderr.contains(why), "{args:?}: {}", done.stderr);
        }
        assert_eq!(world.sh("cat netform.yaml; ip -o link"), before);
    }
}

live! {
    fn ls_and_inspect_show_what_is_live(world) {
        world.file("netform.yaml", SHOP);
        assert!(world.run(&["network", "ls"]).exits(0).stdout.contains("front             bridge      br-front         missing"));
        world.run(&["network", "create", "back", "--internal", "--subnet", "10.7.0.0/24", "--yes"]).exits(0);
        world.run(&["network", "connect", "back", "web", "--ip", "10.7.0.9", "--alias", "app", "--yes"]).exits(0);
        world.sh("ip netns exec web ping -n -c 3 -i 0.1 10.7.0.1 > /dev/null");

        assert_eq!(world.run(&["network", "ls", "-q"]).exits(0).stdout, "front\nback\n");
        assert_eq!(world.run(&["network", "ls", "-q", "-f", "internal=true"]).exits(0).stdout, "back\n");
        assert_eq!(world.run(&["network", "ls", "-q", "-f", "driver=macvlan"]).exits(0).stdout, "");
        let text = world.run(&["network", "inspect", "back"]).exits(0).stdout;
        for said in [
            "network back  [in sync]\n  id: netform.shop.back\n",
            "  subnet: 10.7.0.0/24, gateway 10.7.0.1\n  internal: yes\n",
            "  container web  [in sync]\n    interface: eth1 (on the host nf-",
            "    addresses: 10.7.0.9/24\n    aliases: app\n    received: ",
        ] {
            assert!(text.contains(said), "{said} in:\n{text}");
        }
        world.sh("ip link show netform.shop.back > /dev/null");

        let json = world.run(&["network", "inspect", "back", "front", "--output", "json"]).exits(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_follows("network", &json);
        assert_eq!(json["networks"][1]["name"], "front");
        let counters = &json["networks"][0]["containers"][0]["counters"];
        assert!(counters["received_packets"].as_u64().unwrap() >= 3, "{json:#}");
        // Others on the link go on talking meanwhile: the kernel's files are a moment later.
        let (shown, later) = (counters["received_bytes"].as_u64().unwrap(), counter(world, "web", "eth1", "rx_bytes"));
        assert!((3 * 84..=later).contains(&shown), "{shown} {later}");
    }
}

/// Returns a counter of a link as the kernel's files have it.
fn counter(world: &super::world::World, ns: &str, link: &str, name: &str) -> u64 {
    let text = world.sh(&format!("ip netns exec {ns} ip -j -s link show {link}"));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (way, what) = name.split_once('_').unwrap();
    value[0]["stats64"][way][what].as_u64().unwrap()
}

live! {
    fn killed_between_edit_and_apply_the_next_apply_goes_on(world) {
        world.apply(SHOP);
        let script = "mkdir -p bin; real=$(command -v nft); printf '#!/bin/sh\\nsleep 30\\n' > bin/nft; chmod +x bin/nft";
        world.sh(script);
        let path = format!("{}/bin:{}", world.dir().display(), std::env::var("PATH").unwrap());
        let mut child = world
            .netform()
            .args(["network", "create", "back", "--subnet", "10.7.0.0/24", "--yes"])
            .env("PATH", &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        eventually("the manifest is written", || world.sh("cat netform.yaml").contains("back"));
        std::thread::sleep(Duration::from_millis(100));
        child.kill().unwrap();
        child.wait().unwrap();

        world.run(&["apply", "--yes"]).exits(0);

        assert!(world.sh("ip -br link").contains("br-back"));
        world.assert_in_sync();
    }
}

live! {
    fn what_a_manifest_can_say_a_command_can_and_inspect_shows(world) {
        world.file("netform.yaml", SHOP);
        world.sh("for link in eth0 eth2; do ip link add $link type veth peer name p$link; ip link set $link up; ip link set p$link up; done");
        let run = |line: &str| world.run(&[&["network"], &*line.split(' ').collect::<Vec<_>>(), &["--yes"]].concat()).exits(0);
        run("create -d macvlan -o parent=eth0 -o host_address=10.8.0.9 --subnet 10.8.0.0/24 lan");
        run("create -d physical --subnet 10.6.0.0/24 lab");
        run("create --subnet 10.7.0.0/24 -o mtu=1400 -o lifecycle.ignore=[mtu] back");
        run("connect --driver-opt device=eth2 lab web");
        run("connect --driver-opt bandwidth.egress=5mbit --driver-opt external_address=203.0.113.9 --driver-opt isolated=true back web");
        run("connect lan web");

        world.assert_in_sync();
        let text = world.run(&["network", "inspect", "lan", "lab", "back"]).exits(0).stdout;
        for said in ["  host: 10.8.0.9 (on nf-", "    device: eth2\n", "    external address: 203.0.113.9\n", "    bandwidth: sends 5mbit\n    isolated: yes\n"] {
            assert!(text.contains(said), "{said} in:\n{text}");
        }
        let json = world.run(&["network", "inspect", "back", "lan", "--output", "json"]).exits(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_follows("network", &json);
        assert_eq!(json["networks"][0]["containers"][0]["external_addresses"][0]["address"], "203.0.113.9");
        assert_eq!(json["networks"][1]["host"]["addresses"][0], "10.8.0.9");
        run("disconnect lab web");
        world.sh("ip link show eth2");
    }
}
