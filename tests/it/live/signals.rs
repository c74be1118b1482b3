//! Runs that are interrupted, whose terminal goes away, or that meet another run.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::snapshot::{assert_same, everything};
use super::world::{World, eventually, live};

const FRONT: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front], publish: ['8080:80']}}\n";
const MORE: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers:\n  web: {networks: [front], publish: ['8080:80', '9090:90']}\n  db: {networks: [front]}\n";

/// An `nft` that waits, before it writes, for the file `go`.
const WAITING: &str = "#!/bin/sh
case \"$*\" in *-f*) touch DIR/here; while [ ! -e DIR/go ]; do sleep 0.05; done;; esac
exec NFT \"$@\"
";

/// An apply of one more container that waits half-way.
fn half_way(world: &World) -> Child {
    let nft = world.sh("mkdir -p bin; rm -f go here; command -v nft");
    let program = WAITING.replace("DIR", &world.dir().to_string_lossy()).replace("NFT", nft.trim());
    world.file("bin/nft", &program);
    world.sh("chmod +x bin/nft");
    world.file("netform.yaml", MORE);
    let path = format!("{}/bin:{}", world.dir().display(), std::env::var("PATH").unwrap());
    let mut command = world.netform();
    command.args(["apply", "--yes"]).env("PATH", path).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    eventually("it is half-way", || world.dir().join("here").exists());
    child
}

fn signal(world: &World, child: &Child, name: &str) {
    world.sh(&format!("kill -{name} {}", child.id()));
}

/// Waits for a run to end; returns its exit code and what it said.
fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

live! {
    fn an_nft_that_hangs_is_given_up_and_what_was_done_is_undone(world) {
        world.apply(FRONT);
        let before = everything(world);
        let child = half_way(world);

        let (code, said) = ended(child);

        assert!(matches!(code, Some(1 | 4)) && said.contains("`nft` did not answer within 30 seconds"), "{code:?}: {said}");
        assert_same(&everything(world), &before, "nothing is left of it");
    }
}

live! {
    fn an_interrupt_is_heard_while_nft_hangs(world) {
        world.apply(FRONT);
        let before = everything(world);
        let child = half_way(world);

        signal(world, &child, "INT");
        let (_, said) = ended(child);

        assert!(said.contains("interrupted: undoing what was done"), "{said}");
        assert_same(&everything(world), &before, "nothing is left of it");
    }
}

live! {
    fn an_interrupted_run_undoes_itself_and_says_so(world) {
        world.apply(FRONT);
        let before = everything(world);
        for name in ["INT", "TERM"] {
            let child = half_way(world);
            signal(world, &child, name);
            std::thread::sleep(Duration::from_millis(100));
            world.sh("touch go");

            let (code, said) = ended(child);

            assert_eq!(code, Some(130), "{said}");
            assert!(said.contains("as it was"), "{said}");
            assert_same(&everything(world), &before, name);
        }
    }
}

live! {
    fn a_run_that_is_interrupted_twice_leaves_at_once_and_the_next_undoes_it(world) {
        world.apply(FRONT);
        let before = everything(world);
        let child = half_way(world);
        signal(world, &child, "INT");
        std::thread::sleep(Duration::from_millis(200));
        signal(world, &child, "INT");

        let (code, said) = ended(child);

        assert_eq!(code, Some(130), "{said}");
        assert!(world.dir().join("run/shop/journal").exists());
        world.sh("touch go; sleep 0.2");
        world.file("netform.yaml", FRONT);
        let next = world.run(&["apply", "--yes"]).exits(0);
        assert!(next.stderr.contains("A run was killed"), "{}", next.stderr);
        assert_same(&everything(world), &before, "undone");
    }
}

live! {
    fn a_run_whose_terminal_goes_away_goes_on(world) {
        world.apply(FRONT);
        let child = half_way(world);
        signal(world, &child, "HUP");
        world.sh("touch go");

        let (code, said) = ended(child);

        assert_eq!(code, Some(0), "{said}");
        world.assert_in_sync();
    }
}

live! {
    fn a_run_that_nobody_listens_to_ends_in_order(world) {
        world.apply(FRONT);
        let mut child = half_way(world);
        // Whatever it says, nobody hears it.
        drop(child.stderr.take());
        signal(world, &child, "INT");
        std::thread::sleep(Duration::from_millis(100));
        world.sh("touch go");

        assert_eq!(ended(child).0, Some(130), "it ends in order");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn a_second_run_waits_and_then_names_who_holds_the_lock(world) {
        world.apply(FRONT);
        let child = half_way(world);

        let second = world.run(&["destroy", "--yes", "--lock-timeout", "2s"]).exits(6);
        assert!(second.stderr.contains(&format!("`netform apply`, process {}", child.id())), "{}", second.stderr);
        assert!(second.stderr.contains("it has held it for"), "{}", second.stderr);
        let plan = world.run(&["plan"]).exits(0);
        assert!(plan.stderr.contains("is at work right now"), "{}", plan.stderr);

        // A dead holder never blocks.
        signal(world, &child, "KILL");
        ended(child);
        world.sh("touch go; sleep 0.2");
        world.run(&["apply", "--yes", "--lock-timeout", "300ms"]).exits(0);
        world.assert_in_sync();
    }
}
