//! Saved plans: exactly what was shown is what is done, or nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::{self, DiskError, KNOWN, Known};
use crate::kernel::Op;
use crate::names::{NetnsName, ProjectName};
use crate::plan::{self, Plan};
use crate::resource::netns::NsRef;
use crate::resource::state::{Desired, Foreign, Observed};
use crate::resource::{Resource, ResourceId};
use crate::topology::facts::Leases;

/// A plan with everything that an apply of it needs. It holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    format: Known,
    /// Tells the file from others.
    pub kind: Kind,
    /// Whose plan it is.
    pub project: ProjectName,
    /// Where the manifest was read from, as an absolute path; `None` for standard input.
    pub manifest_path: Option<PathBuf>,
    /// The manifest's text.
    pub manifest: String,
    /// The number of the newest generation when it was made; 0 when there was none.
    pub base: u64,
    /// The plan.
    pub plan: Plan,
    /// Where it leads.
    pub desired: Desired,
    /// Who holds which address afterwards.
    pub leases: Leases,
}

/// What a file of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A saved plan.
    #[serde(rename = "netform-plan")]
    Plan,
}

/// What a plan was made from.
#[derive(Debug, Clone)]
pub struct Basis {
    /// Whose plan it is.
    pub project: ProjectName,
    /// Where the manifest was read from.
    pub manifest_path: Option<PathBuf>,
    /// Its text.
    pub manifest: String,
    /// The number of the newest generation.
    pub base: u64,
}

impl SavedPlan {
    /// Returns a plan to be saved.
    pub fn new(basis: Basis, plan: Plan, desired: Desired, leases: Leases) -> Self {
        let Basis { project, manifest_path, manifest, base } = basis;
        Self {
            format: Known,
            kind: Kind::Plan,
            project,
            manifest_path,
            manifest,
            base,
            plan,
            desired,
            leases,
        }
    }

    /// Writes the plan into a file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DiskError> {
        disk::write(path, self)
    }

    /// Reads a plan; `None` when there is no such file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no saved plan, or is a later netform's.
    pub fn read(path: &Path) -> Result<Option<Self>, DiskError> {
        disk::read(path, KNOWN)
    }

    /// Returns what moved since the plan was made, as sentences; none means that it may be carried out.
    ///
    /// `manifest` is the manifest's text now, `base` the newest generation now.
    pub fn moved(&self, manifest: Option<&str>, base: u64, observed: &Observed) -> Vec<String> {
        let mut moved = vec![];
        if manifest.is_some_and(|manifest| manifest != self.manifest) {
            moved.push("the manifest was edited".to_owned());
        }
        if base != self.base {
            moved.push(format!(
                "generation {base} was applied; the plan was made on generation {}",
                self.base
            ));
        }
        for touched in self.plan.touched() {
            let now = observed.own.get(&touched.id).map(|entry| &entry.resource);
            let then = touched.before.as_ref().map(|entry| &entry.resource);
            if let Some(how) = how_it_moved(&touched.id, then, now) {
                moved.push(format!("{} {how}", touched.id));
            }
        }
        for op in self.plan.waves.iter().flatten() {
            moved.extend(in_the_way(op, observed));
            moved.extend(without_ground(op, &self.desired, observed));
        }
        moved.extend(self.without_home(observed));
        moved
    }

    /// Says which namespaces of ours are gone that were there when the plan was made, and in which it makes something.
    fn without_home(&self, observed: &Observed) -> Vec<String> {
        let made = || self.plan.waves.iter().flatten().filter_map(made);
        let new: BTreeSet<ResourceId> = made().collect();
        let homes: BTreeSet<NetnsName> = made().filter_map(home).collect();
        let is_gone = |id: &ResourceId| {
            self.desired.0.get(id).is_some() && observed.own.get(id).is_none() && !new.contains(id)
        };
        let gone = homes.into_iter().map(ResourceId::Netns).filter(is_gone);
        gone.map(|id| format!("{id} is gone, in which something is to be made")).collect()
    }
}

/// Returns what an operation makes.
fn made(op: &Op) -> Option<ResourceId> {
    match op {
        Op::Create(entry) => Some(entry.resource.id()),
        Op::Update { .. } | Op::Delete(_) => None,
    }
}

/// Returns the name of the namespace that something is in.
fn home(id: ResourceId) -> Option<NetnsName> {
    match id.ns() {
        NsRef::Named(name) => Some(name),
        NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => None,
    }
}

/// Says what of others came to be where the plan makes something.
fn in_the_way(op: &Op, observed: &Observed) -> Option<String> {
    let Op::Create(entry) = op else { return None };
    let slots = entry.resource.provides().into_iter().filter(|slot| !slot.is_for_many());
    let Foreign { what, owner, on: _, bears: _ } =
        slots.filter_map(|slot| observed.foreign.get(&slot)).next()?;
    let whose = owner.as_ref().map_or_else(String::new, |owner| format!(" of {owner}"));
    Some(format!("{what}{whose} is where {} would be", op.id()))
}

/// Says which link of others is gone that something is to be on.
fn without_ground(op: &Op, desired: &Desired, observed: &Observed) -> Option<String> {
    let to = match op {
        Op::Create(entry) | Op::Update { from: _, to: entry } => entry,
        Op::Delete(_) => return None,
    };
    let (what, name) = plan::lost_ground(to.resource.link()?, &desired.0, observed)?;
    Some(format!("{what} {name} is gone, which {} is to be on", op.id()))
}

fn how_it_moved(id: &ResourceId, then: Option<&Resource>, now: Option<&Resource>) -> Option<String> {
    match (then, now) {
        (None, None) => None,
        // A parameter of a link that was not there has no value that could have been written down.
        (None, Some(_)) if matches!(id, ResourceId::Sysctl(..)) => None,
        (None, Some(_)) => Some("is there now".to_owned()),
        (Some(_), None) => Some("is gone".to_owned()),
        // A table that was edited by hand is swapped whole, whatever was edited.
        (Some(Resource::NftTable(then)), Some(Resource::NftTable(now))) if then.digest == now.digest => None,
        (Some(then), Some(now)) if then == now => None,
        (Some(then), Some(now)) => {
            let (then, now) = (then.fields(), now.fields());
            let changed = then.iter().zip(&now).filter(|(then, now)| then != now);
            let changed: Vec<_> =
                changed.map(|((name, then), (_, now))| format!("{name} {then} -> {now}")).collect();
            Some(if changed.is_empty() {
                "is another one".to_owned()
            } else {
                format!("moved: {}", changed.join(", "))
            })
        }
    }
}

/// Tells whether a file is a saved plan, by its first bytes: they are ours, and no manifest begins like this.
pub fn is_saved_plan(beginning: &[u8]) -> bool {
    let text = String::from_utf8_lossy(beginning);
    text.starts_with('{') && text.contains("\"netform-plan\"")
}
