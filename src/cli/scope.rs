//! What has to be looked at.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashSet;

use super::naming;
use super::session::Session;
use crate::apply::generation::Past;
use crate::kernel::live::Live;
use crate::kernel::{Proxies, Scope, Seals, census};
use crate::manifest::{Driver, Home, Manifest, Uplink};
use crate::names::{IfName, NetnsName};
use crate::resource::ResourceId;
use crate::resource::link::Link;
use crate::resource::netns::{NsRef, Process};
use crate::resource::state::{Entry, Observed, State};
use crate::resource::sysctl::SysctlKey;

/// Adds what has to be looked at because a state names it.
pub(super) fn widen(scope: &mut Scope, state: &State) {
    let made: HashSet<&NetnsName> = state.iter().map_while(|(id, _)| id.netns()).collect();
    // What netform makes itself is found by its mark; of others' namespaces nothing tells which has something of ours.
    let is_given = |ns: &NsRef| match ns {
        NsRef::Path(_) | NsRef::Process(_) => true,
        NsRef::Named(name) => !made.contains(name),
        NsRef::Host => false,
    };
    for (_, entry) in state.iter() {
        scope.add(entry);
        let homes = entry.resource.link().into_iter().flat_map(Link::namespaces);
        scope.namespaces.extend(homes.filter(|ns| is_given(ns)).cloned());
    }
}

/// Returns what tells whether a link was taken from the host, or only says so.
pub(super) fn seals(kernel: &Live, past: &Past) -> Option<Seals> {
    let seals = kernel.seals()?.clone();
    Some(match &past.generation {
        Some(generation) => seals.beside(&generation.state),
        None => seals,
    })
}

/// What was looked at that no mark leads to.
pub(super) struct Looked {
    sysctls: BTreeSet<(NsRef, SysctlKey)>,
    routes: BTreeSet<ResourceId>,
    switch: bool,
    vlans: bool,
    limited: BTreeSet<IfName>,
    proxies: Proxies,
}

impl Looked {
    pub(super) fn at(scope: &Scope) -> Self {
        Self {
            sysctls: scope.sysctls.clone(),
            routes: scope.routes.clone(),
            limited: scope.limited.clone(),
            proxies: scope.proxies.clone(),
            switch: scope.switch,
            vlans: scope.vlans,
        }
    }
}

/// Tells whether a route, or a kernel parameter, matters that was not looked at, in a namespace or of a link that is there.
pub(super) fn must_look_again(before: &Looked, scope: &Scope, observed: &Observed) -> bool {
    let Looked { sysctls, routes, limited, proxies, switch, vlans } = before;
    let is_there = |id: &ResourceId| match id.ns() {
        NsRef::Named(name) => {
            observed.own.get(&ResourceId::Netns(name.clone())).is_some()
                || scope.namespaces.contains(&NsRef::Named(name))
        }
        NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => true,
    };
    if (scope.switch, scope.vlans) != (*switch, *vlans)
        || scope.proxies.is_beyond(proxies, observed)
        || scope.routes.difference(routes).any(is_there)
    {
        return true;
    }
    if scope.limited.difference(limited).any(|link| has_link(&observed.own, &NsRef::Host, link)) {
        return true;
    }
    scope
        .sysctls
        .difference(sysctls)
        .any(|(ns, key)| key.link().is_none_or(|link| has_link(&observed.own, ns, link)))
}

/// Tells whether a state has a link in a namespace, be it the other end of a pair.
pub(super) fn has_link(state: &State, ns: &NsRef, link: &IfName) -> bool {
    let id = ResourceId::Link(ns.clone(), link.clone());
    let is_it = |entry: &Entry| {
        let peer = entry.resource.link().and_then(|link| link.kind.peer());
        peer.is_some_and(|peer| peer.ns == *ns && peer.name == *link)
    };
    state.get(&id).is_some() || (*ns != NsRef::Host && state.iter().any(|(_, entry)| is_it(entry)))
}

/// Adds on which links routers were heard before netform changed that.
pub(super) fn recall(scope: &mut Scope, past: &Past) {
    let known = past.originals.known.iter().chain(&past.originals_of_others);
    let heeded = known.filter_map(|entry| match entry.resource.id() {
        ResourceId::Sysctl(NsRef::Host, key) if key.name() == Some("accept_ra") => key.link().cloned(),
        ResourceId::Sysctl(..)
        | ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::Neighbour(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => None,
    });
    scope.proxies.heeded.extend(heeded);
}

/// Adds what has to be looked at because a manifest names it.
pub(super) fn declare(scope: &mut Scope, manifest: &Manifest) {
    scope.namespaces = given_namespaces(manifest);
    scope.files = naming::files(manifest);
    scope.devices = devices(manifest);
    (scope.switch, scope.vlans) = (has_switch(manifest), has_vlans(manifest));
    for asked in manifest.networks.values().filter_map(|network| network.value.ndp_proxy.as_ref()) {
        match &asked.value {
            Uplink::Default => scope.proxies.uplink = true,
            Uplink::Named(link) => scope.answers(link),
        }
    }
}

/// Tells whether a manifest has networks on Open vSwitch.
pub(super) fn has_switch(manifest: &Manifest) -> bool {
    manifest.networks.values().any(|network| matches!(network.value.driver, Driver::OpenVswitch(_)))
}

/// Tells whether a manifest has attachments in VLANs of their networks.
fn has_vlans(manifest: &Manifest) -> bool {
    let is_bridge = |name| {
        let network = manifest.networks.get(name);
        network.is_none_or(|network| network.value.driver == Driver::Bridge)
    };
    let networks = manifest.containers.values().filter_map(|container| container.value.networks.as_ref());
    networks.flatten().any(|(name, at)| at.value.port.is_some() && is_bridge(name))
}

/// Returns the links of the host that containers of a manifest are to have for themselves.
fn devices(manifest: &Manifest) -> BTreeSet<IfName> {
    let networks = manifest.containers.values().filter_map(|container| container.value.networks.as_ref());
    let attachments = networks.flat_map(|networks| networks.values());
    attachments.filter_map(|at| Some(at.value.device.as_ref()?.value.clone())).collect()
}

impl Session {
    /// Returns which of the namespaces of containers are one, by several names. Where all are of netform's making none can be.
    pub(super) fn same_namespaces(&self, scope: &Scope) -> BTreeMap<NsRef, NsRef> {
        let Some(loaded) = self.loaded.as_ref().filter(|_| !scope.namespaces.is_empty()) else {
            return BTreeMap::new();
        };
        let containers = loaded.manifest.containers.iter();
        let own = containers.filter(|(_, at)| at.value.home.is_none());
        let own: Vec<_> = own.map(|(name, _)| NsRef::Named(NetnsName::from(name))).collect();
        let given = scope.namespaces.iter().filter(|ns| **ns != NsRef::Process(Process::NOBODY));
        census::same(own.iter().chain(given))
    }
}

/// Returns the namespaces of others that a manifest names.
pub(super) fn given_namespaces(manifest: &Manifest) -> BTreeSet<NsRef> {
    let homes = manifest.containers.values().filter_map(|container| container.value.home.as_ref());
    let given = homes.filter_map(|home| match &home.value {
        Home::Netns(ns) => Some(ns.clone()),
        Home::Docker(_) | Home::Podman(_) | Home::Process(_) => None,
    });
    given.collect()
}
