//! Bridges of other projects that the world outside the host does not get into: what is published there is not reached, and what is
//! internal is not left either.

use std::collections::{BTreeMap, BTreeSet};

use super::existing::{Led, has_way, led};
use super::facts::{Closed, Closure, Facts};
use super::{Attachment, Network, Topology};
use crate::manifest::Manifest;
use crate::names::{IfName, ProjectName};
use crate::resource::state::Entry;

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
    let mut sentences: Vec<String> = vec![];
    for Led { container, origin, what, target: _, is_anywhere: _ } in led {
        let name = &container.name;
        let sentence = format!(
            "{origin}: {what} of container {name} is reached by nobody outside this host: `{interface}` is a bridge of project \
             {project}, {why}; {cure}put {name} on a network of this project, too, by which its default route leads"
        );
        // One port may have a target of each family.
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }
    sentences
}

fn unreaching(topology: &Topology, (network, closed): (&Network, &Closed)) -> Vec<String> {
    let Closed { project, how } = closed;
    match how {
        Closure::Internal => {}
        Closure::Published => return vec![],
    }
    let leads_there = |it: &&Attachment| it.network == network.name && !it.default_via.is_empty();
    let sentence = |(name, at): (_, &Attachment)| {
        format!(
            "{}: container {name} reaches nobody outside this host: its default route leads by network {}, and `{}` is a bridge \
             of project {project}, which declares it `internal`; put it on another network, too, with a higher `gateway_priority`",
            at.origin, network.name, network.interface
        )
    };
    let here = topology.containers.iter();
    let here = here.filter_map(|it| Some((&it.name, it.attachments.iter().find(leads_there)?)));
    here.map(sentence).collect()
}
