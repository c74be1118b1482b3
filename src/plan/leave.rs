//! What may not be touched is desired as it is.

use std::collections::BTreeSet;
use std::fmt;

use foldhash::HashSet;
use serde::{Deserialize, Serialize};

use super::{Drift, Moved};
use crate::resource::amiss::WELL;
use crate::resource::link::{Link, LinkKind};
use crate::resource::state::{Desired, Entry, Observed, State};
use crate::resource::{Resource, ResourceId, Slot};

/// Something that can move: a field of a kernel object, or the object itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Spot {
    /// The kernel object.
    pub object: ResourceId,
    /// The field; `None` is whether the object is there.
    pub field: Option<String>,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, field } = self;
        match field {
            Some(field) => write!(f, "{object}: {field}"),
            None => write!(f, "{object}"),
        }
    }
}

impl Drift {
    /// Returns what it was that moved.
    pub fn spot(&self) -> Spot {
        let field = match &self.moved {
            Moved::Changed { field, .. } => Some(field.clone()),
            Moved::Deleted => None,
        };
        Spot { object: self.object.clone(), field }
    }
}

/// Returns what is desired, but for `spots`: these are desired as they are observed, and what stands on an object that
/// is not there is not desired either.
pub fn leaving(desired: &Desired, observed: &Observed, spots: &BTreeSet<Spot>) -> Desired {
    let mut state = desired.0.clone();
    for Spot { object, field } in spots {
        let (Some(wanted), live) = (state.get(object), observed.own.get(object)) else { continue };
        match (live, field) {
            (Some(live), Some(field)) => drop(state.insert(with_field(wanted, &live.resource, field))),
            // It is there again, and its fields are others' business.
            (Some(_), None) => {}
            (None, None) => drop(state.remove(object)),
            // What is gone is made whole.
            (None, Some(_)) => {}
        }
    }
    drop_what_hangs(&mut state, &desired.0, &observed.own);
    Desired(state)
}

/// Returns an entry with one field as it is live; a field that does not stand alone takes the others along.
fn with_field(wanted: &Entry, live: &Resource, field: &str) -> Entry {
    let resource = match (&wanted.resource, live) {
        (Resource::Link(to), Resource::Link(from)) => Resource::from(with_link_field(to, from, field)),
        (_, live) => live.clone(),
    };
    Entry { resource, ..wanted.clone() }
}

fn with_link_field(to: &Link, from: &Link, field: &str) -> Link {
    let mut link = to.clone();
    match (field, &mut link.kind, &from.kind) {
        ("mtu", _, _) => link.mtu = from.mtu,
        ("mac", _, _) => link.mac = from.mac,
        ("state", _, _) => link.up = from.up,
        ("master" | "port record" | "vlan" | "trunks" | "vlan entries", LinkKind::Veth(_), _) => {
            link.master.clone_from(&from.master);
            link.port.clone_from(&from.port);
            link.vlans.clone_from(&from.vlans);
        }
        (field, _, _) if WELL.iter().any(|(name, _)| *name == field) => link.amiss.clone_from(&from.amiss),
        ("altname", _, _) => link.altname.clone_from(&from.altname),
        ("peer mtu", LinkKind::Veth(to), LinkKind::Veth(from)) => to.mtu = from.mtu,
        ("peer mac", LinkKind::Veth(to), LinkKind::Veth(from)) => to.mac = from.mac,
        ("peer state", LinkKind::Veth(to), LinkKind::Veth(from)) => to.up = from.up,
        _ => link = from.clone(),
    }
    link
}

/// Takes out what needs something that was taken out; what is there of it stays as it is.
fn drop_what_hangs(state: &mut State, desired: &State, live: &State) {
    let provided = |state: &State| -> HashSet<Slot> {
        state.iter().flat_map(|(_, entry)| entry.resource.provides()).collect()
    };
    let mut settled = BTreeSet::<ResourceId>::new();
    loop {
        let gone: HashSet<Slot> = provided(desired).difference(&provided(state)).cloned().collect();
        let hangs = |entry: &Entry| entry.resource.requires().iter().any(|need| gone.contains(&need.slot));
        let hanging: Vec<ResourceId> = state
            .iter()
            .filter(|(id, entry)| !settled.contains(id) && hangs(entry))
            .map(|(id, _)| id.clone())
            .collect();
        if hanging.is_empty() {
            return;
        }
        for id in hanging {
            match (live.get(&id), state.get(&id).cloned()) {
                (Some(live), Some(wanted)) => {
                    state.insert(Entry { resource: live.resource.clone(), ..wanted });
                    settled.insert(id);
                }
                (None, _) | (_, None) => drop(state.remove(&id)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::IfName;
    use crate::resource::address::Address;
    use crate::resource::netns::NsRef;
    use crate::resource::owner::Owner;

    fn bridge(mtu: u32, up: bool) -> Entry {
        let link = Link {
            up,
            ..Link::alone(
                NsRef::Host,
                IfName::try_from("br-front").unwrap(),
                crate::names::Mtu::try_from(mtu).unwrap(),
                LinkKind::Bridge,
            )
        };
        entry(Resource::from(link))
    }

    fn address() -> Entry {
        let link = IfName::try_from("br-front").unwrap();
        entry(Resource::Address(Address::new(NsRef::Host, link, "10.0.0.1/24".parse().unwrap())))
    }

    fn entry(resource: Resource) -> Entry {
        Entry { resource, owner: Owner::Project, origin: None, ignore: vec![] }
    }

    fn left(observed: Vec<Entry>, field: Option<&str>) -> Vec<Entry> {
        let desired = Desired(vec![bridge(1500, true), address()].into());
        let object = bridge(1500, true).resource.id();
        let spots = [Spot { object, field: field.map(str::to_owned) }].into();
        let observed = Observed { own: observed.into(), ..Observed::default() };
        leaving(&desired, &observed, &spots).0.into()
    }

    #[test]
    fn a_field_that_is_left_alone_is_desired_as_it_is_and_the_others_are_not() {
        assert_eq!(left(vec![bridge(1400, false)], Some("mtu")), [bridge(1400, true), address()]);
        assert_eq!(left(vec![bridge(1400, false)], Some("state")), [bridge(1500, false), address()]);
    }

    #[test]
    fn an_object_that_is_left_gone_takes_what_stands_on_it_along() {
        assert_eq!(left(vec![], None), []);
        assert_eq!(left(vec![], Some("mtu")), [bridge(1500, true), address()]);
        assert_eq!(left(vec![bridge(1400, true)], None), [bridge(1500, true), address()]);
    }
}
