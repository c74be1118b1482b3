//! What is run while something else is under way: a daemon, or a change that waits for its confirmation.

use super::daemon::Daemon;
use super::world::live;

const FRONT: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front]}}\n";

live! {
    fn a_daemon_that_is_stopped_holds_nobody_up(world) {
        world.file("netform.yaml", FRONT);
        let daemon = Daemon::start(world, &[]);
        daemon.stop_at_rest();

        let status = world.run(&["status"]).exits(0).stdout;
        let refused = world.run(&["resume"]).exits(1);
        daemon.signal("CONT");

        assert!(status.contains("web"), "{status}");
        assert!(refused.stderr.contains("runs, but does not answer"), "{}", refused.stderr);
        world.run(&["resume"]).exits(0);
    }
}

live! {
    fn who_destroys_beside_a_daemon_is_told_that_it_will_not_last(world) {
        world.file("netform.yaml", FRONT);
        let daemon = Daemon::start(world, &[]);

        let done = world.run(&["destroy", "--yes"]).exits(0);

        assert!(done.stderr.contains("`netform watch` runs for this project"), "{}", done.stderr);
        daemon.brings_it_in_sync("a destroy");
        assert!(world.sh("ip netns list").contains("web"), "and it did not last");
    }
}

live! {
    fn what_waits_for_its_confirmation_is_told_of_by_whoever_looks(world) {
        world.apply(FRONT);
        world.file("netform.yaml", &FRONT.replace("containers: {", "containers: {db: {networks: [front]}, "));
        world.run(&["apply", "--yes", "--confirm-timeout", "600s"]).exits(0);

        for verb in ["plan", "status"] {
            let told = world.run(&[verb]).stderr;
            assert!(told.contains("Generation 2 waits for its confirmation"), "{verb}: {told}");
        }
        world.run(&["confirm"]).exits(0);
        assert_eq!(world.run(&["plan"]).exits(0).stderr, "");
    }
}
