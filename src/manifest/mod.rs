//! What the user wrote: the manifest as values, each with its place.
//!
//! `load` reads the files, reports every problem of all of them at once, and returns a [`Manifest`] that is correct in
//! itself as far as one value can be judged alone; what needs several values (overlaps, references, addresses that are
//! taken) is judged by [`crate::topology`].

mod bandwidth;
mod bridge;
mod check;
mod coexist;
mod collect;
mod container;
mod decode;
mod dns;
mod driver;
pub mod edit;
mod external;
mod families;
pub(crate) mod fields;
mod home;
mod load;
mod network;
mod node;
mod physical;
mod policy;
pub mod problem;
mod proxy;
mod publish;
mod render;
mod report;
mod route;
mod scalar;
mod schema;
mod sources;
mod spans;
mod sysctl;
mod uplink;
mod values;
mod veth;
mod vlans;
mod vswitch;
mod yaml;

use std::net::IpAddr;
use std::sync::Arc;

use indexmap::IndexMap;
use ipnet::IpNet;

pub use self::bandwidth::Bandwidth;
pub use self::bridge::BridgeOptions;
pub use self::coexist::Coexist;
pub use self::dns::{AliasPolicy, Dns};
pub use self::driver::{Driver, OtherEnd};
pub use self::families::Families;
pub use self::load::{Input, LoadError, load, load_edited, manifests_in};
pub(crate) use self::node::{Entry, Kind, Node};
pub use self::policy::Policy;
pub(crate) use self::problem::Problem;
use self::problem::{Problems, Sources};
pub use self::publish::{Expose, Publish};
pub(crate) use self::report::Report;
pub use self::route::{Hop, Route};
pub use self::schema::schema;
pub use self::sysctl::{LinkSysctl, WholeSysctl};
pub use self::uplink::Uplink;
use crate::names::{Alias, ContainerName, EngineName, IfName, Mac, Mtu, NetName, ProjectName};
use crate::resource::netns::NsRef;
use crate::resource::vlan::VlanId;

/// A manifest with the texts that its places are in.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the user wrote.
    pub manifest: Manifest,
    /// The files.
    pub sources: Arc<Sources>,
}

/// Returns the manifest that files make together, each with its name and its bytes.
///
/// It reads no other file: what an `include` names must be among them.
///
/// ```
/// let text = "{netform: 1, project: shop, containers: {web: {networks: [front]}}, networks: {front: }}";
/// let loaded = netform::manifest::parse([("shop.yaml".to_owned(), text.into())]).unwrap();
/// assert_eq!(loaded.manifest.project.value.as_str(), "shop");
/// ```
///
/// # Errors
///
/// All problems of all files.
pub fn parse(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Loaded, Problems> {
    let mut collector = collect::Collector::default();
    for (name, bytes) in files {
        collector.add(name, bytes);
    }
    collector.finish()
}

/// Returns the text of another kind of YAML file as nodes that know their places.
pub(crate) fn yaml_of(name: &str, bytes: Vec<u8>) -> Result<(Node, Arc<Sources>), Problems> {
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let text = yaml::text(0, bytes).unwrap_or_else(|(shown, problem)| {
        report.add(problem);
        shown
    });
    sources.add(name, text);
    let source = sources.get(0).filter(|_| report.is_empty());
    let node = source.and_then(|source| yaml::read(0, source, &mut report));
    let sources = Arc::new(sources);
    match node {
        Some(node) if report.is_empty() => Ok((node, sources)),
        Some(_) | None => Err(Problems::counted(sources, report.problems, report.more)),
    }
}

/// A place in one of the manifest's files: bytes `start..end` of file number `file` in `problem::Sources`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which file.
    pub file: usize,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

/// A manifest, includes merged.
///
/// ```yaml
/// netform: 1
/// project: shop
/// include: [networks/*.yaml]
/// pools: [{cidr: 172.17.0.0/12, size: 16}]
/// networks: {front: }
/// containers: {web: {networks: [front]}}
/// ```
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Whose everything is.
    pub project: At<ProjectName>,
    /// Address pools for networks without subnets: `pools: [{cidr: 172.17.0.0/12, size: 16}]`; the defaults when none.
    pub pools: Vec<At<Pool>>,
    /// Whose firewalls shall let our packets pass: `coexist: {docker: true}`.
    pub coexist: Coexist,
    /// `own_external_addresses`: the link that has the external addresses, so that its neighbours find them.
    pub own_external: Option<At<Uplink>>,
    /// Who may connect to whom, in order: the first that matches decides.
    pub policies: Vec<At<Policy>>,
    /// Networks in the order of the file; the place is the key's.
    pub networks: IndexMap<NetName, At<Network>>,
    /// Containers in the order of the file; the place is the key's.
    pub containers: IndexMap<ContainerName, At<Container>>,
}

/// A range that networks without subnets take theirs from.
///
/// ```yaml
/// pools: [{cidr: 10.128.0.0/9, size: 24}]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The range.
    pub cidr: IpNet,
    /// The prefix length of each subnet.
    pub size: u8,
}

/// A network as written.
///
/// ```yaml
/// back:
///   subnets: [10.7.0.0/24, fd00:7::/64]
///   internal: true
///   icc: false
///   mtu: 1400
///   interface: br-back
///   egress: masquerade
///   ingress: published
///   dns: {upstream: [9.9.9.9], alias_policy: first, ttl: 1}
///   lifecycle: {prevent_destroy: true, ignore: [mtu]}
/// ```
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// `driver` with its `options`; the default is a bridge.
    pub driver: Driver,
    /// `options` of a bridge.
    pub bridge: BridgeOptions,
    /// `options.host_address`: what the host itself has beside the containers behind its link.
    pub host: Vec<At<IpAddr>>,
    /// `subnets`: empty when none is given.
    pub subnets: Vec<At<Subnet>>,
    /// `ipv4` and `ipv6`: the families of which it has subnets.
    pub families: Families,
    /// `internal: true`: no way out, no way in.
    pub internal: bool,
    /// `icc: false`: its containers may not talk to each other.
    pub icc: Option<At<bool>>,
    /// `mtu: 1400`; `None` is `auto`.
    pub mtu: Option<At<Mtu>>,
    /// `interface: br-back`.
    pub interface: Option<At<IfName>>,
    /// `egress: masquerade | routed | {snat: [...]}`; the default is masquerade.
    pub egress: Option<At<Egress>>,
    /// `ndp_proxy`: the link that answers on its segment for the containers, which have addresses of its prefix.
    pub ndp_proxy: Option<At<Uplink>>,
    /// `ingress: published | open | none`; the default is published.
    pub ingress: Option<At<Ingress>>,
    /// `external: true` with `interface`, or `external: br-lan`: an existing bridge, of which `mtu`, `internal: true`,
    /// `icc: false`, a closed `ingress` and `prevent_destroy: true` cannot be asked.
    pub external: Option<At<IfName>>,
    /// `dns`: how names are answered.
    pub dns: Dns,
    /// `lifecycle.prevent_destroy`.
    pub prevent_destroy: bool,
    /// `lifecycle.ignore`: fields whose drift is left alone; `mtu` and `mac` are known.
    pub ignore: Vec<At<String>>,
}

/// A subnet as written: `10.7.0.0/24`, or a map with `cidr`.
///
/// ```yaml
/// subnets:
///   - cidr: 10.7.0.0/24
///     gateway: 10.7.0.1
///     pool: 10.7.0.128/25
///     reserve: {router: 10.7.0.5}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// The subnet, without host bits.
    pub cidr: IpNet,
    /// `gateway`; the default is the first address.
    pub gateway: Option<At<IpAddr>>,
    /// `pool`: dynamic addresses come from here only.
    pub pool: Option<At<IpNet>>,
    /// `reserve`: named addresses that no container gets.
    pub reserve: Vec<(String, At<IpAddr>)>,
}

/// How packets leave a network.
///
/// ```yaml
/// egress: {snat: [203.0.113.7]}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Egress {
    /// With the address of the interface that they leave by.
    Masquerade,
    /// As they are.
    Routed,
    /// With the given address, one at most per family.
    Snat(Vec<At<IpAddr>>),
}

/// Which new connections may come in from elsewhere.
///
/// ```yaml
/// ingress: open
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingress {
    /// Those to published ports.
    Published,
    /// All that are routed here, from outside the host's networks of containers.
    Open,
    /// None, published ports neither.
    None,
}

/// A container as written.
///
/// ```yaml
/// web:
///   networks: {front: {address: 172.25.3.3}, back: }
///   publish: ["8080:80"]
///   expose: [9100/tcp]
/// ```
#[derive(Debug, Clone)]
pub struct Container {
    /// `netns`, `docker`, `podman` or `pid`: its namespace is somebody else's; `None`: netform makes one of the container's
    /// name.
    pub home: Option<At<Home>>,
    /// `mode`: where its networks come from, when it is not on networks of its own.
    pub mode: Option<At<Mode>>,
    /// `networks`, in order; `None` when the key is absent, which means the network `default`.
    pub networks: Option<IndexMap<NetName, At<Attachment>>>,
    /// `publish`, in order.
    pub publish: Vec<At<Publish>>,
    /// `expose`.
    pub expose: Vec<At<Expose>>,
    /// `routes`, in order.
    pub routes: Vec<At<Route>>,
    /// `sysctls`: kernel parameters of its whole namespace.
    pub sysctls: Vec<At<WholeSysctl>>,
}

/// Whose namespace a container lives in.
///
/// ```yaml
/// containers:
///   db: {docker: shop-db, networks: [back]}
///   job: {podman: job, networks: [back]}
///   old: {pid: 4711, networks: [back]}
///   lab: {netns: lab, networks: [back]}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    /// `netns: NAME` or `/path`: a namespace of somebody else.
    Netns(NsRef),
    /// `docker: NAME`: that of a container of Docker.
    Docker(EngineName),
    /// `podman: NAME`: that of a container of Podman.
    Podman(EngineName),
    /// `pid: N`: that of a process.
    Process(u32),
}

/// Where a container's networks come from, when it is not on networks of its own.
///
/// ```yaml
/// mode: container:web
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// `none`: a namespace with nothing but `lo`.
    None,
    /// `host`: it has the host's.
    Host,
    /// `container:OTHER`: it shares the namespace of another container, and all that is in there.
    Container(ContainerName),
}

/// A container on a network, as written; the place of the value is the network's name.
///
/// ```yaml
/// front:
///   address: [172.25.3.3, "fd00:25::3"]
///   external_address: [203.0.113.9, "2001:db8::9"]
///   aliases: [app]
///   links: {database: db}
///   mac: 02:42:ac:19:03:03
///   interface: eth0
///   gateway_priority: 10
///   vlan: 20
/// ```
#[derive(Debug, Clone, Default)]
pub struct Attachment {
    /// `address`: one, or one per subnet.
    pub addresses: Vec<At<IpAddr>>,
    /// `external_address`: one at most per family, all of which leads here.
    pub external: Vec<At<IpAddr>>,
    /// `aliases`.
    pub aliases: Vec<At<Alias>>,
    /// `links`: alias to container, which need not exist.
    pub links: Vec<(At<Alias>, At<ContainerName>)>,
    /// `mac`.
    pub mac: Option<At<Mac>>,
    /// `interface`; the default is `eth0`, `eth1`, ... in order.
    pub interface: Option<At<IfName>>,
    /// `gateway_priority`: the highest has the default route; the default is 0.
    pub gateway_priority: i64,
    /// `vlan: 10` and `trunks: [10, 20]`: which VLANs its port of a bridge carries; the place is that of the first key.
    pub port: Option<At<SwitchedPort>>,
    /// `routes`, in order.
    pub routes: Vec<At<Route>>,
    /// `sysctls`: kernel parameters of its interface.
    pub sysctls: Vec<At<LinkSysctl>>,
    /// `device`: the link of the host that becomes its interface; on physical networks alone.
    pub device: Option<At<IfName>>,
    /// `bandwidth`: how fast it receives and sends; the place is that of the key.
    pub bandwidth: Option<At<Bandwidth>>,
    /// `isolated`: whether it is kept apart from others that are; the place of the key when it is.
    pub isolated: Option<Place>,
    /// `hairpin`: whether its port is in hairpin mode; the default is what its network says, or else whether it publishes.
    pub hairpin: Option<At<bool>>,
}

/// Which VLANs a port of a bridge carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwitchedPort {
    /// The one whose packets it takes and gives without a tag.
    pub vlan: Option<VlanId>,
    /// Those that it takes and gives with their tags, in ascending order.
    pub trunks: Vec<VlanId>,
    /// Where `trunks` is written.
    pub trunks_at: Option<Place>,
}
