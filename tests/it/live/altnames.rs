//! Further names of links: none else can be called so.

use super::daemon::Daemon;
use super::snapshot::{assert_same, everything};
use super::world::live;

const SHOP: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}, more: {subnets: [10.6.0.0/24]}}\ncontainers: {web: {networks: [front]}, db: {networks: [more]}}\n";
const BLOG: &str = "netform: 1\nproject: blog\nnetworks: {blog: {subnets: [10.99.0.0/24]}}\ncontainers: {www: {networks: [blog]}}\n";

live! {
    fn a_further_name_of_a_link_takes_that_name_from_all_others(world) {
        world.apply(SHOP);
        world.sh("ip link property add dev br-front altname br-blog; ip link property add dev br-front altname what-nobody-can-be-called-by
            ip -n web link property add dev eth0 altname eth1
            ip link add nic type veth peer name nic2; ip link property add dev nic altname br-back");
        world.assert_in_sync();
        let back = SHOP.replace("networks: {front:", "networks: {back: {subnets: [10.7.0.0/24]}, front:");

        for (manifest, wish, whose, off) in [
            (BLOG.to_owned(), "network.blog needs link br-blog", "br-blog of bridge br-front of project shop", "ip link property del dev br-blog altname br-blog"),
            (back, "network.back needs link br-back", "br-back of veth nic", "ip link property del dev br-back altname br-back"),
            (SHOP.replace("[front]", "[front, more]"), "attachment.web@more needs link", "eth1 of veth eth0", "ip -n web link property del dev eth1 altname eth1"),
        ] {
            let before = everything(world);
            world.file("netform.yaml", &manifest);
            for args in [&["plan"][..], &["apply", "--yes"]] {
                let told = world.run(args).exits(9).stderr;
                for part in [wish, &format!("further name {whose} is in the way"), &format!("`{off}`")] {
                    assert!(told.contains(part), "{part}: {told}");
                }
            }
            assert_same(&everything(world), &before, wish);

            world.sh(off);
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
        }
        world.run(&["destroy", "--yes"]).exits(0);
        world.file("netform.yaml", BLOG);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -br link show type bridge; ip netns"), "");
    }
}

live! {
    fn the_daemon_goes_on_once_a_name_is_free(world) {
        world.file("netform.yaml", BLOG);
        world.sh("ip link add nic type veth peer name nic2");
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        world.sh("ip link property add dev nic altname br-back");
        world.file("netform.yaml", &BLOG.replace("networks: {blog:", "networks: {back: {subnets: [10.7.0.0/24]}, blog:"));
        daemon.says("further name br-back of veth nic is in the way");

        world.sh("ip link property del dev nic altname br-back");

        daemon.says("generation 2 is in force");
        world.assert_in_sync();
    }
}
