//! What the schema knows of policies, and of others' firewalls.
#![expect(dead_code, reason = "the types are never built: the schema is made from their form")]

use schemars::JsonSchema;

use super::form::{Expose, OneOrList};

/// Whose firewalls shall let our packets pass.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Coexist {
    /// Add accept rules of ours to `DOCKER-USER`, the chain that Docker leaves to the rules of users.
    #[schemars(extend("default" = false))]
    docker: Option<bool>,
}

/// A policy: `allow` or `deny`, and for whom.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct Policy {
    /// Connections that pass, whatever the networks say.
    allow: Option<Way>,
    /// Connections that are dropped.
    deny: Option<Way>,
}

/// Which connections a policy is about.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Way {
    /// Who begins them.
    from: OneOrList<End>,
    /// Whom they are for.
    to: OneOrList<End>,
    /// The ports of those whom they are for; everything, pings too, when absent.
    #[schemars(length(min = 1))]
    ports: Option<Vec<Expose>>,
}

/// `network.NAME`, `container.NAME`, `host`, `world`, or a range of addresses such as `10.0.0.0/8`.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct End(
    #[schemars(regex(
        pattern = r"^(host|world|(network|container)\.[A-Za-z0-9][A-Za-z0-9_.-]{0,62}|[0-9]{1,3}(\.[0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*/([0-9]{1,2}|1[01][0-9]|12[0-8]))$"
    ))]
    String,
);
