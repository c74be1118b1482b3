//! The directories of netform are full, read-only, lost, damaged or of a later version: a clear error, or all goes on.

use super::daemon::Daemon;
use super::snapshot::{assert_same, everything};
use super::world::{World, live};

const FRONT: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front], publish: ['8080:80']}}\n";

fn edited() -> String {
    FRONT.replace("'8080:80'", "'8080:80', '9090:90'")
}

/// Applies an edited manifest, which has to be refused with these words and leave everything as it is.
#[track_caller]
fn refused(world: &World, code: i32, words: &str) {
    let before = everything(world);
    world.file("netform.yaml", &edited());
    let done = world.run(&["apply", "--yes"]).exits(code);
    assert!(done.stderr.contains(words), "{}", done.stderr);
    assert_same(&everything(world), &before, "nothing was changed");
}

live! {
    fn on_a_read_only_disk_nothing_is_begun(world) {
        world.apply(FRONT);
        world.sh("mount --bind state state && mount -o remount,bind,ro state");
        refused(world, 1, "Read-only file system");
        world.run(&["plan", "--detailed-exitcode"]).exits(2);
        world.sh("umount state");
        world.run(&["apply", "--yes"]).exits(0);
    }
}

live! {
    fn on_a_full_disk_nothing_is_begun(world) {
        world.apply(FRONT);
        for dir in ["state", "run"] {
            world.sh(&format!(
                "mkdir -p full && mount -t tmpfs -o size=256k tmpfs full && cp -a {dir}/. full/ && mount --bind full {dir} && \
                 (cat /dev/zero > {dir}/big 2>/dev/null || true)"
            ));
            refused(world, 1, "No space left on device");
            world.sh(&format!("rm {dir}/big"));
            world.run(&["apply", "--yes"]).exits(0);
            world.sh(&format!("umount {dir} && umount full"));
            world.apply(FRONT);
        }
    }
}

live! {
    fn on_a_disk_that_stays_full_or_read_only_everything_goes_all_the_same(world) {
        let left = || world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables; sysctl -n net.ipv4.ip_forward");
        let full = "mkdir -p full && mount -t tmpfs -o size=256k tmpfs full && cp -a state/. full/ && mount --bind full state && (cat /dev/zero > state/big 2>/dev/null || true)";
        for (how, end) in [
            (full, "rm -f state/big; umount state; cp -a full/. state/; umount full"),
            ("mount --bind state state && mount -o remount,bind,ro state", "umount state"),
        ] {
            world.sh("sysctl -qw net.ipv4.ip_forward=0");
            world.apply(FRONT);
            world.sh(how);

            let done = world.run(&["destroy", "--yes"]).exits(0);

            assert!(done.stderr.contains("all was done, but cannot write") && done.stderr.contains("repeat it when there is room"), "{}", done.stderr);
            assert_eq!(left(), "0\n");
            // Again and again it says what is left to do: to write it down.
            let again = world.run(&["destroy", "--yes"]).exits(1).stderr;
            assert!(again.contains("make room there, or have it writable"), "{again}");
            world.run(&["plan", "--destroy"]).exits(0);
            assert_eq!(left(), "0\n");

            world.sh(end);
            // Somebody else has it on meanwhile.
            world.sh("sysctl -qw net.ipv4.ip_forward=1");
            world.run(&["destroy", "--yes"]).exits(0);
            assert_eq!(left(), "1\n");
            let again = world.run(&["destroy", "--yes"]).exits(0).stdout;
            assert!(again.contains("No changes") || again.contains("othing"), "{again}");
            assert!(world.run(&["status"]).stdout.contains("differs from the manifest"));
        }
    }
}

/// Has the state directory be a disk with so many pages left, and no run be remembered.
fn nearly_full(world: &World, pages: u32) {
    world.sh("sysctl -qw net.ipv4.ip_forward=0; rm -rf run; mkdir -p state && mount -t tmpfs -o size=128k tmpfs state && mkdir -p state/shop/generations");
    world.sh(&format!("head -c $((131072 - {pages} * 4096)) /dev/zero > state/big"));
    world.file("netform.yaml", FRONT);
}

live! {
    fn a_disk_that_fills_while_a_run_is_saved_keeps_nobody_from_going_on(world) {
        let left = || world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables; sysctl -n net.ipv4.ip_forward");
        let (mut refused, mut elsewhere) = (0, 0);
        for pages in 8..14 {
            nearly_full(world, pages);
            let done = world.run(&["apply", "--yes"]);
            if done.code == 1 {
                assert!(done.stderr.contains("No space left on device"), "{}", done.stderr);
                refused += 1;
            } else {
                assert_eq!(done.stderr, "");
                let (plan, changes) = world.plan();
                let is_elsewhere = world.dir().join("run/shop/originals.json").exists();
                assert_eq!((changes, plan.contains("there is no room for")), (false, is_elsewhere), "{plan}");
                elsewhere += usize::from(is_elsewhere);
                world.sh("ip -n web link set eth0 mtu 1300; sysctl -qw net.ipv4.ip_forward=0");
                assert_eq!(world.run(&["apply", "--yes"]).exits(0).stderr, "", "what drifts is brought back");
                world.run(&["apply", "--yes"]).exits(0);
                world.assert_in_sync();
            }
            let done = world.run(&["destroy", "--yes"]).exits(0);
            assert_eq!(left(), "0\n", "{pages} pages: {}{}", done.stdout, done.stderr);

            world.sh("rm state/big");
            world.run(&["destroy", "--yes"]).exits(0);
            world.apply(FRONT);
            assert!(!world.plan().0.contains("there is no room"));
            assert_eq!(world.sh("ls state/shop; ls run/shop | grep json || true"), "generations\nleases.json\noriginals.copy.json\noriginals.json\n");
            world.run(&["destroy", "--yes"]).exits(0);
            assert_eq!(left(), "0\n");
            world.sh("umount state");
        }
        assert!(refused > 0 && elsewhere > 0, "{refused} {elsewhere}");
    }
}

live! {
    fn a_daemon_brings_back_what_drifts_on_a_disk_that_filled_while_it_saved(world) {
        for pages in 9..13 {
            nearly_full(world, pages);
            let daemon = Daemon::start(world, &["--resync", "1h"]);
            for drift in ["ip -n web link set eth0 mtu 1300", "sysctl -qw net.ipv4.ip_forward=0", "ip link del br-front"] {
                world.sh(drift);
                daemon.brings_it_in_sync(drift);
            }
            assert!(!daemon.log().contains("cannot write"), "{}", daemon.log());
            drop(daemon);
            world.run(&["destroy", "--yes"]).exits(0);
            assert_eq!(world.sh("ip -o link show type bridge; ip netns; sysctl -n net.ipv4.ip_forward"), "0\n");
            world.sh("umount state");
        }
    }
}

live! {
    fn where_even_a_run_cannot_be_written_down_it_is_told_that_nothing_goes(world) {
        world.apply(FRONT);
        world.sh("mkdir -p full && mount -t tmpfs -o size=256k tmpfs full && cp -a run/. full/ && mount --bind full run && (cat /dev/zero > run/big 2>/dev/null || true)");
        let before = everything(world);
        let refused = world.run(&["destroy", "--yes"]).exits(1).stderr;
        assert!(refused.contains("No space left on device") && refused.contains("make room there"), "{refused}");
        assert_same(&everything(world), &before, "nothing was changed");
        world.sh("rm run/big");
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn a_run_that_was_killed_on_a_full_disk_is_undone_or_goes_on(world) {
        world.apply(FRONT);
        let before = everything(world);
        world.sh("mount --bind state state && mount -o remount,bind,ro state");
        // The kernel is killed off in the middle: what was begun is in the journal alone.
        world.sh("mkdir bin; printf '#!/bin/sh\ncase \"$*\" in *-f*) kill -9 $PPID; exit 1;; esac\nexec /usr/sbin/nft \"$@\"\n' > bin/nft; chmod +x bin/nft");
        let path = format!("{}/bin:{}", world.dir().display(), std::env::var("PATH").unwrap());
        let killed = world.netform().args(["destroy", "--yes"]).env("PATH", path).output().unwrap();
        assert_eq!(killed.status.code(), None, "{killed:?}");
        world.sh("umount state");
        world.run(&["apply", "--yes"]).exits(0);
        assert_same(&everything(world), &before, "it was undone");
        world.assert_in_sync();
    }
}

live! {
    fn what_a_later_netform_wrote_is_not_touched(world) {
        world.apply(FRONT);
        for file in ["state/shop/generations/1.json", "state/shop/leases.json", "state/shop/pending.json", "run/shop/journal"] {
            world.sh(&format!("cp {file} kept 2>/dev/null || true; echo '{{\"format\": 2, \"else\": []}}' > {file}"));
            refused(world, 1, "was written by a later netform");
            world.sh(&format!("rm {file}; mv kept {file} 2>/dev/null || true"));
        }
        world.run(&["apply", "--yes"]).exits(0);
    }
}

live! {
    fn a_damaged_journal_is_kept_aside_and_the_kernel_tells_what_is_ours(world) {
        world.apply(FRONT);
        let before = everything(world);
        world.sh("printf '{\"format\":1,\"touch' > run/shop/journal");

        let done = world.run(&["apply", "--yes"]).exits(0);

        assert!(done.stderr.contains("journal is damaged"), "{}", done.stderr);
        assert!(world.dir().join("run/shop/journal.damaged").exists());
        assert_same(&everything(world), &before, "nothing had to be done");
    }
}

live! {
    fn damaged_generations_and_leases_cost_explanations_and_nothing_else(world) {
        world.apply(FRONT);
        let before = everything(world);
        world.sh("for f in state/shop/generations/*.json state/shop/leases.json; do head -c 40 $f > half; cat half > $f; done");

        let done = world.run(&["apply", "--yes"]).exits(0);

        assert!(done.stdout.contains("is damaged"), "{}{}", done.stdout, done.stderr);
        assert!(done.stdout.contains("1.json is damaged (") && done.stdout.contains("); no other one is whole: "), "{}", done.stdout);
        assert!(!done.stdout.contains("using an older one"), "{}", done.stdout);
        assert_same(&everything(world), &before, "the same addresses, links and rules");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables"), "");
    }
}

live! {
    fn a_new_generation_takes_no_number_that_a_damaged_one_has(world) {
        world.apply(FRONT);
        world.apply(&edited());
        world.sh("echo broken > state/shop/generations/2.json");

        let told = world.apply(FRONT);

        assert!(told.contains("2.json is damaged (") && told.contains("); using an older one"), "{told}");

        assert_eq!(world.sh("ls state/shop/generations"), "1.json\n2.json\n3.json\n");
        assert_eq!(world.sh("cat state/shop/generations/2.json"), "broken\n");
    }
}

live! {
    fn a_run_that_was_undone_leaves_no_memory_of_the_parameters_that_it_had_changed(world) {
        world.sh("sysctl -q -w net.ipv4.ip_forward=0; mkdir bin; printf '#!/bin/sh\\ncase \"$*\" in *-f*) exit 1;; esac\\nexec /usr/sbin/nft \"$@\"\\n' > bin/nft; chmod +x bin/nft");
        world.file("netform.yaml", FRONT);
        let path = format!("{}/bin:{}", world.dir().display(), std::env::var("PATH").unwrap());
        let failed = world.netform().args(["apply", "--yes"]).env("PATH", path).output().unwrap();
        assert!(matches!(failed.status.code(), Some(1 | 4)), "{failed:?}");

        // Somebody needs forwarding for something else; netform has never changed it.
        world.sh("sysctl -q -w net.ipv4.ip_forward=1");
        world.run(&["apply", "--yes"]).exits(0);
        world.run(&["destroy", "--yes"]).exits(0);

        assert_eq!(world.sh("sysctl -n net.ipv4.ip_forward").trim(), "1");
    }
}

live! {
    fn what_a_run_came_to_may_be_lost_before_it_is_saved(world) {
        for next in ["apply", "destroy"] {
            world.sh("sysctl -q -w net.ipv4.ip_forward=0; rm -rf state; mkdir -p state/shop/originals.copy.json && mount -t tmpfs tmpfs state/shop/originals.copy.json");
            world.file("netform.yaml", FRONT);
            let done = world.run(&["apply", "--yes"]).exits(0);
            assert!(done.stderr.contains("all was done, but"), "{}", done.stderr);
            // It is what keeps the original values of the host's parameters, so it is written first.
            let refused = world.run(&["destroy", "--yes"]).exits(1);
            assert!(refused.stderr.contains("what it changed cannot be written down"), "{}", refused.stderr);
            assert!(!refused.stderr.contains("killed"), "{}", refused.stderr);

            world.sh("umount state/shop/originals.copy.json; rm -r state");
            let done = world.run(&[next, "--yes"]).exits(0);
            assert!(done.stderr.contains("lost with its files"), "{}", done.stderr);
            world.run(&["destroy", "--yes"]).exits(0);
            assert_eq!(world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables"), "");
            assert_eq!(world.sh("sysctl -n net.ipv4.ip_forward").trim(), "0");
        }
    }
}
