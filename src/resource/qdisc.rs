//! How fast packets go through a link of the host: queueing disciplines.
//!
//! What a container receives leaves the host by its end of the pair, so a token bucket at that end's root limits it. What
//! it sends comes in by that end, where nothing can wait: it is led through a link of its own (`ifb`) that has such a bucket,
//! and goes on from there as if nothing had been. All of that is outside of the container's reach.
//!
//! A qdisc has no place for a mark. It dies with its link, which has one; what tells ours from others' is its number.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::IfName;

/// The number of a root qdisc, and the priority of a filter, that says "made by netform": `nf`.
pub const NUMBER: u16 = 0x6e66;

/// How long the unit of time is in which the kernel counts a bucket, in nanoseconds: `PSCHED_SHIFT` in Linux
/// `include/net/pkt_sched.h`.
const TICK: u64 = 64;

/// How much the kernel lets a bucket hold, in nanoseconds (`tbf_change()` in `net/sched/sch_tbf.c`).
const DEEPEST: u64 = u32::MAX as u64;

/// What a frame has beside the packet in it: an Ethernet header and a VLAN tag.
const HEADER: u32 = 18;

/// A limit at the root of a link, or what leads there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qdisc {
    /// The link of the host that it is on.
    pub link: IfName,
    /// What it does.
    pub kind: QdiscKind,
}

/// What a qdisc does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QdiscKind {
    /// It limits what leaves by the link.
    Limit(Direction, Bucket),
    /// It leads what comes in by the link to another one; to none when that is gone, which drops it.
    Diversion(Option<IfName>),
}

/// Which of a container's packets are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Those that it receives.
    Ingress,
    /// Those that it sends.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// Where on a link a qdisc is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// Where packets leave.
    Root,
    /// Where they come in.
    Ingress,
}

impl Qdisc {
    /// Returns where on its link it is.
    pub fn hook(&self) -> Hook {
        match self.kind {
            QdiscKind::Limit(..) => Hook::Root,
            QdiscKind::Diversion(_) => Hook::Ingress,
        }
    }

    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let name = match self.kind {
            QdiscKind::Limit(..) => "bandwidth",
            QdiscKind::Diversion(_) => "detour",
        };
        vec![(name, self.to_string())]
    }
}

impl fmt::Display for Qdisc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            QdiscKind::Limit(direction, bucket) => write!(f, "{direction} {bucket}"),
            QdiscKind::Diversion(Some(to)) => f.write_str(to.as_str()),
            QdiscKind::Diversion(None) => f.write_str("nowhere"),
        }
    }
}

/// A token bucket: `struct tc_tbf_qopt` in Linux `include/uapi/linux/pkt_sched.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// How fast it fills.
    pub rate: Rate,
    /// How long it takes to fill, in the kernel's unit: what it holds may go at once.
    pub depth: u32,
    /// How many bytes may wait for it; more are dropped.
    pub queue: u32,
    /// Whether it says no more than that.
    pub intact: bool,
}

impl Bucket {
    /// For how long packets may wait, at most, where that is more than a few of them.
    const PATIENCE_MS: u64 = 50;
    /// What goes at once where nothing else is said: what so many milliseconds let through, so that a machine that is
    /// busy for some of them loses nothing.
    const USUAL_MS: u64 = 10;

    /// Returns the bucket of a limit, for packets of an MTU; `None` when one of them does not fit.
    ///
    /// The kernel cuts what is larger than the bucket into packets (`tbf_segment()`), and drops packets that are larger.
    pub fn new(rate: Rate, burst: Option<u32>, mtu: u32) -> Option<Self> {
        let packet = u64::from(mtu.saturating_add(HEADER));
        let usual = (rate.0 * Self::USUAL_MS / 1000).max(2 * packet).min(rate.deepest().max(packet));
        let burst = burst.map_or(usual, u64::from);
        if burst < packet || burst > rate.deepest() {
            return None;
        }
        let nanoseconds = u128::from(burst) * 1_000_000_000;
        let ticks = nanoseconds.div_ceil(u128::from(rate.0.max(1)) * u128::from(TICK));
        let waiting = (rate.0 * Self::PATIENCE_MS / 1000).max(4 * packet);
        let queue = u32::try_from(burst + waiting).unwrap_or(u32::MAX);
        Some(Self { rate, depth: u32::try_from(ticks).ok()?, queue, intact: true })
    }

    /// Returns how many bytes it holds.
    pub fn bytes(&self) -> u64 {
        let nanoseconds = u128::from(self.depth) * u128::from(TICK) * u128::from(self.rate.0);
        u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, depth: _, queue, intact } = self;
        let edited = if *intact { "" } else { ", and more" };
        write!(f, "{rate}, burst {}b, queue {queue}b{edited}", self.bytes())
    }
}

/// A rate in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rate(pub u64);

impl Rate {
    /// The lowest that a limit may have: 8kbit.
    pub const LOWEST: Self = Self(1_000);
    /// The highest: 400gbit. What waits for it has to fit into 32 bits.
    pub const HIGHEST: Self = Self(50_000_000_000);

    /// Returns how many bytes a bucket of this rate may hold.
    pub fn deepest(self) -> u64 {
        let bytes = u128::from(self.0) * u128::from(DEEPEST) / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX).min(u64::from(u32::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.saturating_mul(8);
        let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")];
        match units.into_iter().find(|(unit, _)| bits >= *unit && bits.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", bits / unit),
            None => write!(f, "{bits}bit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bits: u64, burst: Option<u32>, mtu: u32, want: Option<&str>) {
        let bucket = Bucket::new(Rate(bits / 8), burst, mtu);
        assert_eq!(bucket.map(|bucket| bucket.to_string()).as_deref(), want);
    }

    #[test]
    fn a_bucket_holds_ten_milliseconds_and_two_packets_at_least() {
        check(64_000, None, 1500, Some("64kbit, burst 3036b, queue 9108b"));
        check(10_000_000, None, 1500, Some("10mbit, burst 12500b, queue 75000b"));
        check(1_000_000_000, None, 1500, Some("1gbit, burst 1250000b, queue 7500000b"));
        check(400_000_000_000, None, 1500, Some("400gbit, burst 500000000b, queue 3000000000b"));
        check(8_000, None, 1500, Some("8kbit, burst 3036b, queue 9108b"));
        check(8_000, None, 4000, Some("8kbit, burst 4294b, queue 20366b"));
        check(10_000_000, Some(4096), 1500, Some("10mbit, burst 4096b, queue 66596b"));
    }

    #[test]
    fn a_bucket_that_no_packet_fits_into_is_none() {
        check(10_000_000, Some(1517), 1500, None);
        check(10_000_000, Some(1518), 1500, Some("10mbit, burst 1518b, queue 64018b"));
        check(8_000, None, 9000, None);
        check(8_000, Some(4295), 1500, None);
    }

    #[test]
    fn a_rate_is_written_in_the_largest_unit_that_is_exact() {
        assert_eq!(Rate(187_500).to_string(), "1500kbit");
        assert_eq!(Rate(1_001).to_string(), "8008bit");
        assert_eq!(Rate::HIGHEST.to_string(), "400gbit");
    }
}
