//! Networks on Open vSwitch.

use super::daemon::Daemon;
use super::failure::haunted;
use super::snapshot::{assert_same, everything};
use super::switch::Switch;
use super::world::{Listen, World, eventually, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {driver: openvswitch, options: {datapath: netdev}, subnets: [172.25.0.0/24, 'fd00:25::/64']}
  back: {driver: openvswitch, options: {datapath: netdev}, subnets: [10.7.0.0/24], internal: true}
containers:
  web: {networks: {front: {address: 172.25.0.10}}, publish: ['8080:80']}
  db: {networks: {front: {address: 172.25.0.11}, back: }}
  batch: {networks: [back]}
";

const LAB: &str = "\
netform: 1
project: lab
networks: {lab: {driver: openvswitch, interface: ovs-lab, options: {datapath: netdev}, subnets: [10.9.0.0/24]}}
containers:
  a: {networks: {lab: {address: 10.9.0.10, vlan: 10}}}
  b: {networks: {lab: {address: 10.9.0.11, vlan: 10}}}
  c: {networks: {lab: {address: 10.9.0.12, vlan: 20}}}
  d: {networks: {lab: {address: 10.9.0.13}}}
  t: {networks: {lab: {address: 10.9.0.14, trunks: [10, 20]}}}
";

/// What the host and the database hold of networks, without the addresses that the kernel has chosen.
fn all(world: &World, switch: &Switch<'_>) -> String {
    let told = |line: &str| match line.split_once(" veth ") {
        Some((name, rest)) => format!("{name} {}\n", rest.split_once(' ').map_or("", |(_, rest)| rest)),
        None if line.starts_with("ovs-netdev") => String::new(),
        None => format!("{line}\n"),
    };
    everything(world).lines().map(told).collect::<String>() + &switch.records()
}

/// The host's end of a container's pair.
fn port(world: &World, altname: &str) -> String {
    let json = world.sh(&format!("ip -j link show {altname}"));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    value[0]["ifname"].as_str().unwrap().to_owned()
}

live! {
    fn a_network_on_open_vswitch_is_a_network_like_any_other(world) {
        let Some(switch) = Switch::start(world) else { return };
        world.sh("ip netns add remote && ip link add uplink type veth peer name eth0 netns remote &&
            ip addr add 192.0.2.1/24 dev uplink && ip link set uplink up &&
            ip -n remote addr add 192.0.2.2/24 dev eth0 && ip -n remote link set eth0 up");
        let before = all(world, &switch);

        world.apply(SHOP);

        world.assert_in_sync();
        let _web = world.serve("web", &Listen::tcp(80), "web");
        let _remote = world.serve("remote", &Listen::udp(53), "remote");
        let _batch = world.serve("batch", &Listen::tcp(80), "batch");
        assert_eq!(world.ask("db", "tcp", "172.25.0.10", 80).as_deref(), Some("web 172.25.0.11"), "neighbours, by TCP");
        assert!(world.pings("db", "fd00:25::1") && world.pings("host", "172.25.0.10"));
        assert_eq!(world.ask("web", "udp", "192.0.2.2", 53).as_deref(), Some("remote 192.0.2.1"), "masqueraded");
        assert_eq!(world.ask("remote", "tcp", "192.0.2.1", 8080).as_deref(), Some("web 192.0.2.2"), "published");
        assert!(world.ask("host", "tcp", "127.0.0.1", 8080).is_some(), "published on the loopback, too");
        assert!(world.ask("web", "tcp", "172.25.0.1", 8080).is_some(), "its own published port");
        assert!(world.ask("db", "tcp", "batch.back", 80).is_some());
        assert!(world.ask("web", "tcp", "10.7.0.1", 80).is_none() && !world.pings("batch", "192.0.2.2"), "apart");
        assert!(world.sh("ip link show netform.shop.front; ovs-vsctl get bridge br-front external_ids").contains("netform:shop:network.front"));
        let said = world.run(&["explain", "br-front", "--output", "text"]).exits(0).stdout;
        assert!(said.contains("its ports are"), "{said}");
        let way = world.run(&["explain", "--path", "db", "web:80", "--exit-code"]).exits(0).stdout;
        assert!(way.contains("bridge br-front takes it"), "{way}");
        assert!(world.run(&["status", "--tree", "--manifest", "netform.yaml", "--exit-code"]).exits(0).stdout.contains("br-front"));
        assert!(world.run(&["plan", "--destroy", "-v"]).exits(0).stdout.contains("ovs-vsctl del-br br-front"));

        world.run(&["destroy", "--yes"]).exits(0);
        assert_same(&all(world, &switch), &before, "destroyed");
    }
}

live! {
    fn vlans_keep_containers_of_one_network_apart(world) {
        let Some(_switch) = Switch::start(world) else { return };
        world.file("netform.yaml", LAB);
        let done = world.run(&["apply", "--yes"]).exits(0);
        assert!(done.stdout.contains("the host is in no VLAN"), "{}", done.stdout);

        world.assert_in_sync();
        assert!(world.pings("a", "10.9.0.11") && world.pings("host", "10.9.0.13"));
        for (from, to) in [("a", "10.9.0.12"), ("c", "10.9.0.10"), ("a", "10.9.0.13"), ("a", "10.9.0.1"), ("host", "10.9.0.10"), ("t", "10.9.0.10")] {
            assert!(!world.pings(from, to), "{from} to {to}");
        }
        world.run(&["explain", "--path", "a", "c", "--exit-code"]).exits(2);
        let doctor = world.run(&["doctor", "--manifest", "netform.yaml"]);
        assert!(!doctor.stdout.contains("attachment.a@lab") && !doctor.stdout.contains("ovs-lab"), "{}", doctor.stdout);

        world.apply(&LAB.replace("vlan: 20", "vlan: 10"));
        world.assert_in_sync();
        assert!(world.pings("a", "10.9.0.12"), "moved in place");
    }
}

live! {
    fn what_is_broken_by_hand_is_shown_and_repaired(world) {
        let Some(switch) = Switch::start(world) else { return };
        world.apply(LAB);
        let whole = all(world, &switch);
        let a = port(world, "netform.lab.a.lab");
        for break_it in [
            format!("ovs-vsctl del-port {a}"),
            format!("ovs-vsctl set port {a} tag=20"),
            format!("ovs-vsctl clear port {a} tag -- set port {a} trunks=10"),
            format!("ovs-vsctl set port {a} vlan_mode=native-tagged"),
            format!("ovs-vsctl clear port {a} external_ids"),
            format!("ovs-vsctl del-port {a} -- add-br other -- set bridge other datapath_type=netdev -- add-port other {a} tag=10"),
            format!("ip link del {a}"),
            "ip netns del a".to_owned(),
            "ovs-vsctl set bridge ovs-lab stp_enable=true".to_owned(),
            "ovs-vsctl set bridge ovs-lab fail_mode=secure".to_owned(),
            "ovs-vsctl del-br ovs-lab".to_owned(),
            "ip link set ovs-lab down".to_owned(),
            "ip link set ovs-lab alias ''".to_owned(),
            "ip addr flush dev ovs-lab".to_owned(),
        ] {
            world.sh(&break_it);
            let (plan, changes) = world.plan();
            assert!(changes && plan.contains("[drift]"), "`{break_it}` should show in the plan:\n{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            world.sh("ovs-vsctl --if-exists del-br other");
            assert!(world.pings("a", "10.9.0.11") && world.pings("d", "10.9.0.1"), "{break_it}");
            assert_same(&all(world, &switch), &whole, &break_it);
        }
        world.sh("ip netns del a && ip netns del b");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(switch.records(), "", "not even of those whose links are gone");
    }
}

live! {
    fn the_daemon_hears_what_is_done_to_bridges_and_ports(world) {
        let Some(switch) = Switch::start(world) else { return };
        world.file("netform.yaml", LAB);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        let a = port(world, "netform.lab.a.lab");
        for break_it in [
            format!("ovs-vsctl del-port {a}"),
            format!("ovs-vsctl set port {a} tag=99"),
            "ip netns del a".to_owned(),
            "ovs-vsctl set bridge ovs-lab fail_mode=secure".to_owned(),
            "ovs-vsctl del-br ovs-lab".to_owned(),
        ] {
            world.sh(&break_it);
            daemon.brings_it_in_sync(&break_it);
            eventually(&break_it, || world.pings("a", "10.9.0.11") && world.pings("d", "10.9.0.1"));
        }

        // A host that has started again has the records, and of the links only what is made anew.
        switch.stop_daemon();
        world.sh("ip link del ovs-lab");
        daemon.says("ovs-vswitchd is not running");
        switch.start_daemon();
        daemon.brings_it_in_sync("a start of ovs-vswitchd");
        eventually("packets flow again", || world.pings("d", "10.9.0.1") && world.pings("a", "10.9.0.11"));
        switch.stop_database();
        switch.start_database();
        world.sh(&format!("ovs-vsctl del-port {a}"));
        daemon.brings_it_in_sync("a start of the database");
        assert!(!daemon.log().contains("contested"), "{}", daemon.log());
    }
}

live! {
    fn what_is_somebody_elses_stays(world) {
        let Some(switch) = Switch::start(world) else { return };
        world.file("netform.yaml", LAB);
        world.sh("ovs-vsctl add-br ovs-lab -- set bridge ovs-lab datapath_type=netdev external_ids:theirs=1");
        let before = all(world, &switch);
        let done = world.run(&["apply", "--yes"]).exits(9);
        assert!(done.stderr.contains("ovs-lab is in the way") && done.stderr.contains("netform.yaml:3:12"), "{}", done.stderr);
        assert_same(&all(world, &switch), &before, "somebody else's bridge");
        world.sh("ovs-vsctl set bridge ovs-lab external_ids:netform=netform:other:network.x");
        let done = world.run(&["apply", "--yes"]).exits(9);
        assert!(done.stderr.contains("of project other"), "{}", done.stderr);
        // Where ovs-vswitchd does not run, the record stands for the bridge.
        switch.stop_daemon();
        world.sh("ip link del ovs-lab");
        let done = world.run(&["apply", "--yes"]).exits(9);
        assert!(done.stderr.contains("bridge ovs-lab of Open vSwitch of project other"), "{}", done.stderr);
        switch.start_daemon();
        world.sh("ovs-vsctl del-br ovs-lab");

        world.run(&["apply", "--yes"]).exits(0);
        world.sh("ip link add theirs type veth peer name other && ovs-vsctl add-port ovs-lab theirs -- add-port ovs-lab p0 -- set interface p0 type=patch options:peer=p1");
        world.assert_in_sync();
        let done = world.run(&["destroy", "--yes"]).exits(9);
        for named in ["veth theirs stands on it", "port p0 of ovs-lab stands on it"] {
            assert!(done.stderr.contains(named), "{named} in:\n{}", done.stderr);
        }
        world.sh("ovs-vsctl del-port theirs -- del-port p0 -- add-br mine");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ovs-vsctl list-br"), "mine\n");
    }
}

live! {
    fn an_external_bridge_is_attached_to_and_never_changed(world) {
        let Some(switch) = Switch::start(world) else { return };
        world.sh("ovs-vsctl add-br ovsbr0 -- set bridge ovsbr0 datapath_type=netdev && ip addr add 10.9.0.1/24 dev ovsbr0 && ip link set ovsbr0 up");
        let before = all(world, &switch);
        world.apply("netform: 1\nproject: ext\nnetworks: {lan: {driver: openvswitch, external: ovsbr0}}\n\
            containers: {a: {networks: [lan]}, b: {networks: {lan: {vlan: 10}}}}\n");

        world.assert_in_sync();
        assert!(world.pings("a", "10.9.0.1") && !world.pings("b", "10.9.0.1"));
        world.sh("ip netns del b");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_same(&all(world, &switch), &before, "destroyed, those included whose links were gone");

        world.file("netform.yaml", "netform: 1\nproject: ext\nnetworks: {lan: {driver: openvswitch, external: ovsbr1}}\ncontainers: {a: {networks: [lan]}}\n");
        let done = world.run(&["plan"]).exits(0);
        let told = "there is no bridge of Open vSwitch `ovsbr1`: network `lan` waits for it";
        assert!(done.stdout.contains(told), "{}", done.stdout);
    }
}

live! {
    fn an_open_vswitch_that_does_not_run_is_told_before_anything_is_done(world) {
        let Some(switch) = Switch::start(world) else { return };
        world.file("netform.yaml", LAB);
        let before = all(world, &switch);
        let module = world.file("module.yaml", &LAB.replace("datapath: netdev", "datapath: system"));
        if world.try_sh("grep -q '^openvswitch ' /proc/modules").code != 0 {
            let done = world.run(&["apply", "--yes", module.to_str().unwrap()]).exits(69);
            assert!(done.stderr.contains("no module openvswitch"), "{}", done.stderr);
        }
        switch.stop_daemon();
        let done = world.run(&["apply", "--yes"]).exits(69);
        assert!(done.stderr.contains("ovs-vswitchd is not running"), "{}", done.stderr);
        assert_same(&all(world, &switch), &before, "nothing is done");
        assert!(world.plan().1, "a plan can be made");

        switch.stop_database();
        let done = world.run(&["plan"]).exits(69);
        assert!(done.stderr.contains("/run/openvswitch/db.sock") && done.stderr.contains("apt-get install openvswitch-switch"), "{}", done.stderr);
        let done = world.run(&["plan", "--ovs-rundir", "/run/elsewhere"]).exits(69);
        assert!(done.stderr.contains("/run/elsewhere/db.sock"), "{}", done.stderr);
        // Who has no such network does not ask.
        world.apply("netform: 1\nproject: plain\nnetworks: {plain: }\ncontainers: {p: {networks: [plain]}}\n");
        world.assert_in_sync();
    }
}

live! {
    fn a_killed_or_refused_run_leaves_no_record(world) {
        let Some(switch) = Switch::start(world) else { return };
        world.apply(LAB);
        let whole = all(world, &switch);
        world.run(&["destroy", "--yes"]).exits(0);
        let before = all(world, &switch);
        for verb in ["apply", "destroy"] {
            for after_ms in (10..250).step_by(24) {
                world.run(&[if verb == "apply" { "destroy" } else { "apply" }, "--yes"]).exits(0);
                let mut child = world.netform().args([verb, "--yes"]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(after_ms));
                child.kill().unwrap();
                child.wait().unwrap();

                world.run(&[verb, "--yes"]).exits(0);
                let want = if verb == "apply" { &whole } else { &before };
                assert_same(&all(world, &switch), want, &format!("{verb} killed after {after_ms} ms"));
            }
        }
        world.file("netform.yaml", &LAB.replace("d: {networks", "d: {publish: ['8080:80'], networks"));
        let done = haunted(world, 2, &["apply", "--yes"]).exits(4);
        assert!(done.stderr.contains("Undone"), "{}", done.stderr);
        assert_same(&all(world, &switch), &before, "undone");
    }
}

live! {
    fn a_network_moves_between_linux_and_open_vswitch_and_back(world) {
        let Some(switch) = Switch::start(world) else { return };
        let linux = SHOP.replace("driver: openvswitch, options: {datapath: netdev}, ", "");
        world.apply(&linux);
        let before = all(world, &switch);

        world.apply(SHOP);
        world.assert_in_sync();
        assert!(world.pings("db", "172.25.0.10") && world.pings("web", "fd00:25::1"));
        world.run(&["rollback", "--yes"]).exits(0);
        assert!(world.pings("db", "172.25.0.10") && world.pings("web", "fd00:25::1"));
        assert_same(&all(world, &switch), &before, "back");

        world.apply(SHOP);
        world.sh("rm -r state");
        world.assert_in_sync();
        world.file("netform.yaml", "netform: 1\nproject: shop\n");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(switch.records(), "", "found again without a word of it on disk or in the manifest");
    }
}

live! {
    fn a_bridge_that_is_there_can_be_adopted_and_given_up(world) {
        let Some(switch) = Switch::start(world) else { return };
        world.file("netform.yaml", LAB);
        world.sh("ovs-vsctl add-br ovs-lab -- set bridge ovs-lab datapath_type=netdev fail_mode=secure && ip addr add 10.9.0.1/24 dev ovs-lab");
        world.run(&["import", "--yes", "network.lab", "ovs-lab"]).exits(0);
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(world.pings("d", "10.9.0.1"));

        world.run(&["forget", "--yes", "--force", "network.lab"]).exits(0);
        assert!(!switch.records().contains("network.lab"), "{}", switch.records());
        assert!(world.sh("ovs-vsctl list-br").contains("ovs-lab"));
    }
}
