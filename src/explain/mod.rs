//! What a thing on this host is, in a sentence: whose, its peer, its network, its container, its line in a manifest.
//!
//! | file | explains |
//! | --- | --- |
//! | [`interface`] | an interface, by what is known of it and of what it is paired with |
//! | [`kinds`] | kinds of interfaces, and whose names are whose |
//! | [`address`] | addresses, subnets and MACs |
//! | [`port`] | ports of the host |
//! | [`policy`] | policies |
//! | [`namespace`] | namespaces, and where somebody is |
//! | [`resource`] | containers, networks and resource addresses |
//! | [`firewall`] | tables, chains, rules, sets and elements |
//! | [`path`] | whether a packet gets from one place to another, and what decides |
//! | [`pasted`] | what `ip addr` printed, here or elsewhere |
//!
//! All of it is a function of a [`Scene`].

mod address;
mod external;
mod firewall;
mod interface;
mod kinds;
mod namespace;
mod pasted;
pub mod path;
mod policy;
mod port;
mod resource;
pub mod ruleset;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::kernel::census::{Interface, Namespace};
use crate::kernel::listeners::Process;
use crate::names::{ContainerName, NetName, ProjectName};
use crate::resource::host_ports::HostPorts;
use crate::resource::owner::{Origin, Owner};
use crate::resource::state::Entry;
use crate::runtime::list::Listing;
pub use pasted::pasted;
use ruleset::Table;

/// All that was read of a host.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The namespaces, that of netform first.
    pub namespaces: Vec<Namespace>,
    /// What Docker and Podman run.
    pub listing: Listing,
    /// What the projects' firewalls publish.
    pub published: Vec<(ProjectName, Vec<Entry>)>,
    /// Who listens on ports of the host.
    pub listeners: Vec<(HostPorts, Option<Process>)>,
    /// The firewall.
    pub tables: Vec<Table>,
    /// Where the manifests that were applied last ask for what.
    pub origins: BTreeMap<ProjectName, BTreeMap<Owner, Origin>>,
    /// What was declared then and had nothing on the host: which container waited to be on which network.
    pub waiting: BTreeMap<ProjectName, Vec<(ContainerName, NetName)>>,
}

/// What kind of thing something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An interface.
    Interface,
    /// An address or a subnet of an interface.
    Address,
    /// A port of the host.
    Port,
    /// A policy.
    Policy,
    /// A network namespace.
    Namespace,
    /// A container.
    Container,
    /// A network.
    Network,
    /// A table of the firewall.
    NftTable,
    /// A chain of the firewall.
    NftChain,
    /// A rule of the firewall.
    NftRule,
    /// A set or a map of the firewall.
    NftSet,
    /// An element of a set or a map.
    NftElement,
    /// Something of another host, known by its name alone.
    Elsewhere,
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// All that is known of it, in a sentence.
    pub sentence: String,
    /// The namespace that it is in; `null` for that of the host.
    pub namespace: Option<String>,
    /// Whose it is: `netform`, `Docker`, `the kernel`; `null` when nothing tells.
    pub owner: Option<String>,
    /// The project of netform's that owns it.
    pub project: Option<String>,
    /// The resource that it belongs to: `attachment.web@front`.
    pub resource: Option<String>,
    /// The network that it belongs to.
    pub network: Option<String>,
    /// The container that it belongs to.
    pub container: Option<String>,
    /// What it is paired with or stacked on.
    pub peer: Option<PeerName>,
    /// The interface whose port it is.
    pub master: Option<String>,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The line of the manifest that asks for it, as it was applied last: `shop.yaml:14:3`.
    pub manifest: Option<String>,
}

/// An interface that another one is paired with or stacked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PeerName {
    /// Its name.
    pub interface: String,
    /// The namespace that it is in; `null` for that of the host.
    pub namespace: Option<String>,
}

/// Whose something is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Whose {
    owner: Option<String>,
    project: Option<ProjectName>,
    resource: Option<Owner>,
    network: Option<String>,
    container: Option<String>,
}

impl Finding {
    fn new(kind: Kind, name: impl Into<String>, sentence: String) -> Self {
        Self {
            kind,
            name: name.into(),
            sentence,
            namespace: None,
            owner: None,
            project: None,
            resource: None,
            network: None,
            container: None,
            peer: None,
            master: None,
            addresses: vec![],
            manifest: None,
        }
    }

    fn of(mut self, whose: &Whose, scene: &Scene) -> Self {
        let Whose { owner, project, resource, network, container } = whose.clone();
        self.manifest = scene.origin(whose).map(ToString::to_string);
        self.owner = owner;
        self.project = project.map(String::from);
        self.resource = resource.map(|resource| resource.to_string());
        self.network = network;
        self.container = container;
        self
    }
}

impl Whose {
    /// Returns whose something of a project is.
    fn of_project(project: &ProjectName, owner: &Owner) -> Self {
        let (network, container) = match owner {
            Owner::Network(network) => (Some(network.to_string()), None),
            Owner::Container(container) => (None, Some(container.to_string())),
            Owner::Attachment { container, network } => {
                (Some(network.to_string()), Some(container.to_string()))
            }
            Owner::Project | Owner::Port(_) | Owner::Policy(_) | Owner::External(_) | Owner::Unmarked(_) => {
                (None, None)
            }
        };
        let owner_name = Some("netform".to_owned());
        Self {
            owner: owner_name,
            project: Some(project.clone()),
            resource: Some(owner.clone()),
            network,
            container,
        }
    }
}

impl Scene {
    fn origin(&self, whose: &Whose) -> Option<&Origin> {
        self.origins.get(whose.project.as_ref()?)?.get(whose.resource.as_ref()?)
    }

    /// Returns where the manifest asks for something, as the end of a sentence.
    fn asked_at(&self, whose: &Whose) -> Option<String> {
        self.origin(whose).map(|origin| format!("{origin} asks for it"))
    }

    /// Returns all interfaces with their namespaces and those's places.
    fn interfaces(&self) -> impl Iterator<Item = (usize, &Namespace, &Interface)> {
        let places = self.namespaces.iter().enumerate();
        places.flat_map(|(place, ns)| ns.interfaces.iter().map(move |interface| (place, ns, interface)))
    }
}

/// Returns the things that a command line names: most are one word; what `nft` prints is a line.
pub fn things(words: &[String]) -> Vec<String> {
    let line = words.join(" ");
    let is_line = words.len() > 1 && (firewall::begins(words) || line.contains("# handle "));
    if is_line { vec![line] } else { words.to_vec() }
}

/// Tells whether a thing may be a port of the host.
pub fn is_port(thing: &str) -> bool {
    port::parse(thing).is_some()
}

/// Returns why there is nothing to explain, as a sentence begins.
pub fn unknown(thing: &str) -> String {
    if firewall::is_of_it(thing) {
        format!("there is no `{thing}` in the firewall")
    } else if is_port(thing) {
        format!("nobody publishes port {thing} of this host, and nobody listens on it")
    } else if address::is_one(thing) {
        format!("no interface that can be seen from here has {thing}")
    } else {
        format!("nothing that can be seen from here is called `{thing}`")
    }
}

/// Returns all that a thing may be.
pub fn explain(thing: &str, scene: &Scene) -> Vec<Finding> {
    let mut found = interface::named(thing, scene);
    found.extend(address::find(thing, scene));
    found.extend(external::find(thing, scene));
    found.extend(port::find(thing, scene));
    found.extend(policy::find(thing, scene));
    found.extend(namespace::find(thing, scene));
    found.extend(resource::find(thing, scene));
    found.extend(firewall::find(thing, scene));
    found
}

/// Returns what each interface is of the namespace that netform runs in.
pub fn host(scene: &Scene) -> Vec<Finding> {
    let here = scene.interfaces().filter(|(_, ns, _)| ns.home);
    here.map(|(place, _, interface)| interface::finding(scene, place, interface)).collect()
}

/// Returns the names that things here have, for who has misspelt one.
pub fn names(scene: &Scene) -> impl Iterator<Item = &str> {
    let interfaces = scene.interfaces().map(|(_, _, interface)| interface.name.as_str());
    let namespaces = scene.namespaces.iter().flat_map(|ns| ns.names.iter().map(String::as_str));
    let containers = scene.listing.containers.iter().map(|container| container.name.as_str());
    let networks = scene.listing.networks.iter().map(|network| network.name.as_str());
    interfaces.chain(namespaces).chain(containers).chain(networks)
}

/// Returns things as a sentence lists them.
fn listed(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Returns a sentence of a beginning and what there is to add.
fn sentence(begin: &str, more: impl IntoIterator<Item = Option<String>>) -> String {
    let more: Vec<_> = more.into_iter().flatten().collect();
    if more.is_empty() { format!("{begin}.") } else { format!("{begin}: {}.", more.join("; ")) }
}
