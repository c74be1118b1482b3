//! Routes.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::amiss;
use super::netns::NsRef;
use super::sysctl::Family;
use crate::names::IfName;

/// The routing protocol number, and the `IFA_PROTO` of addresses, that says "made by netform".
///
/// Free in `/etc/iproute2/rt_protos` and in `include/uapi/linux/rtnetlink.h`.
pub const PROTOCOL: u8 = 110;

/// The main table: `RT_TABLE_MAIN`, `include/uapi/linux/rtnetlink.h`.
pub const MAIN_TABLE: u32 = 254;

/// The kernel's own table of local addresses: `RT_TABLE_LOCAL`.
pub const LOCAL_TABLE: u32 = 255;

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Route {
    /// The namespace whose table holds it.
    pub ns: NsRef,
    /// Where it leads; the default route is `0.0.0.0/0` or `::/0`.
    pub dest: IpNet,
    /// What becomes of the packets.
    pub way: Way,
    /// Which of the routes of one destination it is.
    pub rank: Rank,
    /// The number that stands in the place of ours.
    pub stray: Option<u8>,
}

/// What becomes of the packets of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// They leave by a link.
    By {
        /// The link.
        link: IfName,
        /// The next hop; `None` for what is on the link itself.
        via: Option<IpAddr>,
        /// Whether the next hop is on the link though no subnet says so: `RTNH_F_ONLINK`.
        onlink: bool,
    },
    /// They go nowhere.
    Refused(Refusal),
}

/// How packets are refused by a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Refusal {
    /// They are dropped without a word: `RTN_BLACKHOLE`.
    Blackhole,
    /// The sender is told that there is no way: `RTN_UNREACHABLE`.
    Unreachable,
    /// The sender is told that it is forbidden: `RTN_PROHIBIT`.
    Prohibit,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
        })
    }
}

/// Which of the routes of one destination it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "WrittenRank", into = "WrittenRank")]
pub struct Rank {
    /// The table that holds it.
    pub table: u32,
    /// Its priority among routes of the same destination: the lowest wins.
    pub metric: u32,
}

impl Rank {
    /// Returns the rank that the kernel gives a route that says nothing of it: the main table, and 0 for IPv4 or
    /// `IP6_RT_PRIO_USER` (`include/uapi/linux/ipv6_route.h`) for IPv6. What is asked for is what will be read back.
    pub fn usual(family: Family) -> Self {
        let metric = match family {
            Family::Ipv4 => 0,
            Family::Ipv6 => 1024,
        };
        Self { table: MAIN_TABLE, metric }
    }

    /// Returns what is unusual about it, each with a space before, as ip(8) says it.
    pub(crate) fn words(self, family: Family) -> String {
        let Self { table, metric } = self;
        let usual = Self::usual(family);
        let table = if table == usual.table { String::new() } else { format!(" table {table}") };
        let metric = if metric == usual.metric { String::new() } else { format!(" metric {metric}") };
        table + &metric
    }
}

impl Route {
    /// Tells whether no link says whose it is, or it is in another table than the main one.
    pub fn is_apart(&self) -> bool {
        self.rank.table != MAIN_TABLE || self.leaves_by().is_none()
    }

    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { ns: _, dest, way, rank: Rank { table, metric }, stray } = self;
        let mut fields = vec![("destination", dest.to_string())];
        match way {
            Way::By { link, via, onlink } => {
                let via = via.map_or_else(|| "none".to_owned(), |via| via.to_string());
                fields.extend([("via", via), ("interface", link.to_string())]);
                fields.extend(onlink.then(|| ("onlink", "true".to_owned())));
            }
            Way::Refused(refusal) => fields.push(("type", refusal.to_string())),
        }
        fields.push(("metric", metric.to_string()));
        fields.extend((*table != MAIN_TABLE).then(|| ("table", table.to_string())));
        fields.extend(stray.map(amiss::protocol));
        fields
    }

    /// Returns the link that it leaves by, and the next hop; `None` for a route that leads nowhere.
    pub fn leaves_by(&self) -> Option<(&IfName, Option<IpAddr>)> {
        match &self.way {
            Way::By { link, via, onlink: _ } => Some((link, *via)),
            Way::Refused(_) => None,
        }
    }
}

/// A rank as it is written: that of a route in the main table is its metric.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenRank {
    Main(u32),
    Elsewhere { table: u32, metric: u32 },
}

impl From<WrittenRank> for Rank {
    fn from(written: WrittenRank) -> Self {
        match written {
            WrittenRank::Main(metric) => Self { table: MAIN_TABLE, metric },
            WrittenRank::Elsewhere { table, metric } => Self { table, metric },
        }
    }
}

impl From<Rank> for WrittenRank {
    fn from(Rank { table, metric }: Rank) -> Self {
        if table == MAIN_TABLE { Self::Main(metric) } else { Self::Elsewhere { table, metric } }
    }
}

/// A route as it is written: what is usual is left out.
#[derive(Serialize, Deserialize)]
struct Written {
    ns: NsRef,
    dest: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<IfName>,
    #[serde(default)]
    via: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    onlink: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
    metric: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stray: Option<u8>,
}

impl TryFrom<Written> for Route {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { ns, dest, link, via, onlink, refusal, metric, table, stray } = written;
        let way = match (link, refusal) {
            (Some(link), None) => Way::By { link, via, onlink },
            (None, Some(refusal)) => Way::Refused(refusal),
            (Some(_), Some(_)) | (None, None) => return Err("a route has a link, or leads nowhere"),
        };
        Ok(Self { ns, dest, way, rank: Rank { table: table.unwrap_or(MAIN_TABLE), metric }, stray })
    }
}

impl From<Route> for Written {
    fn from(Route { ns, dest, way, rank: Rank { table, metric }, stray }: Route) -> Self {
        let (link, via, onlink, refusal) = match way {
            Way::By { link, via, onlink } => (Some(link), via, onlink, None),
            Way::Refused(refusal) => (None, None, false, Some(refusal)),
        };
        let table = Some(table).filter(|table| *table != MAIN_TABLE);
        Self { ns, dest, link, via, onlink, refusal, metric, table, stray }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let route: Route = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&route).unwrap(), text);
    }

    #[test]
    fn a_route_is_read_back_as_it_was_written_before_there_were_tables() {
        check(r#"{"ns":"host","dest":"10.9.0.0/16","link":"eth0","via":"10.7.0.9","metric":100}"#);
        check(r#"{"ns":"host","dest":"10.9.0.0/16","link":"eth0","via":null,"metric":0}"#);
    }

    #[test]
    fn a_route_is_read_back_as_it_was_written() {
        check(
            r#"{"ns":"host","dest":"fd09::/64","link":"eth0","via":"fe80::1","onlink":true,"metric":1,"table":100}"#,
        );
        check(r#"{"ns":"host","dest":"10.9.0.0/16","via":null,"refusal":"blackhole","metric":0}"#);
        assert!(serde_json::from_str::<Route>(r#"{"ns":"host","dest":"10.9.0.0/16","metric":0}"#).is_err());
    }

    #[test]
    fn a_rank_in_the_main_table_is_written_as_its_metric() {
        let rank = |text: &str| serde_json::to_string(&serde_json::from_str::<Rank>(text).unwrap()).unwrap();
        assert_eq!(rank("100"), "100");
        assert_eq!(rank(r#"{"table":100,"metric":7}"#), r#"{"table":100,"metric":7}"#);
    }
}
