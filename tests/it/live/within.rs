//! Subnets that lie within what the host's links are on, or routes lead to.

use super::proxy;
use super::world::{World, live};

/// A router on the link that it shares with the host.
fn router(world: &World) {
    world.sh("ip netns add ext && ip link add up0 type veth peer name r0 netns ext && ip link set up0 up &&
        ip -n ext link set lo up && ip -n ext link set r0 up && ip -n ext addr add 192.0.2.1/24 dev r0 &&
        ip -n ext addr add 2001:db8::1/64 dev r0 nodad && ip addr add 192.0.2.10/24 dev up0 &&
        ip addr add 2001:db8::10/64 dev up0 nodad && ip route add default via 192.0.2.1 &&
        ip link add dock type bridge && ip link set dock up && ip addr add 172.17.0.1/16 dev dock &&
        ip route add 10.200.0.0/16 via 192.0.2.1");
}

fn on(subnet: &str) -> String {
    format!(
        "netform: 1\nproject: d\nnetworks: {{dn: {{subnets: ['{subnet}']}}}}\ncontainers: {{a: {{networks: [dn]}}}}\n"
    )
}

live! {
    fn a_part_of_the_network_that_a_link_is_on_is_refused_and_the_router_keeps_its_address(world) {
        router(world);
        for (subnet, wider, link) in [
            ("192.0.2.0/25", "192.0.2.0/24", "up0"),
            ("192.0.2.128/25", "192.0.2.0/24", "up0"),
            ("172.17.0.0/24", "172.17.0.0/16", "dock"),
            ("2001:db8::/112", "2001:db8::/64", "up0"),
        ] {
            world.file("netform.yaml", &on(subnet));

            let refused = world.run(&["apply", "--yes"]).exits(65).stderr;

            assert!(refused.contains(&format!("{subnet} is a part of {wider}, the network that link {link}")), "{refused}");
            assert!(refused.contains("topology::subnet_routed") && refused.contains("netform.yaml:3:"), "{refused}");
        }
        assert_eq!(world.try_sh("ip link show br-dn").code, 1);
        assert!(world.pings("host", "192.0.2.1"));
        // An address that brings no route is one on the link all the same.
        world.sh("ip addr add 198.51.100.7/24 dev up0 noprefixroute");
        world.file("netform.yaml", &on("198.51.100.0/25"));
        world.run(&["plan"]).exits(65);
    }
}

live! {
    fn a_link_that_is_down_with_an_address_of_a_subnet_is_told(world) {
        world.sh("ip link add idle type veth peer name far && ip addr add 172.25.0.1/24 dev idle");
        world.file("netform.yaml", &on("172.25.0.0/24"));

        let (plan, _) = world.plan();

        let told = "link idle of the host, which is down, has an address in 172.25.0.0/24, which is in subnet 172.25.0.0/24 of network dn";
        assert!(plan.contains("Warning: netform.yaml:3:") && plan.contains(told), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.sh("ip link del idle");
        assert!(!world.plan().0.contains(told));
        world.assert_in_sync();
    }
}

live! {
    fn a_part_of_where_a_route_leads_is_told_and_what_comes_later_is_too(world) {
        router(world);
        world.file("netform.yaml", &on("10.200.5.0/24"));
        let (plan, _) = world.plan();
        assert!(plan.contains("Warning: netform.yaml:3:") && plan.contains("route of somebody else to 10.200.0.0/16, of which subnet 10.200.5.0/24"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();

        world.sh("ip addr add 10.200.0.9/16 dev up0 noprefixroute");
        let (plan, changes) = world.plan();
        assert!(!changes && plan.contains("is a part of 10.200.0.0/16, the network that link up0 of the host is on by now"), "{plan}");
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn what_was_applied_comes_back_after_a_restart_though_a_link_is_on_its_network_by_now(world) {
        world.apply(&on("10.200.5.0/24"));
        // As after a restart: nothing of ours is there, and the uplink has got another network.
        world.sh("nft flush ruleset; ip link del br-dn; umount /run/netns/a; rm /run/netns/a");
        router(world);
        world.sh("ip route del 10.200.0.0/16; ip addr add 10.200.0.9/16 dev up0");

        let told = world.run(&["apply", "--yes"]).exits(0);
        let told = format!("{}{}", told.stdout, told.stderr);
        assert!(told.contains("the network that link up0 of the host is on by now"), "{told}");
        assert!(world.pings("a", "10.200.5.1"));
        world.run(&["destroy", "--yes"]).exits(0);

        // What was destroyed is new again.
        let refused = world.run(&["apply", "--yes"]).exits(65).stderr;
        assert!(refused.contains("topology::subnet_routed"), "{refused}");
    }
}

live! {
    fn whom_the_uplink_answers_for_may_be_within_its_network(world) {
        proxy::router(world);
        world.apply(proxy::SHOP);
        let (plan, changes) = world.plan();
        assert!(!changes && !plan.contains("is a part of"), "{plan}");
    }
}
