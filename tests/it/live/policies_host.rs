//! Policies to ranges of addresses of which the host has some.

use super::world::{Listen, World, live};

/// Applies policies, and returns which of the host's addresses and ports web reaches; what explains it says the same.
fn reached(world: &World, policies: &[&str]) -> String {
    let policies: String = policies.iter().map(|policy| format!("  - {policy}\n")).collect();
    world.apply(&format!(
        "netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/24, 'fd00:25::/64']}}}}\ncontainers: {{web: {{networks: [front]}}}}\n\
         policies:\n{policies}"
    ));
    let mut reached = vec![];
    for (to, port) in [("192.0.2.1", 80), ("192.0.2.1", 22), ("172.25.0.1", 80), ("2001:db8::1", 80)] {
        let there = if to.contains(':') { format!("[{to}]:{port}") } else { format!("{to}:{port}") };
        let arrives = world.ask("web", "tcp", to, port).is_some();
        let told = world.run(&["explain", "--path", "web", &there]).exits(0).stdout;
        assert_eq!(told.contains("arrives, and is answered"), arrives, "{policies}{told}");
        reached.extend(arrives.then_some(there));
    }
    world.assert_in_sync();
    reached.join(" ")
}

live! {
    fn a_range_that_is_denied_holds_the_hosts_own_addresses_in_it(world) {
        world.sh("ip link add up0 type veth peer name far0; ip link set up0 up; ip link set far0 up
             ip addr add 192.0.2.1/24 dev up0; ip addr add 2001:db8::1/64 dev up0 nodad");
        let _servers = [80, 22].map(|port| world.serve("host", &Listen::tcp(port), "host"));
        let rows: [(&[&str], &str); 7] = [
            (&["deny: {from: network.front, to: 198.51.100.0/24}"], "192.0.2.1:80 192.0.2.1:22 172.25.0.1:80 [2001:db8::1]:80"),
            (&["deny: {from: network.front, to: [192.0.0.0/8, '2001:db8::/32']}"], "172.25.0.1:80"),
            (
                &["allow: {from: container.web, to: 192.0.2.1/32, ports: [80]}", "deny: {from: network.front, to: 192.0.2.0/24}"],
                "192.0.2.1:80 172.25.0.1:80 [2001:db8::1]:80",
            ),
            (
                &["deny: {from: network.front, to: 192.0.2.0/24}", "allow: {from: network.front, to: host, ports: [80]}"],
                "172.25.0.1:80 [2001:db8::1]:80",
            ),
            (
                &["allow: {from: network.front, to: host, ports: [80]}", "deny: {from: network.front, to: 192.0.2.0/24}"],
                "192.0.2.1:80 172.25.0.1:80 [2001:db8::1]:80",
            ),
            (&["allow: {from: network.front, to: 192.0.2.0/24, ports: [80]}", "deny: {from: network.front, to: host}"], ""),
            (
                &["deny: {from: network.front, to: 192.0.2.0/24, ports: [22]}"],
                "192.0.2.1:80 172.25.0.1:80 [2001:db8::1]:80",
            ),
        ];
        for (policies, want) in rows {
            assert_eq!(reached(world, policies), want, "{policies:?}");
        }
        let told = world.run(&["explain", "--path", "web", "192.0.2.1:22"]).exits(0).stdout;
        assert!(told.contains("policy.deny:network.front:192.0.2.0/24:22/tcp (netform.yaml:6:5)"), "{told}");
        world.run(&["destroy", "--yes"]).exits(0);
    }
}
