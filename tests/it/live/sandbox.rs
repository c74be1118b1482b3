//! `netform sandbox`: what a newcomer tries first.

use super::world::live;

live! {
    fn a_sandbox_applies_a_manifest_and_leaves_nothing_behind(world) {
        world.file("netform.yaml", include_str!("../../../examples/shop.yaml"));
        let before = world.sh("ip -o link; ip netns; nft list ruleset; ls /etc /run");

        let done = world.run(&["sandbox", "netform.yaml", "--", "sh", "-ec", "ip -o link show br-front; netform exec web -- ping -c 1 -W 1 database"]);

        let done = done.exits(0);
        assert!(done.stdout.contains("1 received"), "{}", done.stdout);
        assert_eq!(world.sh("ip -o link; ip netns; nft list ruleset; ls /etc /run"), before);
    }
}

live! {
    fn a_sandbox_exits_as_its_command_does(world) {
        world.file("netform.yaml", "netform: 1\nproject: shop\n");
        world.run(&["sandbox", "netform.yaml", "--", "sh", "-c", "exit 42"]).exits(42);
    }
}
