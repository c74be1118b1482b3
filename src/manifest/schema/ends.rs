//! What the schema knows of a container's ends.
#![expect(dead_code, reason = "the types are never built: the schema is made from their form")]

use indexmap::IndexMap;
use schemars::JsonSchema;

use super::form::{Address, Alias, Cidr, ContainerName, IfName, Mac, OneOrList, OneOrMore};

/// A container on a network.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Attachment {
    /// A fixed address, or one for each subnet.
    address: Option<OneOrList<Address>>,
    /// An address of the outside all of which leads here, and that is the source of what leaves; one at most per family.
    external_address: Option<OneOrMore<Address>>,
    /// Further names on this network.
    #[schemars(extend("uniqueItems" = true))]
    aliases: Option<Vec<Alias>>,
    /// Private names for other containers: alias to container, which need not exist.
    links: Option<IndexMap<Alias, ContainerName>>,
    /// The link-layer address; derived from the address when absent.
    mac: Option<Mac>,
    /// The name of the interface in the container; `eth0`, `eth1`, ... in order when absent.
    interface: Option<IfName>,
    /// The network with the highest has the default route.
    #[schemars(range(min = -1_000_000, max = 1_000_000), extend("default" = 0))]
    gateway_priority: Option<i64>,
    /// On a bridge or openvswitch network: the VLAN that it is in, without tags.
    #[schemars(range(min = 1, max = 4094))]
    vlan: Option<u16>,
    /// On a bridge or openvswitch network: the VLANs that it takes and gives with their tags.
    #[schemars(length(min = 1), inner(range(min = 1, max = 4094)), extend("uniqueItems" = true))]
    trunks: Option<Vec<u16>>,
    /// Routes that leave by this network.
    routes: Option<Vec<Route>>,
    /// Kernel parameters of the interface, in whose keys IFNAME stands for its name.
    sysctls: Option<IndexMap<LinkSysctlKey, SysctlValue>>,
    /// The link of the host that becomes the interface, on a network with `driver: physical`.
    device: Option<IfName>,
    /// How fast it may be.
    bandwidth: Option<Bandwidth>,
    /// Whether it and others of its network that say so, too, are kept apart.
    #[schemars(extend("default" = false))]
    isolated: Option<bool>,
    /// Whether its port of the bridge is in hairpin mode; what the network says, or else whether it publishes, when absent.
    hairpin: Option<bool>,
}

/// A route of a container.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Route {
    /// Where it leads, e.g. `10.9.0.0/16`.
    to: Cidr,
    /// The router that packets go to.
    via: Option<Address>,
    /// Which of several routes to the same goes first: the lowest.
    #[schemars(range(min = 0, max = 4294967295_u32), extend("default" = 0))]
    metric: Option<u32>,
    /// The table that holds it; what asks other tables than the main one is a rule, which somebody else adds.
    #[schemars(range(min = 1, max = 4294967295_u32), extend("default" = 254))]
    table: Option<u32>,
    /// `unicast` leads there; the others refuse: without a word, with "unreachable", with "prohibited".
    #[schemars(extend("default" = "unicast"))]
    r#type: Option<RouteType>,
    /// The router is on the link, though no subnet says so.
    #[schemars(extend("default" = false))]
    onlink: Option<bool>,
}

/// A kernel parameter of an interface, such as `net.ipv4.conf.IFNAME.log_martians`.
#[derive(JsonSchema, PartialEq, Eq, Hash)]
#[schemars(transparent)]
struct LinkSysctlKey(#[schemars(regex(pattern = r"^net\.(ipv4|ipv6)\.conf\.IFNAME\.[a-z0-9_]+$"))] String);

/// The value of a kernel parameter.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum SysctlValue {
    Number(i64),
    Word(#[schemars(regex(pattern = r"^[!-~]+$"))] String),
}

/// What becomes of packets.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum RouteType {
    /// They go to the router, or to whom they are for.
    Unicast,
    /// They are dropped.
    Blackhole,
    /// They are dropped, and the sender is told that there is no way.
    Unreachable,
    /// They are dropped, and the sender is told that it is forbidden.
    Prohibit,
}

/// How fast a container receives and sends on a network, kept outside of its reach.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Bandwidth {
    /// What it receives: a rate with a unit of tc, e.g. `10mbit`.
    ingress: Option<BitRate>,
    /// What it sends.
    egress: Option<BitRate>,
    /// What may go at once: a size with a unit of tc, e.g. `32kb`; what 10 milliseconds let through, and two packets at least,
    /// when absent.
    burst: Option<Size>,
}

/// A rate: bits (`kbit`, `mbit`, `gbit`) or bytes (`kbps`, `mbps`) a second.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct BitRate(#[schemars(regex(pattern = r"^[0-9]+(\.[0-9]{1,9})?([kmgt]i?)?(bit|bps)$"))] String);

/// A size: bytes (`b`, `kb`, `mb`), or bits (`kbit`, `mbit`).
#[derive(JsonSchema)]
#[schemars(transparent)]
struct Size(#[schemars(regex(pattern = r"^[0-9]+(\.[0-9]{1,9})?(b|[kmg]b?|[kmg]bit)$"))] String);

/// A kernel parameter of a network namespace, such as `net.core.somaxconn`.
#[derive(JsonSchema, PartialEq, Eq, Hash)]
#[schemars(transparent)]
pub(super) struct WholeSysctlKey(#[schemars(regex(pattern = r"^net(\.[a-z0-9_-]+){2,}$"))] String);

/// The value of a kernel parameter: one or several words.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum WholeSysctlValue {
    Number(i64),
    Words(#[schemars(regex(pattern = r"^\s*[!-~]+(\s+[!-~]+)*\s*$"))] String),
}

/// Letters, digits, `_`, `.` and `-`, beginning with a letter or digit, at most 255 bytes.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(super) struct EngineName(#[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$"))] String);
