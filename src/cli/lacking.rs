//! What the kernel, or Open vSwitch, lacks of what a plan needs, told before anything is done.

use std::collections::BTreeMap;

use super::failure::{Code, Failure, code_of, help_for};
use crate::kernel::probe::{self, Part};
use crate::kernel::{Op, ovsdb};
use crate::plan::Plan;
use crate::resource::state::Entry;

/// Has a plan that is only shown say what [`check`] would refuse.
pub(super) async fn warn(plan: &mut Plan) {
    if let Err(Failure { message, .. }) = check(plan).await {
        let message = message.strip_suffix("; nothing was changed").unwrap_or(&message);
        plan.extra.warnings.push(format!("{message}: an apply is refused"));
    }
}

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
    check_vlans(plan).await?;
    ovsdb::check(plan.waves.iter().flatten()).await.map_err(|error| {
        let failure = Failure::of(code_of(error.kind), &error);
        Failure { help: help_for(error.kind).map(str::to_owned), ..failure }
    })
}

/// Refuses a plan that has bridges keep VLANs apart, where the kernel's keep none.
async fn check_vlans(plan: &Plan) -> Result<(), Failure> {
    let filters = |entry: &Entry| entry.resource.link().is_some_and(|link| link.filtering.is_some());
    let first = plan.waves.iter().flatten().find_map(|op| match op {
        Op::Create(entry) => filters(entry).then_some(entry),
        Op::Update { from, to } => (filters(to) && !filters(from)).then_some(to),
        Op::Delete(_) => None,
    });
    let Some(Entry { owner, origin, .. }) = first else { return Ok(()) };
    if probe::filters_vlans().await {
        return Ok(());
    }
    let place = origin.as_ref().map_or_else(String::new, |origin| format!("{origin}: "));
    Err(Failure::new(
        Code::Missing,
        format!(
            "{place}{owner}: containers of it are to be in VLANs, and bridges of this kernel keep none apart; nothing was \
             changed"
        ),
    )
    .help("that takes a kernel with CONFIG_BRIDGE_VLAN_FILTERING; `driver: openvswitch` does it without"))
}
