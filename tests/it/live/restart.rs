//! A daemon that is started anew while the manifest cannot be put in force: what is in force is kept up all the same.

use super::daemon::{Daemon, patiently};
use super::world::{World, live};

const D: &str = "\
netform: 1
project: d
networks:
  dn: {subnets: [10.61.0.0/24], interface: br-dn}
containers:
  fa: {networks: {dn: {aliases: [front]}}}
  fb: {networks: [dn]}
";

const OTHER: &str = "\
netform: 1
project: other
networks:
  on: {subnets: [10.62.0.0/24]}
containers:
  oa: {networks: [on], publish: ['8080:80']}
";

/// Asserts that drift is set back, the firewall included, and that names are answered.
#[track_caller]
fn keeps_all_up(world: &World, daemon: &Daemon<'_>) {
    world.sh("nft delete table inet netform-d; ip link set br-dn mtu 1300");
    patiently(&|| daemon.log(), || {
        world.try_sh("nft list table inet netform-d && ip -o link show br-dn | grep -q 'mtu 1500'").code == 0
    });
    patiently(&|| daemon.log(), || {
        let hosts = "ip netns exec fb python3 -c 'import socket,struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)
q = struct.pack(\">HHHHHH\", 7, 256, 1, 0, 0, 0) + b\"\\x05front\\x00\" + struct.pack(\">HH\", 1, 1)
s.sendto(q, (\"127.0.0.11\", 53)); print(\".\".join(map(str, s.recv(512)[-4:])))'";
        world.try_sh(hosts).stdout.trim() == super::world::address_of(world, "fa", "eth0").to_string()
    });
}

live! {
    fn a_daemon_that_is_started_anew_keeps_up_what_is_in_force_while_the_manifest_is_blocked(world) {
        world.file("other.yaml", OTHER);
        world.run(&["apply", "--yes", "other.yaml"]).exits(0);
        world.file("netform.yaml", D);
        let daemon = Daemon::start(world, &[]);
        daemon.signal("KILL");
        assert_eq!(daemon.ends(), -1);
        world.file("netform.yaml", &D.replace("aliases: [front]}}", "aliases: [front]}}, publish: ['8080:80']"));
        world.sh("ip link set br-dn mtu 1400");

        let daemon = Daemon::start(world, &[]);

        daemon.says("objects of others are in the way");
        daemon.says("watching; generation 1 is in force");
        assert!(world.sh("ip -o link show br-dn").contains("mtu 1500"), "{}", daemon.log());
        keeps_all_up(world, &daemon);
        let status = world.run(&["status"]).stdout;
        assert!(status.contains("objects of others are in the way"), "{status}");

        world.run(&["destroy", "--yes", "other.yaml"]).exits(0);
        daemon.says("generation 2 is in force");
        daemon.brings_it_in_sync("the port is free");
    }
}

live! {
    fn a_daemon_that_is_started_anew_keeps_up_what_is_in_force_while_the_manifest_is_wrong(world) {
        world.file("netform.yaml", D);
        let daemon = Daemon::start(world, &[]);
        for (wrong, why) in [
            ("netform: 1\nproject: d\nnetworks: [\n", "netform.yaml:3"),
            ("netform: 1\nproject: d\nnetwork: {}\n", "did you mean"),
            (&D.replace("networks: [dn]}", "networks: [nowhere]}"), "nowhere"),
        ] {
            daemon.signal("TERM");
            world.file("netform.yaml", wrong);
            let daemon = Daemon::start(world, &[]);
            daemon.says("the manifest is not in force as it stands");
            daemon.says(why);
            daemon.says("watching; generation 1 is in force");
            keeps_all_up(world, &daemon);
            world.file("netform.yaml", D);
            daemon.says("well again");
            daemon.brings_it_in_sync("a good edit");
            world.file("netform.yaml", wrong);
        }
    }
}

live! {
    fn a_manifest_that_is_gone_or_empty_is_known_by_where_it_was(world) {
        let path = world.file("netform.yaml", D).display().to_string();
        drop(Daemon::of(world, &path, &[]));
        for lose_it in ["rm netform.yaml", ": > netform.yaml"] {
            world.sh(lose_it);
            let daemon = Daemon::of(world, &path, &[]);
            daemon.says("watching; generation 1 is in force");
            keeps_all_up(world, &daemon);
        }
    }
}

live! {
    fn what_is_in_force_may_have_come_from_several_files(world) {
        world.sh("mkdir parts");
        let (network, containers) = D.split_once("containers:\n").unwrap();
        world.file("parts/a.yaml", network);
        // A line that looks as if a file began here.
        world.file("parts/b.yaml", &format!("containers:\n# see parts/old.yaml\n{containers}"));
        drop(Daemon::of(world, "parts", &[]));
        world.file("parts/b.yaml", &format!("container:\n{containers}"));

        let daemon = Daemon::of(world, "parts", &[]);

        daemon.says("did you mean");
        keeps_all_up(world, &daemon);
        world.file("parts/b.yaml", &format!("containers:\n{containers}  fc: {{networks: [dn]}}\n"));
        daemon.says("generation 2 is in force");
        assert!(world.pings("fc", "10.61.0.1"));
    }
}

live! {
    fn a_wrong_manifest_ends_the_daemon_where_nothing_was_ever_applied(world) {
        world.file("netform.yaml", "netform: 1\nproject: d\nnetwork: {}\n");
        let done = world.run(&["watch", "netform.yaml"]).exits(65);
        assert!(done.stderr.contains("did you mean"), "{}", done.stderr);
        world.sh("rm netform.yaml");
        world.run(&["watch", "netform.yaml"]).exits(66);
        world.run(&["watch", &world.dir().join("netform.yaml").display().to_string()]).exits(66);
    }
}

live! {
    fn what_was_destroyed_is_not_kept_up(world) {
        world.apply(D);
        world.run(&["destroy", "--yes"]).exits(0);
        world.file("netform.yaml", "netform: 1\nproject: d\nnetwork: {}\n");
        world.run(&["watch", "netform.yaml"]).exits(65);
        assert_ne!(world.try_sh("ip link show br-dn").code, 0);
    }
}

live! {
    fn a_manifest_that_names_two_projects_has_none_kept_up_though_one_came_from_there(world) {
        world.sh("mkdir parts");
        let parts = world.dir().join("parts").display().to_string();
        world.file("parts/a.yaml", D);
        drop(Daemon::of(world, &parts, &[]));
        world.file("parts/b.yaml", "netform: 1\nproject: other\n");

        let done = world.run(&["watch", &parts]).exits(65);

        assert!(done.stderr.contains("project"), "{}", done.stderr);
        world.file("parts/a.yaml", "netform: 1\nproject: new\nnetwork: {}\n");
        world.sh("rm parts/b.yaml");
        world.run(&["watch", &parts]).exits(65);
    }
}

live! {
    fn nothing_earlier_is_brought_back_when_the_newest_generation_is_damaged_too(world) {
        let more = D.replace("fb: {networks: [dn]}", "fb: {networks: [dn]}\n  fc: {networks: [dn]}");
        let path = world.file("netform.yaml", D).display().to_string();
        for manifest in [D, &more] {
            world.file("netform.yaml", manifest);
            world.run(&["apply", "--yes", &path]).exits(0);
        }
        for wrong in ["netform: 1\nproject: d\nnetwork: {}\n", ""] {
            world.file("netform.yaml", wrong);
            world.sh("echo '{' > state/d/generations/2.json");
            world.run(&["watch", &path]).exits(65);
            assert!(world.pings("fc", "10.61.0.1"), "what came last stays");
        }
        // What was destroyed is not, though the generation that says so cannot be read.
        world.file("netform.yaml", D);
        world.run(&["destroy", "--yes"]).exits(0);
        world.sh("for file in state/d/generations/*; do if [ $file != state/d/generations/1.json ]; then echo '{' > $file; fi; done");
        world.file("netform.yaml", "netform: 1\nproject: d\nnetwork: {}\n");
        world.run(&["watch", "netform.yaml"]).exits(65);
    }
}
