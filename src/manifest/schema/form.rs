//! The written form of a manifest as types, of which the schema is made; nothing is ever read into them.
#![expect(dead_code, reason = "the types are never built: the schema is made from their form")]

use indexmap::IndexMap;
use schemars::JsonSchema;

use super::driver::{Driver, Options};
use super::ends::{Attachment, EngineName, Route, WholeSysctlKey, WholeSysctlValue};
use super::links::{External, Uplink};
use super::policy::{Coexist, Policy};

/// A netform manifest: the networks of a host, and the containers on them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "netform manifest", extend("$id" = "manifest.v1.json"))]
pub(super) struct Manifest {
    /// The version of the manifest: 1.
    #[schemars(extend("const" = 1))]
    netform: u8,
    /// Whose everything is: the name of the firewall's table and of the state's directory.
    project: ProjectName,
    /// Further files, relative to this one, merged key by key: `[networks/*.yaml]`.
    include: Option<Vec<String>>,
    /// Where networks without subnets take theirs from.
    pools: Option<Vec<Pool>>,
    /// Whose firewalls shall let our packets pass.
    coexist: Option<Coexist>,
    /// The link of the host that gets the external addresses, so that its neighbours find them; `true` is the one that has
    /// the default route.
    #[schemars(extend("default" = false))]
    own_external_addresses: Option<Uplink>,
    /// Who may connect to whom, beyond what the networks say: the first that matches decides.
    policies: Option<Vec<Policy>>,
    /// The networks by name.
    networks: Option<IndexMap<NetName, Option<Network>>>,
    /// The containers by name. The order of their networks is the order of their interfaces.
    containers: Option<IndexMap<ContainerName, Option<Container>>>,
}

/// A range that networks without subnets take theirs from.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Pool {
    /// The range, e.g. `10.128.0.0/9`.
    cidr: Cidr,
    /// The prefix length of each subnet, e.g. 24.
    #[schemars(range(min = 0, max = 126))]
    size: u8,
}

/// A network.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Network {
    /// How the network is made of kernel objects.
    #[schemars(extend("default" = "bridge"))]
    driver: Option<Driver>,
    /// What only the driver knows: the parent and mode of a macvlan or ipvlan network, whether a veth network joins the host.
    options: Option<Options>,
    /// Its subnets, IPv4 and IPv6; one is taken from the pools when none is given to a bridge.
    subnets: Option<Vec<SubnetOrCidr>>,
    /// Whether it has an IPv4 subnet: one from the pools when none is given.
    ipv4: Option<bool>,
    /// Whether it has an IPv6 subnet: one from the pools, or of the host's own range, when none is given.
    ipv6: Option<bool>,
    /// No way out, no way in.
    #[schemars(extend("default" = false))]
    internal: Option<bool>,
    /// Whether its containers may talk to each other.
    #[schemars(extend("default" = true))]
    icc: Option<bool>,
    /// The largest packet in bytes; `auto` is the uplink's.
    #[schemars(extend("default" = "auto"))]
    mtu: Option<Mtu>,
    /// The name of the bridge; derived from the network's name when absent.
    interface: Option<IfName>,
    /// How packets leave: with the host's address, as they are, or with a given address.
    #[schemars(extend("default" = "masquerade"))]
    egress: Option<Egress>,
    /// The link of the host that answers for the containers when its neighbours ask for them (NDP proxy); `true` is the one
    /// that has the default route of IPv6.
    #[schemars(extend("default" = false))]
    ndp_proxy: Option<Uplink>,
    /// Which new connections may come in: those to published ports, all, or none.
    #[schemars(extend("default" = "published"))]
    ingress: Option<Ingress>,
    /// The bridge of somebody else that containers are attached to: its name, or `true` with `interface`.
    #[schemars(extend("default" = false))]
    external: Option<External>,
    /// How names are answered.
    dns: Option<Dns>,
    /// What netform must not do to the network.
    lifecycle: Option<Lifecycle>,
}

/// A subnet: `10.7.0.0/24`, or a map with `cidr`.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum SubnetOrCidr {
    Cidr(Cidr),
    Subnet(Subnet),
}

/// A subnet and what is special in it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Subnet {
    /// The subnet, e.g. `10.7.0.0/24`.
    cidr: Cidr,
    /// The bridge's address; the first address when absent.
    gateway: Option<Address>,
    /// Where dynamic addresses come from; the whole subnet when absent.
    pool: Option<Cidr>,
    /// Addresses that no container gets, by what they are for.
    reserve: Option<IndexMap<String, Address>>,
}

/// `auto`, or bytes.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Mtu {
    Bytes(#[schemars(range(min = 68, max = 65535))] u32),
    Auto(Auto),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum Auto {
    Auto,
}

/// How packets leave a network.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Egress {
    Word(EgressWord),
    Snat(Snat),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum EgressWord {
    Masquerade,
    Routed,
}

/// Addresses of the host that packets leave with.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Snat {
    /// At most one per family.
    snat: OneOrMore<Address>,
}

/// Which new connections may come in from elsewhere.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Ingress {
    Published,
    Open,
    None,
}

/// How names are answered on a network.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Dns {
    /// Who is asked for names of elsewhere, in order; the host's resolvers when absent.
    upstream: Option<OneOrMore<Address>>,
    /// Who answers to an alias that several containers declare: the first that runs, or all that run.
    #[schemars(extend("default" = "first"))]
    alias_policy: Option<AliasPolicy>,
    /// For how many seconds an answer may be kept.
    #[schemars(range(min = 0, max = 604800), extend("default" = 1))]
    ttl: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum AliasPolicy {
    First,
    All,
}

/// What netform must not do.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Lifecycle {
    /// Refuse a plan that destroys it, even when its block is deleted.
    #[schemars(extend("default" = false))]
    prevent_destroy: Option<bool>,
    /// Fields whose drift is left alone.
    #[schemars(extend("uniqueItems" = true))]
    ignore: Option<Vec<Ignorable>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum Ignorable {
    Mtu,
    Mac,
}

/// A container: a network namespace with its networks.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Container {
    /// The name or the path of a namespace that somebody else makes; netform makes one when absent.
    netns: Option<Netns>,
    /// The container of Docker whose namespace it is: its name.
    docker: Option<EngineName>,
    /// The container of Podman whose namespace it is: its name.
    podman: Option<EngineName>,
    /// The process whose namespace it is.
    #[schemars(range(min = 1, max = 4194304))]
    pid: Option<u32>,
    /// `none`: a namespace with nothing but `lo`; `host`: that of the host; `container:OTHER`: that of another container.
    mode: Option<Mode>,
    /// The networks, in the order of the interfaces: a list of names, or a map; the network `default` when absent.
    networks: Option<Networks>,
    /// Ports of the host that lead here.
    publish: Option<Vec<Publish>>,
    /// Ports that the container serves.
    expose: Option<Vec<Expose>>,
    /// Routes that it has besides; each leaves by the network whose subnet its router is in.
    routes: Option<Vec<Route>>,
    /// Kernel parameters of its network namespace.
    sysctls: Option<IndexMap<WholeSysctlKey, WholeSysctlValue>>,
}

/// `none`, `host` or `container:OTHER`.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct Mode(#[schemars(regex(pattern = r"^(none|host|container:[A-Za-z0-9][A-Za-z0-9_.-]{0,62})$"))] String);

/// The networks of a container.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Networks {
    Names(#[schemars(length(min = 1), extend("uniqueItems" = true))] Vec<NetName>),
    Attachments(#[schemars(extend("minProperties" = 1))] IndexMap<NetName, Option<Attachment>>),
}

/// A published port or range: `"8080:80"`, `"127.0.0.1:5353:53/udp"`, or a map.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Publish {
    Short(
        #[schemars(regex(
            pattern = r"^(([0-9.]+|\[[0-9A-Fa-f:.]+\]):)?0*[1-9][0-9]{0,4}(-0*[1-9][0-9]{0,4})?:0*[1-9][0-9]{0,4}(-0*[1-9][0-9]{0,4})?(/(tcp|udp|sctp))?$"
        ))]
        String,
    ),
    Long(PublishMap),
}

/// A published port or range.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct PublishMap {
    /// The host's address; any address of both families when absent.
    host_address: Option<Address>,
    /// The port or range on the host.
    host_port: PortOrRange,
    /// The port or range in the container: as many.
    target_port: PortOrRange,
    /// The protocol.
    #[schemars(extend("default" = "tcp"))]
    protocol: Option<Protocol>,
    /// Who may connect; everyone when absent.
    #[schemars(length(min = 1))]
    allow_from: Option<Vec<Cidr>>,
}

/// A port, or a range such as `9000-9010`.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum PortOrRange {
    Port(#[schemars(range(min = 1, max = 65535))] u32),
    Range(#[schemars(regex(pattern = r"^0*[1-9][0-9]{0,4}(-0*[1-9][0-9]{0,4})?$"))] String),
}

/// A port that a container serves: `80`, `5432/tcp`, `8000-8010/udp`.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Expose {
    Port(#[schemars(range(min = 1, max = 65535))] u32),
    Text(#[schemars(regex(pattern = r"^0*[1-9][0-9]{0,4}(-0*[1-9][0-9]{0,4})?(/(tcp|udp|sctp))?$"))] String),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum OneOrList<T> {
    One(T),
    List(#[schemars(extend("uniqueItems" = true))] Vec<T>),
}

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum OneOrMore<T> {
    One(T),
    List(#[schemars(length(min = 1, max = 2))] Vec<T>),
}

/// Lower-case letters, digits and `-`, beginning with a letter, at most 32 bytes.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct ProjectName(#[schemars(regex(pattern = r"^[a-z][a-z0-9-]{0,31}$"))] String);

/// Letters, digits, `_`, `.` and `-`, beginning with a letter or digit, at most 63 bytes.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct NetName(#[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"))] String);

/// Letters, digits, `_`, `.` and `-`, beginning with a letter or digit, at most 63 bytes.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct ContainerName(#[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"))] String);

/// A host name of at most 253 bytes; `_` is allowed.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct Alias(
    #[schemars(length(max = 253), regex(pattern = r"^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*$"))] String,
);

/// The name of a kernel network interface: at most 15 bytes.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct IfName(
    #[schemars(regex(
        pattern = r"^(?!\.{1,2}$|-)(?!(tcp|udp|udplite|esp|ah|icmp|icmpv6|comp|dccp|sctp)$)[!#$&()+-.0-9;-?A-\[\]-_a-~]{1,15}$"
    ))]
    String,
);

/// A name under /run/netns, or a path.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct Netns(#[schemars(regex(pattern = r"^(/.*|(?!\.{1,2}$)[!-.0-~]{1,255})$"))] String);

/// A link-layer address of one host, like `02:42:ac:19:03:03`.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct Mac(#[schemars(regex(pattern = r"^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$"))] String);

/// An IPv4 or IPv6 address.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct Address(
    #[schemars(regex(pattern = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)$"))] String,
);

/// An IPv4 or IPv6 range with its prefix length, like `10.7.0.0/24`.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct Cidr(
    #[schemars(regex(
        pattern = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*/([0-9]{1,2}|1[01][0-9]|12[0-8]))$"
    ))]
    String,
);
