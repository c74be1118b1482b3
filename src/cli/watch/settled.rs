//! Runs that need no plan for everything: nothing moved since the last one, or little did and is set back.

use std::ops::ControlFlow;

use super::{Keeper, homes};
use crate::apply::{self, Job, OnFailure, Progress};
use crate::cli::failure::{self, Failure};
use crate::cli::session::Aim;
use crate::cli::{report, run};
use crate::kernel::Scope;
use crate::plan::stray::Doubts;
use crate::plan::{Extra, Plan, plan};
use crate::resource::state::{Desired, State};
use crate::watch::{Leave, Order, Reconciled};

/// A run that left nothing to do.
pub(super) struct Settled {
    scope: Scope,
    /// Where the run led, and what it was not to touch.
    aim: Aim,
    leave: Leave,
    /// What a run comes to that finds the same.
    reconciled: Reconciled,
}

impl Settled {
    pub(super) fn new(scope: Scope, aim: Aim, leave: &Leave, reconciled: &Reconciled) -> Self {
        let left = |drift: &&crate::plan::Drift| reconciled.left.contains(&drift.spot());
        let drift = reconciled.drift.iter().filter(left).cloned().collect();
        let reconciled = Reconciled { drift, ..reconciled.clone() };
        Self { scope, aim, leave: leave.clone(), reconciled }
    }

    /// Tells whether all that is asked for is there, and nothing is left alone.
    fn is_whole(&self) -> bool {
        let Reconciled { left, held, .. } = &self.reconciled;
        left.is_empty() && held.is_none() && self.leave == Leave::Spots([].into())
    }
}

impl Keeper {
    /// Returns what a run comes to that needs no plan for everything.
    pub(super) async fn briefly(&mut self, aim: Aim, order: &Order) -> Result<Option<Reconciled>, Failure> {
        let Some(settled) = self.settled.take().filter(|it| it.aim == aim && it.leave == order.leave) else {
            return Ok(None);
        };
        self.session.kernel.catch_up(&settled.scope).await.map_err(failure::unreadable)?;
        let Some(slice) = self.session.kernel.slice(&settled.scope) else { return Ok(None) };
        let mut reconciled = settled.reconciled.clone();
        if !slice.is_empty() {
            let Some(generation) = self.session.past.generation.as_ref().filter(|_| settled.is_whole())
            else {
                return Ok(None);
            };
            if !slice.is_of(&generation.state, &settled.scope.namespaces) {
                return Ok(None);
            }
            let part = Desired(slice.of(&generation.state));
            // What bears another mark than that of its own is judged by all that there is.
            let doubts = Doubts::of(&part.0, &slice.observed, &settled.scope.begun, &self.session.project);
            if !doubts.is_empty() {
                return Ok(None);
            }
            let Ok(plan) = plan(&part, &slice.observed, &part.0, Extra::default()) else { return Ok(None) };
            if !plan.is_local() {
                return Ok(None);
            }
            self.session.kernel.looked_through();
            if !plan.is_empty() {
                let state = generation.state.clone();
                self.set_back(&settled.scope, &plan, state).await?;
                reconciled.homes = homes::of(&plan.drift, &part.0);
                (reconciled.changed, reconciled.drift) = (plan.changes.len(), plan.drift);
            }
        }
        self.settled = Some(settled);
        Ok(Some(self.resolver.serve(None).await.told_of(reconciled)))
    }

    /// Carries out a plan that sets back what moved of a state.
    async fn set_back(&mut self, scope: &Scope, plan: &Plan, state: State) -> Result<(), Failure> {
        let newest = self.session.newest();
        let Some(generation) = &self.session.past.generation else { return Ok(()) };
        let (desired, on_failure) = (Desired(state), OnFailure::Stop);
        let (applied, dirs) = (&generation.state, &self.session.dirs);
        let job = Job { scope, desired: &desired, applied, plan, dirs, generation, before: None, on_failure };
        let mut watcher = |_: Progress<'_>| ControlFlow::Continue(());
        let outcome = apply::repair(&mut self.session.kernel, &job, &mut watcher).await;
        let context = report::Context { desired: &desired.0, on_failure, newest };
        run::judged(outcome, context, &self.session.voice)?;
        self.session.saved(None);
        Ok(())
    }
}
