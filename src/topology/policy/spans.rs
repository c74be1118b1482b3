//! Ranges of addresses as numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::resource::sysctl::Family;

/// Addresses from the first to the last.
pub(super) type Span = (u128, u128);

/// Spans in order, none of which touches another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// Returns all addresses of a family.
    pub(super) fn all(family: Family) -> Self {
        Self(vec![(0, last(family))])
    }

    /// Returns what lies in any of these.
    pub(super) fn of(mut spans: Vec<Span>) -> Self {
        spans.sort_unstable();
        let mut union: Vec<Span> = vec![];
        for (first, last) in spans {
            match union.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                Some(_) | None => union.push((first, last)),
            }
        }
        Self(union)
    }

    /// Returns these and those.
    pub(super) fn with(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied().collect())
    }

    /// Returns what of these is not in those.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut rest = vec![];
        for (begins, last) in self.0.iter().copied() {
            let (mut first, mut done) = (begins, false);
            for (begin, end) in other.0.iter().copied().filter(|it| it.0 <= last && it.1 >= begins) {
                if begin > first {
                    rest.push((first, begin - 1));
                }
                match end.checked_add(1) {
                    Some(next) if next <= last => first = next,
                    Some(_) | None => done = true,
                }
            }
            if !done {
                rest.push((first, last));
            }
        }
        Self(rest)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Span> {
        self.0.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, address: u128) -> bool {
        let at = self.0.partition_point(|(first, _)| *first <= address);
        at.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| address <= *last)
    }
}

fn last(family: Family) -> u128 {
    match family {
        Family::Ipv4 => u128::from(u32::MAX),
        Family::Ipv6 => u128::MAX,
    }
}

/// Returns an address as a number.
pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Returns a number as an address.
pub(super) fn address(number: u128, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::Ipv6 => Ipv6Addr::from_bits(number).into(),
    }
}

/// Returns the addresses of a subnet.
pub(super) fn span(net: IpNet) -> Span {
    (number(net.network()), number(net.broadcast()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(all: &[Span]) -> Spans {
        Spans::of(all.to_vec())
    }

    #[test]
    fn spans_that_touch_are_one() {
        assert_eq!(spans(&[(5, 6), (1, 2), (3, 4), (9, 9)]), Spans(vec![(1, 6), (9, 9)]));
        assert_eq!(spans(&[(1, u128::MAX), (7, 8)]), Spans(vec![(1, u128::MAX)]));
    }

    #[test]
    fn what_is_taken_away_leaves_the_rest() {
        let all = spans(&[(0, 9), (20, 29)]);
        assert_eq!(all.without(&spans(&[(3, 4), (8, 22)])), spans(&[(0, 2), (5, 7), (23, 29)]));
        assert_eq!(all.without(&Spans::all(Family::Ipv6)), Spans::default());
        assert_eq!(all.without(&Spans::default()), all);
        let most = Spans::all(Family::Ipv4).without(&spans(&[(0, 0)]));
        assert!(!most.contains(0) && most.contains(1) && most.contains(u128::from(u32::MAX)));
    }
}
