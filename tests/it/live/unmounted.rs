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
