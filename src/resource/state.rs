//! A state: kernel objects by id, with who asked for each. Desired, observed and applied are all of this shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::owner::{Origin, Owner};
use super::{Resource, ResourceId, Slot};

/// A kernel object in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The object.
    pub resource: Resource,
    /// The resource that it belongs to.
    pub owner: Owner,
    /// Where the manifest asks for it; `None` when it was read from the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The fields whose drift is left alone (`lifecycle.ignore`), named as in [`Resource::fields`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
}

/// Kernel objects, each once. A copy costs nothing before one of the two changes.
///
/// It is written as a list of entries, since JSON takes only texts as keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Entry>")]
pub struct State {
    entries: Arc<BTreeMap<ResourceId, Entry>>,
}

impl State {
    /// Puts an object in, in place of one with the same id, and returns that one.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        Arc::make_mut(&mut self.entries).insert(entry.resource.id(), entry)
    }

    /// Takes an object out.
    pub fn remove(&mut self, id: &ResourceId) -> Option<Entry> {
        if self.entries.contains_key(id) { Arc::make_mut(&mut self.entries).remove(id) } else { None }
    }

    /// Returns the object with this id.
    pub fn get(&self, id: &ResourceId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Returns all objects, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceId, &Entry)> {
        self.entries.iter()
    }

    /// Returns how many objects there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.entries.values())
    }
}

impl From<Vec<Entry>> for State {
    fn from(entries: Vec<Entry>) -> Self {
        entries.into_iter().collect()
    }
}

impl From<State> for Vec<Entry> {
    fn from(state: State) -> Self {
        Arc::unwrap_or_clone(state.entries).into_values().collect()
    }
}

impl Extend<Entry> for State {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        let mut entries = entries.into_iter().map(|entry| (entry.resource.id(), entry)).peekable();
        if entries.peek().is_some() {
            Arc::make_mut(&mut self.entries).extend(entries);
        }
    }
}

impl FromIterator<Entry> for State {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        // What is sorted is their places: an entry is large, and a map that is given them in order moves each once.
        let mut entries: Vec<_> =
            entries.into_iter().map(|entry| Some((entry.resource.id(), entry))).collect();
        let id = |at: &usize| entries.get(*at).and_then(Option::as_ref).map(|(id, _)| id);
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by(|a, b| id(a).cmp(&id(b)));
        let sorted = order.into_iter().filter_map(|at| entries.get_mut(at)?.take());
        Self { entries: Arc::new(sorted.collect()) }
    }
}

/// What the manifest asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired(pub State);

/// What the kernel holds: our own objects, and what others hold of the places that ours may want.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The objects that carry this project's mark.
    pub own: State,
    /// Slots that somebody else fills: every foreign link of a namespace that was looked into, every foreign named
    /// namespace, a foreign address or route on a link of ours, a foreign file. Written as a list of pairs.
    #[serde(with = "slots")]
    pub foreign: BTreeMap<Slot, Foreign>,
}

/// Somebody else's object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// What it is, e.g. `bridge br-front` or `address 10.0.0.9/24 on br-front`.
    pub what: String,
    /// Whose it is, as far as can be told: `project blog`, `Docker`, `libvirt`.
    pub owner: Option<String>,
    /// Whether it stands on an object of ours, so that plans show it as `?`; the resource that it stands on.
    pub on: Option<Owner>,
}

mod slots {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Foreign, Slot};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<Slot, Foreign>, s: S) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<Slot, Foreign>, D::Error> {
        Ok(Vec::<(Slot, Foreign)>::deserialize(d)?.into_iter().collect())
    }
}
