//! The sets and maps of the firewall's tables: their names, what their keys are made of, and what an element does.
//!
//! This is the wire form that the firewall, which fills them, and the kernel's side, which writes and reads them, share.

use super::nft::{NftFamily, Stance};

/// A part of a key, or what a map holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The name of a link.
    Link,
    /// An IPv4 address or prefix.
    Ipv4,
    /// An IPv6 address or prefix.
    Ipv6,
    /// A transport protocol.
    Protocol,
    /// A port or a range of ports.
    Port,
}

/// How a set finds an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// By the very key.
    Exact,
    /// By prefixes and ranges, which may not overlap.
    Interval,
}

/// A part of the firewall that is there only when something asks for it, so that it costs nobody else anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What is always there.
    Core,
    /// What leads external addresses to containers.
    External,
    /// What keeps containers apart that are isolated.
    Isolation,
    /// What judges by the manifest's policies.
    Policies,
    /// What judges tags of VLANs.
    Vlans,
}

/// A set or a map of one of the firewall's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetSpec {
    /// The family of the table that it is in.
    pub family: NftFamily,
    /// Its name.
    pub name: &'static str,
    /// What its keys are made of.
    pub key: &'static [Field],
    /// What a map holds; `None` for a set.
    pub data: Option<Field>,
    /// How it finds an element.
    pub lookup: Lookup,
    /// What its elements do.
    pub stance: Stance,
    /// When it is declared.
    pub part: Part,
}

/// Returns the set of this name in a table of this family, when it is one of ours.
pub fn find(family: NftFamily, name: &str) -> Option<&'static SetSpec> {
    SETS.iter().find(|set| set.family == family && set.name == name)
}

const fn set(name: &'static str, key: &'static [Field], lookup: Lookup, stance: Stance) -> SetSpec {
    SetSpec { family: NftFamily::Inet, name, key, data: None, lookup, stance, part: Part::Core }
}

const fn map(
    name: &'static str,
    key: &'static [Field],
    data: Field,
    lookup: Lookup,
    stance: Stance,
) -> SetSpec {
    SetSpec { family: NftFamily::Inet, name, key, data: Some(data), lookup, stance, part: Part::Core }
}

const fn bridge(name: &'static str, key: &'static [Field], lookup: Lookup, stance: Stance) -> SetSpec {
    SetSpec { family: NftFamily::Bridge, name, key, data: None, lookup, stance, part: Part::Core }
}

const fn outer(set: SetSpec) -> SetSpec {
    SetSpec { part: Part::External, ..set }
}

const fn isolating(set: SetSpec) -> SetSpec {
    SetSpec { part: Part::Isolation, ..set }
}

const fn tagged(set: SetSpec) -> SetSpec {
    SetSpec { part: Part::Vlans, ..set }
}

const fn judging(set: SetSpec) -> SetSpec {
    SetSpec { part: Part::Policies, ..set }
}

use Field::{Ipv4, Ipv6, Link, Port, Protocol};
use Lookup::{Exact, Interval};
use Stance::{Allows, Restricts};

/// All sets and maps, in the order in which they are declared.
pub const SETS: &[SetSpec] = &[
    // The bridges of our networks: nobody else's traffic is ever dropped.
    set("bridges", &[Link], Exact, Restricts),
    set("internal", &[Link], Exact, Restricts),
    set("open", &[Link], Exact, Allows),
    // A bridge twice: what comes from it and goes back to it. nft cannot compare two interfaces otherwise.
    set("same_network", &[Link, Link], Exact, Allows),
    set("no_icc", &[Link, Link], Exact, Allows),
    // Bridge, source, destination, protocol and port of linked containers where `icc` is false.
    set("link4", &[Link, Ipv4, Ipv4, Protocol, Port], Interval, Allows),
    set("link6", &[Link, Ipv6, Ipv6, Protocol, Port], Interval, Allows),
    // Sources whose address is hidden on the way out.
    set("masquerade4", &[Ipv4], Interval, Restricts),
    set("masquerade6", &[Ipv6], Interval, Restricts),
    map("snat4", &[Ipv4], Ipv4, Interval, Restricts),
    map("snat6", &[Ipv6], Ipv6, Interval, Restricts),
    // A subnet with its own bridge.
    set("hairpin4", &[Ipv4, Link], Interval, Restricts),
    set("hairpin6", &[Ipv6, Link], Interval, Restricts),
    // Sources that a container on several networks answers directly: a subnet, and the container's address on another.
    set("direct4", &[Ipv4, Ipv4], Interval, Restricts),
    set("direct6", &[Ipv6, Ipv6], Interval, Restricts),
    // Ports published on every address of the host. nft 1.0.6 takes no map to an address and a port, so there are two;
    // a range whose ports stay the same is one element, and keeps its port by not naming one.
    map("any_addr4", &[Protocol, Port], Ipv4, Exact, Allows),
    map("any_port4", &[Protocol, Port], Port, Exact, Allows),
    map("any_range4", &[Protocol, Port], Ipv4, Interval, Allows),
    map("any_addr6", &[Protocol, Port], Ipv6, Exact, Allows),
    map("any_port6", &[Protocol, Port], Port, Exact, Allows),
    map("any_range6", &[Protocol, Port], Ipv6, Interval, Allows),
    // Ports published on one address of the host.
    map("host_addr4", &[Ipv4, Protocol, Port], Ipv4, Exact, Allows),
    map("host_port4", &[Ipv4, Protocol, Port], Port, Exact, Allows),
    map("host_range4", &[Ipv4, Protocol, Port], Ipv4, Interval, Allows),
    map("host_addr6", &[Ipv6, Protocol, Port], Ipv6, Exact, Allows),
    map("host_port6", &[Ipv6, Protocol, Port], Port, Exact, Allows),
    map("host_range6", &[Ipv6, Protocol, Port], Ipv6, Interval, Allows),
    // Where published ports lead: the container's address and port.
    set("target4", &[Ipv4, Protocol, Port], Exact, Allows),
    set("target6", &[Ipv6, Protocol, Port], Exact, Allows),
    set("target_range4", &[Ipv4, Protocol, Port], Interval, Allows),
    set("target_range6", &[Ipv6, Protocol, Port], Interval, Allows),
    // Published ports with `allow_from`, and who may use them: source, then the host's address and port.
    set("guard_any", &[Protocol, Port], Interval, Restricts),
    set("guard_host4", &[Ipv4, Protocol, Port], Interval, Restricts),
    set("guard_host6", &[Ipv6, Protocol, Port], Interval, Restricts),
    set("allow_any4", &[Ipv4, Protocol, Port], Interval, Allows),
    set("allow_any6", &[Ipv6, Protocol, Port], Interval, Allows),
    set("allow_host4", &[Ipv4, Ipv4, Protocol, Port], Interval, Allows),
    set("allow_host6", &[Ipv6, Ipv6, Protocol, Port], Interval, Allows),
    // External addresses: nothing of them is the host's own, or is passed on as it is.
    outer(set("external4", &[Ipv4], Exact, Restricts)),
    outer(set("external6", &[Ipv6], Exact, Restricts)),
    // The container's address that each leads to, those addresses, and the way out: which external one each leaves with.
    outer(map("external_to4", &[Ipv4], Ipv4, Exact, Allows)),
    outer(map("external_to6", &[Ipv6], Ipv6, Exact, Allows)),
    outer(set("external_target4", &[Ipv4], Exact, Allows)),
    outer(set("external_target6", &[Ipv6], Exact, Allows)),
    outer(map("external_from4", &[Ipv4], Ipv4, Exact, Restricts)),
    outer(map("external_from6", &[Ipv6], Ipv6, Exact, Restricts)),
    // The host's ends of containers that may not talk to each other, and the exceptions: from, to, protocol, port.
    bridge("ports", &[Link], Exact, Restricts),
    bridge("link", &[Link, Link, Protocol, Port], Interval, Allows),
    // Bridges, twice, on which containers are isolated; their ends on the host, and what they do not reach by the host.
    isolating(set("isolating", &[Link, Link], Exact, Allows)),
    isolating(bridge("isolated", &[Link], Exact, Restricts)),
    isolating(bridge("around4", &[Link, Ipv4], Interval, Restricts)),
    isolating(bridge("around6", &[Link, Ipv6], Interval, Restricts)),
    // The host's ends of containers that send frames without tags, and of those that send some with one.
    tagged(bridge("untagged", &[Link], Exact, Restricts)),
    tagged(bridge("trunked", &[Link], Exact, Restricts)),
    // The subnets of all networks, whose addresses nobody outside has.
    judging(set("inside4", &[Ipv4], Interval, Restricts)),
    judging(set("inside6", &[Ipv6], Interval, Restricts)),
    // What the policies decide, from one address to the other: by port, and of all else. No two of a set overlap, nor do
    // those of `allow` and of `deny`.
    judging(set("allow_flow4", &[Ipv4, Ipv4, Protocol, Port], Interval, Allows)),
    judging(set("allow_flow6", &[Ipv6, Ipv6, Protocol, Port], Interval, Allows)),
    judging(set("deny_flow4", &[Ipv4, Ipv4, Protocol, Port], Interval, Restricts)),
    judging(set("deny_flow6", &[Ipv6, Ipv6, Protocol, Port], Interval, Restricts)),
    judging(set("allow_pair4", &[Ipv4, Ipv4], Interval, Allows)),
    judging(set("allow_pair6", &[Ipv6, Ipv6], Interval, Allows)),
    judging(set("deny_pair4", &[Ipv4, Ipv4], Interval, Restricts)),
    judging(set("deny_pair6", &[Ipv6, Ipv6], Interval, Restricts)),
    // The same with the host as one end.
    judging(set("allow_to_host4", &[Ipv4, Ipv4, Protocol, Port], Interval, Allows)),
    judging(set("allow_to_host6", &[Ipv6, Ipv6, Protocol, Port], Interval, Allows)),
    judging(set("deny_to_host4", &[Ipv4, Ipv4, Protocol, Port], Interval, Restricts)),
    judging(set("deny_to_host6", &[Ipv6, Ipv6, Protocol, Port], Interval, Restricts)),
    judging(set("deny_all_to_host4", &[Ipv4, Ipv4], Interval, Restricts)),
    judging(set("deny_all_to_host6", &[Ipv6, Ipv6], Interval, Restricts)),
    judging(set("allow_from_host4", &[Ipv4, Protocol, Port], Interval, Allows)),
    judging(set("allow_from_host6", &[Ipv6, Protocol, Port], Interval, Allows)),
    judging(set("deny_from_host4", &[Ipv4, Protocol, Port], Interval, Restricts)),
    judging(set("deny_from_host6", &[Ipv6, Protocol, Port], Interval, Restricts)),
    judging(set("deny_all_from_host4", &[Ipv4], Interval, Restricts)),
    judging(set("deny_all_from_host6", &[Ipv6], Interval, Restricts)),
    // The host's ends of containers on networks that policies name, and the addresses that may come from each.
    judging(bridge("guarded", &[Link], Exact, Restricts)),
    judging(bridge("held4", &[Link, Ipv4], Exact, Restricts)),
    judging(bridge("held6", &[Link, Ipv6], Exact, Restricts)),
    // Those of networks within which a policy denies everything to somebody.
    judging(bridge("only_ip", &[Link], Exact, Restricts)),
    // What the policies decide among the containers of a network.
    judging(bridge("near_allow_flow4", &[Ipv4, Ipv4, Protocol, Port], Interval, Allows)),
    judging(bridge("near_allow_flow6", &[Ipv6, Ipv6, Protocol, Port], Interval, Allows)),
    judging(bridge("near_deny_flow4", &[Ipv4, Ipv4, Protocol, Port], Interval, Restricts)),
    judging(bridge("near_deny_flow6", &[Ipv6, Ipv6, Protocol, Port], Interval, Restricts)),
    judging(bridge("near_allow_pair4", &[Ipv4, Ipv4], Interval, Allows)),
    judging(bridge("near_allow_pair6", &[Ipv6, Ipv6], Interval, Allows)),
    judging(bridge("near_deny_pair4", &[Ipv4, Ipv4], Interval, Restricts)),
    judging(bridge("near_deny_pair6", &[Ipv6, Ipv6], Interval, Restricts)),
];
