//! Neighbour discovery by proxy: by which link of the host neighbours find the containers of a network.

use std::net::IpAddr;

use super::facts::{Facts, LinkFact};
use super::scene::{Net, Scene};
use super::subnet::Ground;
use super::{Apart, Attachment, Network, Topology, device};
use crate::manifest::problem::Problem;
use crate::manifest::{At, Place, Uplink};
use crate::names::IfName;
use crate::resource::sysctl::Family;

/// Who answers when a neighbour of the host asks for a container of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// Nobody of ours: the subnets are routed to the host, or are not to be found.
    #[default]
    Nobody,
    /// A link of the host.
    By {
        /// The link.
        link: IfName,
        /// Whether routers tell the host its routes there, and shall be heard though it forwards.
        heeds: bool,
    },
    /// This link as soon as it has IPv6.
    Mute(IfName),
    /// This link as soon as it is there; `None` is the one that will have the default route of IPv6.
    Waits(Option<IfName>),
}

/// Returns who answers for the containers of a network.
pub(super) fn proxy(scene: &Scene<'_>, net: &Net<'_>) -> Proxy {
    let facts = scene.facts;
    let by = |link: &IfName| match facts.mute.contains(link) {
        true => Proxy::Mute(link.clone()),
        false => Proxy::By { link: link.clone(), heeds: facts.heeding.contains(link) },
    };
    let stays = |link: &&IfName| !device::leaves(scene, link);
    match net.spec.ndp_proxy.as_ref().map(|at| &at.value) {
        None => Proxy::Nobody,
        Some(Uplink::Named(name)) if facts.foreign_links.contains(name) && stays(&name) => by(name),
        Some(Uplink::Named(name)) => Proxy::Waits(Some(name.clone())),
        Some(Uplink::Default) => {
            facts.uplinks.get(&Family::Ipv6).filter(stays).map_or(Proxy::Waits(None), by)
        }
    }
}

/// Returns the links on which routers tell the host its default route, and are to be heard though it forwards. Those that
/// answer for containers are known with their networks.
pub(super) fn heard(scene: &Scene<'_>, networks: &[Network]) -> Vec<IfName> {
    let answers = |link: &IfName| {
        let by = |network: &Network| matches!(&network.proxy, Proxy::By { link: by, heeds: _ } if by == link);
        networks.iter().any(by)
    };
    let stays = |link: &&IfName| !device::leaves(scene, link) && !answers(link);
    scene.facts.told.iter().filter(stays).cloned().collect()
}

/// Checks that there are addresses to answer for, and that they are nobody's else.
pub(super) fn check(scene: &Scene<'_>, grounds: &[Option<Vec<Ground<'_>>>], problems: &mut Vec<Problem>) {
    for (net, grounds) in scene.nets.iter().zip(grounds) {
        let (Some(asked), Some(grounds)) = (&net.spec.ndp_proxy, grounds) else { continue };
        problems.extend(on_itself(scene, net, asked.place));
        let mut six = grounds.iter().filter(|ground| ground.cidr.addr().is_ipv6()).peekable();
        if six.peek().is_none() && !scene.is_unknown(net, Some(Family::Ipv6)) {
            problems.push(without_ipv6(net, asked.place));
        }
        problems.extend(six.filter_map(|ground| taken(scene, net, asked, ground)));
    }
}

/// Says that the containers are on the link themselves.
fn on_itself(scene: &Scene<'_>, net: &Net<'_>, place: Place) -> Option<Problem> {
    let bridge = net.spec.external.as_ref()?;
    let Proxy::By { link, heeds: _ } = proxy(scene, net) else { return None };
    (link == bridge.value).then(|| Problem {
        message: format!("the containers of network `{}` are on `{link}` themselves", net.name),
        code: "topology::proxy_on_itself",
        labels: vec![
            (place, format!("`{link}` would answer for them")),
            (bridge.place, "they answer there".to_owned()),
        ],
        help: Some("leave `ndp_proxy` out".to_owned()),
    })
}

fn without_ipv6(net: &Net<'_>, place: Place) -> Problem {
    Problem {
        message: format!("network `{}` has `ndp_proxy`, and no IPv6 subnet", net.name),
        code: "topology::proxy_without_ipv6",
        labels: vec![
            (place, "nobody to answer for".to_owned()),
            (net.place, "no IPv6 subnet here".to_owned()),
        ],
        help: Some(
            "give the network a subnet within the prefix of the link, such as a /80 of its /64".to_owned(),
        ),
    }
}

/// Says whose an address of a subnet is: of the host, or of the router that it needs.
fn taken(scene: &Scene<'_>, net: &Net<'_>, asked: &At<Uplink>, ground: &Ground<'_>) -> Option<Problem> {
    let facts = scene.facts;
    let is_inside = |addr: &&IpAddr| ground.cidr.contains(*addr);
    let bridge = net.spec.external.as_ref().map(|at| &at.value);
    let mut own = facts.addresses.iter().filter(|(_, link)| Some(*link) != bridge);
    let own =
        own.find(|(addr, _)| is_inside(addr)).map(|(addr, link)| (addr, format!("`{link}` of the host")));
    let router = || Some((facts.routers.iter().find(is_inside)?, "the host's router".to_owned()));
    let (addr, whose) = own.or_else(router)?;
    let cidr = ground.cidr;
    Some(Problem {
        message: format!(
            "subnet {cidr} of network `{}` has {addr} in it, which is that of {whose}",
            net.name
        ),
        code: "topology::proxy_taken",
        labels: vec![
            (ground.place, format!("{addr} would be behind the network")),
            (asked.place, "for addresses that nobody else has".to_owned()),
        ],
        help: Some("give the network a part of the prefix in which nobody else is".to_owned()),
    })
}

/// Returns a sentence for each network whose containers are not found as its author may expect.
pub(super) fn warnings(topology: &Topology, facts: &Facts) -> Vec<String> {
    let apart = topology.networks.iter().filter_map(|network| elsewhere(topology, network));
    topology.networks.iter().flat_map(|network| told(network, facts)).chain(apart).collect()
}

/// Says who is in another VLAN than the host, which does not answer for whom it does not reach.
fn elsewhere(topology: &Topology, network: &Network) -> Option<String> {
    if network.proxy == Proxy::Nobody {
        return None;
    }
    let is_apart = |at: &Attachment| at.network == network.name && at.apart == Apart::InVlan;
    let mut all = topology.containers.iter().flat_map(|it| it.attachments.iter().map(move |at| (it, at)));
    let (first, at) = all.find(|(_, at)| is_apart(at))?;
    let more = match all.filter(|(_, at)| is_apart(at)).count() {
        0 => String::new(),
        more => format!(", nor {more} more there"),
    };
    Some(format!(
        "{}: container {} is in another VLAN than the host on network {}: by `ndp_proxy`, neighbours do not find it{more}",
        at.origin, first.name, network.name
    ))
}

fn told(network: &Network, facts: &Facts) -> Vec<String> {
    let Network { name, origin, subnets, .. } = network;
    let link = match &network.proxy {
        Proxy::Nobody => return vec![],
        Proxy::Waits(Some(link)) => {
            return vec![format!(
                "{origin}: there is no link `{link}` of the host's own: neighbours find the containers of network {name} \
                 once there is"
            )];
        }
        Proxy::Mute(link) => {
            return vec![format!(
                "{origin}: there is no IPv6 on {link}: neighbours find the containers of network {name} once there is"
            )];
        }
        Proxy::Waits(None) => {
            return vec![format!(
                "{origin}: no link has a default route of IPv6: neighbours find the containers of network {name} once one has"
            )];
        }
        Proxy::By { link, heeds: _ } => link,
    };
    let fact = [&facts.parents, &facts.bridges, &facts.vswitches].into_iter().find_map(|it| it.get(link));
    let addresses = fact.map(|LinkFact { addresses, .. }| addresses.as_slice()).unwrap_or_default();
    let mut known = addresses.iter().filter(|net| net.addr().is_ipv6()).peekable();
    if known.peek().is_none() {
        return vec![];
    }
    let known: Vec<_> = known.collect();
    let mut six = subnets.iter().map(|subnet| subnet.cidr).filter(|cidr| cidr.addr().is_ipv6());
    let stray = six.find(|cidr| !known.iter().any(|net| net.contains(cidr)));
    let sentence = |cidr| {
        format!(
            "{origin}: {cidr} of network {name} is in no prefix of {link}: a neighbour asks for its addresses only if he has \
             a route that says that they are there"
        )
    };
    stray.into_iter().map(sentence).collect()
}
