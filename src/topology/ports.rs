//! Published ports: where they lead, and whether two of them want the same.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use smol_str::format_smolstr;

use super::resolve::Asker;
use super::scene::{Member, Party, Scene};
use super::{Apart, Attachment, Container, Driver, Network, Subnet};
use super::{modes, vlans};
use crate::manifest::problem::Problem;
use crate::manifest::{self, At, Ingress, OtherEnd, Place};
use crate::names::{ContainerName, NetName, Protocol};
use crate::resource::owner::{Origin, Owner};
use crate::resource::sysctl::Family;

/// A published port or range, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where the manifest declares it.
    pub origin: Origin,
    /// The host's address; `None` is any, of each family that there is a target of.
    pub host_address: Option<IpAddr>,
    /// The ports on the host.
    pub host_ports: RangeInclusive<u16>,
    /// The container's ports: as many.
    pub target_ports: RangeInclusive<u16>,
    /// The protocol.
    pub protocol: Protocol,
    /// Who may connect; empty means everyone.
    pub allow_from: Vec<IpNet>,
    /// The container's addresses that connections are led to, at most one per family: those of the attachment that has
    /// the default route of the family, else of the first attachment with an address of the family.
    pub targets: Vec<IpAddr>,
}

/// Gives the containers their published ports; returns a sentence for each that their networks keep shut.
pub(super) fn publish(
    scene: &Scene<'_>,
    networks: &[Network],
    containers: &mut [Container],
    origin: Asker<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let mut shut = vec![];
    let mut bound: BTreeMap<Protocol, Vec<Bound<'_>>> = BTreeMap::new();
    for (party, container) in scene.containers.iter().zip(containers) {
        let reachable = match reach(scene, party, networks, &container.attachments) {
            Reach::Through(attachments) => attachments,
            Reach::Closed => continue,
            Reach::Shut(network) => {
                let told = |at: &At<manifest::Publish>| {
                    format!(
                        "{}: `{}` publishes a port, and nothing comes in: network `{network}` says `ingress: none`",
                        origin(at.place),
                        party.name
                    )
                };
                shut.extend(party.spec.publish.iter().map(told));
                continue;
            }
            Reach::Nowhere(labels) => {
                problems.extend(party.spec.publish.iter().map(|at| unreachable(party, at.place, &labels)));
                continue;
            }
        };
        let mut publish = vec![];
        for At { value, place } in &party.spec.publish {
            let port = port(value, &reachable, origin(*place));
            if port.targets.is_empty() && !may_have_more(scene, party, (value.host_address, &reachable)) {
                problems.push(no_family(party, value, *place));
            }
            problems.extend(external_loopback(scene, party, networks, &port, *place));
            let families = port.targets.iter().map(|target| Family::of(*target));
            bound.entry(port.protocol).or_default().push(Bound {
                ports: port.host_ports.clone(),
                address: port.host_address,
                families: families.collect(),
                container: party.name,
                place: *place,
            });
            let there = reachable.iter().copied().filter(|attachment| !attachment.waits());
            let there: Vec<_> = there.collect();
            // Who is on a network that waits is not there to be led to.
            let targets = match there.len() == reachable.len() {
                true => port.targets,
                false => targets(value.host_address, &there),
            };
            publish.push(Publish { targets, ..port });
        }
        container.publish = publish;
    }
    for (protocol, bound) in bound {
        check_conflicts(protocol, bound, problems);
    }
    shut
}

impl Publish {
    /// Returns what it is called as a resource: where it has a target of IPv4, and where it has none.
    pub fn owners(&self) -> [Owner; 2] {
        let hosts = match self.host_address {
            None => ["0.0.0.0".to_owned(), "[::]".to_owned()],
            Some(IpAddr::V4(host)) => [host.to_string(), host.to_string()],
            Some(IpAddr::V6(host)) => [format!("[{host}]"), format!("[{host}]")],
        };
        let (first, last) = (self.host_ports.start(), self.host_ports.end());
        let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
        hosts.map(|host| Owner::Port(format_smolstr!("{host}:{ports}/{}", self.protocol)))
    }
}

/// How a container can be reached from outside.
enum Reach<'t> {
    /// Through these attachments.
    Through(Vec<&'t Attachment>),
    /// Not by itself: it has the namespace of another one.
    Closed,
    /// Not at all, and this network says so: `ingress: none`.
    Shut(&'t NetName),
    /// Not at all, and published ports are a mistake; the places that make it so.
    Nowhere(Vec<(Place, String)>),
}

fn reach<'t>(
    scene: &Scene<'_>,
    party: &Party<'_>,
    networks: &[Network],
    attachments: &'t [Attachment],
) -> Reach<'t> {
    let members = scene.of(party);
    let Some(first) = members.first() else {
        if !modes::is_alone(party) {
            // That it publishes is a problem of its own.
            return Reach::Closed;
        }
        let place = party.spec.mode.as_ref().map_or(party.place, |mode| mode.place);
        return Reach::Nowhere(vec![(place, "on no network".to_owned())]);
    };
    let mut through = vec![];
    let mut shut = None;
    for (member, attachment) in members.iter().zip(attachments) {
        let leads_out = |network: &&Network| !network.internal && network.driver.has_host();
        let is_met = attachment.apart != Apart::InVlan;
        let Some(network) = networks.get(member.net).filter(leads_out).filter(|_| is_met) else { continue };
        match network.ingress {
            Ingress::Published | Ingress::Open => through.push(attachment),
            Ingress::None => shut = shut.or(Some(&attachment.network)),
        }
    }
    if !through.is_empty() {
        Reach::Through(through)
    } else if let Some(network) = shut {
        Reach::Shut(network)
    } else {
        let is_apart = attachments.first().is_some_and(|it| it.apart == Apart::InVlan);
        if let Some(apart) = vlans::apart(first).filter(|_| is_apart) {
            return Reach::Nowhere(vec![apart]);
        }
        let name = scene.net(first).map_or("", |net| net.name.as_str());
        let (what, why) = match networks.get(first.net).map(|network| network.driver) {
            Some(Driver::Macvlan(_) | Driver::Ipvlan(..) | Driver::Physical) => {
                ("without the host", "its containers are reached directly")
            }
            Some(Driver::Veth(OtherEnd::Container)) => {
                ("without the host", "it joins two containers, and nobody else")
            }
            Some(Driver::Bridge | Driver::Veth(OtherEnd::Host) | Driver::OpenVswitch(_)) | None => {
                ("internal", "declared `internal`")
            }
        };
        let mut labels = vec![(first.place, format!("on `{name}`, which is {what}"))];
        labels.extend(scene.net(first).map(|net| (net.place, why.to_owned())));
        Reach::Nowhere(labels)
    }
}

/// Tells whether a container may have further addresses that it can be reached by, of the family of the host's if any.
fn may_have_more(
    scene: &Scene<'_>,
    party: &Party<'_>,
    (host, reachable): (Option<IpAddr>, &[&Attachment]),
) -> bool {
    let nets = scene.of(party).iter().filter_map(|member| scene.net(member));
    let mut unknown = nets.filter(|net| scene.is_unknown(net, host.map(Family::of)));
    unknown.any(|net| reachable.iter().any(|attachment| attachment.network == *net.name))
}

fn unreachable(party: &Party<'_>, place: Place, why: &[(Place, String)]) -> Problem {
    let mut labels = vec![(place, "published here".to_owned())];
    labels.extend(why.iter().cloned());
    Problem {
        message: format!("`{}` publishes a port, but is on no network that leads out", party.name),
        code: "topology::publish_unreachable",
        labels,
        help: Some(format!(
            "put `{}` on a bridge network that is not internal, or publish nothing",
            party.name
        )),
    }
}

fn no_family(party: &Party<'_>, port: &manifest::Publish, place: Place) -> Problem {
    let family = match port.host_address {
        Some(IpAddr::V4(_)) => "IPv4",
        Some(IpAddr::V6(_)) => "IPv6",
        None => "IP",
    };
    let mut labels = vec![(place, format!("an {family} address of the host"))];
    labels.push((party.place, format!("no {family} address here that can be reached from outside")));
    Problem {
        message: format!("`{}` publishes a port over {family}, and has no {family} address", party.name),
        code: "topology::publish_family",
        labels,
        help: Some(format!(
            "publish on an address of the other family, or give the network a subnet of {family}"
        )),
    }
}

/// A port of 127.0.0.1 leads out of loopback by `route_localnet` on the bridge, and somebody else's bridge is not changed.
fn external_loopback(
    scene: &Scene<'_>,
    party: &Party<'_>,
    networks: &[Network],
    port: &Publish,
    place: Place,
) -> Option<Problem> {
    port.host_address.filter(IpAddr::is_loopback)?;
    let mut on = scene.of(party).iter().filter_map(|member| networks.get(member.net));
    let is_all = on.all(|network| network.external);
    let led = |member: &&Member<'_>| {
        let network = networks.get(member.net);
        network.is_some_and(|network| {
            let leads = |subnet: &Subnet| port.targets.iter().any(|to| subnet.cidr.contains(to));
            network.external && (is_all || network.subnets.iter().any(leads))
        })
    };
    let net = scene.net(scene.of(party).iter().find(led)?)?;
    let bridge = net.spec.external.as_ref()?;
    Some(Problem {
        message: format!(
            "`{}` publishes a port on 127.0.0.1, which cannot lead to somebody else's bridge",
            party.name
        ),
        code: "topology::external_loopback",
        labels: vec![
            (place, "the loopback address".to_owned()),
            (bridge.place, format!("network `{}` is on somebody else's bridge", net.name)),
        ],
        help: Some(
            "publish on another address of the host, or put the container on a network of netform's, too"
                .to_owned(),
        ),
    })
}

fn port(spec: &manifest::Publish, reachable: &[&Attachment], origin: Origin) -> Publish {
    let manifest::Publish { host_address, host_ports, target_ports, protocol, allow_from } = spec;
    Publish {
        origin,
        // `0.0.0.0` and `::` are any address of their family, which the targets limit it to.
        host_address: host_address.filter(|addr| !addr.is_unspecified()),
        host_ports: host_ports.clone(),
        target_ports: target_ports.clone(),
        protocol: *protocol,
        allow_from: allow_from.iter().map(|at| at.value).collect(),
        targets: targets(*host_address, reachable),
    }
}

/// Returns the addresses that connections to an address of the host are led to.
fn targets(host: Option<IpAddr>, reachable: &[&Attachment]) -> Vec<IpAddr> {
    let families = match host {
        None => vec![Family::Ipv4, Family::Ipv6],
        Some(addr) => vec![Family::of(addr)],
    };
    families.into_iter().filter_map(|family| target(reachable, family)).collect()
}

/// Returns the address that connections are led to: answers leave by the default route, so the attachment that has it
/// comes first.
fn target(reachable: &[&Attachment], family: Family) -> Option<IpAddr> {
    let is_default = |attachment: &&&Attachment| attachment.leads_out(family);
    let address = |attachment: &&Attachment| {
        attachment.addresses.iter().map(ipnet::IpNet::addr).find(|addr| Family::of(*addr) == family)
    };
    let default = reachable.iter().find(is_default).and_then(address);
    default.or_else(|| reachable.iter().find_map(address))
}

/// Ports of the host that are spoken for.
struct Bound<'a> {
    ports: RangeInclusive<u16>,
    /// `None` is any.
    address: Option<IpAddr>,
    families: Vec<Family>,
    container: &'a ContainerName,
    place: Place,
}

impl Bound<'_> {
    fn meets(&self, other: &Self) -> bool {
        let address = match (self.address, other.address) {
            (Some(one), Some(two)) => one == two,
            (None, _) | (_, None) => true,
        };
        address && self.families.iter().any(|family| other.families.contains(family))
    }
}

fn check_conflicts(protocol: Protocol, mut bound: Vec<Bound<'_>>, problems: &mut Vec<Problem>) {
    // By first port, so that only those whose range has not ended yet can be in the way of the next.
    bound.sort_by_key(|bound| (*bound.ports.start(), bound.place));
    let mut open: Vec<&Bound<'_>> = vec![];
    for next in &bound {
        open.retain(|other| other.ports.end() >= next.ports.start());
        if let Some(other) = open.iter().find(|other| other.meets(next)) {
            let (first, second) = if other.place < next.place { (*other, next) } else { (next, *other) };
            let port = next.ports.start();
            let message = if first.container == second.container {
                format!("`{}` publishes port {port}/{protocol} of the host twice", first.container)
            } else {
                let (one, two) = (first.container, second.container);
                format!("`{one}` and `{two}` publish the same port {port}/{protocol} of the host")
            };
            problems.push(Problem {
                message,
                code: "topology::port_taken",
                labels: vec![
                    (second.place, format!("`{}` publishes it again", second.container)),
                    (first.place, format!("`{}` publishes it", first.container)),
                ],
                help: Some(
                    "publish one of them on another port, or on another address of the host".to_owned(),
                ),
            });
        }
        open.push(next);
    }
}
