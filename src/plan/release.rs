//! What is given up stays as it is, and loses its mark.

use std::collections::BTreeSet;

use crate::resource::link::Link;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::{Desired, Entry, Observed};
use crate::resource::{Resource, ResourceId};

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
        Resource::Address(_) => "0",
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

/// Asks for what was adopted, is live and is not desired to be given up and not removed; returns what that is.
pub fn give_up(
    desired: &mut Desired,
    observed: &Observed,
    adopted: &BTreeSet<ResourceId>,
) -> BTreeSet<ResourceId> {
    let undesired = adopted.iter().filter(|id| desired.0.get(id).is_none());
    let released: Vec<Entry> = undesired.filter_map(|id| observed.own.get(id)).filter_map(unmarked).collect();
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
