//! Addresses for which links of the host answer, though they are behind others: neighbour discovery by proxy.
//!
//! They are asked for where there may be any of ours: the manifest, or what was applied, names the link. No group tells of
//! them (`neigh_add()` and `neigh_delete()` in Linux `net/core/neighbour.c`), only of the link with which they go.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::answer::{LinkAnswer, RouteAnswer, each, ip, u32_at};
use super::links::{NEW, Outcome, channel, found, send_unless};
use super::live::Live;
use super::netlink::{Blocking, Channel, Refusal};
use super::reading::NsReading;
use super::sight::Sight;
use super::whose::OwnLinks;
use super::{FailureKind, OpError, Scope, facts};
use crate::names::{IfName, ProjectName};
use crate::resource::neighbour::Neighbour;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::route::PROTOCOL;
use crate::resource::state::{Foreign, Observed};
use crate::resource::sysctl::{Family, SysctlKey};
use crate::resource::{Resource, ResourceId, Slot};

const RTM_NEWNEIGH: u16 = 28;

/// Routes that a router told: `RTPROT_RA`.
const TOLD: u8 = 9;

/// What an answer of a link depends on: whether it answers for others, and whether the host heeds routers there, which it
/// does with `accept_ra` = 1 only where it does not forward (`ipv6_accept_ra()`, Linux `include/net/ipv6.h`).
const PARAMETERS: [&str; 3] = ["proxy_ndp", "accept_ra", "forwarding"];

/// Which links' answers matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Links of the host that are named.
    pub links: BTreeSet<IfName>,
    /// Whether that with the default route of IPv6 is meant, too.
    pub uplink: bool,
    /// Those on which routers were heard before netform had the host forward, whoever has made them anew since.
    pub heeded: BTreeSet<IfName>,
    /// What is ours if it has our number.
    pub held: BTreeSet<ResourceId>,
}

impl Proxies {
    /// Adds what others ask for.
    pub(super) fn extend(&mut self, more: &Self) {
        self.links.extend(more.links.iter().cloned());
        self.uplink |= more.uplink;
        self.heeded.extend(more.heeded.iter().cloned());
        self.held.extend(more.held.iter().cloned());
    }

    /// Tells whether a link matters that did not before, and that was not met by way of the default route either.
    pub fn is_beyond(&self, before: &Self, observed: &Observed) -> bool {
        let unknown = |link: &&IfName| {
            let ids = parameters(link).map(|key| ResourceId::Sysctl(NsRef::Host, key));
            ids.into_iter().all(|id| observed.own.get(&id).is_none())
        };
        self.links.difference(&before.links).any(|link| unknown(&link))
    }
}

/// An address for which a link answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxyAnswer {
    /// The index of the link.
    pub(crate) index: u32,
    /// The address.
    addr: IpAddr,
    /// Who says so.
    protocol: u8,
}

/// Returns the parameters of a link on which its answers depend.
pub(super) fn parameters(link: &IfName) -> impl Iterator<Item = SysctlKey> {
    let key = |name: &'static str| SysctlKey::PerLink {
        family: Family::Ipv6,
        link: link.clone(),
        name: name.into(),
    };
    PARAMETERS.into_iter().map(key)
}

/// Reads what the links of others in a reading answer for, if that matters; returns the parameters that matter with it. Whoever has
/// renamed a link has renamed what it answers for, so all of them are asked at once.
pub(super) fn read(
    reading: &mut NsReading,
    socket: &mut Blocking,
    (proxies, project): (&Proxies, &ProjectName),
) -> Result<Vec<SysctlKey>, Refusal> {
    let is_ours = |link: &&LinkAnswer| link.mark().is_some_and(|mark| mark.project == *project);
    let theirs = reading.links.iter().filter(|link| !is_ours(link));
    let theirs: BTreeSet<u32> = theirs.map(|link| link.index).collect();
    // Most of what moves is on links of ours.
    if !theirs.is_empty() && (!proxies.links.is_empty() || proxies.uplink) {
        let answers = socket.dump(all(AddressFamily::Inet6), answer)?;
        reading.proxied = answers.into_iter().filter(|it| theirs.contains(&it.index)).collect();
    }
    let uplink = proxies.uplink.then(|| facts::uplink(reading, |family| family == Family::Ipv6)).flatten();
    let told =
        reading.links.iter().filter(|link| theirs.contains(&link.index) && is_told(reading, link.index));
    let links: BTreeSet<IfName> = uplink.into_iter().chain(told).filter_map(LinkAnswer::ifname).collect();
    Ok(links.difference(&proxies.links).flat_map(parameters).collect())
}

/// Returns what the links of a namespace answer for, of both families: each address with the index of the link.
pub(super) fn everything(socket: &mut Blocking) -> Result<Vec<(IpAddr, u32)>, Refusal> {
    let answers = socket.dump(all(AddressFamily::Unspec), answer)?;
    Ok(answers.into_iter().map(|it| (it.addr, it.index)).collect())
}

/// Asks what all links answer for.
fn all(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.flags = NeighbourFlags::Proxy;
    RouteNetlinkMessage::GetNeighbour(message)
}

fn one(addr: IpAddr, index: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = index;
    message.header.flags = NeighbourFlags::Proxy;
    let (family, addr) = match addr {
        IpAddr::V4(addr) => (AddressFamily::Inet, NeighbourAddress::from(addr)),
        IpAddr::V6(addr) => (AddressFamily::Inet6, NeighbourAddress::from(addr)),
    };
    message.header.family = family;
    message.attributes.push(NeighbourAttribute::Destination(addr));
    message
}

/// Reads an address for which a link answers; `None` for anything else. `struct ndmsg`, `NDA_DST`, `NDA_PROTOCOL`.
fn answer(kind: u16, body: &[u8]) -> Option<ProxyAnswer> {
    let (header, attributes) = body.split_at_checked(12).filter(|_| kind == RTM_NEWNEIGH)?;
    let is_proxy = header.get(10)? & NeighbourFlags::Proxy.bits() != 0;
    let (mut addr, mut protocol) = (None, 0);
    each(attributes, |kind, value| match kind {
        1 => addr = ip(value),
        12 => protocol = value.first().copied().unwrap_or_default(),
        _ => {}
    });
    Some(ProxyAnswer { index: u32_at(header, 4)?, addr: addr.filter(|_| is_proxy)?, protocol })
}

/// Notes what links of the host answer for. Ours has our number, and is in a subnet that a link of ours has, or was asked
/// for by us; everything else is somebody else's.
pub(super) fn see(observed: &mut Sight, host: &NsReading, own: &OwnLinks, scope: &Scope) {
    let is_behind = |addr: &IpAddr| {
        let ours = host.addresses.iter().filter(|it| it.protocol == PROTOCOL && own.contains_key(&it.index));
        ours.into_iter().any(|it| it.addr.contains(addr))
    };
    for ProxyAnswer { index, addr, protocol } in &host.proxied {
        let link = host.links.iter().find(|link| link.index == *index).and_then(LinkAnswer::ifname);
        let Some(link) = link else { continue };
        let resource = Resource::Neighbour(Neighbour { ns: NsRef::Host, link: link.clone(), addr: *addr });
        let id = resource.id();
        if *protocol == PROTOCOL && (scope.proxies.held.contains(&id) || is_behind(addr)) {
            observed.insert(resource, Owner::Project);
            continue;
        }
        let owner = (*protocol == PROTOCOL).then(|| "another project".to_owned());
        let what = format!("the entry of {addr} among what {link} answers for");
        observed.foreign.insert(Slot::Object(id), Foreign { what, owner, on: None, bears: None });
    }
}

/// Returns the links that matter, are there, and have no IPv6: with an MTU below 1,280 the kernel takes it off them
/// (`addrconf_notify()` in Linux `net/ipv6/addrconf.c`), parameters and all.
pub(super) fn mute(host: &NsReading, proxies: &Proxies) -> BTreeSet<IfName> {
    let there = host.links.iter().filter(|_| !proxies.links.is_empty()).filter_map(LinkAnswer::ifname);
    let has = |link: &IfName| host.sysctls.iter().any(|(key, _)| key.answers() == Some(link));
    there.filter(|link| proxies.links.contains(link) && !has(link)).collect()
}

/// Returns the value of a parameter of a link, when it was read.
fn value<'r>(host: &'r NsReading, link: &IfName, of: &str) -> Option<&'r str> {
    let key = SysctlKey::PerLink { family: Family::Ipv6, link: link.clone(), name: of.into() };
    host.sysctls.iter().find(|(other, _)| *other == key).map(|(_, value)| value.as_str())
}

/// Returns the links that may hear routers, each with its index and what it does with what they tell: few of many are asked.
fn hearing(host: &NsReading) -> impl Iterator<Item = (&IfName, u32, &str)> {
    let accepting = host.sysctls.iter().filter_map(|(key, value)| match key {
        SysctlKey::PerLink { family: Family::Ipv6, link, name } if name == "accept_ra" => Some((link, value)),
        SysctlKey::Ipv4Forward
        | SysctlKey::Ipv6Forward
        | SysctlKey::PerLink { family: _, link: _, name: _ }
        | SysctlKey::Whole(_) => None,
    });
    accepting.filter(|(_, value)| matches!(value.as_str(), "1" | "2")).filter_map(|(name, value)| {
        let link = host.links.iter().find(|link| link.name == name.as_str())?;
        Some((name, link.index, value.as_str()))
    })
}

/// Returns the links by which routers tell the host its routes, and would not any more once it forwards.
pub(super) fn heeding(host: &NsReading, proxies: &Proxies) -> BTreeSet<IfName> {
    let told = |index: u32| {
        let mut routes = host.routes.iter().filter(|route| route.index == Some(index));
        routes.any(|route| route.protocol == TOLD)
    };
    let heeds = |(name, index, accepts): &(&IfName, u32, &str)| {
        *accepts == "2"
            || value(host, name, "forwarding") == Some("0")
            || proxies.heeded.contains(*name)
            || told(*index)
    };
    hearing(host).filter(heeds).map(|(name, _, _)| name.clone()).collect()
}

/// Tells whether a router has told a default route of IPv6 by a link.
fn is_told(host: &NsReading, index: u32) -> bool {
    let of = |route: &&RouteAnswer| route.index == Some(index) && route.protocol == TOLD;
    host.routes.iter().filter(of).any(|route| route.dest.prefix_len() == 0)
}

/// Returns the links of others by which routers tell the host its default route, and would not any more once it forwards;
/// and those on record as such.
pub(super) fn told(host: &NsReading, own: &OwnLinks, proxies: &Proxies) -> BTreeSet<IfName> {
    let is_heard = |(name, index, accepts): &(&IfName, u32, &str)| {
        let is_lost =
            || *accepts == "1" && is_told(host, *index) && value(host, name, "forwarding") == Some("0");
        !own.contains_key(index) && (proxies.heeded.contains(*name) || is_lost())
    };
    hearing(host).filter(is_heard).map(|(name, _, _)| name.clone()).collect()
}

/// Has a link answer for an address.
pub(super) async fn add(live: &Live, neighbour: &Neighbour) -> Outcome {
    let Neighbour { ns, link, addr } = neighbour;
    let channel = channel(live, ns)?;
    let index = found(channel, link)?;
    // The kernel takes a second request for a change of the first, whatever the flags say (`neigh_add()`).
    if holder(channel, *addr, index)?.is_some() {
        return Err(Refusal::Kernel { errno: Errno::EXIST, said: None }.into());
    }
    let mut message = one(*addr, index);
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::from(PROTOCOL)));
    channel.request(RouteNetlinkMessage::NewNeighbour(message), NEW).await.map_err(|refusal| {
        let lacks = refusal.errno() == Some(Errno::NOBUFS);
        let OpError { kind, message } = refusal.into();
        if lacks {
            // `pndisc_constructor()` in Linux `net/ipv6/ndisc.c`.
            let message = format!("there is no IPv6 on link {link}: {message}");
            OpError { kind: FailureKind::Missing, message }
        } else {
            OpError { kind, message }
        }
    })
}

/// Has a link answer for an address no more, unless somebody else wants it to by now.
pub(super) async fn remove(live: &Live, neighbour: &Neighbour) -> Outcome {
    let Neighbour { ns, link, addr } = neighbour;
    let channel = channel(live, ns)?;
    let index = match channel.index(link) {
        Err(refusal) if refusal.errno() == Some(Errno::NODEV) => return Ok(()),
        index => index?,
    };
    if holder(channel, *addr, index)? != Some(PROTOCOL) {
        return Ok(());
    }
    let message = RouteNetlinkMessage::DelNeighbour(one(*addr, index));
    send_unless(channel, message, &[Errno::NOENT, Errno::NODEV]).await
}

/// Returns whose number is on what a link answers for; `None` when it does not.
fn holder(channel: &Channel, addr: IpAddr, index: u32) -> Result<Option<u8>, OpError> {
    match channel.ask(RouteNetlinkMessage::GetNeighbour(one(addr, index)), answer) {
        Ok(answer) => Ok(answer.map(|answer| answer.protocol)),
        Err(refusal) if matches!(refusal.errno(), Some(Errno::NOENT | Errno::NODEV)) => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::answer::RouteAnswer;

    #[test]
    fn an_entry_says_for_which_address_and_whose_it_is() {
        // `struct ndmsg` with `NTF_PROXY`, `NDA_DST` and `NDA_PROTOCOL`, as Linux 6.18 tells it.
        let mut body = vec![10, 0, 0, 0, 3, 0, 0, 0, 0, 0, 8, 0, 20, 0, 1, 0];
        body.extend("2001:db8::5".parse::<std::net::Ipv6Addr>().unwrap().octets());
        body.extend([5, 0, 12, 0, 110, 0, 0, 0]);

        let want = ProxyAnswer { index: 3, addr: "2001:db8::5".parse().unwrap(), protocol: PROTOCOL };
        assert_eq!(answer(RTM_NEWNEIGH, &body), Some(want));
        body[10] = 0;
        assert_eq!(answer(RTM_NEWNEIGH, &body), None, "a neighbour that is there");
    }

    /// Checks whether the host hears its router on a link with these parameters.
    #[track_caller]
    fn check([accept_ra, forwarding]: [&str; 2], [told, heeded]: [bool; 2], want: bool) {
        let mut host = NsReading::empty(NsRef::Host);
        let name = IfName::try_from("eth0").unwrap();
        // `struct ifinfomsg` and `IFLA_IFNAME`.
        let link =
            [0, 0, 1, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0];
        host.links.extend(crate::kernel::answer::link(16, &link));
        let values = ["1", accept_ra, forwarding].map(str::to_owned);
        host.sysctls = parameters(&name).zip(values).collect();
        host.routes.extend(told.then(|| RouteAnswer {
            table: 254,
            protocol: TOLD,
            kind: 1,
            dest: "::/0".parse().unwrap(),
            via: Some("fe80::1".parse().unwrap()),
            hops: vec![],
            index: Some(3),
            metric: 1024,
            onlink: false,
            narrow: false,
            plain: true,
        }));
        let proxies =
            Proxies { heeded: heeded.then_some(name.clone()).into_iter().collect(), ..Proxies::default() };
        assert_eq!(
            heeding(&host, &proxies).contains(&name),
            want,
            "accept_ra {accept_ra}, forwarding {forwarding}"
        );
    }

    #[test]
    fn a_router_is_to_be_heard_where_it_was_before_the_host_forwarded() {
        check(["1", "0"], [false, false], true);
        check(["1", "1"], [false, false], false);
        check(["1", "1"], [true, false], true);
        check(["1", "1"], [false, true], true);
        check(["2", "1"], [false, false], true);
        check(["0", "0"], [true, true], false);
    }
}
