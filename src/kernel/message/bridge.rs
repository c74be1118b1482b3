//! What bridges and their ports are told.

use netlink_packet_core::DefaultNla;
use netlink_packet_route::link::{
    AfSpecBridge, BridgeFlag, BridgePortState, BridgeStpState, BridgeVlanInfo, BridgeVlanInfoFlags,
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo,
    LinkMessage, LinkProtoInfoBridge,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{LinkBridge, LinkMessageBuilder};

use super::{NEWBORN, named};
use crate::kernel::vlans::VlanEntry;
use crate::resource::amiss::{Amiss, PortFault};
use crate::resource::link::Link;
use crate::resource::vlan::{Filtering, VlanId};

/// Creates a bridge with its own link-layer address, so that it does not change with the ports; it is down.
///
/// The MTU is set later, by [`settle`]: only a change makes the kernel keep it when ports come and go
/// (`br_change_mtu()` sets `BROPT_MTU_SET_BY_USER`, `net/bridge/br_device.c`).
pub(crate) fn new_bridge(link: &Link) -> RouteNetlinkMessage {
    let mut bridge = LinkMessageBuilder::<LinkBridge>::new(link.name.as_str())
        .link_group(NEWBORN)
        .set_info_data(InfoData::Bridge(
            [InfoBridge::ForwardDelay(0)]
                .into_iter()
                .chain(stp(link, false))
                .chain(filtering(link, None))
                .collect(),
        ));
    if let Some(mac) = link.mac {
        bridge = bridge.address(mac.0.to_vec());
    }
    RouteNetlinkMessage::NewLink(bridge.build())
}

/// Returns what a bridge is told of the spanning tree protocol and of VLANs, when it did otherwise before.
pub(super) fn change_bridge(link: &Link, before: &Link) -> Option<LinkAttribute> {
    let told = stp(link, before.stp).into_iter().chain(filtering(link, before.filtering));
    let told: Vec<_> = told.chain(mended(&link.amiss, &before.amiss)).collect();
    let info = || vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(InfoData::Bridge(told.clone()))];
    (!told.is_empty()).then(|| LinkAttribute::LinkInfo(info()))
}

/// Says what a bridge does, when it did otherwise and nobody asks for either.
fn mended(to: &Amiss, before: &Amiss) -> impl Iterator<Item = InfoBridge> {
    let (ageing, snoops) = (to.ageing_time(), to.mcast_snooping());
    let ageing = (ageing != before.ageing_time()).then_some(InfoBridge::AgeingTime(ageing));
    let snoops = (snoops != before.mcast_snooping()).then_some(InfoBridge::MulticastSnooping(snoops));
    ageing.into_iter().chain(snoops)
}

/// Says whether a bridge keeps VLANs apart, and which one a new port is in, when it did otherwise. A kernel that keeps none
/// apart (`CONFIG_BRIDGE_VLAN_FILTERING`) refuses that.
fn filtering(link: &Link, before: Option<Filtering>) -> Vec<InfoBridge> {
    let default = link.filtering.and_then(|it| Some((it, before?))).filter(|(now, then)| now != then);
    let default = default.map(|(it, _)| InfoBridge::VlanDefaultPvid(it.default.map_or(0, VlanId::number)));
    let is_on = link.filtering.is_some();
    let switched = (is_on != before.is_some()).then_some(InfoBridge::VlanFiltering(is_on));
    switched.into_iter().chain(default).collect()
}

/// What becomes of VLANs of a port of a bridge, or of a bridge itself.
#[derive(Clone, Copy)]
pub(crate) enum VlanVerb {
    /// They are added, or become as they are said to be.
    Put,
    /// They are taken away.
    Remove,
}

/// Says which VLANs a port of a bridge, or (`is_bridge`) the bridge itself, has or has no more: `br_setlink()` and
/// `br_dellink()` in Linux `net/bridge/br_netlink.c`.
pub(crate) fn vlans(
    (index, is_bridge): (u32, bool),
    verb: VlanVerb,
    entries: &[VlanEntry],
) -> RouteNetlinkMessage {
    let info = |entry: &VlanEntry| {
        let mut flags = BridgeVlanInfoFlags::empty();
        flags.set(BridgeVlanInfoFlags::Pvid, entry.is_own);
        flags.set(BridgeVlanInfoFlags::Untagged, entry.is_untagged);
        AfSpecBridge::VlanInfo(BridgeVlanInfo { flags, vid: entry.id })
    };
    // `BRIDGE_FLAGS_SELF`: what is said is for the bridge, and not for one whose port it is.
    let own = is_bridge.then_some(AfSpecBridge::Flags(BridgeFlag::LowerDev));
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = index;
    let spec = own.into_iter().chain(entries.iter().map(info)).collect();
    message.attributes.push(LinkAttribute::AfSpecBridge(spec));
    match verb {
        VlanVerb::Put => RouteNetlinkMessage::SetLink(message),
        VlanVerb::Remove => RouteNetlinkMessage::DelLink(message),
    }
}

/// Says whether a bridge speaks the spanning tree protocol, when it did otherwise. The kernel then has each port wait for two
/// forward delays of two seconds (`br_stp_start()`, `net/bridge/br_stp_if.c`).
fn stp(link: &Link, before: bool) -> Option<InfoBridge> {
    let state = if link.stp { BridgeStpState::KernelStp } else { BridgeStpState::Disabled };
    (link.stp != before).then_some(InfoBridge::StpState(state))
}

/// Says what a link is as a bridge's port, and has it do again what it did otherwise before; or as it did before.
pub(crate) fn mend_port(from: &Link, to: &Link) -> RouteNetlinkMessage {
    let mended = from.amiss.port.iter().filter(|fault| !to.amiss.port.contains(fault));
    let broken = to.amiss.port.iter().filter(|fault| !from.amiss.port.contains(fault));
    let all = mended.map(|it| told(*it, Told::Well)).chain(broken.map(|it| told(*it, Told::Amiss)));
    let mut message = named(&to.name);
    message.attributes.push(port_of(as_port(to).into_iter().chain(all).collect()));
    RouteNetlinkMessage::NewLink(message)
}

/// Has a port that is up pass nothing on. Said by the link's own message, the kernel would bring it on at once, since it tells
/// the bridge that the link has changed (`br_port_carrier_check()`, `net/bridge/br_if.c`).
pub(crate) fn shut_port(index: u32) -> RouteNetlinkMessage {
    /// `IFLA_BRPORT_STATE` and `BR_STATE_DISABLED`.
    const STATE: (u16, u8) = (1, 0);
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = index;
    let state = LinkProtoInfoBridge::Other(DefaultNla::new(STATE.0, vec![STATE.1]));
    message.attributes.push(LinkAttribute::ProtoInfoBridge(vec![state]));
    RouteNetlinkMessage::SetLink(message)
}

/// How a port shall be.
enum Told {
    Well,
    Amiss,
}

fn told(fault: PortFault, how: Told) -> InfoBridgePort {
    let (on, off) = match how {
        Told::Well => (true, false),
        Told::Amiss => (false, true),
    };
    match fault {
        PortFault::Disabled => {
            InfoBridgePort::State(if on { BridgePortState::Forwarding } else { BridgePortState::Disabled })
        }
        PortFault::Guard => InfoBridgePort::Guard(off),
        PortFault::Learning => InfoBridgePort::Learning(on),
        PortFault::Flood => InfoBridgePort::UnicastFlood(on),
        PortFault::McastFlood => InfoBridgePort::MulticastFlood(on),
        PortFault::BcastFlood => InfoBridgePort::BroadcastFlood(on),
        PortFault::NeighSuppress => InfoBridgePort::NeighSupress(off),
        PortFault::Locked => InfoBridgePort::Locked(off),
        PortFault::ProxyArp => InfoBridgePort::ProxyARP(off),
        PortFault::ProxyArpWifi => InfoBridgePort::ProxyARPWifi(off),
    }
}

/// Returns what a link is as a port.
pub(super) fn port(link: &Link) -> LinkAttribute {
    port_of(as_port(link))
}

fn as_port(link: &Link) -> Vec<InfoBridgePort> {
    // Kernels before 4.18 isolate nothing, and pass over what they do not know.
    vec![InfoBridgePort::HairpinMode(link.hairpin), InfoBridgePort::Isolated(link.isolated)]
}

fn port_of(data: Vec<InfoBridgePort>) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(data)),
    ])
}
