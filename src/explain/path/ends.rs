//! Whom the user means: a container, the host, a namespace, or an address.

use std::net::IpAddr;

use thiserror::Error;

use super::packet::Protocol;
use super::walk::is_link_local;
use crate::explain::{Scene, interface, namespace};
use crate::kernel::census::{Interface, Peer};
use crate::names;

/// What stands for the namespace that netform runs in.
const HOST: &str = "host";

/// Between whom a packet is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// Who sends it.
    pub(super) from: End,
    /// Whom it is for.
    pub(super) to: End,
    pub(super) protocol: Protocol,
    pub(super) port: Option<u16>,
}

/// An end of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// What the user calls it.
    pub(super) called: String,
    /// The place of its namespace; `None` when it is elsewhere.
    pub(super) ns: Option<usize>,
    /// Its address; `None` leaves the choice to the kernel.
    pub(super) address: Option<IpAddr>,
}

/// Why it is not clear who is meant.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unclear {
    /// There is no port, or no protocol, of this name.
    #[error("`{0}` is no port: write NAME:PORT or NAME:PORT/udp, an IPv6 address as [ADDRESS]:PORT")]
    NoPort(String),
    /// Nobody is called that.
    #[error("no container or namespace that can be seen from here is called `{0}`")]
    Nobody(String),
    /// Several are called that.
    #[error("`{0}` is the name of several: {1}; write an address, or the namespace's file")]
    Several(String, String),
    /// It has no address.
    #[error("{0} has no address")]
    NoAddress(String),
}

/// Finds out who is meant by `FROM` and `TO[:PORT[/PROTOCOL]]`.
///
/// # Errors
///
/// When that is nobody, or not clear.
pub fn ends(from: &str, to: &str, scene: &Scene) -> Result<Ends, Unclear> {
    let (name, service) = service(to)?;
    let from = end(from, scene)?;
    let mut to = end(name, scene)?;
    if to.address.is_none() {
        to.address = Some(reachable(&from, &to, scene).ok_or_else(|| Unclear::NoAddress(to.called.clone()))?);
    }
    let (protocol, port) = match service {
        Some((port, protocol)) => (protocol.into(), Some(port)),
        None => (Protocol::Ping, None),
    };
    Ok(Ends { from, to, protocol, port })
}

type Service = (u16, names::Protocol);

/// Splits `NAME`, `NAME:PORT/PROTOCOL`, `ADDRESS`, `[ADDRESS]:PORT`.
fn service(to: &str) -> Result<(&str, Option<Service>), Unclear> {
    if to.parse::<IpAddr>().is_ok() || to.starts_with('/') {
        return Ok((to, None));
    }
    let wrong = || Unclear::NoPort(to.to_owned());
    let (name, port) = match to.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, ""))) => (address, None),
        Some(Some((address, rest))) => (address, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
        Some(None) => return Err(wrong()),
        None => to.split_once(':').map_or((to, None), |(name, port)| (name, Some(port))),
    };
    let Some(port) = port else { return Ok((name, None)) };
    let (port, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    Ok((name, Some((port, names::Protocol::named(protocol).ok_or_else(wrong)?))))
}

fn end(text: &str, scene: &Scene) -> Result<End, Unclear> {
    let called = text.to_owned();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let has = |(_, _, link): &(usize, &_, &Interface)| {
            link.index != 1 && link.addresses.iter().any(|own| own.addr() == address)
        };
        let found: Vec<usize> = scene.interfaces().filter(has).map(|(place, _, _)| place).collect();
        let ns = nearest(&found, scene).first().copied();
        return Ok(End { called, ns, address: Some(address) });
    }
    let home = scene.namespaces.iter().position(|ns| ns.home);
    if text == HOST {
        return Ok(End { called, ns: home, address: None });
    }
    let bare = text.strip_prefix("container.").unwrap_or(text);
    let mut found: Vec<usize> = vec![];
    for (place, ns) in scene.namespaces.iter().enumerate() {
        let links = ns.interfaces.iter().filter(|link| interface::is_inside(ns, link) && !ns.home);
        let attached = || links.clone().filter_map(|link| interface::whose(scene, place, link).container);
        let is = (!ns.home && namespace::whose(scene, ns).container.as_deref() == Some(bare))
            || attached().any(|name| name == bare)
            || ns.names.iter().any(|name| name == bare)
            || ns.path().is_some_and(|path| path.to_str() == Some(text));
        if is {
            found.push(place);
        }
    }
    match nearest(&found, scene).as_slice() {
        [] => Err(Unclear::Nobody(text.to_owned())),
        [one] => Ok(End { called, ns: Some(*one), address: None }),
        several => {
            let names = several.iter().filter_map(|place| scene.namespaces.get(*place));
            let names: Vec<_> = names.map(|ns| namespace::place(scene, ns)).collect();
            Err(Unclear::Several(text.to_owned(), names.join(", ")))
        }
    }
}

/// Returns those of these namespaces that are the host's own or paired with it, if any is: what has the same name may be in
/// a sandbox, or belong to a host within this one.
fn nearest(found: &[usize], scene: &Scene) -> Vec<usize> {
    let home = scene.namespaces.iter().position(|ns| ns.home);
    let leads_here = |link: &Interface| match link.peer {
        Peer::At { namespace, index: _ } => Some(namespace) == home,
        Peer::None | Peer::Unseen => false,
    };
    let is_near = |place: &&usize| {
        let ns = scene.namespaces.get(**place);
        ns.is_some_and(|ns| ns.home || !ns.names.is_empty() || ns.interfaces.iter().any(leads_here))
    };
    let near: Vec<usize> = found.iter().filter(is_near).copied().collect();
    if near.is_empty() { found.to_vec() } else { near }
}

/// Returns by which of its addresses one end reaches another: one on a network that they share, or else the first of the
/// interface with the default route, or else any.
fn reachable(from: &End, to: &End, scene: &Scene) -> Option<IpAddr> {
    let to = scene.namespaces.get(to.ns?)?;
    let from_ns = from.ns.and_then(|place| scene.namespaces.get(place));
    let same = from_ns.is_some_and(|ns| ns.id == to.id);
    if same && to.home {
        return Some(IpAddr::from([127, 0, 0, 1]));
    }
    let fits = |address: &IpAddr| from.address.is_none_or(|from| from.is_ipv4() == address.is_ipv4());
    let useful = |addr: &IpAddr| !addr.is_loopback() && !is_link_local(*addr) && fits(addr);
    let mut links: Vec<_> = to.interfaces.iter().filter(|link| link.index != 1).collect();
    // Behind a link of the host, it does not hear what comes to that, but to the link by which it is beside others there.
    let beside = |link: &Interface| {
        let mut theirs = from_ns.into_iter().flat_map(|ns| &ns.interfaces);
        interface::is_stacked(link) && theirs.any(|it| interface::is_stacked(it) && it.peer == link.peer)
    };
    links.sort_by_key(|link| (!beside(link), !link.default_route));
    let all = links.iter().flat_map(|link| &link.addresses).filter(|own| useful(&own.addr()));
    let shared = |own: &&&ipnet::IpNet| {
        let theirs = from_ns.into_iter().flat_map(|ns| &ns.interfaces).flat_map(|link| &link.addresses);
        from.address.iter().any(|from| own.contains(from))
            || theirs.into_iter().any(|it| it.contains(&own.addr()))
    };
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|own| own.addr().is_ipv6());
    all.iter().find(shared).or_else(|| all.first()).map(|own| own.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(to: &str, want: Option<(&str, Option<(u16, &str)>)>) {
        let got = service(to).ok();
        let got =
            got.map(|(name, service)| (name, service.map(|(port, protocol)| (port, protocol.as_str()))));
        assert_eq!(got.as_ref().map(|(name, service)| (*name, *service)), want, "{to}");
    }

    #[test]
    fn a_destination_is_a_name_or_an_address_with_or_without_a_port() {
        check("web", Some(("web", None)));
        check("web:80", Some(("web", Some((80, "tcp")))));
        check("web:53/udp", Some(("web", Some((53, "udp")))));
        check("10.0.0.1:80", Some(("10.0.0.1", Some((80, "tcp")))));
        check("fd00::1", Some(("fd00::1", None)));
        check("[fd00::1]:80", Some(("fd00::1", Some((80, "tcp")))));
        check("[fd00::1]", Some(("fd00::1", None)));
        check("[fd00::1", None);
        check("[fd00::1]80", None);
        check("web:", None);
        check("web:0", None);
        check("web:65536", None);
        check("web:80/icmp", None);
    }
}
