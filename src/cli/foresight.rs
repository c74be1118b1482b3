//! What a manifest leads to is worked out while the namespaces are read: the host is known long before they are, and they mostly
//! hold what the last apply led to. Where they do not, it is worked out again.

use std::collections::BTreeMap;

use super::failure::{Failure, unreadable};
use super::loaded::Loaded;
use super::session::{Aim, Session, Target};
use crate::desired::desired;
use crate::halves;
use crate::kernel::Scope;
use crate::kernel::facts::Survey;
use crate::kernel::foretelling::Foretelling;
use crate::names::ContainerName;
use crate::topology;
use crate::topology::facts::{Facts, Leases, Running};

/// What a manifest leads to if the kernel tells this of the host.
pub(super) struct Foresight {
    facts: Facts,
    recalled: Recalled,
    target: Target,
}

impl Foresight {
    /// Returns what the manifest leads to, and all that is known of the host, if this is what was foreseen.
    pub(super) fn fulfilled(self, told: &Facts) -> Option<(Facts, Target)> {
        let Self { facts, recalled, target } = self;
        (facts == *told).then(|| (recalled.added(facts), target))
    }
}

/// What planning needs to know and the kernel cannot tell.
pub(super) struct Recalled {
    /// What is leased.
    leases: Leases,
    is_in_force: bool,
    /// What others run.
    runs: BTreeMap<ContainerName, Running>,
}

impl Recalled {
    /// Adds it to what the kernel told.
    pub(super) fn added(self, facts: Facts) -> Facts {
        let Self { leases, is_in_force, runs } = self;
        Facts { leases, is_in_force, runs, ..facts }
    }

    /// Takes it away from all that is known.
    fn taken(facts: Facts) -> (Facts, Self) {
        let Facts { leases, is_in_force, runs, .. } = Facts::default();
        let told = Facts { leases, is_in_force, runs, ..facts };
        (told, Self { leases: facts.leases, is_in_force: facts.is_in_force, runs: facts.runs })
    }
}

impl Session {
    /// Returns what planning needs to know and the kernel cannot tell.
    pub(super) fn recalled(&self) -> Recalled {
        let is_in_force = self.past.generation.as_ref().is_some_and(|it| !it.manifest.is_empty());
        Recalled { leases: self.past.leases.clone(), is_in_force, runs: self.runtimes.look.runs.clone() }
    }

    /// Looks at everything, and foresees meanwhile where that leads; returns all that is known, and where it leads if that was
    /// foreseen.
    pub(super) async fn survey_foreseeing(
        &mut self,
        aim: Aim,
        scope: &mut Scope,
    ) -> Result<(Survey, Option<Target>), Failure> {
        let foretelling = if aim == Aim::Manifest { self.foretelling(scope) } else { None };
        let looked = self.kernel.survey_foretelling(scope, foretelling).await;
        let (survey, foresight) = looked.map_err(unreadable)?;
        let Survey { observed, facts, projects } = self.surely(survey, scope).await?;
        let (facts, target) = match foresight.flatten().and_then(|foresight| foresight.fulfilled(&facts)) {
            Some((known, target)) => {
                halves::discard(facts.host_ends.len(), facts);
                (known, Some(target))
            }
            None => (self.completed(facts), None),
        };
        let facts = self.acquainted(facts).await?;
        let facts = Facts { same_namespaces: self.same_namespaces(scope), ..facts };
        // Who else is there nobody foresees.
        let target = target.filter(|_| facts.taken.is_empty() && facts.neighbours.is_empty());
        Ok((Survey { observed, facts, projects }, target))
    }

    fn foretelling(&self, scope: &Scope) -> Option<Foretelling<Option<Foresight>>> {
        let loaded = self.loaded.clone()?;
        let applied = self.past.generation.as_ref()?.state.clone();
        // Of namespaces and networks that others have, too, more matters than the host tells.
        let is_alone =
            scope.namespaces.is_empty() && topology::strangers::shared(&loaded.manifest).is_empty();
        let is_remembered = self.kernel.version().is_some();
        if is_remembered || !is_alone || !halves::is_worthwhile(applied.len()) {
            return None;
        }
        let recalled = self.recalled();
        let work = Box::new(move |facts| {
            let facts = recalled.added(facts);
            // The other thread that reads needs the other core.
            let target = halves::alone(|| target(&loaded, &facts)).ok()?;
            let (facts, recalled) = Recalled::taken(facts);
            Some(Foresight { facts, recalled, target })
        });
        Some(Foretelling { applied, work })
    }
}

/// Returns what a manifest leads to, as far as no daemon matters.
pub(super) fn target(loaded: &Loaded, facts: &Facts) -> Result<Target, Failure> {
    let topology = loaded.resolve(facts)?;
    Ok(Target {
        desired: desired(&topology),
        leases: topology::leases(&topology, &facts.leases),
        manifest: loaded.text(),
        topology: Some(topology),
        warnings: vec![],
    })
}
