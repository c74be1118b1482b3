//! Connection tracking: flows that would go on to where a published port or an external address no longer leads.
//!
//! The kernel translates by the rules only what begins a flow; everything after goes by the flow's entry, and each packet
//! keeps the entry alive. So a change of the maps that lead ports to containers has to be followed by the removal of the
//! entries that say otherwise; the next packet then begins a flow anew. A TCP connection is reset by whoever gets it.
//!
//! One dump for each transaction that changes such a map, and a request for each entry that has to go. Where the kernel has
//! no `nf_conntrack_netlink`, nothing can be removed; what is no longer published is dropped by the rules all the same.
//!
//! What a policy allowed, or an open network, goes by its entry, too. Its flows are looked for when all is carried out and
//! not before: what allows goes first and comes last, and in between it seems that nothing allows what stays allowed.
//!
//! Sources: `ctnetlink_del_conntrack()` in Linux `net/netfilter/nf_conntrack_netlink.c`; `enum ctattr_type` in
//! `include/uapi/linux/netfilter/nfnetlink_conntrack.h`.

mod door;
mod external;
mod flow;
mod permit;

use std::collections::HashSet;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use rustix::io::Errno;

use self::door::Doors;
use self::external::Externals;
use self::flow::Flow;
pub(super) use self::permit::Permits;
use self::permit::{Standing, is_asked};
use super::answer::number_of;
use super::netlink::{Blocking, Refusal};
use super::{Op, answer, message, netns, nft};

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_NEW`, `_GET` and `_DELETE`.
const NEW: u16 = 0x0100;
const GET: u16 = 0x0101;
const DELETE: u16 = 0x0102;
/// `IPCTNL_MSG_CT_GET_STATS`.
const GET_STATS: u16 = 0x0105;

/// Removes the flows that these operations, which have been carried out, leave behind.
pub(super) async fn forget_stale(ops: &[&Op]) {
    let (doors, externals) = (Doors::of(ops), Externals::of(ops));
    if !doors.is_empty() || !externals.is_empty() {
        // What cannot be removed here ends by itself: its packets are dropped, or its time runs out.
        let _ = netns::on_thread(move || remove(&doors, &externals)).await;
    }
}

fn remove(doors: &Doors, externals: &Externals) -> Result<(), Refusal> {
    let mut socket = Blocking::open_netfilter()?;
    if matches!(count(&mut socket), Ok(Some(0))) {
        return Ok(());
    }
    let local = if doors.open_any() { local_addresses()? } else { HashSet::new() };
    forget(&mut socket, |flow| doors.are_past(flow, &local) || externals.are_past(flow))
}

/// Removes the flows that only one of these permissions, which are gone, let begin.
pub(super) async fn forget_refused(gone: Permits) {
    if gone.table().is_some() {
        let _ = netns::on_thread(move || remove_refused(&gone)).await;
    }
}

fn remove_refused(gone: &Permits) -> Result<(), Refusal> {
    let Some(table) = gone.table() else { return Ok(()) };
    let mut socket = Blocking::open_netfilter()?;
    if matches!(count(&mut socket), Ok(Some(0))) {
        return Ok(());
    }
    let now = nft::elements_here(&mut socket, table, is_asked)?;
    let now = Standing::of(now.iter().filter_map(|entry| entry.resource.element()), local_addresses()?);
    forget(&mut socket, |flow| now.refuses(flow, gone))
}

/// Removes flows.
fn forget(socket: &mut Blocking, is_past: impl Fn(&Flow) -> bool) -> Result<(), Refusal> {
    let past = |kind: u16, body: &[u8]| {
        let flow = (kind == NEW).then(|| Flow::read(body)).flatten()?;
        is_past(&flow).then_some(flow)
    };
    let flows = socket.netfilter((GET, NLM_F_DUMP), &flow::header(0), past)?;
    for flow in flows {
        match socket.netfilter((DELETE, NLM_F_ACK), &flow.name(), |_, _| None::<()>) {
            Err(refusal) if refusal.errno() != Some(Errno::NOENT) => return Err(refusal),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Returns how many flows there are: to look for them, the kernel walks a table that is as large as its memory lets it.
fn count(socket: &mut Blocking) -> Result<Option<u32>, Refusal> {
    /// `enum ctattr_stats_global`.
    const CTA_STATS_GLOBAL_ENTRIES: u16 = 1;
    let read = |kind: u16, body: &[u8]| {
        number_of(body.get(4..).filter(|_| kind == GET_STATS)?, CTA_STATS_GLOBAL_ENTRIES)
    };
    Ok(socket.netfilter((GET_STATS, NLM_F_ACK), &flow::header(0), read)?.into_iter().next())
}

fn local_addresses() -> Result<HashSet<IpAddr>, Refusal> {
    let addresses = Blocking::open()?.dump(message::all_addresses(), answer::address)?;
    Ok(addresses.into_iter().map(|answer| answer.addr.addr()).collect())
}
