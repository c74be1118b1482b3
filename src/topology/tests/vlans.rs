//! VLANs of the ports of bridges.

use super::{problems, topology};
use crate::names::{IfName, Mtu};
use crate::resource::vlan::{Filtering, VlanId};
use crate::topology::Topology;
use crate::topology::facts::{Facts, LinkFact};

/// A bridge of somebody else's with an address, whose ports are in this VLAN when they are new; 0 keeps none apart.
fn lan(default: u16) -> Facts {
    let filtering = VlanId::try_from(default).ok().map(|id| Filtering { default: Some(id) });
    let addresses = vec!["10.9.0.1/24".parse().unwrap()];
    let bridge = LinkFact { mtu: Mtu::ETHERNET, addresses, mac: None, filtering };
    Facts { bridges: [(IfName::try_from("br-lan").unwrap(), bridge)].into(), ..Facts::default() }
}

/// Which VLANs a port has, and whether the container has a way out by it.
fn port(topology: &Topology, container: &str, network: &str) -> String {
    let attachment = topology.attachment(container, network);
    let way = if attachment.default_via.is_empty() { "no way out" } else { "a way out" };
    let Some(vlans) = &attachment.vlans else { return way.to_owned() };
    let trunks: Vec<String> = vlans.trunks.iter().map(ToString::to_string).collect();
    format!("{} [{}] {way}", vlans.vlan.map_or_else(String::new, |id| id.to_string()), trunks.join(" "))
}

#[test]
fn who_is_in_another_vlan_than_the_host_has_no_way_out_by_it() {
    let text = "net front 10.9.0.0/24\nnet back 10.8.0.0/24\nctr plain @front\nctr one @front,vlan=1\n\
                ctr red @front,vlan=10\nctr two @front,vlan=10 @back\nctr trunk @front,trunks=20/30\n\
                ctr both @front,vlan=1,trunks=20";
    let topology = topology(text, &Facts::default());

    let seen = ["plain", "one", "red", "two", "trunk", "both"].map(|name| port(&topology, name, "front"));
    let want = [
        "a way out",
        "1 [] a way out",
        "10 [] no way out",
        "10 [] no way out",
        " [20 30] no way out",
        "1 [20] a way out",
    ];
    assert_eq!(seen, want);
    assert_eq!(port(&topology, "two", "back"), "a way out");
    let filtering: Vec<bool> = topology.networks.iter().map(|network| network.filtering.is_some()).collect();
    assert_eq!(filtering, [true, false]);
    insta::assert_snapshot!(topology.warnings(&Facts::default()).join("\n"), @r"sketch:5:1: on network `front`, the host is in the default VLAN, and `red`, `trunk` in others: they reach those in the same VLAN, neither the host nor what is behind it; put them on another network, too, for a way out, or write `internal: true` where none is meant");
}

#[test]
fn an_internal_network_means_it() {
    let topology = topology("net front 10.9.0.0/24 internal\nctr red @front,vlan=10", &Facts::default());
    assert_eq!(topology.warnings(&Facts::default()), [""; 0]);
}

#[test]
fn nothing_is_led_from_the_host_to_who_is_in_another_vlan() {
    let text = "net front 10.9.0.0/24\nctr web @front,vlan=10 publish=80:80\n\
                ctr db @front,vlan=20,ext=203.0.113.9\nctr ok @front,vlan=1 publish=81:80";
    insta::assert_snapshot!(problems(text, &Facts::default()), @r"
    topology::publish_unreachable: `web` publishes a port, but is on no network that leads out
      80:80: published here
      10: in VLAN 10, where the host is not
      help: put `web` on a bridge network that is not internal, or publish nothing
    topology::external_closed: 203.0.113.9 cannot lead to `db` on network `front`: it is in another VLAN than the host
      203.0.113.9: an external address
      20: in VLAN 20, where the host is not
      help: put `db` on another network, too, and write it there
    ");
}

#[test]
fn an_existing_bridge_has_to_keep_vlans_apart_itself() {
    let text = "net lan external=br-lan\nctr web @lan,vlan=10";
    insta::assert_snapshot!(problems(text, &lan(0)), @r"
    topology::bridge_without_vlans: `web` cannot have `vlan` on network `lan`: bridge `br-lan` keeps no VLANs apart
      10: would be in no VLAN
      br-lan: somebody else's, and not changed
      help: whoever made it may switch that on (`ip link set br-lan type bridge vlan_filtering 1`), which concerns all its ports; or leave `vlan` out
    ");

    let topology = topology(&format!("{text}\nctr db @lan,vlan=7\nctr x @lan"), &lan(7));
    let seen = ["web", "db", "x"].map(|name| port(&topology, name, "lan"));
    assert_eq!(seen, ["10 [] no way out", "7 [] a way out", "a way out"]);
}

#[test]
fn the_router_of_a_vlan_of_an_existing_bridge_is_a_way_out() {
    let text = "net lan external=br-lan 10.10.0.0/24,pool=10.10.0.0/28\nctr web @lan,vlan=10";
    let topology = topology(text, &lan(1));
    assert_eq!(port(&topology, "web", "lan"), "10 [] a way out");
    assert_eq!(topology.warnings(&lan(1)), [""; 0]);
}

#[test]
fn vlans_are_for_ports_of_bridges() {
    insta::assert_snapshot!(problems("net wire 10.9.0.0/30 veth=container\nctr a @wire,vlan=10\nctr b @wire", &Facts::default()), @r"
    topology::vlan_without_bridge: `a` cannot have `vlan` on network `wire`: it has no bridge
      10: a port of a bridge is in VLANs
      wire: this network has none
      help: leave `vlan` out, or use `driver: bridge` or `openvswitch`; the parent of a macvlan network may be a VLAN: `parent: eth0.10`
    ");
}
