//! Containers that are kept apart on one network.

use super::daemon::{Daemon, patiently};
use super::world::{Listen, World, live};

/// Two that are isolated, of which `db` publishes, and one that is not; `extra` is what `web` says besides.
fn shop(web: &str, db: &str) -> String {
    format!(
        "netform: 1
project: shop
networks: {{front: {{subnets: [10.7.0.0/24, 'fd00:7::/64']}}}}
containers:
  web: {{networks: {{front: {{address: [10.7.0.2, 'fd00:7::2'], isolated: {web}}}}}}}
  db: {{networks: {{front: {{address: [10.7.0.3, 'fd00:7::3'], isolated: {db}}}}}, publish: ['8080:80', '8080:80/udp']}}
  job: {{networks: {{front: {{address: [10.7.0.4, 'fd00:7::4']}}}}}}
  log: {{networks: {{front: {{address: [10.7.0.5, 'fd00:7::5'], isolated: {db}}}}}}}
"
    )
}

const DB: [&str; 2] = ["10.7.0.3", "fd00:7::3"];
const LOG: [&str; 2] = ["10.7.0.5", "fd00:7::5"];

/// Has `web` send what is for its neighbours to the host; what it asks the neighbours about comes to nothing.
fn by_the_host(world: &World) {
    world.sh("ip -n web route replace 10.7.0.3 via 10.7.0.1; ip -n web route replace 10.7.0.5 via 10.7.0.1; ip -n web route replace 10.7.0.4 via 10.7.0.1");
    world.sh("ip -n web -6 route replace fd00:7::3 via fd00:7::1; ip -n web -6 route replace fd00:7::5 via fd00:7::1");
    world.sh("ip netns exec web sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.eth0.accept_redirects=0 net.ipv6.conf.eth0.accept_redirects=0");
}

fn directly(world: &World) {
    world.sh("for ip in 10.7.0.3 10.7.0.4 10.7.0.5; do ip -n web route del $ip; done; for ip in fd00:7::3 fd00:7::5; do ip -n web -6 route del $ip; done");
}

/// What tells whether the firewall sees what bridges pass on.
fn br_netfilter(world: &World, on: bool) -> bool {
    let value = u8::from(on);
    let set = "sysctl -qw net.bridge.bridge-nf-call-iptables=VALUE net.bridge.bridge-nf-call-ip6tables=VALUE";
    world.try_sh(&set.replace("VALUE", &value.to_string())).code == 0
}

live! {
    fn two_who_are_isolated_do_not_talk_to_each_other_and_to_all_else(world) {
        world.apply(&shop("true", "true"));
        world.assert_in_sync();
        let _server = world.serve("db", &Listen::tcp(80), "db");
        let _datagrams = world.serve("db", &Listen::udp(80), "db");

        for netfilter in [false, true] {
            if !br_netfilter(world, netfilter) {
                eprintln!("SKIPPED (br_netfilter): this kernel has none");
                continue;
            }
            for to in DB.iter().chain(&LOG) {
                assert!(!world.pings("web", to) && world.pings("job", to) && world.pings("host", to), "{to}");
            }
            assert!(!world.pings("log", "10.7.0.3") && !world.pings("db", "fd00:7::5"));
            assert!(world.pings("web", "10.7.0.4") && world.pings("web", "fd00:7::4") && world.pings("job", "10.7.0.2"));
            assert!(world.pings("web", "10.7.0.1") && world.pings("web", "fd00:7::1"));
            assert_eq!(world.ask("web", "tcp", "10.7.0.3", 80), None);
            for who in ["web", "log", "job", "db", "host"] {
                for protocol in ["tcp", "udp"] {
                    assert!(world.ask(who, protocol, "10.7.0.1", 8080).is_some_and(|it| it.starts_with("db")), "{who} by {protocol}, br_netfilter {netfilter}");
                    assert!(world.ask(who, protocol, "fd00:7::1", 8080).is_some_and(|it| it.starts_with("db")), "{who} by {protocol} over IPv6, br_netfilter {netfilter}");
                }
            }
            by_the_host(world);
            for to in DB.iter().chain(&LOG) {
                assert!(!world.pings("web", to), "{to} by the host, br_netfilter {netfilter}");
            }
            assert_eq!(world.ask("web", "udp", "10.7.0.3", 80), None);
            assert!(world.pings("web", "10.7.0.1") && world.ask("web", "tcp", "10.7.0.1", 8080).is_some());
            directly(world);
        }
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("nft list ruleset; ip netns list"), "");
    }
}

live! {
    fn the_way_round_by_the_host_is_there_without_the_firewall(world) {
        world.apply(&shop("true", "true"));
        by_the_host(world);
        world.sh("ip -n log route add 10.7.0.2 via 10.7.0.1; ip netns exec log sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.eth0.accept_redirects=0");
        assert!(!world.pings("web", "10.7.0.5"));

        world.sh("nft flush chain bridge netform-shop input");

        assert!(world.pings("web", "10.7.0.5"), "this is what the rule is against");
        world.run(&["apply", "--yes"]).exits(0);
        assert!(!world.pings("web", "10.7.0.5"));
    }
}

live! {
    fn isolation_comes_and_goes_in_place_and_is_set_back(world) {
        world.apply(&shop("false", "true"));
        assert!(world.pings("web", "10.7.0.5"));
        let index = || world.sh("ip -o link show netform.shop.web.front | cut -d: -f1");
        let before = index();

        world.file("netform.yaml", &shop("true", "true"));
        let (plan, _) = world.plan();
        assert!(plan.contains("isolated: on") && plan.contains("no interruption"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(!world.pings("web", "10.7.0.5"));
        assert_eq!(index(), before);

        let off = "bridge link set dev $(ip -o link show netform.shop.web.front | sed 's/^[0-9]*: //; s/@.*//') isolated off";
        world.sh(off);
        let (plan, changes) = world.plan();
        assert!(changes && plan.contains("isolated"), "{plan}");
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        let isolated = || world.sh("bridge -d link show").matches("isolated on").count() == 2;
        patiently(&|| daemon.log(), isolated);
        world.sh(off);
        patiently(&|| daemon.log(), isolated);
        world.sh("nft flush ruleset");
        daemon.brings_it_in_sync("no rules");
        drop(daemon);

        world.apply(&shop("false", "false"));
        assert!(world.pings("web", "10.7.0.5") && world.pings("web", "10.7.0.3"));
        assert_eq!(world.sh("nft list tables bridge"), "");
        world.run(&["rollback", "--yes"]).exits(0);
        assert!(!world.pings("web", "10.7.0.5"));
    }
}

live! {
    fn explain_says_who_is_kept_apart_and_by_what(world) {
        world.apply(&shop("true", "true"));

        let said = world.run(&["explain", "--path", "web", "log", "--exit-code"]).exits(2).stdout;
        assert!(said.contains("does not arrive") && said.contains("both are isolated"), "{said}");
        let said = world.run(&["explain", "--path", "web", "db", "--exit-code"]).exits(2).stdout;
        assert!(said.contains("chain isolated of table bridge netform-shop drops it"), "{said}");
        let said = world.run(&["explain", "--path", "web", "job:80"]).exits(0).stdout;
        assert!(said.contains("arrives") || said.contains("gets there"), "{said}");
        let doctor = world.run(&["doctor"]).exits(0).stdout;
        assert!(!doctor.contains("does not reach"), "{doctor}");
    }
}

/// An existing bridge with a neighbour of ours at one of its ports, and a remote host behind the host.
fn lan(world: &World) {
    world.sh("ip link add br-lan type bridge; ip addr add 10.8.0.1/24 dev br-lan; ip addr add fd00:8::1/64 dev br-lan nodad; ip link set br-lan up
        ip netns add near; ip link add port type veth peer name eth0 netns near; ip link set port master br-lan up
        ip -n near link set eth0 up; ip -n near addr add 10.8.0.9/24 dev eth0; ip -n near addr add fd00:8::9/64 dev eth0 nodad
        ip netns add remote; ip link add uplink type veth peer name eth0 netns remote; ip link set uplink up; ip addr add 192.0.2.1/24 dev uplink
        ip -n remote link set eth0 up; ip -n remote addr add 192.0.2.2/24 dev eth0; ip -n remote route add default via 192.0.2.1");
}

/// What is to be as it was: the bridge's addresses, what its own port is told, and who is on it.
const LAN_ALONE: &str = "ip -o -4 addr show dev br-lan; ip -d -o link show port | grep -o 'hairpin o[nf]*\\|isolated o[nf]*'; ip -o link show master br-lan | wc -l";

/// Three on an existing bridge that are isolated, of which `db` publishes, and one that is not.
const LAN: &str = "netform: 1
project: shop
networks: {lan: {external: br-lan, subnets: [10.8.0.0/24, 'fd00:8::/64']}}
containers:
  web: {networks: {lan: {address: [10.8.0.2, 'fd00:8::2'], isolated: true}}}
  db: {networks: {lan: {address: [10.8.0.3, 'fd00:8::3'], isolated: true}}, publish: ['8080:80', '8080:80/udp']}
  job: {networks: {lan: {address: [10.8.0.4, 'fd00:8::4']}}}
  log: {networks: {lan: {address: [10.8.0.5, 'fd00:8::5'], isolated: true}}}
";

live! {
    fn on_an_existing_bridge_they_are_kept_apart_and_their_ports_are_there_for_everybody(world) {
        lan(world);
        let before = world.sh(LAN_ALONE);
        world.apply(LAN);
        world.assert_in_sync();
        let _server = world.serve("db", &Listen::tcp(80), "db");
        let _datagrams = world.serve("db", &Listen::udp(80), "db");

        for netfilter in [false, true] {
            if !br_netfilter(world, netfilter) {
                eprintln!("SKIPPED (br_netfilter): this kernel has none");
                continue;
            }
            for to in ["10.8.0.3", "fd00:8::3", "10.8.0.5", "fd00:8::5"] {
                assert!(!world.pings("web", to) && world.pings("job", to) && world.pings("near", to) && world.pings("host", to), "{to}");
            }
            assert!(!world.pings("log", "10.8.0.3") && !world.pings("db", "fd00:8::5"));
            assert!(world.pings("web", "10.8.0.4") && world.pings("web", "10.8.0.9") && world.pings("web", "10.8.0.1"));
            assert_eq!(world.ask("web", "tcp", "10.8.0.3", 80), None);
            for who in ["web", "log", "job", "db", "near", "host", "remote"] {
                for (protocol, to) in [("tcp", "10.8.0.1"), ("udp", "10.8.0.1"), ("tcp", "fd00:8::1")] {
                    if who == "remote" && to.contains(':') {
                        continue;
                    }
                    let answer = world.ask(who, protocol, to, 8080);
                    assert!(answer.is_some_and(|it| it.starts_with("db")), "{who} by {protocol} to {to}, br_netfilter {netfilter}");
                }
            }
            let path = |from: &str, to: &str, code: i32| world.run(&["explain", "--path", from, to, "--exit-code"]).exits(code);
            path("web", "10.8.0.1:8080", 0);
            path("remote", "192.0.2.1:8080", 0);
            path("web", "db:80", 2);
            path("web", "log", 2);
        }
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("nft list ruleset"), "");
        assert_eq!(world.sh(LAN_ALONE), before);
    }
}

live! {
    fn on_an_existing_bridge_isolation_comes_and_goes_with_the_ports_and_is_set_back(world) {
        lan(world);
        world.apply(&LAN.replace(", publish: ['8080:80', '8080:80/udp']", ""));
        assert_eq!(world.sh("bridge -d link show").matches("isolated on").count(), 3);
        assert!(!world.pings("web", "10.8.0.3"));

        world.apply(LAN);
        assert_eq!(world.sh("bridge -d link show").matches("isolated on").count(), 2);
        assert!(!world.pings("web", "10.8.0.3"));
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        world.sh("nft delete table bridge netform-shop");
        daemon.brings_it_in_sync("no rules of the bridges");
        drop(daemon);
        assert!(!world.pings("web", "10.8.0.3"));
        world.run(&["rollback", "--yes"]).exits(0);
        assert_eq!(world.sh("bridge -d link show").matches("isolated on").count(), 3);
        assert!(!world.pings("web", "10.8.0.3"));
    }
}
