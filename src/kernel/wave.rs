//! Carrying out a wave: grouped by kind and namespace, many requests in flight, one result for each operation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;

use super::announce::{self, Bulletin};
use super::answer::LinkAnswer;
use super::live::{Closed, Live};
use super::netlink::Refusal;
use super::{Op, OpError, conntrack, file, kept, links, netns, nft, ovsdb, pair, sysctl};
use crate::names::{IfName, NetnsName};
use crate::resource::Resource;
use crate::resource::link::LinkKind;
use crate::resource::netns::{Netns, NsRef};
use crate::resource::owner::Mark;
use crate::resource::state::Entry;
use crate::resource::sysctl::Sysctl;

/// How many files take longer than to begin a thread.
const MANY_FILES: usize = 32;

pub(super) type Outcome = Result<(), OpError>;
/// An operation and its place in the wave.
pub(super) type Placed<'a> = (usize, &'a Op);

/// The operations of a wave by how they are done.
#[derive(Default)]
struct Groups<'a> {
    new_namespaces: Vec<(usize, NetnsName, Mark)>,
    old_namespaces: Vec<(usize, NetnsName)>,
    requests: Vec<Placed<'a>>,
    deleted_links: Vec<Placed<'a>>,
    sysctls: Vec<(usize, Sysctl)>,
    files: Vec<Placed<'a>>,
    nft: Vec<Placed<'a>>,
    passages: Vec<Placed<'a>>,
}

/// Carries out a wave.
pub(super) async fn execute(live: &mut Live, wave: &[Op]) -> Vec<Outcome> {
    let settled = ovsdb::before(live, wave).await;
    let groups = group(live, wave, &settled);
    let links = async {
        let mut outcomes: Vec<(usize, Outcome)> = create_namespaces(live, groups.new_namespaces).await;
        outcomes.extend(write_sysctls(groups.sysctls).await);
        outcomes.extend(requests(live, groups.requests).await);
        outcomes.extend(settled);
        put_ports(live, wave, &mut outcomes).await;
        outcomes.extend(delete(live, groups.deleted_links, groups.old_namespaces).await);
        outcomes
    };
    let (files, mut outcomes) = tokio::join!(write_files(groups.files), links);
    outcomes.extend(files);
    outcomes.extend(firewall(live, groups.nft, groups.passages).await);
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Carries out what is in our firewall, as one transaction, and then what is in that of Docker.
pub(super) async fn firewall(
    live: &mut Live,
    nft: Vec<Placed<'_>>,
    passages: Vec<Placed<'_>>,
) -> Vec<(usize, Outcome)> {
    let (mut outcomes, mut refused) = (vec![], None);
    if !nft.is_empty() {
        let (places, ops): (Vec<_>, Vec<_>) = nft.into_iter().unzip();
        let done = nft::execute(&ops).await;
        // A transaction is done or not done as a whole.
        if done.iter().all(Result::is_ok) {
            conntrack::forget_stale(&ops).await;
            live.gone.note_gone(&ops);
        }
        refused = done.iter().find_map(|outcome| outcome.clone().err());
        outcomes.extend(places.into_iter().zip(done));
    }
    if !passages.is_empty() {
        let (places, ops): (Vec<_>, Vec<_>) = passages.into_iter().unzip();
        // Nothing passes Docker's firewall that ours does not judge.
        let done = match refused {
            None => nft::passages::execute(live.project(), &ops).await,
            Some(error) => ops.iter().map(|_| Err(error.clone())).collect(),
        };
        outcomes.extend(places.into_iter().zip(done));
    }
    outcomes
}

/// Makes ports of Open vSwitch of links that are there by now.
async fn put_ports(live: &Live, wave: &[Op], outcomes: &mut [(usize, Outcome)]) {
    let failed = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).map(|(place, _)| *place);
    let failed = failed.collect::<Vec<_>>();
    let mut refused = ovsdb::after(live, wave, &failed).await;
    for (place, outcome) in outcomes {
        if let Some(refusal) = refused.remove(place) {
            *outcome = refusal;
        }
    }
}

fn group<'a>(live: &Live, wave: &'a [Op], settled: &BTreeMap<usize, Outcome>) -> Groups<'a> {
    let mut groups = Groups::default();
    for (place, op) in wave.iter().enumerate().filter(|(place, _)| !settled.contains_key(place)) {
        match op {
            Op::Create(Entry {
                resource: Resource::Netns(Netns { name, whole: _, lo: _, loopback: _, lacks: _, stray: _ }),
                owner,
                ..
            }) => {
                groups.new_namespaces.push((place, name.clone(), live.mark(owner)));
            }
            Op::Delete(Entry {
                resource: Resource::Netns(Netns { name, whole: _, lo: _, loopback: _, lacks: _, stray: _ }),
                ..
            }) => {
                groups.old_namespaces.push((place, name.clone()));
            }
            // What is not of our making is given back.
            Op::Delete(Entry { resource: Resource::Link(link), .. }) if link.kind.device().is_none() => {
                groups.deleted_links.push((place, op));
            }
            Op::Create(entry) | Op::Update { from: _, to: entry } | Op::Delete(entry) => {
                match &entry.resource {
                    Resource::Sysctl(sysctl) => groups.sysctls.push((place, sysctl.clone())),
                    Resource::File(_) => groups.files.push((place, op)),
                    Resource::NftTable(_) | Resource::NftElement(_) => groups.nft.push((place, op)),
                    Resource::Passage(_) => groups.passages.push((place, op)),
                    Resource::Netns(_)
                    | Resource::Link(_)
                    | Resource::Address(_)
                    | Resource::Route(_)
                    | Resource::Neighbour(_)
                    | Resource::Qdisc(_) => groups.requests.push((place, op)),
                }
            }
        }
    }
    groups
}

/// Makes namespaces on two threads: it is the one thing that the kernel does faster that way. The sockets in them are
/// kept, since opening one costs as much as all that is asked of it.
async fn create_namespaces(
    live: &mut Live,
    mut first: Vec<(usize, NetnsName, Mark)>,
) -> Vec<(usize, Outcome)> {
    if first.is_empty() {
        return vec![];
    }
    let places: Vec<_> = first.iter().map(|(place, _, _)| *place).collect();
    let all_failed = |error: io::Error| {
        let error = OpError::from(Refusal::Socket(error));
        places.iter().map(|place| (*place, Err(error.clone()))).collect()
    };
    if let Err(error) = netns::ready_directory() {
        return all_failed(error);
    }
    let second = first.split_off(first.len() / 2);
    // Each thread holds as many sockets open as may be kept of it.
    let most = live.most_channels().saturating_sub(live.channels.len()) / 2;
    let make = |namespaces: Vec<(usize, NetnsName, Mark)>| {
        netns::on_thread(move || {
            let made = |(number, (place, name, mark)): (usize, (usize, NetnsName, Mark))| {
                let socket = netns::create(&name, &mark).map(|socket| Some(socket).filter(|_| number < most));
                (place, name, socket)
            };
            namespaces.into_iter().enumerate().map(made).collect::<Vec<_>>()
        })
    };
    let (first, second) = match tokio::try_join!(make(first), make(second)) {
        Ok(made) => made,
        Err(error) => return all_failed(error),
    };
    let kept = first.into_iter().chain(second).map(|(place, name, socket)| {
        let socket = socket.map_err(OpError::from);
        (place, socket.map(|socket| socket.into_iter().for_each(|socket| live.keep(name.clone(), socket))))
    });
    kept.collect()
}

/// Deletes links and namespaces. Pairs of ours that would die with a namespace go before it, together with the links: the
/// kernel removes what it is asked to remove sooner than what is left behind, and then there is nothing to wait for.
async fn delete(
    live: &mut Live,
    doomed: Vec<Placed<'_>>,
    namespaces: Vec<(usize, NetnsName)>,
) -> Vec<(usize, Outcome)> {
    if namespaces.is_empty() {
        return links::delete(live, doomed, vec![], None).await;
    }
    let names: Vec<_> = namespaces.iter().map(|(_, name)| name.clone()).collect();
    let there = pair::host_links().await;
    let pairs = pair::pairs_into(&names, there.as_deref().unwrap_or_default(), live.numbers()).await;
    let is_ours = |link: &LinkAnswer| link.mark().is_some_and(|mark| mark.project == *live.project());
    let ours = pairs.iter().filter(|link| is_ours(link)).filter_map(LinkAnswer::ifname).collect();
    // In a namespace that is kept alive, those of others live on.
    let kept = live.kept().map(Path::to_owned);
    let ending = pairs.iter().filter(|link| kept.is_none() || is_ours(link)).map(|link| link.index).collect();
    let mut outcomes = links::delete(live, doomed, ours, there).await;
    live.leave(&names);
    let delete = |name: &NetnsName| {
        if let Some(dir) = &kept {
            kept::keep(dir, name)?;
        }
        netns::delete(name)
    };
    outcomes.extend(
        namespaces
            .into_iter()
            .map(|(place, name)| (place, delete(&name).map_err(|error| Refusal::Socket(error).into()))),
    );
    pair::wait_until_gone(ending).await;
    outcomes
}

pub(super) async fn write_sysctls(sysctls: Vec<(usize, Sysctl)>) -> Vec<(usize, Outcome)> {
    if sysctls.is_empty() {
        return vec![];
    }
    let (places, sysctls): (Vec<_>, Vec<_>) = sysctls.into_iter().unzip();
    let written = sysctl::write(sysctls).await;
    places
        .into_iter()
        .zip(written.into_iter().map(|outcome| outcome.map_err(|error| Refusal::Socket(error).into())))
        .collect()
}

/// Writes and removes files: many on a thread of their own, while the kernel makes or removes links and namespaces.
pub(super) async fn write_files(files: Vec<Placed<'_>>) -> Vec<(usize, Outcome)> {
    let written = |files: Vec<(usize, Op)>| -> Vec<(usize, Outcome)> {
        files.into_iter().map(|(place, op)| (place, write_file(&op))).collect()
    };
    let owned: Vec<_> = files.iter().map(|(place, op)| (*place, (*op).clone())).collect();
    if files.len() < MANY_FILES {
        return written(owned);
    }
    match netns::on_thread(move || written(owned)).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            let error = OpError::from(Refusal::Socket(error));
            files.into_iter().map(|(place, _)| (place, Err(error.clone()))).collect()
        }
    }
}

fn write_file(op: &Op) -> Outcome {
    let done = match op {
        Op::Create(Entry { resource: Resource::File(new), .. }) => file::create(new),
        Op::Update { from: _, to: Entry { resource: Resource::File(new), .. } } => file::update(new),
        Op::Delete(Entry { resource: Resource::File(old), .. }) => file::delete(old),
        Op::Create(_) | Op::Update { .. } | Op::Delete(_) => Ok(()),
    };
    done.map_err(|error| Refusal::Socket(error).into())
}

/// Sends requests about links, addresses and routes, with as many sockets open as there may be.
async fn requests(live: &mut Live, ops: Vec<Placed<'_>>) -> Vec<(usize, Outcome)> {
    let (mut outcomes, mut bulletin) = (vec![], Bulletin::new());
    let mut rest = ops.as_slice();
    while !rest.is_empty() {
        let (count, namespaces) = fitting(rest, live.most_channels());
        if namespaces.iter().filter(|ns| !live.channels.contains_key(ns)).count() + live.channels.len()
            > live.most_channels()
        {
            live.close_channels();
        }
        let failed = live.open_channels(namespaces).await;
        let (now, later) = rest.split_at(count);
        for (place, op) in now {
            outcomes.push((*place, carry_out(live, op, &failed, &mut bulletin).await));
        }
        rest = later;
    }
    announce::tell(bulletin).await;
    outcomes
}

/// Sends the requests of one operation, unless there is no socket where it is to be done; notes what neighbours are to be told.
pub(super) async fn carry_out(
    live: &Live,
    op: &Op,
    closed: &HashMap<NsRef, Closed>,
    bulletin: &mut Bulletin,
) -> Outcome {
    let outcome = match namespaces_of(op).into_iter().find_map(|ns| closed.get(&ns)) {
        Some(closed) => closed.outcome(op),
        None => links::carry_out(live, op).await,
    };
    if outcome.is_ok() {
        let link = |ns: &NsRef, name: &IfName| live.channels.get(ns)?.link(name).ok();
        announce::note(bulletin, op, link);
    }
    outcome
}

/// Returns how many of the first operations need at most `most` sockets, and in which namespaces.
fn fitting(ops: &[Placed<'_>], most: usize) -> (usize, BTreeSet<NsRef>) {
    let mut namespaces = BTreeSet::new();
    for (count, (_, op)) in ops.iter().enumerate() {
        let more = namespaces_of(op);
        if namespaces.len() + more.len() > most && count > 0 {
            return (count, namespaces);
        }
        namespaces.extend(more);
    }
    (ops.len(), namespaces)
}

/// Returns the namespaces that an operation sends requests to.
pub(super) fn namespaces_of(op: &Op) -> Vec<NsRef> {
    let (Op::Create(entry) | Op::Update { from: _, to: entry } | Op::Delete(entry)) = op;
    let peer = match &entry.resource {
        Resource::Link(link) => match &link.kind {
            LinkKind::Veth(peer) if link.ns == NsRef::Host => Some(peer.ns.clone()),
            // Of a pair between two containers, the host is told.
            LinkKind::Veth(peer) => return vec![link.ns.clone(), peer.ns.clone(), NsRef::Host],
            // It is made on its parent, or comes from there.
            LinkKind::Macvlan(_) | LinkKind::Ipvlan(_) | LinkKind::Device(_) => Some(NsRef::Host),
            LinkKind::Bridge
            | LinkKind::Vlan(_)
            | LinkKind::OpenVswitch(_)
            | LinkKind::Ifb
            | LinkKind::Other(_) => None,
        },
        Resource::Netns(netns) => Some(NsRef::Named(netns.name.clone())),
        Resource::Address(_)
        | Resource::Route(_)
        | Resource::Sysctl(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::Passage(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => None,
    };
    std::iter::once(op.id().ns()).chain(peer).collect()
}
