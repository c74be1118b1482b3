//! Carrying out a wave: grouped by kind and namespace, many requests in flight, one result for each operation.

use std::collections::BTreeSet;
use std::io;

use futures_util::{StreamExt, stream};

use super::live::Live;
use super::netlink::Refusal;
use super::{Op, OpError, conntrack, file, links, netns, nft, sysctl};
use crate::names::NetnsName;
use crate::resource::Resource;
use crate::resource::link::LinkKind;
use crate::resource::netns::{Netns, NsRef};
use crate::resource::owner::Mark;
use crate::resource::state::Entry;
use crate::resource::sysctl::Sysctl;

/// How many operations are in flight at a time. Each has at most three answers waiting for us, and all of them fit into
/// a socket's receive buffer of the default size.
const IN_FLIGHT: usize = 64;

type Outcome = Result<(), OpError>;
/// An operation and its place in the wave.
type Placed<'a> = (usize, &'a Op);

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
}

/// Carries out a wave.
pub(super) async fn execute(live: &mut Live, wave: &[Op]) -> Vec<Outcome> {
    let groups = group(live, wave);
    let mut outcomes: Vec<(usize, Outcome)> = create_namespaces(groups.new_namespaces).await;
    outcomes.extend(write_sysctls(groups.sysctls).await);
    outcomes.extend(groups.files.into_iter().map(|(place, op)| (place, write_file(op))));
    outcomes.extend(requests(live, groups.requests).await);
    outcomes.extend(links::delete(live, groups.deleted_links).await);
    outcomes.extend(delete_namespaces(live, groups.old_namespaces).await);
    if !groups.nft.is_empty() {
        let (places, ops): (Vec<_>, Vec<_>) = groups.nft.into_iter().unzip();
        let done = nft::execute(&ops).await;
        // A transaction is done or not done as a whole.
        if done.iter().all(Result::is_ok) {
            conntrack::forget_stale(&ops).await;
        }
        outcomes.extend(places.into_iter().zip(done));
    }
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn group<'a>(live: &Live, wave: &'a [Op]) -> Groups<'a> {
    let mut groups = Groups::default();
    for (place, op) in wave.iter().enumerate() {
        match op {
            Op::Create(Entry { resource: Resource::Netns(Netns { name, whole: _ }), owner, .. }) => {
                groups.new_namespaces.push((place, name.clone(), live.mark(owner)));
            }
            Op::Delete(Entry { resource: Resource::Netns(Netns { name, whole: _ }), .. }) => {
                groups.old_namespaces.push((place, name.clone()));
            }
            Op::Delete(Entry { resource: Resource::Link(_), .. }) => groups.deleted_links.push((place, op)),
            Op::Create(entry) | Op::Update { from: _, to: entry } | Op::Delete(entry) => {
                match &entry.resource {
                    Resource::Sysctl(sysctl) => groups.sysctls.push((place, sysctl.clone())),
                    Resource::File(_) => groups.files.push((place, op)),
                    Resource::NftTable(_) | Resource::NftElement(_) => groups.nft.push((place, op)),
                    Resource::Netns(_) | Resource::Link(_) | Resource::Address(_) | Resource::Route(_) => {
                        groups.requests.push((place, op));
                    }
                }
            }
        }
    }
    groups
}

/// Makes namespaces on two threads: it is the one thing that the kernel does faster that way.
async fn create_namespaces(mut first: Vec<(usize, NetnsName, Mark)>) -> Vec<(usize, Outcome)> {
    if first.is_empty() {
        return vec![];
    }
    let places: Vec<_> = first.iter().map(|(place, _, _)| *place).collect();
    let all_failed = |error: io::Error| {
        let error = OpError::from(Refusal::Socket(error));
        places.iter().map(|place| (*place, Err(error.clone()))).collect()
    };
    if let Err(error) = netns::prepare_directory() {
        return all_failed(io::Error::new(error.kind(), format!("{}: {error}", netns::DIR)));
    }
    let second = first.split_off(first.len() / 2);
    let make = |namespaces: Vec<(usize, NetnsName, Mark)>| {
        netns::on_thread(move || {
            let made = |(place, name, mark)| (place, netns::create(&name, &mark).map_err(OpError::from));
            namespaces.into_iter().map(made).collect::<Vec<_>>()
        })
    };
    match tokio::try_join!(make(first), make(second)) {
        Ok((first, second)) => first.into_iter().chain(second).collect(),
        Err(error) => all_failed(error),
    }
}

async fn delete_namespaces(live: &mut Live, namespaces: Vec<(usize, NetnsName)>) -> Vec<(usize, Outcome)> {
    if namespaces.is_empty() {
        return vec![];
    }
    let names: Vec<_> = namespaces.iter().map(|(_, name)| name.clone()).collect();
    let pairs = links::pairs_into(names.iter().cloned().collect()).await;
    live.leave(&names).await;
    let outcomes = namespaces
        .into_iter()
        .map(|(place, name)| (place, netns::delete(&name).map_err(|error| Refusal::Socket(error).into())))
        .collect();
    links::wait_until_gone(pairs).await;
    outcomes
}

async fn write_sysctls(sysctls: Vec<(usize, Sysctl)>) -> Vec<(usize, Outcome)> {
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

fn write_file(op: &Op) -> Outcome {
    let done = match op {
        Op::Create(Entry { resource: Resource::File(new), .. }) => file::create(new),
        Op::Update { from: _, to: Entry { resource: Resource::File(new), .. } } => file::update(new),
        Op::Delete(Entry { resource: Resource::File(old), .. }) => file::delete(&old.path),
        Op::Create(_) | Op::Update { .. } | Op::Delete(_) => Ok(()),
    };
    done.map_err(|error| Refusal::Socket(error).into())
}

/// Sends requests about links, addresses and routes, as many at a time as there may be sockets.
async fn requests(live: &mut Live, ops: Vec<Placed<'_>>) -> Vec<(usize, Outcome)> {
    let mut outcomes = vec![];
    let mut rest = ops.as_slice();
    while !rest.is_empty() {
        let (count, namespaces) = fitting(rest, live.most_channels());
        if namespaces.iter().filter(|ns| !live.channels.contains_key(ns)).count() + live.channels.len()
            > live.most_channels()
        {
            live.close_channels().await;
        }
        let failed = live.open_channels(namespaces).await;
        let (now, later) = rest.split_at(count);
        let (live, failed) = (&*live, &failed);
        let done = stream::iter(now).map(|(place, op)| async move {
            let closed = namespaces_of(op).into_iter().find_map(|ns| failed.get(&ns));
            (
                *place,
                match closed {
                    Some(closed) => closed.outcome(op),
                    None => links::carry_out(live, op).await,
                },
            )
        });
        outcomes.extend(done.buffer_unordered(IN_FLIGHT).collect::<Vec<_>>().await);
        rest = later;
    }
    outcomes
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
fn namespaces_of(op: &Op) -> Vec<NsRef> {
    let (Op::Create(entry) | Op::Update { from: _, to: entry } | Op::Delete(entry)) = op;
    let peer = match &entry.resource {
        Resource::Link(link) => match &link.kind {
            LinkKind::Veth(peer) => Some(peer.ns.clone()),
            LinkKind::Bridge | LinkKind::Other(_) => None,
        },
        Resource::Netns(netns) => Some(NsRef::Named(netns.name.clone())),
        Resource::Address(_)
        | Resource::Route(_)
        | Resource::Sysctl(_)
        | Resource::NftTable(_)
        | Resource::NftElement(_)
        | Resource::File(_) => None,
    };
    std::iter::once(op.id().ns()).chain(peer).collect()
}
