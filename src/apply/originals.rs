//! Kernel parameters of the host as they were before netform changed them, so that `destroy` can set them back.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::disk::{self, Dirs, DiskError, KNOWN, Known};
use crate::plan::Touched;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::{Entry, State};
use crate::resource::sysctl::SysctlKey;
use crate::resource::{Resource, ResourceId};

#[derive(Serialize, Deserialize)]
struct OriginalsFile {
    format: Known,
    /// The generation whose changes were noted last: noting them twice would take our own value for the original.
    #[serde(default)]
    generation: u64,
    originals: State,
}

impl Dirs {
    /// Returns the parameters as they were; a damaged file counts as none, since nothing is better than a wrong value.
    ///
    /// # Errors
    ///
    /// When a later netform wrote it, or it cannot be read at all.
    pub fn originals(&self) -> Result<Vec<Entry>, DiskError> {
        let mut originals = self.read_originals()?.originals;
        // The first project on a host changes a parameter, and the last one has to set it back.
        for other in self.others() {
            let file = other.read_originals().map(|file| file.originals).unwrap_or_default();
            let unknown: Vec<Entry> = file
                .iter()
                // What a container had is nobody else's to set back.
                .filter(|(id, _)| id.ns() == NsRef::Host && originals.get(id).is_none())
                .map(|(_, entry)| entry.clone())
                .collect();
            originals.extend(unknown);
        }
        Ok(originals.into())
    }

    /// Returns the directories of the other projects that keep their state beside this one's.
    fn others(&self) -> Vec<Self> {
        let beside = self.state.parent().and_then(|parent| std::fs::read_dir(parent).ok());
        let dirs = beside.into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
        dirs.filter(|state| *state != self.state).map(|state| Self { state, run: self.run.clone() }).collect()
    }

    fn read_originals(&self) -> Result<OriginalsFile, DiskError> {
        let none = OriginalsFile { format: Known, generation: 0, originals: State::default() };
        match disk::read(&self.originals_path(), KNOWN) {
            Ok(file) => Ok(file.unwrap_or(none)),
            Err(DiskError::Damaged { .. }) => Ok(none),
            Err(error) => Err(error),
        }
    }

    /// Notes what a run has adopted, given up and changed for ever; see there.
    ///
    /// # Errors
    ///
    /// When that cannot be written down.
    pub(super) fn remember(&self, touched: &[Touched], generation: Option<u64>) -> Result<(), DiskError> {
        self.remember_adopted(touched)?;
        self.remember_originals(touched, generation)
    }

    /// Notes what a run has changed, and forgets what it has set back. Only what stays is noted: a run that was undone
    /// has changed nothing. Once for a generation is enough, twice does no harm; `None` is a run that led to none.
    ///
    /// # Errors
    ///
    /// When that cannot be written down.
    fn remember_originals(&self, touched: &[Touched], generation: Option<u64>) -> Result<(), DiskError> {
        let file = self.read_originals()?;
        if Some(file.generation) == generation {
            return Ok(());
        }
        let mut originals = file.originals.clone();
        for Touched { id, before, after } in touched.iter().filter(|touched| outlasts(touched)) {
            let (before, after) = match (before, after) {
                (Some(before), Some(after)) => (before.clone(), after),
                // In a namespace that is new, it was what it is in any that is.
                (None, Some(after)) if id.ns() != NsRef::Host => (unknown(after), after),
                (None | Some(_), None) | (None, Some(_)) => continue,
            };
            // What no line of a manifest asks for was set back.
            let is_back = id.ns() != NsRef::Host && after.origin.is_none();
            if is_back || originals.get(id).is_some_and(|original| original.resource == after.resource) {
                originals.remove(id);
            } else if originals.get(id).is_none() {
                originals.insert(before);
            }
        }
        // What a namespace had went with it.
        let gone = touched.iter().filter(|touched| touched.after.is_none());
        let gone = gone.filter_map(|touched| match &touched.before.as_ref()?.resource {
            Resource::Netns(netns) => Some(NsRef::Named(netns.name.clone())),
            Resource::Link(_)
            | Resource::Address(_)
            | Resource::Route(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_)
            | Resource::File(_) => None,
        });
        let gone: Vec<NsRef> = gone.collect();
        if !gone.is_empty() {
            let stay = |entry: &Entry| !gone.contains(&entry.resource.id().ns());
            originals = Vec::from(originals).into_iter().filter(stay).collect();
        }
        if originals == file.originals {
            return Ok(());
        }
        let generation = generation.unwrap_or(file.generation);
        disk::write(&self.originals_path(), &OriginalsFile { format: Known, generation, originals })
    }

    pub(super) fn originals_path(&self) -> std::path::PathBuf {
        self.state.join("originals.json")
    }
}

/// Returns the parameter with no value: what it was is what a new namespace has.
fn unknown(after: &Entry) -> Entry {
    let mut entry = Entry { origin: None, ..after.clone() };
    if let Resource::Sysctl(sysctl) = &mut entry.resource {
        sysctl.value = SmolStr::default();
    }
    entry
}

/// Tells whether what was touched is a parameter of the whole host, or of a whole container, or of a link of others: those
/// of a link of ours, which belong to what this belongs to, die with it.
fn outlasts(Touched { id, before: _, after }: &Touched) -> bool {
    match id {
        ResourceId::Sysctl(NsRef::Host, SysctlKey::PerLink { .. }) => {
            after.as_ref().is_some_and(|after| after.owner == Owner::Project)
        }
        ResourceId::Sysctl(NsRef::Host, SysctlKey::Ipv4Forward | SysctlKey::Ipv6Forward)
        | ResourceId::Sysctl(_, SysctlKey::Whole(_)) => true,
        ResourceId::Sysctl(..)
        | ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::sysctl::{Family, Sysctl};

    fn forward(value: &str) -> Entry {
        Entry {
            resource: Resource::Sysctl(Sysctl {
                ns: NsRef::Host,
                key: SysctlKey::Ipv4Forward,
                value: value.into(),
            }),
            owner: Owner::Project,
            origin: None,
            ignore: vec![],
        }
    }

    fn update(from: &str, to: &str) -> [Touched; 1] {
        let id = forward(from).resource.id();
        [Touched { id, before: Some(forward(from)), after: Some(forward(to)) }]
    }

    #[test]
    fn of_links_those_of_others_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs { state: dir.path().to_owned(), run: dir.path().to_owned() };
        let of_link = |value: &str, owner: &Owner| {
            let (link, name) = ("eth0".try_into().unwrap(), "proxy_ndp".into());
            let key = SysctlKey::PerLink { family: Family::Ipv6, link, name };
            let resource = Resource::Sysctl(Sysctl { ns: NsRef::Host, key, value: value.into() });
            Entry { resource, owner: owner.clone(), ..forward("") }
        };
        let note = |owner: &Owner, generation| {
            let (before, after) = (of_link("0", &Owner::Project), of_link("1", owner));
            let touched = Touched { id: after.resource.id(), before: Some(before), after: Some(after) };
            dirs.remember_originals(&[touched], Some(generation)).unwrap();
            dirs.originals().unwrap()
        };

        assert_eq!(note(&Owner::Network("front".try_into().unwrap()), 1), [], "it goes with its bridge");
        assert_eq!(note(&Owner::Project, 2), [of_link("0", &Owner::Project)]);
    }

    #[test]
    fn the_last_project_knows_what_the_first_one_changed() {
        let dir = tempfile::tempdir().unwrap();
        let of = |project: &str| Dirs { state: dir.path().join(project), run: dir.path().join("run") };

        of("shop").remember_originals(&update("0", "1"), Some(1)).unwrap();

        assert_eq!(of("blog").originals().unwrap(), [forward("0")]);
    }

    #[test]
    fn a_parameter_is_remembered_as_it_was_before_the_first_change_until_it_is_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs { state: dir.path().to_owned(), run: dir.path().to_owned() };

        dirs.remember_originals(&update("0", "1"), Some(1)).unwrap();
        dirs.remember_originals(&update("2", "1"), Some(2)).unwrap();
        assert_eq!(dirs.originals().unwrap(), [forward("0")]);

        dirs.remember_originals(&update("1", "0"), Some(3)).unwrap();
        assert_eq!(dirs.originals().unwrap(), []);
        // A run that was killed in between is finished by the next, which notes the same again.
        dirs.remember_originals(&update("1", "0"), Some(3)).unwrap();
        assert_eq!(dirs.originals().unwrap(), []);
    }
}
