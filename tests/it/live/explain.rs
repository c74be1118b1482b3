//! Anything on a host can be explained, ours or others'.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use super::engine::Engine;
use super::world::{Done, Listen, World, contained, live};
use crate::schema::assert_follows;

const SHOP: &str = "netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16]}
containers:
  web:
    networks: {front: {address: 172.25.3.3}}
    publish: ['8080:80']
";

/// What others leave on a host, and somebody's pair of namespaces.
const OTHERS: &str = "
    ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up
    ip link add br-0123456789ab type bridge
    ip netns add theirs; ip link add veth1a2b3c4 type veth peer name eth0 netns theirs
    ip link set veth1a2b3c4 master docker0 up; ip -n theirs addr add 172.17.0.2/16 dev eth0
    ip link add hand0 type bridge; ip link add vh0 type veth peer name vh1; ip link set vh0 master hand0
    ip netns add a; ip netns add b; ip -n a link add x0 type veth peer name y0 netns b
    ip link add virbr0 type bridge; ip link add cni0 type bridge
    nft add table inet theirs; nft add chain inet theirs DOCKER; nft add rule inet theirs DOCKER accept";

/// Returns what is explained, which has to be something.
#[track_caller]
fn explained(world: &World, things: &[&str]) -> String {
    world.run(&[&["explain"], things].concat()).exits(0).stdout
}

/// Asserts that each of these is explained by one sentence with these words.
#[track_caller]
fn check(world: &World, thing: &str, words: &[&str]) {
    let said = explained(world, &[thing]);
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// Runs `netform explain -` on what a command prints.
fn pasted(world: &World, command: &str) -> Done {
    let mut child = world
        .netform()
        .args(["explain", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(world.sh(command).as_bytes()).unwrap();
    Done::of(child.wait_with_output().unwrap())
}

fn host_end(world: &World) -> String {
    let link = world.sh("ip -o link show netform.shop.web.front");
    link.split([' ', '@']).nth(1).unwrap().to_owned()
}

live! {
    fn what_is_netforms_is_told_with_network_container_peer_and_line(world) {
        world.apply(SHOP);
        let end = host_end(world);

        check(world, "br-front", &["network front, project shop", "172.25.0.1/16", &end, "netform.yaml:4:3 asks for it"]);
        check(world, &end, &["container web on network front", "a port of bridge br-front", "eth0 in namespace web with 172.25.3.3/16", "netform.yaml:7:16"]);
        check(world, "eth0", &["in namespace web", "container web", &end, "a default route leaves by it"]);
        check(world, "netform.shop.front", &["br-front is the bridge"]);
        check(world, "172.25.3.3", &["172.25.3.3 is on eth0 in namespace web", "container web"]);
        check(world, "172.25.0.0/16", &["the subnet of br-front"]);
        check(world, "02:42:ac:19:03:03", &["on eth0 in namespace web"]);
        check(world, "8080", &["0.0.0.0:8080/tcp", "project shop publishes", "container web at 172.25.3.3, port 80", "netform.yaml:8:15"]);
        check(world, "/run/netns/web", &["netform made for container web of project shop"]);
        check(world, "network.front", &["its bridge is br-front", "on it: web"]);
        assert_eq!(explained(world, &["web"]).lines().count(), 2, "the namespace and the container");
        assert_eq!(explained(world, &["attachment.web@front"]).lines().count(), 2, "both ends");
    }
}

live! {
    fn projects_are_told_apart_and_without_a_state_only_their_lines_are_missing(world) {
        world.apply(SHOP);
        world.apply("netform: 1\nproject: blog\nnetworks: {back: {subnets: [172.26.0.0/16]}}\n");
        let both = explained(world, &["br-front", "br-back"]);
        assert!(both.contains("project shop") && both.contains("project blog") && both.contains("netform.yaml:3:"), "{both}");

        std::fs::remove_dir_all(world.dir().join("state")).unwrap();

        let said = explained(world, &["br-front"]);
        assert!(said.contains("network front, project shop") && !said.contains("asks for it"), "{said}");
    }
}

live! {
    fn every_interface_of_the_host_is_told_in_a_sentence(world) {
        world.apply(SHOP);
        world.sh(OTHERS);

        let said = explained(world, &[]);

        let links = world.sh("ip -o link");
        assert_eq!(said.lines().count(), links.lines().count(), "{said}");
        for (name, words) in [
            ("lo", "the loopback interface"),
            ("docker0", "a bridge, made by Docker for its default network: its port is veth1a2b3c4; it has 172.17.0.1/16"),
            ("br-0123456789ab", "made by Docker for its network 0123456789ab"),
            ("veth1a2b3c4", "made by Docker: a port of bridge docker0; its other end is eth0 in namespace theirs with 172.17.0.2/16"),
            ("hand0", "a bridge, and nothing tells who made it: its port is vh0"),
            ("vh0", "a port of bridge hand0; its other end is vh1"),
            ("vh1", "its other end is vh0, a port of bridge hand0"),
            ("virbr0", "made by libvirt"),
            ("cni0", "made by CNI"),
        ] {
            let line = said.lines().find(|line| line.starts_with(&format!("{name} is "))).unwrap_or_default();
            assert!(line.contains(words), "{name}: {line}");
        }
        check(world, "x0", &["x0 in namespace a", "its other end is y0 in namespace b"]);
        check(world, "a", &["not netform's", "it has x0"]);
    }
}

live! {
    fn the_other_end_is_found_where_only_a_process_keeps_the_namespace(world) {
        let mut sleeper = world.beside("unshare -n sleep 60");
        super::world::eventually("the process has a namespace", || {
            world.try_sh(&format!("test \"$(readlink /proc/{}/ns/net)\" != \"$(readlink /proc/self/ns/net)\"", sleeper.id())).code == 0
        });
        world.sh(&format!("ip link add out type veth peer name in0 netns {}", sleeper.id()));

        let said = explained(world, &["out"]);
        let inside = explained(world, &["in0"]);

        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        let place = format!("the namespace of process {} (", sleeper.id());
        assert!(said.contains(&format!("its other end is in0 in {place}")), "{said}");
        assert!(inside.contains(&format!("in0 in {place}")) && inside.contains("its other end is out on the host"), "{inside}");
    }
}

live! {
    fn a_container_behind_a_link_of_the_host_is_told_with_that_link(world) {
        world.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
        world.apply("netform: 1\nproject: home\nnetworks: {lan: {driver: macvlan, options: {parent: up0}, subnets: [192.168.1.0/24]}}\ncontainers: {printer: {networks: {lan: {address: 192.168.1.200}}}}\n");

        check(world, "192.168.1.200", &["eth0 in namespace printer", "container printer has on netform's network lan", "it stands on up0 on the host", "netform.yaml:4:"]);
        check(world, "lan", &["it is behind up0; on it: printer"]);
    }
}

live! {
    fn what_ip_printed_is_explained_wherever_it_was_printed(world) {
        world.apply(SHOP);
        let all = explained(world, &[]);

        for command in ["ip addr", "ip link", "ip -o link", "ip -d addr", "ip -br addr", "ip -c=always addr"] {
            assert_eq!(pasted(world, command).exits(0).stdout, all, "{command}");
        }
        let inside = pasted(world, "ip -n web addr").exits(0).stdout;
        assert!(inside.contains("eth0 in namespace web is the interface that container web has"), "{inside}");
        let elsewhere = pasted(world, "echo '5: br-aaaaaaaaaaaa: <UP> mtu 1500'").exits(0).stdout;
        assert!(elsewhere.contains("no interface that can be seen from here: by its name it is Docker's"), "{elsewhere}");
        let nothing = pasted(world, "echo hello").exits(64);
        assert!(nothing.stdout.is_empty() && nothing.stderr.contains("ip addr | netform explain -"), "{}", nothing.stderr);
    }
}

live! {
    fn what_nft_lists_is_explained(world) {
        world.apply(SHOP);
        world.sh(OTHERS);

        let said = |line: &str| explained(world, &line.split(' ').collect::<Vec<_>>());

        assert!(said("nft table inet netform-shop").contains("the firewall of netform's project shop"));
        assert!(said("chain inet theirs DOCKER").contains("by its name it is made by Docker"));
        assert!(said("nft table inet theirs").contains("a table that is not netform's"));
        let element = said("nft element any_addr4 tcp . 8080");
        assert!(element.contains("it leads to 172.25.3.3; it is there for port.0.0.0.0:8080/tcp; netform.yaml:8:15"), "{element}");
        let listed = world.sh("nft -a list table inet netform-shop");
        let rules: Vec<_> = listed.lines().filter(|line| line.contains("@masquerade4 masquerade")).collect();
        assert_eq!(rules.len(), 1, "{listed}");
        let rule = explained(world, &rules);
        assert!(rule.contains("of chain") && rule.contains("@masquerade4 masquerade") && rule.lines().count() == 1, "{rule}");
    }
}

live! {
    fn a_port_on_which_a_process_listens_is_told_with_it(world) {
        let _server = world.serve("host", &Listen::tcp(9999), "here");

        let said = explained(world, &["9999/tcp"]);

        assert!(said.contains("on which process ") && said.contains("(python3) listens"), "{said}");
    }
}

live! {
    fn what_is_not_there_is_said_and_exits_with_66(world) {
        world.apply(SHOP);

        for (thing, words) in [
            ("br-frnt", "did you mean `br-front`?"),
            ("frobnicate", "nothing that can be seen from here is called `frobnicate`"),
            ("198.51.100.1", "no interface that can be seen from here has 198.51.100.1"),
            ("02:00:00:00:00:99", "no interface that can be seen from here has 02:00:00:00:00:99"),
            ("7/udp", "nobody publishes port 7/udp of this host"),
            ("nft table inet nope", "there is no `nft table inet nope` in the firewall"),
        ] {
            let done = world.run(&["explain", thing]).exits(66);
            assert!(done.stdout.is_empty() && done.stderr.contains(words), "{thing}: {}", done.stderr);
        }
        let some = world.run(&["explain", "frobnicate", "br-front"]).exits(66);
        assert!(some.stdout.starts_with("br-front is ") && some.stderr.contains("`frobnicate`"), "what is there is told");
    }
}

live! {
    fn machines_get_what_is_explained_as_json(world) {
        world.apply(SHOP);
        world.sh(OTHERS);
        let json = |things: &[&str], code| -> Value {
            let all = [&["explain", "--output", "json"], things].concat();
            let document = serde_json::from_str(&world.run(&all).exits(code).stdout).unwrap();
            assert_follows("explain", &document);
            document
        };

        let document = json(&["eth0", "frobnicate"], 66);
        let findings = &document["things"][0]["findings"];
        let ours = findings.as_array().unwrap().iter().find(|it| it["namespace"] == "web").unwrap();
        assert_eq!((&ours["owner"], &ours["project"], &ours["resource"]), (&"netform".into(), &"shop".into(), &"attachment.web@front".into()));
        assert_eq!((&ours["network"], &ours["container"]), (&"front".into(), &"web".into()));
        assert_eq!(ours["peer"], serde_json::json!({"interface": host_end(world), "namespace": null}));
        assert_eq!(ours["manifest"], "netform.yaml:7:16");
        assert_eq!(document["things"][1], serde_json::json!({"thing": "frobnicate", "findings": []}));
        let all = json(&[], 0);
        assert!(all["things"][0]["findings"].as_array().unwrap().len() > 5, "{all}");
        for thing in ["8080", "web", "172.25.3.3", "netform-shop"] {
            json(&[thing], 0);
        }
    }
}

live! {
    fn to_explain_changes_nothing(world) {
        world.apply(SHOP);
        let state = "ip -d -o link | sed 's/_timer *[0-9.]*//g'; ip -o addr; ip netns; nft list ruleset; find state run | sort; cat state/*/generations/*";
        let before = world.sh(state);

        for thing in ["br-front", "8080", "web"] {
            explained(world, &[thing]);
        }
        explained(world, &[]);

        assert_eq!(world.sh(state), before);
    }
}

contained! {
    fn what_docker_made_is_told_by_its_containers_and_networks(world, "dockerd") {
        let docker = Engine::docker_with(
            world,
            "exec dockerd --containerd /run/containerd/containerd.sock --data-root /run/docker-data --exec-root /run/docker --pidfile /run/docker.pid -H unix:///run/docker.sock --storage-driver vfs --iptables=false --ip6tables=false --bip 172.17.0.1/16",
        );
        docker.run("shop-db", "bridge");
        let said = explained(world, &[]);
        let port = world.sh("ip -o link show master docker0");
        let port = port.split([' ', '@']).nth(1).unwrap();

        let line = said.lines().find(|line| line.starts_with(&format!("{port} is "))).unwrap();
        for words in ["made by Docker for its network bridge, of container shop-db", "a port of bridge docker0", "eth0 in the namespace of Docker's container shop-db with 172.17.0.2/16"] {
            assert!(line.contains(words), "`{words}` is not in: {line}");
        }
        check(world, "shop-db", &["a container that Docker runs", "eth0 with 172.17.0.2/16"]);
        check(world, "172.17.0.2", &["on eth0 in the namespace of Docker's container shop-db"]);
    }
}
