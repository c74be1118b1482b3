//! Addresses of others beside ours in one subnet: the kernel takes them away with the first one of it, unless it is told not to.

use super::world::{World, live};

fn shop(address: &str, gateway: &str) -> String {
    format!(
        "netform: 1
project: shop
networks:
  front: {{subnets: [{{cidr: 10.7.0.0/24, gateway: {gateway}}}]}}
containers:
  web: {{networks: {{front: {{address: {address}}}}}}}
"
    )
}

/// Returns somebody's addresses of a link as they are but for their rank, and how long those last that end.
fn theirs(world: &World, link: &str) -> String {
    world.sh(&format!(
        "ip {link} -o -4 addr show | grep -F '.7.0.9' | sed 's/^[0-9]*: //; s/ secondary//; s/[0-9]*sec/SOME/g' | sort"
    ))
}

/// Puts somebody's addresses beside ours.
fn beside(world: &World, ns: &str, link: &str) -> String {
    world.sh(&format!(
        "ip {ns} addr add 10.7.0.98/24 brd + dev {link} label {link}:1 valid_lft 3000 preferred_lft 2000
         ip {ns} addr add 10.7.0.99/24 dev {link}; ip {ns} addr add 10.7.0.97/25 dev {link}"
    ));
    let there = theirs(world, &format!("{ns} -d"));
    assert_eq!(there.lines().count(), 3, "{there}");
    there
}

fn promotes(world: &World, within: &str, link: &str) -> String {
    world.sh(&format!("{within} cat /proc/sys/net/ipv4/conf/{link}/promote_secondaries")).trim().to_owned()
}

live! {
    fn somebodys_addresses_stay_in_a_container_when_ours_goes(world) {
        world.apply(&shop("10.7.0.2", "10.7.0.1"));
        let there = beside(world, "-n web", "eth0");

        world.apply(&shop("10.7.0.3", "10.7.0.1"));

        assert_eq!(theirs(world, "-n web -d"), there);
        world.assert_in_sync();
        assert!(world.pings("web", "10.7.0.1") && world.pings("host", "10.7.0.3"));
        assert!(!world.pings("host", "10.7.0.2") && world.pings("host", "10.7.0.98"));
        assert_eq!(promotes(world, "ip netns exec web", "eth0"), "0", "as it was");
        assert!(world.sh("ip -n web route").contains("default via 10.7.0.1 dev eth0"));

        // What is undone takes none away either.
        world.file("netform.yaml", &shop("10.7.0.4", "10.7.0.1"));
        world.run(&["try", "--yes", "--confirm-timeout", "1s"]).exits(8);
        assert_eq!(theirs(world, "-n web -d"), there);
        world.run(&["rollback", "1", "--yes"]).exits(0);
        assert_eq!(theirs(world, "-n web -d"), there);
        assert!(world.pings("host", "10.7.0.2"));
    }
}

live! {
    fn somebodys_addresses_stay_on_a_link_when_ours_goes_and_another_of_ours_stays(world) {
        let both = shop("[10.7.0.2, 'fd00:7::2']", "10.7.0.1").replace("10.7.0.1}", "10.7.0.1}, 'fd00:7::/64'");
        world.apply(&both);
        let there = beside(world, "-n web", "eth0");

        world.apply("netform: 1
project: shop
networks:
  front: {subnets: ['fd00:7::/64'], interface: br-front}
containers:
  web: {networks: {front: {address: 'fd00:7::2'}}}
");

        assert_eq!(theirs(world, "-n web -d"), there);
        world.assert_in_sync();
        assert!(world.pings("web", "fd00:7::1"));
    }
}

live! {
    fn somebodys_addresses_stay_on_a_bridge_when_ours_goes(world) {
        world.apply(&shop("10.7.0.2", "10.7.0.1"));
        let there = beside(world, "", "br-front");
        let known = || theirs(world, "-d");

        world.apply(&shop("10.7.0.2", "10.7.0.254"));

        assert_eq!(known(), there);
        world.assert_in_sync();
        assert!(world.pings("web", "10.7.0.254") && world.pings("web", "10.7.0.99"));
        assert_eq!(promotes(world, "", "br-front"), "0", "as it was");
        world.file("netform.yaml", &shop("10.7.0.2", "10.7.0.253"));
        world.run(&["try", "--yes", "--confirm-timeout", "1s"]).exits(8);
        assert_eq!(known(), there);
    }
}

live! {
    fn somebodys_addresses_stay_on_a_bridge_that_was_adopted(world) {
        world.sh("ip link add br-lan type bridge; ip link set br-lan up; ip addr add 10.7.0.1/24 brd + dev br-lan");
        let there = beside(world, "", "br-lan");
        let lan = |gateway: &str| shop("10.7.0.2", gateway).replace("front: {subnets", "front: {interface: br-lan, subnets");
        world.file("netform.yaml", &lan("10.7.0.1"));
        world.run(&["import", "network.front", "br-lan", "--yes"]).exits(0);
        world.run(&["apply", "--yes"]).exits(0);

        world.apply(&lan("10.7.0.254"));

        assert_eq!(theirs(world, "-d"), there);
        world.assert_in_sync();
    }
}
