//! Whom the ends of a policy mean.

use std::collections::{BTreeMap, BTreeSet};

use super::spans::{Span, Spans, number, span};
use crate::manifest::problem::Problem;
use crate::manifest::{self, At, Manifest, Place};
use crate::resource::policy::{End, Verdict};
use crate::resource::sysctl::Family;
use crate::topology::resolve::Asker;
use crate::topology::text::did_you_mean;
use crate::topology::{Attachment, Container, Driver, Network};

/// All that an end can be.
pub(super) struct Ends<'t> {
    networks: &'t [Network],
    containers: &'t [Container],
    written: &'t Manifest,
    /// The addresses of the networks that are judged.
    inside: [Spans; 2],
}

/// An end, or several together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) host: bool,
    /// Addresses on networks, by the network's index.
    on: BTreeMap<usize, [Vec<Span>; 2]>,
    /// Addresses of others.
    outside: [Spans; 2],
    /// Those among them that are named, as ranges: the host may have some of these.
    ranges: [Spans; 2],
}

/// Both ends of a policy.
pub(super) struct Sides<'t> {
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) verdict: Verdict,
    networks: &'t [Network],
}

const fn index(family: Family) -> usize {
    match family {
        Family::Ipv4 => 0,
        Family::Ipv6 => 1,
    }
}

fn of_family(both: &[Spans; 2], family: Family) -> &Spans {
    let [four, six] = both;
    match family {
        Family::Ipv4 => four,
        Family::Ipv6 => six,
    }
}

impl<'t> Ends<'t> {
    pub(super) fn new(networks: &'t [Network], containers: &'t [Container], written: &'t Manifest) -> Self {
        let judged = networks.iter().filter(|network| network.is_judged());
        let subnets: Vec<_> = judged.flat_map(|network| &network.subnets).map(|it| it.cidr).collect();
        let inside = [Family::Ipv4, Family::Ipv6].map(|family| {
            let of_family = subnets.iter().filter(|cidr| Family::of(cidr.addr()) == family);
            Spans::of(of_family.map(|cidr| span(*cidr)).collect())
        });
        Self { networks, containers, written, inside }
    }

    /// Returns both ends of a policy; `None` when there is a problem.
    pub(super) fn sides(&self, at: &At<manifest::Policy>, problems: &mut Vec<Problem>) -> Option<Sides<'t>> {
        let manifest::Policy { verdict, from, to, ports: _ } = &at.value;
        let before = problems.len();
        let [from_sides, to_sides] = [from, to].map(|ends| {
            let each = ends.iter().map(|end| (end, self.side(end, problems)));
            each.collect::<Vec<_>>()
        });
        if problems.len() > before {
            return None;
        }
        let joined = |sides: &[(&At<End>, Side)]| {
            let mut all = Side::default();
            sides.iter().for_each(|(_, side)| all.add(side));
            all
        };
        let sides = Sides {
            from: joined(&from_sides),
            to: joined(&to_sides),
            verdict: *verdict,
            networks: self.networks,
        };
        if sides.from.on.is_empty() && sides.to.on.is_empty() {
            problems.push(elsewhere(at.place));
            return None;
        }
        problems.extend(self.switched(at.place, &sides));
        if *verdict == Verdict::Allow {
            let ends = from_sides.iter().map(|it| (it, &sides.to));
            let ends = ends.chain(to_sides.iter().map(|it| (it, &sides.from)));
            problems.extend(ends.filter_map(|((end, side), other)| self.closed(end, (side, other))));
        }
        (problems.len() == before).then_some(sides)
    }

    fn side(&self, end: &At<End>, problems: &mut Vec<Problem>) -> Side {
        let found = match &end.value {
            End::Host => Ok(Side { host: true, ..Side::default() }),
            End::World => {
                let all = [Family::Ipv4, Family::Ipv6].map(Spans::all);
                Ok(self.outside(all))
            }
            End::Range(net) => {
                let mut both = [Spans::default(), Spans::default()];
                if let Some(spans) = both.get_mut(index(Family::of(net.addr()))) {
                    *spans = Spans::of(vec![span(*net)]);
                }
                let side = self.outside(both);
                let side = Side { ranges: side.outside.clone(), ..side };
                if side.is_empty() { Err(self.range_inside(end)) } else { Ok(side) }
            }
            End::Network(name) => match self.networks.iter().position(|network| network.name == *name) {
                Some(at) => self.network(at, end),
                None => Err(unknown(
                    end,
                    ("network", name.as_str()),
                    self.networks.iter().map(|it| it.name.as_str()),
                )),
            },
            End::Container(name) => {
                let has = |container: &&Container| container.names().any(|it| it == name);
                match self.containers.iter().find(has) {
                    Some(container) => self.container(container, end),
                    None => {
                        let names = self.containers.iter().flat_map(Container::names);
                        Err(unknown(end, ("container", name.as_str()), names.map(|it| it.as_str())))
                    }
                }
            }
        };
        found.unwrap_or_else(|problem| {
            problems.push(problem);
            Side::default()
        })
    }

    /// Returns others who have these addresses.
    fn outside(&self, [four, six]: [Spans; 2]) -> Side {
        let [own4, own6] = &self.inside;
        Side { outside: [four.without(own4), six.without(own6)], ..Side::default() }
    }

    fn network(&self, at: usize, end: &At<End>) -> Result<Side, Problem> {
        let Some(network) = self.networks.get(at).filter(|network| network.is_judged()) else {
            return Err(self
                .networks
                .get(at)
                .map_or_else(|| elsewhere(end.place), |it| self.unjudged(it, end)));
        };
        let mut side = Side::default();
        for subnet in &network.subnets {
            side.put(at, Family::of(subnet.cidr.addr()), span(subnet.cidr));
        }
        Ok(side)
    }

    fn container(&self, container: &Container, end: &At<End>) -> Result<Side, Problem> {
        let mut side = Side::default();
        for (at, attachment) in self.judged(container) {
            for address in &attachment.addresses {
                let one = number(address.addr());
                side.put(at, Family::of(address.addr()), (one, one));
            }
        }
        if !side.on.is_empty() {
            return Ok(side);
        }
        let first = container.attachments.first();
        let network = first.and_then(|it| self.networks.iter().find(|network| network.name == it.network));
        Err(match network {
            Some(network) => self.unjudged(network, end),
            None => Problem {
                message: format!("`{}` is on no network of its own, so no policy can be about it", end.value),
                code: "topology::policy_end",
                labels: vec![(end.place, "has no addresses".to_owned())],
                help: Some(
                    "name whoever has the network: `host` for `mode: host`, the other container for \
                     `mode: container:OTHER`"
                        .to_owned(),
                ),
            },
        })
    }

    /// Returns the attachments of a container to networks that are judged, each with the network's index.
    fn judged(&self, container: &'t Container) -> impl Iterator<Item = (usize, &'t Attachment)> {
        container.attachments.iter().filter_map(|attachment| {
            let mut networks = self.networks.iter().enumerate();
            let (at, _) = networks.find(|(_, it)| it.name == attachment.network && it.is_judged())?;
            Some((at, attachment))
        })
    }

    /// Says of an end that is on internal networks alone that nothing can be allowed to it from elsewhere: it has no route
    /// there.
    fn closed(&self, end: &At<End>, (side, other): (&Side, &Side)) -> Option<Problem> {
        let internal = |at: &usize| self.networks.get(*at).is_some_and(|network| network.internal);
        let shut = !side.on.is_empty() && side.on.keys().all(internal);
        let meets = other.host || side.on.keys().any(|at| other.on.contains_key(at));
        let network =
            side.on.keys().next().and_then(|at| self.networks.get(*at)).filter(|_| shut && !meets)?;
        let mut labels = vec![(end.place, format!("only on `{}`", network.name))];
        labels.extend(self.declared(network).map(|place| (place, "declared `internal`".to_owned())));
        Some(Problem {
            message: format!("nothing can be allowed across the border of the internal network `{}`", network.name),
            code: "topology::policy_internal",
            labels,
            help: Some(
                "an internal network has no way out: put the container on another network, too, or leave `internal` \
                 out and write policies"
                    .to_owned(),
            ),
        })
    }

    /// Says of a policy that is about both ends on one network of Open vSwitch that nobody judges there.
    fn switched(&self, place: Place, sides: &Sides<'_>) -> Option<Problem> {
        let is_switch = |network: &&Network| matches!(network.driver, Driver::OpenVswitch(_));
        let both = sides.from.on.keys().filter(|at| sides.to.on.contains_key(at));
        let network = both.filter_map(|at| self.networks.get(*at)).find(is_switch)?;
        let mut labels = vec![(place, format!("both ends are on `{}`", network.name))];
        labels.extend(self.declared(network).map(|place| (place, "a bridge of Open vSwitch".to_owned())));
        Some(Problem {
            message: format!(
                "no policy can be about containers of network `{}` among themselves: what Open vSwitch forwards between \
                 its ports passes no firewall of the host",
                network.name
            ),
            code: "topology::policy_switched",
            labels,
            help: Some(
                "give the containers a `vlan` each, put them on two networks, or use `driver: bridge`"
                    .to_owned(),
            ),
        })
    }

    /// Returns where the manifest declares a network; `default` need not be declared.
    fn declared(&self, network: &Network) -> Option<Place> {
        self.written.networks.get(&network.name).map(|at| at.place)
    }

    fn unjudged(&self, network: &Network, end: &At<End>) -> Problem {
        let why = if network.external {
            "a bridge of somebody else"
        } else {
            "past this host's firewall: its containers are on the parent link"
        };
        let mut labels = vec![(end.place, format!("on `{}`", network.name))];
        labels.extend(self.declared(network).map(|place| (place, why.to_owned())));
        Problem {
            message: format!("no policy can be about network `{}`: netform does not judge it", network.name),
            code: "topology::policy_unjudged",
            labels,
            help: Some(
                "policies are about networks of the driver `bridge` that netform makes; whoever runs the other judges it"
                    .to_owned(),
            ),
        }
    }

    fn range_inside(&self, end: &At<End>) -> Problem {
        Problem {
            message:
                "a range of addresses means those outside, and this one is part of a network of the project"
                    .to_owned(),
            code: "topology::policy_range",
            labels: vec![(end.place, "nobody outside has these".to_owned())],
            help: Some("write `network.NAME` or `container.NAME`".to_owned()),
        }
    }

    /// Says of containers that are on networks that are not judged, too, that policies are not about those.
    pub(super) fn partly(&self, policies: &[At<manifest::Policy>], origin: Asker<'_>) -> Vec<String> {
        let (mut told, mut warnings) = (BTreeSet::new(), vec![]);
        for end in policies.iter().flat_map(|at| at.value.from.iter().chain(&at.value.to)) {
            let End::Container(name) = &end.value else { continue };
            let container = self.containers.iter().find(|container| container.names().any(|it| it == name));
            let Some(container) = container.filter(|_| told.insert(name)) else { continue };
            let judged: BTreeSet<_> = self.judged(container).map(|(_, it)| &it.network).collect();
            let others = container.attachments.iter().map(|it| &it.network).filter(|it| !judged.contains(it));
            warnings.extend(others.map(|network| {
                format!(
                    "{}: `{name}` is on `{network}`, too, and what crosses that does not pass this host's firewall: no \
                     policy is about it",
                    origin(end.place)
                )
            }));
        }
        warnings
    }
}

impl Side {
    fn put(&mut self, network: usize, family: Family, span: Span) {
        if let Some(spans) = self.on.entry(network).or_default().get_mut(index(family)) {
            spans.push(span);
        }
    }

    fn add(&mut self, other: &Self) {
        self.host |= other.host;
        for (at, [four, six]) in &other.on {
            let [mine4, mine6] = self.on.entry(*at).or_default();
            mine4.extend(four);
            mine6.extend(six);
        }
        for (mine, more) in [(&mut self.outside, &other.outside), (&mut self.ranges, &other.ranges)] {
            let ([mine4, mine6], [four, six]) = (mine, more);
            (*mine4, *mine6) = (mine4.with(four), mine6.with(six));
        }
    }

    fn is_empty(&self) -> bool {
        let [four, six] = &self.outside;
        !self.host && self.on.is_empty() && four.is_empty() && six.is_empty()
    }

    /// Returns the ranges that are named.
    pub(super) fn ranges(&self, family: Family) -> Spans {
        of_family(&self.ranges, family).clone()
    }

    /// Returns the addresses on all networks.
    pub(super) fn inside(&self, family: Family) -> Spans {
        self.on_those(family, |_| true)
    }

    fn on_those(&self, family: Family, which: impl Fn(usize) -> bool) -> Spans {
        let those = self.on.iter().filter(|(at, _)| which(**at));
        Spans::of(those.filter_map(|(_, both)| both.get(index(family))).flatten().copied().collect())
    }
}

impl Sides<'_> {
    /// Returns the networks that either end is on, by index.
    pub(super) fn networks(&self) -> impl Iterator<Item = usize> {
        self.from.on.keys().chain(self.to.on.keys()).copied()
    }

    /// Returns from whom to whom. What is allowed does not cross the border of an internal network.
    pub(super) fn pairs(&self, family: Family) -> Vec<(Spans, Spans)> {
        let Self { from, to, verdict, networks } = self;
        let internal = |at: usize| match verdict {
            Verdict::Allow => networks.get(at).is_some_and(|network| network.internal),
            Verdict::Deny => false,
        };
        let open = |side: &Side| side.on_those(family, |at| !internal(at));
        let outside = |side: &Side| of_family(&side.outside, family).clone();
        let mut pairs = vec![
            (open(from), open(to).with(&outside(to))),
            // Between two who are outside nothing passes here.
            (outside(from), open(to)),
        ];
        let both = from.on.keys().filter(|at| internal(**at) && to.on.contains_key(at));
        pairs.extend(both.map(|at| {
            let [from, to] = [from, to].map(|side| side.on_those(family, |it| it == *at));
            (from, to)
        }));
        pairs
    }
}

fn elsewhere(place: Place) -> Problem {
    Problem {
        message: "neither end of the policy is on a network of the project, so netform does not judge it"
            .to_owned(),
        code: "topology::policy_elsewhere",
        labels: vec![(place, "neither end is ours".to_owned())],
        help: Some("name a `network.NAME` or a `container.NAME` on one side".to_owned()),
    }
}

fn unknown<'a>(end: &At<End>, (kind, name): (&str, &str), others: impl Iterator<Item = &'a str>) -> Problem {
    Problem {
        message: format!("{kind} `{name}` is not declared"),
        code: "topology::policy_end",
        labels: vec![(end.place, "not declared".to_owned())],
        help: Some(did_you_mean(name, others, || format!("declare `{name}` under `{kind}s`"))),
    }
}
