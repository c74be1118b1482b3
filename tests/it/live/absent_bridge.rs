//! Networks on a bridge of somebody else's that is not there at the moment.

use super::daemon::Daemon;
use super::world::{Listen, World, live};

const SHOP: &str = "\
netform: 1
project: shop
networks:
  front: {subnets: [172.25.0.0/24]}
  lan: {external: br-lan}
containers:
  web: {networks: [lan, front], publish: ['8080:80']}
  nas: {networks: [lan], publish: ['445:445']}
";

fn bridge(world: &World) {
    world
        .sh("ip link add br-lan type bridge && ip addr add 10.20.0.1/24 dev br-lan && ip link set br-lan up");
}

live! {
    fn a_network_waits_for_its_bridge_and_everything_else_goes_on(world) {
        let told = world.apply(SHOP);

        assert!(told.contains("there is no bridge `br-lan`: network `lan` waits for it, with all that is on it"), "{told}");
        assert!(!told.contains("publishes a port over IP"), "{told}");
        assert!(world.pings("web", "172.25.0.1"));
        world.assert_in_sync();
        let status = world.run(&["status", "--tree", "--manifest", "netform.yaml"]).exits(0).stdout;
        assert_eq!(status.matches("[waiting]").count(), 3, "{status}");
        let status = world.run(&["status"]).exits(0).stdout;
        let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert!(line("nas").contains("waiting") && !line("nas").contains("published"), "{status}");
        assert!(line("web").contains("in sync") && line("web").contains("*:8080->80/tcp"), "{status}");
        let json = world.run(&["status", "--output", "json"]).exits(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let nas = json["containers"].as_array().unwrap().iter().find(|it| it["name"] == "nas").unwrap();
        assert_eq!((nas["state"].as_str(), nas["published"].as_array().unwrap().len()), (Some("waiting"), 0), "{nas}");
        let explained = world.run(&["explain", "nas", "lan", "attachment.nas@lan"]).exits(0).stdout;
        assert!(explained.contains("it waits to be on network lan"), "{explained}");
        assert!(explained.contains("waiting to be on it, as `netform plan` says: nas and web"), "{explained}");
        let json = world.run(&["plan", "--output", "json"]).exits(0).stdout;
        assert!(json.contains("\"network.lan\""), "{json}");
        let hosts = world.sh("cat /etc/netns/web/hosts");
        assert!(!hosts.contains("web.lan") && hosts.contains("web.front"), "{hosts}");

        bridge(world);
        world.run(&["apply", "--yes"]).exits(0);
        assert!(world.pings("nas", "10.20.0.1") && world.pings("web", "10.20.0.1"));
        world.assert_in_sync();
        let explained = world.run(&["explain", "nas", "lan"]).exits(0).stdout;
        assert!(!explained.contains("wait"), "{explained}");
        let before = world.sh("ip -n nas -o -4 addr show dev eth0");

        world.sh("ip link del br-lan");
        let (plan, changes) = world.plan();
        assert!(changes && plan.contains("attachment.nas@lan will be destroyed (what it needs is not there)"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert!(world.pings("web", "172.25.0.1"));
        // Other containers have come meanwhile, and nobody is given the address of one who waits.
        world.file("netform.yaml", &SHOP.replace("  web:", "  new: {networks: [lan]}\n  web:"));
        world.run(&["apply", "--yes"]).exits(0);
        bridge(world);
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -n nas -o -4 addr show dev eth0 | tr -s ' ' | cut -d' ' -f4"), address(&before));
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

fn address(line: &str) -> String {
    format!("{}\n", line.split_whitespace().nth(3).unwrap())
}

live! {
    fn the_daemon_connects_when_the_bridge_comes_and_lets_go_when_it_goes(world) {
        world.file("netform.yaml", &SHOP.replace("{external: br-lan}", "{external: br-lan, subnets: [10.20.0.0/24]}"));
        let daemon = Daemon::start(world, &[]);
        daemon.says("network `lan` waits for it");
        assert!(world.pings("web", "172.25.0.1"), "everything else is there");

        for round in 0..2 {
            bridge(world);
            daemon.brings_it_in_sync("the bridge is there");
            assert!(world.pings("nas", "10.20.0.1"), "round {round}");
            assert!(world.sh("nft list ruleset").contains("445"), "round {round}");
            world.sh("ip link del br-lan");
            daemon.brings_it_in_sync("the bridge is gone");
            let status = world.run(&["status", "--tree", "--manifest", "netform.yaml"]).exits(0).stdout;
            assert_eq!(status.matches("[waiting]").count(), 3, "{status}");
            assert!(!world.sh("nft list ruleset").contains("445"), "round {round}");
            assert!(world.pings("web", "172.25.0.1"), "round {round}");
        }
        world.sh("ip link del br-front");
        daemon.brings_it_in_sync("drift of the others is repaired meanwhile");
    }
}

live! {
    fn a_bridge_that_gets_its_address_later_is_followed(world) {
        world.file("netform.yaml", SHOP);
        let daemon = Daemon::start(world, &[]);
        world.sh("ip link add br-lan type bridge && ip link set br-lan up");
        daemon.brings_it_in_sync("the bridge has no address yet");
        world.sh("ip addr add 10.20.0.1/24 dev br-lan");
        daemon.brings_it_in_sync("it has one");
        assert!(world.pings("nas", "10.20.0.1"));
    }
}

live! {
    fn a_bridge_that_is_something_else_is_wrong_and_not_waited_for(world) {
        world.sh("ip link add up0 type veth peer name up1");
        for (name, why) in [("up0", "`up0` is no bridge"), ("lo", "no interface can be named `lo`")] {
            world.file("netform.yaml", &SHOP.replace("br-lan", name));
            let told = world.run(&["plan"]).exits(65).stderr;
            assert!(told.contains(why) && told.matches("error[").count() == 1, "{told}");
        }
        world.apply(SHOP);
        // The network's own bridge would go, to be waited for.
        world.file("netform.yaml", &SHOP.replace("front: {subnets: [172.25.0.0/24]}", "front: {external: br-front}"));
        let told = world.run(&["plan"]).exits(65).stderr;
        assert!(told.contains("netform forget --force network.front"), "{told}");
        world.run(&["destroy", "--yes", "--project", "shop"]).exits(0);
    }
}

live! {
    fn on_a_bridge_of_others_nobody_is_given_the_address_of_a_neighbour(world) {
        world.sh("ip link add br-lan type bridge && ip addr add 10.20.0.1/24 dev br-lan && ip link set br-lan up
             ip link add eth1 type veth peer name far1; ip addr add 10.20.0.2/24 dev eth1
             ip netns add printer; ip link add p0 type veth peer name eth0 netns printer; ip link set p0 master br-lan up
             ip -n printer addr add 10.20.0.3/24 dev eth0; ip -n printer link set eth0 up; ip -n printer link set lo up
             ip neigh add 10.20.0.4 lladdr 02:00:00:00:00:44 dev br-lan nud permanent
             ping -c1 -W2 10.20.0.3 >&2");
        let told = world.apply("netform: 1\nproject: shop\nnetworks: {lan: {external: br-lan}}\ncontainers: {web: {networks: [lan]}}\n");

        assert!(told.contains("container web gets 10.20.0.5") && told.contains("pool: 10.20.0.128/25"), "{told}");
        assert!(world.sh("ip -n web -4 addr").contains("10.20.0.5/24"));
        assert!(world.pings("web", "10.20.0.3") && world.pings("web", "10.20.0.1"));
        world.assert_in_sync();
        assert!(!world.plan().0.contains("pool"), "it is no news");
    }
}

live! {
    fn what_does_not_lead_to_a_bridge_of_others_is_told_and_explained(world) {
        world.sh("ip link add br-lan type bridge && ip link set br-lan up");
        let manifest = SHOP.replace("{external: br-lan}", "{external: br-lan, subnets: [10.20.0.0/24]}");
        let told = world.apply(&manifest.replace("networks: [lan, front]", "networks: [front]"));
        assert!(told.contains("neither an address nor a route on bridge `br-lan`"), "{told}");

        world.sh("ip addr add 10.20.0.1/24 dev br-lan");
        let (plan, changes) = world.plan();
        assert!(!changes && plan.contains("port 445/tcp does not answer at 127.0.0.1 of this host"), "{plan}");
        let _server = world.serve("nas", &Listen::tcp(445), "nas");
        assert_eq!(world.ask("host", "tcp", "10.20.0.1", 445).as_deref(), Some("nas 10.20.0.1"));
        assert_eq!(world.ask("host", "tcp", "127.0.0.1", 445), None);
        let explained = world.run(&["explain", "--path", "host", "127.0.0.1:445"]).exits(0).stdout;
        assert!(explained.contains("`route_localnet`") && !explained.contains("os error"), "{explained}");
    }
}

/// What was applied before `SHOP` was left for something else, once the bridge was there and is gone.
fn left_behind(world: &World) {
    bridge(world);
    world.apply(SHOP);
    world.apply(
        &SHOP.replace("lan, front", "front").replace("  nas: {networks: [lan], publish: ['445:445']}\n", ""),
    );
}

live! {
    fn whoever_goes_back_to_a_network_without_its_bridge_waits_for_it(world) {
        left_behind(world);
        world.sh("ip link del br-lan");

        let told = world.run(&["rollback", "--yes", "1"]).exits(0).stdout;

        assert!(told.contains("there is no bridge `br-lan`: network `lan` waits for it, with all that is on it"), "{told}");
        assert!(world.pings("web", "172.25.0.1"));
        assert!(!world.sh("nft list ruleset").contains("445"));
        let again = world.run(&["rollback", "--dry-run", "3"]).exits(0).stdout;
        assert!(again.contains("No changes."), "{again}");

        // The generation still says all of it.
        bridge(world);
        world.run(&["rollback", "--yes", "3"]).exits(0);
        world.file("netform.yaml", SHOP);
        assert!(world.pings("nas", "10.20.0.1") && world.pings("web", "10.20.0.1"));
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn a_macvlan_is_not_gone_back_to_without_its_parent_either(world) {
        world.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
        let manifest = "netform: 1\nproject: shop\nnetworks: {street: {driver: macvlan, options: {parent: up0}, subnets: [192.168.7.0/24]}, front: {}}\ncontainers: {tv: {networks: [street, front]}}\n";
        world.apply(manifest);
        world.apply(&manifest.replace("[street, front]", "[front]"));
        world.sh("ip link del up0");

        let told = world.run(&["rollback", "--yes", "1"]).exits(0).stdout;

        assert!(told.contains("there is no interface `up0`: network `street` waits for it"), "{told}");
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn a_saved_plan_whose_bridge_is_gone_is_stale(world) {
        bridge(world);
        world.file("netform.yaml", SHOP);
        world.run(&["plan", "--out", "shop.plan"]).exits(0);
        world.sh("ip link del br-lan");

        let told = world.run(&["apply", "--yes", "shop.plan"]).exits(5).stderr;

        assert!(told.contains("bridge br-lan is gone, which link") && told.contains("plan again"), "{told}");
        assert!(!world.sh("ip netns list").contains("web"), "nothing was changed");
        world.run(&["plan", "--out", "shop.plan"]).exits(0);
        world.run(&["apply", "--yes", "shop.plan"]).exits(0);
    }
}

live! {
    fn a_saved_plan_whose_namespace_is_gone_is_stale(world) {
        let shop = |networks: &str| format!("netform: 1\nproject: shop\nnetworks: {{a: {{}}, b: {{}}}}\ncontainers: {{web: {{networks: {networks}}}}}\n");
        world.apply(&shop("[a]"));
        world.file("netform.yaml", &shop("[a, b]"));
        world.run(&["plan", "--out", "shop.plan"]).exits(0);
        world.sh("ip netns delete web");

        let told = world.run(&["apply", "shop.plan"]).exits(5).stderr;

        assert!(told.contains("netns web is gone, in which something is to be made"), "{told}");
        world.run(&["plan", "--out", "shop.plan"]).exits(0);
        world.run(&["apply", "shop.plan"]).exits(0);
        assert!(world.sh("ip -n web link").contains("eth1"));
    }
}
