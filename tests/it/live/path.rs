//! What `explain --path` says of packets is what becomes of real ones.

use serde_json::Value;

use super::world::{Done, Listen, Server, World, live};
use crate::schema::assert_follows;

const SHOP: &str = "netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16, 'fd00:25::/64']}
  back: {subnets: [10.7.0.0/24], internal: true, icc: false}
  open: {subnets: [10.8.0.0/24], ingress: open, egress: routed}
containers:
  web:
    networks: {front: {address: 172.25.3.3}, back: {address: 10.7.0.3, links: {database: db}}}
    publish: ['8080:80', '8053:80/udp', {host_port: 9000-9010, target_port: 9000-9010, allow_from: [203.0.113.9/32]}]
  app: {networks: {front: {address: 172.25.3.4}}}
  db: {networks: {back: {address: 10.7.0.4}}, expose: [80/tcp]}
  free: {networks: {open: {address: 10.8.0.2}}}
";

/// Two other hosts on a network with ours; one of them, `far`, is the way to everywhere.
const OUTSIDE: &str = "
    ip link add lan type bridge; ip link set lan up; ip addr add 203.0.113.1/24 dev lan
    for host in near:9 far:10; do
        name=${host%:*}; ip netns add $name; ip link add v$name master lan type veth peer name eth0 netns $name
        ip link set v$name up; ip -n $name link set lo up; ip -n $name link set eth0 up
        ip -n $name addr add 203.0.113.${host#*:}/24 dev eth0
    done
    ip -n far addr add 198.51.100.1/32 dev lo; ip route add default via 203.0.113.10
    ip -n near route add default via 203.0.113.1; ip -n far route add 10.8.0.0/24 via 203.0.113.1";

/// A host with its neighbours, and servers everywhere.
fn town(world: &World) -> Vec<Server> {
    world.sh(OUTSIDE);
    world.apply(SHOP);
    let everywhere = ["web", "app", "db", "free", "near", "far", "host"];
    let mut servers: Vec<_> = everywhere.iter().map(|ns| world.serve(ns, &Listen::tcp(80), ns)).collect();
    servers.extend(everywhere.iter().map(|ns| world.serve(ns, &Listen::udp(80), ns)));
    servers.push(world.serve("web", &Listen::tcp(9001), "web"));
    servers
}

/// Returns what is said of a path.
fn said(world: &World, from: &str, to: &str) -> Value {
    let done = world.run(&["explain", "--output", "json", "--path", from, to]).exits(0);
    let document: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_follows("path", &document);
    document["path"].clone()
}

fn text(world: &World, from: &str, to: &str) -> String {
    world.run(&["explain", "--path", from, to]).exits(0).stdout
}

/// Returns whether a packet arrives, or what is wrong with what is said of it.
fn check(world: &World, from: &str, to: &str) -> Result<bool, String> {
    let path = said(world, from, to);
    let address = path["destination"].as_str().unwrap();
    let arrives = match path["port"].as_u64() {
        None => world.pings(from, address),
        Some(port) => world
            .ask(from, path["protocol"].as_str().unwrap(), address, u16::try_from(port).unwrap())
            .is_some(),
    };
    let said = path["verdict"].as_str().unwrap();
    let right = if arrives { said == "arrives" } else { matches!(said, "denied" | "no-answer") };
    let wrong = || format!("{from} to {to}: arrives: {arrives}, but it is said:\n{}", text(world, from, to));
    if right { Ok(arrives) } else { Err(wrong()) }
}

live! {
    fn of_every_pair_it_is_said_whether_a_real_packet_arrives(world) {
        let _servers = town(world);

        let (mut allowed, mut denied, mut wrong) = (0, 0, vec![]);
        for from in ["web", "db", "free", "near", "far", "host"] {
            for to in [
                "web", "web:80", "172.25.3.3:80", "10.7.0.3:80", "app:80/udp", "db", "db:80", "10.7.0.4:80/udp", "free:80", "host", "host:80",
                "near:80", "203.0.113.10", "198.51.100.1:80", "203.0.113.1:8080", "203.0.113.1:8053/udp", "203.0.113.1:9001", "172.25.0.1:8080",
                "10.7.0.1:80", "192.0.2.1:80", "[fd00:25::1]:80", "10.8.0.1:8080",
            ] {
                match check(world, from, to) {
                    Ok(true) => allowed += 1,
                    Ok(false) => denied += 1,
                    Err(why) => wrong.push(why),
                }
            }
        }

        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(allowed > 30 && denied > 30, "{allowed} arrive, {denied} do not");
    }
}

/// What somebody does to a host, whom it cuts off, what is said to decide, and how it is undone.
const BREAKS: &[(&str, (&str, &str), &str, &str)] = &[
    (
        "sysctl -qw net.ipv4.ip_forward=0",
        ("web", "198.51.100.1:80"),
        "forwarding",
        "sysctl -qw net.ipv4.ip_forward=1",
    ),
    (
        "nft 'add table ip theirs; add chain ip theirs fw { type filter hook forward priority 0; policy drop; }'",
        ("web", "203.0.113.9:80"),
        "policy",
        "nft delete table ip theirs",
    ),
    (
        "nft 'add table inet theirs; add chain inet theirs fw { type filter hook forward priority 10; }; add set inet theirs bad { type ipv4_addr . inet_service; flags interval; }; add element inet theirs bad { 203.0.113.0/24 . 80-90 }; add rule inet theirs fw ip daddr . tcp dport @bad counter reject'",
        ("app", "203.0.113.9:80"),
        "rule",
        "nft delete table inet theirs",
    ),
    (
        "nft 'add table inet theirs; add chain inet theirs other; add chain inet theirs in { type filter hook input priority 0; }; add rule inet theirs in ct state established,related accept; add rule inet theirs in iifname vmap { lo : accept, \"br-*\" : jump other }; add rule inet theirs other meta l4proto { tcp, udp } th dport { 22, 80-81 } drop'",
        ("app", "host:80"),
        "rule",
        "nft delete table inet theirs",
    ),
    (
        "nft delete element inet netform-shop masquerade4 '{ 172.25.0.0/16 }'",
        ("web", "203.0.113.10:80"),
        "masquerade",
        "nft add element inet netform-shop masquerade4 '{ 172.25.0.0/16 }'",
    ),
    (
        "ip route add blackhole 203.0.113.9",
        ("web", "203.0.113.9"),
        "route",
        "ip route del blackhole 203.0.113.9",
    ),
    (
        "ip -n web route del default",
        ("web", "203.0.113.9"),
        "route",
        "ip -n web route add default via 172.25.0.1",
    ),
    ("ip -n app link set eth0 down", ("web", "app:80"), "interface", "ip -n app link set eth0 up"),
    (
        "ip link set br-front down",
        ("web", "app"),
        "interface",
        "ip link set br-front up; sleep 1; ip -n web route replace default via 172.25.0.1",
    ),
    (
        "ip -n app addr del 172.25.3.4/16 dev eth0",
        ("web", "172.25.3.4:80"),
        "bridge",
        "ip -n app addr add 172.25.3.4/16 dev eth0",
    ),
    (
        "ip -n near route add 172.25.0.0/16 via 203.0.113.1; ip -n near addr add 172.26.0.9/32 dev lo; ip route add 172.26.0.9 via 203.0.113.10; sysctl -qw net.ipv4.conf.lan.rp_filter=1",
        ("web", "near"),
        "",
        "sysctl -qw net.ipv4.conf.lan.rp_filter=0",
    ),
    (
        "sysctl -qw net.ipv4.conf.br-front.rp_filter=1; ip route add 172.25.3.3 via 203.0.113.10",
        ("web", "203.0.113.9"),
        "rp-filter",
        "ip route del 172.25.3.3; sysctl -qw net.ipv4.conf.br-front.rp_filter=0",
    ),
    (
        "nft 'add table ip theirs; add chain ip theirs fw { type filter hook forward priority 0; policy drop; }'; sysctl -qw net.bridge.bridge-nf-call-iptables=1",
        ("web", "app:80"),
        "policy",
        "nft delete table ip theirs",
    ),
    (
        "nft 'add table ip theirs; add chain ip theirs fw { type filter hook forward priority 0; policy drop; }'; sysctl -qw net.bridge.bridge-nf-call-iptables=0",
        ("web", "app:80"),
        "",
        "nft delete table ip theirs; sysctl -qw net.bridge.bridge-nf-call-iptables=1",
    ),
    (
        "nft 'add table bridge theirs; add chain bridge theirs fw { type filter hook forward priority 0; }; add rule bridge theirs fw ether type ip ip daddr 172.25.3.4 drop'",
        ("web", "app:80"),
        "rule",
        "nft delete table bridge theirs",
    ),
    (
        "nft 'add table ip6 theirs; add chain ip6 theirs fw { type filter hook forward priority 0; policy drop; }'",
        ("web", "203.0.113.9:80"),
        "",
        "nft delete table ip6 theirs",
    ),
    (
        "nft 'add table ip theirs; add chain ip theirs fw { type filter hook forward priority 0; policy drop; }; add rule ip theirs fw iifname br-front accept; add rule ip theirs fw oifname br-front ct state established accept'",
        ("web", "203.0.113.9:80"),
        "",
        "nft delete table ip theirs",
    ),
    (
        "ip netns exec near nft 'add table ip own; add chain ip own in { type filter hook input priority 0; policy drop; }; add rule ip own in icmp type echo-request accept'",
        ("web", "203.0.113.9:80"),
        "policy",
        "ip netns exec near nft delete table ip own",
    ),
    (
        "nft 'add table ip theirs; add chain ip theirs pre { type nat hook prerouting priority -90; }; add rule ip theirs pre tcp dport 81 dnat to 172.25.3.4:80; add chain ip theirs fw { type filter hook forward priority 0; }; add rule ip theirs fw ct status dnat counter drop'",
        ("near", "203.0.113.1:81"),
        "rule",
        "nft delete table ip theirs",
    ),
];

live! {
    fn whatever_cuts_a_container_off_is_named_and_so_it_is_with_real_packets(world) {
        let _servers = town(world);

        for (fault, (from, to), kind, undo) in BREAKS {
            world.sh(fault);
            let path = said(world, from, to);
            let arrives = check(world, from, to).unwrap_or_else(|wrong| panic!("after {fault}: {wrong}"));
            assert_eq!(arrives, kind.is_empty(), "after {fault}: {}", text(world, from, to));
            if !kind.is_empty() {
                assert_eq!(path["decision"]["kind"], *kind, "after {fault}: {}", text(world, from, to));
            }
            world.sh(undo);
        }
        assert!(check(world, "web", "203.0.113.9:80").unwrap(), "all is undone");
    }
}

live! {
    fn what_cannot_be_told_is_said_to_be_unknown_and_names_the_rule(world) {
        let _servers = town(world);
        let fw = "add table ip theirs; add chain ip theirs fw { type filter hook forward priority 0; }; add rule ip theirs fw";

        for (rule, verdict) in [
            ("limit rate 1/day accept", "arrives"),
            ("limit rate 1/day drop", "unknown"),
            ("tcp dport 81 limit rate 1/day drop", "arrives"),
            ("meta length > 100 drop", "unknown"),
            ("meta mark set 7; add rule ip theirs fw meta mark 7 drop", "denied"),
        ] {
            world.sh(&format!("nft '{fw} {rule}'"));
            let path = said(world, "web", "203.0.113.9:80");
            assert_eq!(path["verdict"], verdict, "{rule}: {path:#}");
            if verdict == "unknown" {
                assert_eq!(path["decision"]["rule"]["table"], "theirs", "{path:#}");
            }
            world.sh("nft delete table ip theirs");
        }
        let away = said(world, "free", "9.9.9.9:53/udp");
        assert_eq!((&away["verdict"], &away["decision"]["kind"]), (&"denied".into(), &"forwarding".into()), "nobody in this world is 9.9.9.9: {away:#}");
    }
}

live! {
    fn who_leaves_the_host_unhidden_is_told_where_nobody_can_be_asked(world) {
        world.sh("ip tuntap add up0 mode tap; ip addr add 203.0.113.1/24 dev up0; ip link set up0 up; ip route add default via 203.0.113.10");
        world.apply(SHOP);

        let hidden = said(world, "web", "9.9.9.9:53/udp");
        let bare = said(world, "free", "9.9.9.9:53/udp");
        let near = said(world, "free", "10.99.0.1");
        let comes = said(world, "198.51.100.7", "203.0.113.1:8080");

        assert_eq!(hidden["verdict"], "arrives", "{hidden:#}");
        assert!(hidden["decision"]["sentence"].as_str().unwrap().contains("leaves by up0 for 203.0.113.10 with the source 203.0.113.1"), "{hidden:#}");
        assert_eq!((&bare["verdict"], &bare["decision"]["kind"]), (&"no-answer".into(), &"masquerade".into()), "{bare:#}");
        assert_eq!((&near["verdict"], &near["decision"]["kind"]), (&"unknown".into(), &"masquerade".into()), "{near:#}");
        assert_eq!(comes["verdict"], "arrives", "{comes:#}");
    }
}

live! {
    fn ends_that_nobody_has_are_said_and_the_exit_code_tells_on_request(world) {
        world.apply(SHOP);
        let fails = |args: &[&str], code| -> Done { world.run(&[&["explain"], args].concat()).exits(code) };

        assert!(fails(&["--path", "wbe", "db"], 66).stderr.contains("did you mean `web`?"));
        assert!(fails(&["--path", "web", "db:http"], 64).stderr.contains("`db:http` is no port"));
        assert!(fails(&["--path", "web", "db:0"], 64).stderr.contains("`db:0` is no port"));
        assert!(fails(&["--path", "web", "db:80/icmp"], 64).stderr.contains("`db:80/icmp` is no port"));
        fails(&["--path", "web"], 64);
        fails(&["--path", "web", "db", "br-front"], 64);
        fails(&["--exit-code", "br-front"], 64);
        fails(&["--exit-code", "--path", "web", "db:80"], 0);
        let denied = fails(&["--exit-code", "--path", "web", "db:81"], 2).stdout;
        assert!(denied.contains("web (10.7.0.3) to db (10.7.0.4), port 81/tcp: does not arrive") && denied.contains("`icc: false`"), "{denied}");
        fails(&["--path", "web", "db:81"], 0);
    }
}

live! {
    fn who_is_beside_a_sandbox_means_his_own(world) {
        world.apply("netform: 1\nproject: shop\nnetworks: {front: {subnets: [10.8.0.0/24]}}\ncontainers: {web: {networks: [front]}, db: {networks: [front]}}\n");
        let inside = "sh -c 'ip netns exec web sleep 60 & ip netns exec db sleep 60 & touch up; sleep 60'";
        let state = "--state-dir state --run-dir run";
        let dir = world.dir().display();
        let mut sandbox = world.beside(&format!("env -C {dir} {} {state} sandbox netform.yaml -- {inside}", env!("CARGO_BIN_EXE_netform")));
        super::world::eventually("the sandbox is up", || world.dir().join("up").exists());

        for (from, to) in [("web", "db"), ("host", "10.8.0.2"), ("10.8.0.2", "10.8.0.3"), ("container.db", "web")] {
            let said = text(world, from, to);
            assert!(said.contains("arrives, and is answered"), "{from} to {to}: {said}");
        }
        sandbox.kill().unwrap();
        sandbox.wait().unwrap();
    }
}
