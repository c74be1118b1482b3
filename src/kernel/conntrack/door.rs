//! The published ports that a transaction touches, and which flows it leaves behind.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::flow::Flow;
use crate::kernel::Op;
use crate::names::Protocol;
use crate::resource::host_ports::HostPorts;
use crate::resource::nft::NftElement;
use crate::resource::state::Entry;
use crate::resource::sysctl::Family;

/// `IPPROTO_UDP`, whose flows begin without a handshake.
const UDP: u8 = 17;

/// An element of a map that leads ports to containers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Door {
    at: HostPorts,
    leads: Leads,
}

/// What an element says of where a port leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Leads {
    /// To this address; the port is said elsewhere.
    To(IpAddr),
    /// To this port; the address is said elsewhere.
    ToPort(u16),
    /// To the same port of this address.
    ToSamePort(IpAddr),
}

impl Door {
    fn of(element: &NftElement) -> Option<Self> {
        let at = HostPorts::of(element)?;
        let data = element.data.as_deref()?;
        let leads = match element.set.trim_end_matches(['4', '6']).rsplit('_').next()? {
            "addr" => Leads::To(data.parse().ok()?),
            "port" => Leads::ToPort(data.parse().ok()?),
            "range" => Leads::ToSamePort(data.parse().ok()?),
            _ => return None,
        };
        Some(Self { at, leads })
    }

    fn is_for(&self, flow: &Flow) -> bool {
        let HostPorts { family, address, protocol, ports } = &self.at;
        let (addr, port) = flow.to;
        number(*protocol) == flow.protocol
            && ports.contains(&port)
            && *family == Family::of(addr)
            && address.is_none_or(|host| host == addr)
    }

    fn leads(&self, flow: &Flow) -> bool {
        let (addr, port) = flow.led;
        match self.leads {
            Leads::To(to) => to == addr,
            Leads::ToPort(to) => to == port,
            Leads::ToSamePort(to) => to == addr && port == flow.to.1,
        }
    }
}

/// Returns the number of a protocol: <https://www.iana.org/assignments/protocol-numbers>.
pub(super) fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => UDP,
        Protocol::Sctp => 132,
    }
}

/// Doors by what a flow is looked up by: there may be thousands of either.
#[derive(Debug, Default)]
struct Directory {
    single: HashMap<(u8, u16), Vec<Door>>,
    ranges: Vec<Door>,
}

impl Directory {
    fn add(&mut self, entry: &Entry) {
        let Some(door) = door(entry) else { return };
        let protocol = number(door.at.protocol);
        if door.at.ports.len() == 1 {
            self.single.entry((protocol, *door.at.ports.start())).or_default().push(door);
        } else {
            self.ranges.push(door);
        }
    }

    fn is_empty(&self) -> bool {
        self.single.is_empty() && self.ranges.is_empty()
    }

    fn of(&self, flow: &Flow) -> impl Iterator<Item = &Door> {
        let single = self.single.get(&(flow.protocol, flow.to.1)).into_iter().flatten();
        single.chain(&self.ranges).filter(|door| door.is_for(flow))
    }
}

/// The published ports that a transaction touches.
#[derive(Debug, Default)]
pub(super) struct Doors {
    /// Those that are as they were said last.
    now: Directory,
    /// Those that are gone, or lead elsewhere now.
    past: Directory,
}

impl Doors {
    /// Returns what these operations touch.
    pub(super) fn of(ops: &[&Op]) -> Self {
        let mut doors = Self::default();
        for op in ops {
            match op {
                Op::Create(entry) => doors.now.add(entry),
                Op::Update { from, to } => {
                    doors.past.add(from);
                    doors.now.add(to);
                }
                Op::Delete(entry) => doors.past.add(entry),
            }
        }
        doors
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now.is_empty() && self.past.is_empty()
    }

    /// Tells whether there are new ports whose datagrams may have gone to the host itself so far.
    pub(super) fn open_any(&self) -> bool {
        let mut ranges = self.now.ranges.iter();
        self.now.single.keys().any(|(protocol, _)| *protocol == UDP)
            || ranges.any(|door| door.at.protocol == Protocol::Udp)
    }

    /// Tells whether a flow goes where none of these ports leads; `local` are the host's addresses.
    pub(super) fn are_past(&self, flow: &Flow, local: &HashSet<IpAddr>) -> bool {
        let mut now = self.now.of(flow).peekable();
        if now.peek().is_none() {
            return flow.translated && self.past.of(flow).next().is_some();
        }
        if flow.translated {
            return !now.all(|door| door.leads(flow));
        }
        // A connection of TCP to the host's own server goes on; datagrams to a port are all one flow, without an end.
        flow.protocol == UDP && local.contains(&flow.to.0)
    }
}

fn door(entry: &Entry) -> Option<Door> {
    entry.resource.element().and_then(Door::of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::table_id;
    use crate::names::ProjectName;
    use crate::resource::Resource;
    use crate::resource::nft::{NftFamily, Stance};
    use crate::resource::owner::Owner;

    fn entry(set: &str, key: &str, data: &str) -> Entry {
        let table = table_id(&ProjectName::try_from("shop").unwrap(), NftFamily::Inet);
        let key = key.split(" . ").map(Into::into).collect();
        let element =
            NftElement { table, set: set.into(), key, data: Some(data.into()), stance: Stance::Allows };
        let resource = Resource::NftElement(element);
        Entry { resource, owner: Owner::Project, origin: None, ignore: vec![] }
    }

    /// Checks whether a flow of datagrams to 192.0.2.1, port 8080, ends that is led to 10.0.0.2; `led` is the port there,
    /// 0 when it is not translated.
    #[track_caller]
    fn check(ops: &[Op], led: u16, ends: bool) {
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        let there = if led == 0 { (here, 8080) } else { ("10.0.0.2".parse().unwrap(), led) };
        let flow = Flow::of(UDP, (here, 8080), there);
        assert_eq!(
            Doors::of(&ops.iter().collect::<Vec<_>>()).are_past(&flow, &[here].into()),
            ends,
            "{ops:?}"
        );
    }

    #[test]
    fn a_flow_ends_when_its_port_leads_elsewhere_or_nowhere() {
        let addr = |to: &str| entry("any_addr4", "udp . 8080", to);
        let port = |to: &str| entry("any_port4", "udp . 8080", to);
        let moved = Op::Update { from: addr("10.0.0.2"), to: addr("10.0.0.3") };

        check(&[Op::Create(addr("10.0.0.2")), Op::Create(port("80"))], 80, false);
        check(&[Op::Create(addr("10.0.0.2")), Op::Create(port("80"))], 81, true);
        check(&[moved], 80, true);
        check(&[Op::Update { from: port("81"), to: port("80") }], 80, false);
        check(&[Op::Delete(addr("10.0.0.2"))], 80, true);
        check(&[Op::Delete(entry("any_addr4", "udp . 8081", "10.0.0.2"))], 80, false);
        check(&[Op::Delete(entry("any_addr4", "tcp . 8080", "10.0.0.2"))], 80, false);
        check(&[Op::Delete(entry("host_addr4", "192.0.2.9 . udp . 8080", "10.0.0.2"))], 80, false);
        check(&[Op::Delete(entry("host_addr4", "192.0.2.1 . udp . 8080", "10.0.0.2"))], 80, true);
        check(&[Op::Delete(entry("any_range4", "udp . 8000-8090", "10.0.0.2"))], 8080, true);
        check(&[Op::Delete(entry("any_addr6", "udp . 8080", "fd00::2"))], 80, false);
    }

    #[test]
    fn datagrams_to_the_host_itself_follow_a_new_port() {
        check(&[Op::Create(entry("any_range4", "udp . 8000-8090", "10.0.0.2"))], 0, true);
        check(&[Op::Create(entry("any_addr4", "udp . 8081", "10.0.0.2"))], 0, false);
        check(&[Op::Delete(entry("any_addr4", "udp . 8080", "10.0.0.2"))], 0, false);
    }
}
