//! Bridges of other projects, and what these keep from who is on them: what is published there is not reached from outside the host
//! where it is closed, what is internal is not left either, nobody hears his neighbours without `icc`, and a next hop may be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use smol_str::SmolStr;

use super::existing::{Led, has_way, led, tells_a_subnet};
use super::facts::{Closure, Facts, Joined};
use super::{Attachment, Container, Network, Topology};
use crate::manifest::Manifest;
use crate::names::{IfName, ProjectName};
use crate::resource::nft_key::includes;
use crate::resource::state::Entry;
use crate::resource::sysctl::Family;

/// Returns the bridges of others that a manifest has networks on.
pub fn asked(manifest: &Manifest) -> BTreeSet<IfName> {
    let external = manifest.networks.values().filter_map(|at| at.value.external.as_ref());
    external.map(|at| at.value.clone()).collect()
}

/// Returns which of these bridges are other projects', by what their firewalls say; `judged` are the families in which these see what
/// a bridge passes from one port to another.
pub fn joined(
    others: &[(ProjectName, Vec<Entry>)],
    links: &BTreeSet<IfName>,
    judged: &BTreeSet<Family>,
) -> BTreeMap<IfName, Joined> {
    let mut joined = BTreeMap::new();
    for (project, entries) in others {
        let elements = || entries.iter().filter_map(|entry| entry.resource.element());
        let has = |set: &str, link: &IfName| {
            elements().any(|it| it.set == set && it.key.first().is_some_and(|key| key == link.as_str()))
        };
        let policies = elements().filter(|it| it.set.starts_with("allow_"));
        let allowed: BTreeSet<SmolStr> = policies.filter_map(|it| it.key.get(1).cloned()).collect();
        for link in links.iter().filter(|link| has("bridges", link)) {
            let closed = match (has("internal", link), has("open", link)) {
                (true, _) => Some(Closure::Internal),
                (false, false) => Some(Closure::Published),
                (false, true) => None,
            };
            let apart = if has("no_icc", link) { judged.clone() } else { BTreeSet::new() };
            let (project, allowed) = (project.clone(), allowed.clone());
            joined.insert(link.clone(), Joined { project, closed, apart, allowed });
        }
    }
    joined
}

impl Topology {
    /// Returns what other projects keep from containers on bridges of theirs, in sentences.
    pub fn kept_from(&self, facts: &Facts) -> Vec<String> {
        let external = self.networks.iter().filter(|network| network.external && !network.waits);
        let told = external.filter_map(|network| Some((network, facts.joined.get(&network.interface)?)));
        told.flat_map(|(network, joined)| {
            let Joined { project, closed, apart, allowed: _ } = joined;
            let closed = closed.map_or(vec![], |how| {
                [unreached(self, facts, (network, joined, how)), unreaching(self, (network, project, how))]
                    .concat()
            });
            let apart = unheard(self, (network, project), apart);
            [closed, apart.into_iter().collect(), astray(self, facts, (network, project))].concat()
        })
        .collect()
    }
}

fn unreached(
    topology: &Topology,
    facts: &Facts,
    (network, joined, how): (&Network, &Joined, Closure),
) -> Vec<String> {
    let (interface, project) = (&network.interface, &joined.project);
    // Whom a policy allows, and what, is more than is told here.
    let is_allowed = |target: IpAddr| match how {
        Closure::Internal => false,
        Closure::Published => joined.allowed.iter().any(|part| includes(part, target)),
    };
    let (why, cure) = match how {
        Closure::Internal => ("which declares it `internal`", String::new()),
        Closure::Published => (
            "which lets in what it publishes itself, and nothing else",
            format!("have {project} say `ingress: open` for it, or "),
        ),
    };
    let led = topology.containers.iter().flat_map(|container| led(container, network));
    let led = led.filter(|led| has_way(network, facts, led.target) && !is_allowed(led.target));
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
    let is_all = addresses.map(|it| Family::of(it.addr())).all(|family| families.contains(&family));
    if is_all { String::new() } else { format!(" over {}", named(families)) }
}

fn named(families: &BTreeSet<Family>) -> String {
    let names = families.iter().map(|family| match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    });
    names.collect::<Vec<_>>().join(" and ")
}

fn unreaching(
    topology: &Topology,
    (network, project, how): (&Network, &ProjectName, Closure),
) -> Vec<String> {
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

/// Says of a bridge that whoever is on it hears nobody else there.
fn unheard(
    topology: &Topology,
    (network, project): (&Network, &ProjectName),
    apart: &BTreeSet<Family>,
) -> Option<String> {
    let here = topology.containers.iter().flat_map(|it| &it.attachments);
    let here = here.filter(|it| it.network == network.name);
    let own: BTreeSet<Family> = here.flat_map(|it| &it.addresses).map(|it| Family::of(it.addr())).collect();
    let families: BTreeSet<Family> = own.intersection(apart).copied().collect();
    let (origin, interface) = (&network.origin, &network.interface);
    (!families.is_empty()).then(|| {
        format!(
            "{origin}: whoever is on `{interface}` hears nobody else there over {}: it is a bridge of project {project}, which says \
             `icc: false`, and the host's firewall judges what bridges pass on (`bridge-nf-call-iptables`); have {project} leave \
             `icc: false` out, or put containers that talk to each other on a network of this project, too",
            named(&families)
        )
    })
}

/// Says whose next hop is nobody that is known: the host had it, and has other addresses there by now.
fn astray(topology: &Topology, facts: &Facts, (network, project): (&Network, &ProjectName)) -> Vec<String> {
    let interface = &network.interface;
    let Some(bridge) = facts.bridges.get(interface) else { return vec![] };
    let is_there = |via: &IpAddr| {
        let taken = facts.taken.get(interface.as_str()).is_some_and(|taken| taken.contains_key(via));
        let mut own = topology.containers.iter().flat_map(|it| &it.attachments).flat_map(|it| &it.addresses);
        taken || own.any(|it| it.addr() == *via) || bridge.addresses.iter().any(|it| it.addr() == *via)
    };
    let sentence = |container: &Container, at: &Attachment, via: &IpAddr| {
        let of_family = |it: &&IpNet| Family::of(it.addr()) == Family::of(*via) && tells_a_subnet(it);
        let there: Vec<String> = bridge.addresses.iter().filter(of_family).map(ToString::to_string).collect();
        (!there.is_empty() && !is_there(via)).then(|| {
            format!(
                "{}: container {} sends what is for elsewhere to {via}, which nobody has that is known: bridge `{interface}` of project {project} has \
                 {}; have the `subnets` of network {} say so, or leave them out",
                at.origin,
                container.name,
                there.join(" and "),
                network.name
            )
        })
    };
    let here = topology.containers.iter().flat_map(|it| it.attachments.iter().map(move |at| (it, at)));
    let here = here.filter(|(_, at)| at.network == network.name);
    here.flat_map(|(it, at)| at.default_via.iter().filter_map(move |via| sentence(it, at, via))).collect()
}
