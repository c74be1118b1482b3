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
        let mut shown = readme.split("$ netform explain ").skip(1);
        let (command, shown) = shown.find(|it| !it.starts_with("--path")).unwrap().split_once('\n').unwrap();
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

live! {
    fn the_policies_in_readme_open_and_close_what_it_says(world) {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        let section = readme.split("## Policies\n").nth(1).unwrap();
        let block = |kind: &str| section.split(kind).nth(1).unwrap().split("```").next().unwrap();
        let (manifest, shown) = (block("```yaml\n"), block("```console\n"));
        world.file("netform.yaml", manifest);
        // As on a host whose bridges are not judged by the firewall for routed packets, too.
        world.sh("for it in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $it ] || echo 0 > $it; done");

        let mut shown = shown.split("$ ").skip(1).map(|it| it.split_once('\n').unwrap());
        let (command, lines) = shown.next().unwrap();
        assert_eq!(command, "netform plan | grep -E 'opens|closes'");
        let plan = world.run(&["plan"]).exits(0).stdout;
        let said: String = plan.lines().filter(|it| it.contains("opens:") || it.contains("closes:")).map(|it| format!("{it}\n")).collect();
        assert_eq!(said, lines);

        world.run(&["apply", "--yes"]).exits(0);
        let (command, lines) = shown.next().unwrap();
        let words: Vec<_> = command.split(' ').skip(1).collect();
        assert_eq!(world.run(&words).stdout.trim_end(), lines.trim_end());
    }
}
