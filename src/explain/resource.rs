//! Containers, networks and resource addresses.

use std::collections::BTreeSet;

use super::{Finding, Kind, Scene, Whose, interface, kinds, listed, namespace, sentence};
use crate::kernel::census::{Interface, Namespace};
use crate::names::{ContainerName, NetName, ProjectName};
use crate::resource::Resource;
use crate::resource::owner::{Mark, Owner};
use crate::runtime::list::Runs;

/// Returns the containers, networks and resources of a name.
pub(super) fn find(thing: &str, scene: &Scene) -> Vec<Finding> {
    let mut found = vec![];
    for (project, owner) in owners(scene) {
        match &owner {
            Owner::Container(name) if name.as_str() == thing || owner.to_string() == thing => {
                found.push(container(scene, &project, &owner));
            }
            Owner::Network(name) if name.as_str() == thing || owner.to_string() == thing => {
                found.push(network(scene, &project, &owner));
            }
            Owner::Attachment { container, network } if owner.to_string() == thing => {
                let links = links(scene, &project, &owner);
                found.extend(links.map(|(place, _, link)| interface::finding(scene, place, link)));
                if waiting(scene, &project).any(|(it, on)| it == container && on == network) {
                    found.push(waits(scene, &project, &owner));
                }
            }
            Owner::Container(_)
            | Owner::Network(_)
            | Owner::Attachment { .. }
            | Owner::Project
            | Owner::Port(_)
            | Owner::Policy(_)
            | Owner::External(_)
            | Owner::Unmarked(_) => {}
        }
    }
    let called = |runs: &&Runs| runs.name == thing || (thing.len() >= 12 && runs.id.starts_with(thing));
    found.extend(scene.listing.containers.iter().filter(called).map(|runs| runs_somewhere(scene, runs)));
    for theirs in scene.listing.networks.iter().filter(|network| network.name == thing || network.id == thing)
    {
        let has = |link: &Interface| {
            let by_id = kinds::docker_id(&link.name).is_some_and(|id| theirs.id.starts_with(id));
            link.kind == "bridge" && (by_id || theirs.bridge.as_ref() == Some(&link.name))
        };
        let bridge = scene.interfaces().find(|(_, ns, link)| ns.home && has(link));
        let text = format!("{thing} is a network of {}", theirs.runtime);
        let on = bridge.map(|(place, _, link)| interface::finding(scene, place, link).sentence);
        let on = on.map(|on| on.trim_end_matches('.').to_owned());
        let (owner, network) = (Some(theirs.runtime.clone()), Some(theirs.name.clone()));
        found.push(Finding { owner, network, ..Finding::new(Kind::Network, thing, sentence(&text, [on])) });
    }
    found
}

/// Returns whatever carries a mark or is attached, or waits to be, with its project, and what attachments attach.
fn owners(scene: &Scene) -> BTreeSet<(ProjectName, Owner)> {
    let waiting = scene.waiting.iter().flat_map(|(project, waiting)| {
        let attachment = |(container, network): (&ContainerName, &NetName)| Owner::Attachment {
            container: container.clone(),
            network: network.clone(),
        };
        waiting.iter().map(move |(container, network)| (project, attachment((container, network))))
    });
    let mut all = BTreeSet::new();
    for (project, owner) in marked(scene).map(|mark| (&mark.project, mark.owner.clone())).chain(waiting) {
        if let Owner::Attachment { container, network } = &owner {
            all.insert((project.clone(), Owner::Container(container.clone())));
            all.insert((project.clone(), Owner::Network(network.clone())));
        }
        all.insert((project.clone(), owner));
    }
    all
}

fn marked(scene: &Scene) -> impl Iterator<Item = &Mark> {
    let links = scene.interfaces().filter_map(|(_, _, link)| link.mark.as_ref());
    links.chain(scene.namespaces.iter().filter_map(|ns| ns.mark.as_ref()))
}

/// Returns which container of a project waits to be on which network.
fn waiting<'s>(
    scene: &'s Scene,
    project: &ProjectName,
) -> impl Iterator<Item = (&'s ContainerName, &'s NetName)> {
    let waiting = scene.waiting.get(project).into_iter().flatten();
    waiting.map(|(container, network)| (container, network))
}

/// Says that an attachment waits.
fn waits(scene: &Scene, project: &ProjectName, owner: &Owner) -> Finding {
    let whose = Whose::of_project(project, owner);
    let text = format!(
        "{owner} is of netform's project {project}, and waits: the container, or the bridge or link that its network is \
         on, was not there at the last apply; `netform plan` says which."
    );
    Finding::new(Kind::Interface, owner.to_string(), text).of(&whose, scene)
}

/// Returns the interfaces that belong to a resource.
fn links<'s>(
    scene: &'s Scene,
    project: &'s ProjectName,
    owner: &'s Owner,
) -> impl Iterator<Item = (usize, &'s Namespace, &'s Interface)> {
    scene.interfaces().filter(move |(place, _, link)| {
        let whose = interface::whose(scene, *place, link);
        whose.project.as_ref() == Some(project) && whose.resource.as_ref() == Some(owner)
    })
}

fn addressed(link: &Interface) -> String {
    let addresses = interface::told_addresses(link);
    if addresses.is_empty() {
        link.name.clone()
    } else {
        format!("{} with {}", link.name, listed(&addresses))
    }
}

/// Returns what a container of a project's is.
fn container(scene: &Scene, project: &ProjectName, owner: &Owner) -> Finding {
    let whose = Whose::of_project(project, owner);
    let name = whose.container.clone().unwrap_or_default();
    let (mut on, mut homes) = (vec![], vec![]);
    for (place, ns, link) in scene.interfaces().filter(|(_, ns, link)| interface::is_inside(ns, link)) {
        let theirs = interface::whose(scene, place, link);
        if theirs.project.as_ref() == Some(project) && theirs.container.as_ref() == Some(&name) {
            on.push(format!("{} on network {}", addressed(link), theirs.network.unwrap_or_default()));
            homes.push(namespace::place(scene, ns));
        }
    }
    let made = scene
        .namespaces
        .iter()
        .filter(|ns| ns.mark.as_ref().is_some_and(|mark| mark.project == *project && mark.owner == *owner));
    homes.extend(made.map(|ns| namespace::place(scene, ns)));
    homes.sort();
    homes.dedup();
    let ports = ports(scene, project, &name);
    let lacks = waiting(scene, project).filter(|(container, _)| container.as_str() == name);
    let lacks: Vec<_> = lacks.map(|(_, network)| format!("network {network}")).collect();
    let text = sentence(
        &format!("{name} is a container of netform's project {project}"),
        [
            Some(homes)
                .filter(|homes| !homes.is_empty())
                .map(|homes| format!("it lives in {}", listed(&homes))),
            Some(on).filter(|on| !on.is_empty()).map(|on| format!("it has {}", listed(&on))),
            Some(ports)
                .filter(|ports| !ports.is_empty())
                .map(|ports| format!("it publishes {}", listed(&ports))),
            Some(lacks)
                .filter(|lacks| !lacks.is_empty())
                .map(|lacks| format!("it waits to be on {}, as `netform plan` says", listed(&lacks))),
            scene.asked_at(&whose),
        ],
    );
    Finding::new(Kind::Container, name, text).of(&whose, scene)
}

/// Returns the ports that a project publishes for a container.
fn ports(scene: &Scene, project: &ProjectName, container: &str) -> Vec<String> {
    let has = |address: std::net::IpAddr| {
        scene.interfaces().any(|(place, _, link)| {
            link.addresses.iter().any(|held| held.addr() == address)
                && interface::whose(scene, place, link).container.as_deref() == Some(container)
        })
    };
    let entries =
        scene.published.iter().filter(|(other, _)| other == project).flat_map(|(_, entries)| entries);
    let mut ports: Vec<String> = entries
        .filter_map(|entry| match (&entry.owner, &entry.resource) {
            (Owner::Port(port), Resource::NftElement(element)) => {
                let address = element.data.as_ref()?.parse().ok()?;
                has(address).then(|| port.to_string())
            }
            (_, _) => None,
        })
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

/// Returns what a network of a project's is.
fn network(scene: &Scene, project: &ProjectName, owner: &Owner) -> Finding {
    let whose = Whose::of_project(project, owner);
    let name = whose.network.clone().unwrap_or_default();
    let (shims, bridges): (Vec<_>, Vec<_>) =
        links(scene, project, owner).partition(|(_, _, link)| interface::is_stacked(link));
    let bridges: Vec<_> = bridges.into_iter().map(|(_, _, link)| addressed(link)).collect();
    let shims: Vec<_> = shims.into_iter().map(|(_, _, link)| addressed(link)).collect();
    let mut containers: Vec<_> = marked(scene)
        .filter_map(|mark| match &mark.owner {
            Owner::Attachment { container, network }
                if mark.project == *project && network.as_str() == name =>
            {
                Some(container.to_string())
            }
            Owner::Attachment { .. }
            | Owner::Project
            | Owner::Network(_)
            | Owner::Container(_)
            | Owner::Port(_)
            | Owner::Policy(_)
            | Owner::External(_)
            | Owner::Unmarked(_) => None,
        })
        .collect();
    containers.sort();
    containers.dedup();
    let lacking = waiting(scene, project).filter(|(_, network)| network.as_str() == name);
    let lacking: Vec<_> = lacking.map(|(container, _)| container.to_string()).collect();
    let parents = parents(scene, project, &name);
    let on = if containers.is_empty() {
        "no container is on it".to_owned()
    } else {
        format!("on it: {}", listed(&containers))
    };
    let text = sentence(
        &format!("{name} is a network of netform's project {project}"),
        [
            Some(bridges)
                .filter(|bridges| !bridges.is_empty())
                .map(|all| format!("its bridge is {}", listed(&all))),
            Some(parents)
                .filter(|parents| !parents.is_empty())
                .map(|all| format!("it is behind {}", listed(&all))),
            Some(shims)
                .filter(|shims| !shims.is_empty())
                .map(|all| format!("the host is on it by {}", listed(&all))),
            Some(on),
            Some(lacking)
                .filter(|lacking| !lacking.is_empty())
                .map(|all| format!("waiting to be on it, as `netform plan` says: {}", listed(&all))),
            scene.asked_at(&whose),
        ],
    );
    Finding::new(Kind::Network, name, text).of(&whose, scene)
}

/// Returns the links of the host on which a network's attachments stand that are no pairs.
fn parents(scene: &Scene, project: &ProjectName, network: &str) -> Vec<String> {
    let stacked = scene.interfaces().filter(|(place, _, link)| {
        let whose = interface::whose(scene, *place, link);
        let attaches = interface::is_stacked(link) && whose.network.as_deref() == Some(network);
        attaches && whose.project.as_ref() == Some(project)
    });
    let peers = stacked.filter_map(|(_, _, link)| interface::peer(scene, link));
    let mut names: Vec<_> = peers.map(|(_, _, peer)| peer.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Returns what a container of a runtime's is.
fn runs_somewhere(scene: &Scene, runs: &Runs) -> Finding {
    let ns = scene.namespaces.iter().find(|ns| namespace::runs(scene, ns) == Some(runs));
    let links = ns.into_iter().flat_map(|ns| ns.interfaces.iter().filter(|link| link.index != 1));
    let has: Vec<_> = links.map(addressed).collect();
    let ports = runs.ports.iter().map(|(port, protocol, own)| format!("{port}/{protocol} (its {own})"));
    let ports: Vec<_> = ports.collect();
    let text = sentence(
        &format!(
            "{} is a container that {} runs, id {}",
            runs.name,
            runs.runtime,
            runs.id.get(..12).unwrap_or(&runs.id)
        ),
        [
            Some(format!("its first process is {}", runs.pid)),
            Some(has).filter(|has| !has.is_empty()).map(|has| format!("it has {}", listed(&has))),
            Some(ports)
                .filter(|ports| !ports.is_empty())
                .map(|ports| format!("it publishes {}", listed(&ports))),
        ],
    );
    let (owner, container) = (Some(runs.runtime.clone()), Some(runs.name.clone()));
    Finding { owner, container, ..Finding::new(Kind::Container, runs.name.clone(), text) }
}
