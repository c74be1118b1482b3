//! Networks on Open vSwitch.

use super::{problems, topology};
use crate::names::{IfName, Mtu};
use crate::topology::facts::{Facts, LinkFact};

#[test]
fn a_bridge_of_open_vswitch_has_addresses_and_ports_as_any() {
    let text =
        "net front openvswitch=netdev 10.9.0.0/24\nctr web @front,vlan=10 publish=80:80\nctr db @front";
    let topology = topology(text, &Facts::default());

    assert_eq!(topology.subnets(), ["front 10.9.0.0/24 via 10.9.0.1"]);
    let port = |container: &str| topology.attachment(container, "front").switched.clone().unwrap();
    assert_eq!(port("web").vlan.map(|vlan| vlan.number()), Some(10));
    assert_eq!(port("db").vlan, None);
    assert_eq!(
        topology.warnings(&Facts::default()),
        [
            "sketch:2:1: on network `front`, the host is in no VLAN, and `web` in one: they reach those in the same VLAN, \
             neither the host nor what is behind it, and no port published to them leads there; put them on another \
             network, too, for a way out, or write `internal: true` where none is meant"
        ]
    );
}

#[test]
fn a_port_of_open_vswitch_has_one_vlan_or_trunks() {
    let text = "net front openvswitch=netdev 10.9.0.0/24\nctr web @front,vlan=10,trunks=20";
    insta::assert_snapshot!(problems(text, &Facts::default()), @r"
    topology::vlan_and_trunks: a port on `front` is in one `vlan`, without tags, or carries `trunks`, with tags
      trunks: carries these with tags
      10: is in this one without tags
      front: on Open vSwitch
      help: leave one of them out, or use `driver: bridge`
    ");
}

#[test]
fn an_external_one_is_a_bridge_of_open_vswitch_and_no_other() {
    let name = |name: &str| IfName::try_from(name).unwrap();
    let link = || LinkFact {
        mtu: Mtu::ETHERNET,
        addresses: vec!["10.9.0.1/24".parse().unwrap()],
        mac: None,
        filtering: None,
    };
    let bridges = [(name("br-lan"), link())].into();
    let vswitches = [(name("ovsbr0"), link())].into();
    let facts = Facts { bridges, vswitches, ..Facts::default() };

    let found = topology("net lan openvswitch=system external=ovsbr0\nctr web @lan", &facts);
    assert_eq!(found.subnets(), ["lan 10.9.0.0/24 via 10.9.0.1"]);
    insta::assert_snapshot!(problems("net lan openvswitch=system external=br-lan\nctr web @lan", &facts), @"
    topology::unknown_bridge: there is no bridge of Open vSwitch named `br-lan`
      br-lan: network `lan` is to be on it
      help: `br-lan` is a Linux bridge: write `driver: bridge`
    ");
    insta::assert_snapshot!(problems("net lan external=ovsbr0\nctr web @lan", &facts), @"
    topology::unknown_bridge: there is no bridge named `ovsbr0`
      ovsbr0: network `lan` is to be on it
      help: `ovsbr0` is one of Open vSwitch: write `driver: openvswitch`
    ");
}
