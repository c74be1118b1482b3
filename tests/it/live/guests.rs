//! Projects on the bridge of another one, which changes it under them: both plans say what ends.

use super::world::{Listen, World, live};

/// Another host, by which the default route leads.
const OUT: &str = "ip netns add out; ip link add up0 type veth peer name e0 netns out; ip link set up0 up; ip -n out link set e0 up
    ip addr add 192.168.9.1/24 dev up0; ip -n out addr add 192.168.9.2/24 dev e0; ip -n out link set lo up
    ip route add default via 192.168.9.2; ip -n out route add default via 192.168.9.1";

const BLOG: &str = "netform: 1
project: blog
networks: {lan: {external: br-front, subnets: [{cidr: 10.80.0.0/24, pool: 10.80.0.128/25}]}}
containers:
  g: {networks: [lan], publish: ['8082:80']}
  h: {networks: [lan]}
";

const OPEN: &str = "subnets: [10.80.0.0/24], ingress: open";

/// Whose bridge it is: what he says of it, and what besides.
fn shop(front: &str, more: &str) -> String {
    format!(
        "netform: 1
project: shop
networks: {{front: {{interface: br-front, {front}}}}}
containers: {{a: {{networks: [front]}}}}
{more}"
    )
}

/// Has both projects as they are at first.
fn begin(world: &World) {
    apply(world, "shop", &shop(OPEN, ""));
    apply(world, "blog", BLOG);
}

fn apply(world: &World, name: &str, manifest: &str) {
    world.file(&format!("{name}.yaml"), manifest);
    world.run(&["apply", "--yes", &format!("{name}.yaml")]).exits(0);
}

/// Returns the lines of a plan that tell of the other project.
fn told(world: &World, manifest: &str) -> String {
    world.file("shop.yaml", manifest);
    let plan = world.run(&["plan", "shop.yaml"]).exits(0).stdout;
    let is_told = |line: &&str| line.contains("of project blog (");
    plan.lines().filter(is_told).collect::<Vec<_>>().join("\n")
}

live! {
    fn whose_bridge_it_is_is_told_what_his_change_takes_from_others(world) {
        world.sh(OUT);
        begin(world);
        let closed = "nobody outside this host reaches it any more, unless a policy allows it";
        let shut = "nobody outside this host reaches it any more";
        let silent = "it reaches nobody outside this host any more";
        for (front, whys) in [
            ("subnets: [10.80.0.0/24]", &[closed][..]),
            ("subnets: [10.80.0.0/24], internal: true", &[shut, silent]),
            ("subnets: [10.80.0.0/24], ingress: open, egress: routed", &["what it sends out keeps its own address"]),
            ("subnets: [10.81.0.0/24], ingress: open", &["its next hop 10.80.0.1 goes", "this host does not reach it any more"]),
            ("subnets: [{cidr: 10.80.0.0/24, gateway: 10.80.0.9}], ingress: open", &["its next hop 10.80.0.1 goes"]),
            // Nothing of these is the guests' loss.
            ("subnets: [10.80.0.0/24, 10.90.0.0/24], ingress: open", &[]),
            ("subnets: [10.80.0.0/24], ingress: open, mtu: 1400", &[]),
        ] {
            let plan = told(world, &shop(front, ""));
            let named = format!("g of project blog, h of project blog ({})", whys.join(", "));
            assert_eq!(plan.contains(&named), !whys.is_empty(), "{front}: {named} in {plan}");
            assert_eq!(plan.is_empty(), whys.is_empty(), "{front}: {plan}");
        }
        world.file("shop.yaml", &shop("subnets: [10.80.0.0/24]", ""));
        let json = world.run(&["plan", "shop.yaml", "--output", "json"]).exits(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let change = json["changes"].as_array().unwrap().iter().find(|it| it["address"] == "network.front").unwrap();
        let theirs: Vec<_> = change["interrupts"].as_array().unwrap().iter().filter(|it| it["project"] == "blog").collect();
        assert_eq!((theirs.len(), theirs[0]["address"].as_str()), (2, Some("attachment.g@lan")), "{change}");

        // It is so, and no more than that.
        let _server = world.serve("g", &Listen::tcp(80), "g");
        assert!(world.ask("out", "tcp", "192.168.9.1", 8082).is_some());
        world.run(&["apply", "--yes", "shop.yaml"]).exits(0);
        assert!(world.ask("out", "tcp", "192.168.9.1", 8082).is_none());
        assert!(world.pings("h", "192.168.9.2"));

        // The bridge itself is not taken from under them.
        for front in ["subnets: [10.80.0.0/24]", "subnets: [10.80.0.0/24], driver: veth, options: {host: true}"] {
            let away = shop(front, "").replace("interface: br-front", "interface: br-else");
            world.file("shop.yaml", &away);
            let refused = world.run(&["plan", "shop.yaml"]).exits(9).stderr;
            assert!(refused.contains("network.front would lose link br-front") && refused.contains("of project blog stands on it"), "{refused}");
        }

        // Who hides what he sends out himself, or is gone, loses nothing.
        apply(world, "blog", &BLOG.replace("{external: br-front,", "{external: br-front, egress: masquerade,"));
        let routed = shop("subnets: [10.80.0.0/24], egress: routed", "");
        assert_eq!(told(world, &routed), "");
        world.run(&["destroy", "--yes", "blog.yaml"]).exits(0);
        assert_eq!(told(world, &shop("subnets: [10.80.0.0/24], internal: true", "")), "");
    }
}

live! {
    fn neighbours_are_told_to_be_kept_apart_where_they_are(world) {
        begin(world);
        let switch = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        let quiet = shop("subnets: [10.80.0.0/24], ingress: open, icc: false", "");
        let are_there = world.try_sh(&format!("test -e {switch}")).code == 0;
        for judged in if are_there { &["1", "0"][..] } else { &["0"] } {
            world.try_sh(&format!("echo {judged} > {switch}"));
            let plan = told(world, &quiet);
            let named = "g of project blog, h of project blog (its neighbours on br-front and it do not hear each other any more)";
            assert_eq!(plan.contains(named), *judged == "1", "{plan}");

            apply(world, "shop", &quiet);
            assert_eq!(world.pings("g", "10.80.0.129"), *judged == "0");
            let theirs = world.run(&["plan", "blog.yaml"]).exits(0).stdout;
            let said = "whoever is on `br-front` hears nobody else there over IPv4: it is a bridge of project shop, which says `icc: false`";
            assert_eq!(theirs.contains(said), *judged == "1", "{theirs}");
            let status = world.run(&["status", "--manifest", "blog.yaml"]).exits(0).stdout;
            assert_eq!(status.contains(said), *judged == "1", "{status}");
            apply(world, "shop", &shop(OPEN, ""));
        }
    }
}

live! {
    fn what_a_policy_takes_from_others_is_told(world) {
        world.sh(OUT);
        begin(world);
        let denies = |what: &str| shop(OPEN, &format!("policies: [{{deny: {what}}}]\n"));
        let to = denies("{from: world, to: network.front}");
        let plan = told(world, &to);
        assert!(plan.contains("g of project blog, h of project blog (denies something that others begin with it)"), "{plan}");
        let plan = told(world, &denies("{from: network.front, to: world}"));
        assert!(plan.contains("g of project blog, h of project blog (denies something that it begins)"), "{plan}");
        assert_eq!(told(world, &denies("{from: container.a, to: world}")), "");
        assert_eq!(told(world, &denies("{from: container.a, to: 10.0.0.0/8}")), "");

        let _server = world.serve("g", &Listen::tcp(80), "g");
        assert!(world.ask("out", "tcp", "192.168.9.1", 8082).is_some());
        apply(world, "shop", &to);
        assert!(world.ask("out", "tcp", "192.168.9.1", 8082).is_none());
        assert_eq!(told(world, &to.replace("interface: br-front", "interface: br-front, mtu: 1400")), "", "it is no news");

        // Less of it is no news either, and what is denied of more than the bridge is.
        apply(world, "shop", &denies("{from: world, to: network.front, ports: [80, 443]}"));
        assert_eq!(told(world, &denies("{from: world, to: network.front, ports: [80]}")), "");
        apply(world, "shop", &shop(OPEN, ""));
        let plan = told(world, &denies("{from: container.a, to: [network.front, world]}"));
        assert!(plan.contains("(denies something that others begin with it)"), "{plan}");
    }
}

live! {
    fn who_is_on_a_bridge_that_was_changed_is_told_by_plan_status_and_doctor(world) {
        world.sh(OUT);
        begin(world);
        let all = || {
            let plan = world.run(&["plan", "blog.yaml"]).exits(0).stdout;
            let status = world.run(&["status", "--manifest", "blog.yaml"]).exits(0).stdout;
            let doctor = world.run(&["doctor"]).exits(0).stdout;
            let own = world.run(&["doctor", "--manifest", "blog.yaml"]).exits(0).stdout;
            (plan, status, [doctor, own])
        };
        let (plan, status, doctors) = all();
        assert!(!plan.contains("project shop") && !status.contains("project shop"), "{plan}{status}");
        assert!(doctors.iter().all(|it| !it.contains("closed-network") && !it.contains("project shop")), "{doctors:?}");

        apply(world, "shop", &shop("subnets: [10.80.0.0/24]", ""));
        let (plan, status, doctors) = all();
        let said = "port 8082/tcp of container g is reached by nobody outside this host: `br-front` is a bridge of project shop";
        assert!(plan.contains(said) && status.contains(said), "{plan}{status}");
        for doctor in doctors {
            assert!(doctor.contains("[closed-network]: nobody outside this host reaches port.0.0.0.0:8082/tcp of project blog"), "{doctor}");
            assert!(doctor.contains("about: project blog on br-front of project shop") && doctor.contains("ingress: open"), "{doctor}");
        }

        // Where a policy lets somebody in, nobody knows whether that is enough.
        let allows = shop("subnets: [10.80.0.0/24]", "policies: [{allow: {from: world, to: network.front, ports: [80]}}]\n");
        apply(world, "shop", &allows);
        let _server = world.serve("g", &Listen::tcp(80), "g");
        assert!(world.ask("out", "tcp", "192.168.9.1", 8082).is_some());
        let (plan, status, doctors) = all();
        assert!(!plan.contains("reached by nobody") && !status.contains("reached by nobody"), "{plan}{status}");
        assert!(doctors.iter().all(|it| !it.contains("closed-network")), "{doctors:?}");

        apply(world, "shop", &shop("subnets: [10.81.0.0/24], ingress: open", ""));
        let (plan, status, _) = all();
        let said = "container g sends what is for elsewhere to 10.80.0.1, which nobody has that is known: bridge `br-front` of project shop has 10.81.0.1/24";
        assert!(plan.contains(said) && status.contains(said), "{plan}{status}");
    }
}
