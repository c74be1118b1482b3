//! What went over links: the kernel's counters.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use schemars::JsonSchema;
use serde::Serialize;
use smol_str::SmolStr;

use super::answer::each;
use super::netlink::{Blocking, Refusal, text};
use super::reading::failed;
use super::{ObserveError, netns};
use crate::resource::netns::NsRef;

const RTM_NEWLINK: u16 = 16;
/// `IFLA_IFNAME` and `IFLA_STATS64` in `include/uapi/linux/if_link.h`.
const IFLA_IFNAME: u16 = 3;
const IFLA_STATS64: u16 = 23;

/// What went over a link since it was made, as the link sees it: received is what came to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counters {
    /// Packets received.
    pub received_packets: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets that came or were to be sent and were dropped.
    pub dropped: u64,
    /// Packets with an error.
    pub errors: u64,
}

/// Returns the counters of all links in a namespace, by their names; none when it is not there.
///
/// # Errors
///
/// When it may not be looked into.
pub async fn counters(ns: NsRef) -> Result<BTreeMap<SmolStr, Counters>, ObserveError> {
    let what = format!("the counters in {ns}");
    if !netns::is_there(&ns) {
        return Ok(BTreeMap::new());
    }
    let read = netns::on_thread(move || {
        if ns != NsRef::Host {
            netns::join(netns::open(&ns)?.as_fd())?;
        }
        Blocking::open()?.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), of_link)
    });
    let counters = match read.await {
        Ok(counters) => counters,
        Err(error) => Err(Refusal::from(error)),
    };
    Ok(counters.map_err(|refusal| failed(what, refusal))?.into_iter().collect())
}

/// Reads `struct rtnl_link_stats64`, of which these are the first eight numbers.
fn of_link(kind: u16, body: &[u8]) -> Option<(SmolStr, Counters)> {
    let (_, attributes) = body.split_at_checked(16).filter(|_| kind == RTM_NEWLINK)?;
    let (mut name, mut counters) = (None, None);
    each(attributes, |kind, value| match kind {
        IFLA_IFNAME => name = Some(text(value)),
        IFLA_STATS64 => counters = Some(value.to_vec()),
        _ => {}
    });
    let counters = counters?;
    let number = |at: usize| {
        counters.get(at * 8..).and_then(|rest| rest.first_chunk().copied()).map_or(0, u64::from_ne_bytes)
    };
    let counters = Counters {
        received_packets: number(0),
        sent_packets: number(1),
        received_bytes: number(2),
        sent_bytes: number(3),
        errors: number(4) + number(5),
        dropped: number(6) + number(7),
    };
    Some((name?, counters))
}
