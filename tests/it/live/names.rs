//! Names resolve without a daemon, by the hosts file of each namespace.

use super::daemon::Daemon;
use super::world::live;

live! {
    fn names_of_shared_networks_resolve_and_others_do_not(world) {
        world.apply("netform: 1\nproject: shop\nnetworks:\n  front: {subnets: [172.25.0.0/16]}\n  back: {subnets: [10.7.0.0/24]}\ncontainers:\n  \
            web: {networks: {front: {aliases: [app]}, back: {links: {database: db}}}}\n  \
            db: {networks: [back]}\n  \
            other: {networks: {front: {aliases: [app, second]}}}\n");
        let resolved = |from: &str, name: &str| {
            let done = world.run(&["exec", from, "--", "getent", "ahostsv4", name]);
            (done.code == 0).then(|| done.stdout.split_whitespace().next().unwrap().to_owned())
        };
        let web = super::world::address_of(world, "web", "eth0").to_string();

        assert!(resolved("web", "db").is_some_and(|address| address.starts_with("10.7.0.")));
        assert_eq!(resolved("web", "database"), resolved("web", "db"), "a link is a private name");
        assert_eq!(resolved("db", "database"), None, "of its owner alone");
        assert_eq!(resolved("other", "web"), Some(web.clone()));
        assert_eq!(resolved("other", "web.front"), Some(web.clone()));
        assert_eq!(resolved("other", "app"), Some(web), "the first that declared a shared alias has it");
        assert!(resolved("web", "second").is_some());
        assert_eq!(resolved("other", "db"), None, "names do not cross networks");
        assert_eq!(resolved("web", "host.netform.internal"), Some("172.25.0.1".to_owned()));
    }
}

live! {
    fn a_name_that_changes_reaches_a_process_that_runs_already(world) {
        let manifest = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers:\n  web: {networks: [front]}\n";
        world.apply(manifest);
        let mut waiting = world.netform()
            .args(["exec", "web", "--", "sh", "-c", "for _ in $(seq 250); do getent hosts late && exit 0; sleep 0.02; done; exit 1"])
            .spawn()
            .unwrap();

        world.apply(&format!("{manifest}  late: {{networks: [front]}}\n"));

        assert!(waiting.wait().unwrap().success());
    }
}

live! {
    fn a_hosts_file_that_somebody_shuts_is_opened_again(world) {
        world.apply("netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front]}, db: {networks: [front]}}\n");
        let mode = || world.sh("stat -c %a /etc/netns/web/hosts").trim().to_owned();
        assert_eq!(mode(), "644");
        for other in ["600", "666", "4755"] {
            world.sh(&format!("chmod {other} /etc/netns/web/hosts"));

            let (plan, changes) = world.plan();
            assert!(changes && plan.contains("[drift]") && plan.contains(&format!("mode: {other} -> 644")), "{plan}");
            assert!(plan.contains("0 to add, 1 to change, 0 to destroy"), "{plan}");
            assert!(world.run(&["plan", "-v"]).exits(0).stdout.contains("chmod 644 /etc/netns/web/hosts"));
            world.run(&["apply", "--yes"]).exits(0);
            assert_eq!(mode(), "644");
            world.assert_in_sync();
        }
        // What fails puts it back as it was, and what is written anew besides is open, too.
        let inode = || world.sh("stat -c %i /etc/netns/web/hosts");
        let before = inode();
        world.sh("chmod 600 /etc/netns/web/hosts; echo mine >> /etc/netns/web/hosts");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!((mode(), inode()), ("644".to_owned(), before), "a process that has it mounted sees it");
        world.assert_in_sync();

        let daemon = Daemon::start(world, &["--resync", "1h"]);
        world.sh("chmod 600 /etc/netns/web/hosts; chmod 640 /etc/netns/db/resolv.conf");
        daemon.brings_it_in_sync("chmod");
        assert_eq!(mode(), "644");
        assert!(daemon.log().contains("mode 644 -> 600; set back"), "{}", daemon.log());
    }
}
