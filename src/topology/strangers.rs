//! Addresses on networks that others use as well: nobody is given one that somebody is known to have.
//!
//! The host knows whom it has spoken to lately, and nobody else: only a `pool` says which addresses are free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::facts::{Facts, Leases};
use super::resolve::Asker;
use super::scene::{Member, Scene};
use crate::manifest::{self, Manifest};
use crate::names::{ContainerName, IfName, NetName};

/// Returns the links of the host whose neighbours matter: of networks that others use, on which somebody needs an address
/// that nobody has chosen.
pub fn asked(manifest: &Manifest, facts: &Facts) -> BTreeSet<IfName> {
    let mut asked = BTreeSet::new();
    let shared: BTreeMap<&NetName, (&IfName, &manifest::Network)> = manifest
        .networks
        .iter()
        .filter_map(|(name, at)| Some((name, (link(&at.value)?, &at.value))))
        .filter(|(_, (_, spec))| {
            spec.subnets.is_empty() || spec.subnets.iter().any(|at| at.value.pool.is_none())
        })
        .collect();
    if shared.is_empty() {
        return asked;
    }
    for (container, at) in &manifest.containers {
        for (network, attachment) in at.value.networks.iter().flatten() {
            let Some((link, spec)) = shared.get(network) else { continue };
            let is_chosen = attachment.value.addresses.len() >= spec.subnets.len().max(1);
            if !is_chosen && !has(&facts.live, container, network) && !has(&facts.leases, container, network)
            {
                asked.insert((*link).clone());
            }
        }
    }
    asked
}

fn has(leases: &Leases, container: &ContainerName, network: &NetName) -> bool {
    let held = leases.addresses.get(container).and_then(|networks| networks.get(network));
    held.is_some_and(|held| !held.is_empty())
}

/// Returns the link of the host that a network shares with others: their bridge, or its parent. Behind one that routes, all
/// addresses are the containers'.
fn link(spec: &manifest::Network) -> Option<&IfName> {
    let parent = match &spec.driver {
        manifest::Driver::Ipvlan { parent: _, mode, flag: _ } if mode.is_routed() => None,
        driver @ (manifest::Driver::Bridge
        | manifest::Driver::Macvlan { .. }
        | manifest::Driver::Ipvlan { .. }
        | manifest::Driver::Veth(_)
        | manifest::Driver::OpenVswitch(_)
        | manifest::Driver::Physical) => driver.parent(),
    };
    spec.external.as_ref().or(parent).map(|at| &at.value)
}

/// Returns who is known to be in a subnet of a network besides its containers, where no pool says which addresses are free.
pub(super) fn known<'f>(
    facts: &'f Facts,
    spec: &manifest::Network,
    cidr: IpNet,
) -> Option<&'f BTreeSet<IpAddr>> {
    if has_pool(spec, cidr) {
        return None;
    }
    facts.neighbours.get(link(spec)?)
}

fn has_pool(spec: &manifest::Network, cidr: IpNet) -> bool {
    spec.subnets.iter().any(|at| at.value.cidr.trunc() == cidr && at.value.pool.is_some())
}

/// Returns a sentence for each network that others use, on which somebody is given an address that they may have.
pub(super) fn warnings(scene: &Scene<'_>, addresses: &[Vec<IpNet>], origin: Asker<'_>) -> Vec<String> {
    let facts = scene.facts;
    let shared = scene.nets.iter().filter(|net| link(net.spec).is_some());
    let told = shared.filter_map(|net| {
        let is_new = |member: &Member<'_>, address: &IpNet| {
            let is_chosen = member.spec.addresses.iter().any(|at| at.value == address.addr());
            let is_held = [&facts.live, &facts.leases]
                .iter()
                .filter_map(|leases| leases.addresses.get(member.container)?.get(net.name))
                .any(|held| held.contains(&address.addr()));
            !is_chosen && !is_held && !has_pool(net.spec, address.trunc())
        };
        let new: Vec<(&ContainerName, IpNet)> = scene
            .on(net)
            .filter_map(|(index, member)| Some((member, addresses.get(index)?)))
            .filter_map(|(member, all)| Some((member.container, *all.iter().find(|it| is_new(member, it))?)))
            .collect();
        let ((first, address), rest) = new.split_first()?;
        let more = if rest.is_empty() { String::new() } else { format!(", {} more others", rest.len()) };
        let (cidr, link) = (address.trunc(), link(net.spec)?);
        let half = cidr.subnets(cidr.prefix_len() + 1).ok().and_then(|mut halves| halves.nth(1)).unwrap_or(cidr);
        Some(format!(
            "{}: container {first} gets {}{more} on network {}, where others are, and no `pool` says which addresses are \
             free: one whom the host has not heard of lately on {link} may have it; write `subnets: [{{cidr: {cidr}, \
             pool: {half}}}]` with a range that is, or each container's `address`",
            origin(net.place),
            address.addr(),
            net.name,
        ))
    });
    if facts.is_assumed { vec![] } else { told.collect() }
}
