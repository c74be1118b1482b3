//! External addresses that netform gives the host's uplink, so that its neighbours find them there.

use super::daemon::Daemon;
use super::failure::haunted;
use super::world::{Listen, World, eventually, live};

/// A neighbour that looks for 203.0.113.0/24 and 2001:db8:9::/64 on the link that it shares with the host.
fn neighbour(world: &World) {
    world.sh("ip netns add out && ip link add uplink type veth peer name eth0 netns out && ip link set uplink up &&
        ip addr add 192.0.2.1/24 dev uplink && ip addr add 2001:db8::1/64 dev uplink nodad && ip -n out link set lo up &&
        ip -n out link set eth0 up && ip -n out addr add 192.0.2.2/24 dev eth0 && ip -n out addr add 203.0.113.1/24 dev eth0 &&
        ip -n out addr add 2001:db8::2/64 dev eth0 nodad && ip -n out addr add 2001:db8:9::1/64 dev eth0 nodad &&
        ip route add default via 192.0.2.2 && ip route add default via 2001:db8::2");
}

const HEAD: &str = "netform: 1\nproject: shop\nown_external_addresses: true\nnetworks: {front: {subnets: [172.25.0.0/24, 'fd00:25::/64']}}\n";
const WEB: &str =
    "containers: {web: {networks: {front: {external_address: [203.0.113.9, '2001:db8:9::9']}}}}\n";

fn owned() -> String {
    format!("{HEAD}{WEB}")
}

/// The external addresses that links of the host have.
fn held(world: &World) -> String {
    world.sh("ip -o addr | awk '$4 ~ /^203.0.113|^2001:db8:9:/ {print $2, $4}'")
}

const BOTH: &str = "uplink 203.0.113.9/32\nuplink 2001:db8:9::9/128\n";

live! {
    fn neighbours_find_an_external_address_that_the_uplink_has(world) {
        neighbour(world);
        world.apply(&owned().replace("true", "false"));
        let _web = world.serve("web", &Listen::tcp(80), "web");
        let asked = |to| world.ask("out", "tcp", to, 80);
        assert_eq!((held(world).as_str(), asked("203.0.113.9")), ("", None));

        world.apply(&owned());

        assert_eq!(held(world), BOTH);
        assert_eq!(asked("203.0.113.9").as_deref(), Some("web 203.0.113.1"));
        eventually("the neighbour's own address is ready", || asked("2001:db8:9::9").is_some());
        let shown = world.sh("ip -o addr show dev uplink to 2001:db8:9::9");
        assert!(shown.contains("deprecated"), "the host begins nothing with it: {shown}");
        world.assert_in_sync();
        let (plan, changes) = world.plan();
        assert!(!changes && !plan.contains("Warning"), "{plan}");
        world.apply(&owned().replace("own_external_addresses: true\n", ""));
        assert_eq!(held(world), "");
        world.apply(&owned());
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!((held(world), world.sh("nft list ruleset")), (String::new(), String::new()));
    }
}

live! {
    fn an_external_address_on_the_uplink_comes_back_and_follows_the_default_route(world) {
        neighbour(world);
        world.file("netform.yaml", &owned());
        let daemon = Daemon::start(world, &[]);
        eventually("it is applied", || held(world) == BOTH);

        world.sh("ip addr del 203.0.113.9/32 dev uplink && ip addr del 2001:db8:9::9/128 dev uplink");
        eventually("they are back", || held(world) == BOTH);
        daemon.says("drift: external.203.0.113.9");

        world.sh("ip link del uplink");
        daemon.brings_it_in_sync("the uplink is gone");
        assert_eq!(held(world), "");
        let plan = world.plan().0;
        assert!(plan.contains("no link has a default route of IPv4: external address 203.0.113.9 waits"), "{plan}");

        world.sh("ip link add other type veth peer name up1 && ip link set other up && ip link set up1 up");
        std::thread::sleep(std::time::Duration::from_millis(1500));
        world.sh("ip addr add 192.0.2.1/24 dev other");
        std::thread::sleep(std::time::Duration::from_millis(1500));
        world.sh("ip route add default via 192.0.2.2");
        eventually("it is on the new uplink", || held(world) == "other 203.0.113.9/32\n");
    }
}

live! {
    fn an_address_that_somebody_else_gave_the_host_is_his(world) {
        neighbour(world);
        world.sh("ip addr add 203.0.113.9/24 dev uplink");
        world.apply(&owned());
        assert_eq!(held(world), "uplink 203.0.113.9/24\nuplink 2001:db8:9::9/128\n");
        assert!(world.plan().0.contains("203.0.113.9 is an address of uplink already"));

        world.sh("ip addr del 203.0.113.9/24 dev uplink");
        world.run(&["apply", "--yes"]).exits(0);
        assert_eq!(held(world), BOTH);
        world.sh("ip addr add 203.0.113.77/32 dev uplink");
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(held(world), "uplink 203.0.113.77/32\n");
    }
}

live! {
    fn an_external_address_on_the_uplink_is_undone_and_known_without_files(world) {
        neighbour(world);
        world.apply(&format!("{HEAD}containers: {{web: {{networks: [front]}}}}\n"));
        world.file("netform.yaml", &owned());
        let refused = haunted(world, 2, &["apply", "--yes"]).exits(4).stderr;
        assert_eq!(held(world), "", "{refused}");

        world.run(&["apply", "--yes"]).exits(0);
        world.sh("rm -rf state run");
        world.assert_in_sync();
        let other = owned().replace("shop", "blog").replace("172.25", "172.26").replace("fd00:25", "fd00:26");
        world.file("blog.yaml", &other.replace("web", "www"));
        world.run(&["apply", "--yes", "blog.yaml"]).exits(9);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(held(world), "");
    }
}

live! {
    fn a_killed_apply_or_destroy_leaves_no_address_behind(world) {
        neighbour(world);
        for delay in [15, 30, 45, 60, 80, 110] {
            for verb in ["apply", "destroy"] {
                world.file("netform.yaml", &owned());
                let mut child = world.netform().args([verb, "--yes"]).spawn().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(delay));
                child.kill().unwrap();
                child.wait().unwrap();
                world.run(&["apply", "--yes"]).exits(0);
                assert_eq!(held(world), BOTH, "{verb} killed after {delay} ms");
                world.assert_in_sync();
            }
            world.run(&["destroy", "--yes"]).exits(0);
            assert_eq!((held(world), world.sh("nft list ruleset")), (String::new(), String::new()), "after {delay} ms");
        }
    }
}

live! {
    fn an_external_address_can_be_aimed_at_and_takes_no_session_from_anybody(world) {
        neighbour(world);
        world.apply(&format!("{HEAD}containers: {{web: {{networks: [front]}}}}\n"));
        world.file("netform.yaml", &owned());
        let plan = world.run(&["plan", "--target", "external.203.0.113.9"]).exits(0).stdout;
        assert!(plan.contains("external.203.0.113.9 will be created") && !plan.contains("external.2001"), "{plan}");

        let session = [("SSH_CONNECTION", "198.51.100.7 50000 203.0.113.9 22")];
        let refused = world.run_with(&session, &["apply", "--yes"]).exits(7).stderr;
        assert!(refused.contains("external.203.0.113.9 would take over the address that it came to"), "{refused}");
        let session = [("SSH_CONNECTION", "203.0.113.9 50000 198.51.100.7 22")];
        let refused = world.run_with(&session, &["apply", "--yes"]).exits(7).stderr;
        assert!(refused.contains("external.203.0.113.9 would take over the address that it comes from"), "{refused}");
        world.run(&["apply", "--yes"]).exits(0);
        world.run(&["rollback", "1", "--yes"]).exits(0);
        assert_eq!(held(world), "");
    }
}
