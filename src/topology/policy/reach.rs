//! What policies leave of an external address to those outside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::spans::{Spans, number, span};
use super::{Policies, Way};
use crate::resource::owner::Owner;
use crate::resource::policy::{Verdict, said};
use crate::resource::sysctl::Family;
use crate::topology::{External, Topology};

/// Who outside reaches a container at its external address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Everybody, everything.
    Everybody,
    /// Everybody, but for what these policies close.
    Except(Vec<String>),
    /// Nobody, but for what these policies open, as far as these before them do not close it.
    Only(Vec<String>, Vec<String>),
}

impl Topology {
    /// Returns what external addresses and policies open that says less than it seems, in words, by the resource.
    pub fn effects(&self) -> BTreeMap<String, String> {
        let idle =
            self.policies.idle.iter().map(|(name, why)| {
                (Owner::Policy(name.clone()).to_string(), format!("opens nothing: {why}"))
            });
        let attachments = self.containers.iter().flat_map(|container| &container.attachments);
        let external = attachments.flat_map(|attachment| &attachment.external);
        let external = external.filter_map(|External { origin: _, address, target, seat: _ }| {
            let words = match self.reach(*target) {
                Reach::Everybody => return None,
                Reach::Except(closed) => {
                    format!(
                        "opens: everything at {address}, from everybody, but what policies close: {}",
                        closed.join("; ")
                    )
                }
                Reach::Only(open, _) if open.is_empty() => {
                    format!("opens nothing at {address} to others: policies close it")
                }
                Reach::Only(open, closed) => {
                    let but = if closed.is_empty() {
                        String::new()
                    } else {
                        format!(", but what those before them close: {}", closed.join("; "))
                    };
                    format!("opens: at {address} what policies allow: {}{but}", open.join("; "))
                }
            };
            Some((Owner::External(*address).to_string(), words))
        });
        idle.chain(external).collect()
    }

    /// Returns who outside reaches all of an address of a container.
    pub fn reach(&self, target: IpAddr) -> Reach {
        let Policies { all, decided, .. } = &self.policies;
        let family = Family::of(target);
        let subnets = self.networks.iter().filter(|network| network.is_judged()).flat_map(|it| &it.subnets);
        let inside =
            subnets.filter(|subnet| Family::of(subnet.cidr.addr()) == family).map(|it| span(it.cidr));
        let outside = Spans::all(family).without(&Spans::of(inside.collect()));
        let (mut closed, mut whole) = (BTreeSet::new(), vec![]);
        let mut open = BTreeSet::new();
        for it in decided {
            let Way::Between(from, to) = it.way else { continue };
            let about = to.first.is_ipv4() == target.is_ipv4() && (to.first..=to.last).contains(&target);
            let from = (number(from.first), number(from.last));
            let Some(policy) = all.get(it.policy).filter(|_| about) else { continue };
            let rest = Spans::of(vec![from]);
            if rest.without(&outside) == rest {
                continue;
            }
            match policy.verdict {
                Verdict::Allow => drop(open.insert(it.policy)),
                Verdict::Deny => {
                    closed.insert(it.policy);
                    whole.extend(it.service.is_none().then_some(from));
                }
            }
        }
        let words = |which: &BTreeSet<usize>| -> Vec<String> {
            let policies = which.iter().filter_map(|number| all.get(*number));
            policies.filter_map(|policy| said(&policy.name)).map(|said| said.way).collect()
        };
        if closed.is_empty() {
            return Reach::Everybody;
        }
        // Who is let in altogether has nothing denied of what is left, so that he is among those of `open`.
        let allowed = decided.iter().filter(|it| it.service.is_none() && open.contains(&it.policy));
        let allowed = allowed.filter_map(|it| match it.way {
            Way::Between(from, to) if (to.first..=to.last).contains(&target) => {
                Some((number(from.first), number(from.last)))
            }
            Way::Between(..) | Way::ToHost(..) | Way::FromHost(_) => None,
        });
        let decided: Spans = Spans::of(whole.into_iter().chain(allowed).collect());
        if outside.without(&decided).is_empty() {
            let last = open.last().copied().unwrap_or_default();
            Reach::Only(words(&open), words(&closed.into_iter().filter(|closed| *closed < last).collect()))
        } else {
            Reach::Except(words(&closed))
        }
    }
}
