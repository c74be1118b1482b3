//! Neighbour discovery by proxy.

use super::{problems, topology};
use crate::names::IfName;
use crate::resource::sysctl::Family;
use crate::topology::Proxy;
use crate::topology::facts::{Facts, LinkFact};

fn link(name: &str) -> IfName {
    name.try_into().unwrap()
}

/// A host with 2001:db8::10 on eth0, by which it reaches its router 2001:db8::1, and a bridge `br-lan` with 2001:db8:7::1.
fn host() -> Facts {
    let fact = |address: &str| LinkFact {
        mtu: crate::names::Mtu::ETHERNET,
        addresses: vec![address.parse().unwrap()],
        mac: None,
        filtering: None,
    };
    Facts {
        foreign_links: [link("eth0"), link("eth1"), link("br-lan")].into(),
        uplinks: [(Family::Ipv6, link("eth0"))].into(),
        routers: ["2001:db8::1".parse().unwrap()].into(),
        addresses: [
            ("2001:db8::10".parse().unwrap(), link("eth0")),
            ("2001:db8:7::1".parse().unwrap(), link("br-lan")),
        ]
        .into(),
        parents: [(link("eth0"), fact("2001:db8::10/64"))].into(),
        bridges: [(link("br-lan"), fact("2001:db8:7::1/64"))].into(),
        ..Facts::default()
    }
}

#[test]
fn the_link_is_the_one_that_is_named_or_the_one_with_the_default_route_as_soon_as_there_is_one() {
    let with = |proxy: &str, facts: &Facts| {
        let topology = topology(&format!("net a 2001:db8::5:0/112 egress=routed {proxy}\nctr x @a"), facts);
        topology.networks[0].proxy.clone()
    };
    let by = |name: &str, heeds| Proxy::By { link: link(name), heeds };
    let heeding = Facts { heeding: [link("eth0")].into(), ..host() };

    assert_eq!(with("", &host()), Proxy::Nobody);
    assert_eq!(with("proxy=true", &host()), by("eth0", false));
    assert_eq!(with("proxy=true", &heeding), by("eth0", true));
    assert_eq!(with("proxy=eth1", &heeding), by("eth1", false));
    let mute = Facts { mute: [link("eth1")].into(), ..host() };
    assert_eq!(with("proxy=eth1", &mute), Proxy::Mute(link("eth1")));
    assert_eq!(with("proxy=eth7", &host()), Proxy::Waits(Some(link("eth7"))));
    assert_eq!(with("proxy=true", &Facts::default()), Proxy::Waits(None));
}

#[test]
fn what_cannot_be_answered_for_is_reported_with_both_places() {
    insta::assert_snapshot!(problems(
        "net four 10.0.0.0/24 egress=routed proxy=true\nnet host 2001:db8::20:0/112 egress=routed proxy=true\n\
         net router 2001:db8::/124 egress=routed proxy=eth0\nctr x @four",
        &Facts { addresses: [("2001:db8::20:77".parse().unwrap(), link("eth0"))].into(), ..host() },
    ), @r"
    topology::proxy_without_ipv6: network `four` has `ndp_proxy`, and no IPv6 subnet
      true: nobody to answer for
      four: no IPv6 subnet here
      help: give the network a subnet within the prefix of the link, such as a /80 of its /64
    topology::proxy_taken: subnet 2001:db8::20:0/112 of network `host` has 2001:db8::20:77 in it, which is that of `eth0` of the host
      2001:db8::20:0/112: 2001:db8::20:77 would be behind the network
      true: for addresses that nobody else has
      help: give the network a part of the prefix in which nobody else is
    topology::proxy_taken: subnet 2001:db8::/124 of network `router` has 2001:db8::1 in it, which is that of the host's router
      2001:db8::/124: 2001:db8::1 would be behind the network
      eth0: for addresses that nobody else has
      help: give the network a part of the prefix in which nobody else is
    ");
    insta::assert_snapshot!(problems(
        "net a 2001:db8::/124 egress=routed proxy=true\nnet lan external=br-lan proxy=br-lan\nctr x @lan", &host(),
    ), @r"
    topology::proxy_taken: subnet 2001:db8::/124 of network `a` has 2001:db8::1 in it, which is that of the host's router
      2001:db8::/124: 2001:db8::1 would be behind the network
      true: for addresses that nobody else has
      help: give the network a part of the prefix in which nobody else is
    topology::proxy_on_itself: the containers of network `lan` are on `br-lan` themselves
      br-lan: `br-lan` would answer for them
      br-lan: they answer there
      help: leave `ndp_proxy` out
    ");
    topology("net lan external=br-lan proxy=eth0\nctr x @lan", &host());
}

#[test]
fn what_its_author_may_not_expect_is_told() {
    let told = |text: &str, facts: &Facts| topology(text, facts).warnings(facts).join("\n");

    insta::assert_snapshot!(told("net a 2001:db8:9::/112 egress=routed proxy=true\nctr x @a", &host()), @r"sketch:1:1: 2001:db8:9::/112 of network a is in no prefix of eth0: a neighbour asks for its addresses only if he has a route that says that they are there");
    insta::assert_snapshot!(told("net a 2001:db8::5:0/112 egress=routed proxy=eth7\nctr x @a", &host()), @r"sketch:1:1: there is no link `eth7` of the host's own: neighbours find the containers of network a once there is");
    insta::assert_snapshot!(told("net a 2001:db8::5:0/112 egress=routed proxy=true\nctr x @a", &Facts::default()), @r"sketch:1:1: no link has a default route of IPv6: neighbours find the containers of network a once one has");
    assert_eq!(told("net a 2001:db8::5:0/112 egress=routed proxy=true\nctr x @a", &host()), "");
    insta::assert_snapshot!(told("net a 2001:db8::5:0/112 egress=routed proxy=true\nnet b 10.0.0.0/24\nctr x @a @b\nctr y @a,vlan=10 @b\nctr z @a,vlan=20 @b", &host()), @r"sketch:4:1: container y is in another VLAN than the host on network a: by `ndp_proxy`, neighbours do not find it, nor 1 more there");
}
