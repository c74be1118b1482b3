//! Ports of the host that somebody else has: another project, or a process.

use super::world::{Done, Listen, World, live};

fn project(name: &str, network: u8, publish: &str) -> String {
    format!(
        "netform: 1\nproject: {name}\nnetworks: {{{name}: {{subnets: [10.{network}.0.0/24, 'fd00:{network}::/64']}}}}\n\
         containers:\n  {name}1:\n    networks: [{name}]\n    publish:\n      - {publish}\n"
    )
}

/// Plans and applies the manifest of a project, which another one is in the way of.
#[track_caller]
fn refused(world: &World, manifest: &str) -> Done {
    world.file("netform.yaml", manifest);
    let planned = world.run(&["plan"]).exits(9);
    let applied = world.run(&["apply", "--yes"]).exits(9);
    assert_eq!(applied.stderr, planned.stderr);
    applied
}

live! {
    fn a_port_that_another_project_publishes_is_not_taken_from_it(world) {
        world.apply(&project("blog", 8, "'8080:80'"));
        let _www = world.serve("blog1", &Listen::tcp(80), "blog");
        let tables = world.sh("nft -s list ruleset");

        let told = refused(world, &project("shop", 7, "'8080:80'")).stderr;

        assert!(told.contains("netform.yaml:8:9: port.0.0.0.0:8080/tcp needs its port of the host, but \
            port.0.0.0.0:8080/tcp of project blog is in the way"), "{told}");
        assert!(told.contains("help: publish it on another port or another address of the host, or take it out of project blog"), "{told}");
        assert_eq!(told.matches("is in the way").count(), 1, "once for all of its elements: {told}");
        assert_eq!(world.sh("nft -s list ruleset"), tables, "nothing was changed");
        assert_eq!(world.ask("host", "tcp", "127.0.0.1", 8080).as_deref(), Some("blog 10.8.0.1"));

        let told = refused(world, &project("shop", 7, "'8081:80'\n      - '8080:80'")).stderr;
        assert!(told.contains("netform.yaml:9:9: port.0.0.0.0:8080/tcp"), "{told}");
        assert!(!told.contains("8081"), "{told}");

        world.sh("ip netns del blog1; ip link del br-blog");
        assert!(refused(world, &project("shop", 7, "'8080:80'")).stderr.contains("of project blog"), "its table leads it still");
    }
}

live! {
    fn ports_are_in_each_others_way_where_a_packet_could_be_for_both(world) {
        let own = "ip addr add 192.0.2.1/32 dev lo; ip addr add 192.0.2.2/32 dev lo";
        world.sh(own);
        let blog = ["'8080:80'", "'5353:53/udp'", "'127.0.0.1:8081:80'", "'9000-9009:9000-9009'", "'192.0.2.1:7000:80'", "'[::]:6000:80'", "'4000-4003:5000-5003'"];
        world.apply(&project("blog", 8, &blog.join("\n      - ")));

        for (publish, by) in [
            ("'127.0.0.1:8080:80'", Some("port.0.0.0.0:8080/tcp")),
            ("'[fd00:99::1]:8080:80'", Some("port.0.0.0.0:8080/tcp")),
            ("'8000-8100:8000-8100'", Some("port.0.0.0.0:8080/tcp")),
            ("'8079-8080:79-80'", Some("port.0.0.0.0:8080/tcp")),
            ("'8080:80/udp'", None),
            ("'8080:80/sctp'", None),
            ("'5353:53/tcp'", None),
            ("'8081:80'", Some("port.127.0.0.1:8081/tcp")),
            ("'192.0.2.1:8081:80'", None),
            ("'9005:90'", Some("port.0.0.0.0:9000-9009/tcp")),
            ("'9010:90'", None),
            ("'192.0.2.1:7000:80'", Some("port.192.0.2.1:7000/tcp")),
            ("'192.0.2.2:7000:80'", None),
            ("'0.0.0.0:6000:80'", None),
            ("'[::]:6000:80'", Some("port.[::]:6000/tcp")),
            ("'6000:80'", Some("port.[::]:6000/tcp")),
            ("'4003:80'", Some("port.0.0.0.0:4000-4003/tcp")),
        ] {
            world.file("netform.yaml", &project("shop", 7, publish));
            let planned = world.run(&["plan"]);
            match by {
                None => drop(planned.exits(0)),
                Some(by) => {
                    let told = planned.exits(9).stderr;
                    assert!(told.contains(&format!("but {by} of project blog is in the way")), "{publish}: {told}");
                }
            }
        }
    }
}

live! {
    fn what_is_published_by_two_projects_all_the_same_is_said(world) {
        world.apply(&project("blog", 8, "'8080:80'"));
        world.apply(&project("shop", 7, "'8081:80'"));
        // As an older netform let them: one map's element led over to the other's port.
        for (map, to) in [("any_addr4", "10.8.0.2"), ("any_port4", "80")] {
            world.sh(&format!("nft add element inet netform-blog {map} '{{ tcp . 8081 : {to} }}'"));
        }

        let (plan, changes) = world.plan();
        assert!(!changes && plan.contains("Warning: netform.yaml:8:9: port.0.0.0.0:8081/tcp is published by project blog, too"), "{plan}");
        // What is new is refused, what is there already is kept.
        world.apply(&project("shop", 7, "'8081:80'\n      - '8082:80'"));
        world.file("netform.yaml", &project("shop", 7, "'8081:80'\n      - '8080:80'"));
        let told = world.run(&["apply", "--yes"]).exits(9).stderr;
        assert!(told.contains("port.0.0.0.0:8080/tcp") && !told.contains("8081"), "{told}");
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn of_two_projects_that_publish_a_port_at_once_one_has_it(world) {
        let manifests = [("blog", 8), ("shop", 7)].map(|(name, network)| {
            world.file(&format!("{name}.yaml"), &project(name, network, "'8080:80'"))
        });
        let start = |path: &std::path::PathBuf| {
            let mut run = world.netform();
            run.args(["apply", "--yes"]).arg(path).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            run.spawn().unwrap()
        };
        for _ in 0..5 {
            let runs = manifests.each_ref().map(start);

            let done = runs.map(|run| Done::of(run.wait_with_output().unwrap()));
            let mut codes = done.each_ref().map(|done| done.code);
            codes.sort_unstable();
            let told = done.map(|done| done.stderr).concat();
            assert_eq!(codes, [0, 9], "{told}");
            assert!(told.contains(".yaml:8:9: port.0.0.0.0:8080/tcp needs its port"), "{told}");
            for path in &manifests {
                world.run(&["destroy", "--yes", path.to_str().unwrap()]).exits(0);
            }
        }
    }
}

live! {
    fn a_saved_plan_takes_no_port_that_another_project_has_published_since(world) {
        world.sh("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        world.file("netform.yaml", &project("shop", 7, "'8080:80'"));
        world.run(&["plan", "--out", "saved.plan"]).exits(0);
        let blog = world.file("blog.yaml", &project("blog", 8, "'8080:80'"));
        world.run(&["apply", "--yes", blog.to_str().unwrap()]).exits(0);
        let tables = world.sh("nft -s list ruleset");

        let told = world.run(&["apply", "--yes", "saved.plan"]).exits(9).stderr;

        assert!(told.contains("port.0.0.0.0:8080/tcp of project blog is in the way"), "{told}");
        assert_eq!(world.sh("nft -s list ruleset"), tables, "nothing was changed");
    }
}

live! {
    fn a_plan_says_which_process_a_new_port_takes_connections_from(world) {
        let _any = world.serve("host", &Listen::tcp(8080), "host");
        let _local = world.serve("host", &Listen { protocol: "udp", address: "127.0.0.1", port: 5353 }, "host");
        let said = |publish: &str| {
            world.file("netform.yaml", &project("shop", 7, publish));
            let plan = world.run(&["plan"]).exits(0).stdout;
            plan.lines().filter(|line| line.starts_with("Warning: netform.yaml") && line.contains("takes over")).map(str::to_owned).collect::<Vec<_>>()
        };

        let told = said("'8080:80'");
        assert_eq!(told.len(), 1, "{told:?}");
        let (before, after) = ("Warning: netform.yaml:8:9: port.0.0.0.0:8080/tcp takes over [::]:8080/tcp, which python3 (process ",
            ") listens on: connections go to the container");
        assert!(told[0].starts_with(before) && told[0].contains(after), "{told:?}");
        for (publish, warned) in [
            ("'127.0.0.1:8080:80'", true), ("'8000-8100:8000-8100'", true), ("'[::]:8080:80'", true), ("'8080:80/udp'", false),
            ("'5353:53/udp'", true), ("'192.0.2.1:5353:53/udp'", false), ("'[::]:5353:53/udp'", false), ("'5353:53/tcp'", false),
        ] {
            assert_eq!(!said(publish).is_empty(), warned, "{publish}");
        }

        world.apply(&project("shop", 7, "'8080:80'"));
        assert_eq!(said("'8080:80'"), [""; 0], "it is published already");
        assert_eq!(said("'8080:80'\n      - '5353:53/udp'").len(), 1);
    }
}
