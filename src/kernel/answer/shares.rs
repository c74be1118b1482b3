//! How links share what the one that they stand on receives.

use super::{short_of, u32_at, value_of};
use crate::resource::link::{IpvlanFlag, IpvlanMode, MacvlanMode, Shares};
use crate::resource::vlan::VlanId;

/// Reads the data of a macvlan link, in which `IFLA_MACVLAN_MODE` is 1.
pub(super) fn macvlan(data: &[u8]) -> Option<Shares> {
    let mode = value_of(data, 1).and_then(|value| u32_at(&value, 0));
    mode.and_then(macvlan_mode).map(Shares::Macvlan)
}

/// Reads the data of an ipvlan link, in which `IFLA_IPVLAN_MODE` is 1 and `IFLA_IPVLAN_FLAGS` is 2; kernels before 4.15 have
/// no flags.
pub(super) fn ipvlan(data: &[u8]) -> Option<Shares> {
    let mode = match short_of(data, 1)? {
        0 => IpvlanMode::L2,
        1 => IpvlanMode::L3,
        2 => IpvlanMode::L3s,
        _ => return None,
    };
    let flag = match short_of(data, 2).unwrap_or(0) {
        0 => IpvlanFlag::Bridge,
        1 => IpvlanFlag::Private,
        2 => IpvlanFlag::Vepa,
        _ => return None,
    };
    Some(Shares::Ipvlan(mode, flag))
}

/// `enum macvlan_mode` in `include/uapi/linux/if_link.h`.
fn macvlan_mode(number: u32) -> Option<MacvlanMode> {
    match number {
        1 => Some(MacvlanMode::Private),
        2 => Some(MacvlanMode::Vepa),
        4 => Some(MacvlanMode::Bridge),
        8 => Some(MacvlanMode::Passthru),
        _ => None,
    }
}

/// Reads of the data of a vxlan on which link it stands, and with which it goes: `IFLA_VXLAN_LINK` is 3. It has no `IFLA_LINK`.
pub(super) fn below_vxlan(data: &[u8]) -> Option<u32> {
    value_of(data, 3).and_then(|value| u32_at(&value, 0))
}

/// Reads the data of a VLAN, in which `IFLA_VLAN_ID` is 1 and `IFLA_VLAN_PROTOCOL` is 5: `ETH_P_8021Q` is 0x8100.
pub(super) fn vlan(data: &[u8]) -> Option<VlanId> {
    let is_8021q = value_of(data, 5).is_none_or(|protocol| protocol == [0x81, 0x00]);
    VlanId::try_from(short_of(data, 1).filter(|_| is_8021q)?).ok()
}
