//! What bridges and their ports are asked to be: spanning tree, hairpin mode.

use super::daemon::{Daemon, patiently};
use super::world::{World, live, skip};

fn shop(options: &str, web: &str) -> String {
    format!(
        "netform: 1
project: shop
networks: {{front: {{subnets: [10.7.0.0/24]{options}}}}}
containers:
  web: {{networks: {{front: {{address: 10.7.0.2{web}}}}}, publish: ['8080:80']}}
  db: {{networks: {{front: {{address: 10.7.0.3}}}}}}
"
    )
}

/// Whether the bridge speaks spanning tree, and which ports are in hairpin mode: of `db`, then of `web`.
fn seen(world: &World) -> String {
    let hairpin =
        |name: &str| format!("ip -d link show netform.shop.{name}.front | grep -o 'hairpin o[nf]*'");
    let stp = "ip -d link show br-front | grep -o 'stp_state [01]'";
    world.sh(&format!("{stp}; {}; {}", hairpin("db"), hairpin("web"))).replace('\n', " ").trim().to_owned()
}

const ON: &str = ", options: {stp: true}";

live! {
    fn a_bridge_speaks_spanning_tree_when_it_is_told_to(world) {
        world.apply(&shop(ON, ""));
        world.assert_in_sync();
        assert_eq!(seen(world), "stp_state 1 hairpin off hairpin on");
        patiently(&|| "ports that forward".to_owned(), || world.pings("web", "10.7.0.3"));
        let index = || world.sh("ip -o link show br-front | cut -d: -f1");
        let before = index();

        for (options, want) in [("", "stp_state 0"), (ON, "stp_state 1")] {
            world.file("netform.yaml", &shop(options, ""));
            let (plan, _) = world.plan();
            assert!(plan.contains("stp: on") && !plan.contains("replace"), "{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert!(seen(world).starts_with(want));
        }
        assert_eq!(index(), before);
        world.sh("ip link set br-front type bridge stp_state 0");
        assert!(world.plan().0.contains("stp"), "{}", world.plan().0);
        let daemon = Daemon::start(world, &["--resync", "1h"]);
        assert!(seen(world).starts_with("stp_state 1"));
        world.sh("ip link set br-front type bridge stp_state 0");
        patiently(&|| daemon.log(), || seen(world).starts_with("stp_state 1"));
        drop(daemon);
        world.run(&["rollback", "--yes"]).exits(0);
        assert!(seen(world).starts_with("stp_state 0"));
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn hairpin_mode_is_what_the_attachment_says_or_the_network_or_the_ports(world) {
        for (options, web, want) in [
            ("", "", "stp_state 0 hairpin off hairpin on"),
            ("", ", hairpin: false", "stp_state 0 hairpin off hairpin off"),
            (", options: {hairpin: true}", "", "stp_state 0 hairpin on hairpin on"),
            (", options: {hairpin: false}", "", "stp_state 0 hairpin off hairpin off"),
            (", options: {hairpin: true}", ", hairpin: false", "stp_state 0 hairpin on hairpin off"),
            (", options: {hairpin: false}", ", hairpin: true", "stp_state 0 hairpin off hairpin on"),
        ] {
            world.apply(&shop(options, web));
            world.assert_in_sync();
            assert_eq!(seen(world), want, "{options} {web}");
        }
    }
}

live! {
    fn a_kernel_whose_bridges_keep_no_vlans_apart_says_so_before_anything_is_done(world) {
        if world.try_sh("ip link add probe type bridge vlan_filtering 1; r=$?; ip link del probe; exit $r").code == 0 {
            return skip("bridge-vlans", "bridges of this kernel keep VLANs apart: `live::vm` tells of that");
        }
        world.apply(&shop("", ""));
        let before = world.sh("ip -o link; nft list ruleset");

        world.file("netform.yaml", &shop("", "").replace("10.7.0.3", "10.7.0.3, vlan: 10"));

        let done = world.run(&["apply", "--yes"]).exits(69);
        assert!(done.stderr.contains("network.front: containers of it are to be in VLANs, and bridges of this kernel keep none apart"), "{}", done.stderr);
        assert_eq!(world.sh("ip -o link; nft list ruleset"), before);
        let (plan, _) = world.plan();
        assert!(plan.contains("vlan_filtering: on") && plan.contains("vlan: 10"), "{plan}");
        let told = world.run(&["plan", "-v"]).exits(0).stdout;
        assert!(told.contains("ip link set br-front type bridge vlan_filtering 1") && told.contains(" vid 10 pvid untagged"), "{told}");

        world.sh("ip link add br-lan type bridge; ip link set br-lan up; ip addr add 10.8.0.1/24 dev br-lan");
        world.file("lan.yaml", "netform: 1\nproject: lan\nnetworks: {lan: {external: br-lan}}\ncontainers: {a: {networks: {lan: {vlan: 10}}}}\n");
        let done = world.run(&["plan", "lan.yaml"]).exits(65);
        assert!(done.stderr.contains("bridge `br-lan` keeps no VLANs apart") && done.stderr.contains("lan.yaml:4:"), "{}", done.stderr);
    }
}
