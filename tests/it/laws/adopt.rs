//! What is nobody's becomes ours and nobody's again, by the same engine: done, or undone.

use netform::apply::{Outcome, Settled};
use netform::resource::Resource;
use netform::resource::owner::Owner;
use netform::resource::state::{Desired, State};
use proptest::prelude::*;
use proptest::sample::Index;

use super::world::{World, world};
use super::{Host, block_on, is_applied};

/// Returns what of a world bears marks, with them and as if somebody had made it by hand.
fn with_and_without_marks(world: &World) -> (State, State) {
    let desired = world.desired();
    let bears = |resource: &Resource| match resource {
        Resource::Netns(_) | Resource::Link(_) | Resource::Address(_) | Resource::Route(_) => true,
        Resource::Sysctl(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Passage(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => false,
    };
    let marked: State =
        desired.0.iter().map(|(_, entry)| entry.clone()).filter(|it| bears(&it.resource)).collect();
    let plain = marked.iter().map(|(_, entry)| {
        let mut entry = entry.clone();
        entry.owner = Owner::Unmarked("by hand".into());
        if let Resource::Link(link) = &mut entry.resource {
            link.altname = None;
        }
        entry
    });
    let plain = plain.collect();
    (marked, plain)
}

/// A host with things of nobody, that are to be adopted.
async fn host(world: &World) -> (Host, Desired, State) {
    let mut host = Host::new(&[]);
    let (marked, plain) = with_and_without_marks(world);
    host.kernel.own = plain.clone();
    host.scope.unmarked = plain.iter().map(|(id, _)| id.clone()).collect();
    let before = host.kernel.own.clone();
    (host, Desired(marked), before)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_adopted_and_given_up_is_as_it_was(a in world()) {
        block_on(async {
            let (mut host, marked, before) = host(&a).await;

            is_applied(host.apply(&marked).await);
            prop_assert!(host.kernel.own.iter().all(|(_, entry)| !entry.owner.is_unmarked()));
            is_applied(host.apply(&Desired(before.clone())).await);

            prop_assert_eq!(&host.kernel.own, &before);
            let only_marks = |op: &netform::kernel::Op| matches!(op, netform::kernel::Op::Update { .. });
            prop_assert!(host.kernel.log.iter().all(only_marks), "nothing is made or removed");
            Ok(())
        })?;
    }

    #[test]
    fn an_adoption_that_fails_or_is_killed_leaves_nothing_half_adopted(a in world(), which: Index, dies: bool) {
        block_on(async {
            let (mut host, marked, before) = host(&a).await;
            let operations = host.plan(&marked).await.len();
            prop_assume!(operations > 0);
            let which = which.index(operations);
            if dies { host.kernel.dies_at = Some(which) } else { host.kernel.fails_at = vec![which] }

            let outcome = host.apply(&marked).await;
            // A process that starts anew knows nothing of what the last one looked at.
            host.scope.unmarked.clear();
            match outcome {
                Some(Outcome::RolledBack(_) | Outcome::Unchanged(_)) => {}
                None => {
                    let settled = host.recover().await;
                    prop_assert!(matches!(settled, Some(Settled::Undone { .. })), "{settled:?}");
                }
                other => prop_assert!(false, "{other:?}"),
            }

            prop_assert_eq!(&host.kernel.own, &before);
            Ok(())
        })?;
    }
}
