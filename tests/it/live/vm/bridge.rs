//! VLANs of the ports of bridges.

use super::super::daemon::{Daemon, patiently};
use super::super::failure::haunted;
use super::super::snapshot::{assert_same, everything};
use super::super::world::{World, live};
use super::{Feature, has};

const LAB: &str = "\
netform: 1
project: lab
networks: {lab: {subnets: [10.9.0.0/24]}}
containers:
  a: {networks: {lab: {address: 10.9.0.10, vlan: 10}}}
  b: {networks: {lab: {address: 10.9.0.11, vlan: 10}}}
  c: {networks: {lab: {address: 10.9.0.12, vlan: 20}}}
  d: {networks: {lab: {address: 10.9.0.13}}}
  n: {networks: {lab: {address: 10.9.0.14, vlan: 10, trunks: [20]}}}
  t: {networks: {lab: {address: 10.9.0.15, trunks: [10, 20]}}}
";

/// The VLANs of a container's port, or of the bridge: those that are given without a tag with a `*`.
fn vlans(world: &World, link: &str) -> String {
    let told = world
        .sh(&format!("bridge vlan show dev $(ip -br link show {link} | grep -o '^[^ @]*') | tail -n +2"));
    let lines =
        told.lines().map(|line| line.split_whitespace().skip_while(|word| word.parse::<u16>().is_err()));
    let ids = lines.filter_map(|mut words| {
        let id = words.next()?;
        Some(if words.any(|word| word == "PVID") { format!("{id}*") } else { id.to_owned() })
    });
    ids.collect::<Vec<_>>().join(" ")
}

fn port(world: &World, container: &str) -> String {
    world.sh(&format!("ip -br link show netform.lab.{container}.lab | grep -o '^[^ @]*'")).trim().to_owned()
}

/// All that the host holds, with the VLANs of its bridges.
fn all(world: &World) -> String {
    everything(world)
        + &world
            .sh("{ ip -d link show type bridge | grep -o 'vlan_filtering [01]'; bridge vlan show | grep -c .; } || true")
}

/// Gives a container a link on its `eth0`, or on another one of its own, for what has a tag.
fn tagged(world: &World, container: &str, (on, id): (&str, &str), address: &str) {
    let ip = format!("ip -n {container}");
    world.sh(&format!(
        "{ip} link add link {on} name {on}.{id} type vlan id {id}; {ip} link set {on}.{id} up
        {ip} addr add {address} dev {on}.{id}"
    ));
}

live! {
    fn a_bridge_carries_the_vlans_of_its_ports_and_keeps_them_apart(world) {
        if !has(world, Feature::Filtering) {
            return;
        }
        let before = all(world);
        let told = world.apply(LAB);

        world.assert_in_sync();
        assert!(told.contains("in the default VLAN, and `a`, `b`, `c`, `n`, `t` in others") && told.contains("vlan: 10"), "{told}");
        assert_eq!(["a", "d", "n", "t"].map(|it| vlans(world, &port(world, it))), ["10*", "1*", "10* 20", "10 20"]);
        assert_eq!(vlans(world, "br-lab"), "1*");
        for (from, to) in [("a", "10.9.0.11"), ("n", "10.9.0.10"), ("d", "10.9.0.1"), ("host", "10.9.0.13")] {
            assert!(world.pings(from, to), "{from} to {to}");
        }
        for (from, to) in [("a", "10.9.0.12"), ("a", "10.9.0.1"), ("t", "10.9.0.10")] {
            assert!(!world.pings(from, to), "{from} to {to}");
        }
        // What has a tag goes where there is one, and nowhere with two; who is in one VLAN has no business with tags.
        for (container, on, address) in [("t", ("eth0", "10"), "10.9.0.40/24"), ("t", ("eth0", "20"), "10.9.0.41/24"), ("n", ("eth0", "20"), "10.20.0.1/24"),
            ("t", ("eth0.20", "30"), "10.30.0.1/24"), ("n", ("eth0.20", "30"), "10.30.0.2/24"), ("a", ("eth0", "10"), "10.9.0.42/24")] {
            tagged(world, container, on, address);
        }
        world.sh("ip -n t addr add 10.20.0.2/24 dev eth0.20");
        assert!(world.pings("t", "-I eth0.10 10.9.0.10") && world.pings("t", "-I eth0.20 10.9.0.12") && world.pings("n", "10.20.0.2"));
        assert!(!world.pings("n", "10.30.0.1") && !world.pings("a", "-I eth0.10 10.9.0.11") && !world.pings("t", "-I eth0.10 10.9.0.12"));
        world.run(&["explain", "--path", "a", "c", "--exit-code"]).exits(2);
        world.run(&["explain", "--path", "a", "b", "--exit-code"]).exits(0);
        world.sh("for c in t n a; do ip -n $c link | grep -o ' eth0[.0-9]*@' | tr -d '@' | sort -r | while read l; do case $l in *.*) ip -n $c link del $l;; esac; done; done");

        let index = |world: &World| world.sh("ip -o link show netform.lab.c.lab | cut -d: -f1");
        let was = index(world);
        let moved = world.apply(&LAB.replace("vlan: 20", "vlan: 10"));
        assert!(moved.contains("vlan: 20 -> 10") && index(world) == was && world.pings("a", "10.9.0.12"), "{moved}");
        let plain = LAB.replace(", vlan: 10, trunks: [20]", "").replace(", vlan: 10", "").replace(", vlan: 20", "").replace(", trunks: [10, 20]", "");
        world.apply(&plain);
        world.assert_in_sync();
        assert!(world.pings("a", "10.9.0.12") && world.pings("t", "10.9.0.1") && index(world) == was);
        assert!(world.sh("ip -d link show br-lab").contains("vlan_filtering 0") && vlans(world, &port(world, "t")) == "1*");
        world.run(&["rollback", "--yes"]).exits(0);
        assert!(world.pings("a", "10.9.0.12") && !world.pings("t", "10.9.0.1"));
        world.run(&["destroy", "--yes"]).exits(0);
        assert_same(&all(world), &before, "destroyed");
    }
}

live! {
    fn vlans_that_are_changed_by_hand_are_shown_and_repaired(world) {
        if !has(world, Feature::Filtering) {
            return;
        }
        world.file("netform.yaml", LAB);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        let (a, d) = (port(world, "a"), port(world, "d"));
        let bridge = "ip link set br-lab type bridge";
        let seen = || [a.as_str(), &d, "br-lab"].map(|link| vlans(world, link)).join(", ");
        let whole = seen();
        for break_it in [
            format!("bridge vlan add dev {a} vid 20"),
            format!("bridge vlan add dev {d} vid 10 pvid untagged"),
            "bridge vlan add dev br-lab vid 10 self".to_owned(),
            format!("{bridge} vlan_filtering 0"),
            format!("{bridge} vlan_default_pvid 5"),
        ] {
            world.sh(&break_it);
            patiently(&|| format!("{break_it}: {}\n{}", seen(), daemon.log()), || {
                seen() == whole && world.sh("ip -d link show br-lab").contains("vlan_filtering 1 ")
            });
        }
        drop(daemon);
        world.sh(&format!("bridge vlan add dev {d} vid 10"));
        let (plan, _) = world.plan();
        assert!(plan.contains("[drift]") && plan.contains("attachment.d@lab"), "{plan}");

        // Killed in the middle, and refused at the end.
        world.file("netform.yaml", LAB);
        world.run(&["destroy", "--yes"]).exits(0);
        let mut child = world.netform().args(["apply", "--yes"]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        child.kill().unwrap();
        child.wait().unwrap();
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(["a", "d", "t"].map(|it| vlans(world, &port(world, it))), ["10*", "1*", "10 20"]);
        let before = seen_by_names(world);
        world.file("netform.yaml", &LAB.replace("vlan: 10", "vlan: 30").replace("d: {networks", "d: {publish: ['8080:80'], networks"));
        haunted(world, 1, &["apply", "--yes"]).exits(4);
        assert_eq!(seen_by_names(world), before, "undone");
    }
}

fn seen_by_names(world: &World) -> [String; 3] {
    ["a", "d", "n"].map(|it| vlans(world, &port(world, it)))
}

live! {
    fn a_bridge_of_somebody_else_gets_our_ports_and_is_never_changed(world) {
        if !has(world, Feature::Filtering) {
            return;
        }
        world.sh("ip link add br-lan address 02:00:00:00:00:07 type bridge vlan_default_pvid 7; ip link set br-lan up; ip addr add 10.9.0.1/24 dev br-lan");
        let lan = |b: &str| format!("netform: 1\nproject: lab\nnetworks: {{lab: {{external: br-lan}}}}\ncontainers:\n  a: {{networks: {{lab: {{address: 10.9.0.10, vlan: 10}}}}}}\n  b: {{networks: {{lab: {{address: 10.9.0.11{b}}}}}}}\n");
        world.file("netform.yaml", &lan(", vlan: 10"));
        let refused = world.run(&["apply", "--yes"]).exits(65).stderr;
        assert!(refused.contains("bridge `br-lan` keeps no VLANs apart") && refused.contains("netform.yaml:5:"), "{refused}");

        world.sh("ip link set br-lan type bridge vlan_filtering 1");
        let before = all(world);
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(world.pings("a", "10.9.0.11") && !world.pings("a", "10.9.0.1"));
        world.apply(&lan(""));
        world.assert_in_sync();
        assert!(!world.pings("a", "10.9.0.11") && world.pings("b", "10.9.0.1"));
        assert_eq!(["a", "b"].map(|it| vlans(world, &port(world, it))), ["10*", "7*"]);
        world.apply(&lan("").replace(", vlan: 10", ""));
        world.assert_in_sync();
        assert!(world.pings("a", "10.9.0.11"), "the last one says nothing of VLANs any more");
        // Nobody asks for a VLAN, and whoever's bridge it is may give one.
        world.sh(&format!("bridge vlan add dev {} vid 30", port(world, "b")));
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
        assert_same(&all(world), &before, "destroyed");
    }
}
