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
    // In the order of their ids: it is looked through far more often than a single object comes or goes.
    objects: Arc<Vec<Placed>>,
}

impl State {
    /// Takes objects; tells whether they came in the order of their ids, each once.
    pub fn in_order(objects: Vec<Placed>) -> (Self, bool) {
        let in_order = objects.is_sorted_by(|one, next| one.id < next.id);
        (objects.into(), in_order)
    }

    /// Puts an object in, in place of one with the same id, and returns that one.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let mut object = Placed::from(entry);
        let place = self.place(&object.id);
        let objects = Arc::make_mut(&mut self.objects);
        if let Some(there) = place.ok().and_then(|at| objects.get_mut(at)) {
            std::mem::swap(there, &mut object);
            return Some(Arc::unwrap_or_clone(object.entry));
        }
        objects.insert(place.unwrap_or_else(|at| at), object);
        None
    }

    /// Takes an object out. For many there is [`retain`](Self::retain).
    pub fn remove(&mut self, id: &ResourceId) -> Option<Entry> {
        let at = self.place(id).ok()?;
        Some(Arc::unwrap_or_clone(Arc::make_mut(&mut self.objects).remove(at).entry))
    }

    /// Keeps the objects of which `keep` is true.
    pub fn retain(&mut self, keep: impl Fn(&ResourceId) -> bool) {
        if self.objects.iter().all(|object| keep(&object.id)) {
            return;
        }
        Arc::make_mut(&mut self.objects).retain(|object| keep(&object.id));
    }

    /// Returns the object with this id.
    pub fn get(&self, id: &ResourceId) -> Option<&Entry> {
        let at = self.place(id).ok()?;
        self.objects.get(at).map(Placed::entry)
    }

    /// Returns all objects, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceId, &Entry)> + Clone {
        self.objects.iter().map(|object| (&object.id, object.entry.as_ref()))
    }

    /// Returns how many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Returns where an object is, or would be.
    fn place(&self, id: &ResourceId) -> Result<usize, usize> {
        self.objects.binary_search_by(|object| object.id.cmp(id))
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
    pub fn in_order(mut objects: Vec<Self>) -> Vec<Self> {
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
        put(&mut objects, &mut order);
        objects
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

/// Moves each object to its place: `order` says, for each place, which one comes there. No room is needed for them twice.
fn put(objects: &mut [Placed], order: &mut [usize]) {
    for start in 0..objects.len() {
        let mut place = start;
        // Round by round: whoever is here makes room for the one that comes here.
        while let Some(comes) = order.get_mut(place) {
            let from = std::mem::replace(comes, place);
            if from == start {
                break;
            }
            objects.swap(place, from);
            place = from;
        }
    }
}

impl From<Vec<Placed>> for State {
    /// Of those with the same id the last one counts.
    fn from(objects: Vec<Placed>) -> Self {
        let mut objects = Placed::in_order(objects);
        objects.dedup_by(|next, one| {
            let is_same = next.id == one.id;
            if is_same {
                std::mem::swap(next, one);
            }
            is_same
        });
        Self { objects: Arc::new(objects) }
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
        let objects = Arc::unwrap_or_clone(state.objects).into_iter();
        objects.map(|object| Arc::unwrap_or_clone(object.entry)).collect()
    }
}

impl Extend<Entry> for State {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        let more = Placed::in_order(entries.into_iter().map(Placed::from).collect());
        let Some(first) = more.first() else { return };
        let is_behind = self.objects.last().is_none_or(|last| last.id < first.id)
            && more.is_sorted_by(|one, next| one.id < next.id);
        let objects = Arc::make_mut(&mut self.objects);
        objects.extend(more);
        if !is_behind {
            *self = std::mem::take(objects).into();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::file::TextFile;

    fn file(name: &str, content: &str) -> Entry {
        let resource = Resource::File(TextFile::new(std::path::Path::new(name).into(), content.into()));
        Entry { resource, owner: Owner::Project, origin: None, ignore: vec![] }
    }

    fn texts(state: &State) -> String {
        let text = |entry: &Entry| {
            let Resource::File(file) = &entry.resource else { panic!("{entry:?}") };
            format!("{}={}", file.path.display(), file.content)
        };
        state.iter().map(|(_, entry)| text(entry)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn objects_stand_in_the_order_of_their_ids_and_of_twins_the_last_one_counts() {
        let came = ["d", "b", "a", "b", "e", "c", "a"].iter().enumerate();
        let state: State = came.map(|(number, name)| file(name, &number.to_string())).collect();
        assert_eq!(texts(&state), "a=6 b=3 c=5 d=0 e=4");
        let same: State = ["e", "d", "c", "b", "a"]
            .iter()
            .zip(["4", "0", "5", "3", "6"])
            .map(|(n, c)| file(n, c))
            .collect();
        assert_eq!(state, same);
    }

    #[test]
    fn any_order_is_put_right() {
        let mut seed = 7_u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 16
        };
        for length in 0..60 {
            let names: Vec<String> = (0..length).map(|_| format!("{:04}", next() % 100)).collect();
            let state: State = names.iter().map(|name| file(name, name)).collect();
            let want: std::collections::BTreeSet<_> =
                names.iter().map(|name| format!("{name}={name}")).collect();
            assert_eq!(texts(&state), Vec::from_iter(want).join(" "), "{names:?}");
        }
    }

    #[test]
    fn objects_come_and_go() {
        let mut state: State = [file("b", "1"), file("d", "1")].into_iter().collect();
        let before = state.clone();

        assert_eq!(state.insert(file("c", "1")), None);
        assert_eq!(state.insert(file("b", "2")), Some(file("b", "1")));
        state.extend([file("a", "3"), file("d", "3")]);
        assert_eq!(texts(&state), "a=3 b=2 c=1 d=3");
        state.extend([file("e", "0"), file("e", "4")]);
        assert_eq!(state.remove(&file("b", "").resource.id()), Some(file("b", "2")));
        assert_eq!(state.remove(&file("x", "").resource.id()), None);
        assert_eq!(state.get(&file("e", "").resource.id()), Some(&file("e", "4")));
        state.retain(|id| *id != file("c", "").resource.id());
        assert_eq!(texts(&state), "a=3 d=3 e=4");
        assert_eq!(texts(&before), "b=1 d=1", "a copy stays as it was");
        assert_eq!(Vec::from(state).len(), 3);
    }
}
