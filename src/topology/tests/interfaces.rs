//! Interface names and MTUs.

use super::{problems, topology};
use crate::topology::facts::{Facts, LinkFact};
use crate::topology::sketch::sketch;
use crate::topology::strangers::own;

fn foreign(names: &[&str]) -> Facts {
    Facts {
        foreign_links: names.iter().map(|name| (*name).try_into().unwrap()).collect(),
        ..Facts::default()
    }
}

fn bridge(text: &str, facts: &Facts) -> String {
    topology(text, facts).networks[0].interface.to_string()
}

#[test]
fn a_bridge_is_named_after_its_network_where_it_can_be() {
    assert_eq!(bridge("net front", &Facts::default()), "br-front");
    assert_eq!(bridge("net front if=lan0", &Facts::default()), "lan0");
    assert_eq!(bridge("net front if=lan0", &foreign(&["lan0"])), "lan0", "the plan says whose it is");
    for hashed in [
        bridge("net a-name-of-thirteen", &Facts::default()),
        bridge("net front", &foreign(&["br-front"])),
        bridge("net front\nnet back if=br-front", &Facts::default()),
    ] {
        assert!(hashed.starts_with("nf-") && hashed.len() == 13, "{hashed}");
    }
}

#[test]
fn a_live_bridge_keeps_its_name_when_the_better_one_becomes_free() {
    let hashed = bridge("net front", &foreign(&["br-front"]));
    let live = |name: &str| Facts {
        interfaces: [("front".try_into().unwrap(), name.try_into().unwrap())].into(),
        ..Facts::default()
    };

    assert_eq!(bridge("net front", &live(&hashed)), hashed);
    assert_eq!(bridge("net front", &live("lan0")), "br-front", "it was given, and is no longer");
}

#[test]
fn a_hash_name_that_is_taken_is_counted_up() {
    let first = bridge("net a-name-of-thirteen", &Facts::default());
    let second = bridge("net a-name-of-thirteen", &foreign(&[&first]));

    assert!(second.starts_with("nf-") && second != first, "{first} and {second}");
}

#[test]
fn interfaces_in_a_container_are_counted_in_the_order_of_the_manifest() {
    let nets = "net a 10.0.0.0/24\nnet b 10.1.0.0/24\nnet c 10.2.0.0/24\nnet d 10.3.0.0/24";
    let topology = topology(&format!("{nets}\nctr x @d @a,if=lan0 @b @c,if=eth1"), &Facts::default());

    let links = topology.container("x").attachments.iter().map(|at| format!("{} {}", at.network, at.link));
    assert_eq!(links.collect::<Vec<_>>(), ["d eth0", "a lan0", "b eth2", "c eth1"]);
}

#[test]
fn an_interface_that_is_wanted_twice_is_reported_at_both_places() {
    insta::assert_snapshot!(problems(
        "net a 10.0.0.0/24 if=lan0\nnet b 10.1.0.0/24 if=lan0\nnet c 10.2.0.0/24 if=all\nctr x @a,if=up0 @b,if=up0 @c,if=lo",
        &Facts::default(),
    ), @r"
    topology::interface_clash: networks `a` and `b` want the same interface `lan0`
      lan0: wanted again here
      lan0: wanted here
      help: give `b` another interface, or leave it out
    topology::interface_reserved: no interface can be named `all`
      all: a name that the kernel has a use for
      help: choose another name, or leave it out
    topology::interface_clash: container `x` has two interfaces `up0`
      up0: again here
      up0: named here
      help: give each attachment an interface of its own, or leave it out
    topology::interface_reserved: no interface can be named `lo`
      lo: a name that the kernel has a use for
      help: choose another name, or leave it out
    ");
}

#[test]
fn the_largest_packet_is_the_given_one_or_the_uplinks_or_that_of_ethernet() {
    let mtu = |text: &str, uplink: Option<u32>| {
        let facts = Facts { uplink_mtu: uplink.map(|bytes| bytes.try_into().unwrap()), ..Facts::default() };
        topology(text, &facts).networks[0].mtu.bytes()
    };

    assert_eq!(mtu("net a", None), 1500);
    assert_eq!(mtu("net a", Some(1400)), 1400);
    assert_eq!(mtu("net a mtu=9000", Some(1400)), 9000);
    assert_eq!(mtu("net a fd00::/64", Some(1000)), 1280);
}

#[test]
fn ipv6_needs_packets_of_1280_bytes() {
    insta::assert_snapshot!(problems("net a 10.0.0.0/24 fd00::/64 mtu=1000", &Facts::default()), @r"
    topology::mtu_too_small: MTU 1000 is too small for IPv6, which network `a` has
      1000: less than 1280
      fd00::/64: an IPv6 subnet
      help: use at least 1280, or no IPv6 subnet
    ");
    let eth0 = LinkFact { mtu: 1000.try_into().unwrap(), addresses: vec![], mac: None, filtering: None };
    let facts = Facts { parents: [("eth0".try_into().unwrap(), eth0)].into(), ..Facts::default() };
    insta::assert_snapshot!(problems("net a macvlan=eth0 fd00::/64", &facts), @r"
    topology::mtu_too_small: MTU 1000 is too small for IPv6, which network `a` has
      eth0: `eth0` has 1000
      fd00::/64: an IPv6 subnet
      help: use at least 1280, or no IPv6 subnet
    ");
}

#[test]
fn what_networks_will_be_called_is_foreseen() {
    let text = "net a\nnet b if=br-a\nnet c\nnet a-name-of-thirteen";
    for taken in [&[][..], &["br-a", "br-c"]] {
        let facts = foreign(taken);
        let named = topology(text, &facts).networks.into_iter().map(|network| network.interface);
        assert_eq!(own(&sketch(text), &facts), named.collect(), "{taken:?}");
    }
}
