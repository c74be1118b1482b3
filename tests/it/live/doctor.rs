//! What is wrong on a host is found, by its code, and gone when the cure was run.

use serde_json::Value;

use super::world::{Listen, Server, World, live};
use crate::schema::assert_follows;

const SHOP: &str = "netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}
containers:
  web: {networks: {front: {address: 172.25.3.3}}, publish: ['8080:80']}
  app: {networks: {front: {address: 172.25.3.4}}}
";

/// A host with a way out, and a resolver that answers.
fn healthy(world: &World) -> Server {
    world.sh("ip tuntap add up0 mode tap; ip addr add 203.0.113.1/24 dev up0; ip link set up0 up; ip route add default via 203.0.113.10; rm -f /etc/resolv.conf; echo nameserver 127.0.0.1 > /etc/resolv.conf");
    world.apply(SHOP);
    world.serve("host", &Listen { protocol: "udp", address: "127.0.0.1", port: 53 }, "answer")
}

fn findings(world: &World) -> Vec<Value> {
    let document: Value =
        serde_json::from_str(&world.run(&["doctor", "--output", "json"]).exits(0).stdout).unwrap();
    assert_follows("doctor", &document);
    document["findings"].as_array().unwrap().clone()
}

/// What somebody does, the code of what is found, and what undoes it when the cure takes a decision; empty when the cure
/// is a command.
const FAULTS: &[(&str, &str, &str)] = &[
    ("sysctl -qw net.ipv4.ip_forward=0", "forwarding-off", ""),
    ("sysctl -qw net.ipv6.conf.all.forwarding=0", "forwarding-off-ipv6", ""),
    ("sysctl -qw net.ipv4.conf.br-front.forwarding=0", "link-forwarding-off", ""),
    (
        "nft 'add table ip theirs; add chain ip theirs fw { type filter hook forward priority 0; policy drop; }'; sysctl -qw net.bridge.bridge-nf-call-iptables=0",
        "forward-policy-drop",
        "",
    ),
    (
        "nft delete table ip theirs; nft 'add table inet theirs; add chain inet theirs fw { type filter hook forward priority 0; }; add rule inet theirs fw ip saddr 172.25.0.0/16 drop'",
        "forward-rule-drop",
        "",
    ),
    (
        "nft delete table inet theirs; nft 'add table ip theirs; add chain ip theirs in { type filter hook input priority 0; policy drop; }; add rule ip theirs in iifname lo accept'",
        "input-dropped",
        "",
    ),
    (
        "nft delete table ip theirs; nft 'add table ip theirs; add chain ip theirs fw { type filter hook forward priority 0; }; add rule ip theirs fw ip saddr 172.25.0.0/16 ip daddr 172.25.0.0/16 drop'; sysctl -qw net.bridge.bridge-nf-call-iptables=1",
        "bridge-filtered",
        "",
    ),
    ("nft delete element inet netform-shop masquerade4 '{ 172.25.0.0/16 }'", "masquerade-missing", ""),
    ("nft delete table inet netform-shop", "firewall-missing", ""),
    ("nft delete element inet netform-shop any_addr4 '{ tcp . 8080 }'", "element-missing", ""),
    ("ip route add 172.25.3.0/24 via 203.0.113.10", "overlapping-route", ""),
    (
        "sysctl -qw net.ipv4.conf.br-front.rp_filter=1; ip rule add to 172.25.3.3 lookup 77; ip route add default via 203.0.113.10 table 77",
        "rp-filter",
        "",
    ),
    ("ip -n web link set eth0 mtu 1300", "mtu-mismatch", ""),
    ("ip link set up0 mtu 1400", "mtu-above-uplink", "ip link set up0 mtu 1500"),
    ("ip -n web route del default", "no-default-route", ""),
    ("ip route del default", "host-without-default-route", "ip route add default via 203.0.113.10"),
    ("ip link set br-front down", "interface-down", ""),
    ("ip -n app addr del 172.25.3.4/16 dev eth0", "address-missing", ""),
    ("ip link del netform.shop.app.front", "interface-missing", ""),
    ("ip netns del app", "namespace-missing", ""),
    (
        "echo nameserver 203.0.113.1 > /etc/resolv.conf",
        "dns-dead",
        "echo nameserver 127.0.0.1 > /etc/resolv.conf",
    ),
    ("sysctl -qw net.ipv4.conf.br-front.route_localnet=0", "parameter-changed", ""),
    ("sysctl -qw net.ipv6.conf.br-front.disable_ipv6=1", "ipv6-off", ""),
    (
        "sed -i 's/\"applied_at\": *[0-9]*/\"applied_at\":9999999999/' state/shop/generations/*",
        "clock-behind",
        "sed -i 's/\"applied_at\": *[0-9]*/\"applied_at\":1700000000/' state/shop/generations/*",
    ),
];

live! {
    fn each_fault_is_found_by_its_code_and_gone_after_the_cure(world) {
        let _resolver = healthy(world);
        let netform = format!("{} --state-dir {} --run-dir {}", env!("CARGO_BIN_EXE_netform"), world.dir().join("state").display(), world.dir().join("run").display());
        assert_eq!(findings(world), Vec::<Value>::new(), "a healthy host");
        assert!(world.run(&["doctor", "--exit-code"]).exits(0).stdout.contains("Nothing is wrong (shop)"));

        let mut wrong = vec![];
        for (fault, code, undo) in FAULTS {
            world.sh(fault);
            let found = findings(world);
            let Some(finding) = found.iter().find(|finding| finding["code"] == *code) else {
                wrong.push(format!("{fault}: {code} is not found, but {found:#?}"));
                continue;
            };
            let cure = finding["cure"]["command"].as_str().unwrap_or_default();
            let cure = if undo.is_empty() { cure } else { *undo };
            world.sh(&cure.replace("netform apply", &format!("{netform} apply --yes")));
            if findings(world).iter().any(|finding| finding["code"] == *code) {
                wrong.push(format!("{fault}: {code} is still found after `{cure}`: {:#?}", findings(world)));
            }
            // The next fault starts from a host that is whole.
            world.run(&["apply", "--yes"]).exits(0);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

live! {
    fn a_server_on_a_published_port_is_found_and_the_exit_code_tells(world) {
        let _resolver = healthy(world);
        let _server = world.serve("host", &Listen::tcp(8080), "mine");

        let said = world.run(&["doctor", "--exit-code"]).exits(2).stdout;

        assert!(said.contains("warning[port-taken]: process") && said.contains("python3"), "{said}");
        assert!(world.run(&["doctor", "--manifest", "nowhere.yaml"]).exits(66).stdout.is_empty());
    }
}

live! {
    fn a_project_that_is_gone_wishes_for_nothing(world) {
        world.file("gone.yaml", &SHOP.replace("shop", "gone"));
        world.run(&["apply", "gone.yaml", "--yes"]).exits(0);
        world.run(&["destroy", "gone.yaml", "--yes"]).exits(0);
        assert_eq!(world.sh("sysctl -n net.ipv4.ip_forward").trim(), "0", "it is set back");

        let _resolver = healthy(world);

        assert_eq!(findings(world), Vec::<Value>::new(), "the host forwards for the project that is there");
    }
}

const ROUTER: &str = "netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}
  cable:
    driver: veth
    subnets: [{cidr: 10.9.0.0/24, gateway: 10.9.0.1}, {cidr: 'fd00:9::/64', gateway: 'fd00:9::1'}]
containers:
  router: {networks: {front: {}, cable: {address: [10.9.0.1, 'fd00:9::1']}}, sysctls: {net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1}}
  inner: {networks: [cable]}
";

live! {
    fn forwarding_that_is_off_in_a_container_is_cured_there(world) {
        let _resolver = healthy(world);
        world.apply(ROUTER);
        world.sh("ip -6 addr add 2001:db8::1/64 dev up0 nodad; ip -6 route add default via 2001:db8::10");
        let forwarding = || {
            let mut found = findings(world);
            found.retain(|finding| finding["code"].as_str().unwrap().contains("forwarding-off"));
            found.iter().map(|it| format!("{}, {}, {}", it["code"], it["subject"], it["cure"]["command"])).collect::<Vec<_>>()
        };
        assert_eq!(forwarding(), Vec::<String>::new());

        for (key, code) in [("net.ipv4.ip_forward", "forwarding-off"), ("net.ipv6.conf.all.forwarding", "forwarding-off-ipv6")] {
            let cure = format!("ip netns exec router sysctl -w {}=1", key.replace('.', "/"));
            world.sh(&format!("ip netns exec router sysctl -qw {key}=0"));
            assert_eq!(forwarding(), [format!("\"{code}\", \"{key} in netns router\", \"{cure}\"")]);
            world.sh(&cure);
            assert_eq!(forwarding(), Vec::<String>::new(), "{key}");

            let cure = format!("sysctl -w {}=1", key.replace('.', "/"));
            world.sh(&format!("sysctl -qw {key}=0"));
            assert_eq!(forwarding(), [format!("\"{code}\", \"{key}\", \"{cure}\"")], "once");
            world.sh(&cure);
        }
    }
}

live! {
    fn what_the_manifest_denies_and_a_router_of_somebody_else_are_no_faults(world) {
        let _dns = healthy(world);
        world.apply(&SHOP.replace("networks:\n", "policies: [{deny: {from: container.web, to: host}}]\nnetworks:\n"));
        assert!(!world.pings("web", "172.25.0.1"));
        assert_eq!(findings(world), Vec::<Value>::new());

        world.sh("ip link del up0; ip netns add ext; ip link add up0 type veth peer name down0 netns ext; ip addr add 203.0.113.1/24 dev up0; ip link set up0 up; ip -n ext addr add 203.0.113.10/24 dev down0; ip -n ext link set down0 up; ip route add default via 203.0.113.10; ip netns exec ext sysctl -qw net.ipv4.ip_forward=0");
        let found = findings(world);
        assert!(found.iter().all(|it| it["severity"] == "note"), "{found:?}");
    }
}

live! {
    fn what_a_container_drops_itself_is_not_let_in_by_the_hosts_firewall(world) {
        let _dns = healthy(world);
        let chain = "add table inet filter; add chain inet filter input { type filter hook input priority 0; policy";
        world.sh(&format!("nft '{chain} accept; }}; add rule inet filter input iifname br-front tcp dport 22 drop'"));
        world.sh(&format!("ip netns exec web nft '{chain} drop; }}'"));
        let found = findings(world);
        let inside: Vec<_> = found.iter().filter(|it| it["code"] == "dropped-inside").collect();
        assert!(!inside.is_empty() && found.iter().all(|it| it["code"] != "input-dropped"), "{found:#?}");
        for finding in inside {
            assert!(finding["cure"]["command"].is_null(), "{finding:#?}");
            assert_eq!(finding["subject"], "chain input of table inet filter in netns web");
            assert!(finding["cure"]["advice"].as_str().unwrap().contains("`ip netns exec web nft -a list chain inet filter input`"), "{finding:#?}");
        }
    }
}

live! {
    fn a_resolver_whose_answers_the_host_drops_is_not_to_blame(world) {
        let _dns = healthy(world);
        world.sh("nft 'add table ip theirs; add chain ip theirs in { type filter hook input priority 0; }; add rule ip theirs in udp sport 53 drop'");
        let found = findings(world);
        assert!(found.iter().any(|it| it["code"] == "dns-dropped"), "{found:#?}");
        assert!(found.iter().all(|it| it["code"] != "dns-dead"), "{found:#?}");
    }
}

live! {
    fn a_network_that_nothing_leaves_may_have_larger_packets_than_the_uplink(world) {
        let _dns = healthy(world);
        world.apply(&SHOP.replace("'fd00:25::/64']", "'fd00:25::/64'], mtu: 9000, internal: true").replace(", publish: ['8080:80']", ""));
        assert_eq!(findings(world), Vec::<Value>::new());
    }
}

live! {
    fn a_gateway_that_is_not_the_host_is_called_that(world) {
        let _dns = healthy(world);
        world.apply("netform: 1
project: shop
networks: {lan: {driver: macvlan, options: {parent: up0}, subnets: [{cidr: 203.0.113.0/24, gateway: 203.0.113.10}]}}
containers: {web: {networks: {lan: {address: 203.0.113.7}}}}
");
        world.sh("ip netns exec web nft 'add table inet f; add chain inet f o { type filter hook output priority 0; policy drop; }'");
        let found = findings(world);
        assert!(found.iter().any(|it| it["sentence"] == "attachment.web@lan does not reach its gateway 203.0.113.10"), "{found:#?}");
        assert!(!found.iter().any(|it| it["sentence"].as_str().unwrap().contains("the host")), "{found:#?}");
    }
}
