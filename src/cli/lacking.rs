//! What the kernel, or Open vSwitch, lacks of what a plan needs, told before anything is done.

use std::collections::BTreeMap;

use super::failure::{Code, Failure, code_of, help_for};
use crate::kernel::probe::{self, Part};
use crate::kernel::{Op, ovsdb};
use crate::plan::Plan;
use crate::resource::state::Entry;

/// Refuses a plan that makes what the kernel makes none of.
pub(super) async fn check(plan: &Plan) -> Result<(), Failure> {
    let made = plan.waves.iter().flatten().filter_map(|op| match op {
        Op::Create(entry) => Some((Part::of(&entry.resource)?, entry)),
        Op::Update { .. } | Op::Delete(_) => None,
    });
    let mut first = BTreeMap::<Part, &Entry>::new();
    for (kind, entry) in made {
        first.entry(kind).or_insert(entry);
    }
    for (part, Entry { owner, origin, .. }) in first {
        if probe::has(part).await {
            continue;
        }
        let (what, module) = part.words();
        let place = origin.as_ref().map_or_else(String::new, |origin| format!("{origin}: "));
        return Err(Failure::new(
            Code::Missing,
            format!("{place}{owner}: this kernel makes no {what}; nothing was changed"),
        )
        .help(format!("`modprobe {module}` loads what makes them, where the kernel has it")));
    }
    ovsdb::check(plan.waves.iter().flatten()).await.map_err(|error| {
        let failure = Failure::of(code_of(error.kind), &error);
        Failure { help: help_for(error.kind).map(str::to_owned), ..failure }
    })
}
