//! Networks on bridges of others.

use super::{problems, topology};
use crate::names::IfName;
use crate::topology::facts::{Facts, LinkFact};
use crate::topology::leases;
use crate::topology::silent::warnings;

fn on_br_lan(addresses: &[&str]) -> Facts {
    let addresses = addresses.iter().map(|addr| addr.parse().unwrap()).collect();
    let bridge = LinkFact { mtu: 9000.try_into().unwrap(), addresses, mac: None, filtering: None };
    Facts { bridges: [("br-lan".try_into().unwrap(), bridge)].into(), ..Facts::default() }
}

#[test]
fn an_existing_bridge_that_is_not_there_is_waited_for_with_all_that_depends_on_it() {
    let text = "net lan external=br-lam egress=masquerade\nnet b 10.2.0.0/24\n\
                ctr web @lan,addr=192.168.1.1,ext=203.0.113.9,vlan=10,route=10.9.0.0/16>192.168.1.9 @b publish=8080:80\n\
                ctr nas @lan,vlan=10 publish=445:445";
    let mut facts = on_br_lan(&[]);

    let waiting = topology(text, &facts);

    assert!(waiting.networks[0].waits && !waiting.networks[1].waits);
    assert_eq!(waiting.addresses("web", "lan"), "", "the bridge says which subnet there is");
    assert_eq!(waiting.attachment("web", "b").default_via.len(), 1, "another network leads out meanwhile");
    let targets = |name: &str| waiting.container(name).publish[0].targets.clone();
    assert_eq!(targets("web"), ["10.2.0.2".parse::<std::net::IpAddr>().unwrap()]);
    assert!(targets("nas").is_empty());
    assert_eq!(
        warnings(&waiting, &facts),
        [
            "there is no bridge `br-lam` (did you mean `br-lan`?): network `lan` waits for it, with all that is on it"
        ]
    );
    let idle: Vec<_> = waiting.idle().iter().map(ToString::to_string).collect();
    assert_eq!(
        idle,
        [
            "network.lan",
            "attachment.web@lan",
            "attachment.nas@lan",
            "port.0.0.0.0:445/tcp",
            "port.[::]:445/tcp"
        ]
    );

    // What containers had there is kept for them.
    let held = [("lan".try_into().unwrap(), vec!["192.168.1.7".parse().unwrap()])].into();
    facts.leases.addresses.insert("nas".try_into().unwrap(), held);
    let waiting = topology(text, &facts);
    assert_eq!(
        leases(&waiting, &facts.leases).addresses[&"nas".try_into().unwrap()],
        facts.leases.addresses[&"nas".try_into().unwrap()]
    );
    assert!(!warnings(&waiting, &facts)[0].contains("did you mean"), "it was there");
}

#[test]
fn where_a_subnet_is_given_the_missing_bridge_still_says_who_has_which_address_in_it() {
    let text =
        "net lan external=br-lam 192.168.1.0/24\nctr web @lan,addr=192.168.1.1 publish=80:80\nctr nas @lan";
    let waiting = topology(text, &on_br_lan(&[]));

    assert_eq!(waiting.addresses("web", "lan"), "192.168.1.1/24");
    assert_eq!(waiting.addresses("nas", "lan"), "", "others may have it");
    assert_eq!(waiting.subnets(), ["lan 192.168.1.0/24 via nobody"]);
    assert!(waiting.container("web").publish[0].targets.is_empty());
}

#[test]
fn what_is_there_and_no_bridge_of_others_is_not_waited_for() {
    let name = |name: &str| IfName::try_from(name).unwrap();
    let mut facts = on_br_lan(&[]);
    facts.foreign_links.insert(name("eth0"));
    facts.interfaces.insert("front".try_into().unwrap(), name("br-front"));
    insta::assert_snapshot!(problems("net lan external=eth0\nnet front external=br-front", &facts), @r"
    topology::unknown_bridge: `eth0` is no bridge
      eth0: network `lan` is to be on it
      help: `ip link show type bridge` lists the bridges; behind a link that is none, `driver: macvlan` is a network
    topology::own_bridge: bridge `br-front` is netform's own: network `front` has it
      br-front: network `front` is to be on it
      help: write `interface: br-front` in place of `external`, or give it up first, as it is: `netform forget --force network.front`
    ");
}
