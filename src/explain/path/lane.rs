//! Which VLAN a bridge takes a frame without a tag for, and who hears it there.

use crate::kernel::census::Interface;
use crate::resource::vlan::{PortVlans, VlanId};

/// Where on a bridge a frame without a tag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// With all whose port says the same; where nobody says anything, with everybody.
    Alike(Option<u16>),
    /// In a VLAN of a bridge that keeps them apart.
    Vlan(VlanId),
    /// Nowhere: the bridge takes it for no VLAN.
    Nowhere,
}

/// Whether somebody hears a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hears {
    /// He does.
    Yes,
    /// He does, with a tag.
    Tagged,
    /// He does not.
    No,
}

impl Lane {
    /// Returns where a frame is that comes by a port, or from the bridge's own namespace.
    pub(super) fn of(bridge: &Interface, from: Option<&Interface>) -> Self {
        if bridge.vlans.is_none() {
            return Self::Alike(from.and_then(|from| from.vlan));
        }
        let vlans = from.unwrap_or(bridge).vlans.as_ref();
        vlans.and_then(|vlans| vlans.vlan).map_or(Self::Nowhere, Self::Vlan)
    }

    /// Tells whether somebody hears it by a port.
    pub(super) fn hears(self, port: &Interface) -> Hears {
        match (self, &port.vlans) {
            (Self::Alike(vlan), _) if port.vlan == vlan => Hears::Yes,
            (Self::Vlan(id), Some(PortVlans { vlan, .. })) if *vlan == Some(id) => Hears::Yes,
            (Self::Vlan(id), Some(PortVlans { trunks, .. })) if trunks.contains(&id) => Hears::Tagged,
            (Self::Alike(_) | Self::Vlan(_) | Self::Nowhere, _) => Hears::No,
        }
    }

    /// Tells whether the bridge's own namespace hears what comes by a port.
    pub(super) fn reaches(self, bridge: &Interface) -> bool {
        match self {
            // The host is in none of the VLANs of Open vSwitch.
            Self::Alike(vlan) => vlan.is_none(),
            Self::Vlan(_) => self.hears(bridge) == Hears::Yes,
            Self::Nowhere => false,
        }
    }

    /// Returns where that is, in words that follow the bridge's name.
    pub(super) fn words(self) -> String {
        match self {
            Self::Alike(None) | Self::Nowhere => String::new(),
            Self::Alike(Some(id)) => format!(" in VLAN {id}"),
            Self::Vlan(id) => format!(" in VLAN {id}"),
        }
    }
}
