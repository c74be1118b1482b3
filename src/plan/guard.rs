//! What a plan does that its user may not want.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Action, Plan, lifeline};
use crate::kernel::Op;
use crate::kernel::management::Management;
use crate::names::IfName;
use crate::resource::Resource;
use crate::resource::owner::{Origin, Owner};
use crate::resource::state::Entry;

/// What may be done without asking twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// How many resources may be destroyed; `None` is any number.
    pub max_destroy: Option<usize>,
    /// What to make of a manifest that declares nothing.
    pub empty: EmptyManifest,
    /// What must not be cut; `None` when anything may.
    pub management: Option<Management>,
    /// What to make of a link that leads out of the host, and that a container is to have.
    pub uplink: Uplink,
}

/// What to make of a link that a default route of the host leaves by, and that a container is to have for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Uplink {
    /// The host would be cut off.
    #[default]
    Refused,
    /// It is meant.
    Allowed,
}

/// What to make of a manifest that declares nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EmptyManifest {
    /// It is a mistake when something would be destroyed.
    #[default]
    Refused,
    /// It is meant.
    Allowed,
}

impl Limits {
    /// Returns the limits of a run that nobody watches: at most half of what exists goes, though five always may.
    pub fn unattended(existing: usize) -> Self {
        Self { max_destroy: Some((existing / 2).max(5)), ..Self::default() }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum Guard {
    /// A protected resource would go.
    #[error("{owner} is protected by `prevent_destroy`, but would be {}", if *replaced { "replaced" } else { "destroyed" })]
    Protected {
        /// The resource.
        owner: Owner,
        /// Whether it would come back.
        replaced: bool,
        /// Where the manifest declares it, if it still does.
        origin: Option<Origin>,
    },
    /// Too many resources would go.
    #[error("{destroys} of {existing} resources would be destroyed, the limit is {limit}")]
    TooMany {
        /// How many would go.
        destroys: usize,
        /// How many there are.
        existing: usize,
        /// How many may go.
        limit: usize,
    },
    /// The manifest declares nothing, and something would go.
    #[error("the manifest declares nothing, and {destroys} resources would be destroyed")]
    Empty {
        /// How many would go.
        destroys: usize,
    },
    /// The host would lose the link by which it reaches others.
    #[error("{owner} would take {device} from the host, whose default route leaves by it")]
    Uplink {
        /// Who would have it.
        owner: Owner,
        /// The link.
        device: IfName,
    },
    /// The SSH session that netform was started from would be cut.
    #[error("this would cut the SSH session from {client}: {why}")]
    ManagementPath {
        /// Where the session comes from.
        client: IpAddr,
        /// What would be done to what carries it.
        why: String,
    },
}

/// Returns how many resources go that shall not come back: of a container that waits, nobody took anything off.
fn destroys(plan: &Plan) -> usize {
    let destroyed =
        plan.changes.iter().filter(|change| matches!(change.action, Action::Destroy | Action::Replace));
    destroyed.filter(|change| !plan.extra.waits(&change.owner)).count()
}

/// Returns the links that lead out of the host and would leave it.
fn uplinks(plan: &Plan) -> impl Iterator<Item = Guard> {
    plan.waves.iter().flatten().filter_map(|op| match op {
        Op::Create(Entry { resource: Resource::Link(link), owner, .. }) => {
            let device = &link.kind.device()?.name;
            let is_uplink = plan.extra.uplinks.contains(device);
            is_uplink.then(|| Guard::Uplink { owner: owner.clone(), device: device.clone() })
        }
        Op::Create(_) | Op::Update { .. } | Op::Delete(_) => None,
    })
}

/// Returns all refusals; none means that the plan may be carried out.
pub fn guard(plan: &Plan, limits: &Limits) -> Vec<Guard> {
    let goes = |action| matches!(action, Action::Destroy | Action::Replace);
    let protected = plan.changes.iter().filter(|change| change.protected && goes(change.action));
    let mut guards: Vec<Guard> = protected
        .map(|change| Guard::Protected {
            owner: change.owner.clone(),
            replaced: change.action == Action::Replace,
            origin: change.origin.clone(),
        })
        .collect();
    let destroys = destroys(plan);
    if let Some(limit) = limits.max_destroy.filter(|limit| destroys > *limit) {
        guards.push(Guard::TooMany { destroys, existing: plan.existing, limit });
    }
    if plan.extra.manifest_empty && destroys > 0 && limits.empty == EmptyManifest::Refused {
        guards.push(Guard::Empty { destroys });
    }
    if limits.uplink == Uplink::Refused {
        guards.extend(uplinks(plan));
    }
    if let Some(management) = &limits.management {
        let client = management.session.client;
        guards.extend(lifeline::cuts(plan, management).map(|why| Guard::ManagementPath { client, why }));
    }
    guards
}
