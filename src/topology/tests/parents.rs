//! Networks on a link of the host.

use super::{problems, topology};
use crate::names::IfName;
use crate::resource::link::{IpvlanFlag, IpvlanMode, MacvlanMode, Shares};
use crate::resource::sysctl::Family;
use crate::resource::vlan::Vlan;
use crate::topology::facts::{Carried, Facts, LinkFact, Silent};
use crate::topology::leases;
use crate::topology::silent::warnings;

/// A host that is itself on 192.168.1.0/24, by a link that carries 1,400 bytes.
fn on_eth0() -> Facts {
    let link = LinkFact {
        mtu: 1400.try_into().unwrap(),
        addresses: vec!["192.168.1.2/24".parse().unwrap()],
        mac: None,
        filtering: None,
    };
    Facts {
        parents: [("eth0".try_into().unwrap(), link)].into(),
        routes: ["192.168.1.0/24".parse().unwrap()].into(),
        uplink_mtu: Some(1400.try_into().unwrap()),
        ..Facts::default()
    }
}

#[test]
fn the_hosts_addresses_are_kept_clear_of_and_its_route_is_no_obstacle() {
    let topology = topology("net lan macvlan=eth0 192.168.1.0/24\nctr a @lan\nctr b @lan", &on_eth0());

    assert_eq!(topology.addresses("a", "lan"), "192.168.1.1/24");
    assert_eq!(topology.addresses("b", "lan"), "192.168.1.3/24");
    assert_eq!(topology.networks[0].mtu.bytes(), 1400);
}

#[test]
fn only_a_router_that_is_named_leads_out() {
    let via = |subnet: &str| {
        let topology = topology(&format!("net lan macvlan=eth0 {subnet}\nctr a @lan"), &on_eth0());
        (topology.subnets(), topology.attachment("a", "lan").default_via.clone())
    };

    assert_eq!(via("192.168.1.0/24"), (vec!["lan 192.168.1.0/24 via nobody".to_owned()], vec![]));
    let router = "192.168.1.1".parse().unwrap();
    assert_eq!(
        via("192.168.1.0/24,gw=192.168.1.1"),
        (vec!["lan 192.168.1.0/24 via 192.168.1.1".to_owned()], vec![router])
    );
}

#[test]
fn networks_may_share_a_parent_unless_one_has_it_for_itself() {
    topology("net a macvlan=eth0 10.1.0.0/24\nnet b macvlan=eth0,vepa 10.2.0.0/24\nctr x @a @b", &on_eth0());
    insta::assert_snapshot!(
        problems(
            "net a macvlan=eth0,passthru 10.1.0.0/24\nnet b macvlan=eth0 10.2.0.0/24\nctr x @a\nctr y @a",
            &on_eth0()
        ),
        @r"
    topology::passthru_shared: in mode passthru, one container alone has `eth0`
      eth0,passthru: `a` has it for itself
      b: `b` stands on it, too
      a: `y` is number 2
      help: use `mode: bridge` to share the parent
    "
    );
}

#[test]
fn a_parent_has_to_exist_and_to_carry_the_packets() {
    insta::assert_snapshot!(problems("net a macvlan=eth1 10.1.0.0/24\nnet b macvlan=eth0 10.2.0.0/24 mtu=1500", &on_eth0()), @r"
    topology::unknown_parent: there is no link `eth1` that a network could stand on
      eth1: the parent of network `a`
      help: did you mean `eth0`?
    topology::mtu_above_parent: MTU 1500 is more than its parent `eth0` carries
      1500: more than 1400
      eth0: the parent
      help: use at most 1400, or leave it out
    ");
}

#[test]
fn the_host_publishes_no_port_where_it_is_not() {
    insta::assert_snapshot!(problems("net a macvlan=eth0 10.1.0.0/24\nctr x @a publish=80:80", &on_eth0()), @r"
    topology::publish_unreachable: `x` publishes a port, but is on no network that leads out
      80:80: published here
      a: on `a`, which is without the host
      a: its containers are reached directly
      help: put `x` on a bridge network that is not internal, or publish nothing
    ");
}

#[test]
fn all_ipvlan_networks_on_a_parent_are_alike_and_macvlan_is_not_beside_them() {
    topology("net a ipvlan=eth0,l3 10.1.0.0/24\nnet b ipvlan=eth0,l3 10.2.0.0/24\nctr x @a @b", &on_eth0());
    insta::assert_snapshot!(
        problems(
            "net a ipvlan=eth0 10.1.0.0/24\nnet b ipvlan=eth0,l3 10.2.0.0/24\nnet c ipvlan=eth0,l2,vepa 10.3.0.0/24\nnet d \
             macvlan=eth0,vepa 10.4.0.0/24",
            &on_eth0()
        ),
        @r"
        topology::parent_clash: `a` and `b` cannot share `eth0`: all ipvlan links on a link have one mode and one flag
          eth0,l3: `b` is ipvlan in mode l3
          eth0: `a` is ipvlan in mode l2
          help: make them alike, or give one of them another parent, such as a VLAN
        topology::parent_clash: `a` and `c` cannot share `eth0`: all ipvlan links on a link have one mode and one flag
          eth0,l2,vepa: `c` is ipvlan in mode l2, vepa
          eth0: `a` is ipvlan in mode l2
          help: make them alike, or give one of them another parent, such as a VLAN
        topology::parent_clash: `a` and `d` cannot share `eth0`: a link carries macvlan or ipvlan links, not both
          eth0,vepa: `d` is macvlan
          eth0: `a` is ipvlan in mode l2
          help: make them alike, or give one of them another parent, such as a VLAN
        "
    );
}

#[test]
fn what_others_have_on_the_parent_decides_what_can_be_on_it() {
    let theirs = |how| Carried {
        how,
        what: "eth0 in db".to_owned(),
        owner: Some("project blog".to_owned()),
        is_elsewhere: true,
    };
    let beside =
        |how| Facts { carried: [("eth0".try_into().unwrap(), [theirs(how)].into())].into(), ..on_eth0() };
    let macvlan = beside(Shares::Macvlan(MacvlanMode::Bridge));
    let ipvlan = beside(Shares::Ipvlan(IpvlanMode::L3, IpvlanFlag::Private));

    topology("net a macvlan=eth0,vepa 10.1.0.0/24", &macvlan);
    topology("net a ipvlan=eth0,l3,private 10.1.0.0/24", &ipvlan);
    insta::assert_snapshot!(problems("net a ipvlan=eth0 10.1.0.0/24", &macvlan), @r"
    topology::parent_taken: `a` cannot be on `eth0`: a link carries macvlan or ipvlan links, not both
      eth0: eth0 in db of project blog is macvlan on it
      help: make the network alike, give it another parent, such as a VLAN, or remove what is there
    ");
    insta::assert_snapshot!(problems("net a ipvlan=eth0,l3 10.1.0.0/24", &ipvlan), @r"
    topology::parent_taken: `a` cannot be on `eth0`: all ipvlan links on a link have one mode and one flag
      eth0,l3: eth0 in db of project blog is ipvlan in mode l3, private on it
      help: make the network alike, give it another parent, such as a VLAN, or remove what is there
    ");
    insta::assert_snapshot!(problems("net a macvlan=eth0 10.1.0.0/24", &ipvlan), @r"
    topology::parent_taken: `a` cannot be on `eth0`: a link carries macvlan or ipvlan links, not both
      eth0: eth0 in db of project blog is ipvlan in mode l3, private on it
      help: make the network alike, give it another parent, such as a VLAN, or remove what is there
    ");
}

#[test]
fn what_carries_no_macvlan_link_or_not_this_one_is_told() {
    let theirs = |mode, what: &str, is_elsewhere: bool| Carried {
        how: Shares::Macvlan(mode),
        what: what.to_owned(),
        owner: is_elsewhere.then(|| "project blog".to_owned()),
        is_elsewhere,
    };
    let mut facts = on_eth0();
    let link = facts.parents[&name("eth0")].clone();
    facts.parents.extend(["tun0", "eth1", "mv0"].map(|at| (name(at), link.clone())));
    facts.not_ethernet.extend(["lo", "tun0"].map(name));
    facts.carried.insert(name("eth0"), [theirs(MacvlanMode::Bridge, "mv0", false)].into());
    facts.carried.insert(name("eth1"), [theirs(MacvlanMode::Passthru, "eth0 in vm", true)].into());

    topology("net a macvlan=eth0 10.1.0.0/24\nnet b ipvlan=tun0,l3 10.2.0.0/24", &facts);
    let all = "net a macvlan=tun0 10.1.0.0/24\nnet b macvlan=lo 10.2.0.0/24\nnet c macvlan=mv0 10.3.0.0/24\n\
               net d macvlan=eth1 10.4.0.0/24\nnet e macvlan=eth0,passthru 10.5.0.0/24";
    insta::assert_snapshot!(problems(all, &facts), @r"
    topology::parent_unfit: `a` cannot be on `tun0`: a macvlan link is an Ethernet link, and needs one below it
      tun0: `tun0` has no Ethernet addresses, like a tun or a tunnel
      help: name another parent, or make it a network of `driver: bridge`, which is routed by way of it
    topology::parent_unfit: nothing can stand on `lo`: it leads to the host itself alone
      lo: the parent of network `b`
      help: name a link that leads out of the host, `ip link` lists them; for containers among themselves, `driver: bridge` is a network
    topology::parent_unfit: `c` cannot be on `mv0`: it is a macvlan link itself
      mv0: `mv0` is on `eth0`
      help: name `eth0`: there it would be in any case
    topology::parent_taken: `d` cannot be on `eth1`: in mode passthru, one link alone has it
      eth1: eth0 in vm of project blog is macvlan in mode passthru on it
      help: remove what is there, give the network another parent, such as a VLAN, or let both be in `mode: bridge`
    topology::parent_taken: `e` cannot be on `eth0`: in mode passthru, one link alone has it
      eth0,passthru: mv0 is macvlan on it
      help: remove what is there, give the network another parent, such as a VLAN, or let both be in `mode: bridge`
    ");
}

#[test]
fn where_the_host_routes_the_link_itself_leads_out() {
    let ways = |text: &str| {
        let topology = topology(text, &on_eth0());
        let attachment = topology.attachment("x", "a");
        (attachment.default_via.len(), attachment.default_on_link.clone())
    };

    let both = vec![Family::Ipv4, Family::Ipv6];
    assert_eq!(ways("net a ipvlan=eth0,l3 10.1.0.0/24 10.2.0.0/24 fd00::/64\nctr x @a"), (0, both));
    assert_eq!(ways("net a ipvlan=eth0,l3s fd00::/64\nctr x @a"), (0, vec![Family::Ipv6]));
    assert_eq!(ways("net a ipvlan=eth0 10.1.0.0/24,gw=10.1.0.9\nctr x @a"), (1, vec![]));
    insta::assert_snapshot!(problems("net a ipvlan=eth0,l3 10.1.0.0/24,gw=10.1.0.9\nctr x @a,mac=02:00:00:00:00:01", &on_eth0()), @r"
    topology::gateway_unused: network `a` has no gateway in mode l3: this host routes its packets
      10.1.0.9: nobody would be asked for it
      eth0,l3: by way of `eth0`
      help: leave `gateway` out; whoever is behind the parent needs a route to the subnet
    topology::ipvlan_mac: `x` cannot have a link-layer address of its own on `a`
      02:00:00:00:00:01: given here
      eth0,l3: every ipvlan link has its parent's
      help: leave `mac` out, or use `driver: macvlan`
    ");
}

#[test]
fn a_vlan_that_nobody_has_made_is_made_on_its_link() {
    let facts = Facts { foreign_links: [name("eth0"), name("eth0.9")].into(), ..on_eth0() };
    let made = topology(
        "net a macvlan=eth0.10 10.1.0.0/24\nnet b macvlan=eth0.10,vepa 10.2.0.0/24\nctr x @a @b",
        &facts,
    );
    let vlans: Vec<_> = made.networks.iter().filter_map(|network| network.vlan.clone()).collect();
    assert_eq!(vlans, vec![(Vlan::named(&name("eth0.10")).unwrap(), 1400.try_into().unwrap()); 2]);

    let theirs = LinkFact { mtu: 1300.try_into().unwrap(), addresses: vec![], mac: None, filtering: None };
    let mut there = facts.clone();
    there.parents.insert(name("eth0.10"), theirs);
    assert_eq!(topology("net a ipvlan=eth0.10 10.1.0.0/24", &there).networks[0].vlan, None);

    insta::assert_snapshot!(problems("net a macvlan=eth0.4095 10.1.0.0/24\nnet b ipvlan=eth1.10 10.2.0.0/24\nnet c macvlan=eth0.9 10.3.0.0/24", &facts), @r"
    topology::unknown_parent: there is no link `eth0.4095` that a network could stand on
      eth0.4095: the parent of network `a`
      help: name a link of the host that is no bridge's port, `ip link` lists them; or a VLAN of one, 1 to 4094, such as `eth0.10`
    topology::unknown_parent: there is no link `eth1.10` that a network could stand on
      eth1.10: the parent of network `b`
      help: did you mean `eth0`?
    topology::unknown_parent: there is no link `eth0.9` that a network could stand on
      eth0.9: the parent of network `c`
      help: did you mean `eth0`?
    ");
}

#[test]
fn a_parent_that_was_there_is_waited_for_unless_links_on_it_live_on() {
    let text = "net a macvlan=wan0 10.1.0.0/24,gw=10.1.0.1\nnet b 10.2.0.0/24\nctr x @a @b";
    let mut facts = on_eth0();
    facts.leases.parents.insert(name("wan0"));

    let waiting = topology(text, &facts);
    let waits: Vec<_> = waiting.networks.iter().map(|network| network.waits).collect();
    assert_eq!(waits, [true, false]);
    assert_eq!(waiting.attachment("x", "b").default_via.len(), 1, "another one leads out meanwhile");
    assert_eq!(
        warnings(&waiting, &facts),
        ["there is no link `wan0`: network `a` waits for it, with all that is on it"]
    );
    assert!(leases(&waiting, &facts.leases).parents.contains(&name("wan0")), "and goes on being waited for");

    let held = [("a".try_into().unwrap(), vec!["10.1.0.2".parse().unwrap()])].into_iter().collect();
    facts.live.addresses.insert("x".try_into().unwrap(), held);
    assert!(problems(text, &facts).contains("there is no link `wan0`"));
}

#[test]
fn a_parent_that_leads_to_nobody_is_told() {
    let told = |silent| {
        let facts = Facts { silent: [(name("eth0"), silent)].into(), ..on_eth0() };
        warnings(
            &topology(
                "net a macvlan=eth0 10.1.0.0/24\nnet b ipvlan=eth0.7 10.2.0.0/24\nnet c 10.3.0.0/24",
                &facts,
            ),
            &facts,
        )
    };

    assert_eq!(
        told(Silent::Down),
        [
            "`eth0` is down (`ip link set eth0 up`): until that changes, nobody behind it hears of network `a`",
            "`eth0` is down (`ip link set eth0 up`): until that changes, nobody behind it hears of network `b`"
        ]
    );
    assert_eq!(
        told(Silent::NoCarrier)[0],
        "`eth0` has no carrier: until that changes, nobody behind it hears of network `a`"
    );
}

fn name(name: &str) -> IfName {
    name.try_into().unwrap()
}

#[test]
fn nobody_gets_the_address_of_the_hosts_router_unless_it_is_asked_for() {
    let routed = Facts { routers: ["192.168.1.1".parse().unwrap()].into(), ..on_eth0() };
    let net = "net lan macvlan=eth0 192.168.1.0/24\nctr a @lan";
    assert_eq!(topology(net, &routed).addresses("a", "lan"), "192.168.1.3/24");
    assert_eq!(topology(&format!("{net},addr=192.168.1.1"), &routed).addresses("a", "lan"), "192.168.1.1/24");
}

#[test]
fn the_host_has_an_address_that_nobody_else_gets() {
    let network = |host: &str, rest: &str| {
        format!(
            "net lan macvlan=eth0 192.168.1.0/24,gw=192.168.1.1,reserve=printer:192.168.1.9 {host}\nctr a @lan{rest}"
        )
    };
    let beside = topology(&network("host=192.168.1.3", ""), &on_eth0());
    assert_eq!(beside.addresses("a", "lan"), "192.168.1.4/24");
    let hosts = beside.container("a").hosts.to_string();
    assert!(hosts.contains("192.168.1.3\thost.netform.internal\n"), "{hosts}");
    assert_eq!(
        beside.networks[0].shim.as_ref().unwrap().addresses,
        ["192.168.1.3".parse::<std::net::IpAddr>().unwrap()]
    );

    insta::assert_snapshot!(problems(&network("host=192.168.1.3", ",addr=192.168.1.3"), &on_eth0()), @r"
    topology::address_reserved: address 192.168.1.3 is reserved for `the host itself`
      192.168.1.3: `a` is to have it
      192.168.1.3: reserved for `the host itself`
      help: use another address of 192.168.1.1 to 192.168.1.254, or leave it out, and one is chosen
    ");
    for host in ["10.9.9.9", "192.168.1.1", "192.168.1.255", "192.168.1.2", "192.168.1.9"] {
        let told = problems(&network(&format!("host={host}"), ""), &on_eth0());
        assert!(told.contains("topology::host_address_"), "{told}");
    }
    let elsewhere = Facts {
        addresses: [
            ("192.168.1.3".parse().unwrap(), name("eth1")),
            ("192.168.1.5".parse().unwrap(), name("eth1")),
        ]
        .into(),
        ..on_eth0()
    };
    let told = problems(&network("host=192.168.1.3", ""), &elsewhere);
    assert!(told.contains("is that of `eth1` already"), "{told}");
    assert_eq!(
        topology(&network("host=192.168.1.4", ""), &elsewhere).addresses("a", "lan"),
        "192.168.1.6/24"
    );
    let told = problems(&network("host=192.168.1.3 host=192.168.1.4", ""), &on_eth0());
    assert!(told.contains("topology::host_address_twice"), "{told}");
    let told = problems(&network("host=192.168.1.3", "").replace("=eth0", "=eth0,vepa"), &on_eth0());
    assert!(told.contains("topology::host_apart"), "{told}");
}
