//! The written form of links of others: bridges, and the uplink.
#![expect(dead_code, reason = "the types are never built: the schema is made from their form")]

use schemars::JsonSchema;

use super::form::IfName;

/// An existing bridge.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum External {
    Bridge(IfName),
    Flag(bool),
}

/// A link of the host by which others reach it.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Uplink {
    Link(IfName),
    Flag(bool),
}
