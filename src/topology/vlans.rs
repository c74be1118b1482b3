//! VLANs of the ports of bridges: who is in which, and who thereby does not reach the host.
//!
//! A bridge of ours keeps VLANs apart as soon as one attachment of its network names one. The host is in VLAN 1, and so is
//! whoever names none. On an existing bridge, others decide that; a port has what the manifest says of it.

use super::attach::Apart;
use super::facts::LinkFact;
use super::policy::Policies;
use super::scene::{Member, Net, Scene};
use super::{Attachment, Container, Network, Topology, vswitch};
use crate::manifest::problem::Problem;
use crate::manifest::{At, Driver, Place, SwitchedPort};
use crate::resource::vlan::{Filtering, PortVlans};

/// Returns how a network's bridge keeps VLANs apart, or has to.
pub(super) fn filtering(scene: &Scene<'_>, net: &Net<'_>) -> Option<Filtering> {
    match (&net.spec.driver, &net.spec.external) {
        (Driver::Bridge, Some(_)) => vswitch::external(scene, net)?.filtering,
        (Driver::Bridge, None) => {
            let names_one = scene.on(net).any(|(_, member)| member.spec.port.is_some());
            names_one.then_some(Filtering::OURS)
        }
        (
            Driver::Macvlan { .. }
            | Driver::Ipvlan { .. }
            | Driver::Veth(_)
            | Driver::OpenVswitch(_)
            | Driver::Physical,
            _,
        ) => None,
    }
}

/// Returns which VLANs each attachment's port has, where the manifest says so, and whether it is in another one than the
/// host, by which the way out of its network leads.
pub(super) fn assign(scene: &Scene<'_>, networks: &[Network]) -> Vec<(Option<PortVlans>, Apart)> {
    let place = |member: &Member<'_>| {
        let (Some(net), Some(network)) = (scene.net(member), networks.get(member.net)) else {
            return (None, Apart::No);
        };
        let Some(At { value: SwitchedPort { vlan, trunks, trunks_at: _ }, .. }) = &member.spec.port else {
            return (None, Apart::No);
        };
        let bridge = vswitch::external(scene, net);
        // Of a bridge that is not there nobody knows.
        let is_apart = !network.waits && !leads_elsewhere(network, bridge);
        let apart = if is_apart { Apart::InVlan } else { Apart::No };
        match net.spec.driver {
            Driver::Bridge => {
                let default = network.filtering.and_then(|it| it.default);
                let vlans = PortVlans { vlan: *vlan, trunks: trunks.clone(), intact: true };
                let apart = if vlan.is_some() && *vlan == default { Apart::No } else { apart };
                (Some(vlans), apart)
            }
            Driver::OpenVswitch(_) if apart == Apart::InVlan => (None, Apart::Switched),
            Driver::OpenVswitch(_) => (None, apart),
            Driver::Macvlan { .. } | Driver::Ipvlan { .. } | Driver::Veth(_) | Driver::Physical => {
                (None, Apart::No)
            }
        }
    };
    scene.members.iter().map(place).collect()
}

/// Tells whether all ways out of a network lead by others than the host: by a router in a VLAN of an existing bridge.
fn leads_elsewhere(network: &Network, bridge: Option<&LinkFact>) -> bool {
    let Some(bridge) = bridge else { return false };
    let is_hosts = |gateway| bridge.addresses.iter().any(|own| own.addr() == gateway);
    !network.subnets.iter().filter_map(|subnet| subnet.gateway).any(is_hosts)
}

/// Checks that only ports of bridges are in VLANs, that an existing bridge keeps them apart, and that one of Open vSwitch is
/// asked for no more than it does.
pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for member in &scene.members {
        let (Some(port), Some(net)) = (&member.spec.port, scene.net(member)) else { continue };
        problems.extend(match net.spec.driver {
            Driver::Bridge => unfiltered(scene, member, net, port),
            Driver::OpenVswitch(_) => both(net, port),
            Driver::Macvlan { .. } | Driver::Ipvlan { .. } | Driver::Veth(_) | Driver::Physical => {
                Some(without_bridge(member, net, port))
            }
        });
    }
}

fn key(port: &At<SwitchedPort>) -> &'static str {
    if port.value.vlan.is_some() { "vlan" } else { "trunks" }
}

fn without_bridge(member: &Member<'_>, net: &Net<'_>, port: &At<SwitchedPort>) -> Problem {
    let key = key(port);
    Problem {
        message: format!(
            "`{}` cannot have `{key}` on network `{}`: it has no bridge",
            member.container, net.name
        ),
        code: "topology::vlan_without_bridge",
        labels: vec![
            (port.place, "a port of a bridge is in VLANs".to_owned()),
            (net.place, "this network has none".to_owned()),
        ],
        help: Some(format!(
            "leave `{key}` out, or use `driver: bridge` or `openvswitch`; the parent of a macvlan network may be a VLAN: \
             `parent: eth0.10`"
        )),
    }
}

fn both(net: &Net<'_>, port: &At<SwitchedPort>) -> Option<Problem> {
    let trunks = port.value.trunks_at.filter(|_| port.value.vlan.is_some())?;
    Some(Problem {
        message: format!(
            "a port on `{}` is in one `vlan`, without tags, or carries `trunks`, with tags",
            net.name
        ),
        code: "topology::vlan_and_trunks",
        labels: vec![
            (trunks, "carries these with tags".to_owned()),
            (port.place, "is in this one without tags".to_owned()),
            (net.place, "on Open vSwitch".to_owned()),
        ],
        help: Some("leave one of them out, or use `driver: bridge`".to_owned()),
    })
}

/// Says that an existing bridge keeps no VLANs apart.
fn unfiltered(
    scene: &Scene<'_>,
    member: &Member<'_>,
    net: &Net<'_>,
    port: &At<SwitchedPort>,
) -> Option<Problem> {
    let (bridge, external) = (vswitch::external(scene, net)?, net.spec.external.as_ref()?);
    if bridge.filtering.is_some() {
        return None;
    }
    let (name, key) = (&external.value, key(port));
    Some(Problem {
        message: format!(
            "`{}` cannot have `{key}` on network `{}`: bridge `{name}` keeps no VLANs apart",
            member.container, net.name
        ),
        code: "topology::bridge_without_vlans",
        labels: vec![
            (port.place, "would be in no VLAN".to_owned()),
            (external.place, "somebody else's, and not changed".to_owned()),
        ],
        help: Some(format!(
            "whoever made it may switch that on (`ip link set {name} type bridge vlan_filtering 1`), which concerns all its \
             ports; or leave `{key}` out"
        )),
    })
}

/// Refuses trunks where the firewall knows who sends with which address: in VLANs of its own, nobody knows that.
pub(super) fn guarded(scene: &Scene<'_>, policies: &Policies, problems: &mut Vec<Problem>) {
    for member in &scene.members {
        let trunks = member.spec.port.as_ref().and_then(|port| port.value.trunks_at);
        let (Some(trunks), Some(net)) = (trunks, scene.net(member)) else { continue };
        if net.spec.driver == Driver::Bridge && policies.guarded.contains(net.name) {
            problems.push(Problem {
                message: format!(
                    "`{}` cannot have `trunks` on network `{}`, which policies are about",
                    member.container, net.name
                ),
                code: "topology::trunks_with_policies",
                labels: vec![
                    (trunks, "in these VLANs, nobody knows its addresses".to_owned()),
                    (net.place, "a policy names it, or a container that is on it".to_owned()),
                ],
                help: Some("give it a network of its own for its trunks".to_owned()),
            });
        }
    }
}

/// Returns what is said of a port that does not reach the host, and where.
pub(super) fn apart(member: &Member<'_>) -> Option<(Place, String)> {
    let port = member.spec.port.as_ref()?;
    let here = match port.value.vlan {
        Some(vlan) => format!("in VLAN {vlan}, where the host is not"),
        None => "in VLANs with tags, where the host is not".to_owned(),
    };
    Some((port.place, here))
}

/// Returns a sentence for each network with containers that do not reach its gateway.
pub(super) fn warnings(topology: &Topology) -> Vec<String> {
    // Mostly nobody is, and the networks need not be asked for all containers each.
    let mut attachments = topology.containers.iter().flat_map(|container| &container.attachments);
    if attachments.all(|attachment| attachment.apart == Apart::No) {
        return vec![];
    }
    let told = topology.networks.iter().filter(|network| !network.internal).filter_map(|network| {
        let is_apart = |attachment: &&Attachment| {
            attachment.network == network.name && attachment.apart != Apart::No
        };
        // Who has a way out by another network needs no advice, unless it is by this one that he is to have it.
        let has_way = |container: &Container| container.attachments.iter().any(|it| !it.default_via.is_empty());
        let told = |container, at: &Attachment| at.apart == Apart::Switched || !has_way(container);
        let all = topology.containers.iter();
        let apart = all.filter_map(|it| Some((it, it.attachments.iter().find(is_apart)?)));
        let mut apart = apart.filter(|(container, attachment)| told(container, attachment)).peekable();
        let (_, first) = *apart.peek()?;
        let origin = &first.origin;
        let names: Vec<&str> = apart.map(|(container, _)| container.name.as_str()).collect();
        let shown = names.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let shown = match names.len().saturating_sub(5) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        };
        let (host, theirs, more) = match first.apart {
            Apart::Switched => ("no VLAN", "one", ", and no port published to them leads there"),
            Apart::InVlan | Apart::No => ("the default VLAN", "others", ""),
        };
        Some(format!(
            "{origin}: on network `{}`, the host is in {host}, and {shown} in {theirs}: they reach those in the same VLAN, \
             neither the host nor what is behind it{more}; put them on another network, too, for a way out, or write \
             `internal: true` where none is meant",
            network.name
        ))
    });
    told.collect()
}
