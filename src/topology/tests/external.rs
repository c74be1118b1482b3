//! External addresses.

use super::{problems, topology};
use crate::names::IfName;
use crate::resource::sysctl::Family;
use crate::topology::Seat;
use crate::topology::external::warnings;
use crate::topology::facts::{DeviceFact, Facts, LinkFact};

const NETS: &str = "net a 10.0.0.0/24\nnet b 10.1.0.0/24 fd01::/64\nnet i 10.3.0.0/24 internal\n\
                    net shut 10.4.0.0/24 ingress=none\nnet pair 10.5.0.0/30 veth=container\n";

#[test]
fn an_external_address_leads_to_the_containers_own_where_it_is_declared() {
    let topology = topology(&format!("{NETS}ctr x @a @b,ext=203.0.113.9,ext=2001:db8::9"), &Facts::default());

    let external = &topology.attachment("x", "b").external;
    let led = external.iter().map(|it| format!("{} to {}", it.address, it.target)).collect::<Vec<_>>();
    assert_eq!(led, ["203.0.113.9 to 10.1.0.2", "2001:db8::9 to fd01::2"]);
    assert!(topology.attachment("x", "a").external.is_empty());
}

#[test]
fn an_external_address_that_cannot_lead_there_is_reported_with_both_places() {
    insta::assert_snapshot!(problems(
        &format!("{NETS}ctr p @i,ext=203.0.113.1\nctr q @shut,ext=203.0.113.2\nctr r @pair,ext=203.0.113.3\n\
            ctr s @a,ext=2001:db8::4\nctr t @a,ext=203.0.113.5\nctr u @b,ext=203.0.113.5\nctr v @a,ext=10.1.0.1\n\
            ctr w @a,ext=10.0.0.77"),
        &Facts::default(),
    ), @r"
    topology::external_closed: 203.0.113.1 cannot lead to `p` on network `i`: nothing comes in there
      203.0.113.1: an external address
      i: declared `internal`
      help: put `p` on a network that leads out by this host, too, and write `external_address` there
    topology::external_closed: 203.0.113.2 cannot lead to `q` on network `shut`: nothing comes in there
      203.0.113.2: an external address
      none: `ingress: none`
      help: put `q` on a network that leads out by this host, too, and write `external_address` there
    topology::external_closed: 203.0.113.3 cannot lead to `r` on network `pair`: its packets do not pass this host
      203.0.113.3: an external address
      pair: a pair between two containers
      help: put `r` on a network that leads out by this host, too, and write `external_address` there
    topology::external_family: 2001:db8::4 cannot lead to `s`: it has no IPv6 address on `a`
      2001:db8::4: an IPv6 address
      a: no IPv6 subnet here
      help: give network `a` a subnet of IPv6, or leave the address out
    topology::external_taken: 203.0.113.5 is an external address of both `t` and `u`
      203.0.113.5: here again
      203.0.113.5: first here
      help: all of an external address leads to one container: give one of them another
    topology::external_inside: 10.1.0.1 cannot be an external address: it is the gateway of network `b`
      10.1.0.1: an external address
      10.1.0.0/24: 10.1.0.0/24 here
      help: use an address of the outside, which others reach by this host
    topology::external_inside: 10.0.0.77 cannot be an external address: it is in 10.0.0.0/24, a subnet of network `a`
      10.0.0.77: an external address
      10.0.0.0/24: 10.0.0.0/24 here
      help: use an address of the outside, which others reach by this host
    ");
}

#[test]
fn an_external_address_is_nobodys_subnet() {
    let facts = Facts {
        subnets: [("198.51.100.0/24".parse().unwrap(), "Docker".to_owned())].into(),
        ..Facts::default()
    };
    insta::assert_snapshot!(problems(&format!("{NETS}ctr x @a,ext=198.51.100.9"), &facts), @r"
    topology::external_inside: 198.51.100.9 cannot be an external address: it is in 198.51.100.0/24, a subnet of Docker
      198.51.100.9: an external address
      help: use an address of the outside, which others reach by this host
    ");
}

#[test]
fn what_its_author_may_not_expect_is_told() {
    let facts = Facts {
        addresses: [("203.0.113.9".parse().unwrap(), "eth0".try_into().unwrap())].into(),
        ..Facts::default()
    };
    let told = |text: &str| warnings(&topology(&format!("{NETS}{text}"), &facts), &facts).join("\n");

    insta::assert_snapshot!(told("ctr x @a @b,ext=203.0.113.9"), @r"
    sketch:6:1: what container x sends out does not have 203.0.113.9 for its source, since it leaves by network a: give b the highest `gateway_priority`
    sketch:6:1: 203.0.113.9 is an address of eth0 already: what the host itself serves there, such as SSH, is not reached any more, since all of it leads to container x
    ");
    assert_eq!(told("ctr x @a @b,ext=203.0.113.8,prio=1"), "");
}

#[test]
fn the_one_address_of_the_host_is_not_taken_from_ports_of_every_address() {
    let eth0: IfName = "eth0".try_into().unwrap();
    let sole = Facts {
        addresses: [("203.0.113.9".parse().unwrap(), eth0.clone())].into(),
        uplinks: [(Family::Ipv4, eth0.clone())].into(),
        foreign_links: [eth0.clone()].into(),
        ..Facts::default()
    };
    let mut two = sole.clone();
    two.addresses.insert("203.0.113.8".parse().unwrap(), eth0.clone());
    two.addresses.insert("2001:db8::8".parse().unwrap(), eth0);
    let told =
        |text: &str, facts: &Facts| warnings(&topology(&format!("{NETS}{text}"), facts), facts).join("\n");
    let both = "ctr x @b,ext=203.0.113.9\nctr y @b publish=80:80";

    insta::assert_snapshot!(problems(&format!("{NETS}{both}"), &sole), @r"
    topology::external_own: 203.0.113.9 is the host's own, the one address of `eth0`: as an external address of `x` it would take port 80/tcp from `y`, too
      203.0.113.9: all of it would lead to `x`
      80:80: published on every address of the host
      help: use an address for `x` that the host does not need itself, or publish on 203.0.113.9: a port of that very address goes before
    ");
    insta::assert_snapshot!(told(both, &two), @"sketch:6:1: 203.0.113.9 is an address of eth0 already: what the host itself serves there, such as SSH, is not reached any more, since all of it leads to container x; nor are the ports that are published on every address (sketch:7:1)");
    insta::assert_snapshot!(told("ctr x @b,ext=203.0.113.9\nctr y @b publish=203.0.113.9|80:80", &sole), @"sketch:6:1: 203.0.113.9 is the one address of eth0, by which the host itself is reached: what the host itself serves there, such as SSH, is not reached any more, since all of it leads to container x");
    insta::assert_snapshot!(told("ctr x @b,ext=2001:db8::8\nctr y @a publish=80:80", &two), @"sketch:6:1: 2001:db8::8 is an address of eth0 already: what the host itself serves there, such as SSH, is not reached any more, since all of it leads to container x");
    assert_eq!(told("own true\nctr x @b,ext=203.0.113.7\nctr y @b publish=80:80", &two), "");
}

/// Checks who has an external address of x.
#[track_caller]
fn check_seat(own: &str, facts: &Facts, want: &Seat) {
    let topology = topology(&format!("{own}{NETS}ctr x @a,ext=203.0.113.9"), facts);
    assert_eq!(topology.attachment("x", "a").external[0].seat, *want, "{own}");
}

#[test]
fn an_address_is_on_the_uplink_unless_somebody_has_it_there_already() {
    let (link, other) = ("eth0".try_into().unwrap(), "eth1".try_into().unwrap());
    let links =
        Facts { foreign_links: [IfName::clone(&link), IfName::clone(&other)].into(), ..Facts::default() };
    let routed = Facts { uplinks: [(Family::Ipv4, link.clone())].into(), ..links.clone() };
    let held = Facts { addresses: [("203.0.113.9".parse().unwrap(), link.clone())].into(), ..routed.clone() };

    check_seat("", &routed, &Seat::Others);
    check_seat("own true\n", &routed, &Seat::On(link));
    check_seat("own eth1\n", &routed, &Seat::On(other));
    check_seat("own true\n", &links, &Seat::Waits(None));
    check_seat("own eth7\n", &routed, &Seat::Waits(Some("eth7".try_into().unwrap())));
    check_seat("own true\n", &held, &Seat::Others);
}

#[test]
fn an_external_address_is_no_router_and_no_address_of_nobody() {
    let eth0 = LinkFact {
        mtu: 1500.try_into().unwrap(),
        addresses: vec!["203.0.113.2/24".parse().unwrap()],
        mac: None,
        filtering: None,
    };
    let facts = Facts {
        routers: ["203.0.113.1".parse().unwrap()].into(),
        parents: [("eth0".try_into().unwrap(), eth0)].into(),
        ..Facts::default()
    };
    let told = |address: &str| problems(&format!("{NETS}ctr x @a,ext={address}"), &facts);

    insta::assert_snapshot!(told("203.0.113.1"), @r"
    topology::external_inside: 203.0.113.1 cannot be an external address: it is the router that the host's default route leads by
      203.0.113.1: an external address
      help: use an address of the outside, which others reach by this host
    ");
    assert!(told("203.0.113.255").contains("the broadcast address of 203.0.113.0/24, in which the host is"));
    assert!(told("203.0.113.0").contains("the address of 203.0.113.0/24, in which the host is"));
    topology(&format!("{NETS}ctr x @a,ext=203.0.113.9"), &facts);
}

#[test]
fn an_address_of_a_link_that_leaves_is_the_hosts_no_more() {
    let (eth0, eth2): (IfName, IfName) = ("eth0".try_into().unwrap(), "eth2".try_into().unwrap());
    let fact = DeviceFact {
        mtu: 1500.try_into().unwrap(),
        mac: None,
        held: vec![],
        obstacle: None,
        is_uplink: false,
    };
    let facts = Facts {
        addresses: [("203.0.113.9".parse().unwrap(), eth2.clone())].into(),
        foreign_links: [eth0.clone(), eth2.clone()].into(),
        devices: [(eth2.clone(), fact)].into(),
        uplinks: [(Family::Ipv4, eth2)].into(),
        ..Facts::default()
    };
    let seat = |own: &str, rest: &str| {
        let topology =
            topology(&format!("{own}{NETS}net p physical=\nctr x @a,ext=203.0.113.9{rest}"), &facts);
        (topology.attachment("x", "a").external[0].seat.clone(), warnings(&topology, &facts).len())
    };

    assert_eq!(seat("own eth0\n", ""), (Seat::Others, 1), "it has it already");
    assert_eq!(seat("own eth0\n", "\nctr y @p,dev=eth2"), (Seat::On(eth0), 0));
    assert_eq!(seat("own true\n", "\nctr y @p,dev=eth2"), (Seat::Waits(None), 1), "the way out leaves, too");
}
