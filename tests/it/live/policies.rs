//! Policies on a real kernel: who reaches whom, by packets of both families, and what says so.

use std::fmt::Write as _;
use std::process::Child;

use super::world::{Done, Listen, Server, World, eventually, live, skip};

const NETWORKS: &str = "netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/24, 'fd00:25::/64'], ingress: open, egress: routed}
  back: {subnets: [10.7.0.0/24, 'fd00:7::/64']}
  quiet: {subnets: [10.8.0.0/24, 'fd00:8::/64'], icc: false}
containers:
  web: {networks: {front: {address: [172.25.0.7, 'fd00:25::7']}}, publish: ['8080:80']}
  spy: {networks: {front: {address: [172.25.0.8, 'fd00:25::8']}}}
  db: {networks: {back: {address: [10.7.0.7, 'fd00:7::7']}}}
  one: {networks: {quiet: {address: [10.8.0.7, 'fd00:8::7']}}}
  two: {networks: {quiet: {address: [10.8.0.8, 'fd00:8::8']}}}
";

const POLICIES: &str = "policies:
  - allow: {from: container.web, to: container.db, ports: [5432/tcp, 53/udp]}
  - deny: {from: container.spy, to: [container.web, host]}
  - deny: {from: world, to: container.web, ports: [22, 80]}
  - deny: {from: network.front, to: world, ports: [22]}
  - allow: {from: container.one, to: container.two, ports: [80]}
  - deny: {from: host, to: container.db, ports: [22]}
  - deny: {from: network.back, to: [203.0.113.0/24, '2001:db8::/64']}
";

/// Who there is: the namespace, and its addresses.
const PARTIES: [(&str, &str, &str); 6] = [
    ("web", "172.25.0.7", "fd00:25::7"),
    ("spy", "172.25.0.8", "fd00:25::8"),
    ("db", "10.7.0.7", "fd00:7::7"),
    ("one", "10.8.0.7", "fd00:8::7"),
    ("two", "10.8.0.8", "fd00:8::8"),
    ("out", "203.0.113.9", "2001:db8::9"),
];

const SERVICES: &str = "tcp/22 tcp/80 tcp/5432 udp/53";

/// Tries all services of all addresses at once, and prints those that answer.
const PROBE: &str = r#"
import socket, subprocess, sys, threading
found, threads = {}, []
def probe(name, address, service):
    if service == "ping":
        ping = ["ping", "-n", "-c", "1", "-W", "3", address]
        found[name, service] = subprocess.run(ping, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        return
    protocol, port = service.split("/")
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    s.settimeout(3)
    try:
        s.connect((address, int(port)))
        if protocol == "udp": s.send(b"?")
        found[name, service] = bool(s.recv(100))
    except OSError: found[name, service] = False
for word in sys.argv[2:]:
    name, address = word.split("=")
    for service in sys.argv[1].split():
        threads.append(threading.Thread(target=probe, args=(name, address, service)))
for t in threads: t.start()
for t in threads: t.join()
for word in sys.argv[2:]:
    name = word.split("=")[0]
    print(name + ":", *[s for s in sys.argv[1].split() if found[name, s]])
"#;

/// A host outside, whose routes to the networks lead here.
fn outside(world: &World) {
    world.sh("ip netns add out && ip link add up0 type veth peer name eth0 netns out && ip link set up0 up && \
              ip addr add 203.0.113.1/24 dev up0 && ip addr add 2001:db8::1/64 dev up0 nodad && \
              ip -n out link set lo up && ip -n out link set eth0 up && ip -n out addr add 203.0.113.9/24 dev eth0 && \
              ip -n out addr add 2001:db8::9/64 dev eth0 nodad && ip -n out route add default via 203.0.113.1 && \
              ip -n out route add default via 2001:db8::1");
}

fn serve(world: &World) -> Vec<Server> {
    let places = PARTIES.iter().map(|(ns, _, _)| *ns).chain(["host"]);
    places
        .flat_map(|ns| {
            let tcp = [22, 80, 5432].map(|port| world.serve(ns, &Listen::tcp(port), ns));
            tcp.into_iter().chain([world.serve(ns, &Listen::udp(53), ns)])
        })
        .collect()
}

/// Returns who reaches which services of whom, the same in both families; whoever reaches nobody is left out.
#[track_caller]
fn reached(world: &World) -> String {
    let [four, six] = [false, true].map(|six| {
        let froms = PARTIES.iter().map(|(ns, _, _)| *ns).chain(["host"]);
        let probes: Vec<(&str, Child)> = froms.map(|from| (from, probe(world, from, six))).collect();
        let mut text = String::new();
        for (from, child) in probes {
            let printed = Done::of(child.wait_with_output().unwrap()).exits(0).stdout;
            for line in printed.lines().filter(|line| !line.ends_with(':')) {
                let _ = writeln!(text, "{from} -> {line}");
            }
        }
        text.replace(&format!("{SERVICES} ping"), "everything")
    });
    assert_eq!(four, six, "IPv4 and IPv6 differ");
    four
}

/// Starts to try everything from one place.
fn probe(world: &World, from: &str, six: bool) -> Child {
    let address = |party: &(&str, &'static str, &'static str)| if six { party.2 } else { party.1 };
    let host = match (from, six) {
        ("web" | "spy", false) => "172.25.0.1",
        ("web" | "spy", true) => "fd00:25::1",
        ("db", false) => "10.7.0.1",
        ("db", true) => "fd00:7::1",
        ("one" | "two", false) => "10.8.0.1",
        ("one" | "two", true) => "fd00:8::1",
        (_, false) => "203.0.113.1",
        (_, true) => "2001:db8::1",
    };
    let others = PARTIES.iter().filter(|(to, _, _)| *to != from);
    let mut words: Vec<String> = others.map(|party| format!("{}={}", party.0, address(party))).collect();
    if from != "host" {
        words.push(format!("host={host}"));
    }
    let enter = if from == "host" { String::new() } else { format!("ip netns exec {from} ") };
    world.beside(&format!("{enter}python3 -c '{PROBE}' '{SERVICES} ping' {}", words.join(" ")))
}

live! {
    fn packets_of_both_families_go_where_policies_let_them(world) {
        outside(world);
        world.apply(NETWORKS);
        let _servers = serve(world);
        assert_eq!(reached(world), "\
web -> spy: everything
web -> out: everything
web -> host: everything
spy -> web: everything
spy -> out: everything
spy -> host: everything
db -> out: everything
db -> host: everything
one -> out: everything
one -> host: everything
two -> out: everything
two -> host: everything
out -> web: everything
out -> spy: everything
out -> host: everything
host -> web: everything
host -> spy: everything
host -> db: everything
host -> one: everything
host -> two: everything
host -> out: everything
");

        world.apply(&format!("{NETWORKS}{POLICIES}"));
        let policed = "\
web -> spy: tcp/22 tcp/80 tcp/5432
web -> db: tcp/5432 udp/53
web -> out: tcp/80 tcp/5432 udp/53 ping
web -> host: everything
spy -> out: tcp/80 tcp/5432 udp/53 ping
db -> host: everything
one -> two: tcp/80
one -> out: everything
one -> host: everything
two -> out: everything
two -> host: everything
out -> web: tcp/5432 udp/53 ping
out -> spy: everything
out -> host: everything
host -> web: everything
host -> spy: everything
host -> db: tcp/80 tcp/5432 udp/53 ping
host -> one: everything
host -> two: everything
host -> out: everything
";
        assert_eq!(reached(world), policed);
        // What a bridge forwards between its ports is judged by its own table, whether or not the IP layer sees it, too.
        let other = if world.try_sh("sysctl -n net.bridge.bridge-nf-call-iptables").stdout.trim() == "1" { 0 } else { 1 };
        let seen = ["iptables", "ip6tables"].map(|it| format!("net.bridge.bridge-nf-call-{it}={other}"));
        if world.try_sh(&format!("sysctl -q -w {}", seen.join(" "))).code == 0 {
            assert_eq!(reached(world), policed, "{seen:?}");
        } else {
            skip("live", "there is no br_netfilter");
        }
        // The published port leads to the container's own, by which it is judged; the host is not the world.
        assert_eq!(world.ask("out", "tcp", "203.0.113.1", 8080), None);
        assert_eq!(world.ask("host", "tcp", "127.0.0.1", 8080).map(|it| it.starts_with("web")), Some(true));
        world.assert_in_sync();

        world.apply(NETWORKS);
        assert!(world.ask("out", "tcp", "203.0.113.1", 8080).is_some());
        assert_eq!(world.ask("web", "tcp", "10.7.0.7", 5432), None);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("nft list tables"), "");
    }
}

/// Says a byte every 50 ms on a connection, and notes each answer.
const TALK: &str = r#"
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.settimeout(20)
s.recv(100)
while True:
    s.send(b"x"); s.recv(10); open(sys.argv[3], "a").write("x"); time.sleep(0.05)
"#;

live! {
    fn a_new_deny_ends_the_connections_that_are_there_and_no_others(world) {
        // Without it the bridge's table is alone.
        world.try_sh("sysctl -q -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0");
        world.apply(NETWORKS);
        let _servers = ["web", "spy", "db"].map(|ns| world.serve(ns, &Listen::tcp(80), ns));
        let talks = [
            ("spy", "172.25.0.7", "near"),
            ("spy", "172.25.0.1", "host"),
            ("host", "10.7.0.7", "from-host"),
            ("web", "172.25.0.8", "kept"),
        ];
        let _host = world.serve("host", &Listen::tcp(80), "host");
        world.file("talk.py", TALK);
        let mut children = vec![];
        for (from, to, name) in talks {
            let enter = if from == "host" { String::new() } else { format!("ip netns exec {from} ") };
            let file = world.dir().join(name);
            children.push(world.beside(&format!(
                "{enter}python3 {} {to} 80 {}",
                world.dir().join("talk.py").display(),
                file.display()
            )));
            eventually("it talks", || file.exists());
        }

        world.apply(&format!(
            "{NETWORKS}policies:\n  - deny: {{from: container.spy, to: [container.web, host]}}\n  - deny: {{from: host, to: container.db}}\n"
        ));

        let said = |name: &str| std::fs::read(world.dir().join(name)).unwrap().len();
        let before: Vec<usize> = talks.iter().map(|(_, _, name)| said(name)).collect();
        eventually("the connection that nothing forbids goes on", || said("kept") > before[3] + 10);
        let after: Vec<usize> = talks.iter().map(|(_, _, name)| said(name)).collect();
        assert_eq!(before[..3], after[..3], "{talks:?}");
        for mut child in children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

live! {
    fn a_published_port_answers_neighbours_that_whoever_has_it_may_not_ask(world) {
        let manifest = |deny| format!("netform: 1
project: shop
networks: {{front: {{subnets: [172.25.0.0/24, 'fd00:1::/64']}}}}
containers:
  c: {{networks: {{front: {{address: [172.25.0.3, 'fd00:1::3']}}}}, publish: ['8081:81/udp', '8082:82']}}
  d: {{networks: {{front: {{address: [172.25.0.4, 'fd00:1::4']}}}}}}
policies: [deny: {{{deny}}}]
");
        world.sh("ip addr add 192.0.2.10/32 dev lo");
        let seen = |value| {
            world.try_sh(&format!("sysctl -qw net.bridge.bridge-nf-call-iptables={value} net.bridge.bridge-nf-call-ip6tables={value}")).code == 0
        };
        let by_port = "from: container.c, to: container.d, ports: [1000-65535/udp]";
        for (deny, asks) in [("from: container.c, to: container.d", true), (by_port, true), ("from: container.d, to: container.c", false)] {
            world.apply(&manifest(deny));
            let _servers = [world.serve("c", &Listen::udp(81), "c"), world.serve("c", &Listen::tcp(82), "c"), world.serve("d", &Listen::udp(5000), "d")];
            for value in [0, 1] {
                if !seen(value) {
                    skip("live", "there is no br_netfilter");
                    continue;
                }
                // What is refused is waited for.
                let all = ["172.25.0.1", "192.0.2.10", "fd00:1::1"];
                for to in if asks { &all[..] } else { &all[..1] } {
                    assert_eq!(world.ask("d", "udp", to, 8081).is_some(), asks, "{to}, {deny}, seen: {value}");
                    assert_eq!(world.ask("d", "tcp", to, 8082).is_some(), asks, "{to}, {deny}, seen: {value}");
                }
                assert_eq!(world.ask("c", "udp", "172.25.0.4", 5000), None, "{deny}, seen: {value}");
            }
        }
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn containers_that_policies_name_send_with_their_own_addresses_only(world) {
        world.apply(NETWORKS);
        world.sh("ip -n spy addr add 172.25.0.99/24 dev eth0 && ip -n spy addr add fd00:25::99/64 dev eth0 nodad");
        let sends = |source: &str, to: &str| world.pings("spy", &format!("-I {source} {to}"));
        assert!(sends("172.25.0.99", "172.25.0.1") && sends("fd00:25::99", "fd00:25::1"));

        world.apply(&format!("{NETWORKS}policies: [{{deny: {{from: container.spy, to: network.back}}}}]\n"));

        assert!(!sends("172.25.0.99", "172.25.0.1") && !sends("fd00:25::99", "fd00:25::1"));
        // With a link-local address neighbours are found, and nobody is talked to.
        assert!(sends("172.25.0.8", "172.25.0.1") && sends("fd00:25::8", "fd00:25::1"));
        let web = world.sh("ip -n web -6 -br addr show dev eth0 scope link | grep -o 'fe80[^/]*'");
        assert!(!world.pings("spy", &format!("{}%eth0", web.trim())));
        world.sh("ip -n spy neigh flush dev eth0");
        assert!(sends("fd00:25::8", "fd00:25::7") && sends("172.25.0.8", "172.25.0.7"));
    }
}

/// Says by ARP that it has an address, in a frame with a tag that says of a priority only (VLAN 0), or with none.
const ANNOUNCE: &str = r#"
import socket, sys
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0))
own, claimed = link.getsockname()[4], socket.inet_aton(sys.argv[1])
tag = bytes.fromhex(sys.argv[2])
asks = bytes.fromhex("0001080006040001") + own + claimed + bytes(6) + socket.inet_aton(sys.argv[3])
link.send(b"\xff" * 6 + own + tag + bytes.fromhex("0806") + asks)
"#;

live! {
    fn no_tag_makes_a_neighbour_believe_who_says_that_he_has_anothers_address(world) {
        world.apply(NETWORKS);
        world.file("announce.py", ANNOUNCE);
        let known = |address: &str, tag: &str| {
            world.sh("ip -n web neigh flush dev eth0");
            world.sh(&format!("ip netns exec spy python3 announce.py {address} '{tag}' 172.25.0.7"));
            std::thread::sleep(std::time::Duration::from_millis(100));
            world.sh("ip -n web neigh show dev eth0").contains(address)
        };
        assert!(["", "81006000"].into_iter().all(|tag| known("172.25.0.99", tag)), "nothing forbids it");

        world.apply(&format!("{NETWORKS}policies: [{{deny: {{from: container.spy, to: network.back}}}}]\n"));

        for tag in ["", "81006000"] {
            assert!(!known("172.25.0.99", tag) && known("172.25.0.8", tag), "tag {tag:?}");
        }
    }
}

live! {
    fn a_plan_says_what_policies_open_and_close_and_explain_names_the_one_that_decides(world) {
        world.file("netform.yaml", &format!("{NETWORKS}{POLICIES}"));
        let (plan, _) = world.plan();
        assert!(plan.contains("+ opens: from container.web to container.db on 5432/tcp and 53/udp"), "{plan}");
        assert!(plan.contains("+ closes: from container.spy to container.web and host"), "{plan}");
        let markdown = world.run(&["plan", "--output", "markdown"]).exits(0).stdout;
        assert!(markdown.contains("opens: from container.one to container.two on 80/tcp"), "{markdown}");
        let json = world.run(&["plan", "--output", "json"]).exits(0).stdout;
        assert!(json.contains("\"effect\": \"closes: from host to container.db on 22/tcp\""), "{json}");

        world.run(&["apply", "--yes"]).exits(0);
        let path = |from: &str, to: &str| world.run(&["explain", "--path", from, to]).exits(0).stdout;
        let near = path("spy", "web:80");
        assert!(near.contains("does not arrive"), "{near}");
        assert!(near.contains("policy.deny:container.spy:container.web+host (netform.yaml:15:5)"), "{near}");
        let open = path("web", "db:5432");
        assert!(open.contains("arrives, and is answered"), "{open}");
        assert!(open.contains("policy.allow:container.web:container.db:5432/tcp+53/udp (netform.yaml:14:5)"), "{open}");
        let shut = path("web", "db:5433");
        assert!(shut.contains("networks reach each other by published ports only"), "{shut}");

        let told = world.run(&["explain", "policy.deny:network.front:world:22/tcp"]).exits(0).stdout;
        assert!(told.contains("a policy of netform's project shop"), "{told}");
        assert!(told.contains("it closes what goes from network.front to world on 22/tcp"), "{told}");
        assert!(told.contains("netform.yaml:17:5 asks for it"), "{told}");

        world.file("netform.yaml", NETWORKS);
        let (plan, _) = world.plan();
        assert!(plan.contains("- closes: from container.one to container.two on 80/tcp"), "{plan}");
        assert!(plan.contains("- opens: from host to container.db on 22/tcp"), "{plan}");
    }
}

live! {
    fn policies_change_in_place_while_other_things_change_and_a_failure_takes_them_back(world) {
        let with = |policies: &str, more: &str| format!("{NETWORKS}{more}policies:\n{policies}");
        world.apply(&with("  - deny: {from: network.front, to: world}\n", ""));
        // The new element overlaps the old one, and containers come and go at the same time.
        let exception = "  - allow: {from: container.web, to: world}\n  - deny: {from: network.front, to: world}\n";
        world.apply(&with(exception, "  more: {networks: [front]}\n"));
        world.assert_in_sync();
        world.apply(&with("  - deny: {from: network.front, to: world}\n", "  other: {networks: [back]}\n"));
        world.assert_in_sync();

        // Earlier ones decide, so the order counts, and who decides is noted.
        let [first, second] = ["  - deny: {from: container.web, to: container.db}\n", "  - deny: {from: network.front, to: network.back}\n"];
        world.apply(&with(&format!("{first}{second}"), ""));
        world.apply(&with(&format!("{second}{first}"), ""));
        world.assert_in_sync();
        let told = world.sh("nft list set inet netform-shop deny_pair4");
        assert!(!told.contains("container.web"), "{told}");

        let before = world.sh("nft list ruleset");
        world.file("netform.yaml", &with(exception, "  broken: {networks: [front]}\n"));
        world.sh("mkdir -p /run/netns && touch /run/netns/broken");
        let done = world.run(&["apply", "--yes"]);
        assert_ne!(done.code, 0, "{}", done.stdout);
        assert_eq!(world.sh("nft list ruleset"), before);
    }
}
