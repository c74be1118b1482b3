//! Ports of the host: what an element of the firewall's maps leads to a container, and who else may want it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::nft::NftElement;
use super::sysctl::Family;
use crate::names::Protocol;

/// Ports of one or of all addresses of the host, of one address family.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPorts {
    /// The address family.
    pub family: Family,
    /// The host's address; `None` is any of the family.
    pub address: Option<IpAddr>,
    /// The protocol.
    pub protocol: Protocol,
    /// The ports.
    pub ports: RangeInclusive<u16>,
}

impl HostPorts {
    /// Returns the ports that an element leads to a container; `None` when it leads none.
    pub fn of(element: &NftElement) -> Option<Self> {
        let (map, family) = match element.set.strip_suffix('4') {
            Some(map) => (map, Family::Ipv4),
            None => (element.set.strip_suffix('6')?, Family::Ipv6),
        };
        let (address, service) = match (map, element.key.as_slice()) {
            ("any_addr" | "any_port" | "any_range", service) => (None, service),
            ("host_addr" | "host_port" | "host_range", [host, service @ ..]) => {
                (Some(host.parse().ok()?), service)
            }
            _ => return None,
        };
        let [protocol, ports] = service else { return None };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let ports = first.parse().ok()?..=last.parse().ok()?;
        Some(Self { family, address, protocol: Protocol::named(protocol)?, ports })
    }

    /// Tells whether a packet can be for both.
    pub fn meets(&self, other: &Self) -> bool {
        let Self { family, address, protocol, ports } = self;
        let same_address = match (address, &other.address) {
            (Some(one), Some(two)) => one == two,
            (None, _) | (_, None) => true,
        };
        let overlap = ports.start() <= other.ports.end() && other.ports.start() <= ports.end();
        *family == other.family && *protocol == other.protocol && same_address && overlap
    }
}

/// Returns the external address that an element claims for a container, which may not be there.
pub fn external(element: &NftElement) -> Option<IpAddr> {
    of_set(element, "external")
}

/// Returns the external address all of which an element leads to a container.
pub fn led(element: &NftElement) -> Option<IpAddr> {
    of_set(element, "external_to")
}

fn of_set(element: &NftElement, name: &str) -> Option<IpAddr> {
    let set = element.set.strip_suffix(['4', '6']).filter(|set| *set == name);
    set.and_then(|_| element.key.first())?.parse().ok()
}

impl fmt::Display for HostPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, address, protocol, ports } = self;
        let any = match family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        match address.unwrap_or(any) {
            IpAddr::V4(address) => write!(f, "{address}:")?,
            IpAddr::V6(address) => write!(f, "[{address}]:")?,
        }
        match (ports.start(), ports.end()) {
            (first, last) if first == last => write!(f, "{first}/{protocol}"),
            (first, last) => write!(f, "{first}-{last}/{protocol}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::nft::{NftFamily, NftTableId, Stance};

    fn ports(text: &str) -> HostPorts {
        let (set, key) = text.split_once(' ').unwrap();
        let element = NftElement {
            table: NftTableId { family: NftFamily::Inet, name: "netform-shop".into() },
            set: set.into(),
            key: key.split(" . ").map(Into::into).collect(),
            data: None,
            stance: Stance::Allows,
        };
        HostPorts::of(&element).unwrap()
    }

    #[track_caller]
    fn check(one: &str, two: &str, meet: bool) {
        let (one, two) = (ports(one), ports(two));
        assert_eq!((one.meets(&two), two.meets(&one)), (meet, meet), "{one} and {two}");
    }

    #[test]
    fn ports_meet_when_a_packet_can_be_for_both() {
        check("any_addr4 tcp . 8080", "any_addr4 tcp . 8080", true);
        check("any_addr4 tcp . 8080", "any_port4 tcp . 8081", false);
        check("any_addr4 tcp . 8080", "any_addr4 udp . 8080", false);
        check("any_addr4 tcp . 8080", "any_addr6 tcp . 8080", false);
        check("any_addr4 tcp . 8080", "host_addr4 127.0.0.1 . tcp . 8080", true);
        check("any_range4 tcp . 8000-8090", "host_addr4 192.0.2.1 . tcp . 8080", true);
        check("any_range4 sctp . 8000-8090", "host_range4 192.0.2.1 . sctp . 8090-8099", true);
        check("any_range4 tcp . 8000-8090", "any_addr4 tcp . 8091", false);
        check("host_addr6 fd00::1 . tcp . 80", "host_addr6 fd00::2 . tcp . 80", false);
        check("host_addr6 fd00::1 . tcp . 80", "any_port6 tcp . 80", true);
    }

    #[test]
    fn ports_are_written_as_published() {
        assert_eq!(ports("any_addr4 tcp . 8080").to_string(), "0.0.0.0:8080/tcp");
        assert_eq!(ports("host_range6 fd00::1 . udp . 1-2").to_string(), "[fd00::1]:1-2/udp");
    }
}
