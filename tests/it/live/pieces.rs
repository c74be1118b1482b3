//! Manifests of many files, which do not all change at once.

use std::time::{Duration, Instant};

use super::daemon::{Daemon, patiently};
use super::world::live;

const NET: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/24]}}\ncontainers: {a: {networks: [front]}}\n";

fn part(name: &str) -> String {
    format!("containers: {{{name}: {{networks: [front]}}}}\n")
}

live! {
    fn files_that_come_one_by_one_are_one_edit_whatever_else_moves(world) {
        world.sh("mkdir parts");
        world.file("parts/net.yaml", NET);
        let daemon = Daemon::of(world, "parts", &[]);

        // A busy machine may take its time between two files.
        let (mut pauses, mut last) = (0, Instant::now());
        for name in ["b", "c", "d", "e", "f", "g", "h", "i"] {
            world.file(&format!("parts/{name}.yaml"), &part(name));
            pauses += usize::from(last.elapsed() > Duration::from_millis(90));
            last = Instant::now();
            // What the kernel tells of is looked at at once, and is no reason to look at files.
            world.sh("ip link set br-front mtu 1400; sleep 0.05");
        }
        patiently(&|| daemon.log(), || world.sh("ip netns").contains("i"));
        let settled = || world.run(&["plan", "parts", "--detailed-exitcode"]).code == 0;
        patiently(&|| daemon.log(), settled);
        assert!(world.sh("ip -o link show br-front").contains("mtu 1500"));
        let edits = || daemon.log().matches("says something else").count();
        patiently(&|| daemon.log(), || (1..=1 + pauses).contains(&edits()));

        let before = edits();
        world.sh("cd parts; rm b.yaml; sleep 0.02; rm c.yaml; sleep 0.02; rm d.yaml; sleep 0.02; rm e.yaml");
        patiently(&|| daemon.log(), || edits() > before);
        patiently(&|| daemon.log(), settled);
        eprintln!("{before} edits with {pauses} pauses, and then {}", edits() - before);
    }
}

live! {
    fn files_that_never_rest_are_read_all_the_same(world) {
        world.sh("mkdir parts");
        world.file("parts/net.yaml", NET);
        let daemon = Daemon::of(world, "parts", &[]);
        let mut busy = world.beside(&format!("sh -c 'cd {}/parts; while :; do echo >> notes.txt; sleep 0.03; done'", world.dir().display()));

        world.file("parts/b.yaml", &part("b"));
        let began = Instant::now();
        patiently(&|| daemon.log(), || world.sh("ip netns").contains("b"));

        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        busy.kill().unwrap();
        busy.wait().unwrap();
    }
}

live! {
    fn what_is_applied_right_after_an_edit_is_not_undone_before_the_edit_is_read(world) {
        let mut manifest = NET.replace("{a: {networks: [front]}}\n", "\n  a: {networks: [front]}\n");
        world.file("netform.yaml", &manifest);
        let daemon = Daemon::start(world, &[]);

        let inode = |name: &str| world.sh(&format!("stat -Lc %i /run/netns/{name}"));
        for name in ["b", "c", "d", "e"] {
            manifest += &format!("  {name}: {{networks: [front]}}\n");
            world.file("netform.yaml", &manifest);
            world.run(&["apply", "--yes"]).exits(0);
            let made = inode(name);
            std::thread::sleep(Duration::from_millis(400));
            assert_eq!(inode(name), made, "{name}: {}", daemon.log());
        }

        // Nor by a daemon that was stopped meanwhile.
        daemon.stop_at_rest();
        manifest += "  f: {networks: [front]}\n";
        world.file("netform.yaml", &manifest);
        world.run(&["apply", "--yes"]).exits(0);
        let made = inode("f");
        daemon.signal("CONT");
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(inode("f"), made, "{}", daemon.log());
        world.assert_in_sync();
    }
}
