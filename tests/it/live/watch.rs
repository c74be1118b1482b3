//! The daemon: drift is brought back, edits are applied, and whoever asks is answered.

use std::time::{Duration, Instant};

use super::apply::SHOP;
use super::daemon::{Daemon, patiently};
use super::world::{World, live};

/// Everything that somebody may have touched, as text.
fn kernel(world: &World) -> String {
    let text = world.sh(
        "ip -d -o link show br-front; ip -o addr; ip -n web -o addr; ip -n web route; ip -n web -6 route show default; \
         ip -n db route; nft -s list ruleset; cat /etc/netns/web/hosts; sysctl -n net.ipv4.ip_forward \
         net.ipv4.conf.br-front.route_localnet",
    );
    // Indices, addresses of the kernel's own making, timers and hash keys are nobody's wish.
    let settled = text.lines().filter(|line| !line.contains("fe80:") && !line.contains("chain seal"));
    let settled = settled.map(|line| line.split("valid_lft").next().unwrap().trim().to_owned());
    let words = |line: String| {
        line.split(": ")
            .skip(usize::from(line.contains("inet")))
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lines: std::collections::BTreeSet<_> = settled
        .filter(|line| !line.contains("bridge_id") && !line.contains("bridge forward_delay"))
        .map(words)
        .collect();
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

/// How often a story does something: as often as the variable says, for those who have more patience than the suite.
fn times(variable: &str, unless_it_says: u32) -> u32 {
    std::env::var(variable).map_or(unless_it_says, |times| times.parse().unwrap())
}

fn index(world: &World, ns: &str, link: &str) -> String {
    world.sh(&format!("ip {ns} -o link show {link} | cut -d: -f1"))
}

live! {
    fn drift_of_every_kind_is_brought_back_and_nothing_else_is_touched(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--contested-after", "0"]);
        let before = kernel(world);
        let untouched = index(world, "-n db", "eth0");

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
            "ip link del netform.shop.web.front",
            "ip -n web link del eth0",
            "ip link del br-front",
            "ip netns del web",
            "nft flush chain inet netform-shop forward",
            "nft delete table inet netform-shop",
            "nft flush ruleset",
            "echo nonsense >> /etc/netns/web/hosts",
            "rm /etc/netns/web/hosts",
            "sysctl -q -w net.ipv4.ip_forward=0",
            "sysctl -q -w net.ipv4.conf.br-front.route_localnet=0",
        ] {
            world.sh(break_it);
            patiently(
                &|| format!("as before after `{break_it}`:\n{}\nbefore:\n{before}\n{}", kernel(world), daemon.log()),
                || world.try_sh("ip netns exec web true && ip link show br-front && nft list table inet netform-shop").code == 0
                    && kernel_if_whole(world).as_ref() == Some(&before),
            );
            daemon.brings_it_in_sync(break_it);
        }

        assert_eq!(index(world, "-n db", "eth0"), untouched);
        assert!(world.pings("web", "172.25.0.1") && world.pings("web", "database"));
        assert_eq!(world.run(&["history", "--project", "shop"]).stdout.lines().count(), 2, "repairs are no generations");
        daemon.signal("TERM");
        assert_eq!(daemon.ends(), 0);
        assert!(world.pings("web", "database"), "everything stays as it is");
    }
}

/// The same, when everything is there.
fn kernel_if_whole(world: &World) -> Option<String> {
    let there = "test -s /etc/netns/web/hosts && ip link show br-front && ip -n web link show eth1 && \
                 ip -n db link show eth0";
    (world.try_sh(there).code == 0).then(|| kernel(world))
}

live! {
    fn edits_are_applied_and_a_wrong_one_keeps_the_last_good_one(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);

        world.file("netform.yaml", &SHOP.replace("172.25.3.3", "172.25.3.4"));
        daemon.says("generation 2 is in force");
        assert!(world.sh("ip -n web -o -4 addr").contains("172.25.3.4/16"));

        world.file("netform.yaml", &SHOP.replace("172.25.3.3", "172.26.3.5"));
        daemon.says("not in force as it stands");
        world.file("netform.yaml", "netform: 1\nproject: shop\nnetwork: {}\n");
        daemon.says("did you mean");
        world.sh("ip -n web addr del 172.25.3.4/16 dev eth0");
        patiently(&|| daemon.log(), || world.sh("ip -n web -o -4 addr").contains("172.25.3.4/16"));
        assert_eq!(daemon.log().matches("did you mean").count(), 1, "{}", daemon.log());

        world.file("netform.yaml", "netform: 1\nproject: shop\n");
        daemon.says("a guard refused");
        world.sh("rm netform.yaml");
        daemon.says("No such file");
        assert!(world.pings("web", "database"));

        world.file("netform.yaml", SHOP);
        daemon.says("well again");
        daemon.brings_it_in_sync("a good edit");
    }
}

live! {
    fn a_hangup_has_it_read_anew_what_nothing_tells_of(world) {
        world.file("netform.yaml", SHOP);
        world.sh("mkdir elsewhere; ln netform.yaml elsewhere/same.yaml");
        let daemon = Daemon::start(world, &[]);

        world.file("elsewhere/same.yaml", &SHOP.replace("172.25.3.3", "172.25.3.8"));
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert!(!daemon.log().contains("generation 2"), "a directory does not tell of writes by another name");
        daemon.signal("HUP");

        daemon.says("generation 2 is in force");
        assert!(world.sh("ip -n web -o -4 addr").contains("172.25.3.8/16"));
    }
}

live! {
    fn many_edits_in_a_row_end_with_the_last(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        let edits = times("NETFORM_TEST_EDITS", 100);
        let address = |edit: u32| format!("172.25.{}.{}", 4 + edit / 250, 1 + edit % 250);
        for edit in 1..=edits {
            world.file("netform.yaml", &SHOP.replace("172.25.3.3", &address(edit)));
            std::thread::sleep(std::time::Duration::from_millis(13));
        }
        let last = format!("{}/16", address(edits));
        patiently(&|| daemon.log(), || world.sh("ip -n web -o -4 addr").contains(&last));
        daemon.brings_it_in_sync("many edits");
        eprintln!("{edits} edits, of which {} were put in force", daemon.log().matches("is in force").count());
    }
}

live! {
    fn files_may_be_renamed_over_swapped_by_links_and_made_anew_with_their_directory(world) {
        let with = |address: &str| SHOP.replace("172.25.3.3", address);
        let has = |address: &str| world.sh("ip -n web -o -4 addr").contains(&format!("{address}/16"));
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);

        world.file(".netform.yaml.swp", &with("172.25.5.1"));
        world.sh("mv .netform.yaml.swp netform.yaml");
        patiently(&|| daemon.log(), || has("172.25.5.1"));

        world.sh("mkdir one two; ln -s one ..data");
        world.file("one/netform.yaml", &with("172.25.5.2"));
        world.file("two/netform.yaml", &with("172.25.5.3"));
        world.sh("rm netform.yaml; ln -s ..data/netform.yaml netform.yaml");
        patiently(&|| daemon.log(), || has("172.25.5.2"));
        world.sh("ln -s two ..new; mv -T ..new ..data");
        patiently(&|| daemon.log(), || has("172.25.5.3"));

        world.sh("rm -r two");
        daemon.says("not in force as it stands");
        world.sh("mkdir two");
        world.file("two/netform.yaml", &with("172.25.5.4"));
        patiently(&|| daemon.log(), || has("172.25.5.4"));

        world.sh("mkdir parts");
        world.file("parts/a.yaml", "containers: {more: {networks: [front]}}\n");
        world.file("two/netform.yaml", &format!("include: [parts/*.yaml]\n{}", with("172.25.5.4")));
        patiently(&|| daemon.log(), || world.sh("ip netns").contains("more"));
        world.file("parts/b.yaml", "containers: {most: {networks: [front]}}\n");
        patiently(&|| daemon.log(), || world.sh("ip netns").contains("most"));
        daemon.brings_it_in_sync("all of it");
    }
}

live! {
    fn the_daemon_has_glibc_give_back_what_only_the_first_run_needs(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);

        let environment = world.sh(&format!("tr '\\0' '\\n' < /proc/{}/environ", daemon.pid()));

        assert!(environment.contains("MALLOC_ARENA_MAX=1\n"), "{environment}");
        let name = world.sh(&format!("tr '\\0' ' ' < /proc/{}/cmdline", daemon.pid()));
        assert!(name.contains("netform ") && name.contains(" watch netform.yaml"), "{name}");
    }
}

live! {
    fn a_daemon_that_is_killed_leaves_packets_flowing_and_the_next_goes_on(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        let before = kernel(world);
        world.sh("(ip netns exec web ping -n -q -i 0.05 -w 20 -c 100 10.7.0.2 >pings 2>&1; echo done >>pings) & true");

        daemon.signal("KILL");
        assert_eq!(daemon.ends(), -1);
        world.sh("ip link set br-front mtu 1400");
        let daemon = Daemon::start(world, &[]);

        daemon.brings_it_in_sync("a new start");
        assert_eq!(kernel(world), before);
        patiently(&|| world.sh("cat pings"), || world.sh("cat pings").contains("done"));
        assert!(world.sh("cat pings").contains(" 0% packet loss"), "{}", world.sh("cat pings"));
        assert_eq!(world.run(&["watch", "netform.yaml"]).exits(6).code, 6, "one daemon for each project");
    }
}

live! {
    fn what_somebody_else_keeps_changing_is_left_to_them_until_the_user_says_otherwise(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--contested-after", "3"]);
        let mtu = || world.sh("ip -o link show br-front | sed 's/.*mtu \\([0-9]*\\).*/\\1/'").trim().to_owned();

        for times in 1..=3 {
            world.sh("ip link set br-front mtu 1400");
            // What changes while a run verifies itself is part of that run.
            patiently(&|| daemon.log(), || daemon.log().matches("changed 1 resource").count() == times);
            assert_eq!(mtu(), "1500");
        }
        daemon.says("contested: link br-front: mtu");
        world.sh("ip link set br-front mtu 1300");
        world.sh("ip link set br-front down");
        patiently(&|| daemon.log(), || world.sh("ip -o link show br-front").contains(",UP"));
        assert_eq!(mtu(), "1300", "the field is left, others of the same link are not");
        let status = world.run(&["status"]).stdout;
        assert!(status.contains("contested, left alone: link br-front: mtu"), "{status}");
        assert_eq!(daemon.log().matches("contested:").count(), 1);

        world.run(&["reconcile"]).exits(0);
        assert_eq!(mtu(), "1500");
    }
}

live! {
    fn what_is_somebody_elses_stays_and_the_rest_is_brought_back_around_it(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);

        world.sh("ip -n web route replace default via 172.25.0.9 mtu 1400");
        daemon.says("objects of others are in the way");
        world.sh("ip link set br-front mtu 1400");
        daemon.says("mtu 1500 -> 1400; set back");
        assert!(world.sh("ip -n web route show default").contains("172.25.0.9"));
        let asked = world.run(&["reconcile"]).exits(1);
        assert!(asked.stderr.starts_with("error: objects of others are in the way"), "{}", asked.stderr);

        world.sh("ip -n web route del default");
        daemon.brings_it_in_sync("the end of a conflict");
        daemon.says("well again");
    }
}

live! {
    fn drift_is_only_told_when_that_is_what_the_user_wants(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--drift", "warn"]);

        world.sh("ip link set br-front mtu 1400; ip link del netform.shop.db.back");
        daemon.says("mtu 1500 -> 1400; left alone");
        daemon.says("is gone; left alone");
        world.file("netform.yaml", &SHOP.replace("172.25.3.3", "172.25.3.4"));
        daemon.says("generation 2 is in force");

        assert!(world.sh("ip -n web -o -4 addr").contains("172.25.3.4/16"), "edits are applied all the same");
        assert!(world.sh("ip -o link show br-front").contains("mtu 1400"));
        assert_ne!(world.try_sh("ip link show netform.shop.db.back").code, 0);
        assert_eq!(daemon.log().matches("mtu 1500 -> 1400").count(), 1, "told once: {}", daemon.log());
        assert!(world.run(&["status"]).stdout.contains("): differs"));
    }
}

live! {
    fn who_asks_after_a_failure_does_not_wait_until_it_is_tried_again(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        world.file("nft", "#!/bin/sh\necho 'Error: the disk is haunted' >&2; exit 1\n");
        world.sh("chmod +x nft; nft delete table inet netform-shop; mount --bind nft $(command -v nft)");
        daemon.says("failed, trying again in");
        // It is tried again after 1, 3 and 7 s, less a quarter, and then not before 11 s.
        std::thread::sleep(Duration::from_millis(7500));
        world.sh("umount $(command -v nft)");

        let asked = Instant::now();
        world.run(&["reconcile"]).exits(0);

        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}\n{}", asked.elapsed(), daemon.log());
        world.assert_in_sync();
    }
}

live! {
    fn the_daemon_is_asked_suspended_and_followed(world) {
        world.file("netform.yaml", SHOP);
        let none = world.run(&["reconcile"]).exits(69);
        assert!(none.stderr.contains("no `netform watch` runs"), "{}", none.stderr);
        assert!(world.run(&["status"]).stdout.contains("kept by nobody"));
        let daemon = Daemon::start(world, &["--metrics", "127.0.0.1:9469"]);
        let events = std::fs::File::create(world.dir().join("events")).unwrap();
        let mut follower = world.netform().args(["events"]).stdout(events).spawn().unwrap();

        world.run(&["suspend", "--for", "10m"]).exits(0);
        world.sh("ip link set br-front mtu 1400");
        world.file("netform.yaml", &SHOP.replace("172.25.3.3", "172.25.3.4"));
        world.run(&["reconcile"]).exits(1);
        let status = world.run(&["status"]).stdout;
        assert!(status.contains("): suspended") && status.contains("names: answered by the daemon"), "{status}");
        assert!(world.sh("ip -o link show br-front").contains("mtu 1400"));
        // What is suspended can be worked on from a shell.
        world.run(&["apply", "--yes"]).exits(0);
        world.sh("ip link set br-front mtu 1400");

        world.run(&["resume"]).exits(0);
        daemon.brings_it_in_sync("resume");
        world.run(&["reconcile"]).exits(0);
        world.run(&["suspend", "--for", "1s"]).exits(0);
        world.sh("ip link set br-front mtu 1400");
        daemon.brings_it_in_sync("the end of a suspension");

        let get = |path: &str| world.try_sh(&format!("python3 -c 'import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:9469{path}\").read().decode())'"));
        assert!(get("/metrics").stdout.contains("netform_in_sync{project=\"shop\"} 1"));
        assert_eq!((get("/livez").code, get("/readyz").code, get("/").code), (0, 0, 1));
        daemon.signal("HUP");
        daemon.signal("TERM");
        assert_eq!(daemon.ends(), 0);
        assert!(follower.wait().unwrap().success());
        let events = world.sh("cat events");
        for line in events.lines() {
            crate::schema::assert_follows("daemon", &serde_json::from_str(line).unwrap());
        }
        for event in ["suspended", "resumed", "drift", "applied", "stopped"] {
            assert!(events.contains(&format!("\"event\":\"{event}\"")), "{event}:\n{events}");
        }
    }
}

live! {
    fn what_waits_for_a_confirmation_is_not_touched_and_not_applied_again_when_it_was_undone(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        world.run(&["suspend", "--for", "10m"]).exits(0);
        world.file("netform.yaml", &SHOP.replace("172.25.3.3", "172.25.3.9"));
        world.run(&["apply", "--yes", "--confirm-timeout", "4s"]).exits(0);
        world.run(&["resume"]).exits(0);
        daemon.says("waits for its confirmation");

        patiently(&|| daemon.log(), || world.sh("ip -n web -o -4 addr").contains("172.25.3.3/16"));
        daemon.says("not confirmed in time");
        world.run(&["reconcile"]).exits(1);
        assert!(world.sh("ip -n web -o -4 addr").contains("172.25.3.3/16"));

        world.file("netform.yaml", &SHOP.replace("172.25.3.3", "172.25.3.10"));
        patiently(&|| daemon.log(), || world.sh("ip -n web -o -4 addr").contains("172.25.3.10/16"));
        daemon.brings_it_in_sync("an edit");
    }
}

live! {
    fn what_was_not_confirmed_while_nobody_watched_is_not_applied_either(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        world.run(&["suspend", "--for", "10m"]).exits(0);
        world.file("netform.yaml", &SHOP.replace("172.25.3.3", "172.25.3.9"));
        world.run(&["try", "--yes", "--confirm-timeout", "1s"]).exits(8);
        world.run(&["resume"]).exits(0);
        daemon.says("not confirmed in time");
        daemon.signal("TERM");
        assert_eq!(daemon.ends(), 0);

        let daemon = Daemon::start(world, &[]);
        daemon.says("not confirmed in time");
        assert!(world.sh("ip -n web -o -4 addr").contains("172.25.3.3/16"));
        world.file("netform.yaml", &SHOP.replace("172.25.3.3", "172.25.3.10"));
        patiently(&|| daemon.log(), || world.sh("ip -n web -o -4 addr").contains("172.25.3.10/16"));
        daemon.brings_it_in_sync("an edit");
    }
}

live! {
    fn a_container_of_somebody_else_is_attached_whenever_it_starts(world) {
        world.file("netform.yaml", &format!("{SHOP}  legacy: {{netns: legacy, networks: [front]}}\n"));
        let daemon = Daemon::start(world, &[]);
        for _ in 0..3 {
            world.sh("ip netns add legacy");
            patiently(&|| daemon.log(), || world.try_sh("ip -n legacy -o -4 addr show dev eth0").stdout.contains("172.25."));
            assert!(world.pings("web", "legacy"));
            world.sh("ip netns del legacy");
            patiently(&|| daemon.log(), || world.try_sh("ip link show netform.shop.legacy.front").code != 0);
        }
        daemon.brings_it_in_sync("restarts");
        assert_eq!(world.run(&["history", "--project", "shop"]).stdout.lines().count(), 2);
    }
}

live! {
    fn random_drift_is_all_brought_back(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--contested-after", "0"]);
        let before = kernel(world);
        let ways = [
            "ip link set br-front mtu 1400",
            "ip link set br-back down",
            "ip addr flush dev br-back",
            "ip link del br-front",
            "ip link del netform.shop.web.front",
            "ip link set netform.shop.web.back nomaster",
            "ip -n web route flush default",
            "ip -n web addr add 172.25.77.77/16 dev eth0 proto 110",
            "ip -n web addr flush dev eth0",
            "ip -n db link set eth0 mtu 1280",
            "ip netns del db",
            "nft flush ruleset",
            "nft add rule inet netform-shop forward accept",
            "rm -f /etc/netns/db/hosts",
            "sysctl -q -w net.ipv4.ip_forward=0",
        ];
        let mut seed = 7_u32;
        let mut next = || { seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); seed >> 8 };
        let drifts = times("NETFORM_TEST_DRIFTS", 300);
        // Some of what they name may be gone just now.
        let done: u32 = (0..drifts)
            .map(|_| {
                let done = world.try_sh(ways[next() as usize % ways.len()]).code == 0;
                std::thread::sleep(std::time::Duration::from_millis(u64::from(next() % 150)));
                u32::from(done)
            })
            .sum();
        patiently(
            &|| format!("as before after {done} events:\n{:?}\nbefore:\n{before}\n{}", kernel_if_whole(world), daemon.log()),
            || kernel_if_whole(world).as_ref() == Some(&before),
        );
        daemon.brings_it_in_sync("random drift");
        assert!(world.pings("web", "database"));
        eprintln!("{drifts} events, of which {done} found what they name; {} repairs", daemon.log().matches("changed ").count());
    }
}
