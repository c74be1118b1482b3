//! What the last apply of a project led to, and what of it is not so any more.

use super::{Cure, Facts, Finding, Project, Severity, called, forwarding_off, inside, parameter};
use crate::resource::Resource;
use crate::resource::link::LinkKind;
use crate::resource::neighbour::Neighbour;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::route::PROTOCOL;
use crate::resource::sysctl::{Sysctl, SysctlKey};

/// Returns all that a project has, with whose it is.
fn resources(facts: &Facts) -> impl Iterator<Item = (&Project, &Owner, &Resource)> {
    let of = |project| {
        let Project { state, .. }: &Project = project;
        state.iter().map(move |(_, entry)| (project, &entry.owner, &entry.resource))
    };
    facts.projects.iter().flat_map(of)
}

/// Applying again makes what is not there.
fn apply(project: &Project) -> Cure {
    Cure::run(format!("netform apply {}", project.manifest))
}

/// Namespaces that netform made and that are gone.
pub(super) fn namespaces(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![];
    for (project, owner, resource) in resources(facts) {
        let Resource::Netns(netns) = resource else { continue };
        if facts.namespace(&NsRef::Named(netns.name.clone())).is_none() {
            found.push(Finding {
                code: "namespace-missing",
                severity: Severity::Error,
                subject: owner.to_string(),
                sentence: format!("the network namespace {} of {owner} is gone", netns.name),
                evidence: format!("/run/netns/{} is not a namespace", netns.name),
                cure: apply(project),
            });
        }
    }
    found
}

/// Kernel parameters that somebody has changed.
pub(super) fn parameters(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![];
    for (_, entry) in facts.projects.iter().flat_map(|project| project.state.iter()) {
        // What no line of a manifest asks for was set back to what it was: who changes it since is free to.
        if entry.origin.is_none() {
            continue;
        }
        let Resource::Sysctl(Sysctl { ns, key, value }) = &entry.resource else { continue };
        let Some((place, space)) = facts.namespace(ns) else { continue };
        let path = key.to_string();
        let live = facts.insides.get(&place).and_then(|it| it.sysctls.get(path.strip_prefix("net/")?));
        let Some(live) = live.filter(|live| *live != value.as_str()) else { continue };
        let (code, sentence) = match key {
            SysctlKey::Ipv4Forward => (
                "forwarding-off",
                "the host forwards no IPv4 packets: no container reaches beyond it".to_owned(),
            ),
            SysctlKey::Ipv6Forward => (
                "forwarding-off-ipv6",
                "the host forwards no IPv6 packets: no container reaches beyond it".to_owned(),
            ),
            SysctlKey::PerLink { family: _, link, name } if name == "disable_ipv6" => {
                ("ipv6-off", format!("IPv6 is off on {link} {}", called(ns)))
            }
            SysctlKey::Whole(path) => {
                ("parameter-changed", format!("{path} {} is not what netform has set", called(ns)))
            }
            SysctlKey::PerLink { family, link, name } => (
                "parameter-changed",
                format!("{name} of {link} ({family}) {} is not what netform has set", called(ns)),
            ),
        };
        let dotted = path.replace('/', ".");
        found.push(Finding {
            code: forwarding_off(&path).filter(|_| live == "0").unwrap_or(code),
            severity: Severity::Error,
            subject: parameter(space, &path),
            sentence,
            evidence: format!("{dotted} is {live}, and was {value} after the last apply"),
            // A name with dots stands between slashes.
            cure: Cure::run(inside(ns, &format!("sysctl -w {path}={value}"))),
        });
    }
    found
}

/// Interfaces that are gone or down.
pub(super) fn links(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![];
    for (project, owner, resource) in resources(facts) {
        let Resource::Link(link) = resource else { continue };
        let mut ends = vec![(&link.ns, &link.name, link.up)];
        if let LinkKind::Veth(peer) = &link.kind {
            ends.push((&peer.ns, &peer.name, peer.up));
        }
        for (ns, name, up) in ends {
            // Of a namespace that is gone, that is told.
            let Some((_, space)) = facts.namespace(ns).filter(|(_, space)| space.read) else { continue };
            let live = space.interfaces.iter().find(|it| it.name == name.as_str());
            let (code, what, cure) = match live {
                None => ("interface-missing", "is gone", apply(project)),
                Some(it) if up && !it.up => {
                    let command = inside(ns, &format!("ip link set dev {name} up"));
                    let advice = "routes by it may be gone, too: netform apply makes them again".to_owned();
                    ("interface-down", "is down", Cure { command: Some(command), advice: Some(advice) })
                }
                Some(it) if bridged(facts, link, it.master) => continue,
                Some(_) if ns != &link.ns => continue,
                Some(_) => ("port-detached", "is not on its bridge", apply(project)),
            };
            found.push(Finding {
                code,
                severity: Severity::Error,
                subject: format!("{name} {}", called(ns)),
                sentence: format!("{name} {}, of {owner}, {what}", called(ns)),
                evidence: format!("ip link show dev {name} {}: {what}", called(ns)),
                cure,
            });
        }
    }
    found
}

/// Tells whether a link is the port of the bridge that it should be.
fn bridged(facts: &Facts, link: &crate::resource::link::Link, master: Option<u32>) -> bool {
    let Some(wanted) = &link.master else { return true };
    facts.link(&NsRef::Host, wanted.as_str()).is_some_and(|bridge| Some(bridge.index) == master)
}

/// Addresses that are gone.
pub(super) fn addresses(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![];
    for (project, owner, resource) in resources(facts) {
        let Resource::Address(address) = resource else { continue };
        // Of an interface that is gone, that is told.
        let Some(link) = facts.link(&address.ns, address.link.as_str()) else { continue };
        if !link.addresses.contains(&address.addr) {
            let held: Vec<_> = link.addresses.iter().map(ToString::to_string).collect();
            let held = if held.is_empty() { "none".to_owned() } else { held.join(", ") };
            found.push(Finding {
                code: "address-missing",
                severity: Severity::Error,
                subject: format!("{} on {} {}", address.addr, address.link, called(&address.ns)),
                sentence: format!("{owner} has lost its address {}", address.addr),
                evidence: format!("the addresses of {} {}: {held}", address.link, called(&address.ns)),
                cure: apply(project),
            });
        }
    }
    found
}

/// Addresses of containers for which a link of the host answers no more.
pub(super) fn answers(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![];
    for (_, owner, resource) in resources(facts) {
        let Resource::Neighbour(Neighbour { ns, link, addr }) = resource else { continue };
        let Some((place, _)) = facts.namespace(ns) else { continue };
        let (Some(by), Some(inside)) = (facts.link(ns, link.as_str()), facts.insides.get(&place)) else {
            continue;
        };
        if !inside.proxied.contains(&(*addr, by.index)) {
            found.push(Finding {
                code: "answer-missing",
                severity: Severity::Error,
                subject: format!("{addr} on {link}"),
                sentence: format!("neighbours of {link} do not find {owner}: nobody answers for {addr}"),
                evidence: format!("ip -6 neigh show proxy dev {link}: {addr} is not there"),
                cure: Cure::run(format!("ip -6 neigh add proxy {addr} dev {link} protocol {PROTOCOL}")),
            });
        }
    }
    found
}

/// Default routes of containers that are gone.
pub(super) fn default_routes(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![];
    for (project, owner, resource) in resources(facts) {
        let Resource::Route(route) = resource else { continue };
        let Some((by, _)) = route.leaves_by().filter(|_| !route.is_apart()) else { continue };
        let Some((place, space)) = facts.namespace(&route.ns) else { continue };
        let Some(link) = space.interfaces.iter().find(|it| it.name == by.as_str()) else { continue };
        let Some(inside) = facts.insides.get(&place) else { continue };
        let there = inside.routes.iter().any(|(dest, by)| *dest == route.dest.trunc() && *by == link.index);
        if !there {
            let what = if route.dest.prefix_len() == 0 { "default route" } else { "route" };
            found.push(Finding {
                code: if route.dest.prefix_len() == 0 { "no-default-route" } else { "route-missing" },
                severity: Severity::Error,
                subject: format!("{} {}", route.dest, called(&route.ns)),
                sentence: format!("{owner} has lost its {what} to {}", route.dest),
                evidence: format!("ip route {}: nothing to {} by {}", called(&route.ns), route.dest, by),
                cure: apply(project),
            });
        }
    }
    found
}

/// Tables and elements of the firewall that are gone.
pub(super) fn firewall(facts: &Facts) -> Vec<Finding> {
    // What could not be read is not gone.
    if facts.insides.get(&0).is_none_or(|inside| inside.unread.is_some()) {
        return vec![];
    }
    let mut found = vec![];
    for (project, owner, resource) in resources(facts) {
        let (table, element) = if let Resource::NftTable(table) = resource {
            (&table.id, None)
        } else if let Resource::NftElement(element) = resource {
            (&element.table, Some(element))
        } else {
            continue;
        };
        let family = table.family.as_str();
        let live = facts.scene.tables.iter().find(|it| it.family == family && it.name == table.name.as_str());
        let (code, subject, sentence) = match (live, element) {
            (None, _) => (
                "firewall-missing",
                format!("table {family} {}", table.name),
                format!(
                    "the firewall of project {} is gone: nothing is hidden, published or kept apart",
                    project.name
                ),
            ),
            (Some(_), None) => continue,
            (Some(live), Some(element)) => {
                let key = element.key.join(" . ");
                let set = live.sets.iter().find(|set| set.name == element.set.as_str());
                if set.is_some_and(|set| set.elements.iter().any(|it| it.key == key)) {
                    continue;
                }
                let hides = element.set.starts_with("masquerade") || element.set.starts_with("snat");
                let subject = format!("{key} in {} of table {family} {}", element.set, table.name);
                if hides {
                    let why = format!("nothing hides {key} of {owner}: no answer comes back from outside");
                    ("masquerade-missing", subject, why)
                } else {
                    (
                        "element-missing",
                        subject,
                        format!("an element of the firewall that {owner} needs is gone"),
                    )
                }
            }
        };
        let evidence = format!("nft list table {family} {}: {subject} is not there", table.name);
        let cure = apply(project);
        found.push(Finding { code, severity: Severity::Error, subject, sentence, evidence, cure });
    }
    found
}
