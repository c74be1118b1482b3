//! Killed runs, two runs at once, saved plans, confirmations, guards: nothing is left in between.

use super::snapshot::{assert_same, everything};
use super::world::{eventually, live};

const FRONT: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front], publish: ['8080:80']}}\n";
const MORE: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}, back: {subnets: [10.7.0.0/24]}}\n\
    containers:\n  web: {networks: [front, back], publish: ['8080:80']}\n  db: {networks: [back]}\n  cache: {networks: [front, back]}\n";

live! {
    fn a_run_that_is_killed_at_any_moment_is_finished_or_undone_by_the_next(world) {
        world.apply(MORE);
        let whole = everything(world);
        world.run(&["destroy", "--yes"]).exits(0);
        for after_ms in (0..120).step_by(8) {
            world.file("netform.yaml", MORE);
            let mut child = world.netform().args(["apply", "--yes"]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(after_ms));
            child.kill().unwrap();
            child.wait().unwrap();

            let done = world.run(&["apply", "--yes"]);
            assert_eq!(done.code, 0, "killed after {after_ms} ms:\n{}{}", done.stdout, done.stderr);
            world.assert_in_sync();
            assert_same(&everything(world), &whole, &format!("killed after {after_ms} ms"));
            world.run(&["destroy", "--yes"]).exits(0);
        }
        assert_eq!(world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables"), "");
    }
}

live! {
    fn what_a_killed_run_was_writing_is_swept_up_by_the_next(world) {
        world.apply(FRONT);
        world.sh("touch state/shop/.tmpAbC123 state/shop/generations/.tmpXyZ789 run/shop/.tmp0aB1cD state/shop/.tmp state/shop/.tmpnote.txt");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(world.sh("ls -A state/shop state/shop/generations run/shop | grep tmp"), ".tmp\n.tmpnote.txt\n");
    }
}

live! {
    fn two_runs_at_once_follow_each_other(world) {
        world.file("netform.yaml", MORE);
        let mut runs: Vec<_> = (0..3).map(|_| world.netform().args(["apply", "--yes"]).stdout(std::process::Stdio::null()).spawn().unwrap()).collect();

        assert!(runs.iter_mut().all(|run| run.wait().unwrap().success()));
        world.assert_in_sync();
    }
}

live! {
    fn a_saved_plan_does_exactly_what_was_shown_or_is_refused(world) {
        world.apply(FRONT);
        world.file("netform.yaml", MORE);
        world.run(&["plan", "--out", "saved.plan"]).exits(0);
        let shown = world.run(&["show", "saved.plan"]).exits(0).stdout;
        assert!(shown.contains("network.back will be created"), "{shown}");

        world.sh("ip link set br-front mtu 1400");
        world.apply(FRONT);
        let stale = world.run(&["apply", "--yes", "saved.plan"]).exits(5);
        assert!(stale.stderr.contains("manifest was edited"), "{}", stale.stderr);

        world.file("netform.yaml", MORE);
        world.run(&["plan", "--out", "saved.plan"]).exits(0);
        world.run(&["apply", "--yes", "saved.plan"]).exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn what_is_not_confirmed_is_undone_and_what_is_stays(world) {
        world.apply(FRONT);
        let before = everything(world);
        world.file("netform.yaml", MORE);

        let told = world.run(&["apply", "--yes", "--confirm-timeout", "1s"]).exits(0);
        assert!(told.stdout.contains("netform confirm"), "{}", told.stdout);
        eventually("it is undone", || !world.dir().join("state/shop/pending.json").exists());
        assert_same(&everything(world), &before, "undone");
        let tried = world.run(&["try", "--yes", "--confirm-timeout", "1s"]).exits(8);
        assert!(tried.stderr.contains("not confirmed"), "{}", tried.stderr);
        let late = world.run(&["confirm"]).exits(8);
        assert!(late.stderr.contains("too late"), "{}", late.stderr);
        // Who meant to undo it himself comes too late, too, and gets nothing of it back.
        let late = world.run(&["rollback", "--yes"]).exits(66);
        assert!(late.stderr.contains("was not confirmed, and is undone already"), "{}", late.stderr);
        assert_eq!(everything(world), before);

        world.file("netform.yaml", FRONT);
        world.sh("ip link set br-front mtu 1400");
        let tried = world.run(&["try", "--yes", "--confirm-timeout", "1s"]).exits(8);
        assert!(tried.stderr.contains("not confirmed, what had drifted stays set back"), "{}", tried.stderr);
        world.file("netform.yaml", MORE);

        world.run(&["apply", "--yes", "--confirm-timeout", "60s"]).exits(0);
        world.run(&["apply", "--yes"]).exits(7);
        world.run(&["confirm"]).exits(0);
        world.run(&["confirm"]).exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn a_try_undoes_itself_when_the_process_that_would_is_killed(world) {
        world.apply(FRONT);
        let before = everything(world);
        world.file("netform.yaml", MORE);
        let tried = world
            .netform()
            .args(["try", "--yes", "--confirm-timeout", "2s"])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        eventually("it is applied", || world.dir().join("state/shop/generations/2.json").exists());

        let guard = world.sh(&format!("pgrep -f '{}.*revert-unconfirmed'", world.dir().join("state").display()));
        world.sh(&format!("kill -9 {}", guard.lines().next().unwrap()));

        let output = tried.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(8), "{said}");
        assert!(said.contains("was not confirmed, and is undone"), "{said}");
        assert_same(&everything(world), &before, "undone");
    }
}

live! {
    fn a_try_that_somebody_rolls_back_is_not_confirmed(world) {
        world.apply(FRONT);
        let before = everything(world);
        world.file("netform.yaml", MORE);
        let tried = world
            .netform()
            .args(["try", "--yes", "--confirm-timeout", "60s"])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        eventually("it is applied", || world.dir().join("state/shop/generations/2.json").exists());

        world.run(&["rollback", "--yes"]).exits(0);

        let output = tried.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(8), "{}", String::from_utf8_lossy(&output.stderr));
        assert_same(&everything(world), &before, "rolled back");
    }
}

live! {
    fn rollback_goes_back_and_history_tells(world) {
        world.apply(FRONT);
        let before = everything(world);
        world.apply(MORE);

        let plan = world.run(&["rollback", "--dry-run"]).exits(0).stdout;
        assert!(plan.contains("network.back will be destroyed"), "{plan}");
        world.run(&["rollback", "--yes"]).exits(0);

        assert_eq!(everything(world), before);
        let history = world.run(&["history", "--project", "shop"]).exits(0).stdout;
        assert_eq!(history.lines().count(), 4, "{history}");
        assert_eq!(world.run(&["show", "2"]).exits(0).stdout, MORE);
    }
}

live! {
    fn guards_refuse_and_change_nothing(world) {
        world.apply(&FRONT.replace("/16]}", "/16], lifecycle: {prevent_destroy: true}}"));
        let before = everything(world);

        world.run(&["destroy", "--yes"]).exits(7);
        world.file("netform.yaml", "netform: 1\nproject: shop\nnetworks: {other: {}}\ncontainers: {web: {networks: [other]}}\n");
        let refused = world.run(&["apply", "--yes"]).exits(7);
        assert!(refused.stderr.contains("prevent_destroy"), "deleting the block does not disarm it: {}", refused.stderr);
        world.file("netform.yaml", "netform: 1\nproject: shop\n");
        world.run(&["apply", "--yes"]).exits(7);

        assert_eq!(everything(world), before);
    }
}

live! {
    fn the_state_directory_may_be_lost(world) {
        world.apply(MORE);
        world.sh("rm -rf state run");

        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables"), "");
    }
}

live! {
    fn a_project_goes_without_its_manifest(world) {
        let kernel = "ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables";
        for lost in ["rm netform.yaml", "rm -rf netform.yaml state run", "echo 'nonsense: [' > netform.yaml"] {
            world.apply(MORE);
            world.sh(lost);

            let told = world.run(&["destroy", "--project", "shp", "--yes"]).exits(66).stderr;
            assert!(told.contains("there is nothing of a project shp"), "{told}");
            world.run(&["destroy", "--project", "shop"]).exits(64);
            world.run(&["destroy", "other.yaml", "--project", "shop", "--yes"]).exits(64);
            world.run(&["destroy", "--project", "shop", "--yes"]).exits(0);

            assert_eq!(world.sh(kernel), "", "after {lost}");
            world.sh("rm -rf state run");
        }
        assert_eq!(world.run(&["destroy", "--project", "shop", "--yes"]).code, 66);
        assert_eq!(world.sh("ls state 2> /dev/null || true"), "", "a name that is nobody's leaves nothing");
    }
}

live! {
    fn a_lock_that_says_nothing_of_its_holder_has_no_age(world) {
        world.apply(FRONT);
        world.sh(": > run/shop/lock");
        let mut holder = world.beside(&format!("flock {} sleep 30", world.dir().join("run/shop/lock").display()));
        eventually("somebody has the lock", || world.try_sh("flock -n run/shop/lock true").code != 0);

        let told = world.run(&["apply", "--yes", "--lock-timeout", "0s"]).exits(6).stderr;
        assert!(told.contains("help: --lock-timeout waits longer") && !told.contains("has held it"), "{told}");
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
}

live! {
    /// The operator comes in by an address that the manifest takes away from the host.
    fn a_try_that_cuts_off_its_own_operator_comes_back(world) {
        world.apply(FRONT);
        assert!(world.pings("web", "172.25.0.1"));
        world.file("netform.yaml", &FRONT.replace("172.25.0.0/16", "172.26.0.0/16"));

        // The operator's terminal dies with the connection, and the client with it.
        let mut client = world
            .netform()
            .args(["try", "--yes", "--confirm-timeout", "2s"])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        eventually("the operator is cut off", || !world.pings("web", "172.25.0.1"));
        client.kill().unwrap();
        client.wait().unwrap();

        eventually("the connection is back", || world.pings("web", "172.25.0.1"));
        eventually("nothing waits any more", || !world.dir().join("state/shop/pending.json").exists());
        world.file("netform.yaml", FRONT);
        world.assert_in_sync();
    }
}
