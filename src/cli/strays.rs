//! What the last apply led to and somebody has taken the mark off.

use super::failure::{Failure, unreadable};
use super::session::Session;
use crate::kernel::Scope;
use crate::kernel::facts::Survey;
use crate::plan::stray;

impl Session {
    /// Looks at everything; what the last apply led to and bears nobody's mark now is ours where that is sure.
    pub(super) async fn survey(&mut self, scope: &mut Scope) -> Result<Survey, Failure> {
        let survey = self.kernel.survey(scope).await.map_err(unreadable)?;
        // Of a memory that is damaged nothing is sure.
        let is_known = self.past.warnings.is_empty();
        let Some(generation) = self.past.generation.as_ref().filter(|_| is_known) else { return Ok(survey) };
        scope.strays = stray::suspects(&generation.state, &survey.observed, &self.project);
        if scope.strays.is_empty() {
            return Ok(survey);
        }
        let survey = self.kernel.survey(scope).await.map_err(unreadable)?;
        let suspects = scope.strays.len();
        scope.strays.retain(|id, _| stray::is_sure(id, &generation.state, &survey.observed.own));
        if scope.strays.len() == suspects {
            return Ok(survey);
        }
        self.kernel.survey(scope).await.map_err(unreadable)
    }
}
