//! One daemon for a project, and one run at a time, whatever somebody removes of what says so.

use std::time::{Duration, Instant};

use super::daemon::{Daemon, patiently};
use super::world::{contained, live};

const SHOP: &str = "
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/16]}}
containers: {web: {networks: [front]}}
";

/// Puts somebody else before a command, who may do nothing.
const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all";

/// What a daemon says that has made its run directory anew.
const ANEW: &str = "is made anew";

live! {
    fn a_daemon_whose_run_directory_is_removed_makes_it_anew_and_stays_the_only_one(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        let pid = daemon.pid().to_string();

        for (round, removes) in ["rm -rf run/shop", "rm -rf run", "rm run/shop/watch.sock", "rm run/shop/watch.lock",
            "mv run/shop run/old"].into_iter().enumerate() {
            world.sh(removes);

            patiently(&|| format!("{removes}: {}", daemon.log()), || daemon.log().matches(ANEW).count() == round + 1);
            let second = world.run(&["watch", "netform.yaml"]).exits(6).stderr;
            assert!(second.contains("another `netform watch` keeps project shop"), "{removes}: {second}");
            let status = world.run(&["status", "--output", "json"]).exits(0).stdout;
            assert!(status.contains(&format!("\"pid\": {pid}")), "{removes}: {status}");
        }

        world.sh("ip link set br-front mtu 1400");
        daemon.brings_it_in_sync("another MTU");
    }
}

live! {
    fn a_daemon_that_another_one_has_replaced_meanwhile_ends_and_leaves_it_alone(world) {
        world.file("netform.yaml", SHOP);
        let first = Daemon::start(world, &[]);
        first.stop_at_rest();
        world.sh("rm -rf run");
        let log = world.dir().join("watch.log");
        std::fs::rename(&log, world.dir().join("first.log")).unwrap();
        let second = Daemon::start(world, &[]);

        first.signal("CONT");

        assert_eq!(first.ends(), 6);
        let said = std::fs::read_to_string(world.dir().join("first.log")).unwrap();
        assert!(said.contains("another `netform watch` keeps project shop by now"), "{said}");
        let status = world.run(&["status", "--output", "json"]).exits(0).stdout;
        assert!(status.contains(&format!("\"pid\": {}", second.pid())), "{status}");
        let answer = world.sh("ip netns exec web getent ahostsv4 web.front");
        assert!(answer.contains("172.25.0.2"), "{answer}");
        world.assert_in_sync();
    }
}

live! {
    fn a_suspended_daemon_stays_the_only_one_and_suspended(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        world.run(&["suspend", "--for", "10m"]).exits(0);

        world.sh("rm -rf run");

        daemon.says(ANEW);
        world.run(&["watch", "netform.yaml"]).exits(6);
        drop(daemon);
        let next = Daemon::start(world, &[]);
        next.says("suspended for");
    }
}

live! {
    fn a_run_that_waits_for_a_lock_that_was_removed_waits_for_the_new_one(world) {
        world.file("netform.yaml", SHOP);
        world.run(&["apply", "--yes"]).exits(0);
        let lock = world.dir().join("run/shop/lock");
        let hold = |seconds: u32| {
            let child = world.beside(&format!("flock {} sleep {seconds}", lock.display()));
            patiently(&|| "the lock is held".to_owned(), || world.try_sh("flock -n run/shop/lock true").code == 1);
            child
        };
        let held = hold(3);
        let mut waits = world.netform();
        let mut waiting = waits.args(["apply", "--yes", "--lock-timeout", "20s"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        world.sh("rm -rf run && mkdir -p run/shop");
        let new = hold(6);
        let begins = Instant::now();

        assert!(waiting.wait().unwrap().success());

        assert!(begins.elapsed() > Duration::from_secs(5), "it ran beside another: {:?}", begins.elapsed());
        for mut child in [held, new] {
            child.wait().unwrap();
        }
    }
}

/// Runs a command at a terminal, has somebody remove the lock while it asks, and says yes.
const AT_A_TERMINAL: &str = r#"
import os, pty, shutil, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
said = b""
while b"is a yes" not in said: said += os.read(terminal, 4096)
shutil.rmtree("run")
os.write(terminal, b"yes\n")
try:
    while True:
        some = os.read(terminal, 4096)
        if not some: break
        said += some
except OSError: pass
print(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

live! {
    fn a_run_whose_lock_is_removed_while_it_asks_changes_nothing(world) {
        world.file("netform.yaml", SHOP);
        world.file("terminal.py", AT_A_TERMINAL);
        let netform = env!("CARGO_BIN_EXE_netform");
        let done = world.try_sh(&format!(
            "SSH_CONNECTION= python3 terminal.py {netform} apply --state-dir state --run-dir run"
        ));

        let said = done.exits(6).stdout;
        assert!(said.contains("somebody has removed the lock"), "{said}");
        assert_eq!(world.try_sh("ip link show br-front").code, 1);
    }
}

contained! {
    fn no_other_user_can_hold_up_a_run(world, "setpriv") {
        let manifest = |port: u16| SHOP.replace("[front]", &format!("[front], publish: ['{port}:80']"));
        world.file("netform.yaml", &manifest(8080));
        world.run(&["apply", "--yes"]).exits(0);
        drop(Daemon::start(world, &[]));
        world.sh("chmod 755 .");
        let locks = ["run/host.lock", "run/ports.lock", "run/joins.lock", "run/shop/lock", "run/shop/watch.lock"];

        // An earlier netform had all read them.
        world.sh(&format!("touch {0}; chmod 644 {0}", locks.join(" ")));
        world.file("netform.yaml", &manifest(8081));
        drop(Daemon::start(world, &[]));
        world.run(&["destroy", "--yes"]).exits(0);
        world.run(&["apply", "--yes"]).exits(0);
        world.file("netform.yaml", &manifest(8081).replace("{web", "{app: {networks: [front]}, web"));
        world.run(&["apply", "--yes"]).exits(0);

        for lock in locks {
            let held = world.try_sh(&format!("{NOBODY} flock -n -s {lock} true"));
            assert!(held.code != 0 && held.stderr.contains("Permission denied"), "{lock}: {}", held.stderr);
            assert_eq!(world.sh(&format!("stat -c %a {lock}")), "600\n", "{lock}");
        }
    }
}

contained! {
    fn who_may_not_look_is_told_so(world, "setpriv") {
        world.file("netform.yaml", SHOP);
        let as_nobody = |args: &str| {
            let (dir, netform) = (world.dir().display(), env!("CARGO_BIN_EXE_netform"));
            world.try_sh(&format!("cp -n {netform} netform; {NOBODY} ./netform --state-dir {dir}/state --run-dir {dir}/run {args}"))
        };
        world.run(&["apply", "--yes"]).exits(0);
        world.sh("chmod 755 .");
        for verb in ["status", "plan", "history", "apply --yes", "destroy --yes"] {
            let told = as_nobody(verb).exits(77).stderr;
            assert!(told.contains("Permission denied") && told.contains("help: run it as root"), "{verb}: {told}");
        }
        let doctor = as_nobody("doctor");
        assert!(doctor.stderr.contains("root sees more"), "{}", doctor.stderr);

        // Before there is anything that he may not read.
        world.sh("rm -r state; echo '{}' > run/shop/journal");
        let told = as_nobody("plan").stderr;
        assert!(told.contains("A run is under way, or was killed: only root sees which."), "{told}");
    }
}
