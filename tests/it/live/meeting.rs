//! Two projects on one link of the host: nobody gets the address of another.

use std::process::Stdio;

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
    fn a_rollback_tells_that_an_address_is_another_projects_by_now(world) {
        links(world);
        let pod = "containers: {one: {networks: [lan]}, pod: {networks: [lan]}}\n";
        let alone = on_bridge("one", "");
        let (beginning, _) = alone.split_once("containers").unwrap();
        apply(world, "one", &format!("{beginning}{pod}")).exits(0);
        assert_eq!(address(world, "pod"), "10.60.0.129");
        apply(world, "one", &alone).exits(0);
        apply(world, "two", &on_bridge("two", "")).exits(0);
        assert_eq!(address(world, "two"), "10.60.0.129");

        let told = world.run(&["rollback", "--dry-run", "1", "--manifest", "one.yaml"]).stdout;
        assert!(told.contains("`pod` gets 10.60.0.129 back, which project two has on br-lan by now"), "{told}");
        let told = world.run(&["rollback", "--dry-run", "2", "--manifest", "one.yaml"]).stdout;
        assert!(!told.contains("by now"), "{told}");
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
