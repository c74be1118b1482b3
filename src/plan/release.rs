//! What is given up stays as it is, and loses its mark.

use std::collections::BTreeSet;

use crate::names::IfName;
use crate::resource::address::Address;
use crate::resource::link::Link;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::{Desired, Entry, Observed, State};
use crate::resource::{Resource, ResourceId, Slot};

/// What was there before netform, and was adopted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adopted {
    /// What is still the project's.
    pub ids: BTreeSet<ResourceId>,
    /// Addresses, routes and kernel parameters as they were that are gone or changed since, without a mark.
    pub before: State,
}

/// Where something is: the namespace and the name of a link.
pub type Spot = (NsRef, IfName);

/// Returns the link that an address or a route is on, or a kernel parameter is of; `None` for all else.
pub fn place(resource: &Resource) -> Option<Spot> {
    match resource {
        Resource::Address(Address { ns, link, .. }) => Some((ns.clone(), link.clone())),
        Resource::Route(route) => route.leaves_by().map(|(link, _)| (route.ns.clone(), link.clone())),
        Resource::Sysctl(sysctl) => sysctl.key.link().map(|link| (sysctl.ns.clone(), link.clone())),
        Resource::Netns(_)
        | Resource::Link(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Passage(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => None,
    }
}

/// Tells whether what was changed of an object is changed back when it is given up.
pub fn is_given_back(resource: &Resource) -> bool {
    place(resource).is_some()
}

/// Returns the links among these, and the other ends of pairs.
pub fn places<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeSet<Spot> {
    let links = entries.filter_map(|entry| entry.resource.link());
    let both = links.flat_map(|link| {
        let peer = link.kind.peer().map(|peer| (peer.ns.clone(), peer.name.clone()));
        peer.into_iter().chain([(link.ns.clone(), link.name.clone())])
    });
    both.collect()
}

/// Returns an object without its mark, as it would be had somebody made it by hand; `None` when it bears none.
pub fn unmarked(entry: &Entry) -> Option<Entry> {
    let mut entry = entry.clone();
    let instead = match &mut entry.resource {
        Resource::Link(link) => {
            link.altname = None;
            link.protected = false;
            ""
        }
        Resource::Netns(_) => "",
        // `IFAPROT_UNSPEC` and `RTPROT_BOOT`, as ip(8) writes.
        Resource::Address(address) => {
            (address.lost, address.stray) = (vec![], None);
            "0"
        }
        Resource::Route(_) => "3",
        Resource::Sysctl(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Passage(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => {
            return None;
        }
    };
    entry.owner = Owner::Unmarked(instead.into());
    Some(entry)
}

impl Adopted {
    /// Returns the kernel parameters as they were of links that are given up: of what bears no mark nobody knows later.
    pub fn parameters_of<'a>(&'a self, released: impl Iterator<Item = &'a Entry>) -> Vec<&'a Entry> {
        let places = places(released);
        let parameters = self.before.iter().filter(|(id, _)| matches!(id, ResourceId::Sysctl(..)));
        let is_there = |entry: &&Entry| place(&entry.resource).is_some_and(|place| places.contains(&place));
        parameters.map(|(_, entry)| entry).filter(is_there).collect()
    }
}

/// Asks for what was adopted, is live and is not desired to be given up and not removed; returns what that is.
pub fn give_up(
    desired: &mut Desired,
    observed: &Observed,
    Adopted { ids, before }: &Adopted,
) -> BTreeSet<ResourceId> {
    let undesired = ids.iter().filter(|id| desired.0.get(id).is_none());
    let mut released: Vec<Entry> =
        undesired.filter_map(|id| observed.own.get(id)).filter_map(unmarked).collect();
    // What was changed of it since, or taken from it, is as it was: a route that stays needs the address that it was for.
    let places = places(released.iter());
    let is_there = |entry: &&Entry| place(&entry.resource).is_some_and(|place| places.contains(&place));
    let is_free = |entry: &&Entry| {
        let id = entry.resource.id();
        desired.0.get(&id).is_none() && !observed.foreign.contains_key(&Slot::Object(id))
    };
    let back: Vec<Entry> =
        before.iter().map(|(_, entry)| entry).filter(is_there).filter(is_free).cloned().collect();
    released.retain(|entry| before.get(&entry.resource.id()).is_none());
    released.extend(back);
    let ids: BTreeSet<ResourceId> = released.iter().map(|entry| entry.resource.id()).collect();
    for mut entry in released {
        if let Resource::Link(link) = &mut entry.resource {
            let Link { ns, master, .. } = link.as_mut();
            // A bridge of ours that goes lets go of its ports.
            let bridge = master.clone().map(|master| ResourceId::Link(NsRef::clone(ns), master));
            let goes = |id: &ResourceId| observed.own.get(id).is_some() && desired.0.get(id).is_none();
            if bridge.is_some_and(|id| goes(&id) && !ids.contains(&id)) {
                *master = None;
            }
        }
        desired.0.insert(entry);
    }
    ids
}

/// Asks for namespaces of ours that are `homes` of somebody else now to be given up and not removed; returns which these are.
pub fn give_up_homes(
    desired: &mut Desired,
    observed: &Observed,
    homes: &BTreeSet<NsRef>,
) -> BTreeSet<ResourceId> {
    let names = homes.iter().filter_map(|ns| match ns {
        NsRef::Named(name) => Some(ResourceId::Netns(name.clone())),
        NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => None,
    });
    let undesired = names.filter(|id| desired.0.get(id).is_none());
    let released: Vec<Entry> = undesired.filter_map(|id| unmarked(observed.own.get(&id)?)).collect();
    let ids = released.iter().map(|entry| entry.resource.id()).collect();
    desired.0.extend(released);
    ids
}
