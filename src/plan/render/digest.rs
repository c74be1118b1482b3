//! A plan in a few lines of JSON: the counts, and what happens to each resource, without fields and objects.

use schemars::JsonSchema;
use serde::Serialize;

use super::json::{self, InterruptDoc, PartDoc, Source, Summary};
use crate::plan::{Action, Cause, Change, Plan};

/// What a plan comes to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Digest {
    /// Whether there is something to apply.
    applyable: bool,
    /// Whether the plan is about all resources.
    complete: bool,
    /// Which resources the plan is about, when not all.
    part: Option<PartDoc>,
    /// The counts.
    summary: Summary,
    /// What happens to each resource, in the order of their addresses.
    changes: Vec<ChangeDigest>,
    /// What the user should read before agreeing.
    warnings: Vec<String>,
}

/// What happens to one resource.
#[derive(Debug, Serialize, JsonSchema)]
struct ChangeDigest {
    /// The resource's address, e.g. `attachment.web@front`.
    address: String,
    action: Action,
    cause: Vec<Cause>,
    /// Why it is replaced.
    reason: Option<String>,
    source: Option<Source>,
    /// The attachments that lose packets.
    interrupts: Vec<InterruptDoc>,
}

/// Returns what a plan comes to.
pub fn digest(plan: &Plan) -> Digest {
    Digest {
        applyable: !plan.is_empty(),
        complete: plan.extra.part.is_none(),
        part: plan.extra.part.as_ref().map(json::part),
        summary: json::summary(plan),
        changes: plan.changes.iter().map(change).collect(),
        warnings: plan.extra.warnings.clone(),
    }
}

fn change(change: &Change) -> ChangeDigest {
    let Change { owner, action, causes, origin, reason, protected: _, interrupts, fields: _, objects: _ } =
        change;
    ChangeDigest {
        address: owner.to_string(),
        action: *action,
        cause: causes.iter().copied().collect(),
        reason: reason.clone(),
        source: json::source(origin.as_ref()),
        interrupts: json::interrupts(interrupts),
    }
}
