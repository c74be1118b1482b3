//! What the schema knows of drivers.
#![expect(dead_code, reason = "the types are never built: the schema is made from their form")]

use schemars::JsonSchema;

use super::form::IfName;

/// How a network is made of kernel objects.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum Driver {
    /// A Linux bridge.
    Bridge,
    /// Each container has a link of its own on a link of the host, and is on the network behind it.
    Macvlan,
}

/// What a macvlan network needs to know.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Options {
    /// The link of the host that the containers share.
    parent: IfName,
    /// Whom a container reaches besides: the others on the parent, those by way of the switch, none, or it has the parent for itself.
    #[schemars(extend("default" = "bridge"))]
    mode: Option<MacvlanMode>,
}

/// Whom a container on a macvlan network reaches besides.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum MacvlanMode {
    /// The others on the same parent.
    Bridge,
    /// The others, if the switch behind the parent sends packets back.
    Vepa,
    /// None of the others.
    Private,
    /// It has the parent for itself.
    Passthru,
}
