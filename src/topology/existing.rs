//! Networks on a bridge of somebody else's: whether it is there, and what is meant when it is not.
//!
//! Whoever makes the bridge may do so later, or anew: until it is there, the network and all that is on it wait, and
//! everything else goes on. What its subnets, its gateway and its VLANs are is the bridge's to say, so nothing that depends
//! on them is a mistake before. So it is while a bridge that is there has no address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::facts::{Facts, Leases, LinkFact};
use super::scene::{Member, Net, Scene};
use super::text::nearest;
use super::{Attachment, Container, Network, Publish, Runtime, Topology, named, vswitch};
use crate::manifest::problem::Problem;
use crate::manifest::{At, Driver};
use crate::names::{IfName, NetName};
use crate::resource::owner::{Origin, Owner};
use crate::resource::sysctl::Family;

/// Tells whether a network waits for the bridge of somebody else that it is to be on.
pub(super) fn waits(scene: &Scene<'_>, net: &Net<'_>) -> bool {
    net.spec.external.is_some() && vswitch::external(scene, net).is_none() && !scene.facts.is_assumed
}

/// Whether what an attachment's network is on is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// It is.
    Firm,
    /// It is not: the attachment waits for the network's bridge, or its parent.
    Waits,
    /// It is somebody else's bridge, which has no address to tell the subnet by, and something of the attachment needs one.
    Bare,
}

/// Returns what an attachment is on.
pub(super) fn ground(scene: &Scene<'_>, member: &Member<'_>, network: &Network) -> Ground {
    if network.waits {
        return Ground::Waits;
    }
    let Some(net) = scene.net(member).filter(|net| net.spec.external.is_some()) else { return Ground::Firm };
    let wanted = member.spec.addresses.iter().chain(&member.spec.external).map(|at| at.value);
    let mut wanted = wanted.chain(member.spec.routes.iter().map(|at| at.value.to.value.addr()));
    let is_bare = wanted.any(|addr| scene.is_unknown(net, Some(Family::of(addr))));
    if is_bare && !scene.facts.is_assumed { Ground::Bare } else { Ground::Firm }
}

/// Tells whether somebody else's bridge has no address to tell a subnet by, of a family or at all.
pub(super) fn is_bare(scene: &Scene<'_>, net: &Net<'_>, family: Option<Family>) -> bool {
    let Some(bridge) = vswitch::external(scene, net) else { return false };
    let is_meant = |address: &IpNet| family.is_none_or(|family| family == Family::of(address.addr()));
    !bridge.addresses.iter().any(|address| is_meant(address) && tells_a_subnet(address))
}

/// Tells whether an address of a bridge says which subnet others there are in.
pub(super) fn tells_a_subnet(address: &IpNet) -> bool {
    let link_local = match address.addr() {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    };
    !link_local && address.prefix_len() < address.max_prefix_len()
}

/// Returns a sentence for each network whose bridge has no address that something on it needs.
pub(super) fn warnings(topology: &Topology) -> Vec<String> {
    let external = topology.networks.iter().filter(|network| network.external && !network.waits);
    let told = external.filter_map(|Network { name, origin, interface, .. }| {
        let needs_one = |container: &&Container| {
            let mut here = container.attachments.iter().filter(|attachment| attachment.network == *name);
            let unled = || container.publish.iter().any(|port| port.targets.is_empty());
            here.any(|attachment| attachment.ground == Ground::Bare || unled())
        };
        let container = topology.containers.iter().find(needs_one)?;
        Some(format!(
            "{origin}: bridge `{interface}` has no address to tell a subnet by, which container {} needs on network \
             {name}: its addresses, routes and ports there wait for that; give the bridge one, or the network its \
             `subnets`",
            container.name
        ))
    });
    told.collect()
}

/// Returns what is published on bridges of others and not reached, in sentences: netform neither gives the host an address
/// there nor lets packets of 127.0.0.1 out.
pub(super) fn unreached(topology: &Topology, facts: &Facts) -> Vec<String> {
    let external = topology.networks.iter().filter(|network| network.external && !network.waits);
    let told = external.flat_map(|network| {
        let led = || topology.containers.iter().flat_map(|it| led(it, network));
        let lost = led().find(|led| !has_way(network, facts, led.target));
        let alone = |led: &Led<'_>| led.is_anywhere && led.target.is_ipv4();
        let unasked = led().find(|led| alone(led) && has_way(network, facts, led.target));
        [lost.map(|led| led.is_lost(network)), unasked.map(|led| led.is_not_at_loopback(network))]
    });
    told.flatten().collect()
}

/// What leads to an address of a container on a network.
pub(super) struct Led<'t> {
    pub(super) container: &'t Container,
    pub(super) origin: &'t Origin,
    pub(super) what: String,
    pub(super) target: IpAddr,
    /// Whether it is a port of every address of the host.
    pub(super) is_anywhere: bool,
}

pub(super) fn led<'t>(container: &'t Container, network: &Network) -> Vec<Led<'t>> {
    let here = container.attachments.iter().filter(|attachment| attachment.network == network.name);
    let here: Vec<&Attachment> = here.collect();
    let is_here =
        |target: &IpAddr| here.iter().any(|it| it.addresses.iter().any(|own| own.addr() == *target));
    let ports = container.publish.iter().flat_map(|port| {
        let Publish { origin, host_address, host_ports, protocol, .. } = port;
        let what = format!("port {}/{protocol}", host_ports.start());
        let led = move |target: &IpAddr| {
            let (what, is_anywhere) = (what.clone(), host_address.is_none());
            Led { container, origin, what, target: *target, is_anywhere }
        };
        port.targets.iter().filter(|target| is_here(target)).map(led)
    });
    let whole = here.iter().flat_map(|attachment| &attachment.external).map(|external| Led {
        container,
        origin: &external.origin,
        what: external.address.to_string(),
        target: external.target,
        is_anywhere: false,
    });
    ports.chain(whole).collect()
}

/// Tells whether the host has a way to an address on a bridge of others, besides its default route.
pub(super) fn has_way(network: &Network, facts: &Facts, target: IpAddr) -> bool {
    let bridges =
        [&facts.bridges, &facts.vswitches].into_iter().filter_map(|all| all.get(&network.interface));
    bridges.flat_map(|bridge| &bridge.addresses).chain(&facts.routes).any(|net| net.contains(&target))
}

impl Led<'_> {
    fn is_lost(&self, network: &Network) -> String {
        let Self { container, origin, what, target, is_anywhere: _ } = self;
        let (interface, name) = (&network.interface, &container.name);
        format!(
            "{origin}: the host has neither an address nor a route on bridge `{interface}` by which it reaches {target}: what \
             comes to {what} does not get to container {name}; give the bridge an address there, or put {name} on a \
             network of netform's, too, by which its default route leads"
        )
    }

    fn is_not_at_loopback(&self, network: &Network) -> String {
        let Self { container, origin, what, .. } = self;
        let (interface, name) = (&network.interface, &container.name);
        format!(
            "{origin}: {what} does not answer at 127.0.0.1 of this host, since `{interface}` is somebody else's bridge: ask at \
             another of its addresses, or put {name} on a network of netform's, too, by which its default route leads"
        )
    }
}

/// Says that what a network is to be on is there and is no such bridge.
pub(super) fn mistaken(scene: &Scene<'_>, net: &Net<'_>, at: &At<IfName>) -> Option<Problem> {
    let facts = scene.facts;
    let to_be = format!("network `{}` is to be on it", net.name);
    let name = &at.value;
    if name.as_str() == "lo" {
        // That nothing can have this name is a problem of its own.
        return None;
    }
    let problem = |code, message: String, help: String| Problem {
        message,
        code,
        labels: vec![(at.place, to_be.clone())],
        help: Some(help),
    };
    if let Some((other, _)) = facts.interfaces.iter().find(|(_, interface)| *interface == name) {
        let help = format!(
            "write `interface: {name}` in place of `external`, or give it up first, as it is: `netform forget --force \
             network.{other}`"
        );
        let message = format!("bridge `{name}` is netform's own: network `{other}` has it");
        return Some(problem("topology::own_bridge", message, help));
    }
    if let Some(further) = named::further(scene, name, (at.place, &to_be)) {
        return Some(further);
    }
    let (what, others, right) = kinds(facts, &net.spec.driver);
    if others.contains_key(name) {
        let message = format!("there is no {what} named `{name}`");
        return Some(problem("topology::unknown_bridge", message, format!("`{name}` is {right}")));
    }
    let help = "`ip link show type bridge` lists the bridges; behind a link that is none, `driver: macvlan` is a network";
    let message = || format!("`{name}` is no {what}");
    let is_other = facts.foreign_links.contains(name);
    is_other.then(|| problem("topology::unknown_bridge", message(), help.to_owned()))
}

/// Returns what a network's bridge is called, and the bridges that are of another kind, with what is said of one.
fn kinds<'f>(
    facts: &'f Facts,
    driver: &Driver,
) -> (&'static str, &'f BTreeMap<IfName, LinkFact>, &'static str) {
    match driver {
        Driver::OpenVswitch(_) => {
            ("bridge of Open vSwitch", &facts.bridges, "a Linux bridge: write `driver: bridge`")
        }
        Driver::Bridge
        | Driver::Macvlan { .. }
        | Driver::Ipvlan { .. }
        | Driver::Veth(_)
        | Driver::Physical => {
            ("bridge", &facts.vswitches, "one of Open vSwitch: write `driver: openvswitch`")
        }
    }
}

/// Returns the sentence that says what a network waits for.
pub(super) fn sentence(network: &Network, facts: &Facts) -> String {
    let Network { name, interface, .. } = network;
    let (what, there) = match network.driver {
        super::Driver::OpenVswitch(_) => ("bridge of Open vSwitch", &facts.vswitches),
        super::Driver::Bridge
        | super::Driver::Macvlan(_)
        | super::Driver::Ipvlan(..)
        | super::Driver::Veth(_)
        | super::Driver::Physical => ("bridge", &facts.bridges),
    };
    // One that containers were on is no misspelt name.
    let was_there = facts.leases.addresses.values().any(|networks| networks.contains_key(name));
    let meant = nearest(interface.as_str(), there.keys().map(IfName::as_str)).filter(|_| !was_there);
    let meant = meant.map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
    format!("there is no {what} `{interface}`{meant}: network `{name}` waits for it, with all that is on it")
}

/// Adds the addresses that containers had on networks that wait, or whose bridge has no address yet: nobody knows them better
/// until then.
pub(super) fn held_meanwhile(topology: &Topology, before: &Leases, leases: &mut Leases) {
    let is_unknown = |it: &&Network| it.waits || (it.external && it.subnets.is_empty());
    let unknown: Vec<_> = topology.networks.iter().filter(is_unknown).map(|network| &network.name).collect();
    let waits = |name: &NetName| unknown.contains(&name);
    for (container, networks) in &mut leases.addresses {
        let Some(before) = before.addresses.get(container) else { continue };
        for (network, addresses) in networks.iter_mut().filter(|(name, held)| held.is_empty() && waits(name))
        {
            addresses.extend(before.get(network).into_iter().flatten());
        }
    }
}

impl Topology {
    /// Returns what is declared and has nothing on the host meanwhile, since what it needs is not there: the bridge or the
    /// parent of its network, a link, or the container that it leads to.
    pub fn idle(&self) -> Vec<Owner> {
        let networks = self.networks.iter().filter(|network| network.waits);
        let networks = networks.map(|network| Owner::Network(network.name.clone()));
        networks.chain(self.containers.iter().flat_map(idle_of)).collect()
    }
}

fn idle_of(container: &Container) -> Vec<Owner> {
    let is_away = container.runtime == Runtime::Waiting;
    let away = container.attachments.iter().filter(|attachment| is_away || attachment.waits());
    let idle = away.flat_map(|Attachment { network, external, .. }| {
        let (container, network) = (container.name.clone(), network.clone());
        let external = external.iter().map(|external| Owner::External(external.address));
        std::iter::once(Owner::Attachment { container, network }).chain(external)
    });
    let ports = container.publish.iter().filter(|port| is_away || port.targets.is_empty());
    idle.chain(ports.flat_map(Publish::owners)).collect()
}
