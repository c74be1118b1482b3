//! Which interfaces belong together: the two ends of a pair, and what is stacked on what.
//!
//! An interface says the index of the other one, and the number that its own namespace has for that one's. Numbers are a
//! namespace's own, so that each has to be asked what it calls the others.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;

use super::{Look, Peer};
use crate::kernel::answer::{self, LinkAnswer};
use crate::kernel::netlink::Blocking;
use crate::kernel::{message, netns};
use crate::resource::netns::NsRef;

/// Puts together what belongs together.
pub(super) fn join(looks: &mut [Look]) {
    let from_outside = from_outside(looks);
    let mut peers = vec![];
    for (place, look) in looks.iter().enumerate() {
        let mut numbers = BTreeMap::new();
        numbers.extend(look.home_number.map(|number| (number, 0)));
        let into_home = |link: &LinkAnswer| place == 0 && from_outside.contains_key(&link.index);
        let asked = look.links.iter().filter(|link| !into_home(link)).filter_map(|link| link.peer_ns);
        let asked: BTreeSet<i32> =
            asked.filter(|number| *number >= 0 && !numbers.contains_key(number)).collect();
        if !asked.is_empty() {
            numbers.extend(called(look, looks, &asked));
        }
        let peer = |link: &LinkAnswer| match (link.peer, link.peer_ns) {
            (None | Some(0), _) => Peer::None,
            (Some(index), None) => Peer::At { namespace: place, index },
            (Some(index), Some(number)) => match numbers.get(&number) {
                Some(namespace) => Peer::At { namespace: *namespace, index },
                None if into_home(link) => from_outside.get(&link.index).copied().unwrap_or_default(),
                None => Peer::Unseen,
            },
        };
        peers.push(look.links.iter().map(peer).collect::<Vec<_>>());
    }
    for (look, peers) in looks.iter_mut().zip(peers) {
        for (interface, peer) in look.namespace.interfaces.iter_mut().zip(peers) {
            interface.peer = peer;
        }
    }
}

/// Returns the ends of pairs elsewhere whose other end is at home, by that one's index: so home need not be asked what it
/// calls all others.
fn from_outside(looks: &[Look]) -> BTreeMap<u32, Peer> {
    let mut ends = BTreeMap::new();
    for (namespace, look) in looks.iter().enumerate().skip(1) {
        let home = |link: &&LinkAnswer| {
            link.kind == "veth" && link.peer_ns.is_some_and(|it| Some(it) == look.home_number)
        };
        for link in look.links.iter().filter(home) {
            ends.extend(link.peer.map(|index| (index, Peer::At { namespace, index: link.index })));
        }
    }
    ends
}

/// Returns the places of the namespaces that a namespace has these numbers for, as far as they can be found.
fn called(look: &Look, looks: &[Look], asked: &BTreeSet<i32>) -> BTreeMap<i32, usize> {
    let mut numbers = BTreeMap::new();
    let entered = netns::open(&NsRef::Path(look.path.clone())).and_then(|ns| netns::join(ns.as_fd()));
    let Some(mut socket) = entered.ok().and_then(|()| Blocking::open().ok()) else { return numbers };
    for (place, other) in looks.iter().enumerate() {
        if numbers.len() == asked.len() {
            break;
        }
        let Ok(ns) = netns::open(&NsRef::Path(other.path.clone())) else { continue };
        let number = socket.ask(message::find_nsid(ns.as_fd()), answer::nsid).ok().flatten();
        numbers.extend(number.filter(|number| asked.contains(number)).map(|number| (number, place)));
    }
    numbers
}
