//! A container of two projects, each with a daemon: one of them answers names in it.

use std::time::Duration;

use super::daemon::{Daemon, patiently};
use super::world::{Listen, World, live};

/// A project with a container of somebody else's, in which its interface is called so.
fn project(world: &World, name: &str, (subnet, interface): (&str, &str)) {
    let pod = world.dir().join("pod").display().to_string();
    let manifest = format!(
        "netform: 1\nproject: {name}\nnetworks: {{net: {{subnets: [{subnet}], internal: true}}}}\n\
         containers:\n  pod: {{netns: {pod}, networks: {{net: {{interface: {interface}}}}}}}\n  {name}-db: {{networks: [net]}}\n"
    );
    world.file(&format!("{name}.yaml"), &manifest);
}

/// Asks the resolver of a namespace; the address that it answers with, or nothing.
fn asks(world: &World, name: &str) -> String {
    world.file(
        "ask1.py",
        "
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)
name = b''.join(bytes([len(l)]) + l.encode() for l in sys.argv[1].split('.')) + b'\\0'
s.sendto(struct.pack('>HHHHHH', 7, 256, 1, 0, 0, 0) + name + struct.pack('>HH', 1, 1), ('127.0.0.11', 53))
answer = s.recv(512)
print('.'.join(map(str, answer[-4:])) if struct.unpack('>H', answer[6:8])[0] else '')
",
    );
    world.try_sh(&format!("ip netns exec pod python3 ask1.py {name}")).stdout.trim().to_owned()
}

live! {
    fn of_two_daemons_that_have_a_container_the_first_answers_there_and_the_other_says_so(world) {
        world.sh("ip netns add pod && ip -n pod link set lo up && touch pod && mount --bind /run/netns/pod pod");
        project(world, "one", ("10.61.0.0/24", "eth0"));
        project(world, "two", ("10.62.0.0/24", "eth1"));
        let one = Daemon::of(world, "one.yaml", &["--resync", "1h"]);
        std::fs::rename(world.dir().join("watch.log"), world.dir().join("one.log")).unwrap();
        let two = Daemon::of(world, "two.yaml", &["--resync", "1h"]);

        let is_told = "names of this project are not answered in namespace";
        two.says(is_told);
        let chain = || world.sh("ip netns exec pod nft -a list table ip netform-dns | grep -w chain");
        let before = chain();
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(chain(), before, "they take it from each other");
        assert_eq!((asks(world, "one-db"), asks(world, "two-db")), ("10.61.0.3".to_owned(), String::new()));
        let says = |verb: &[&str]| world.run(verb).stdout;
        assert!(says(&["status", "--manifest", "two.yaml"]).contains(is_told));
        assert!(says(&["plan", "two.yaml"]).contains(is_told));
        for verb in [&["status", "--manifest", "one.yaml"][..], &["plan", "one.yaml"]] {
            assert!(!says(verb).contains(is_told), "{verb:?}");
        }

        drop(one);
        patiently(&|| two.log(), || asks(world, "two-db") == "10.62.0.3");
        patiently(&|| two.log(), || !says(&["status", "--manifest", "two.yaml"]).contains(is_told));

        // Who comes back finds it taken.
        let one = Daemon::of(world, "one.yaml", &["--resync", "1h"]);
        one.says(is_told);
        assert_eq!(asks(world, "two-db"), "10.62.0.3");
    }
}

live! {
    fn so_it_is_where_the_container_itself_has_the_port_that_all_begin_with(world) {
        world.sh("ip netns add pod && ip -n pod link set lo up && touch pod && mount --bind /run/netns/pod pod");
        project(world, "one", ("10.61.0.0/24", "eth0"));
        project(world, "two", ("10.62.0.0/24", "eth1"));
        let _server = world.serve("pod", &Listen { protocol: "udp", address: "0.0.0.0", port: 61053 }, "mine");
        let one = Daemon::of(world, "one.yaml", &["--resync", "1h"]);
        let two = Daemon::of(world, "two.yaml", &["--resync", "1h"]);
        two.says("names of this project are not answered in namespace");
        assert_eq!(asks(world, "one-db"), "10.61.0.3");

        world.sh("ip netns exec pod nft delete table ip netform-dns");

        // Who is there first has it again.
        patiently(&|| two.log(), || asks(world, "one-db") == "10.61.0.3" || asks(world, "two-db") == "10.62.0.3");
        drop(one);
        patiently(&|| two.log(), || asks(world, "two-db") == "10.62.0.3");
    }
}

/// How often a daemon has worked out what it answers.
fn worked_out(world: &World, name: &str) -> u64 {
    let json = world.run(&["status", "--manifest", &format!("{name}.yaml"), "--output", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    json["daemon"]["counts"]["zones"].as_u64().unwrap()
}

live! {
    fn a_daemon_that_waits_for_another_works_nothing_out_until_it_is_its_turn(world) {
        world.sh("ip netns add pod && ip -n pod link set lo up && touch pod && mount --bind /run/netns/pod pod");
        project(world, "one", ("10.61.0.0/24", "eth0"));
        project(world, "two", ("10.62.0.0/24", "eth1"));
        let one = Daemon::of(world, "one.yaml", &["--resync", "1h"]);
        let two = Daemon::of(world, "two.yaml", &["--resync", "1h"]);
        two.says("names of this project are not answered in namespace");
        world.run(&["reconcile", "--manifest", "two.yaml"]).exits(0);
        let before = worked_out(world, "two");
        assert!(before > 0);

        for _ in 0..4 {
            world.sh("ip link set br-net mtu 1400");
            patiently(&|| two.log(), || !world.sh("ip -o link").contains("mtu 1400"));
            world.run(&["reconcile", "--manifest", "two.yaml"]).exits(0);
        }
        assert_eq!(worked_out(world, "two"), before, "events of no concern to it");
        assert!(world.run(&["status", "--manifest", "two.yaml"]).stdout.contains("another daemon answers there"));

        drop(one);
        patiently(&|| two.log(), || asks(world, "two-db") == "10.62.0.3");
        assert_eq!(worked_out(world, "two"), before + 1);
    }
}
