//! What carries the SSH session that netform was started from: a look at the host's routes, links and neighbours.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::IpAddr;
use std::os::fd::AsFd;

use ipnet::IpNet;

use super::answer::{LinkAnswer, NeighbourAnswer};
use super::netlink::{Blocking, Refusal};
use super::{ObserveError, answer, message, netns, reading};
use crate::names::IfName;
use crate::resource::netns::NsRef;

/// Both ends of an SSH session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Where it comes from.
    pub client: IpAddr,
    /// The link that a link-local client is on.
    pub zone: Option<String>,
    /// The address of this host that it came to.
    pub server: Option<IpAddr>,
    /// The port of this host that it came to.
    pub port: Option<u16>,
}

/// What carries an SSH session, in the host's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Management {
    /// The session.
    pub session: Session,
    /// The destination of the route that its packets leave by.
    pub route: Option<IpNet>,
    /// The links that its packets pass: that of the route, that of the host's address, what these are stacked on, and of
    /// a bridge the port that the client is behind.
    pub links: BTreeSet<IfName>,
    /// The named namespaces that the other ends of these links live in.
    pub namespaces: BTreeSet<NsRef>,
}

/// Returns what carries a session; `None` when nothing of this namespace does.
///
/// # Errors
///
/// When the kernel cannot be read.
pub async fn management(session: Session) -> Result<Option<Management>, ObserveError> {
    let failed = |refusal| reading::failed("the way to the SSH client".to_owned(), refusal);
    let found = netns::on_thread(move || look(session)).await;
    found.map_err(|error| failed(error.into()))?.map_err(failed)
}

/// Looks from the host's namespace, which the calling thread is in.
fn look(session: Session) -> Result<Option<Management>, Refusal> {
    let mut links = Links { socket: Blocking::open()?, known: BTreeMap::new() };
    let mut carrying = BTreeSet::new();
    let mut route = None;
    if let Some(zone) = &session.zone {
        carrying.extend(links.called(zone)?);
    } else if let Some(way) = one(&mut links.socket, message::find_route(session.client))? {
        carrying.extend(way.index);
        if let Some(index) = way.index
            && links.at(index)?.is_some_and(|link| link.kind == "bridge")
        {
            carrying.extend(links.port_toward(way.via.unwrap_or(session.client), index)?);
        }
        let entry = one(&mut links.socket, message::find_route_entry(session.client))?;
        route = entry.map(|entry| entry.dest.trunc());
    }
    if let Some(server) = session.server {
        let addresses = links.socket.dump(message::all_addresses(), answer::address)?;
        let held = addresses.iter().filter(|address| address.addr.addr() == server);
        carrying.extend(held.map(|address| address.index));
    }
    links.below(&mut carrying)?;
    let Links { mut socket, known } = links;
    let carrying: Vec<_> = carrying.iter().filter_map(|index| known.get(index)?.as_ref()).collect();
    if carrying.is_empty() {
        return Ok(None);
    }
    let namespaces = far_ends(&mut socket, &carrying)?;
    let links = carrying.into_iter().filter_map(LinkAnswer::ifname).collect();
    Ok(Some(Management { session, route, links, namespaces }))
}

/// The links that were asked for: to list all of a host with many containers takes longer than everything else.
struct Links {
    socket: Blocking,
    /// By their numbers; `None` is not there.
    known: BTreeMap<u32, Option<LinkAnswer>>,
}

impl Links {
    /// Returns a link by its number. A tunnel that stands on no link in particular says that it stands on number 0, which none has.
    fn at(&mut self, index: u32) -> Result<Option<&LinkAnswer>, Refusal> {
        if index == 0 {
            return Ok(None);
        }
        let link = match self.known.entry(index) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                unknown.insert(reading::existing(self.socket.ask(message::link_at(index), answer::link))?)
            }
        };
        Ok(link.as_ref())
    }

    /// Returns the number of a link by its name.
    fn called(&mut self, name: &str) -> Result<Option<u32>, Refusal> {
        let Ok(name) = IfName::try_from(name) else { return Ok(None) };
        let link = reading::existing(self.socket.ask(message::find_link(&name), answer::link))?;
        let index = link.as_ref().map(|link| link.index);
        index.into_iter().for_each(|index| drop(self.known.insert(index, link.clone())));
        Ok(index)
    }

    /// Returns the port of a bridge behind which a neighbour is, by its link-layer address.
    fn port_toward(&mut self, next: IpAddr, bridge: u32) -> Result<Option<u32>, Refusal> {
        let neighbours = self.socket.dump(message::neighbours(next), answer::neighbour)?;
        let is_next = |it: &&NeighbourAnswer| it.index == bridge && it.addr == Some(next);
        let Some(mac) = neighbours.iter().find(is_next).and_then(|neighbour| neighbour.mac) else {
            return Ok(None);
        };
        let learnt = self.socket.dump(message::forwarding(), answer::neighbour)?;
        for entry in learnt.iter().filter(|entry| entry.mac == Some(mac)) {
            if self.at(entry.index)?.is_some_and(|link| link.master == Some(bridge)) {
                return Ok(Some(entry.index));
            }
        }
        Ok(None)
    }

    /// Adds the links that links are stacked on or ports of, down to the last.
    fn below(&mut self, carrying: &mut BTreeSet<u32>) -> Result<(), Refusal> {
        let mut new: Vec<u32> = carrying.iter().copied().collect();
        while let Some(index) = new.pop() {
            let Some(link) = self.at(index)? else { continue };
            let lower = link.peer.filter(|_| link.peer_ns.is_none());
            new.extend(lower.into_iter().chain(link.master).filter(|index| carrying.insert(*index)));
        }
        Ok(())
    }
}

/// Returns the route that an address takes; `None` when there is none.
fn one(
    socket: &mut Blocking,
    request: netlink_packet_route::RouteNetlinkMessage,
) -> Result<Option<answer::RouteAnswer>, Refusal> {
    match socket.ask(request, answer::route) {
        // Unreachable, prohibited, or of a family that the kernel lacks: no packet goes there.
        Err(Refusal::Kernel { .. }) => Ok(None),
        answer => answer,
    }
}

/// Returns the named namespaces that the links' other ends live in.
fn far_ends(socket: &mut Blocking, links: &[&LinkAnswer]) -> Result<BTreeSet<NsRef>, Refusal> {
    let numbers: BTreeSet<i32> = links.iter().filter_map(|link| link.peer_ns).collect();
    let mut namespaces = BTreeSet::new();
    if numbers.is_empty() {
        return Ok(namespaces);
    }
    for name in netns::names()? {
        let ns = NsRef::Named(name);
        // One that goes away meanwhile carries nothing.
        let Ok(file) = netns::open(&ns) else { continue };
        let number = socket.ask(message::find_nsid(file.as_fd()), answer::nsid)?;
        if number.is_some_and(|number| numbers.contains(&number)) {
            namespaces.insert(ns);
        }
    }
    Ok(namespaces)
}
