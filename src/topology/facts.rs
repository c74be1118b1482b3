//! What planning needs from outside, as one plain value: a plan can be made anew from manifest, facts and observed state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::{IpNet, Ipv6Net};
use litemap::LiteMap;
use serde::{Deserialize, Serialize, Serializer};
use smol_str::SmolStr;

use crate::names::{ContainerName, IfName, Mac, Mtu, NetName, ProjectName};
use crate::resource::link::Shares;
use crate::resource::netns::{NsRef, Process};
use crate::resource::sysctl::Family;
use crate::resource::vlan::{Filtering, VlanId};

/// What planning needs to know of the host, of others, and of before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Facts {
    /// The MTU of the interface that has the default route; `None` without one.
    pub uplink_mtu: Option<Mtu>,
    /// The link of others that has the default route, by family.
    pub uplinks: BTreeMap<Family, IfName>,
    /// Links of others that are to answer for containers, and are without IPv6.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub mute: BTreeSet<IfName>,
    /// The links by which routers tell the host its routes, and would not any more once it forwards; as far as it matters.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub heeding: BTreeSet<IfName>,
    /// Links of others by which routers tell the host its default route of IPv6, which is lost when the host begins to
    /// forward unless it goes on hearing them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub told: BTreeSet<IfName>,
    /// The addresses of others' links of the host, but for those that netform gave them.
    pub addresses: BTreeMap<IpAddr, IfName>,
    /// The destinations of all routes of all tables that are not this project's, default routes left out.
    pub routes: BTreeSet<IpNet>,
    /// The subnets that others' links of the host are on, with one of these.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub connected: BTreeMap<IpNet, IfName>,
    /// Where links lead that come back to the host from a container with which nobody wants them any more, with one of these:
    /// `routes` has that, and the other facts of the host all else that comes back, as if it were there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub returning: BTreeMap<IpNet, IfName>,
    /// The destinations of others' routes that lead to somebody beyond the subnets of the host.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub led: BTreeSet<IpNet>,
    /// The range that IPv6 subnets are taken from when no pool has any: a /48 of the host's own.
    pub own_range: Option<Ipv6Net>,
    /// Subnets that belong to others, with their owner's name: other projects, Docker networks.
    pub subnets: BTreeMap<IpNet, String>,
    /// The names of links in the host's namespace that are not this project's.
    pub foreign_links: BTreeSet<IfName>,
    /// The further names of these, and which link each is of.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub altnames: BTreeMap<IfName, IfName>,
    /// Who is known to be behind links of the host that networks share with others, as far as somebody new is to be there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub neighbours: BTreeMap<IfName, BTreeSet<IpAddr>>,
    /// Which project has which address where networks of this one are, too, by [`Segment::name`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub taken: BTreeMap<SmolStr, BTreeMap<IpAddr, ProjectName>>,
    /// The bridges of other projects that networks of this one are on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub joined: BTreeMap<IfName, Joined>,
    /// The routers that default routes of the host lead by.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub routers: BTreeSet<IpAddr>,
    /// The link of others by which IPv4 leaves, when the host forwards, and not what comes by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deaf: Option<IfName>,
    /// Bridges of others that a network may be `external` on.
    pub bridges: BTreeMap<IfName, LinkFact>,
    /// Bridges of Open vSwitch of others, when its database was asked, that a network may be `external` on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vswitches: BTreeMap<IfName, LinkFact>,
    /// Other links of others that a network may have for its `parent`: those that are no bridge's ports.
    pub parents: BTreeMap<IfName, LinkFact>,
    /// Links of others that are not Ethernet links, such as a tun's: no macvlan link can be on one.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub not_ethernet: BTreeSet<IfName>,
    /// Links of others that share what these, or bridges, receive: a link carries macvlan or ipvlan links, not both.
    pub carried: BTreeMap<IfName, BTreeSet<Carried>>,
    /// Links that containers are to have for themselves, by their names on the host, as far as they are to be found.
    pub devices: BTreeMap<IfName, DeviceFact>,
    /// Links of others that lead to nobody at the moment.
    pub silent: BTreeMap<IfName, Silent>,
    /// This project's live bridges.
    pub interfaces: BTreeMap<NetName, IfName>,
    /// The host's ends of this project's live veth pairs, by container and network.
    pub host_ends: BTreeMap<ContainerName, Few<NetName, IfName>>,
    /// Which containers of Docker and Podman, and which processes, run: by the container that lives there.
    pub runs: BTreeMap<ContainerName, Running>,
    /// Which of the namespaces that the manifest names are there.
    pub namespaces: BTreeSet<NsRef>,
    /// Which of them are namespaces of mounts, processes or the like, where there are no networks.
    pub wrong_namespaces: BTreeSet<NsRef>,
    /// Which of them are the host's own, by another name.
    pub own_namespaces: BTreeSet<NsRef>,
    /// Which namespaces are others by another name, each with that one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub same_namespaces: BTreeMap<NsRef, NsRef>,
    /// Addresses and subnets that are held now, in the kernel.
    pub live: Leases,
    /// Addresses and subnets that were held at the last apply.
    pub leases: Leases,
    /// Whether what was applied then is still to be there: it was not destroyed, and is gone only if the host restarted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_in_force: bool,
    /// Chains of others that drop what the host forwards.
    pub barriers: BTreeSet<Barrier>,
    /// In which of its tables Docker has left the chain `DOCKER-USER` to the rules of users.
    pub docker_user: BTreeSet<Family>,
    /// The links of others that lead out of the host.
    pub outside: BTreeSet<IfName>,
    /// How much the host has room for.
    pub limits: Limits,
    /// Whether the host was not asked: all that the manifest names is taken to be there, and nothing more is known of it.
    #[serde(skip)]
    pub is_assumed: bool,
}

/// A bridge of another project, and what its firewall keeps from those who are on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    /// Whose it is.
    pub project: ProjectName,
    /// How far it is closed to the world outside the host, when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closure>,
    /// The families in which nobody on it hears anybody else there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub apart: BTreeSet<Family>,
    /// Where its policies let somebody in all the same: parts of keys of sets.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed: BTreeSet<SmolStr>,
}

/// How far a bridge is closed to the world outside the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closure {
    /// Nothing comes in and nothing goes out: its network is `internal`.
    Internal,
    /// What its project publishes comes in, and nothing else: its network does not say `ingress: open`.
    Published,
}

/// What is known of a container that somebody else runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Whose it is, in the words of the manifest: `docker: shop-db`.
    pub home: String,
    /// Its first process.
    pub process: Process,
    /// Whether whoever runs it gives it networks, too: these stay, and so does the way by which it asks for names.
    #[serde(default)]
    pub has_networks: bool,
    /// The file of the host that is its `/etc/hosts`.
    #[serde(default)]
    pub hosts: Option<PathBuf>,
    /// The file of the host that is its `/etc/resolv.conf`.
    #[serde(default)]
    pub resolv_conf: Option<PathBuf>,
}

/// A base chain of somebody else's that drops the packets that the host forwards, unless a rule accepts them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Barrier {
    /// The table's family: `ip`, `ip6` or `inet`.
    pub family: String,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Whether Docker has left a chain in the table for the rules of users.
    #[serde(default)]
    pub is_dockers: bool,
    /// Whether packets from one port of a bridge to another pass it, too: `bridge-nf-call-iptables`, `-ip6tables`.
    #[serde(default)]
    pub bridged: bool,
    /// The interfaces from which a rule of the table accepts packets.
    #[serde(default)]
    pub from: BTreeSet<IfName>,
    /// Those to which one does.
    #[serde(default)]
    pub to: BTreeSet<IfName>,
}

/// How much the host has room for; `None` is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many IPv4 neighbours it remembers: `net.ipv4.neigh.default.gc_thresh3`.
    pub neighbours4: Option<u32>,
    /// How many IPv6 neighbours it remembers: `net.ipv6.neigh.default.gc_thresh3`.
    pub neighbours6: Option<u32>,
    /// How many network namespaces the user may make: `user.max_net_namespaces`.
    pub namespaces: Option<u64>,
}

/// What a network on an existing link takes from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFact {
    /// Its MTU.
    pub mtu: Mtu,
    /// Its addresses, with the prefix lengths of their subnets.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// Its link-layer address, when it is an Ethernet one.
    #[serde(default)]
    pub mac: Option<Mac>,
    /// How a bridge keeps VLANs apart, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtering: Option<Filtering>,
}

/// A link that a container is to have for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFact {
    /// Its MTU on the host.
    pub mtu: Mtu,
    /// Its link-layer address there, when it is an Ethernet one.
    #[serde(default)]
    pub mac: Option<Mac>,
    /// What it has there that goes with it, in words; empty when it is away already.
    #[serde(default)]
    pub held: Vec<String>,
    /// Why it cannot be had, in words that follow its name.
    #[serde(default)]
    pub obstacle: Option<String>,
    /// Whether a default route of the host leaves by it.
    #[serde(default)]
    pub is_uplink: bool,
}

/// A link of somebody else's that shares what a link of the host receives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// How it shares it.
    pub how: Shares,
    /// What it is: `eth0 in namespace web`.
    pub what: String,
    /// Whose it is, as far as can be told.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether it is in another namespace than the host's.
    #[serde(default)]
    pub is_elsewhere: bool,
}

/// A link that leads to nobody at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silent {
    /// It is switched off.
    Down,
    /// Nothing is at its other end.
    NoCarrier,
}

/// A map of few: a list in order. A tree has room for eleven at the least, and most containers are on one network.
pub type Few<K, V> = LiteMap<K, V>;

/// Who holds which address, and which network which subnets. They are kept on the disk: what a later netform knows besides is
/// passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leases {
    /// Subnets by network, for those that were taken from the pools.
    pub subnets: BTreeMap<NetName, Vec<IpNet>>,
    /// Addresses by container and network.
    #[serde(serialize_with = "as_maps")]
    pub addresses: BTreeMap<ContainerName, Few<NetName, Vec<IpAddr>>>,
    /// The links of the host that networks stood on.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub parents: BTreeSet<IfName>,
    /// Containers that somebody else runs, as they were seen last.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub runs: BTreeMap<ContainerName, Running>,
    /// Where the networks are that are there now, for other projects that are to be on the same links of the host.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<NetName, Segment>,
}

/// What is written as a map, also where it is empty: a [`LiteMap`] without entries is written as a list, which an earlier netform
/// does not read.
struct AsMap<'a, K, V>(&'a Few<K, V>);

impl<K: Serialize, V: Serialize> Serialize for AsMap<'_, K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

fn as_maps<S: Serializer>(
    maps: &BTreeMap<ContainerName, Few<NetName, Vec<IpAddr>>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(maps.iter().map(|(container, networks)| (container, AsMap(networks))))
}

impl Leases {
    /// Returns these with those of before, which come last.
    pub fn beside(mut self, before: Self) -> Self {
        let Self { subnets, addresses, parents, runs, segments } = before;
        for (container, networks) in addresses {
            let now = self.addresses.entry(container).or_default();
            for (network, held) in networks {
                let now = now.entry(network).or_default();
                let past: Vec<IpAddr> = held.into_iter().filter(|addr| !now.contains(addr)).collect();
                now.extend(past);
            }
        }
        Self {
            subnets: subnets.into_iter().chain(self.subnets).collect(),
            addresses: self.addresses,
            parents: parents.into_iter().chain(self.parents).collect(),
            runs: runs.into_iter().chain(self.runs).collect(),
            segments: segments.into_iter().chain(self.segments).collect(),
        }
    }

    /// Returns the links of the host that networks are on and that are not their own: bridges of others, and parents.
    pub fn joined(&self) -> BTreeSet<&IfName> {
        let is_own = |network, link| self.subnets.contains_key(network) && !self.parents.contains(link);
        let joined = self.segments.iter().filter(|(network, segment)| !is_own(*network, &segment.link));
        joined.map(|(_, segment)| &segment.link).collect()
    }
}

/// Where a network is on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The bridge, or the parent.
    pub link: IfName,
    /// The addresses that the host has beside its containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<IpAddr>,
    /// The containers that are in a VLAN of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vlans: BTreeMap<ContainerName, VlanId>,
}

impl Segment {
    /// Returns what tells those who hear each other: a link of the host, and the VLAN in which they are.
    pub fn name(link: &IfName, vlan: Option<VlanId>) -> SmolStr {
        match vlan {
            None => link.as_str().into(),
            Some(vlan) => smol_str::format_smolstr!("{link} VLAN {vlan}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_written_as_an_earlier_netform_reads_them() {
        let held = [("front", "10.0.0.2")].map(|(network, addr)| {
            (NetName::try_from(network).unwrap(), vec![addr.parse::<IpAddr>().unwrap()])
        });
        let containers = [("api", vec![]), ("web", held.to_vec())]
            .map(|(name, held)| (ContainerName::try_from(name).unwrap(), held.into_iter().collect()));
        let leases = Leases { addresses: containers.into(), ..Leases::default() };
        let text = serde_json::to_string(&leases).unwrap();
        assert_eq!(text, r#"{"subnets":{},"addresses":{"api":{},"web":{"front":["10.0.0.2"]}}}"#);
        assert_eq!(serde_json::from_str::<Leases>(&text).unwrap(), leases);
    }
}
