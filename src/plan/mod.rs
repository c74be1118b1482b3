//! Two states become ordered operations, with causes, interruptions and a text that says so.
//!
//! [`plan`] is a pure function: equal inputs give equal plans. `diff` finds what differs and what dies with it, `order`
//! puts the operations into waves, `change` and `drift` say what that means to a user, `guard` what a user may not want.
//! [`target`] narrows the states to a part of the resources before any of that.

mod agree;
mod change;
mod conflict;
mod diff;
mod drift;
mod equivalent;
mod extra;
mod field;
mod foreign;
mod ground;
mod guard;
mod guests;
mod interruption;
mod leave;
mod lifeline;
mod local;
mod mended;
mod names;
mod order;
mod overlap;
mod policy;
pub mod ports;
pub mod release;
mod remark;
pub mod render;
pub mod stray;
pub mod target;
mod vlans;
mod vsctl;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::halves::both;
use crate::kernel::Op;
use crate::names::ProjectName;
use crate::resource::owner::{Origin, Owner};
use crate::resource::state::{Desired, Entry, Observed, State};
use crate::resource::{Resource, ResourceId};
pub use conflict::{Conflict, at_stake};
pub use equivalent::equivalent;
pub use extra::Extra;
pub use foreign::take_along;
pub use ground::{Away, missing as lost_ground, settle as settle_ground};
pub use guard::{EmptyManifest, Guard, Limits, Uplink, guard};
pub use guests::{lodged, tell_guests};
pub use leave::{Spot, leaving};

/// What has to be done, and what that means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The operations: those of a wave have no order between them, and waves follow each other.
    pub waves: Vec<Vec<Op>>,
    /// What happens to each resource, in the order of their addresses.
    pub changes: Vec<Change>,
    /// What moved since the last apply, and who wins.
    pub drift: Vec<Drift>,
    /// What others put on our objects; it is left alone, unless what it stands on goes.
    pub foreign: Vec<ForeignNote>,
    /// What the states do not hold.
    pub extra: Extra,
    /// Objects that an operation takes along without being named by one, as they are now.
    pub lost: Vec<Entry>,
    /// How many resources stay as they are.
    pub unchanged: usize,
    /// How many resources are live now.
    pub existing: usize,
    /// How many kernel objects are desired.
    pub objects: usize,
}

/// What happens to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its address.
    pub owner: Owner,
    /// What is done.
    pub action: Action,
    /// Why.
    pub causes: BTreeSet<Cause>,
    /// Where the manifest declares it; `None` when it no longer does.
    pub origin: Option<Origin>,
    /// Why it is replaced and not changed.
    pub reason: Option<String>,
    /// Whether `prevent_destroy` is set on it.
    pub protected: bool,
    /// The attachments that lose packets, and why; of a container, that its processes lose their network.
    pub interrupts: Vec<Interruption>,
    /// The fields that differ; empty for what is created or destroyed whole.
    pub fields: Vec<Field>,
    /// The kernel objects under it.
    pub objects: Vec<Object>,
}

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is removed and made anew.
    Replace,
    /// It is removed.
    Destroy,
}

/// Why something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The manifest says something else than at the last apply.
    Config,
    /// The kernel holds something else than the last apply left.
    Drift,
}

/// An attachment that loses packets, or a container whose processes lose their network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interruption {
    /// The attachment, or the container.
    pub attachment: Owner,
    /// Why, e.g. `its address changes`.
    pub why: String,
    /// The other project whose it is, when it is on a bridge of this one.
    #[serde(default)]
    pub project: Option<ProjectName>,
}

/// A field that differs, with its three values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name, e.g. `mtu`.
    pub name: String,
    /// The kernel object that has it.
    pub object: ResourceId,
    /// What the last apply left.
    pub last_applied: Option<String>,
    /// What is there now.
    pub live: Option<String>,
    /// What shall be there.
    pub desired: Option<String>,
    /// Why it changes.
    pub cause: Cause,
    /// Where the manifest says so.
    pub origin: Option<Origin>,
}

/// A kernel object under a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Which one.
    pub id: ResourceId,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a kernel object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is removed and made anew.
    Replace,
    /// It is removed.
    Destroy,
    /// The kernel removes it together with this one.
    GoesWith(ResourceId),
    /// The kernel removes it together with this one, and it is made again.
    Restored(ResourceId),
}

/// What moved on one resource since the last apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The resource.
    pub owner: Owner,
    /// The kernel object.
    pub object: ResourceId,
    /// What happened to it.
    pub moved: Moved,
    /// Who wins.
    pub winner: Winner,
}

/// How something moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moved {
    /// A field of it has another value.
    Changed {
        /// The field.
        field: String,
        /// What the last apply left.
        last_applied: Option<String>,
        /// What is there now.
        live: Option<String>,
    },
    /// It is gone.
    Deleted,
}

/// Who wins when the kernel holds something else than the last apply left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Winner {
    /// The manifest: it will be set back, or made again.
    Manifest,
    /// The kernel, since `lifecycle.ignore` says so.
    Ignored,
    /// Both: the manifest asks for what is there now.
    Agreed,
    /// Nobody: it is no longer declared, and goes.
    Removed,
}

/// Something that others put on an object of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignNote {
    /// The resource that it stands on.
    pub owner: Owner,
    /// What it is.
    pub what: String,
    /// Whose it is, as far as can be told.
    pub by: Option<String>,
    /// Whether it goes along with what it stands on.
    #[serde(default)]
    pub goes: bool,
}

/// A kernel object before and after a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// What it is known by.
    pub id: ResourceId,
    /// What is there before; `None` when nothing is.
    pub before: Option<Entry>,
    /// What is there after; `None` when nothing is.
    pub after: Option<Entry>,
}

impl Plan {
    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.waves.is_empty()
    }

    /// Returns how many operations there are.
    pub fn len(&self) -> usize {
        self.waves.iter().map(Vec::len).sum()
    }

    /// Returns every object that the plan changes, before and after, in the order of their ids: all that undo needs.
    pub fn touched(&self) -> Vec<Touched> {
        let mut touched = BTreeMap::<ResourceId, (Option<&Entry>, Option<&Entry>)>::new();
        for entry in &self.lost {
            touched.insert(entry.resource.id(), (Some(entry), None));
        }
        for op in self.waves.iter().flatten() {
            match op {
                Op::Create(entry) => touched.entry(op.id()).or_insert((None, None)).1 = Some(entry),
                Op::Update { from, to } => touched.entry(op.id()).or_insert((Some(from), None)).1 = Some(to),
                Op::Delete(entry) => touched.entry(op.id()).or_insert((Some(entry), None)).1 = None,
            }
        }
        let whole = |(id, (before, after)): (_, (Option<&Entry>, Option<&Entry>))| Touched {
            id,
            before: before.cloned().map(unedited),
            after: after.cloned(),
        };
        touched.into_iter().map(whole).collect()
    }

    /// Counts what `Plan: X to add, Y to change, Z to destroy` says; a replacement is one of both.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for change in &self.changes {
            match change.action {
                Action::Create => counts.add += 1,
                Action::Update => counts.change += 1,
                Action::Destroy => counts.destroy += 1,
                Action::Replace => {
                    counts.add += 1;
                    counts.destroy += 1;
                    counts.replace += 1;
                }
            }
        }
        counts
    }
}

/// Returns a table as it can be made again: what somebody did to it by hand cannot.
fn unedited(mut entry: Entry) -> Entry {
    if let Resource::NftTable(table) = &mut entry.resource {
        table.intact = true;
    }
    entry
}

/// How many resources are added, changed and destroyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Created, replacements included.
    pub add: usize,
    /// Changed in place.
    pub change: usize,
    /// Destroyed, replacements included.
    pub destroy: usize,
    /// Replaced.
    pub replace: usize,
}

/// Returns what leads from `observed` to `desired`; `applied` is what the last apply led to, and only explains.
///
/// # Errors
///
/// Everything of others that is in the way.
pub fn plan(
    desired: &Desired,
    observed: &Observed,
    applied: &State,
    extra: Extra,
) -> Result<Plan, Vec<Conflict>> {
    let diff = diff::Diff::new(&desired.0, observed, applied);
    let conflicts = conflict::conflicts(&diff, observed);
    if conflicts.is_empty() { Ok(planned(diff, observed, extra)) } else { Err(conflicts) }
}

/// Returns what leads from `observed` to `desired` as far as others let it: what is in their way is left out.
///
/// It is for undoing, which presses on.
pub fn plan_around(desired: &Desired, observed: &Observed, applied: &State) -> Plan {
    let diff = diff::Diff::new(&desired.0, observed, applied);
    let conflicts = conflict::conflicts(&diff, observed);
    if conflicts.is_empty() {
        return planned(diff, observed, Extra::default());
    }
    let mut possible = desired.0.clone();
    for conflict in conflicts {
        possible.remove(&conflict.object);
    }
    let diff = diff::Diff::new(&possible, observed, applied);
    planned(diff, observed, Extra::default())
}

/// Tells whether `live` is what `wanted` asks for, values that are left to the kernel aside.
pub fn is_settled(wanted: &Entry, live: &Entry) -> bool {
    agree::agrees(wanted, &live.resource) && !diff::must_remark(wanted, live)
}

/// Tells whether `now` is what was there `before`, its mark included.
pub fn is_as_before(before: &Entry, now: &Entry) -> bool {
    before.resource == now.resource && !diff::must_remark(before, now)
}

fn planned(mut diff: diff::Diff<'_>, observed: &Observed, mut extra: Extra) -> Plan {
    let waves = order::waves(&mut diff);
    let foreign = foreign::foreign(observed, &diff);
    extra.warnings.extend(foreign::warning(&foreign));
    extra.warnings.extend(foreign::impostors(observed));
    let (drift, (changes, tally)) =
        both(diff.rows.len(), || drift::drift(&diff), || change::changes(&diff, extra.part.as_ref()));
    Plan {
        changes,
        waves,
        drift,
        foreign,
        extra,
        lost: diff.lost(),
        unchanged: tally.unchanged,
        existing: tally.existing,
        objects: diff.desired.len(),
    }
}

#[cfg(test)]
mod tests;
