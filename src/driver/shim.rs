//! The host beside the containers that are behind a link of its own.
//!
//! A link of the host and those that share it do not hear each other (`macvlan_queue_xmit()` in Linux
//! `drivers/net/macvlan.c`), but those that share it do: so the host has one of these, too, with an address and a route to
//! each container. The address has no subnet: that of the network stays where it is, on the parent or nowhere.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{AltNames, entry};
use crate::resource::Resource;
use crate::resource::address::Address;
use crate::resource::link::{Ipvlan, Link, LinkKind, Macvlan};
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::route::{Rank, Route, Way};
use crate::resource::state::Entry;
use crate::resource::sysctl::{Family, Sysctl, SysctlKey};
use crate::topology::{Attachment, Container, Driver, Network, Shim};

/// Returns the link of the host, with what stands on it.
pub(super) fn link(network: &Network, names: &mut AltNames<'_>) -> Vec<Entry> {
    let Some(Shim { link, addresses }) = network.shim.as_ref().filter(|_| !network.waits) else {
        return vec![];
    };
    let parent = network.interface.clone();
    let (kind, mac) = match network.driver {
        Driver::Macvlan(mode) => (LinkKind::Macvlan(Macvlan { parent, mode }), Some(network.mac)),
        Driver::Ipvlan(mode, flag) => (LinkKind::Ipvlan(Ipvlan { parent, mode, flag }), None),
        Driver::Bridge | Driver::Veth(_) | Driver::Physical | Driver::OpenVswitch(_) => return vec![],
    };
    let shim = Resource::from(Link {
        mac,
        altname: names.give(&[network.name.as_str(), "host"]),
        ..Link::alone(NsRef::Host, link.clone(), network.mtu, kind)
    });
    // A router behind the parent is heard there: by this link it would be a second one.
    let key = SysctlKey::PerLink { family: Family::Ipv6, link: link.clone(), name: "accept_ra".into() };
    let quiet = Resource::Sysctl(Sysctl { ns: NsRef::Host, key, value: "0".into() });
    let address =
        |addr: &IpAddr| Resource::Address(Address::new(NsRef::Host, link.clone(), IpNet::from(*addr)));
    let owner = Owner::Network(network.name.clone());
    let quiet = Some(quiet).filter(|_| network.mtu.carries_ipv6());
    let all = [shim].into_iter().chain(quiet).chain(addresses.iter().map(address));
    all.map(|resource| entry(resource, &owner, &network.origin)).collect()
}

/// Returns the host's routes to a container, in the families that the host has an address of.
pub(super) fn routes(container: &Container, attachment: &Attachment, network: &Network) -> Vec<Entry> {
    let Some(Shim { link, addresses }) = &network.shim else { return vec![] };
    let owner = Owner::Attachment { container: container.name.clone(), network: network.name.clone() };
    let has = |addr: IpAddr| addresses.iter().any(|own| own.is_ipv4() == addr.is_ipv4());
    let held = attachment.addresses.iter().map(IpNet::addr).filter(|addr| has(*addr));
    let route = |addr: IpAddr| {
        let way = Way::By { link: link.clone(), via: None, onlink: false };
        let rank = Rank::usual(Family::of(addr));
        Resource::Route(Route { ns: NsRef::Host, dest: IpNet::from(addr), way, rank, stray: None })
    };
    held.map(|addr| entry(route(addr), &owner, &attachment.origin)).collect()
}
