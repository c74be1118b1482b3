//! Reading everything that is not remembered. What planning needs to know is foretold as soon as the host was read.

use std::sync::mpsc;
use std::time::Duration;

use super::facts::{Survey, foretold, survey};
use super::live::{Live, Recall};
use super::reading::{self, NsReading, Reading};
use super::{ObserveError, Scope, ends, nft};
use crate::halves;
use crate::resource::state::State;
use crate::topology::facts::Facts;

/// How long the firewall may take after the host: then it is not waited for, since namespaces are to be read.
const PATIENCE: Duration = Duration::from_millis(10);

/// What is done with what a survey will say of the host, while the namespaces are read: on a thread that would read these, too.
pub struct Foretelling<T> {
    /// What the namespaces are taken to hold: what the last apply led to.
    pub applied: State,
    /// What is done with the facts that the survey tells if they do.
    pub work: Box<dyn FnOnce(Facts) -> T + Send>,
}

impl Live {
    /// Returns what [`Live::survey`] does, and what was done with what was foretold, where it was not known already.
    ///
    /// # Errors
    ///
    /// As [`Live::survey`].
    pub async fn survey_foretelling<T: Send + 'static>(
        &mut self,
        scope: &Scope,
        foretelling: Option<Foretelling<T>>,
    ) -> Result<(Survey, Option<T>), ObserveError> {
        self.catch_up(scope).await?;
        match &self.recall {
            Recall::Kept(memory) => Ok((survey(&memory.reading, memory.tables.clone(), scope), None)),
            Recall::Never | Recall::Next => {
                let (reading, tables, done) = self.read(scope, foretelling).await?;
                let survey = survey(&reading, tables, scope);
                halves::discard(reading.namespaces.len(), reading);
                Ok((survey, done))
            }
        }
    }

    /// Reads all, which is not remembered but for numbers.
    pub(super) async fn read<T: Send + 'static>(
        &mut self,
        scope: &Scope,
        foretelling: Option<Foretelling<T>>,
    ) -> Result<(Reading, nft::Tables, Option<T>), ObserveError> {
        let glimpse = self.glimpse.take();
        let (tell, told) = mpsc::channel();
        let own = scope.clone();
        let first = move |host: NsReading| {
            let Some(Foretelling { applied, work }) = foretelling else { return (host, None) };
            let host = Reading::of(host);
            // The firewall is read by others, mostly in less time.
            let judges = told.recv_timeout(PATIENCE).ok();
            let done = judges.map(|judges| work(foretold(&host, judges, &own, &applied)));
            (host.host, done)
        };
        let tables = async {
            let tables = nft::read(&scope.project).await?;
            let _ = tell.send((tables.barriers.clone(), tables.docker_user.clone()));
            Ok(tables)
        };
        let ((reading, done), tables) = tokio::try_join!(reading::read_first(scope, glimpse, first), tables)?;
        let numbers = ends::numbers(&reading);
        self.numbers = numbers.filter_map(|(ns, number)| Some((ns.ns.clone(), number?))).collect();
        Ok((reading, tables, done))
    }
}
