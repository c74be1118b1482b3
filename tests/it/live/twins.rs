//! Namespaces with several names, and links with two owners: what is surely ours is ours, and nothing is done by what others
//! called it.

use super::daemon::{Daemon, patiently};
use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/24]}
  lan: {external: br-lan}
containers:
  web: {networks: {front: {address: 172.25.0.3}}, publish: ['8080:80']}
  db: {networks: {front: {address: 172.25.0.4}}}
";

/// What `SHOP` needs.
fn bridge(world: &World) {
    world
        .sh("ip link add br-lan type bridge && ip addr add 10.20.0.1/24 dev br-lan && ip link set br-lan up");
}

live! {
    fn further_names_of_a_namespace_are_nobodys_business(world) {
        bridge(world);
        world.apply(SHOP);
        for name in ["a-dbg", "z-dbg"] {
            world.sh(&format!("touch /run/netns/{name}; mount --bind /run/netns/web /run/netns/{name}"));
            world.assert_in_sync();
            world.run(&["apply", "--yes"]).exits(0);
            assert!(world.pings("web", "172.25.0.4"), "{name}");
        }
        world.run(&["destroy", "--yes"]).exits(0);
        let left = world.sh("ip netns | cut -d' ' -f1 | sort | tr '\\n' ' '");
        assert_eq!(left, "a-dbg z-dbg ");
        assert_eq!(world.sh("ip -br link | grep -c 'nf-\\|br-front' || true").trim(), "0");
    }
}

live! {
    fn the_namespace_of_another_container_is_not_entered_in_its_place(world) {
        bridge(world);
        world.apply(SHOP);
        world.sh("umount /run/netns/web; mount --bind /run/netns/db /run/netns/web");
        let before = world.sh("ip -n db -br addr");
        for verb in [vec!["plan"], vec!["apply", "--yes"]] {
            let done = world.run(&verb).exits(9);
            assert!(done.stderr.contains("namespace web, which is that of container.db"), "{}", done.stderr);
        }
        assert_eq!(world.sh("ip -n db -br addr"), before);

        world.sh("umount /run/netns/web; rm /run/netns/web");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(world.pings("web", "172.25.0.4"));
    }
}

live! {
    fn a_link_that_another_project_named_is_not_taken_for_its_mark(world) {
        bridge(world);
        world.apply(SHOP);
        let blog = "netform: 1\nproject: blog\nnetworks: {page: {subnets: [172.27.0.0/24]}}\n\
                    containers: {blog: {networks: [page]}}\n";
        world.file("blog.yaml", blog);
        world.run(&["apply", "--yes", "blog.yaml"]).exits(0);
        world.sh("ip link set netform.shop.web.front alias netform:blog:attachment.blog@page");
        let plan = world.run(&["plan", "blog.yaml"]).exits(0);
        assert!(plan.stdout.contains("No changes"), "{}", plan.stdout);
        assert!(world.pings("web", "172.25.0.4"));
    }
}

live! {
    fn an_edit_that_something_was_in_the_way_of_is_not_forgotten(world) {
        bridge(world);
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        world.sh("ip netns del db; ip netns add db");
        daemon.says("not in force as it stands");
        world.file("netform.yaml", &SHOP.replace(", publish: ['8080:80']", ""));
        std::thread::sleep(std::time::Duration::from_secs(1));
        world.sh("ip netns del db");
        patiently(&|| daemon.log(), || !world.sh("nft list ruleset").contains("8080"));
        daemon.brings_it_in_sync("the edit");
    }
}

live! {
    fn what_is_in_force_is_kept_up_where_the_host_makes_the_manifest_wrong(world) {
        bridge(world);
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        world.sh("ip addr add 172.25.0.77/16 dev br-lan");
        world.sh("nft flush ruleset; ip -n web addr del 172.25.0.3/24 dev eth0");
        daemon.says("not in force as it stands");
        patiently(&|| daemon.log(), || world.sh("nft list ruleset").contains("8080"));
        patiently(&|| daemon.log(), || world.sh("ip -n web addr show eth0").contains("172.25.0.3/24"));
        world.sh("ip addr del 172.25.0.77/16 dev br-lan");
        daemon.brings_it_in_sync("all of it");
    }
}

live! {
    fn two_projects_on_one_existing_bridge_share_it_and_leave_it_its_address(world) {
        bridge(world);
        let mac = || world.sh("ip -o link show br-lan | grep -o 'link/ether [^ ]*'");
        world.sh("ip link add own0 type veth peer name own1; ip link set own0 address 02:ff:00:00:00:01 master br-lan up");
        let before = mac();
        let of = |project: &str| {
            format!("netform: 1\nproject: {project}\nnetworks: {{lan: {{external: br-lan}}}}\n\
                     containers: {{{project}: {{networks: [lan]}}}}\n")
        };
        for project in ["one", "two", "three"] {
            let file = format!("{project}.yaml");
            world.file(&file, &of(project));
            world.run(&["apply", "--yes", &file]).exits(0);
            assert_eq!(world.run(&["plan", "--detailed-exitcode", &file]).code, 0);
        }
        assert_eq!(mac(), before);
        let addresses: std::collections::BTreeSet<String> = ["one", "two", "three"]
            .map(|ns| world.sh(&format!("ip -n {ns} -o -4 addr show eth0 | tr -s ' ' | cut -d' ' -f4"))).into();
        assert_eq!(addresses.len(), 3, "{addresses:?}");
    }
}
