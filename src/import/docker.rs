//! A live Docker host's networks as a manifest.
//!
//! Docker keeps its subnets, bridges and published ports while its networks are up. So the manifest takes subnets of its own
//! and publishes nothing: it can be planned and applied beside Docker, and says in comments what can be had once Docker's
//! network is gone. Source: `Network` and `ContainerInspectResponse` in Docker's `api/swagger.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value as Json;

use super::{Item, Note, Sketch, Value};
use crate::names::{Alias, ContainerName, IfName, Mtu, NetName};

/// Docker's network for everybody.
const BRIDGE: &str = "bridge";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    name: String,
    driver: String,
    #[serde(default)]
    internal: bool,
    #[serde(default, rename = "IPAM")]
    ipam: Ipam,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    config: Option<Vec<Subnet>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Subnet {
    subnet: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
    name: String,
    #[serde(default)]
    config: Config,
    host_config: HostConfig,
    network_settings: Settings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    exposed_ports: Option<BTreeMap<String, Json>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    network_mode: String,
    #[serde(default)]
    links: Option<Vec<String>>,
    #[serde(default)]
    port_bindings: Option<BTreeMap<String, Option<Vec<Binding>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Binding {
    host_ip: String,
    host_port: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    #[serde(default)]
    networks: Option<BTreeMap<String, Endpoint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint {
    aliases: Option<Vec<String>>,
    links: Option<Vec<String>>,
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<BTreeMap<String, Json>>,
}

/// Returns the manifest that Docker's networks and containers are; `project` owns it.
///
/// # Errors
///
/// What Docker says that makes no sense.
pub fn docker(
    project: &str,
    networks: Vec<Json>,
    containers: Vec<Json>,
) -> Result<Sketch, serde_json::Error> {
    let parse =
        |all: Vec<Json>| all.into_iter().map(serde_json::from_value).collect::<Result<Vec<Network>, _>>();
    let mut networks = parse(networks)?;
    let containers: Result<Vec<Container>, _> = containers.into_iter().map(serde_json::from_value).collect();
    let mut containers = containers?;
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    let mut draft = Draft::default();
    draft.sketch.project = project.to_owned();
    draft.sketch.head = [
        "From a live Docker, by `netform import docker`.",
        "Docker's networks stay as they are, and these come beside them, with subnets of their own, for containers as nf0, nf1",
        "and so on; a container that is started with `--network none` has these alone. What Docker holds meanwhile is told.",
    ]
    .map(str::to_owned)
    .into();
    for network in &networks {
        draft.network(network);
    }
    let names: BTreeMap<&str, &str> = containers.iter().map(|it| (it.id.as_str(), plain(&it.name))).collect();
    for container in &containers {
        draft.container(container, &names);
    }
    Ok(draft.sketch)
}

fn plain(name: &str) -> &str {
    name.trim_start_matches('/')
}

/// A manifest under construction.
#[derive(Default)]
struct Draft {
    sketch: Sketch,
    /// The networks that are made.
    made: BTreeSet<String>,
}

impl Draft {
    /// Notes what has no equivalent: at its item, and in the list.
    fn note(&mut self, item: &mut Item, whose: &str, text: String) {
        self.sketch.notes.push(Note { origin: None, text: format!("{whose}: {text}") });
        item.notes.push(text);
    }

    /// Has an item told of in comments alone.
    fn leave(&mut self, whose: &str, text: String, is_network: bool) {
        let mut item = Item::default();
        self.note(&mut item, whose, text);
        item.notes.insert(0, format!("{whose}:"));
        let items = if is_network { &mut self.sketch.networks } else { &mut self.sketch.containers };
        items.push(item);
    }

    fn network(&mut self, network: &Network) {
        let Network { name, driver, internal, ipam, options } = network;
        if matches!(driver.as_str(), "host" | "null") || name == BRIDGE {
            return;
        }
        if driver != "bridge" {
            let text = format!("driver {driver}: only bridges are taken over; left out, with what is on it");
            return self.leave(name, text, true);
        }
        if let Err(error) = NetName::try_from(name.as_str()) {
            return self.leave(name, error.to_string(), true);
        }
        let mut item = Item::named(ours(name));
        let subnets: Vec<&str> = ipam.config.iter().flatten().map(|it| it.subnet.as_str()).collect();
        if !subnets.is_empty() {
            let quoted: Vec<String> = subnets.iter().map(|it| format!("\"{it}\"")).collect();
            let quoted = quoted.join(", ");
            self.note(
                &mut item,
                name,
                format!("Docker holds its subnets until its network is gone: `subnets: [{quoted}]`"),
            );
        }
        if *internal {
            item.put("internal", Value::plain(true));
        }
        for (key, value) in options.iter().flatten() {
            self.option(&mut item, name, (key, value));
        }
        self.made.insert(name.clone());
        self.sketch.networks.push(item);
    }

    fn option(&mut self, item: &mut Item, whose: &str, (key, value): (&str, &str)) {
        let mtu = || value.parse::<u32>().ok().and_then(|mtu| Mtu::try_from(mtu).ok());
        match (key, value) {
            ("com.docker.network.driver.mtu", _) if mtu().is_some() => item.put("mtu", Value::plain(value)),
            (
                "com.docker.network.bridge.enable_icc" | "com.docker.network.bridge.enable_ip_masquerade",
                "true",
            ) => {}
            ("com.docker.network.bridge.enable_icc", "false") => item.put("icc", Value::plain(false)),
            ("com.docker.network.bridge.enable_ip_masquerade", "false") => {
                item.put("egress", Value::text("routed"))
            }
            ("com.docker.network.bridge.name", bridge) if IfName::try_from(bridge).is_ok() => {
                self.note(
                    item,
                    whose,
                    format!("Docker holds its bridge until its network is gone: `interface: {bridge}`"),
                );
            }
            (key, value) => self.note(item, whose, format!("{key}: has no equivalent ({value})")),
        }
    }

    fn container(&mut self, container: &Container, names: &BTreeMap<&str, &str>) {
        let name = plain(&container.name);
        if let Err(error) = ContainerName::try_from(name) {
            return self.leave(name, error.to_string(), false);
        }
        let mut item = Item::named(name);
        let mode = container.host_config.network_mode.as_str();
        if mode == "host" {
            item.put("mode", Value::text("host"));
        } else if let Some(owner) = mode.strip_prefix("container:") {
            let owner = names.get(owner).copied().unwrap_or(owner);
            if !names.values().any(|name| *name == owner) {
                return self.leave(
                    name,
                    format!("shares the namespace of {owner}, which does not run"),
                    false,
                );
            }
            item.put("mode", Value::text(format!("container:{owner}")));
        } else {
            item.put("docker", Value::text(name));
            self.attach(&mut item, container, name);
        }
        let exposed = container.config.exposed_ports.iter().flatten().map(|(port, _)| port);
        item.put("expose", Value::texts(exposed));
        self.sketch.containers.push(item);
    }

    fn attach(&mut self, item: &mut Item, container: &Container, name: &str) {
        let mut networks = vec![];
        for (network, endpoint) in container.network_settings.networks.iter().flatten() {
            if network == "none" {
                continue;
            }
            if network == BRIDGE {
                if self.made.insert(BRIDGE.to_owned()) {
                    let mut item = Item::named("default");
                    item.notes.push("Docker's network for everybody: no names but links.".to_owned());
                    self.sketch.networks.push(item);
                }
                let fields = links(container.host_config.links.iter().flatten());
                networks.push(("default".to_owned(), fields));
            } else if self.made.contains(network) {
                networks.push((ours(network), self.endpoint(item, name, (network, endpoint, container))));
            } else {
                self.note(item, name, format!("network {network} is left out, as said there"));
            }
        }
        for (port, bindings) in container.host_config.port_bindings.iter().flatten() {
            for binding in bindings.iter().flatten() {
                let Binding { host_ip, host_port } = binding;
                let text = match (host_ip.as_str(), host_port.as_str()) {
                    (_, "" | "0") => format!("port {port}: Docker chooses a port of the host"),
                    ("", host) => {
                        format!("Docker publishes it: `publish: [\"{host}:{port}\"]` once it does no more")
                    }
                    (ip, host) => format!(
                        "Docker publishes it: `publish: [\"{ip}:{host}:{port}\"]` once it does no more"
                    ),
                };
                self.note(item, name, text);
            }
        }
        if networks.is_empty() {
            item.put("mode", Value::text("none"));
        } else {
            let networks = networks.into_iter().map(|(name, fields)| (name, Value::Map(fields)));
            item.put("networks", Value::Map(networks.collect()));
        }
    }

    fn endpoint(
        &mut self,
        item: &mut Item,
        name: &str,
        (network, endpoint, container): (&str, &Endpoint, &Container),
    ) -> Vec<(String, Value)> {
        let Endpoint { aliases, links: linked, ipam_config } = endpoint;
        for address in ipam_config.iter().flatten().filter_map(|(_, address)| address.as_str()) {
            let text =
                format!("Docker holds its address on {network} until it is gone: `address: \"{address}\"`");
            self.note(item, name, text);
        }
        // The short id is an alias, too, and dies with the container.
        let is_own = |alias: &&String| container.id.starts_with(alias.as_str()) || *alias == name;
        let aliases: BTreeSet<&String> = aliases.iter().flatten().filter(|alias| !is_own(alias)).collect();
        let aliases: Vec<&String> =
            aliases.into_iter().filter(|it| Alias::try_from(it.as_str()).is_ok()).collect();
        let mut fields = links(linked.iter().flatten());
        if !aliases.is_empty() {
            fields.insert(0, ("aliases".to_owned(), Value::texts(aliases)));
        }
        fields
    }
}

/// Returns a network's name in the manifest: netform's `default` has no names but links.
fn ours(name: &str) -> String {
    if name == "default" { "docker_default".to_owned() } else { name.to_owned() }
}

/// Returns links, written `db:alias` or `/db:/web/alias`.
fn links<'a>(all: impl Iterator<Item = &'a String>) -> Vec<(String, Value)> {
    let link = |text: &String| {
        let (target, alias) = text.split_once(':')?;
        let (target, alias) = (plain(target), alias.rsplit('/').next()?);
        let is_right = ContainerName::try_from(target).is_ok() && Alias::try_from(alias).is_ok();
        is_right.then(|| (alias.to_owned(), Value::text(target)))
    };
    let links: BTreeMap<String, Value> = all.filter_map(link).collect();
    if links.is_empty() {
        vec![]
    } else {
        vec![("links".to_owned(), Value::Map(links.into_iter().collect()))]
    }
}
