//! Files of ours that somebody has written over.

use super::daemon::{Daemon, patiently};
use super::failure::{haunted, killed};
use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/16]}}
containers: {web: {networks: [front]}, db: {networks: [front]}}
";

const HOSTS: &str = "/etc/netns/web/hosts";

/// What somebody does to the file.
const DEEDS: [&str; 5] = [
    "echo junk > /etc/netns/web/hosts",
    ": > /etc/netns/web/hosts",
    "sed -i 1d /etc/netns/web/hosts",
    "head -c 100000 /dev/urandom > /etc/netns/web/hosts",
    "echo '127.0.0.1 localhost' > /tmp/h; mv /tmp/h /etc/netns/web/hosts",
];

fn hosts(world: &World) -> String {
    world.sh(&format!("sha256sum {HOSTS}"))
}

live! {
    fn a_hosts_file_of_ours_is_written_anew_whatever_is_in_it(world) {
        world.apply(SHOP);
        let before = hosts(world);
        for deed in DEEDS {
            world.sh(deed);
            let scribbled = hosts(world);

            let (plan, changes) = world.plan();
            assert!(changes && plan.contains("[drift]") && plan.contains("file /etc/netns/web/hosts"), "`{deed}`:\n{plan}");

            world.file("netform.yaml", &SHOP.replace("web: {", "web: {publish: ['8080:80'], "));
            haunted(world, 1, &["apply", "--yes"]).exits(4);
            // Of what is no text an undo has as much as can be read of it.
            assert!(hosts(world) == scribbled || deed.contains("random"), "undone: {deed}");
            killed(world, 1, &["apply", "--yes"]);
            world.file("netform.yaml", SHOP);
            world.run(&["apply", "--yes"]).exits(0);
            assert_eq!(hosts(world), before, "{deed}");
            world.assert_in_sync();
        }
        world.sh(DEEDS[0]);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ls /etc/netns 2>/dev/null || true"), "");
    }
}

live! {
    fn the_daemon_writes_a_hosts_file_of_ours_anew(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h", "--contested-after", "0"]);
        let before = hosts(world);
        for deed in DEEDS {
            world.sh(deed);
            patiently(&|| format!("`{deed}`: {}", daemon.log()), || hosts(world) == before);
        }
        daemon.says("drift: container.web: file /etc/netns/web/hosts");
    }
}

live! {
    fn a_file_that_was_there_before_or_is_none_stays_in_the_way(world) {
        world.sh("mkdir -p /etc/netns/web && echo '10.0.0.1 theirs' > /etc/netns/web/hosts");
        world.file("netform.yaml", SHOP);
        let refused = world.run(&["apply", "--yes"]).exits(9).stderr;
        assert!(refused.contains("file /etc/netns/web/hosts is in the way"), "{refused}");
        world.sh("rm /etc/netns/web/hosts");
        world.apply(SHOP);

        world.sh("rm /etc/netns/web/hosts && ln -s /etc/hosts /etc/netns/web/hosts");
        let before = world.sh("cat /etc/hosts");
        world.run(&["apply", "--yes"]).exits(9);
        assert_eq!(world.sh("cat /etc/hosts"), before);

        // Whose namespace is another's by now, has his file.
        world.sh("rm /etc/netns/web/hosts; ip netns del web; ip netns add web; echo theirs > /etc/netns/web/hosts");
        world.run(&["apply", "--yes"]).exits(9);
        assert_eq!(world.sh("cat /etc/netns/web/hosts"), "theirs\n");
    }
}

live! {
    fn resolvers_that_somebody_names_himself_are_left_to_him(world) {
        const RESOLV: &str = "/etc/netns/web/resolv.conf";
        world.file("netform.yaml", SHOP);
        let written = || world.sh(&format!("cat {RESOLV} 2>/dev/null || true"));
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        patiently(&|| daemon.log(), || written().contains("127.0.0.11"));
        drop(daemon);
        world.sh(&format!("echo 'nameserver 10.0.0.2' > {RESOLV}"));

        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(written(), "nameserver 10.0.0.2\n");
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        daemon.says("is left alone");
        assert_eq!(written(), "nameserver 10.0.0.2\n");
    }
}

live! {
    fn what_is_in_a_container_may_be_read_there_and_written_by_nobody_else_whatever_the_mask_is(world) {
        let modes = || world.sh("stat -c '%n %a' /etc/netns /etc/netns/* /etc/netns/*/*");
        for mask in ["077", "000", "022"] {
            world.file("netform.yaml", SHOP);
            let apply = format!("{} --state-dir state --run-dir run apply --yes", env!("CARGO_BIN_EXE_netform"));
            world.sh(&format!("umask {mask}; {apply}"));
            assert_eq!(
                modes(),
                "/etc/netns 755\n/etc/netns/db 755\n/etc/netns/web 755\n/etc/netns/db/hosts 644\n/etc/netns/web/hosts 644\n",
                "{mask}"
            );
            assert_eq!(world.sh("find state run -perm /022 ! -type s ! -type l"), "", "{mask}: nobody else writes to these");
            assert_eq!(world.sh("find state -name '*.json' -perm /077"), "", "{mask}");
            world.run(&["destroy", "--yes"]).exits(0);
            assert_eq!(world.sh("ls /etc/netns 2>/dev/null || true"), "");
            world.sh("rm -rf state run");
        }
    }
}
