//! `netform destroy`: everything that a project owns goes, also when its manifest is lost.

use std::path::Path;

use super::args::{Common, WhichProject};
use super::failure::{Code, Failure, unknown_project};
use super::run::{self, Ran, Request};
use super::session::{Aim, Session};
use crate::plan::target::Selection;

/// Removes what a project owns. One whose name is given is known by its marks, so it may have no files any more; but a name
/// that is nobody's is a mistake.
pub(super) async fn run(
    common: &Common,
    which: &WhichProject,
    request: &Request<'_>,
) -> Result<Ran, Failure> {
    if which.project.is_none() {
        return super::change(common, &which.manifest, request).await;
    }
    if is_chosen(&which.manifest) {
        let message = format!("--project names the project, and so does {}", which.manifest.display());
        return Err(Failure::new(Code::Usage, message).help("leave one of them out"));
    }
    let mut session = Session::of_project(common, which)?;
    if !session.dirs.is_known() {
        let prepared = session.prepare_part(Aim::Nothing, &Selection::default()).await?;
        if prepared.plan.is_empty() {
            return Err(unknown_project(&session.project, &session.dirs, common));
        }
    }
    run::run(&mut session, request).await
}

/// Tells whether a manifest was named on the command line, and is not what is taken otherwise.
fn is_chosen(manifest: &Path) -> bool {
    let usual = std::env::var_os("NETFORM_MANIFEST").unwrap_or_else(|| "netform.yaml".into());
    manifest != Path::new(&usual)
}
