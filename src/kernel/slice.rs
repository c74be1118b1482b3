//! A slice of what is remembered: what moved, with what it stands on and what stands on it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::answer::LinkAnswer;
use super::ends::Ends;
use super::memory::Memory;
use super::moved::{Moved, Parts, Whole};
use super::reading::{NsReading, Reading, Tables};
use super::{Scope, connected, observe, qdisc, sysctl};
use crate::names::IfName;
use crate::resource::netns::NsRef;
use crate::resource::state::{Entry, Observed, State};
use crate::resource::sysctl::SysctlKey;
use crate::resource::{Resource, ResourceId};

/// What moved, and what is there now.
pub struct Slice {
    parts: Parts,
    /// The links of the host that are in it.
    links: BTreeSet<IfName>,
    /// The namespaces in it that are there.
    there: BTreeSet<NsRef>,
    /// What is there of it.
    pub observed: Observed,
}

impl Memory {
    /// Returns what nobody has looked through yet; `None` when that is not a slice but everything, or the firewall.
    pub(super) fn slice(&self, scope: &Scope) -> Option<Slice> {
        let mut parts = match &self.unchecked {
            Moved::Everywhere => return None,
            Moved::Here(parts) => parts.clone(),
        };
        if [Whole::Firewall, Whole::Host, Whole::Uplinks].iter().any(|whole| parts.whole.contains(whole)) {
            return None;
        }
        self.add_other_ends(&mut parts);
        if parts.whole.contains(&Whole::Routes) {
            // The host's routes that are ours leave by links that share what another one receives: one that is gone does not
            // say. Those that come with addresses leave by any.
            let ours = |link: &&LinkAnswer| link.mark().is_some_and(|mark| mark.project == scope.project);
            let host = &self.reading.host;
            let links = host.links.iter().filter(|link| link.shares.is_some()).filter(ours);
            parts.indexes.extend(links.map(|link| link.index));
            let lost =
                connected::lost(host, |index| host.links.iter().filter(ours).any(|it| it.index == index));
            parts.indexes.extend(lost.into_keys().map(|(index, _)| index));
        }
        let reading = self.cut(&parts);
        let links =
            reading.host.links.iter().filter_map(|link| link.ifname()).chain(parts.links.iter().cloned());
        let links = links.collect();
        let there = reading.namespaces.iter().map(|ns| ns.ns.clone()).collect();
        let observed = observe::observed(&reading, vec![], scope);
        Some(Slice { parts, links, there, observed })
    }

    /// Adds the namespaces that the links of the host in parts lead into: a pair is not seen to be one without its other end.
    fn add_other_ends(&self, parts: &mut Parts) {
        let Parts { namespaces, links, indexes, .. } = parts;
        let is_meant = |link: &LinkAnswer| {
            indexes.contains(&link.index) || link.ifname().is_some_and(|name| links.contains(&name))
        };
        let meant = self.reading.host.links.iter().filter(|link| is_meant(link));
        let ends = meant.filter_map(|link| Some(&self.reading.end(link.index)?.0.ns));
        let across = namespaces.iter().flat_map(|ns| self.reading.ends.from(ns));
        let across = across.filter_map(|place| Some(&self.reading.namespaces.get(place)?.ns));
        let more: Vec<NsRef> = ends.chain(across).cloned().collect();
        namespaces.extend(more);
    }

    /// Adds where what comes in by links is led to, and the links that lead to others: neither says what the other one does.
    pub(super) fn add_detours(&self, parts: &mut Parts) {
        let host = &self.reading.host;
        let named =
            host.links.iter().filter(|link| link.ifname().is_some_and(|name| parts.links.contains(&name)));
        let meant: BTreeSet<u32> =
            named.map(|link| link.index).chain(parts.indexes.iter().copied()).collect();
        let ways = qdisc::detours(&host.qdiscs).filter(|(by, to)| meant.contains(by) || meant.contains(to));
        parts.indexes.extend(ways.flat_map(|(by, to)| [by, to]));
    }

    /// Returns a reading of nothing but parts.
    fn cut(&self, parts: &Parts) -> Reading {
        let Reading { host, namespaces, others, files, ends: _, wrong, absent } = &self.reading;
        let namespaces: Vec<_> =
            namespaces.iter().filter(|ns| parts.namespaces.contains(&ns.ns)).cloned().collect();
        let ends = Ends::of(&namespaces);
        let is_meant = |index: u32, name: &str| {
            let named = || IfName::try_from(name).is_ok_and(|name| parts.links.contains(&name));
            parts.indexes.contains(&index) || ends.of_host.contains_key(&index) || named()
        };
        let links = host.links.iter().filter(|link| is_meant(link.index, &link.name));
        let mut indexes: BTreeSet<u32> =
            links.flat_map(|link| [Some(link.index), link.master]).flatten().collect();
        indexes.extend(parts.indexes.iter().copied());
        // What comes in by a link leads nowhere, as it seems, without the link that it is led to.
        let led = qdisc::detours(&host.qdiscs).filter(|(by, _)| indexes.contains(by));
        indexes.extend(led.map(|(_, to)| to).collect::<Vec<_>>());
        let routes = parts.whole.contains(&Whole::Routes);
        let host = NsReading {
            ns: NsRef::Host,
            host_id: host.host_id,
            links: host.links.iter().filter(|link| indexes.contains(&link.index)).cloned().collect(),
            addresses: host.addresses.iter().filter(|it| indexes.contains(&it.index)).cloned().collect(),
            routes: host.routes.iter().filter(|_| routes).cloned().collect(),
            tables: if routes { host.tables } else { Tables::None },
            unruled: vec![],
            qdiscs: host.qdiscs.iter().filter(|it| indexes.contains(&it.index)).cloned().collect(),
            proxied: host.proxied.iter().filter(|it| indexes.contains(&it.index)).cloned().collect(),
            sysctls: host.sysctls.iter().filter(|(key, _)| is_parameter_in(parts, key)).cloned().collect(),
        };
        let others =
            others.iter().filter(|(name, _)| parts.namespaces.contains(&NsRef::Named((*name).clone())));
        let files = files.iter().filter(|(path, _)| parts.has_file(path));
        Reading {
            host,
            namespaces,
            others: others.map(|(name, other)| (name.clone(), other.clone())).collect(),
            files: files.map(|(path, text)| (path.clone(), text.clone())).collect(),
            ends,
            wrong: wrong
                .iter()
                .filter(|(ns, _)| parts.namespaces.contains(ns))
                .map(|(ns, why)| (ns.clone(), *why))
                .collect(),
            absent: absent.iter().filter(|absent| parts.links.contains(&absent.name)).cloned().collect(),
        }
    }
}

impl Slice {
    /// Tells whether nothing moved.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Tells whether nothing moved but what a state holds, or stands in. What others have decides what is asked for: the
    /// namespaces of theirs that are there, their links, and their files.
    pub fn is_of(&self, state: &State, given: &BTreeSet<NsRef>) -> bool {
        let Self { parts, links, there, observed: _ } = self;
        let is_ours = |link: &IfName| state.get(&ResourceId::Link(NsRef::Host, link.clone())).is_some();
        let is_used = |ns: &NsRef| {
            there.contains(ns) && state.iter().any(|(_, entry)| leads_into(entry, &|to| to == ns))
        };
        let is_held = |path: &PathBuf| {
            path.starts_with(sysctl::ROOT) || state.get(&ResourceId::File(path.as_path().into())).is_some()
        };
        links.iter().all(is_ours)
            && parts.namespaces.intersection(given).all(is_used)
            && parts.files.iter().all(is_held)
    }

    /// Returns what of a state lies within.
    pub fn of(&self, state: &State) -> State {
        state.iter().filter(|(id, entry)| self.has(id, entry)).map(|(_, entry)| entry.clone()).collect()
    }

    fn has(&self, id: &ResourceId, entry: &Entry) -> bool {
        let Self { parts, links, there: _, observed: _ } = self;
        let inside = |ns: &NsRef| parts.namespaces.contains(ns);
        match id {
            ResourceId::Netns(name) => inside(&NsRef::Named(name.clone())),
            ResourceId::Link(NsRef::Host, name) => links.contains(name) || leads_into(entry, &inside),
            ResourceId::Link(ns, _) => inside(ns) || leads_into(entry, &inside),
            ResourceId::Address(NsRef::Host, link, _) | ResourceId::Neighbour(NsRef::Host, link, _) => {
                links.contains(link)
            }
            // Routes of links that are not in here are not ours to tell.
            ResourceId::Route(NsRef::Host, ..) => {
                parts.whole.contains(&Whole::Routes)
                    && matches!(&entry.resource, Resource::Route(route) if route.leaves_by().is_some_and(|(by, _)| links.contains(by)))
            }
            ResourceId::Sysctl(NsRef::Host, key) => is_parameter_in(parts, key),
            ResourceId::Address(ns, ..)
            | ResourceId::Route(ns, ..)
            | ResourceId::Neighbour(ns, ..)
            | ResourceId::Sysctl(ns, _) => inside(ns),
            ResourceId::NftTable(_) | ResourceId::NftElement(..) | ResourceId::Passage(..) => false,
            ResourceId::Qdisc(link, _) => links.contains(link),
            ResourceId::File(path) => parts.has_file(path),
        }
    }
}

/// Tells whether a parameter of the host lies within parts.
pub(super) fn is_parameter_in(parts: &Parts, key: &SysctlKey) -> bool {
    let of_link = key.link().is_some_and(|link| parts.links.contains(link));
    of_link
        || parts.whole.contains(&Whole::Parameters)
        || parts.whole.contains(&Whole::Host)
        || parts.has_file(&sysctl::path(key))
}

fn leads_into(entry: &Entry, inside: &impl Fn(&NsRef) -> bool) -> bool {
    let Some(link) = entry.resource.link() else { return false };
    let peer = link.kind.peer();
    peer.is_some_and(|peer| inside(&peer.ns) || (link.ns != NsRef::Host && inside(&link.ns)))
}
