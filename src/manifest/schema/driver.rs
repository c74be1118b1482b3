//! What the schema knows of drivers.
#![expect(dead_code, reason = "the types are never built: the schema is made from their form")]

use schemars::JsonSchema;

use super::form::{Address, IfName, OneOrList};

/// How a network is made of kernel objects.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum Driver {
    /// A Linux bridge.
    Bridge,
    /// Each container has a link of its own on a link of the host, and is on the network behind it.
    Macvlan,
    /// As macvlan, with the link-layer address of the host's link.
    Ipvlan,
    /// A pair of links between two containers, or between the host and one.
    Veth,
    /// Each container has a link of the host for itself: the `device` of its attachment.
    Physical,
    /// A bridge of Open vSwitch.
    Openvswitch,
}

/// What only the driver needs to know.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Options {
    /// Of a bridge network.
    Bridge(Bridge),
    /// Of a macvlan network.
    Macvlan(Macvlan),
    /// Of a veth network.
    Veth(Veth),
    /// Of an openvswitch network.
    OpenVswitch(OpenVswitch),
}

/// What an openvswitch network needs to know.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct OpenVswitch {
    /// What forwards packets: the kernel's module (`system`), or `ovs-vswitchd` itself (`netdev`).
    #[schemars(extend("default" = "system"))]
    datapath: Option<Datapath>,
    /// What the bridge does without a controller: it forwards as any switch (`standalone`), or what flows say (`secure`).
    #[schemars(extend("default" = "standalone"))]
    fail_mode: Option<FailMode>,
    /// Whether it speaks the spanning tree protocol.
    #[schemars(extend("default" = false))]
    stp: Option<bool>,
    /// Whether it learns who listens to which multicast group.
    #[schemars(extend("default" = false))]
    mcast_snooping: Option<bool>,
}

/// What forwards packets.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Datapath {
    /// The kernel's module `openvswitch`.
    System,
    /// `ovs-vswitchd` itself.
    Netdev,
}

/// What a bridge does without a controller.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum FailMode {
    /// It forwards as any switch.
    Standalone,
    /// It forwards what flows say, and nothing else.
    Secure,
}

/// What a bridge network needs to know.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Bridge {
    /// Whether it speaks the spanning tree protocol: then a new port waits for four seconds.
    #[schemars(extend("default" = false))]
    stp: Option<bool>,
    /// Whether its ports are in hairpin mode; those of containers that publish, when absent.
    hairpin: Option<bool>,
}

/// What a veth network needs to know.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Veth {
    /// Whether the host has the other end, and not a second container.
    #[schemars(extend("default" = false))]
    host: Option<bool>,
}

/// What a macvlan or ipvlan network needs to know.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Macvlan {
    /// The link of the host that the containers share.
    parent: IfName,
    /// Of macvlan, whom a container reaches besides: the others on the parent (`bridge`, the default), those by way of the switch
    /// (`vepa`), none (`private`), or it has the parent for itself (`passthru`). Of ipvlan, at which layer its packets find their
    /// way: `l2` (the default), `l3` or `l3s`.
    mode: Option<Mode>,
    /// Of ipvlan, whom a container reaches besides.
    #[schemars(extend("default" = "bridge"))]
    flag: Option<Flag>,
    /// An address by which the host itself is beside the containers, or one for each family.
    host_address: Option<OneOrList<Address>>,
}

/// How containers share the link.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Mode {
    /// ipvlan, as on any Ethernet.
    L2,
    /// ipvlan, routed by the host, without gateway and broadcast.
    L3,
    /// ipvlan, as `l3`, and through the host's firewall.
    L3s,
    /// macvlan: the others on the same parent.
    Bridge,
    /// macvlan: the others, if the switch behind the parent sends packets back.
    Vepa,
    /// macvlan: none of the others.
    Private,
    /// macvlan: it has the parent for itself.
    Passthru,
}

/// Whom a container on an ipvlan network reaches besides.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Flag {
    /// The others on the same parent.
    Bridge,
    /// None of the others.
    Private,
    /// The others, if the switch behind the parent sends packets back.
    Vepa,
}
