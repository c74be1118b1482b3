//! Subnets.

use super::{problems, topology};
use crate::names::Mtu;
use crate::topology::facts::{Facts, Leases, LinkFact};

#[test]
fn a_container_that_names_no_network_is_on_the_default_one_which_comes_last() {
    let topology = topology("ctr web\nnet front 10.7.0.0/24", &Facts::default());

    assert_eq!(
        topology.subnets(),
        ["front 10.7.0.0/24 via 10.7.0.1", "default 172.17.0.0/16 via 172.17.0.1"]
    );
    assert_eq!(topology.addresses("web", "default"), "172.17.0.2/16");
}

#[test]
fn the_default_network_is_as_declared_where_it_is_declared() {
    let topology = topology("net default 10.9.0.0/24\nnet front\nctr web", &Facts::default());

    assert_eq!(
        topology.subnets(),
        ["default 10.9.0.0/24 via 10.9.0.1", "front 172.17.0.0/16 via 172.17.0.1"]
    );
    assert_eq!(topology.addresses("web", "default"), "10.9.0.2/24");
}

#[test]
fn nobody_asks_for_the_default_network_when_every_container_names_its_own() {
    assert_eq!(topology("net a 10.7.0.0/24\nctr x @a\nctr y none", &Facts::default()).networks.len(), 1);
}

#[test]
fn a_pool_gives_the_first_subnet_that_nobody_uses() {
    let facts = Facts {
        routes: ["172.17.0.0/16", "172.18.4.0/24", "0.0.0.0/1", "128.0.0.0/1"]
            .map(|r| r.parse().unwrap())
            .into(),
        subnets: [("172.19.0.0/16".parse().unwrap(), "project blog".to_owned())].into(),
        ..Facts::default()
    };
    let topology = topology("net a\nnet b 172.20.0.0/24\nnet c", &facts);

    assert_eq!(
        topology.subnets(),
        [
            "a 172.21.0.0/16 via 172.21.0.1",
            "b 172.20.0.0/24 via 172.20.0.1",
            "c 172.22.0.0/16 via 172.22.0.1"
        ]
    );
}

#[test]
fn a_wide_route_is_left_behind_in_one_step() {
    let facts = Facts { routes: ["fd00::/9".parse().unwrap()].into(), ..Facts::default() };

    assert_eq!(topology("pool fd00::/8 64\nnet a", &facts).subnets(), ["a fd80::/64 via fd80::1"]);
}

#[test]
fn a_network_keeps_the_subnet_that_it_has_or_had() {
    let mut facts = Facts::default();
    facts.leases.subnets.insert("a".try_into().unwrap(), vec!["172.25.0.0/16".parse().unwrap()]);
    facts.leases.subnets.insert("b".try_into().unwrap(), vec!["172.26.0.0/16".parse().unwrap()]);
    facts.live.subnets.insert("b".try_into().unwrap(), vec!["172.17.0.0/16".parse().unwrap()]);
    facts.leases.subnets.insert("d".try_into().unwrap(), vec!["10.99.0.0/16".parse().unwrap()]);
    // A route in the way of what is live changes nothing; in the way of what is remembered, it does.
    facts.routes.insert("172.17.0.0/16".parse().unwrap());

    let subnets = topology("net c\nnet a\nnet b\nnet d", &facts).subnets();
    assert_eq!(
        subnets,
        [
            "c 172.18.0.0/16 via 172.18.0.1",
            "a 172.25.0.0/16 via 172.25.0.1",
            "b 172.17.0.0/16 via 172.17.0.1",
            "d 172.19.0.0/16 via 172.19.0.1"
        ]
    );

    facts.routes.insert("172.25.1.0/24".parse().unwrap());
    assert_eq!(topology("net a", &facts).subnets(), ["a 172.18.0.0/16 via 172.18.0.1"]);
}

#[test]
fn a_subnet_that_another_network_leaves_is_taken_only_when_there_is_no_other() {
    let mut facts = Facts::default();
    facts.live.subnets.insert("old".try_into().unwrap(), vec!["10.0.0.0/24".parse().unwrap()]);

    assert_eq!(topology("pool 10.0.0.0/23 24\nnet new", &facts).subnets(), ["new 10.0.1.0/24 via 10.0.1.1"]);
    assert_eq!(topology("pool 10.0.0.0/24 24\nnet new", &facts).subnets(), ["new 10.0.0.0/24 via 10.0.0.1"]);
}

#[test]
fn an_exhausted_pool_is_reported_with_the_network_and_the_pool() {
    insta::assert_snapshot!(problems("pool 10.0.0.0/24 25\nnet a\nnet b\nnet c", &Facts::default()), @r"
    topology::pools_exhausted: the pools have no subnet left for network `c`
      c: `c` needs a subnet
      10.0.0.0/24: no /25 of 10.0.0.0/24 is free
      help: give `c` a subnet with `subnets`, or the manifest more room with `pools`; what the host routes already, other projects and Docker networks are not given again
    ");
}

#[test]
fn overlapping_subnets_are_reported_at_both_places() {
    insta::assert_snapshot!(
        problems("net a 10.7.0.0/16 10.7.9.0/24\nnet b 10.0.0.0/8", &Facts::default()), @r"
    topology::subnet_overlap: subnets 10.7.9.0/24 and 10.7.0.0/16 of network `a` overlap
      10.7.9.0/24: 10.7.9.0/24 here
      10.7.0.0/16: 10.7.0.0/16 here
      help: give `a` a subnet that overlaps no other
    topology::subnet_overlap: subnets 10.0.0.0/8 of `b` and 10.7.0.0/16 of `a` overlap
      10.0.0.0/8: 10.0.0.0/8 here
      10.7.0.0/16: 10.7.0.0/16 here
      help: give `b` a subnet that overlaps no other
    ");
}

#[test]
fn a_subnet_of_somebody_else_is_refused_with_the_owner() {
    let facts = Facts {
        subnets: [("10.7.0.0/16".parse().unwrap(), "Docker network `blog`".to_owned())].into(),
        routes: ["10.8.0.0/24", "10.0.0.0/8"].map(|r| r.parse().unwrap()).into(),
        ..Facts::default()
    };
    insta::assert_snapshot!(problems("net a 10.7.1.0/24\nnet b 10.8.0.0/24\nnet c 10.9.0.0/24", &facts), @r"
    topology::subnet_taken: subnet 10.7.1.0/24 overlaps 10.7.0.0/16, which belongs to Docker network `blog`
      10.7.1.0/24: 10.7.0.0/16 is taken by Docker network `blog`
      help: give `a` another subnet, or none, and the pools give one
    topology::subnet_routed: the host already routes 10.8.0.0/24 elsewhere, which is in subnet 10.8.0.0/24
      10.8.0.0/24: the host has a route to 10.8.0.0/24
      help: see `ip route show table all root 10.8.0.0/24`; give `b` another subnet, or remove the route
    ");
}

#[test]
fn a_route_into_a_subnet_that_is_live_is_told_and_nothing_is_refused() {
    let mut facts = Facts { routes: ["10.8.0.7/32".parse().unwrap()].into(), ..Facts::default() };
    assert!(problems("net b 10.8.0.0/24", &facts).contains("topology::subnet_routed"));

    facts.live.subnets.insert("b".try_into().unwrap(), vec!["10.8.0.0/24".parse().unwrap()]);

    let told = topology("net b 10.8.0.0/24", &facts).warnings(&facts);
    assert!(
        told.iter().any(|it| it.contains("a route of somebody else to 10.8.0.7/32, which is in subnet")),
        "{told:?}"
    );
    assert!(
        problems("net c 10.8.0.0/24", &facts).contains("topology::subnet_routed"),
        "it is another network"
    );
}

#[test]
fn what_is_said_of_a_subnet_has_to_be_inside_it() {
    insta::assert_snapshot!(problems(
        "net a 10.7.0.0/24,gw=10.7.1.1,pool=10.8.0.0/25,reserve=router:10.9.0.1\nnet b 10.8.0.0/24,gw=10.8.0.255 10.9.9.9/32",
        &Facts::default(),
    ), @r"
    topology::gateway_outside: gateway 10.7.1.1 cannot be in subnet 10.7.0.0/24
      10.7.1.1: not an address for a host of 10.7.0.0/24
      10.7.0.0/24: the subnet
      help: use 10.7.0.1 to 10.7.0.254
    topology::pool_outside: pool 10.8.0.0/25 cannot be in subnet 10.7.0.0/24
      10.8.0.0/25: not an address for a host of 10.7.0.0/24
      10.7.0.0/24: the subnet
      help: use 10.7.0.1 to 10.7.0.254
    topology::reserve_outside: reserved address `router` 10.9.0.1 cannot be in subnet 10.7.0.0/24
      10.9.0.1: not an address for a host of 10.7.0.0/24
      10.7.0.0/24: the subnet
      help: use 10.7.0.1 to 10.7.0.254
    topology::gateway_outside: gateway 10.8.0.255 cannot be in subnet 10.8.0.0/24
      10.8.0.255: not an address for a host of 10.8.0.0/24
      10.8.0.0/24: the subnet
      help: use 10.8.0.1 to 10.8.0.254
    topology::subnet_too_small: subnet 10.9.9.9/32 has no room for a gateway and a container
      10.9.9.9/32: one address only
      help: give it a shorter prefix
    ");
}

fn on_br_lan(addresses: &[&str]) -> Facts {
    let addresses = addresses.iter().map(|addr| addr.parse().unwrap()).collect();
    let bridge = LinkFact { mtu: 9000.try_into().unwrap(), addresses, mac: None, filtering: None };
    Facts { bridges: [("br-lan".try_into().unwrap(), bridge)].into(), ..Facts::default() }
}

#[test]
fn a_network_on_an_existing_bridge_has_its_subnets_and_keeps_clear_of_its_addresses() {
    let facts = on_br_lan(&["192.168.1.5/24", "192.168.1.1/24", "fe80::1/64", "fd00::5/64"]);
    let topology = topology("net lan external=br-lan\nctr web @lan\nctr db @lan", &facts);

    assert_eq!(topology.subnets(), ["lan 192.168.1.0/24 via 192.168.1.5", "lan fd00::/64 via fd00::5"]);
    assert_eq!(topology.addresses("web", "lan"), "192.168.1.2/24 fd00::1/64");
    assert_eq!(topology.networks[0].mtu.bytes(), 9000);
    assert_eq!(topology.networks[0].interface.as_str(), "br-lan");
}

#[test]
fn the_gateway_on_an_existing_bridge_is_the_given_one_or_the_bridge_or_the_first_address() {
    let facts = on_br_lan(&["10.0.0.9/24"]);
    let subnets = |subnet: &str| topology(&format!("net lan external=br-lan {subnet}"), &facts).subnets();

    assert_eq!(subnets("10.0.0.0/24,gw=10.0.0.3"), ["lan 10.0.0.0/24 via 10.0.0.3"]);
    assert_eq!(subnets("10.0.0.0/24"), ["lan 10.0.0.0/24 via 10.0.0.9"]);
    assert_eq!(subnets("10.1.0.0/24"), ["lan 10.1.0.0/24 via 10.1.0.1"]);
}

/// A host with an IPv6 range of its own.
fn host() -> Facts {
    Facts { own_range: "fd12:3456:789a::/48".parse().ok(), ..Facts::default() }
}

#[test]
fn a_network_that_asks_for_ipv6_gets_a_subnet_of_the_hosts_own_range_beside_that_of_ipv4() {
    let topology =
        topology("net a ipv6=true\nnet b ipv6=true ipv4=false\nnet c 10.7.0.0/24 ipv6=true\nnet d", &host());

    assert_eq!(
        topology.subnets(),
        [
            "a 172.17.0.0/16 via 172.17.0.1",
            "a fd12:3456:789a::/64 via fd12:3456:789a::1",
            "b fd12:3456:789a:1::/64 via fd12:3456:789a:1::1",
            "c 10.7.0.0/24 via 10.7.0.1",
            "c fd12:3456:789a:2::/64 via fd12:3456:789a:2::1",
            "d 172.18.0.0/16 via 172.18.0.1"
        ]
    );
}

#[test]
fn a_pool_of_ipv6_stands_in_for_the_hosts_own_range() {
    let topology = topology("pool fd00:9::/48 64\nnet a ipv6=true ipv4=false\nnet b", &host());

    assert_eq!(topology.subnets(), ["a fd00:9::/64 via fd00:9::1", "b fd00:9:0:1::/64 via fd00:9:0:1::1"]);
}

#[test]
fn subnets_of_both_families_stay_although_the_hosts_range_is_another_one_now() {
    let held = ["172.19.0.0/16", "fd99:1:2:3::/64"].map(|cidr| cidr.parse().unwrap()).to_vec();
    let live = Leases { subnets: [("a".try_into().unwrap(), held)].into(), ..Leases::default() };
    let facts = Facts { live, ..host() };

    assert_eq!(
        topology("net a ipv6=true", &facts).subnets(),
        ["a 172.19.0.0/16 via 172.19.0.1", "a fd99:1:2:3::/64 via fd99:1:2:3::1"]
    );
    assert_eq!(topology("net a ipv6=false", &facts).subnets(), ["a 172.19.0.0/16 via 172.19.0.1"]);
}

#[test]
fn a_family_that_no_pool_has_is_named() {
    insta::assert_snapshot!(problems("pool fd00:9::/48 64\nnet a ipv4=true", &host()), @r"
    topology::pools_exhausted: no pool has the IPv4 subnet that network `a` asks for
      a: `a` needs an IPv4 subnet
      help: give `a` a subnet with `subnets`, or `pools` one of IPv4
    ");
}

#[test]
fn of_an_existing_bridge_nothing_is_said_before_the_host_is_asked() {
    let fact = LinkFact { mtu: Mtu::ETHERNET, addresses: vec![], mac: None, filtering: None };
    let bridges = ["br-lan", "br-open"].map(|name| (name.try_into().unwrap(), fact.clone()));
    let asked = Facts { bridges: bridges.into(), ..Facts::default() };
    let text = "net lan external=br-lan egress=masquerade\nnet open external=br-open proxy=eth0\n\
                ctr web @lan,ext=203.0.113.9 publish=8080:80\nctr db @lan,addr=10.0.0.7 route=10.9.0.0/16>10.0.0.9";

    topology(text, &Facts { is_assumed: true, ..asked.clone() });

    // Nor while the bridge has no address: whoever made it may be about to give it one.
    let told = topology(text, &asked).warnings(&asked);
    assert!(
        told.iter()
            .any(|told| told
                .contains("`br-lan` has no address to tell a subnet by, which container web needs")),
        "{told:?}"
    );

    // Once it has one, it has said what there is.
    let mut said = asked.clone();
    for bridge in said.bridges.values_mut() {
        bridge.addresses = vec!["10.8.0.1/24".parse().unwrap()];
    }
    said.bridges.remove(&"br-open".try_into().unwrap());
    let problems = problems(text, &said);
    let lines = problems.lines().filter_map(|line| line.strip_prefix("topology::")?.split_once(':'));
    let codes: Vec<_> = lines.map(|(code, _)| code).collect();
    assert_eq!(codes, ["address_outside", "route_outside"]);
}
