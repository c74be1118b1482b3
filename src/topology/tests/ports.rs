//! Published ports.

use super::{problems, topology};
use crate::topology::facts::Facts;

const NETS: &str = "net a 10.0.0.0/24\nnet b 10.1.0.0/24 fd01::/64\nnet v6 fd02::/64\n\
                    net i 10.3.0.0/24 internal\nnet shut 10.4.0.0/24 ingress=none\n";

#[track_caller]
fn check(container: &str, targets: &[&[&str]]) {
    let topology = topology(&format!("{NETS}ctr x {container}"), &Facts::default());
    let publish = topology.container("x").publish.iter();
    let led: Vec<Vec<_>> =
        publish.map(|port| port.targets.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(led, targets, "{container}");
}

#[test]
fn a_port_leads_to_the_attachment_that_answers_leave_by() {
    check("@a @b publish=80:80", &[&["10.0.0.2", "fd01::2"]]);
    check("@a @b,prio=1 publish=80:80", &[&["10.1.0.2", "fd01::2"]]);
    check("@i @b publish=80:80", &[&["10.1.0.2", "fd01::2"]]);
    check("@shut,prio=9 @a publish=80:80", &[&["10.0.0.2"]]);
    check("@a @b publish=127.0.0.1|80:80 publish=2001:db8::7|80:80", &[&["10.0.0.2"], &["fd01::2"]]);
    check("@shut @i publish=80:80", &[]);
    check("@b publish=0.0.0.0|80:80 publish=::|80:80", &[&["10.1.0.2"], &["fd01::2"]]);
}

#[test]
fn a_port_behind_a_network_that_lets_nothing_in_is_told() {
    let told = |container: &str| {
        topology(&format!("{NETS}ctr x {container}"), &Facts::default()).warnings(&Facts::default())
    };
    let warnings = told("@shut publish=80:80 publish=81:81");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let sentence = "`x` publishes a port, and nothing comes in: network `shut` says `ingress: none`";
    assert!(warnings.iter().all(|warning| warning.ends_with(sentence)), "{warnings:?}");
    assert_eq!(told("@shut @a publish=80:80"), Vec::<String>::new());
}

#[test]
fn a_port_that_cannot_lead_anywhere_is_reported_with_the_reason() {
    insta::assert_snapshot!(problems(
        &format!("{NETS}ctr x @i publish=80:80\nctr y none publish=81:81\nctr z @a publish=::1|82:82\nctr q @v6 publish=1.2.3.4|83:83"),
        &Facts::default(),
    ), @r"
    topology::publish_unreachable: `x` publishes a port, but is on no network that leads out
      80:80: published here
      i: on `i`, which is internal
      i: declared `internal`
      help: put `x` on a bridge network that is not internal, or publish nothing
    topology::publish_unreachable: `y` publishes a port, but is on no network that leads out
      81:81: published here
      none: on no network
      help: put `y` on a bridge network that is not internal, or publish nothing
    topology::publish_family: `z` publishes a port over IPv6, and has no IPv6 address
      ::1|82:82: an IPv6 address of the host
      z: no IPv6 address here that can be reached from outside
      help: publish on an address of the other family, or give the network a subnet of IPv6
    topology::publish_family: `q` publishes a port over IPv4, and has no IPv4 address
      1.2.3.4|83:83: an IPv4 address of the host
      q: no IPv4 address here that can be reached from outside
      help: publish on an address of the other family, or give the network a subnet of IPv4
    ");
}

#[track_caller]
fn check_pair(one: &str, two: &str, conflict: bool) {
    let text = format!("{NETS}ctr x {one}\nctr y {two}");
    let found = super::resolved(&text, &Facts::default());
    assert_eq!(found.is_err(), conflict, "{one} and {two}");
}

#[test]
fn a_port_of_the_host_leads_to_one_container() {
    check_pair("@a publish=80:80", "@a publish=80:81", true);
    check_pair("@a publish=80:80", "@a publish=80:80/udp", false);
    check_pair("@a publish=80:80", "@a publish=127.0.0.1|80:80", true);
    check_pair("@a publish=127.0.0.2|80:80", "@a publish=127.0.0.1|80:80", false);
    check_pair("@a publish=0.0.0.0|80:80", "@a publish=127.0.0.1|80:80", true);
    check_pair("@b publish=127.0.0.1|80:80", "@b publish=::1|80:80", false);
    check_pair("@b publish=80:80", "@b publish=::1|80:80", true);
    check_pair("@a publish=80:80", "@v6 publish=80:80", false);
    check_pair("@b publish=0.0.0.0|80:80", "@b publish=::|80:80", false);
    check_pair("@b publish=0.0.0.0|80:80", "@b publish=80:80", true);
    check_pair("@a publish=0.0.0.0|80-90:80", "@a publish=192.0.2.7|85-95:1", true);
    check_pair("@a publish=80-90:80", "@a publish=90:1", true);
    check_pair("@a publish=80-90:80", "@a publish=91-95:1", false);
    check_pair("@a publish=80-90:80 publish=127.0.0.1|100:1", "@a publish=85:1/udp publish=89-91:1", true);
}

#[test]
fn a_port_that_is_published_twice_is_reported_at_both_places() {
    insta::assert_snapshot!(problems(
        &format!("{NETS}ctr x @a publish=8080:80\nctr y @a publish=8000-8100:1\nctr z @a publish=8080:80/udp publish=8080:81/udp"),
        &Facts::default(),
    ), @r"
    topology::port_taken: `x` and `y` publish the same port 8080/tcp of the host
      8000-8100:1: `y` publishes it again
      8080:80: `x` publishes it
      help: publish one of them on another port, or on another address of the host
    topology::port_taken: `z` publishes port 8080/udp of the host twice
      8080:81/udp: `z` publishes it again
      8080:80/udp: `z` publishes it
      help: publish one of them on another port, or on another address of the host
    ");
}

#[test]
fn a_port_of_loopback_does_not_lead_to_the_bridge_of_somebody_else() {
    let addresses = vec!["10.9.0.1/24".parse().unwrap()];
    let bridge = crate::topology::facts::LinkFact {
        mtu: 1500.try_into().unwrap(),
        addresses,
        mac: None,
        filtering: None,
    };
    let facts = Facts { bridges: [("br-lan".try_into().unwrap(), bridge)].into(), ..Facts::default() };

    insta::assert_snapshot!(problems("net lan external=br-lan\nctr web @lan publish=127.0.0.1|80:80", &facts), @r"
    topology::external_loopback: `web` publishes a port on 127.0.0.1, which cannot lead to somebody else's bridge
      127.0.0.1|80:80: the loopback address
      br-lan: network `lan` is on somebody else's bridge
      help: publish on another address of the host, or put the container on a network of netform's, too
    ");
    topology("net lan external=br-lan\nctr web @lan publish=80:80", &facts);
}
