//! Ports of the host: who publishes them, and who listens.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Finding, Kind, Scene, Whose, firewall, interface, listed, sentence};
use crate::names::{ProjectName, Protocol};
use crate::resource::Resource;
use crate::resource::host_ports::HostPorts;
use crate::resource::owner::Owner;

/// A port of the host, as somebody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port {
    address: Option<IpAddr>,
    number: u16,
    protocol: Option<Protocol>,
}

/// Reads `8080`, `8080/tcp`, `0.0.0.0:8080`, `[::1]:53/udp` or the address of a port's resource.
pub(super) fn parse(thing: &str) -> Option<Port> {
    let thing = thing.strip_prefix("port.").unwrap_or(thing);
    let (place, protocol) = match thing.split_once('/') {
        Some((place, protocol)) => (place, Some(Protocol::named(protocol)?)),
        None => (thing, None),
    };
    let (address, number) = match place.rsplit_once(':') {
        Some(("" | "*", number)) => (None, number),
        Some((address, number)) => {
            let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
            let is_bare_ipv6 = bare.is_none() && address.contains(':');
            (Some(bare.unwrap_or(address).parse::<IpAddr>().ok().filter(|_| !is_bare_ipv6)?), number)
        }
        None => (None, place),
    };
    let address = address.filter(|address| !address.is_unspecified());
    let number = number.parse().ok().filter(|number| *number > 0)?;
    Some(Port { address, number, protocol })
}

impl Port {
    fn is_in(&self, ports: &HostPorts) -> bool {
        ports.ports.contains(&self.number)
            && self.protocol.is_none_or(|protocol| protocol == ports.protocol)
            && self.address.is_none_or(|address| ports.address.is_none_or(|other| other == address))
    }
}

/// Returns who has to do with a port.
pub(super) fn find(thing: &str, scene: &Scene) -> Vec<Finding> {
    let Some(port) = parse(thing) else { return vec![] };
    let mut found = published(port, scene);
    found.extend(by_runtimes(port, scene));
    found.extend(led(port, scene));
    found.extend(listeners(port, scene));
    found
}

/// Where a published port leads.
#[derive(Default)]
struct Leads {
    addresses: Vec<IpAddr>,
    port: Option<String>,
}

/// Returns the projects that publish a port.
fn published(port: Port, scene: &Scene) -> Vec<Finding> {
    let mut all: BTreeMap<(&ProjectName, &Owner), Leads> = BTreeMap::new();
    for (project, entry) in
        scene.published.iter().flat_map(|(project, all)| all.iter().map(move |it| (project, it)))
    {
        let Resource::NftElement(element) = &entry.resource else { continue };
        if HostPorts::of(element).is_some_and(|ports| port.is_in(&ports)) {
            let leads = all.entry((project, &entry.owner)).or_default();
            match element.data.as_ref().map(|data| data.parse::<IpAddr>()) {
                Some(Ok(address)) => leads.addresses.push(address),
                Some(Err(_)) => leads.port = element.data.as_ref().map(ToString::to_string),
                None => {}
            }
        }
    }
    all.into_iter().map(|((project, owner), leads)| publication(scene, (project, owner), &leads)).collect()
}

fn publication(scene: &Scene, (project, owner): (&ProjectName, &Owner), leads: &Leads) -> Finding {
    let text = owner.to_string();
    let name = text.strip_prefix("port.").unwrap_or(&text);
    let Leads { addresses, port } = leads;
    let mut whose = Whose::of_project(project, owner);
    let holder = scene
        .interfaces()
        .find(|(_, _, link)| link.addresses.iter().any(|it| addresses.contains(&it.addr())));
    if let Some((place, _, link)) = holder {
        let Whose { network, container, .. } = interface::whose(scene, place, link);
        (whose.network, whose.container) = (network, container);
    }
    let container = whose.container.as_ref().map(|name| format!("container {name} at "));
    let places: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let behind = port.as_ref().map_or_else(String::new, |port| format!(", port {port}"));
    let leads = format!("it leads to {}{}{behind}", container.unwrap_or_default(), listed(&places));
    let begin = format!("{name} is a port that netform's project {project} publishes");
    let text = sentence(&begin, [Some(leads), scene.asked_at(&whose)]);
    let addresses = places;
    Finding { addresses, ..Finding::new(Kind::Port, name, text).of(&whose, scene) }
}

/// Returns the containers for which Docker or Podman publishes a port.
fn by_runtimes(port: Port, scene: &Scene) -> Vec<Finding> {
    let mut found = vec![];
    for runs in &scene.listing.containers {
        for (number, protocol, own) in &runs.ports {
            let same = port.protocol.is_none_or(|asked| asked.as_str() == protocol);
            if *number == port.number && same {
                let name = format!("{number}/{protocol}");
                let text = format!(
                    "{name} is a port that {} publishes: it leads to port {own} of its container {}.",
                    runs.runtime, runs.name
                );
                let (owner, container) = (Some(runs.runtime.clone()), Some(runs.name.clone()));
                found.push(Finding { owner, container, ..Finding::new(Kind::Port, name, text) });
            }
        }
    }
    found
}

/// Returns the rules of others that lead a port elsewhere.
fn led(port: Port, scene: &Scene) -> Vec<Finding> {
    let number = port.number.to_string();
    let mut found = vec![];
    for (table, chain, rule) in
        firewall::rules(scene).filter(|(table, _, _)| firewall::project(table).is_none())
    {
        let words: Vec<&str> = rule.1.split_whitespace().collect();
        let about = words.windows(3).find_map(|three| match three {
            [protocol, "dport", other] if *other == number => Some(*protocol),
            _ => None,
        });
        let same = port.protocol.is_none_or(|asked| about == Some(asked.as_str()) || about == Some("th"));
        let verb = words.iter().position(|word| matches!(*word, "dnat" | "redirect"));
        let leads = verb.and_then(|at| match words.get(at..)? {
            [verb, "ip" | "ip6", "to", target, ..] | [verb, "to", target, ..] => Some((*verb, *target)),
            _ => None,
        });
        if let (Some(protocol), true, Some((verb, target))) = (about, same, leads) {
            let name = format!("{number}/{protocol}");
            let owner = firewall::maker(table, Some(&chain.name));
            let of = owner.map(|owner| format!(", made by {owner}")).unwrap_or_default();
            let (family, table) = (&table.family, &table.name);
            let text = format!(
                "{name} is led to {target} ({verb}) by rule {} of chain {} of nft table {family} {table}{of}.",
                rule.0, chain.name
            );
            found.push(Finding { owner: owner.map(str::to_owned), ..Finding::new(Kind::Port, name, text) });
        }
    }
    found
}

/// Returns the processes that listen on a port.
fn listeners(port: Port, scene: &Scene) -> Vec<Finding> {
    let listening = scene.listeners.iter().filter(|(ports, _)| port.is_in(ports));
    listening
        .map(|(ports, process)| {
            let who = process.as_ref().map_or_else(
                || "a process that may not be known".to_owned(),
                |process| format!("process {} ({})", process.pid, process.name),
            );
            let text = format!("{ports} is a port of the host on which {who} listens.");
            let owner = process.as_ref().map(|process| process.name.clone());
            Finding { owner, ..Finding::new(Kind::Port, ports.to_string(), text) }
        })
        .collect()
}
