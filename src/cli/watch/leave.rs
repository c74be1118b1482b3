//! What a run of the daemon leaves alone.

use std::collections::BTreeSet;

use crate::cli::failure::{Failure, in_the_way};
use crate::cli::session::Prepared;
use crate::plan::{self, Drift, Plan, Spot, Winner};
use crate::resource::state::Desired;
use crate::watch::Leave;

/// Returns what must not be touched.
pub(super) fn spots(prepared: &Prepared, leave: &Leave) -> BTreeSet<Spot> {
    match leave {
        Leave::Spots(spots) => spots.clone(),
        // Nothing is planned then.
        Leave::Everything => BTreeSet::new(),
        Leave::AllDrift => {
            let ours = prepared.plan.drift.iter().filter(|drift| drift.winner == Winner::Manifest);
            ours.map(Drift::spot).collect()
        }
    }
}

/// Has a plan leave alone what it must not touch; returns what is desired then.
pub(super) fn leave(prepared: &mut Prepared, spots: &BTreeSet<Spot>) -> Result<Desired, Failure> {
    if spots.is_empty() {
        return Ok(prepared.desired.clone());
    }
    let desired = plan::leaving(&prepared.desired, &prepared.observed, spots);
    let extra = prepared.plan.extra.clone();
    let plan: Plan = plan::plan(&desired, &prepared.observed, &prepared.applied, extra)
        .map_err(|conflicts| in_the_way(&conflicts))?;
    prepared.plan = plan;
    Ok(desired)
}
