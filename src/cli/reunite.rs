//! Going back to where a container had a namespace in which processes still are.

use super::failure::Failure;
use super::session::{Aim, Prepared, Session};
use crate::kernel::{Kernel as _, Op};
use crate::plan::target::Selection;

/// Gives namespaces that a plan makes their names back where they live on without, and plans anew: others may have left
/// something in there. `None` when there is none, so that the plan holds.
pub(super) async fn reunited(
    session: &mut Session,
    prepared: &Prepared,
    aim: Aim,
    selection: &Selection,
) -> Result<Option<Prepared>, Failure> {
    let made = prepared.plan.waves.iter().flatten().filter_map(|op| match op {
        Op::Create(entry) => Some((entry.resource.id().netns()?.clone(), entry.owner.clone())),
        Op::Update { .. } | Op::Delete(_) => None,
    });
    let made: Vec<_> = made.collect();
    if made.is_empty() || !session.kernel.revive(&made).await {
        return Ok(None);
    }
    session.prepare_part(aim, selection).await.map(Some)
}
