//! Pairs of links: what only those between two containers need when they are made or changed, and those that go with a
//! namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;

use super::answer::LinkAnswer;
use super::links::CLEANUP;
use super::live::Live;
use super::message::{self, alias, named};
use super::netlink::{Blocking, Refusal};
use super::{answer, netns};
use crate::names::NetnsName;
use crate::resource::link::Peer;
use crate::resource::netns::NsRef;
use crate::resource::owner::Mark;

/// Returns what turns the second end's tag into that of `to`: its mark, and its further name.
pub(super) fn retag(live: &Live, from: Option<&Peer>, to: &Peer) -> Vec<RouteNetlinkMessage> {
    let before = from.and_then(|peer| peer.tag.as_ref());
    let Some(tag) = to.tag.as_ref().filter(|tag| Some(*tag) != before) else { return vec![] };
    let mut messages = vec![mark(to, &live.mark(&tag.owner))];
    let old = before.and_then(|tag| tag.altname.as_ref());
    if old != tag.altname.as_ref() {
        messages.extend(old.map(|old| message::remove_altname(&to.name, old)));
        messages.extend(tag.altname.as_ref().map(|new| message::add_altname(&to.name, new)));
    }
    messages
}

fn mark(peer: &Peer, mark: &Mark) -> RouteNetlinkMessage {
    let mut link: LinkMessage = named(&peer.name);
    link.attributes.push(alias(mark));
    RouteNetlinkMessage::NewLink(link)
}

/// Returns the links of the host; `None` when they cannot be read, which is not to be taken for there being none.
pub(super) async fn host_links() -> Option<Vec<LinkAnswer>> {
    let links = netns::on_thread(|| Blocking::open()?.dump(message::all_links(), answer::link));
    links.await.ok()?.ok()
}

/// Returns the host's ends of the pairs whose other ends are in these namespaces.
///
/// The host refers to each of them by a number. It is asked for where it was not seen: the kernel walks all numbers for
/// each (`peernet2id()`, `net/core/net_namespace.c`), which is still a fraction of what it costs to enter them.
pub(super) async fn pairs_into(
    names: &[NetnsName],
    links: &[LinkAnswer],
    seen: &BTreeMap<NsRef, i32>,
) -> Vec<LinkAnswer> {
    let mut pairs: Vec<_> =
        links.iter().filter(|link| link.kind == "veth" && link.peer_ns.is_some()).cloned().collect();
    // Most often the pairs went before, and then nobody needs the numbers.
    if pairs.is_empty() {
        return pairs;
    }
    let (mut numbers, mut unseen) = (BTreeSet::new(), vec![]);
    for ns in names.iter().cloned().map(NsRef::Named) {
        match seen.get(&ns) {
            Some(number) => drop(numbers.insert(*number)),
            None => unseen.push(ns),
        }
    }
    if !unseen.is_empty() {
        let asked = netns::on_thread(move || -> Result<Vec<i32>, Refusal> {
            let mut host = Blocking::open()?;
            let number = |ns| {
                let ns = netns::open_if_namespace(&ns).ok().flatten()?;
                host.ask(message::find_nsid(ns.as_fd()), answer::nsid).ok()?
            };
            Ok(unseen.into_iter().filter_map(number).collect())
        });
        numbers.extend(asked.await.map(Result::unwrap_or_default).unwrap_or_default());
    }
    pairs.retain(|link| link.peer_ns.is_some_and(|ns| numbers.contains(&ns)));
    pairs
}

/// Waits until the host's links whose peers were in namespaces that are gone have gone, too: the kernel removes them a
/// little later. One that stays (somebody is still inside) is left to the next plan.
pub(super) async fn wait_until_gone(mut pairs: BTreeSet<u32>) {
    let began = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(2);
    while !pairs.is_empty() {
        let Some(links) = host_links().await else { return };
        pairs.retain(|index| links.iter().any(|link| link.index == *index && link.kind == "veth"));
        if pairs.is_empty() || began.elapsed() > CLEANUP {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
