//! Names of namespaces that somebody unmounts, or mounts another namespace on: the daemon hears of it though no file changes.

use std::time::Duration;

use super::daemon::{Daemon, patiently};
use super::world::live;

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.3.0/24]}
containers:
  web: {networks: {front: {address: 172.25.3.3}}}
  db: {networks: {front: {address: 172.25.3.4}}}
";

/// Waits until nothing else has the daemon look: a name that came or went does after a second, and so does the kernel when
/// addresses of IPv6 have proved to be nobody else's.
fn silence() {
    std::thread::sleep(Duration::from_secs(4));
}

live! {
    fn the_daemon_makes_a_namespace_anew_as_soon_as_its_name_is_unmounted(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        for how in ["umount -l /run/netns/web", "ip netns del web", "umount -l /run/netns/web"] {
            silence();
            world.sh(how);
            patiently(&|| format!("web after `{how}`:\n{}", daemon.log()), || world.pings("web", "172.25.3.4"));
            daemon.brings_it_in_sync(how);
        }
    }
}

live! {
    fn a_namespace_that_somebody_mounts_over_ours_is_told_left_alone_and_waited_out(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        world.sh("ip netns add guest; ip -n guest link add own type bridge");
        let before = world.sh("ip -n guest -d link");

        silence();
        world.sh("mount --bind /run/netns/guest /run/netns/web");
        daemon.says("namespace web");
        assert!(daemon.log().contains("in the way"), "{}", daemon.log());
        assert_eq!(world.sh("ip -n guest -d link"), before);
        assert_eq!(world.sh("ip -n web -d link"), before);

        silence();
        world.sh("umount /run/netns/web");
        daemon.says("well again");
        daemon.brings_it_in_sync("umount /run/netns/web");
        assert!(world.pings("web", "172.25.3.4"), "{}", daemon.log());
    }
}

live! {
    fn the_resolver_leaves_alone_what_somebody_mounts_over_a_namespace_of_ours(world) {
        world.file("netform.yaml", SHOP);
        // The other has the same address, and its `lo` is up: all that a resolver needs.
        world.sh("ip netns add guest; ip -n guest link set lo up");
        let inside = "ip netns exec guest nft list ruleset; ip netns exec guest ss -Hlnut";
        for is_there_first in [false, true] {
            if is_there_first {
                world.sh("mount --bind /run/netns/guest /run/netns/web");
            }
            let daemon = Daemon::start(world, &[]);
            if !is_there_first {
                silence();
                world.sh("mount --bind /run/netns/guest /run/netns/web");
            }
            daemon.says("names are not answered in namespace web: it does not bear the mark of this project");
            silence();
            assert_eq!(world.sh(inside), "", "{}", daemon.log());

            world.sh("umount /run/netns/web");
            let answered = || world.try_sh("ip netns exec web nft list table ip netform-dns; ip netns exec web ss -Hlnu | grep 127.0.0.11");
            patiently(&|| daemon.log(), || answered().code == 0);
            daemon.brings_it_in_sync("umount /run/netns/web");
        }
    }
}
