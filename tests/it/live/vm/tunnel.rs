//! SSH sessions through tunnels that stand on no link in particular.

use super::super::world::{Done, live};
use super::{Feature, has};

live! {
    fn who_comes_through_a_tunnel_on_no_link_may_change_all_but_that_tunnel(world) {
        if !has(world, Feature::Xfrm) {
            return;
        }
        world.sh("ip link add xf9 type xfrm if_id 9; ip link set xf9 up; ip addr add 198.51.100.1/24 dev xf9");
        assert!(world.sh("ip -o link show xf9").contains("xf9@NONE"));
        world.file("netform.yaml", "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front]}}\n");
        let by_ssh = |args: &[&str]| {
            let session = "198.51.100.7 50022 198.51.100.1 22";
            Done::of(world.netform().args(args).env("SSH_CONNECTION", session).output().unwrap())
        };

        by_ssh(&["apply", "--yes"]).exits(0);
        by_ssh(&["destroy", "--yes"]).exits(0);
    }
}
