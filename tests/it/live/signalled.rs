//! What is sent to a daemon, and a daemon that is stopped.

use super::apply::SHOP;
use super::daemon::{Daemon, patiently};
use super::world::live;

live! {
    fn a_daemon_that_is_stopped_is_one_all_the_same_and_its_files_stay(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        let files = || world.sh("cat /etc/netns/web/resolv.conf /etc/netns/db/resolv.conf");
        let before = files();
        daemon.stop_at_rest();

        let told = format!("`netform watch` (process {}) runs, but does not answer", daemon.pid());
        let asked = std::time::Instant::now();
        let status = world.run(&["status"]).exits(0).stdout;
        assert!(asked.elapsed() < std::time::Duration::from_secs(3), "who is stopped is not waited for: {:?}", asked.elapsed());
        assert!(status.contains(&told) && !status.contains("kept by nobody"), "{status}");
        let json = world.run(&["status", "--output", "json"]).exits(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        crate::schema::assert_follows("status", &json);
        assert_eq!((&json["daemon"]["state"], json["daemon"]["pid"].as_u64()), (&"silent".into(), Some(daemon.pid().into())), "{json}");
        let (plan, changes) = world.plan();
        assert!(plan.contains(&told) && !changes, "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(files(), before);
        let asked = std::time::Instant::now();
        for verb in [&["reconcile"][..], &["suspend", "--for", "1m"], &["resume"], &["events"]] {
            let refused = world.run(verb).exits(1).stderr;
            assert!(refused.contains(&told) && refused.contains(&format!("kill -CONT {}", daemon.pid())), "{verb:?}: {refused}");
        }
        assert!(asked.elapsed() < std::time::Duration::from_secs(40), "{:?}", asked.elapsed());
        let again = world.run(&["watch", "netform.yaml"]).exits(6).stderr;
        assert!(again.contains("another `netform watch` keeps project shop"), "{again}");

        daemon.signal("CONT");
        patiently(&|| daemon.log(), || world.run(&["status"]).stdout.contains("): in sync"));
        assert!(!world.plan().0.contains(&told));
    }
}

live! {
    fn a_socket_that_a_killed_daemon_left_is_nobody(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        // A process of its own would take its place in the table until it is waited for.
        daemon.signal("KILL");
        assert_eq!(daemon.ends(), -1);

        assert!(world.run(&["status"]).exits(0).stdout.contains("kept by nobody"));
        assert!(world.dir().join("run/shop/watch.sock").exists());
    }
}

live! {
    fn signals_that_mean_nothing_to_it_do_not_end_it(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);

        for name in ["USR1", "USR2"] {
            daemon.signal(name);
            daemon.says(&format!("SIG{name} means nothing to it"));
        }
        world.sh("ip link set br-front mtu 1400");
        daemon.brings_it_in_sync("signals");

        assert!(daemon.log().contains("mtu 1500 -> 1400; set back"), "{}", daemon.log());
        daemon.signal("TERM");
        assert_eq!(daemon.ends(), 0);
    }
}

live! {
    fn who_takes_the_place_of_a_daemon_at_once_finds_its_containers_free(world) {
        world.file("netform.yaml", SHOP);
        for _ in 0..5 {
            let one = Daemon::start(world, &[]);
            // Who reads its last words has a moment for that.
            let mut follower = world.netform().args(["events"]).stdout(std::process::Stdio::null()).spawn().unwrap();
            patiently(&|| one.log(), || world.sh("grep -c '/run/shop/watch.sock$' /proc/net/unix").trim() == "2");
            one.signal("TERM");
            world.sh("until flock -n run/shop/watch.lock true; do :; done");
            let two = Daemon::start(world, &[]);
            assert!(!two.log().contains("not answered"), "{}", two.log());
            assert_eq!(one.ends(), 0);
            follower.wait().unwrap();
        }
    }
}

live! {
    fn what_is_sent_to_a_daemon_that_has_not_begun_does_not_end_it(world) {
        // It waits for who writes its manifest.
        world.sh("mkfifo pipe.yaml");
        let log = std::fs::File::create(world.dir().join("watch.log")).unwrap();
        let mut command = world.netform();
        let mut daemon = command.args(["watch", "pipe.yaml"]).stderr(log).spawn().unwrap();
        let said = || std::fs::read_to_string(world.dir().join("watch.log")).unwrap();
        let reads = format!("readlink /proc/{}/fd/* | grep -q pipe.yaml", daemon.id());
        patiently(&said, || world.try_sh(&reads).code == 0);

        for name in ["HUP", "USR1", "USR2"] {
            world.sh(&format!("kill -{name} {}", daemon.id()));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(daemon.try_wait().unwrap(), None, "{}", said());
        world.file("shop.yaml", SHOP);
        world.sh("cat shop.yaml > pipe.yaml");

        patiently(&said, || said().contains("SIGUSR2 means nothing to it"));
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }
}
