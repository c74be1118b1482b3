//! Prefixes: which overlap, and which addresses of them a host may have.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::resource::sysctl::Family;

/// Returns the address as a number.
pub(super) fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

/// Returns the address of a family that is this number; the family's last when there is none.
pub(super) fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::Ipv6 => Ipv6Addr::from_bits(number).into(),
    }
}

/// Returns the family of a prefix.
pub(super) fn family(cidr: IpNet) -> Family {
    Family::of(cidr.addr())
}

/// Returns the first and the last address that a host may have, as numbers.
///
/// Left out are the network and the broadcast address of IPv4 (RFC 1122 section 3.2.1.3) and the subnet-router anycast
/// address of IPv6 (RFC 4291 section 2.6.1), which point-to-point subnets do not have (RFC 3021, RFC 6164).
pub(super) fn usable(cidr: IpNet) -> (u128, u128) {
    let (first, last) = (number(cidr.network()), number(cidr.broadcast()));
    match (family(cidr), cidr.max_prefix_len() - cidr.prefix_len()) {
        (Family::Ipv4 | Family::Ipv6, 0 | 1) => (first, last),
        (Family::Ipv4, 2..) => (first + 1, last - 1),
        (Family::Ipv6, 2..) => (first + 1, last),
    }
}

/// Returns the first address after the prefix's own: the gateway unless another is given.
pub(super) fn first_host(cidr: IpNet) -> IpAddr {
    address(family(cidr), number(cidr.network()).saturating_add(1))
}

/// Prefixes with what is known of them, asked for overlap in logarithmic time.
#[derive(Debug, Clone)]
pub(super) struct PrefixMap<V>(BTreeMap<IpNet, V>);

impl<V> PrefixMap<V> {
    /// Returns the map without prefixes.
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Puts a prefix in, unless it is there.
    pub(super) fn insert(&mut self, cidr: IpNet, value: V) {
        self.0.entry(cidr.trunc()).or_insert(value);
    }

    /// Returns the prefixes in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = IpNet> {
        self.0.keys().copied()
    }

    /// Returns a prefix that overlaps `cidr`: the narrowest that contains it, or else the first inside it.
    pub(super) fn overlap(&self, cidr: IpNet) -> Option<(IpNet, &V)> {
        self.around(cidr).or_else(|| self.inside(cidr))
    }

    /// Returns the first prefix that is `cidr` or lies inside it.
    pub(super) fn inside(&self, cidr: IpNet) -> Option<(IpNet, &V)> {
        let cidr = cidr.trunc();
        // Prefixes are ordered by their first address, so that what lies inside follows at once.
        self.0.range(cidr..).next().map(|(key, value)| (*key, value)).filter(|(key, _)| cidr.contains(key))
    }

    /// Returns the narrowest prefix that is `cidr` or contains it.
    pub(super) fn around(&self, cidr: IpNet) -> Option<(IpNet, &V)> {
        (0..=cidr.prefix_len()).rev().find_map(|length| {
            let wider = IpNet::new(cidr.addr(), length).ok()?.trunc();
            self.0.get_key_value(&wider).map(|(key, value)| (*key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(held: &str, asked: &str, overlap: bool) {
        let mut map = PrefixMap::new();
        map.insert(held.parse().unwrap(), ());
        assert_eq!(map.overlap(asked.parse().unwrap()).is_some(), overlap, "{held} and {asked}");
    }

    #[test]
    fn prefixes_overlap_when_one_contains_the_other() {
        check("10.0.0.0/8", "10.7.0.0/24", true);
        check("10.7.0.0/24", "10.0.0.0/8", true);
        check("10.7.0.0/24", "10.7.0.0/24", true);
        check("10.7.0.0/24", "10.7.0.0/16", true);
        check("10.7.0.0/24", "10.7.1.0/24", false);
        check("10.7.1.0/24", "10.7.0.0/24", false);
        check("::/8", "0.0.0.0/8", false);
        check("fd00::/8", "fd00:7::/64", true);
    }

    #[track_caller]
    fn check_usable(cidr: &str, first: &str, last: &str) {
        let cidr: IpNet = cidr.parse().unwrap();
        let (low, high) = usable(cidr);
        assert_eq!(address(family(cidr), low).to_string(), first);
        assert_eq!(address(family(cidr), high).to_string(), last);
    }

    #[test]
    fn no_host_has_the_network_or_broadcast_address() {
        check_usable("10.7.0.0/24", "10.7.0.1", "10.7.0.254");
        check_usable("10.7.0.0/30", "10.7.0.1", "10.7.0.2");
        check_usable("10.7.0.0/31", "10.7.0.0", "10.7.0.1");
        check_usable("fd00::/126", "fd00::1", "fd00::3");
        check_usable("fd00::/127", "fd00::", "fd00::1");
    }
}
