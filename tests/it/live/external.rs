//! External addresses: all of one leads to a container, and the container leaves with it.

use super::flows::Flow;
use super::world::{Listen, Server, World, live};

/// A remote host, which routes 203.0.113.0/24 and 2001:db8:9::/64 here.
fn remote(world: &World) {
    world.sh("ip netns add remote && ip link add uplink type veth peer name eth0 netns remote && ip link set uplink up &&
        ip addr add 192.0.2.1/24 dev uplink && ip addr add 2001:db8::1/64 dev uplink nodad && ip -n remote link set lo up &&
        ip -n remote link set eth0 up && ip -n remote addr add 192.0.2.2/24 dev eth0 &&
        ip -n remote addr add 2001:db8::2/64 dev eth0 nodad && ip route add default via 192.0.2.2 &&
        ip route add default via 2001:db8::2 && ip -n remote route add 203.0.113.0/24 via 192.0.2.1 &&
        ip -n remote route add 2001:db8:9::/64 via 2001:db8::1");
}

fn manifest(containers: &str) -> String {
    format!(
        "netform: 1\nproject: shop\nnetworks:\n  front: {{subnets: [172.25.0.0/24, 'fd00:25::/64']}}\n  \
         back: {{subnets: [10.7.0.0/24, 'fd00:7::/64']}}\n  quiet: {{subnets: [10.8.0.0/24, 'fd00:8::/64'], icc: false}}\n  \
         cable: {{driver: veth, options: {{host: true}}, subnets: [10.9.0.0/31, 'fd00:9::/126']}}\ncontainers:\n{containers}"
    )
}

const WEB: &str = "  web: {networks: {front: {external_address: [203.0.113.9, '2001:db8:9::9']}}}\n";
const APP: &str = "  app: {networks: [front]}\n";

/// Servers of TCP 80 and UDP 53 that say in which namespace they are.
fn serve(world: &World, places: &[&str]) -> Vec<Server> {
    let both = |ns: &&str| [world.serve(ns, &Listen::tcp(80), ns), world.serve(ns, &Listen::udp(53), ns)];
    places.iter().flat_map(both).collect()
}

live! {
    fn all_of_an_external_address_leads_to_the_container_which_leaves_with_it(world) {
        remote(world);
        world.apply(&manifest(&format!("{WEB}{APP}  far: {{networks: [back]}}\n  \
            shy: {{networks: {{quiet: {{external_address: [203.0.113.8, '2001:db8:9::8']}}}}}}\n  sib: {{networks: [quiet]}}\n  \
            end: {{networks: {{cable: {{external_address: [203.0.113.7, '2001:db8:9::7']}}}}}}\n  \
            both: {{networks: {{back: {{external_address: [203.0.113.6, '2001:db8:9::6']}}, front: {{gateway_priority: 1}}}}}}\n")));
        let _servers = serve(world, &["web", "shy", "end", "remote", "host", "both"]);
        let filtered = world.try_sh("test -e /proc/sys/net/bridge/bridge-nf-call-iptables").code == 0;

        let mut failures = vec![];
        for (to, who) in [("9", "web"), ("8", "shy"), ("7", "end"), ("6", "both")] {
            for (prefix, client) in [("203.0.113.", "192.0.2.2"), ("2001:db8:9::", "2001:db8::2")] {
                let to = format!("{prefix}{to}");
                // Who is on two networks answers datagrams with the address of its default route, if he does not care.
                let protocols = if who == "both" { &[("tcp", 80)][..] } else { &[("tcp", 80), ("udp", 53)] };
                for (protocol, port) in protocols {
                    let answer = world.ask("remote", protocol, &to, *port);
                    if answer != Some(format!("{who} {client}")) {
                        failures.push(format!("remote by {protocol} to {to}: {answer:?}, and not {who} {client}"));
                    }
                }
                for from in ["host", "web", "app", "far", "sib", "shy", "both"] {
                    let near = matches!((from, who), ("web" | "app", "web") | ("sib" | "shy", "shy"));
                    for call in if filtered && near { &["0", "1"][..] } else { &["1"] } {
                        if filtered && near {
                            world.sh(&format!("sysctl -qw net.bridge.bridge-nf-call-iptables={call} net.bridge.bridge-nf-call-ip6tables={call}"));
                        }
                        let answer = world.ask(from, "tcp", &to, 80);
                        if !answer.as_ref().is_some_and(|answer| answer.starts_with(&format!("{who} "))) {
                            failures.push(format!("{from} to {to}, bridge-nf-call {call}: {answer:?}, and not {who}"));
                        }
                    }
                }
                if !world.pings("remote", &to) {
                    failures.push(format!("remote does not ping {to}"));
                }
            }
        }
        for (from, last) in [("web", "9"), ("shy", "8"), ("end", "7")] {
            for (to, prefix) in [("192.0.2.2", "203.0.113."), ("2001:db8::2", "2001:db8:9::")] {
                for (protocol, port) in [("tcp", 80), ("udp", 53)] {
                    let answer = world.ask(from, protocol, to, port);
                    if answer != Some(format!("remote {prefix}{last}")) {
                        failures.push(format!("{from} by {protocol} to remote: {answer:?}, and not from {prefix}{last}"));
                    }
                }
                if !world.pings(from, to) {
                    failures.push(format!("{from} does not ping remote"));
                }
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        assert_eq!(world.ask("app", "tcp", "192.0.2.2", 80).as_deref(), Some("remote 192.0.2.1"), "others are masqueraded");
        world.assert_in_sync();
        world.run(&["destroy", "--yes"]).exits(0);
        assert_eq!(world.sh("nft list ruleset"), "");
    }
}

live! {
    fn a_port_of_that_very_address_goes_before_it_and_one_of_any_address_behind(world) {
        remote(world);
        world.sh("ip addr add 203.0.113.9/32 dev uplink");
        let published = "  app: {networks: [front], publish: ['203.0.113.9:8000:80', '80:80', {host_port: 81, target_port: 80, allow_from: [198.51.100.0/24]}]}\n";
        let _host = world.serve("host", &Listen::tcp(22), "host");

        world.apply(&manifest(&format!("{WEB}{published}")));
        let _servers = [80, 81, 8000].map(|port| world.serve("web", &Listen::tcp(port), "web"));
        let _app = world.serve("app", &Listen::tcp(80), "app");

        for (to, port, want) in [
            ("203.0.113.9", 80, Some("web")),
            ("203.0.113.9", 81, Some("web")),
            ("203.0.113.9", 8000, Some("app")),
            ("192.0.2.1", 80, Some("app")),
            ("192.0.2.1", 81, None),
            ("192.0.2.1", 22, Some("host")),
            ("203.0.113.9", 22, None),
        ] {
            let answer = world.ask("remote", "tcp", to, port);
            assert_eq!(answer.as_deref().and_then(|answer| answer.split(' ').next()), want, "{to} {port}");
        }
        let (plan, _) = world.plan();
        assert!(plan.contains("203.0.113.9 is an address of uplink already"), "{plan}");
        let explained = world.run(&["explain", "203.0.113.9"]).exits(0).stdout;
        let leads = "203.0.113.9 is an external address of netform's project shop: all of it leads to container web at 172.25.0.2";
        assert!(explained.contains(leads), "{explained}");
        let way = world.run(&["explain", "--path", "192.0.2.2", "203.0.113.9:80"]).exits(0).stdout;
        assert!(way.contains("port 80/tcp: arrives"), "{way}");
        let status = world.run(&["status"]).exits(0).stdout;
        assert!(status.contains("203.0.113.9->172.25.0.2"), "{status}");
    }
}

live! {
    fn nothing_of_an_external_address_is_the_hosts_while_the_container_is_not_there(world) {
        remote(world);
        world.sh("ip addr add 203.0.113.9/32 dev uplink && ip addr add 2001:db8:9::9/128 dev uplink nodad");
        let _host = world.serve("host", &Listen::tcp(80), "host");
        let waiting = WEB.replace("{networks", "{netns: web, networks");
        world.apply(&manifest(&format!("{waiting}  app: {{networks: [front], publish: ['81:80']}}\n")));
        let _app = world.serve("app", &Listen::tcp(80), "app");

        for to in ["203.0.113.9", "2001:db8:9::9"] {
            assert_eq!((world.ask("remote", "tcp", to, 80), world.ask("remote", "tcp", to, 81)), (None, None), "{to}");
        }
        world.sh("ip netns add web");
        let done = world.run(&["apply", "--yes"]).exits(0);
        assert!(done.stdout.contains("opens: everything at 203.0.113.9, from everybody"), "{}", done.stdout);
        assert!(done.stdout.contains("all of 203.0.113.9 leads to 172.25.0.2"), "{}", done.stdout);
        let _web = world.serve("web", &Listen::tcp(80), "web");

        for (to, client) in [("203.0.113.9", "192.0.2.2"), ("2001:db8:9::9", "2001:db8::2")] {
            assert_eq!(world.ask("remote", "tcp", to, 80), Some(format!("web {client}")));
        }
    }
}

live! {
    fn flows_of_an_external_address_follow_it(world) {
        remote(world);
        let to = |who: &str| {
            let of = |name: &str| if name == who { "{front: {external_address: [203.0.113.9, '2001:db8:9::9']}}" } else { "[front]" };
            manifest(&format!("  web: {{networks: {}}}\n  app: {{networks: {}}}\n", of("web"), of("app")))
        };
        world.apply(&to("web"));
        let _servers = serve(world, &["web", "app", "remote"]);
        let mut inward: Vec<Flow> = ["203.0.113.9", "2001:db8:9::9"].iter().flat_map(|to| {
            [Flow::start("remote", "tcp", to, 80), Flow::start("remote", "udp", to, 53)]
        }).collect();
        let mut outward: Vec<Flow> = ["192.0.2.2", "2001:db8::2"].iter().flat_map(|to| {
            [Flow::start("web", "tcp", to, 80), Flow::start("web", "udp", to, 53)]
        }).collect();
        let said = |flows: &mut [Flow]| flows.iter_mut().map(Flow::says).collect::<Vec<_>>();
        assert_eq!(said(&mut inward), ["?", "web", "?", "web"]);
        assert_eq!(said(&mut outward), ["?", "remote", "?", "remote"]);

        world.apply(&manifest(&format!("{WEB}{APP}  job: {{networks: [front]}}\n")));
        assert_eq!(said(&mut inward), ["?", "web", "?", "web"], "what is not about them changes nothing");

        world.apply(&to("app"));
        assert_eq!(said(&mut inward), ["nothing", "app", "nothing", "app"]);
        assert_eq!(said(&mut outward), ["nothing", "remote", "nothing", "remote"], "masqueraded anew");
        world.apply(&to("nobody"));
        assert_eq!(said(&mut inward), ["nothing"; 4]);
        let tracked = world.sh("cat /proc/net/nf_conntrack");
        let mut led = tracked.lines().filter(|line| line.contains("203.0.113.9 "));
        assert!(led.all(|line| !line.contains("172.25.0.")), "{tracked}");
    }
}

live! {
    fn flows_of_an_external_address_follow_it_when_other_rules_come_at_the_same_time(world) {
        remote(world);
        let shop = |web: &str, app: &str, far: &str, more: &str| manifest(&format!(
            "  web: {{networks: {{front: {web}}}, publish: ['8080:80']}}\n  app: {{networks: {{front: {app}}}}}\n  far: {{networks: {{back: {far}}}}}\n{more}"
        ));
        let external = "{external_address: [203.0.113.9, '2001:db8:9::9']}";
        let policy = "policies:\n  - deny: {from: container.app, to: world}\n";
        world.apply(&shop(external, "{}", "{}", ""));
        let _servers = serve(world, &["web", "far", "remote"]);
        let mut failures = vec![];
        for (name, far, app, more) in [
            ("moved, isolated", external, "{isolated: true}", ""),
            ("moved, policies", external, "{}", policy),
            ("moved, another container", external, "{isolated: true}", "  job: {networks: [back]}\n"),
            ("removed", "{}", "{}", ""),
            ("removed, policies", "{}", "{}", policy),
        ] {
            world.apply(&shop(external, "{}", "{}", ""));
            let mut flows: Vec<Flow> = [("remote", "203.0.113.9", "2001:db8:9::9"), ("app", "203.0.113.9", "2001:db8:9::9"), ("web", "192.0.2.2", "2001:db8::2")]
                .iter().flat_map(|(from, four, six)| [Flow::start(from, "tcp", four, 80), Flow::start(from, "tcp", six, 80)]).collect();
            let mut kept = ["192.0.2.1", "2001:db8::1"].map(|to| Flow::start("remote", "tcp", to, 8080));
            let said = |flows: &mut [Flow]| flows.iter_mut().map(Flow::says).collect::<Vec<_>>();
            assert_eq!(said(&mut flows), ["?"; 6], "{name}");

            world.apply(&shop("{}", app, far, more));
            let (ended, kept) = (said(&mut flows), said(&mut kept));
            if ended != ["nothing"; 6] || kept != ["?"; 2] {
                failures.push(format!("{name}: {ended:?}, and the published port {kept:?}"));
            }
            world.assert_in_sync();
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

live! {
    fn policies_judge_what_comes_to_an_external_address(world) {
        remote(world);
        let policies = "policies:\n  - deny: {from: world, to: container.web, ports: [80]}\n  - deny: {from: container.web, to: world, ports: [53/udp]}\n";
        world.apply(&(manifest(WEB) + policies));
        let _servers = serve(world, &["web", "remote"]);

        for (to, remote) in [("203.0.113.9", "192.0.2.2"), ("2001:db8:9::9", "2001:db8::2")] {
            assert_eq!(world.ask("remote", "tcp", to, 80), None);
            assert!(world.ask("remote", "udp", to, 53).is_some());
            assert_eq!(world.ask("web", "udp", remote, 53), None);
            assert_eq!(world.ask("web", "tcp", remote, 80), Some(format!("remote {to}")));
        }
    }
}

live! {
    fn an_external_address_has_one_project_and_what_somebody_changes_of_it_comes_back(world) {
        remote(world);
        world.apply(&manifest(WEB));
        let other = |what: &str| format!("netform: 1\nproject: blog\nnetworks: {{lan: {{subnets: [10.44.0.0/24]}}}}\ncontainers:\n  {what}\n");
        for what in ["www: {networks: {lan: {external_address: 203.0.113.9}}}", "www: {networks: [lan], publish: ['203.0.113.9:443:443']}"] {
            world.file("blog.yaml", &other(what));
            let refused = world.run(&["apply", "--yes", "blog.yaml"]).exits(9).stderr;
            assert!(refused.contains("external.203.0.113.9 of project shop"), "{refused}");
        }
        world.file("blog.yaml", &other("www: {networks: [lan], publish: ['8080:80']}"));
        world.run(&["apply", "--yes", "blog.yaml"]).exits(0);

        world.sh("nft delete element inet netform-shop external_to4 '{ 203.0.113.9 }'");
        let (plan, changes) = world.plan();
        assert!(changes && plan.contains("external.203.0.113.9 will be updated in place"), "{plan}");
        world.run(&["apply", "--yes"]).exits(0);
        let _web = world.serve("web", &Listen::tcp(80), "web");
        assert_eq!(world.ask("remote", "tcp", "203.0.113.9", 80).as_deref(), Some("web 192.0.2.2"));
        world.assert_in_sync();
    }
}

live! {
    fn an_address_of_the_host_itself_is_not_taken_in_silence(world) {
        remote(world);
        let blog = |publish: &str| format!("netform: 1\nproject: blog\nnetworks: {{lan: {{subnets: [10.44.0.0/24]}}}}\ncontainers:\n  www: {{networks: [lan], publish: ['{publish}']}}\n");
        world.file("blog.yaml", &blog("8080:80"));
        world.run(&["apply", "--yes", "blog.yaml"]).exits(0);
        let _www = world.serve("www", &Listen::tcp(80), "www");
        let _sshd = world.serve("host", &Listen::tcp(22), "sshd");
        let shop = |address: &str, app: &str| manifest(&format!("  web: {{networks: {{front: {{external_address: {address}}}}}}}\n  app: {{networks: [front]{app}}}\n"));
        let before = world.sh("nft -s list ruleset; ip -o link | cut -d' ' -f2-");

        // A port of any address, of another project.
        world.file("netform.yaml", &shop("192.0.2.1", ""));
        for verb in [&["plan"][..], &["apply", "--yes"]] {
            let refused = world.run(verb).exits(9).stderr;
            assert!(refused.contains("netform.yaml:9:") && refused.contains("external.192.0.2.1 needs all of its address, but port.0.0.0.0:8080/tcp of project blog is in the way"), "{refused}");
        }
        // Of this one: an error while the uplink has no other address.
        world.file("netform.yaml", &shop("192.0.2.1", ", publish: ['80:80']"));
        let refused = world.run(&["plan"]).exits(65).stderr;
        assert!(refused.contains("topology::external_own") && refused.contains("take port 80/tcp from `app`, too") && refused.contains("all of it would lead to `web`") && refused.contains("published on every address of the host"), "{refused}");
        assert_eq!(world.sh("nft -s list ruleset; ip -o link | cut -d' ' -f2-"), before);

        // What is the host's, and nobody's else.
        world.run(&["destroy", "--yes", "blog.yaml"]).exits(0);
        world.file("netform.yaml", &shop("192.0.2.1", ""));
        let (plan, _) = world.plan();
        assert!(plan.contains("192.0.2.1 is the one address of uplink, by which the host itself is reached"), "{plan}");
        assert!(plan.contains("external.192.0.2.1 is the host's own: these are not reached at it any more") && plan.contains("python3 (process ") && plan.contains(" at [::]:22/tcp"), "{plan}");
        let refused = world.run_with(&[("SSH_CONNECTION", "192.0.2.2 50022 192.0.2.1 22")], &["apply", "--yes"]).exits(7).stderr;
        assert!(refused.contains("external.192.0.2.1 would take over the address that it came to"), "{refused}");
        world.run(&["apply", "--yes"]).exits(0);
        world.assert_in_sync();
        let _web = world.serve("web", &Listen::tcp(22), "web");
        assert_eq!(world.ask("remote", "tcp", "192.0.2.1", 22).as_deref(), Some("web 192.0.2.2"));

        // The other way round: a port of any address would have none there.
        for (publish, code) in [("8080:80", 9), ("192.0.2.1:8080:80", 9), ("127.0.0.1:8080:80", 0)] {
            world.file("blog.yaml", &blog(publish));
            let done = world.run(&["plan", "blog.yaml"]).exits(code);
            assert!(code == 0 || done.stderr.contains("external.192.0.2.1 of project shop is in the way"), "{publish}: {}", done.stderr);
        }
        // An address that is the host's for the container's sake alone is in nobody's way.
        world.apply(&shop("203.0.113.9", ", publish: ['81:80']"));
        world.file("blog.yaml", &blog("8080:80"));
        world.run(&["apply", "--yes", "blog.yaml"]).exits(0);
        world.assert_in_sync();
        assert_eq!(world.ask("remote", "tcp", "192.0.2.1", 22).as_deref(), Some("sshd 192.0.2.2"));
    }
}
