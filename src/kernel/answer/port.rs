//! What a bridge and its ports are, as the kernel tells it.

use smol_str::SmolStr;

use super::{LinkAnswer, each, shares, text, u32_at};
use crate::resource::amiss::{BridgeFault, PortFault};
use crate::resource::vlan::VlanId;

/// Of a port of a bridge, whether each of [`PortFault`] is so, the state aside, and its state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PortAnswer {
    faults: u16,
    /// `IFLA_BRPORT_STATE`, `include/uapi/linux/if_bridge.h`.
    state: Option<u8>,
}

impl PortAnswer {
    /// Returns what it does otherwise than a new port; what its state means tells who knows the bridge.
    pub(crate) fn faults(self) -> impl Iterator<Item = PortFault> {
        PortFault::ALL.into_iter().filter(move |fault| self.faults & bit(*fault) != 0)
    }

    /// Returns the fault that its state is, where the bridge itself decides about it.
    pub(crate) fn state(self) -> Option<PortFault> {
        /// `BR_STATE_DISABLED`. From every other state the kernel soon brings a port on (`br_port_state_selection()`,
        /// `net/bridge/br_stp.c`).
        const DISABLED: u8 = 0;
        (self.state == Some(DISABLED)).then_some(PortFault::Disabled)
    }
}

fn bit(fault: PortFault) -> u16 {
    1 << fault as u16
}

/// Reads a link's kind, what it is as a bridge's port, and how it is on another one: `IFLA_INFO_KIND`,
/// `_DATA`, `_SLAVE_KIND` and `_SLAVE_DATA`.
pub(super) fn link_info(info: &[u8], link: &mut LinkAnswer) {
    let mut port_of = SmolStr::default();
    each(info, |kind, value| match (kind, link.kind.as_str()) {
        (1, _) => link.kind = text(value),
        (2, "bridge") => bridge(value, link),
        (2, "macvlan" | "macvtap") => link.shares = shares::macvlan(value),
        (2, "ipvlan") => link.shares = shares::ipvlan(value),
        (2, "vlan") => link.vlan = shares::vlan(value),
        (2, "vxlan") => link.peer = shares::below_vxlan(value),
        (4, _) => port_of = text(value),
        (5, _) => port(value, link),
        _ => {}
    });
    if port_of != "bridge" {
        (link.hairpin, link.isolated, link.port) = (false, false, PortAnswer::default());
    }
}

/// Reads the data of a bridge, in which `IFLA_BR_AGEING_TIME` is 4, `IFLA_BR_STP_STATE` is 5, `IFLA_BR_VLAN_FILTERING` is 7,
/// `IFLA_BR_MCAST_SNOOPING` is 23 and `IFLA_BR_VLAN_DEFAULT_PVID` is 39.
fn bridge(data: &[u8], link: &mut LinkAnswer) {
    each(data, |kind, value| match kind {
        4 => {
            let short = u32_at(value, 0).filter(|time| *time < BridgeFault::SHORT);
            link.bridge_faults.extend(short.map(BridgeFault::AgeingTime));
        }
        23 if value == [0] => link.bridge_faults.push(BridgeFault::McastSnooping),
        5 => link.stp = u32_at(value, 0).is_some_and(|state| state != 0),
        7 => link.filters = value == [1],
        39 => link.default_vlan = value.first_chunk().and_then(vlan_id),
        _ => {}
    });
}

fn vlan_id(number: &[u8; 2]) -> Option<VlanId> {
    VlanId::try_from(u16::from_ne_bytes(*number)).ok()
}

/// Reads what a link is as a port: `IFLA_BRPORT_*`, `include/uapi/linux/if_link.h`.
pub(super) fn port(data: &[u8], link: &mut LinkAnswer) {
    let mut port = PortAnswer::default();
    each(data, |kind, value| {
        let fault = match (kind, value) {
            (1, [state]) => {
                port.state = Some(*state);
                return;
            }
            (4, [1]) => {
                link.hairpin = true;
                return;
            }
            (33, [1]) => {
                link.isolated = true;
                return;
            }
            (5, [1]) => PortFault::Guard,
            (8, [0]) => PortFault::Learning,
            (9, [0]) => PortFault::Flood,
            (10, [1]) => PortFault::ProxyArp,
            (12, [1]) => PortFault::ProxyArpWifi,
            (27, [0]) => PortFault::McastFlood,
            (30, [0]) => PortFault::BcastFlood,
            (32, [1]) => PortFault::NeighSuppress,
            (39, [1]) => PortFault::Locked,
            _ => return,
        };
        port.faults |= bit(fault);
    });
    link.port = port;
}
