//! Networks on a bridge of somebody else's: whether it is there, and what is meant when it is not.
//!
//! Whoever makes the bridge may do so later, or anew: until it is there, the network and all that is on it wait, and
//! everything else goes on. What its subnets, its gateway and its VLANs are is the bridge's to say, so nothing that depends
//! on them is a mistake before. So it is while a bridge that is there has no address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::facts::{Facts, Leases, LinkFact};
use super::scene::{Member, Net, Scene};
use super::text::nearest;
use super::{Attachment, Container, Network, Runtime, Topology, named, vswitch};
use crate::manifest::problem::Problem;
use crate::manifest::{At, Driver};
use crate::names::{IfName, NetName};
use crate::resource::owner::Owner;
use crate::resource::sysctl::Family;

/// Tells whether a network waits for the bridge of somebody else that it is to be on.
pub(super) fn waits(scene: &Scene<'_>, net: &Net<'_>) -> bool {
    net.spec.external.is_some() && vswitch::external(scene, net).is_none() && !scene.facts.is_assumed
}

/// Whether what an attachment's network is on is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// It is.
    Firm,
    /// It is not: the attachment waits for the network's bridge, or its parent.
    Waits,
    /// It is somebody else's bridge, which has no address to tell the subnet by, and something of the attachment needs one.
    Bare,
}

/// Returns what an attachment is on.
pub(super) fn ground(scene: &Scene<'_>, member: &Member<'_>, network: &Network) -> Ground {
    if network.waits {
        return Ground::Waits;
    }
    let Some(net) = scene.net(member).filter(|net| net.spec.external.is_some()) else { return Ground::Firm };
    let wanted = member.spec.addresses.iter().chain(&member.spec.external).map(|at| at.value);
    let mut wanted = wanted.chain(member.spec.routes.iter().map(|at| at.value.to.value.addr()));
    let is_bare = wanted.any(|addr| scene.is_unknown(net, Some(Family::of(addr))));
    if is_bare && !scene.facts.is_assumed { Ground::Bare } else { Ground::Firm }
}

/// Tells whether somebody else's bridge has no address to tell a subnet by, of a family or at all.
pub(super) fn is_bare(scene: &Scene<'_>, net: &Net<'_>, family: Option<Family>) -> bool {
    let Some(bridge) = vswitch::external(scene, net) else { return false };
    let is_meant = |address: &IpNet| family.is_none_or(|family| family == Family::of(address.addr()));
    !bridge.addresses.iter().any(|address| is_meant(address) && tells_a_subnet(address))
}

/// Tells whether an address of a bridge says which subnet others there are in.
pub(super) fn tells_a_subnet(address: &IpNet) -> bool {
    let link_local = match address.addr() {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    };
    !link_local && address.prefix_len() < address.max_prefix_len()
}

/// Returns a sentence for each network whose bridge has no address that something on it needs.
pub(super) fn warnings(topology: &Topology) -> Vec<String> {
    let external = topology.networks.iter().filter(|network| network.external && !network.waits);
    let told = external.filter_map(|Network { name, origin, interface, .. }| {
        let needs_one = |container: &&Container| {
            let mut here = container.attachments.iter().filter(|attachment| attachment.network == *name);
            let unled = || container.publish.iter().any(|port| port.targets.is_empty());
            here.any(|attachment| attachment.ground == Ground::Bare || unled())
        };
        let container = topology.containers.iter().find(needs_one)?;
        Some(format!(
            "{origin}: bridge `{interface}` has no address to tell a subnet by, which container {} needs on network \
             {name}: its addresses, routes and ports there wait for that; give the bridge one, or the network its \
             `subnets`",
            container.name
        ))
    });
    told.collect()
}

/// Says that what a network is to be on is there and is no such bridge.
pub(super) fn mistaken(scene: &Scene<'_>, net: &Net<'_>, at: &At<IfName>) -> Option<Problem> {
    let facts = scene.facts;
    let to_be = format!("network `{}` is to be on it", net.name);
    let name = &at.value;
    if name.as_str() == "lo" {
        // That nothing can have this name is a problem of its own.
        return None;
    }
    let problem = |code, message: String, help: String| Problem {
        message,
        code,
        labels: vec![(at.place, to_be.clone())],
        help: Some(help),
    };
    if let Some((other, _)) = facts.interfaces.iter().find(|(_, interface)| *interface == name) {
        let help = format!(
            "write `interface: {name}` in place of `external`, or give it up first, as it is: `netform forget --force \
             network.{other}`"
        );
        let message = format!("bridge `{name}` is netform's own: network `{other}` has it");
        return Some(problem("topology::own_bridge", message, help));
    }
    if let Some(further) = named::further(scene, name, (at.place, &to_be)) {
        return Some(further);
    }
    let (what, others, right) = kinds(facts, &net.spec.driver);
    if others.contains_key(name) {
        let message = format!("there is no {what} named `{name}`");
        return Some(problem("topology::unknown_bridge", message, format!("`{name}` is {right}")));
    }
    let help = "`ip link show type bridge` lists the bridges; behind a link that is none, `driver: macvlan` is a network";
    let message = || format!("`{name}` is no {what}");
    let is_other = facts.foreign_links.contains(name);
    is_other.then(|| problem("topology::unknown_bridge", message(), help.to_owned()))
}

/// Returns what a network's bridge is called, and the bridges that are of another kind, with what is said of one.
fn kinds<'f>(
    facts: &'f Facts,
    driver: &Driver,
) -> (&'static str, &'f BTreeMap<IfName, LinkFact>, &'static str) {
    match driver {
        Driver::OpenVswitch(_) => {
            ("bridge of Open vSwitch", &facts.bridges, "a Linux bridge: write `driver: bridge`")
        }
        Driver::Bridge
        | Driver::Macvlan { .. }
        | Driver::Ipvlan { .. }
        | Driver::Veth(_)
        | Driver::Physical => {
            ("bridge", &facts.vswitches, "one of Open vSwitch: write `driver: openvswitch`")
        }
    }
}

/// Returns the sentence that says what a network waits for.
pub(super) fn sentence(network: &Network, facts: &Facts) -> String {
    let Network { name, interface, .. } = network;
    let (what, there) = match network.driver {
        super::Driver::OpenVswitch(_) => ("bridge of Open vSwitch", &facts.vswitches),
        super::Driver::Bridge
        | super::Driver::Macvlan(_)
        | super::Driver::Ipvlan(..)
        | super::Driver::Veth(_)
        | super::Driver::Physical => ("bridge", &facts.bridges),
    };
    // One that containers were on is no misspelt name.
    let was_there = facts.leases.addresses.values().any(|networks| networks.contains_key(name));
    let meant = nearest(interface.as_str(), there.keys().map(IfName::as_str)).filter(|_| !was_there);
    let meant = meant.map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
    format!("there is no {what} `{interface}`{meant}: network `{name}` waits for it, with all that is on it")
}

/// Returns the addresses that containers had on networks that wait: nobody knows them better until these are there.
pub(super) fn held_meanwhile(topology: &Topology, before: &Leases, leases: &mut Leases) {
    let waits =
        |name: &NetName| topology.networks.iter().any(|network| network.name == *name && network.waits);
    for (container, networks) in &mut leases.addresses {
        let Some(before) = before.addresses.get(container) else { continue };
        for (network, addresses) in networks.iter_mut().filter(|(name, held)| held.is_empty() && waits(name))
        {
            addresses.extend(before.get(network).into_iter().flatten());
        }
    }
}

impl Topology {
    /// Returns what is declared and has nothing on the host meanwhile, since what it needs is not there: the bridge or the
    /// parent of its network, a link, or the container that it leads to.
    pub fn idle(&self) -> Vec<Owner> {
        let networks = self.networks.iter().filter(|network| network.waits);
        let networks = networks.map(|network| Owner::Network(network.name.clone()));
        networks.chain(self.containers.iter().flat_map(idle_of)).collect()
    }
}

fn idle_of(container: &Container) -> Vec<Owner> {
    let is_away = container.runtime == Runtime::Waiting;
    let away = container.attachments.iter().filter(|attachment| is_away || attachment.waits());
    let idle = away.flat_map(|Attachment { network, external, .. }| {
        let (container, network) = (container.name.clone(), network.clone());
        let external = external.iter().map(|external| Owner::External(external.address));
        std::iter::once(Owner::Attachment { container, network }).chain(external)
    });
    let ports = container.publish.iter().filter(|port| is_away || port.targets.is_empty());
    idle.chain(ports.flat_map(super::Publish::owners)).collect()
}
