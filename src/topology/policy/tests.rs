use std::fmt::Write as _;

use super::*;
use crate::manifest::Place;
use crate::manifest::problem::Problem;
use crate::topology::facts::{Facts, LinkFact};

const NETWORKS: &str = "
networks:
  front: {subnets: [172.25.0.0/24, 'fd00:25::/64']}
  back: {subnets: [10.7.0.0/24]}
  inner: {subnets: [10.8.0.0/24], internal: true}
  lan: {driver: macvlan, options: {parent: eth1}, subnets: [192.168.1.0/24]}
containers:
  web: {networks: {front: {address: [172.25.0.7, 'fd00:25::7']}}}
  db: {networks: {back: {address: 10.7.0.7}, inner: {address: 10.8.0.7}}}
  job: {networks: {inner: {address: 10.8.0.9}}}
  tv: {networks: {lan: {address: 192.168.1.9}}}
  both: {networks: {front: {address: [172.25.0.9, 'fd00:25::9']}, lan: {address: 192.168.1.10}}}
  side: {mode: container:web}
  agent: {mode: host}
";

/// What these policies are resolved to: what is decided, a line each; then the warnings. Or else the problems.
fn resolved(policies: &str) -> String {
    let text = format!("netform: 1\nproject: shop\npolicies:\n{policies}\n{NETWORKS}");
    let loaded = crate::manifest::parse([("shop.yaml".to_owned(), text.into_bytes())]).unwrap();
    let origin = |place: Place| loaded.sources.place_to_origin(place);
    let link = LinkFact { mtu: crate::names::Mtu::ETHERNET, addresses: vec![], mac: None, filtering: None };
    let facts = Facts { parents: [("eth1".try_into().unwrap(), link)].into(), ..Facts::default() };
    let mut out = String::new();
    match crate::topology::resolve(&loaded.manifest, &facts, &origin) {
        Ok(topology) => {
            let Policies { all, decided, guarded: _, idle: _, warnings } = topology.policies;
            for Decided { way, service, policy } in decided {
                let range = |range: Range| format!("{}-{}", range.first, range.last);
                let way = match way {
                    Way::Between(from, to) => format!("{} to {}", range(from), range(to)),
                    Way::ToHost(from, to) if to.first.is_unspecified() => {
                        format!("{} to the host", range(from))
                    }
                    Way::ToHost(from, to) => format!("{} to the host at {}", range(from), range(to)),
                    Way::FromHost(to) => format!("the host to {}", range(to)),
                };
                let service = service.map_or(String::new(), |service| format!(", {service}"));
                let _ = writeln!(out, "{} {way}{service}", all[policy].verdict.as_str());
            }
            warnings.iter().for_each(|warning| out += &format!("{warning}\n"));
        }
        Err(problems) => {
            for problem in problems {
                let labels: Vec<String> = problem
                    .labels
                    .iter()
                    .map(|(place, label)| format!("{}: {label}", origin(*place)))
                    .collect();
                let _ = writeln!(out, "{}: {}\n  {}", problem.code, problem.message, labels.join("\n  "));
            }
        }
    }
    out
}

#[test]
fn the_first_policy_that_matches_decides() {
    insta::assert_snapshot!(resolved(
        "  - allow: {from: container.side, to: container.db, ports: [5432]}\n  - deny: {from: network.front, to: network.back}"
    ), @"
    deny 172.25.0.0-172.25.0.6 to 10.7.0.0-10.7.0.255
    deny 172.25.0.7-172.25.0.7 to 10.7.0.0-10.7.0.6
    allow 172.25.0.7-172.25.0.7 to 10.7.0.7-10.7.0.7, 5432/tcp
    deny 172.25.0.7-172.25.0.7 to 10.7.0.7-10.7.0.7
    deny 172.25.0.7-172.25.0.7 to 10.7.0.8-10.7.0.255
    deny 172.25.0.8-172.25.0.255 to 10.7.0.0-10.7.0.255
    ");
}

#[test]
fn the_world_is_whoever_is_on_no_network_of_the_project() {
    insta::assert_snapshot!(resolved("  - deny: {from: world, to: container.db}\n  - deny: {from: container.db, to: 10.0.0.0/8}"), @"
    deny 0.0.0.0-10.6.255.255 to 10.7.0.7-10.7.0.7
    deny 0.0.0.0-10.6.255.255 to 10.8.0.7-10.8.0.7
    deny 10.7.0.7-10.7.0.7 to 10.0.0.0-10.6.255.255
    deny 10.7.0.7-10.7.0.7 to 10.7.1.0-10.7.255.255
    deny 10.7.0.7-10.7.0.7 to 10.8.1.0-10.255.255.255
    deny 10.7.1.0-10.7.255.255 to 10.7.0.7-10.7.0.7
    deny 10.7.1.0-10.7.255.255 to 10.8.0.7-10.8.0.7
    deny 10.8.0.7-10.8.0.7 to 10.0.0.0-10.6.255.255
    deny 10.8.0.7-10.8.0.7 to 10.7.1.0-10.7.255.255
    deny 10.8.0.7-10.8.0.7 to 10.8.1.0-10.255.255.255
    deny 10.8.1.0-172.24.255.255 to 10.7.0.7-10.7.0.7
    deny 10.8.1.0-172.24.255.255 to 10.8.0.7-10.8.0.7
    deny 172.25.1.0-255.255.255.255 to 10.7.0.7-10.7.0.7
    deny 172.25.1.0-255.255.255.255 to 10.8.0.7-10.8.0.7
    deny 10.7.0.7-10.7.0.7 to the host at 10.0.0.0-10.6.255.255
    deny 10.7.0.7-10.7.0.7 to the host at 10.7.1.0-10.7.255.255
    deny 10.7.0.7-10.7.0.7 to the host at 10.8.1.0-10.255.255.255
    deny 10.8.0.7-10.8.0.7 to the host at 10.0.0.0-10.6.255.255
    deny 10.8.0.7-10.8.0.7 to the host at 10.7.1.0-10.7.255.255
    deny 10.8.0.7-10.8.0.7 to the host at 10.8.1.0-10.255.255.255
    ");
}

#[test]
fn what_the_host_says_and_hears_is_decided_too() {
    insta::assert_snapshot!(resolved(
        "  - allow: {from: network.front, to: host, ports: [53/udp]}\n  - deny: {from: [network.front, host], to: [host, container.web]}"
    ), @"
    deny 172.25.0.0-172.25.0.255 to 172.25.0.7-172.25.0.7
    deny fd00:25::-fd00:25::ffff:ffff:ffff:ffff to fd00:25::7-fd00:25::7
    allow 172.25.0.0-172.25.0.255 to the host, 53/udp
    deny 172.25.0.0-172.25.0.255 to the host
    allow fd00:25::-fd00:25::ffff:ffff:ffff:ffff to the host, 53/udp
    deny fd00:25::-fd00:25::ffff:ffff:ffff:ffff to the host
    deny the host to 172.25.0.7-172.25.0.7
    deny the host to fd00:25::7-fd00:25::7
    ");
}

#[test]
fn nothing_is_allowed_across_the_border_of_an_internal_network() {
    insta::assert_snapshot!(resolved("  - allow: {from: container.web, to: container.db}\n  - allow: {from: container.job, to: container.db}"), @"
    allow 10.8.0.9-10.8.0.9 to 10.8.0.7-10.8.0.7
    allow 172.25.0.7-172.25.0.7 to 10.7.0.7-10.7.0.7
    ");
    insta::assert_snapshot!(resolved("  - allow: {from: network.front, to: container.job}\n  - allow: {from: network.inner, to: world}\n  - allow: {from: host, to: network.inner}"), @"
    topology::policy_internal: nothing can be allowed across the border of the internal network `inner`
      shop.yaml:4:38: only on `inner`
      shop.yaml:11:3: declared `internal`
    topology::policy_internal: nothing can be allowed across the border of the internal network `inner`
      shop.yaml:5:19: only on `inner`
      shop.yaml:11:3: declared `internal`
    ");
}

#[test]
fn a_policy_that_never_matches_is_told_with_the_one_that_decides_before() {
    insta::assert_snapshot!(resolved(
        "  - allow: {from: network.front, to: world, ports: [80-90]}\n  - deny: {from: container.web, to: 198.51.100.0/24, ports: [85]}\n  - deny: {from: network.back, to: 'fd00:9::/64'}"
    ).lines().filter(|line| line.starts_with("shop")).collect::<Vec<_>>().join("\n"), @"
    shop.yaml:5:5: the policy deny:container.web:198.51.100.0/24:85/tcp never matches: allow:network.front:world:80-90/tcp decides before, as shop.yaml:4:5
    shop.yaml:6:5: the policy deny:network.back:[fd00:9::/64] never matches: its ends have no addresses of the same family
    ");
}

#[test]
fn what_is_not_judged_cannot_be_named() {
    insta::assert_snapshot!(resolved(
        "  - deny: {from: network.lan, to: network.front}\n  - deny: {from: container.tv, to: world}\n  - deny: {from: container.agent, to: world}\n  - deny: {from: network.frnot, to: container.webb}\n  - deny: {from: world, to: host}\n  - deny: {from: 10.7.0.0/25, to: network.front}"
    ), @"
    topology::policy_unjudged: no policy can be about network `lan`: netform does not judge it
      shop.yaml:4:18: on `lan`
      shop.yaml:15:3: past this host's firewall: its containers are on the parent link
    topology::policy_unjudged: no policy can be about network `lan`: netform does not judge it
      shop.yaml:5:18: on `lan`
      shop.yaml:15:3: past this host's firewall: its containers are on the parent link
    topology::policy_end: `container.agent` is on no network of its own, so no policy can be about it
      shop.yaml:6:18: has no addresses
    topology::policy_end: network `frnot` is not declared
      shop.yaml:7:18: not declared
    topology::policy_end: container `webb` is not declared
      shop.yaml:7:37: not declared
    topology::policy_elsewhere: neither end of the policy is on a network of the project, so netform does not judge it
      shop.yaml:8:5: neither end is ours
    topology::policy_range: a range of addresses means those outside, and this one is part of a network of the project
      shop.yaml:9:18: nobody outside has these
    ");
    insta::assert_snapshot!(resolved("  - deny: {from: container.both, to: network.back}"), @"
    deny 172.25.0.9-172.25.0.9 to 10.7.0.0-10.7.0.255
    shop.yaml:4:18: `both` is on `lan`, too, and what crosses that does not pass this host's firewall: no policy is about it
    ");
}

#[test]
fn more_policies_or_elements_than_are_judged_are_refused() {
    let policy = |n: usize| format!("  - deny: {{from: network.front, to: world, ports: [{}]}}\n", n + 1);
    let many: String = (0..=MOST).map(policy).collect();
    assert!(resolved(&many).starts_with("topology::too_many_policies: there are 1001 policies"));
    let fits: String = (0..MOST).map(policy).collect();
    assert!(!resolved(&fits).contains("too_many"));

    let policy =
        |n: usize| format!("  - deny: {{from: container.web, to: 203.0.{}.{}/32}}\n", n / 128, n % 128 * 2);
    let ranges: String = (0..1000).map(policy).collect();
    assert!(!resolved(&ranges).contains("too_many"));
    let ranges: Vec<String> = (0..110).map(|n| format!("203.0.113.{}/32", n * 2)).collect();
    let ports: Vec<String> = (0..100).map(|n| (n * 2 + 1).to_string()).collect();
    let wide = format!(
        "  - deny: {{from: container.web, to: [{}], ports: [{}]}}",
        ranges.join(", "),
        ports.join(", ")
    );
    assert!(resolved(&wide).contains("more than 10000 elements"), "{}", resolved(&wide));
}

#[test]
fn what_open_vswitch_forwards_between_its_ports_is_nobodys_to_judge() {
    let text = "netform: 1\nproject: shop\nnetworks: {sw: {driver: openvswitch}, other: }\npolicies:\n  \
        - deny: {from: network.sw, to: network.other}\n  - deny: {from: container.a, to: container.b}\n\
        containers: {a: {networks: [sw]}, b: {networks: [sw, other]}}\n";
    let loaded = crate::manifest::parse([("shop.yaml".to_owned(), text.into())]).unwrap();
    let origin = |place: Place| loaded.sources.place_to_origin(place);

    let problems = crate::topology::resolve(&loaded.manifest, &Facts::default(), &origin).unwrap_err();

    let told = |problem: &Problem| {
        let places: Vec<_> = problem.labels.iter().map(|(place, _)| origin(*place).to_string()).collect();
        format!("{} {}", problem.code, places.join(" "))
    };
    assert_eq!(
        problems.iter().map(told).collect::<Vec<_>>(),
        ["topology::policy_switched shop.yaml:6:5 shop.yaml:3:12"]
    );
}

/// What is opened that says less than it seems, where containers are isolated and one has an external address; then the
/// warnings.
fn effects(policies: &str) -> String {
    let text = format!(
        "netform: 1\nproject: shop\npolicies:\n{policies}\n
networks: {{front: {{subnets: [172.25.0.0/24]}}, back: {{subnets: [10.7.0.0/24]}}}}
containers:
  web: {{networks: {{front: {{isolated: true, external_address: 203.0.113.9}}}}}}
  db: {{networks: {{front: {{isolated: true}}}}}}
  log: {{networks: {{front: {{isolated: true}}, back: {{}}}}}}
  job: {{networks: [front]}}
"
    );
    let loaded = crate::manifest::parse([("shop.yaml".to_owned(), text.into_bytes())]).unwrap();
    let origin = |place: Place| loaded.sources.place_to_origin(place);
    let topology = crate::topology::resolve(&loaded.manifest, &Facts::default(), &origin).unwrap();
    let effects = topology.effects().into_iter().map(|(of, words)| format!("{of}: {words}\n"));
    effects.chain(topology.policies.warnings.iter().map(|warning| format!("{warning}\n"))).collect()
}

#[test]
fn a_policy_opens_nothing_between_those_who_are_isolated_from_each_other() {
    let between = |from: &str, to: &str| effects(&format!("  - allow: {{from: {from}, to: {to}}}\n"));

    insta::assert_snapshot!(between("container.web", "container.db"), @r"
    policy.allow:container.web:container.db: opens nothing: `web` and `db` are isolated from each other on network `front`
    shop.yaml:4:5: `web` and `db` are isolated from each other on network `front`: this policy opens nothing
    ");
    insta::assert_snapshot!(between("container.web", "[container.db, container.web, container.log]"), @r"shop.yaml:4:5: `web` and `db` are isolated from each other on network `front`, and so are others of it: this policy opens nothing between them there");
    insta::assert_snapshot!(between("container.web", "[container.db, container.job]"), @r"shop.yaml:4:5: `web` and `db` are isolated from each other on network `front`: this policy opens nothing between them there");
    for (from, to) in [
        ("network.front", "network.front"),
        ("container.web", "container.job"),
        ("container.web", "network.back"),
        ("container.web", "[container.db, world]"),
    ] {
        assert_eq!(between(from, to), "", "{from} to {to}");
    }
}

#[test]
fn an_external_address_is_as_open_as_policies_leave_it() {
    let said = |policies: &str| effects(policies).replace("external.203.0.113.9: ", "");

    let close = "  - deny: {from: world, to: container.web}\n";
    insta::assert_snapshot!(said(close), @r"opens nothing at 203.0.113.9 to others: policies close it");
    insta::assert_snapshot!(said(&format!("  - allow: {{from: world, to: container.web, ports: [80]}}\n  - allow: {{from: 198.51.100.0/24, to: container.web}}\n{close}")), @r"opens: at 203.0.113.9 what policies allow: from world to container.web on 80/tcp; from 198.51.100.0/24 to container.web");
    insta::assert_snapshot!(said("  - deny: {from: world, to: container.web, ports: [22]}\n"), @r"opens: everything at 203.0.113.9, from everybody, but what policies close: from world to container.web on 22/tcp");
    insta::assert_snapshot!(said("  - deny: {from: 198.51.100.0/24, to: network.front}\n"), @r"opens: everything at 203.0.113.9, from everybody, but what policies close: from 198.51.100.0/24 to network.front");
    insta::assert_snapshot!(said("  - deny: {from: 0.0.0.0/1, to: container.web}\n  - deny: {from: 128.0.0.0/1, to: container.web, ports: [80]}\n  - allow: {from: world, to: container.web}\n"), @r"opens: at 203.0.113.9 what policies allow: from world to container.web, but what those before them close: from 0.0.0.0/1 to container.web; from 128.0.0.0/1 to container.web on 80/tcp");
    assert_eq!(said("  - deny: {from: container.job, to: container.web}\n"), "");
    assert_eq!(said("  - allow: {from: world, to: container.web, ports: [80]}\n"), "");
    assert_eq!(
        said("  - allow: {from: world, to: container.web}\n  - deny: {from: world, to: container.db}\n"),
        ""
    );
}

#[test]
fn a_range_holds_the_hosts_addresses_in_it_and_opens_none_that_is_closed_to_the_host() {
    insta::assert_snapshot!(
        resolved("  - allow: {from: container.db, to: 10.9.0.0/16, ports: [53/udp]}\n  - deny: {from: container.db, to: 10.9.0.0/16}\n  - deny: {from: container.db, to: host, ports: [53/udp]}").lines().filter(|line| line.contains("the host") && line.contains("10.7.0.7")).collect::<Vec<_>>().join("\n"),
        @"
    deny 10.7.0.7-10.7.0.7 to the host, 53/udp
    deny 10.7.0.7-10.7.0.7 to the host at 10.9.0.0-10.9.255.255, 53/udp
    deny 10.7.0.7-10.7.0.7 to the host at 10.9.0.0-10.9.255.255
    deny 10.7.0.7-10.7.0.7 to the host at 10.10.0.0-255.255.255.255, 53/udp
    "
    );
}
