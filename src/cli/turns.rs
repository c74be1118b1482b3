//! Runs of others at the same moment: one that has not come to its end, and those of other projects that want what all share.

use std::time::Duration;

use super::failure::{Code, Failure, not_locked};
use super::meeting::{gives, gives_beside_others};
use super::session::{Aim, Prepared, Session};
use super::{run, show};
use crate::apply::lock::{self, Held, Joining, Lock};
use crate::apply::shared;
use crate::kernel::moved::Moved;
use crate::plan::target::Selection;
use crate::plan::{Conflict, Touched};
use crate::resource::ResourceId;
use crate::resource::netns::NsRef;

/// Another project has its turn in less than this.
const PATIENCE: Duration = Duration::from_secs(300);

/// A project's turn at what all projects share of the host: its kernel parameters. Each goes by whether others rely on them, so
/// two that go at the same moment would each leave them to the other. So it is with addresses on links where others are.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Whether a plan is carried out as it is made, and nobody is asked: then it is the project's turn from the plan on.
    pub(super) at_once: bool,
    /// Which turn came next when the plan was made.
    next: Option<u64>,
    /// What is held as long as it lasts.
    held: Locks,
}

impl Turn {
    /// Ends it; returns what was held.
    pub(super) fn end(&mut self) -> Locks {
        std::mem::take(&mut self.held)
    }
}

/// What keeps others from what a run is at, as long as it is held.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// From all that is shared.
    host: Option<Lock>,
    /// From links that it comes to, or from those on which it is alone.
    joins: Option<Lock>,
}

/// What has become of a plan while it waited for its turn.
enum Meanwhile {
    /// It fits.
    Nothing,
    /// Another project had its turn.
    AnotherTurn,
    /// Other projects were given addresses that it gives, in sentences.
    Given(Vec<String>),
}

impl Session {
    /// Says that another run has not come to its end: what is seen now will not stay.
    pub(super) fn tell_of_unfinished(&self) {
        if let Ok(Some(pending)) = self.dirs.read_pending() {
            show::err(&format!(
                "Generation {} waits for its confirmation: `netform confirm` keeps it.\n",
                pending.generation
            ));
        }
        if !self.dirs.has_journal() {
            return;
        }
        let told = match lock::held(&self.dirs) {
            Held::By(holder) => {
                format!("`netform {}`, process {}, is at work right now.", holder.verb, holder.pid)
            }
            Held::ByNobody => {
                "A run was killed before it ended; the next apply or destroy finishes or undoes it first."
                    .to_owned()
            }
            Held::Unseen => "A run is under way, or was killed: only root sees which.".to_owned(),
        };
        show::err(&format!("{told}\n"));
    }

    /// Reads the kernel and plans as far as objects of others let it; returns what of theirs is in the way, too.
    ///
    /// What is carried out at once has its turn from here on, and is planned anew when another project had one meanwhile.
    pub(super) async fn prepare_around(
        &mut self,
        aim: Aim,
        selection: &Selection,
    ) -> Result<(Prepared, Vec<Conflict>), Failure> {
        self.turn.end();
        let next = lock::next_host_turn(&self.dirs);
        self.turn.next = Some(next);
        self.believe_glimpse(|began| began.turn == next);
        let (prepared, conflicts) = self.prepare_surely(aim, selection).await?;
        if !self.turn.at_once {
            return Ok((prepared, conflicts));
        }
        match self.begin_turn(&prepared).await? {
            Meanwhile::Nothing => Ok((prepared, conflicts)),
            Meanwhile::AnotherTurn | Meanwhile::Given(_) => {
                self.kernel.moved(Moved::Everywhere);
                let (prepared, conflicts) = self.prepare_surely(aim, selection).await?;
                self.join_anew(&prepared).await?;
                Ok((prepared, conflicts))
            }
        }
    }

    /// Has the project's turn begin when a plan concerns what all share, unless it has begun; returns what holds it.
    ///
    /// # Errors
    ///
    /// When another project had its turn since the plan was made, or was given an address that this one gives: what it decides
    /// may be past.
    pub(super) async fn claim_turn(&mut self, prepared: &Prepared) -> Result<Locks, Failure> {
        let Locks { host, joins } = &self.turn.held;
        if host.is_some() || joins.is_some() && !self.concerns_all(prepared) {
            return Ok(self.turn.end());
        }
        let meanwhile = self.begin_turn(prepared).await?;
        let locks = self.turn.end();
        match meanwhile {
            Meanwhile::Nothing => Ok(locks),
            Meanwhile::AnotherTurn => {
                let message = "another project has changed meanwhile what all share, the kernel parameters of the host; nothing was \
                               changed";
                Err(Failure::new(Code::Stale, message).help("plan again"))
            }
            Meanwhile::Given(lines) => Err(given_to_others(&lines)),
        }
    }

    /// Has the project's turn begin if it needs one, and tells whether the plan fits what others have done meanwhile.
    ///
    /// Mostly it is alone on its links, and only keeps others from coming there as long as it gives addresses.
    async fn begin_turn(&mut self, prepared: &Prepared) -> Result<Meanwhile, Failure> {
        self.turn.end();
        if !self.concerns_all(prepared) {
            if !gives(prepared) {
                return Ok(Meanwhile::Nothing);
            }
            self.lock_joins(Joining::Nobody).await?;
            if !gives_beside_others(prepared, &self.dirs) {
                return Ok(Meanwhile::Nothing);
            }
            // Whoever has come waits for this one while he has his turn.
            self.turn.end();
        }
        let is_as_planned = self.take_turn().await?;
        if self.comes_anew(prepared) {
            self.lock_joins(Joining::Others).await?;
        }
        let given = self.given_meanwhile(prepared);
        Ok(match (is_as_planned, given.is_empty()) {
            (_, false) => Meanwhile::Given(given),
            (false, true) => Meanwhile::AnotherTurn,
            (true, true) => Meanwhile::Nothing,
        })
    }

    /// Has others know, too, where only a plan that was made anew comes to links of theirs.
    async fn join_anew(&mut self, prepared: &Prepared) -> Result<(), Failure> {
        if self.turn.held.joins.is_none() && self.comes_anew(prepared) {
            self.lock_joins(Joining::Others).await?;
            let given = self.given_meanwhile(prepared);
            if !given.is_empty() {
                return Err(given_to_others(&given));
            }
        }
        Ok(())
    }

    async fn lock_joins(&mut self, joining: Joining) -> Result<(), Failure> {
        let lock = lock::lock_joins(&self.dirs, joining, PATIENCE).await;
        self.turn.held.joins = Some(lock.map_err(|error| not_locked(&error, run::now()))?);
        Ok(())
    }

    /// Tells whether a plan leads to links of others that do not know of it.
    fn comes_anew(&self, prepared: &Prepared) -> bool {
        !self.dirs.has_notes(&prepared.leases)
    }

    /// Has the project's turn begin when a run that was killed had touched what all share, and may have to be undone.
    pub(super) async fn claim_turn_to_recover(&self) -> Result<Option<Lock>, Failure> {
        let Ok(Some(journal)) = self.dirs.read_journal() else { return Ok(None) };
        let is_of_host = |touched: &Touched| matches!(touched.id, ResourceId::Sysctl(NsRef::Host, _));
        if !journal.touched.iter().any(is_of_host) {
            return Ok(None);
        }
        let lock = lock::lock_host(&self.dirs, &run::holder("apply"), PATIENCE).await;
        lock.map(Some).map_err(|error| not_locked(&error, run::now()))
    }

    /// Waits for the project's turn, and tells whether all is as it was when the plan was made.
    async fn take_turn(&mut self) -> Result<bool, Failure> {
        let lock = lock::lock_host(&self.dirs, &run::holder("apply"), PATIENCE).await;
        let lock = lock.map_err(|error| not_locked(&error, run::now()))?;
        let others = self.dirs.originals_of_others();
        let is_known = self.past.originals_of_others == others;
        let is_next = self.turn.next.is_none_or(|next| next == lock.turn);
        self.past.originals_of_others = others;
        self.turn.held.host = Some(lock);
        Ok(is_known && is_next)
    }

    /// Tells whether a plan changes what all projects share, or begins or ceases to ask for it.
    fn concerns_all(&self, prepared: &Prepared) -> bool {
        let Prepared { plan, desired, applied, .. } = prepared;
        let (asked, was_asked) = (shared(&desired.0), shared(applied));
        // What others have on record is theirs to set back; what this one has on record and does not ask for is past.
        let is_past = |id: ResourceId| id.ns() == NsRef::Host && !asked.contains(&id);
        let is_of_host = |id: &ResourceId| asked.contains(id) || was_asked.contains(id);
        asked != was_asked
            || gives_beside_others(prepared, &self.dirs)
            || self.comes_anew(prepared)
            || self.past.originals.known.iter().any(|entry| is_past(entry.resource.id()))
            || plan.waves.iter().flatten().any(|op| is_of_host(&op.id()))
    }
}

fn given_to_others(lines: &[String]) -> Failure {
    let message = format!("addresses are other projects' by now; nothing was changed\n{}", lines.join("\n"));
    Failure::new(Code::Stale, message).help("plan again")
}
