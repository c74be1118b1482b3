//! What a namespace has lost that the kernel gives every one that is new, beside links and their addresses: `::1`, and the
//! rules by which the tables of routes are asked.
//!
//! Source: `include/uapi/linux/fib_rules.h`.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rustix::io::Errno;

use super::Scope;
use super::answer::{attributes, u32_at};
use super::links::{Outcome, send, send_unless};
use super::message;
use super::netlink::{Blocking, Channel, Refusal};
use super::reading::{NsReading, Tables};
use super::silence::{disable_ipv6, set_ipv6};
use crate::names::IfName;
use crate::resource::netns::{Lack, NsRef, Table};
use crate::resource::sysctl::{Family, SysctlKey};

/// The rules of a new namespace.
const RULES: [(Family, Table); 5] = [
    (Family::Ipv4, Table::Local),
    (Family::Ipv4, Table::Main),
    (Family::Ipv4, Table::Default),
    (Family::Ipv6, Table::Local),
    (Family::Ipv6, Table::Main),
];

/// Returns the tables that no rule leads all packets to. Of a family without any rule nothing is known: a kernel may have
/// none (`CONFIG_IP_MULTIPLE_TABLES`, `CONFIG_IPV6_MULTIPLE_TABLES`).
pub(super) fn unruled(socket: &mut Blocking) -> Result<Vec<(Family, Table)>, Refusal> {
    let rules = socket.dump(RouteNetlinkMessage::GetRule(RuleMessage::default()), rule)?;
    let is_there = |family: Family, table: u32| rules.contains(&(family, Some(table)));
    let has_any = |family| rules.iter().any(|(of, _)| *of == family);
    let lost =
        RULES.into_iter().filter(|(family, table)| has_any(*family) && !is_there(*family, table.numbers().0));
    Ok(lost.collect())
}

/// Reads a rule: its family, and the table that it leads all packets to.
fn rule(kind: u16, body: &[u8]) -> Option<(Family, Option<u32>)> {
    const RTM_NEWRULE: u16 = 32;
    /// `FR_ACT_TO_TBL` and `FIB_RULE_INVERT`.
    const TO_TABLE: u8 = 1;
    const INVERT: u32 = 2;
    /// `FRA_IIFNAME`, `_FWMARK`, `_TUN_ID`, `_OIFNAME`, `_L3MDEV`, `_UID_RANGE`, `_IP_PROTO`, `_SPORT_RANGE`,
    /// `_DPORT_RANGE`, `_DSCP`, `_FLOWLABEL`.
    const SELECTORS: [u16; 11] = [3, 10, 12, 17, 19, 20, 22, 23, 24, 25, 26];
    /// `FRA_TABLE`.
    const TABLE: u16 = 15;
    let (header, rest) = body.split_at_checked(12).filter(|_| kind == RTM_NEWRULE)?;
    let &[family, to, from, tos, table, _, _, action, ..] = header else { return None };
    let family = match family {
        2 => Family::Ipv4,
        10 => Family::Ipv6,
        _ => return None,
    };
    let mut table = u32::from(table);
    let mut is_plain = (to, from, tos, action) == (0, 0, 0, TO_TABLE) && u32_at(header, 8)? & INVERT == 0;
    for (kind, value) in attributes(rest) {
        is_plain &= !SELECTORS.contains(&kind);
        if kind == TABLE {
            table = u32_at(value, 0)?;
        }
    }
    Some((family, is_plain.then_some(table)))
}

/// Returns what a namespace lacks.
pub(super) fn of(ns: &NsReading, scope: &Scope) -> Vec<Lack> {
    let mut lacks = vec![];
    if let Some(lo) = ns.links.iter().find(|link| link.index == 1 && link.up) {
        let is_there = || ns.addresses.iter().any(|it| it.index == 1 && it.addr == message::LOOPBACK6);
        match lo.ipv6 {
            Some(false) if is_to_speak_ipv6(ns, scope) => lacks.push(Lack::Ipv6),
            Some(true) if !is_there() => lacks.push(Lack::Loopback6),
            Some(true | false) | None => {}
        }
    }
    lacks.extend(ns.unruled.iter().map(|(family, table)| Lack::Rule(*family, *table)));
    lacks
}

/// Tells whether something in a namespace is to have IPv6, and no line of a manifest says that its `lo` shall not.
fn is_to_speak_ipv6(ns: &NsReading, scope: &Scope) -> bool {
    let asked = |key: SysctlKey| scope.sysctls.contains(&(ns.ns.clone(), key));
    scope.ipv6.contains_key(&ns.ns)
        && !asked(SysctlKey::Whole("net/ipv6/conf/all/disable_ipv6".into()))
        && IfName::try_from("lo").is_ok_and(|lo| !asked(disable_ipv6(&lo)))
}

/// Reads which rules are missing, where all tables of routes are read.
pub(super) fn read(ns: &mut NsReading, socket: &mut Blocking) -> Result<(), Refusal> {
    if let (NsRef::Named(_), Tables::All) = (&ns.ns, ns.tables) {
        ns.unruled = unruled(socket)?;
    }
    Ok(())
}

/// Gives a namespace what it lacks, or takes away what it lacked.
pub(super) async fn restore(channel: &Channel, ns: &NsRef, from: &[Lack], to: &[Lack]) -> Outcome {
    for lack in from.iter().filter(|lack| !to.contains(lack)) {
        match lack {
            Lack::Ipv6 => set_ipv6((ns, &lo()?), true).await?,
            Lack::Loopback6 => {
                send(channel, message::new_loopback6_address(), NLM_F_CREATE | NLM_F_REPLACE).await?;
            }
            Lack::Rule(family, table) => {
                let rule = RouteNetlinkMessage::NewRule(kernels_rule(*family, *table));
                let put = channel.request(rule, NLM_F_CREATE | NLM_F_EXCL).await;
                match put {
                    Err(refusal) if refusal.errno() == Some(Errno::EXIST) => {}
                    put => put?,
                }
            }
        }
    }
    for lack in to.iter().filter(|lack| !from.contains(lack)) {
        match lack {
            Lack::Ipv6 => set_ipv6((ns, &lo()?), false).await?,
            Lack::Loopback6 => {
                send_unless(channel, message::no_loopback6_address(), &[Errno::ADDRNOTAVAIL]).await?;
            }
            Lack::Rule(family, table) => {
                let rule = RouteNetlinkMessage::DelRule(kernels_rule(*family, *table));
                send_unless(channel, rule, &[Errno::NOENT]).await?;
            }
        }
    }
    Ok(())
}

fn lo() -> Result<IfName, super::OpError> {
    let wrong = |error| super::OpError { kind: super::FailureKind::Other, message: format!("{error}") };
    IfName::try_from("lo").map_err(wrong)
}

/// A rule as the kernel makes it.
fn kernels_rule(family: Family, table: Table) -> RuleMessage {
    let (number, priority) = table.numbers();
    let mut message = RuleMessage::default();
    message.header.family = message::family(family);
    message.header.table = u8::try_from(number).unwrap_or_default();
    message.header.action = RuleAction::ToTable;
    message.attributes =
        vec![RuleAttribute::Priority(priority), RuleAttribute::Protocol(RouteProtocol::Kernel)];
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule as the kernel tells it, with attributes.
    fn told(family: u8, table: u8, attributes: &[(u16, u32)]) -> Vec<u8> {
        let mut body = vec![family, 0, 0, 0, table, 0, 0, 1, 0, 0, 0, 0];
        for (kind, value) in attributes {
            body.extend(8_u16.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value.to_ne_bytes());
        }
        body
    }

    #[test]
    fn a_rule_leads_all_packets_to_a_table_when_it_says_nothing_else() {
        let read = |body: &[u8]| rule(32, body);
        assert_eq!(
            read(&told(2, 254, &[(15, 254), (6, 32766), (14, u32::MAX)])),
            Some((Family::Ipv4, Some(254)))
        );
        assert_eq!(read(&told(10, 0, &[(15, 1000)])), Some((Family::Ipv6, Some(1000))));
        assert_eq!(read(&told(2, 254, &[(10, 7)])), Some((Family::Ipv4, None)), "for marked packets");
        assert_eq!(read(&told(7, 254, &[])), None);
    }
}
