//! What of a link somebody has changed that nobody ever asks to be otherwise.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::Resource;
use crate::names::IfName;

/// What of a link is not as netform and the kernel have made it, and as every manifest means it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amiss {
    /// What is written on it in the place of the mark that says whose it is; empty when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<SmolStr>,
    /// What it is called now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<IfName>,
    /// What it does not do as the port of a bridge, or does though it should not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub port: Vec<PortFault>,
    /// What it does otherwise as a bridge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bridge: Vec<BridgeFault>,
    /// What it does not speak.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<Silence>,
    /// What its other end does not speak, when it is a pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peer_silent: Vec<Silence>,
}

/// What an interface does not speak, so that nobody on it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// Nobody is asked, or told, who has an address: `IFF_NOARP`, `include/uapi/linux/if.h`.
    Arp,
    /// IPv6, though it has addresses: `disable_ipv6`.
    Ipv6,
    /// What comes by it for somebody else is dropped, though the host forwards: its own `forwarding` of IPv4. In IPv6 that of all
    /// decides (`ip6_forward()`, `net/ipv6/ip6_output.c`).
    Forwarding,
}

/// What a port of a bridge does otherwise than the kernel has a new one do (`new_nbp()` in Linux `net/bridge/br_if.c`): each
/// may cut off what is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortFault {
    /// It is up, and passes nothing on.
    Disabled,
    /// It is switched off by whoever behind it speaks the spanning tree protocol.
    Guard,
    /// It does not learn who is behind it.
    Learning,
    /// It is not sent what is for somebody of whom nobody knows where he is.
    Flood,
    /// Nor what is for a group.
    McastFlood,
    /// Nor what is for all.
    BcastFlood,
    /// The bridge answers for those behind it, and does not ask them.
    NeighSuppress,
    /// It takes nothing from whom the bridge has not been told of.
    Locked,
    /// The bridge answers behind it for whom it knows, and passes no question on there.
    ProxyArp,
    /// The bridge answers for those behind it.
    ProxyArpWifi,
}

/// What a bridge does otherwise than the kernel has a new one do (`br_dev_setup()` in Linux `net/bridge/br_device.c`): either
/// has everybody on it hear what is for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeFault {
    /// It forgets nearly at once who is behind which port, after so many hundredths of a second: a hub.
    AgeingTime(u32),
    /// It does not learn who listens to which group.
    McastSnooping,
}

impl BridgeFault {
    /// What it is short of for a bridge to remember anybody who does not speak all the time, in hundredths of a second. While
    /// its tree changes, the kernel itself has one that speaks the spanning tree protocol remember for 4 s at least
    /// (`__br_set_topology_change()`, `net/bridge/br_stp.c`).
    pub const SHORT: u32 = 100;
    /// For how long a new bridge remembers, in hundredths of a second: `BR_DEFAULT_AGEING_TIME`, `include/linux/if_bridge.h`.
    pub const USUAL: u32 = 30_000;

    fn field(self) -> (&'static str, String) {
        match self {
            Self::AgeingTime(hundredths) => ("ageing_time", hundredths.to_string()),
            Self::McastSnooping => ("mcast_snooping", "off".to_owned()),
        }
    }
}

/// The field that says what is written on a link, and what it says when that is our mark.
const MARK: (&str, &str) = ("mark", "ours");

/// The fields of what is well, with what they say then.
pub const WELL: [(&str, &str); 19] = [
    MARK,
    ("arp", "on"),
    ("ipv6", "on"),
    ("forwarding", "on"),
    ("peer arp", "on"),
    ("peer ipv6", "on"),
    ("peer forwarding", "on"),
    ("port state", "forwarding"),
    ("guard", "off"),
    ("learning", "on"),
    ("flood", "on"),
    ("mcast_flood", "on"),
    ("bcast_flood", "on"),
    ("neigh_suppress", "off"),
    ("locked", "off"),
    ("proxy_arp", "off"),
    ("proxy_arp_wifi", "off"),
    ("ageing_time", "30000"),
    ("mcast_snooping", "on"),
];

impl Amiss {
    /// Tells whether all is well.
    pub fn is_none(&self) -> bool {
        let Self { mark, name, port, bridge, silent, peer_silent } = self;
        let is_bridging = port.is_empty() && bridge.is_empty();
        mark.is_none() && name.is_none() && is_bridging && silent.is_empty() && peer_silent.is_empty()
    }

    /// Returns for how long it remembers who is behind which port, as a bridge, in hundredths of a second.
    pub fn ageing_time(&self) -> u32 {
        let told = self.bridge.iter().find_map(|fault| match fault {
            BridgeFault::AgeingTime(hundredths) => Some(*hundredths),
            BridgeFault::McastSnooping => None,
        });
        told.unwrap_or(BridgeFault::USUAL)
    }

    /// Tells whether it learns who listens to which group, as a bridge.
    pub fn mcast_snooping(&self) -> bool {
        !self.bridge.contains(&BridgeFault::McastSnooping)
    }

    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        // Its name is the first of the fields of a link.
        let Self { mark, name: _, port, bridge, silent, peer_silent } = self;
        let off = |name| (name, "off".to_owned());
        let silent = silent.iter().map(|it| match it {
            Silence::Arp => off("arp"),
            Silence::Ipv6 => off("ipv6"),
            Silence::Forwarding => off("forwarding"),
        });
        let peer_silent = peer_silent.iter().map(|it| match it {
            Silence::Arp => off("peer arp"),
            Silence::Ipv6 => off("peer ipv6"),
            Silence::Forwarding => off("peer forwarding"),
        });
        let port = port.iter().map(|fault| (fault.name(), fault.word().to_owned()));
        let port = port.chain(bridge.iter().map(|fault| fault.field()));
        mark.iter().map(self::mark).chain(port).chain(silent).chain(peer_silent).collect()
    }
}

impl Resource {
    /// Tells whether something is written on it in the place of a mark, or it was renamed.
    pub fn is_stray(&self) -> bool {
        match self {
            Self::Link(link) => link.amiss.mark.is_some() || link.amiss.name.is_some(),
            Self::Netns(netns) => netns.stray.is_some(),
            Self::Address(address) => address.stray.is_some(),
            Self::Route(route) => route.stray.is_some(),
            Self::File(file) => file.is_unmarked(),
            Self::Sysctl(_)
            | Self::NftTable(_)
            | Self::NftElement(_)
            | Self::Passage(_)
            | Self::Neighbour(_)
            | Self::Qdisc(_) => false,
        }
    }
}

/// Says which number stands in the place of the mark of an address or a route.
pub(super) fn protocol(number: u8) -> (&'static str, String) {
    (MARK.0, format!("protocol {number}"))
}

/// Says what is written in the place of a mark.
pub(super) fn mark(text: &SmolStr) -> (&'static str, String) {
    (MARK.0, if text.is_empty() { "none".to_owned() } else { format!("`{text}`") })
}

impl PortFault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Disabled,
        Self::Guard,
        Self::Learning,
        Self::Flood,
        Self::McastFlood,
        Self::BcastFlood,
        Self::NeighSuppress,
        Self::Locked,
        Self::ProxyArp,
        Self::ProxyArpWifi,
    ];

    /// Returns what bridge(8) calls it, where that is a word of its own.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "port state",
            Self::Guard => "guard",
            Self::Learning => "learning",
            Self::Flood => "flood",
            Self::McastFlood => "mcast_flood",
            Self::BcastFlood => "bcast_flood",
            Self::NeighSuppress => "neigh_suppress",
            Self::Locked => "locked",
            Self::ProxyArp => "proxy_arp",
            Self::ProxyArpWifi => "proxy_arp_wifi",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Guard | Self::NeighSuppress | Self::Locked | Self::ProxyArp | Self::ProxyArpWifi => "on",
            Self::Learning | Self::Flood | Self::McastFlood | Self::BcastFlood => "off",
        }
    }

    /// Returns the words by which bridge(8) has it well again, or ip(8).
    pub fn mended(self) -> String {
        match self {
            Self::Disabled => "state 3".to_owned(),
            Self::Guard | Self::NeighSuppress | Self::Locked | Self::ProxyArp | Self::ProxyArpWifi => {
                format!("{} off", self.name())
            }
            Self::Learning | Self::Flood | Self::McastFlood | Self::BcastFlood => {
                format!("{} on", self.name())
            }
        }
    }
}
