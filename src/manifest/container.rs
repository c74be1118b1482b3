//! A container's node to a [`Container`].

use std::net::IpAddr;

use foldhash::HashMap;
use indexmap::IndexMap;

use super::fields::{self, Fields, each_once, wrong_type};
use super::node::{Entry, Kind, Node};
use super::problem::Problem;
use super::publish;
use super::report::Report;
use super::scalar;
use super::{At, Attachment, Container, Place, bandwidth, check, home, route, sysctl, vlans};
use crate::names::{Alias, ContainerName, IfName, NetName};

/// Returns the container that an entry of `containers` declares.
pub(super) fn container(entry: &Entry, report: &mut Report) -> Container {
    let empty = Container {
        home: None,
        mode: None,
        networks: None,
        publish: vec![],
        expose: vec![],
        routes: vec![],
        sysctls: vec![],
    };
    // `web:` with nothing behind it is a container on the default network.
    if matches!(entry.value.kind, Kind::Null) {
        return empty;
    }
    let Some(fields) = Fields::open(&entry.value, &fields::CONTAINER, report) else { return empty };
    let publish = fields.value("publish").map_or(&[][..], |node| scalar::list(node, "`publish`", report));
    let expose = fields.value("expose").map_or(&[][..], |node| scalar::list(node, "`expose`", report));
    Container {
        home: home::home(fields, report),
        mode: fields.value("mode").and_then(|node| home::mode(node, report)),
        networks: fields.value("networks").and_then(|node| networks(node, report)),
        publish: publish.iter().filter_map(|node| publish::publish(node, report)).collect(),
        expose: expose.iter().filter_map(|node| publish::expose(node, report)).collect(),
        routes: route::routes(fields, route::Of::Container, report),
        sysctls: sysctl::of_container(fields, report),
    }
}

/// Returns the networks of a container, a list of names or a map from names to attachments.
fn networks(node: &Node, report: &mut Report) -> Option<IndexMap<NetName, At<Attachment>>> {
    let networks = match &node.kind {
        Kind::List(items) => listed_networks(items, report),
        Kind::Map(entries) => {
            let mut networks = IndexMap::with_capacity(entries.len());
            for entry in entries {
                let attachment = attachment(&entry.value, report);
                if let Some(name) = scalar::key_name::<NetName>(entry, report) {
                    networks.insert(name, At { value: attachment, place: entry.at });
                }
            }
            networks
        }
        Kind::Refused => return None,
        Kind::Null | Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_) => {
            let problem = wrong_type(node, "`networks` is a list of names, or a map");
            report.add(problem.help("write `networks: [front]`"));
            return None;
        }
    };
    if matches!(&node.kind, Kind::List(items) if items.is_empty())
        || matches!(&node.kind, Kind::Map(entries) if entries.is_empty())
    {
        let message = "`networks` names no network";
        let problem = Problem::new("manifest::empty_list", message, node.place, "empty");
        report.add(problem.help("leave it out for the network `default`, or write `mode: none`"));
    }
    check_interfaces(&networks, report);
    Some(networks)
}

fn listed_networks(items: &[Node], report: &mut Report) -> IndexMap<NetName, At<Attachment>> {
    let mut networks = IndexMap::with_capacity(items.len());
    let mut texts = vec![];
    for item in items {
        if matches!(item.kind, Kind::Map(_)) {
            let problem = wrong_type(item, "a network in a list is a name");
            report.add(problem.help("write `networks` as a map: leave out the dashes"));
            continue;
        }
        let Some(name) = scalar::name::<NetName>(item, "a network name", report) else { continue };
        if let Kind::Text(text) = &item.kind {
            texts.push((text.as_str(), item));
        }
        let attachment = At { value: Attachment::default(), place: item.place };
        networks.entry(name.value).or_insert(attachment);
    }
    each_once(texts.into_iter(), "the network", report);
    networks
}

fn attachment(node: &Node, report: &mut Report) -> Attachment {
    if matches!(node.kind, Kind::Null) {
        return Attachment::default();
    }
    let Some(fields) = Fields::open(node, &fields::ATTACHMENT, report) else {
        return Attachment::default();
    };
    let addresses = fields.value("address").map_or(&[][..], scalar::one_or_list);
    let addresses: Vec<_> = addresses.iter().filter_map(|node| scalar::address(node, report)).collect();
    let mut seen = HashMap::default();
    for address in &addresses {
        if let Some(first) = seen.insert(address.value, address.place) {
            let message = format!("the address {} is there twice", address.value);
            let problem = Problem::new("manifest::duplicate", message, address.place, "here again");
            report.add(problem.and(first, "first here").help("delete one"));
        }
    }
    Attachment {
        addresses,
        external: fields.value("external_address").map_or_else(Vec::new, |node| external(node, report)),
        aliases: fields.value("aliases").map_or_else(Vec::new, |node| aliases(node, report)),
        links: fields.value("links").map_or_else(Vec::new, |node| links(node, report)),
        mac: fields.value("mac").and_then(|node| scalar::mac(node, report)),
        interface: fields
            .value("interface")
            .and_then(|node| scalar::name::<IfName>(node, "an interface name", report)),
        gateway_priority: fields
            .value("gateway_priority")
            .and_then(|node| scalar::integer(node, "`gateway_priority`", -1_000_000..=1_000_000, report))
            .unwrap_or(0),
        port: vlans::port(fields, report),
        routes: route::routes(fields, route::Of::Attachment, report),
        sysctls: sysctl::sysctls(fields, report),
        device: fields.value("device").and_then(|node| scalar::name::<IfName>(node, "a link's name", report)),
        bandwidth: bandwidth::bandwidth(fields, report),
        hairpin: fields.get("hairpin").and_then(|entry| scalar::flag(entry, report)),
        isolated: fields.get("isolated").and_then(|entry| isolated(entry, report)),
    }
}

/// Returns the addresses all of which leads to a container.
fn external(node: &Node, report: &mut Report) -> Vec<At<IpAddr>> {
    let items = scalar::one_or_list(node);
    let addresses: Vec<_> = items.iter().filter_map(|node| scalar::address(node, report)).collect();
    let help = "name an address of the outside, such as 203.0.113.9, or leave the key out";
    let words = ("external_address", "manifest::external_address_twice", help);
    check::one_per_family(words, node, &addresses, report);
    for address in &addresses {
        if let Some(why) = not_outside(address.value) {
            let message = format!("{} cannot be an external address", address.value);
            let problem = Problem::new("manifest::bad_address", message, address.place, why);
            let such = if address.value.is_ipv4() { "203.0.113.9" } else { "2001:db8::9" };
            report.add(problem.help(format!("use one that routers pass on, such as {such}")));
        }
    }
    addresses
}

/// Says why an address of a single host is none that routers pass on; RFC 6890 lists them.
fn not_outside(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(four) if four.is_link_local() => Some("a link-local address"),
        IpAddr::V6(six) if six.is_unicast_link_local() => Some("a link-local address"),
        IpAddr::V4(four) if four.octets()[0] == 0 => Some("an address of this network, which nobody has"),
        IpAddr::V4(four) if four.octets()[0] >= 240 => Some("a reserved address"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Returns the place of an `isolated` that is true.
fn isolated(entry: &Entry, report: &mut Report) -> Option<Place> {
    scalar::flag(entry, report).filter(|flag| flag.value).map(|_| entry.at)
}

fn aliases(node: &Node, report: &mut Report) -> Vec<At<Alias>> {
    let mut aliases = vec![];
    let mut texts = vec![];
    for item in scalar::list(node, "`aliases`", report) {
        if let Some(alias) = scalar::name::<Alias>(item, "an alias", report) {
            if let Kind::Text(text) = &item.kind {
                texts.push((text.as_str(), item));
            }
            aliases.push(alias);
        }
    }
    each_once(texts.into_iter(), "the alias", report);
    aliases
}

fn links(node: &Node, report: &mut Report) -> Vec<(At<Alias>, At<ContainerName>)> {
    let entries = match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Refused => return vec![],
        Kind::Null | Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
            let problem = wrong_type(node, "`links` is a map from aliases to containers");
            report.add(problem.help("write `links: {database: db}`"));
            return vec![];
        }
    };
    let mut links = vec![];
    for entry in entries {
        let alias = scalar::key_name::<Alias>(entry, report);
        let target = scalar::name::<ContainerName>(&entry.value, "a container name", report);
        if let (Some(alias), Some(target)) = (alias, target) {
            links.push((At { value: alias, place: entry.at }, target));
        }
    }
    links
}

/// Checks that no two interfaces of a container are given the same name.
fn check_interfaces(networks: &IndexMap<NetName, At<Attachment>>, report: &mut Report) {
    let mut seen: HashMap<&IfName, Place> = HashMap::default();
    for interface in networks.values().filter_map(|attachment| attachment.value.interface.as_ref()) {
        match seen.get(&interface.value) {
            None => drop(seen.insert(&interface.value, interface.place)),
            Some(first) => {
                let message = format!("the container has two interfaces `{}`", interface.value);
                let problem =
                    Problem::new("manifest::interface_twice", message, interface.place, "here again");
                report.add(problem.and(*first, "first here").help("give one of them another name"));
            }
        }
    }
}
