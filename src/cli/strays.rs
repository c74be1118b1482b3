//! What is not what its mark says: what the last apply led to and somebody has written something else on, or renamed, and what
//! only bears our mark.

use std::collections::{BTreeMap, BTreeSet};

use super::failure::{Failure, unreadable};
use super::session::Session;
use crate::kernel::Scope;
use crate::kernel::facts::Survey;
use crate::names::NetnsName;
use crate::plan::stray::{self, Doubts};
use crate::resource::owner::Mark;
use crate::resource::state::{Observed, State};
use crate::resource::{Resource, ResourceId};

impl Session {
    /// Looks at everything; what the last apply led to and bears another mark now is ours where that is sure, and what another
    /// project has made and bears ours is not.
    pub(super) async fn survey(&mut self, scope: &mut Scope) -> Result<Survey, Failure> {
        let survey = self.kernel.survey(scope).await.map_err(unreadable)?;
        let nothing = State::default();
        let applied = self.remembered().unwrap_or(&nothing);
        let doubts = Doubts::of(applied, &survey.observed, &scope.begun, &self.project);
        if doubts.is_empty() {
            return Ok(survey);
        }
        let Doubts { strays, renamed, unknown } = doubts;
        scope.disowned = self.disowned(unknown, &survey.observed);
        let before = (scope.strays.clone(), scope.renamed.clone());
        scope.strays.extend(strays.into_iter().map(|(id, mark)| (id, mark.into())));
        scope.renamed.extend(renamed);
        if before == (scope.strays.clone(), scope.renamed.clone()) && scope.disowned.is_empty() {
            return Ok(survey);
        }
        let survey = self.kernel.survey(scope).await.map_err(unreadable)?;
        let applied = self.remembered().unwrap_or(&nothing);
        let is_sure = |id: &ResourceId| {
            let observed = &survey.observed.own;
            stray::is_sure(id, applied, observed) || self.is_of_nobody_else(id, observed)
        };
        let suspects = scope.strays.len() + scope.renamed.len();
        scope.strays.retain(|id, _| before.0.contains_key(id) || is_sure(id));
        let known = |id: &ResourceId, name| ResourceId::Link(id.ns(), name);
        scope.renamed.retain(|id, name| before.1.contains_key(id) || is_sure(&known(id, name.clone())));
        if scope.strays.len() + scope.renamed.len() == suspects {
            return Ok(survey);
        }
        self.kernel.survey(scope).await.map_err(unreadable)
    }

    /// Leaves to others what took the place of a route that is not wanted any more; tells whether there was any.
    pub(super) fn leave_usurped(&self, scope: &mut Scope, desired: &State, observed: &State) -> bool {
        let Some(applied) = self.remembered().filter(|_| !scope.strays.is_empty()) else { return false };
        let before = scope.strays.len();
        scope.strays.retain(|id, _| desired.get(id).is_some() || !stray::is_usurped(id, applied, observed));
        scope.strays.len() < before
    }

    /// Tells whether a namespace bears the mark of a project that has made no such one, as its record says. Where there is no record,
    /// nobody knows.
    fn is_of_nobody_else(&self, id: &ResourceId, observed: &State) -> bool {
        let ResourceId::Netns(name) = id else { return false };
        let Some(Resource::Netns(netns)) = observed.get(id).map(|entry| &entry.resource) else {
            return false;
        };
        let mark = netns.stray.as_ref().and_then(|text| Mark::parse(text));
        mark.is_some_and(|mark| self.dirs.is_without(&mark.project, name))
    }

    /// Returns what the last apply led to; `None` when that is not known for sure.
    fn remembered(&self) -> Option<&State> {
        let generation = self.past.generation.as_ref().filter(|_| self.past.warnings.is_empty());
        generation.map(|generation| &generation.state)
    }

    /// Returns which of these namespaces that bear our mark are others', with whose they are: of those who have them on record, or
    /// whose links are in there. Of what nobody else says anything the mark is believed.
    fn disowned(&self, unknown: BTreeSet<NetnsName>, observed: &Observed) -> BTreeMap<ResourceId, String> {
        if unknown.is_empty() {
            return BTreeMap::new();
        }
        let makers = self.dirs.makers_of(&unknown);
        let remembers = self.remembered().is_some();
        let claimed = unknown.into_iter().filter_map(|name| {
            let maker = makers.get(&name).map(|project| format!("project {project}"));
            let owner = maker.or_else(|| stray::claimant(&name, observed, remembers))?;
            Some((ResourceId::Netns(name), owner))
        });
        claimed.collect()
    }
}
