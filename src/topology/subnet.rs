//! Subnets: those that are given, judged; and those that the pools give.

use std::net::IpAddr;

use ipnet::IpNet;

use super::facts::{Facts, Leases, LinkFact, Silent};
use super::parent::parent;
use super::prefix::{PrefixMap, address, family, first_host, number, usable};
use super::scene::{Net, Scene};
use super::{Network, Topology, existing, pool, vswitch, within};
use crate::manifest::problem::Problem;
use crate::manifest::{self, At, Driver, OtherEnd, Place};
use crate::names::IfName;

/// A subnet of a network, with what addresses need to know of it.
#[derive(Debug, Clone)]
pub(super) struct Ground<'a> {
    pub(super) cidr: IpNet,
    /// `None` where nobody is named and the host itself is not there.
    pub(super) gateway: Option<IpAddr>,
    /// Whether two containers are all that is on it, so that the gateway is one of them.
    pub(super) is_pair: bool,
    /// Where dynamic addresses come from.
    pub(super) pool: IpNet,
    pub(super) reserve: &'a [(String, At<IpAddr>)],
    /// The addresses that the host has in it: on an existing bridge, or behind the parent.
    pub(super) held: Vec<IpAddr>,
    /// Where it is given; the network's place when it is not.
    pub(super) place: Place,
}

/// Returns the subnets of each network; `None` for a network that a problem leaves without.
pub(super) fn assign<'a>(scene: &Scene<'a>, problems: &mut Vec<Problem>) -> Vec<Option<Vec<Ground<'a>>>> {
    let mut grounds: Vec<_> = scene.nets.iter().map(|net| given(scene, net, problems)).collect();
    let claims = check_overlaps(scene, &grounds, problems);
    let mut others = PrefixMap::new();
    for (cidr, owner) in &scene.facts.subnets {
        others.insert(*cidr, owner.as_str());
    }
    for (net, grounds) in scene.nets.iter().zip(&grounds) {
        let own = net.spec.external.is_none() && net.spec.driver.has_host();
        for ground in grounds.iter().flatten().filter(|_| own) {
            problems.extend(foreign_claim(scene.facts, &others, net, ground));
        }
    }
    pool::fill(scene, claims, &mut grounds, problems);
    grounds
}

/// Returns the subnets that the manifest or an existing bridge gives; none when the pools have to.
fn given<'a>(scene: &Scene<'a>, net: &Net<'a>, problems: &mut Vec<Problem>) -> Option<Vec<Ground<'a>>> {
    let bridge = match &net.spec.external {
        None => None,
        Some(at) => match vswitch::external(scene, net) {
            Some(bridge) => Some((bridge, at)),
            None => {
                problems.extend(existing::mistaken(scene, net, at));
                // The bridge says which gateway there is, and whether the host is it.
                let given = net.spec.subnets.iter().filter_map(|at| ground(at, None, false, problems));
                return Some(given.collect());
            }
        },
    };
    match bridge {
        Some((bridge, at)) => {
            let given = net.spec.subnets.iter().filter_map(|at| ground(at, Some(bridge), true, problems));
            let grounds = match net.spec.subnets.is_empty() {
                true => subnets_of(bridge, at.place),
                false => given.collect(),
            };
            Some(grounds.into_iter().map(|ground| with_hosts(scene.facts, ground)).collect())
        }
        None => {
            let parent = match parent(scene, net) {
                Ok(parent) => parent,
                Err(problem) => {
                    problems.push(problem);
                    return None;
                }
            };
            let hosted = net.spec.driver.has_host();
            let link = parent.as_ref().map(|parent| &*parent.link);
            let is_pair = net.spec.driver == Driver::Veth(OtherEnd::Container);
            let grounds = net.spec.subnets.iter().filter_map(|at| ground(at, link, hosted, problems));
            let grounds = grounds.map(|ground| Ground { is_pair, ..ground });
            let shared = |ground| if link.is_some() { with_hosts(scene.facts, ground) } else { ground };
            Some(grounds.map(shared).collect())
        }
    }
}

/// Adds the addresses that the host has in a subnet by others of its links: who is behind one must not have them either.
fn with_hosts<'a>(facts: &Facts, mut ground: Ground<'a>) -> Ground<'a> {
    let inside = facts.addresses.keys().filter(|addr| ground.cidr.contains(*addr));
    let inside: Vec<_> = inside.copied().filter(|addr| !ground.held.contains(addr)).collect();
    ground.held.extend(inside);
    ground
}

fn subnets_of<'a>(bridge: &LinkFact, place: Place) -> Vec<Ground<'a>> {
    let mut grounds: Vec<Ground<'a>> = vec![];
    for address in &bridge.addresses {
        if !existing::tells_a_subnet(address) {
            continue;
        }
        let cidr = address.trunc();
        match grounds.iter_mut().find(|ground| ground.cidr == cidr) {
            Some(ground) => ground.held.push(address.addr()),
            None => grounds.push(Ground {
                cidr,
                gateway: Some(address.addr()),
                is_pair: false,
                pool: cidr,
                reserve: &[],
                held: vec![address.addr()],
                place,
            }),
        }
    }
    grounds
}

/// Returns a given subnet when it can have a gateway and a container. On a network without the host (`hosted`), the
/// addresses of the link are others' and no gateway.
fn ground<'a>(
    at: &'a At<manifest::Subnet>,
    link: Option<&LinkFact>,
    hosted: bool,
    problems: &mut Vec<Problem>,
) -> Option<Ground<'a>> {
    let manifest::Subnet { cidr, gateway, pool, reserve } = &at.value;
    let cidr = cidr.trunc();
    if cidr.prefix_len() == cidr.max_prefix_len() {
        problems.push(Problem {
            message: format!("subnet {cidr} has no room for a gateway and a container"),
            code: "topology::subnet_too_small",
            labels: vec![(at.place, "one address only".to_owned())],
            help: Some("give it a shorter prefix".to_owned()),
        });
        return None;
    }
    let (first, last) = usable(cidr);
    let fits = |addr: IpAddr| cidr.contains(&addr) && (first..=last).contains(&number(addr));
    let outside = |what: &str, value: String, place: Place, code| Problem {
        message: format!("{what} {value} cannot be in subnet {cidr}"),
        code,
        labels: vec![
            (place, format!("not an address for a host of {cidr}")),
            (at.place, "the subnet".to_owned()),
        ],
        help: Some(format!("use {} to {}", address(family(cidr), first), address(family(cidr), last))),
    };
    if let Some(at) = gateway.as_ref().filter(|at| !fits(at.value)) {
        problems.push(outside("gateway", at.value.to_string(), at.place, "topology::gateway_outside"));
    }
    if let Some(at) = pool.as_ref().filter(|at| !cidr.contains(&at.value)) {
        problems.push(outside("pool", at.value.to_string(), at.place, "topology::pool_outside"));
    }
    for (name, at) in reserve.iter().filter(|(_, at)| !cidr.contains(&at.value)) {
        let what = format!("reserved address `{name}`");
        problems.push(outside(&what, at.value.to_string(), at.place, "topology::reserve_outside"));
    }
    let held: Vec<_> = link.iter().flat_map(|link| &link.addresses).map(IpNet::addr).collect();
    let held: Vec<_> = held.into_iter().filter(|addr| cidr.contains(addr)).collect();
    let gateway = gateway.as_ref().map(|at| at.value).or(held.first().copied().filter(|_| hosted));
    Some(Ground {
        cidr,
        gateway: gateway.or_else(|| hosted.then(|| first_host(cidr))),
        is_pair: false,
        pool: pool.as_ref().map_or(cidr, |at| at.value).trunc(),
        reserve,
        held,
        place: at.place,
    })
}

/// A subnet that the manifest claims, by index into the networks.
struct Claim {
    net: usize,
    place: Place,
}

/// Returns what the manifest claims; what is claimed twice becomes a problem.
fn check_overlaps(
    scene: &Scene<'_>,
    grounds: &[Option<Vec<Ground<'_>>>],
    problems: &mut Vec<Problem>,
) -> PrefixMap<()> {
    let mut claims: PrefixMap<Claim> = PrefixMap::new();
    let mut all = PrefixMap::new();
    for (net, grounds) in grounds.iter().enumerate() {
        for ground in grounds.iter().flatten() {
            if let Some((other, claim)) = claims.overlap(ground.cidr) {
                let name = |net: usize| scene.nets.get(net).map_or("", |net| net.name.as_str());
                let (mine, theirs) = (name(net), name(claim.net));
                let message = if net == claim.net {
                    format!("subnets {} and {other} of network `{mine}` overlap", ground.cidr)
                } else {
                    format!("subnets {} of `{mine}` and {other} of `{theirs}` overlap", ground.cidr)
                };
                problems.push(Problem {
                    message,
                    code: "topology::subnet_overlap",
                    labels: vec![
                        (ground.place, format!("{} here", ground.cidr)),
                        (claim.place, format!("{other} here")),
                    ],
                    help: Some(format!("give `{mine}` a subnet that overlaps no other")),
                });
            }
            claims.insert(ground.cidr, Claim { net, place: ground.place });
            all.insert(ground.cidr, ());
        }
    }
    all
}

/// Returns the first route of others into a subnet.
fn routed(facts: &Facts, cidr: IpNet) -> Option<&IpNet> {
    facts.routes.range(cidr..).next().filter(|route| cidr.contains(*route))
}

/// Returns the first network in a subnet that a link of others is on which is down, so that no route leads there yet.
fn resting(facts: &Facts, cidr: IpNet) -> Option<(&IpNet, &IfName)> {
    let inside = facts.connected.range(cidr..).take_while(|(theirs, _)| cidr.contains(*theirs));
    inside.into_iter().find(|(_, link)| facts.silent.get(*link) == Some(&Silent::Down))
}

/// Returns a sentence for each subnet of ours into which others have laid a route since it is there.
pub(super) fn warnings(topology: &Topology, facts: &Facts) -> Vec<String> {
    let ours = topology.networks.iter().filter(|network| !network.external && network.driver.has_host());
    let subnets = ours.flat_map(|network| network.subnets.iter().map(move |subnet| (network, subnet.cidr)));
    let sentence = |(Network { name, origin, .. }, cidr): (&Network, IpNet)| {
        let Some(route) = routed(facts, cidr) else {
            let (theirs, link) = resting(facts, cidr)?;
            return Some(format!(
                "{origin}: link {link} of the host, which is down, has an address in {theirs}, which is in subnet {cidr} of \
                 network {name}: when it comes up, what the host sends there may not reach a container"
            ));
        };
        if let Some(link) = facts.returning.get(route) {
            return Some(format!(
                "{origin}: link {link} comes back to the host and leads to {route}, which is in subnet {cidr} of network \
                 {name}: what the host sends there may not reach a container"
            ));
        }
        Some(format!(
            "{origin}: the host has a route of somebody else to {route}, which is in subnet {cidr} of network {name}: what \
             it sends there may not reach a container; see `ip route show table all root {route}`"
        ))
    };
    subnets.filter_map(sentence).chain(within::warnings(&topology.networks, facts)).collect()
}

/// Tells whether a network has a given subnet already, or had it when the host restarted.
///
/// What is live stays, whatever routes came up since: somebody's route to one address must not keep all else from being looked
/// after. After a restart nothing is live, and the apply at boot shall bring back what was there; but for a subnet that as a
/// whole is routed elsewhere by now, where none of its packets would get through.
fn stays(facts: &Facts, net: &Net<'_>, cidr: IpNet) -> bool {
    let has = |leases: &Leases| leases.subnets.get(net.name).is_some_and(|subnets| subnets.contains(&cidr));
    has(&facts.live) || facts.is_in_force && has(&facts.leases) && !facts.routes.contains(&cidr)
}

/// Tells who else has a given subnet.
///
/// A route that contains the subnet, such as that of a company's 10.0.0.0/8, is no obstacle, unless a link of the host is on
/// that network: the subnet is the more specific, and was given on purpose. One that is as specific or more would draw packets
/// away from the bridge.
fn foreign_claim(
    facts: &Facts,
    others: &PrefixMap<&str>,
    net: &Net<'_>,
    ground: &Ground<'_>,
) -> Option<Problem> {
    let cidr = ground.cidr;
    if let Some((other, owner)) = others.overlap(cidr) {
        return Some(Problem {
            message: format!("subnet {cidr} overlaps {other}, which belongs to {owner}"),
            code: "topology::subnet_taken",
            labels: vec![(ground.place, format!("{other} is taken by {owner}"))],
            help: Some(format!("give `{}` another subnet, or none, and the pools give one", net.name)),
        });
    }
    if stays(facts, net, cidr) {
        return None;
    }
    let Some(route) = routed(facts, cidr) else { return within::problem(facts, net, ground) };
    if let Some(link) = facts.returning.get(route) {
        return Some(returning(net, ground, (link, route)));
    }
    let has_it = |bridge: &LinkFact| bridge.addresses.iter().any(|address| address.trunc() == *route);
    let bridge = facts.bridges.iter().find(|(_, bridge)| has_it(bridge)).map(|(name, _)| name);
    let name = net.name;
    Some(Problem {
        message: format!("the host already routes {route} elsewhere, which is in subnet {cidr}"),
        code: "topology::subnet_routed",
        labels: vec![(ground.place, format!("the host has a route to {route}"))],
        help: Some(match bridge {
            Some(bridge) => format!(
                "adopt its bridge with `netform import network.{name} {bridge}`, attach to it as it is with `external: \
                 {bridge}`, or give `{name}` another subnet"
            ),
            None => format!(
                "see `ip route show table all root {route}`; give `{name}` another subnet, or remove the route"
            ),
        }),
    })
}

/// Says that a link that a container had for itself leads into a subnet once it is back.
fn returning(net: &Net<'_>, ground: &Ground<'_>, (link, route): (&IfName, &IpNet)) -> Problem {
    let (cidr, name) = (ground.cidr, net.name);
    Problem {
        message: format!(
            "link {link} comes back to the host and leads to {route}, which is in subnet {cidr}"
        ),
        code: "topology::subnet_routed",
        labels: vec![(ground.place, format!("{link} leads to {route}"))],
        help: Some(format!(
            "give `{name}` another subnet, or leave `{link}` to a container (`device: {link}`)"
        )),
    }
}
