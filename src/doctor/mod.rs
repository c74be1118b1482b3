//! Why a container does not reach the host or the outside: what is wrong on a host, by evidence, and what cures it.
//!
//! Each check is a function of [`Facts`], which are what was read of the host:
//!
//! | file | what it looks at |
//! | --- | --- |
//! | [`applied`] | what a project's last apply led to, and what of that is not so any more |
//! | [`joined`] | bridges of other projects, and what these keep from who is on them |
//! | [`ways`] | what loses the packets of containers, as [`crate::explain::path`] follows them |
//! | [`host`] | the host itself: routes, sizes of packets, ports, names, clock, tools |

mod applied;
mod host;
mod joined;
#[cfg(test)]
mod tests;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;
use smol_str::SmolStr;

use crate::explain::Scene;
use crate::explain::path::{Decision, Path};
use crate::kernel::census::{Interface, Namespace};
use crate::kernel::inside::Inside;
use crate::kernel::listeners::Process;
use crate::names::{IfName, ProjectName};
use crate::resource::Resource;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::route::Route;
use crate::resource::state::State;
use crate::resource::sysctl::Family;

/// All that the checks look at.
#[derive(Debug, Default)]
pub struct Facts {
    /// The namespaces with their interfaces, what is published, and who listens.
    pub scene: Scene,
    /// What decides about packets, by the place of the namespace; the host's is 0.
    pub insides: BTreeMap<usize, Inside>,
    /// The projects, as they were applied last.
    pub projects: Vec<Project>,
    /// The bridges that projects have joined and others have.
    pub joined: Vec<Joined>,
    /// Packets of containers that were followed.
    pub probes: Vec<Probe>,
    /// Resolvers of the host.
    pub resolvers: Vec<Resolver>,
    /// Which resolvers the containers are told to ask.
    pub told: Vec<Told>,
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// A project, as it was applied last.
#[derive(Debug)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// What the apply led to.
    pub state: State,
    /// When that was, in seconds since 1970.
    pub applied_at: u64,
    /// The manifest: what to apply to have it again.
    pub manifest: String,
    /// Whether a daemon keeps it up.
    pub kept: bool,
}

/// A bridge that a project has joined and another one has.
#[derive(Debug)]
pub struct Joined {
    /// The project that has joined it.
    pub guest: ProjectName,
    /// The bridge.
    pub bridge: IfName,
    /// Whose it is.
    pub project: ProjectName,
    /// Why nothing that is published there is reached from outside, and what makes it so, when it is not.
    pub closed: Option<(&'static str, &'static str)>,
    /// The families in which nobody on it hears anybody else there.
    pub apart: BTreeSet<Family>,
    /// Where policies of its project let somebody in all the same: parts of keys of sets.
    pub allowed: BTreeSet<SmolStr>,
}

/// A packet that was followed.
#[derive(Debug)]
pub struct Probe {
    /// The project.
    pub project: ProjectName,
    /// The attachment that it leaves by.
    pub owner: Owner,
    /// The bridge of its network.
    pub bridge: Option<String>,
    /// How far it goes.
    pub goal: Goal,
    /// What became of it.
    pub path: Path,
}

/// How far a packet of a container goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// To the host, by the gateway's address.
    Host,
    /// To a gateway that is not the host.
    Gateway(IpAddr),
    /// To another container of the network.
    Neighbour(String),
    /// Beyond the host.
    Outside,
}

/// A resolver that the host asks.
#[derive(Debug)]
pub struct Resolver {
    /// Its address.
    pub address: IpAddr,
    /// Whether it answered.
    pub answers: bool,
    /// What on this host drops what it is asked, or its answers.
    pub dropped: Option<Decision>,
}

/// The resolvers that a container is told to ask.
#[derive(Debug)]
pub struct Told {
    /// The project.
    pub project: ProjectName,
    /// The container.
    pub container: String,
    /// The file that tells.
    pub file: String,
    /// The resolvers.
    pub resolvers: Vec<IpAddr>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Packets are lost, or names not found.
    Error,
    /// They are under circumstances.
    Warning,
    /// Something could not be told.
    Note,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What is wrong, by a name that stays.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: an interface, a container, a port.
    pub subject: String,
    /// What is wrong, in a sentence.
    pub sentence: String,
    /// What shows it.
    pub evidence: String,
    /// What cures it.
    pub cure: Cure,
}

/// What cures something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cure {
    /// The command that does; `null` when it takes a decision.
    pub command: Option<String>,
    /// What to do otherwise, or what to know before.
    pub advice: Option<String>,
}

impl Cure {
    fn run(command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), advice: None }
    }

    fn advice(advice: impl Into<String>) -> Self {
        Self { command: None, advice: Some(advice.into()) }
    }
}

/// The checks, in the order in which they are told.
const CHECKS: [fn(&Facts) -> Vec<Finding>; 17] = [
    host::clock,
    host::tools,
    applied::namespaces,
    applied::parameters,
    applied::links,
    applied::addresses,
    applied::answers,
    applied::default_routes,
    applied::firewall,
    host::overlaps,
    host::sizes,
    host::ports,
    host::names,
    host::uplink,
    ways::lost,
    joined::closed,
    joined::apart,
];

/// Returns what is wrong, the worst first; what several checks find is told once.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let all = CHECKS.iter().flat_map(|check| check(facts));
    let mut found: Vec<_> =
        all.filter(|finding| seen.insert((finding.code, finding.subject.clone()))).collect();
    found.sort_by_key(|finding| finding.severity);
    found
}

impl Facts {
    /// Returns the namespace that a reference stands for, with its place.
    fn namespace(&self, ns: &NsRef) -> Option<(usize, &Namespace)> {
        let is = |it: &Namespace| match ns {
            NsRef::Host => it.home,
            NsRef::Named(name) => it.names.iter().any(|other| other == name.as_str()),
            NsRef::Path(path) => it.path().as_ref() == Some(path) || it.files.contains(path),
            NsRef::Process(process) => it.process.as_ref().is_some_and(|it| it.pid == process.pid),
        };
        self.scene.namespaces.iter().enumerate().find(|(_, it)| is(it))
    }

    /// Returns the place of a namespace.
    pub fn place(&self, ns: &NsRef) -> Option<usize> {
        self.namespace(ns).map(|(place, _)| place)
    }

    /// Returns the address by which packets leave by a route, when it is there.
    pub fn address(&self, route: &Route) -> Option<IpAddr> {
        let link = self.link(&route.ns, route.leaves_by()?.0.as_str())?;
        let v4 = route.dest.addr().is_ipv4();
        let all = link.addresses.iter().map(ipnet::IpNet::addr);
        all.filter(|it| it.is_ipv4() == v4).find(|it| match it {
            IpAddr::V4(_) => true,
            IpAddr::V6(it) => !it.is_unicast_link_local(),
        })
    }

    /// Returns the bridge of a network.
    pub fn bridge(&self, state: &State, network: &str) -> Option<String> {
        let is_of = |owner: &Owner| matches!(owner, Owner::Network(name) if name.as_str() == network);
        state.iter().filter(|(_, entry)| is_of(&entry.owner)).find_map(|(_, entry)| {
            let Resource::Link(link) = &entry.resource else { return None };
            Some(link.name.to_string())
        })
    }

    /// Tells whether any container on a bridge may talk to any other.
    pub fn may_talk(&self, state: &State, bridge: Option<&str>) -> bool {
        let has = |set: &str| {
            let mut elements = state.iter().filter_map(|(_, entry)| entry.resource.element());
            elements.any(|it| it.set == set && it.key.first().is_some_and(|key| Some(key.as_str()) == bridge))
        };
        has("same_network") && !has("isolating")
    }

    /// Tells whether an address is one of the host's own.
    pub fn is_of_host(&self, addr: IpAddr) -> bool {
        let links = self.namespace(&NsRef::Host).map(|(_, host)| host.interfaces.as_slice());
        links.unwrap_or_default().iter().any(|link| link.addresses.iter().any(|own| own.addr() == addr))
    }

    /// Tells whether the host has a default route.
    pub fn has_way_out(&self, v4: bool) -> bool {
        let routes = self.insides.get(&0).map(|inside| inside.routes.as_slice()).unwrap_or_default();
        routes.iter().any(|(dest, _)| dest.prefix_len() == 0 && dest.addr().is_ipv4() == v4)
    }

    fn link(&self, ns: &NsRef, name: &str) -> Option<&Interface> {
        self.namespace(ns)?.1.interfaces.iter().find(|link| link.name == name)
    }

    /// Returns who listens on ports of the host.
    fn listeners(&self) -> impl Iterator<Item = (&crate::resource::host_ports::HostPorts, Option<&Process>)> {
        self.scene.listeners.iter().map(|(ports, process)| (ports, process.as_ref()))
    }
}

/// Returns a command as it is run in a namespace.
fn inside(ns: &NsRef, command: &str) -> String {
    match ns {
        NsRef::Host => command.to_owned(),
        NsRef::Named(name) => format!("ip netns exec {name} {command}"),
        NsRef::Path(path) => format!("nsenter --net={} {command}", path.display()),
        NsRef::Process(process) => format!("nsenter --net=/proc/{}/ns/net {command}", process.pid),
    }
}

/// Returns a command as it is run in a namespace that was found; `None` when nobody can go there.
fn inside_of(space: &Namespace, command: &str) -> Option<String> {
    match (space.names.first(), space.path()) {
        _ if space.home => Some(command.to_owned()),
        (Some(name), _) => Some(format!("ip netns exec {name} {command}")),
        (None, Some(path)) => Some(format!("nsenter --net={} {command}", path.display())),
        // On the host it would be for the host.
        (None, None) => None,
    }
}

/// Returns a kernel parameter with where it is, the same for all checks that find it.
fn parameter(space: &Namespace, path: &str) -> String {
    let dotted = path.replace('/', ".");
    if space.home { dotted } else { format!("{dotted} in {}", netns(space)) }
}

/// Returns what a namespace of others than the host is called.
fn netns(space: &Namespace) -> String {
    space.names.first().map_or_else(|| space.called(), |name| format!("netns {name}"))
}

/// Returns the code of a switch of forwarding that is off.
fn forwarding_off(path: &str) -> Option<&'static str> {
    match path.strip_prefix("net/")? {
        "ipv4/ip_forward" => Some("forwarding-off"),
        "ipv6/conf/all/forwarding" => Some("forwarding-off-ipv6"),
        of_link if of_link.starts_with("ipv4/conf/") && of_link.ends_with("/forwarding") => {
            Some("link-forwarding-off")
        }
        _ => None,
    }
}

/// Returns what a namespace is called, as a sentence goes on after "in".
fn called(ns: &NsRef) -> String {
    match ns {
        NsRef::Host => "on the host".to_owned(),
        NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => format!("in {ns}"),
    }
}
