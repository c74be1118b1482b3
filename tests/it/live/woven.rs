//! Many containers at a time: namespaces are made while others are furnished.

use std::fmt::Write as _;

use super::world::{Done, World, live};

/// Containers on three networks, one of IPv6 too; some are on two, some have a limit, and some a parameter.
fn many(containers: usize) -> String {
    let mut text = "netform: 1\nproject: shop\nnetworks:\n".to_owned();
    for net in 0..3 {
        writeln!(text, "  n{net}: {{subnets: [10.{net}.0.0/16, 'fd00:{net}::/64']}}").unwrap();
    }
    text.push_str("containers:\n");
    for number in 0..containers {
        let own = number % 3;
        let bandwidth = if number % 10 == 0 { "bandwidth: {egress: 100mbit}" } else { "" };
        write!(text, "  c{number}: {{networks: {{n{own}: {{{bandwidth}}}").unwrap();
        if number % 7 == 0 {
            write!(text, ", n{}: {{}}", (number + 1) % 3).unwrap();
        }
        text.push('}');
        if number % 5 == 0 {
            write!(text, ", publish: ['{}:80'], sysctls: {{net.ipv4.ip_forward: 1}}", 9000 + number).unwrap();
        }
        text.push_str("}\n");
    }
    text
}

/// Runs `netform` with so few open files.
fn run_with_files(world: &World, files: u32, args: &str) -> Done {
    world.try_sh(&format!(
        "prlimit --nofile={files}:{files} {} --state-dir state --run-dir run {args}",
        env!("CARGO_BIN_EXE_netform")
    ))
}

live! {
    fn many_containers_are_made_as_few_are(world) {
        world.apply(&many(130));
        world.assert_in_sync();
        assert!(world.pings("c1", "10.1.0.1") && world.pings("host", "10.1.0.2"));
        assert_eq!(world.sh("ip netns exec c5 sysctl -n net.ipv4.ip_forward"), "1\n");
        assert!(world.sh("cat /etc/netns/c1/hosts").contains("c4"));

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip netns; ip -o link show type bridge; ip -o link show type veth; ls /etc/netns 2>/dev/null || true"), "");
    }
}

live! {
    fn few_open_files_are_enough_for_many_containers(world) {
        for files in [80, 330] {
            world.file("netform.yaml", &many(130));
            run_with_files(world, files, "apply --yes").exits(0);
            world.assert_in_sync();
            world.run(&["destroy", "--yes"]).exits(0);
        }
        // Where they are too few to be woven, too.
        world.file("netform.yaml", &many(60));
        run_with_files(world, 60, "apply --yes").exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn where_one_of_many_cannot_be_made_nothing_is_left_of_the_others(world) {
        world.file("netform.yaml", &many(130));
        let before = world.sh("ip -o link; ip -o addr; nft list ruleset");
        world.sh("echo 90 > /proc/sys/user/max_net_namespaces");
        let done = world.run(&["apply", "--yes"]).exits(4);

        assert!(done.stderr.contains("netns c"), "{}", done.stderr);
        assert!(!done.stderr.contains("is not open") && !done.stderr.contains("No such device"), "{}", done.stderr);
        assert_eq!(world.sh("ip netns; ls /etc/netns 2>/dev/null || true"), "");
        assert_eq!(world.sh("ip -o link; ip -o addr; nft list ruleset"), before);

        world.sh("echo 1000 > /proc/sys/user/max_net_namespaces");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn many_containers_are_made_where_new_links_have_no_ipv6(world) {
        world.sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
        world.apply(&many(70));
        world.assert_in_sync();
        assert!(world.sh("ip -6 addr show dev br-n0").contains("fd00::1/64"));
    }
}

live! {
    fn what_is_the_default_in_a_container_is_so_for_its_links(world) {
        let mut text = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [10.7.0.0/16]}}\ncontainers:\n".to_owned();
        for number in 0..70 {
            writeln!(text, "  c{number}: {{networks: [front], sysctls: {{net.ipv6.conf.default.accept_ra: 0}}}}").unwrap();
        }
        world.apply(&text);
        world.assert_in_sync();
        for name in ["c0", "c69"] {
            let values = world.sh(&format!("ip netns exec {name} sysctl -n net.ipv6.conf.eth0.accept_ra"));
            assert_eq!(values, "0\n", "{name}");
        }
    }
}
