//! What was adopted: it was there before netform, so that going back to before its adoption gives it up, and does not
//! remove it. Addresses, routes and kernel parameters of it that were removed or changed since are given back then, as they
//! were.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::disk::{self, Dirs, DiskError, KNOWN, Known};
use crate::plan::Touched;
use crate::plan::release::{self, Adopted};
use crate::resource::ResourceId;
use crate::resource::state::{Entry, State};

#[derive(Serialize, Deserialize)]
struct AdoptedFile {
    format: Known,
    adopted: BTreeSet<ResourceId>,
    /// What addresses, routes and kernel parameters were that are not so any more, without a mark.
    #[serde(default)]
    before: State,
}

impl Dirs {
    /// Returns what was adopted and is still the project's.
    ///
    /// # Errors
    ///
    /// When a later netform wrote it down, or it cannot be read at all.
    pub fn adopted(&self) -> Result<Adopted, DiskError> {
        let path = self.adopted_path();
        let spare = self.read_spare::<AdoptedFile>(&path);
        match spare.map_or_else(|| disk::read(&path, KNOWN), |file| Ok(Some(file))) {
            Ok(Some(AdoptedFile { format: _, adopted, before })) => Ok(Adopted { ids: adopted, before }),
            Ok(None) | Err(DiskError::Damaged { .. }) => Ok(Adopted::default()),
            Err(error) => Err(error),
        }
    }

    /// Notes what a run has adopted, and forgets what it has given up, removed or made anew. Twice is as good as once.
    ///
    /// # Errors
    ///
    /// When that cannot be written down.
    pub(super) fn remember_adopted(&self, touched: &[Touched]) -> Result<(), DiskError> {
        let known = self.adopted()?;
        let mut adopted = known.clone();
        let Adopted { ids, before: were } = &mut adopted;
        for touched @ Touched { id, before, after } in touched {
            if let ResourceId::Sysctl(ns, key) = id {
                let link = key.link().map(|link| ResourceId::Link(ns.clone(), link.clone()));
                let was = parameter(touched).filter(|_| link.is_some_and(|link| ids.contains(&link)));
                was.filter(|_| were.get(id).is_none()).into_iter().for_each(|was| drop(were.insert(was)));
                continue;
            }
            let is_back = after.as_ref().is_some_and(|after| !after.owner.is_unmarked());
            if were.get(id).is_some() && is_back {
                ids.insert(id.clone());
            }
            if let Some(before) = before.as_ref().filter(|_| ids.contains(id) && were.get(id).is_none()) {
                let now = after.as_ref().and_then(release::unmarked);
                let is_changed = |was: &Entry| now.as_ref().is_none_or(|now| now.resource != was.resource);
                let was = release::unmarked(before).filter(is_changed);
                let was = was.filter(|was| release::is_given_back(&was.resource));
                was.into_iter().for_each(|was| drop(were.insert(was)));
            }
            let (Some(before), Some(after)) = (before, after) else {
                ids.remove(id);
                continue;
            };
            if before.owner.is_unmarked() && !after.owner.is_unmarked() {
                ids.insert(id.clone());
            } else if after.owner.is_unmarked() || before.resource.can_become(&after.resource).is_err() {
                ids.remove(id);
            }
        }
        // Nothing is given back that was given up, or that is on what went.
        let gone =
            touched.iter().filter(|it| it.after.as_ref().is_none_or(|after| after.owner.is_unmarked()));
        let places = release::places(gone.filter_map(|touched| touched.before.as_ref()));
        let stays =
            |entry: &Entry| release::place(&entry.resource).is_some_and(|place| !places.contains(&place));
        *were = Vec::from(std::mem::take(were)).into_iter().filter(stays).collect();
        if adopted == known {
            return Ok(());
        }
        let Adopted { ids: adopted, before } = adopted;
        self.write_somewhere(&[self.adopted_path()], &AdoptedFile { format: Known, adopted, before })
    }

    pub(super) fn adopted_path(&self) -> PathBuf {
        self.state.join("adopted.json")
    }
}

/// Returns a kernel parameter as it was before it was changed for what a manifest asks for.
fn parameter(Touched { id: _, before, after }: &Touched) -> Option<Entry> {
    let (before, after) = (before.as_ref()?, after.as_ref()?);
    let is_changed = after.origin.is_some() && before.resource != after.resource;
    is_changed.then(|| Entry { origin: None, owner: after.owner.clone(), ..before.clone() })
}
