//! What of a plan would cut the SSH session that netform was started from.

mod wall;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Action, Plan};
use crate::kernel::Op;
use crate::kernel::management::{Management, Session};
use crate::names::IfName;
use crate::resource::link::{Link, LinkKind, Macvlan, MacvlanMode};
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::resource::{Resource, ResourceId};

/// Returns what would be done to what carries the session, each once.
pub(super) fn cuts(plan: &Plan, management: &Management) -> impl Iterator<Item = String> {
    let done = plan.waves.iter().flatten().filter_map(|op| match op {
        Op::Create(entry) => taken_over(entry, management),
        Op::Update { from, to } => changed((from, to), management),
        Op::Delete(entry) => removed(entry, management),
    });
    let lost =
        plan.lost.iter().filter(|entry| !matches!(entry.resource, Resource::Link(_)) || goes(plan, entry));
    let lost = lost.filter_map(|entry| removed(entry, management));
    let denied = wall::denied(plan, &management.session);
    done.chain(lost)
        .chain(published(plan, &management.session))
        .chain(denied)
        .collect::<BTreeSet<_>>()
        .into_iter()
}

/// Tells whether a link that is taken along goes, and is not only taken from its bridge.
fn goes(plan: &Plan, lost: &Entry) -> bool {
    let id = lost.resource.id();
    !plan.waves.iter().flatten().any(|op| matches!(op, Op::Update { .. }) && op.id() == id)
}

/// Returns what is lost when an object goes, if the session is.
fn removed(entry: &Entry, management: &Management) -> Option<String> {
    let Management { session, route, links, namespaces } = management;
    let id = entry.resource.id();
    let cut = match &id {
        ResourceId::Netns(name) => namespaces.contains(&NsRef::Named(name.clone())),
        ResourceId::Link(ns, name) => is_on_the_way(ns, name, links),
        // The host's own address, or the client's in a container.
        ResourceId::Address(NsRef::Host, _, addr) => Some(addr.addr()) == session.server,
        ResourceId::Address(_, _, addr) => addr.addr() == session.client,
        ResourceId::Route(NsRef::Host, dest, _) => Some(dest.trunc()) == *route,
        ResourceId::Route(..)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => false,
    };
    cut.then(|| format!("{id} carries it, and would be removed"))
}

fn is_on_the_way(ns: &NsRef, name: &IfName, links: &BTreeSet<IfName>) -> bool {
    *ns == NsRef::Host && links.contains(name)
}

/// Returns what an update does to the session, if it cuts it.
fn changed((from, to): (&Entry, &Entry), management: &Management) -> Option<String> {
    let id = to.resource.id();
    let how = match (&from.resource, &to.resource) {
        (Resource::Link(old), Resource::Link(new))
            if is_on_the_way(&old.ns, &old.name, &management.links) =>
        {
            unplugged(old, new)?
        }
        (Resource::Route(old), Resource::Route(new)) => {
            let carries = old.ns == NsRef::Host && Some(old.dest.trunc()) == management.route;
            (carries && old.way != new.way).then_some("would lead elsewhere")?
        }
        (
            Resource::Netns(_)
            | Resource::Link(_)
            | Resource::Address(_)
            | Resource::Route(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_)
            | Resource::File(_),
            _,
        ) => return None,
    };
    Some(format!("{id} carries it, and {how}"))
}

fn unplugged(old: &Link, new: &Link) -> Option<&'static str> {
    let peer_down = match (&old.kind, &new.kind) {
        (LinkKind::Veth(old), LinkKind::Veth(new)) => old.up && !new.up,
        (
            LinkKind::Bridge
            | LinkKind::Veth(_)
            | LinkKind::Macvlan(_)
            | LinkKind::Ipvlan(_)
            | LinkKind::Vlan(_)
            | LinkKind::OpenVswitch(_)
            | LinkKind::Device(_)
            | LinkKind::Ifb
            | LinkKind::Other(_),
            _,
        ) => false,
    };
    if (old.up && !new.up) || peer_down {
        Some("would be brought down")
    } else if old.master != new.master {
        Some("would be put on another bridge")
    } else {
        None
    }
}

/// Returns what a new object takes from the session: its address, or the way back to its client.
fn taken_over(entry: &Entry, management: &Management) -> Option<String> {
    let (id, client) = (entry.resource.id(), management.session.client);
    if let Some(LinkKind::Macvlan(Macvlan { parent, mode: MacvlanMode::Passthru })) =
        entry.resource.link().map(|link| &link.kind)
    {
        let carries = management.links.contains(parent);
        return carries.then(|| format!("{parent} carries it, and {id} would have all its packets"));
    }
    if let Some(device) = entry.resource.link().and_then(|link| link.kind.device()) {
        let carries = management.links.contains(&device.name);
        return carries.then(|| format!("{} carries it, and would leave the host", device.name));
    }
    let (link, dest) = match &id {
        ResourceId::Address(NsRef::Host, link, addr) => (link, addr.trunc()),
        ResourceId::Route(NsRef::Host, dest, _) => match &entry.resource {
            Resource::Route(route) => (route.leaves_by()?.0, dest.trunc()),
            Resource::Netns(_)
            | Resource::Link(_)
            | Resource::Address(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_)
            | Resource::File(_) => return None,
        },
        ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => return None,
    };
    let wins = |route: IpNet| dest.prefix_len() >= route.prefix_len();
    let takes = dest.contains(&client)
        && management.route.is_some_and(wins)
        && !management.links.contains(link)
        && !is_near(client);
    takes.then(|| format!("{id} would take over the way to {client}"))
}

/// Tells whether an address is reached without a route that could be taken over.
fn is_near(addr: IpAddr) -> bool {
    addr.is_loopback()
        || match addr {
            IpAddr::V4(_) => false,
            IpAddr::V6(addr) => addr.is_unicast_link_local(),
        }
}

/// Returns the newly published ports that take the port of the session's server.
fn published(plan: &Plan, session: &Session) -> impl Iterator<Item = String> {
    let created = plan.changes.iter().filter(|change| change.action == Action::Create);
    created.filter_map(|change| match &change.owner {
        owner @ Owner::Port(port) => {
            takes_port(port, session)?.then(|| format!("{owner} would take over the port that it came to"))
        }
        owner @ Owner::External(address) if session.server == Some(*address) => {
            Some(format!("{owner} would take over the address that it came to"))
        }
        owner @ Owner::External(address) => (session.client == *address)
            .then(|| format!("{owner} would take over the address that it comes from")),
        Owner::Project
        | Owner::Network(_)
        | Owner::Container(_)
        | Owner::Attachment { .. }
        | Owner::Policy(_)
        | Owner::Unmarked(_) => None,
    })
}

/// Tells whether a published port such as `0.0.0.0:20-29/tcp` is the server's; `None` when it cannot be read.
fn takes_port(text: &str, session: &Session) -> Option<bool> {
    let (host, ports) = text.strip_suffix("/tcp")?.rsplit_once(':')?;
    let host: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let here = host.is_unspecified() || session.server.is_none_or(|server| server == host);
    Some(here && session.port.is_some_and(|port| (first..=last).contains(&port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Mac, Mtu};
    use crate::resource::address::Address;
    use crate::resource::link::Peer;
    use crate::resource::route::{Rank, Route, Way};
    use crate::resource::sysctl::Family;

    fn ifname(text: &str) -> IfName {
        IfName::try_from(text).unwrap()
    }

    fn entry(resource: Resource) -> Entry {
        Entry { resource, owner: Owner::Project, origin: None, ignore: vec![] }
    }

    fn link(name: &str, master: Option<&str>) -> Link {
        let peer = Peer {
            ns: NsRef::Named("web".try_into().unwrap()),
            name: ifname("eth0"),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: Mtu::ETHERNET,
            up: true,
            tag: None,
        };
        Link {
            master: master.map(ifname),
            ..Link::alone(NsRef::Host, ifname(name), Mtu::ETHERNET, LinkKind::Veth(peer))
        }
    }

    fn route(dest: &str, link: &str, via: &str) -> Entry {
        let (dest, via) = (dest.parse().unwrap(), Some(via.parse().unwrap()));
        entry(Resource::Route(Route {
            ns: NsRef::Host,
            dest,
            way: Way::By { link: ifname(link), via, onlink: false },
            rank: Rank::usual(Family::Ipv4),
            stray: None,
        }))
    }

    fn address(addr: &str, link: &str) -> Entry {
        entry(Resource::Address(Address::new(NsRef::Host, ifname(link), addr.parse().unwrap())))
    }

    /// Checks what an operation does to a session from 203.0.113.9 to 192.0.2.1, by a default route on `wan`.
    #[track_caller]
    fn check(op: Op, want: &[&str]) {
        let client = "203.0.113.9".parse().unwrap();
        let session =
            Session { client, zone: None, server: Some("192.0.2.1".parse().unwrap()), port: Some(22) };
        let management = Management {
            session,
            route: Some("0.0.0.0/0".parse().unwrap()),
            links: [ifname("wan")].into(),
            namespaces: [NsRef::Named("modem".try_into().unwrap())].into(),
        };
        let plan = Plan { waves: vec![vec![op]], ..Plan::default() };
        assert_eq!(cuts(&plan, &management).collect::<Vec<_>>(), want);
    }

    fn update(from: Link, to: Link) -> Op {
        Op::Update { from: entry(Resource::from(from)), to: entry(Resource::from(to)) }
    }

    #[test]
    fn a_link_that_carries_the_session_may_neither_go_nor_go_down_nor_move() {
        let wan = || link("wan", None);
        check(Op::Delete(entry(Resource::from(wan()))), &["link wan carries it, and would be removed"]);
        let down = Link { up: false, ..wan() };
        check(update(wan(), down), &["link wan carries it, and would be brought down"]);
        let moved = link("wan", Some("br-front"));
        check(update(wan(), moved), &["link wan carries it, and would be put on another bridge"]);
        check(update(wan(), Link { mtu: Mtu::try_from(1400).unwrap(), ..wan() }), &[]);
        check(Op::Delete(entry(Resource::from(link("lan", None)))), &[]);
    }

    #[test]
    fn the_way_back_to_the_client_may_neither_go_nor_be_taken_over() {
        let default = |via| route("0.0.0.0/0", "wan", via);
        let removed = "default route carries it, and would be removed";
        check(Op::Delete(default("192.0.2.254")), &[removed]);
        let elsewhere = Op::Update { from: default("192.0.2.254"), to: default("192.0.2.253") };
        check(elsewhere, &["default route carries it, and would lead elsewhere"]);
        let taken = "route 203.0.113.0/24 would take over the way to 203.0.113.9";
        check(Op::Create(route("203.0.113.0/24", "br-front", "172.25.0.9")), &[taken]);
        let taken = "address 203.0.113.1/24 on br-front would take over the way to 203.0.113.9";
        check(Op::Create(address("203.0.113.1/24", "br-front")), &[taken]);
        check(Op::Create(address("198.51.100.1/24", "br-front")), &[]);
        check(Op::Create(address("203.0.113.1/24", "wan")), &[]);
        let server = "address 192.0.2.1/24 on wan carries it, and would be removed";
        check(Op::Delete(address("192.0.2.1/24", "wan")), &[server]);
    }
}
