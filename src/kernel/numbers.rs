//! Numbers that the host has for other namespaces: what happens in one without a number is not heard there
//! (`NETLINK_LISTEN_ALL_NSID`, netlink(7)).

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::netlink::Blocking;
use super::{answer, message, netns};
use crate::resource::netns::NsRef;

/// Has the host have a number for a namespace, and returns it. The kernel gives one by itself where the end of a pair in the
/// host leads, and up to Linux 6.14 where a link was moved to; one that is there stays. `None` when there is none to be had:
/// then a daemon finds by its clock what it does not hear.
pub(super) fn give(ns: &NsRef) -> Option<i32> {
    let file = netns::open(ns).ok()?;
    let mut socket = Blocking::open().ok()?;
    let mut new = NsidMessage::default();
    new.attributes.push(NsidAttribute::Fd(file.as_fd().as_raw_fd().unsigned_abs()));
    // `NETNSA_NSID_NOT_ASSIGNED`: the kernel chooses.
    new.attributes.push(NsidAttribute::Id(-1));
    let _ = socket.command(RouteNetlinkMessage::NewNsId(new), 0);
    socket.ask(message::find_nsid(file.as_fd()), answer::nsid).ok()?
}
