//! What is said and done when the kernel refuses half-way.

use super::world::{Done, World, live};

pub(super) const FRONT: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front]}}\n";
pub(super) const MORE: &str = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/16]}, back: {subnets: [10.7.0.0/24]}}
containers:
  web:
    networks: [front, back]
    publish: ['8080:80']
";

/// Runs `netform` with an `nft` that refuses its `nth` write and no other.
pub(super) fn haunted(world: &World, nth: usize, args: &[&str]) -> Done {
    let dir = world.dir().display();
    world.sh(&format!(
        "mkdir -p bin; rm -f count; real=$(command -v nft); cat > bin/nft <<EOF
#!/bin/sh
case \"\\$*\" in *-f*) echo x >> {dir}/count; [ \\$(wc -l < {dir}/count) -ne {nth} ] || {{ echo 'Error: the disk is haunted' >&2; exit 1; }};; esac
exec $real \"\\$@\"
EOF
chmod +x bin/nft"
    ));
    let path = format!("{dir}/bin:{}", std::env::var("PATH").unwrap());
    world.run_with(&[("PATH", &path)], args)
}

/// Runs `netform` with an `nft` that kills it once its `nth` write is done.
#[track_caller]
pub(super) fn killed(world: &World, nth: usize, args: &[&str]) {
    let dir = world.dir().display();
    world.sh(&format!(
        "mkdir -p bin; rm -f count; real=$(command -v nft); cat > bin/nft <<EOF
#!/bin/sh
case \"\\$*\" in *-f*) echo x >> {dir}/count; [ \\$(wc -l < {dir}/count) -ne {nth} ] || {{ $real \"\\$@\"; kill -9 \\$PPID; exit; }};; esac
exec $real \"\\$@\"
EOF
chmod +x bin/nft"
    ));
    let path = format!("{dir}/bin:{}", std::env::var("PATH").unwrap());
    assert_eq!(world.run_with(&[("PATH", &path)], args).code, -1, "it was killed");
}

live! {
    fn a_run_that_stops_leaves_what_was_done_and_lists_it(world) {
        world.apply(FRONT);
        world.file("netform.yaml", MORE);

        let done = haunted(world, 2, &["apply", "--yes", "--on-failure", "stop"]).exits(3);

        for said in [
            "the disk is haunted",
            "netform.yaml:7:15",
            "Done, and left so:",
            "create link br-back",
            "--on-failure stop",
            "`netform rollback 1` goes back",
        ] {
            assert!(done.stderr.contains(said), "{said} in:\n{}", done.stderr);
        }
        assert!(world.sh("ip -br link").contains("br-back"), "what was done stays");
        assert_eq!(world.run(&["history"]).exits(0).stdout.lines().count(), 2, "no generation is made of it");
        world.run(&["rollback", "1", "--yes"]).exits(0);
        assert!(!world.sh("ip -br link").contains("br-back"));
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn a_run_that_is_undone_lists_what_was_done_what_failed_and_what_was_undone(world) {
        world.apply(FRONT);
        let before = world.sh("ip -o link; nft -s list ruleset; ip netns");
        world.file("netform.yaml", MORE);

        let done = haunted(world, 2, &["apply", "--yes", "--on-failure", "rollback"]).exits(4);

        for said in ["netform.yaml:7:15", "the disk is haunted", "create link br-back", "Undone:"] {
            assert!(done.stderr.contains(said), "{said} in:\n{}", done.stderr);
        }
        assert_eq!(world.sh("ip -o link; nft -s list ruleset; ip netns"), before);
    }
}

live! {
    fn what_was_not_started_is_listed(world) {
        world.file("netform.yaml", MORE);

        let done = haunted(world, 1, &["apply", "--yes", "--on-failure", "stop"]).exits(1);

        assert!(done.stderr.contains("Not started:") && done.stderr.contains("create netns web"), "{}", done.stderr);
        assert_eq!(world.sh("ip netns; ip -o link show type bridge"), "");
    }
}
