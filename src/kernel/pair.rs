//! Pairs of links: what only those between two containers need when they are made or changed, and those that go with a
//! namespace.

use std::collections::BTreeSet;
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

/// Returns the host's ends of the pairs whose other ends are in these namespaces.
///
/// The host refers to each of them by a number, for which the kernel walks all numbers (`peernet2id()`, `net/core/
/// net_namespace.c`): still a fraction of what it costs to enter them.
pub(super) async fn pairs_into(names: BTreeSet<NetnsName>) -> Vec<LinkAnswer> {
    let pairs = netns::on_thread(move || -> Result<_, Refusal> {
        let mut host = Blocking::open()?;
        let mut pairs = host.dump(message::all_links(), answer::link)?;
        pairs.retain(|link| link.kind == "veth" && link.peer_ns.is_some());
        // Most often the pairs went before, and then nobody needs the numbers.
        if pairs.is_empty() {
            return Ok(pairs);
        }
        let number = |name: NetnsName| {
            let ns = netns::open_if_namespace(&NsRef::Named(name)).ok().flatten()?;
            host.ask(message::find_nsid(ns.as_fd()), answer::nsid).ok()?
        };
        let numbers: BTreeSet<i32> = names.into_iter().filter_map(number).collect();
        pairs.retain(|link| link.peer_ns.is_some_and(|ns| numbers.contains(&ns)));
        Ok(pairs)
    });
    pairs.await.map(Result::unwrap_or_default).unwrap_or_default()
}

/// Waits until the host's links whose peers were in namespaces that are gone have gone, too: the kernel removes them a
/// little later. One that stays (somebody is still inside) is left to the next plan.
pub(super) async fn wait_until_gone(mut pairs: BTreeSet<u32>) {
    let began = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(2);
    while !pairs.is_empty() {
        let links = netns::on_thread(|| Blocking::open()?.dump(message::all_links(), answer::link));
        let Ok(Ok(links)) = links.await else { return };
        pairs.retain(|index| links.iter().any(|link| link.index == *index && link.kind == "veth"));
        if pairs.is_empty() || began.elapsed() > CLEANUP {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
