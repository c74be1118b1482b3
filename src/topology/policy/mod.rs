//! Policies, resolved: who may connect to whom, as ranges of addresses that do not overlap.
//!
//! | file | what it does |
//! | --- | --- |
//! | `apart` | policies that isolation leaves nothing of |
//! | `ends` | whom the manifest means: addresses on networks, and those outside |
//! | `flatten` | the ordered list becomes boxes, so that the first that matches decides by one look-up |
//! | `never` | policies that earlier ones leave nothing to |
//! | `reach` | what they leave of external addresses |
//! | `spans` | ranges of addresses as numbers |
//!
//! A policy is about connections: what answers one goes with it. What none names is judged by the networks as ever.

mod apart;
mod ends;
mod flatten;
mod never;
mod reach;
mod spans;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use smol_str::SmolStr;

use super::resolve::Asker;
use super::{Container, Network};
use crate::manifest::problem::Problem;
use crate::manifest::{self, At, Manifest};
use crate::names::NetName;
use crate::resource::owner::Origin;
use crate::resource::policy::{End, Service, Verdict, name};
use crate::resource::sysctl::Family;
use ends::{Ends, Sides};
use flatten::{Rule, TooMany, Weight, flatten};
pub use reach::Reach;
use spans::{Span, Spans, address};

/// How many policies there may be.
pub const MOST: usize = 1000;

/// How many elements of the firewall's sets they may come to, and how many besides that are about connections to the host:
/// the kernel takes half a second for as many.
pub const MOST_ELEMENTS: usize = 10_000;

/// The policies of a manifest, resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    /// The policies, in order.
    pub all: Vec<Policy>,
    /// What they decide.
    pub decided: Vec<Decided>,
    /// The networks that they name, or whose containers they name: there, nobody sends with an address that is not his.
    pub guarded: BTreeSet<NetName>,
    /// Those that open nothing, since isolation keeps all apart whom they name: by name, with why.
    pub idle: BTreeMap<SmolStr, String>,
    /// What the user should know of them.
    pub warnings: Vec<String>,
}

/// A policy, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Where the manifest declares it.
    pub origin: Origin,
    /// What it is called: `deny:network.front:world:25/tcp`.
    pub name: SmolStr,
    /// Whether it lets through or refuses.
    pub verdict: Verdict,
}

/// What a policy decides, and no earlier one. Of one kind, no two overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Which connections.
    pub way: Way,
    /// Their ports; `None` is everything that nothing with ports decides.
    pub service: Option<Service>,
    /// The policy, by index.
    pub policy: usize,
}

/// From whom to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From one address to the other; at least one is on a network of the project.
    Between(Range, Range),
    /// To the host, at these of its addresses.
    ToHost(Range, Range),
    /// From the host.
    FromHost(Range),
}

/// Addresses of one family, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
}

impl Range {
    fn of(span: Span, family: Family) -> Self {
        Self { first: address(span.0, family), last: address(span.1, family) }
    }
}

/// The ways that rules are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Between(Family),
    ToHost(Family),
    FromHost(Family),
}

/// Rules by what they are about, each list in the order of the policies.
#[derive(Debug, Default)]
struct Rules(BTreeMap<Kind, Vec<Rule>>);

/// Resolves the policies of a manifest.
pub(super) fn resolve(
    manifest: &Manifest,
    (networks, containers): (&[Network], &[Container]),
    origin: Asker<'_>,
    problems: &mut Vec<Problem>,
) -> Policies {
    let policies = manifest.policies.as_slice();
    if let Some(over) = policies.get(MOST) {
        problems.push(Problem {
            message: format!("there are {} policies, and at most {MOST} are judged", policies.len()),
            code: "topology::too_many_policies",
            labels: vec![(over.place, format!("number {}", MOST + 1))],
            help: Some(
                "name networks rather than their containers, and several ends in one policy".to_owned(),
            ),
        });
        return Policies::default();
    }
    let known = Ends::new(networks, containers, manifest);
    let (mut rules, mut resolved, mut guarded) = (Rules::default(), vec![], BTreeSet::new());
    for (number, at) in policies.iter().enumerate() {
        let manifest::Policy { verdict, from, to, ports } = &at.value;
        let services: Vec<Service> = ports.iter().map(|at| service(&at.value)).collect();
        let values = |ends: &[At<End>]| ends.iter().map(|end| end.value.clone()).collect::<Vec<_>>();
        let name = name(*verdict, &values(from), &values(to), &services);
        resolved.push(Policy { origin: origin(at.place), name, verdict: *verdict });
        let Some(sides) = known.sides(at, problems) else { continue };
        guarded.extend(sides.networks().filter_map(|at| networks.get(at)).map(|it| it.name.clone()));
        rules.add(number, &sides, &services);
    }
    let decided = match rules.decided() {
        Ok(decided) => decided,
        Err(TooMany) => {
            problems.push(too_many(policies));
            vec![]
        }
    };
    let warnings = never::warnings(&rules, &resolved, &decided);
    let partly = known.partly(policies, origin);
    let apart::Kept { idle, warnings: kept } =
        apart::kept(policies, &resolved, (networks, containers), origin);
    let warnings = warnings.into_iter().chain(partly).chain(kept).collect();
    Policies { all: resolved, decided, guarded, idle, warnings }
}

fn service(port: &manifest::Expose) -> Service {
    let manifest::Expose { ports, protocol } = port;
    Service { protocol: *protocol, first: *ports.start(), last: *ports.end() }
}

fn too_many(policies: &[At<manifest::Policy>]) -> Problem {
    let first = policies.first().map(|at| (at.place, "the first of them".to_owned()));
    Problem {
        message: format!(
            "the policies come to more than {MOST_ELEMENTS} elements of the firewall, which is as many as are judged"
        ),
        code: "topology::too_many_policies",
        labels: first.into_iter().collect(),
        help: Some(
            "each pair of a sender and a receiver that something else is said of is one: name networks rather than \
             their containers, and fewer ranges of addresses"
                .to_owned(),
        ),
    }
}

impl Rules {
    /// Adds what a policy says.
    fn add(&mut self, policy: usize, sides: &Sides<'_>, services: &[Service]) {
        let mut add = |kind: Kind, (from, to): (Spans, Spans), weight: Weight| {
            if !from.is_empty() && !to.is_empty() {
                let rule = Rule { policy, from, to, services: services.to_vec(), weight };
                self.0.entry(kind).or_default().push(rule);
            }
        };
        for family in [Family::Ipv4, Family::Ipv6] {
            for pair in sides.pairs(family) {
                add(Kind::Between(family), pair, Weight::Full);
            }
            let inside = sides.from.inside(family);
            if sides.to.host {
                add(Kind::ToHost(family), (inside, Spans::all(family)), Weight::Full);
            } else {
                // The host has some of these perhaps, now or later.
                add(Kind::ToHost(family), (inside, sides.to.ranges(family)), Weight::of_range(sides.verdict));
            }
            if sides.from.host {
                let pair = (Spans::all(family), sides.to.inside(family));
                add(Kind::FromHost(family), pair, Weight::Full);
            }
        }
    }

    /// Returns what all of them decide.
    fn decided(&self) -> Result<Vec<Decided>, TooMany> {
        let (mut all, mut of_host) = (vec![], 0_usize);
        for (kind, rules) in &self.0 {
            // What ranges say of the host comes beside what they say of others, and takes no room of that.
            let is_of_host = matches!(kind, Kind::ToHost(_));
            let used = if is_of_host { of_host } else { all.len() - of_host };
            let boxes = flatten(rules, MOST_ELEMENTS.saturating_sub(used))?;
            of_host += if is_of_host { boxes.len() } else { 0 };
            all.extend(boxes.into_iter().map(|decided| {
                let flatten::Decided { from, to, service, policy } = decided;
                let way = match *kind {
                    Kind::Between(family) => Way::Between(Range::of(from, family), Range::of(to, family)),
                    Kind::ToHost(family) => Way::ToHost(Range::of(from, family), Range::of(to, family)),
                    Kind::FromHost(family) => Way::FromHost(Range::of(to, family)),
                };
                Decided { way, service, policy }
            }));
        }
        Ok(all)
    }
}
