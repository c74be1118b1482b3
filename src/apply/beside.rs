//! The other projects that keep their files beside this one's, and what those say of what they have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::disk::{self, Dirs};
use crate::names::{ContainerName, NetnsName, ProjectName};
use crate::plan::Touched;
use crate::resource::ResourceId;
use crate::resource::owner::{Origin, Owner};
use crate::resource::state::State;

/// What a project's files say of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// It has made it, or is about to.
    Has,
    /// It has not.
    HasNot,
    /// Nothing that can be relied on: a run is under way or was killed, or a file cannot be read.
    Nothing,
}

/// What a project's files say.
struct Record {
    /// What the newest generation led to that can be read.
    state: Option<State>,
    /// Whether that is the newest of all, and nothing has been begun since.
    is_up_to_date: bool,
    /// What a run has begun.
    begun: Vec<Touched>,
}

impl Record {
    /// Returns what it says of a namespace. Whatever speaks for it counts: it is somebody's.
    fn says(&self, name: &NetnsName) -> Says {
        let id = ResourceId::Netns(name.clone());
        let is_begun = self.begun.iter().any(|touched| touched.id == id && touched.after.is_some());
        let has = self.state.as_ref().map(|state| state.get(&id).is_some());
        match (has, is_begun, self.is_up_to_date) {
            (Some(true), _, _) | (_, true, _) => Says::Has,
            (Some(false), false, true) => Says::HasNot,
            (Some(false), false, false) | (None, false, _) => Says::Nothing,
        }
    }
}

impl Dirs {
    /// Returns the other projects that keep something beside this one.
    pub fn neighbours(&self) -> BTreeSet<ProjectName> {
        let mut all = self.state.parent().map(disk::projects).unwrap_or_default();
        all.retain(|other| self.state.file_name().is_some_and(|own| own != other.as_str()));
        all
    }

    /// Returns the directories of the other projects that keep something beside this one.
    pub(super) fn others(&self) -> Vec<Self> {
        self.neighbours().iter().map(|other| self.of_neighbour(other)).collect()
    }

    /// Returns the directories of another project that keeps something beside this one.
    pub(super) fn of_neighbour(&self, project: &ProjectName) -> Self {
        let (state, run) = (&self.state, &self.run);
        Self { state: state.with_file_name(project.as_str()), run: run.with_file_name(project.as_str()) }
    }

    /// Returns which other projects have these namespaces on record, or are about to make them.
    pub fn makers_of(&self, names: &BTreeSet<NetnsName>) -> BTreeMap<NetnsName, ProjectName> {
        let mut makers = BTreeMap::new();
        for project in self.neighbours() {
            let record = self.of_neighbour(&project).record();
            let has = names.iter().filter(|name| record.says(name) == Says::Has);
            makers.extend(has.map(|name| (name.clone(), project.clone())));
        }
        makers
    }

    /// Tells whether another project surely has no such namespace: it keeps its record beside this one's, which says so, and no run
    /// of it is under way.
    pub fn is_without(&self, project: &ProjectName, name: &NetnsName) -> bool {
        self.neighbours().contains(project) && self.of_neighbour(project).record().says(name) == Says::HasNot
    }

    /// Returns which container of another project has an address, as its newest generation says, and where its manifest says so.
    pub fn holder_of(&self, project: &ProjectName, addr: IpAddr) -> Option<(ContainerName, Option<Origin>)> {
        let state = self.of_neighbour(project).record().state?;
        state.iter().find_map(|(_, entry)| match (entry.resource.address(), &entry.owner) {
            (Some(it), Owner::Attachment { container, .. }) if it.addr.addr() == addr => {
                Some((container.clone(), entry.origin.clone()))
            }
            (None | Some(_), _) => None,
        })
    }

    /// Returns what the newest generation of another project says that it led to, when that can be read.
    pub fn state_of(&self, project: &ProjectName) -> Option<State> {
        self.of_neighbour(project).record().state
    }

    /// Reads what a project's files say. A run that begins and ends meanwhile leaves another generation.
    fn record(&self) -> Record {
        let numbers = || self.numbers().unwrap_or_default();
        let before = numbers();
        let read = |number: &u64| Some((*number, self.generation(*number).ok()??.state));
        let newest = before.iter().rev().find_map(read);
        let journal = self.read_journal();
        let is_newest =
            newest.as_ref().map(|(number, _)| number) == before.last() && before.last() == numbers().last();
        let is_up_to_date = matches!(journal, Ok(None)) && is_newest;
        let begun = journal.ok().flatten().map_or(vec![], |journal| journal.touched);
        Record { state: newest.map(|(_, state)| state), is_up_to_date, begun }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::apply::generation::Generation;
    use crate::apply::journal::Journal;
    use crate::resource::Resource;
    use crate::resource::netns::Netns;
    use crate::resource::state::Entry;
    use crate::topology::facts::Leases;

    fn dirs(dir: &Path, project: &str) -> Dirs {
        let project = ProjectName::try_from(project).unwrap();
        Dirs::new(&dir.join("state"), &dir.join("run"), &project)
    }

    fn name(name: &str) -> NetnsName {
        NetnsName::try_from(name).unwrap()
    }

    fn entry(ns: &str) -> Entry {
        let resource = Resource::Netns(Netns::new(name(ns)));
        Entry { resource, owner: Owner::Project, origin: None, ignore: vec![] }
    }

    /// Has a project apply namespaces.
    fn apply(dirs: &Dirs, number: u64, namespaces: &[&str]) {
        let state = namespaces.iter().map(|ns| entry(ns)).collect();
        let generation = Generation::new(number, 1, String::new(), state, Leases::default());
        fs::create_dir_all(dirs.generations()).unwrap();
        dirs.prepare(&generation, None).unwrap().put().unwrap();
        dirs.commit(number).unwrap();
    }

    fn begin(dirs: &Dirs, ns: &str, after: bool) {
        let id = ResourceId::Netns(name(ns));
        let after = after.then(|| entry(ns));
        fs::create_dir_all(&dirs.run).unwrap();
        Journal::new(9, 1, vec![Touched { id, before: None, after }]).write(dirs).unwrap();
    }

    /// Asserts whether `shop` takes a namespace for one of `lab`, and whether it is sure that it is none.
    #[track_caller]
    fn check(shop: &Dirs, ns: &str, want: (bool, bool)) {
        let made = shop.makers_of(&[name(ns)].into()).contains_key(&name(ns));
        let surely_not = shop.is_without(&ProjectName::try_from("lab").unwrap(), &name(ns));
        assert_eq!((made, surely_not), want, "{ns}");
    }

    #[test]
    fn a_namespace_is_anothers_by_any_record_and_none_of_his_by_the_newest_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (shop, lab) = (dirs(dir.path(), "shop"), dirs(dir.path(), "lab"));
        check(&shop, "web", (false, false));
        apply(&lab, 1, &["web"]);
        apply(&lab, 2, &["db"]);
        check(&shop, "web", (false, true));
        check(&shop, "db", (true, false));

        // Whoever is about to make one has it; of others nobody is sure meanwhile.
        begin(&lab, "web", true);
        check(&shop, "web", (true, false));
        check(&shop, "other", (false, false));
        begin(&lab, "db", false);
        check(&shop, "db", (true, false));
        fs::write(lab.journal(), "nonsense").unwrap();
        check(&shop, "other", (false, false));
        fs::remove_file(lab.journal()).unwrap();

        // What is damaged says nothing, and what is older speaks for him alone.
        fs::write(lab.generations().join("2.json"), "nonsense").unwrap();
        check(&shop, "web", (true, false));
        check(&shop, "db", (false, false));
    }

    #[test]
    fn the_projects_beside_are_the_directories_that_are_called_like_one() {
        let dir = tempfile::tempdir().unwrap();
        let (shop, lab) = (dirs(dir.path(), "shop"), dirs(dir.path(), "lab"));
        for project in [&shop, &lab] {
            fs::create_dir_all(&project.state).unwrap();
        }
        // A copy of a project's files would say twice what it has.
        for beside in ["shop.bak", ".snapshot", "lost+found"] {
            fs::create_dir(dir.path().join("state").join(beside)).unwrap();
        }
        fs::write(dir.path().join("state/file"), "").unwrap();

        assert_eq!(shop.neighbours(), [ProjectName::try_from("lab").unwrap()].into());
        assert_eq!(shop.others(), [lab]);
    }
}
