//! Our rules in `DOCKER-USER`, the chain that Docker leaves to the rules of users.
//!
//! They are in the form that `iptables` itself writes, which lists a table no more when it does not understand a rule of
//! it, and Docker with it: interfaces are compared byte by byte with the zero at the end, then come a counter and a verdict.
//! A rule of ours is known by the mark in its comment, also where `iptables-restore` has written it anew, as a match of its
//! own. All others stay as they are: rules come and go one by one, by the kernel's number, and nothing is ever written
//! back. Ours stand behind those of users, who may have reasons to drop what we accept, and before Docker's final `RETURN`.

mod wire;

use std::collections::{BTreeMap, BTreeSet};

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use rustix::io::Errno;

use super::unread;
use crate::kernel::netlink::{Blocking, Refusal};
use crate::kernel::{FailureKind, ObserveError, Op, OpError, count, netns};
use crate::names::{IfName, ProjectName};
use crate::resource::Resource;
use crate::resource::owner::{Mark, Owner};
use crate::resource::passage::{self, Passage};
use crate::resource::state::Entry;
use crate::resource::sysctl::Family;
use wire::{DELETE_RULE, HANDLE, NEW_RULE, POSITION, Rule, addressed, describe, placed, rules};

pub(crate) use wire::{CHAIN, TABLE};

/// How often a rule that somebody takes away at the same moment is looked for again.
const MOST_LOOKS: usize = 3;

/// What there is of `DOCKER-USER`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Passages {
    /// The project's rules.
    pub(super) own: Vec<Entry>,
    /// Whose chains are there.
    pub(super) chains: BTreeSet<Family>,
}

/// Returns the project's rules, and which chains are there.
pub(super) async fn read(project: &ProjectName) -> Result<Passages, ObserveError> {
    let project = project.clone();
    let read = netns::on_thread(move || {
        let mut socket = Blocking::open_netfilter()?;
        let mut passages = Passages::default();
        for family in [Family::Ipv4, Family::Ipv6] {
            let Some(rules) = rules(&mut socket, family)? else { continue };
            passages.chains.insert(family);
            passages.own.extend(entries(&project, family, &rules));
        }
        Ok(passages)
    });
    super::settled(read.await, || format!("the chains {CHAIN}"))
}

/// Carries out operations on rules, those of a family as one transaction: all of them, or none. What is gone already
/// counts as deleted.
pub(crate) async fn execute(project: &ProjectName, ops: &[&Op]) -> Vec<Result<(), OpError>> {
    let mut outcomes = BTreeMap::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let wish = Wish::of(project, family, ops);
        if !wish.is_empty() {
            count::transaction();
            let done = netns::on_thread(move || wish.carry_out()).await;
            let done = super::settled(done, || passage::chain(family).to_owned());
            outcomes.insert(family, done.map_err(|error| unread(&error)).flatten());
        }
    }
    let outcome = |op: &&Op| {
        let (Op::Create(entry) | Op::Delete(entry) | Op::Update { from: _, to: entry }) = op;
        passage(entry).and_then(|it| outcomes.get(&it.family)).cloned().unwrap_or(Ok(()))
    };
    ops.iter().map(outcome).collect()
}

fn passage(entry: &Entry) -> Option<&Passage> {
    match &entry.resource {
        Resource::Passage(passage) => Some(passage),
        Resource::Netns(_)
        | Resource::Link(_)
        | Resource::Address(_)
        | Resource::Route(_)
        | Resource::Sysctl(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => None,
    }
}

/// From which link to which.
type Way = (Option<IfName>, Option<IfName>);

/// What shall become of our rules in one chain.
#[derive(Debug)]
struct Wish {
    project: ProjectName,
    family: Family,
    /// What shall not be there, or not as it is.
    gone: BTreeSet<Way>,
    /// What shall be there, with whose it is.
    made: Vec<(Way, Owner)>,
}

impl Wish {
    fn of(project: &ProjectName, family: Family, ops: &[&Op]) -> Self {
        let mut wish = Self { project: project.clone(), family, gone: BTreeSet::new(), made: vec![] };
        for op in ops {
            let (Op::Create(entry) | Op::Delete(entry) | Op::Update { from: _, to: entry }) = op;
            let Some(passage) = passage(entry).filter(|it| it.family == family) else { continue };
            let way = (passage.from.clone(), passage.to.clone());
            match op {
                Op::Create(_) | Op::Update { .. } => wish.made.push((way.clone(), entry.owner.clone())),
                Op::Delete(_) => {}
            }
            wish.gone.insert(way);
        }
        wish
    }

    fn is_empty(&self) -> bool {
        self.gone.is_empty()
    }

    fn carry_out(&self) -> Result<Result<(), OpError>, Refusal> {
        let mut socket = Blocking::open_netfilter()?;
        let mut looks = 0;
        loop {
            let Some(rules) = rules(&mut socket, self.family)? else {
                let message = format!("there is no chain {}", passage::chain(self.family));
                let gone = Err(OpError { kind: FailureKind::Other, message });
                return Ok(if self.made.is_empty() { Ok(()) } else { gone });
            };
            let messages = self.messages(&rules);
            if messages.is_empty() {
                return Ok(Ok(()));
            }
            looks += 1;
            match socket.transaction(&messages) {
                Err(refusal) if refusal.errno() == Some(Errno::NOENT) && looks < MOST_LOOKS => {}
                done => return done.map(Ok),
            }
        }
    }

    fn messages(&self, rules: &[Rule]) -> Vec<((u16, u16), Vec<u8>)> {
        let is_ours = |rule: &&Rule| rule.mark.as_ref().is_some_and(|mark| mark.project == self.project);
        let gone = rules.iter().filter(is_ours).filter(|rule| self.gone.contains(&rule.way));
        let gone = gone.map(|rule| ((DELETE_RULE, 0), placed(self.family, HANDLE, &rule.handle)));
        let end = rules.iter().find(|rule| rule.returns);
        let made = self.made.iter().map(|(way, owner)| {
            let (flags, mut body) = match end {
                Some(end) => (NLM_F_CREATE, placed(self.family, POSITION, &end.handle)),
                None => (NLM_F_CREATE | NLM_F_APPEND, addressed(self.family)),
            };
            let mark = Mark { project: self.project.clone(), owner: owner.clone(), protected: false };
            describe(&mut body, way, &mark);
            ((NEW_RULE, flags), body)
        });
        gone.chain(made).collect()
    }
}

/// Returns the project's rules; one that is there twice is not as it should be.
fn entries(project: &ProjectName, family: Family, rules: &[Rule]) -> Vec<Entry> {
    let mut entries: BTreeMap<&Way, (Passage, Owner)> = BTreeMap::new();
    // What stands behind Docker's `RETURN` lets nothing pass.
    let last = rules.iter().position(|rule| rule.returns).unwrap_or(rules.len());
    for (place, rule) in rules.iter().enumerate() {
        let Some(mark) = rule.mark.as_ref().filter(|mark| mark.project == *project) else { continue };
        let (from, to) = rule.way.clone();
        let intact = rule.accepts && place < last;
        let twice = entries.get_mut(&rule.way).map(|(passage, _)| passage.intact = false).is_some();
        if !twice {
            let passage = Passage { family, from, to, intact };
            entries.insert(&rule.way, (passage, mark.owner.clone()));
        }
    }
    let entry = |(passage, owner)| Entry {
        resource: Resource::Passage(passage),
        owner,
        origin: None,
        ignore: vec![],
    };
    entries.into_values().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::wire::{comment, rule};
    use super::*;

    fn name(text: &str) -> Option<IfName> {
        IfName::try_from(text).ok()
    }

    fn mark(text: &str) -> Mark {
        Mark::parse(text).unwrap()
    }

    /// A rule as the kernel tells it.
    fn told(way: &Way, comment: &str) -> Rule {
        let mut body = placed(Family::Ipv4, HANDLE, &7_u64.to_be_bytes());
        describe(&mut body, way, &mark(comment));
        rule(&body).unwrap()
    }

    #[test]
    fn a_rule_is_read_back_as_it_was_written() {
        let way = (name("br-front"), name("eth0"));
        let rule = told(&way, "netform:shop:network.front");

        assert_eq!((&rule.way, rule.accepts, rule.returns), (&way, true, false));
        assert_eq!(rule.mark, Some(mark("netform:shop:network.front")));
    }

    #[test]
    fn a_rule_that_is_there_twice_or_behind_the_end_is_not_as_it_should_be_and_one_of_another_project_is_not_ours()
     {
        let ours = told(&(None, name("br-front")), "netform:shop:network.front");
        let other = told(&(None, name("br-back")), "netform:other:network.back");
        let end = Rule { mark: None, way: (None, None), accepts: false, returns: true, ..ours.clone() };
        let project = ProjectName::try_from("shop").unwrap();
        let seen = |rules: &[Rule]| {
            let entries = entries(&project, Family::Ipv4, rules).into_iter();
            entries.map(|it| passage(&it).unwrap().intact).collect::<Vec<_>>()
        };

        assert_eq!(seen(&[other.clone(), ours.clone(), end.clone()]), [true]);
        assert_eq!(seen(&[ours.clone(), ours.clone(), end.clone()]), [false]);
        assert_eq!(seen(&[end, ours, other]), [false]);
    }

    #[test]
    fn a_comment_is_found_among_what_programs_keep() {
        assert_eq!(comment(&[1, 2, 9, 9, 0, 3, b'h', b'i', 0]).as_deref(), Some("hi"));
        assert_eq!(comment(&[0, 9, b'h']), None);
    }
}
