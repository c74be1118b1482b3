//! A namespace of a container becomes somebody else's, or is called otherwise: what is in it stays.

use super::daemon::Daemon;
use super::world::{World, live};

fn with(container: &str) -> String {
    format!(
        "netform: 1\nproject: d\nnetworks: {{dn: {{subnets: [10.61.0.0/24]}}}}\ncontainers: {{{container}}}\n"
    )
}

fn inode(world: &World, ns: &str) -> String {
    world.sh(&format!("stat -L -c %i /run/netns/{ns}"))
}

/// The index and the peer of a link, which another one of its name has not.
fn pair(world: &World, ns: &str) -> String {
    world.sh(&format!("ip -n {ns} -o link show eth0 | cut -d: -f1,2"))
}

live! {
    fn a_namespace_that_the_manifest_calls_somebody_elses_is_given_up_and_kept(world) {
        world.apply(&with("h1: {networks: [dn]}"));
        let (ns, link) = (inode(world, "h1"), pair(world, "h1"));

        world.file("netform.yaml", &with("h1: {netns: h1, networks: [dn]}"));
        let plan = world.run(&["plan", "--detailed-exitcode"]).exits(2).stdout;
        assert!(plan.contains("netns h1 is somebody else's by the manifest: it is given up"), "{plan}");
        assert!(plan.contains("0 to destroy") && plan.contains("no interruption"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);

        world.assert_in_sync();
        assert_eq!((inode(world, "h1"), pair(world, "h1")), (ns.clone(), link), "nothing moved");
        assert!(world.pings("h1", "10.61.0.1"));
        assert_eq!(world.sh("ip -n h1 -d link show lo | grep -c netform || true").trim(), "0", "it bears no mark");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(inode(world, "h1"), ns);
        assert_ne!(world.try_sh("ip -n h1 link show eth0").code, 0);
    }
}

live! {
    fn a_namespace_that_is_given_up_may_become_that_of_another_container(world) {
        world.apply(&with("h1: {networks: [dn]}"));
        let ns = inode(world, "h1");
        world.file("netform.yaml", &with("h2: {netns: h1, networks: [dn]}"));
        world.run(&["apply", "--yes"]).exits(0);

        world.assert_in_sync();
        assert_eq!(inode(world, "h1"), ns);
        assert!(world.pings("h1", "10.61.0.1"));

        world.apply(&with("h2: {netns: h1}"));
        world.apply("netform: 1\nproject: d\nnetworks: {dn: {subnets: [10.61.0.0/24]}}\n");
        assert_eq!(inode(world, "h1"), ns, "it was given up long ago");
    }
}

live! {
    fn a_namespace_of_ours_that_is_named_by_its_path_is_refused_and_told(world) {
        world.apply(&with("h1: {networks: [dn]}"));
        world.file("netform.yaml", &with("h1: {netns: /run/netns/h1, networks: [dn]}"));
        let done = world.run(&["apply", "--yes"]).exits(65);
        assert!(done.stderr.contains("netform.yaml:4:26: container.h1: /run/netns/h1 is the namespace h1"), "{}", done.stderr);
        assert!(done.stderr.contains("help: write `netns: h1`"), "{}", done.stderr);
        assert!(world.pings("h1", "10.61.0.1"));
    }
}

live! {
    fn a_line_that_calls_ours_somebody_elses_keeps_nobody_from_going_back_or_destroying(world) {
        world.apply(&with("web: {networks: [dn]}"));
        world.apply(&with("web: {networks: [dn]}, db: {networks: [dn]}"));
        world.file("netform.yaml", &with("web2: {netns: /run/netns/web, networks: [dn]}"));
        world.run(&["apply", "--yes"]).exits(65);

        world.run(&["rollback", "--yes"]).exits(0);
        assert!(world.pings("web", "10.61.0.1"));
        assert_ne!(world.try_sh("ip netns exec db true").code, 0);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip netns list | wc -l").trim(), "0");
        assert_ne!(world.try_sh("ip link show br-dn").code, 0);
    }
}

live! {
    fn a_namespace_by_another_name_is_the_same(world) {
        world.sh("ip netns add named; ip netns exec named sleep 1000 >/dev/null 2>&1 & echo $! > pid; sleep 0.2");
        let pid = world.sh("ip netns pids named").trim().to_owned();
        let ways = [
            "netns: named".to_owned(),
            "netns: /run/netns/named".to_owned(),
            format!("netns: /proc/{pid}/ns/net"),
            format!("pid: {pid}"),
            "netns: named".to_owned(),
        ];
        world.apply(&with(&format!("c: {{{}, networks: [dn]}}", ways[0])));
        let link = pair(world, "named");
        for way in &ways[1..] {
            world.file("netform.yaml", &with(&format!("c: {{{way}, networks: [dn]}}")));
            let done = world.run(&["apply", "--yes"]).exits(0);
            assert!(!done.stdout.contains("attachment.c@dn will be replaced"), "{}", done.stdout);
            world.assert_in_sync();
            assert_eq!(pair(world, "named"), link, "{way}");
            assert!(world.pings("named", "10.61.0.1"));
        }
        let daemon = Daemon::start(world, &[]);
        world.file("netform.yaml", &with(&format!("c: {{{}, networks: [dn]}}", ways[1])));
        daemon.brings_it_in_sync("another name");
        world.sh("ip -n named addr flush dev eth0");
        daemon.brings_it_in_sync("drift");
        assert_eq!(pair(world, "named"), link);
        world.sh(&format!("kill {pid}"));
    }
}
