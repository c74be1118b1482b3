//! The transcripts in README are what netform prints.

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

live! {
    fn the_things_in_readme_are_explained_as_it_says(world) {
        let root = env!("CARGO_MANIFEST_DIR");
        let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
        let (command, shown) = readme.split("$ netform explain ").nth(1).unwrap().split_once('\n').unwrap();
        let shown = shown.split("```").next().unwrap();
        world.sh("ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up");
        let run = |args: &[&str]| {
            let output = world.netform().args(args).current_dir(root).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        run(&["apply", "--yes", "examples/shop.yaml"]);

        let things = [&["explain"], command.split(' ').collect::<Vec<_>>().as_slice()].concat();

        assert_eq!(run(&things).trim_end(), shown.trim_end(), "README shows something else");
    }
}
