//! Networks behind a VLAN of a link of the host.

use super::super::world::{World, live};
use super::{Feature, has, wired};

/// Lets the host's neighbour hear two VLANs.
fn tagged(world: &World) {
    wired(world);
    for id in ["10", "20"] {
        world.sh(&format!(
            "ip -n peer link add link p0 name v{id} type vlan id {id}; ip -n peer link set v{id} up
             ip -n peer addr add 10.{id}.0.1/24 dev v{id}; ip -n peer addr add fd00:{id}::1/64 dev v{id} nodad"
        ));
    }
}

live! {
    fn a_vlan_of_somebody_else_is_a_parent_as_any_other(world) {
        if !has(world, Feature::Vlan) {
            return;
        }
        tagged(world);
        world.sh("ip link add link eth0 name eth0.10 type vlan id 10; ip link set eth0.10 up");
        let link = || world.sh("ip -d -o link show eth0.10 | sed 's/state [A-Z]*//'");
        let before = link();

        world.apply(
            "netform: 1
project: lan
networks:
  ten: {driver: macvlan, options: {parent: eth0.10}, subnets: [10.10.0.0/24, 'fd00:10::/64']}
containers: {a: {networks: {ten: {address: [10.10.0.7, 'fd00:10::7']}}}}
",
        );

        world.assert_in_sync();
        assert!(world.pings("a", "10.10.0.1") && world.pings("a", "fd00:10::1"));
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(link(), before);
    }
}
