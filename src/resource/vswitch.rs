//! Bridges of Open vSwitch and their ports: what of their records in its database (vswitchd.conf.db(5)) is asked for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::link::LinkKind;
use super::vlan::VlanId;

/// What a bridge of Open vSwitch has beside other links. The link is its local port, which `ovs-vswitchd` makes and
/// removes with the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vswitch {
    /// What forwards its packets.
    pub datapath: Datapath,
    /// What it does without a controller.
    pub fail_mode: FailMode,
    /// Whether it speaks the spanning tree protocol.
    pub stp: bool,
    /// Whether it learns who listens to which multicast group.
    pub mcast_snooping: bool,
    /// Whether the record, the link and the mark on it are all there: `ovs-vswitchd` makes a link anew without one.
    pub intact: bool,
}

/// What makes a link of the host a port of a bridge of Open vSwitch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchPort {
    /// The VLAN whose packets it takes and gives without their tag; `None` is all, with their tags.
    pub vlan: Option<VlanId>,
    /// The VLANs that it takes and gives with their tags; empty is all.
    pub trunks: Vec<VlanId>,
    /// Whether the record carries our mark, and nothing that speaks against the rest.
    pub intact: bool,
}

/// What forwards the packets of a bridge: `datapath_type`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Datapath {
    /// The kernel's module `openvswitch`.
    #[default]
    System,
    /// `ovs-vswitchd` itself.
    Netdev,
}

impl Datapath {
    /// All of them, each with its name.
    pub const ALL: [(Self, &str); 2] = [(Self::System, "system"), (Self::Netdev, "netdev")];
}

impl fmt::Display for Datapath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::System => "system",
            Self::Netdev => "netdev",
        })
    }
}

/// What a bridge does without a controller: `fail_mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailMode {
    /// It forwards as any switch.
    #[default]
    Standalone,
    /// It forwards what somebody's flows say, and nothing else.
    Secure,
}

impl FailMode {
    /// All of them, each with its name.
    pub const ALL: [(Self, &str); 2] = [(Self::Standalone, "standalone"), (Self::Secure, "secure")];
}

impl fmt::Display for FailMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Standalone => "standalone",
            Self::Secure => "secure",
        })
    }
}

impl LinkKind {
    /// Returns what it has as a bridge of Open vSwitch.
    pub fn switch(&self) -> Option<&Vswitch> {
        let Self::OpenVswitch(switch) = self else { return None };
        Some(switch)
    }
}

impl Vswitch {
    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { datapath, fail_mode, stp, mcast_snooping, intact } = self;
        let mut fields = vec![
            ("kind", "openvswitch".to_owned()),
            ("datapath", datapath.to_string()),
            ("fail_mode", fail_mode.to_string()),
            ("stp", stp.to_string()),
            ("mcast_snooping", mcast_snooping.to_string()),
        ];
        fields.extend((!intact).then(|| ("bridge", "not whole".to_owned())));
        fields
    }

    /// Tells whether a bridge can become another one without being made anew.
    pub(super) fn can_become(&self, to: &Self) -> Result<(), String> {
        if self.datapath == to.datapath {
            Ok(())
        } else {
            Err(format!("its datapath becomes {} instead of {}", to.datapath, self.datapath))
        }
    }
}

impl SwitchPort {
    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { vlan, trunks, intact } = self;
        let mut fields: Vec<_> = vlan.iter().map(|vlan| ("vlan", vlan.to_string())).collect();
        let listed = || trunks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        fields.extend((!trunks.is_empty()).then(|| ("trunks", listed())));
        fields.extend((!intact).then(|| ("port record", "edited by hand".to_owned())));
        fields
    }
}
