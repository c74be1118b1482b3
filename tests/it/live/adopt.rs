//! What is there already becomes netform's, and what is netform's is given up, while packets flow.

use super::world::{World, live};

/// A host on which somebody made by hand what a manifest could ask for.
const BY_HAND: &str = "
    ip link add br-lan address 02:00:00:00:00:01 type bridge forward_delay 0
    ip addr add 10.20.0.1/24 dev br-lan; ip -6 addr add fd00:20::1/64 dev br-lan nodad; ip link set br-lan up
    ip netns add web; ip -n web link set lo up
    ip link add veth123 type veth peer name eth0 netns web
    ip link set veth123 master br-lan up; ip -n web link set eth0 address 02:00:00:00:00:02 up
    ip -n web addr add 10.20.0.7/24 dev eth0; ip -n web -6 addr add fd00:20::7/64 dev eth0 nodad
    ip -n web route add default via 10.20.0.1; ip -n web -6 route add default via fd00:20::1";

const MANIFEST: &str = "\
netform: 1
project: shop
networks:
  lan: {interface: br-lan, subnets: [10.20.0.0/24, 'fd00:20::/64'], mtu: 1500, lifecycle: {ignore: [mac]}}
containers:
  web: {networks: {lan: {address: [10.20.0.7, 'fd00:20::7'], mac: '02:00:00:00:00:02'}}}
";

/// All that is there, marks left out.
fn unmarked(world: &World) -> String {
    let text = world.sh(
        "ip -d -o link show type bridge; ip -d -o link show veth123; ip -o addr show br-lan; \
         ip -n web -o link show eth0; ip -n web -o addr show eth0; ip -n web route; ip -n web -6 route show default",
    );
    let marks = ["proto 0x6e ", "proto 110 ", "proto boot ", "proto static "];
    let lines = text.lines().filter(|line| !line.contains("fe80:")).map(|line| {
        let line = line.replace("state UNKNOWN", "state UP");
        let line = marks.iter().fold(line, |line, mark| line.replace(mark, ""));
        let words = line.split_whitespace().filter(|word| !word.starts_with("netform"));
        words.filter(|word| !["\\", "alias", "altname"].contains(word)).collect::<Vec<_>>().join(" ")
    });
    // What runs on by itself comes after these words.
    lines.map(|line| format!("{}\n", line.split("hello_timer").next().unwrap())).collect()
}

/// Asserts that every ping of a command that runs beside was answered.
#[track_caller]
fn assert_no_loss(pings: std::process::Child) {
    let said = String::from_utf8(pings.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains(" 0% packet loss"), "{}", said.lines().last().unwrap_or_default());
}

fn import_all(world: &World) {
    for (address, object) in
        [("network.lan", "br-lan"), ("container.web", "web"), ("attachment.web@lan", "veth123")]
    {
        let done = world.run(&["import", address, object, "--yes"]).exits(0);
        assert!(done.stdout.contains(&format!("`{object}` is {address}")), "{}", done.stdout);
    }
}

live! {
    fn what_was_made_by_hand_is_adopted_without_losing_a_packet(world) {
        world.sh(BY_HAND);
        world.file("netform.yaml", MANIFEST);
        let before = unmarked(world);
        let refused = world.run(&["apply", "--yes"]).exits(65);
        assert!(refused.stderr.contains("netform import network.lan br-lan"), "{}", refused.stderr);
        let shown = world.run(&["import", "--dry-run", "network.lan", "br-lan"]).exits(0).stdout;
        assert!(shown.contains("br-lan") && !shown.contains("Adopted"), "{shown}");
        assert_eq!(world.sh("ip -d link show br-lan | grep -c netform || true"), "0\n");
        let flood = world.beside("ping -n -i 0.02 -c 150 -W 1 10.20.0.7");

        import_all(world);

        assert_eq!(unmarked(world), before, "only marks changed");
        let (plan, _) = world.plan();
        for same in ["interface: ", "netns: ", "address: ", "default route", "mtu: ", "mac: ", "altname"] {
            assert!(!plan.contains(same), "{same} is as the manifest says:\n{plan}");
        }
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert_eq!(unmarked(world), before, "the apply has kept all of it");
        assert_no_loss(flood);

        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("ip -o link show type bridge; ip -o link show type veth; ip netns"), "");
    }
}

live! {
    fn an_adoption_shows_first_what_the_next_apply_would_change(world) {
        world.sh(BY_HAND);
        let networks = MANIFEST.split_once("containers:").unwrap().0;
        world.file("netform.yaml", &networks.replace("mtu: 1500", "mtu: 1400").replace(", 'fd00:20::/64'", ""));

        let done = world.run(&["import", "network.lan", "br-lan", "--yes"]).exits(0);

        let (marked, next) = done.stdout.split_once("What the next apply would do then").unwrap();
        assert!(marked.contains("link br-lan") && marked.contains("10.20.0.1/24"), "{}", done.stdout);
        assert!(!marked.contains("fd00:20::1/64"), "what the manifest does not ask for stays somebody else's: {marked}");
        assert!(next.contains("mtu: 1500 -> 1400"), "{next}");
        assert!(next.contains("? ") && next.contains("fd00:20::1/64"), "{next}");
        let (plan, _) = world.plan();
        assert!(plan.contains("mtu: 1500 -> 1400"), "{plan}");
        assert!(world.sh("ip link show br-lan").contains("mtu 1500"), "nothing is changed yet");
    }
}

live! {
    fn an_object_that_the_manifest_calls_otherwise_would_be_replaced_and_the_adoption_says_so(world) {
        world.sh(BY_HAND);
        world.file("netform.yaml", &MANIFEST.replace("interface: br-lan", "interface: br-other"));

        let done = world.run(&["import", "network.lan", "br-lan", "--yes"]).exits(0);

        assert!(done.stdout.contains("write `interface: br-lan`"), "{}", done.stdout);
        assert!(done.stdout.contains("netform.yaml:4:"), "{}", done.stdout);
    }
}

live! {
    fn only_what_is_declared_there_of_the_right_kind_and_nobodys_is_adopted(world) {
        world.sh(BY_HAND);
        world.sh("ip link add docker0 type bridge; ip netns add spare");
        let blog = world.file("blog.yaml", "netform: 1\nproject: blog\nnetworks: {front: {interface: br-blog}}\ncontainers: {www: {networks: [front]}}\n");
        world.run(&["apply", "--yes", blog.to_str().unwrap()]).exits(0);
        world.file("netform.yaml", &format!("{MANIFEST}  guest: {{netns: spare, networks: [lan]}}\n").replace("networks:\n", "networks:\n  ext: {external: br-lan}\n"));
        let before = world.sh("ip -o link; ip netns; ip -n web -o link");
        let check = |address: &str, object: &str, code: i32, said: &str| {
            let done = world.run(&["import", address, object, "--yes"]).exits(code);
            assert!(done.stderr.contains(said), "import {address} {object}: {}", done.stderr);
            assert_eq!(world.sh("ip -o link; ip netns; ip -n web -o link"), before);
        };

        check("network.lam", "br-lan", 64, "did you mean `network.lan`?");
        check("port.0.0.0.0:80/tcp", "br-lan", 64, "no network, container or attachment");
        check("network.lan", "br-none", 66, "there is no link br-none");
        check("network.lan", "veth123", 64, "a network is a bridge");
        check("network.lan", "lo", 64, "lo is the host's own loopback interface");
        check("network.lan", "br-blog", 9, "of project blog");
        check("network.lan", "docker0", 9, "of Docker");
        check("network.ext", "br-lan", 64, "external");
        check("container.web", "www", 64, "netns: www");
        check("container.guest", "spare", 64, "somebody else");
        check("attachment.web@lan", "br-lan", 64, "no veth pair with its other end in namespace web");
        check("attachment.guest@lan", "veth123", 64, "no veth pair with its other end in namespace spare");
        world.run(&["import", "network.lan", "br-lan"]).exits(64);
    }
}

live! {
    fn an_adoption_that_fails_is_undone(world) {
        world.sh(BY_HAND);
        world.sh("ip link set br-lan alias 'uplink of rack 4'");
        // The further name that the mark needs is taken.
        world.sh("ip link add thief type bridge; ip link property add dev thief altname netform.shop.lan");
        world.file("netform.yaml", MANIFEST);
        let before = world.sh("ip -d -o link; ip -o addr show br-lan");

        let done = world.run(&["import", "network.lan", "br-lan", "--yes"]).exits(4);

        assert!(done.stderr.contains("link br-lan"), "{}", done.stderr);
        let settle = |text: String| text.lines().map(|line| format!("{}\n", line.split("hello_timer").next().unwrap())).collect::<String>();
        assert_eq!(settle(world.sh("ip -d -o link; ip -o addr show br-lan")), settle(before));
    }
}

live! {
    fn what_is_forgotten_works_on_and_is_nobodys(world) {
        world.apply(MANIFEST);
        let look = "ip -d -o link | sed 's/hello_timer.*//; s/ *altname.*//; s/.  *alias.*//'; ip -o -4 addr | sed 's/proto 0x6e //'; \
            ip -n web -o -4 addr | sed 's/proto 0x6e //'; ip -n web route | sed 's/proto [^ ]* *//'; nft -s list ruleset | md5sum";
        let before = world.sh(look);
        let refused = world.run(&["forget", "network.lan", "--yes"]).exits(7);
        assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
        let flood = world.beside("ping -n -i 0.02 -c 100 -W 1 10.20.0.7");

        world.file("netform.yaml", "netform: 1\nproject: shop\n");
        let network = world.run(&["forget", "network.lan", "--yes"]).exits(0);
        let marked = world.sh("ip -o link; ip netns");
        world.run(&["forget", "container.web", "--project", "shop", "--dry-run"]).exits(0);
        assert_eq!(world.sh("ip -o link; ip netns"), marked);
        let container = world.run(&["forget", "container.web", "--project", "shop", "--yes"]).exits(0);

        for gone in ["link br-lan", "address 10.20.0.1/24 on br-lan", "address 10.20.0.7/24 on eth0 in web", "default route in web"] {
            assert!(network.stdout.contains(gone), "{}", network.stdout);
        }
        assert!(network.stdout.contains("until the next apply"), "{}", network.stdout);
        assert!(container.stdout.contains("netns web"), "{}", container.stdout);
        assert_no_loss(flood);
        assert_eq!(world.sh(look), before);
        assert_eq!(world.try_sh("ip -d link | grep netform; ip -n web -d link | grep netform").stdout, "");
        world.run(&["forget", "network.lan", "--yes"]).exits(66);

        world.run(&["apply", "--yes", "--allow-empty"]).exits(0);
        assert!(world.pings("host", "10.20.0.7") && world.pings("web", "fd00:20::1"), "an apply does not touch it");
        assert!(!world.sh("nft list ruleset").contains("br-lan"), "as was said, the firewall does not know it any more");
        world.file("netform.yaml", MANIFEST);
        import_again(world);
    }
}

/// What was forgotten is adopted again.
fn import_again(world: &World) {
    let end = world.sh("ip -o link show master br-lan | cut -d: -f2 | cut -d@ -f1");
    for (address, object) in
        [("network.lan", "br-lan"), ("container.web", "web"), ("attachment.web@lan", end.trim())]
    {
        world.run(&["import", address, object, "--yes"]).exits(0);
    }
    world.run(&["apply", "--yes"]).exits(0);
    world.assert_in_sync();
}

live! {
    fn a_discovered_manifest_is_right_and_adopting_it_leaves_only_the_firewall_to_make(world) {
        world.sh(BY_HAND);
        world.sh("
            ip link add back type bridge forward_delay 0; ip addr add 10.30.0.254/24 dev back; ip link set back up
            ip link add veth9 type veth peer name lan0 netns web; ip link set veth9 master back up
            ip -n web addr add 10.30.0.3/24 dev lan0; ip -n web link set lan0 up
            ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip netns add spare
            ip link add br-bare type bridge; ip addr add 10.20.0.99/32 dev br-lan");
        let before = unmarked(world);

        let manifest = world.run(&["import", "--discover", "--project", "shop"]).exits(0).stdout;

        world.file("netform.yaml", &manifest);
        world.run(&["validate"]).exits(0);
        for left_out in [
            "bridge docker0: of Docker; a network on it as it is: `external: docker0`",
            "bridge br-bare: it has no address",
            "namespace spare: on none of these bridges",
            "web has no default route by back",
        ] {
            assert!(manifest.contains(left_out), "{left_out}:\n{manifest}");
        }
        let imports = manifest.lines().filter_map(|line| line.strip_prefix("#   netform import --manifest FILE "));
        let imports: Vec<Vec<&str>> = imports.map(|line| line.split(' ').collect()).collect();
        assert_eq!(imports.len(), 5, "{manifest}");
        for import in imports {
            world.run(&[&["import", "--yes"], import.as_slice()].concat()).exits(0);
        }
        let (plan, _) = world.plan();
        for same in ["interface: ", "netns: ", "address: 10.", "default route", "mtu: ", "mac: ", "altname"] {
            assert!(!plan.contains(same), "{same} is as it was found:\n{plan}");
        }
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        assert_eq!(unmarked(world), before);
        let again = world.run(&["import", "--discover"]).exits(0).stdout;
        assert!(again.contains("bridge br-lan: of project shop") && again.contains("namespace web: of project shop"), "{again}");
    }
}

live! {
    fn a_rollback_to_before_an_adoption_gives_up_what_was_there_and_removes_nothing_of_it(world) {
        world.sh(BY_HAND);
        let before = unmarked(world);
        world.apply("netform: 1\nproject: shop\nnetworks: {other: {subnets: [10.30.0.0/24]}}\ncontainers: {app: {networks: [other]}}\n");
        world.file("netform.yaml", &MANIFEST.replace("containers:\n", "containers:\n  db: {networks: [lan]}\n"));
        import_all(world);
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        let pings = world.beside("ip netns exec web ping -n -i 0.02 -c 100 10.20.0.1");

        let plan = world.run(&["rollback", "1", "--dry-run"]).exits(0).stdout;
        for what in ["link br-lan", "link veth123", "netns web", "address 10.20.0.7/24 on eth0 in web"] {
            let told = format!("Warning: {what} was there before netform and was adopted since: it is given up, and stays as it is");
            assert!(plan.contains(&told), "{what}: {plan}");
        }
        for gone in ["network.lan will be destroyed", "container.web will be destroyed", "attachment.web@lan will be destroyed"] {
            assert!(!plan.contains(gone), "{gone}: {plan}");
        }
        assert!(plan.contains("attachment.db@lan will be destroyed"), "{plan}");
        world.run(&["rollback", "1", "--yes"]).exits(0);

        assert_no_loss(pings);
        let lines: Vec<_> = unmarked(world).lines().filter(|line| !line.contains("br-other")).map(|line| format!("{line}\n")).collect();
        assert_eq!(lines.concat(), before);
        assert_eq!(world.sh("ip -d link show br-lan; ip -d link show veth123; ip -n web link show lo").matches("netform").count(), 0);
        assert!(world.pings("app", "10.30.0.1"));
        assert_eq!(world.run(&["rollback", "1", "--dry-run"]).exits(0).stdout.matches("given up").count(), 0, "once");
        world.file("netform.yaml", "netform: 1\nproject: shop\nnetworks: {other: {subnets: [10.30.0.0/24]}}\ncontainers: {app: {networks: [other]}}\n");
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(unmarked(world), before);
    }
}

live! {
    fn a_rollback_to_before_an_adoption_gives_back_what_was_changed_since(world) {
        world.sh(BY_HAND);
        let before = unmarked(world);
        world.apply("netform: 1\nproject: shop\n");
        for changed in [
            MANIFEST.replace("[10.20.0.7, 'fd00:20::7']", "[10.20.0.9, 'fd00:20::9']"),
            MANIFEST.replace("10.20.0.", "10.30.0.").replace("fd00:20::", "fd00:30::"),
        ] {
            world.file("netform.yaml", MANIFEST);
            import_all(world);
            world.run(&["apply", "--yes"]).exits(0);
            world.apply(&changed);
            world.assert_in_sync();
            assert!(!world.sh("ip -n web addr show eth0").contains("10.20.0.7/"));

            let plan = world.run(&["rollback", "1", "--dry-run"]).exits(0).stdout;
            assert!(!plan.contains("unmarked") && plan.contains("attachment.web@lan will be updated in place"), "{plan}");
            assert!(plan.contains("address 10.20.0.7/24 on eth0 in web was there before netform, was adopted and has been changed"), "{plan}");
            let done = world.run(&["rollback", "1", "--yes", "--allow-empty", "--max-destroy", "99"]).exits(0);

            // An address that netform gives has a broadcast address, as dhclient(8) and Docker have it.
            let after = unmarked(world).replace("brd 10.20.0.255 ", "");
            assert_eq!(after, before, "{}", done.stdout);
            assert!(world.pings("web", "10.20.0.1") && world.pings("web", "fd00:20::1"));
            assert_eq!(world.run(&["rollback", "1", "--dry-run"]).exits(0).stdout.matches("given").count(), 0, "once");
        }
    }
}

live! {
    fn an_adopted_bridge_gets_its_kernel_parameters_back_when_it_is_given_up(world) {
        world.sh(BY_HAND);
        world.sh("sysctl -qw net.ipv6.conf.br-lan.accept_ra=2 net.ipv4.conf.br-lan.rp_filter=1");
        let of = || world.sh("cd /proc/sys/net; cat ipv6/conf/br-lan/accept_ra ipv6/conf/br-lan/accept_dad ipv6/conf/br-lan/disable_ipv6 ipv4/conf/br-lan/rp_filter").replace('\n', " ");
        let before = of();
        world.apply("netform: 1\nproject: shop\n");
        let adopt = || {
            world.file("netform.yaml", MANIFEST);
            import_all(world);
            world.run(&["apply", "--yes"]).exits(0);
            world.assert_in_sync();
            assert!(of().starts_with("0 0 "), "{}", of());
        };

        adopt();
        // What drifted and was brought back is not what was there.
        world.sh("sysctl -qw net.ipv6.conf.br-lan.accept_ra=1");
        world.run(&["apply", "--yes"]).exits(0);
        let plan = world.run(&["rollback", "1", "--dry-run"]).exits(0).stdout;
        assert!(plan.contains("sysctl net/ipv6/conf/br-lan/accept_ra: 0 -> 2"), "{plan}");
        world.run(&["rollback", "1", "--yes", "--allow-empty", "--max-destroy", "99"]).exits(0);
        assert_eq!(of(), before, "rollback");
        world.sh("sysctl -qw net.ipv6.conf.br-lan.accept_ra=1");
        world.run(&["rollback", "1", "--yes", "--allow-empty"]).exits(0);
        assert!(of().starts_with("1 "), "it is somebody else's now: {}", of());

        world.sh("sysctl -qw net.ipv6.conf.br-lan.accept_ra=2");
        adopt();
        world.file("netform.yaml", "netform: 1\nproject: shop\n");
        let told = world.run(&["forget", "network.lan", "--yes"]).exits(0).stdout;
        assert!(told.contains("net/ipv6/conf/br-lan/accept_ra = 2"), "{told}");
        assert_eq!(of(), before, "forget");
        world.run(&["apply", "--yes", "--allow-empty", "--max-destroy", "99"]).exits(0);
        assert_eq!(of(), before, "and it stays so");
    }
}
