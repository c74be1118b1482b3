//! What networks, and links between containers of a network with `icc: false`, put into the sets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::IpNet;

use super::{Asked, Elements, of_family, ports_text, prefix_text, union};
use crate::manifest::Ingress;
use crate::names::{ContainerName, NetName, Protocol};
use crate::resource::owner::{Origin, Owner};
use crate::topology::{Attachment, Container, Egress, Network, Runtime, Topology};

pub(super) fn add(topology: &Topology, out: &mut Elements) {
    // Where the host is not, its firewall has nothing to say: it would judge all that crosses the parent.
    for network in topology.networks.iter().filter(|network| network.driver.has_host() && !network.waits) {
        if !network.external {
            judged(network, out);
            // Nothing of an internal network leaves.
            for subnet in network.subnets.iter().filter(|_| !network.internal) {
                let asked = by_network(network);
                hide(&network.egress, subnet.cidr, &asked, out);
            }
        }
        for subnet in &network.subnets {
            let key = vec![prefix_text(subnet.cidr), network.interface.to_string()];
            out.put(&of_family("hairpin", subnet.cidr.addr()), key, None, &by_network(network));
        }
    }
    external(topology, out);
    keep_apart(topology, out);
}

/// Returns the networks of a kind, by their names.
pub(super) fn by_name(
    topology: &Topology,
    is_meant: impl Fn(&Network) -> bool,
) -> HashMap<&NetName, &Network> {
    let networks = topology.networks.iter().filter(|network| is_meant(network));
    networks.map(|network| (&network.name, network)).collect()
}

/// What makes a bridge one of ours, and says what may cross it.
fn judged(network: &Network, out: &mut Elements) {
    let asked = by_network(network);
    let bridge = network.interface.to_string();
    let pair = vec![bridge.clone(), bridge.clone()];
    out.put("bridges", vec![bridge.clone()], None, &asked);
    out.put(if network.icc { "same_network" } else { "no_icc" }, pair, None, &asked);
    if network.internal {
        out.put("internal", vec![bridge], None, &asked);
    } else {
        match network.ingress {
            Ingress::Open => out.put("open", vec![bridge], None, &asked),
            Ingress::Published | Ingress::None => {}
        }
    }
}

/// A bridge of somebody else is not judged: others use it, and their traffic is not ours to drop. Nor is its subnet
/// hidden, which holds others' hosts, too; only the addresses of our own containers are, and only when asked.
fn external(topology: &Topology, out: &mut Elements) {
    let is_meant = |it: &Network| it.external && it.driver.has_host() && !it.waits;
    let networks = by_name(topology, is_meant);
    for (container, attachment) in attachments(topology) {
        let Some(network) = networks.get(&attachment.network) else { continue };
        let asked = by_attachment(container, attachment);
        for address in &attachment.addresses {
            hide(&network.egress, IpNet::from(address.addr()), &asked, out);
        }
    }
}

/// Hides a source behind an address of the host; a family that `snat` gives no address for is masqueraded.
fn hide(egress: &Egress, source: IpNet, asked: &Asked<'_>, out: &mut Elements) {
    let key = vec![prefix_text(source)];
    match egress {
        Egress::Routed => {}
        Egress::Masquerade => out.put(&of_family("masquerade", source.addr()), key, None, asked),
        Egress::Snat(given) => match given.iter().find(|addr| addr.is_ipv4() == source.addr().is_ipv4()) {
            Some(addr) => {
                out.put(&of_family("snat", source.addr()), key, Some(addr.to_string()), asked);
            }
            None => out.put(&of_family("masquerade", source.addr()), key, None, asked),
        },
    }
}

/// Ports of bridges whose containers may not talk to each other, and the links that may.
fn keep_apart(topology: &Topology, out: &mut Elements) {
    let apart = by_name(topology, |network| !network.icc && !network.external);
    for (container, attachment) in attachments(topology) {
        let Some(network) = apart.get(&attachment.network) else { continue };
        let asked = by_attachment(container, attachment);
        let Some(port) = &attachment.port else { continue };
        out.put("ports", vec![port.to_string()], None, &asked);
        for (_, name) in &attachment.links {
            // One that shares a namespace is reached where that one is, on the ports that it exposes itself.
            let is_there = |holder: &Container| holder.names().any(|it| it == name);
            let there = attachments(topology)
                .find(|(holder, other)| is_there(holder) && other.network == network.name);
            let target = topology.containers.iter().find(|container| container.name == *name);
            if let (Some((_, other)), Some(target)) = (there, target) {
                link(attachment, target, other, &asked, out);
            }
        }
    }
}

/// Lets a container reach the ports that another one exposes.
fn link(from: &Attachment, target: &Container, to: &Attachment, asked: &Asked<'_>, out: &mut Elements) {
    let mut exposed: BTreeMap<Protocol, Vec<(u16, u16)>> = BTreeMap::new();
    for expose in &target.expose {
        exposed.entry(expose.protocol).or_default().push((*expose.ports.start(), *expose.ports.end()));
    }
    for (protocol, ranges) in exposed {
        for range in union(ranges) {
            let service = [protocol.to_string(), ports_text(range)];
            if let (Some(from), Some(to)) = (&from.port, &to.port) {
                let way = [from.to_string(), to.to_string()];
                out.put("link", way.into_iter().chain(service.clone()).collect(), None, asked);
            }
            for (source, destination) in ways(from, to) {
                let way = [from.interface.to_string(), source.to_string(), destination.to_string()];
                let key = way.into_iter().chain(service.clone()).collect();
                out.put(&of_family("link", source), key, None, asked);
            }
        }
    }
}

/// Each address of the one with each address of the other, of the same family.
fn ways<'a>(from: &'a Attachment, to: &'a Attachment) -> impl Iterator<Item = (IpAddr, IpAddr)> + 'a {
    from.addresses.iter().flat_map(|source| {
        let same = |other: &&IpNet| other.addr().is_ipv4() == source.addr().is_ipv4();
        to.addresses.iter().filter(same).map(|other| (source.addr(), other.addr()))
    })
}

/// The attachments of containers that are there, those left out whose network is not.
pub(super) fn attachments(topology: &Topology) -> impl Iterator<Item = (&Container, &Attachment)> {
    topology
        .containers
        .iter()
        .filter(|container| is_there(container))
        .flat_map(|container| container.attachments.iter().map(move |attachment| (container, attachment)))
        .filter(|(_, attachment)| !attachment.waits())
}

/// Tells whether the container's namespace is there, or will be by this very apply.
pub(super) fn is_there(container: &Container) -> bool {
    match container.runtime {
        Runtime::Netform | Runtime::Given => true,
        Runtime::Waiting | Runtime::Shared => false,
    }
}

pub(super) fn by_network(network: &Network) -> Asked<'_> {
    asked(Owner::Network(network.name.clone()), &network.origin)
}

pub(super) fn by_attachment<'a>(container: &Container, attachment: &'a Attachment) -> Asked<'a> {
    let (container, network): (ContainerName, NetName) = (container.name.clone(), attachment.network.clone());
    asked(Owner::Attachment { container, network }, &attachment.origin)
}

fn asked(owner: Owner, origin: &Origin) -> Asked<'_> {
    Asked { owner, origin }
}
