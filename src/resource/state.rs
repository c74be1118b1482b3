//! A state: kernel objects by id, with who asked for each. Desired, observed and applied are all of this shape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// Kernel objects, each once. A copy costs nothing before one of the two changes, and little then.
///
/// It is written as a list of entries, since JSON takes only texts as keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    // An entry is large: it is moved once, into a place of its own.
    entries: Arc<BTreeMap<ResourceId, Arc<Entry>>>,
}

impl State {
    /// Takes objects; tells whether they came in the order of their ids, each once.
    pub fn in_order(objects: Vec<Placed>) -> (Self, bool) {
        let in_order = objects.is_sorted_by(|one, next| one.id < next.id);
        (objects.into(), in_order)
    }

    /// Puts an object in, in place of one with the same id, and returns that one.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let Placed { id, entry } = entry.into();
        Arc::make_mut(&mut self.entries).insert(id, entry).map(Arc::unwrap_or_clone)
    }

    /// Takes an object out.
    pub fn remove(&mut self, id: &ResourceId) -> Option<Entry> {
        if !self.entries.contains_key(id) {
            return None;
        }
        Arc::make_mut(&mut self.entries).remove(id).map(Arc::unwrap_or_clone)
    }

    /// Returns the object with this id.
    pub fn get(&self, id: &ResourceId) -> Option<&Entry> {
        self.entries.get(id).map(AsRef::as_ref)
    }

    /// Returns all objects, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (id, entry.as_ref()))
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

/// An object by its id, in a place of its own: an entry is large, and this is where it stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    id: ResourceId,
    entry: Arc<Entry>,
}

impl Placed {
    /// Puts objects in the order of their ids, those with the same id in the order in which they come.
    ///
    /// Those of a kind mostly come in order, with others between them, so they are told apart first. An id is large: numbers are
    /// sorted, and each object is moved once.
    pub fn in_order(objects: Vec<Self>) -> Vec<Self> {
        if objects.is_sorted_by(|one, next| one.id <= next.id) {
            return objects;
        }
        let kinds: Vec<u8> = objects.iter().map(|object| rank(&object.id)).collect();
        let kind = |number: &usize| kinds.get(*number);
        let id = |number: &usize| objects.get(*number).map(|object| &object.id);
        let mut order: Vec<usize> = (0..objects.len()).collect();
        order.sort_by_key(kind);
        for alike in order.chunk_by_mut(|one, next| kind(one) == kind(next)) {
            alike.sort_by(|one, other| id(one).cmp(&id(other)));
        }
        let mut slots: Vec<_> = objects.into_iter().map(Some).collect();
        order.into_iter().filter_map(|number| slots.get_mut(number)?.take()).collect()
    }

    /// Returns what the object is known by.
    pub fn id(&self) -> &ResourceId {
        &self.id
    }

    /// Returns the object.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl From<Entry> for Placed {
    fn from(entry: Entry) -> Self {
        Self { id: entry.resource.id(), entry: Arc::new(entry) }
    }
}

impl From<Vec<Placed>> for State {
    fn from(objects: Vec<Placed>) -> Self {
        let pair = |Placed { id, entry }| (id, entry);
        Self { entries: Arc::new(Placed::in_order(objects).into_iter().map(pair).collect()) }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter().map(|(_, entry)| entry))
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = State;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of kernel objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<State, A::Error> {
                let mut objects = vec![];
                while let Some(entry) = list.next_element::<Entry>()? {
                    objects.push(Placed::from(entry));
                }
                Ok(objects.into())
            }
        }

        d.deserialize_seq(Entries)
    }
}

/// Returns where the kind of an object is in the order of all.
fn rank(id: &ResourceId) -> u8 {
    match id {
        ResourceId::Netns(_) => 0,
        ResourceId::Link(..) => 1,
        ResourceId::Address(..) => 2,
        ResourceId::Route(..) => 3,
        ResourceId::Neighbour(..) => 4,
        ResourceId::Sysctl(..) => 5,
        ResourceId::NftTable(_) => 6,
        ResourceId::NftElement(..) => 7,
        ResourceId::Passage(..) => 8,
        ResourceId::Qdisc(..) => 9,
        ResourceId::File(_) => 10,
    }
}

impl From<Vec<Entry>> for State {
    fn from(entries: Vec<Entry>) -> Self {
        entries.into_iter().collect()
    }
}

impl From<State> for Vec<Entry> {
    fn from(state: State) -> Self {
        Arc::unwrap_or_clone(state.entries).into_values().map(Arc::unwrap_or_clone).collect()
    }
}

impl Extend<Entry> for State {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        let mut entries = entries.into_iter().map(Placed::from).peekable();
        if entries.peek().is_some() {
            Arc::make_mut(&mut self.entries).extend(entries.map(|Placed { id, entry }| (id, entry)));
        }
    }
}

impl FromIterator<Entry> for State {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        entries.into_iter().map(Placed::from).collect::<Vec<_>>().into()
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
    /// The resource of ours whose mark it bears, though all else says that it is none of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bears: Option<Owner>,
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
