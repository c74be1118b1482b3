//! Laws of plans for a part of the resources.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use netform::apply::generation::Generation;
use netform::apply::{Job, OnFailure, Outcome, run};
use netform::kernel::Kernel;
use netform::plan::target::{Narrowed, Part, SelectError, Selection, choose, narrow};
use netform::plan::{Extra, plan};
use netform::resource::state::{Desired, State};
use netform::resource::{Resource, ResourceId};
use proptest::prelude::*;
use proptest::sample::Index;

use super::world::world;
use super::{Host, block_on, is_applied};

impl Host {
    /// Applies a part, and returns which it was.
    async fn apply_part(
        &mut self,
        desired: &Desired,
        ask: &Selection,
    ) -> Result<(Part, Outcome), SelectError> {
        let observed = self.kernel.observe(&self.scope).await.unwrap();
        let (applied, dirs) = (self.applied(), self.dirs());
        let part = choose(ask, desired, &observed, &applied, &Extra::default())
            .map_err(|mut errors| errors.remove(0))?;
        let Narrowed { desired, applied, kept } = narrow(&part, desired, &observed, &applied);
        let plan = plan(&desired, &observed, &applied, Extra::default()).unwrap();
        let number = dirs.numbers().unwrap().last().copied().unwrap_or_default() + 1;
        let generation = Generation::new(number, number, String::new(), kept, Default::default());
        let job = Job {
            scope: &self.scope,
            desired: &desired,
            applied: &applied,
            plan: &plan,
            dirs: &dirs,
            generation: &generation,
            before: None,
            on_failure: OnFailure::RollBack,
        };
        Ok((part, run(&mut self.kernel, &job, &mut |_| ControlFlow::Continue(())).await))
    }
}

/// Returns what is there of the resources that a part leaves out.
fn left_out(
    holds: &BTreeMap<ResourceId, Resource>,
    part: &Part,
    states: [&State; 2],
) -> BTreeMap<ResourceId, Resource> {
    let owner = |id: &ResourceId| states.iter().find_map(|state| state.get(id)).map(|entry| &entry.owner);
    let left = |id: &ResourceId| owner(id).is_none_or(|owner| part.left_out.contains(owner));
    holds.iter().filter(|(id, _)| left(id)).map(|(id, resource)| (id.clone(), resource.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_part_changes_nothing_else_and_the_next_plan_leads_where_it_should(
        a in world(), b in world(), which: Index, exclude: bool,
    ) {
        block_on(async {
            let mut host = Host::new(&[&a, &b]);
            is_applied(host.apply(&a.desired()).await);
            let (old, new) = (a.desired().0, b.desired());
            let owners: Vec<String> =
                old.iter().chain(new.0.iter()).map(|(_, entry)| entry.owner.to_string()).collect();
            if owners.is_empty() {
                return Ok(());
            }
            let address = which.get(&owners).clone();
            let ask = match exclude {
                true => Selection { targets: vec![], excludes: vec![address] },
                false => Selection { targets: vec![address], excludes: vec![] },
            };

            let before = host.holds().await;
            match host.apply_part(&new, &ask).await {
                Ok((part, outcome)) => {
                    prop_assert!(matches!(outcome, Outcome::Applied { .. } | Outcome::NothingToDo), "{outcome:#?}");
                    let after = host.holds().await;
                    let states = [&new.0, &old];
                    prop_assert_eq!(left_out(&after, &part, states), left_out(&before, &part, states));
                    match host.apply_part(&new, &ask).await {
                        Ok((_, again)) => prop_assert!(matches!(again, Outcome::NothingToDo), "{again:#?}"),
                        // It is gone, as it should be.
                        Err(error) => prop_assert!(matches!(error, SelectError::Unknown { .. }), "{error}"),
                    }
                }
                Err(error) => {
                    prop_assert!(!exclude, "what is left out is no reason to refuse: {error}");
                    prop_assert_eq!(host.holds().await, before);
                }
            }

            is_applied(host.apply(&new).await);
            let mut fresh = Host::new(&[&a, &b]);
            is_applied(fresh.apply(&new).await);
            prop_assert_eq!(host.objects().await, fresh.objects().await, "a part and then all equals all");
            Ok(())
        })?;
    }
}
