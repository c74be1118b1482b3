//! A run was killed: what it began is finished or undone before anything else is done.

use std::path::PathBuf;

use thiserror::Error;

use super::disk::Staged;
use super::generation::Generation;
use super::undo::{self, Undone};
use super::{Dirs, DiskError, Left, Watcher, again, journal};
use crate::kernel::{Kernel, ObserveError, Op, Scope, Stray, file};
use crate::plan::{Touched, stray};
use crate::resource::ResourceId;
use crate::resource::netns::NsRef;
use crate::resource::state::{Entry, Observed};

/// What was found and done.
#[derive(Debug)]
pub struct Recovery {
    /// When the run began that was killed, in seconds since 1970.
    pub began_at: u64,
    /// How many objects it was about to change.
    pub objects: usize,
    /// What came of it.
    pub settled: Settled,
}

/// What came of a run that was killed.
#[derive(Debug)]
pub enum Settled {
    /// It had done everything; its generation is saved.
    Finished {
        /// The generation's number.
        generation: u64,
    },
    /// It had done everything, and what it led to was lost with its files; the next plan goes on from what is there.
    Lost,
    /// It was undone.
    Undone {
        /// How many operations that took.
        operations: usize,
    },
    /// It could not be undone; the next plan goes on from what is there.
    Stranded {
        /// What is not as it was before that run.
        left: Vec<Left>,
    },
    /// What it was about to change cannot be told; the next plan goes on from what is there.
    Untold {
        /// Where the damaged journal is kept.
        journal: PathBuf,
    },
}

/// Why nothing can be done before somebody looks.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// The journal cannot be used.
    #[error("a run was killed, and what it began cannot be told")]
    Journal(#[source] DiskError),
    /// What it came to cannot be written down, by this run or by the one that did it.
    #[error("a run is over, and what it changed cannot be written down")]
    Unwritten(#[source] DiskError),
    /// The kernel cannot be read.
    #[error("a run was killed, and what it left cannot be seen")]
    Kernel(#[source] ObserveError),
}

/// Finishes or undoes a run that was killed; `None` when there is none. It may be killed and called again.
///
/// The caller holds the lock.
///
/// # Errors
///
/// When journal or kernel cannot be read, or the end cannot be written down.
pub async fn recover<K: Kernel>(
    kernel: &mut K,
    dirs: &Dirs,
    scope: &Scope,
    watcher: &mut Watcher<'_>,
) -> Result<Option<Recovery>, RecoverError> {
    dirs.sweep();
    dirs.bring_in(&dirs.originals_paths());
    dirs.bring_in(&[dirs.adopted_path()]);
    let journal = match dirs.read_journal() {
        Ok(Some(journal)) => journal,
        // A generation that was prepared before the journal was written belongs to a run that did nothing.
        Ok(None) => return dirs.discard().map(|()| None).map_err(RecoverError::Journal),
        // What is ours is marked in the kernel, too; only what had no mark yet is lost with the journal.
        Err(DiskError::Damaged { .. }) => {
            let journal = dirs.set_journal_aside().map_err(RecoverError::Journal)?;
            return Ok(Some(Recovery { began_at: 0, objects: 0, settled: Settled::Untold { journal } }));
        }
        Err(error) => return Err(RecoverError::Journal(error)),
    };
    let found = |settled| Recovery { began_at: journal.began_at, objects: journal.touched.len(), settled };
    let generation = journal.generation;
    let observed = kernel.observe(&widened(scope, &journal.touched)).await.map_err(RecoverError::Kernel)?;
    // Once committed, whatever differs is drift, and for the next plan to judge.
    let is_over = dirs.is_committed(generation) || journal.is_done;
    let settled = if is_over || is_after(&journal.touched, &observed) {
        wound_up(dirs, generation, &journal.touched).map_err(RecoverError::Unwritten)?
    } else {
        let (mut touched, stays) = (journal.touched.clone(), dirs.used_by_others(&journal.touched));
        // They have taken over what it was, and whoever comes last sets it back.
        touched.retain(|touched| !stays.contains(touched));
        let Undone { done, failed: _, left } = undo::undo(kernel, scope, &touched, watcher).await;
        if left.is_empty() { Settled::Undone { operations: done } } else { Settled::Stranded { left } }
    };
    let gone = journal.touched.iter().filter_map(|Touched { id, before, after }| match id {
        ResourceId::File(path) if before.is_none() || after.is_none() => Some(path),
        ResourceId::File(_)
        | ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..) => None,
    });
    // It may have been killed between the directory and the file.
    gone.for_each(|path| file::tidy(path));
    if again::concerns(&journal.touched) {
        let observed =
            kernel.observe(&widened(scope, &journal.touched)).await.map_err(RecoverError::Kernel)?;
        // Where the kernel refuses that, too, nobody is to be kept from going on: all else of the link is as it shall be.
        let _ = kernel.execute(&again::repeated(&journal.touched, &observed)).await;
    }
    kernel.end_flows(&carried_out(&journal.touched, &settled)).await;
    undo::let_go(kernel, dirs, &journal.touched);
    dirs.close_journal().map_err(RecoverError::Unwritten)?;
    if let Settled::Undone { .. } = settled {
        dirs.renounce();
    }
    Ok(Some(found(settled)))
}

/// Saves what a run led to that had done everything. Twice is as good as once.
fn wound_up(dirs: &Dirs, generation: u64, touched: &[Touched]) -> Result<Settled, DiskError> {
    if generation == journal::REPAIR {
        dirs.remember(touched, None)?;
        return Ok(Settled::Finished { generation: dirs.numbers()?.last().copied().unwrap_or_default() });
    }
    // Without its generation it has still changed what is there, and what was there before is in the journal.
    if !dirs.is_committed(generation) && !dirs.is_prepared_whole(generation) {
        dirs.remember(touched, None)?;
        return Ok(Settled::Lost);
    }
    dirs.keep_loss(generation)?;
    dirs.sink(generation)?;
    dirs.commit(generation)?;
    let committed = match dirs.generation(generation) {
        // It is passed over, as any that is damaged.
        Err(DiskError::Damaged { .. }) => None,
        other => other?,
    };
    dirs.remember(touched, committed.as_ref())?;
    let Some(committed) = committed else { return Ok(Settled::Lost) };
    dirs.save_leases_of(&committed, None)?;
    Ok(Settled::Finished { generation })
}

/// Returns the operations that led to where everything is now, of which nobody can tell whether flows were ended for them.
fn carried_out(touched: &[Touched], settled: &Settled) -> Vec<Op> {
    let ways = touched.iter().map(|Touched { id: _, before, after }| match settled {
        Settled::Finished { .. } | Settled::Lost => (before, after),
        // What came had been permitted for a while.
        Settled::Undone { .. } => (after, before),
        // Where it is, is for the plan to find.
        Settled::Stranded { .. } | Settled::Untold { .. } => (&None, &None),
    });
    let ops = ways.filter(|(from, to)| from != to).filter_map(|way| match way {
        (Some(from), Some(to)) => Some(Op::Update { from: from.clone(), to: to.clone() }),
        (Some(entry), None) => Some(Op::Delete(entry.clone())),
        (None, Some(entry)) => Some(Op::Create(entry.clone())),
        (None, None) => None,
    });
    ops.collect()
}

/// Makes a generation the newest, once all that it asks for is there; its leases may be written down already. Twice is as good as
/// once.
pub(super) fn finish(
    dirs: &Dirs,
    (generation, leases): (&Generation, Option<Staged>),
    touched: &[Touched],
) -> Result<(), DiskError> {
    dirs.keep_loss(generation.number)?;
    dirs.commit_for_now(generation.number)?;
    // What has a directory of the same disk reach it mostly takes the other along.
    dirs.save_leases_of(generation, leases)?;
    dirs.commit(generation.number)?;
    dirs.remember(touched, Some(generation))
}

/// Tells whether everything is as it shall be after.
pub(super) fn is_after(touched: &[Touched], observed: &Observed) -> bool {
    touched.iter().all(|Touched { id, before: _, after }| {
        let now = observed.own.get(id);
        match after {
            None => now.is_none() || matches!(id, ResourceId::Sysctl(..)),
            Some(entry) => now.is_some_and(|now| crate::plan::is_settled(entry, now)),
        }
    })
}

/// Returns a scope in which everything touched can be seen, what is half-made included.
pub fn widened(scope: &Scope, touched: &[Touched]) -> Scope {
    let mut scope = scope.clone();
    for Touched { id, before, after } in touched {
        if [before, after].into_iter().flatten().any(|entry| entry.owner.is_unmarked()) {
            scope.unmarked.insert(id.clone());
        }
        let strays = [before, after].into_iter().flatten().filter(|entry| entry.resource.is_stray());
        let becomes = after.as_ref().map(|entry| entry.owner.clone());
        let stray = |entry| Stray { bore: stray::mark(entry, &scope.project), becomes: becomes.clone() };
        let strays: Vec<_> = strays.map(|entry| (id.clone(), stray(entry))).collect();
        scope.strays.extend(strays);
        let links = [before, after].into_iter().flatten().filter_map(|entry| entry.resource.link());
        let renamed = links.filter_map(|link| Some((link, link.amiss.name.clone()?)));
        scope
            .renamed
            .extend(renamed.map(|(link, now)| (ResourceId::Link(link.ns.clone(), now), link.name.clone())));
        let peers = [before, after].into_iter().flatten().filter_map(peer);
        for ns in peers.chain([id.ns()]) {
            match ns {
                NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => {
                    scope.namespaces.insert(ns);
                }
                NsRef::Host => {}
            }
        }
        [before, after].into_iter().flatten().for_each(|entry| scope.add(entry));
        scope.begun.insert(id.clone());
    }
    scope
}

/// Returns the namespace that the other end of a pair lives in.
pub(super) fn peer(entry: &Entry) -> Option<NsRef> {
    Some(entry.resource.link()?.kind.peer()?.ns.clone())
}
