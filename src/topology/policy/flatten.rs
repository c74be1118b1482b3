//! An ordered list of rules, the first of which decides, becomes boxes that do not overlap, so that one look-up finds the
//! answer whatever the number of rules.
//!
//! Addresses are cut where a rule begins or ends. Between two cuts of senders the same rules are in question, and among
//! them between two cuts of receivers; neighbours about whom the same is decided are put together again. A box that is
//! about ports goes before one that is about everything.

use std::rc::Rc;

use foldhash::HashMap;

use super::spans::{Span, Spans};
use crate::names::Protocol;
use crate::resource::policy::{Service, Verdict};

/// A rule: from whom, to whom, on which ports; none is everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// Which policy it is of; earlier ones decide first.
    pub(super) policy: usize,
    pub(super) from: Spans,
    pub(super) to: Spans,
    pub(super) services: Vec<Service>,
    pub(super) weight: Weight,
}

/// What a rule decides against others. A range that a policy allows may hold addresses of the host: this keeps them out of
/// ranges that later ones deny, but it opens nothing that a policy closes to the host by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Against all.
    Full,
    /// It lets through, against later ones that are `Spared` alone.
    Spares,
    /// It refuses what no earlier one that `Spares` lets through.
    Spared,
}

impl Weight {
    /// Returns what a range of addresses decides about the host.
    pub(super) fn of_range(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Spares,
            Verdict::Deny => Self::Spared,
        }
    }
}

/// What a policy decides, and no earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) from: Span,
    pub(super) to: Span,
    /// `None` is everything that no box with ports decides.
    pub(super) service: Option<Service>,
    pub(super) policy: usize,
}

/// There would be more boxes than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// What is decided about the receivers of a span of senders.
type Row = Vec<(Span, Vec<(Option<Service>, usize)>)>;

/// Returns what the rules, which are in order, decide, in at most `limit` boxes.
pub(super) fn flatten(rules: &[Rule], limit: usize) -> Result<Vec<Decided>, TooMany> {
    let mut known = HashMap::<Vec<usize>, Rc<Row>>::default();
    let mut rows: Vec<(Span, Rc<Row>)> = vec![];
    let mut boxes = 0_usize;
    for span in between(rules.iter().flat_map(|rule| rule.from.iter())) {
        let active: Vec<usize> = places(rules, |rule| rule.from.contains(span.0));
        if active.is_empty() {
            continue;
        }
        let row = known.entry(active).or_insert_with_key(|active| Rc::new(row(rules, active)));
        match rows.last_mut() {
            Some((before, same)) if before.1.checked_add(1) == Some(span.0) && *same == *row => {
                before.1 = span.1;
            }
            Some(_) | None => {
                boxes = boxes.saturating_add(row.iter().map(|(_, cell)| cell.len()).sum());
                rows.push((span, Rc::clone(row)));
            }
        }
        if boxes > limit {
            return Err(TooMany);
        }
    }
    let all = rows.iter().flat_map(|(from, row)| {
        row.iter().flat_map(move |(to, cell)| {
            let decided = |(service, policy): &(Option<Service>, usize)| Decided {
                from: *from,
                to: *to,
                service: *service,
                policy: *policy,
            };
            cell.iter().map(decided).collect::<Vec<_>>()
        })
    });
    Ok(all.collect())
}

fn places(rules: &[Rule], holds: impl Fn(&Rule) -> bool) -> Vec<usize> {
    rules.iter().enumerate().filter(|(_, rule)| holds(rule)).map(|(at, _)| at).collect()
}

fn row(rules: &[Rule], active: &[usize]) -> Row {
    let active: Vec<&Rule> = active.iter().filter_map(|at| rules.get(*at)).collect();
    let mut row = Row::new();
    for span in between(active.iter().flat_map(|rule| rule.to.iter())) {
        let cell = cell(active.iter().copied().filter(|rule| rule.to.contains(span.0)));
        match row.last_mut() {
            _ if cell.is_empty() => {}
            Some((before, same)) if before.1.checked_add(1) == Some(span.0) && *same == cell => {
                before.1 = span.1;
            }
            Some(_) | None => row.push((span, cell)),
        }
    }
    row
}

/// Returns what rules, which are in order, decide of what some of them are about.
fn decide<'r>(rules: impl Iterator<Item = &'r Rule>) -> Option<usize> {
    let mut spared = None;
    for rule in rules {
        match rule.weight {
            Weight::Full => return Some(rule.policy),
            Weight::Spares => drop(spared.get_or_insert(rule.policy)),
            Weight::Spared if spared.is_some() => {}
            Weight::Spared => return Some(rule.policy),
        }
    }
    spared
}

/// Returns what rules decide for one sender and one receiver.
fn cell<'r>(rules: impl Iterator<Item = &'r Rule>) -> Vec<(Option<Service>, usize)> {
    let mut active: Vec<&Rule> = vec![];
    for rule in rules {
        active.push(rule);
        // What comes after decides nothing.
        if rule.services.is_empty() && rule.weight == Weight::Full {
            break;
        }
    }
    let rest = decide(active.iter().copied().filter(|rule| rule.services.is_empty()));
    let mut cell = vec![];
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let ports = |rule: &Rule| {
            let services = rule.services.iter().filter(|service| service.protocol == protocol);
            Spans::of(services.map(|it| (u128::from(it.first), u128::from(it.last))).collect())
        };
        let rules: Vec<(&Rule, Spans)> = active.iter().map(|rule| (*rule, ports(rule))).collect();
        let mut segments: Vec<(Span, usize)> = vec![];
        for span in between(rules.iter().flat_map(|(_, ports)| ports.iter())) {
            let is_about =
                |(rule, ports): &&(&Rule, Spans)| rule.services.is_empty() || ports.contains(span.0);
            let decided = decide(rules.iter().filter(is_about).map(|(rule, _)| *rule));
            let Some(policy) = decided.filter(|policy| rest != Some(*policy)) else { continue };
            match segments.last_mut() {
                Some((before, same)) if before.1 + 1 == span.0 && *same == policy => before.1 = span.1,
                Some(_) | None => segments.push((span, policy)),
            }
        }
        cell.extend(segments.into_iter().map(|((first, last), policy)| {
            let port = |port: u128| u16::try_from(port).unwrap_or(u16::MAX);
            (Some(Service { protocol, first: port(first), last: port(last) }), policy)
        }));
    }
    cell.extend(rest.map(|policy| (None, policy)));
    cell
}

/// Returns the spans between all beginnings and ends, in order; also those that are in none of the given ones.
fn between(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut cuts: Vec<u128> = vec![];
    for (first, last) in spans {
        cuts.push(first);
        cuts.extend(last.checked_add(1));
    }
    cuts.sort_unstable();
    cuts.dedup();
    let ends = cuts.iter().skip(1).map(|next| next - 1).chain([u128::MAX]);
    cuts.iter().copied().zip(ends).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the first rule that matches says: the meaning of the list.
    fn meant(
        rules: &[Rule],
        from: u128,
        to: u128,
        (protocol, port): (Option<Protocol>, u16),
    ) -> Option<usize> {
        let is_about = |service: &Service| {
            Some(service.protocol) == protocol && (service.first..=service.last).contains(&port)
        };
        let matches = |rule: &&Rule| {
            rule.from.contains(from)
                && rule.to.contains(to)
                && (rule.services.is_empty() || rule.services.iter().any(is_about))
        };
        let matching: Vec<&Rule> = rules.iter().filter(matches).collect();
        let is_spared = |at: usize| matching[..at].iter().any(|rule| rule.weight == Weight::Spares);
        let decides = |(at, rule): &(usize, &&Rule)| match rule.weight {
            Weight::Full => true,
            Weight::Spares => false,
            Weight::Spared => !is_spared(*at),
        };
        let decided = matching.iter().enumerate().find(decides).map(|(_, rule)| rule.policy);
        let spared = || matching.iter().find(|rule| rule.weight == Weight::Spares).map(|rule| rule.policy);
        decided.or_else(spared)
    }

    /// What the boxes say, looked up as the kernel does: ports first.
    fn found(all: &[Decided], from: u128, to: u128, (protocol, port): (Option<Protocol>, u16)) -> Vec<usize> {
        let here =
            |it: &&Decided| (it.from.0..=it.from.1).contains(&from) && (it.to.0..=it.to.1).contains(&to);
        let about = |service: Service| {
            Some(service.protocol) == protocol && (service.first..=service.last).contains(&port)
        };
        let by_port: Vec<usize> =
            all.iter().filter(here).filter(|it| it.service.is_some_and(about)).map(|it| it.policy).collect();
        if !by_port.is_empty() {
            return by_port;
        }
        all.iter().filter(here).filter(|it| it.service.is_none()).map(|it| it.policy).collect()
    }

    fn some_spans() -> impl Strategy<Value = Spans> {
        let span = (0_u128..40, 0_u128..12).prop_map(|(first, length)| (first, first + length));
        // The last address of all has none behind it.
        let edge = prop_oneof![9 => span, 1 => Just((40, u128::MAX))];
        prop::collection::vec(edge, 1..4).prop_map(Spans::of)
    }

    fn some_services() -> impl Strategy<Value = Vec<Service>> {
        let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
        let service = (protocol, 1_u16..20, 0_u16..9).prop_map(|(protocol, first, length)| Service {
            protocol,
            first,
            last: first + length,
        });
        prop_oneof![1 => Just(vec![]), 2 => prop::collection::vec(service, 1..4)]
    }

    fn some_rules() -> impl Strategy<Value = Vec<Rule>> {
        let weight =
            prop_oneof![3 => Just(Weight::Full), 1 => Just(Weight::Spares), 1 => Just(Weight::Spared)];
        let rule = (some_spans(), some_spans(), some_services(), weight);
        prop::collection::vec(rule, 0..9).prop_map(|rules| {
            let numbered = rules.into_iter().enumerate();
            let rule = |(policy, (from, to, services, weight))| Rule { policy, from, to, services, weight };
            numbered.map(rule).collect()
        })
    }

    proptest! {
        #[test]
        fn boxes_say_what_the_first_rule_that_matches_says(
            rules in some_rules(),
            probes in prop::collection::vec((0_u128..60, 0_u128..60, 0_u8..3, 1_u16..35), 40),
        ) {
            let all = flatten(&rules, usize::MAX).unwrap();
            for (from, to, protocol, port) in probes {
                let protocol = [None, Some(Protocol::Tcp), Some(Protocol::Udp)][usize::from(protocol)];
                let want: Vec<usize> = meant(&rules, from, to, (protocol, port)).into_iter().collect();
                prop_assert_eq!(found(&all, from, to, (protocol, port)), want);
            }
        }

        #[test]
        fn no_two_boxes_of_one_kind_overlap(rules in some_rules()) {
            let all = flatten(&rules, usize::MAX).unwrap();
            let meet = |a: Span, b: Span| a.0 <= b.1 && b.0 <= a.1;
            for (at, one) in all.iter().enumerate() {
                for two in all.iter().skip(at + 1) {
                    let services = match (one.service, two.service) {
                        (None, None) => true,
                        (Some(a), Some(b)) => {
                            a.protocol == b.protocol && a.first <= b.last && b.first <= a.last
                        }
                        (Some(_), None) | (None, Some(_)) => false,
                    };
                    prop_assert!(!(services && meet(one.from, two.from) && meet(one.to, two.to)), "{one:?} {two:?}");
                }
            }
        }
    }

    #[test]
    fn more_boxes_than_allowed_are_refused() {
        let rule = |at: u128| Rule {
            policy: usize::try_from(at).unwrap(),
            from: Spans::of(vec![(at * 2, at * 2)]),
            to: Spans::of(vec![(at * 2, at * 2)]),
            services: vec![],
            weight: Weight::Full,
        };
        let rules: Vec<Rule> = (0..5).map(rule).collect();

        assert_eq!(flatten(&rules, 5).map(|all| all.len()), Ok(5));
        assert_eq!(flatten(&rules, 4), Err(TooMany));
    }
}
