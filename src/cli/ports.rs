//! Whose the ports of the host are that a plan publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::failure::{Failure, in_the_way, not_locked, unreadable};
use super::run;
use super::session::{Prepared, Session};
use crate::apply::lock::{self, Lock};
use crate::kernel::listeners::{self, Listener, Process};
use crate::kernel::{addresses, nft};
use crate::names::ProjectName;
use crate::plan::ports::{self, Published, Register};
use crate::plan::{self, Extra};
use crate::resource::owner::Owner;
use crate::resource::state::{Desired, Entry, Observed};
use crate::topology::facts::Facts;

/// Another project takes its ports in less than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts what other projects publish in the way of new ports that could not be told from it; returns what else there is
/// to say.
pub(super) async fn confront(
    desired: &Desired,
    observed: &mut Observed,
    (projects, facts): (&BTreeSet<ProjectName>, &Facts),
) -> Result<Vec<String>, Failure> {
    if projects.is_empty() || !ports::publishes(desired) {
        return Ok(vec![]);
    }
    let others = published(projects).await?.on_host(hosts(facts));
    observed.foreign.extend(ports::taken(desired, observed, &others));
    Ok(ports::shared(desired, observed, &others))
}

/// Says whom new ports take connections from.
pub(super) fn taken_over(desired: &Desired, observed: &Observed, facts: &Facts) -> Vec<String> {
    let protocols = ports::opened_protocols(desired, observed);
    if protocols.is_empty() {
        return vec![];
    }
    let listeners = Register::new(listeners::listeners(&protocols)).on_host(hosts(facts));
    let hit = ports::opened(desired, observed, &listeners);
    if hit.is_empty() {
        return vec![];
    }
    let processes = listeners::holders(hit.iter().map(|(_, listener)| listener.inode).collect());
    let who = |inode: &u64| {
        processes.get(inode).map_or_else(
            || "a process of the host".to_owned(),
            |Process { pid, name }| format!("{name} (process {pid})"),
        )
    };
    let sentence = |(entry, Listener { at, protocol, inode, uid: _ }): &(&Entry, &Listener)| {
        let what = if matches!(entry.owner, Owner::External(_)) { "address" } else { "port" };
        format!(
            "{} takes over {at}/{protocol}, which {} listens on: connections go to the container; stop it, or use \
             another {what}",
            ports::named(entry),
            who(inode)
        )
    };
    let (hidden, taken): (Vec<_>, Vec<_>) = hit.into_iter().partition(|(entry, listener)| {
        matches!(entry.owner, Owner::External(_)) && listener.at.ip().is_unspecified()
    });
    let mut by_address: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (entry, Listener { at, protocol, inode, uid: _ }) in hidden {
        let all = by_address.entry(ports::named(entry)).or_default();
        all.insert(format!("{} at {at}/{protocol}", who(inode)));
    }
    let hidden = by_address.into_iter().map(|(named, all)| {
        let all = all.into_iter().collect::<Vec<_>>().join(", ");
        format!("{named} is the host's own: these are not reached at it any more, since all of it goes to the container: {all}")
    });
    taken.iter().map(sentence).chain(hidden).collect()
}

/// Keeps other projects from taking ports of the host while a plan that takes some is carried out, and looks once more:
/// each project has a lock of its own, so another one may have published since the plan was made.
pub(super) async fn claim(
    session: &Session,
    prepared: &Prepared,
    desired: &Desired,
) -> Result<Option<Lock>, Failure> {
    let Prepared { observed, applied, plan, .. } = prepared;
    if !ports::opens(plan) {
        return Ok(None);
    }
    let lock = lock::lock_ports(&session.dirs, &run::holder("apply"), PATIENCE).await;
    let lock = lock.map_err(|error| not_locked(&error, run::now()))?;
    let mut others = published(&nft::others(&session.project).await).await?;
    if others.has_addresses() || ports::takes_addresses(desired) {
        others = others.on_host(addresses::of_host().await.map_err(unreadable)?);
    }
    let taken = ports::taken(desired, observed, &others);
    if taken.is_empty() {
        return Ok(Some(lock));
    }
    let mut observed = observed.clone();
    observed.foreign.extend(taken);
    let planned = plan::plan(desired, &observed, applied, Extra::default());
    planned.map(|_| Some(lock)).map_err(|conflicts| in_the_way(&conflicts))
}

/// Returns what these projects publish.
async fn published(projects: &BTreeSet<ProjectName>) -> Result<Register<Published>, Failure> {
    Ok(Published::all(&nft::published(projects).await.map_err(unreadable)?))
}

/// Returns the addresses that others have given the host.
fn hosts(facts: &Facts) -> BTreeSet<IpAddr> {
    facts.addresses.keys().copied().collect()
}
