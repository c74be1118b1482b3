//! `services` of a Compose file.

use std::net::IpAddr;

use indexmap::IndexMap;

use super::attachment::{Attached, attachments, parameters};
use super::network::Fate;
use super::ports::{self, Port, Published};
use super::reader::Reader;
use super::{Whole, field};
use crate::import::{Item, Value};
use crate::manifest::{Entry, Kind, Node, Place};
use crate::names::{ContainerName, EngineName};

/// The most containers of one service: on more than that no network has room.
const MOST: usize = 1000;

/// What services say that is not about networks.
const ELSEWHERE: &[&str] = &[
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",
    "depends_on",
    "deploy",
    "develop",
    "device_cgroup_rules",
    "devices",
    "entrypoint",
    "env_file",
    "environment",
    "gpus",
    "group_add",
    "healthcheck",
    "image",
    "init",
    "ipc",
    "isolation",
    "label_file",
    "labels",
    "logging",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "post_start",
    "pre_stop",
    "privileged",
    "profiles",
    "provider",
    "pull_policy",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
];

/// A service.
pub(super) struct Service<'n> {
    pub(super) name: &'n str,
    pub(super) place: Place,
    pub(super) fields: Vec<&'n Entry>,
    /// The names of its networks, as Compose knows them.
    pub(super) networks: Vec<&'n str>,
    /// How many containers it has.
    pub(super) count: usize,
}

impl Service<'_> {
    /// Returns the name that its first container has in the manifest.
    pub(super) fn first(&self) -> String {
        if self.count == 1 { self.name.to_owned() } else { format!("{}-1", self.name) }
    }
}

/// The services by name.
pub(super) type Services<'n> = IndexMap<&'n str, Service<'n>>;

/// Returns the containers of the services.
pub(super) fn services(node: &Node, file: &mut Whole, reader: &mut Reader<'_>) -> Vec<Item> {
    let mut all = Services::new();
    for entry in reader.map(node) {
        let service = service(entry, reader);
        all.insert(&entry.key, service);
    }
    all.values().flat_map(|service| containers(service, &all, file, reader)).collect()
}

fn service<'n>(entry: &'n Entry, reader: &mut Reader<'_>) -> Service<'n> {
    if let Err(error) = ContainerName::try_from(entry.key.as_str()) {
        reader.wrong(entry.at, error.to_string(), "not a name of a container");
    }
    let fields = reader.map(&entry.value);
    let networks = match field(&fields, "networks").map(|node| &node.kind) {
        Some(Kind::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        Some(Kind::List(items)) => items.iter().filter_map(|item| name(item, reader)).collect(),
        Some(Kind::Null | Kind::Refused) | None => vec![],
        Some(Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_)) => {
            let place = field(&fields, "networks").map_or(entry.at, |node| node.place);
            reader.wrong(place, "`networks` is a list of names, or a map", "neither");
            vec![]
        }
    };
    let networks = match (networks.is_empty(), field(&fields, "network_mode")) {
        (true, None) => vec!["default"],
        (true, Some(_)) | (false, _) => networks,
    };
    let deployed = field(&fields, "deploy").and_then(|deploy| match &deploy.kind {
        Kind::Map(entries) => entries.iter().find(|entry| entry.key == "replicas").map(|entry| &entry.value),
        Kind::Null
        | Kind::Bool(_)
        | Kind::Integer(_)
        | Kind::Number(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Refused => None,
    });
    let count = deployed.or_else(|| field(&fields, "scale"));
    let few = |text: &str| text.parse().ok().filter(|count| *count <= MOST);
    let count =
        count.and_then(|node| reader.parsed(node, &format!("a number of containers up to {MOST}"), few));
    Service { name: &entry.key, place: entry.at, fields, networks, count: count.unwrap_or(1) }
}

/// Returns a network's name in a list.
fn name<'n>(node: &'n Node, reader: &mut Reader<'_>) -> Option<&'n str> {
    match &node.kind {
        Kind::Text(name) => Some(name),
        Kind::Refused => None,
        Kind::Null | Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::List(_) | Kind::Map(_) => {
            reader.wrong(node.place, "a network's name is text", "no name");
            None
        }
    }
}

/// How ports lead to the containers of a service.
struct Way {
    /// Whether they have addresses of IPv6.
    has_ipv6: bool,
    /// The address of the host that a port without one is published on, which is more than a default: any would be open.
    binding: Option<IpAddr>,
}

impl Way {
    fn of(service: &Service<'_>, file: &Whole) -> Self {
        let mut way = Self { has_ipv6: false, binding: None };
        for fate in service.networks.iter().filter_map(|name| file.fates.get(*name)) {
            match fate {
                Fate::Made { name: _, has_ipv6, binding } => {
                    way.has_ipv6 |= has_ipv6;
                    way.binding = way.binding.or(*binding);
                }
                Fate::Host | Fate::Nothing | Fate::Left => {}
            }
        }
        way
    }
}

/// Returns the containers of one service; what is said of them is said once.
fn containers(
    service: &Service<'_>,
    all: &Services<'_>,
    file: &mut Whole,
    reader: &mut Reader<'_>,
) -> Vec<Item> {
    let mut item = Item::named(service.first());
    let docker = match field(&service.fields, "container_name")
        .and_then(|node| Some((reader.text(node)?, node.place)))
    {
        Some((name, place)) => {
            if let Err(error) = EngineName::try_from(name.as_str()) {
                reader.wrong(place, error.to_string(), "not a name of a container");
            }
            Some(name)
        }
        None => None,
    };
    let named = |number: usize| {
        docker.clone().unwrap_or_else(|| format!("{}-{}-{number}", file.project, service.name))
    };
    let names: Vec<String> = (1..=service.count).map(named).collect();
    let attached = attachments(service, all, file, (&mut item, docker.as_deref()), reader);
    let ours = match &attached {
        Attached::Networks(_) | Attached::Nothing => true,
        Attached::Host | Attached::Shared(_) => false,
    };
    for entry in &service.fields {
        other(entry, &mut item, reader);
    }
    let way = Way::of(service, file);
    let publish = field(&service.fields, "ports")
        .map_or_else(Vec::new, |node| publish((node, &way), &mut item, reader));
    let publish = match (&attached, publish.is_empty()) {
        (Attached::Networks(_), _) | (_, true) => publish,
        (Attached::Host | Attached::Shared(_) | Attached::Nothing, false) => {
            reader.note(
                &mut item,
                service.place,
                ("ports", "a container without networks of its own publishes none"),
            );
            vec![]
        }
    };
    let sysctls = field(&service.fields, "sysctls").map(|node| parameters((node, ours), &mut item, reader));
    let sysctls = sysctls.unwrap_or_default();
    let expose = field(&service.fields, "expose").map_or_else(Vec::new, |node| expose(node, reader));
    if service.count == 0 {
        item.notes.insert(0, format!("{}: has no containers", service.name));
        return vec![Item { name: None, ..item }];
    }
    let mut items = vec![];
    for (at, docker) in names.into_iter().enumerate() {
        let mut next =
            if at == 0 { item.clone() } else { Item::named(format!("{}-{}", service.name, at + 1)) };
        if ours {
            next.put("docker", Value::text(docker));
        }
        match &attached {
            Attached::Networks(networks) => next.put("networks", networks.clone()),
            Attached::Nothing => next.put("mode", Value::text("none")),
            Attached::Host => next.put("mode", Value::text("host")),
            Attached::Shared(owner) => next.put("mode", Value::text(format!("container:{owner}"))),
        }
        // One port of the host leads to one container.
        if at == 0 {
            next.put("publish", Value::List(publish.clone()));
        }
        next.put("expose", Value::List(expose.clone()));
        if !sysctls.is_empty() {
            next.put("sysctls", Value::Map(sysctls.clone()));
        }
        items.push(next);
    }
    items
}

/// Says what a key means that is no network's, port's or link's.
fn other(entry: &Entry, item: &mut Item, reader: &mut Reader<'_>) {
    match entry.key.as_str() {
        "networks" | "network_mode" | "links" | "external_links" | "ports" | "expose" | "mac_address"
        | "sysctls" => {}
        "dns" => {
            let servers =
                reader.texts(&entry.value).into_iter().map(|(text, _)| text).collect::<Vec<_>>().join(", ");
            let why = format!(
                "netform's resolver asks those of the network: `dns: {{upstream: [{servers}]}}` there"
            );
            reader.note(item, entry.at, ("dns", &why));
        }
        "dns_search" | "dns_opt" | "extra_hosts" | "hostname" | "domainname" => {
            reader.note(item, entry.at, (&entry.key, "stays Docker's to set"));
        }
        "extends" => {
            reader.note(
                item,
                entry.at,
                ("extends", "what it extends is not read; import `docker compose config` instead"),
            );
        }
        key if ELSEWHERE.contains(&key) => {}
        key => reader.note(item, entry.at, (key, "not known, and not taken over")),
    }
}

fn publish((node, way): (&Node, &Way), item: &mut Item, reader: &mut Reader<'_>) -> Vec<Value> {
    let mut all = vec![];
    for node in reader.list(node) {
        let port = match &node.kind {
            Kind::Map(_) => long(node, item, reader),
            Kind::Null
            | Kind::Bool(_)
            | Kind::Integer(_)
            | Kind::Number(_)
            | Kind::Text(_)
            | Kind::List(_)
            | Kind::Refused => reader.text(node).map(|text| ports::short(&text)),
        };
        let judged = |mut port: Port| {
            port.address = port.address.or_else(|| way.binding.map(|address| address.to_string()));
            (ports::published(&port, way.has_ipv6), port)
        };
        match port.map(|port| port.map(judged)) {
            None => {}
            Some(Ok((Published::So(value), _))) => all.push(value),
            Some(Ok((Published::Not(why), port))) => {
                let what = format!("port {}/{}", port.target.start(), port.protocol);
                reader.note(item, node.place, (&what, &why));
            }
            Some(Ok((Published::Wrong(why), _)) | Err(why)) => {
                reader.wrong(node.place, why, "not a port to publish")
            }
        }
    }
    all
}

/// Reads a port that is a map; `None` when something in it is wrong.
fn long(node: &Node, item: &mut Item, reader: &mut Reader<'_>) -> Option<Result<Port, String>> {
    let fields = reader.map(node);
    let mut text = |key: &str| field(&fields, key).and_then(|node| reader.text(node));
    let (target, published, address, protocol) =
        (text("target"), text("published"), text("host_ip"), text("protocol"));
    for entry in &fields {
        match entry.key.as_str() {
            "target" | "published" | "host_ip" | "protocol" | "name" | "app_protocol" => {}
            "mode" if reader.text(&entry.value).is_some_and(|mode| mode == "host") => {}
            "mode" => reader.note(
                item,
                entry.at,
                ("ports mode", "there is no mesh of hosts: it is published on this one"),
            ),
            other => reader.wrong(entry.at, format!("a port has no key `{other}`"), "not known"),
        }
    }
    let Some(target) = target else { return Some(Err("a port needs `target`".to_owned())) };
    let parse = |text: &str| ports::range(text).ok_or_else(|| format!("`{text}` is not a port"));
    let port = || {
        Ok(Port {
            address: address.filter(|address| !address.is_empty()),
            host: published.filter(|text| !text.is_empty()).map(|text| parse(&text)).transpose()?,
            target: parse(&target)?,
            protocol: ports::named(protocol.as_deref().unwrap_or("tcp"))?,
        })
    };
    Some(port())
}

fn expose(node: &Node, reader: &mut Reader<'_>) -> Vec<Value> {
    let mut all: Vec<Value> = vec![];
    for (text, place) in reader.texts(node) {
        match ports::exposed(&text) {
            Ok(port) if all.contains(&port) => {}
            Ok(port) => all.push(port),
            Err(why) => reader.wrong(place, why, "not a port"),
        }
    }
    all
}

/// Returns an address.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}
