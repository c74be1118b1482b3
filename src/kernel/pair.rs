//! Pairs of links between two containers: what only they need when they are made or changed.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::live::Live;
use super::message::{self, alias, named};
use super::{links, netns};
use crate::resource::link::{Link, Peer};
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

/// Gives the host numbers for the namespaces of a pair of which it has no end, so that it hears what happens in there
/// (`NETLINK_LISTEN_ALL_NSID`, netlink(7)). One that it has a number for keeps it; where it gets none, a daemon finds by
/// its clock what it does not hear.
pub(super) async fn number(live: &Live, link: &Link, peer: &Peer) {
    if link.ns == NsRef::Host {
        return;
    }
    let Ok(host) = links::channel(live, &NsRef::Host) else { return };
    for ns in [&link.ns, &peer.ns] {
        let Ok(file) = netns::open(ns) else { continue };
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Fd(file.as_fd().as_raw_fd().unsigned_abs()));
        // `NETNSA_NSID_NOT_ASSIGNED`: the kernel chooses.
        message.attributes.push(NsidAttribute::Id(-1));
        let _ = links::send(host, RouteNetlinkMessage::NewNsId(message), 0).await;
    }
}
