//! What machines are told of a run: lines of JSON that follow their schema, the last of which always says how it ended.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::failure::{FRONT, MORE, haunted};
use super::world::{Done, World, live};
use crate::schema::assert_follows;

/// Returns the lines, each of which follows the schema; the first and the last are what they always are.
#[track_caller]
fn lines(done: &Done) -> Vec<Value> {
    let lines: Vec<Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in:\n{}", done.stdout)))
        .collect();
    lines.iter().for_each(|line| assert_follows("events", line));
    assert_eq!(lines.first().unwrap()["event"], "run_begin", "{}", done.stdout);
    let last = lines.last().unwrap();
    assert_eq!(last["event"], "run_end", "{}", done.stdout);
    assert_eq!(last["exit_code"], done.code, "{last}");
    assert_eq!(lines.iter().filter(|line| line["event"] == "run_end").count(), 1);
    lines
}

/// Runs a verb for machines; returns the last line.
#[track_caller]
fn ends(world: &World, args: &[&str], code: i32, outcome: &str) -> Value {
    let done = world.run(&[args, &["--output", "json"]].concat()).exits(code);
    let last = lines(&done).pop().unwrap();
    assert_eq!(last["outcome"], outcome, "{last}");
    last
}

fn count(lines: &[Value], event: &str) -> usize {
    lines.iter().filter(|line| line["event"] == event).count()
}

live! {
    fn an_apply_tells_its_plan_every_operation_and_how_it_ended(world) {
        world.file("netform.yaml", FRONT);

        let lines = lines(&world.run(&["apply", "--yes", "--output", "json"]).exits(0));

        let last = lines.last().unwrap();
        assert_eq!((last["outcome"].as_str(), last["generation"].as_u64()), (Some("applied"), Some(1)));
        let plan = lines.iter().find(|line| line["event"] == "plan").unwrap();
        assert_eq!(plan["summary"]["add"], 4, "{plan}");
        assert!(plan["changes"].as_array().unwrap().iter().any(|change| change["address"] == "attachment.web@front"), "{plan}");
        let operations = plan["summary"]["operations"].as_u64().unwrap();
        assert_eq!(last["operations"]["done"].as_u64().unwrap(), operations);
        assert_eq!(count(&lines, "operation_started") as u64, operations);
        assert_eq!(count(&lines, "operation_done") as u64, operations);
        assert_eq!(count(&lines, "verified"), 1);
        let bridge = lines.iter().find(|line| line["event"] == "operation_done" && line["object"] == "link br-front").unwrap();
        assert_eq!((bridge["address"].as_str(), bridge["source"]["line"].as_u64()), (Some("network.front"), Some(3)), "{bridge}");
        assert!(bridge["duration_us"].is_u64(), "{bridge}");
    }
}

live! {
    fn every_verb_that_changes_something_tells_how_it_ended(world) {
        world.file("netform.yaml", FRONT);
        ends(world, &["apply", "--yes"], 0, "applied");
        assert_eq!(ends(world, &["apply", "--yes"], 0, "nothing_to_do")["generation"], 1);
        world.file("netform.yaml", MORE);
        ends(world, &["apply", "--yes", "--detailed-exitcode"], 2, "applied");
        assert_eq!(ends(world, &["rollback", "--yes"], 0, "applied")["generation"], 3);
        ends(world, &["try", "--yes", "--confirm-timeout", "1s"], 8, "unconfirmed");
        ends(world, &["destroy", "--yes"], 0, "applied");
        ends(world, &["destroy", "--yes"], 0, "nothing_to_do");
    }
}

live! {
    fn a_refusal_is_told_as_well(world) {
        world.file("netform.yaml", &FRONT.replace("/16]}", "/16], lifecycle: {prevent_destroy: true}}"));
        ends(world, &["apply"], 64, "usage");
        world.run(&["plan", "--out", "early.plan"]).exits(0);
        ends(world, &["apply", "--yes"], 0, "applied");
        ends(world, &["apply", "--yes", "early.plan"], 5, "stale");
        let guarded = ends(world, &["destroy", "--yes"], 7, "guarded");
        assert!(guarded["message"].as_str().unwrap().contains("prevent_destroy"), "{guarded}");
        ends(world, &["apply", "--yes", "--target", "network.frnt"], 64, "usage");
        ends(world, &["rollback", "--yes", "99"], 66, "no_input");
        ends(world, &["apply", "--yes", "nowhere.yaml"], 66, "no_input");
        let bad = world.file("bad.yaml", "netform: 1\nproject: Shop\n");
        ends(world, &["apply", "--yes", bad.to_str().unwrap()], 65, "manifest");
        world.sh("ip link add br-back type bridge");
        world.file("netform.yaml", &MORE.replace("back: {sub", "back: {interface: br-back, sub"));
        ends(world, &["apply", "--yes"], 9, "foreign");
        world.sh("flock run/shop/lock sleep 2 >/dev/null 2>&1 & sleep 0.2");
        ends(world, &["apply", "--yes", "--lock-timeout", "50ms"], 6, "locked");
    }
}

live! {
    fn a_failure_is_told_with_what_the_kernel_said_and_what_was_undone(world) {
        world.apply(FRONT);
        world.file("netform.yaml", MORE);

        let done = haunted(world, 2, &["apply", "--yes", "--output", "json"]).exits(4);

        let undone = lines(&done);
        let failed = undone.iter().find(|line| line["event"] == "operation_failed").unwrap();
        assert!(failed["error"].as_str().unwrap().contains("the disk is haunted"), "{failed}");
        assert_eq!(failed["source"]["line"], 7, "{failed}");
        assert_eq!(count(&undone, "rolled_back"), 1);
        assert!(undone.iter().any(|line| line["phase"] == "undoing"), "{}", done.stdout);
        let last = undone.last().unwrap();
        assert_eq!((last["outcome"].as_str(), last["generation"].as_u64()), (Some("rolled_back"), Some(1)), "{last}");

        let stopped = lines(&haunted(world, 2, &["apply", "--yes", "--on-failure", "stop", "--output", "json"]).exits(3));
        let last = stopped.last().unwrap();
        assert_eq!(last["outcome"], "stranded");
        assert!(last["operations"]["done"].as_u64().unwrap() > 0 && last["operations"]["undone"] == 0, "{last}");
    }
}

/// Starts an apply with an `nft` that takes two seconds to write, interrupts it so often, and returns how it ended.
fn interrupted(world: &World, after_ms: u64, times: usize, args: &[&str]) -> Done {
    world.sh("mkdir -p slow; real=$(command -v nft); cat > slow/nft <<EOF
#!/bin/sh
case \"\\$*\" in *-f*) sleep 2;; esac
exec $real \"\\$@\"
EOF
chmod +x slow/nft");
    let path = format!("{}/slow:{}", world.dir().display(), std::env::var("PATH").unwrap());
    let mut command = world.netform();
    command.args(args).env("PATH", path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(after_ms));
    for _ in 0..times {
        world.sh(&format!("kill -INT {}; sleep 0.2", child.id()));
    }
    Done::of(child.wait_with_output().unwrap())
}

live! {
    fn an_interrupted_run_says_so(world) {
        world.file("netform.yaml", MORE);
        let apply = ["apply", "--yes", "--output", "json", "--lock-timeout", "30s"];

        let in_the_middle = interrupted(world, 1000, 1, &apply).exits(130);
        assert_eq!(lines(&in_the_middle).last().unwrap()["outcome"], "interrupted");
        assert_eq!(world.sh("ip netns; ip -o link show type bridge; nft list tables"), "");

        world.sh("flock run/shop/lock sleep 3 >/dev/null 2>&1 & sleep 0.2");
        let before_it_began = interrupted(world, 500, 1, &apply).exits(130);
        assert_eq!(lines(&before_it_began).last().unwrap()["outcome"], "interrupted");
        assert!(before_it_began.stderr.contains("nothing was changed"), "{}", before_it_began.stderr);

        let twice = interrupted(world, 1000, 2, &apply).exits(130);
        assert_eq!(lines(&twice).last().unwrap()["outcome"], "interrupted");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
    }
}

live! {
    fn what_cannot_be_told_is_not_done_or_said_by_the_exit_code(world) {
        world.file("netform.yaml", FRONT);
        let mut run = world.netform();
        run.args(["apply", "--yes", "--output", "json"]).stdin(Stdio::null());
        let full = std::fs::File::create("/dev/full").unwrap();
        let done = Done::of(run.stdout(full).output().unwrap()).exits(1);
        assert!(done.stderr.contains("No space left on device"), "{}", done.stderr);
        assert!(world.plan().1, "nothing was done");
        // Whoever has gone does not listen any more, and is not told.
        let gone = world.try_sh(&format!("{} --state-dir state --run-dir run apply --yes --output json | true", env!("CARGO_BIN_EXE_netform")));
        assert_eq!(gone.code, 0, "{}", gone.stderr);
        super::world::eventually("it is done", || !world.plan().1);
    }
}
