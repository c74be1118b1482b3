//! Qdiscs of the host: what limits the links of ours, and what leads to a limit.
//!
//! They are asked for where there may be any of ours: the links tell which have a bucket at their root, and whoever limits
//! what a container sends has a link of its own for that.

mod wire;

use std::collections::BTreeSet;

use rustix::io::Errno;

use super::answer::LinkAnswer;
use super::links::{NEW, Outcome, channel, found, send, send_unless};
use super::live::Live;
use super::netlink::{Blocking, Channel, Refusal};
use super::reading::NsReading;
use super::sight::Sight;
use super::whose::OwnLinks;
use super::{FailureKind, OpError, Scope};
use crate::names::IfName;
use crate::resource::netns::NsRef;
use crate::resource::qdisc::{Bucket, Direction, Hook, NUMBER, Qdisc, QdiscKind};
use crate::resource::state::Foreign;
use crate::resource::{Resource, ResourceId, Slot};
use wire::{Place, Told};

/// A qdisc of a link of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QdiscAnswer {
    /// The index of the link.
    pub(crate) index: u32,
    /// What it is.
    pub(crate) what: What,
}

/// What a qdisc is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A bucket of ours.
    Bucket(Bucket),
    /// Another one at the root, which somebody has put there.
    Theirs(smol_str::SmolStr),
    /// Our filter of what comes in: the index of the link that it leads to, 0 when that is gone.
    Diversion(u32),
    /// Room for filters of what comes in, without any.
    Empty,
    /// Filters of others that take what comes in before ours does: the preference of the first of them.
    Before(u16),
}

/// Which links' qdiscs matter.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// Links that are named.
    pub(super) named: BTreeSet<IfName>,
    /// The mark that links of ours begin with.
    pub(super) mark: String,
}

impl Asked {
    /// Returns what a scope asks for.
    pub(super) fn by(scope: &Scope) -> Self {
        Self { named: scope.limited.clone(), mark: format!("netform:{}:", scope.project) }
    }

    fn is_ours(&self, link: &LinkAnswer) -> bool {
        link.alias.starts_with(&self.mark)
    }

    /// Returns the indexes of the links whose qdiscs matter; none when there is no sign of a limit.
    fn among(&self, links: &[LinkAnswer]) -> BTreeSet<u32> {
        let is_named = |link: &LinkAnswer| {
            !self.named.is_empty() && link.ifname().is_some_and(|name| self.named.contains(&name))
        };
        let is_sign = |link: &LinkAnswer| (link.has_bucket || link.kind == "ifb") && self.is_ours(link);
        if !links.iter().any(|link| is_named(link) || is_sign(link)) {
            return BTreeSet::new();
        }
        let all = links.iter().filter(|link| is_named(link) || self.is_ours(link));
        all.map(|link| link.index).collect()
    }
}

/// Reads the qdiscs of the links that matter.
pub(super) fn read(
    socket: &mut Blocking,
    links: &[LinkAnswer],
    asked: &Asked,
) -> Result<Vec<QdiscAnswer>, Refusal> {
    let asked = asked.among(links);
    if asked.is_empty() {
        return Ok(vec![]);
    }
    let mut answers = vec![];
    for Told { index, at } in socket.dump(wire::all(), wire::qdisc)? {
        if !asked.contains(&index) {
            continue;
        }
        let what = match at {
            Place::Ours(bucket) => vec![What::Bucket(bucket)],
            Place::Theirs(kind) => vec![What::Theirs(kind)],
            Place::Incoming(kind) => match socket.dump(wire::filters(index), wire::filter_told) {
                Ok(filters) => incoming(&filters, &kind),
                // It went away while we looked.
                Err(Refusal::Kernel { errno: Errno::NODEV | Errno::INVAL, said: _ }) => vec![],
                Err(refusal) => return Err(refusal),
            },
        };
        answers.extend(what.into_iter().map(|what| QdiscAnswer { index, what }));
    }
    Ok(answers)
}

fn incoming(filters: &[(u16, Option<u32>)], kind: &str) -> Vec<What> {
    let first = filters.iter().map(|(priority, _)| *priority).filter(|it| *it < NUMBER).min();
    let mut ours = filters.iter().filter(|(priority, _)| *priority == NUMBER).peekable();
    let own = if ours.peek().is_some() {
        Some(What::Diversion(ours.find_map(|(_, to)| *to).unwrap_or(0)))
    } else {
        (filters.is_empty() && kind == "ingress").then_some(What::Empty)
    };
    own.into_iter().chain(first.map(What::Before)).collect()
}

/// Returns the indexes of the links that lead what comes in to another one, with that one's.
pub(super) fn detours(qdiscs: &[QdiscAnswer]) -> impl Iterator<Item = (u32, u32)> {
    qdiscs.iter().filter_map(|QdiscAnswer { index, what }| match what {
        What::Diversion(0) | What::Bucket(_) | What::Theirs(_) | What::Empty | What::Before(_) => None,
        What::Diversion(to) => Some((*index, *to)),
    })
}

/// Notes the qdiscs on our links, ours and those of others.
pub(super) fn see(observed: &mut Sight, host: &NsReading, own: &OwnLinks, scope: &Scope) {
    for QdiscAnswer { index, what } in &host.qdiscs {
        let Some((link, owner)) = own.get(index) else { continue };
        let is_detour = host.links.iter().any(|link| link.index == *index && link.kind == "ifb");
        let direction = if is_detour { Direction::Egress } else { Direction::Ingress };
        let kind = match what {
            What::Bucket(bucket) => QdiscKind::Limit(direction, *bucket),
            What::Diversion(to) => {
                let to = host.links.iter().find(|link| link.index == *to);
                QdiscKind::Diversion(to.and_then(LinkAnswer::ifname))
            }
            // Nobody says whose it is: whoever lost a filter has it still.
            What::Empty if scope.limited.contains(link) => QdiscKind::Diversion(None),
            What::Empty => continue,
            What::Before(preference) => {
                // Without a limit nothing of ours is behind them.
                if scope.limited.contains(link) {
                    let what = format!("filter (pref {preference}) on {link}");
                    let foreign = Foreign { what, owner: None, on: Some(owner.clone()), bears: None };
                    observed.foreign.insert(Slot::Filtered(link.clone()), foreign);
                }
                continue;
            }
            What::Theirs(kind) => {
                let what = format!("qdisc {kind} on {link}");
                let foreign = Foreign { what, owner: None, on: Some(owner.clone()), bears: None };
                let id = ResourceId::Qdisc(link.clone(), Hook::Root);
                observed.foreign.insert(Slot::Object(id), foreign);
                continue;
            }
        };
        let qdisc = Resource::Qdisc(Qdisc { link: link.clone(), kind });
        observed.insert(qdisc, owner.clone());
    }
}

/// Makes a limit, or leads packets to one.
pub(super) async fn create(live: &Live, qdisc: &Qdisc) -> Outcome {
    let host = channel(live, &NsRef::Host)?;
    let index = found(host, &qdisc.link)?;
    match &qdisc.kind {
        QdiscKind::Limit(_, bucket) => host
            .request(wire::limit(index, bucket), NEW)
            .await
            .map_err(|error| lacking(error, "token buckets (sch_tbf)")),
        QdiscKind::Diversion(to) => {
            let to = to.as_ref().map(|to| found(host, to)).transpose()?;
            let made = match host.request(wire::incoming(index), NEW).await {
                Ok(()) => true,
                Err(refusal) if refusal.errno() == Some(Errno::EXIST) => false,
                Err(refusal) => return Err(lacking(refusal, "queues for what comes in (sch_ingress)")),
            };
            let led = divert(host, index, to).await;
            if led.is_err() && made {
                let _ = host.request(wire::no_incoming(index), 0).await;
            }
            led
        }
    }
}

async fn divert(host: &Channel, index: u32, to: Option<u32>) -> Outcome {
    let Some(to) = to else { return Ok(()) };
    let led = host.request(wire::divert(index, to), NEW).await;
    led.map_err(|refusal| lacking(refusal, "filters that redirect (cls_u32, act_mirred)"))
}

/// Changes a limit, or where packets are led to.
pub(super) async fn update(live: &Live, qdisc: &Qdisc) -> Outcome {
    let host = channel(live, &NsRef::Host)?;
    let index = found(host, &qdisc.link)?;
    match &qdisc.kind {
        QdiscKind::Limit(_, bucket) => send(host, wire::limit(index, bucket), 0).await,
        QdiscKind::Diversion(to) => {
            let to = to.as_ref().map(|to| found(host, to)).transpose()?;
            send_unless(host, wire::no_divert(index), &[Errno::NOENT, Errno::INVAL]).await?;
            divert(host, index, to).await
        }
    }
}

/// Removes a limit, or lets packets in as they come.
pub(super) async fn delete(live: &Live, qdisc: &Qdisc) -> Outcome {
    /// What is gone already.
    const GONE: [Errno; 3] = [Errno::NODEV, Errno::NOENT, Errno::INVAL];
    let host = channel(live, &NsRef::Host)?;
    let index = match host.index(&qdisc.link) {
        Err(refusal) if refusal.errno() == Some(Errno::NODEV) => return Ok(()),
        index => index?,
    };
    match qdisc.kind {
        QdiscKind::Limit(..) => send_unless(host, wire::no_limit(index), &GONE).await,
        QdiscKind::Diversion(_) => {
            send_unless(host, wire::no_divert(index), &GONE).await?;
            // Others may have filters there as well.
            match host.dump(wire::filters(index), wire::filter_told) {
                Ok(filters) if filters.is_empty() => send_unless(host, wire::no_incoming(index), &GONE).await,
                Ok(_) => Ok(()),
                Err(refusal) if refusal.errno().is_some_and(|errno| GONE.contains(&errno)) => Ok(()),
                Err(refusal) => Err(refusal.into()),
            }
        }
    }
}

/// Says what the kernel lacks: of a kind that it does not know it says that there is none (`tc_modify_qdisc()` in Linux
/// `net/sched/sch_api.c`, `tc_new_tfilter()` in `net/sched/cls_api.c`).
fn lacking(refusal: Refusal, what: &str) -> OpError {
    let lacks = refusal.errno() == Some(Errno::NOENT);
    let OpError { kind, message } = refusal.into();
    if lacks {
        OpError { kind: FailureKind::Missing, message: format!("the kernel has no {what}: {message}") }
    } else {
        OpError { kind, message }
    }
}
