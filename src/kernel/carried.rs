//! What others' links share with links of the host: a link carries macvlan or ipvlan links, not both.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use super::answer::LinkAnswer;
use super::reading::{NsReading, Other, Reading};
use super::sight::Sight;
use super::whose::{self, OwnLinks};
use super::{Scope, maker};
use crate::names::IfName;
use crate::resource::Slot;
use crate::resource::link::{Ipvlan, LinkKind, Macvlan, Shares};
use crate::resource::netns::NsRef;
use crate::resource::state::Foreign;
use crate::resource::vlan::Vlan;
use crate::topology::facts::Carried;

impl NsReading {
    /// Returns the index of the host's link that a macvlan or ipvlan link in here stands on.
    pub(crate) fn stands_on(&self, link: &LinkAnswer) -> Option<u32> {
        let shares = matches!(link.kind.as_str(), "macvlan" | "ipvlan");
        let into_host = shares && self.host_id.is_some() && link.peer_ns == self.host_id;
        link.peer.filter(|_| into_host)
    }

    /// Returns the links in here that share what a link of the host receives: that one's index, how, and the name.
    pub(crate) fn sharing(&self) -> impl Iterator<Item = (u32, Shares, SmolStr)> {
        self.links.iter().filter_map(|link| Some((self.stands_on(link)?, link.shares?, link.name.clone())))
    }
}

/// Returns the links of others that share what a link of the host receives, by that one's name: those of the host, of the
/// namespaces that were looked into, and of those that have a name.
pub(super) fn carried(
    reading: &Reading,
    own: &OwnLinks,
    scope: &Scope,
) -> BTreeMap<IfName, BTreeSet<Carried>> {
    let Reading { host, namespaces, others, .. } = reading;
    let mut all: Vec<(u32, Carried)> = vec![];
    for link in host.links.iter().filter(|link| !own.contains_key(&link.index) && link.peer_ns.is_none()) {
        if let (Some(how), Some(parent)) = (link.shares, link.peer) {
            let owner = maker::owner_of_link(link, &host.links);
            all.push((parent, Carried { how, what: link.name.to_string(), owner, is_elsewhere: false }));
        }
    }
    for ns in namespaces {
        all.extend(inside(ns, scope));
    }
    for (name, other) in others {
        match other {
            Other::Namespace(mark, links, _) => {
                let owner = mark.as_ref().map(maker::owner_of);
                let named = |(parent, how, link): &(u32, Shares, SmolStr)| {
                    (
                        *parent,
                        Carried {
                            how: *how,
                            what: format!("{link} in {name}"),
                            owner: owner.clone(),
                            is_elsewhere: true,
                        },
                    )
                };
                all.extend(links.iter().map(named));
            }
            Other::Stale | Other::Strange => {}
        }
    }
    let mut by_parent = BTreeMap::<IfName, BTreeSet<Carried>>::new();
    for (index, carried) in all {
        let parent = host.links.iter().find(|link| link.index == index);
        if let Some(name) = parent.and_then(|link| link.ifname()) {
            by_parent.entry(name).or_default().insert(carried);
        }
    }
    by_parent
}

/// Notes what others have on links of ours: it would go with them.
pub(super) fn see(observed: &mut Sight, reading: &Reading, own: &OwnLinks, scope: &Scope) {
    for (parent, others) in carried(reading, own, scope) {
        let ours = own.values().find(|(name, _)| *name == parent);
        let other = others.into_iter().find(|other| other.is_elsewhere);
        if let (Some((_, on)), Some(Carried { what, owner, .. })) = (ours, other) {
            let foreign = Foreign { what, owner, on: Some(on.clone()), bears: None };
            observed.foreign.insert(Slot::Shared(parent), foreign);
        }
    }
}

/// Returns what kind of link one is that shares what a link of the host receives.
pub(super) fn sharing(link: &LinkAnswer, ns: &NsReading, reading: &Reading) -> Option<LinkKind> {
    let here = || link.peer.filter(|_| ns.ns == NsRef::Host && link.peer_ns.is_none());
    let index = ns.stands_on(link).or_else(here)?;
    let parent = reading.host.links.iter().find(|parent| parent.index == index)?.ifname()?;
    match link.shares? {
        Shares::Macvlan(mode) => Some(LinkKind::Macvlan(Macvlan { parent, mode })),
        Shares::Ipvlan(mode, flag) => Some(LinkKind::Ipvlan(Ipvlan { parent, mode, flag })),
    }
}

/// Returns what kind of link a VLAN of the host is.
pub(super) fn vlan(link: &LinkAnswer, host: &NsReading) -> Option<LinkKind> {
    let index = link.peer.filter(|_| link.peer_ns.is_none())?;
    let parent = host.links.iter().find(|parent| parent.index == index)?.ifname()?;
    Some(LinkKind::Vlan(Vlan { parent, id: link.vlan? }))
}

/// Returns those in a namespace that was looked into, ours left out.
fn inside<'r>(ns: &'r NsReading, scope: &'r Scope) -> impl Iterator<Item = (u32, Carried)> + 'r {
    let standing = ns.links.iter().filter_map(|link| Some((ns.stands_on(link)?, link.shares?, link)));
    let others = standing.filter(|(_, _, link)| {
        let ours = whose::ours(link, &ns.ns, scope).is_some();
        !ours && !whose::is_newborn(link, &ns.ns, scope)
    });
    others.map(|(parent, how, link)| {
        let owner = link.mark().as_ref().map(maker::owner_of);
        (parent, Carried { how, what: format!("{} in {}", link.name, ns.ns), owner, is_elsewhere: true })
    })
}
