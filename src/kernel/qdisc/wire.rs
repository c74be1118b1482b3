//! Messages about qdiscs and filters, to the kernel and from it.
//!
//! Source: `include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls}.h`, `include/uapi/linux/tc_act/tc_mirred.h`.

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcHeader, TcMessage};
use smol_str::SmolStr;

use crate::kernel::answer::{each, u32_at};
use crate::kernel::attribute::{attr, nest};
use crate::kernel::netlink::text;
use crate::resource::qdisc::{Bucket, NUMBER, Rate};

const RTM_NEWQDISC: u16 = 36;
const RTM_NEWTFILTER: u16 = 44;

/// Of a qdisc and a filter; those of an action have the same numbers: `TCA_ACT_KIND`, `TCA_ACT_OPTIONS`.
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_U32_ACT: u16 = 7;

/// The root qdisc of ours.
const OURS: TcHandle = TcHandle { major: NUMBER, minor: 0 };
/// The number that every qdisc has where packets come in.
const INCOMING: TcHandle = TcHandle { major: 0xffff, minor: 0 };
/// Where the filters of incoming packets hang: `TC_H_MIN_INGRESS`, of `ingress` as of `clsact`.
const FILTERS: TcHandle = TcHandle { major: 0xffff, minor: TcHandle::MIN_INGRESS };
/// Our priority, and `ETH_P_ALL` in network order.
const FILTER: u32 = (NUMBER as u32) << 16 | 0x0003_u16.to_be() as u32;

/// How a rate is counted: in whole frames of Ethernet (`TC_LINKLAYER_ETHERNET`).
const ETHERNET: u8 = 1;

/// What a filter that takes everything and leads it away does: `TC_ACT_STOLEN`, `TCA_EGRESS_REDIR`.
const STOLEN: u32 = 4;
const REDIRECT: u32 = 1;

fn message(index: u32, (handle, parent): (TcHandle, TcHandle), kind: &str) -> TcMessage {
    let header = TcHeader { index: i32::try_from(index).unwrap_or(0), handle, parent, ..TcHeader::default() };
    TcMessage::from_parts(header, vec![TcAttribute::Kind(kind.to_owned())])
}

fn options(mut message: TcMessage, value: Vec<u8>) -> TcMessage {
    message.attributes.push(TcAttribute::Other(DefaultNla::new(TCA_OPTIONS, value)));
    message
}

/// Puts a bucket at the root of a link, or changes the one that is there.
pub(super) fn limit(index: u32, bucket: &Bucket) -> RouteNetlinkMessage {
    const TCA_TBF_PARMS: u16 = 1;
    const TCA_TBF_RATE64: u16 = 4;
    let Bucket { rate, depth, queue, intact: _ } = *bucket;
    let [mut parameters, mut value] = [vec![], vec![]];
    // `struct tc_ratespec`, twice: the second is a peak, of which there is none.
    parameters.extend([0, ETHERNET, 0, 0, 0, 0, 0, 0]);
    parameters.extend(u32::try_from(rate.0).unwrap_or(u32::MAX).to_ne_bytes());
    parameters.extend([0; 12]);
    for number in [queue, depth, 0] {
        parameters.extend(number.to_ne_bytes());
    }
    attr(&mut value, TCA_TBF_PARMS, &parameters);
    if u32::try_from(rate.0).is_err() {
        attr(&mut value, TCA_TBF_RATE64, &rate.0.to_ne_bytes());
    }
    let message = message(index, (OURS, TcHandle::ROOT), "tbf");
    RouteNetlinkMessage::NewQueueDiscipline(options(message, value))
}

/// Takes the bucket from the root of a link.
pub(super) fn no_limit(index: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelQueueDiscipline(message(index, (OURS, TcHandle::ROOT), "tbf"))
}

/// Makes room for filters of what comes in by a link.
pub(super) fn incoming(index: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewQueueDiscipline(message(index, (INCOMING, TcHandle::INGRESS), "ingress"))
}

/// Takes that room away, with all filters.
pub(super) fn no_incoming(index: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelQueueDiscipline(message(index, (INCOMING, TcHandle::INGRESS), "ingress"))
}

fn filter(index: u32) -> TcMessage {
    let mut message = message(index, (TcHandle::UNSPEC, FILTERS), "u32");
    message.header.info = FILTER;
    message
}

/// Leads all that comes in by a link to another one. Of the filters that can take everything `u32` is there wherever any is.
pub(super) fn divert(index: u32, to: u32) -> RouteNetlinkMessage {
    const TCA_U32_SEL: u16 = 5;
    const TCA_MIRRED_PARMS: u16 = 2;
    // `struct tc_u32_sel`: that is final (`TC_U32_TERMINAL`), and its one key masks everything out.
    let mut selector = vec![1, 0, 1];
    selector.resize(16 + 16, 0);
    // `struct tc_mirred`.
    let mut mirred = vec![];
    for number in [0, 0, STOLEN, 0, 0, REDIRECT, to] {
        mirred.extend(number.to_ne_bytes());
    }
    let mut value = vec![];
    attr(&mut value, TCA_U32_SEL, &selector);
    nest(&mut value, TCA_U32_ACT, |out| {
        nest(out, 1, |out| {
            attr(out, TCA_KIND, b"mirred\0");
            nest(out, TCA_OPTIONS, |out| attr(out, TCA_MIRRED_PARMS, &mirred));
        });
    });
    RouteNetlinkMessage::NewTrafficFilter(options(filter(index), value))
}

/// Takes our filter away.
pub(super) fn no_divert(index: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelTrafficFilter(filter(index))
}

/// Asks for all qdiscs.
pub(super) fn all() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default())
}

/// Asks for the filters of what comes in by a link.
pub(super) fn filters(index: u32) -> RouteNetlinkMessage {
    let header =
        TcHeader { index: i32::try_from(index).unwrap_or(0), parent: FILTERS, ..TcHeader::default() };
    RouteNetlinkMessage::GetTrafficFilter(TcMessage::from_parts(header, vec![]))
}

/// A qdisc, as the kernel tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) index: u32,
    pub(super) at: Place,
}

/// Where a qdisc is, and which one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A bucket of ours at the root.
    Ours(Bucket),
    /// Somebody else's at the root.
    Theirs(SmolStr),
    /// Where packets come in.
    Incoming(SmolStr),
}

/// Reads a qdisc; `None` for anything else, also for one that the kernel has put there itself.
pub(super) fn qdisc(kind: u16, body: &[u8]) -> Option<Told> {
    let (header, attributes) = body.split_at_checked(20).filter(|_| kind == RTM_NEWQDISC)?;
    let (index, handle, parent) = (u32_at(header, 4)?, u32_at(header, 8)?, u32_at(header, 12)?);
    let (mut name, mut options) = (SmolStr::default(), vec![]);
    each(attributes, |kind, value| match kind {
        TCA_KIND => name = text(value),
        TCA_OPTIONS => options = value.to_vec(),
        _ => {}
    });
    let at = match TcHandle::from(parent) {
        TcHandle::INGRESS => Place::Incoming(name),
        TcHandle::ROOT if handle == 0 => return None,
        TcHandle::ROOT if handle == u32::from(OURS) && name == "tbf" => Place::Ours(bucket(&options)?),
        TcHandle::ROOT => Place::Theirs(name),
        _ => return None,
    };
    Some(Told { index, at })
}

fn bucket(options: &[u8]) -> Option<Bucket> {
    let (mut parameters, mut rate64) = (vec![], None);
    each(options, |kind, value| match kind {
        1 => parameters = value.to_vec(),
        4 => rate64 = value.first_chunk().map(|number| u64::from_ne_bytes(*number)),
        _ => {}
    });
    let number = |at| u32_at(&parameters, at);
    let rate = Rate(rate64.map_or_else(|| number(8).map(u64::from), Some)?);
    // Overhead, cells and minimal sizes, and the peak.
    let spec = parameters.get(..8)?;
    let usual = spec.get(2..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0)) && number(20) == Some(0);
    let intact = usual && spec.get(1).is_some_and(|layer| layer & 0xf == ETHERNET);
    Some(Bucket { rate, queue: number(24)?, depth: number(28)?, intact })
}

/// Reads a filter of incoming packets: its priority, and where it leads them when that is all that it does; `None` for
/// anything else. A hash table of `u32` is told as a filter without options that match.
pub(super) fn filter_told(kind: u16, body: &[u8]) -> Option<(u16, Option<u32>)> {
    let (header, attributes) = body.split_at_checked(20).filter(|_| kind == RTM_NEWTFILTER)?;
    let priority = u16::try_from(u32_at(header, 16)? >> 16).ok()?;
    let mut to = None;
    each(attributes, |kind, value| {
        if kind == TCA_OPTIONS {
            each(value, |kind, value| {
                if kind == TCA_U32_ACT {
                    each(value, |_, action| to = to.or(redirect(action)));
                }
            });
        }
    });
    Some((priority, to))
}

fn redirect(action: &[u8]) -> Option<u32> {
    let mut to = None;
    each(action, |kind, value| {
        if kind == 2 {
            each(value, |kind, value| {
                if kind == 2 && u32_at(value, 20) == Some(REDIRECT) {
                    to = u32_at(value, 24);
                }
            });
        }
    });
    to
}
