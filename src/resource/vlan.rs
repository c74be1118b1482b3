//! VLANs: links that carry what has one 802.1Q tag on another link, and those of a bridge and its ports.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::names::IfName;

/// What a VLAN has beside other links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    /// The link of the host that it is on.
    pub parent: IfName,
    /// The tag.
    pub id: VlanId,
}

/// A tag, e.g. 10.
///
/// Is 1 to 4,094: 0 says that there is none, and 4,095 is reserved. Source: IEEE 802.1Q, table 9-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

/// That a bridge keeps the VLANs of its ports apart: `vlan_filtering`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filtering {
    /// The VLAN that a new port is in, without tags: `vlan_default_pvid`; `None` is none.
    pub default: Option<VlanId>,
}

/// The VLANs of a port of a bridge, or of the bridge itself, where they are not what the bridge gives every port: its
/// default one, without tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortVlans {
    /// The one that it takes and gives without tags.
    pub vlan: Option<VlanId>,
    /// Those that it takes and gives with their tags, in ascending order.
    pub trunks: Vec<VlanId>,
    /// Whether each is taken as it is given.
    pub intact: bool,
}

impl Filtering {
    /// That of a bridge of ours: its ports are in VLAN 1, as those of every bridge of the kernel's.
    pub const OURS: Self = Self { default: Some(VlanId(1)) };

    /// Returns the attributes that users see change.
    pub(super) fn fields(self) -> Vec<(&'static str, String)> {
        let on = ("vlan_filtering", "on".to_owned());
        let default = self.default.map_or_else(|| "none".to_owned(), |id| id.to_string());
        let odd = (self != Self::OURS).then_some(("vlan_default_pvid", default));
        [on].into_iter().chain(odd).collect()
    }
}

impl PortVlans {
    /// Tells whether it is what a bridge gives a new port.
    pub fn is_usual(&self, default: Option<VlanId>) -> bool {
        let Self { vlan, trunks, intact } = self;
        *vlan == default && trunks.is_empty() && *intact
    }

    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { vlan, trunks, intact } = self;
        let none = || "none".to_owned();
        let mut fields = vec![("vlan", vlan.map_or_else(none, |vlan| vlan.to_string()))];
        let listed = || trunks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        fields.extend((!trunks.is_empty()).then(|| ("trunks", listed())));
        fields.extend((!intact).then(|| ("vlan entries", "edited by hand".to_owned())));
        fields
    }
}

/// A number is no VLAN's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a VLAN is 1 to 4094, and not {0}")]
pub struct VlanIdError(u16);

impl VlanId {
    /// Returns the number.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for VlanId {
    type Error = VlanIdError;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        if (1..=4094).contains(&number) { Ok(Self(number)) } else { Err(VlanIdError(number)) }
    }
}

impl From<VlanId> for u16 {
    fn from(id: VlanId) -> Self {
        id.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Vlan {
    /// Returns the VLAN that a name means, as everybody names them: `eth0.10`. A number is written in one way only, so
    /// that no VLAN has two names.
    pub fn named(name: &IfName) -> Option<Self> {
        let (parent, number) = name.as_str().rsplit_once('.')?;
        let id = VlanId::try_from(number.parse::<u16>().ok()?).ok()?;
        let parent = IfName::try_from(parent).ok()?;
        (id.to_string() == number).then_some(Self { parent, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, want: Option<(&str, u16)>) {
        let vlan = Vlan::named(&IfName::try_from(name).unwrap());
        let vlan = vlan.as_ref().map(|vlan| (vlan.parent.as_str(), vlan.id.number()));
        assert_eq!(vlan, want, "{name}");
    }

    #[test]
    fn a_vlan_is_named_by_its_link_and_its_number() {
        check("eth0.10", Some(("eth0", 10)));
        check("eth0.4094", Some(("eth0", 4094)));
        check("wan.up.7", Some(("wan.up", 7)));
        for other in
            ["eth0", "eth0.", "eth0.0", "eth0.4095", "eth0.010", "eth0.+1", "eth0.x", ".10", "eth0.70000"]
        {
            check(other, None);
        }
    }
}
