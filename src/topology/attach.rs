//! Attachments and containers, put together.

use ipnet::IpNet;

use super::interface::Interfaces;
use super::resolve::Asker;
use super::scene::{Member, Party, Scene};
use super::{Attachment, Container, Network, Runtime};
use crate::manifest::{self, At};
use crate::names::Mac;
use crate::resource::sysctl::Family;

/// What is known of all attachments before they are put together, each list by index into the scene's attachments.
pub(super) struct Parts<'p> {
    pub(super) interfaces: &'p Interfaces,
    pub(super) macs: &'p [Mac],
    pub(super) addresses: &'p [Vec<IpNet>],
    /// The networks, by index into the scene's.
    pub(super) networks: &'p [Network],
}

/// Returns the containers, with neither published ports nor names yet.
pub(super) fn assemble(scene: &Scene<'_>, parts: &Parts<'_>, origin: Asker<'_>) -> Vec<Container> {
    let container = |party: &Party<'_>| {
        let manifest::Container { netns, isolated: _, networks: _, publish: _, expose } = party.spec;
        let runtime = match netns {
            None => Runtime::Netform,
            Some(_) if scene.facts.namespaces.contains(&party.ns) => Runtime::Given,
            Some(_) => Runtime::Waiting,
        };
        let members = party.members.clone().zip(scene.of(party));
        let mut attachments: Vec<_> =
            members.filter_map(|(index, member)| attachment(parts, index, member, origin)).collect();
        for family in [Family::Ipv4, Family::Ipv6] {
            route(scene.of(party), parts.networks, family, &mut attachments);
        }
        Container {
            name: party.name.clone(),
            origin: origin(party.place),
            ns: party.ns.clone(),
            runtime,
            attachments,
            publish: vec![],
            expose: expose.iter().map(|at| at.value.clone()).collect(),
            hosts: vec![],
        }
    };
    scene.containers.iter().map(container).collect()
}

fn attachment(parts: &Parts<'_>, index: usize, member: &Member<'_>, origin: Asker<'_>) -> Option<Attachment> {
    let Parts { interfaces, macs, addresses, networks } = parts;
    let manifest::Attachment { addresses: _, aliases, links, mac: _, interface: _, gateway_priority: _ } =
        member.spec;
    let network = networks.get(member.net)?;
    Some(Attachment {
        network: network.name.clone(),
        origin: origin(member.place),
        interface: network.interface.clone(),
        port: interfaces.hosts.get(index)?.clone(),
        link: interfaces.links.get(index)?.clone(),
        mac: *macs.get(index)?,
        mtu: network.mtu,
        addresses: addresses.get(index)?.clone(),
        default_via: vec![],
        aliases: aliases.iter().map(|at| at.value.clone()).collect(),
        links: links.iter().map(|(At { value, .. }, to)| (value.clone(), to.value.clone())).collect(),
    })
}

/// Gives the default route of a family to the attachment of the highest priority, the first of them, that leads out.
fn route(members: &[Member<'_>], networks: &[Network], family: Family, attachments: &mut [Attachment]) {
    let candidates = members.iter().zip(attachments).filter_map(|(member, attachment)| {
        let network = networks.get(member.net).filter(|network| !network.internal)?;
        let mut gateways = network.subnets.iter().filter_map(|subnet| subnet.gateway);
        let gateway = gateways.find(|gateway| Family::of(*gateway) == family)?;
        Some((member.spec.gateway_priority, attachment, gateway))
    });
    // `max_by_key` returns the last of equals.
    let best = candidates.reduce(|best, next| if next.0 > best.0 { next } else { best });
    if let Some((_, attachment, gateway)) = best {
        attachment.default_via.push(gateway);
    }
}
