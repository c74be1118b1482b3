//! Addresses: static ones first, then those that are held, then the lowest that are free.

use std::collections::BTreeSet;
use std::net::IpAddr;

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use super::facts::{Facts, Leases};
use super::prefix::{address, family, number, usable};
use super::scene::{Member, Net, Scene};
use super::strangers::Beside;
use super::subnet::Ground;
use super::text::list;
use super::{existing, strangers};
use crate::manifest::problem::Problem;
use crate::manifest::{At, Place};
use crate::names::{ContainerName, NetName};
use crate::resource::sysctl::Family;

/// Returns the addresses of each attachment, one for each subnet of its network, by index into [`Scene::members`].
pub(super) fn assign(
    scene: &Scene<'_>,
    grounds: &[Option<Vec<Ground<'_>>>],
    problems: &mut Vec<Problem>,
) -> Vec<Vec<IpNet>> {
    let mut leaving = leaving(scene);
    let mut addresses = vec![vec![]; scene.members.len()];
    for (net, grounds) in scene.nets.iter().zip(grounds) {
        let Some(grounds) = grounds else { continue };
        let leaving = leaving.remove(net.name).unwrap_or_default();
        let mut spaces: Vec<_> =
            grounds.iter().map(|ground| Space::new(ground, &leaving, others(scene, net, ground))).collect();
        for space in &mut spaces {
            let own = net.spec.host.iter().filter(|at| space.ground.cidr.contains(&at.value));
            space.holders.extend(own.map(|at| (at.value, Holder::Reserve("the host itself", at.place))));
        }
        let statics = reserve_statics(scene, net, &mut spaces, problems);
        for (index, chosen) in fill(scene, net, &mut spaces, statics, problems) {
            if let Some(slot) = addresses.get_mut(index) {
                *slot = chosen;
            }
        }
    }
    addresses
}

/// Returns the live addresses of containers that are leaving a network: somebody may still be using them, so they are
/// given away only when nothing else is free.
fn leaving<'a>(scene: &Scene<'a>) -> HashMap<&'a NetName, HashSet<IpAddr>> {
    let Facts { live, .. } = scene.facts;
    if live.addresses.is_empty() {
        return HashMap::default();
    }
    let staying: HashSet<(&ContainerName, &NetName)> = scene
        .members
        .iter()
        .filter_map(|member| scene.net(member).map(|net| (member.container, net.name)))
        .collect();
    let mut leaving: HashMap<&NetName, HashSet<IpAddr>> = HashMap::default();
    for (container, networks) in &live.addresses {
        for (net, addresses) in networks.iter().filter(|(net, _)| !staying.contains(&(container, *net))) {
            leaving.entry(net).or_default().extend(addresses);
        }
    }
    leaving
}

/// Who has an address.
enum Holder<'a> {
    Gateway,
    Host,
    Reserve(&'a str, Place),
    Static(&'a ContainerName, Place),
    Dynamic,
}

/// Addresses of others.
type Others<'a> = [&'a BTreeSet<IpAddr>; 2];

/// Nobody.
static NOBODY: BTreeSet<IpAddr> = BTreeSet::new();

/// Returns those addresses of others that nobody new gets in a subnet.
fn others<'s>(scene: &Scene<'s>, net: &Net<'_>, ground: &Ground<'_>) -> Others<'s> {
    let known = strangers::known(scene.facts, net.spec, ground.cidr);
    [&scene.facts.routers, known.unwrap_or(&NOBODY)]
}

/// A subnet while its addresses are given out.
struct Space<'a> {
    ground: &'a Ground<'a>,
    /// The first and the last address that a host may have.
    usable: (u128, u128),
    /// The last address for dynamic ones.
    last: u128,
    /// Everything between the pool's start and this is taken.
    next: u128,
    holders: HashMap<IpAddr, Holder<'a>>,
    leaving: &'a HashSet<IpAddr>,
    /// Those of the routers by which the host reaches everybody, who may be on the same segment, and those whom it knows there:
    /// nobody new gets one, unless the manifest says so.
    others: Others<'a>,
}

impl<'a> Space<'a> {
    fn new(ground: &'a Ground<'a>, leaving: &'a HashSet<IpAddr>, others: Others<'a>) -> Self {
        let usable = usable(ground.cidr);
        let (low, high) = (number(ground.pool.network()), number(ground.pool.broadcast()));
        let mut holders = HashMap::default();
        for (name, at) in ground.reserve {
            holders.insert(at.value, Holder::Reserve(name, at.place));
        }
        holders.extend(ground.held.iter().map(|addr| (*addr, Holder::Host)));
        let gateway = ground.gateway.filter(|_| !ground.is_pair);
        holders.extend(gateway.map(|gateway| (gateway, Holder::Gateway)));
        let (last, next) = (high.min(usable.1), low.max(usable.0));
        Self { ground, usable, last, next, holders, leaving, others }
    }

    fn whole(&self, addr: IpAddr) -> Option<IpNet> {
        IpNet::new(addr, self.ground.cidr.prefix_len()).ok()
    }

    /// Returns the first of `held` that is free to be kept.
    fn keep(&mut self, held: &[IpAddr], beside: Beside<'_>) -> Option<IpAddr> {
        let (low, high) = self.usable;
        let free = |addr: &&IpAddr| {
            self.ground.pool.contains(*addr)
                && (low..=high).contains(&number(**addr))
                && !self.holders.contains_key(*addr)
                && !is_beside(beside, addr)
        };
        let addr = *held.iter().find(free)?;
        self.holders.insert(addr, Holder::Dynamic);
        Some(addr)
    }

    /// Returns the lowest address that is free; one of a container that leaves only when there is no other.
    fn take(&mut self, beside: Beside<'_>) -> Option<IpAddr> {
        while self.next <= self.last {
            let addr = address(family(self.ground.cidr), self.next);
            self.next = self.next.checked_add(1)?;
            let is_others = self.others.iter().any(|others| others.contains(&addr));
            let is_taken = self.holders.contains_key(&addr) || is_others || is_beside(beside, &addr);
            if !self.leaving.contains(&addr) && !is_taken {
                self.holders.insert(addr, Holder::Dynamic);
                return Some(addr);
            }
        }
        let mut leaving: Vec<_> = self.leaving.iter().copied().collect();
        leaving.sort_unstable();
        self.keep(&leaving, beside)
    }
}

/// Tells whether another project has an address there.
fn is_beside(beside: Beside<'_>, addr: &IpAddr) -> bool {
    beside.is_some_and(|beside| beside.contains_key(addr))
}

type Chosen = Vec<(usize, Vec<Option<IpAddr>>)>;

/// Returns the static addresses of each attachment of a network, by subnet.
fn reserve_statics<'a>(
    scene: &'a Scene<'a>,
    net: &'a Net<'a>,
    spaces: &mut [Space<'a>],
    problems: &mut Vec<Problem>,
) -> Chosen {
    let mut chosen = vec![];
    for (index, member) in scene.on(net) {
        let mut addresses = vec![None; spaces.len()];
        for at in &member.spec.addresses {
            let inside = spaces.iter_mut().zip(&mut addresses);
            let inside = inside.into_iter().find(|(space, _)| space.ground.cidr.contains(&at.value));
            let Some((space, slot)) = inside else {
                if !scene.is_unknown(net, Some(Family::of(at.value))) {
                    problems.push(outside(net, member, at, spaces));
                }
                continue;
            };
            let refusal = refusal(space, member, at);
            match (*slot, refusal.or_else(|| strangers::refusal(scene, net, member, at))) {
                (Some(first), _) => problems.push(twice(member, space, at, first)),
                (None, Some(problem)) => problems.push(problem),
                (None, None) => {
                    *slot = Some(at.value);
                    space.holders.insert(at.value, Holder::Static(member.container, at.place));
                }
            }
        }
        chosen.push((index, addresses));
    }
    chosen
}

fn outside(net: &Net<'_>, member: &Member<'_>, at: &At<IpAddr>, spaces: &[Space<'_>]) -> Problem {
    let cidrs: Vec<_> = spaces.iter().map(|space| space.ground.cidr).collect();
    let mut labels = vec![(at.place, format!("`{}` on `{}`", member.container, net.name))];
    labels.extend(spaces.iter().map(|space| (space.ground.place, format!("{} here", space.ground.cidr))));
    let help = if cidrs.is_empty() {
        format!("network `{}` has no subnet: give it one with `subnets`", net.name)
    } else {
        format!("use an address of {}", list(&cidrs))
    };
    Problem {
        message: format!("address {} is outside every subnet of network `{}`", at.value, net.name),
        code: "topology::address_outside",
        labels,
        help: Some(help),
    }
}

fn twice(member: &Member<'_>, space: &Space<'_>, at: &At<IpAddr>, first: IpAddr) -> Problem {
    let mut labels = vec![(at.place, "a second one".to_owned())];
    let other = member.spec.addresses.iter().find(|other| other.value == first && other.place != at.place);
    labels.extend(other.map(|other| (other.place, "the first one".to_owned())));
    labels.push((space.ground.place, "the subnet".to_owned()));
    Problem {
        message: format!(
            "`{}` has two addresses in subnet {}: {first} and {}",
            member.container, space.ground.cidr, at.value
        ),
        code: "topology::address_twice",
        labels,
        help: Some("an attachment has one address for each subnet".to_owned()),
    }
}

fn refusal(space: &Space<'_>, member: &Member<'_>, at: &At<IpAddr>) -> Option<Problem> {
    let Ground { cidr, gateway: _, is_pair: _, pool: _, reserve: _, held: _, place } = space.ground;
    let (low, high) = space.usable;
    let is_usable = (low..=high).contains(&number(at.value));
    if is_usable && !space.holders.contains_key(&at.value) {
        return None;
    }
    let wanted = (at.place, format!("`{}` is to have it", member.container));
    let subnet = (*place, format!("subnet {cidr}"));
    let addr = at.value;
    let (code, message, other) = if is_usable {
        match space.holders.get(&addr)? {
            Holder::Gateway => (
                "topology::address_is_gateway",
                format!("address {addr} is the gateway of subnet {cidr}"),
                subnet,
            ),
            Holder::Host => ("topology::address_taken", format!("address {addr} is the host's own"), subnet),
            Holder::Reserve(name, place) => (
                "topology::address_reserved",
                format!("address {addr} is reserved for `{name}`"),
                (*place, format!("reserved for `{name}`")),
            ),
            Holder::Static(container, place) => (
                "topology::address_taken",
                format!("`{container}` and `{}` have the same address {addr}", member.container),
                (*place, format!("`{container}` has it")),
            ),
            // Static addresses are all reserved before the first dynamic one is chosen.
            Holder::Dynamic => return None,
        }
    } else {
        (
            "topology::address_unusable",
            format!("address {addr} is the network or broadcast address of subnet {cidr}"),
            subnet,
        )
    };
    let family = family(*cidr);
    Some(Problem {
        message,
        code,
        labels: vec![wanted, other],
        help: Some(format!(
            "use another address of {} to {}, or leave it out, and one is chosen",
            address(family, low),
            address(family, high)
        )),
    })
}

/// Returns the addresses of each attachment of a network: what `statics` leaves open is filled.
fn fill(
    scene: &Scene<'_>,
    net: &Net<'_>,
    spaces: &mut [Space<'_>],
    mut chosen: Chosen,
    problems: &mut Vec<Problem>,
) -> Vec<(usize, Vec<IpNet>)> {
    // Who holds an address comes before who held it, and both before who is new.
    for (leases, is_live) in [(&scene.facts.live, true), (&scene.facts.leases, false)] {
        for (index, addresses) in &mut chosen {
            let Some(member) = scene.members.get(*index) else { continue };
            let Some(held) = held(leases, member, net) else { continue };
            // What is live stays, and a warning says who else has it.
            let beside = if is_live { None } else { strangers::beside(scene, net, member) };
            for (slot, space) in addresses.iter_mut().zip(&mut *spaces).filter(|(slot, _)| slot.is_none()) {
                *slot = space.keep(held, beside);
            }
        }
    }
    // Which addresses others have on a bridge is not known before it is there.
    let waits = existing::waits(scene, net);
    let mut short: Vec<Vec<&Member<'_>>> = vec![vec![]; spaces.len()];
    for (index, addresses) in &mut chosen {
        let beside = scene.members.get(*index).and_then(|member| strangers::beside(scene, net, member));
        for ((slot, space), short) in addresses.iter_mut().zip(&mut *spaces).zip(&mut short) {
            *slot = slot.or_else(|| if short.is_empty() && !waits { space.take(beside) } else { None });
            if slot.is_none() && !waits {
                short.extend(scene.members.get(*index));
            }
        }
    }
    for (space, short) in spaces.iter().zip(&short) {
        problems.extend(exhausted(net, space.ground, short));
    }
    let whole = |addresses: Vec<Option<IpAddr>>| {
        addresses.iter().zip(&*spaces).filter_map(|(addr, space)| space.whole((*addr)?)).collect()
    };
    chosen.into_iter().map(|(index, addresses)| (index, whole(addresses))).collect()
}

fn held<'f>(leases: &'f Leases, member: &Member<'_>, net: &Net<'_>) -> Option<&'f [IpAddr]> {
    leases.addresses.get(member.container)?.get(net.name).map(Vec::as_slice)
}

fn exhausted(net: &Net<'_>, ground: &Ground<'_>, short: &[&Member<'_>]) -> Option<Problem> {
    let (first, rest) = short.split_first()?;
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    Some(Problem {
        message: format!(
            "network `{}` has no address left in {} for `{}`{more}",
            net.name, ground.pool, first.container
        ),
        code: "topology::addresses_exhausted",
        labels: vec![
            (first.place, format!("`{}` needs an address", first.container)),
            (ground.place, format!("no free address in {}", ground.pool)),
        ],
        help: Some(format!("give `{}` a larger subnet or pool", net.name)),
    })
}
