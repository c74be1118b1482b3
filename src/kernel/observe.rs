//! From what was read to what is ours and what is somebody else's. Nothing here asks the kernel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::answer::LinkAnswer;
use super::maker::owner_of;
use super::ovsdb::{self, Switched};
use super::reading::{NsReading, Other, Reading};
use super::sight::Sight;
use super::whose::{self, Holders, Home, OwnLinks, is_newborn, ours, own_links, taken};
use super::{
    Scope, addresses, carried, ends, file, lacks, message, neighbours, qdisc, routes, silence, vlans,
};
use crate::halves::both;
use crate::names::{IfName, Mtu};
use crate::resource::amiss::Amiss;
use crate::resource::file::{FILE_MARK, TextFile, is_whole};
use crate::resource::link::{Link, LinkKind};
use crate::resource::netns::{Netns, NsRef};
use crate::resource::owner::{Mark, Owner};
use crate::resource::part;
use crate::resource::state::{Entry, Foreign, Observed, Placed};
use crate::resource::sysctl::Sysctl;
use crate::resource::{Resource, ResourceId, Slot};

/// A unicast route: `RTN_UNICAST`, `include/uapi/linux/rtnetlink.h`.
pub(crate) const UNICAST: u8 = 1;

/// Returns our objects, and what others hold of the places that ours may want.
pub(crate) fn observed(reading: &Reading, tables: Vec<Entry>, scope: &Scope) -> Observed {
    seen(reading, &Holders::of(reading, scope), tables, scope, |_| ()).0
}

/// Returns what [`observed`] does, for one who knows whose the links are; tells besides what `of` makes of our objects, in either
/// of two parts.
pub(super) fn seen<T: Send>(
    reading: &Reading,
    holders: &Holders,
    tables: Vec<Entry>,
    scope: &Scope,
    of: impl Fn(&[Placed]) -> T + Sync,
) -> (Observed, [T; 2]) {
    let made = |sight: Sight| {
        let sight = sight.in_order();
        let of = of(sight.own());
        (sight, of)
    };
    let namespaces = || {
        let mut observed = Sight::default();
        for ns in &reading.namespaces {
            see_all(&mut observed, ns, &own_links(ns, &holders.peers, scope), reading, scope);
        }
        made(observed)
    };
    let host = || {
        let mut observed = see_tables(tables);
        see_all(&mut observed, &reading.host, &holders.host, reading, scope);
        see_files(&mut observed, reading, scope);
        carried::see(&mut observed, reading, &holders.host, scope);
        if !reading.absent.is_empty() {
            ovsdb::see(&mut observed, reading, &holders.host, scope);
        }
        see_others(&mut observed, reading, scope);
        made(observed)
    };
    let ((namespaces, of_these), (host, of_host)) = both(reading.namespaces.len(), namespaces, host);
    (host.and(namespaces), [of_host, of_these])
}

/// Notes namespaces that were not looked into, and files that look like some.
fn see_others(observed: &mut Sight, reading: &Reading, scope: &Scope) {
    for (name, other) in &reading.others {
        let file = |what: &str| {
            let what = format!("file /run/netns/{name}, which {what}");
            Foreign { what, owner: None, on: None, bears: None }
        };
        let foreign = match other {
            Other::Stale => match whose::left(name, scope) {
                Some(owner) => {
                    let netns = Netns { whole: false, ..Netns::new(name.clone()) };
                    observed.insert(Resource::Netns(netns), owner);
                    continue;
                }
                None => file("a namespace left behind"),
            },
            Other::Namespace(mark, ..) => whose::strange(name, mark.as_ref(), scope),
            Other::Strange => file("is no namespace"),
        };
        observed.foreign.insert(Slot::Ns(NsRef::Named(name.clone())), foreign);
    }
}

/// Notes all that is in a namespace.
fn see_all(observed: &mut Sight, ns: &NsReading, own: &OwnLinks, reading: &Reading, scope: &Scope) {
    see_namespace(observed, ns, scope);
    for link in &ns.links {
        see_link(observed, link, (ns, own), reading, scope);
        // Nearly no link has names besides its own and its mark.
        if link.altnames.iter().any(|name| whose::is_taken_by(name)) {
            observed.foreign.extend(whose::further_names(link, ns, scope));
        }
    }
    addresses::see(observed, (ns, own), scope);
    routes::see(observed, (ns, own), reading, scope);
    qdisc::see(observed, ns, own, scope);
    neighbours::see(observed, ns, own, scope);
    for (key, value) in &ns.sysctls {
        let sysctl = Sysctl { ns: ns.ns.clone(), key: key.clone(), value: value.into() };
        observed.insert(Resource::Sysctl(sysctl), Owner::Project);
    }
}

/// Tells our tables from those of others: ours say of which rules they are made.
fn see_tables(tables: Vec<Entry>) -> Sight {
    let mut foreign = BTreeMap::new();
    let mut strangers = vec![];
    for entry in &tables {
        if let Resource::NftTable(table) = &entry.resource
            && table.digest.is_empty()
        {
            let what = format!("nft table {} {}", table.id.family.as_str(), table.id.name);
            foreign.insert(
                Slot::Object(entry.resource.id()),
                Foreign { what, owner: None, on: None, bears: None },
            );
            strangers.push(table.id.clone());
        }
    }
    let is_ours = |entry: &Entry| match &entry.resource {
        Resource::NftTable(table) => !strangers.contains(&table.id),
        Resource::NftElement(element) => !strangers.contains(&element.table),
        Resource::Netns(_)
        | Resource::Link(_)
        | Resource::Address(_)
        | Resource::Route(_)
        | Resource::Sysctl(_)
        | Resource::Passage(_)
        | Resource::Neighbour(_)
        | Resource::Qdisc(_)
        | Resource::File(_) => true,
    };
    Sight::of(tables.into_iter().filter(is_ours).map(Placed::from).collect(), foreign)
}

/// Finds the other end of a veth pair whose one end is in the host.
pub(crate) fn peer_of<'a>(
    link: &LinkAnswer,
    reading: &'a Reading,
) -> Option<(&'a NsReading, &'a LinkAnswer)> {
    let index = link.peer.filter(|_| link.kind == "veth")?;
    if link.peer_ns.is_some() {
        return reading.end(link.index).filter(|(_, peer)| peer.index == index);
    }
    let here = &reading.host;
    let peer = here.links.iter().find(|peer| peer.index == index && peer.peer == Some(link.index))?;
    Some((here, peer))
}

fn see_namespace(observed: &mut Sight, ns: &NsReading, scope: &Scope) {
    let NsRef::Named(name) = &ns.ns else { return };
    let lo = ns.links.iter().any(|link| link.index == 1 && link.up);
    let loopback = ns.addresses.iter().any(|it| it.index == 1 && it.addr == message::LOOPBACK);
    match whose::home(ns, name, scope) {
        Home::Ours(owner, stray) => {
            let lacks = lacks::of(ns, scope);
            let netns = Netns { lo, loopback, lacks, stray, ..Netns::new(name.clone()) };
            observed.insert(Resource::Netns(netns), owner);
        }
        Home::Foreign(foreign) => drop(observed.foreign.insert(Slot::Ns(ns.ns.clone()), foreign)),
    }
}

fn see_link(
    observed: &mut Sight,
    link: &LinkAnswer,
    (ns, own): (&NsReading, &OwnLinks),
    reading: &Reading,
    scope: &Scope,
) {
    // A name that no manifest can ask for is in nobody's way.
    let (Some(name), false) = (whose::known_as(link, &ns.ns, scope), link.index == 1) else { return };
    let place = reading.place_of(&ns.ns, link, &scope.project);
    match ours(link, &ns.ns, scope).filter(|_| !whose::is_tied_again(link, ns, scope)) {
        _ if place == Some(ends::Place::Second) => {}
        Some(mark) => {
            let mut resource = own_link((link, name), (ns, own), kind(link, ns, reading, scope));
            resource.protected = mark.protected;
            silence::see(&mut resource, (link, ns), reading, scope);
            let is_stray = !mark.owner.is_unmarked() && link.mark().as_ref() != Some(&mark);
            resource.amiss.mark = is_stray.then(|| (*link.alias).clone());
            observed.insert(Resource::from(resource), mark.owner);
        }
        None if is_newborn(link, &ns.ns, scope) => {
            // Nothing that is asked for is equal to it, so it is always made anew.
            let kind = LinkKind::Other(format!("unfinished {}", link.kind));
            observed.insert(Resource::from(own_link((link, name), (ns, own), kind)), Owner::Project);
        }
        None if place == Some(ends::Place::First) => {
            let mut resource = own_link((link, name), (ns, own), kind(link, ns, reading, scope));
            silence::see(&mut resource, (link, ns), reading, scope);
            observed.insert(Resource::from(resource), Owner::Unmarked((*link.alias).clone()));
        }
        None if own.contains_key(&link.index) => {}
        None => {
            // A port stands on its bridge, a macvlan on the link that it shares; a pair's ends stand on nothing.
            let below = link.peer.filter(|_| link.kind != "veth" && link.peer_ns.is_none());
            let mut stands = link.master.into_iter().chain(below);
            let on = stands.find_map(|index| own.get(&index));
            let on = on.or_else(|| own.values().find(|(name, _)| Some(name) == Switched::bridge(link)));
            let on = on.map(|(_, owner)| owner.clone());
            let foreign = Foreign { on, ..whose::stranger((link, &name), ns, reading, scope) };
            observed.foreign.insert(Slot::Ifname(ns.ns.clone(), name), foreign);
        }
    }
}

fn own_link((link, name): (&LinkAnswer, IfName), (ns, own): (&NsReading, &OwnLinks), kind: LinkKind) -> Link {
    let ours = |index: &u32| Some(own.get(index)?.0.clone());
    let theirs = |index: u32| ns.links.iter().find(|link| link.index == index)?.ifname();
    let master = || link.master.and_then(|master| ours(&master).or_else(|| theirs(master)));
    let is_chosen = ns.ns == NsRef::Host && matches!(link.kind.as_str(), "veth" | "ifb");
    let called = link.ifname().filter(|called| *called != name);
    Link {
        ns: ns.ns.clone(),
        name,
        // The kernel has chosen that of a pair's host end, unless it is ours, and of an `ifb`, which takes no other.
        mac: link
            .mac
            .filter(|mac| !is_chosen || kind.peer().is_some_and(|peer| peer.mac.above_all() == *mac)),
        mtu: Mtu::try_from(link.mtu).unwrap_or(Mtu::ETHERNET),
        up: link.up,
        master: Switched::bridge(link).cloned().or_else(master),
        hairpin: link.hairpin,
        port: link.switch.as_ref().and_then(Switched::port),
        isolated: link.isolated,
        stp: link.stp,
        filtering: vlans::filtering(link),
        vlans: vlans::of(link, &ns.links),
        altname: link.our_altname(),
        protected: false,
        amiss: Amiss {
            name: called,
            port: silence::faults(link, ns),
            bridge: link.bridge_faults.clone(),
            ..Amiss::default()
        },
        kind,
    }
}

fn kind(link: &LinkAnswer, ns: &NsReading, reading: &Reading, scope: &Scope) -> LinkKind {
    if let Some(device) = taken(link, &ns.ns, scope) {
        return LinkKind::Device(device);
    }
    let other = || LinkKind::Other(link.kind.to_string());
    if let Some(Switched::Bridge(switch)) = &link.switch {
        return switch.map_or_else(|| LinkKind::Other(ovsdb::ODD_BRIDGE.to_owned()), LinkKind::OpenVswitch);
    }
    match (link.kind.as_str(), &ns.ns) {
        ("bridge", _) => LinkKind::Bridge,
        ("ifb", NsRef::Host) => LinkKind::Ifb,
        ("macvlan" | "ipvlan", _) => carried::sharing(link, ns, reading).unwrap_or_else(other),
        ("vlan", NsRef::Host) => carried::vlan(link, ns).unwrap_or_else(other),
        ("veth", _) => ends::veth(link, ns, reading, scope).unwrap_or_else(other),
        _ => other(),
    }
}

fn see_files(observed: &mut Sight, reading: &Reading, scope: &Scope) {
    for (path, file::Found { text, mode }) in &reading.files {
        let ours = if is_whole(path) { None } else { part::of(text, &scope.project) };
        let content = match ours {
            Some(lines) => &lines.into(),
            None if is_whole(path) => text,
            // It is somebody else's, and has room for ours.
            None => continue,
        };
        let mark = content.lines().next().and_then(|line| line.strip_prefix(FILE_MARK)).and_then(Mark::parse);
        let file = TextFile { path: path.clone(), content: content.clone(), mode: *mode };
        match mark {
            Some(mark) if mark.project == scope.project => {
                observed.insert(Resource::File(file), mark.owner);
            }
            None if content.is_empty() && scope.begun.contains(&ResourceId::File(path.clone())) => {
                observed.insert(Resource::File(file), Owner::Project);
            }
            // A link, or a directory, is in its place: there is nothing to write to.
            None if file::no_file(content).is_none()
                && let Some(stray) = scope.strays.get(&ResourceId::File(path.clone())) =>
            {
                observed.insert(Resource::File(file), stray.bore.owner.clone());
            }
            mark => {
                let what =
                    file::no_file(content).map_or_else(|| format!("file {}", path.display()), str::to_owned);
                let foreign = Foreign { what, owner: mark.as_ref().map(owner_of), on: None, bears: None };
                observed.foreign.insert(Slot::Object(ResourceId::File(path.clone())), foreign);
            }
        }
    }
}

/// Tells whether an address is one that the kernel gives every link.
pub(crate) fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}
