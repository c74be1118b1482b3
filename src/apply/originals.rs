//! Kernel parameters of the host as they were before netform changed them, so that `destroy` can set them back.

mod lost;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::disk::{self, Dirs, DiskError, KNOWN, Known};
use super::generation::Generation;
use crate::plan::Touched;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::{Entry, State};
use crate::resource::sysctl::SysctlKey;
use crate::resource::{Resource, ResourceId};
use lost::UNKNOWN;

#[derive(Serialize, Deserialize)]
struct OriginalsFile {
    format: Known,
    /// The generation whose changes were noted last: noting those of containers twice would take our own value for the
    /// original.
    #[serde(default)]
    generation: u64,
    /// Whether the host's are those that the project asks for now. Once, what it had given up stayed among them.
    #[serde(default)]
    is_asked: bool,
    /// Whether what was noted before was lost, so that what is missing may have been changed all the same.
    #[serde(default, skip_serializing_if = "is_false")]
    lost: bool,
    originals: State,
    /// What was wrong with the file that this was read from.
    #[serde(skip)]
    wrong: Option<String>,
    /// Whether there is none, nor a copy.
    #[serde(skip)]
    is_missing: bool,
}

/// What is known of parameters as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Originals {
    /// Those that the project has changed and asks for.
    pub known: Vec<Entry>,
    /// The file from which what was noted of others was lost.
    pub lost: Option<PathBuf>,
    /// What the user should know of that file.
    pub warning: Option<String>,
    /// Whether there is no such file, be it that nothing was ever noted.
    pub(super) is_missing: bool,
}

/// Tells whether something else than a file is there, for sure: one that cannot be looked at now may be read later.
fn is_no_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| !there.is_file())
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Dirs {
    /// Returns the parameters as they were. Of a damaged file there is a copy; where that is damaged, too, others may have on
    /// record what the project asks for, and the rest is lost: nothing is better than a wrong value.
    /// The host's are those that the project asks for: what it has given up is others' to set.
    ///
    /// # Errors
    ///
    /// When a later netform wrote it, or it cannot be read at all.
    pub fn originals(&self) -> Result<Originals, DiskError> {
        let OriginalsFile { lost, mut originals, wrong, is_missing, .. } = self.read_originals(None)?;
        if lost {
            let last = self.last_generation(None)?;
            self.take_over(&mut originals, &[], last.as_ref().map(|last| &last.state));
        }
        let lost = lost.then(|| self.originals_path());
        Ok(Originals { known: originals.into(), lost, warning: wrong, is_missing })
    }

    /// Returns what the other projects on the host have on record of its parameters: each has all that it asks for, be it
    /// that another one changed it, so that the last one can set it back. What one has changed whose run was killed is in its
    /// journal.
    pub fn originals_of_others(&self) -> Vec<Entry> {
        let mut originals = State::default();
        for other in self.others() {
            let file = other.read_originals(None).map(|file| file.originals).unwrap_or_default();
            // What a container had is nobody else's to set back.
            let known = file.iter().filter(|(id, _)| id.ns() == NsRef::Host && originals.get(id).is_none());
            let known: Vec<Entry> = known.map(|(_, entry)| entry.clone()).collect();
            originals.extend(known);
            let begun = other.originals_of_begun().into_iter();
            let begun = begun.filter(|entry| originals.get(&entry.resource.id()).is_none());
            originals.extend(begun.collect::<Vec<_>>());
        }
        originals.into()
    }

    /// Returns what was touched of the host's parameters that other projects ask for by now: they rely on it.
    pub(super) fn used_by_others(&self, touched: &[Touched]) -> Vec<Touched> {
        let mut used = touched.to_vec();
        used.retain(|touched| matches!(touched.id, ResourceId::Sysctl(NsRef::Host, _)));
        if !used.is_empty() {
            let on_record = self.originals_of_others();
            used.retain(|touched| on_record.iter().any(|entry| entry.resource.id() == touched.id));
        }
        used
    }

    /// Returns what the host's parameters were before a run that was killed changed them, or that is under way.
    fn originals_of_begun(&self) -> Vec<Entry> {
        let Ok(Some(journal)) = self.read_journal() else { return vec![] };
        let begun = journal.touched.into_iter().filter_map(|Touched { id: _, before, after }| {
            before.filter(|_| after.as_ref().is_some_and(is_asked))
        });
        begun.map(|before| Entry { origin: None, ..before }).collect()
    }

    /// Reads what was noted up to a generation.
    fn read_originals(&self, before: Option<u64>) -> Result<OriginalsFile, DiskError> {
        let mut file = match self
            .spared_originals()
            .map_or_else(|| disk::read::<OriginalsFile>(&self.originals_path(), KNOWN), |file| Ok(Some(file)))
        {
            Ok(Some(file)) => file,
            Ok(None) => self.copied_originals().unwrap_or_else(OriginalsFile::none),
            Err(error @ DiskError::Damaged { .. }) => self.instead_of_damaged(&error),
            // A directory in its place says no more than a damaged file.
            Err(error @ DiskError::Read { .. }) if is_no_file(&self.originals_path()) => {
                self.instead_of_damaged(&error)
            }
            Err(error) => return Err(error),
        };
        if !file.is_asked {
            let last = self.last_generation(before)?;
            keep_asked(&mut file.originals, &last.map(|last| last.state).unwrap_or_default());
        }
        Ok(file)
    }

    /// Returns the newest generation, of those before one.
    fn last_generation(&self, before: Option<u64>) -> Result<Option<Generation>, DiskError> {
        let mut numbers = self.numbers()?.into_iter().rev();
        let last = numbers.find(|number| before.is_none_or(|before| *number < before));
        Ok(last.and_then(|number| self.generation(number).ok().flatten()))
    }

    fn copied_originals(&self) -> Option<OriginalsFile> {
        disk::read(&self.copy_of_originals(), KNOWN).ok().flatten()
    }

    /// Returns what stands in for a file that is damaged.
    fn instead_of_damaged(&self, error: &DiskError) -> OriginalsFile {
        let why = error.source().map(|source| format!(" ({source})")).unwrap_or_default();
        match self.copied_originals() {
            Some(file) => {
                let wrong = Some(format!("{error}{why}; its copy is used"));
                OriginalsFile { wrong, ..file }
            }
            None => {
                let wrong = format!("{error}{why}: {UNKNOWN}");
                OriginalsFile { lost: true, wrong: Some(wrong), is_missing: false, ..OriginalsFile::none() }
            }
        }
    }

    /// Notes what a run has adopted, given up and changed for ever; see there.
    ///
    /// # Errors
    ///
    /// When that cannot be written down.
    pub(super) fn remember(
        &self,
        touched: &[Touched],
        generation: Option<&Generation>,
    ) -> Result<(), DiskError> {
        self.remember_adopted(touched)?;
        self.remember_originals(touched, generation.map(|it| (it.number, &it.state)))
    }

    /// Notes what a run has changed, and forgets what it has set back or given up. Only what stays is noted: a run that was
    /// undone has changed nothing. Once for a generation is enough, twice does no harm; `None` is a run that led to none.
    ///
    /// # Errors
    ///
    /// When that cannot be written down.
    fn remember_originals(
        &self,
        touched: &[Touched],
        generation: Option<(u64, &State)>,
    ) -> Result<(), DiskError> {
        let number = generation.map(|(number, _)| number);
        let mut file = self.read_originals(number)?;
        let is_asked = generation.is_some_and(|(_, state)| lasting(state).next().is_some());
        let concerns = is_asked || touched.iter().any(|it| outlasts(&it.id, it.after.as_ref()));
        let was_lost = file.lost;
        file.lost |= file.is_missing && concerns && self.has_noted(number);
        // The host's may be noted twice, and `watch` saves the newest generation again when the default route moves.
        let is_again = Some(file.generation) == number;
        let noted = touched.iter().filter(|touched| !is_again || touched.id.ns() == NsRef::Host);
        let touched: &[Touched] = &noted.cloned().collect::<Vec<_>>();
        let mut originals = file.originals.clone();
        if let Some((_, state)) = generation {
            keep_asked(&mut originals, state);
        }
        self.take_over(&mut originals, touched, generation.map(|(_, state)| state));
        note(&mut originals, touched);
        // Who asks for nothing any more has nothing to set back.
        let lost = file.lost && (generation.is_none() || is_asked);
        // The generation says that there is a record, though nothing had to be changed.
        let is_due = file.is_missing && is_asked;
        if originals == file.originals && lost == was_lost && file.wrong.is_none() && !is_due {
            return Ok(());
        }
        let generation = number.unwrap_or(file.generation);
        self.write_originals(&OriginalsFile { generation, lost, originals, ..OriginalsFile::none() })
    }

    fn write_originals(&self, file: &OriginalsFile) -> Result<(), DiskError> {
        let paths = self.originals_paths();
        for path in paths.iter().filter(|path| path.is_dir()) {
            // No file can take its place; where it cannot be moved, the next line says so.
            let _ = std::fs::rename(path, path.with_extension("damaged"));
        }
        self.write_somewhere(&paths, file)
    }

    /// Returns what was noted last where there was no room for it.
    fn spared_originals(&self) -> Option<OriginalsFile> {
        let path = self.originals_path();
        let file = self.read_spare::<OriginalsFile>(&path)?;
        let wrong = format!(
            "there is no room for {}, without which nobody would know what kernel parameters were: it is kept in {} until there is",
            path.display(),
            self.spare(&path).display()
        );
        Some(OriginalsFile { wrong: Some(wrong), ..file })
    }

    /// Returns the places of the record, itself last.
    pub(super) fn originals_paths(&self) -> [PathBuf; 2] {
        [self.copy_of_originals(), self.originals_path()]
    }

    /// Tells whether no record is anywhere.
    fn is_without_originals(&self) -> bool {
        let spare = self.spare(&self.originals_path());
        self.originals_paths().iter().chain([&spare]).all(|path| !path.exists())
    }

    /// Takes over what others have on record of what the project begins to ask for: what it has found is theirs.
    fn take_over(&self, originals: &mut State, touched: &[Touched], state: Option<&State>) {
        let touched = touched.iter().filter_map(|touched| touched.after.as_ref());
        let asked = state.into_iter().flat_map(State::iter).map(|(_, entry)| entry).chain(touched);
        let is_new = |entry: &&Entry| is_asked(entry) && originals.get(&entry.resource.id()).is_none();
        let new: BTreeSet<ResourceId> = asked.filter(is_new).map(|entry| entry.resource.id()).collect();
        if !new.is_empty() {
            let known = self.originals_of_others().into_iter();
            originals.extend(known.filter(|entry| new.contains(&entry.resource.id())).collect::<Vec<_>>());
        }
    }

    pub(super) fn originals_path(&self) -> PathBuf {
        self.state.join("originals.json")
    }

    /// What is written down in no other place is written down twice: no kernel remembers it.
    fn copy_of_originals(&self) -> PathBuf {
        self.state.join("originals.copy.json")
    }
}

impl OriginalsFile {
    /// What a project has that has changed nothing.
    fn none() -> Self {
        let originals = State::default();
        Self {
            format: Known,
            generation: 0,
            is_asked: true,
            lost: false,
            originals,
            wrong: None,
            is_missing: true,
        }
    }
}

/// Returns the parameters of the host that a state asks for, and that all projects share.
pub fn shared(state: &State) -> BTreeSet<&ResourceId> {
    let of_host = state.iter().filter(|(id, _)| matches!(id, ResourceId::Sysctl(NsRef::Host, _)));
    of_host.filter(|(_, entry)| is_asked(entry)).map(|(id, _)| id).collect()
}

/// Returns the parameters that a state asks for and that are to be set back when nobody does any more, of the host or of a
/// container.
pub fn lasting(state: &State) -> impl Iterator<Item = &Entry> {
    let lasting = state.iter().filter(|(id, entry)| entry.origin.is_some() && outlasts(id, Some(entry)));
    lasting.map(|(_, entry)| entry)
}

/// Tells whether a manifest asks for a parameter of the host that outlasts what it is for.
fn is_asked(entry: &Entry) -> bool {
    let is_hosts = entry.resource.sysctl().is_some_and(|sysctl| sysctl.ns == NsRef::Host);
    is_hosts && entry.origin.is_some() && outlasts(&entry.resource.id(), Some(entry))
}

/// Drops those of the host that a state does not ask for: what it was before the next time is what it will be by then.
fn keep_asked(originals: &mut State, state: &State) {
    let is_in = |id: &ResourceId| state.get(id).is_some_and(is_asked);
    // Where routers are to be heard is known from here when a link has lost its IPv6 for a while.
    let forwards = is_in(&ResourceId::Sysctl(NsRef::Host, SysctlKey::Ipv6Forward));
    let is_kept = |entry: &Entry| {
        let id = entry.resource.id();
        let hears = matches!(&id, ResourceId::Sysctl(_, key) if key.name() == Some("accept_ra"));
        id.ns() != NsRef::Host || is_in(&id) || (forwards && hears)
    };
    if !originals.iter().all(|(_, entry)| is_kept(entry)) {
        *originals = Vec::from(std::mem::take(originals)).into_iter().filter(is_kept).collect();
    }
}

/// Notes what was changed, and forgets what was set back, and what went.
fn note(originals: &mut State, touched: &[Touched]) {
    for Touched { id, before, after } in touched.iter().filter(|it| outlasts(&it.id, it.after.as_ref())) {
        let (before, after) = match (before, after) {
            (Some(before), Some(after)) => (before.clone(), after),
            // In a namespace that is new, it was what it is in any that is.
            (None, Some(after)) if id.ns() != NsRef::Host => (unknown(after), after),
            (None | Some(_), None) | (None, Some(_)) => continue,
        };
        // What no line of a manifest asks for was set back.
        let is_back = after.origin.is_none();
        if is_back || originals.get(id).is_some_and(|original| original.resource == after.resource) {
            originals.remove(id);
        } else if originals.get(id).is_none() {
            originals.insert(Entry { origin: None, ..before });
        }
    }
    // What a namespace had went with it.
    let gone = touched.iter().filter(|touched| touched.after.is_none());
    let gone = gone.filter_map(|touched| touched.id.netns().cloned().map(NsRef::Named));
    let gone: Vec<NsRef> = gone.collect();
    if !gone.is_empty() {
        let stay = |entry: &Entry| !gone.contains(&entry.resource.id().ns());
        *originals = Vec::from(std::mem::take(originals)).into_iter().filter(stay).collect();
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
fn outlasts(id: &ResourceId, after: Option<&Entry>) -> bool {
    match id {
        ResourceId::Sysctl(NsRef::Host, SysctlKey::PerLink { .. }) => {
            after.is_some_and(|after| after.owner == Owner::Project)
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
mod tests;
