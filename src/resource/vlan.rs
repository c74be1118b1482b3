//! VLANs: links that carry what has one 802.1Q tag on another link.

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
