//! The other ends of pairs, as far as one look at the kernel tells them. Nothing here asks the kernel.
//!
//! A link says the index of its other end, and by a number in which namespace that is. Which namespace has which number
//! is asked for the host alone ([`NsReading::host_id`]): between two containers, two links that say each other's index are
//! taken for a pair, and where several do, those whose marks are of one network.

use std::collections::{BTreeMap, HashMap};

use smol_str::ToSmolStr;

use super::Scope;
use super::answer::LinkAnswer;
use super::observe::peer_of;
use super::reading::{NsReading, Reading};
use super::whose;
use crate::names::{ContainerName, Mtu, NetName, NetnsName, ProjectName};
use crate::resource::link::{LinkKind, Peer, Tag};
use crate::resource::netns::NsRef;
use crate::resource::owner::{Mark, Owner};
use crate::resource::route::PROTOCOL;

/// The places of a namespace and of a link in it.
type Spot = (usize, usize);

/// The ends of pairs that are in namespaces other than the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Those whose other end is in the host, by that one's index.
    pub(super) of_host: BTreeMap<u32, Spot>,
    /// Those whose other end is in another of the namespaces, by that one's namespace and index.
    pub(super) between: BTreeMap<(NsRef, u32), Spot>,
}

/// Returns the namespaces with the numbers that the host has for them, where pairs lead there.
pub(super) fn numbers(reading: &Reading) -> impl Iterator<Item = (&NsReading, Option<i32>)> {
    let led_to: HashMap<u32, i32> =
        reading.host.links.iter().filter_map(|link| Some((link.index, link.peer_ns?))).collect();
    reading.namespaces.iter().map(move |ns| {
        // A macvlan link says the index of its parent, which may be an end of a pair that leads elsewhere.
        let pairs = ns.links.iter().filter(|link| link.kind == "veth");
        let into_host = pairs.filter(|link| link.peer_ns.is_some() && link.peer_ns == ns.host_id);
        (ns, into_host.filter_map(|link| link.peer).find_map(|index| led_to.get(&index).copied()))
    })
}

impl Ends {
    /// Returns the ends that are in these namespaces.
    pub(super) fn of(namespaces: &[NsReading]) -> Self {
        let mut ends = Self::default();
        let mut others: HashMap<(u32, u32), Vec<Spot>> = HashMap::new();
        for (place, ns) in namespaces.iter().enumerate() {
            for (at, link) in ns.links.iter().enumerate().filter(|(_, link)| is_end(link)) {
                let (Some(peer), Some(peer_ns)) = (link.peer, link.peer_ns) else { continue };
                if Some(peer_ns) == ns.host_id {
                    // A namespace may be read by two names; the first counts.
                    ends.of_host.entry(peer).or_insert((place, at));
                } else {
                    others.entry((link.index, peer)).or_default().push((place, at));
                }
            }
        }
        let at = |(place, at): Spot| namespaces.get(place).and_then(|ns| Some((ns, ns.links.get(at)?)));
        for ((index, peer), spots) in &others {
            for spot in spots {
                let Some((ns, link)) = at(*spot) else { continue };
                let candidates = others.get(&(*peer, *index)).into_iter().flatten();
                let candidates = candidates.filter(|other| other.0 != spot.0);
                let of_another =
                    |other: &&Spot| at(**other).is_none_or(|(_, it)| network(it) != network(link));
                if let Some(other) = candidates.min_by_key(of_another) {
                    ends.between.insert((ns.ns.clone(), *index), *other);
                }
            }
        }
        ends
    }

    /// Returns the namespaces that pairs lead into from `ns`, as places.
    pub(super) fn from(&self, ns: &NsRef) -> impl Iterator<Item = usize> {
        self.between.range((ns.clone(), 0)..=(ns.clone(), u32::MAX)).map(|(_, (place, _))| *place)
    }
}

/// Tells whether a link is an end of a pair, and no link of the host that a container has for itself.
fn is_end(link: &LinkAnswer) -> bool {
    link.kind == "veth" && link.device().is_none()
}

/// Returns the network that a mark on a link names.
fn network(link: &LinkAnswer) -> Option<NetName> {
    match link.mark()?.owner {
        Owner::Attachment { container: _, network } => Some(network),
        Owner::Project
        | Owner::Network(_)
        | Owner::Container(_)
        | Owner::Port(_)
        | Owner::Policy(_)
        | Owner::External(_)
        | Owner::Unmarked(_) => None,
    }
}

impl Reading {
    /// Returns the other end of a pair between two containers.
    pub(crate) fn across(&self, ns: &NsRef, index: u32) -> Option<(&NsReading, &LinkAnswer)> {
        if self.ends.between.is_empty() {
            return None;
        }
        let (place, at) = self.ends.between.get(&(ns.clone(), index))?;
        let ns = self.namespaces.get(*place)?;
        Some((ns, ns.links.get(*at)?))
    }

    /// Returns which end of a pair between two containers a link is, when the pair is ours.
    pub(super) fn place_of(&self, ns: &NsRef, link: &LinkAnswer, project: &ProjectName) -> Option<Place> {
        let (there, other) = self.across(ns, link.index)?;
        let ours = |link: &LinkAnswer| link.mark().filter(|mark| mark.project == *project);
        let (mine, theirs) = (ours(link), ours(other));
        match (&mine, &theirs) {
            (None, None) => None,
            // Nobody knows better than the mark that is there.
            (None, Some(_)) if owner((ns, link), other, project).is_none() => Some(Place::Second),
            (Some(_), None) if owner((&there.ns, other), link, project).is_none() => Some(Place::First),
            _ => {
                let mine = owner((ns, link), other, project);
                let theirs = owner((&there.ns, other), link, project);
                Some(if (mine, ns) <= (theirs, &there.ns) { Place::First } else { Place::Second })
            }
        }
    }

    /// Returns the ends of pairs of ours between two containers, by namespace and index, each with whose it is: nobody's
    /// when nothing on it says so.
    pub(super) fn holders(&self, scope: &Scope) -> Vec<((NsRef, u32), Owner)> {
        let holder = |(ns, index): &(NsRef, u32)| {
            let (there, other) = self.across(ns, *index)?;
            let (_, link) = self.across(&there.ns, other.index)?;
            let nobody = || Owner::Unmarked(PROTOCOL.to_smolstr());
            let is_ours = owner((&there.ns, other), link, &scope.project).is_some();
            let marked = owner((ns, link), other, &scope.project).or_else(|| is_ours.then(nobody));
            // That of one that a killed run had no time to mark is known by the end that it was made with.
            let holder = marked.or_else(|| whose::owner(other, &there.ns, scope))?;
            Some(((ns.clone(), *index), holder))
        };
        self.ends.between.keys().filter_map(holder).collect()
    }
}

/// Which end of a pair between two containers a link is: the pair is known by that of the container whose name comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The one that the pair is known by.
    First,
    /// The other.
    Second,
}

/// Returns whose an end is: by its mark, or, when somebody took that away, by its further name, which the mark on the
/// other end tells how to read. That name counts also where the namespace says the same, and only the mark something else.
fn owner((ns, link): (&NsRef, &LinkAnswer), other: &LinkAnswer, project: &ProjectName) -> Option<Owner> {
    let ours = |link: &LinkAnswer| link.mark().filter(|mark| mark.project == *project);
    let mark = ours(link);
    match (&mark, ns) {
        (Some(mark), NsRef::Named(home)) if !is_at_home(mark, home) => {}
        (Some(mark), _) => return Some(mark.owner.clone()),
        (None, _) => {}
    }
    let named = named(link, ours(other).and(network(other)), project);
    let is_told = |container: &ContainerName| match ns {
        NsRef::Named(home) => NetnsName::from(container) == *home,
        NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => false,
    };
    match (mark, named) {
        (Some(_), Some(Owner::Attachment { container, network })) if is_told(&container) => {
            Some(Owner::Attachment { container, network })
        }
        (Some(mark), _) => Some(mark.owner),
        (None, named) => named,
    }
}

/// Tells whether a mark is of the container whose namespace has this name.
fn is_at_home(mark: &Mark, home: &NetnsName) -> bool {
    match &mark.owner {
        Owner::Attachment { container, network: _ } => NetnsName::from(container) == *home,
        Owner::Project
        | Owner::Network(_)
        | Owner::Container(_)
        | Owner::Port(_)
        | Owner::Policy(_)
        | Owner::External(_)
        | Owner::Unmarked(_) => false,
    }
}

/// Returns whose an end is by its further name.
fn named(link: &LinkAnswer, network: Option<NetName>, project: &ProjectName) -> Option<Owner> {
    let (network, name) = (network?, link.our_altname()?);
    let name = name.strip_prefix(&format!("netform.{project}."))?.strip_suffix(&format!(".{network}"))?;
    Some(Owner::Attachment { container: ContainerName::try_from(name).ok()?, network })
}

/// Returns a veth pair as it is known by one of its ends.
pub(super) fn veth(link: &LinkAnswer, ns: &NsReading, reading: &Reading, scope: &Scope) -> Option<LinkKind> {
    let ((there, peer), is_marked) = match &ns.ns {
        NsRef::Host => (peer_of(link, reading)?, false),
        NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => (reading.across(&ns.ns, link.index)?, true),
    };
    let mark = peer.mark().filter(|mark| mark.project == scope.project);
    let owner = mark.map_or_else(|| Owner::Unmarked((*peer.alias).clone()), |mark| mark.owner);
    Some(LinkKind::Veth(Peer {
        ns: there.ns.clone(),
        name: peer.ifname()?,
        mac: peer.mac?,
        mtu: Mtu::try_from(peer.mtu).unwrap_or(Mtu::ETHERNET),
        up: peer.up,
        tag: is_marked.then(|| Tag { owner, altname: peer.our_altname() }),
    }))
}
