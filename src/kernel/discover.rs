//! What is live on a host, whoever made it: bridges with their ports, and where those lead.

use std::net::IpAddr;

use ipnet::IpNet;

use super::answer::LinkAnswer;
use super::message::MAIN_TABLE;
use super::observe::{self, UNICAST};
use super::reading::{self, NsReading, Reading};
use super::{ObserveError, Scope, maker, netns};
use crate::names::{IfName, Mac, Mtu, NetnsName, ProjectName};
use crate::resource::netns::NsRef;

/// What is live.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The bridges of the host.
    pub bridges: Vec<Bridge>,
    /// The named namespaces, with their owner as far as it can be told.
    pub namespaces: Vec<(NetnsName, Option<String>)>,
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Its name.
    pub name: IfName,
    /// The largest packet.
    pub mtu: Mtu,
    /// Whose it is, as far as can be told.
    pub owner: Option<String>,
    /// Its addresses, link-local ones left out.
    pub addresses: Vec<IpNet>,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// A port of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The link on the host.
    pub name: IfName,
    /// What kind of link it is, e.g. `veth`; empty for hardware.
    pub kind: String,
    /// Its other end, when that is in a named namespace.
    pub end: Option<End>,
}

/// The end of a veth pair in a named namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The namespace.
    pub ns: NetnsName,
    /// Its name there.
    pub name: IfName,
    /// Its link-layer address.
    pub mac: Mac,
    /// Its addresses, link-local ones left out.
    pub addresses: Vec<IpNet>,
    /// The next hops of the default routes that leave by it.
    pub default_via: Vec<IpAddr>,
}

/// Looks at all bridges and all named namespaces.
///
/// # Errors
///
/// When something cannot be read.
pub async fn discover(project: &ProjectName) -> Result<Discovery, ObserveError> {
    let names = netns::names().map_err(|error| reading::failed(netns::DIR.to_owned(), error.into()))?;
    let mut scope = Scope::new(project.clone());
    scope.namespaces = names.into_iter().map(NsRef::Named).collect();
    Ok(discovered(&reading::read(&scope, None).await?))
}

fn discovered(reading: &Reading) -> Discovery {
    let host = &reading.host;
    let bridges = host.links.iter().filter(|link| link.kind == "bridge");
    let namespaces = reading.namespaces.iter().filter_map(|ns| match &ns.ns {
        NsRef::Named(name) => Some((name.clone(), ns.mark().map(|mark| format!("project {}", mark.project)))),
        NsRef::Host | NsRef::Path(_) | NsRef::Process(_) => None,
    });
    Discovery {
        bridges: bridges.filter_map(|link| bridge(link, reading)).collect(),
        namespaces: namespaces.collect(),
    }
}

fn bridge(link: &LinkAnswer, reading: &Reading) -> Option<Bridge> {
    let host = &reading.host;
    let ports = host.links.iter().filter(|port| port.master == Some(link.index));
    let port = |port: &LinkAnswer| {
        let end = observe::peer_of(port, reading).and_then(|(ns, peer)| end(ns, peer));
        Some(Port { name: port.ifname()?, kind: port.kind.to_string(), end })
    };
    Some(Bridge {
        name: link.ifname()?,
        mtu: Mtu::try_from(link.mtu).ok()?,
        owner: maker::owner_of_link(link, &host.links),
        addresses: addresses(host, link.index),
        ports: ports.filter_map(port).collect(),
    })
}

fn end(ns: &NsReading, peer: &LinkAnswer) -> Option<End> {
    let NsRef::Named(name) = &ns.ns else { return None };
    let routes = ns.routes.iter().filter(|route| {
        route.index == Some(peer.index)
            && route.dest.prefix_len() == 0
            && route.kind == UNICAST
            && route.table == u32::from(MAIN_TABLE)
    });
    Some(End {
        ns: name.clone(),
        name: peer.ifname()?,
        mac: peer.mac?,
        addresses: addresses(ns, peer.index),
        default_via: routes.filter_map(|route| route.via).collect(),
    })
}

fn addresses(ns: &NsReading, index: u32) -> Vec<IpNet> {
    let on_link = ns.addresses.iter().filter(|address| address.index == index);
    on_link.map(|address| address.addr).filter(|addr| !observe::is_link_local(addr.addr())).collect()
}
