//! A plan, and what it was made from.

use crate::kernel::Scope;
use crate::plan::Plan;
use crate::resource::state::{Desired, Observed, State};
use crate::topology::Topology;
use crate::topology::facts::Leases;

/// A plan, with what it was made from.
pub(super) struct Prepared {
    /// `None` when the aim is nothing.
    pub(super) topology: Option<Topology>,
    pub(super) desired: Desired,
    pub(super) scope: Scope,
    pub(super) observed: Observed,
    pub(super) applied: State,
    /// What the generation shall say it led to, when that is not all that is desired.
    pub(super) kept: Option<State>,
    pub(super) leases: Leases,
    /// The text that the generation shall keep.
    pub(super) manifest: String,
    pub(super) plan: Plan,
}

impl Prepared {
    /// Returns what the generation shall say it led to.
    pub(super) fn target(&self) -> &State {
        self.kept.as_ref().unwrap_or(&self.desired.0)
    }
}

/// Where a plan shall lead.
#[derive(Default)]
pub(super) struct Target {
    pub(super) topology: Option<Topology>,
    pub(super) desired: Desired,
    pub(super) leases: Leases,
    pub(super) manifest: String,
    /// What the user should know of it.
    pub(super) warnings: Vec<String>,
}
