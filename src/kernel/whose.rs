//! Whose links and namespaces are: by their marks, by what else netform gives what it makes, and by what is on record. Nothing
//! here asks the kernel.
//!
//! A mark is a text, which anybody may copy. So a link of ours has the further name or the group of what netform makes, too;
//! one that has neither is ours only where the last apply led to it.

use std::collections::BTreeMap;

use super::Scope;
use super::answer::LinkAnswer;
use super::maker::{owner_of, owner_of_bridge, owner_of_link};
use super::message::{NEWBORN, group_of};
use super::observe::peer_of;
use super::reading::{NsReading, Reading, is_named_for};
use super::shared::spare_name;
use crate::names::{IfName, NetnsName};
use crate::resource::device::{self, Device};
use crate::resource::netns::NsRef;
use crate::resource::owner::{Mark, Owner};
use crate::resource::state::Foreign;
use crate::resource::{ResourceId, Slot};

/// The links of one namespace that are ours, by index: name and owner.
pub(crate) type OwnLinks = BTreeMap<u32, (IfName, Owner)>;

/// Whose links are, as marks and the other ends of pairs tell.
pub(super) struct Holders {
    /// Our links' peers: by their namespace and index, the owner of the pair.
    pub(super) peers: BTreeMap<(NsRef, u32), Owner>,
    /// The host's links that are ours.
    pub(super) host: OwnLinks,
}

impl Holders {
    pub(super) fn of(reading: &Reading, scope: &Scope) -> Self {
        let peers = peers(reading, scope);
        let host = own_links(&reading.host, &peers, scope);
        Self { peers, host }
    }
}

fn peers(reading: &Reading, scope: &Scope) -> BTreeMap<(NsRef, u32), Owner> {
    let mut peers = BTreeMap::new();
    // The other end of a pair that somebody else made is his.
    for link in reading.host.links.iter().filter(|link| link.device().is_none()) {
        if let (Some(owner), Some((ns, peer))) = (owner(link, &NsRef::Host, scope), peer_of(link, reading)) {
            peers.insert((ns.ns.clone(), peer.index), owner);
        }
    }
    peers.extend(reading.holders(scope));
    peers
}

/// Returns the links of a namespace that are ours: marked ones, and the peers of marked ones.
pub(crate) fn own_links(ns: &NsReading, peers: &BTreeMap<(NsRef, u32), Owner>, scope: &Scope) -> OwnLinks {
    let owner = |link: &LinkAnswer| {
        let peer = || peers.get(&(ns.ns.clone(), link.index)).cloned();
        owner(link, &ns.ns, scope).or_else(peer)
    };
    ns.links
        .iter()
        // A mark on `lo` is the namespace's.
        .filter(|link| link.index != 1)
        .filter_map(|link| Some((link.index, (known_as(link, &ns.ns, scope)?, owner(link)?))))
        .collect()
}

/// Returns the name that a link has, or, where somebody has renamed it, had.
pub(super) fn known_as(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> Option<IfName> {
    let name = link.ifname()?;
    if scope.renamed.is_empty() {
        return Some(name);
    }
    let known = scope.renamed.get(&ResourceId::Link(ns.clone(), name.clone()));
    Some(known.cloned().unwrap_or(name))
}

/// Returns the mark of a link that is ours, or counts as ours though another mark is on it, or none.
pub(super) fn ours(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> Option<Mark> {
    let mark = link.mark();
    match mark {
        // What says that it is the host's, and may be, is never deleted for it.
        Some(_) if link.device().is_some() && taken(link, ns, scope).is_none() => return None,
        // Docker and its like mark nothing.
        None if owner_of_bridge(link).is_some() => return None,
        Some(_) | None => {}
    }
    if let Some(mark) = on_record(link, ns, scope) {
        return Some(mark);
    }
    if let Some(mark) = mark {
        let is_ours = mark.project == scope.project;
        return match is_ours && is_made_by(link, ns, scope) {
            true => Some(mark),
            // What only bears our mark can be adopted.
            false if is_ours && link.named_by().is_none() && is_given_up(link, ns, scope) => {
                Some(unmarked(&link.alias, scope))
            }
            false => None,
        };
    }
    let is_ours = is_given_up(link, ns, scope) || taken(link, ns, scope).is_some();
    is_ours.then(|| unmarked(&link.alias, scope))
}

/// Tells whether a link is being adopted or given up.
fn is_given_up(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> bool {
    let id = link.ifname().filter(|_| !scope.unmarked.is_empty());
    id.is_some_and(|name| scope.unmarked.contains(&ResourceId::Link(ns.clone(), name)))
}

/// Returns the mark that the last apply gave a link which bears another one now, or none.
fn on_record(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> Option<Mark> {
    // Nearly always nobody has changed any.
    if scope.strays.is_empty() {
        return None;
    }
    let stray = scope.strays.get(&ResourceId::Link(ns.clone(), known_as(link, ns, scope)?))?;
    Some(stray.or_right(link.mark()))
}

/// Tells whether a link in the place of one that the last apply led to, and whose other end had gone elsewhere, is the end of a
/// pair that leads to the host again: it is known by the end there.
pub(super) fn is_tied_again(link: &LinkAnswer, ns: &NsReading, scope: &Scope) -> bool {
    let leads_to_host = link.kind == "veth" && ns.host_id.is_some() && link.peer_ns == ns.host_id;
    let id = || Some(ResourceId::Link(ns.ns.clone(), link.ifname()?));
    !scope.strays.is_empty()
        && leads_to_host
        && link.device().is_none()
        && id().is_some_and(|id| scope.strays.contains_key(&id))
}

/// Tells whether a link that bears our mark has something else, too, that netform gives what it makes: who marks it as his and
/// leaves the name that another project gave it is not to be believed, nor who copies what he read elsewhere.
fn is_made_by(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> bool {
    if let Some(project) = link.named_by() {
        return project == scope.project.as_str();
    }
    // What is adopted, and had no time to get its name.
    let is_begun = || {
        let id = link.ifname().map(|name| ResourceId::Link(ns.clone(), name));
        id.is_some_and(|id| scope.begun.contains(&id))
    };
    link.group == group_of(&scope.project) || link.device().is_some() || is_begun()
}

/// Returns what a link was on the host, when we have taken it from there. What only says so is anybody's.
pub(super) fn taken(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> Option<Device> {
    let (_, device) = link.device().filter(|(project, _)| *project == scope.project)?;
    let vouched = scope.seals.as_ref().is_none_or(|seals| seals.vouch(&device.name, (ns, link)));
    vouched.then_some(device)
}

/// Returns what stands in for the mark of an object that has none.
pub(super) fn unmarked(alias: &str, scope: &Scope) -> Mark {
    Mark { project: scope.project.clone(), owner: Owner::Unmarked(alias.into()), protected: false }
}

/// Returns the owner of a link of ours; of one that a killed run made and had no time to mark, the project.
pub(super) fn owner(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> Option<Owner> {
    let marked = ours(link, ns, scope).map(|mark| mark.owner);
    marked.or_else(|| is_newborn(link, ns, scope).then_some(Owner::Project))
}

/// Tells whether a link is one that a killed run had made and not yet marked.
pub(crate) fn is_newborn(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> bool {
    let begun = |name: IfName| {
        let is_spare = |id: &ResourceId| matches!(id, ResourceId::Link(home, link) if home == ns && spare_name(home, link) == name);
        scope.begun.contains(&ResourceId::Link(ns.clone(), name.clone())) || scope.begun.iter().any(is_spare)
    };
    link.group == NEWBORN && link.alias.is_empty() && link.ifname().is_some_and(begun)
}

/// Whose a namespace is.
pub(super) enum Home {
    /// It is ours, with its owner, and what is written in the place of its mark.
    Ours(Owner, Option<smol_str::SmolStr>),
    /// It is somebody else's.
    Foreign(Foreign),
}

/// Tells whose a named namespace is that was looked into.
pub(super) fn home(ns: &NsReading, name: &NetnsName, scope: &Scope) -> Home {
    let (id, mark) = (ResourceId::Netns(name.clone()), ns.mark());
    if let Some(stray) = scope.strays.get(&id) {
        let right = stray.or_right(mark.clone());
        let stray = (mark.as_ref() != Some(&right)).then(|| ns.alias().into());
        return Home::Ours(right.owner, stray);
    }
    match mark {
        Some(mark) if bears_ours(&mark, &ns.ns, scope) && !scope.disowned.contains_key(&id) => {
            Home::Ours(mark.owner, None)
        }
        None if scope.unmarked.contains(&id) => Home::Ours(unmarked(ns.alias(), scope).owner, None),
        mark => Home::Foreign(strange(name, mark.as_ref(), scope)),
    }
}

/// Tells whether a namespace is ours, by its mark or by what is on record.
pub(super) fn is_home(ns: &NsReading, scope: &Scope) -> bool {
    let is_marked = || ns.mark().is_some_and(|mark| mark.project == scope.project);
    match &ns.ns {
        NsRef::Named(name) if !scope.strays.is_empty() || !scope.disowned.is_empty() => {
            let id = ResourceId::Netns(name.clone());
            scope.strays.contains_key(&id) || (is_marked() && !scope.disowned.contains_key(&id))
        }
        NsRef::Named(_) | NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => is_marked(),
    }
}

fn bears_ours(mark: &Mark, ns: &NsRef, scope: &Scope) -> bool {
    mark.project == scope.project && is_named_for(mark, ns)
}

/// Returns a namespace that is not what its name says.
pub(super) fn strange(name: &NetnsName, mark: Option<&Mark>, scope: &Scope) -> Foreign {
    let ours = mark.filter(|mark| mark.project == scope.project);
    if let Some(owner) = scope.disowned.get(&ResourceId::Netns(name.clone())) {
        let bears = ours.map(|mark| mark.owner.clone());
        return Foreign { what: format!("namespace {name}"), owner: Some(owner.clone()), on: None, bears };
    }
    let what = match ours {
        Some(mark) => format!("namespace {name}, which is that of {}", mark.owner),
        None => format!("namespace {name}"),
    };
    Foreign { what, owner: mark.map(owner_of), on: None, bears: None }
}

/// Returns whose a namespace was that only its file is left of, if it was ours: a killed run was making or removing it, or the last
/// apply led to it, and somebody has unmounted it.
pub(super) fn left(name: &NetnsName, scope: &Scope) -> Option<Owner> {
    let id = ResourceId::Netns(name.clone());
    let on_record = scope.strays.get(&id).map(|stray| stray.bore.owner.clone());
    on_record.or_else(|| scope.begun.contains(&id).then_some(Owner::Project))
}

/// Returns a link of others; what it stands on is for the caller to tell.
pub(super) fn stranger(
    (link, name): (&LinkAnswer, &IfName),
    ns: &NsReading,
    reading: &Reading,
    scope: &Scope,
) -> Foreign {
    let kind = if link.kind.is_empty() { "interface" } else { &link.kind };
    let bears = link.mark().filter(|mark| mark.project == scope.project).map(|mark| mark.owner);
    let owner = match bears {
        Some(_) => link.named_by().map(|project| format!("project {project}")),
        None => owner_of_link(link, &ns.links).or_else(|| owner_of_pair(link, ns, reading)),
    };
    Foreign { what: format!("{kind} {name}"), owner, on: None, bears }
}

/// Tells whether a further name takes a name from others: it is none that netform has given.
pub(super) fn is_taken_by(altname: &str) -> bool {
    !altname.starts_with("netform.") && !device::is_piece(altname)
}

/// Returns the further names of a link that no other link in its namespace can be called by: the kernel looks for a name among
/// both (`netdev_name_in_use()` in Linux `net/core/dev.c`).
pub(super) fn further_names(
    link: &LinkAnswer,
    ns: &NsReading,
    scope: &Scope,
) -> impl Iterator<Item = (Slot, Foreign)> {
    let kind = if link.kind.is_empty() { "interface" } else { &link.kind };
    let known = known_as(link, &ns.ns, scope);
    let names = link.altnames.iter().filter(|name| is_taken_by(name));
    let names = names.filter(move |name| known.as_ref().is_none_or(|known| known.as_str() != name.as_str()));
    names.map(move |name| {
        let what = format!("further name {name} of {kind} {}", link.name);
        let owner = owner_of_link(link, &ns.links);
        (Slot::Altname(ns.ns.clone(), name.clone()), Foreign { what, owner, on: None, bears: None })
    })
}

/// Returns whose a pair is whose end in a container bears no mark.
fn owner_of_pair(link: &LinkAnswer, ns: &NsReading, reading: &Reading) -> Option<String> {
    let is_end = link.kind == "veth" && ns.host_id.is_some() && link.peer_ns == ns.host_id;
    let index = link.peer.filter(|_| is_end)?;
    let other = reading.host.links.iter().find(|other| other.index == index)?;
    other.mark().as_ref().map(owner_of)
}
