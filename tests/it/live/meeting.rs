//! Two projects on one link of the host: nobody gets the address of another.

use std::process::Stdio;

use super::daemon::{Daemon, patiently};
use super::world::{Done, World, address_of, live};

/// A bridge and a link of others, with somebody behind each.
fn links(world: &World) {
    world.sh("ip link add br-lan type bridge && ip link set br-lan up && ip addr add 10.60.0.1/24 dev br-lan &&
        ip netns add out && ip link add eth1 type veth peer name r1 netns out && ip link set eth1 up &&
        ip addr add 10.70.0.10/24 dev eth1 && ip -n out link set r1 up && ip -n out addr add 10.70.0.1/24 dev r1");
}

fn on_bridge(name: &str, more: &str) -> String {
    format!(
        "netform: 1
project: {name}
networks: {{lan: {{external: br-lan, subnets: [{{cidr: 10.60.0.0/24, pool: 10.60.0.128/25}}]}}}}
containers: {{{name}: {{networks: {{lan: {{{more}}}}}}}}}
"
    )
}

fn behind_parent(name: &str, options: &str, more: &str) -> String {
    format!(
        "netform: 1
project: {name}
networks: {{lan: {{driver: macvlan, options: {{parent: eth1{options}}}, subnets: [{{cidr: 10.70.0.0/24, pool: 10.70.0.192/27}}]}}}}
containers: {{{name}: {{networks: {{lan: {{{more}}}}}}}}}
"
    )
}

/// Applies a manifest of a file of its own.
fn apply(world: &World, name: &str, manifest: &str) -> Done {
    world.file(&format!("{name}.yaml"), manifest);
    world.run(&["apply", "--yes", &format!("{name}.yaml")])
}

fn address(world: &World, name: &str) -> String {
    address_of(world, name, "eth0").to_string()
}

fn assert_all_in_sync(world: &World, names: &[&str]) {
    for name in names {
        world.run(&["plan", "--detailed-exitcode", &format!("{name}.yaml")]).exits(0);
    }
}

live! {
    fn on_an_existing_bridge_each_gets_an_address_of_its_own_from_one_pool(world) {
        links(world);
        for name in ["one", "two", "three"] {
            apply(world, name, &on_bridge(name, "")).exits(0);
        }
        assert_eq!(["one", "two", "three"].map(|it| address(world, it)), ["10.60.0.128", "10.60.0.129", "10.60.0.130"]);
        assert!(world.pings("one", "10.60.0.129") && world.pings("three", "10.60.0.128"));
        assert_all_in_sync(world, &["one", "two", "three"]);

        // What one had is another's by now, and does not come back.
        world.run(&["destroy", "--yes", "one.yaml"]).exits(0);
        apply(world, "four", &on_bridge("four", "address: 10.60.0.128")).exits(0);
        apply(world, "one", &on_bridge("one", "")).exits(0);
        assert_eq!(address(world, "one"), "10.60.0.131");
        assert_all_in_sync(world, &["one", "two", "three", "four"]);
    }
}

live! {
    fn where_an_earlier_netform_did_not_say_it_another_project_is_told_by_the_next_run(world) {
        links(world);
        apply(world, "one", &on_bridge("one", "")).exits(0);
        let leases = "state/one/leases.json";
        let forget = format!(r#"sed -i 's/,"segments":.*/}}}}/' {leases} state/one/generations/*.json"#);
        world.sh(&forget);
        assert!(!world.sh(&format!("cat {leases}")).contains("br-lan"));

        let again = world.run(&["apply", "--yes", "one.yaml"]).exits(0).stdout;
        assert!(again.contains("No changes"), "{again}");
        apply(world, "two", &on_bridge("two", "")).exits(0);
        assert_eq!(["one", "two"].map(|it| address(world, it)), ["10.60.0.128", "10.60.0.129"]);
    }
}

live! {
    fn a_rollback_does_not_give_back_what_is_another_projects_by_now(world) {
        links(world);
        let pod = "containers: {one: {networks: [lan]}, pod: {networks: [lan]}}\n";
        let alone = on_bridge("one", "");
        let (beginning, _) = alone.split_once("containers").unwrap();
        apply(world, "one", &format!("{beginning}{pod}")).exits(0);
        assert_eq!(address(world, "pod"), "10.60.0.129");
        apply(world, "one", &alone).exits(0);
        apply(world, "two", &on_bridge("two", "")).exits(0);
        assert_eq!(address(world, "two"), "10.60.0.129");

        let before = world.sh("ip -o link; ip netns");
        for run in [&["--dry-run"][..], &["--yes"]] {
            let told = world.run(&[&["rollback", "1", "--manifest", "one.yaml"], run].concat()).exits(9).stderr;
            assert!(told.contains("one.yaml:4:") && told.contains("attachment.pod@lan would get 10.60.0.129 back"), "{told}");
            assert!(told.contains("container two of project two has it on br-lan") && told.contains("two.yaml:4:"), "{told}");
        }
        assert_eq!(world.sh("ip -o link; ip netns"), before);
        let told = world.run(&["rollback", "--dry-run", "2", "--manifest", "one.yaml"]).exits(0).stdout;
        assert!(!told.contains("by now"), "{told}");

        // Once it is nobody's, it comes back.
        world.run(&["destroy", "--yes", "two.yaml"]).exits(0);
        world.run(&["rollback", "1", "--yes", "--manifest", "one.yaml"]).exits(0);
        assert_eq!(address(world, "pod"), "10.60.0.129");
    }
}

live! {
    fn what_was_tried_is_undone_though_an_address_is_another_projects_by_now(world) {
        links(world);
        apply(world, "one", &on_bridge("one", "")).exits(0);
        world.file("one.yaml", &on_bridge("one", "address: 10.60.0.140"));
        world.run(&["apply", "--yes", "--confirm-timeout", "10s", "one.yaml"]).exits(0);
        apply(world, "two", &on_bridge("two", "address: 10.60.0.128")).exits(0);
        patiently(&|| world.sh("ip -n one addr"), || address(world, "one") == "10.60.0.128");
        let plan = world.run(&["plan", "two.yaml"]).exits(0).stdout;
        assert!(plan.contains("container two and project one have the same address 10.60.0.128"), "{plan}");
    }
}

live! {
    fn whose_bridge_it_is_gives_nobody_the_address_of_another_project(world) {
        let shop = |more: &str| format!(
            "netform: 1\nproject: shop\nnetworks:\n  front: {{interface: br-shop, subnets: [10.80.0.0/24]}}\n  back: {{subnets: [10.81.0.0/24]}}\ncontainers:\n  a: {{networks: [front]}}\n{more}"
        );
        let guest = |name: &str, more: &str| format!(
            "netform: 1\nproject: {name}\nnetworks: {{lan: {{external: br-shop, subnets: [{{cidr: 10.80.0.0/24, pool: 10.80.0.0/29}}]}}}}\ncontainers: {{{name}: {{{more}}}}}\n"
        );
        let notes = || world.sh("ls -A state | grep @ | tr '\n' ' '");
        apply(world, "shop", &shop("")).exits(0);
        assert_eq!(notes(), "");
        apply(world, "two", &guest("two", "networks: [lan]")).exits(0);
        apply(world, "late", &guest("late", "netns: late, networks: [lan]")).exits(0);
        assert_eq!((address(world, "a"), address(world, "two")), ("10.80.0.2".to_owned(), "10.80.0.3".to_owned()));
        assert!(world.sh("cat state/late/leases.json").contains("10.80.0.4"), "who waits has one, too");
        assert_eq!(notes(), ".late@br-shop .two@br-shop ");

        // An earlier netform left no note; the next run does, by hand or of the daemon.
        world.sh("rm state/.late@br-shop state/.two@br-shop");
        world.run(&["apply", "--yes", "late.yaml"]).exits(0);
        let daemon = Daemon::of(world, "two.yaml", &[]);
        patiently(&notes, || notes() == ".late@br-shop .two@br-shop ");
        drop(daemon);
        world.run(&["apply", "--yes", "two.yaml"]).exits(0);

        apply(world, "shop", &shop("  b: {networks: [front]}\n  c: {networks: [back]}\n")).exits(0);
        assert_eq!((address(world, "b"), address(world, "c")), ("10.80.0.5".to_owned(), "10.81.0.2".to_owned()));
        assert_all_in_sync(world, &["shop", "two", "late"]);

        for (line, at) in [("  d: {networks: {front: {address: 10.80.0.3}}}\n", "10.80.0.3"), ("  d: {networks: {front: {address: 10.80.0.4}}}\n", "10.80.0.4")] {
            world.file("shop.yaml", &shop(line));
            let refused = world.run(&["apply", "--yes", "shop.yaml"]).exits(65).stderr;
            assert!(refused.contains("topology::address_taken") && refused.contains(&format!(" has address {at} on br-shop, too")), "{refused}");
            assert!(refused.contains("shop.yaml:8:") && (refused.contains("two is on br-shop, too") || refused.contains("late is on br-shop, too")), "both places: {refused}");
        }

        // The bridge goes and comes, and whoever was there has his address still.
        world.run(&["destroy", "--yes", "late.yaml"]).exits(0);
        assert_eq!(notes(), ".two@br-shop ");
        apply(world, "shop", &shop("  d: {networks: [front]}\n")).exits(0);
        assert_eq!(address(world, "d"), "10.80.0.4");
        world.run(&["destroy", "--yes", "two.yaml"]).exits(0);
        world.run(&["destroy", "--yes", "shop.yaml"]).exits(0);
        assert_eq!(notes(), "");
    }
}

live! {
    fn whose_bridge_it_is_waits_for_who_is_about_to_be_on_it(world) {
        let shop = |names: &[&str]| format!(
            "netform: 1\nproject: shop\nnetworks: {{front: {{interface: br-shop, subnets: [10.80.0.0/24]}}}}\ncontainers: {{{}}}\n",
            names.iter().map(|name| format!("{name}: {{networks: [front]}}")).collect::<Vec<_>>().join(", ")
        );
        let guest = |names: &[&str]| format!(
            "netform: 1\nproject: two\nnetworks: {{lan: {{external: br-shop, subnets: [{{cidr: 10.80.0.0/24, pool: 10.80.0.0/24}}]}}}}\ncontainers: {{{}}}\n",
            names.iter().map(|name| format!("{name}: {{networks: [lan]}}")).collect::<Vec<_>>().join(", ")
        );
        apply(world, "shop", &shop(&["a"])).exits(0);
        apply(world, "two", &guest(&["g"])).exits(0);
        for round in 1..4 {
            let names = |of: &str, first: &str| [vec![first.to_owned()], (0..round).map(|at| format!("{of}{at}")).collect()].concat();
            let (ours, theirs) = (names("s", "a"), names("t", "g"));
            world.file("shop.yaml", &shop(&ours.iter().map(String::as_str).collect::<Vec<_>>()));
            world.file("two.yaml", &guest(&theirs.iter().map(String::as_str).collect::<Vec<_>>()));
            let runs = ["shop", "two"].map(|name| {
                let mut run = world.netform();
                run.args(["apply", "--yes", &format!("{name}.yaml")]).stdin(Stdio::null());
                run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            });
            for run in runs {
                Done::of(run.wait_with_output().unwrap()).exits(0);
            }
            let all: std::collections::BTreeSet<String> = ours.iter().chain(&theirs).map(|name| address(world, name)).collect();
            assert_eq!(all.len(), 2 * (round + 1), "{all:?}");
        }
    }
}

live! {
    fn behind_a_parent_each_gets_an_address_of_its_own_from_one_pool(world) {
        links(world);
        for name in ["one", "two"] {
            apply(world, name, &behind_parent(name, "", "")).exits(0);
        }
        assert_eq!(["one", "two"].map(|it| address(world, it)), ["10.70.0.192", "10.70.0.193"]);
        assert!(world.pings("one", "10.70.0.193") && world.pings("out", "10.70.0.192"));
        assert_all_in_sync(world, &["one", "two"]);
    }
}

live! {
    fn an_address_that_another_project_has_is_refused_with_its_name(world) {
        links(world);
        let host = ", host_address: 10.70.0.200";
        apply(world, "one", &on_bridge("one", "address: 10.60.0.200")).exits(0);
        apply(world, "other", &behind_parent("other", host, "address: 10.70.0.201")).exits(0);
        // Addresses of the kernel's own making are tentative for a while.
        let there = || world.sh("ip -o link; ip -o addr | sed 's/ tentative//'; ip netns");
        let before = there();

        for (manifest, said) in [
            (on_bridge("two", "address: 10.60.0.200"), "project one has address 10.60.0.200 on br-lan, too"),
            (behind_parent("two", "", "address: 10.70.0.201"), "project other has address 10.70.0.201 on eth1, too"),
            (behind_parent("two", "", "address: 10.70.0.200"), "project other has address 10.70.0.200 on eth1, too"),
            (behind_parent("two", host, ""), "project other has address 10.70.0.200 on eth1, too"),
            (behind_parent("two", ", host_address: 10.70.0.201", ""), "project other has address 10.70.0.201 on eth1, too"),
        ] {
            world.file("two.yaml", &manifest);
            for verb in [&["plan"][..], &["apply", "--yes"]] {
                let refused = world.run(&[verb, &["two.yaml"]].concat()).exits(65).stderr;
                assert!(refused.contains(said) && refused.contains("two.yaml:"), "{said} in:\n{refused}");
            }
        }
        assert_eq!(there(), before);
        assert_all_in_sync(world, &["one", "other"]);

        // Elsewhere it is another address; and what is destroyed has none.
        apply(world, "two", &on_bridge("two", "address: 10.60.0.201")).exits(0);
        world.run(&["destroy", "--yes", "one.yaml"]).exits(0);
        apply(world, "two", &on_bridge("two", "address: 10.60.0.200")).exits(0);
        assert_eq!(address(world, "two"), "10.60.0.200");
    }
}

live! {
    fn two_that_ask_at_the_same_moment_get_two_addresses(world) {
        links(world);
        let names = ["one", "two", "three"];
        let runs = names.map(|name| {
            world.file(&format!("{name}.yaml"), &on_bridge(name, ""));
            let mut run = world.netform();
            run.args(["apply", "--yes", &format!("{name}.yaml")]).stdin(Stdio::null());
            run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
        for run in runs {
            Done::of(run.wait_with_output().unwrap()).exits(0);
        }
        let mut addresses = names.map(|name| address(world, name));
        addresses.sort();
        assert_eq!(addresses, ["10.60.0.128", "10.60.0.129", "10.60.0.130"]);
        assert_all_in_sync(world, &names);
    }
}

live! {
    fn what_is_live_twice_stays_and_is_told(world) {
        links(world);
        for name in ["one", "two"] {
            apply(world, name, &on_bridge(name, "")).exits(0);
        }
        // As netform did it before it asked.
        let lease = |name: &str| format!("state/{name}/leases.json");
        world.sh(&format!("sed -i 's/10.60.0.128/10.60.0.129/' {}", lease("one")));

        let plan = world.run(&["plan", "--detailed-exitcode", "two.yaml"]).exits(0).stdout;
        assert!(plan.contains("container two and project one have the same address 10.60.0.129 on network lan"), "{plan}");
    }
}
