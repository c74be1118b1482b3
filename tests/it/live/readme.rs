//! The transcript in README is what netform prints.

use super::world::live;

live! {
    fn the_plan_in_readme_is_what_netform_prints(world) {
        let root = env!("CARGO_MANIFEST_DIR");
        let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
        let shown = readme.split("$ netform plan examples/shop.yaml\n").nth(1).unwrap().split("```").next().unwrap();
        // In a world of its own there is no uplink and nothing in the way, as on a fresh machine.
        let output = world.netform().args(["plan", "examples/shop.yaml"]).current_dir(root).output().unwrap();

        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed.trim_end(), shown.trim_end(), "README shows another plan");
    }
}
