//! Bridges of other projects that the world outside the host does not get into: what is published there is not reached, and what is
//! internal is not left either.

use std::collections::{BTreeMap, BTreeSet};

use super::existing::{Led, has_way, led};
use super::facts::{Closed, Closure, Facts};
use super::{Attachment, Container, Network, Topology};
use crate::manifest::Manifest;
use crate::names::{IfName, ProjectName};
use crate::resource::state::Entry;
use crate::resource::sysctl::Family;

/// Returns the bridges of others that a manifest has networks on.
pub fn asked(manifest: &Manifest) -> BTreeSet<IfName> {
    let external = manifest.networks.values().filter_map(|at| at.value.external.as_ref());
    external.map(|at| at.value.clone()).collect()
}

/// Returns which of these bridges are closed, by what the firewalls of other projects say of theirs.
pub fn closed(others: &[(ProjectName, Vec<Entry>)], links: &BTreeSet<IfName>) -> BTreeMap<IfName, Closed> {
    let mut closed = BTreeMap::new();
    for (project, entries) in others {
        let elements = || entries.iter().filter_map(|entry| entry.resource.element());
        let has = |set: &str, link: &IfName| {
            elements().any(|it| it.set == set && it.key.first().is_some_and(|key| key == link.as_str()))
        };
        for link in links.iter().filter(|link| has("bridges", link)) {
            let how = if has("internal", link) { Closure::Internal } else { Closure::Published };
            if how == Closure::Internal || !has("open", link) {
                closed.insert(link.clone(), Closed { project: project.clone(), how });
            }
        }
    }
    closed
}

/// Returns what is not reached from outside the host, and who does not reach it, in sentences.
pub(super) fn warnings(topology: &Topology, facts: &Facts) -> Vec<String> {
    let external = topology.networks.iter().filter(|network| network.external && !network.waits);
    let told = external.filter_map(|network| Some((network, facts.closed.get(&network.interface)?)));
    told.flat_map(|(network, closed)| {
        [unreached(topology, facts, (network, closed)), unreaching(topology, (network, closed))].concat()
    })
    .collect()
}

fn unreached(topology: &Topology, facts: &Facts, (network, closed): (&Network, &Closed)) -> Vec<String> {
    let interface = &network.interface;
    let Closed { project, how } = closed;
    let (why, cure) = match how {
        Closure::Internal => ("which declares it `internal`", String::new()),
        Closure::Published => (
            "which lets in what it publishes itself, and nothing else",
            format!("have {project} say `ingress: open` for it, or "),
        ),
    };
    let led = topology.containers.iter().flat_map(|container| led(container, network));
    let led = led.filter(|led| has_way(network, facts, led.target));
    // One port may have a target of each family.
    let mut told: Vec<(Led<'_>, BTreeSet<Family>)> = vec![];
    for led in led {
        let family = Family::of(led.target);
        match told.iter_mut().find(|(it, _)| (it.origin, &it.what) == (led.origin, &led.what)) {
            Some((_, families)) => drop(families.insert(family)),
            None => told.push((led, [family].into())),
        }
    }
    let sentence = |(Led { container, origin, what, .. }, families): (Led<'_>, BTreeSet<Family>)| {
        let (name, over) = (&container.name, over(&families, container));
        format!(
            "{origin}: {what} of container {name} is reached by nobody outside this host{over}: `{interface}` is a bridge of project \
             {project}, {why}; {cure}put {name} on a network of this project, too, by which its default route leads"
        )
    };
    told.into_iter().map(sentence).collect()
}

/// Says over which families, unless a container has no others.
fn over(families: &BTreeSet<Family>, container: &Container) -> String {
    let addresses = container.attachments.iter().flat_map(|it| &it.addresses);
    if addresses.map(|it| Family::of(it.addr())).all(|family| families.contains(&family)) {
        return String::new();
    }
    let names = families.iter().map(|family| match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    });
    format!(" over {}", names.collect::<Vec<_>>().join(" and "))
}

fn unreaching(topology: &Topology, (network, closed): (&Network, &Closed)) -> Vec<String> {
    let Closed { project, how } = closed;
    match how {
        Closure::Internal => {}
        Closure::Published => return vec![],
    }
    let leads_there = |it: &&Attachment| it.network == network.name && !it.default_via.is_empty();
    let sentence = |(container, at): (&Container, &Attachment)| {
        let families = at.default_via.iter().map(|via| Family::of(*via)).collect();
        let (name, over) = (&container.name, over(&families, container));
        format!(
            "{}: container {name} reaches nobody outside this host{over}: its default route leads by network {}, and `{}` is a bridge \
             of project {project}, which declares it `internal`; put it on another network, too, with a higher `gateway_priority`",
            at.origin, network.name, network.interface
        )
    };
    let here = topology.containers.iter();
    let here = here.filter_map(|it| Some((it, it.attachments.iter().find(leads_there)?)));
    here.map(sentence).collect()
}
