//! The pools that networks without subnets take theirs from.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::facts::Facts;
use super::prefix::{PrefixMap, address, family, first_host, number};
use super::scene::{Net, Scene};
use super::subnet::Ground;
use crate::manifest::problem::Problem;
use crate::manifest::{At, Driver, Families, Place};
use crate::resource::sysctl::Family;

/// What stands in the way of a subnet from a pool.
struct Taken {
    /// Subnets of this manifest, given or taken from a pool already, and those of others.
    subnets: PrefixMap<()>,
    /// Where the host's packets go already.
    routes: PrefixMap<()>,
    /// Subnets of networks that this apply removes: only taken when nothing else is free, since they are there still.
    leaving: PrefixMap<()>,
}

impl Taken {
    fn blocker(&self, cidr: IpNet) -> Option<IpNet> {
        let maps = [&self.subnets, &self.routes, &self.leaving];
        maps.into_iter().find_map(|map| map.overlap(cidr)).map(|(blocker, ())| blocker)
    }
}

/// What a network wants of the pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// A subnet, whichever comes first.
    Any,
    /// One of this family, which the manifest asks for.
    One(Family),
}

/// Returns what a network wants of the pools. Networks on existing bridges may do without.
fn wants(net: &Net<'_>) -> Vec<Want> {
    let Families { ipv4, ipv6 } = &net.spec.families;
    let asked = |flag: &Option<At<bool>>| flag.as_ref().map(|at| at.value);
    let has = |family| net.spec.subnets.iter().any(|at| Family::of(at.value.cidr.addr()) == family);
    match (asked(ipv4), asked(ipv6), net.spec.subnets.is_empty()) {
        _ if net.spec.external.is_some() || net.spec.driver == Driver::Physical => vec![],
        (None, None, true) => vec![Want::Any],
        (ipv4, ipv6, is_empty) => {
            let ipv4 = ipv4.unwrap_or(is_empty);
            let both = [(ipv4, Family::Ipv4), (ipv6 == Some(true), Family::Ipv6)].into_iter();
            both.filter(|(asked, family)| *asked && !has(*family))
                .map(|(_, family)| Want::One(family))
                .collect()
        }
    }
}

/// A pool, and how far it is used up.
struct Source {
    cidr: IpNet,
    size: u8,
    place: Option<Place>,
    /// Whether it gives nothing to whoever does not ask for its family: it is the host's own range.
    only_asked: bool,
    /// Everything before it is taken; `None` when there is nothing behind it.
    next: Option<u128>,
}

impl Source {
    fn new(cidr: IpNet, size: u8, place: Option<Place>) -> Self {
        Self { cidr, size, place, only_asked: false, next: Some(number(cidr.network())) }
    }

    fn gives(&self, want: Want) -> bool {
        match want {
            Want::Any => !self.only_asked,
            Want::One(family) => Family::of(self.cidr.addr()) == family,
        }
    }

    /// Tells whether a subnet that is held may be kept. A host may come to have another range of its own, and the subnets of
    /// the former stay.
    fn keeps(&self, cidr: IpNet) -> bool {
        let own = self.only_asked && cidr.prefix_len() == self.size && is_private(cidr.addr());
        own || self.cidr.contains(&cidr)
    }

    /// Returns the first subnet that is free, and does not look at what is before it again.
    fn take(&mut self, taken: &Taken) -> Option<IpNet> {
        // A subnet of one address has no room for a gateway and a container.
        let host_bits = u32::from(self.cidr.max_prefix_len().checked_sub(self.size)?);
        let host_bits = Some(host_bits).filter(|bits| *bits > 0)?;
        let step = 1_u128.checked_shl(host_bits)?;
        let last = number(self.cidr.broadcast());
        loop {
            let start = self.next.filter(|start| *start <= last)?;
            let candidate = IpNet::new(address(family(self.cidr), start), self.size).ok()?;
            // A pool that is smaller than the size has no subnet of it.
            if !self.cidr.contains(&candidate) {
                return None;
            }
            let Some(blocker) = taken.blocker(candidate) else {
                self.next = start.checked_add(step);
                return Some(candidate);
            };
            // A blocker may be far wider than the candidate, so all of it is left behind in one step.
            let end = number(blocker.broadcast()).max(number(candidate.broadcast()));
            self.next = (end / step).checked_add(1).and_then(|units| units.checked_mul(step));
        }
    }
}

/// Gives a subnet to each network that wants one: the one it holds, or held, or else the first that is free.
///
/// `subnets` are those that the manifest gives.
pub(super) fn fill<'a>(
    scene: &Scene<'a>,
    subnets: PrefixMap<()>,
    grounds: &mut [Option<Vec<Ground<'a>>>],
    problems: &mut Vec<Problem>,
) {
    let mut sources = sources(scene);
    let mut taken = obstacles(scene, subnets);
    let nets = scene.nets.iter().enumerate();
    let mut orders: Vec<Order<'_, 'a>> = nets
        .flat_map(|(at, net)| wants(net).into_iter().map(move |want| Order { at, net, want, chosen: None }))
        .collect();

    // What is live stays, whatever routes came up since: to move it would cut connections. What is only remembered has
    // to be as free as a new one.
    for routes_matter in [Routes::Ignored, Routes::Avoided] {
        let leases = match routes_matter {
            Routes::Ignored => &scene.facts.live,
            Routes::Avoided => &scene.facts.leases,
        };
        for Order { at: _, net, want, chosen } in orders.iter_mut().filter(|order| order.chosen.is_none()) {
            let held = leases.subnets.get(net.name).into_iter().flatten().map(IpNet::trunc);
            let free = |cidr: &IpNet| {
                sources.iter().any(|source| source.gives(*want) && source.keeps(*cidr))
                    && cidr.prefix_len() < cidr.max_prefix_len()
                    && taken.subnets.overlap(*cidr).is_none()
                    && match routes_matter {
                        Routes::Ignored => true,
                        Routes::Avoided => taken.routes.overlap(*cidr).is_none(),
                    }
            };
            *chosen = held.into_iter().find(free);
            if let Some(cidr) = *chosen {
                taken.subnets.insert(cidr, ());
            }
        }
    }
    for Order { at, net, want, chosen } in orders {
        let mut giving = sources.iter_mut().filter(|source| source.gives(want));
        let cidr = chosen.or_else(|| giving.find_map(|source| source.take(&taken)));
        let cidr = cidr.or_else(|| take_leaving(&sources, want, &taken));
        let Some(grounds) = grounds.get_mut(at) else { continue };
        match cidr {
            Some(cidr) => {
                taken.subnets.insert(cidr, ());
                grounds.iter_mut().for_each(|grounds| grounds.push(ground(cidr, net)));
            }
            None => {
                *grounds = None;
                problems.push(exhausted(net, want, &sources));
            }
        }
    }
}

/// A subnet that a network wants, and the one that it gets.
struct Order<'s, 'a> {
    /// The place of the network.
    at: usize,
    net: &'s Net<'a>,
    want: Want,
    chosen: Option<IpNet>,
}

fn ground<'a>(cidr: IpNet, net: &Net<'_>) -> Ground<'a> {
    let has_host = net.spec.driver.has_host();
    let gateway = has_host.then(|| first_host(cidr));
    Ground { cidr, gateway, is_pair: !has_host, pool: cidr, reserve: &[], held: vec![], place: net.place }
}

/// Whether a subnet has to keep clear of the host's routes.
enum Routes {
    Ignored,
    Avoided,
}

/// Returns the pools: those of the manifest, or else Docker's, so that nobody is surprised. IPv6 subnets come from the host's
/// own range when no pool has any, as Docker's do.
fn sources(scene: &Scene<'_>) -> Vec<Source> {
    let mut sources: Vec<_> = if scene.manifest.pools.is_empty() {
        let docker =
            (17..=31).map(|second| ([172, second, 0, 0], 16, 16)).chain([([192, 168, 0, 0], 16, 20)]);
        docker
            .filter_map(|(first, length, size)| {
                let cidr = Ipv4Net::new(first.into(), length).ok()?;
                Some(Source::new(cidr.into(), size, None))
            })
            .collect()
    } else {
        let pools = scene.manifest.pools.iter();
        pools.map(|At { value, place }| Source::new(value.cidr.trunc(), value.size, Some(*place))).collect()
    };
    if sources.iter().all(|source| source.cidr.addr().is_ipv4()) {
        let own = scene.facts.own_range.map(|own| Source::new(own.into(), OWN_SIZE, None));
        sources.extend(own.map(|own| Source { only_asked: true, ..own }));
    }
    sources
}

/// The prefix length of a subnet of the host's own range: the shortest that addresses may be made in by the hosts
/// themselves (RFC 4291 section 2.5.1).
const OWN_SIZE: u8 = 64;

/// Tells whether an address is a private one of IPv6, made by the host itself: `fd00::/8` (RFC 4193 section 3.1).
fn is_private(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(addr) => addr.octets().first() == Some(&0xfd),
    }
}

fn obstacles(scene: &Scene<'_>, mut subnets: PrefixMap<()>) -> Taken {
    let Facts { routes: all_routes, subnets: others, live, .. } = scene.facts;
    for cidr in others.keys() {
        subnets.insert(*cidr, ());
    }
    let mut routes = PrefixMap::new();
    // A VPN that wants to be the default route says so by two halves, 0.0.0.0/1 and 128.0.0.0/1. They are no more in
    // the way than a default route is.
    for cidr in all_routes.iter().filter(|cidr| cidr.prefix_len() > 1) {
        routes.insert(*cidr, ());
    }
    let mut leaving = PrefixMap::new();
    for cidr in live.subnets.values().flatten() {
        leaving.insert(*cidr, ());
    }
    Taken { subnets, routes, leaving }
}

fn take_leaving(sources: &[Source], want: Want, taken: &Taken) -> Option<IpNet> {
    taken.leaving.keys().find(|cidr| {
        sources.iter().any(|source| source.gives(want) && source.keeps(*cidr))
            && cidr.prefix_len() < cidr.max_prefix_len()
            && taken.subnets.overlap(*cidr).is_none()
            && taken.routes.overlap(*cidr).is_none()
    })
}

fn exhausted(net: &Net<'_>, want: Want, sources: &[Source]) -> Problem {
    let (article, what) = match want {
        Want::Any => ("a", "subnet"),
        Want::One(Family::Ipv4) => ("an", "IPv4 subnet"),
        Want::One(Family::Ipv6) => ("an", "IPv6 subnet"),
    };
    let mut labels = vec![(net.place, format!("`{}` needs {article} {what}", net.name))];
    if !sources.iter().any(|source| source.gives(want)) {
        let family = what.trim_end_matches(" subnet");
        return Problem {
            message: format!("no pool has the {what} that network `{}` asks for", net.name),
            code: "topology::pools_exhausted",
            labels,
            help: Some(format!("give `{}` a subnet with `subnets`, or `pools` one of {family}", net.name)),
        };
    }
    labels.extend(sources.iter().filter(|source| source.gives(want)).filter_map(|source| {
        source.place.map(|place| (place, format!("no /{} of {} is free", source.size, source.cidr)))
    }));
    Problem {
        message: format!("the pools have no {what} left for network `{}`", net.name),
        code: "topology::pools_exhausted",
        labels,
        help: Some(format!(
            "give `{}` a subnet with `subnets`, or the manifest more room with `pools`; what the host routes already, \
             other projects and Docker networks are not given again",
            net.name
        )),
    }
}
