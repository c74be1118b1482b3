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

live! {
    fn a_sandbox_takes_standard_input_and_its_output_is_that_of_the_command(world) {
        let manifest = world.file("netform.yaml", include_str!("../../../examples/shop.yaml"));
        let command = ["sh", "-ec", "echo mine; netform plan --detailed-exitcode >/dev/null && echo in sync"];
        for from in ["netform.yaml", "-"] {
            let mut run = world.netform();
            let input = std::fs::File::open(&manifest).unwrap();
            let output = run.args(["sandbox", from, "--"]).args(command).stdin(input).output().unwrap();
            let done = super::world::Done::of(output).exits(0);
            assert_eq!(done.stdout, "mine\nin sync\n", "{from}");
            assert!(done.stderr.contains("Plan: 9 to add"), "{}", done.stderr);
        }
    }
}
