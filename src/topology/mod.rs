//! What the user means: the manifest resolved. Defaults are filled, references bound, every address, MAC and interface
//! name is decided; nothing is left to choose.

mod attach;
mod bandwidth;
pub mod barriers;
pub mod called;
pub mod closed;
mod coexist;
mod device;
pub mod environment;
mod existing;
mod external;
pub mod facts;
mod hosts;
mod interface;
mod ipam;
mod isolated;
mod leases;
pub mod limits;
mod mac;
mod modes;
mod named;
mod network;
mod parent;
pub mod policy;
mod pool;
mod ports;
mod prefix;
mod proxy;
mod resolve;
mod routes;
mod scene;
mod shim;
pub mod silent;
pub mod strangers;
mod subnet;
mod text;
mod veth;
mod vlans;
mod vswitch;
mod warnings;
mod within;

#[cfg(test)]
pub(crate) mod sketch;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smol_str::SmolStr;

use crate::manifest::{AliasPolicy, OtherEnd};
use crate::names::{Alias, ContainerName, IfName, Mac, Mtu, NetName, ProjectName};
use crate::resource::link::{IpvlanFlag, IpvlanMode, MacvlanMode};
use crate::resource::netns::NsRef;
use crate::resource::owner::Origin;
use crate::resource::passage::Passage;
use crate::resource::qdisc::Bucket;
use crate::resource::sysctl::{Family, SysctlKey};
use crate::resource::vlan::{Filtering, PortVlans, Vlan, VlanId};
use crate::resource::vswitch::{SwitchPort, Vswitch};
use facts::Running;

pub use attach::Apart;
pub use device::Device;
pub use existing::Ground;
pub use external::{External, Seat};
pub use hosts::Hosts;
pub(crate) use hosts::{HOST, gateways};
pub use leases::leases;
pub use ports::Publish;
pub use proxy::Proxy;
pub use resolve::resolve;
pub use routes::{Hop, StaticRoute};
pub use shim::Shim;
pub(crate) use text::nearest;

/// Everything that the manifest declares, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Whose everything is.
    pub project: ProjectName,
    /// Where the manifest names the project.
    pub origin: Origin,
    /// The networks, in the order of the manifest; `default` last when only a container's silence asks for it.
    pub networks: Vec<Network>,
    /// The containers, in the order of the manifest.
    pub containers: Vec<Container>,
    /// What Docker's firewall has to let pass, each for its network.
    pub passages: Vec<(NetName, Passage)>,
    /// Who may connect to whom, beyond what the networks say.
    pub policies: policy::Policies,
    /// The links of the host on which routers are to be heard though it forwards IPv6.
    pub heard: Vec<IfName>,
    /// What its author may not expect of what the manifest leaves open, in sentences.
    pub notes: Vec<String>,
}

impl Topology {
    /// Tells whether a network is a pair between two containers of which one is not there, so that there is no pair.
    pub fn lacks_an_end(&self, network: &Network) -> bool {
        let is_there = |container: &&Container| match container.runtime {
            Runtime::Netform | Runtime::Given => {
                container.attachments.iter().any(|attachment| attachment.network == network.name)
            }
            Runtime::Waiting | Runtime::Shared => false,
        };
        network.driver == Driver::Veth(OtherEnd::Container)
            && self.containers.iter().filter(is_there).count() < 2
    }
}

/// A network, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: NetName,
    /// Where the manifest declares it.
    pub origin: Origin,
    /// How it is made.
    pub driver: Driver,
    /// The VLAN that netform makes for it to stand on, with the MTU of the link that this is on.
    pub vlan: Option<(Vlan, Mtu)>,
    /// By what the host reaches its containers, where it is behind a link of the host.
    pub shim: Option<Shim>,
    /// Whether its parent, or somebody else's bridge, is not there: nothing of it is in the desired state until it is.
    pub waits: bool,
    /// The bridge; with macvlan and ipvlan, the parent; with veth, the host's end.
    pub interface: IfName,
    /// The bridge's link-layer address, derived from project and network.
    pub mac: Mac,
    /// Whether the bridge speaks the spanning tree protocol.
    pub stp: bool,
    /// Whether its ports are in hairpin mode, where the manifest says so.
    pub hairpin: Option<bool>,
    /// How the bridge keeps VLANs apart, when it does.
    pub filtering: Option<Filtering>,
    /// Whether the bridge is somebody else's: attached to, never created, changed or deleted.
    pub external: bool,
    /// Its subnets, at least one unless external.
    pub subnets: Vec<Subnet>,
    /// No way out, no way in.
    pub internal: bool,
    /// Whether its containers may talk to each other.
    pub icc: bool,
    /// The largest packet.
    pub mtu: Mtu,
    /// How packets leave.
    pub egress: Egress,
    /// Who answers when neighbours of the host ask for its containers.
    pub proxy: Proxy,
    /// Which new connections may come in.
    pub ingress: crate::manifest::Ingress,
    /// How names are answered.
    pub dns: Dns,
    /// `lifecycle.prevent_destroy`.
    pub prevent_destroy: bool,
    /// `lifecycle.ignore`, by the words of [`crate::resource::Resource::fields`].
    pub ignore: Vec<String>,
}

impl Network {
    /// Tells whether the host's firewall sees what crosses the network, and netform is to judge it: the bridge of somebody else
    /// is not ours.
    pub fn is_judged(&self) -> bool {
        self.driver.has_host() && !self.external
    }
}

/// A subnet, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The subnet, without host bits.
    pub cidr: IpNet,
    /// The containers' next hop: the bridge's address, or, if the manifest names one, that of a router behind the parent or of
    /// the container at the other end.
    pub gateway: Option<IpAddr>,
}

/// How a network is made of kernel objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A Linux bridge on this host.
    Bridge,
    /// Each container has a link of its own on a link of the host.
    Macvlan(MacvlanMode),
    /// Each container has a link of its own on a link of the host, with that one's link-layer address.
    Ipvlan(IpvlanMode, IpvlanFlag),
    /// A pair of links between a container and another one or the host.
    Veth(OtherEnd),
    /// A bridge of Open vSwitch on this host.
    OpenVswitch(Vswitch),
    /// Each container has a link of the host for itself.
    Physical,
}

impl Driver {
    /// Tells whether the host itself is on the network, so that packets go through its firewall.
    pub fn has_host(self) -> bool {
        match self {
            Self::Bridge | Self::Veth(OtherEnd::Host) | Self::OpenVswitch(_) => true,
            Self::Macvlan(_) | Self::Ipvlan(..) | Self::Veth(OtherEnd::Container) | Self::Physical => false,
        }
    }
}

/// How names are answered on a network, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Who is asked for names of elsewhere, in order; the host's resolvers when empty.
    pub upstream: Vec<IpAddr>,
    /// Who answers to an alias that several containers declare.
    pub alias_policy: AliasPolicy,
    /// For how many seconds an answer may be kept.
    pub ttl: u32,
}

impl Default for Dns {
    /// A name that moves to another container shall do so at once (S24), and an answer costs less than a tenth of a
    /// millisecond: it need not be kept for long.
    fn default() -> Self {
        Self { upstream: vec![], alias_policy: AliasPolicy::First, ttl: 1 }
    }
}

/// How packets leave a network, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Egress {
    /// With the address of the interface that they leave by.
    Masquerade,
    /// As they are.
    Routed,
    /// With these addresses, at most one per family; a family without one is masqueraded.
    Snat(Vec<IpAddr>),
}

/// A container, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: ContainerName,
    /// Where the manifest declares it.
    pub origin: Origin,
    /// Its namespace.
    pub ns: NsRef,
    /// Whose namespace it is.
    pub runtime: Runtime,
    /// What is known of it, when somebody else runs it.
    pub run: Option<Running>,
    /// Those who share its namespace: `mode: container:NAME`.
    pub guests: Vec<ContainerName>,
    /// Its attachments, in the order of the interfaces; none for `mode: none`.
    pub attachments: Vec<Attachment>,
    /// The routes that lead nowhere, whatever its attachments are.
    pub routes: Vec<StaticRoute>,
    /// Kernel parameters of its namespace, each with its value and its place.
    pub sysctls: Vec<(SysctlKey, SmolStr, Origin)>,
    /// Its published ports, those of `ingress: none` and `internal` networks left out.
    pub publish: Vec<Publish>,
    /// The ports that it serves.
    pub expose: Vec<crate::manifest::Expose>,
    /// What its hosts file shall say: addresses with their names, in order; a path has no such file.
    pub hosts: Hosts,
}

impl Container {
    /// Returns its name, and the names of those who share its namespace.
    pub fn names(&self) -> impl Iterator<Item = &ContainerName> {
        std::iter::once(&self.name).chain(&self.guests)
    }
}

/// Who made a container's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// netform makes it, and removes it.
    Netform,
    /// Somebody else, and it is there.
    Given,
    /// Another container of the manifest, or the host: nothing in there is this one's.
    Shared,
    /// Somebody else, and it is not there yet: the container is waiting, and nothing of it is in the desired state.
    Waiting,
}

/// A container on a network, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The network.
    pub network: NetName,
    /// Where the manifest declares it.
    pub origin: Origin,
    /// The bridge, or the parent.
    pub interface: IfName,
    /// Whether what its network is on is there.
    pub ground: Ground,
    /// The link of the host that becomes the one in the container.
    pub device: Option<Device>,
    /// The veth pair's end on the host, a bridge's port or the link itself; `None` without one.
    pub port: Option<IfName>,
    /// Which VLANs its port of a bridge has, where the manifest says so.
    pub vlans: Option<PortVlans>,
    /// Whether it reaches the way out of its network.
    pub apart: Apart,
    /// What its port of Open vSwitch carries; `None` without one.
    pub switched: Option<SwitchPort>,
    /// The link in the container, e.g. `eth0`.
    pub link: IfName,
    /// The container's link-layer address there.
    pub mac: Mac,
    /// The network's MTU.
    pub mtu: Mtu,
    /// The container's addresses, one for each subnet, with the subnet's prefix length.
    pub addresses: Vec<IpNet>,
    /// Its external addresses, at most one per family.
    pub external: Vec<External>,
    /// The next hops of its default routes, at most one per family; empty unless this attachment has them.
    pub default_via: Vec<IpAddr>,
    /// The routes that the manifest asks for besides.
    pub routes: Vec<StaticRoute>,
    /// Kernel parameters of the link in the container, each with its value and where the manifest declares it.
    pub sysctls: Vec<(SysctlKey, SmolStr, Origin)>,
    /// How fast the container receives and sends.
    pub bandwidth: Option<Bandwidth>,
    /// Whether it and others of its network that are isolated, too, are kept apart.
    pub isolated: bool,
    /// Whether its port is in hairpin mode, where the manifest says so itself.
    pub hairpin: Option<bool>,
    /// The families in which it has a default route without a next hop: packets are routed where its parent lives.
    pub default_on_link: Vec<Family>,
    /// Further names on this network.
    pub aliases: Vec<Alias>,
    /// Private names of other containers: alias and container.
    pub links: Vec<(Alias, ContainerName)>,
}

impl Attachment {
    /// Returns the VLAN that its port of a bridge is in, without tags, and those that it carries with tags, where the manifest
    /// says so.
    pub fn carries(&self) -> (Option<VlanId>, &[VlanId]) {
        match (&self.vlans, &self.switched) {
            (Some(PortVlans { vlan, trunks, intact: _ }), _)
            | (None, Some(SwitchPort { vlan, trunks, intact: _ })) => (*vlan, trunks),
            (None, None) => (None, &[]),
        }
    }

    /// Tells whether the container's default route of a family leaves by it.
    pub fn leads_out(&self, family: Family) -> bool {
        let mut via = self.default_via.iter().map(|gateway| Family::of(*gateway));
        self.default_on_link.contains(&family) || via.any(|own| own == family)
    }
}

/// How fast a container receives and sends on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bandwidth {
    /// Where the manifest says so.
    pub origin: Origin,
    /// What limits what it receives.
    pub ingress: Option<Bucket>,
    /// What limits what it sends, and the link by which that goes.
    pub egress: Option<(Bucket, IfName)>,
}

/// Returns the range of all addresses of a family.
pub(crate) fn everywhere(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => IpNet::V4(Ipv4Net::default()),
        Family::Ipv6 => IpNet::V6(Ipv6Net::default()),
    }
}
