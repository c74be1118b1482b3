//! Guards: nobody cuts the branch that they sit on, or destroys more than they meant to.

use super::world::{Done, World, live};

const SHOP: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\n\
    containers:\n  web: {networks: {front: {address: 172.25.3.3}}}\n  db: {networks: [front]}\n";

/// Runs `netform` in an SSH session from `client` to `server`.
fn by_ssh(world: &World, (client, server): (&str, &str), args: &[&str]) -> Done {
    let session = format!("{client} 50022 {server} 22");
    Done::of(world.netform().args(args).env("SSH_CONNECTION", session).output().unwrap())
}

fn kernel(world: &World) -> String {
    world.sh("ip -o link | cut -d' ' -f2-; ip -o -4 addr; ip netns; nft -s list ruleset")
}

#[track_caller]
fn assert_refused(done: Done, shown: &str, said: &str) {
    let done = done.exits(7);
    assert!(done.stdout.contains(shown), "the whole plan is shown:\n{}", done.stdout);
    assert!(done.stderr.contains("SSH session") && done.stderr.contains(said), "{}", done.stderr);
    assert!(done.stderr.contains("--allow-management-path"), "{}", done.stderr);
}

live! {
    fn what_carries_the_ssh_session_is_not_cut_unless_it_is_allowed(world) {
        world.apply(SHOP);
        world.sh("ping -c 1 -W 1 172.25.3.3");
        let before = kernel(world);
        let from_web = ("172.25.3.3", "172.25.0.1");

        assert_refused(by_ssh(world, from_web, &["destroy", "--yes"]), "network.front will be destroyed", "link br-front");
        world.file("netform.yaml", &SHOP.replace("  web: {networks: {front: {address: 172.25.3.3}}}\n", ""));
        assert_refused(by_ssh(world, from_web, &["apply", "--yes"]), "container.web will be destroyed", "netns web");
        world.file("netform.yaml", &SHOP.replace("web: {networks: {front: {address: 172.25.3.3}}}", "web: {mode: none}"));
        assert_refused(by_ssh(world, from_web, &["try", "--yes"]), "attachment.web@front will be destroyed", "link nf-");
        world.file("netform.yaml", &SHOP.replace("172.25.0.0/16]", "{cidr: 172.25.0.0/16, gateway: 172.25.0.2}]"));
        assert_refused(by_ssh(world, from_web, &["apply", "--yes"]), "172.25.0.2/16", "address 172.25.0.1/16");
        assert_eq!(kernel(world), before);

        world.file("netform.yaml", &SHOP.replace("  db: {networks: [front]}\n", ""));
        by_ssh(world, from_web, &["apply", "--yes"]).exits(0);
        by_ssh(world, from_web, &["destroy", "--yes", "--allow-management-path"]).exits(0);
        assert_eq!(world.sh("ip -o link show type bridge; ip netns"), "");
    }
}

live! {
    fn saved_plans_and_rollbacks_do_not_cut_the_ssh_session_either(world) {
        world.apply(&SHOP.replace("172.25", "172.26"));
        world.apply(SHOP);
        world.run(&["plan", "--destroy", "--out", "saved.plan"]).exits(0);
        let before = kernel(world);
        let from_web = ("172.25.3.3", "172.25.0.1");

        assert_refused(by_ssh(world, from_web, &["apply", "--yes", "saved.plan"]), "network.front will be destroyed", "br-front");
        assert_refused(by_ssh(world, from_web, &["rollback", "--yes"]), "172.26.0.1/16", "address 172.25.0.1/16");

        assert_eq!(kernel(world), before);
        by_ssh(world, from_web, &["rollback", "--yes", "--allow-management-path"]).exits(0);
    }
}

live! {
    fn a_session_over_a_bridge_of_somebody_else_hinders_only_what_cuts_it(world) {
        world.sh("ip link add br-lan type bridge && ip addr add 10.20.0.1/24 dev br-lan && ip link set br-lan up
            ip netns add laptop && ip link add uplink type veth peer name eth0 netns laptop
            ip link set uplink master br-lan up && ip -n laptop addr add 10.20.0.77/24 dev eth0 && ip -n laptop link set eth0 up
            ping -c 1 -W 1 10.20.0.77");
        world.apply("netform: 1\nproject: shop\nnetworks: {lan: {external: br-lan}}\ncontainers: {web: {networks: {lan: {address: 10.20.0.5}}}}\n");

        assert_refused(by_ssh(world, ("10.20.0.5", "10.20.0.1"), &["destroy", "--yes"]), "attachment.web@lan will be destroyed", "10.20.0.5/24");
        by_ssh(world, ("10.20.0.77", "10.20.0.1"), &["destroy", "--yes"]).exits(0);

        assert!(world.pings("laptop", "10.20.0.1"), "somebody else's bridge stays");
    }
}

live! {
    fn a_network_does_not_take_over_the_way_to_the_ssh_client(world) {
        world.sh("ip link add uplink type bridge && ip addr add 192.0.2.1/24 dev uplink && ip link set uplink up && ip route add default via 192.0.2.254");
        let session = ("203.0.113.9", "192.0.2.1");
        world.file("netform.yaml", &SHOP.replace("172.25.0.0/16", "203.0.113.0/24").replace("172.25.3.3", "203.0.113.3"));

        assert_refused(by_ssh(world, session, &["apply", "--yes"]), "network.front will be created", "the way to 203.0.113.9");
        world.file("netform.yaml", &format!("{SHOP}  bastion: {{networks: [front], publish: ['22:22']}}\n"));
        assert_refused(by_ssh(world, session, &["apply", "--yes"]), "port.0.0.0.0:22/tcp will be created", "port.0.0.0.0:22/tcp");

        world.file("netform.yaml", &format!("{SHOP}  bastion: {{networks: [front], publish: ['2222:22']}}\n"));
        by_ssh(world, session, &["apply", "--yes"]).exits(0);
    }
}

live! {
    fn sudo_does_not_hide_the_ssh_session(world) {
        world.apply(SHOP);
        let netform = format!("{} --state-dir state --run-dir run destroy --yes", env!("CARGO_BIN_EXE_netform"));
        let done = world.try_sh(&format!(
            "export SSH_CONNECTION='172.25.3.3 50022 172.25.0.1 22'; sh -c 'env -u SSH_CONNECTION {netform}; exit $?'"
        ));

        assert_refused(done, "network.front will be destroyed", "link br-front");
    }
}

live! {
    fn many_destructions_and_empty_manifests_have_to_be_meant(world) {
        let containers = |names: &[&str]| {
            let lines: String = names.iter().map(|name| format!("  {name}: {{networks: [front]}}\n")).collect();
            format!("netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/16]}}}}\ncontainers:\n{lines}")
        };
        world.apply(&containers(&["a", "b", "c", "d", "e", "f"]));
        let before = kernel(world);
        let refused = |args: &[&str], said: &str| {
            let done = world.run(args).exits(7);
            assert!(done.stdout.contains("container.f will be destroyed"), "the whole plan is shown:\n{}", done.stdout);
            assert!(done.stderr.contains(said), "{}", done.stderr);
            assert_eq!(kernel(world), before);
        };

        world.file("netform.yaml", &containers(&["a"]));
        refused(&["apply", "--yes"], "10 of 14 resources would be destroyed, the limit is 7");
        world.file("netform.yaml", &containers(&["a", "b", "c", "d", "e"]));
        refused(&["apply", "--yes", "--max-destroy", "1"], "2 of 14 resources would be destroyed, the limit is 1");
        world.file("netform.yaml", "netform: 1\nproject: shop\n");
        refused(&["apply", "--yes", "--max-destroy", "99"], "the manifest declares nothing");

        world.run(&["apply", "--yes", "--allow-empty"]).exits(0);
        assert_eq!(world.sh("ip -o link show type bridge; ip netns"), "");
    }
}
