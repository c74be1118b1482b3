//! Links, and who does the rest: what is asked of the kernel for each operation.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::time::Duration;

use futures_util::future::join_all;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;
use smol_str::SmolStr;

use super::live::Live;
use super::netlink::{Blocking, Channel, Refusal};
use super::{
    FailureKind, Op, OpError, addresses, answer, connected, device, lacks, link_local, message, neighbours,
    netns, ovsdb, pair, qdisc, renamed, routes, shared, silence, vlans,
};
use crate::names::IfName;
use crate::resource::Resource;
use crate::resource::amiss::PortFault;
use crate::resource::link::{Link, LinkKind, Peer};
use crate::resource::netns::NsRef;
use crate::resource::owner::{Mark, Owner};
use crate::resource::route::PROTOCOL;
use crate::resource::state::Entry;

/// How long the kernel may take to remove the links of a namespace that is gone (`cleanup_net()` runs later).
pub(super) const CLEANUP: Duration = Duration::from_millis(500);

pub(super) const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// The protocol numbers of addresses and routes that are typed by hand: `IFAPROT_UNSPEC`, `RTPROT_BOOT`.
pub(super) const NOBODYS_ADDRESS: u8 = 0;
pub(super) const NOBODYS_ROUTE: u8 = 3;

pub(super) type Outcome = Result<(), OpError>;

/// Carries out one operation on a link (deletions aside), an address or a route.
pub(super) async fn carry_out(live: &Live, op: &Op) -> Outcome {
    match op {
        Op::Create(Entry { resource, owner, .. }) => match resource {
            Resource::Link(link) => create(live, link, &marked(live, link, owner)).await,
            Resource::Address(address) => addresses::add(live, address, (owner, NEW)).await,
            Resource::Route(route) => routes::put(live, route, (owner, NEW)).await,
            Resource::Neighbour(new) => neighbours::add(live, new).await,
            Resource::Qdisc(new) => qdisc::create(live, new).await,
            other @ (Resource::Netns(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::File(_)) => Err(misplaced(other)),
        },
        Op::Update { from, to } => match (&from.resource, &to.resource) {
            (Resource::Link(old), Resource::Link(new)) => {
                let (was, mark) = (marked(live, old, &from.owner), marked(live, new, &to.owner));
                update(live, (old, &was), (new, &mark)).await
            }
            (Resource::Route(old), Resource::Route(new)) => {
                routes::replace(live, (old, &from.owner), (new, &to.owner)).await
            }
            (Resource::Address(old), Resource::Address(new)) if old.lost != new.lost => {
                connected::restore(live, old, new).await?;
                if (&from.owner, old.stray) == (&to.owner, new.stray) {
                    return Ok(());
                }
                addresses::add(live, new, (&to.owner, NLM_F_CREATE | NLM_F_REPLACE)).await
            }
            // Only the mark of these can change.
            (Resource::Address(_), Resource::Address(new)) => {
                addresses::add(live, new, (&to.owner, NLM_F_CREATE | NLM_F_REPLACE)).await
            }
            (Resource::Netns(old), Resource::Netns(new)) => {
                let there = channel(live, &NsRef::Named(new.name.clone()))?;
                if old.lo != new.lo {
                    send(there, message::loopback(new.lo), 0).await?;
                }
                if old.loopback != new.loopback {
                    set_loopback(there, new.loopback).await?;
                }
                lacks::restore(there, &NsRef::Named(new.name.clone()), &old.lacks, &new.lacks).await?;
                let words = written(new.stray.as_ref(), &live.mark(&to.owner));
                send(there, message::mark_namespace(&words), 0).await
            }
            (Resource::Qdisc(_), Resource::Qdisc(new)) => qdisc::update(live, new).await,
            (other, _) => Err(misplaced(other)),
        },
        Op::Delete(Entry { resource, owner, .. }) => match resource {
            Resource::Link(link) => match link.kind.device() {
                Some(device) => device::give_back(live, link, (device, live.project())).await,
                None => Err(misplaced(resource)),
            },
            Resource::Address(address) => addresses::remove(live, address).await,
            Resource::Route(route) => routes::remove(live, route, owner).await,
            Resource::Neighbour(old) => neighbours::remove(live, old).await,
            Resource::Qdisc(old) => qdisc::delete(live, old).await,
            other @ (Resource::Netns(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::File(_)) => Err(misplaced(other)),
        },
    }
}

/// Gives `lo` the address that the kernel gives it when it comes up, or takes it away.
async fn set_loopback(channel: &Channel, there: bool) -> Outcome {
    if there {
        send(channel, message::new_loopback_address(), NLM_F_CREATE | NLM_F_REPLACE).await
    } else {
        send_unless(channel, message::no_loopback_address(), &[Errno::ADDRNOTAVAIL]).await
    }
}

/// An operation that the plan never contains, since the object has nothing that can change.
fn misplaced(resource: &Resource) -> OpError {
    OpError { kind: FailureKind::Other, message: format!("{} cannot be changed that way", resource.id()) }
}

/// Returns what is written on an object: its mark, or what stands in the place of that.
fn written(instead: Option<&SmolStr>, mark: &Mark) -> String {
    instead.map_or_else(|| mark.to_string(), SmolStr::to_string)
}

fn marked(live: &Live, link: &Link, owner: &Owner) -> Mark {
    Mark { protected: link.protected, ..live.mark(owner) }
}

pub(super) fn channel<'a>(live: &'a Live, ns: &NsRef) -> Result<&'a Channel, OpError> {
    live.channels
        .get(ns)
        .ok_or_else(|| OpError { kind: FailureKind::Other, message: format!("namespace {ns} is not open") })
}

pub(super) async fn send(channel: &Channel, message: RouteNetlinkMessage, flags: u16) -> Outcome {
    channel.request(message, flags).await.map_err(OpError::from)
}

/// Sends a request that has nothing left to do when the kernel says one of `fine`.
pub(super) async fn send_unless(channel: &Channel, message: RouteNetlinkMessage, fine: &[Errno]) -> Outcome {
    match channel.request(message, 0).await {
        Err(refusal) if refusal.errno().is_some_and(|errno| fine.contains(&errno)) => Ok(()),
        answer => answer.map_err(OpError::from),
    }
}

/// Returns a link's index; names the link in an error of finding it.
pub(super) fn found(channel: &Channel, link: &IfName) -> Result<u32, OpError> {
    channel.index(link).map_err(|refusal| {
        let OpError { kind, message } = refusal.into();
        OpError { kind, message: format!("link {link}: {message}") }
    })
}

fn master(channel: &Channel, link: &Link) -> Result<Option<u32>, OpError> {
    link.master.as_ref().map(|name| found(channel, name)).transpose()
}

/// Returns a link without its bridge of Open vSwitch: whose port it is, is said to the database.
fn plain(link: &Link) -> Cow<'_, Link> {
    match &link.port {
        None => Cow::Borrowed(link),
        Some(_) => Cow::Owned(Link { master: None, port: None, ..link.clone() }),
    }
}

async fn create(live: &Live, link: &Link, mark: &Mark) -> Outcome {
    let here = channel(live, &link.ns)?;
    let master = master(here, &plain(link))?;
    let names = link.altname.iter().map(|name| (here, message::add_altname(&link.name, name)));
    let up = link.up.then(|| (here, message::bring_up(&link.name)));
    let mut rest: Vec<_> = names.chain(up).collect();
    match &link.kind {
        LinkKind::Bridge => send(here, message::new_bridge(link), NEW).await?,
        LinkKind::Ifb => send(here, message::new_ifb(link), NEW).await?,
        LinkKind::Veth(peer) => {
            let there = channel(live, &peer.ns)?;
            let ns = netns::open(&peer.ns).map_err(|error| OpError::from(Refusal::Socket(error)))?;
            send(here, message::new_veth(link, peer, master, ns.as_fd()), NEW).await?;
            let down = Peer { up: false, ..peer.clone() };
            rest.extend(pair::retag(live, None, peer).into_iter().map(|tag| (there, tag)));
            rest.extend(message::change_peer(&down, peer).map(|up| (there, up)));
        }
        LinkKind::Macvlan(kind) => shared::create(live, link, shared::Kind::Macvlan(kind)).await?,
        LinkKind::Vlan(kind) => shared::create(live, link, shared::Kind::Vlan(kind)).await?,
        LinkKind::Ipvlan(kind) => shared::create(live, link, shared::Kind::Ipvlan(kind)).await?,
        LinkKind::OpenVswitch(_) => return ovsdb::settle(live, link, mark).await,
        // It is there already, and so is all that a new one needs.
        LinkKind::Device(kind) => return device::take(live, link, kind, mark).await,
        LinkKind::Other(kind) => {
            let message = format!("netform makes no links of kind {kind}");
            return Err(OpError { kind: FailureKind::Other, message });
        }
    }
    let mut outcome = settle(here, link, mark).await;
    outcome = outcome.and(silence::begin(link).await);
    if outcome.is_ok() && link.vlans.is_some() {
        outcome = vlans::set(live, link).await;
    }
    for (channel, message) in rest {
        outcome = outcome.and(send(channel, message, 0).await);
    }
    if outcome.is_err() {
        // Nobody would know a link without its mark as ours. If this fails, too, the next look shows it as foreign.
        let _ = send(here, message::delete_link(&link.name), 0).await;
    }
    outcome
}

/// Settles a new link that is down.
async fn settle(here: &Channel, link: &Link, mark: &Mark) -> Outcome {
    if link.master.is_some() || link.kind == LinkKind::Ifb {
        match here.request(message::settle_port(link, mark), 0).await {
            // There is no IPv6, or none for such an MTU: `inet6_validate_link_af()` in Linux `net/ipv6/addrconf.c`.
            Err(refusal) if refusal.errno() == Some(Errno::AFNOSUPPORT) => {}
            answer => return answer.map_err(OpError::from),
        }
    }
    send(here, message::settle(link, mark), 0).await
}

async fn update(live: &Live, (from, was): (&Link, &Mark), (to, mark): (&Link, &Mark)) -> Outcome {
    if matches!(&from.kind, LinkKind::OpenVswitch(switch) if !switch.intact) {
        return ovsdb::settle(live, to, mark).await;
    }
    let here = channel(live, &to.ns)?;
    let is_left_so = from.called() == to.called();
    let [from, to] =
        [from, to].map(|link| if is_left_so { renamed::by_its_name(plain(link)) } else { plain(link) });
    let (from, to) = (&*from, &*to);
    let (called, name) = (from.called(), to.called());
    // All else is said of it by its own name.
    if called != name && *name == to.name {
        renamed::rename(live, here, (called, name)).await?;
    }
    let master = master(here, to)?;
    let mut outcomes = vec![];
    let (was, words) = (written(from.amiss.mark.as_ref(), was), written(to.amiss.mark.as_ref(), mark));
    if let Some(change) = message::change((from, &was), (to, &words), master) {
        outcomes.push(send(here, change, 0).await);
    }
    if to.must_set_port(from) {
        // A message of its own: in that of the change it would be meant for the port of the old bridge.
        outcomes.push(send(here, message::mend_port(from, to), 0).await);
        if to.amiss.port.contains(&PortFault::Disabled) {
            outcomes.push(send(here, message::shut_port(found(here, &to.name)?), 0).await);
        }
    }
    if to.must_set_vlans(from) {
        outcomes.push(vlans::set(live, to).await);
    }
    if from.altname != to.altname {
        if let Some(old) = &from.altname {
            outcomes.push(send_unless(here, message::remove_altname(&to.name, old), &[Errno::NOENT]).await);
        }
        if let Some(new) = &to.altname {
            outcomes.push(send(here, message::add_altname(&to.name, new), 0).await);
        }
    }
    if let (LinkKind::Veth(old), LinkKind::Veth(new)) = (&from.kind, &to.kind) {
        for change in message::change_peer(old, new).into_iter().chain(pair::retag(live, Some(old), new)) {
            outcomes.push(send(channel(live, &new.ns)?, change, 0).await);
        }
        outcomes.push(link_local::follow(live, (&new.ns, &new.name), [old.mac, new.mac]).await);
    }
    if let (Some(old), Some(new)) = (from.mac, to.mac) {
        outcomes.push(link_local::follow(live, (&to.ns, called), [old, new]).await);
    }
    let (old, new) = (&from.amiss, &to.amiss);
    outcomes.push(silence::restore(live, (&to.ns, &to.name), &old.silent, &new.silent).await);
    if let LinkKind::Veth(peer) = &to.kind {
        let end = (&peer.ns, &peer.name);
        outcomes.push(silence::restore(live, end, &old.peer_silent, &new.peer_silent).await);
    }
    if called != name && *name != to.name {
        outcomes.push(renamed::rename(live, here, (called, name)).await);
    }
    outcomes.into_iter().collect()
}

/// A link to be deleted, with the place of the operation that asks for it; a pair goes with a namespace without one.
type Doomed = (Option<usize>, IfName);

/// Deletes links, and the host's ends of `pairs`; `of_host` are the host's links, where they were just read. Several of a
/// namespace are deleted by one request, as a group: one by one, each would wait about 20 ms for the kernel's
/// read-copy-update.
pub(super) async fn delete(
    live: &mut Live,
    ops: Vec<(usize, &Op)>,
    pairs: Vec<IfName>,
    mut of_host: Option<Vec<answer::LinkAnswer>>,
) -> Vec<(usize, Outcome)> {
    if ops.is_empty() && pairs.is_empty() {
        return vec![];
    }
    live.forget_indexes();
    let mut outcomes = vec![];
    let mut by_ns = BTreeMap::<NsRef, Vec<Doomed>>::new();
    let namespaces = ops.iter().map(|(_, op)| op.id().ns()).chain(pairs.first().map(|_| NsRef::Host));
    let failed = live.open_channels(namespaces.collect()).await;
    for (place, op) in ops {
        let Op::Delete(Entry { resource: Resource::Link(link), .. }) = op else { continue };
        match failed.get(&link.ns) {
            Some(closed) => outcomes.push((place, closed.outcome(op))),
            None => by_ns.entry(link.ns.clone()).or_default().push((Some(place), link.called().clone())),
        }
    }
    if !failed.contains_key(&NsRef::Host) {
        by_ns.entry(NsRef::Host).or_default().extend(pairs.into_iter().map(|link| (None, link)));
    }
    let group = message::group_of(live.project());
    for (ns, links) in by_ns {
        let there = if ns == NsRef::Host { of_host.take() } else { None };
        match channel(live, &ns) {
            Ok(channel) => outcomes.extend(delete_on(channel, (&ns, group), links, there).await),
            Err(error) => {
                let asked = links.into_iter().filter_map(|(place, _)| place);
                outcomes.extend(asked.map(|place| (place, Err(error.clone()))));
            }
        }
    }
    outcomes
}

async fn delete_on(
    channel: &Channel,
    at: (&NsRef, u32),
    links: Vec<Doomed>,
    there: Option<Vec<answer::LinkAnswer>>,
) -> Vec<(usize, Outcome)> {
    if links.len() > 1 && delete_together(channel, at, &links, there).await.is_ok() {
        return links.into_iter().filter_map(|(place, _)| Some((place?, Ok(())))).collect();
    }
    // What went wrong is found by single requests.
    let single = links.into_iter().map(|(place, link)| async move {
        (place, send_unless(channel, message::delete_link(&link), &[Errno::NODEV]).await)
    });
    let done = join_all(single).await;
    done.into_iter().filter_map(|(place, outcome)| Some((place?, outcome))).collect()
}

/// Deletes links as the group of their project when nothing else is in it, or else as a group of their own.
async fn delete_together(
    channel: &Channel,
    (ns, project): (&NsRef, u32),
    links: &[Doomed],
    there: Option<Vec<answer::LinkAnswer>>,
) -> Result<(), Refusal> {
    let there = match there {
        Some(there) => there,
        None => {
            let ns = ns.clone();
            let all = netns::on_thread(move || {
                netns::join(netns::open(&ns)?.as_fd())?;
                Blocking::open()?.dump(message::all_links(), answer::link)
            });
            all.await??
        }
    };
    let doomed: BTreeSet<&str> = links.iter().map(|(_, link)| link.as_str()).collect();
    let alike = there.iter().all(|link| (link.group == project) == doomed.contains(link.name.as_str()));
    if alike {
        return channel.request(message::delete_group(project), 0).await;
    }
    let taken: BTreeSet<_> = there.into_iter().map(|link| link.group).collect();
    let free = (0x6e66_0000..=u32::MAX).find(|group| !taken.contains(group));
    let group = free.ok_or(Refusal::Kernel { errno: Errno::NOSPC, said: None })?;
    let mut all = Ok(());
    for some in links.chunks(64) {
        let tagged = some.iter().map(|(_, link)| channel.request(message::group_link(link, group), 0));
        for answer in join_all(tagged).await {
            match answer {
                Err(refusal) if refusal.errno() == Some(Errno::NODEV) => {}
                answer => all = all.and(answer),
            }
        }
    }
    all?;
    channel.request(message::delete_group(group), 0).await
}

/// Returns the protocol number of an address or a route: our mark, or what stands in its place.
pub(super) fn protocol(owner: &Owner, otherwise: u8) -> u8 {
    match owner {
        Owner::Unmarked(number) => number.parse().unwrap_or(otherwise),
        Owner::Project
        | Owner::Network(_)
        | Owner::Container(_)
        | Owner::Attachment { .. }
        | Owner::Port(_)
        | Owner::Policy(_)
        | Owner::External(_) => PROTOCOL,
    }
}
