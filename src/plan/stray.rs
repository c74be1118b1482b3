//! What is ours, and bears another mark than the one that says so: somebody has changed or taken off those of links and
//! namespaces, or has put an address or a route of his own in the place of one of ours, or has renamed a link.
//!
//! Who made a link is written on it, and anybody may write something else there. What the last apply led to is known beside,
//! so that a link which is the same in all that tells it from others is taken for ours all the same, and marked again. What
//! is not sure to be it stays somebody else's.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{IfName, NetnsName, ProjectName};
use crate::resource::address::Address;
use crate::resource::file::{FilePath, HOMES, NetnsFile};
use crate::resource::link::{Link, LinkKind, Peer};
use crate::resource::netns::NsRef;
use crate::resource::owner::{Mark, Owner};
use crate::resource::route::Route;
use crate::resource::state::{Entry, Foreign, Observed, State};
use crate::resource::{Resource, ResourceId, Slot};

/// What may be ours, or not be it, against what is written on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doubts {
    /// What is somebody's, or another resource's, where the last apply led to something of ours, with the mark that it bore.
    pub strays: BTreeMap<ResourceId, Mark>,
    /// Links that are called something else now, with the names that they had.
    pub renamed: BTreeMap<ResourceId, IfName>,
    /// Namespaces that bear our mark, and of which the last apply knows nothing.
    pub unknown: BTreeSet<NetnsName>,
}

impl Doubts {
    /// Returns what of an observation contradicts what the last apply led to. What a killed run has begun is known to be otherwise.
    pub fn of(
        applied: &State,
        observed: &Observed,
        begun: &BTreeSet<ResourceId>,
        project: &ProjectName,
    ) -> Self {
        let mut doubts = Self { strays: suspects(applied, observed, project), ..Self::default() };
        let (mut missing, mut new) = (vec![], vec![]);
        let mut known = marked(applied).peekable();
        for (id, seen) in marked(&observed.own) {
            while let Some((_, entry)) = known.next_if(|(other, _)| *other < id) {
                missing.push(entry);
            }
            match known.next_if(|(other, _)| *other == id) {
                _ if begun.contains(id) => {}
                Some((_, entry)) if is_contrary(entry, seen) => {
                    doubts.strays.insert(id.clone(), mark(entry, project));
                }
                Some(_) => {}
                None => new.push(seen),
            }
        }
        missing.extend(known.map(|(_, entry)| entry));
        doubts.unknown = new.iter().filter_map(|seen| seen.resource.id().netns().cloned()).collect();
        if !missing.is_empty() {
            let ends = missing.iter().filter_map(|entry| left_end(entry, observed));
            doubts.strays.extend(ends.map(|(id, entry)| (id, mark(entry, project))));
            doubts.renamed = new.into_iter().filter_map(|seen| renamed(seen, &missing, observed)).collect();
        }
        doubts
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        let Self { strays, renamed, unknown } = self;
        strays.is_empty() && renamed.is_empty() && unknown.is_empty()
    }
}

/// Returns the objects that bear a text for a mark: namespaces and links, which come before all others.
fn marked(state: &State) -> impl Iterator<Item = (&ResourceId, &Entry)> {
    state.iter().take_while(|(id, _)| matches!(id, ResourceId::Netns(_) | ResourceId::Link(..)))
}

/// Returns the end in a namespace of ours of a pair whose other end has gone elsewhere: nothing on it says whose it is.
fn left_end<'e>(known: &'e Entry, observed: &Observed) -> Option<(ResourceId, &'e Entry)> {
    let Peer { ns, name, .. } = known.resource.link().filter(|link| link.ns == NsRef::Host)?.kind.peer()?;
    let is_left = is_home(ns, &observed.own)
        && observed.foreign.contains_key(&Slot::Ifname(ns.clone(), name.clone()))
        && !known.owner.is_unmarked();
    is_left.then(|| (ResourceId::Link(ns.clone(), name.clone()), known))
}

/// Tells whether a link is such an end: it has the link-layer address that we gave it, it leads to nowhere that we know, and
/// what is on it was put there by netform.
fn is_left_end(id: &ResourceId, applied: &State, observed: &State) -> bool {
    let ResourceId::Link(ns, name) = id else { return false };
    let Some(seen) = link(observed, id).filter(|link| link.kind == LinkKind::Other("veth".to_owned())) else {
        return false;
    };
    let is_of = |known: &Link| {
        let peer = known.kind.peer().filter(|peer| (&peer.ns, &peer.name) == (ns, name));
        peer.is_some_and(|peer| seen.mac == Some(peer.mac))
    };
    let mut pairs = applied.iter().filter(|(id, _)| observed.get(id).is_none());
    let is_on_it = |address: &Address| (&address.ns, &address.link) == (ns, name) && address.stray.is_none();
    pairs.any(|(_, entry)| entry.resource.link().is_some_and(is_of))
        && observed.iter().any(|(_, entry)| entry.resource.address().is_some_and(is_on_it))
}

fn is_contrary(known: &Entry, seen: &Entry) -> bool {
    let is_told = |owner: &Owner| *owner != Owner::Project;
    known.owner != seen.owner && !known.owner.is_unmarked() && is_told(&known.owner) && is_told(&seen.owner)
}

/// Returns what is somebody's where the last apply led to something of ours. Of addresses and routes these are only what is on
/// links of ours, or in namespaces of ours, and of files the hosts files of these: there nobody else has anything to ask for.
fn suspects(applied: &State, observed: &Observed, project: &ProjectName) -> BTreeMap<ResourceId, Mark> {
    let on_ours = |id: &ResourceId, foreign: &Foreign| {
        let is_on_ours = foreign.on.is_some() || is_home(&id.ns(), &observed.own);
        (is_on_ours && observed.own.get(id).is_none()).then(|| id.clone())
    };
    let ids = observed.foreign.iter().filter_map(|(slot, foreign)| match slot {
        Slot::Ifname(ns, name) => Some(ResourceId::Link(ns.clone(), name.clone())),
        Slot::Ns(NsRef::Named(name)) => Some(ResourceId::Netns(name.clone())),
        Slot::Object(id @ (ResourceId::Address(..) | ResourceId::Route(..))) => on_ours(id, foreign),
        Slot::Object(id @ ResourceId::File(path)) => {
            let is_ours =
                foreign.owner.is_none() && home_of(path).is_some_and(|ns| is_home(&ns, &observed.own));
            is_ours.then(|| id.clone())
        }
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

/// Returns the namespace whose hosts file this is. Who puts his own resolvers in another file means that, and it is left to him.
fn home_of(path: &FilePath) -> Option<NsRef> {
    if !NetnsFile::Hosts.is_at(path) {
        return None;
    }
    let name = path.strip_prefix(HOMES).ok()?.parent()?.to_str()?;
    Some(NsRef::Named(NetnsName::try_from(name.to_owned()).ok()?))
}

/// Tells whether a namespace is one that netform made.
fn is_home(ns: &NsRef, observed: &State) -> bool {
    match ns {
        NsRef::Named(name) => observed.get(&ResourceId::Netns(name.clone())).is_some(),
        NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => false,
    }
}

/// Returns a link of the host that the last apply led to by another name, which nothing has now.
fn renamed(seen: &Entry, missing: &[&Entry], observed: &Observed) -> Option<(ResourceId, IfName)> {
    let link = seen.resource.link().filter(|link| is_renamable(link))?;
    let is_it = |known: &Link| is_renamable(known) && has_our_name(known, link);
    let known =
        missing.iter().filter(|entry| entry.owner == seen.owner).filter_map(|entry| entry.resource.link());
    let known = known.into_iter().find(|known| is_it(known))?;
    let is_taken = observed.foreign.contains_key(&Slot::Ifname(known.ns.clone(), known.name.clone()));
    (!is_taken).then(|| (seen.resource.id(), known.name.clone()))
}

/// Tells whether nothing but a further name has to be known to have a link renamed: what others stand on, or a database tells
/// of, is made anew.
fn is_renamable(link: &Link) -> bool {
    let is_plain = match link.kind {
        LinkKind::Bridge | LinkKind::Veth(_) => true,
        LinkKind::Macvlan(_)
        | LinkKind::Ipvlan(_)
        | LinkKind::Vlan(_)
        | LinkKind::OpenVswitch(_)
        | LinkKind::Device(_)
        | LinkKind::Ifb
        | LinkKind::Other(_) => false,
    };
    is_plain && link.ns == NsRef::Host && link.port.is_none()
}

/// Returns whose a namespace is that bears our mark, as far as the links in it tell: another project has some, and this one,
/// if it `remembers` what it made, has not made it, or else has none there.
pub fn claimant(name: &NetnsName, observed: &Observed, remembers: bool) -> Option<String> {
    let home = NsRef::Named(name.clone());
    let inside = observed.foreign.iter().filter(|(slot, _)| match slot {
        Slot::Ifname(ns, _) => *ns == home,
        Slot::Ns(_)
        | Slot::Altname(..)
        | Slot::Addressed(..)
        | Slot::Shared(_)
        | Slot::Device(_)
        | Slot::Filtered(_)
        | Slot::Object(_) => false,
    });
    let owner =
        inside.filter_map(|(_, foreign)| foreign.owner.clone()).find(|it| it.starts_with("project "))?;
    let has_some = || observed.own.iter().any(|(_, entry)| has_end_in(entry, &home));
    (remembers || !has_some()).then_some(owner)
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
        (Some(known), Some(seen)) => is_same_link(known, seen) && !is_claimed(known, seen),
        (None | Some(_), None | Some(_)) => false,
    };
    match id {
        ResourceId::Netns(name) => {
            // Nothing is in what is gone, and nobody loses its empty file.
            if observed.get(id).is_some_and(is_gone) {
                return true;
            }
            let home = NsRef::Named(name.clone());
            applied.iter().filter(|(_, entry)| has_end_in(entry, &home)).any(|(id, _)| is_same(id))
        }
        ResourceId::Link(..) => is_same(id) || is_left_end(id, applied, observed),
        // They are on a link of ours, or in a namespace. Who has a route lead elsewhere means that, but for a namespace that is
        // ours: whatever is in the place of one of ours there took it from that.
        ResourceId::Address(..) => observed.get(id).is_some(),
        ResourceId::Route(ns, ..) => {
            route(observed, id).is_some() && (!is_usurped(id, applied, observed) || is_home(ns, observed))
        }
        // It is in the directory of a namespace that netform made.
        ResourceId::File(_) => observed.get(id).is_some(),
        ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..) => false,
    }
}

/// Tells whether a route is not the one that the last apply led to, but one that leads elsewhere in its place.
pub fn is_usurped(id: &ResourceId, applied: &State, observed: &State) -> bool {
    match (route(applied, id), route(observed, id)) {
        (Some(known), Some(seen)) => known.way != seen.way,
        (None | Some(_), None | Some(_)) => false,
    }
}

/// Tells whether only the file of a namespace is left.
fn is_gone(entry: &Entry) -> bool {
    matches!(&entry.resource, Resource::Netns(netns) if !netns.whole)
}

fn link<'s>(state: &'s State, id: &ResourceId) -> Option<&'s Link> {
    state.get(id)?.resource.link()
}

fn route<'s>(state: &'s State, id: &ResourceId) -> Option<&'s Route> {
    match &state.get(id)?.resource {
        Resource::Route(route) => Some(route),
        Resource::Netns(_)
        | Resource::Link(_)
        | Resource::Address(_)
        | Resource::Neighbour(_)
        | Resource::Sysctl(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Passage(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => None,
    }
}

/// Tells whether a link is another one's continuation: of the same kind and tied to the same, with the same link-layer
/// addresses, or, where the kernel has chosen those, with the name that says whose it is.
fn is_same_link(known: &Link, seen: &Link) -> bool {
    let is_kind = Resource::from(seen.clone()).can_become(&Resource::from(known.clone())).is_ok();
    let ends = [known, seen].map(|link| link.kind.peer().map(|Peer { mac, .. }| *mac));
    let [known_end, seen_end] = ends;
    is_kind
        && known_end == seen_end
        && known.mac.is_none_or(|mac| seen.mac == Some(mac))
        && (known.mac.is_some() || known_end.is_some() || has_our_name(known, seen))
}

/// Tells whether a link bears the mark of another resource, or another project, and not the name that we gave it.
fn is_claimed(known: &Link, seen: &Link) -> bool {
    let bears_another = seen.amiss.mark.as_ref().is_some_and(|text| Mark::parse(text).is_some());
    bears_another && !has_our_name(known, seen)
}

/// Tells whether a link has the further name that we gave the one that we know.
fn has_our_name(known: &Link, seen: &Link) -> bool {
    known.altname.is_some() && known.altname == seen.altname
}

/// Tells whether an object is a link in a namespace, or has an end there.
fn has_end_in(entry: &Entry, ns: &NsRef) -> bool {
    entry.resource.link().is_some_and(|link| link.namespaces().any(|it| it == ns))
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
