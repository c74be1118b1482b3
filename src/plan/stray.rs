//! Links and namespaces of ours whose marks somebody has changed or taken off.
//!
//! Who made a link is written on it, and anybody may write something else there. What the last apply led to is known beside,
//! so that a link which is the same in all that tells it from others is taken for ours all the same, and marked again. What
//! is not sure to be it stays somebody else's.

use std::collections::BTreeMap;

use crate::names::ProjectName;
use crate::resource::link::{Link, Peer};
use crate::resource::netns::NsRef;
use crate::resource::owner::Mark;
use crate::resource::state::{Entry, Observed, State};
use crate::resource::{Resource, ResourceId, Slot};

/// Returns what is nobody's where the last apply led to something of ours, with the mark that it bore.
pub fn suspects(applied: &State, observed: &Observed, project: &ProjectName) -> BTreeMap<ResourceId, Mark> {
    let nobodys = observed.foreign.iter().filter(|(_, foreign)| foreign.owner.is_none());
    let ids = nobodys.filter_map(|(slot, _)| match slot {
        Slot::Ifname(ns, name) => Some(ResourceId::Link(ns.clone(), name.clone())),
        Slot::Ns(NsRef::Named(name)) => Some(ResourceId::Netns(name.clone())),
        Slot::Ns(NsRef::Host | NsRef::Path(_) | NsRef::Process(_))
        | Slot::Altname(..)
        | Slot::Addressed(..)
        | Slot::Shared(_)
        | Slot::Device(_)
        | Slot::Filtered(_)
        | Slot::Object(_) => None,
    });
    let known = ids.filter_map(|id| applied.get(&id)).filter(|entry| !entry.owner.is_unmarked());
    known.map(|entry| (entry.resource.id(), mark(entry, project))).collect()
}

/// Returns the mark that an object of ours bears.
pub fn mark(entry: &Entry, project: &ProjectName) -> Mark {
    let protected = entry.resource.link().is_some_and(|link| link.protected);
    Mark { project: project.clone(), owner: entry.owner.clone(), protected }
}

/// Tells whether what is taken for ours surely is what the last apply led to. A link is by its kind, its addresses and what it
/// is tied to; a namespace is by a link of ours in it, which no other can have.
pub fn is_sure(id: &ResourceId, applied: &State, observed: &State) -> bool {
    let is_same = |id: &ResourceId| match (link(applied, id), link(observed, id)) {
        (Some(known), Some(seen)) => is_same_link(known, seen),
        (None | Some(_), None | Some(_)) => false,
    };
    match id {
        ResourceId::Netns(name) => {
            let is_inside = |entry: &Entry| {
                let link = entry.resource.link();
                link.is_some_and(|link| link.namespaces().any(|ns| *ns == NsRef::Named(name.clone())))
            };
            applied.iter().filter(|(_, entry)| is_inside(entry)).any(|(id, _)| is_same(id))
        }
        ResourceId::Link(..) => is_same(id),
        ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => false,
    }
}

fn link<'s>(state: &'s State, id: &ResourceId) -> Option<&'s Link> {
    state.get(id)?.resource.link()
}

/// Tells whether a link is another one's continuation: of the same kind and tied to the same, with the same link-layer
/// addresses, or, where the kernel has chosen those, with the name that says whose it is.
fn is_same_link(known: &Link, seen: &Link) -> bool {
    let is_kind = Resource::from(seen.clone()).can_become(&Resource::from(known.clone())).is_ok();
    let ends = [known, seen].map(|link| link.kind.peer().map(|Peer { mac, .. }| *mac));
    let [known_end, seen_end] = ends;
    let is_named = known.altname.is_some() && known.altname == seen.altname;
    is_kind
        && known_end == seen_end
        && known.mac.is_none_or(|mac| seen.mac == Some(mac))
        && (known.mac.is_some() || known_end.is_some() || is_named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{IfName, Mac, Mtu};
    use crate::resource::link::LinkKind;

    fn bridge(mac: u8) -> Link {
        let name = IfName::try_from("br-front").unwrap();
        Link {
            mac: Some(Mac([2, 0, 0, 0, 0, mac])),
            altname: Some("netform.shop.front".into()),
            ..Link::alone(NsRef::Host, name, Mtu::ETHERNET, LinkKind::Bridge)
        }
    }

    fn pair(name: &str, mac: u8) -> Link {
        let peer = Peer {
            ns: NsRef::Named("web".try_into().unwrap()),
            name: IfName::try_from(name).unwrap(),
            mac: Mac([2, 0x42, 0, 0, 0, mac]),
            mtu: Mtu::ETHERNET,
            up: true,
            tag: None,
        };
        Link { mac: None, altname: None, kind: LinkKind::Veth(peer), ..bridge(1) }
    }

    #[track_caller]
    fn check(known: &Link, seen: &Link, want: bool) {
        assert_eq!(is_same_link(known, seen), want, "{known:?} {seen:?}");
    }

    #[test]
    fn a_link_is_the_same_by_what_tells_it_from_others() {
        check(&bridge(1), &bridge(1), true);
        check(
            &bridge(1),
            &Link { altname: None, mtu: Mtu::try_from(1400).unwrap(), up: false, ..bridge(1) },
            true,
        );
        check(&bridge(1), &bridge(2), false);
        check(&bridge(1), &Link { kind: LinkKind::Other("dummy".into()), ..bridge(1) }, false);
        check(&pair("eth0", 1), &pair("eth0", 1), true);
        check(&pair("eth0", 1), &pair("eth1", 1), false);
        check(&pair("eth0", 1), &pair("eth0", 2), false);
    }

    #[test]
    fn what_has_no_address_of_its_own_is_the_same_by_its_further_name() {
        let ifb = |altname: Option<&str>| Link {
            mac: None,
            altname: altname.map(Into::into),
            kind: LinkKind::Ifb,
            ..bridge(1)
        };
        check(&ifb(Some("netform.shop.web")), &ifb(Some("netform.shop.web")), true);
        check(&ifb(Some("netform.shop.web")), &ifb(None), false);
        check(&ifb(None), &ifb(None), false);
    }
}
