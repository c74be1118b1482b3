//! What an earlier generation, or a saved plan, has on links of others: whether those are still there.
//!
//! Whoever plans from a manifest has what stands on such a link wait for it (`topology::existing`). A state of before says no
//! more than what it led to, so that what stands on what is found by who owns it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::names::{IfName, NetName};
use crate::resource::link::Link;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::{Entry, Observed, State};
use crate::resource::{ResourceId, Slot};

/// What waits for links of others.
#[derive(Debug, Default)]
pub struct Away {
    /// The state with all that waits; `None` when nothing does.
    pub whole: Option<State>,
    /// The networks and attachments that wait.
    pub idle: Vec<Owner>,
    /// What each network waits for, in a sentence.
    pub warnings: Vec<String>,
}

/// Returns the link of somebody else's that a link is to be on and that is not there, after what it would be.
pub fn missing<'l>(link: &'l Link, state: &State, observed: &Observed) -> Option<(&'static str, &'l IfName)> {
    let is_there = |name: &IfName| {
        let id = ResourceId::Link(NsRef::Host, name.clone());
        state.get(&id).is_some()
            || observed.own.get(&id).is_some()
            || observed.foreign.contains_key(&Slot::Ifname(NsRef::Host, name.clone()))
    };
    let bridge = link.master.iter().filter(|_| link.ns == NsRef::Host).map(|name| ("bridge", name));
    let parent = link.kind.parent().map(|name| ("interface", name));
    bridge.chain(parent).find(|(_, name)| !is_there(name))
}

/// Takes out of a state of before what stands on links of others that are gone; returns what waits for them.
pub fn settle(state: &mut State, observed: &Observed) -> Away {
    let mut networks = BTreeMap::new();
    for (_, entry) in state.iter() {
        let Some(below) = entry.resource.link().and_then(|link| missing(link, state, observed)) else {
            continue;
        };
        if let Some(network) = entry.owner.network() {
            networks.insert(network.clone(), (below.0, below.1.clone()));
        }
    }
    if networks.is_empty() {
        return Away::default();
    }
    let whole = std::mem::take(state);
    let leads_nowhere = leading_nowhere(&whole, &networks);
    let waits = |owner: &Owner| {
        owner.network().is_some_and(|network| networks.contains_key(network)) || leads_nowhere.contains(owner)
    };
    let (away, there): (Vec<Entry>, Vec<Entry>) =
        Vec::from(whole.clone()).into_iter().partition(|entry| waits(&entry.owner));
    *state = there.into();
    let mut idle: BTreeSet<Owner> = away.into_iter().map(|entry| entry.owner).collect();
    idle.extend(networks.keys().cloned().map(Owner::Network));
    let sentence = |(network, (what, link)): (&NetName, &(&'static str, IfName))| {
        format!("there is no {what} `{link}`: network `{network}` waits for it, with all that is on it")
    };
    let warnings = networks.iter().map(sentence).collect();
    Away { whole: Some(whole), idle: idle.into_iter().collect(), warnings }
}

/// Returns the ports and addresses of the host all of which leads to addresses on these networks.
fn leading_nowhere<T>(state: &State, networks: &BTreeMap<NetName, T>) -> BTreeSet<Owner> {
    let on_them = |entry: &Entry| entry.owner.network().is_some_and(|name| networks.contains_key(name));
    let on_them = state.iter().map(|(_, entry)| entry).filter(|entry| on_them(entry));
    let gone: BTreeSet<IpAddr> =
        on_them.filter_map(|entry| entry.resource.address()).map(|it| it.addr.addr()).collect();
    let (mut lost, mut led) = (BTreeSet::new(), BTreeSet::new());
    for (_, entry) in state.iter().filter(|(_, it)| matches!(it.owner, Owner::Port(_) | Owner::External(_))) {
        let data = entry.resource.element().and_then(|element| element.data.as_deref());
        let Some(target) = data.and_then(|data| data.parse::<IpAddr>().ok()) else { continue };
        let all = if gone.contains(&target) { &mut lost } else { &mut led };
        all.insert(entry.owner.clone());
    }
    lost.retain(|owner| !led.contains(owner));
    lost
}
