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

        for name in ["b", "c", "d", "e", "f", "g", "h", "i"] {
            world.file(&format!("parts/{name}.yaml"), &part(name));
            // What the kernel tells of is looked at at once, and is no reason to look at files.
            world.sh("ip link set br-front mtu 1400; sleep 0.06");
        }
        daemon.says("generation 2 is in force");
        let settled = || world.run(&["plan", "parts", "--detailed-exitcode"]).code == 0;
        patiently(&|| daemon.log(), settled);
        assert!(world.sh("ip -o link show br-front").contains("mtu 1500"));

        assert_eq!(daemon.log().matches("says something else").count(), 1, "{}", daemon.log());
        world.sh("cd parts; for f in b c d e; do rm $f.yaml; sleep 0.03; done");
        daemon.says("generation 3 is in force");
        assert_eq!(daemon.log().matches("says something else").count(), 2, "{}", daemon.log());
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
