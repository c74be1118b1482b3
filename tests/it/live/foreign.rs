//! What others put beside, under or on ours: it stays, and nothing of theirs goes with ours unsaid.

use super::snapshot::{assert_same, everything};
use super::world::live;

const FRONT: &str = "netform: 1\nproject: shop\nnetworks: {front: {subnets: [172.25.0.0/16]}}\ncontainers: {web: {networks: [front], publish: ['8080:80']}}\n";
const BLOG: &str = "netform: 1\nproject: blog\nnetworks: {blog: {subnets: [10.99.0.0/24]}}\ncontainers: {www: {networks: [blog]}}\n";

live! {
    fn a_bridge_does_not_go_while_links_of_others_stand_on_it(world) {
        world.apply(FRONT);
        for (stands, what) in [
            ("ip link add vm type veth peer name tap && ip link set vm master br-front", "veth vm"),
            ("ip link add mv link br-front type macvlan", "macvlan mv"),
        ] {
            world.sh(stands);
            let before = everything(world);

            let refused = world.run(&["destroy", "--yes"]).exits(9);

            assert!(refused.stderr.contains(&format!("{what} stands on it")), "{}", refused.stderr);
            assert_same(&everything(world), &before, what);
            world.assert_in_sync();
            world.sh("ip link del vm 2>/dev/null || ip link del mv");
        }
        world.run(&["destroy", "--yes"]).exits(0);
    }
}

live! {
    fn a_table_of_our_name_that_somebody_else_made_is_left_alone(world) {
        world.sh("nft add table inet netform-shop; nft 'add chain inet netform-shop theirs'");
        let before = everything(world);
        world.file("netform.yaml", FRONT);

        let refused = world.run(&["apply", "--yes"]).exits(9);

        assert!(refused.stderr.contains("nft table inet netform-shop is in the way"), "{}", refused.stderr);
        world.run(&["destroy", "--yes"]).exits(0);
        assert_same(&everything(world), &before, "left alone");
    }
}

live! {
    fn the_last_project_to_go_sets_forwarding_back(world) {
        world.sh("sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
        world.apply(FRONT);
        let blog = world.file("blog.yaml", BLOG);
        let blog = blog.to_str().unwrap();
        world.run(&["apply", "--yes", blog]).exits(0);

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("sysctl -n net.ipv4.ip_forward").trim(), "1", "the other one needs it");
        world.run(&["destroy", "--yes", blog]).exits(0);

        assert_eq!(world.sh("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding"), "0\n0\n");
    }
}

live! {
    fn a_namespace_that_somebody_works_in_goes_all_the_same(world) {
        world.apply(FRONT);
        world.sh("(ip netns exec web sleep 30 > /dev/null 2>&1 &); sleep 0.2");

        world.run(&["destroy", "--yes"]).exits(0);

        assert_eq!(world.sh("ip -o link show type veth; ip -o link show type bridge; ip netns; nft list tables"), "");
    }
}

live! {
    fn a_directory_that_is_a_file_stops_no_destroy(world) {
        world.apply(FRONT);
        world.sh("rm -r /etc/netns/web; touch /etc/netns/web");

        world.run(&["destroy", "--yes"]).exits(0);

        assert_eq!(world.sh("ip -o link show type bridge; ip netns; ls /etc/netns"), "web\n");
    }
}

live! {
    fn a_status_shows_what_is_in_the_way_and_what_is_well(world) {
        let manifest = "netform: 1\nproject: shop\nnetworks: {front: {interface: br-front, subnets: [172.25.0.0/16]}, back: {subnets: [10.7.0.0/24]}}\ncontainers: {web: {networks: [back]}}\n";
        world.sh("ip link add br-front type bridge");
        world.file("netform.yaml", manifest);
        world.run(&["apply", "--yes"]).exits(9);

        let status = world.run(&["status"]).exits(0).stdout;

        let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        assert!(line("in the way: ").contains("br-front"), "{status}");
        assert!(line("front ").contains("blocked") && line("back ").contains("missing"), "{status}");
        world.run(&["status", "--exit-code"]).exits(2);
        let json = world.run(&["status", "--output", "json"]).exits(0).stdout;
        crate::schema::assert_follows("status", &serde_json::from_str(&json).unwrap());
    }
}

live! {
    fn what_another_project_owns_is_not_said_to_be_adoptable(world) {
        world.apply("netform: 1\nproject: blog\nnetworks: {front: {subnets: [10.99.0.0/24], interface: br-front}}\ncontainers: {web: {networks: [front]}}\n");
        world.sh("ip netns add db");
        let mine = FRONT.replace("front: {sub", "front: {interface: br-front, sub").replace("web: {", "db: {networks: [front]}, web: {");
        world.file("netform.yaml", &mine);

        let told = world.run(&["plan"]).exits(9).stderr;

        let help = |what: &str| {
            let at = told.lines().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {told}"));
            told.lines().nth(at + 1).unwrap().trim().to_owned()
        };
        assert_eq!(help("bridge br-front of project blog is in the way"), "help: give network.front another `interface`, or remove what is there");
        assert!(help("namespace web of project blog is in the way").starts_with("help: use it as it is with `netns: web`"), "{told}");
        assert!(help("namespace db is in the way").starts_with("help: adopt it with `netform import container.db db`"), "{told}");
    }
}
