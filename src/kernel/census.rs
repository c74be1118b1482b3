//! Every network namespace that can be found on a host, whoever made it, and the interfaces in it.
//!
//! Names under `/run/netns`, files of Docker's, and processes lead to namespaces. What may not be entered is told apart
//! from what is not there.

mod namespaces;
mod pairs;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::answer::{self, LinkAnswer};
use super::listeners::Process;
use super::message::MAIN_TABLE;
use super::netlink::{Blocking, Refusal};
use super::netns::Identity;
use super::observe::UNICAST;
use super::reading::failed;
use super::{ObserveError, maker, message, netns, ovsdb, vlans};
use crate::names::Mac;
use crate::resource::link::{IpvlanFlag, MacvlanMode, Shares};
use crate::resource::netns::NsRef;
use crate::resource::owner::Mark;
use crate::resource::vlan::PortVlans;
pub use namespaces::{Group, inhabitants, same};

/// A network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// What tells it from all others.
    pub id: Identity,
    /// Whether netform runs in it.
    pub home: bool,
    /// Its names under `/run/netns`.
    pub names: Vec<String>,
    /// Files elsewhere that stand for it.
    pub files: Vec<PathBuf>,
    /// The process in it that has the lowest number.
    pub process: Option<Process>,
    /// The container that the process is in, by its control group.
    pub group: Option<Group>,
    /// The mark on its `lo`.
    pub mark: Option<Mark>,
    /// Whether it could be looked into; its interfaces are not known otherwise.
    pub read: bool,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
}

impl Namespace {
    /// Returns a file that stands for it; `None` for that of netform, and when none is left.
    pub fn path(&self) -> Option<PathBuf> {
        let named = self.names.first().map(|name| Path::new(netns::DIR).join(name));
        let of_process = || self.process.as_ref().map(|it| PathBuf::from(format!("/proc/{}/ns/net", it.pid)));
        named.or_else(|| self.files.first().cloned()).or_else(of_process).filter(|_| !self.home)
    }

    /// Returns what it is called: `host`, or the file that stands for it.
    pub fn called(&self) -> String {
        if self.home {
            return "host".to_owned();
        }
        let path = self.path().map(|path| path.display().to_string());
        path.unwrap_or_else(|| format!("net:[{}]", self.id.inode))
    }
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind, e.g. `bridge`; empty for hardware.
    pub kind: String,
    /// The driver of the hardware.
    pub driver: Option<String>,
    /// Its link-layer address.
    pub mac: Option<Mac>,
    /// Whether it is administratively up.
    pub up: bool,
    /// The largest packet that it takes, in bytes.
    pub mtu: u32,
    /// The index of the link whose port it is.
    pub master: Option<u32>,
    /// The VLAN that its port of Open vSwitch is in.
    pub vlan: Option<u16>,
    /// The VLANs of a bridge that keeps them apart, or of a port of one.
    pub vlans: Option<PortVlans>,
    /// Whether it is a port of a bridge that passes nothing on to others that say so, too.
    pub isolated: bool,
    /// The mark of the project that owns it.
    pub mark: Option<Mark>,
    /// Whose it is by its name or its bridge's, when no mark says so: `Docker`.
    pub maker: Option<String>,
    /// Its further names.
    pub altnames: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Of a macvlan or ipvlan interface, whether it and the others on its parent hear each other.
    pub joins: bool,
    /// Whether it is an ipvlan interface whose packets are routed where its parent lives.
    pub routed: bool,
    /// Whether it is a link of the host that a container has for itself: what it is paired with is somebody else's.
    pub device: bool,
    /// Whether a default route leaves by it.
    pub default_route: bool,
    /// The interface that it is paired with or stacked on.
    pub peer: Peer,
}

/// The interface that another one is paired with or stacked on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Peer {
    /// There is none.
    #[default]
    None,
    /// The one of this index in the namespace at this place of the census.
    At {
        /// The place of the namespace.
        namespace: usize,
        /// The index in there.
        index: u32,
    },
    /// It is in a namespace that was not found, or could not be looked into.
    Unseen,
}

/// What one look into a namespace says, before its pairs are put together.
struct Look {
    namespace: Namespace,
    /// The namespace's file.
    path: PathBuf,
    links: Vec<LinkAnswer>,
    /// The number by which links in here refer to netform's own namespace.
    home_number: Option<i32>,
}

/// Looks into every namespace that can be found; the first is the one that netform runs in.
///
/// # Errors
///
/// When not even that one can be read.
pub async fn take() -> Result<Vec<Namespace>, ObserveError> {
    let taken = netns::on_thread(|| {
        let found = namespaces::found().map_err(Refusal::Socket)?;
        let home = netns::open(&NsRef::Host)?;
        let mut looks = vec![];
        for (namespace, path) in found {
            let mut look = Look { namespace, path, links: vec![], home_number: None };
            match look.fill(home.as_fd()) {
                Ok(()) => look.namespace.read = true,
                Err(refusal) if look.namespace.home => return Err(refusal),
                // It is somebody else's, or it has gone meanwhile.
                Err(_) => look.links.clear(),
            }
            looks.push(look);
        }
        pairs::join(&mut looks);
        Ok(looks.into_iter().map(|look| look.namespace).collect())
    });
    let failed = |refusal| failed("the host's namespaces".to_owned(), refusal);
    let mut taken: Vec<Namespace> = taken.await.map_err(|error| failed(error.into()))?.map_err(failed)?;
    if let Some(home) = taken.iter_mut().find(|ns| ns.home) {
        ovsdb::tell(&mut home.interfaces).await;
    }
    Ok(taken)
}

impl Look {
    /// Enters the namespace and reads it; the thread must end afterwards.
    fn fill(&mut self, home: BorrowedFd<'_>) -> Result<(), Refusal> {
        // Nobody needs a privilege to read where they are.
        if !self.namespace.home {
            let ns = netns::open(&NsRef::Path(self.path.clone()))?;
            // The number of a process may be another one's by now.
            if netns::identity_of(ns.as_fd())? != self.namespace.id {
                return Err(Refusal::Socket(io::ErrorKind::NotFound.into()));
            }
            netns::join(ns.as_fd())?;
        }
        let mut socket = Blocking::open()?;
        let mut links = socket.dump(message::all_links(), answer::link)?;
        vlans::read(&mut socket, &mut links, (vlans::Asked::Apart, true), None)?;
        let addresses = socket.dump(message::all_addresses(), answer::address)?;
        // A namespace without routes has no table.
        let routes = socket.dump(message::all_routes(Some(MAIN_TABLE)), answer::route).unwrap_or_default();
        self.home_number = socket.ask(message::find_nsid(home), answer::nsid).ok().flatten();
        let interface = |link: &LinkAnswer| Interface {
            addresses: addresses.iter().filter(|it| it.index == link.index).map(|it| it.addr).collect(),
            default_route: routes.iter().any(|route| {
                route.dest.prefix_len() == 0 && route.kind == UNICAST && route.index == Some(link.index)
            }),
            ..interface(link, &links)
        };
        self.namespace.interfaces = links.iter().map(interface).collect();
        if self.namespace.home {
            for interface in self.namespace.interfaces.iter_mut().filter(|it| it.kind.is_empty()) {
                interface.driver = namespaces::driver(&interface.name);
            }
        }
        self.namespace.mark = links.iter().find(|link| link.index == 1).and_then(LinkAnswer::mark);
        self.links = links;
        Ok(())
    }
}

fn interface(link: &LinkAnswer, links: &[LinkAnswer]) -> Interface {
    let mark = link.mark().filter(|_| link.index != 1);
    let maker = if mark.is_some() { None } else { maker::maker(link, links) };
    Interface {
        index: link.index,
        name: link.name.to_string(),
        kind: link.kind.to_string(),
        mac: link.mac.filter(|mac| mac.0 != [0; 6]),
        up: link.up,
        mtu: link.mtu,
        isolated: link.isolated,
        vlans: link.vlans.as_deref().map(vlans::port_vlans),
        device: link.device().is_some(),
        joins: match link.shares {
            Some(Shares::Macvlan(mode)) => mode == MacvlanMode::Bridge,
            Some(Shares::Ipvlan(_, flag)) => flag == IpvlanFlag::Bridge,
            None => false,
        },
        routed: match link.shares {
            Some(Shares::Ipvlan(mode, _)) => mode.is_routed(),
            Some(Shares::Macvlan(_)) | None => false,
        },
        master: link.master,
        mark,
        maker,
        altnames: link.altnames.iter().map(ToString::to_string).collect(),
        ..Interface::default()
    }
}
