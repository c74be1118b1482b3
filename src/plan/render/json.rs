//! A plan for machines. Fields are only ever added within a major version; unknown ones are to be passed over.

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::{Action, Cause, Change, Drift, Field, Moved, Plan, Winner, equivalent};

/// The version of the document.
const FORMAT_VERSION: &str = "1.0";

/// A plan.
#[derive(Debug, Serialize, JsonSchema)]
struct Document {
    /// The document's version: the first number changes when a reader has to.
    format_version: &'static str,
    /// Always `plan`.
    kind: &'static str,
    /// How many resources change.
    summary: Summary,
    /// What happens to each resource, in the order of their addresses.
    changes: Vec<ChangeDoc>,
    /// What moved since the last apply.
    drift: Vec<DriftDoc>,
    /// What others put on objects of ours; left alone.
    foreign: Vec<ForeignDoc>,
    /// Containers whose namespace is not there yet.
    waiting: Vec<String>,
    /// What to read before agreeing.
    warnings: Vec<String>,
    /// The kernel operations in waves, each as the ip, sysctl and nft commands that do the same.
    operations: Vec<Vec<String>>,
}

/// How many resources change.
#[derive(Debug, Serialize, JsonSchema)]
struct Summary {
    /// Created, replacements included.
    add: usize,
    /// Updated in place.
    change: usize,
    /// Destroyed, replacements included.
    destroy: usize,
    /// Replaced.
    replace: usize,
    /// Left as they are.
    unchanged: usize,
    /// Fields and objects that drifted.
    drifted: usize,
    /// Objects of others on ours.
    foreign: usize,
}

/// What happens to one resource.
#[derive(Debug, Serialize, JsonSchema)]
struct ChangeDoc {
    /// The resource, e.g. `network.front`.
    address: String,
    /// What is done.
    action: Action,
    /// Why.
    causes: Vec<Cause>,
    /// Where the manifest declares it.
    source: Option<SourceDoc>,
    /// Why it is replaced and not updated.
    reason: Option<String>,
    /// Whether `prevent_destroy` is set.
    protected: bool,
    /// Attachments that lose packets.
    interrupts: Vec<InterruptionDoc>,
    /// Fields that differ.
    fields: Vec<FieldDoc>,
    /// The kernel objects under it.
    objects: Vec<String>,
}

/// An attachment that loses packets.
#[derive(Debug, Serialize, JsonSchema)]
struct InterruptionDoc {
    /// The attachment.
    address: String,
    /// Why.
    why: String,
}

/// A place in the manifest.
#[derive(Debug, Serialize, JsonSchema)]
struct SourceDoc {
    /// The file.
    file: String,
    /// The line, from 1.
    line: u32,
    /// The column, from 1.
    column: u32,
}

/// A field with its three values.
#[derive(Debug, Serialize, JsonSchema)]
struct FieldDoc {
    /// Its name.
    name: String,
    /// The kernel object that has it.
    object: String,
    /// What the last apply left.
    last_applied: Option<String>,
    /// What is there now.
    live: Option<String>,
    /// What shall be there.
    desired: Option<String>,
    /// Why it changes.
    cause: Cause,
}

/// Something that moved since the last apply.
#[derive(Debug, Serialize, JsonSchema)]
struct DriftDoc {
    /// The resource.
    address: String,
    /// The kernel object.
    object: String,
    /// `changed` or `deleted`.
    kind: &'static str,
    /// The field that changed.
    field: Option<String>,
    /// What the last apply left.
    last_applied: Option<String>,
    /// What is there now.
    live: Option<String>,
    /// Who wins.
    resolution: Winner,
}

/// Something of others.
#[derive(Debug, Serialize, JsonSchema)]
struct ForeignDoc {
    /// The resource that it stands on.
    address: String,
    /// What it is.
    what: String,
    /// Whose it is, as far as can be told.
    owner: Option<String>,
}

/// Returns a plan as a versioned JSON document, described by `schemas/plan.v1.json`.
///
/// # Errors
///
/// None that can be brought about: all of it is text and numbers.
pub fn json(plan: &Plan) -> serde_json::Result<String> {
    let counts = plan.counts();
    let document = Document {
        format_version: FORMAT_VERSION,
        kind: "plan",
        summary: Summary {
            add: counts.add,
            change: counts.change,
            destroy: counts.destroy,
            replace: counts.replace,
            unchanged: plan.unchanged,
            drifted: plan.drift.len(),
            foreign: plan.foreign.len(),
        },
        changes: plan.changes.iter().map(change).collect(),
        drift: plan.drift.iter().map(drift).collect(),
        foreign: plan.foreign.iter().map(foreign).collect(),
        waiting: plan.extra.waiting.iter().map(|(container, _)| container.to_string()).collect(),
        warnings: plan.extra.warnings.clone(),
        operations: plan.waves.iter().map(|wave| wave.iter().flat_map(equivalent).collect()).collect(),
    };
    serde_json::to_string_pretty(&document)
}

/// Returns the JSON Schema of what [`json`] returns.
pub fn schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft07();
    settings.into_generator().into_root_schema_for::<Document>().to_value()
}

fn change(change: &Change) -> ChangeDoc {
    let Change { owner, action, causes, origin, reason, protected, interrupts, fields, objects } = change;
    ChangeDoc {
        address: owner.to_string(),
        action: *action,
        causes: causes.iter().copied().collect(),
        source: origin.as_ref().map(|origin| SourceDoc {
            file: origin.file.to_string(),
            line: origin.line,
            column: origin.column,
        }),
        reason: reason.clone(),
        protected: *protected,
        interrupts: interrupts
            .iter()
            .map(|it| InterruptionDoc { address: it.attachment.to_string(), why: it.why.clone() })
            .collect(),
        fields: fields.iter().map(field).collect(),
        objects: objects.iter().map(|object| object.id.to_string()).collect(),
    }
}

fn field(field: &Field) -> FieldDoc {
    let Field { name, object, last_applied, live, desired, cause, origin: _ } = field;
    FieldDoc {
        name: name.clone(),
        object: object.to_string(),
        last_applied: last_applied.clone(),
        live: live.clone(),
        desired: desired.clone(),
        cause: *cause,
    }
}

fn drift(drift: &Drift) -> DriftDoc {
    let Drift { owner, object, moved, winner } = drift;
    let (kind, field, last_applied, live) = match moved {
        Moved::Changed { field, last_applied, live } => {
            ("changed", Some(field.clone()), last_applied.clone(), live.clone())
        }
        Moved::Deleted => ("deleted", None, None, None),
    };
    DriftDoc {
        address: owner.to_string(),
        object: object.to_string(),
        kind,
        field,
        last_applied,
        live,
        resolution: *winner,
    }
}

fn foreign(note: &crate::plan::ForeignNote) -> ForeignDoc {
    ForeignDoc { address: note.owner.to_string(), what: note.what.clone(), owner: note.by.clone() }
}
