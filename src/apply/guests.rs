//! Projects on links that are not their own. Each leaves a note beside the projects' directories, so that the one whose link it is
//! finds them by a list of names, and need not read what all others have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::disk::{self, Dirs, DiskError};
use crate::kernel::file::make_directory;
use crate::names::{IfName, ProjectName};
use crate::topology::facts::Leases;

/// A note is called `.PROJECT@LINK`, as no project is.
fn note(project: &str, link: &IfName) -> String {
    format!(".{project}@{link}")
}

fn noted(name: &str) -> Option<(ProjectName, IfName)> {
    let (project, link) = name.strip_prefix('.')?.split_once('@')?;
    Some((ProjectName::try_from(project).ok()?, IfName::try_from(link).ok()?))
}

/// Returns all notes of a directory; none when it cannot be read.
fn notes(dir: &Path) -> impl Iterator<Item = (ProjectName, IfName)> {
    let names = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| noted(&name))
}

impl Dirs {
    /// Returns the other projects that are on links which are not theirs, by link. What a note says may be past; what they
    /// have there is in their leases.
    pub fn guests(&self) -> BTreeMap<IfName, BTreeSet<ProjectName>> {
        let mut guests = BTreeMap::<IfName, BTreeSet<ProjectName>>::new();
        let others = self.state.parent().map(notes).into_iter().flatten();
        for (project, link) in others.filter(|(project, _)| !self.is_of(project)) {
            guests.entry(link).or_default().insert(project);
        }
        guests
    }

    fn is_of(&self, project: &ProjectName) -> bool {
        self.state.file_name().is_some_and(|own| own == project.as_str())
    }

    /// Tells whether there is a note of all that leases say: an earlier netform wrote none.
    pub fn has_notes(&self, leases: &Leases) -> bool {
        leases.joined().into_iter().all(|link| self.note(link).exists())
    }

    /// Leaves the notes of all that leases say, before anything of it is done.
    ///
    /// # Errors
    ///
    /// When that cannot be written down.
    pub(super) fn announce(&self, leases: &Leases) -> Result<(), DiskError> {
        if self.has_notes(leases) { Ok(()) } else { self.add_notes(&leases.joined()).map(drop) }
    }

    /// Removes the notes of what was announced and has not come to be, once the journal is gone. What cannot be removed only has
    /// others look in vain.
    pub(super) fn renounce(&self) {
        if let Ok(kept) = self.kept_leases() {
            let leases = kept.or_else(|| self.newest_leases().into_iter().next()).unwrap_or_default();
            let _ = self.with_notes(&leases, || Ok(()));
        }
    }

    /// Writes leases, with the notes: there is one as long as anybody can read in the leases what it leads to.
    ///
    /// # Errors
    ///
    /// When that cannot be written down.
    pub(super) fn with_notes(
        &self,
        leases: &Leases,
        save: impl FnOnce() -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let joined = leases.joined();
        let there = self.add_notes(&joined)?;
        save()?;
        let mut past = there.iter().filter(|link| !joined.contains(link));
        past.try_for_each(|link| disk::remove(&self.note(link)))
    }

    /// Leaves a note on each of these links; returns where there was one.
    fn add_notes(&self, links: &BTreeSet<&IfName>) -> Result<BTreeSet<IfName>, DiskError> {
        let Some(dir) = self.state.parent() else { return Ok([].into()) };
        let there = notes(dir).filter(|(project, _)| self.is_of(project)).map(|(_, link)| link);
        let there: BTreeSet<IfName> = there.collect();
        let failed = |source| DiskError::Write { path: dir.to_owned(), source };
        let new: Vec<_> = links.iter().filter(|link| !there.contains(**link)).collect();
        if !new.is_empty() {
            make_directory(dir).map_err(failed)?;
            new.into_iter().try_for_each(|link| File::create(self.note(link)).map(drop)).map_err(failed)?;
            disk::sync_dir(dir).map_err(failed)?;
        }
        Ok(there)
    }

    fn note(&self, link: &IfName) -> PathBuf {
        let project = self.state.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        self.state.with_file_name(note(project, link))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::NetName;
    use crate::topology::facts::Segment;

    fn on(links: &[&str]) -> Leases {
        let segment = |link: &&str| {
            let link = IfName::try_from(*link).unwrap();
            (NetName::try_from("lan").unwrap(), Segment { link, host: vec![], vlans: [].into() })
        };
        Leases { segments: links.iter().map(segment).collect(), ..Leases::default() }
    }

    #[test]
    fn whose_link_it_is_is_told_who_is_on_it_as_long_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let dirs =
            |project: &str| Dirs::new(dir.path(), dir.path(), &ProjectName::try_from(project).unwrap());
        let told = |by: &str| format!("{:?}", dirs(by).guests());
        fs::write(dir.path().join(".lab"), "").unwrap();
        fs::write(dir.path().join(".La@b@x"), "").unwrap();
        let save = |leases: &Leases| dirs("lab").with_notes(leases, || Ok(())).unwrap();

        save(&on(&["br-shop"]));
        assert_eq!(told("shop"), r#"{IfName("br-shop"): {ProjectName("lab")}}"#);
        assert_eq!(told("lab"), "{}");

        // What cannot be saved leaves both: he may still be read to be where he was.
        let failing = dirs("lab").with_notes(&on(&["eth1"]), || {
            Err(DiskError::Write {
                path: dir.path().to_owned(),
                source: std::io::ErrorKind::StorageFull.into(),
            })
        });
        assert!(failing.is_err());
        assert_eq!(
            told("shop"),
            r#"{IfName("br-shop"): {ProjectName("lab")}, IfName("eth1"): {ProjectName("lab")}}"#
        );
        save(&on(&["eth1"]));
        assert_eq!(told("shop"), r#"{IfName("eth1"): {ProjectName("lab")}}"#);
        save(&on(&[]));
        assert_eq!(told("shop"), "{}");

        // Who is about to come says so before, and no more when nothing comes of it.
        dirs("lab").announce(&on(&["br-shop"])).unwrap();
        assert_eq!(told("shop"), r#"{IfName("br-shop"): {ProjectName("lab")}}"#);
        dirs("lab").renounce();
        assert_eq!(told("shop"), "{}");

        // A network of its own is nobody's business.
        let own = Leases { subnets: [(NetName::try_from("lan").unwrap(), vec![])].into(), ..on(&["br-lan"]) };
        save(&own);
        assert_eq!(told("shop"), "{}");
    }
}
