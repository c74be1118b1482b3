//! Networks of both families, and of IPv6 alone, whose subnets nobody gave.

use super::world::live;

const SHOP: &str = "\
netform: 1
project: shop
networks:
  both: {ipv6: true}
  six: {ipv4: false, ipv6: true}
containers:
  web: {networks: [both], publish: [\"8080:80\"]}
  db: {networks: [both, six]}
  job: {networks: [six]}
";

/// The IPv6 address of a container that is not the kernel's own.
fn address(world: &super::world::World, container: &str, link: &str) -> String {
    let told = world.sh(&format!("ip -6 -o -n {container} addr show dev {link} scope global"));
    let (_, rest) = told.split_once("inet6 ").unwrap();
    rest.split_once('/').unwrap().0.to_owned()
}

live! {
    fn networks_without_subnets_have_ipv6_where_it_is_asked_for(world) {
        world.apply(SHOP);

        let (web, job) = (address(world, "web", "eth0"), address(world, "job", "eth0"));
        assert!(web.starts_with("fd") && job.starts_with("fd"), "{web} {job}");
        assert_eq!(web.split(':').take(3).collect::<Vec<_>>(), job.split(':').take(3).collect::<Vec<_>>());
        assert!(world.pings("db", &web) && world.pings("db", &job));
        assert!(!world.pings("web", &job) && !world.pings("job", &web));
        assert!(!world.sh("ip -4 -o -n job addr").contains("eth0"));
        world.assert_in_sync();

        // A machine that becomes another one keeps what it has.
        world.sh("echo 0123456789abcdef0123456789abcdef > /etc/machine-id");
        world.assert_in_sync();
        world.apply(&SHOP.replace("  both: {ipv6: true}\n", "  both: {}\n"));
        assert!(!world.sh("ip -6 -o -n web addr show scope global").contains("eth0"));
        assert!(!world.pings("db", &web) && world.pings("db", &job));
        world.assert_in_sync();
    }
}

live! {
    fn what_is_too_small_for_ipv6_has_none_and_no_parameters_of_it(world) {
        world.sh("ip link add eth0 type veth peer name r0; ip link set eth0 up; ip link set r0 up");
        let bridge = |mtu: u32| format!("netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [10.7.0.0/24], mtu: {mtu}}}}}\ncontainers: {{web: {{networks: [front]}}}}\n");
        let behind = |mtu: u32| bridge(mtu).replace("mtu:", "driver: macvlan, options: {parent: eth0, host_address: 10.7.0.9}, mtu:");
        for manifest in [&bridge as &dyn Fn(u32) -> String, &behind] {
            for mtu in [1000, 1500, 1279, 1280] {
                world.apply(&manifest(mtu));
                world.assert_in_sync();
                assert!(world.pings("host", world.sh("ip -n web -4 -o addr show eth0 | awk '{print $4}' | sed 's|/.*||'").trim()), "{mtu}");
            }
            // The host's own routes to what is behind the link are in nobody's way.
            world.apply(&bridge(68));
            world.run(&["destroy", "--yes"]).exits(0);
        }
    }
}
