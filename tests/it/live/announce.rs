//! Neighbours that know an address otherwise learn at once who has it now.

use super::world::{World, live, skip};

/// A neighbour behind `lan`, which has the default routes, too.
fn neighbour(world: &World) {
    world.sh("ip netns add out && ip link add lan type veth peer name eth0 netns out && ip link set lan up &&
        ip addr add 192.0.2.1/24 dev lan && ip addr add 2001:db8::1/64 dev lan nodad && ip -n out link set lo up &&
        ip -n out link set eth0 up && ip -n out addr add 192.0.2.2/24 dev eth0 && ip -n out addr add 2001:db8::2/64 dev eth0 nodad &&
        ip -n out addr add 203.0.113.1/24 dev eth0 && ip -n out addr add 2001:db8:9::1/64 dev eth0 nodad &&
        ip route add default via 192.0.2.2 && ip route add default via 2001:db8::2");
}

/// Has a namespace believe that somebody else has these addresses.
fn misled(world: &World, ns: &str, addresses: &[&str]) {
    for address in addresses {
        world.sh(&format!(
            "ip -n {ns} neigh replace {address} lladdr 02:00:00:00:00:99 dev eth0 nud reachable"
        ));
    }
}

/// The link-layer address that a namespace knows for an address.
fn known(world: &World, ns: &str, address: &str) -> String {
    world
        .sh(&format!("ip -n {ns} neigh show {address} dev eth0"))
        .split(' ')
        .nth(2)
        .unwrap_or_default()
        .to_owned()
}

live! {
    fn neighbours_of_the_uplink_learn_of_an_external_address_at_once(world) {
        neighbour(world);
        misled(world, "out", &["203.0.113.9", "2001:db8:9::9"]);

        world.apply("netform: 1\nproject: shop\nown_external_addresses: true\nnetworks: {front: {subnets: [172.25.0.0/24, 'fd00:25::/64']}}\n\
            containers: {web: {networks: {front: {external_address: [203.0.113.9, '2001:db8:9::9']}}}}\n");

        let mac = world.sh("ip -br link show dev lan | awk '{print $3}'").trim().to_owned();
        assert_eq!([known(world, "out", "203.0.113.9"), known(world, "out", "2001:db8:9::9")], [mac.clone(), mac]);
        assert!(world.pings("out", "203.0.113.9") && world.pings("out", "2001:db8:9::9"));
    }
}

live! {
    fn neighbours_of_a_macvlan_container_learn_of_it_at_once(world) {
        neighbour(world);
        if world.try_sh("ip link add probe link lan type macvlan && ip link del probe").code != 0 {
            return skip("macvlan", "this kernel makes no macvlan links");
        }
        misled(world, "out", &["192.0.2.7", "2001:db8::7"]);

        world.apply("netform: 1\nproject: shop\nnetworks: {street: {driver: macvlan, options: {parent: lan}, subnets: [192.0.2.0/24, '2001:db8::/64']}}\n\
            containers: {web: {networks: {street: {address: [192.0.2.7, '2001:db8::7']}}}}\n");

        let mac = world.sh("ip netns exec web cat /sys/class/net/eth0/address").trim().to_owned();
        assert_eq!([known(world, "out", "192.0.2.7"), known(world, "out", "2001:db8::7")], [mac.clone(), mac]);
        assert!(world.pings("out", "192.0.2.7") && world.pings("out", "2001:db8::7"));
    }
}

live! {
    fn neighbours_on_a_bridge_learn_of_a_link_layer_address_that_is_given(world) {
        let manifest = |web: &str| format!("netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/24, 'fd00:25::/64']}}}}\n\
            containers:\n  app: {{networks: [front]}}\n{web}");
        let web = |more: &str| format!("  web: {{networks: {{front: {{address: [172.25.0.7, 'fd00:25::7']{more}}}}}}}\n");
        let both = ["172.25.0.7", "fd00:25::7"];
        world.apply(&manifest(""));

        misled(world, "app", &both);
        world.apply(&manifest(&web("")));
        assert_eq!(known(world, "app", both[0]), "02:00:00:00:00:99", "a derived one moves with the address: nothing is sent");

        for mac in ["02:aa:00:00:00:07", "02:aa:00:00:00:08"] {
            misled(world, "app", &both);
            world.apply(&manifest(&web(&format!(", mac: '{mac}'"))));
            assert_eq!(both.map(|address| known(world, "app", address)), [mac, mac]);
        }
        world.assert_in_sync();
    }
}
