//! Links of the host that go into a container and come back: see [`crate::resource::device`].
//!
//! What a link is on the host is written on it first of all, and taken off it last of all. Whatever happens in between, the
//! link itself says what it was, and to give it back twice is as good as once.

mod fact;
mod returning;
mod seal;
mod was;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, Prop};
use rustix::io::Errno;

use super::answer::LinkAnswer;
use super::links::{NEW, Outcome, channel, send, send_unless};
use super::live::Live;
use super::netlink::{Blocking, Channel, Refusal};
use super::{FailureKind, OpError, answer, message, netns};
use crate::names::{IfName, Mtu, ProjectName};
use crate::resource::device::{self, Before, Device};
use crate::resource::link::Link;
use crate::resource::netns::NsRef;
use crate::resource::owner::Mark;
pub(super) use fact::facts;
pub(super) use returning::with_returning;
pub use seal::Seals;

/// A link that was found, with what it was before it was ours.
struct Found {
    link: LinkAnswer,
    before: Before,
    /// Where routes lead that leave by it and by others.
    shared: Vec<IpNet>,
    /// Whether it says so itself already.
    is_noted: bool,
}

/// Takes a link of the host into a container, where it is down and has nothing of what it had.
pub(super) async fn take(live: &Live, link: &Link, device: &Device, mark: &Mark) -> Outcome {
    let (host, there) = (channel(live, &NsRef::Host)?, channel(live, &link.ns)?);
    let ns = open(&link.ns)?;
    let (project, name) = (mark.project.clone(), device.name.clone());
    let Found { link: found, before, shared, is_noted } = look(move || find(&project, &name)).await?;
    if let (true, Some(seals)) = (is_noted, live.seals()) {
        seals.check(&device.name, &found)?;
    }
    if !is_noted {
        let pieces = device::pieces(&mark.project, &device.name, &before);
        refuse_what_cannot_be_noted(&found, &shared, &pieces)?;
        live.seals()
            .map_or(Ok(()), |seals| seals.keep(&device.name, (&pieces, found.permanent), &link.ns))?;
        note(host, found.index, &pieces).await?;
    }
    let mut change = at(found.index);
    change.attributes.extend([
        message::alias(mark),
        LinkAttribute::NetNsFd(ns.as_raw_fd()),
        LinkAttribute::IfName(link.name.to_string()),
        LinkAttribute::Mtu(link.mtu.bytes()),
    ]);
    let mac = link.mac.filter(|mac| found.mac != Some(*mac));
    change.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    let mut taken = send(host, RouteNetlinkMessage::NewLink(change), 0).await;
    live.forget_indexes();
    if let (Ok(()), Some(altname)) = (&taken, &link.altname) {
        taken = send_unless(there, message::add_altname(&link.name, altname), &[Errno::EXIST]).await;
    }
    if taken.is_ok() && link.up {
        taken = send(there, message::bring_up(&link.name), 0).await;
    }
    if taken.is_err() {
        // Where it is now, it says what it was.
        let here =
            Link { ns: NsRef::Host, name: found.ifname().unwrap_or(device.name.clone()), ..link.clone() };
        for link in [link, &here] {
            let _ = give_back(live, link, (device, &mark.project)).await;
        }
    }
    taken
}

/// Gives a link back to the host, as it was there. One that is gone needs nothing.
///
/// # Errors
///
/// When it cannot be moved, and then it stays what it is; or when something that it had cannot be had again: then it is back
/// without that.
pub(super) async fn give_back(
    live: &Live,
    link: &Link,
    (device, project): (&Device, &ProjectName),
) -> Outcome {
    let (here, host) = (channel(live, &link.ns)?, channel(live, &NsRef::Host)?);
    let (ns, name) = (link.ns.clone(), link.name.clone());
    let Some(found) = look(move || find_in(&ns, &name)).await? else { return Ok(()) };
    let Some((_, Device { name, before: Some(before) })) =
        found.device().filter(|(whose, known)| whose == project && known == device)
    else {
        let message = format!("{} says no more that it is {} of the host", link.name, device.name);
        return Err(OpError { kind: FailureKind::Other, message });
    };
    live.seals().map_or(Ok(()), |seals| seals.check(&name, &found))?;
    let is_away = link.ns != NsRef::Host;
    let differs = is_away || found.name != name.as_str() || found.mac != before.mac || found.up && !before.up;
    if differs {
        let target = open(&NsRef::Host)?;
        let mut change = at(found.index);
        change.header.change_mask = LinkFlags::Up;
        change.attributes.push(LinkAttribute::IfName(name.to_string()));
        change.attributes.extend(is_away.then(|| LinkAttribute::NetNsFd(target.as_raw_fd())));
        let mac = before.mac.filter(|mac| found.mac != Some(*mac));
        change.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        if !is_away && found.up {
            // One that is up is not renamed before Linux 6.2.
            let mut down = at(found.index);
            down.header.change_mask = LinkFlags::Up;
            send(here, RouteNetlinkMessage::NewLink(down), 0).await?;
        }
        send(here, RouteNetlinkMessage::NewLink(change), 0).await?;
        live.forget_indexes();
    }
    settle(host, &name, &before).await?;
    live.seals().map_or(Ok(()), |seals| seals.forget(&name))
}

/// Gives a link that is in the host, under its own name, what it had there, and takes off it what was noted.
async fn settle(host: &Channel, name: &IfName, before: &Before) -> Outcome {
    let look_for = name.clone();
    let Some(found) = look(move || find_in(&NsRef::Host, &look_for)).await? else { return Ok(()) };
    let mut change = at(found.index);
    change
        .attributes
        .extend((found.mtu != before.mtu.bytes()).then(|| LinkAttribute::Mtu(before.mtu.bytes())));
    // What somebody else wrote on it meanwhile stays.
    if found.mark().is_some() {
        change.attributes.push(message::alias_of(&before.alias));
    }
    if before.up {
        (change.header.change_mask, change.header.flags) = (LinkFlags::Up, LinkFlags::Up);
    }
    let mut lost: Vec<String> = vec![];
    if let Err(error) = send(host, RouteNetlinkMessage::NewLink(change), 0).await {
        lost.push(format!("its MTU, alias and state: {error}"));
    }
    for address in &before.addresses {
        let nodad = before.routes.iter().any(|route| route.source == Some(address.addr.addr()));
        let message = was::new_address(address, found.index, nodad);
        if let Err(error) = put(host, message).await {
            lost.push(format!("address {}: {error}", address.addr));
        }
    }
    // The others may lead to a next hop by way of those without one.
    let (direct, by_others): (Vec<_>, Vec<_>) = before.routes.iter().partition(|route| route.via.is_none());
    // What is down has no routes.
    for route in direct.into_iter().chain(by_others).filter(|_| before.up) {
        if let Err(error) = put(host, was::new_route(route, found.index)).await {
            lost.push(format!("route {}: {error}", route.dest));
        }
    }
    let noted = found.altnames.iter().filter(|name| device::is_piece(name) || name.starts_with("netform."));
    // The first piece goes last: without it nothing is known.
    let mut noted: Vec<_> = noted.collect();
    noted.sort_unstable_by(|one, other| other.cmp(one));
    for altname in noted {
        send_unless(host, unnote(found.index, altname), &[Errno::NOENT]).await?;
    }
    if lost.is_empty() {
        return Ok(());
    }
    let message = format!("{name} is back on the host, but not as it was: {}", lost.join("; "));
    Err(OpError { kind: FailureKind::Other, message })
}

async fn put(host: &Channel, message: RouteNetlinkMessage) -> Outcome {
    match host.request(message, NEW).await {
        Err(refusal) if refusal.errno() == Some(Errno::EXIST) => Ok(()),
        answer => answer.map_err(OpError::from),
    }
}

/// How many names may be written on a link. A program that lists links, as getifaddrs(3) of glibc does for a page at a time,
/// never comes to an end with one whose message is longer than what it reads.
const MOST_PIECES: usize = 16;

/// Refuses a link that could not be given back as it was.
fn refuse_what_cannot_be_noted(
    found: &LinkAnswer,
    shared: &[IpNet],
    pieces: &[smol_str::SmolStr],
) -> Outcome {
    let odd = found.altnames.iter().find(|name| device::is_piece(name));
    let message = match (odd, shared.first()) {
        (None, Some(dest)) => format!(
            "the route to {dest} leads by {} and by other links, which could not be given back: take it off first",
            found.name
        ),
        (Some(odd), _) => {
            format!("{} has a further name that only netform gives: {odd}; take it off", found.name)
        }
        (None, None) if pieces.len() > MOST_PIECES => format!(
            "{} has more addresses and routes than can be noted on it ({} names of 127 bytes, {MOST_PIECES} at most)",
            found.name,
            pieces.len()
        ),
        (None, None) => return Ok(()),
    };
    Err(OpError { kind: FailureKind::Other, message })
}

/// Writes on a link what it was; when not all of it can be written, nothing is.
async fn note(host: &Channel, index: u32, pieces: &[smol_str::SmolStr]) -> Outcome {
    for (number, piece) in pieces.iter().enumerate() {
        let noted = host.request(RouteNetlinkMessage::NewLinkProp(property(index, piece)), NEW).await;
        if let Err(refusal) = noted {
            for piece in pieces.iter().take(number).rev() {
                let _ = send(host, unnote(index, piece), 0).await;
            }
            let OpError { kind, message } = refusal.into();
            return Err(OpError { kind, message: format!("cannot note what it was: {message}") });
        }
    }
    Ok(())
}

fn unnote(index: u32, altname: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelLinkProp(property(index, altname))
}

fn property(index: u32, altname: &str) -> LinkMessage {
    let mut message = at(index);
    message.attributes.push(LinkAttribute::PropList(vec![Prop::AltIfName(altname.to_owned())]));
    message
}

fn at(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

fn open(ns: &NsRef) -> Result<OwnedFd, OpError> {
    netns::open(ns).map_err(|error| Refusal::Socket(error).into())
}

async fn look<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpError> + Send + 'static,
) -> Result<T, OpError> {
    netns::on_thread(work).await.map_err(|error| OpError::from(Refusal::Socket(error)))?
}

/// Returns the link of the host that is to be taken: one that a run had begun with, wherever it got, or that of the name.
fn find(project: &ProjectName, name: &IfName) -> Result<Found, OpError> {
    let mut socket = Blocking::open().map_err(|error| OpError::from(Refusal::Socket(error)))?;
    let links = socket.dump(message::all_links(), answer::link).map_err(OpError::from)?;
    let begun = links.iter().find_map(|link| {
        let (whose, device) = link.device()?;
        (whose == *project && device.name == *name).then_some((link, *device.before?))
    });
    if let Some((link, before)) = begun {
        return Ok(Found { link: link.clone(), before, shared: vec![], is_noted: true });
    }
    let Some(link) = links.into_iter().find(|link| link.name == name.as_str()) else {
        return Err(Refusal::Kernel { errno: Errno::NODEV, said: None }.into());
    };
    let both = |kind: u16, body: &[u8]| {
        let (route, shared) = (was::route(kind, body, link.index), was::shared_route(kind, body, link.index));
        (route.is_some() || shared.is_some()).then_some((route, shared))
    };
    let told = socket.dump(message::all_routes(None), both).map_err(OpError::from)?;
    let (routes, shared): (Vec<_>, Vec<_>) = told.into_iter().unzip();
    let before = Before {
        up: link.up,
        mtu: Mtu::try_from(link.mtu).unwrap_or(Mtu::ETHERNET),
        mac: link.mac,
        alias: (*link.alias).clone(),
        addresses: socket.dump(message::addresses_of(link.index), was::address).map_err(OpError::from)?,
        routes: routes.into_iter().flatten().collect(),
    };
    let shared = shared.into_iter().flatten().collect();
    Ok(Found { link, before, shared, is_noted: false })
}

fn find_in(ns: &NsRef, name: &IfName) -> Result<Option<LinkAnswer>, OpError> {
    let enter = || match ns {
        NsRef::Host => Ok(()),
        NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => netns::join(netns::open(ns)?.as_fd()),
    };
    enter().map_err(|error| OpError::from(Refusal::Socket(error)))?;
    let mut socket = Blocking::open().map_err(|error| OpError::from(Refusal::Socket(error)))?;
    match socket.ask(message::find_link(name), answer::link) {
        Err(refusal) if refusal.errno() == Some(Errno::NODEV) => Ok(None),
        found => found.map_err(OpError::from),
    }
}
