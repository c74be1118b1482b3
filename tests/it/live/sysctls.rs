//! Kernel parameters of containers' interfaces.

use super::daemon::{Daemon, patiently};
use super::world::{World, live};

const NETWORKS: &str = "netform: 1\nproject: shop\nnetworks:\n  front: {subnets: [10.7.0.0/24, 'fd00:7::/64']}\n  back: {subnets: [10.8.0.0/24]}\n";
const THREE: &str = "net.ipv4.conf.IFNAME.log_martians: 1, net.ipv6.conf.IFNAME.hop_limit: 33, net.ipv4.conf.IFNAME.arp_ignore: 2";
const AS_ASKED: &str = "1 33 2";
const AS_NEW: &str = "0 64 0";

fn shop(sysctls: &str) -> String {
    format!("{NETWORKS}containers: {{web: {{networks: {{back: , front: {{sysctls: {{{sysctls}}}}}}}}}}}\n")
}

fn values(world: &World, link: &str) -> String {
    let script = format!(
        "ip netns exec web sysctl -n net.ipv4.conf.{link}.log_martians net.ipv6.conf.{link}.hop_limit net.ipv4.conf.{link}.arp_ignore"
    );
    world.sh(&script).split_whitespace().collect::<Vec<_>>().join(" ")
}

live! {
    fn an_interface_has_the_parameters_that_its_network_asks_for_and_loses_them_again(world) {
        world.apply(&shop(THREE));

        world.assert_in_sync();
        assert_eq!(values(world, "eth1"), AS_ASKED);
        assert_eq!(values(world, "eth0"), AS_NEW, "the other one is as it was");
        let column = shop(THREE).lines().nth(5).unwrap().find("front:").unwrap() + 1;
        let told = world.run(&["explain", "10.7.0.2"]).exits(0).stdout;
        assert!(told.contains(&format!("netform.yaml:6:{column} asks for it")), "its own place, not a parameter's: {told}");

        world.sh("ip netns exec web sysctl -qw net.ipv4.conf.eth1.log_martians=0");
        let (plan, changes) = world.plan();
        assert!(changes && plan.contains("sysctl net/ipv4/conf/eth1/log_martians"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(values(world, "eth1"), AS_ASKED);

        world.apply(&shop(""));
        assert_eq!(values(world, "eth1"), AS_NEW, "what nobody asks for is as in a new one");
        world.assert_in_sync();
        world.sh("ip netns exec web sysctl -qw net.ipv4.conf.eth1.log_martians=1");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(values(world, "eth1"), "1 64 0", "and somebody else's from then on");
        world.sh("ip netns exec web sysctl -qw net.ipv4.conf.eth1.log_martians=0");

        world.apply(&shop(THREE));
        assert_eq!(values(world, "eth1"), AS_ASKED);
        world.run(&["rollback", "--yes"]).exits(0);
        assert_eq!(values(world, "eth1"), AS_NEW);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip netns list"), "");
    }
}

live! {
    fn a_parameter_that_is_not_there_is_told_before_anything_is_done(world) {
        world.file("netform.yaml", &shop("net.ipv4.conf.IFNAME.log_martianz: 1"));
        for verb in [&["plan"][..], &["apply", "--yes"]] {
            let refused = world.run(verb).exits(69);
            assert!(refused.stderr.contains("attachment.web@front: the kernel has no parameter net/ipv4/conf/eth1/log_martianz"), "{}", refused.stderr);
        }
        assert_eq!(world.sh("ip netns list"), "");

        world.apply(&shop(""));
        world.file("netform.yaml", &shop("net.ipv4.conf.IFNAME.log_martians: many"));
        let refused = world.run(&["apply", "--yes"]);
        assert_ne!(refused.code, 0);
        assert!(refused.stderr.contains("net/ipv4/conf/eth1/log_martians") && refused.stderr.contains("Invalid argument"), "{}", refused.stderr);
        assert_eq!(values(world, "eth1"), AS_NEW);
    }
}

live! {
    fn a_process_has_its_parameters_put_back(world) {
        let mut lab = world.beside("unshare --net sleep 60");
        let pid = lab.id();
        patiently(&|| "unshared".to_owned(), || {
            world.try_sh(&format!("test \"$(readlink /proc/{pid}/ns/net)\" != \"$(readlink /proc/self/ns/net)\"")).code == 0
        });
        let manifest = |sysctls: &str| {
            format!("{NETWORKS}containers: {{web: {{pid: {pid}, networks: {{front: {{interface: net7, sysctls: {{{sysctls}}}}}}}}}}}\n")
        };
        let value = || world.sh(&format!("nsenter -t {pid} -n sysctl -n net.ipv4.conf.net7.log_martians"));
        world.apply(&manifest(""));
        world.apply(&manifest("net.ipv4.conf.IFNAME.log_martians: 1"));
        world.assert_in_sync();
        assert_eq!(value(), "1\n");

        world.apply(&manifest(""));

        assert_eq!(value(), "0\n");
        world.run(&["destroy", "--yes"]).exits(0);
        lab.kill().unwrap();
        lab.wait().unwrap();
    }
}

live! {
    fn the_daemon_gives_a_new_interface_its_parameters(world) {
        world.file("netform.yaml", &shop(THREE));
        let daemon = Daemon::start(world, &[]);
        assert_eq!(values(world, "eth1"), AS_ASKED);
        world.sh("ip -n web link del eth1");
        daemon.brings_it_in_sync("the link is gone");
        assert_eq!(values(world, "eth1"), AS_ASKED);
        world.file("netform.yaml", &shop(""));
        daemon.brings_it_in_sync("the parameters are gone from the manifest");
        patiently(&|| "as new".to_owned(), || values(world, "eth1") == AS_NEW);
    }
}

live! {
    fn a_container_has_parameters_of_its_own_and_gives_back_what_was_there_before(world) {
        let manifest = |sysctls: &str| format!(
            "netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/24]}}}}\ncontainers:
  web: {{networks: [front]{sysctls}}}\n  theirs: {{netns: theirs, networks: [front]{sysctls}}}\n"
        );
        let asked = ", sysctls: {net.ipv4.ip_unprivileged_port_start: 0, net.ipv4.ip_local_port_range: 2000   3000}";
        let value = |ns: &str, key: &str| world.sh(&format!("ip netns exec {ns} sysctl -n {key}")).trim().replace('\t', " ");
        let both = |ns: &str| [value(ns, "net.ipv4.ip_unprivileged_port_start"), value(ns, "net.ipv4.ip_local_port_range")];
        world.sh("ip netns add theirs; ip netns exec theirs sysctl -qw net.ipv4.ip_unprivileged_port_start=700");
        let before = both("theirs");
        let fresh = world.sh("unshare -n sysctl -n net.ipv4.ip_unprivileged_port_start");

        world.apply(&manifest(asked));

        world.assert_in_sync();
        assert_eq!(both("web"), ["0", "2000 3000"]);
        assert_eq!(both("theirs"), ["0", "2000 3000"]);
        world.sh("ip netns exec theirs sysctl -qw net.ipv4.ip_unprivileged_port_start=80; ip netns exec web sysctl -qw net.ipv4.ip_unprivileged_port_start=81");
        let (plan, drifted) = world.plan();
        assert!(drifted && plan.contains("80 -> 0") && plan.contains("81 -> 0"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(both("theirs")[0], "0");

        world.apply(&manifest(""));
        world.assert_in_sync();
        assert_eq!((both("theirs"), both("web")[0].as_str()), (before.clone(), fresh.trim()));
        let (plan, _) = world.plan();
        assert!(!plan.contains("sysctl"), "{plan}");
        world.apply(&manifest(asked));
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(both("theirs"), before, "destroyed, and yet as it was");

        let refused = |key: &str, code: i32, why: &str| {
            world.file("netform.yaml", &manifest(&format!(", sysctls: {{{key}: 1}}")));
            let told = world.run(&["apply", "--yes"]).exits(code).stderr;
            assert!(told.contains(why), "{key}: {told}");
            assert_eq!(both("theirs"), before);
        };
        refused("net.core.no_such_thing", 69, "the kernel has no parameter net/core/no_such_thing");
        refused("net.core.netdev_budget", 69, "the kernel has no parameter net/core/netdev_budget");
        refused("kernel.pid_max", 65, "is not a kernel parameter of a whole container");
    }
}
