//! The external addresses that a transaction touches, and which flows it leaves behind.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::flow::Flow;
use crate::kernel::Op;
use crate::resource::state::Entry;

/// `IPPROTO_TCP`, whose flows have a beginning.
const TCP: u8 = 6;

/// Addresses, and what they are led to or hidden behind.
#[derive(Debug, Default)]
struct Ways {
    now: HashMap<IpAddr, IpAddr>,
    past: HashSet<(IpAddr, IpAddr)>,
}

impl Ways {
    fn of(ops: &[&Op], map: &str) -> Self {
        let mut ways = Self::default();
        for op in ops {
            let (past, now) = match op {
                Op::Create(entry) => (None, Some(entry)),
                Op::Update { from, to } => (Some(from), Some(to)),
                Op::Delete(entry) => (Some(entry), None),
            };
            ways.past.extend(past.and_then(|entry| way(entry, map)));
            ways.now.extend(now.and_then(|entry| way(entry, map)));
        }
        for (from, to) in &ways.now {
            ways.past.remove(&(*from, *to));
        }
        ways
    }

    fn is_empty(&self) -> bool {
        self.now.is_empty() && self.past.is_empty()
    }

    /// Tells whether a flow between these goes on where nothing leads any more. One that has no beginning goes by the new
    /// way from its next packet on; a connection that began before there was one goes on as it is.
    fn are_past(&self, (from, to): (IpAddr, IpAddr), flow: &Flow) -> bool {
        let elsewhere = self.now.get(&from).is_some_and(|now| *now != to);
        self.past.contains(&(from, to)) || (flow.protocol != TCP && elsewhere)
    }
}

/// Returns what an element of the map of this name, of either family, says.
fn way(entry: &Entry, map: &str) -> Option<(IpAddr, IpAddr)> {
    let element = entry.resource.element()?;
    let [key] = element.key.as_slice() else { return None };
    let is_one = element.set.strip_suffix(['4', '6']) == Some(map);
    is_one.then_some(())?;
    Some((key.parse().ok()?, element.data.as_ref()?.parse().ok()?))
}

/// The external addresses that a transaction touches.
#[derive(Debug)]
pub(super) struct Externals {
    /// From an external address to a container's.
    inward: Ways,
    /// From a container's address to an external one.
    outward: Ways,
}

impl Externals {
    /// Returns what these operations touch.
    pub(super) fn of(ops: &[&Op]) -> Self {
        Self { inward: Ways::of(ops, "external_to"), outward: Ways::of(ops, "external_from") }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inward.is_empty() && self.outward.is_empty()
    }

    /// Tells whether a flow goes where none of these leads, or comes from where none does.
    pub(super) fn are_past(&self, flow: &Flow) -> bool {
        let Self { inward, outward } = self;
        inward.are_past((flow.to.0, flow.led.0), flow)
            || (flow.is_hidden && outward.are_past((flow.from, flow.hidden), flow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::table_id;
    use crate::names::ProjectName;
    use crate::resource::Resource;
    use crate::resource::nft::{NftElement, NftFamily, Stance};
    use crate::resource::owner::Owner;

    const UDP: u8 = 17;

    fn entry(set: &str, key: &str, data: &str) -> Entry {
        let table = table_id(&ProjectName::try_from("shop").unwrap(), NftFamily::Inet);
        let (set, key, data) = (set.into(), vec![key.into()], Some(data.into()));
        let element = NftElement { table, set, key, data, stance: Stance::Allows };
        let (resource, owner) = (Resource::NftElement(element), Owner::Project);
        Entry { resource, owner, origin: None, ignore: vec![] }
    }

    #[track_caller]
    fn check(ops: &[Op], flow: &Flow, ends: bool) {
        assert_eq!(Externals::of(&ops.iter().collect::<Vec<_>>()).are_past(flow), ends, "{ops:?}");
    }

    #[test]
    fn a_flow_to_an_external_address_ends_when_that_leads_elsewhere_or_nowhere() {
        let [outer, inner, other] = ["203.0.113.9", "10.0.0.2", "10.0.0.3"].map(|it| it.parse().unwrap());
        let to = |inner: &str| entry("external_to4", "203.0.113.9", inner);
        let [tcp, udp] = [TCP, UDP].map(|protocol| Flow::of(protocol, (outer, 80), (inner, 80)));
        let moved = [Op::Delete(to("10.0.0.2")), Op::Create(to("10.0.0.3"))];

        check(&moved, &tcp, true);
        check(&moved, &udp, true);
        check(&[Op::Delete(to("10.0.0.2"))], &tcp, true);
        check(&[Op::Delete(to("10.0.0.2")), Op::Create(to("10.0.0.2"))], &tcp, false);
        check(&moved, &Flow::of(TCP, (other, 80), (inner, 80)), false);
        // What went to the host itself so far.
        check(&[Op::Create(to("10.0.0.2"))], &Flow::of(TCP, (outer, 80), (outer, 80)), false);
        check(&[Op::Create(to("10.0.0.2"))], &Flow::of(UDP, (outer, 80), (outer, 80)), true);
    }

    #[test]
    fn a_flow_that_left_with_an_external_address_ends_with_that() {
        let [outer, inner, host, far] =
            ["203.0.113.9", "10.0.0.2", "192.0.2.1", "198.51.100.1"].map(|it| it.parse().unwrap());
        let from = entry("external_from4", "10.0.0.2", "203.0.113.9");
        let flow = |protocol, hidden| Flow::of(protocol, (far, 80), (far, 80)).hidden(inner, hidden);

        check(&[Op::Delete(from.clone())], &flow(TCP, outer), true);
        check(&[Op::Delete(from.clone())], &flow(TCP, host), false);
        check(&[Op::Create(from.clone())], &flow(TCP, host), false);
        check(&[Op::Create(from.clone())], &flow(UDP, host), true);
        check(&[Op::Create(from)], &flow(UDP, inner), false);
    }
}
