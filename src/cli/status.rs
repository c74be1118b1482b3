//! `netform status`: what is declared, what is live, whether they agree.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::failure::chain;
use crate::apply::generation::Past;
use crate::names::IfName;
use crate::plan::{Action, Conflict, Plan};
use crate::resource::owner::Owner;
use crate::topology::{Attachment, Container, External, Network, Runtime, Topology};
use crate::watch::protocol::{self, Condition, Names};

/// What a status says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Status<'a> {
    /// The version of this document, `MAJOR.MINOR`.
    format_version: &'static str,
    project: String,
    /// Whether the live state is what the manifest says.
    in_sync: bool,
    /// The newest generation, when there is one.
    generation: Option<u64>,
    networks: Vec<NetworkStatus<'a>>,
    containers: Vec<ContainerStatus<'a>>,
    /// What is live and no longer declared.
    leftover: Vec<String>,
    /// What others have where something of the manifest should be.
    in_the_way: Vec<String>,
    /// What is damaged or gone of the files in which netform keeps what was before.
    lost: Vec<String>,
    /// What other projects keep from containers on bridges of theirs.
    kept_from: Vec<String>,
    /// What makes names work in the containers.
    names: Names,
    /// How `netform watch` is doing, when it runs.
    daemon: Option<protocol::Status>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct NetworkStatus<'a> {
    name: &'a str,
    state: Health,
    interface: &'a str,
    subnets: Vec<String>,
    gateways: Vec<String>,
    internal: bool,
    attachments: Vec<AttachmentStatus<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AttachmentStatus<'a> {
    container: &'a str,
    state: Health,
    interface: &'a str,
    host_interface: Option<&'a str>,
    mac: String,
    addresses: Vec<String>,
    aliases: Vec<&'a str>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ContainerStatus<'a> {
    name: &'a str,
    state: Health,
    netns: String,
    networks: Vec<&'a str>,
    // Its ports and addresses at the host, but for those that lead nowhere until what they wait for is there.
    published: Vec<String>,
}

/// Whether what is live is what is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Health {
    /// It is.
    InSync,
    /// Nothing is live.
    Missing,
    /// Something else is live.
    Differs,
    /// Its namespace, or the bridge or link that it is to be on, is not there yet.
    Waiting,
    /// Something of somebody else's is in its place.
    Blocked,
}

/// Returns the schema of the document, as `schemas/status.v1.json` holds it.
pub(super) fn schema() -> schemars::Schema {
    schemars::schema_for!(Status<'_>)
}

impl Health {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "in sync",
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
        }
    }
}

impl<'a> Status<'a> {
    /// Returns the status that a plan implies, and what was in its way.
    pub(super) fn new(
        topology: &'a Topology,
        plan: &Plan,
        conflicts: &[Conflict],
        generation: Option<u64>,
    ) -> Self {
        let health = |owner: &Owner| health(owner, plan, conflicts);
        let destroyed = plan.changes.iter().filter(|change| change.action == Action::Destroy);
        Self {
            format_version: "1.0",
            project: topology.project.to_string(),
            in_sync: plan.is_empty() && conflicts.is_empty(),
            generation,
            networks: topology.networks.iter().map(|n| network_status(topology, n, &health)).collect(),
            containers: topology.containers.iter().map(|c| container_status(topology, c, &health)).collect(),
            leftover: destroyed.map(|change| change.owner.to_string()).collect(),
            in_the_way: conflicts.iter().map(|conflict| chain(conflict)).collect(),
            lost: vec![],
            kept_from: plan.extra.joined.clone(),
            names: Names::HostsFiles,
            daemon: None,
        }
    }

    /// Adds what is damaged or gone of what was before.
    pub(super) fn remembering(mut self, past: &Past) -> Self {
        self.lost = past.warnings.iter().chain(&past.originals.warning).cloned().collect();
        self
    }

    /// Adds how the daemon is doing.
    pub(super) fn kept_by(mut self, daemon: Option<protocol::Status>) -> Self {
        self.names = daemon.as_ref().map_or(Names::HostsFiles, |daemon| daemon.names);
        self.daemon = daemon;
        self
    }

    /// Tells whether the live state is what is declared.
    pub(super) fn in_sync(&self) -> bool {
        self.in_sync
    }

    /// Returns a line for each network and container.
    pub(super) fn table(&self) -> String {
        let mut text = self.headline();
        if !self.networks.is_empty() {
            text.push_str(
                "\nNETWORK           STATE    INTERFACE        SUBNETS                         CONTAINERS\n",
            );
        }
        for network in &self.networks {
            let NetworkStatus { name, state, interface, subnets, attachments, .. } = network;
            let (state, subnets, count) = (state.as_str(), subnets.join(", "), attachments.len());
            let _ = writeln!(text, "{name:<17} {state:<8} {interface:<16} {subnets:<31} {count}");
        }
        if !self.containers.is_empty() {
            text.push_str("\nCONTAINER         STATE    NETWORKS\n");
        }
        for container in &self.containers {
            let ContainerStatus { name, state, networks, published, .. } = container;
            let amiss = self.amiss(container);
            let state = if amiss.is_empty() { *state } else { Health::Differs };
            let mut line = format!("{name:<17} {:<8} {}", state.as_str(), networks.join(", "));
            if !amiss.is_empty() {
                let _ = write!(line, "  ({})", amiss.join(", "));
            }
            if !published.is_empty() {
                let _ = write!(line, "  (published: {})", published.join(", "));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Returns what is not as it shall be of the networks of a container that is in sync itself: `back: missing`.
    fn amiss(&self, container: &ContainerStatus<'_>) -> Vec<String> {
        let of_network = |network: &NetworkStatus<'_>| {
            let mut own = network.attachments.iter().filter(|it| it.container == container.name);
            let state = own.find_map(|it| match it.state {
                Health::InSync | Health::Waiting => None,
                Health::Missing | Health::Differs | Health::Blocked => Some(it.state),
            })?;
            Some(format!("{}: {}", network.name, state.as_str()))
        };
        match container.state {
            Health::InSync => self.networks.iter().filter_map(of_network).collect(),
            Health::Missing | Health::Differs | Health::Waiting | Health::Blocked => vec![],
        }
    }

    /// Returns each network with its containers under it.
    pub(super) fn tree(&self) -> String {
        let mut text = self.headline();
        for network in &self.networks {
            let NetworkStatus { name, state, interface, subnets, gateways: _, internal, attachments } =
                network;
            let internal = if *internal { "  internal" } else { "" };
            let (state, subnets) = (state.as_str(), subnets.join(", "));
            let _ = writeln!(text, "\n{name}  {interface}  {subnets}{internal}  [{state}]");
            for (index, attachment) in attachments.iter().enumerate() {
                let AttachmentStatus { container, state, interface, mac, addresses, aliases, .. } =
                    attachment;
                let branch = if index + 1 == attachments.len() { "`--" } else { "|--" };
                let mut line = format!("{branch} {container}  {interface}  {}  {mac}", addresses.join(", "));
                if !aliases.is_empty() {
                    let _ = write!(line, "  aka {}", aliases.join(", "));
                }
                let _ = writeln!(text, "{line}  [{}]", state.as_str());
            }
        }
        let alone: Vec<_> =
            self.containers.iter().filter(|container| container.networks.is_empty()).collect();
        for container in alone {
            let _ = writeln!(text, "\n{}  (no network)  [{}]", container.name, container.state.as_str());
        }
        text
    }

    fn headline(&self) -> String {
        let Self { project, in_sync, generation, leftover, in_the_way, lost, kept_from, .. } = self;
        let agree = if *in_sync { "in sync" } else { "differs from the manifest; `netform plan` says how" };
        let generation = generation.map_or_else(String::new, |number| format!(" (generation {number})"));
        let mut text = format!("project {project}: {agree}{generation}\n");
        for owner in leftover {
            let _ = writeln!(text, "no longer declared: {owner}");
        }
        for what in in_the_way {
            let _ = writeln!(text, "in the way: {what}");
        }
        for what in lost.iter().chain(kept_from) {
            let _ = writeln!(text, "warning: {what}");
        }
        text.push_str(&self.keeping());
        text
    }
}

impl Status<'_> {
    /// Returns who keeps it so, and what makes names work.
    fn keeping(&self) -> String {
        let names = match self.names {
            Names::HostsFiles => "names: hosts files, as they were applied last",
            Names::Daemon => "names: answered by the daemon",
        };
        let Some(daemon) = &self.daemon else {
            return format!("kept by nobody: `netform watch` does not run\n{names}\n");
        };
        let protocol::Status { pid, state, held, failed, contested, unanswered, .. } = daemon;
        if *state == Condition::Silent {
            return format!("{}\nnames: hosts files, until it answers\n", unanswered.join("\n"));
        }
        let mut text = format!("kept by `netform watch` (process {pid}): {}\n", state.as_str());
        let troubles = [("the manifest is not in force as it stands", held), ("failed", failed)];
        for (what, why) in troubles {
            if let Some(why) = why {
                let _ = writeln!(text, "{what}: {why}");
            }
        }
        for what in contested {
            let _ = writeln!(text, "contested, left alone: {what}");
        }
        let _ = writeln!(text, "{names}");
        for what in unanswered {
            let _ = writeln!(text, "{what}");
        }
        text
    }
}

/// Returns how a resource is doing, as a plan and what is in its way tell it.
pub(super) fn health(owner: &Owner, plan: &Plan, conflicts: &[Conflict]) -> Health {
    if conflicts.iter().any(|conflict| conflict.owner == *owner) {
        return Health::Blocked;
    }
    let change = plan.changes.iter().find(|change| change.owner == *owner);
    change.map_or(Health::InSync, |change| match change.action {
        Action::Create => Health::Missing,
        Action::Update | Action::Replace | Action::Destroy => Health::Differs,
    })
}

fn network_status<'a>(
    topology: &'a Topology,
    network: &'a Network,
    health: &impl Fn(&Owner) -> Health,
) -> NetworkStatus<'a> {
    let attached = topology.containers.iter().flat_map(|container| {
        let mine = container.attachments.iter().filter(|attachment| attachment.network == network.name);
        mine.map(move |attachment| (container, attachment, network.waits || attachment.waits()))
    });
    let lacks_an_end = topology.lacks_an_end(network);
    let health_there = |owner: &Owner| if lacks_an_end { Health::Waiting } else { health(owner) };
    NetworkStatus {
        name: network.name.as_str(),
        state: if network.waits { Health::Waiting } else { health(&Owner::Network(network.name.clone())) },
        interface: network.on_host().map_or("none", IfName::as_str),
        subnets: network.subnets.iter().map(|subnet| subnet.cidr.to_string()).collect(),
        gateways: network.subnets.iter().filter_map(|subnet| Some(subnet.gateway?.to_string())).collect(),
        internal: network.internal,
        attachments: attached
            .map(|(container, at, waits)| attachment_status(container, (at, waits), &health_there))
            .collect(),
    }
}

fn attachment_status<'a>(
    container: &'a Container,
    (attachment, waits): (&'a Attachment, bool),
    health: &impl Fn(&Owner) -> Health,
) -> AttachmentStatus<'a> {
    let owner = Owner::Attachment { container: container.name.clone(), network: attachment.network.clone() };
    AttachmentStatus {
        container: container.name.as_str(),
        state: if waits { Health::Waiting } else { waiting_or(container, health(&owner)) },
        interface: attachment.link.as_str(),
        host_interface: attachment.port.as_ref().map(|port| port.as_str()),
        mac: attachment.mac.to_string(),
        addresses: attachment.addresses.iter().map(ToString::to_string).collect(),
        aliases: attachment.aliases.iter().map(|alias| alias.as_str()).collect(),
    }
}

fn container_status<'a>(
    topology: &Topology,
    container: &'a Container,
    health: &impl Fn(&Owner) -> Health,
) -> ContainerStatus<'a> {
    let is_away = container.runtime == Runtime::Waiting;
    let waits = |attachment: &Attachment| {
        let mut networks = topology.networks.iter().filter(|network| network.name == attachment.network);
        attachment.waits() || networks.any(|network| network.waits)
    };
    // One that is on another network meanwhile is as its namespace is.
    let is_nowhere = !container.attachments.is_empty() && container.attachments.iter().all(waits);
    let home = waiting_or(container, health(&Owner::Container(container.name.clone())));
    let state = if is_nowhere && home == Health::InSync { Health::Waiting } else { home };
    let leads = container.publish.iter().filter(|publish| !is_away && !publish.targets.is_empty());
    let published = leads.map(|publish| {
        let host = publish.host_address.map_or_else(|| "*".to_owned(), |address| address.to_string());
        let ports = |range: &std::ops::RangeInclusive<u16>| {
            let (first, last) = (range.start(), range.end());
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        let (from, to) = (ports(&publish.host_ports), ports(&publish.target_ports));
        format!("{host}:{from}->{to}/{}", publish.protocol)
    });
    let there = container.attachments.iter().filter(|attachment| !is_away && !waits(attachment));
    let external = there.flat_map(|attachment| &attachment.external);
    let external = external.map(|External { address, target, .. }| format!("{address}->{target}"));
    ContainerStatus {
        name: container.name.as_str(),
        state,
        netns: container.ns.to_string(),
        networks: container.attachments.iter().map(|attachment| attachment.network.as_str()).collect(),
        published: published.chain(external).collect(),
    }
}

fn waiting_or(container: &Container, health: Health) -> Health {
    match container.runtime {
        Runtime::Waiting => Health::Waiting,
        Runtime::Netform | Runtime::Given | Runtime::Shared => health,
    }
}
