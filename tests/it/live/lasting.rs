//! What outlives a daemon, and what it leaves to others.

use super::daemon::{Daemon, patiently};
use super::world::live;

const SHOP: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/16]}}
containers:
  web: {networks: [front]}
  db: {networks: {front: {aliases: [store]}}}
";

live! {
    fn a_suspension_outlives_the_daemon_and_names_are_answered_meanwhile(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        let refused = world.run(&["suspend", "--for", "25h"]).exits(64);
        assert!(refused.stderr.contains("24h at most"), "{}", refused.stderr);
        world.run(&["suspend", "--for", "1h"]).exits(0);
        daemon.signal("KILL");
        daemon.ends();
        world.sh("ip -n web addr flush dev eth0 scope global; ip -n web addr add 172.25.0.77/16 dev eth0");

        let daemon = Daemon::start(world, &[]);

        daemon.says("suspended for");
        patiently(&|| daemon.log(), || world.try_sh("ip netns exec db getent hosts store").code == 0);
        assert!(world.run(&["status"]).exits(0).stdout.contains("suspended"));
        assert!(!world.sh("ip -n web addr show dev eth0").contains("172.25.0.2/"), "{}", daemon.log());
        world.run(&["resume"]).exits(0);
        daemon.brings_it_in_sync("resume");
        drop(daemon);
        let daemon = Daemon::start(world, &[]);
        assert!(!daemon.log().contains("suspended"), "{}", daemon.log());
    }
}

live! {
    fn a_directory_may_go_and_come_again_with_all_that_is_in_it(world) {
        let there = |name: &str| world.sh("ip netns").lines().any(|line| line.split(' ').next() == Some(name));
        let more = |name: &str| format!("containers: {{{name}: {{networks: [front]}}}}\n");
        world.sh("mkdir netform.yaml");
        world.file("netform.yaml/a.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);

        world.file("netform.yaml/b.yaml", &more("one"));
        patiently(&|| daemon.log(), || there("one"));

        world.sh("rm -r netform.yaml");
        daemon.says("No such file");
        assert!(there("one") && world.pings("web", "172.25.0.1"), "the last good one is kept up");
        world.sh("mkdir netform.yaml");
        world.file("netform.yaml/a.yaml", SHOP);
        world.file("netform.yaml/c.yaml", &more("two"));
        patiently(&|| daemon.log(), || there("two") && !there("one"));

        world.sh("mkdir next");
        world.file("next/a.yaml", SHOP);
        world.file("next/d.yaml", &more("three"));
        world.sh("mv netform.yaml last; mv next netform.yaml");
        patiently(&|| daemon.log(), || there("three") && !there("two"));
        world.file("netform.yaml/d.yaml", &more("four"));
        patiently(&|| daemon.log(), || there("four") && !there("three"));
        daemon.brings_it_in_sync("all of it");
    }
}

live! {
    fn nobody_suspends_it_for_longer_than_a_day_and_what_makes_no_sense_is_refused(world) {
        world.file("netform.yaml", SHOP);
        let _daemon = Daemon::start(world, &[]);
        let asked = |line: &str| {
            let mut stream = std::os::unix::net::UnixStream::connect(world.dir().join("run/shop/watch.sock")).unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
            std::io::Write::write_all(&mut stream, format!("{line}\n").as_bytes()).unwrap();
            std::io::read_to_string(stream).unwrap()
        };

        for seconds in ["86401", "18446744073709551615", "0", "-1", "\"long\""] {
            let answer = asked(&format!("{{\"verb\":\"suspend\",\"seconds\":{seconds}}}"));
            assert!(answer.contains("refused"), "{seconds}: {answer}");
        }
        for line in ["", "nonsense", "{\"verb\":\"stop\"}", &"x".repeat(3000)] {
            let answer = asked(line);
            assert!(answer.contains("refused"), "{answer}");
        }
        assert!(!world.run(&["status"]).exits(0).stdout.contains("suspended"));

        asked("{\"verb\":\"suspend\",\"seconds\":86400}");
        assert!(world.run(&["status"]).exits(0).stdout.contains("suspended"));
    }
}

live! {
    fn a_resolv_conf_of_somebody_else_is_left_alone_and_told_once(world) {
        world.sh("mkdir -p /etc/netns/db; echo nameserver 192.0.2.53 > /etc/netns/db/resolv.conf");
        world.file("netform.yaml", SHOP);

        let daemon = Daemon::start(world, &[]);

        let theirs = || world.sh("cat /etc/netns/db/resolv.conf");
        assert_eq!(theirs(), "nameserver 192.0.2.53\n");
        assert!(world.sh("ip netns exec web getent hosts store").contains("172.25.0."));
        world.file("netform.yaml", &SHOP.replace("store", "shelf"));
        daemon.says("generation 2 is in force");
        world.sh("ip link set br-front down");
        daemon.brings_it_in_sync("a bridge that was taken down");
        assert_eq!(daemon.log().matches("/etc/netns/db/resolv.conf is somebody else's").count(), 1, "{}", daemon.log());
        assert_eq!(theirs(), "nameserver 192.0.2.53\n");
        let beside = world.run(&["plan"]).exits(0);
        assert!(format!("{}{}", beside.stdout, beside.stderr).contains("is somebody else's"), "{}", beside.stdout);

        world.sh("rm /etc/netns/db/resolv.conf");
        patiently(&|| daemon.log(), || world.try_sh("grep 127.0.0.11 /etc/netns/db/resolv.conf").code == 0);
    }
}

live! {
    fn a_daemon_that_is_killed_is_missed_by_nobody_and_comes_back_to_the_same(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        let state = || world.sh("ip -o addr show dev br-front; ip -n web -o addr; ip -n db route; nft -s list ruleset");
        let before = state();
        let pings = world.beside("ip netns exec web ping -n -i 0.02 -c 200 -W 5 172.25.0.3");

        daemon.signal("KILL");
        daemon.ends();
        world.sh("sleep 0.5");
        let daemon = Daemon::start(world, &[]);

        daemon.brings_it_in_sync("a restart");
        assert_eq!(state(), before);
        patiently(&|| daemon.log(), || world.try_sh("ip netns exec web getent hosts store").code == 0);
        let pings = String::from_utf8(pings.wait_with_output().unwrap().stdout).unwrap();
        assert!(pings.contains(" 0% packet loss"), "{pings}");
        assert!(!daemon.log().contains("changed"), "{}", daemon.log());
    }
}

live! {
    fn systemd_is_told_when_the_first_run_is_over(world) {
        world.file("netform.yaml", SHOP);
        let path = world.dir().join("notify");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();

        let mut command = world.netform();
        command.args(["watch", "netform.yaml"]).env("NOTIFY_SOCKET", &path);
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();

        let mut heard = String::new();
        let mut told = |what: &str| {
            while !heard.contains(what) {
                let mut buffer = [0; 1024];
                let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{what}: {error} after {heard}"));
                heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
                heard.push('\n');
            }
        };
        told("READY=1");
        assert!(world.sh("ip -n web addr show dev eth0").contains("172.25.0."), "it is ready when all is there");
        told("STATUS=generation 1, in sync");
        world.sh(&format!("kill -TERM {}", child.id()));
        told("STOPPING=1");
        child.wait().unwrap();
    }
}
