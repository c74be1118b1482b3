//! What a container's links say in environment variables, by Docker's names (S22).
//!
//! Source: Docker's `daemon/links/links.go`. What it says besides of the target's own environment (`ALIAS_ENV_*`) is not
//! the network's to tell.

use std::collections::BTreeMap;
use std::net::IpAddr;

use indexmap::IndexMap;

use super::{Attachment, Container, Runtime, Topology};
use crate::names::{Alias, ContainerName, Protocol};

/// Of a longer run of ports only the ends are told: a program cannot be given hundreds of thousands of variables.
const LONGEST_RUN: u16 = 256;

/// What a container's links say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The variables, in Docker's order; of two links that ask for the same one, the first has it.
    pub variables: IndexMap<String, String>,
    /// The links whose targets are not there: alias and container.
    pub absent: Vec<(Alias, ContainerName)>,
}

/// Returns what the links of a container say; one that shares a namespace has those of whoever owns it.
pub fn environment(topology: &Topology, name: &ContainerName) -> Environment {
    let mut environment = Environment::default();
    let Some(container) = holder(topology, name) else { return environment };
    for attachment in &container.attachments {
        for (alias, target) in &attachment.links {
            match ends(topology, container, attachment, target) {
                Some((there, address)) => {
                    for (key, value) in told(name, alias, address, &ports(there)) {
                        environment.variables.entry(key).or_insert(value);
                    }
                }
                None => environment.absent.push((alias.clone(), target.clone())),
            }
        }
    }
    environment
}

/// Returns the container in whose namespace one of this name lives.
fn holder<'t>(topology: &'t Topology, name: &ContainerName) -> Option<&'t Container> {
    let is_there = |container: &&Container| match container.runtime {
        Runtime::Netform | Runtime::Given => container.names().any(|it| it == name),
        Runtime::Shared | Runtime::Waiting => false,
    };
    topology.containers.iter().find(is_there)
}

/// Returns the target of a link, and its address: on the network of the link, or else on the first that both are on.
fn ends<'t>(
    topology: &'t Topology,
    container: &Container,
    link: &Attachment,
    name: &ContainerName,
) -> Option<(&'t Container, IpAddr)> {
    let target = holder(topology, name)?;
    let on = |attachment: &Attachment| {
        let mut there = target.attachments.iter().filter(|other| other.network == attachment.network);
        there.find_map(|other| {
            let mut addresses = other.addresses.iter().map(ipnet::IpNet::addr);
            // Docker tells the IPv4 address; of two that a target may have, programs of its time expect that one.
            addresses.clone().find(IpAddr::is_ipv4).or_else(|| addresses.next())
        })
    };
    let address = on(link).or_else(|| container.attachments.iter().find_map(on))?;
    let exposer = topology.containers.iter().find(|it| it.name == *name)?;
    Some((exposer, address))
}

/// Returns the exposed ports as runs of one protocol, in Docker's order: by number, TCP first.
fn ports(container: &Container) -> Vec<(u16, u16, Protocol)> {
    let mut by_protocol: BTreeMap<Protocol, Vec<(u16, u16)>> = BTreeMap::new();
    for expose in &container.expose {
        by_protocol.entry(expose.protocol).or_default().push((*expose.ports.start(), *expose.ports.end()));
    }
    let mut runs = vec![];
    for (protocol, mut ranges) in by_protocol {
        ranges.sort_unstable();
        let mut joined: Vec<(u16, u16)> = vec![];
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                Some(_) | None => joined.push((first, last)),
            }
        }
        runs.extend(joined.into_iter().map(|(first, last)| (first, last, protocol)));
    }
    let is_tcp = |protocol: Protocol| match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp | Protocol::Sctp => 1,
    };
    runs.sort_by_key(|(first, _, protocol)| (*first, is_tcp(*protocol)));
    runs
}

/// Returns what one link says.
fn told(
    name: &ContainerName,
    alias: &Alias,
    address: IpAddr,
    runs: &[(u16, u16, Protocol)],
) -> Vec<(String, String)> {
    // Docker leaves a `.` as it is, and no shell can name the variable then.
    let prefix = alias.as_str().to_uppercase().replace(['-', '.'], "_");
    let host = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let url = |port: u16, protocol: Protocol| format!("{protocol}://{host}:{port}");
    let mut told = vec![];
    let mut say = |key: String, value: String| told.push((key, value));
    if let Some((first, _, protocol)) = runs.first() {
        say(format!("{prefix}_PORT"), url(*first, *protocol));
    }
    for (first, last, protocol) in runs.iter().copied().filter(|(first, last, _)| last - first >= 2) {
        let from = format!("{prefix}_PORT_{first}_{}", protocol.to_string().to_uppercase());
        say(format!("{from}_START"), url(first, protocol));
        say(format!("{from}_ADDR"), address.to_string());
        say(format!("{from}_PROTO"), protocol.to_string());
        say(format!("{from}_PORT_START"), first.to_string());
        say(format!("{from}_END"), url(last, protocol));
        say(format!("{from}_PORT_END"), last.to_string());
    }
    for (first, last, protocol) in runs.iter().copied().filter(|(first, last, _)| last - first < LONGEST_RUN)
    {
        for port in first..=last {
            let this = format!("{prefix}_PORT_{port}_{}", protocol.to_string().to_uppercase());
            say(this.clone(), url(port, protocol));
            say(format!("{this}_ADDR"), address.to_string());
            say(format!("{this}_PORT"), port.to_string());
            say(format!("{this}_PROTO"), protocol.to_string());
        }
    }
    say(format!("{prefix}_NAME"), format!("/{name}/{alias}"));
    told
}
