//! What bridges and their ports are told.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgeStpState, InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind,
    LinkAttribute, LinkInfo,
};
use rtnetlink::{LinkBridge, LinkMessageBuilder};

use super::{NEWBORN, named};
use crate::resource::link::Link;

/// Creates a bridge with its own link-layer address, so that it does not change with the ports; it is down.
///
/// The MTU is set later, by [`settle`]: only a change makes the kernel keep it when ports come and go
/// (`br_change_mtu()` sets `BROPT_MTU_SET_BY_USER`, `net/bridge/br_device.c`).
pub(crate) fn new_bridge(link: &Link) -> RouteNetlinkMessage {
    let mut bridge =
        LinkMessageBuilder::<LinkBridge>::new(link.name.as_str()).link_group(NEWBORN).set_info_data(
            InfoData::Bridge([InfoBridge::ForwardDelay(0)].into_iter().chain(stp(link, false)).collect()),
        );
    if let Some(mac) = link.mac {
        bridge = bridge.address(mac.0.to_vec());
    }
    RouteNetlinkMessage::NewLink(bridge.build())
}

/// Returns what a bridge is told of the spanning tree protocol, when it did otherwise before.
pub(super) fn change_stp(link: &Link, before: bool) -> Option<LinkAttribute> {
    let stp = stp(link, before)?;
    let data = LinkInfo::Data(InfoData::Bridge(vec![stp]));
    Some(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge), data]))
}

/// Says whether a bridge speaks the spanning tree protocol, when it did otherwise. The kernel then has each port wait for two
/// forward delays of two seconds (`br_stp_start()`, `net/bridge/br_stp_if.c`).
fn stp(link: &Link, before: bool) -> Option<InfoBridge> {
    let state = if link.stp { BridgeStpState::KernelStp } else { BridgeStpState::Disabled };
    (link.stp != before).then_some(InfoBridge::StpState(state))
}

/// Says what a link is as a bridge's port.
pub(crate) fn set_port(link: &Link) -> RouteNetlinkMessage {
    let mut message = named(&link.name);
    message.attributes.push(port(link));
    RouteNetlinkMessage::NewLink(message)
}

/// Returns what a link is as a port.
pub(super) fn port(link: &Link) -> LinkAttribute {
    // Kernels before 4.18 isolate nothing, and pass over what they do not know.
    let data = vec![InfoBridgePort::HairpinMode(link.hairpin), InfoBridgePort::Isolated(link.isolated)];
    LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(data)),
    ])
}
