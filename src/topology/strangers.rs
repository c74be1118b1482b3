//! Addresses on networks that others use as well: nobody is given one that somebody is known to have.
//!
//! The host knows whom it has spoken to lately, and nobody else: only a `pool` says which addresses are free.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use smol_str::SmolStr;

use super::facts::{Facts, Leases, Segment};
use super::interface::foreseen;
use super::resolve::Asker;
use super::scene::{Member, Net, Scene};
use crate::manifest::problem::Problem;
use crate::manifest::{self, At, Manifest};
use crate::names::{ContainerName, IfName, NetName, ProjectName};
use crate::resource::owner::Owner;

/// Returns the links of the host whose neighbours matter: of networks that others use, on which somebody needs an address
/// that nobody has chosen.
pub fn asked(manifest: &Manifest, facts: &Facts) -> BTreeSet<IfName> {
    let mut asked = BTreeSet::new();
    let shared: BTreeMap<&NetName, (&IfName, &manifest::Network)> = manifest
        .networks
        .iter()
        .filter_map(|(name, at)| Some((name, (link(&at.value)?, &at.value))))
        .filter(|(_, (_, spec))| {
            spec.subnets.is_empty() || spec.subnets.iter().any(|at| at.value.pool.is_none())
        })
        .collect();
    if shared.is_empty() {
        return asked;
    }
    for (container, at) in &manifest.containers {
        for (network, attachment) in at.value.networks.iter().flatten() {
            let Some((link, spec)) = shared.get(network) else { continue };
            let is_chosen = attachment.value.addresses.len() >= spec.subnets.len().max(1);
            if !is_chosen && !has(&facts.live, container, network) && !has(&facts.leases, container, network)
            {
                asked.insert((*link).clone());
            }
        }
    }
    asked
}

fn has(leases: &Leases, container: &ContainerName, network: &NetName) -> bool {
    let held = leases.addresses.get(container).and_then(|networks| networks.get(network));
    held.is_some_and(|held| !held.is_empty())
}

/// Returns the links of the host that networks share with others.
pub fn shared(manifest: &Manifest) -> BTreeSet<IfName> {
    manifest.networks.values().filter_map(|at| stands_on(&at.value)).cloned().collect()
}

/// Returns which project has which address on these links of the host.
pub fn taken(
    others: &[(ProjectName, Leases)],
    links: &BTreeSet<IfName>,
) -> BTreeMap<SmolStr, BTreeMap<IpAddr, ProjectName>> {
    let mut taken: BTreeMap<SmolStr, BTreeMap<IpAddr, ProjectName>> = BTreeMap::new();
    for (project, leases) in others {
        for (network, Segment { link, host, vlans }) in
            leases.segments.iter().filter(|it| links.contains(&it.1.link))
        {
            let mut add = |vlan, addresses: &[IpAddr]| {
                let segment = taken.entry(Segment::name(link, vlan)).or_default();
                segment.extend(addresses.iter().map(|addr| (*addr, project.clone())));
            };
            add(None, host);
            for (container, networks) in &leases.addresses {
                let held = networks.get(network);
                held.into_iter().for_each(|held| add(vlans.get(container).copied(), held));
            }
        }
    }
    taken
}

/// An address that an attachment had at an earlier apply, and that another project has by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenAway {
    /// Who had it.
    pub container: ContainerName,
    /// On which network.
    pub network: NetName,
    /// The address.
    pub addr: IpAddr,
    /// The link of the host by which both hear each other.
    pub link: IfName,
    /// Who has it now.
    pub project: ProjectName,
}

impl GivenAway {
    /// Returns the attachment that had it.
    pub fn owner(&self) -> Owner {
        Owner::Attachment { container: self.container.clone(), network: self.network.clone() }
    }

    /// Returns what comes of giving it back, as a sentence.
    pub fn warning(&self) -> String {
        let Self { container, network: _, addr, link, project } = self;
        format!(
            "`{container}` gets {addr} back, which project {project} has on {link} by now: what is sent there comes to one \
             of them, and which one is chance; apply a manifest instead, and another address is chosen"
        )
    }
}

/// Returns the addresses of an earlier apply that other projects have by now.
pub fn given_away(leases: &Leases, others: &[(ProjectName, Leases)]) -> Vec<GivenAway> {
    let links = leases.segments.values().map(|segment| segment.link.clone()).collect();
    let taken = taken(others, &links);
    let mut given_away = vec![];
    for (container, networks) in &leases.addresses {
        for (network, held) in networks {
            let Some(Segment { link, host: _, vlans }) = leases.segments.get(network) else { continue };
            let there = taken.get(&Segment::name(link, vlans.get(container).copied()));
            let both = held.iter().filter_map(|addr| Some((*addr, there?.get(addr)?.clone())));
            given_away.extend(both.map(|(addr, project)| GivenAway {
                container: container.clone(),
                network: network.clone(),
                addr,
                link: link.clone(),
                project,
            }));
        }
    }
    given_away
}

/// Which project has which address where an attachment is.
pub(super) type Beside<'f> = Option<&'f BTreeMap<IpAddr, ProjectName>>;

/// Returns which other project has which address where an attachment is.
pub(super) fn beside<'f>(scene: &Scene<'f>, net: &Net<'_>, member: &Member<'_>) -> Beside<'f> {
    let Scene { manifest, facts, .. } = scene;
    if facts.taken.is_empty() {
        return None;
    }
    let vlan = member.spec.port.as_ref().and_then(|port| port.value.vlan);
    facts.taken.get(&Segment::name(&*is_at(manifest, facts, net.name, net.spec)?, vlan))
}

/// Says that another project has an address that the manifest gives a container; where it is live, a [warning](warnings) does.
pub(super) fn refusal(
    scene: &Scene<'_>,
    net: &Net<'_>,
    member: &Member<'_>,
    at: &At<IpAddr>,
) -> Option<Problem> {
    let Scene { manifest, facts, .. } = scene;
    let project = beside(scene, net, member)?.get(&at.value)?;
    let live = facts.live.addresses.get(member.container).and_then(|networks| networks.get(net.name));
    let is_live = live.is_some_and(|live| live.contains(&at.value));
    let link = is_at(manifest, facts, net.name, net.spec)?;
    (!is_live).then(|| had(net, &link, (at, format!("`{}` is to have it", member.container)), project))
}

/// Says that another project has an address that the host is to have beside the containers of a network.
pub(super) fn refusal_of_host(facts: &Facts, net: &Net<'_>, at: &At<IpAddr>) -> Option<Problem> {
    let link = stands_on(net.spec)?;
    let project = facts.taken.get(&Segment::name(link, None))?.get(&at.value)?;
    let live = facts.live.subnets.get(net.name);
    let is_live = live.is_some_and(|live| live.iter().any(|it| it.addr() == at.value));
    (!is_live).then(|| had(net, link, (at, "the host is to have it".to_owned()), project))
}

fn had(net: &Net<'_>, link: &IfName, (at, wanted): (&At<IpAddr>, String), project: &ProjectName) -> Problem {
    let named =
        net.spec.external.as_ref().or_else(|| net.spec.driver.parent()).or(net.spec.interface.as_ref());
    let place = named.map_or(net.place, |at| at.place);
    Problem {
        message: format!("project {project} has address {} on {link}, too", at.value),
        code: "topology::address_taken",
        labels: vec![(at.place, wanted), (place, format!("project {project} is on {link}, too"))],
        help: Some(format!(
            "use an address that nobody has there, or leave it out, and one is chosen; `netform destroy --project {project}` \
             when that is no longer needed"
        )),
    }
}

/// Returns the links of the host that networks are or will be: other projects may be on them.
pub fn own(manifest: &Manifest, facts: &Facts) -> BTreeSet<IfName> {
    let own = manifest.networks.iter().filter(|(_, at)| stands_on(&at.value).is_none());
    own.filter_map(|(name, at)| is_at(manifest, facts, name, &at.value)).map(Cow::into_owned).collect()
}

/// Returns the link of the host that a network is or is on, or will be.
fn is_at<'a>(
    manifest: &Manifest,
    facts: &'a Facts,
    name: &NetName,
    spec: &'a manifest::Network,
) -> Option<Cow<'a, IfName>> {
    let before = || Some(&facts.leases.segments.get(name)?.link);
    let own = || spec.interface.as_ref().map(|at| &at.value).or(facts.interfaces.get(name)).or_else(before);
    let known = stands_on(spec).or_else(own).map(Cow::Borrowed);
    known.or_else(|| foreseen(manifest, facts, name, spec).map(Cow::Owned))
}

/// Returns the link of the host that a network is on beside others: their bridge, or its parent.
fn stands_on(spec: &manifest::Network) -> Option<&IfName> {
    spec.external.as_ref().or_else(|| spec.driver.parent()).map(|at| &at.value)
}

/// Returns the link of the host that a network shares with others: their bridge, or its parent. Behind one that routes, all
/// addresses are the containers'.
fn link(spec: &manifest::Network) -> Option<&IfName> {
    let parent = match &spec.driver {
        manifest::Driver::Ipvlan { parent: _, mode, flag: _ } if mode.is_routed() => None,
        driver @ (manifest::Driver::Bridge
        | manifest::Driver::Macvlan { .. }
        | manifest::Driver::Ipvlan { .. }
        | manifest::Driver::Veth(_)
        | manifest::Driver::OpenVswitch(_)
        | manifest::Driver::Physical) => driver.parent(),
    };
    spec.external.as_ref().or(parent).map(|at| &at.value)
}

/// Returns who is known to be in a subnet of a network besides its containers, where no pool says which addresses are free.
pub(super) fn known<'f>(
    facts: &'f Facts,
    spec: &manifest::Network,
    cidr: IpNet,
) -> Option<&'f BTreeSet<IpAddr>> {
    if has_pool(spec, cidr) {
        return None;
    }
    facts.neighbours.get(link(spec)?)
}

fn has_pool(spec: &manifest::Network, cidr: IpNet) -> bool {
    spec.subnets.iter().any(|at| at.value.cidr.trunc() == cidr && at.value.pool.is_some())
}

/// Returns a sentence for each network that others use, on which somebody is given an address that they may have.
pub(super) fn warnings(scene: &Scene<'_>, addresses: &[Vec<IpNet>], origin: Asker<'_>) -> Vec<String> {
    let facts = scene.facts;
    let shared = scene.nets.iter().filter(|net| link(net.spec).is_some());
    let told = shared.filter_map(|net| {
        let is_new = |member: &Member<'_>, address: &IpNet| {
            let is_chosen = member.spec.addresses.iter().any(|at| at.value == address.addr());
            let is_held = [&facts.live, &facts.leases]
                .iter()
                .filter_map(|leases| leases.addresses.get(member.container)?.get(net.name))
                .any(|held| held.contains(&address.addr()));
            !is_chosen && !is_held && !has_pool(net.spec, address.trunc())
        };
        let new: Vec<(&ContainerName, IpNet)> = scene
            .on(net)
            .filter_map(|(index, member)| Some((member, addresses.get(index)?)))
            .filter_map(|(member, all)| Some((member.container, *all.iter().find(|it| is_new(member, it))?)))
            .collect();
        let ((first, address), rest) = new.split_first()?;
        let more = if rest.is_empty() { String::new() } else { format!(", {} more others", rest.len()) };
        let (cidr, link) = (address.trunc(), link(net.spec)?);
        let half = cidr.subnets(cidr.prefix_len() + 1).ok().and_then(|mut halves| halves.nth(1)).unwrap_or(cidr);
        Some(format!(
            "{}: container {first} gets {}{more} on network {}, where others are, and no `pool` says which addresses are \
             free: one whom the host has not heard of lately on {link} may have it; write `subnets: [{{cidr: {cidr}, \
             pool: {half}}}]` with a range that is, or each container's `address`",
            origin(net.place),
            address.addr(),
            net.name,
        ))
    });
    if facts.is_assumed { vec![] } else { told.chain(twice(scene, addresses, origin)).collect() }
}

/// Returns a sentence for each container that has an address of another project's: what is live stays.
fn twice<'s>(
    scene: &'s Scene<'_>,
    addresses: &'s [Vec<IpNet>],
    origin: Asker<'s>,
) -> impl Iterator<Item = String> + 's {
    let members = scene.members.iter().zip(addresses).filter(|_| !scene.facts.taken.is_empty());
    members.flat_map(move |(member, addresses)| {
        let net = scene.net(member);
        let beside = net.and_then(|net| Some((net.name, beside(scene, net, member)?)));
        let found = addresses.iter().filter_map(move |address| {
            let (network, beside) = beside?;
            Some((network, address.addr(), beside.get(&address.addr())?))
        });
        found.map(move |(network, address, project)| {
            format!(
                "{}: container {} and project {project} have the same address {address} on network {network}: who asks for it \
                 finds either; give it another `address`",
                origin(member.place),
                member.container,
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_have_their_addresses_where_they_are_heard() {
        let link = |name: &str| IfName::try_from(name).unwrap();
        let net = |name: &str| NetName::try_from(name).unwrap();
        let container = |name: &str| ContainerName::try_from(name).unwrap();
        let segment = |name: &str, host: &[&str], vlans| Segment {
            link: link(name),
            host: host.iter().map(|it| it.parse().unwrap()).collect(),
            vlans,
        };
        let on = |networks: &[(&str, &str)]| {
            networks.iter().map(|(name, addr)| (net(name), vec![addr.parse().unwrap()])).collect()
        };
        let vlans = [(container("far"), 10.try_into().unwrap())].into();
        let leases = Leases {
            segments: [
                (net("lan"), segment("br-lan", &[], vlans)),
                (net("street"), segment("eth1", &["10.7.0.9"], [].into())),
                (net("own"), segment("br-own", &[], [].into())),
            ]
            .into(),
            addresses: [
                (container("near"), on(&[("lan", "10.6.0.5"), ("own", "10.5.0.2"), ("gone", "10.4.0.2")])),
                (container("far"), on(&[("lan", "10.6.0.5"), ("street", "10.7.0.5")])),
            ]
            .into(),
            ..Leases::default()
        };

        let taken =
            taken(&[(ProjectName::try_from("blog").unwrap(), leases)], &["br-lan", "eth1"].map(link).into());

        let told: Vec<_> = taken
            .iter()
            .flat_map(|(segment, held)| {
                held.iter().map(move |(addr, who)| format!("{segment}: {addr} {who}"))
            })
            .collect();
        assert_eq!(
            told,
            [
                "br-lan: 10.6.0.5 blog",
                "br-lan VLAN 10: 10.6.0.5 blog",
                "eth1: 10.7.0.5 blog",
                "eth1: 10.7.0.9 blog"
            ]
        );
    }
}
