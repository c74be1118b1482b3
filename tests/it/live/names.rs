//! Names resolve without a daemon, by the hosts file of each namespace.

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
