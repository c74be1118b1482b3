//! The pools that networks without subnets take theirs from.

use ipnet::{IpNet, Ipv4Net};

use super::facts::Facts;
use super::prefix::{PrefixMap, address, family, first_host, number};
use super::scene::{Net, Scene};
use super::subnet::Ground;
use crate::manifest::problem::Problem;
use crate::manifest::{At, Place};

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

/// A pool, and how far it is used up.
struct Source {
    cidr: IpNet,
    size: u8,
    place: Option<Place>,
    /// Everything before it is taken; `None` when there is nothing behind it.
    next: Option<u128>,
}

impl Source {
    fn new(cidr: IpNet, size: u8, place: Option<Place>) -> Self {
        Self { cidr, size, place, next: Some(number(cidr.network())) }
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

/// Gives a subnet to each network that has none: the one it holds, or held, or else the first that is free.
///
/// `subnets` are those that the manifest gives. Networks on existing bridges may do without.
pub(super) fn fill<'a>(
    scene: &Scene<'a>,
    subnets: PrefixMap<()>,
    grounds: &mut [Option<Vec<Ground<'a>>>],
    problems: &mut Vec<Problem>,
) {
    let wanting = |net: &Net<'_>| net.spec.external.is_none() && net.spec.subnets.is_empty();
    let mut sources = sources(scene);
    let mut taken = obstacles(scene, subnets);
    let mut chosen: Vec<Option<IpNet>> = vec![None; scene.nets.len()];

    // What is live stays, whatever routes came up since: to move it would cut connections. What is only remembered has
    // to be as free as a new one.
    for routes_matter in [Routes::Ignored, Routes::Avoided] {
        let leases = match routes_matter {
            Routes::Ignored => &scene.facts.live,
            Routes::Avoided => &scene.facts.leases,
        };
        for (net, chosen) in scene.nets.iter().zip(&mut chosen) {
            if !wanting(net) || chosen.is_some() {
                continue;
            }
            let held = leases.subnets.get(net.name).into_iter().flatten().map(IpNet::trunc);
            let free = |cidr: &IpNet| {
                sources.iter().any(|source| source.cidr.contains(cidr))
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
    for ((net, chosen), grounds) in scene.nets.iter().zip(&chosen).zip(grounds) {
        if !wanting(net) {
            continue;
        }
        let cidr = chosen.or_else(|| sources.iter_mut().find_map(|source| source.take(&taken)));
        let cidr = cidr.or_else(|| take_leaving(&sources, &taken));
        match cidr {
            Some(cidr) => {
                taken.subnets.insert(cidr, ());
                *grounds = Some(vec![Ground {
                    cidr,
                    gateway: Some(first_host(cidr)),
                    pool: cidr,
                    reserve: &[],
                    held: vec![],
                    place: net.place,
                }]);
            }
            None => {
                *grounds = None;
                problems.push(exhausted(net, &sources));
            }
        }
    }
}

/// Whether a subnet has to keep clear of the host's routes.
enum Routes {
    Ignored,
    Avoided,
}

/// Returns the pools: those of the manifest, or else Docker's, so that nobody is surprised.
fn sources(scene: &Scene<'_>) -> Vec<Source> {
    if scene.manifest.pools.is_empty() {
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

fn take_leaving(sources: &[Source], taken: &Taken) -> Option<IpNet> {
    taken.leaving.keys().find(|cidr| {
        sources.iter().any(|source| source.cidr.contains(cidr))
            && cidr.prefix_len() < cidr.max_prefix_len()
            && taken.subnets.overlap(*cidr).is_none()
            && taken.routes.overlap(*cidr).is_none()
    })
}

fn exhausted(net: &Net<'_>, sources: &[Source]) -> Problem {
    let mut labels = vec![(net.place, format!("`{}` needs a subnet", net.name))];
    labels.extend(sources.iter().filter_map(|source| {
        source.place.map(|place| (place, format!("no /{} of {} is free", source.size, source.cidr)))
    }));
    Problem {
        message: format!("the pools have no subnet left for network `{}`", net.name),
        code: "topology::pools_exhausted",
        labels,
        help: Some(format!(
            "give `{}` a subnet with `subnets`, or the manifest more room with `pools`; what the host routes already, \
             other projects and Docker networks are not given again",
            net.name
        )),
    }
}
