//! Links where containers may not talk otherwise, and what they say in environment variables.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::engine::Engine;
use super::world::{Listen, contained, eventually, live};
use crate::schema::assert_follows;

/// On the default network, where links are the only names.
const QUIET: &str = "netform: 1\nproject: shop\nnetworks: {default: {subnets: [10.7.0.0/24, 'fd00:7::/64'], icc: false}}\ncontainers:\n  web: {networks: {default: {links: {database: db}}}, expose: [80]}\n  db: {networks: {default: {address: [10.7.0.9, 'fd00:7::9']}}, expose: [5432/tcp, 53/udp]}\n  spy: {networks: [default]}\n";

live! {
    fn a_linked_pair_talks_on_the_exposed_ports_and_nobody_else_does(world) {
        world.apply(QUIET);
        let listens = [("db", Listen::tcp(5432)), ("db", Listen::tcp(5433)), ("db", Listen::udp(53)), ("db", Listen::udp(5432)), ("web", Listen::tcp(80)), ("spy", Listen::tcp(80))];
        let _servers: Vec<_> = listens.iter().map(|(ns, listen)| world.serve(ns, listen, ns)).collect();
        eventually("the new link is ready for IPv6", || world.pings("db", "fd00:7::1"));
        let address = |ns: &str, family: &str| {
            let all = world.sh(&format!("ip -n {ns} -o -{family} addr show dev eth0 scope global"));
            all.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned()
        };

        let mut failures = vec![];
        for (family, db) in [("4", "10.7.0.9"), ("6", "fd00:7::9")] {
            let (web, spy) = (address("web", family), address("spy", family));
            for (from, protocol, to, port, passes) in [
                ("web", "tcp", db, 5432, true),
                ("web", "udp", db, 53, true),
                ("web", "tcp", db, 5433, false),
                ("web", "udp", db, 5432, false),
                ("db", "tcp", &*web, 80, false),
                ("spy", "tcp", db, 5432, false),
                ("spy", "udp", db, 53, false),
                ("spy", "tcp", &*web, 80, false),
                ("web", "tcp", &*spy, 80, false),
            ] {
                if world.ask(from, protocol, to, port).is_some() != passes {
                    failures.push(format!("{from} to {to} {port}/{protocol}: {}", if passes { "dropped" } else { "passed" }));
                }
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        assert!(!world.pings("web", "10.7.0.9"), "no port, no packet");
        let named = world.run(&["exec", "--manifest", "netform.yaml", "web", "--", "sh", "-c", "getent hosts database"]).exits(0).stdout;
        assert!(named.contains("10.7.0.9") || named.contains("fd00:7::9"), "{named}");

        world.apply(&QUIET.replace("[5432/tcp, 53/udp]", "[5433]"));
        assert!(world.ask("web", "tcp", "10.7.0.9", 5432).is_none() && world.ask("web", "tcp", "10.7.0.9", 5433).is_some());
        world.apply(&QUIET.replace("links: {database: db}", ""));
        assert!(world.ask("web", "tcp", "10.7.0.9", 5432).is_none());
    }
}

live! {
    fn a_link_leads_to_one_that_shares_a_namespace_on_the_ports_that_it_exposes_itself(world) {
        world.apply(&format!("{}  side: {{mode: 'container:db', expose: [9000]}}\n", QUIET.replace("default: {subnets", "back: {subnets").replace("[default]", "[back]").replace("networks: {default", "networks: {back").replace("database: db", "side: side")));
        let _servers = [Listen::tcp(5432), Listen::tcp(9000)].map(|listen| world.serve("db", &listen, "db"));

        assert!(world.ask("web", "tcp", "10.7.0.9", 9000).is_some());
        assert!(world.ask("web", "tcp", "10.7.0.9", 5432).is_none());
    }
}

live! {
    fn what_links_say_is_printed_and_given_to_commands(world) {
        world.apply(QUIET);
        let printed = world.run(&["env", "--manifest", "netform.yaml", "web"]).exits(0).stdout;
        assert!(printed.contains("DATABASE_PORT=udp://10.7.0.9:53\n") && printed.contains("DATABASE_PORT_5432_TCP_PORT=5432\n"), "{printed}");

        let given = world.run(&["exec", "--manifest", "netform.yaml", "web", "--", "env"]).exits(0).stdout;
        assert!(printed.lines().all(|line| given.contains(line)), "{given}");
        let machine = world.run(&["env", "--manifest", "netform.yaml", "--output", "json", "web"]).exits(0).stdout;
        assert_follows("env", &serde_json::from_str(&machine).unwrap());
        assert_eq!(world.run(&["env", "--manifest", "netform.yaml", "spy"]).exits(0).stdout, "");
        let wrong = world.run(&["env", "--manifest", "netform.yaml", "nobody"]).exits(64).stderr;
        assert!(wrong.contains("declares no container `nobody`") && wrong.contains("web, db, spy"), "{wrong}");

        // A container of somebody else that does not run says nothing, and locks nobody out.
        world.file("netform.yaml", &QUIET.replace("db: {networks", "db: {netns: nowhere, networks"));
        let done = world.run(&["exec", "--manifest", "netform.yaml", "web", "--", "echo", "here"]).exits(0);
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("here\n", ""));
        let told = world.run(&["env", "--manifest", "netform.yaml", "web"]).exits(0).stderr;
        assert!(told.contains("link `database` says nothing: container `db` is not there"), "{told}");
    }
}

contained! {
    fn a_link_says_what_one_of_docker_says(world, "dockerd") {
        let docker = Engine::docker_with(world, "exec dockerd --containerd /run/containerd/containerd.sock --data-root /run/docker-data --exec-root /run/docker --pidfile /run/docker.pid -H unix:///run/docker.sock --storage-driver vfs --bip=10.99.0.1/24");
        let ports = json!({"80/tcp": {}, "81/tcp": {}, "82/tcp": {}, "53/udp": {}, "53/tcp": {}, "5432/tcp": {}});
        docker.create_with("db", "bridge", &json!({"ExposedPorts": ports}));
        docker.does("start", "db");
        docker.create_with("web", "bridge", &json!({"HostConfig": {"Links": ["db:my-db"]}}));
        docker.does("start", "web");
        let address = docker.inspect("db")["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned();
        // Until it becomes the container's program, the process has the variables of who makes the container.
        let environ = || docker.inside("web", "cat /proc/1/environ").stdout;
        eventually("the container's program has begun", || environ().contains("MY_DB"));
        let theirs: BTreeSet<String> = environ().split('\0').filter(|line| line.starts_with("MY_DB")).map(str::to_owned).collect();

        world.apply("netform: 1\nproject: shop\nnetworks: {default: {subnets: [10.7.0.0/24]}}\ncontainers:\n  web: {networks: {default: {links: {my-db: db}}}}\n  db: {networks: [default], expose: [80-82, 53/udp, 53, 5432]}\n");
        let machine = world.run(&["env", "--manifest", "netform.yaml", "--output", "json", "web"]).exits(0).stdout;
        let told: Value = serde_json::from_str(&machine).unwrap();
        let ours = told["variables"].as_object().unwrap().iter();
        let ours: BTreeSet<String> = ours.map(|(key, value)| format!("{key}={}", value.as_str().unwrap().replace("10.7.0.3", &address))).collect();

        assert!(theirs.len() > 20, "{theirs:?}");
        assert_eq!(ours, theirs);
    }
}
