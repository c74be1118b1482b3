//! What the schema knows of a container's ends.
#![expect(dead_code, reason = "the types are never built: the schema is made from their form")]

use schemars::JsonSchema;

use super::form::{Address, Cidr};

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
pub(super) struct LinkSysctlKey(
    #[schemars(regex(pattern = r"^net\.(ipv4|ipv6)\.conf\.IFNAME\.[a-z0-9_]+$"))] String,
);

/// The value of a kernel parameter.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum SysctlValue {
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
pub(super) struct Bandwidth {
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
