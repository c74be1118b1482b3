//! Kernel parameters.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::Resource;
use super::netns::NsRef;
use crate::names::IfName;

/// Which kernel parameter, by its path below `/proc/sys`; `/` separates, since interface names may hold dots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SysctlKey {
    /// `net/ipv4/ip_forward`.
    Ipv4Forward,
    /// `net/ipv6/conf/all/forwarding`.
    Ipv6Forward,
    /// A parameter of one interface: `net/ipv4/conf/LINK/NAME` or `net/ipv6/conf/LINK/NAME`.
    PerLink {
        /// `ipv4` or `ipv6`.
        family: Family,
        /// The interface.
        link: IfName,
        /// The parameter, e.g. `route_localnet`.
        name: SmolStr,
    },
    /// One of a whole network namespace, by its path, e.g. `net/core/somaxconn`.
    Whole(SmolStr),
}

impl SysctlKey {
    /// Returns the interface that it is of.
    pub fn link(&self) -> Option<&IfName> {
        match self {
            Self::Ipv4Forward | Self::Ipv6Forward | Self::Whole(_) => None,
            Self::PerLink { family: _, link, name: _ } => Some(link),
        }
    }

    /// Returns what it is called among those of its interface.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Ipv4Forward | Self::Ipv6Forward | Self::Whole(_) => None,
            Self::PerLink { family: _, link: _, name } => Some(name),
        }
    }

    /// Returns the interface that answers for others because of it.
    pub fn answers(&self) -> Option<&IfName> {
        match self {
            Self::PerLink { family: Family::Ipv6, link, name } if name == "proxy_ndp" => Some(link),
            Self::PerLink { .. } | Self::Ipv4Forward | Self::Ipv6Forward | Self::Whole(_) => None,
        }
    }

    /// Returns the parameter that says what an interface has when it is new: that of `default`.
    pub fn of_a_new_link(&self) -> Option<Self> {
        let link = IfName::try_from("default").ok()?;
        match self {
            Self::Ipv4Forward | Self::Ipv6Forward | Self::Whole(_) => None,
            Self::PerLink { family, link: _, name } => {
                Some(Self::PerLink { family: *family, link, name: name.clone() })
            }
        }
    }
}

impl fmt::Display for SysctlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4Forward => f.write_str("net/ipv4/ip_forward"),
            Self::Ipv6Forward => f.write_str("net/ipv6/conf/all/forwarding"),
            Self::PerLink { family, link, name } => write!(f, "net/{family}/conf/{link}/{name}"),
            Self::Whole(path) => f.write_str(path),
        }
    }
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Returns the family of `addr`.
    pub fn of(addr: std::net::IpAddr) -> Self {
        if addr.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        })
    }
}

impl Resource {
    /// Returns the kernel parameter; `None` for all else.
    pub fn sysctl(&self) -> Option<&Sysctl> {
        match self {
            Self::Sysctl(sysctl) => Some(sysctl),
            Self::Netns(_)
            | Self::Link(_)
            | Self::Address(_)
            | Self::Route(_)
            | Self::NftTable(_)
            | Self::NftElement(_)
            | Self::Passage(_)
            | Self::Neighbour(_)
            | Self::Qdisc(_)
            | Self::File(_) => None,
        }
    }
}

/// A kernel parameter with the value that it should have.
///
/// It always exists (as long as its link does), so it is only ever updated, and written only when it differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// The namespace that it belongs to.
    pub ns: NsRef,
    /// Which parameter.
    pub key: SysctlKey,
    /// Its value, without white space at the ends.
    pub value: SmolStr,
}
