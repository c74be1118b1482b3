//! What of a link somebody has switched off that nobody asks to be off: as the port of a bridge, and as what speaks to
//! those that are on it.

use std::collections::BTreeSet;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkFlags;

use super::answer::LinkAnswer;
use super::links::{Outcome, channel, send};
use super::live::Live;
use super::message::named;
use super::netlink::Refusal;
use super::observe::peer_of;
use super::reading::{NsReading, Reading};
use super::{OpError, Scope, sysctl};
use crate::names::IfName;
use crate::resource::amiss::{PortFault, Silence};
use crate::resource::link::{Link, LinkKind};
use crate::resource::netns::NsRef;
use crate::resource::sysctl::{Family, Sysctl, SysctlKey};

/// Returns what a port of a bridge does otherwise than it should. Where nobody speaks the spanning tree protocol a port is
/// shut only while it, or its bridge, is down (`br_port_carrier_check()`, `net/bridge/br_if.c`).
pub(super) fn faults(link: &LinkAnswer, ns: &NsReading) -> Vec<PortFault> {
    let bridge = || ns.links.iter().find(|bridge| Some(bridge.index) == link.master);
    let state = link.port.state().filter(|_| link.up && link.running);
    let state = state.filter(|_| bridge().is_some_and(|bridge| bridge.up && !bridge.stp));
    link.port.faults().chain(state).collect()
}

/// Notes what a link of ours does not speak, and its other end.
pub(super) fn see(
    resource: &mut Link,
    (link, ns): (&LinkAnswer, &NsReading),
    reading: &Reading,
    scope: &Scope,
) {
    resource.amiss.silent = silences((link, ns), &resource.kind, scope);
    if let LinkKind::Veth(_) = resource.kind {
        let across = match &ns.ns {
            NsRef::Host => peer_of(link, reading),
            NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => reading.across(&ns.ns, link.index),
        };
        let silences = across.map(|(there, peer)| silences((peer, there), &resource.kind, scope));
        resource.amiss.peer_silent = silences.unwrap_or_default();
    }
}

/// What makes others has no ARP by itself: an `ifb`, ipvlan on layer 3, a VLAN of such a link, a device that came so.
fn silences((link, ns): (&LinkAnswer, &NsReading), kind: &LinkKind, scope: &Scope) -> Vec<Silence> {
    let has_arp = match kind {
        LinkKind::Bridge | LinkKind::Veth(_) | LinkKind::Macvlan(_) => true,
        LinkKind::Ipvlan(_)
        | LinkKind::Vlan(_)
        | LinkKind::OpenVswitch(_)
        | LinkKind::Device(_)
        | LinkKind::Ifb
        | LinkKind::Other(_) => false,
    };
    let arp = (has_arp && link.mute).then_some(Silence::Arp);
    let ipv6 = (link.ipv6 == Some(false) && is_to_speak_ipv6(link, &ns.ns, scope)).then_some(Silence::Ipv6);
    let forwarding = is_deaf(link, ns, kind).then_some(Silence::Forwarding);
    arp.into_iter().chain(ipv6).chain(forwarding).collect()
}

/// Tells whether the host forwards, and not what comes by this link, behind which are containers. One that is a port is no way to
/// anywhere itself.
fn is_deaf(link: &LinkAnswer, ns: &NsReading, kind: &LinkKind) -> bool {
    let leads_out = match kind {
        LinkKind::Bridge | LinkKind::Veth(_) => ns.ns == NsRef::Host && link.master.is_none(),
        LinkKind::Macvlan(_)
        | LinkKind::Ipvlan(_)
        | LinkKind::Vlan(_)
        | LinkKind::OpenVswitch(_)
        | LinkKind::Device(_)
        | LinkKind::Ifb
        | LinkKind::Other(_) => false,
    };
    leads_out && link.forwards == Some(false) && forwards(ns)
}

/// Tells whether the host forwards IPv4, as far as that was asked.
pub(super) fn forwards(host: &NsReading) -> bool {
    host.sysctls.iter().any(|(key, value)| *key == SysctlKey::Ipv4Forward && value == "1")
}

/// Notes that forwarding of IPv4 was switched for the whole host since its links were read, but for those that are `read` anew:
/// the kernel switches it on each of them then (`inet_forward_change()` in Linux `net/ipv4/devinet.c`).
pub(super) fn follow(host: &mut NsReading, before: &[(SysctlKey, String)], read: &BTreeSet<u32>) {
    let switch = before.iter().find(|(key, _)| *key == SysctlKey::Ipv4Forward);
    let now = forwards(host);
    if switch.is_none_or(|(_, value)| (value == "1") == now) {
        return;
    }
    for link in host.links.iter_mut().filter(|link| !read.contains(&link.index)) {
        link.forwards = link.forwards.map(|_| now);
    }
}

/// Returns the parameter that says that what comes by a link is forwarded.
fn forwarding(link: &IfName) -> SysctlKey {
    SysctlKey::PerLink { family: Family::Ipv4, link: link.clone(), name: "forwarding".into() }
}

/// Has a new link of the host be forwarded from where the host forwards, and gives new links something else (`default`).
pub(super) async fn begin(link: &Link) -> Outcome {
    let leads_out = matches!(link.kind, LinkKind::Bridge | LinkKind::Veth(_));
    if !leads_out || link.ns != NsRef::Host || link.master.is_some() {
        return Ok(());
    }
    let is = |key: &SysctlKey, value: &str| sysctl::read(key).is_ok_and(|read| read == value);
    let default = IfName::try_from("default").map(|default| forwarding(&default));
    if default.is_ok_and(|default| is(&default, "0")) && is(&SysctlKey::Ipv4Forward, "1") {
        set_forwarding((&link.ns, &link.name), true).await?;
    }
    Ok(())
}

async fn set_forwarding((ns, link): (&NsRef, &IfName), on: bool) -> Outcome {
    set((ns, forwarding(link)), if on { "1" } else { "0" }).await
}

/// Tells whether a link is to have IPv6 addresses, and no line of a manifest says that it shall not speak it.
fn is_to_speak_ipv6(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> bool {
    let Some(name) = link.ifname() else { return false };
    scope.ipv6.get(ns).is_some_and(|links| links.contains(&name))
        && !scope.sysctls.contains(&(ns.clone(), disable_ipv6(&name)))
}

/// Returns the parameter that says that a link does not speak IPv6.
pub(super) fn disable_ipv6(link: &IfName) -> SysctlKey {
    SysctlKey::PerLink { family: Family::Ipv6, link: link.clone(), name: "disable_ipv6".into() }
}

/// Has a link speak what it shall, and not what it did not.
pub(super) async fn restore(
    live: &Live,
    end: (&NsRef, &IfName),
    from: &[Silence],
    to: &[Silence],
) -> Outcome {
    for silence in [Silence::Arp, Silence::Ipv6, Silence::Forwarding] {
        let on = !to.contains(&silence);
        if from.contains(&silence) != on {
            continue;
        }
        match silence {
            Silence::Arp => send(channel(live, end.0)?, arp(end.1, on), 0).await?,
            Silence::Ipv6 => set_ipv6(end, on).await?,
            Silence::Forwarding => set_forwarding(end, on).await?,
        }
    }
    Ok(())
}

fn arp(link: &IfName, on: bool) -> RouteNetlinkMessage {
    let mut message = named(link);
    message.header.change_mask = LinkFlags::Noarp;
    message.header.flags = if on { LinkFlags::empty() } else { LinkFlags::Noarp };
    RouteNetlinkMessage::NewLink(message)
}

/// Has a link speak IPv6, or not.
pub(super) async fn set_ipv6((ns, link): (&NsRef, &IfName), on: bool) -> Outcome {
    set((ns, disable_ipv6(link)), if on { "0" } else { "1" }).await
}

async fn set((ns, key): (&NsRef, SysctlKey), value: &str) -> Outcome {
    let ns = ns.clone();
    let written = sysctl::write(vec![Sysctl { ns, key: key.clone(), value: value.into() }]).await;
    written.into_iter().collect::<Result<(), _>>().map_err(|error| {
        let message = format!("sysctl {key} cannot be set to {value}: {error}");
        OpError { message, ..OpError::from(Refusal::Socket(error)) }
    })
}
