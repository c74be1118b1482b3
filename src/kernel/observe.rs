//! From what was read to what is ours and what is somebody else's. Nothing here asks the kernel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::answer::LinkAnswer;
use super::maker::{owner_of, owner_of_bridge, owner_of_link};
use super::message::{self, NEWBORN};
use super::ovsdb::{self, Switched};
use super::reading::{NsReading, Other, Reading, is_named_for};
use super::shared::spare_name;
use super::{Scope, addresses, carried, ends, file, lacks, neighbours, qdisc, routes, silence, vlans};
use crate::halves::both;
use crate::names::{IfName, Mtu, NetnsName};
use crate::resource::amiss::Amiss;
use crate::resource::device::Device;
use crate::resource::file::{FILE_MARK, TextFile, is_whole};
use crate::resource::link::{Link, LinkKind};
use crate::resource::netns::{Netns, NsRef};
use crate::resource::owner::{Mark, Owner};
use crate::resource::part;
use crate::resource::state::{Entry, Foreign, Observed, State};
use crate::resource::sysctl::Sysctl;
use crate::resource::{Resource, ResourceId, Slot};

/// A unicast route: `RTN_UNICAST`, `include/uapi/linux/rtnetlink.h`.
pub(crate) const UNICAST: u8 = 1;

/// The links of one namespace that are ours, by index: name and owner.
pub(crate) type OwnLinks = BTreeMap<u32, (IfName, Owner)>;

/// Returns our objects, and what others hold of the places that ours may want.
pub(crate) fn observed(reading: &Reading, tables: Vec<Entry>, scope: &Scope) -> Observed {
    seen(reading, &Holders::of(reading, scope), tables, scope)
}

/// Whose links are, as marks and the other ends of pairs tell.
pub(super) struct Holders {
    /// Our links' peers: by their namespace and index, the owner of the pair.
    peers: BTreeMap<(NsRef, u32), Owner>,
    /// The host's links that are ours.
    pub(super) host: OwnLinks,
}

impl Holders {
    pub(super) fn of(reading: &Reading, scope: &Scope) -> Self {
        let peers = peers(reading, scope);
        let host = own_links(&reading.host, &peers, scope);
        Self { peers, host }
    }
}

/// Returns what [`observed`] does, for one who knows whose the links are.
pub(super) fn seen(reading: &Reading, holders: &Holders, tables: Vec<Entry>, scope: &Scope) -> Observed {
    let namespaces = || {
        let mut observed = Observed::default();
        for ns in &reading.namespaces {
            see_all(&mut observed, ns, &own_links(ns, &holders.peers, scope), reading, scope);
        }
        observed
    };
    let host = || {
        let mut observed = see_tables(tables);
        see_all(&mut observed, &reading.host, &holders.host, reading, scope);
        see_files(&mut observed, reading, scope);
        observed
    };
    let (namespaces, mut observed) = both(reading.namespaces.len(), namespaces, host);
    observed.append(namespaces);
    carried::see(&mut observed, reading, &holders.host, scope);
    if !reading.absent.is_empty() {
        ovsdb::see(&mut observed, reading, &holders.host, scope);
    }
    for (name, other) in &reading.others {
        let foreign = match other {
            Other::Stale if scope.begun.contains(&ResourceId::Netns(name.clone())) => {
                insert(
                    &mut observed,
                    Resource::Netns(Netns { whole: false, ..Netns::new(name.clone()) }),
                    Owner::Project,
                );
                continue;
            }
            Other::Namespace(mark, ..) => strange(name, mark.as_ref(), scope),
            Other::Stale => {
                let what = format!("file /run/netns/{name}, which a namespace left behind");
                Foreign { what, owner: None, on: None }
            }
        };
        observed.foreign.insert(Slot::Ns(NsRef::Named(name.clone())), foreign);
    }
    observed
}

/// Notes all that is in a namespace.
fn see_all(observed: &mut Observed, ns: &NsReading, own: &OwnLinks, reading: &Reading, scope: &Scope) {
    see_namespace(observed, ns, scope);
    for link in &ns.links {
        see_link(observed, link, (ns, own), reading, scope);
    }
    addresses::see(observed, (ns, own), scope);
    routes::see(observed, (ns, own), reading, scope);
    qdisc::see(observed, ns, own, scope);
    neighbours::see(observed, ns, own, scope);
    for (key, value) in &ns.sysctls {
        let sysctl = Sysctl { ns: ns.ns.clone(), key: key.clone(), value: value.into() };
        insert(observed, Resource::Sysctl(sysctl), Owner::Project);
    }
}

/// Tells our tables from those of others: ours say of which rules they are made.
fn see_tables(tables: Vec<Entry>) -> Observed {
    let mut foreign = BTreeMap::new();
    let mut strangers = vec![];
    for entry in &tables {
        if let Resource::NftTable(table) = &entry.resource
            && table.digest.is_empty()
        {
            let what = format!("nft table {} {}", table.id.family.as_str(), table.id.name);
            foreign.insert(Slot::Object(entry.resource.id()), Foreign { what, owner: None, on: None });
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
    let own = State::from(tables.into_iter().filter(is_ours).collect::<Vec<_>>());
    Observed { own, foreign }
}

fn peers(reading: &Reading, scope: &Scope) -> BTreeMap<(NsRef, u32), Owner> {
    let mut peers = BTreeMap::new();
    // The other end of a pair that somebody else made is his.
    for link in reading.host.links.iter().filter(|link| link.device().is_none()) {
        if let (Some(owner), Some((ns, peer))) = (owner(link, &NsRef::Host, scope), peer_of(link, reading)) {
            peers.insert((ns.ns.clone(), peer.index), owner);
        }
    }
    peers.extend(reading.holders(scope));
    peers
}

/// Returns the links of a namespace that are ours: marked ones, and the peers of marked ones.
pub(crate) fn own_links(ns: &NsReading, peers: &BTreeMap<(NsRef, u32), Owner>, scope: &Scope) -> OwnLinks {
    let owner = |link: &LinkAnswer| {
        let peer = || peers.get(&(ns.ns.clone(), link.index)).cloned();
        owner(link, &ns.ns, scope).or_else(peer)
    };
    ns.links
        .iter()
        // A mark on `lo` is the namespace's.
        .filter(|link| link.index != 1)
        .filter_map(|link| Some((link.index, (link.ifname()?, owner(link)?))))
        .collect()
}

/// Returns the mark of a link that is ours, or counts as ours though nobody's mark is on it.
fn ours(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> Option<Mark> {
    match link.mark() {
        // What says that it is the host's, and may be, is never deleted for it.
        Some(_) if link.device().is_some() && taken(link, ns, scope).is_none() => None,
        Some(mark) => {
            // Who marks it as his and leaves the name that another project gave it is not to be believed.
            let is_ours = link.named_by().is_none_or(|project| project == scope.project.as_str());
            Some(mark).filter(|mark| mark.project == scope.project && is_ours)
        }
        // Docker and its like mark nothing.
        None if owner_of_bridge(link).is_some() => None,
        None => {
            let id = ResourceId::Link(ns.clone(), link.ifname()?);
            if let Some(mark) = scope.strays.get(&id) {
                return Some(mark.clone());
            }
            let is_ours = scope.unmarked.contains(&id) || taken(link, ns, scope).is_some();
            is_ours.then(|| unmarked(&link.alias, scope))
        }
    }
}

/// Returns what a link was on the host, when we have taken it from there. What only says so is anybody's.
pub(super) fn taken(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> Option<Device> {
    let (_, device) = link.device().filter(|(project, _)| *project == scope.project)?;
    let vouched = scope.seals.as_ref().is_none_or(|seals| seals.vouch(&device.name, (ns, link)));
    vouched.then_some(device)
}

/// Returns what stands in for the mark of an object that has none.
fn unmarked(alias: &str, scope: &Scope) -> Mark {
    Mark { project: scope.project.clone(), owner: Owner::Unmarked(alias.into()), protected: false }
}

/// Returns the owner of a link of ours; of one that a killed run made and had no time to mark, the project.
pub(super) fn owner(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> Option<Owner> {
    let marked = ours(link, ns, scope).map(|mark| mark.owner);
    marked.or_else(|| is_newborn(link, ns, scope).then_some(Owner::Project))
}

/// Tells whether a link is one that a killed run had made and not yet marked.
pub(crate) fn is_newborn(link: &LinkAnswer, ns: &NsRef, scope: &Scope) -> bool {
    let begun = |name: IfName| {
        let is_spare = |id: &ResourceId| matches!(id, ResourceId::Link(home, link) if home == ns && spare_name(home, link) == name);
        scope.begun.contains(&ResourceId::Link(ns.clone(), name.clone())) || scope.begun.iter().any(is_spare)
    };
    link.group == NEWBORN && link.alias.is_empty() && link.ifname().is_some_and(begun)
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

/// Returns a namespace that is not what its name says.
fn strange(name: &NetnsName, mark: Option<&Mark>, scope: &Scope) -> Foreign {
    let what = match mark.filter(|mark| mark.project == scope.project) {
        Some(mark) => format!("namespace {name}, which is that of {}", mark.owner),
        None => format!("namespace {name}"),
    };
    Foreign { what, owner: mark.map(owner_of), on: None }
}

fn see_namespace(observed: &mut Observed, ns: &NsReading, scope: &Scope) {
    let NsRef::Named(name) = &ns.ns else { return };
    let lo = ns.links.iter().any(|link| link.index == 1 && link.up);
    let loopback = ns.addresses.iter().any(|it| it.index == 1 && it.addr == message::LOOPBACK);
    let netns = || Netns { lo, loopback, lacks: lacks::of(ns, scope), ..Netns::new(name.clone()) };
    match ns.mark() {
        Some(mark) if mark.project == scope.project && is_named_for(&mark, &ns.ns) => {
            insert(observed, Resource::Netns(netns()), mark.owner);
        }
        None if scope.unmarked.contains(&ResourceId::Netns(name.clone())) => {
            let owner = unmarked(ns.alias(), scope).owner;
            insert(observed, Resource::Netns(netns()), owner);
        }
        mark => {
            if let (None, Some(bore)) = (&mark, scope.strays.get(&ResourceId::Netns(name.clone()))) {
                let stray = Some(ns.alias().into());
                return insert(observed, Resource::Netns(Netns { stray, ..netns() }), bore.owner.clone());
            }
            observed.foreign.insert(Slot::Ns(ns.ns.clone()), strange(name, mark.as_ref(), scope));
        }
    }
}

fn see_link(
    observed: &mut Observed,
    link: &LinkAnswer,
    (ns, own): (&NsReading, &OwnLinks),
    reading: &Reading,
    scope: &Scope,
) {
    // A name that no manifest can ask for is in nobody's way.
    let (Some(name), false) = (link.ifname(), link.index == 1) else { return };
    let place = reading.place_of(&ns.ns, link, &scope.project);
    match ours(link, &ns.ns, scope) {
        _ if place == Some(ends::Place::Second) => {}
        Some(mark) => {
            let mut resource = own_link((link, name), (ns, own), kind(link, ns, reading, scope));
            resource.protected = mark.protected;
            silence::see(&mut resource, (link, ns), reading, scope);
            resource.amiss.mark =
                (link.alias.is_stray() && !mark.owner.is_unmarked()).then(|| (*link.alias).clone());
            insert(observed, Resource::from(resource), mark.owner);
        }
        None if is_newborn(link, &ns.ns, scope) => {
            // Nothing that is asked for is equal to it, so it is always made anew.
            let kind = LinkKind::Other(format!("unfinished {}", link.kind));
            insert(observed, Resource::from(own_link((link, name), (ns, own), kind)), Owner::Project);
        }
        None if place == Some(ends::Place::First) => {
            let mut resource = own_link((link, name), (ns, own), kind(link, ns, reading, scope));
            silence::see(&mut resource, (link, ns), reading, scope);
            insert(observed, Resource::from(resource), Owner::Unmarked((*link.alias).clone()));
        }
        None if own.contains_key(&link.index) => {}
        None => {
            let kind = if link.kind.is_empty() { "interface" } else { &link.kind };
            let owner = owner_of_link(link, &ns.links);
            // A port stands on its bridge, a macvlan on the link that it shares; a pair's ends stand on nothing.
            let below = link.peer.filter(|_| link.kind != "veth" && link.peer_ns.is_none());
            let mut stands = link.master.into_iter().chain(below);
            let on = stands.find_map(|index| own.get(&index));
            let on = on.or_else(|| own.values().find(|(name, _)| Some(name) == Switched::bridge(link)));
            let on = on.map(|(_, owner)| owner.clone());
            let foreign = Foreign { what: format!("{kind} {name}"), owner, on };
            observed.foreign.insert(Slot::Ifname(ns.ns.clone(), name), foreign);
        }
    }
}

fn own_link((link, name): (&LinkAnswer, IfName), (ns, own): (&NsReading, &OwnLinks), kind: LinkKind) -> Link {
    let ours = |index: &u32| Some(own.get(index)?.0.clone());
    let theirs = |index: u32| ns.links.iter().find(|link| link.index == index)?.ifname();
    let master = || link.master.and_then(|master| ours(&master).or_else(|| theirs(master)));
    let is_chosen = ns.ns == NsRef::Host && matches!(link.kind.as_str(), "veth" | "ifb");
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
        amiss: Amiss { port: silence::faults(link, ns), ..Amiss::default() },
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

fn see_files(observed: &mut Observed, reading: &Reading, scope: &Scope) {
    for (path, text) in &reading.files {
        let ours = if is_whole(path) { None } else { part::of(text, &scope.project) };
        let content = match ours {
            Some(lines) => &lines.into(),
            None if is_whole(path) => text,
            // It is somebody else's, and has room for ours.
            None => continue,
        };
        let mark = content.lines().next().and_then(|line| line.strip_prefix(FILE_MARK)).and_then(Mark::parse);
        let file = TextFile { path: path.clone(), content: content.clone() };
        match mark {
            Some(mark) if mark.project == scope.project => {
                insert(observed, Resource::File(file), mark.owner);
            }
            None if content.is_empty() && scope.begun.contains(&ResourceId::File(path.clone())) => {
                insert(observed, Resource::File(file), Owner::Project);
            }
            mark => {
                let what =
                    file::no_file(content).map_or_else(|| format!("file {}", path.display()), str::to_owned);
                let foreign = Foreign { what, owner: mark.as_ref().map(owner_of), on: None };
                observed.foreign.insert(Slot::Object(ResourceId::File(path.clone())), foreign);
            }
        }
    }
}

pub(super) fn insert(observed: &mut Observed, resource: Resource, owner: Owner) {
    observed.own.insert(Entry { resource, owner, origin: None, ignore: vec![] });
}

/// Tells whether an address is one that the kernel gives every link.
pub(crate) fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}
