//! Marks on the wrong things: nothing is deleted, and nothing is kept, because of a mark that everything else contradicts.

use super::daemon::{Daemon, patiently};
use super::failure::{haunted, killed};
use super::snapshot::{assert_same, everything};
use super::world::{World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/16], lifecycle: {prevent_destroy: false}}
containers:
  web: {networks: {front: {address: 172.25.3.3, routes: [{to: 10.77.0.0/16, via: 172.25.3.4}, {to: 10.79.0.0/16, type: blackhole}]}}, publish: ['8080:80']}
  db: {networks: {front: {address: 172.25.3.4}}}
";

const BLOG: &str = "\
netform: 1
project: blog
networks: {page: {subnets: [172.27.0.0/24]}}
containers: {blog: {networks: [page]}}
";

/// Applies both.
fn two(world: &World) {
    world.apply(SHOP);
    world.file("blog.yaml", BLOG);
    world.run(&["apply", "--yes", "blog.yaml"]).exits(0);
}

/// Has a deed shown as drift that is set back in place, and set back by an apply.
#[track_caller]
fn assert_set_back(world: &World, deed: &str, said: &[&str]) {
    let before = everything(world);
    world.sh(deed);
    let (plan, changes) = world.plan();
    for said in said {
        assert!(changes && plan.contains(said), "after `{deed}`, {said} in:\n{plan}");
    }
    assert!(plan.contains("[drift]") && !plan.contains("[config]"), "after `{deed}`:\n{plan}");
    assert!(plan.contains(" 0 to add") && plan.contains(" 0 to destroy"), "after `{deed}`:\n{plan}");
    world.run(&["apply", "--yes"]).exits(0);
    assert_same(&everything(world), &before, deed);
    world.assert_in_sync();
}

/// Has a deed undone by the commands that a plan shows.
#[track_caller]
fn assert_done_by_hand(world: &World, deed: &str) {
    let before = everything(world);
    world.sh(deed);
    let verbose = world.run(&["plan", "-v"]).exits(0).stdout;
    let commands: Vec<_> = verbose.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
    let told = commands.join("\n");
    // Not every ip(8) knows of protocols of addresses.
    if !told.contains("addr replace") || world.sh("ip addr help 2>&1 || true").contains("proto") {
        world.sh(&told);
        world.assert_in_sync();
    }
    world.run(&["apply", "--yes"]).exits(0);
    assert_same(&everything(world), &before, &format!("{commands:?} after {deed}"));
}

live! {
    fn a_namespace_is_not_deleted_for_a_mark_that_is_all_that_says_whose_it_is(world) {
        two(world);
        let before = everything(world);
        // The record of the other project may be elsewhere, and then links tell.
        for hidden in [false, true] {
            world.sh("ip -n web link set lo alias netform:blog:container.web");
            if hidden {
                world.sh("mv state/shop shop-elsewhere");
            }
            let marked = everything(world);
            let plan = world.run(&["plan", "--detailed-exitcode", "blog.yaml"]).exits(0).stdout;
            assert!(plan.contains("namespace web bears the mark of container.web and is that of project shop"), "{plan}");
            world.run(&["apply", "--yes", "blog.yaml"]).exits(0);
            assert_same(&everything(world), &marked, "the apply of another");
            world.run(&["destroy", "--yes", "blog.yaml"]).exits(0);
            assert!(world.pings("db", "172.25.3.3") && world.pings("web", "172.25.3.4"));
            if hidden {
                world.sh("mv shop-elsewhere state/shop");
            }
            let (plan, _) = world.plan();
            assert!(plan.contains("mark ours -> `netform:blog:container.web`") && plan.contains("[drift]"), "{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            world.run(&["apply", "--yes", "blog.yaml"]).exits(0);
            assert_eq!(world.sh("ip -n web -o link show lo | grep -o 'netform:.*'").trim(), "netform:shop:container.web");
            world.assert_in_sync();
        }
        assert_eq!(everything(world).lines().count(), before.lines().count());
    }
}

live! {
    fn a_namespace_that_another_declares_too_is_in_its_way_and_not_its_own(world) {
        two(world);
        world.sh("ip -n web link set lo alias netform:blog:container.web");
        world.file("blog.yaml", &BLOG.replace("containers: {", "containers: {web: {networks: [page]}, "));
        let before = everything(world);
        let refused = world.run(&["apply", "--yes", "blog.yaml"]).exits(9).stderr;
        assert!(refused.contains("namespace web") && refused.contains("project shop"), "{refused}");
        assert_same(&everything(world), &before, "in the way");
    }
}

live! {
    fn a_namespace_of_ours_that_no_record_knows_is_ours_by_its_mark_still(world) {
        world.apply("netform: 1\nproject: shop\ncontainers: {alone: {mode: none}, web: {}}\nnetworks: {default: {subnets: [172.25.0.0/16]}}\n");
        world.sh("rm -r state/shop");
        world.assert_in_sync();
        world.sh("rm -rf state/shop");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip netns; ip -o link show type veth"), "");
    }
}

live! {
    fn the_daemon_sets_back_the_mark_of_another_project(world) {
        two(world);
        let _other = Daemon::of(world, "blog.yaml", &["--resync", "1s"]);
        let daemon = Daemon::start(world, &["--resync", "1h", "--contested-after", "0"]);
        let before = everything(world);
        for deed in [
            "ip -n web link set lo alias netform:blog:container.web",
            "ip link set netform.shop.web.front alias netform:blog:attachment.blog@page",
            "ip link set br-front alias netform:blog:network.page",
        ] {
            world.sh(deed);
            daemon.says("mark ours -> `netform:blog");
            patiently(&|| format!("`{deed}`: {}", daemon.log()), || everything(world) == before);
        }
    }
}

live! {
    fn a_copy_of_a_mark_on_somebody_elses_link_makes_it_no_link_of_ours(world) {
        world.apply(SHOP);
        // Names before and after ours.
        for name in ["aa0", "zz0"] {
            world.sh(&format!("ip link add {name} type bridge && ip link set {name} alias netform:shop:network.front"));
            let before = everything(world);
            let (plan, changes) = world.plan();
            assert!(!changes, "{plan}");
            let said = format!("bridge {name} bears the mark of network.front");
            assert!(plan.contains(&said), "{said} in:\n{plan}");
            world.run(&["apply", "--yes"]).exits(0);
            assert_same(&everything(world), &before, name);
            let destroy = world.run(&["destroy", "--yes"]).exits(0);
            assert!(destroy.stdout.contains(&said), "{}", destroy.stdout);
            assert_eq!(world.try_sh(&format!("ip link show {name}")).code, 0, "it is not ours to delete");
            assert_eq!(world.try_sh("ip link show br-front").code, 1);
            world.sh(&format!("ip link del {name}"));
            world.apply(SHOP);
        }
        // One that nothing of ours has.
        world.sh("ip link add aa0 type bridge && ip link set aa0 alias netform:shop:network.gone");
        world.sh("rm -r state/shop");
        let (plan, _) = world.plan();
        assert!(plan.contains("bridge aa0 bears the mark of network.gone"), "{plan}");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show type bridge | cut -d: -f2").trim(), "aa0");
    }
}

/// What somebody does to marks of ours, and what the plan says of it.
const SWAPS: &[(&str, &[&str])] = &[
    (
        "ip link set netform.shop.web.front alias netform:shop:attachment.db@front; \
         ip link set netform.shop.db.front alias netform:shop:attachment.web@front",
        &[
            "mark ours -> `netform:shop:attachment.db@front`",
            "mark ours -> `netform:shop:attachment.web@front`",
        ],
    ),
    (
        "ip link set netform.shop.web.front alias netform:shop:attachment.db@front",
        &["mark ours -> `netform:shop:attachment.db@front`"],
    ),
    (
        "ip link set netform.shop.db.front alias netform:shop:network.front",
        &["mark ours -> `netform:shop:network.front`"],
    ),
    (
        "ip link set br-front alias netform:shop:attachment.db@front",
        &["mark ours -> `netform:shop:attachment.db@front`"],
    ),
    (
        "ip link set br-front alias netform:shop:network.elsewhere",
        &["mark ours -> `netform:shop:network.elsewhere`"],
    ),
    (
        "ip link set netform.shop.web.front alias netform:blog:attachment.blog@page",
        &["mark ours -> `netform:blog:attachment.blog@page`"],
    ),
    ("ip link set br-front alias netform:blog:network.page", &["mark ours -> `netform:blog:network.page`"]),
    ("ip -n web link set lo alias netform:shop:container.db", &["mark ours -> `netform:shop:container.db`"]),
];

live! {
    fn marks_of_ours_on_others_of_ours_are_set_back_in_place(world) {
        world.apply(SHOP);
        for (deed, said) in SWAPS {
            assert_set_back(world, deed, said);
        }
        assert!(world.pings("web", "172.25.3.4"));
    }
}

live! {
    fn what_bears_a_wrong_mark_may_become_another_resource_at_once(world) {
        let shop = SHOP.replace("front: {subnets", "front: {interface: br-front, subnets");
        let lobby = shop.replace("front: {interface", "lobby: {interface").replace("{front: {", "{lobby: {");
        let kept = shop.replace("prevent_destroy: false", "prevent_destroy: true");
        for deed in [
            "ip link set br-front alias netform:shop:attachment.db@front",
            "ip link set br-front alias mine",
            "ip link set netform.shop.web.front alias netform:shop:attachment.db@front",
        ] {
            world.apply(&shop);
            world.sh(deed);
            world.apply(&kept);
            world.assert_in_sync();
            world.apply(&shop);
            world.sh(deed);
            world.apply(&lobby);
            world.assert_in_sync();
            assert!(world.pings("web", "172.25.3.4"), "{deed}");
        }
    }
}

live! {
    fn a_namespace_with_nothing_in_it_is_ours_where_the_record_of_the_other_knows_nothing_of_it(world) {
        let shop = "netform: 1\nproject: shop\ncontainers: {alone: {mode: none}}\n";
        world.apply(shop);
        world.file("blog.yaml", BLOG);
        world.run(&["apply", "--yes", "blog.yaml"]).exits(0);
        assert_set_back(
            world,
            "ip -n alone link set lo alias netform:blog:container.alone",
            &["mark ours -> `netform:blog:container.alone`"],
        );
        // Of one that has no record nobody knows.
        world.sh("ip -n alone link set lo alias netform:other:container.alone");
        let refused = world.run(&["plan"]).exits(9).stderr;
        assert!(refused.contains("namespace alone of project other is in the way"), "{refused}");
    }
}

/// What somebody does to the marks of a pair between two containers.
const CABLES: &[(&str, &str)] = &[
    (
        "ip -n web link set eth0 alias netform:shop:attachment.db@cable; ip -n db link set eth0 alias netform:shop:attachment.web@cable",
        "mark",
    ),
    ("ip -n web link set eth0 alias netform:shop:attachment.db@cable", "mark"),
    ("ip -n db link set eth0 alias netform:shop:attachment.web@cable", "mark"),
    ("ip -n db link set eth0 alias netform:blog:attachment.db@cable", "mark"),
    ("ip -n web link set eth0 alias netform:blog:attachment.web@cable", "mark"),
];

live! {
    fn marks_on_a_pair_between_two_containers_are_set_back_in_place(world) {
        world.apply("netform: 1\nproject: shop\nnetworks: {cable: {driver: veth, subnets: [10.9.0.0/31]}}\ncontainers:\n  web: {networks: {cable: {address: 10.9.0.0}}}\n  db: {networks: {cable: {address: 10.9.0.1}}}\n");
        for (deed, said) in CABLES {
            assert_set_back(world, deed, &[said]);
        }
        assert!(world.pings("web", "10.9.0.1"));
    }
}

live! {
    fn marks_of_ours_on_others_of_ours_keep_nothing_from_being_destroyed(world) {
        let before = everything(world);
        for (deed, _) in SWAPS {
            world.apply(SHOP);
            world.sh(deed);
            world.run(&["destroy", "--yes"]).exits(0);
            assert_same(&everything(world), &before, deed);
        }
    }
}

/// What somebody does to addresses and routes of ours, and what the plan says of it.
const REPLACED: &[(&str, &[&str])] = &[
    (
        "ip -n web addr replace 172.25.3.3/16 dev eth0",
        &["address 172.25.3.3/16 on eth0 in web mark ours -> protocol 0"],
    ),
    (
        "ip addr replace 172.25.0.1/16 dev br-front",
        &["address 172.25.0.1/16 on br-front mark ours -> protocol 0"],
    ),
    (
        "ip -n web route replace default via 172.25.0.1 dev eth0",
        &["default route in web mark ours -> protocol 3"],
    ),
    ("ip -n web route replace default via 172.25.0.1 dev eth0 proto static", &["mark ours -> protocol 4"]),
    ("ip -n web route replace 10.77.0.0/16 via 172.25.3.4 dev eth0", &["mark ours -> protocol 3"]),
    (
        "ip -n web route replace blackhole 10.79.0.0/16",
        &["route 10.79.0.0/16 in web mark ours -> protocol 3"],
    ),
    (
        "ip -n web route replace default via 172.25.3.4",
        &["default route in web via 172.25.0.1 -> 172.25.3.4"],
    ),
    ("ip -n web route replace default dev eth0", &["default route in web via 172.25.0.1 -> none"]),
    ("ip -n web route replace unreachable default", &["default route in web type none -> unreachable"]),
    ("ip -n web route replace 10.77.0.0/16 via 172.25.3.9 dev eth0", &["via 172.25.3.4 -> 172.25.3.9"]),
    ("ip -n web route replace blackhole 10.77.0.0/16", &["route 10.77.0.0/16 in web type none -> blackhole"]),
    ("ip -n web route replace 10.79.0.0/16 via 172.25.3.4", &["route 10.79.0.0/16 in web"]),
];

live! {
    fn what_replaced_an_address_or_a_route_of_ours_is_set_back(world) {
        world.apply(SHOP);
        for (deed, said) in REPLACED {
            assert_set_back(world, deed, said);
            assert_done_by_hand(world, deed);
        }
        assert!(world.pings("web", "172.25.3.4"));
    }
}

live! {
    fn what_replaced_an_address_or_a_route_of_ours_goes_with_the_rest(world) {
        let before = everything(world);
        for (deed, _) in REPLACED {
            world.apply(SHOP);
            world.sh(deed);
            world.run(&["destroy", "--yes"]).exits(0);
            assert_same(&everything(world), &before, deed);
        }
        // In a namespace of somebody else's nothing goes by itself.
        world.sh("ip netns add pod");
        let pod = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {netns: pod, networks: {front: {address: 172.25.3.3}}}}\n";
        let before = everything(world);
        world.apply(pod);
        world.sh("ip -n pod addr replace 172.25.3.3/16 dev eth0; ip -n pod route replace default via 172.25.0.1 dev eth0");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_same(&everything(world), &before, "pod");
    }
}

live! {
    fn an_address_or_a_route_that_nobody_asked_for_stays_somebody_elses(world) {
        world.apply(SHOP);
        world.sh("ip -n web addr add 172.25.3.5/16 dev eth0; ip -n web route add 10.78.0.0/16 via 172.25.3.4 dev eth0");
        world.assert_in_sync();
        world.file("netform.yaml", &SHOP.replace("10.77.0.0/16, via: 172.25.3.4}", "10.78.0.0/16, via: 172.25.3.4}"));
        let refused = world.run(&["plan"]).exits(9).stderr;
        assert!(refused.contains("route 10.78.0.0/16 via 172.25.3.4 on eth0 is in the way"), "{refused}");
        world.file("netform.yaml", &SHOP.replace("172.25.3.3,", "172.25.3.5,"));
        let refused = world.run(&["plan"]).exits(9).stderr;
        assert!(refused.contains("address 172.25.3.5/16 on eth0 is in the way"), "{refused}");

        // What says more than netform could say again is somebody's.
        world.file("netform.yaml", SHOP);
        world.sh("ip -n web route replace 10.77.0.0/16 via 172.25.3.9 dev eth0 mtu 1400");
        let refused = world.run(&["plan"]).exits(9).stderr;
        assert!(refused.contains("route 10.77.0.0/16 via 172.25.3.9 on eth0 is in the way"), "{refused}");
    }
}

live! {
    fn an_undone_or_killed_run_leaves_what_was_amiss_as_it_was(world) {
        world.apply(SHOP);
        let clean = everything(world);
        let all = SWAPS.iter().chain(REPLACED);
        for (deed, _) in all {
            world.sh(deed);
            let before = everything(world);
            let moved = SHOP.replace("publish: ['8080:80']", "publish: ['8081:80']");
            world.file("netform.yaml", &moved);
            haunted(world, 1, &["apply", "--yes"]);
            assert_same(&everything(world), &before, deed);
            killed(world, 1, &["apply", "--yes"]);
            world.file("netform.yaml", SHOP);
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert_same(&everything(world), &clean, deed);
        }
    }
}

live! {
    fn the_daemon_sets_back_what_is_amiss(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h", "--contested-after", "0"]);
        let before = everything(world);
        for (deed, said) in SWAPS.iter().chain(REPLACED) {
            world.sh(deed);
            said.iter().for_each(|said| daemon.says(said));
            patiently(&|| format!("`{deed}`: {}", daemon.log()), || everything(world) == before);
        }
    }
}

/// What somebody calls links of ours, and what the plan says of it.
const RENAMED: &[(&str, &str)] = &[
    ("ip link set netform.shop.web.front name veth77", "interface nf-"),
    (
        "ip link set netform.shop.web.front down; ip link set netform.shop.web.front name aa0; ip link set aa0 mtu 1400",
        "-> aa0",
    ),
    (
        "ip link set br-front down; ip link set br-front name zz0; ip link set zz0 up",
        "interface br-front -> zz0",
    ),
];

live! {
    fn what_was_renamed_gets_its_name_back(world) {
        world.apply(SHOP);
        for (deed, said) in RENAMED {
            assert_set_back(world, deed, &[said]);
            assert_done_by_hand(world, deed);
            assert!(world.pings("web", "172.25.3.4") && world.pings("db", "172.25.3.3"), "{deed}");
        }
    }
}

live! {
    fn the_daemon_gives_names_back(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &["--resync", "1h", "--contested-after", "0"]);
        let before = everything(world);
        for (deed, said) in RENAMED {
            world.sh(deed);
            daemon.says(said);
            patiently(&|| format!("`{deed}`: {}", daemon.log()), || everything(world) == before);
        }
    }
}

live! {
    fn a_renamed_link_goes_with_the_rest_and_a_name_that_is_taken_is_nobodys_to_take(world) {
        let before = everything(world);
        for (deed, _) in RENAMED {
            world.apply(SHOP);
            world.sh(deed);
            world.run(&["destroy", "--yes"]).exits(0);
            assert_same(&everything(world), &before, deed);
        }
        world.apply(SHOP);
        let name = world.sh("ip -o link show netform.shop.web.front | grep -o 'nf-[0-9a-f]*' | head -1").trim().to_owned();
        world.sh(&format!("ip link set {name} name veth77; ip link add {name} type bridge"));
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(world.pings("web", "172.25.3.4"));
        assert_eq!(world.sh(&format!("ip -o link show {name} type bridge")).lines().count(), 1, "it is not ours");
    }
}

live! {
    fn an_undone_or_killed_run_leaves_a_renamed_link_as_it_was_or_ends_well(world) {
        world.apply(SHOP);
        let clean = everything(world);
        for (deed, _) in RENAMED {
            world.sh(deed);
            let before = everything(world);
            world.file("netform.yaml", &SHOP.replace("publish: ['8080:80']", "publish: ['8081:80']"));
            haunted(world, 2, &["apply", "--yes"]).exits(4);
            assert_same(&everything(world), &before, deed);
            killed(world, 1, &["apply", "--yes"]);
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            world.sh(deed);
            killed(world, 2, &["rollback", "1", "--yes"]);
            world.file("netform.yaml", SHOP);
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert_same(&everything(world), &clean, deed);
        }
    }
}

live! {
    fn a_saved_plan_sets_back_what_was_renamed_and_has_a_port_and_a_limit(world) {
        let manifest = "\
netform: 1
project: shop
networks: {front: {subnets: [172.25.0.0/16]}}
containers: {web: {networks: {front: {bandwidth: {egress: 5mbit, ingress: 5mbit}}}}}
";
        world.apply(manifest);
        let before = everything(world);
        for deed in [
            "ip link set netform.shop.web.front name zz9",
            "ip link set netform.shop.web.front name zz9; ip link set br-front name aa9",
            "ip link set netform.shop.web.front name zz9; tc qdisc del dev zz9 root",
        ] {
            world.sh(deed);
            world.run(&["plan", "--out", "saved.json"]).exits(0);
            world.run(&["apply", "--yes", "saved.json"]).exits(0);
            assert_same(&everything(world), &before, deed);
            world.assert_in_sync();
        }
    }
}

live! {
    fn a_bridge_that_only_bears_the_mark_is_foreign_and_can_be_adopted(world) {
        let manifest = "\
netform: 1
project: shop
networks: {front: {interface: aa0, subnets: [172.25.0.0/16]}}
containers: {web: {networks: [front]}}
";
        world.sh("ip link add aa0 type bridge; ip link set aa0 alias netform:shop:network.front");
        world.file("netform.yaml", manifest);
        world.run(&["apply", "--yes"]).exits(9);
        world.run(&["import", "network.front", "aa0", "--yes"]).exits(0);
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
    }
}
