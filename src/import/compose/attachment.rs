//! What a service is on: `networks`, `network_mode`, `links`.

use super::network::Fate;
use super::reader::Reader;
use super::service::{Service, Services, address};
use super::{Whole, field};
use crate::import::{Item, Value};
use crate::manifest::{Entry, Kind, Node, Place};
use crate::names::{Alias, IfName, Mac};

/// What a container is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attached {
    /// Networks of its own: a map from names to attachments.
    Networks(Value),
    /// None.
    Nothing,
    /// The host's.
    Host,
    /// Those of another container.
    Shared(String),
}

/// An attachment under construction: Compose's network, the manifest's, and what is said of it.
struct Draft<'n> {
    theirs: &'n str,
    ours: String,
    fields: Vec<(String, Value)>,
}

/// Returns what a service is on. `item` takes the notes; the name is the container's own, when it has one.
pub(super) fn attachments(
    service: &Service<'_>,
    all: &Services<'_>,
    file: &mut Whole,
    (item, container_name): (&mut Item, Option<&str>),
    reader: &mut Reader<'_>,
) -> Attached {
    if let Some(node) = field(&service.fields, "network_mode")
        && let Some(attached) = by_mode(service, (node, all), item, reader)
    {
        if attached == Attached::Networks(Value::texts(["default"])) {
            file.nameless();
        }
        return attached;
    }
    let mut drafts: Vec<Draft<'_>> = vec![];
    for (theirs, said, place) in wanted(service) {
        match file.fate(theirs) {
            Some(Fate::Made { name, has_ipv6: _, binding: _ }) => {
                let fields = said.map_or_else(Vec::new, |node| attachment(node, item, reader));
                drafts.push(Draft { theirs, ours: name, fields });
            }
            Some(Fate::Host) => return Attached::Host,
            Some(Fate::Nothing) => {}
            Some(Fate::Left) => {
                reader.note(item, place, (&format!("network {theirs}"), "is left out, as said there"));
            }
            None => reader.wrong(place, format!("network `{theirs}` is not declared"), "not declared"),
        }
    }
    let names = (service.count > 1).then_some(service.name).into_iter().chain(container_name);
    let names: Vec<&str> =
        names.filter(|name| *name != service.first() && Alias::try_from(*name).is_ok()).collect();
    for draft in &mut drafts {
        draft.add("aliases", names.iter().map(Value::text).collect());
    }
    links(service, all, &mut drafts, (item, reader));
    if let (Some(node), Some(first)) = (field(&service.fields, "mac_address"), drafts.first_mut()) {
        let mac = reader.parsed(node, "a MAC address", mac);
        first.fields.extend(mac.map(|mac| ("mac".to_owned(), mac)));
    }
    if drafts.is_empty() {
        return Attached::Nothing;
    }
    // A list is enough where nothing is said.
    Attached::Networks(if drafts.iter().all(|draft| draft.fields.is_empty()) {
        Value::texts(drafts.iter().map(|draft| &draft.ours))
    } else {
        Value::Map(drafts.into_iter().map(|draft| (draft.ours, Value::Map(draft.fields))).collect())
    })
}

/// Returns the networks that a service names, with what it says of each; the default one when it names none.
fn wanted<'n>(service: &Service<'n>) -> Vec<(&'n str, Option<&'n Node>, Place)> {
    let node = field(&service.fields, "networks");
    let said = |name: &'n str| match node.map(|node| &node.kind) {
        Some(Kind::Map(entries)) => {
            entries.iter().find(|entry| entry.key == name).map(|entry| (Some(&entry.value), entry.at))
        }
        Some(Kind::List(items)) => items
            .iter()
            .find(|item| matches!(&item.kind, Kind::Text(text) if text == name))
            .map(|item| (None, item.place)),
        Some(
            Kind::Null | Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_) | Kind::Refused,
        )
        | None => None,
    };
    let one = |name: &&'n str| {
        let (said, place) = said(name).unwrap_or((None, service.place));
        (*name, said, place)
    };
    service.networks.iter().map(one).collect()
}

/// Returns what `network_mode` means; `None` when that is networks after all.
fn by_mode(
    service: &Service<'_>,
    (node, all): (&Node, &Services<'_>),
    item: &mut Item,
    reader: &mut Reader<'_>,
) -> Option<Attached> {
    let mode = reader.text(node)?;
    if field(&service.fields, "networks").is_some() {
        reader.wrong(
            node.place,
            "`network_mode` and `networks` cannot be had together",
            "either this or `networks`",
        );
        return Some(Attached::Nothing);
    }
    let owner = |name: &str| all.get(name).map(Service::first);
    Some(match (mode.as_str(), mode.split_once(':')) {
        ("none", _) => Attached::Nothing,
        ("host", _) => Attached::Host,
        ("bridge" | "default", _) => {
            reader.note(
                item,
                node.place,
                ("network_mode", "Docker's bridge for everybody is netform's network `default`"),
            );
            Attached::Networks(Value::texts(["default"]))
        }
        (_, Some(("service", name))) => match owner(name) {
            Some(owner) => Attached::Shared(owner),
            None => {
                reader.wrong(node.place, format!("service `{name}` is not declared"), "not declared");
                Attached::Nothing
            }
        },
        (_, Some(("container", name))) => {
            let named = |service: &&Service<'_>| {
                let own = field(&service.fields, "container_name").map(|node| &node.kind);
                matches!(own, Some(Kind::Text(own)) if own == name)
            };
            match all.values().find(named) {
                Some(owner) => Attached::Shared(owner.first()),
                None => {
                    let why = format!(
                        "container {name} is none of this file: declare it, and write `mode: container:{name}`"
                    );
                    reader.note(item, node.place, ("network_mode", &why));
                    Attached::Nothing
                }
            }
        }
        _ => {
            reader.note(item, node.place, (&format!("network_mode {mode}"), "has no equivalent"));
            Attached::Nothing
        }
    })
}

fn mac(text: &str) -> Option<Value> {
    Mac::try_from(text.replace('-', ":").to_ascii_lowercase()).ok().map(Value::text)
}

/// Returns what is said of a container on a network.
fn attachment(node: &Node, item: &mut Item, reader: &mut Reader<'_>) -> Vec<(String, Value)> {
    let mut fields: Vec<(String, Value)> = vec![];
    let mut addresses = vec![];
    for entry in reader.map(node) {
        let value = &entry.value;
        let field = match entry.key.as_str() {
            "ipv4_address" | "ipv6_address" => {
                addresses.extend(reader.parsed(value, "an address", address).map(Value::text));
                None
            }
            "aliases" => Some(("aliases", aliases(value, item, reader))),
            "mac_address" => reader.parsed(value, "a MAC address", mac).map(|mac| ("mac", mac)),
            "interface_name" => interface(value, reader).map(|name| ("interface", name)),
            "gw_priority" => {
                let number = reader.parsed(value, "a number", |text| text.parse::<i32>().ok());
                number.map(|number| ("gateway_priority", Value::plain(number)))
            }
            "driver_opts" => {
                fields.extend(options(entry, item, reader));
                None
            }
            "priority" => None,
            other => {
                reader.note(item, entry.at, (other, "has no equivalent"));
                None
            }
        };
        fields.extend(field.map(|(key, value)| (key.to_owned(), value)));
    }
    if !addresses.is_empty() {
        fields.insert(0, ("address".to_owned(), Value::List(addresses)));
    }
    fields.retain(|(_, value)| *value != Value::List(vec![]));
    fields
}

fn aliases(node: &Node, item: &mut Item, reader: &mut Reader<'_>) -> Value {
    let mut names: Vec<String> = vec![];
    for (name, place) in reader.texts(node) {
        match Alias::try_from(name.as_str()) {
            Ok(_) if names.contains(&name) => {}
            Ok(_) => names.push(name),
            Err(error) => reader.note(item, place, ("alias", &error.to_string())),
        }
    }
    Value::texts(names)
}

fn interface(node: &Node, reader: &mut Reader<'_>) -> Option<Value> {
    reader.parsed(node, "a name of an interface", |text| IfName::try_from(text).ok()).map(Value::text)
}

/// Returns the interface that an endpoint's options name, and its kernel parameters.
fn options(entry: &Entry, item: &mut Item, reader: &mut Reader<'_>) -> Vec<(String, Value)> {
    let mut fields = vec![];
    for (key, value, place) in reader.pairs(&entry.value) {
        match (key.as_str(), IfName::try_from(value.as_str())) {
            ("com.docker.network.endpoint.ifname", Ok(wanted)) => {
                fields.push(("interface".to_owned(), Value::text(wanted)))
            }
            ("com.docker.network.endpoint.sysctls", _) => {
                let pairs = value.split(',').map(|pair| pair.trim().split_once('=').unwrap_or((pair, "")));
                let map = pairs.map(|(key, value)| (key.to_owned(), number_or_text(value)));
                fields.push(("sysctls".to_owned(), Value::Map(map.collect())));
            }
            (_, Ok(_) | Err(_)) => {
                reader.note(
                    item,
                    place,
                    (&format!("driver_opts {key}"), &format!("has no equivalent ({value})")),
                );
            }
        }
    }
    fields
}

fn number_or_text(value: &str) -> Value {
    value.trim().parse::<i64>().map_or_else(|_| Value::text(value.trim()), Value::plain)
}

/// Returns the kernel parameters of a service's containers that are of their network namespaces, `ours` to set.
pub(super) fn parameters(
    (node, ours): (&Node, bool),
    item: &mut Item,
    reader: &mut Reader<'_>,
) -> Vec<(String, Value)> {
    let mut map = vec![];
    for (key, value, place) in reader.pairs(node) {
        if ours && key.starts_with("net.") {
            map.push((key, number_or_text(&value)));
        } else {
            reader.note(item, place, (&format!("sysctls {key}"), "stays Docker's to set"));
        }
    }
    map
}

/// Adds links: on the first network that both are on.
fn links(
    service: &Service<'_>,
    all: &Services<'_>,
    drafts: &mut [Draft<'_>],
    (item, reader): (&mut Item, &mut Reader<'_>),
) {
    if let Some(node) = field(&service.fields, "external_links") {
        let why = "leads to a container that this file does not have: declare that, and write `links`";
        for (text, place) in reader.texts(node) {
            reader.note(item, place, (&format!("external_links {text}"), why));
        }
    }
    let Some(node) = field(&service.fields, "links") else { return };
    for (text, place) in reader.texts(node) {
        let (name, alias) = text.split_once(':').unwrap_or((&text, &text));
        let Some(target) = all.get(name) else {
            reader.wrong(place, format!("service `{name}` is not declared"), "not declared");
            continue;
        };
        if let Err(error) = Alias::try_from(alias) {
            reader.wrong(place, error.to_string(), "not a name");
            continue;
        }
        let shared = drafts.iter().position(|draft| target.networks.contains(&draft.theirs)).unwrap_or(0);
        match drafts.get_mut(shared) {
            Some(draft) => draft.link(alias, target.first()),
            None => reader.note(item, place, ("links", "a container without networks of its own has none")),
        }
    }
}

impl Draft<'_> {
    /// Adds items to a list.
    fn add(&mut self, key: &str, more: Vec<Value>) {
        if more.is_empty() {
            return;
        }
        match self.fields.iter_mut().find(|(it, _)| it == key) {
            Some((_, Value::List(items))) => {
                let fresh: Vec<Value> = more.into_iter().filter(|value| !items.contains(value)).collect();
                items.extend(fresh);
            }
            Some((_, Value::Text(_) | Value::Plain(_) | Value::Map(_))) | None => {
                self.fields.push((key.to_owned(), Value::List(more)));
            }
        }
    }

    fn link(&mut self, alias: &str, target: String) {
        let link = (alias.to_owned(), Value::text(target));
        match self.fields.iter_mut().find(|(key, _)| key == "links") {
            Some((_, Value::Map(links))) if links.iter().any(|(it, _)| it == alias) => {}
            Some((_, Value::Map(links))) => links.push(link),
            Some((_, Value::Text(_) | Value::Plain(_) | Value::List(_))) | None => {
                self.fields.push(("links".to_owned(), Value::Map(vec![link])));
            }
        }
    }
}
