//! A bridge of another project, whose firewall keeps the world outside from it.

use super::world::{Listen, World, live};

/// Another host, by which the default route leads.
const OUT: &str = "ip netns add out; ip link add up0 type veth peer name e0 netns out; ip link set up0 up; ip -n out link set e0 up
    ip addr add 192.168.9.1/24 dev up0; ip -n out addr add 192.168.9.2/24 dev e0; ip -n out link set lo up
    ip route add default via 192.168.9.2; ip -n out route add default via 192.168.9.1; ip netns exec out sysctl -qw net.ipv4.ip_forward=1";

const SHOP: &str = "netform: 1
project: shop
networks: {lan: {external: br-back}}
containers:
  web: {networks: {lan: {address: 10.7.0.7}}, publish: ['8080:80', '8081:81/udp']}
";

fn owner(says: &str) -> String {
    format!(
        "netform: 1
project: theirs
networks: {{back: {{subnets: [10.7.0.0/24], interface: br-back{says}}}}}
containers: {{db: {{networks: {{back: {{address: 10.7.0.6}}}}}}}}
"
    )
}

/// Applies what the other project says of its bridge, and returns what a plan of ours warns of.
fn told(world: &World, says: &str) -> String {
    world.file("theirs.yaml", &owner(says));
    world.run(&["apply", "--yes", "theirs.yaml"]).exits(0);
    world.file("netform.yaml", SHOP);
    let (plan, _) = world.plan();
    plan.lines().filter(|line| line.starts_with("Warning")).collect::<Vec<_>>().join("\n")
}

live! {
    fn what_is_published_on_a_bridge_that_its_project_keeps_closed_is_told(world) {
        world.sh(OUT);
        for (says, closed, leaves) in [
            (", internal: true", Some("which declares it `internal`"), false),
            ("", Some("which lets in what it publishes itself, and nothing else"), true),
            (", ingress: open", None, true),
        ] {
            let plan = told(world, says);
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();

            for port in ["netform.yaml:5:57: port 8080/tcp", "netform.yaml:5:68: port 8081/udp"] {
                let wanted = format!("{port} of container web is reached by nobody outside this host: `br-back` is a bridge of project theirs, ");
                assert_eq!(plan.contains(&wanted), closed.is_some(), "{says}: {wanted} in {plan}");
            }
            assert!(closed.is_none_or(|why| plan.contains(why)), "{says}: {plan}");
            let silent = "container web reaches nobody outside this host: its default route leads by network lan, and `br-back`";
            assert_eq!(plan.contains(silent), !leaves, "{says}: {plan}");
            // It is so, and the host itself is heard all the same.
            let _web = world.serve("web", &Listen::tcp(80), "web");
            let ask = |from: &str| world.ask(from, "tcp", "192.168.9.1", 8080);
            assert_eq!(ask("out").is_some(), closed.is_none(), "{says}");
            assert!(ask("host").is_some(), "{says}");
            assert_eq!(world.pings("web", "192.168.9.2"), leaves, "{says}");
        }
    }
}

live! {
    fn what_one_family_reaches_is_not_said_to_be_closed(world) {
        world.sh(OUT);
        world.file("theirs.yaml", "netform: 1
project: theirs
networks: {back: {subnets: [10.7.0.0/24, 'fd00:7::/64'], interface: br-back, internal: true}}
");
        world.run(&["apply", "--yes", "theirs.yaml"]).exits(0);
        world.file("netform.yaml", "netform: 1
project: shop
networks: {lan: {external: br-back}, own: {subnets: [10.9.0.0/24]}}
containers:
  web:
    networks: {lan: {address: [10.7.0.7, 'fd00:7::7']}, own: {gateway_priority: 5}}
    publish: ['8080:80']
");
        world.run(&["apply", "--yes"]).exits(0);
        let plan = world.plan().0;

        let wanted = ["port 8080/tcp of container web is reached by nobody", "container web reaches nobody"];
        for wanted in wanted.map(|it| format!("{it} outside this host over IPv6: ")) {
            assert!(plan.contains(&wanted), "{wanted} in {plan}");
        }
        let _web = world.serve("web", &Listen::tcp(80), "web");
        assert!(world.ask("out", "tcp", "192.168.9.1", 8080).is_some(), "over IPv4 it is reached");
    }
}

live! {
    fn the_doctor_says_whose_network_is_internal_and_nothing_else_of_the_firewall(world) {
        world.sh(OUT);
        told(world, ", internal: true");
        world.run(&["apply", "--yes"]).exits(0);

        for args in [&["doctor"][..], &["doctor", "--manifest", "netform.yaml"]] {
            let found = world.run(args).exits(0).stdout;
            assert!(!found.contains("firewall-changed") && !found.contains("has changed netform's own table"), "{found}");
            assert!(found.contains("error[internal-network]: attachment.web@lan does not reach the outside"), "{found}");
            assert!(found.contains("project theirs declares `br-back` internal"), "{found}");
        }

        // What its project did not declare somebody else has done.
        world.run(&["destroy", "--yes"]).exits(0);
        told(world, ", ingress: open");
        world.run(&["apply", "--yes"]).exits(0);
        world.sh("nft add element inet netform-theirs internal '{ br-back }'");
        let found = world.run(&["doctor"]).exits(0).stdout;
        assert!(found.contains("firewall-changed") && !found.contains("internal-network"), "{found}");
    }
}
