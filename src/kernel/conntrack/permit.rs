//! What was permitted and is no longer, and which flows go on all the same.
//!
//! The rules judge what begins a flow, and let pass what goes on with one; but what is translated, and what is denied, they
//! judge packet by packet. So a flow that only a permission let begin is forgotten when that is gone: its next packet begins
//! one anew, and is refused. What is still permitted is judged here as the rules do it, from what their sets hold: a flow
//! that goes on is not forgotten, since a server that only talks could not begin it anew.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use smol_str::SmolStr;

use super::door;
use super::flow::Flow;
use crate::kernel::Op;
use crate::names::Protocol;
use crate::resource::nft::{NftElement, NftTableId};
use crate::resource::nft_key::{Covered, covered, number};

/// The set of bridges that anybody outside may send to.
const OPEN: &str = "open";

/// The sets that tell what is permitted.
const ASKED: [&str; 8] =
    ["allow_flow4", "allow_flow6", "allow_pair4", "allow_pair6", "hairpin4", "hairpin6", "bridges", OPEN];

/// Tells whether a set is needed to judge.
pub(super) fn is_asked(set: &str) -> bool {
    ASKED.contains(&set)
}

/// From some addresses to others, perhaps of one protocol and to some ports only.
#[derive(Debug)]
struct Way {
    is_ipv4: bool,
    between: Covered,
    service: Option<(u8, RangeInclusive<u16>)>,
}

impl Way {
    fn of(element: &NftElement) -> Option<Self> {
        let [from, to, service @ ..] = element.key.as_slice() else { return None };
        let is_ipv4 = match element.set.as_str() {
            "allow_flow4" | "allow_pair4" => true,
            "allow_flow6" | "allow_pair6" => false,
            _ => return None,
        };
        let service = match service {
            [] => None,
            [protocol, ports] => {
                let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
                let ports = first.parse().ok()?..=last.parse().ok()?;
                Some((door::number(Protocol::named(protocol)?), ports))
            }
            _ => return None,
        };
        Some(Self { is_ipv4, between: covered(&[from.clone(), to.clone()])?, service })
    }

    fn is_of(&self, flow: &Flow) -> bool {
        let ends = [flow.from, flow.led.0].map(number);
        let between =
            || self.between.iter().zip(ends).all(|((first, last), end)| (*first..=*last).contains(&end));
        let service = || {
            let service = self.service.as_ref();
            service.is_none_or(|(protocol, ports)| *protocol == flow.protocol && ports.contains(&flow.led.1))
        };
        self.is_ipv4 == flow.from.is_ipv4() && between() && service()
    }
}

/// Permissions: ways, and bridges that are open.
#[derive(Debug, Default)]
pub(in crate::kernel) struct Permits {
    /// The table that judges.
    table: Option<NftTableId>,
    ways: Vec<Way>,
    open: HashSet<SmolStr>,
}

impl Permits {
    fn add(&mut self, element: &NftElement) {
        if element.set == OPEN {
            self.open.extend(element.key.first().cloned());
        } else if let Some(way) = Way::of(element) {
            self.ways.push(way);
        } else {
            return;
        }
        self.table.get_or_insert_with(|| element.table.clone());
    }

    /// Notes those that operations, which have been carried out, have taken away.
    pub(in crate::kernel) fn note_gone(&mut self, ops: &[&Op]) {
        for op in ops {
            match op {
                Op::Delete(entry) | Op::Update { from: entry, to: _ } => {
                    entry.resource.element().into_iter().for_each(|element| self.add(element));
                }
                Op::Create(_) => {}
            }
        }
    }

    /// Returns the table that they were in; `None` when there are none.
    pub(super) fn table(&self) -> Option<&NftTableId> {
        self.table.as_ref()
    }
}

/// What there is now.
#[derive(Debug, Default)]
pub(super) struct Standing {
    permits: Permits,
    bridges: HashSet<SmolStr>,
    /// Subnets, and the bridges that they are behind.
    homes: Vec<(IpNet, SmolStr)>,
    /// The host's addresses.
    local: HashSet<IpAddr>,
}

impl Standing {
    pub(super) fn of<'a>(elements: impl Iterator<Item = &'a NftElement>, local: HashSet<IpAddr>) -> Self {
        let mut standing = Self { local, ..Self::default() };
        for element in elements {
            match (element.set.as_str(), element.key.as_slice()) {
                ("bridges", [bridge]) => drop(standing.bridges.insert(bridge.clone())),
                ("hairpin4" | "hairpin6", [subnet, bridge]) => {
                    let one = || subnet.parse::<IpAddr>().ok().map(IpNet::from);
                    let subnet = subnet.parse().ok().or_else(one);
                    standing.homes.extend(subnet.map(|subnet| (subnet, bridge.clone())));
                }
                _ => standing.permits.add(element),
            }
        }
        standing
    }

    /// Tells whether a flow goes on that only one of these permissions, which are gone, let begin.
    pub(super) fn refuses(&self, flow: &Flow, gone: &Permits) -> bool {
        // What is led somewhere is judged packet by packet, and the host's own does not come there.
        if flow.translated || [flow.from, flow.led.0].iter().any(|end| self.local.contains(end)) {
            return false;
        }
        // What leaves is not judged by what begins it.
        let Some(to) = self.home(flow.led.0) else { return false };
        let from = self.home(flow.from);
        let comes_in = |open: &HashSet<SmolStr>| from.is_none() && open.contains(to);
        let permits =
            |permits: &Permits| comes_in(&permits.open) || permits.ways.iter().any(|way| way.is_of(flow));
        from != Some(to) && permits(gone) && !permits(&self.permits)
    }

    /// Returns the bridge of ours that an address is behind.
    fn home(&self, address: IpAddr) -> Option<&SmolStr> {
        let behind =
            |(subnet, bridge): &&(IpNet, SmolStr)| subnet.contains(&address) && self.bridges.contains(bridge);
        self.homes.iter().find(behind).map(|(_, bridge)| bridge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::table_id;
    use crate::names::ProjectName;
    use crate::resource::Resource;
    use crate::resource::nft::{NftFamily, Stance};
    use crate::resource::owner::Owner;
    use crate::resource::state::Entry;

    const TCP: u8 = 6;
    const ICMP: u8 = 1;

    fn element(line: &str) -> NftElement {
        let table = table_id(&ProjectName::try_from("shop").unwrap(), NftFamily::Inet);
        let (set, key) = line.split_once(' ').unwrap();
        let key = key.split(" . ").map(Into::into).collect();
        NftElement { table, set: set.into(), key, data: None, stance: Stance::Allows }
    }

    /// Checks whether a flow, of which there are ends and the port, ends when `gone` goes and `more` is there besides two
    /// networks and what is somebody else's.
    #[track_caller]
    fn check(gone: &str, more: &[&str], (protocol, from, to, port): (u8, &str, &str, u16), ends: bool) {
        let (resource, owner) = (Resource::NftElement(element(gone)), Owner::Project);
        let mut permits = Permits::default();
        permits.note_gone(&[&Op::Delete(Entry { resource, owner, origin: None, ignore: vec![] })]);
        let there =
            ["bridges br-a", "bridges br-b", "hairpin4 10.1.0.0/24 . br-a", "hairpin4 10.2.0.0/24 . br-b"];
        let there =
            there.iter().chain(["hairpin4 10.3.0.0/24 . br-other", "hairpin6 fd00:2::/64 . br-b"].iter());
        let there: Vec<NftElement> = there.chain(more).map(|line| element(line)).collect();
        let local = ["10.1.0.1", "10.2.0.1", "192.0.2.1"].map(|it| it.parse().unwrap()).into();
        let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let flow = Flow::of(protocol, (to, port), (to, port)).hidden(from, from);

        assert_eq!(
            Standing::of(there.iter(), local).refuses(&flow, &permits),
            ends,
            "{gone} {more:?} {flow:?}"
        );
    }

    #[test]
    fn a_flow_ends_with_the_policy_that_let_it_begin_unless_another_does() {
        let pair = "allow_pair4 10.1.0.6 . 10.2.0.6";
        let talk = (TCP, "10.1.0.6", "10.2.0.6", 90);

        check(pair, &[], talk, true);
        check(pair, &[], (ICMP, "10.1.0.6", "10.2.0.6", 0), true);
        check("allow_flow4 10.1.0.0/24 . 10.2.0.6 . tcp . 80-90", &[], talk, true);
        check("allow_flow4 10.1.0.0/24 . 10.2.0.6 . udp . 80-90", &[], talk, false);
        check("allow_flow4 10.1.0.0/24 . 10.2.0.6 . tcp . 80", &[], talk, false);
        check("allow_pair6 fd00:1::6 . fd00:2::6", &[], (TCP, "fd00:1::6", "fd00:2::6", 90), true);
        check("allow_pair6 ::/0 . ::/0", &[], talk, false);
        check(pair, &["allow_flow4 10.1.0.6 . 10.2.0.6 . tcp . 80"], talk, true);
        check(pair, &["allow_flow4 10.1.0.6 . 10.2.0.6 . tcp . 90"], talk, false);
        check(pair, &["allow_pair4 10.1.0.0-10.1.0.9 . 10.2.0.0/24"], talk, false);
        // The other way around nothing was allowed.
        check(pair, &[], (TCP, "10.2.0.6", "10.1.0.6", 90), false);
    }

    #[test]
    fn what_needs_no_permission_goes_on() {
        let all = "allow_pair4 0.0.0.0/0 . 0.0.0.0/0";

        check(all, &[], (TCP, "10.1.0.6", "10.1.0.7", 90), false);
        check(all, &[], (TCP, "10.1.0.6", "198.51.100.1", 90), false);
        check(all, &[], (TCP, "10.1.0.6", "10.3.0.6", 90), false);
        check(all, &[], (TCP, "192.0.2.1", "10.2.0.6", 90), false);
        check(all, &[], (TCP, "10.1.0.6", "10.2.0.1", 90), false);
        check(all, &[], (TCP, "198.51.100.1", "10.2.0.6", 90), true);
        check(all, &["open br-b"], (TCP, "198.51.100.1", "10.2.0.6", 90), false);
        check(all, &["open br-b"], (TCP, "10.1.0.6", "10.2.0.6", 90), true);
        check("same_network br-b . br-b", &[], (TCP, "10.1.0.6", "10.2.0.6", 90), false);
    }

    #[test]
    fn what_came_to_an_open_network_ends_when_it_is_closed() {
        let came = (TCP, "198.51.100.1", "10.2.0.6", 90);

        check("open br-b", &[], came, true);
        check("open br-a", &[], came, false);
        check("open br-b", &["allow_pair4 198.51.100.0/24 . 10.2.0.6"], came, false);
        check("open br-b", &[], (TCP, "10.1.0.6", "10.2.0.6", 90), false);
    }
}
