//! Addresses, link-layer addresses and default routes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use proptest::prelude::*;

use super::{problems, topology};
use crate::topology::facts::{Facts, Leases};
use crate::topology::leases;

fn held(rows: &[(&str, &str, &str)]) -> Leases {
    let mut leases = Leases::default();
    for (container, network, addr) in rows {
        let networks = leases.addresses.entry((*container).try_into().unwrap()).or_default();
        networks.entry((*network).try_into().unwrap()).or_default().push(addr.parse().unwrap());
    }
    leases
}

#[test]
fn static_addresses_are_set_aside_before_the_first_dynamic_one() {
    let topology =
        topology("net a 10.0.0.0/29\nctr x @a\nctr y @a,addr=10.0.0.2\nctr z @a", &Facts::default());

    assert_eq!(topology.addresses("x", "a"), "10.0.0.3/29");
    assert_eq!(topology.addresses("y", "a"), "10.0.0.2/29");
    assert_eq!(topology.addresses("z", "a"), "10.0.0.4/29");
}

#[test]
fn every_subnet_of_a_network_gives_one_address() {
    let text = "net a 10.0.0.0/24 10.1.0.0/24 fd00::/64\nctr x @a,addr=10.1.0.7\nctr y @a,addr=fd00::2";
    let topology = topology(text, &Facts::default());

    assert_eq!(topology.addresses("x", "a"), "10.0.0.2/24 10.1.0.7/24 fd00::3/64");
    assert_eq!(topology.addresses("y", "a"), "10.0.0.3/24 10.1.0.2/24 fd00::2/64");
}

#[test]
fn a_container_keeps_its_address_and_a_new_one_gets_the_lowest_that_is_free() {
    let facts = Facts {
        live: held(&[("db", "a", "10.0.0.5")]),
        leases: held(&[
            ("db", "a", "10.0.0.3"),
            ("web", "a", "10.0.0.5"),
            ("old", "a", "10.0.0.2"),
            ("z", "a", "10.0.0.4"),
        ]),
        ..Facts::default()
    };
    let topology = topology("net a 10.0.0.0/24\nctr web @a\nctr new @a\nctr db @a\nctr z @a", &facts);

    assert_eq!(topology.addresses("db", "a"), "10.0.0.5/24", "it is live");
    assert_eq!(topology.addresses("z", "a"), "10.0.0.4/24", "it was held");
    assert_eq!(topology.addresses("web", "a"), "10.0.0.2/24", "somebody else has it now");
    assert_eq!(topology.addresses("new", "a"), "10.0.0.3/24");
}

#[test]
fn an_address_that_somebody_leaves_is_given_away_last() {
    let facts = Facts { live: held(&[("old", "a", "10.0.0.2")]), ..Facts::default() };

    assert_eq!(topology("net a 10.0.0.0/29\nctr new @a", &facts).addresses("new", "a"), "10.0.0.3/29");
    assert_eq!(topology("net a 10.0.0.0/30\nctr new @a", &facts).addresses("new", "a"), "10.0.0.2/30");
}

#[test]
fn dynamic_addresses_come_from_the_pool_and_keep_clear_of_what_is_reserved() {
    let text =
        "net a 10.0.0.0/24,gw=10.0.0.129,pool=10.0.0.128/25,reserve=router:10.0.0.130\nctr x @a\nctr y @a";
    let facts = Facts { live: held(&[("x", "a", "10.0.0.7")]), ..Facts::default() };

    assert_eq!(topology(text, &facts).addresses("x", "a"), "10.0.0.128/24", "10.0.0.7 is outside the pool");
    assert_eq!(topology(text, &facts).addresses("y", "a"), "10.0.0.131/24");
}

#[test]
fn an_address_that_cannot_be_had_is_refused_with_the_reason() {
    insta::assert_snapshot!(problems(
        "net a 10.0.0.0/24,reserve=router:10.0.0.5\n\
         ctr out @a,addr=10.0.1.7\n\
         ctr gate @a,addr=10.0.0.1\n\
         ctr cast @a,addr=10.0.0.255\n\
         ctr kept @a,addr=10.0.0.5\n\
         ctr one @a,addr=10.0.0.9\n\
         ctr two @a,addr=10.0.0.9\n\
         ctr both @a,addr=10.0.0.10,addr=10.0.0.11",
        &Facts::default(),
    ), @r"
    topology::address_outside: address 10.0.1.7 is outside every subnet of network `a`
      10.0.1.7: `out` on `a`
      10.0.0.0/24: 10.0.0.0/24 here
      help: use an address of `10.0.0.0/24`
    topology::address_is_gateway: address 10.0.0.1 is the gateway of subnet 10.0.0.0/24
      10.0.0.1: `gate` is to have it
      10.0.0.0/24: subnet 10.0.0.0/24
      help: use another address of 10.0.0.1 to 10.0.0.254, or leave it out, and one is chosen
    topology::address_unusable: address 10.0.0.255 is the network or broadcast address of subnet 10.0.0.0/24
      10.0.0.255: `cast` is to have it
      10.0.0.0/24: subnet 10.0.0.0/24
      help: use another address of 10.0.0.1 to 10.0.0.254, or leave it out, and one is chosen
    topology::address_reserved: address 10.0.0.5 is reserved for `router`
      10.0.0.5: `kept` is to have it
      10.0.0.5: reserved for `router`
      help: use another address of 10.0.0.1 to 10.0.0.254, or leave it out, and one is chosen
    topology::address_taken: `one` and `two` have the same address 10.0.0.9
      10.0.0.9: `two` is to have it
      10.0.0.9: `one` has it
      help: use another address of 10.0.0.1 to 10.0.0.254, or leave it out, and one is chosen
    topology::address_twice: `both` has two addresses in subnet 10.0.0.0/24: 10.0.0.10 and 10.0.0.11
      10.0.0.11: a second one
      10.0.0.10: the first one
      10.0.0.0/24: the subnet
      help: an attachment has one address for each subnet
    ");
}

#[test]
fn a_full_subnet_is_reported_once() {
    insta::assert_snapshot!(problems("net a 10.0.0.0/30\nctr x @a\nctr y @a\nctr z @a", &Facts::default()), @r"
    topology::addresses_exhausted: network `a` has no address left in 10.0.0.0/30 for `y` and 1 more
      a: `y` needs an address
      10.0.0.0/30: no free address in 10.0.0.0/30
      help: give `a` a larger subnet or pool
    ");
}

#[test]
fn link_layer_addresses_follow_from_addresses_and_names() {
    let text = "net a 10.0.0.0/24\nnet b fd00::/64\nctr x @a @b\nctr y @a,mac=02:00:00:00:00:07";
    let topology = topology(text, &Facts::default());

    assert_eq!(topology.attachment("x", "a").mac.to_string(), "02:42:0a:00:00:02");
    assert_eq!(topology.attachment("y", "a").mac.to_string(), "02:00:00:00:00:07");
    assert_eq!(topology.attachment("x", "b").mac.0[..2], [0x02, 0x42]);
    assert_ne!(topology.networks[0].mac, topology.networks[1].mac);
}

#[test]
fn a_link_layer_address_is_on_a_network_once() {
    insta::assert_snapshot!(problems(
        "net a 10.0.0.0/24\nnet b 10.1.0.0/24\n\
         ctr x @a,mac=02:00:00:00:00:07 @b,mac=02:00:00:00:00:07\nctr y @a,mac=02:00:00:00:00:07\n\
         ctr z @a,mac=02:42:0a:00:00:05\nctr w @a",
        &Facts::default(),
    ), @r"
    topology::mac_taken: `x` and `y` have the same MAC address 02:00:00:00:00:07 on network `a`
      02:00:00:00:00:07: `y` has it, too
      02:00:00:00:00:07: `x` has it
      help: give another `mac`, or leave it out, and one is derived from the address
    topology::mac_taken: `z` and `w` have the same MAC address 02:42:0a:00:00:05 on network `a`
      a: `w` has it, too
      02:42:0a:00:00:05: `z` has it
      help: give another `mac`, or leave it out, and one is derived from the address
    ");
}

#[track_caller]
fn check_default(text: &str, want: &[(&str, &str)]) {
    let nets = "net a 10.0.0.0/24\nnet b 10.1.0.0/24 fd01::/64\nnet c 10.2.0.0/24 fd02::/64\nnet i 10.3.0.0/24 internal";
    let topology = topology(&format!("{nets}\nctr x {text}"), &Facts::default());
    let attachments = &topology.container("x").attachments;
    let via = attachments
        .iter()
        .flat_map(|at| at.default_via.iter().map(|via| (at.network.as_str(), via.to_string())));
    let via: Vec<_> = via.collect();
    assert_eq!(via.iter().map(|(net, via)| (*net, via.as_str())).collect::<Vec<_>>(), want, "{text}");
}

#[test]
fn the_default_route_goes_to_the_highest_priority_and_then_to_the_first_that_leads_out() {
    check_default("@a @b", &[("a", "10.0.0.1"), ("b", "fd01::1")]);
    check_default("@a @c @b", &[("a", "10.0.0.1"), ("c", "fd02::1")]);
    check_default("@a @b,prio=1 @c,prio=1", &[("b", "10.1.0.1"), ("b", "fd01::1")]);
    check_default("@a,prio=-1 @c", &[("c", "10.2.0.1"), ("c", "fd02::1")]);
    check_default("@i,prio=9 @a", &[("a", "10.0.0.1")]);
    check_default("@i", &[]);
}

#[test]
fn five_thousand_containers_on_fifty_networks_have_an_address_each() {
    let mut text = String::new();
    for net in 0..50 {
        writeln!(text, "net n{net} 10.{net}.0.0/16").unwrap();
        (0..100).for_each(|ctr| writeln!(text, "ctr c{net}-{ctr} @n{net}").unwrap());
    }
    let topology = topology(&text, &Facts::default());

    let leases = leases(&topology, &Leases::default());
    let addresses: BTreeSet<IpAddr> =
        leases.addresses.values().flat_map(|networks| networks.values()).flatten().copied().collect();
    assert_eq!(addresses.len(), 5000);
}

/// Returns the sketch of a network with containers, some of them static.
fn town(containers: &[(usize, Option<u8>)]) -> String {
    let mut text = "net a 10.0.0.0/26,reserve=router:10.0.0.9 fd00::/120\n".to_owned();
    for (number, fixed) in containers {
        let fixed = fixed.map(|byte| format!(",addr=10.0.0.{byte}")).unwrap_or_default();
        writeln!(text, "ctr c{number} @a{fixed}").unwrap();
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_containers_have_one_address_and_whoever_has_one_keeps_it(
        fixed in proptest::collection::btree_map(0_usize..30, prop_oneof![Just(10_u8), Just(11), Just(20), Just(62)], 0..4),
        order in Just((0_usize..30).collect::<Vec<_>>()).prop_shuffle(),
        gone in proptest::collection::btree_set(0_usize..30, 0..8),
    ) {
        // Given a town in which no static address is asked for twice.
        let mut asked = BTreeSet::new();
        let fixed: BTreeMap<_, _> = fixed.into_iter().filter(|(_, byte)| asked.insert(*byte)).collect();
        let rows = |numbers: &[usize]| -> Vec<(usize, Option<u8>)> {
            numbers.iter().map(|number| (*number, fixed.get(number).copied())).collect()
        };
        let numbers: Vec<_> = (0..30).collect();
        let before = leases(&topology(&town(&rows(&numbers)), &Facts::default()), &Leases::default());

        // When some leave, the rest change places, and only the leases are remembered.
        let stay: Vec<_> = order.into_iter().filter(|number| !gone.contains(number)).collect();
        let facts = Facts { leases: before.clone(), ..Facts::default() };
        let after = leases(&topology(&town(&rows(&stay)), &facts), &facts.leases);

        // Then everybody has what they had, and nobody what another has.
        let all: Vec<_> = before.addresses.values().flat_map(|networks| networks.values()).flatten().collect();
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 60);
        prop_assert!(!all.contains(&&"10.0.0.9".parse::<IpAddr>().unwrap()));
        for (container, networks) in &after.addresses {
            prop_assert_eq!(Some(networks), before.addresses.get(container));
        }
        for (number, byte) in fixed.iter().filter(|(number, _)| stay.contains(number)) {
            let name = format!("c{number}").as_str().try_into().unwrap();
            let addr: IpAddr = format!("10.0.0.{byte}").parse().unwrap();
            prop_assert!(after.addresses[&name].values().flatten().any(|held| *held == addr));
        }
        prop_assert_eq!(&after, &leases(&topology(&town(&rows(&stay)), &facts), &facts.leases), "deterministic");
    }
}
