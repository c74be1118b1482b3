//! What others have in namespaces, beyond what an observation tells: rules of routing, tables of nftables, and neighbours that
//! were entered by hand. Whoever takes away a namespace takes it along.
//!
//! Sources: `include/uapi/linux/{fib_rules,neighbour,rtnetlink}.h`, `include/uapi/linux/netfilter/nf_tables.h`.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::rule::RuleMessage;

use super::answer::{attributes, ip, u32_at};
use super::netlink::{Blocking, Refusal, text};
use super::{netns, redirect};
use crate::names::NetnsName;
use crate::resource::netns::NsRef;
use crate::resource::route::PROTOCOL;

/// `RTPROT_KERNEL`.
const KERNEL: u8 = 2;

/// Returns what others have in these namespaces, in words. What cannot be read is not told.
pub async fn stowaways(names: Vec<NetnsName>) -> BTreeMap<NetnsName, Vec<String>> {
    let mut found = BTreeMap::new();
    if names.is_empty() {
        return found;
    }
    let look = move || {
        let all = names.into_iter().filter_map(|name| {
            netns::join(netns::open(&NsRef::Named(name.clone())).ok()?.as_fd()).ok()?;
            Some((name, look().ok()?))
        });
        all.collect::<Vec<_>>()
    };
    found.extend(netns::on_thread(look).await.unwrap_or_default());
    found
}

fn look() -> Result<Vec<String>, Refusal> {
    let mut socket = Blocking::open()?;
    let mut all = socket.dump(RouteNetlinkMessage::GetRule(RuleMessage::default()), rule)?;
    all.extend(socket.dump(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()), neighbour)?);
    // `NFT_MSG_GETTABLE` of `NFNL_SUBSYS_NFTABLES`; a kernel without nftables has none.
    let tables = Blocking::open_netfilter()?.netfilter((0xa01, NLM_F_DUMP), &[0; 4], table);
    all.extend(tables.unwrap_or_default());
    Ok(all)
}

fn number(body: &[u8], header: usize, wanted: u16) -> Option<u32> {
    let (_, value) = attributes(body.get(header..)?).find(|(kind, _)| *kind == wanted)?;
    u32_at(value, 0).or_else(|| value.first().copied().map(u32::from))
}

/// Reads a rule that the kernel has not made itself: `struct fib_rule_hdr`, `FRA_PRIORITY` and `FRA_PROTOCOL`.
fn rule(kind: u16, body: &[u8]) -> Option<String> {
    const RTM_NEWRULE: u16 = 32;
    let is_kernels = number(body, 12, 21) == Some(KERNEL.into());
    let priority = number(body, 12, 6).unwrap_or(0);
    (kind == RTM_NEWRULE && !is_kernels).then(|| format!("routing rule {priority}"))
}

/// Reads a neighbour that somebody has entered: `struct ndmsg`, `NUD_PERMANENT`, `NDA_DST` and `NDA_PROTOCOL`.
fn neighbour(kind: u16, body: &[u8]) -> Option<String> {
    const RTM_NEWNEIGH: u16 = 28;
    let is_permanent = kind == RTM_NEWNEIGH && body.get(8).is_some_and(|state| state & 0x80 != 0);
    let is_ours = number(body, 12, 12) == Some(PROTOCOL.into());
    let (_, addr) = attributes(body.get(12..)?).find(|(kind, _)| *kind == 1)?;
    let addr = ip(addr).filter(|_| is_permanent && !is_ours)?;
    Some(format!("neighbour {addr}"))
}

/// Reads a table that is not the resolver's: `struct nfgenmsg`, `NFTA_TABLE_NAME`.
fn table(kind: u16, body: &[u8]) -> Option<String> {
    const NEWTABLE: u16 = 0xa00;
    let family = match body.first().filter(|_| kind == NEWTABLE)? {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    };
    let (_, name) = attributes(body.get(4..)?).find(|(kind, _)| *kind == 1)?;
    let name = text(name);
    (name != redirect::NAME).then(|| format!("nft table {family} {name}"))
}
