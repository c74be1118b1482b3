//! `netform import --discover`: a manifest of what is live and could be adopted.

use std::fmt::Write as _;
use std::net::IpAddr;

use indexmap::IndexMap;
use ipnet::IpNet;
use serde::Serialize;

use super::failure::unreadable;
use super::failure::{Code, Failure};
use super::show;
use crate::kernel::discover::{Bridge, Discovery, End, discover};
use crate::names::{ContainerName, NetName, NetnsName, ProjectName};

/// A manifest to be written.
#[derive(Serialize)]
struct Manifest {
    netform: u8,
    project: ProjectName,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    networks: IndexMap<String, Network>,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    containers: IndexMap<String, Container>,
}

#[derive(Serialize)]
struct Network {
    interface: String,
    subnets: Vec<Subnet>,
    mtu: u32,
    lifecycle: Lifecycle,
}

#[derive(Serialize)]
struct Subnet {
    cidr: IpNet,
    gateway: IpAddr,
}

#[derive(Serialize)]
struct Lifecycle {
    ignore: [&'static str; 1],
}

#[derive(Default, Serialize)]
struct Container {
    networks: IndexMap<String, Attachment>,
}

#[derive(Serialize)]
struct Attachment {
    interface: String,
    address: Vec<IpAddr>,
    mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway_priority: Option<u8>,
}

/// The manifest, how to adopt what it declares, and what it leaves out.
struct Draft {
    manifest: Manifest,
    imports: Vec<(String, String)>,
    left_out: Vec<String>,
}

/// Prints the manifest.
pub(super) async fn run(project: &str) -> Result<(), Failure> {
    let project = ProjectName::try_from(project).map_err(|error| Failure::of(Code::Usage, &error))?;
    let found = discover(&project).await.map_err(unreadable)?;
    show::out(&text(&draft(project, &found))?)
}

fn draft(project: ProjectName, found: &Discovery) -> Draft {
    let manifest = Manifest { netform: 1, project, networks: IndexMap::new(), containers: IndexMap::new() };
    let mut draft = Draft { manifest, imports: vec![], left_out: vec![] };
    let mut taken: Vec<IpNet> = vec![];
    let mut networks = vec![];
    for bridge in &found.bridges {
        match network(bridge, &mut taken, &draft.manifest) {
            Ok((name, network)) => {
                draft.imports.push((format!("network.{name}"), bridge.name.to_string()));
                draft.manifest.networks.insert(name.clone(), network);
                networks.push((name, bridge));
            }
            Err(why) => {
                let name = &bridge.name;
                let line = format!("bridge {name}: {why}; a network on it as it is: `external: {name}`");
                draft.left_out.push(line);
            }
        }
    }
    for (name, owner) in &found.namespaces {
        let attached = networks.iter().any(|(_, bridge)| ends(bridge).any(|(_, end)| end.ns == *name));
        match (owner, container_name(name)) {
            (Some(owner), _) => draft.left_out.push(format!("namespace {name}: of {owner}")),
            (None, None) => draft.left_out.push(format!("namespace {name}: no container can have this name")),
            (None, Some(_)) if !attached => {
                draft.left_out.push(format!("namespace {name}: on none of these bridges"))
            }
            (None, Some(container)) => {
                draft.imports.push((format!("container.{container}"), name.to_string()));
                draft.manifest.containers.insert(container.to_string(), Container::default());
            }
        }
    }
    for (name, bridge) in networks {
        attach(&mut draft, &name, bridge);
    }
    draft
}

/// Returns what a bridge is as a network, or why it cannot be one.
fn network(
    bridge: &Bridge,
    taken: &mut Vec<IpNet>,
    manifest: &Manifest,
) -> Result<(String, Network), String> {
    let Bridge { name: interface, mtu, owner, addresses, ports } = bridge;
    if let Some(owner) = owner {
        return Err(format!("of {owner}"));
    }
    if let Some(port) = ports.iter().find(|port| port.kind != "veth") {
        let what = if port.kind.is_empty() { "hardware".to_owned() } else { format!("a {} link", port.kind) };
        return Err(format!("its port {} is {what}", port.name));
    }
    let subnet = |address: &IpNet| {
        let (cidr, gateway) = (address.trunc(), address.addr());
        let room = cidr.max_prefix_len() - cidr.prefix_len() >= 2;
        (room && gateway != cidr.network() && gateway != cidr.broadcast()).then_some(Subnet { cidr, gateway })
    };
    let mut subnets: Vec<Subnet> = vec![];
    for found in addresses.iter().filter_map(subnet) {
        if !subnets.iter().any(|subnet| subnet.cidr == found.cidr) {
            subnets.push(found);
        }
    }
    let overlap = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
    if let Some(subnet) = subnets.iter().find(|subnet| taken.iter().any(|other| overlap(other, &subnet.cidr)))
    {
        return Err(format!("its subnet {} overlaps another bridge's", subnet.cidr));
    }
    if subnets.is_empty() {
        return Err("it has no address whose subnet has room for containers".to_owned());
    }
    let short = interface.as_str().strip_prefix("br-").unwrap_or(interface.as_str());
    let names = [short, interface.as_str()].map(|name| NetName::try_from(name).ok());
    let free = |name: &NetName| !manifest.networks.contains_key(name.as_str());
    let name = names.into_iter().flatten().find(free).ok_or("no network can have its name")?;
    taken.extend(subnets.iter().map(|subnet| subnet.cidr));
    let lifecycle = Lifecycle { ignore: ["mac"] };
    Ok((name.to_string(), Network { interface: interface.to_string(), subnets, mtu: mtu.bytes(), lifecycle }))
}

fn ends(bridge: &Bridge) -> impl Iterator<Item = (&str, &End)> {
    bridge.ports.iter().filter_map(|port| Some((port.name.as_str(), port.end.as_ref()?)))
}

fn container_name(ns: &NetnsName) -> Option<ContainerName> {
    ContainerName::try_from(ns.as_str()).ok().filter(|name| NetnsName::from(name) == *ns)
}

/// Puts the containers behind a bridge's ports on its network.
fn attach(draft: &mut Draft, name: &str, bridge: &Bridge) {
    let Draft { manifest, imports, left_out } = draft;
    let Some(network) = manifest.networks.get(name) else { return };
    for port in &bridge.ports {
        let link = &port.name;
        let Some(End { ns, name: interface, mac, addresses, default_via }) = &port.end else {
            left_out.push(format!("link {link} on {}: its other end is in no named namespace", bridge.name));
            continue;
        };
        let Some(container) = manifest.containers.get_mut(ns.as_str()) else { continue };
        let in_subnet = |subnet: &Subnet| addresses.iter().find(|address| address.trunc() == subnet.cidr);
        let held: Vec<IpNet> = network.subnets.iter().filter_map(in_subnet).copied().collect();
        for address in addresses.iter().filter(|address| !held.contains(address)) {
            left_out.push(format!("address {address} on {interface} in {ns}: stays as it is"));
        }
        if held.is_empty() || container.networks.contains_key(name) {
            let why = if held.is_empty() {
                "it has no address of the network"
            } else {
                "a second one on the network"
            };
            left_out.push(format!("link {link} of {ns} on {}: {why}", bridge.name));
            continue;
        }
        let leads_out = network.subnets.iter().any(|subnet| default_via.contains(&subnet.gateway));
        if !leads_out {
            left_out.push(format!("{ns} has no default route by {name}, and an apply may give it one"));
        }
        let attachment = Attachment {
            interface: interface.to_string(),
            address: held.iter().map(IpNet::addr).collect(),
            mac: mac.to_string(),
            gateway_priority: leads_out.then_some(10),
        };
        container.networks.insert(name.to_owned(), attachment);
        imports.push((format!("attachment.{ns}@{name}"), link.to_string()));
    }
}

fn text(draft: &Draft) -> Result<String, Failure> {
    let Draft { manifest, imports, left_out } = draft;
    let yaml = serde_yaml::to_string(manifest).map_err(|error| Failure::of(Code::Failed, &error))?;
    let mut text =
        "# What is live on this host, as a manifest. Look it through, save it, and adopt what it names:\n#\n"
            .to_owned();
    for (address, object) in imports {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "#   netform import --manifest FILE {address} {object}");
    }
    text.push_str(
        "#\n# Then `netform plan` shows what an apply would add: netform's firewall, which masquerades what leaves these\n\
         # networks and lets nothing in but published ports. `egress: routed` and `ingress: open` leave that as it is.\n\n",
    );
    text.push_str(&yaml);
    if !left_out.is_empty() {
        text.push_str("\n# Left out:\n");
        for line in left_out {
            let _ = writeln!(text, "#   {line}");
        }
    }
    Ok(text)
}
