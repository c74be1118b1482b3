//! A plan as a versioned document. Minor versions add fields; a reader passes over what it does not know.

use std::collections::BTreeSet;

use foldhash::HashMap;
use schemars::JsonSchema;
use serde::Serialize;

use crate::kernel::Op;
use crate::plan::Extra;
use crate::plan::policy;
use crate::plan::target::Part;
use crate::plan::{
    Action, Cause, Change, Counts, Drift, Fate, Interruption, Moved, Plan, Winner, equivalent,
};
use crate::resource::ResourceId;
use crate::resource::owner::{Origin, Owner};

/// The version of the document.
pub const FORMAT: &str = "1.2";

/// A plan.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Document {
    /// The version of this document, `MAJOR.MINOR`.
    format_version: String,
    /// The version of netform.
    tool_version: String,
    /// Always `plan`.
    kind: String,
    /// Whether there is something to apply.
    applyable: bool,
    /// Whether the plan is about all resources.
    complete: bool,
    /// Which resources the plan is about, when not all.
    part: Option<PartDoc>,
    /// The counts.
    summary: Summary,
    /// What happens to each resource, in the order of their addresses.
    changes: Vec<ChangeDoc>,
    /// Every operation, in order; those of a wave have no order between them.
    operations: Vec<OperationDoc>,
    /// What moved since the last apply.
    drift: Vec<DriftDoc>,
    /// What others put on our objects; it is left alone.
    foreign: Vec<ForeignDoc>,
    /// Containers whose namespace is not there yet, and networks whose bridge or parent is not.
    waiting: Vec<String>,
    /// What the user should read before agreeing.
    diagnostics: Vec<DiagnosticDoc>,
}

/// Which resources a plan is about.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartDoc {
    /// What was asked for.
    targets: Vec<String>,
    /// What was to be left alone.
    excludes: Vec<String>,
    /// All that the plan is about.
    chosen: Vec<String>,
    /// All that it leaves as it is.
    left_out: Vec<String>,
}

/// The counts. A replacement is one `add` and one `destroy`, too.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summary {
    add: usize,
    change: usize,
    replace: usize,
    destroy: usize,
    unchanged: usize,
    drifted: usize,
    ignored_drift: usize,
    foreign: usize,
    operations: usize,
}

/// A place in the manifest.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Source {
    file: String,
    line: u32,
    column: u32,
}

/// What happens to one resource.
#[derive(Debug, Serialize, JsonSchema)]
struct ChangeDoc {
    /// The resource's address, e.g. `attachment.web@front`.
    address: String,
    action: Action,
    cause: Vec<Cause>,
    /// Why it is replaced.
    reason: Option<String>,
    /// What a policy that comes or goes opens or closes, in words.
    effect: Option<String>,
    /// Whether `prevent_destroy` is set.
    protected: bool,
    source: Option<Source>,
    /// The attachments that lose packets, the container whose processes lose their network, or what connections go by that end.
    interrupts: Vec<InterruptDoc>,
    fields: Vec<FieldDoc>,
    objects: Vec<ObjectDoc>,
    /// The numbers of its operations.
    operations: Vec<usize>,
}

/// An attachment that loses packets, or a container whose processes lose their network.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InterruptDoc {
    address: String,
    why: String,
    /// The other project whose it is, on a bridge of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
}

/// A field with its three values.
#[derive(Debug, Serialize, JsonSchema)]
struct FieldDoc {
    path: String,
    object: String,
    last_applied: Option<String>,
    live: Option<String>,
    desired: Option<String>,
    cause: Cause,
    source: Option<Source>,
}

/// A kernel object.
#[derive(Debug, Serialize, JsonSchema)]
struct ObjectDoc {
    object: String,
    /// `create`, `update`, `replace`, `destroy`, `goes_with` or `restored`.
    fate: String,
    /// The object that takes it along.
    with: Option<String>,
}

/// One operation.
#[derive(Debug, Serialize, JsonSchema)]
struct OperationDoc {
    seq: usize,
    /// The wave, from 0.
    wave: usize,
    /// `create`, `update` or `delete`.
    op: String,
    object: String,
    /// The resource that it belongs to.
    address: String,
    /// Commands that do the same.
    equivalent: Vec<String>,
}

/// What moved since the last apply.
#[derive(Debug, Serialize, JsonSchema)]
struct DriftDoc {
    address: String,
    object: String,
    /// `changed` or `deleted`.
    #[serde(rename = "type")]
    kind: String,
    /// The field, when one changed.
    path: Option<String>,
    last_applied: Option<String>,
    live: Option<String>,
    /// Who wins.
    resolution: Winner,
}

/// Something of others.
#[derive(Debug, Serialize, JsonSchema)]
struct ForeignDoc {
    address: String,
    what: String,
    owner: Option<String>,
    /// Whether it goes along with what it stands on; it is left alone otherwise.
    goes: bool,
}

/// Something to read.
#[derive(Debug, Serialize, JsonSchema)]
struct DiagnosticDoc {
    /// Always `warning`.
    severity: String,
    summary: String,
}

/// Returns a plan as JSON with sorted keys: equal plans give equal bytes.
///
/// # Errors
///
/// Never in practice: every key is a text.
pub fn json(plan: &Plan) -> serde_json::Result<String> {
    // A value's map sorts its keys.
    let mut text = serde_json::to_string_pretty(&serde_json::to_value(document(plan))?)?;
    text.push('\n');
    Ok(text)
}

/// Returns a plan as the document.
pub fn document(plan: &Plan) -> Document {
    let ops = plan.waves.iter().enumerate().flat_map(|(wave, ops)| ops.iter().map(move |op| (wave, op)));
    let ops: Vec<(usize, usize, &Op)> = ops.enumerate().map(|(seq, (wave, op))| (seq, wave, op)).collect();
    let mut by_object = HashMap::<ResourceId, Vec<usize>>::default();
    for (seq, _, op) in &ops {
        by_object.entry(op.id()).or_default().push(*seq);
    }
    Document {
        format_version: FORMAT.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        kind: "plan".to_owned(),
        applyable: !plan.is_empty(),
        complete: plan.extra.part.is_none(),
        part: plan.extra.part.as_ref().map(part),
        summary: summary(plan),
        changes: plan.changes.iter().map(|change| change_doc(change, &plan.extra, &by_object)).collect(),
        operations: ops.into_iter().map(|(seq, wave, op)| operation(seq, wave, op)).collect(),
        drift: plan.drift.iter().map(drift).collect(),
        foreign: plan
            .foreign
            .iter()
            .map(|note| ForeignDoc {
                address: note.owner.to_string(),
                what: note.what.clone(),
                owner: note.by.clone(),
                goes: note.goes,
            })
            .collect(),
        waiting: waiting(&plan.extra),
        diagnostics: plan
            .extra
            .warnings
            .iter()
            .map(|warning| DiagnosticDoc { severity: "warning".to_owned(), summary: warning.clone() })
            .collect(),
    }
}

/// Returns the addresses of what waits for something.
fn waiting(extra: &Extra) -> Vec<String> {
    let containers = extra.waiting.iter().map(|(name, _)| format!("container.{name}"));
    let networks = extra.idle.iter().filter(|owner| matches!(owner, Owner::Network(_)));
    containers.chain(networks.map(ToString::to_string)).collect()
}

pub(super) fn summary(plan: &Plan) -> Summary {
    let Counts { add, change, destroy, replace } = plan.counts();
    Summary {
        add,
        change,
        replace,
        destroy,
        unchanged: plan.unchanged,
        drifted: plan.drift.len(),
        ignored_drift: plan.drift.iter().filter(|drift| drift.winner == Winner::Ignored).count(),
        foreign: plan.foreign.len(),
        operations: plan.len(),
    }
}

/// Returns the schema of the document, as `schemas/plan.v1.json` holds it.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Document)
}

pub(super) fn part(part: &Part) -> PartDoc {
    let Part { targets, excludes, chosen, left_out } = part;
    let list = |owners: &BTreeSet<Owner>| owners.iter().map(ToString::to_string).collect();
    PartDoc {
        targets: list(targets),
        excludes: list(excludes),
        chosen: list(chosen),
        left_out: list(left_out),
    }
}

/// Returns a place in the manifest for machines.
pub fn source(origin: Option<&Origin>) -> Option<Source> {
    origin.map(|Origin { file, line, column }| Source {
        file: file.to_string(),
        line: *line,
        column: *column,
    })
}

fn change_doc(change: &Change, extra: &Extra, by_object: &HashMap<ResourceId, Vec<usize>>) -> ChangeDoc {
    let Change { owner, action, causes, origin, reason, protected, interrupts, fields, objects } = change;
    let object = |object: &crate::plan::Object| {
        let (fate, with) = match &object.fate {
            Fate::Create => ("create", None),
            Fate::Update => ("update", None),
            Fate::Replace => ("replace", None),
            Fate::Destroy => ("destroy", None),
            Fate::GoesWith(other) => ("goes_with", Some(other)),
            Fate::Restored(other) => ("restored", Some(other)),
        };
        ObjectDoc {
            object: object.id.to_string(),
            fate: fate.to_owned(),
            with: with.map(ToString::to_string),
        }
    };
    let field = |field: &crate::plan::Field| FieldDoc {
        path: format!("/{}", field.name.replace('~', "~0").replace('/', "~1")),
        object: field.object.to_string(),
        last_applied: field.last_applied.clone(),
        live: field.live.clone(),
        desired: field.desired.clone(),
        cause: field.cause,
        source: source(field.origin.as_ref()),
    };
    let mut operations: Vec<usize> =
        objects.iter().filter_map(|object| by_object.get(&object.id)).flatten().copied().collect();
    operations.sort_unstable();
    ChangeDoc {
        address: owner.to_string(),
        action: *action,
        cause: causes.iter().copied().collect(),
        reason: reason.clone(),
        effect: policy::effect(change, extra),
        protected: *protected,
        source: source(origin.as_ref()),
        interrupts: self::interrupts(interrupts),
        fields: fields.iter().map(field).collect(),
        objects: objects.iter().map(object).collect(),
        operations,
    }
}

pub(super) fn interrupts(interrupts: &[Interruption]) -> Vec<InterruptDoc> {
    let doc = |cost: &Interruption| {
        let Interruption { attachment, why, project } = cost;
        let project = project.as_ref().map(ToString::to_string);
        InterruptDoc { address: attachment.to_string(), why: why.clone(), project }
    };
    interrupts.iter().map(doc).collect()
}

fn operation(seq: usize, wave: usize, op: &Op) -> OperationDoc {
    let (word, entry) = match op {
        Op::Create(entry) => ("create", entry),
        Op::Update { from: _, to } => ("update", to),
        Op::Delete(entry) => ("delete", entry),
    };
    let (object, address) = (op.id().to_string(), entry.owner.to_string());
    OperationDoc { seq, wave, op: word.to_owned(), object, address, equivalent: equivalent(op) }
}

fn drift(drift: &Drift) -> DriftDoc {
    let Drift { owner, object, moved, winner } = drift;
    let (kind, path, last_applied, live) = match moved {
        Moved::Deleted => ("deleted", None, None, None),
        Moved::Changed { field, last_applied, live } => {
            ("changed", Some(format!("/{field}")), last_applied.clone(), live.clone())
        }
    };
    DriftDoc {
        address: owner.to_string(),
        object: object.to_string(),
        kind: kind.to_owned(),
        path,
        last_applied,
        live,
        resolution: *winner,
    }
}
