//! How links share what a link of the host receives: macvlan and ipvlan.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::IfName;

/// What a macvlan link has beside others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Macvlan {
    /// The link of the host whose packets it shares.
    pub parent: IfName,
    /// Whom it reaches through it.
    pub mode: MacvlanMode,
}

/// Whom a macvlan link reaches, besides what is behind its parent: `include/uapi/linux/if_link.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// The others on the same parent.
    #[default]
    Bridge,
    /// The others, if the switch behind the parent sends their packets back (IEEE 802.1Qbg).
    Vepa,
    /// None of the others.
    Private,
    /// It has the parent for itself, with the parent's link-layer address.
    Passthru,
}

impl MacvlanMode {
    /// All modes, each with its name.
    pub const ALL: [(Self, &str); 4] = [
        (Self::Bridge, "bridge"),
        (Self::Vepa, "vepa"),
        (Self::Private, "private"),
        (Self::Passthru, "passthru"),
    ];
}

impl fmt::Display for MacvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bridge => "bridge",
            Self::Vepa => "vepa",
            Self::Private => "private",
            Self::Passthru => "passthru",
        })
    }
}

/// How a link shares what a link of the host receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shares {
    /// As a macvlan link.
    Macvlan(MacvlanMode),
    /// As an ipvlan link.
    Ipvlan(IpvlanMode, IpvlanFlag),
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Macvlan(_) => f.write_str("macvlan"),
            Self::Ipvlan(mode, IpvlanFlag::Bridge) => write!(f, "ipvlan in mode {mode}"),
            Self::Ipvlan(mode, flag) => write!(f, "ipvlan in mode {mode}, {flag}"),
        }
    }
}

/// What an ipvlan link has beside others. Mode and flag are the parent's: all on it have the same, and whoever makes one
/// more sets them for all (`ipvlan_link_new()` in Linux `drivers/net/ipvlan/ipvlan_main.c`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipvlan {
    /// The link of the host whose packets it shares.
    pub parent: IfName,
    /// At which layer packets find their way.
    pub mode: IpvlanMode,
    /// Whom it reaches on the same parent.
    pub flag: IpvlanFlag,
}

/// Returns why an ipvlan link has to be made anew. The kernel would change mode and flag in place, for all on the parent
/// at once, whoever has them: made anew, each interruption is told of those who have it.
pub(super) fn moved(old: &Ipvlan, new: &Ipvlan) -> String {
    if old.parent != new.parent {
        format!("its parent becomes {} instead of {}", new.parent, old.parent)
    } else if old.mode != new.mode {
        format!("its mode becomes {} instead of {}", new.mode, old.mode)
    } else {
        format!("its flag becomes {} instead of {}", new.flag, old.flag)
    }
}

/// At which layer the packets of an ipvlan link find their way: `include/uapi/linux/if_link.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// As on any Ethernet: neighbours are asked for.
    #[default]
    L2,
    /// They are routed where the parent lives, and there is no broadcast.
    L3,
    /// As `l3`, and the firewall where the parent lives sees them.
    L3s,
}

impl IpvlanMode {
    /// All modes, each with its name.
    pub const ALL: [(Self, &str); 3] = [(Self::L2, "l2"), (Self::L3, "l3"), (Self::L3s, "l3s")];

    /// Tells whether packets are routed, with no next hop and no neighbours.
    pub fn is_routed(self) -> bool {
        match self {
            Self::L2 => false,
            Self::L3 | Self::L3s => true,
        }
    }
}

impl fmt::Display for IpvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3s => "l3s",
        })
    }
}

/// Whom an ipvlan link reaches on the same parent: `IPVLAN_F_PRIVATE`, `IPVLAN_F_VEPA`, `include/uapi/linux/if_link.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanFlag {
    /// The others.
    #[default]
    Bridge,
    /// None of the others.
    Private,
    /// The others, if the switch behind the parent sends their packets back.
    Vepa,
}

impl IpvlanFlag {
    /// All flags, each with its name.
    pub const ALL: [(Self, &str); 3] =
        [(Self::Bridge, "bridge"), (Self::Private, "private"), (Self::Vepa, "vepa")];
}

impl fmt::Display for IpvlanFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bridge => "bridge",
            Self::Private => "private",
            Self::Vepa => "vepa",
        })
    }
}
