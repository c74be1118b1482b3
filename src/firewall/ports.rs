//! What published ports put into the sets and maps.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::elements::{by_attachment, is_there};
use super::{Asked, Elements, of_family, ports_text, prefix_text, union};
use crate::names::Protocol;
use crate::topology::{Container, Network, Publish, Topology};

pub(super) fn add(topology: &Topology, out: &mut Elements) {
    let containers = || topology.containers.iter().filter(|container| is_there(container));
    let published = || containers().flat_map(|container| &container.publish);
    for container in containers() {
        for publish in container.publish.iter().filter(|publish| !publish.targets.is_empty()) {
            let asked = by_port(publish);
            for &target in &publish.targets {
                lead(publish, target, &asked, out);
                hide_neighbours(container, topology, target, out);
            }
            if !publish.allow_from.is_empty() {
                guard(publish, &asked, out);
            }
        }
    }
    target_ranges(published(), out);
}

/// Leads the port to the container, and lets through what was led there.
fn lead(publish: &Publish, target: IpAddr, asked: &Asked<'_>, out: &mut Elements) {
    // A port of one of the host's addresses leads to an address of the same family: the kernel translates addresses, it
    // does not exchange one protocol for the other.
    if publish.host_address.is_some_and(|host| host.is_ipv4() != target.is_ipv4()) {
        return;
    }
    let map = |what: &str| {
        of_family(&format!("{}_{what}", if publish.host_address.is_some() { "host" } else { "any" }), target)
    };
    let protocol = publish.protocol.to_string();
    if is_range(publish) {
        let key = host_key(publish, ports_text(bounds(publish)));
        out.put(&map("range"), key, Some(target.to_string()), asked);
        return;
    }
    for (host_port, target_port) in publish.host_ports.clone().zip(publish.target_ports.clone()) {
        let key = host_key(publish, host_port.to_string());
        out.put(&map("addr"), key.clone(), Some(target.to_string()), asked);
        out.put(&map("port"), key, Some(target_port.to_string()), asked);
        let service = vec![target.to_string(), protocol.clone(), target_port.to_string()];
        out.put(&of_family("target", target), service, None, asked);
    }
}

/// Hides those whom the container would answer directly, past the translation: its neighbours on its other networks, and
/// itself by its addresses there. Whichever of its ports they come by, so it is the attachment's, and not a port's.
pub(super) fn hide_neighbours(
    container: &Container,
    topology: &Topology,
    target: IpAddr,
    out: &mut Elements,
) {
    if container.attachments.len() < 2 {
        return;
    }
    for attachment in container.attachments.iter().filter(|attachment| !attachment.waits()) {
        // Who is on an internal network comes to no port that is published by another one.
        let on = |network: &&Network| !network.internal && network.name == attachment.network;
        let subnets = topology.networks.iter().filter(on).flat_map(|network| &network.subnets);
        let family = |cidr: &IpNet| cidr.addr().is_ipv4() == target.is_ipv4();
        for cidr in subnets.map(|subnet| subnet.cidr).filter(|cidr| family(cidr) && !cidr.contains(&target)) {
            let key = vec![prefix_text(cidr), target.to_string()];
            out.put(&of_family("direct", target), key, None, &by_attachment(container, attachment));
        }
    }
}

/// Lets through what was led to ranges. Two published ranges may lead to overlapping ports of one container, which an
/// interval set would refuse.
fn target_ranges<'a>(published: impl Iterator<Item = &'a Publish>, out: &mut Elements) {
    let mut ranges: BTreeMap<(IpAddr, Protocol), Vec<&Publish>> = BTreeMap::new();
    for publish in published.filter(|publish| is_range(publish)) {
        for &target in &publish.targets {
            if publish.host_address.is_none_or(|host| host.is_ipv4() == target.is_ipv4()) {
                ranges.entry((target, publish.protocol)).or_default().push(publish);
            }
        }
    }
    for ((target, protocol), published) in ranges {
        for (first, last) in union(published.iter().map(|publish| bounds(publish)).collect()) {
            let owner = published.iter().find(|publish| (first..=last).contains(publish.host_ports.start()));
            if let Some(publish) = owner {
                let key = vec![target.to_string(), protocol.to_string(), ports_text((first, last))];
                out.put(&of_family("target_range", target), key, None, &by_port(publish));
            }
        }
    }
}

/// Lets only those sources use the port that `allow_from` names.
fn guard(publish: &Publish, asked: &Asked<'_>, out: &mut Elements) {
    let key = host_key(publish, ports_text(bounds(publish)));
    let suffix = match publish.host_address {
        None => "any".to_owned(),
        Some(host) => of_family("host", host),
    };
    out.put(&format!("guard_{suffix}"), key.clone(), None, asked);
    if publish.host_address.is_none() {
        // `guard_any` knows no family: where the port is not published, it is not guarded.
        for all in [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())] {
            if publish.targets.iter().all(|target| target.is_ipv4() != all.addr().is_ipv4()) {
                let key = [prefix_text(all)].into_iter().chain(key.clone()).collect();
                out.put(&of_family("allow_any", all.addr()), key, None, asked);
            }
        }
    }
    // An interval set refuses prefixes that overlap.
    for source in IpNet::aggregate(&publish.allow_from) {
        let set = match publish.host_address {
            None if publish.targets.iter().any(|to| to.is_ipv4() == source.addr().is_ipv4()) => {
                of_family("allow_any", source.addr())
            }
            // Everybody of that family is let by, since the port is not published there.
            None => continue,
            Some(host) if host.is_ipv4() == source.addr().is_ipv4() => format!("allow_{suffix}"),
            // Nobody of the other family can reach that address.
            Some(_) => continue,
        };
        out.put(&set, [prefix_text(source)].into_iter().chain(key.clone()).collect(), None, asked);
    }
}

/// Tells whether the ports are several and stay the same, so that one element does for all of them.
fn is_range(publish: &Publish) -> bool {
    publish.host_ports.len() > 1 && publish.host_ports == publish.target_ports
}

fn bounds(publish: &Publish) -> (u16, u16) {
    (*publish.host_ports.start(), *publish.host_ports.end())
}

fn host_key(publish: &Publish, ports: String) -> Vec<String> {
    let host = publish.host_address.map(|host| host.to_string());
    host.into_iter().chain([publish.protocol.to_string(), ports]).collect()
}

fn by_port(publish: &Publish) -> Asked<'_> {
    let [ipv4, ipv6] = publish.owners();
    let owner = if publish.targets.iter().all(IpAddr::is_ipv6) { ipv6 } else { ipv4 };
    Asked { owner, origin: &publish.origin }
}
