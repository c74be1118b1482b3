//! What each container's resolver knows. Pure: a function of the topology and of which containers run.
//!
//! - A container knows the names of the networks that it is on, with the addresses there: container names, aliases, and both
//!   with the network behind them, as in `web.front`. On two networks in common, its own first network is the one that
//!   counts, for each address family.
//! - Links are first, and private to their owner. A link gives the target's address on the link's network, or else on the
//!   first that both are on; the target may come later.
//! - The network `default` has no names but links.
//! - A container's own name is nobody's alias. An alias belongs to the first container that declares it and runs, or to all
//!   that do, by the network's policy.
//! - A name that is declared, and that nobody who runs has, does not exist. It is not asked for elsewhere: a name of ours is
//!   nobody else's business, and nobody else may answer to it.

mod build;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::name::{self, Name};
use crate::names::{ContainerName, ProjectName};
use crate::resource::netns::NsRef;
use crate::topology::Topology;

/// The domain of the names that netform itself gives; all of it is ours. Source: `internal` is reserved for private use
/// (ICANN board resolution 2024.07.29.06).
const OURS: &[u8] = b"\x07netform\x08internal\x00";

/// The end of every reverse name.
const ARPA: &[u8] = b"\x04arpa\x00";

/// The names that every host has for itself. Source: RFC 6761 section 6.3.
const LOCALHOST: &[u8] = b"\x09localhost\x00";

/// What hosts files have `::1` called besides.
const IP6_LOCALHOST: &[u8] = b"\x0dip6-localhost\x00";

/// What the resolvers know, each by its namespace.
#[derive(Debug, Clone, Default)]
pub struct Zones {
    views: BTreeMap<NsRef, Arc<Zone>>,
}

/// What one container's resolver knows. Networks are shared between those that are on them.
#[derive(Debug)]
pub struct Zone {
    /// What only this container knows: its links, itself, its host.
    own: Book,
    /// Its networks, in the order of its interfaces.
    networks: Vec<Arc<Book>>,
    /// Who is asked for names that are not ours.
    forward: Forward,
    /// The project that has made its namespace, which bears the mark of that; `None` where somebody else runs the container.
    maker: Option<ProjectName>,
}

/// Who is asked for names that are not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// Nobody: the container has no way out.
    Nowhere,
    /// The host's resolvers.
    Host,
    /// These, in order.
    To(Arc<[IpAddr]>),
}

/// Names with their addresses, and addresses with their names.
#[derive(Debug, Default)]
struct Book {
    names: HashMap<Name, Addresses>,
    pointers: HashMap<IpAddr, Name>,
    /// For how many seconds an answer may be kept.
    ttl: u32,
}

/// The addresses of a name; none when nobody who runs has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Addresses {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
}

/// What a zone says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'z> {
    /// It is not ours: whoever else may know it.
    Unknown,
    /// It is ours, and does not exist at present.
    Absent,
    /// It has these addresses; a family without any is known to have none.
    Addresses {
        /// Its IPv4 addresses.
        v4: &'z [Ipv4Addr],
        /// Its IPv6 addresses.
        v6: &'z [Ipv6Addr],
        /// For how many seconds that may be kept.
        ttl: u32,
    },
    /// It is the reverse name of an address that has this name.
    Pointer {
        /// Whose address it is.
        name: &'z Name,
        /// For how many seconds that may be kept.
        ttl: u32,
    },
}

impl Zones {
    /// Returns what the resolvers of the containers that run know.
    ///
    /// It costs about a microsecond for each name of each network, and the networks' names are there once, whatever the
    /// number of containers on them.
    pub fn new(topology: &Topology, running: &BTreeSet<ContainerName>) -> Self {
        Self { views: build::views(topology, running) }
    }

    /// Returns what the resolver in a namespace knows.
    pub fn get(&self, ns: &NsRef) -> Option<&Arc<Zone>> {
        self.views.get(ns)
    }

    /// Returns all of them, in the order of their namespaces.
    pub fn iter(&self) -> impl Iterator<Item = (&NsRef, &Arc<Zone>)> {
        self.views.iter()
    }
}

impl Zone {
    /// Returns the project whose mark its namespace bears, where netform has made that.
    pub fn maker(&self) -> Option<&ProjectName> {
        self.maker.as_ref()
    }

    /// Returns what is known of a name, which is as on the wire and in lower case. The cost depends on neither the number of
    /// names nor that of containers.
    pub fn find(&self, name: &[u8]) -> Found<'_> {
        if let Some(found) = self.own.find(name) {
            return found;
        }
        let mut known = false;
        let (mut v4, mut v6, mut ttl): (&[Ipv4Addr], &[Ipv6Addr], _) = (&[], &[], u32::MAX);
        for book in &self.networks {
            let Some(addresses) = book.names.get(name) else { continue };
            known = true;
            if v4.is_empty() && !addresses.v4.is_empty() {
                (v4, ttl) = (&addresses.v4, ttl.min(book.ttl));
            }
            if v6.is_empty() && !addresses.v6.is_empty() {
                (v6, ttl) = (&addresses.v6, ttl.min(book.ttl));
            }
        }
        if known {
            return if v4.is_empty() && v6.is_empty() {
                Found::Absent
            } else {
                Found::Addresses { v4, v6, ttl }
            };
        }
        self.find_special(name)
    }

    /// Returns what is known of names that no container has.
    fn find_special(&self, name: &[u8]) -> Found<'_> {
        if name.ends_with(ARPA) {
            let pointer = name::reversed(name).and_then(|addr| self.pointer(addr));
            return pointer.unwrap_or(Found::Unknown);
        }
        if name::ends_with(name, LOCALHOST) {
            return Found::Addresses {
                v4: &[Ipv4Addr::LOCALHOST],
                v6: &[Ipv6Addr::LOCALHOST],
                ttl: self.own.ttl,
            };
        }
        if name == IP6_LOCALHOST {
            return Found::Addresses { v4: &[], v6: &[Ipv6Addr::LOCALHOST], ttl: self.own.ttl };
        }
        // A link without its target comes after those who do have the name.
        if self.own.names.contains_key(name) || name::ends_with(name, OURS) {
            Found::Absent
        } else {
            Found::Unknown
        }
    }

    fn pointer(&self, addr: IpAddr) -> Option<Found<'_>> {
        let books = self.networks.iter().map(Arc::as_ref).chain([&self.own]);
        let mut found =
            books.filter_map(|book| Some(Found::Pointer { name: book.pointers.get(&addr)?, ttl: book.ttl }));
        found.next()
    }

    /// Returns who is asked for names that are not ours.
    pub fn forward(&self) -> &Forward {
        &self.forward
    }
}

impl Book {
    /// Returns the addresses of a name that has some.
    fn find(&self, name: &[u8]) -> Option<Found<'_>> {
        let Addresses { v4, v6 } = self.names.get(name)?;
        (!v4.is_empty() || !v6.is_empty()).then_some(Found::Addresses { v4, v6, ttl: self.ttl })
    }
}
