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

#[cfg(test)]
mod tests {
    use super::*;

    /// An interface in a VLAN without tags (0 is none), and in others with them; `None` is on no such bridge.
    fn link(vlans: Option<(u16, &[u16])>) -> Interface {
        let id = |number: u16| VlanId::try_from(number).ok();
        let vlans = vlans.map(|(vlan, trunks)| PortVlans {
            vlan: id(vlan),
            trunks: trunks.iter().filter_map(|number| id(*number)).collect(),
            intact: true,
        });
        Interface { vlans, ..Interface::default() }
    }

    #[test]
    fn who_is_in_the_vlan_hears_and_with_a_tag_who_carries_it() {
        let (bridge, ten) = (link(Some((1, &[]))), link(Some((10, &[]))));
        let lane = Lane::of(&bridge, Some(&ten));
        assert_eq!(lane.words(), " in VLAN 10");
        assert_eq!(lane.hears(&link(Some((10, &[20])))), Hears::Yes);
        assert_eq!(lane.hears(&link(Some((0, &[10, 20])))), Hears::Tagged);
        assert_eq!(lane.hears(&link(Some((20, &[])))), Hears::No);
        assert!(!lane.reaches(&bridge) && lane.reaches(&link(Some((10, &[])))));
        assert!(Lane::of(&bridge, Some(&link(Some((1, &[]))))).reaches(&bridge));
        assert_eq!(Lane::of(&bridge, None).hears(&ten), Hears::No);
        assert_eq!(Lane::of(&bridge, Some(&link(Some((0, &[10]))))), Lane::Nowhere);
    }

    #[test]
    fn where_nobody_keeps_vlans_apart_everybody_hears() {
        let (bridge, port) = (link(None), link(None));
        let lane = Lane::of(&bridge, Some(&port));
        assert!(lane == Lane::Alike(None) && lane.hears(&port) == Hears::Yes && lane.reaches(&bridge));
    }
}
