//! Bad input and bad circumstances: a clear error, the designed exit code, nothing changed.

use super::world::{Done, live};

const SHOP: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front], publish: ['8080:80']}}\n";

live! {
    fn without_nft_nothing_is_done(world) {
        world.file("netform.yaml", SHOP);
        // A directory that may not be searched, as other users' are, hides nothing and finds nothing.
        world.sh("mount -t tmpfs tmpfs /usr/sbin; mkdir shut; chmod 0 shut");
        let path = format!("{}/shut:/usr/bin:/bin", world.dir().display());
        let done = Done::of(world.netform().args(["apply", "--yes"]).env("PATH", path).output().unwrap()).exits(69);

        assert!(done.stderr.contains("nftables"), "{}", done.stderr);
        assert_eq!(world.sh("ip -o link show type bridge; ip netns"), "");
    }
}

live! {
    fn without_privileges_nothing_is_done(world) {
        world.file("netform.yaml", SHOP);
        let script = format!("setpriv --bounding-set=-all --inh-caps=-all {} --state-dir state --run-dir run apply --yes", env!("CARGO_BIN_EXE_netform"));
        let done = world.try_sh(&script).exits(77);

        assert!(done.stderr.contains("sandbox") && done.stderr.contains("CAP_NET_ADMIN"), "{}", done.stderr);
        assert_eq!(world.sh("ip -o link show type bridge; ip netns"), "");
    }
}

live! {
    fn without_a_terminal_an_apply_needs_yes(world) {
        world.file("netform.yaml", SHOP);
        let done = world.run(&["apply"]).exits(64);

        assert!(done.stderr.contains("--yes"), "{}", done.stderr);
        assert_eq!(world.sh("ip -o link show type bridge; ip netns"), "");
    }
}

live! {
    fn limits_of_the_host_are_said_before_anything_is_made(world) {
        world.file("netform.yaml", "netform: 1\nproject: shop\ncontainers: {web: {}, db: {}, app: {}}\n");
        world.sh("echo 2 > /proc/sys/user/max_net_namespaces");

        let plan = world.run(&["plan"]).exits(0);
        let told = format!("{}{}", plan.stdout, plan.stderr);
        assert!(told.contains("Warning: 3 containers need a network namespace each, and this user may make 2"), "{told}");
        assert!(told.contains("sysctl -w user.max_net_namespaces="), "{told}");
    }
}

live! {
    fn what_is_no_namespace_of_networks_is_refused_at_its_place(world) {
        world.sh("touch here && mount --bind /proc/self/ns/uts here && mkfifo pipe && mkdir dir");
        let here = ["here", "pipe", "dir"].map(|name| world.dir().join(name).display().to_string());
        let paths = ["/proc/self/ns/mnt", "/etc/passwd", "/dev/null", "/etc/passwd/web"];
        for path in here.iter().map(String::as_str).chain(paths) {
            world.file("netform.yaml", &format!("netform: 1\nproject: shop\ncontainers:\n  web:\n    netns: {path}\n"));
            for verb in [&["plan"] as &[_], &["apply", "--yes"]] {
                let told = world.run(verb).exits(65).stderr;
                assert!(told.contains("netform.yaml:5:12: error[topology::wrong_namespace]"), "{told}");
                assert!(told.contains("which is no network namespace") && told.contains("/proc/PID/ns/net"), "{told}");
            }
        }
        assert_eq!(world.sh("ip -o link show type bridge; ip netns"), "");

        // The host's own, by another name.
        world.sh("mkdir -p /run/netns; touch self /run/netns/self && mount --bind /proc/self/ns/net self && mount --bind self /run/netns/self");
        for path in [world.dir().join("self").display().to_string().as_str(), "/proc/1/ns/net", "self"] {
            if path.starts_with("/proc") && world.try_sh("[ $(readlink /proc/1/ns/net) = $(readlink /proc/self/ns/net) ]").code != 0 {
                continue;
            }
            world.file("netform.yaml", &format!("netform: 1\nproject: shop\ncontainers:\n  web:\n    netns: {path}\n"));
            for verb in [&["plan"] as &[_], &["apply", "--yes"]] {
                let told = world.run(verb).exits(65).stderr;
                assert!(told.contains("netform.yaml:5:12: error[topology::host_namespace]"), "{told}");
                assert!(told.contains("which is the host's own") && told.contains("mode: host"), "{told}");
            }
        }

        // A runtime makes an empty file first, and leaves one behind.
        let waits = world.dir().join("later");
        for make in ["true", "touch later"] {
            world.sh(make);
            world.apply(&format!("netform: 1\nproject: shop\ncontainers:\n  web:\n    netns: {}\n", waits.display()));
            assert!(world.plan().0.contains("Waiting"), "{}", world.plan().0);
        }
    }
}
