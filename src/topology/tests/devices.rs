//! Containers with links of the host for themselves.

use super::{problems, topology};
use crate::names::Mac;
use crate::topology::facts::{DeviceFact, Facts, LinkFact};

fn fact(held: &[&str], obstacle: Option<&str>) -> DeviceFact {
    DeviceFact {
        mtu: 1400.try_into().unwrap(),
        mac: Some(Mac([2, 0, 0, 0, 0, 9])),
        held: held.iter().map(|it| (*it).to_owned()).collect(),
        obstacle: obstacle.map(ToOwned::to_owned),
        is_uplink: false,
    }
}

fn with_eth2(fact: DeviceFact) -> Facts {
    Facts { devices: [("eth2".try_into().unwrap(), fact)].into(), ..Facts::default() }
}

#[test]
fn a_link_keeps_what_nobody_says_otherwise_of() {
    let of = |network: &str, attachment: &str| {
        let text = format!("net lab physical= {network} 192.168.9.0/24\nctr a @lab,dev=eth2{attachment}");
        let topology = topology(&text, &with_eth2(fact(&[], None)));
        let attachment = topology.attachment("a", "lab");
        (attachment.mtu.bytes(), attachment.mac.to_string(), attachment.port.is_some())
    };

    assert_eq!(of("", ""), (1400, "02:00:00:00:00:09".to_owned(), false));
    assert_eq!(of("mtu=1300", ",mac=02:00:00:00:00:77"), (1300, "02:00:00:00:00:77".to_owned(), false));
}

#[test]
fn a_physical_network_has_the_subnets_that_it_is_given_and_may_have_none() {
    let facts = with_eth2(fact(&[], None));
    let with = topology("net lab physical= 192.168.9.0/24,gw=192.168.9.1\nctr a @lab,dev=eth2", &facts);
    assert_eq!(with.subnets(), ["lab 192.168.9.0/24 via 192.168.9.1"]);
    assert_eq!(with.addresses("a", "lab"), "192.168.9.2/24");
    assert_eq!(with.attachment("a", "lab").default_via.len(), 1);

    let without = topology("net lab physical=\nctr a @lab,dev=eth2", &facts);
    assert_eq!((without.subnets(), without.addresses("a", "lab")), (vec![], String::new()));
}

#[test]
fn what_leaves_the_host_is_told_and_what_is_not_there_is_waited_for() {
    let text = "net lab physical= 192.168.9.0/24,gw=192.168.9.1\nctr a @lab,dev=eth2";
    let facts = with_eth2(fact(&["192.168.9.5/24", "the route to 10.0.0.0/8"], None));
    let there = topology(text, &facts);
    assert!(!there.attachment("a", "lab").waits());
    assert_eq!(
        there.warnings(&facts),
        [
            "`eth2` leaves the host for `a`: 192.168.9.5/24, the route to 10.0.0.0/8 go with it, and come back with it"
        ]
    );

    let away = topology(text, &Facts::default());
    assert!(away.attachment("a", "lab").waits() && away.attachment("a", "lab").default_via.is_empty());
    assert_eq!(
        away.warnings(&Facts::default()),
        ["there is no link `eth2`: `a` waits for it to be on network `lab`"]
    );
}

#[test]
fn a_link_is_one_containers_alone() {
    let parent = LinkFact { mtu: 1500.try_into().unwrap(), addresses: vec![], mac: None, filtering: None };
    let facts = Facts {
        parents: [("eth2".try_into().unwrap(), parent)].into(),
        ..with_eth2(fact(&[], Some("is a port of bridge br0")))
    };
    insta::assert_snapshot!(problems("net lab physical= 10.9.0.0/24\nnet lan macvlan=eth2 10.8.0.0/24\nnet a 10.7.0.0/24\nctr x @lab,dev=eth2\nctr y @lab,dev=eth2 @a,dev=eth3\nctr z @lab", &facts), @r"
    topology::device_unavailable: `eth2` cannot go into a container: it is a port of bridge br0
      eth2: it is a port of bridge br0
      help: name a link that is free, or free this one
    topology::device_taken: `x` cannot have `eth2` for itself: network `lan` stands on it
      eth2: it leaves the host
      eth2: the parent of `lan`
      help: give one of them another link
    topology::device_unavailable: `eth2` cannot go into a container: it is a port of bridge br0
      eth2: it is a port of bridge br0
      help: name a link that is free, or free this one
    topology::device_taken: `x` and `y` cannot both have `eth2`
      eth2: `y` wants it, too
      eth2: `x` has it
      help: a link is in one container at a time: give one of them another
    topology::device_unused: `y` cannot have a device on network `a`
      eth3: `eth3` would not be used
      a: its driver makes the interfaces
      help: leave `device` out, or give the network `driver: physical`
    topology::device_missing: `z` has no device on network `lab`, which is physical
      lab: which link of the host?
      lab: `driver: physical`
      help: write `lab: {device: eth2}`; `ip link` lists the links
    ");
}

#[test]
fn a_link_with_external_addresses_and_the_hosts_own_addresses_are_not_to_be_had() {
    let facts = Facts {
        parents: [(
            "eth1".try_into().unwrap(),
            LinkFact { mtu: 1500.try_into().unwrap(), addresses: vec![], mac: None, filtering: None },
        )]
        .into(),
        ..with_eth2(fact(&[], None))
    };
    insta::assert_snapshot!(problems("own eth2\nnet lab physical= 10.9.0.0/24\nnet lan macvlan=eth1 10.8.0.0/24 host=10.8.0.9\nnet a 10.7.0.0/24\nctr x @lab,dev=eth2\nctr y @a,ext=10.8.0.9", &facts), @r"
    topology::device_taken: `x` cannot have `eth2` for itself: external addresses are given to it
      eth2: it leaves the host
      eth2: it has external addresses
      help: give one of them another link
    topology::external_inside: 10.8.0.9 cannot be an external address: the host has it on network `lan`
      10.8.0.9: an external address
      10.8.0.9: the host's
      help: give one of them another
    ");
}

#[test]
fn a_link_that_netform_makes_is_no_link_of_the_hosts() {
    let text = "own br-a\nnet a 10.7.0.0/24\nnet lab physical=\nctr x @lab,dev=br-a\nctr y @a";
    insta::assert_snapshot!(problems(text, &Facts::default()), @r"
    topology::link_of_our_own: `br-a` is no link of the host's own: netform makes it for network `a`
      br-a: it is to have the external addresses
      a: `br-a` is made for this
      help: name a link that is there without netform; `ip link` lists them
    topology::link_of_our_own: `br-a` is no link of the host's own: netform makes it for network `a`
      br-a: it is to go into a container
      a: `br-a` is made for this
      help: name a link that is there without netform; `ip link` lists them
    topology::device_taken: `x` cannot have `br-a` for itself: external addresses are given to it
      br-a: it leaves the host
      br-a: it has external addresses
      help: give one of them another link
    ");
    let port = topology("net a 10.7.0.0/24\nctr y @a", &Facts::default());
    let port = port.attachment("y", "a").port.clone().unwrap();
    let told = problems(
        &format!("net a 10.7.0.0/24\nnet lab physical=\nctr x @lab,dev={port}\nctr y @a"),
        &Facts::default(),
    );
    assert!(told.contains("netform makes it for `y`"), "{told}");
}

#[test]
fn a_further_name_is_told_and_not_waited_for() {
    let altnames = [("enp2s0".try_into().unwrap(), "eth2".try_into().unwrap())].into();
    let facts = Facts { altnames, ..with_eth2(fact(&[], None)) };
    let text = "own enp2s0\nnet lab physical=\nnet lan macvlan=enp2s0 10.8.0.0/24\nctr x @lab,dev=enp2s0";
    let told = problems(text, &facts);
    let all: Vec<_> = told.lines().filter(|line| line.contains("further_name")).collect();
    assert_eq!(all, ["topology::further_name: `enp2s0` is a further name of `eth2`"; 3]);
    assert!(told.contains("help: write `eth2`, the name that `ip link` shows first"), "{told}");
}
