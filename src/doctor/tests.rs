//! What the checks find in facts.

use super::*;
use crate::explain::path::{DecidedBy, Decision, RuleName, Verdict};
use crate::kernel::netns::Identity;
use crate::resource::host_ports::HostPorts;

/// What the last apply led to, as a generation holds it.
const STATE: &str = r#"[
{"resource":{"netns":{"name":"web","whole":true}},"owner":"container.web"},
{"resource":{"link":{"ns":"host","name":"br-front","mac":null,"mtu":1500,"up":true,"master":null,"hairpin":false,"altname":"netform.shop.front","protected":false,"kind":"bridge"}},"owner":"network.front"},
{"resource":{"address":{"ns":"host","link":"br-front","addr":"172.25.0.1/16"}},"owner":"network.front"},
{"resource":{"route":{"ns":{"named":"web"},"dest":"0.0.0.0/0","link":"eth0","via":"172.25.0.1","metric":0}},"owner":"attachment.web@front"},
{"resource":{"sysctl":{"ns":"host","key":"ipv4_forward","value":"1"}},"owner":"project","origin":{"file":"shop.yaml","line":2,"column":1}},
{"resource":{"nft_table":{"id":{"family":"inet","name":"netform-shop"},"digest":"","intact":true,"body":[]}},"owner":"project"}
]"#;

fn resolver() -> Resolver {
    Resolver { address: "127.0.0.1".parse().unwrap(), answers: true, dropped: None }
}

/// A host on which nothing is wrong.
fn healthy() -> Facts {
    let link = |index, name: &str, address: &str, default_route| Interface {
        index,
        name: name.to_owned(),
        up: true,
        mtu: 1500,
        addresses: vec![address.parse().unwrap()],
        default_route,
        ..Interface::default()
    };
    let space = |home, name: &str, interfaces| Namespace {
        id: Identity { device: 0, inode: u64::from(home) },
        home,
        names: vec![name.to_owned()],
        files: vec![],
        process: None,
        group: None,
        mark: None,
        read: true,
        interfaces,
    };
    let host = vec![link(1, "up0", "203.0.113.1/24", true), link(2, "br-front", "172.25.0.1/16", false)];
    let web = vec![link(1, "eth0", "172.25.3.3/16", true)];
    let mut facts = Facts { resolvers: vec![resolver()], ..Facts::default() };
    facts.scene.namespaces = vec![space(true, "", host), space(false, "web", web)];
    let table = crate::explain::ruleset::Table {
        family: "inet".to_owned(),
        name: "netform-shop".to_owned(),
        ..Default::default()
    };
    facts.scene.tables = vec![table];
    let forward = ("ipv4/ip_forward".to_owned(), "1".to_owned());
    facts.insides.insert(0, Inside { sysctls: [forward].into(), ..Inside::default() });
    let routes = vec![("0.0.0.0/0".parse().unwrap(), 1)];
    facts.insides.insert(1, Inside { routes, ..Inside::default() });
    facts.projects.push(Project {
        name: "shop".to_owned().try_into().unwrap(),
        state: serde_json::from_str(STATE).unwrap(),
        applied_at: 0,
        manifest: "shop.yaml".to_owned(),
        kept: false,
    });
    facts
}

#[track_caller]
fn check(wrong: fn(&mut Facts), want: &[&str]) {
    let mut facts = healthy();
    wrong(&mut facts);
    assert_eq!(examine(&facts).iter().map(|it| it.code).collect::<Vec<_>>(), want);
}

fn bridge(facts: &mut Facts) -> &mut Interface {
    &mut facts.scene.namespaces[0].interfaces[1]
}

#[test]
fn each_check_finds_its_fault() {
    check(|_| (), &[]);
    check(|it| it.projects[0].applied_at = 3600, &["clock-behind"]);
    check(|it| it.insides.get_mut(&0).unwrap().unread = Some("no nft".to_owned()), &["firewall-unreadable"]);
    check(|it| drop(it.scene.namespaces.pop()), &["namespace-missing"]);
    check(
        |it| drop(it.insides.get_mut(&0).unwrap().sysctls.insert("ipv4/ip_forward".into(), "0".into())),
        &["forwarding-off"],
    );
    check(|it| bridge(it).up = false, &["interface-down"]);
    check(|it| bridge(it).addresses.clear(), &["address-missing"]);
    check(|it| it.insides.get_mut(&1).unwrap().routes.clear(), &["no-default-route"]);
    check(|it| it.scene.tables.clear(), &["firewall-missing"]);
    check(
        |it| it.insides.get_mut(&0).unwrap().routes.push(("172.25.3.0/24".parse().unwrap(), 1)),
        &["overlapping-route"],
    );
    check(|it| bridge(it).mtu = 1300, &["mtu-mismatch"]);
    check(|it| it.resolvers[0].answers = false, &["dns-dead"]);
    check(|it| it.scene.namespaces[0].interfaces[0].default_route = false, &["host-without-default-route"]);
    check(publish_a_taken_port, &["port-taken"]);
    check(|it| it.probes.push(dropped(0)), &["forward-policy-drop"]);
    check(
        |it| {
            it.resolvers[0].answers = false;
            it.resolvers[0].dropped = Some(dropped(0).path.decision);
        },
        &["dns-dropped"],
    );
}

/// A packet that a switch of forwarding loses in a namespace.
fn not_forwarded(place: usize, path: &str) -> Probe {
    denied(Decision {
        kind: DecidedBy::Forwarding,
        at: "somewhere".to_owned(),
        sentence: "it does not forward".to_owned(),
        rule: None,
        parameter: Some((place, path.to_owned())),
    })
}

#[test]
fn forwarding_that_is_off_is_told_once_and_cured_where_it_is_off() {
    let cures = |wrong: fn(&mut Facts)| {
        let mut facts = healthy();
        wrong(&mut facts);
        let found = examine(&facts).into_iter();
        found.map(|it| format!("{}: {}", it.code, it.cure.command.unwrap_or_default())).collect::<Vec<_>>()
    };

    let on_host = cures(|it| {
        it.insides.get_mut(&0).unwrap().sysctls.insert("ipv4/ip_forward".into(), "0".into());
        it.probes.extend([not_forwarded(0, "net/ipv4/ip_forward"), not_forwarded(0, "net/ipv4/ip_forward")]);
    });
    assert_eq!(on_host, ["forwarding-off: sysctl -w net/ipv4/ip_forward=1"]);
    let of_link = cures(|it| it.probes.push(not_forwarded(0, "net/ipv4/conf/br-front/forwarding")));
    assert_eq!(of_link, ["link-forwarding-off: sysctl -w net/ipv4/conf/br-front/forwarding=1"]);
    let inside = cures(|it| it.probes.push(not_forwarded(1, "net/ipv6/conf/all/forwarding")));
    assert_eq!(inside, ["forwarding-off-ipv6: ip netns exec web sysctl -w net/ipv6/conf/all/forwarding=1"]);
    let unnamed = cures(|it| {
        it.scene.namespaces[1].names.clear();
        it.scene.namespaces[1].files.push("/var/run/docker/netns/abc".into());
        it.projects.clear();
        it.probes.push(not_forwarded(1, "net/ipv4/ip_forward"));
    });
    assert_eq!(
        unnamed,
        ["forwarding-off: nsenter --net=/var/run/docker/netns/abc sysctl -w net/ipv4/ip_forward=1"]
    );
}

#[test]
fn what_a_project_has_set_back_when_it_went_is_no_wish_of_anybodys() {
    let back =
        r#"[{"resource":{"sysctl":{"ns":"host","key":"ipv4_forward","value":"0"}},"owner":"project"}]"#;
    let mut facts = healthy();
    facts.projects.push(Project {
        name: "gone".to_owned().try_into().unwrap(),
        state: serde_json::from_str(back).unwrap(),
        applied_at: 0,
        manifest: "MANIFEST".to_owned(),
        kept: false,
    });

    assert_eq!(examine(&facts).iter().map(|it| it.code).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn what_a_firewall_in_a_container_drops_is_not_let_in_by_the_hosts() {
    let mut facts = healthy();
    facts.scene.namespaces[1].mark = crate::resource::owner::Mark::parse("netform:shop:container.web");
    facts.probes.extend([dropped(0), dropped(1)]);
    facts.probes[1].goal = Goal::Host;

    let found = examine(&facts);
    let told: Vec<_> = found.iter().map(|it| (it.code, it.severity, it.subject.as_str())).collect();
    assert_eq!(
        told,
        [
            ("forward-policy-drop", Severity::Error, "chain fw of table ip theirs"),
            ("dropped-inside", Severity::Error, "chain fw of table ip theirs in netns web"),
        ]
    );
    assert_eq!(found[1].cure.command, None);
    let advice = found[1].cure.advice.as_deref().unwrap();
    assert!(advice.contains("`ip netns exec web nft -a list chain ip theirs fw`"), "{advice}");
}

fn publish_a_taken_port(facts: &mut Facts) {
    let element = r#"{"resource":{"nft_element":{"table":{"family":"inet","name":"netform-shop"},"set":"any_addr4","key":["tcp","8080"],"data":"172.25.3.3","stance":"allows"}},"owner":"port.0.0.0.0:8080/tcp"}"#;
    let entry: crate::resource::state::Entry = serde_json::from_str(element).unwrap();
    let Resource::NftElement(element) = &entry.resource else { panic!("not an element") };
    facts.scene.listeners.push((HostPorts::of(element).unwrap(), None));
    facts.scene.published.push(("shop".to_owned().try_into().unwrap(), vec![entry]));
}

fn dropped(ns: usize) -> Probe {
    let rule = RuleName {
        family: "ip".to_owned(),
        table: "theirs".to_owned(),
        chain: "fw".to_owned(),
        handle: None,
        text: "policy drop".to_owned(),
        policy: None,
        ns,
    };
    let decision = Decision {
        kind: DecidedBy::Policy,
        at: "the host".to_owned(),
        sentence: "it drops".to_owned(),
        rule: Some(rule),
        parameter: None,
    };
    denied(decision)
}

/// A packet of a container that forwarding, or what else, loses.
fn denied(decision: Decision) -> Probe {
    Probe {
        project: "shop".to_owned().try_into().unwrap(),
        owner: Owner::Network("front".to_owned().try_into().unwrap()),
        bridge: Some("br-front".to_owned()),
        goal: Goal::Outside,
        path: Path {
            from: "web".to_owned(),
            to: "9.9.9.9".to_owned(),
            source: None,
            destination: "9.9.9.9".parse().unwrap(),
            protocol: "udp",
            port: Some(53),
            verdict: Verdict::Denied,
            outside: true,
            decision,
            there: vec![],
            back: vec![],
            notes: vec![],
        },
    }
}
