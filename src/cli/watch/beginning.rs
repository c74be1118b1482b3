//! What a daemon begins with. What is in force may be another manifest than the one it is given, and that one may be wrong,
//! or blocked: an earlier daemon has kept up the last good one, and so does the next.

use std::path::{Path, PathBuf};

use super::super::ahead;
use super::super::args::{Common, WhichProject};
use super::super::failure::{Code, Failure};
use super::super::loaded::{self, Loaded};
use super::super::session::Session;
use super::super::show::Style;
use crate::apply::generation::{Generation, Past};
use crate::apply::{Dirs, projects};
use crate::manifest::manifests_in;
use crate::names::ProjectName;

/// What a daemon begins with.
pub(super) struct Beginning {
    /// Its manifest is the one that is in force, if that can be read.
    pub(super) session: Session,
    /// What shall be put in force instead.
    pub(super) fresh: Option<Loaded>,
    /// Why the manifest cannot be read.
    pub(super) unreadable: Option<String>,
}

/// Reads the manifest and what is in force. A manifest that is wrong, or gone, is a failure where nothing is.
pub(super) fn begin(common: &Common, manifest: &Path) -> Result<Beginning, Failure> {
    let style = Style::of_stderr(common);
    match Session::open(common, manifest) {
        Ok(mut session) => {
            let Some(generation) = in_force(&session.dirs, &session.past) else {
                return Ok(Beginning { session, fresh: None, unreadable: None });
            };
            let fresh = session.loaded.take_if(|given| given.text() != generation.manifest);
            if fresh.is_some() {
                session.loaded = loaded::kept(generation, manifest, style);
            }
            Ok(Beginning { session, fresh, unreadable: None })
        }
        Err(failure) if matches!(failure.code, Code::Manifest | Code::NoInput) => {
            let Some(project) = whose(common, manifest) else { return Err(failure) };
            let which = WhichProject { project: Some(project.to_string()), manifest: manifest.to_owned() };
            let mut session = Session::of_project(common, &which)?;
            let Some(generation) = in_force(&session.dirs, &session.past) else { return Err(failure) };
            session.loaded = loaded::kept(generation, manifest, style);
            Ok(Beginning { session, fresh: None, unreadable: Some(failure.to_string()) })
        }
        Err(failure) => Err(failure),
    }
}

/// Returns the generation that is in force: what was destroyed is not. Of a damaged one nobody knows what it was: an earlier one
/// might open a port again that was closed since.
fn in_force<'p>(dirs: &Dirs, past: &'p Past) -> Option<&'p Generation> {
    let generation = past.generation.as_ref().filter(|it| !it.manifest.is_empty())?;
    let newest = dirs.numbers().ok()?.last().copied();
    (newest == Some(generation.number)).then_some(generation)
}

/// Returns whose a manifest is that says it no more, or in part: the project whose name stands there in plain words, or else the
/// only one whose generation in force came from there.
fn whose(common: &Common, manifest: &Path) -> Option<ProjectName> {
    let has = |project: &ProjectName, what: &dyn Fn(&Generation) -> bool| {
        let dirs = Dirs::new(&common.state_dir, &common.run_dir, project);
        dirs.past().is_ok_and(|past| in_force(&dirs, &past).is_some_and(what))
    };
    match named(manifest) {
        Named::Nobody => {}
        Named::One(project) => return Some(project).filter(|project| has(project, &|_| true)),
        Named::Several => return None,
    }
    // A relative name says where something is to somebody in another directory only by chance.
    if !manifest.is_absolute() {
        return None;
    }
    let is_from_here = |generation: &Generation| {
        let files = generation.state.iter().filter_map(|(_, entry)| entry.origin.as_ref());
        let mut files = files.map(|origin| PathBuf::from(origin.file.as_str()));
        files.any(|file| file == manifest || file.parent() == Some(manifest))
    };
    let mut candidates =
        projects(&common.state_dir).into_iter().filter(|project| has(project, &is_from_here));
    candidates.next().filter(|_| candidates.next().is_none())
}

/// Whom a manifest names in plain words.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Nobody,
    One(ProjectName),
    /// To keep up another project than the one that is meant would be worse than to keep up nothing.
    Several,
}

fn named(manifest: &Path) -> Named {
    let files = if manifest.is_dir() {
        manifests_in(manifest).unwrap_or_default()
    } else {
        vec![manifest.to_owned()]
    };
    let mut guesses = files.iter().filter_map(|file| ahead::guess(file));
    let Some(first) = guesses.next() else { return Named::Nobody };
    if guesses.all(|other| other == first) { Named::One(first) } else { Named::Several }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], want: &Named) {
        let dir = tempfile::tempdir().unwrap();
        for (name, project) in files {
            std::fs::write(dir.path().join(name), format!("netform: 1\nproject: {project}\n")).unwrap();
        }
        assert_eq!(&named(dir.path()), want, "{files:?}");
    }

    #[test]
    fn a_directory_names_a_project_by_what_would_be_read_of_it_and_with_one_voice() {
        let shop = Named::One(ProjectName::try_from("shop").unwrap());
        check(&[("b.yaml", "shop"), ("a.yml.disabled", "old"), ("a.bak", "old"), (".a.yaml", "old")], &shop);
        check(&[("a.yaml", "shop"), ("b.yml", "shop"), ("c.yaml", "")], &shop);
        check(&[("a.yaml", "shop"), ("b.yaml", "blog")], &Named::Several);
        check(&[("a.yaml.disabled", "old")], &Named::Nobody);
        check(&[], &Named::Nobody);
    }
}
