//! Networks that are a pair of links.

use super::{problems, topology};
use crate::topology::facts::Facts;
use crate::topology::limits::warnings;

#[test]
fn two_addresses_are_enough_and_nobody_is_the_gateway() {
    let topology = topology(
        "net wire veth=container 10.9.0.0/31 fd00:9::/127\nctr a @wire\nctr b @wire",
        &Facts::default(),
    );

    assert_eq!(topology.addresses("a", "wire"), "10.9.0.0/31 fd00:9::/127");
    assert_eq!(topology.addresses("b", "wire"), "10.9.0.1/31 fd00:9::1/127");
    assert_eq!(topology.subnets(), ["wire 10.9.0.0/31 via nobody", "wire fd00:9::/127 via nobody"]);
    for container in ["a", "b"] {
        let attachment = topology.attachment(container, "wire");
        assert_eq!((attachment.port.as_ref(), attachment.default_via.len()), (None, 0));
    }
}

#[test]
fn one_of_the_two_may_be_the_others_gateway() {
    let text = "net wire veth=container 10.9.0.0/31,gw=10.9.0.1\nctr a @wire\nctr router @wire,addr=10.9.0.1";
    let topology = topology(text, &Facts::default());

    assert_eq!(
        topology.attachment("a", "wire").default_via,
        ["10.9.0.1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert!(topology.attachment("router", "wire").default_via.is_empty());
}

#[test]
fn the_host_is_the_gateway_of_the_one_that_it_is_joined_with() {
    let topology = topology("net up veth=host 10.9.0.0/31\nctr a @up publish=80:80", &Facts::default());

    let attachment = topology.attachment("a", "up");
    assert_eq!(topology.addresses("a", "up"), "10.9.0.0/31");
    assert_eq!(attachment.default_via, ["10.9.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(attachment.port.as_ref().unwrap().as_str(), "ve-up");
}

#[test]
fn what_is_one_too_many_or_nobody_is_refused_with_all_places() {
    insta::assert_snapshot!(problems("net wire veth=container 10.9.0.0/24\nctr a @wire\nctr b @wire\nctr c @wire", &Facts::default()), @r"
    topology::pair_full: network `wire` is a pair of links: it joins two containers
      wire: `c` is one too many
      wire: `a` has an end
      wire: `b` has an end
      wire: this network
      help: use `driver: bridge` for more than two
    ");
    insta::assert_snapshot!(problems("net up veth=host 10.9.0.0/24\nctr a @up\nctr b @up", &Facts::default()), @r"
    topology::pair_full: network `up` is a pair of links: it joins the host and one container
      up: `b` is one too many
      up: `a` has an end
      up: this network
      help: use `driver: bridge` for more than one container
    ");
    insta::assert_snapshot!(problems("net wire veth=container 10.9.0.0/24,gw=10.9.0.9\nctr a @wire\nctr b @wire", &Facts::default()), @r"
    topology::gateway_is_nobody: the gateway 10.9.0.9 of network `wire` is neither of its containers
      10.9.0.0/24: 10.9.0.9 is nobody's
      wire: `a` has 10.9.0.1
      wire: `b` has 10.9.0.2
      help: give one of them this address, or leave the gateway out
    ");
}

#[test]
fn no_port_of_the_host_leads_to_a_pair_without_it() {
    insta::assert_snapshot!(problems("net wire veth=container 10.9.0.0/31\nctr a @wire publish=80:80\nctr b @wire", &Facts::default()), @r"
    topology::publish_unreachable: `a` publishes a port, but is on no network that leads out
      80:80: published here
      wire: on `wire`, which is without the host
      wire: it joins two containers, and nobody else
      help: put `a` on a bridge network that is not internal, or publish nothing
    ");
}

#[test]
fn a_pair_that_lacks_an_end_is_told_of() {
    let said = |text: &str| {
        let topology = topology(text, &Facts::default());
        let lacks = topology.lacks_an_end(&topology.networks[0]);
        (lacks, warnings(&topology, &Facts::default().limits))
    };

    let (lacks, said_of_one) = said("net wire veth=container 10.9.0.0/31\nctr a @wire");
    assert!(lacks && said_of_one[0].contains("only `a` is on it"), "{said_of_one:?}");
    assert_eq!(
        said("net wire veth=container 10.9.0.0/31\nctr a @wire\nctr b @wire netns=later"),
        (true, vec![])
    );
    assert_eq!(said("net wire veth=container 10.9.0.0/31\nctr a @wire\nctr b @wire"), (false, vec![]));
}
