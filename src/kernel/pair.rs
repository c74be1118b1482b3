//! Pairs of links between two containers: what only they need when they are made or changed.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;

use super::live::Live;
use super::message::{self, alias, named};
use crate::resource::link::Peer;
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
