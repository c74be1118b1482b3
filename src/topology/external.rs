//! External addresses: whether an address can lead to a container, and to which address of it.

mod own;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::facts::Facts;
use super::resolve::Asker;
use super::scene::{Member, Net, Scene};
use super::subnet::Ground;
use super::{Apart, Attachment, Container, Driver, Network, Topology, device, vlans};
use crate::manifest::problem::Problem;
use crate::manifest::{At, Ingress, OtherEnd, Place, Uplink};
use crate::names::{ContainerName, IfName};
use crate::resource::owner::Origin;
use crate::resource::sysctl::Family;

pub(super) use own::check;

/// An address of the outside all of which leads to a container, and that is the source of what the container sends out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Where the manifest declares it.
    pub origin: Origin,
    /// The address.
    pub address: IpAddr,
    /// The container's own, on the attachment that declares it.
    pub target: IpAddr,
    /// Who has it, so that neighbours find it.
    pub seat: Seat,
}

/// Who has an external address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seat {
    /// Others see to that: it is routed to the host, or somebody gave it one.
    Others,
    /// netform gives it to this link of the host.
    On(IfName),
    /// netform gives it to this link as soon as that is there; `None` is the one that will have the default route.
    Waits(Option<IfName>),
}

/// Gives the attachments their external addresses.
pub(super) fn assign(
    scene: &Scene<'_>,
    networks: &[Network],
    (grounds, containers): (&[Option<Vec<Ground<'_>>>], &mut [Container]),
    origin: Asker<'_>,
    problems: &mut Vec<Problem>,
) {
    if scene.members.iter().all(|member| member.spec.external.is_empty()) {
        return;
    }
    let held: BTreeMap<IpAddr, ContainerName> = containers.iter().flat_map(holds).collect();
    let mut taken = BTreeMap::new();
    for (party, container) in scene.containers.iter().zip(containers) {
        for (member, attachment) in scene.of(party).iter().zip(&mut container.attachments) {
            let network = networks.get(member.net);
            for at in &member.spec.external {
                let way = network.and_then(|network| closed(scene, member, (network, at)));
                let way = way.or_else(|| elsewhere(scene, member, (attachment, at)));
                let other = taken.insert(at.value, (member.container, at.place));
                let twice = other.map(|first| twice((member, at), first));
                let inside = inside(scene, grounds, &held, at).or_else(|| beside(scene, at));
                let target = target(attachment, at);
                problems.extend([way, twice, inside].into_iter().flatten());
                match target {
                    Some(target) => {
                        let (origin, address) = (origin(at.place), at.value);
                        let seat = seat(scene, address);
                        attachment.external.push(External { origin, address, target, seat });
                    }
                    None if scene
                        .net(member)
                        .is_some_and(|net| scene.is_unknown(net, Some(Family::of(at.value)))) => {}
                    None => problems.push(no_family(scene, member, at)),
                }
            }
        }
    }
}

fn holds(container: &Container) -> impl Iterator<Item = (IpAddr, ContainerName)> {
    let addresses = container.attachments.iter().flat_map(|attachment| &attachment.addresses);
    addresses.map(|net| (net.addr(), container.name.clone()))
}

/// Returns the container's address that an external one leads to.
fn target(attachment: &Attachment, at: &At<IpAddr>) -> Option<IpAddr> {
    let mut addresses = attachment.addresses.iter().map(ipnet::IpNet::addr);
    addresses.find(|addr| addr.is_ipv4() == at.value.is_ipv4())
}

/// Returns who has an external address. One that somebody has given the host already is his to keep.
fn seat(scene: &Scene<'_>, address: IpAddr) -> Seat {
    let facts = scene.facts;
    let stays = |link: &&IfName| !device::leaves(scene, link);
    match &scene.manifest.own_external {
        None => Seat::Others,
        Some(_) if facts.addresses.get(&address).filter(stays).is_some() => Seat::Others,
        Some(At { value: Uplink::Named(name), .. }) if facts.foreign_links.contains(name) => {
            Seat::On(name.clone())
        }
        Some(At { value: Uplink::Named(name), .. }) => Seat::Waits(Some(name.clone())),
        Some(At { value: Uplink::Default, .. }) => {
            let link = facts.uplinks.get(&Family::of(address)).filter(stays);
            link.cloned().map_or(Seat::Waits(None), Seat::On)
        }
    }
}

/// Says why nothing can be led to a container on this network.
fn closed(scene: &Scene<'_>, member: &Member<'_>, (network, at): (&Network, &At<IpAddr>)) -> Option<Problem> {
    let net = scene.net(member)?;
    let unseen = "its packets do not pass this host";
    let (why, place, label) = match network.driver {
        Driver::Macvlan(_) => (unseen, net.place, "a macvlan network".to_owned()),
        Driver::Ipvlan(..) => (unseen, net.place, "an ipvlan network".to_owned()),
        Driver::Physical => (unseen, net.place, "a physical network".to_owned()),
        Driver::Veth(OtherEnd::Container) => (unseen, net.place, "a pair between two containers".to_owned()),
        Driver::Bridge | Driver::Veth(OtherEnd::Host) | Driver::OpenVswitch(_) if network.internal => {
            ("nothing comes in there", net.place, "declared `internal`".to_owned())
        }
        Driver::Bridge | Driver::Veth(OtherEnd::Host) | Driver::OpenVswitch(_) => {
            match (network.ingress, &net.spec.ingress) {
                (Ingress::None, Some(ingress)) => {
                    ("nothing comes in there", ingress.place, "`ingress: none`".to_owned())
                }
                (Ingress::None | Ingress::Published | Ingress::Open, _) => return None,
            }
        }
    };
    Some(Problem {
        message: format!(
            "{} cannot lead to `{}` on network `{}`: {why}",
            at.value, member.container, net.name
        ),
        code: "topology::external_closed",
        labels: vec![(at.place, "an external address".to_owned()), (place, label)],
        help: Some(format!(
            "put `{}` on a network that leads out by this host, too, and write `external_address` there",
            member.container
        )),
    })
}

/// Says that nothing can be led to a container that is in another VLAN than the host.
fn elsewhere(
    scene: &Scene<'_>,
    member: &Member<'_>,
    (attachment, at): (&Attachment, &At<IpAddr>),
) -> Option<Problem> {
    let apart = vlans::apart(member).filter(|_| attachment.apart == Apart::InVlan)?;
    let name = scene.net(member).map_or("", |net| net.name.as_str());
    Some(Problem {
        message: format!(
            "{} cannot lead to `{}` on network `{name}`: it is in another VLAN than the host",
            at.value, member.container
        ),
        code: "topology::external_closed",
        labels: vec![(at.place, "an external address".to_owned()), apart],
        help: Some(format!("put `{}` on another network, too, and write it there", member.container)),
    })
}

fn twice((member, at): (&Member<'_>, &At<IpAddr>), (first, place): (&ContainerName, Place)) -> Problem {
    Problem {
        message: if first == member.container {
            format!("{} is an external address of `{first}` twice", at.value)
        } else {
            format!("{} is an external address of both `{first}` and `{}`", at.value, member.container)
        },
        code: "topology::external_taken",
        labels: vec![(at.place, "here again".to_owned()), (place, "first here".to_owned())],
        help: Some("all of an external address leads to one container: give one of them another".to_owned()),
    }
}

/// Says whose an address is that cannot be one of the outside: it is in a subnet of ours or of others.
fn inside(
    scene: &Scene<'_>,
    grounds: &[Option<Vec<Ground<'_>>>],
    held: &BTreeMap<IpAddr, ContainerName>,
    at: &At<IpAddr>,
) -> Option<Problem> {
    let address = at.value;
    let all = scene
        .nets
        .iter()
        .zip(grounds)
        .flat_map(|(net, grounds)| grounds.iter().flatten().map(move |ground| (net, ground)));
    let ours = all.filter(|(_, ground)| ground.cidr.contains(&address));
    // Behind an existing bridge, or a parent, are others of the outside.
    let is_taken = |net: &Net<'_>, ground: &Ground<'_>| {
        let is_whole = net.spec.external.is_none() && net.spec.driver.has_host();
        is_whole || ground.gateway == Some(address) || held.contains_key(&address)
    };
    let label = (at.place, "an external address".to_owned());
    let own = ours.into_iter().find(|(net, ground)| is_taken(net, ground)).map(|(net, ground)| {
        let what = match held.get(&address) {
            _ if ground.gateway == Some(address) => format!("the gateway of network `{}`", net.name),
            Some(container) => format!("an address of `{container}` on network `{}`", net.name),
            None => format!("in {}, a subnet of network `{}`", ground.cidr, net.name),
        };
        (what, vec![label.clone(), (ground.place, format!("{} here", ground.cidr))])
    });
    let theirs = || {
        let (cidr, owner) = scene.facts.subnets.iter().find(|(cidr, _)| cidr.contains(&address))?;
        Some((format!("in {cidr}, a subnet of {owner}"), vec![label.clone()]))
    };
    let router = || {
        let is_one = scene.facts.routers.contains(&address);
        is_one.then(|| ("the router that the host's default route leads by".to_owned(), vec![label.clone()]))
    };
    let nobodys = || Some((nobodys(scene.facts, address)?, vec![label.clone()]));
    let (what, labels) = own.or_else(theirs).or_else(router).or_else(nobodys)?;
    Some(Problem {
        message: format!("{address} cannot be an external address: it is {what}"),
        code: "topology::external_inside",
        labels,
        help: Some("use an address of the outside, which others reach by this host".to_owned()),
    })
}

/// Says that an address is one that nobody has in a subnet that the host is in: its own, or that of everybody there.
fn nobodys(facts: &Facts, address: IpAddr) -> Option<String> {
    let links = facts.parents.values().chain(facts.bridges.values());
    let mut nets =
        links.flat_map(|link| &link.addresses).filter(|net| net.prefix_len() < 31 && net.addr().is_ipv4());
    let net = nets.find(|net| address == net.network() || address == net.broadcast())?;
    let which = if address == net.network() { "the address of" } else { "the broadcast address of" };
    Some(format!("{which} {}, in which the host is", net.trunc()))
}

/// Says that an address is the host's own beside the containers of a network behind a link.
fn beside(scene: &Scene<'_>, at: &At<IpAddr>) -> Option<Problem> {
    let hosts = scene.nets.iter().flat_map(|net| net.spec.host.iter().map(move |host| (net, host)));
    let (net, host) = hosts.into_iter().find(|(_, host)| host.value == at.value)?;
    Some(Problem {
        message: format!(
            "{} cannot be an external address: the host has it on network `{}`",
            at.value, net.name
        ),
        code: "topology::external_inside",
        labels: vec![(at.place, "an external address".to_owned()), (host.place, "the host's".to_owned())],
        help: Some("give one of them another".to_owned()),
    })
}

fn no_family(scene: &Scene<'_>, member: &Member<'_>, at: &At<IpAddr>) -> Problem {
    let family = Family::of(at.value);
    let family = if family == Family::Ipv4 { "IPv4" } else { "IPv6" };
    let name = scene.net(member).map_or("", |net| net.name.as_str());
    let mut labels = vec![(at.place, format!("an {family} address"))];
    labels.extend(scene.net(member).map(|net| (net.place, format!("no {family} subnet here"))));
    Problem {
        message: format!(
            "{} cannot lead to `{}`: it has no {family} address on `{name}`",
            at.value, member.container
        ),
        code: "topology::external_family",
        labels,
        help: Some(format!("give network `{name}` a subnet of {family}, or leave the address out")),
    }
}

/// Returns a sentence for each external address that is more, or less, than its author may expect.
pub(super) fn warnings(topology: &Topology, facts: &Facts) -> Vec<String> {
    let mut warnings = vec![];
    for container in &topology.containers {
        for attachment in &container.attachments {
            for external in &attachment.external {
                let External { origin, address, target: _, seat } = external;
                let name = &container.name;
                let family = Family::of(*address);
                let leads_out = |other: &&Attachment| other.leads_out(family);
                match container.attachments.iter().find(leads_out) {
                    Some(other) if other.network != attachment.network => warnings.push(format!(
                        "{origin}: what container {name} sends out does not have {address} for its source, since it \
                         leaves by network {}: give {} the highest `gateway_priority`",
                        other.network, attachment.network
                    )),
                    Some(_) | None => {}
                }
                warnings.extend(own::warning(topology, facts, (name, external)));
                warnings.extend(waits(origin, *address, seat));
            }
        }
    }
    warnings
}

/// Says what an external address waits for.
fn waits(origin: &Origin, address: IpAddr, seat: &Seat) -> Option<String> {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    match seat {
        Seat::Others | Seat::On(_) => None,
        Seat::Waits(Some(link)) => Some(format!(
            "{origin}: there is no link `{link}` of the host's own: external address {address} waits for it"
        )),
        Seat::Waits(None) => Some(format!(
            "{origin}: no link has a default route of {family}: external address {address} waits for one that has"
        )),
    }
}
