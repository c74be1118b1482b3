//! What planning needs to know of the host, from the same look at the kernel that the observed state comes from.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry as Place};
use std::net::IpAddr;

use ipnet::IpNet;

use super::answer::{LinkAnswer, RouteAnswer};
use super::message::MAIN_TABLE;
use super::nft::Tables;
use super::observe;
use super::ovsdb::Switched;
use super::reading::{NsReading, Reading, Wrong};
use super::whose::{Holders, OwnLinks};
use super::{Scope, carried, device, identity, limits, maker, neighbours, silence, vlans};
use crate::halves::both;
use crate::names::{ContainerName, IfName, Mtu, NetName, ProjectName};
use crate::resource::address::Address;
use crate::resource::link::LinkKind;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::route::{PROTOCOL, Rank};
use crate::resource::state::{Entry, Observed, Placed, State};
use crate::resource::sysctl::Family;
use crate::resource::{Resource, ResourceId};
use crate::topology::facts::{Barrier, Facts, Few, Leases, LinkFact, Silent};

/// Routes that lead somewhere or nowhere by somebody's will: `RTN_UNICAST`, `_BLACKHOLE`, `_UNREACHABLE`, `_PROHIBIT`,
/// `_THROW`; the others belong to the host's own addresses.
const CHOSEN_ROUTES: [u8; 5] = [observe::UNICAST, 6, 7, 8, 9];

/// Routes that come with a link's addresses: `RTPROT_KERNEL`.
const WITH_ADDRESS: u8 = 2;

/// Routes that a router told: `RTPROT_RA`.
const BY_ROUTER: u8 = 9;

/// What of others judges packets beside ours: [`Facts::barriers`] and [`Facts::docker_user`].
pub(super) type Judges = (BTreeSet<Barrier>, BTreeSet<Family>);

/// What one look at the kernel tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// What is there, ours and others'.
    pub observed: Observed,
    /// What planning needs to know of it. The leases of the last apply are not the kernel's to tell: `leases` is empty.
    pub facts: Facts,
    /// The other projects that have a firewall here: whoever publishes a port has.
    pub projects: BTreeSet<ProjectName>,
}

impl Survey {
    /// Returns what will be seen once all that counts as ours without a mark carries the mark of `owner`.
    #[must_use]
    pub fn adopted(self, owner: &Owner) -> Self {
        let Self { observed: Observed { own, mut foreign }, facts, projects } = self;
        let mut entries: Vec<Entry> = own.into();
        for entry in entries.iter_mut().filter(|entry| entry.owner.is_unmarked()) {
            entry.owner = owner.clone();
        }
        for on in foreign.values_mut().filter_map(|foreign| foreign.on.as_mut()) {
            if on.is_unmarked() {
                *on = owner.clone();
            }
        }
        let objects: Vec<Placed> = entries.into_iter().map(Placed::from).collect();
        let Held { interfaces, host_ends, live } = held(by_id(&objects));
        let observed = Observed { own: objects.into(), foreign };
        Self { observed, facts: Facts { interfaces, host_ends, live, ..facts }, projects }
    }
}

pub(super) fn survey(reading: &Reading, tables: Tables, scope: &Scope) -> Survey {
    let Tables { own, others, barriers, docker_user } = tables;
    let holders = Holders::of(reading, scope);
    let (facts, (observed, [of_host, of_others])) = both(
        reading.namespaces.len(),
        || device::with_returning(facts(reading, &holders.host, scope), reading, scope),
        || observe::seen(reading, &holders, own, scope, |objects| held(by_id(objects))),
    );
    let Held { interfaces, host_ends, live } = of_host.and(of_others);
    let facts = Facts { barriers, docker_user, interfaces, host_ends, live, ..facts };
    Survey { observed, facts, projects: others }
}

/// Returns the facts of a [survey](survey()) of which no more than the host was read, as they are if the namespaces hold what was
/// applied, and are all ours.
pub(super) fn foretold(host: &Reading, tables: Judges, scope: &Scope, applied: &State) -> Facts {
    let Held { interfaces, host_ends, live } = held(applied.iter());
    let (barriers, docker_user) = tables;
    let facts = facts(host, &Holders::of(host, scope).host, scope);
    Facts { barriers, docker_user, interfaces, host_ends, live, ..facts }
}

/// Returns what is known of the host besides what is [held].
fn facts(reading: &Reading, own: &OwnLinks, scope: &Scope) -> Facts {
    let host = &reading.host;
    let connected = connected(host, own);
    let foreign = || host.links.iter().filter(|link| !own.contains_key(&link.index));
    Facts {
        uplink_mtu: uplink_mtu(host),
        uplinks: uplinks(host, own),
        deaf: deaf(host, own),
        heeding: neighbours::heeding(host, &scope.proxies),
        told: neighbours::told(host, own, &scope.proxies),
        mute: neighbours::mute(host, &scope.proxies),
        addresses: foreign().flat_map(|link| given(link, host)).collect(),
        routes: routes(host, own, scope),
        led: led(host, own, &connected),
        connected,
        subnets: subnets(host, own, scope),
        foreign_links: foreign().filter_map(LinkAnswer::ifname).collect(),
        altnames: foreign().flat_map(altnames).collect(),
        routers: default_routes(host).filter_map(|route| route.via).collect(),
        bridges: foreign().filter(|link| link.kind == "bridge").filter_map(|link| fact(link, host)).collect(),
        vswitches: foreign()
            .filter(|link| matches!(link.switch, Some(Switched::Bridge(_))))
            .filter_map(|link| fact(link, host))
            .collect(),
        parents: foreign()
            .filter(|link| link.kind != "bridge" && link.master.is_none() && link.index != 1)
            .filter_map(|link| fact(link, host))
            .collect(),
        not_ethernet: foreign().filter(|link| !link.ethernet).filter_map(LinkAnswer::ifname).collect(),
        silent: foreign().filter_map(|link| Some((link.ifname()?, silent(link)?))).collect(),
        carried: carried::carried(reading, own, scope),
        devices: device::facts(reading, scope),
        namespaces: namespaces(reading, scope),
        wrong_namespaces: reading.wrong_by(Wrong::Kind),
        own_namespaces: reading.wrong_by(Wrong::Host),
        limits: limits::read(),
        own_range: identity::own_range(),
        outside: outside(host, own),
        ..Facts::default()
    }
}

/// What is held now: names by the live links, subnets by the bridges' addresses, addresses by the containers'.
#[derive(Default)]
struct Held {
    interfaces: BTreeMap<NetName, IfName>,
    host_ends: BTreeMap<ContainerName, Few<NetName, IfName>>,
    live: Leases,
}

impl Held {
    /// Returns what is held in two parts.
    fn and(self, other: Self) -> Self {
        let Self { mut interfaces, mut host_ends, mut live } = self;
        interfaces.extend(other.interfaces);
        for (container, ends) in other.host_ends {
            match host_ends.entry(container) {
                Place::Vacant(place) => drop(place.insert(ends)),
                Place::Occupied(mut held) => held.get_mut().extend(ends),
            }
        }
        for (network, subnets) in other.live.subnets {
            live.subnets.entry(network).or_default().extend(subnets);
        }
        for (container, networks) in other.live.addresses {
            match live.addresses.entry(container) {
                Place::Vacant(place) => drop(place.insert(networks)),
                Place::Occupied(mut held) => {
                    let held = held.get_mut();
                    networks
                        .into_iter()
                        .for_each(|(network, all)| held.entry(network).or_default().extend(all));
                }
            }
        }
        Self { interfaces, host_ends, live }
    }
}

fn by_id(objects: &[Placed]) -> impl Iterator<Item = (&ResourceId, &Entry)> + Clone {
    objects.iter().map(|object| (object.id(), object.entry()))
}

fn held<'o>(objects: impl Iterator<Item = (&'o ResourceId, &'o Entry)> + Clone) -> Held {
    let mut facts = Held { live: live(objects.clone().map(|(_, entry)| entry)), ..Held::default() };
    for (id, entry) in objects {
        let ResourceId::Link(NsRef::Host, name) = id else { continue };
        match &entry.owner {
            // A VLAN that a network stands on is nobody's bridge.
            Owner::Network(_) if entry.resource.link().is_some_and(|link| link.kind.parent().is_some()) => {}
            // One that is to be in a container is no end of a pair.
            Owner::Attachment { .. }
                if entry.resource.link().is_some_and(|it| it.kind.device().is_some()) => {}
            Owner::Network(network) => drop(facts.interfaces.insert(network.clone(), name.clone())),
            // What leads to its limit is no end of it.
            Owner::Attachment { .. }
                if entry.resource.link().is_some_and(|link| link.kind == LinkKind::Ifb) => {}
            Owner::Attachment { container, network } => {
                let ends = facts.host_ends.entry(container.clone()).or_default();
                ends.insert(network.clone(), name.clone());
            }
            Owner::Project
            | Owner::Container(_)
            | Owner::Port(_)
            | Owner::Policy(_)
            | Owner::External(_)
            | Owner::Unmarked(_) => {}
        }
    }
    facts
}

/// Returns the links of others that lead out of the host: those that a default route leaves by, and all that are no bridge
/// and no pair, behind which are others' containers.
fn outside(host: &NsReading, own: &OwnLinks) -> BTreeSet<IfName> {
    let leads_out = |link: &&LinkAnswer| {
        let is_local = matches!(link.kind.as_str(), "bridge" | "veth" | "dummy" | "ifb");
        let is_others = link.index == 1 || own.contains_key(&link.index) || link.master.is_some();
        let is_uplink = || default_routes(host).any(|route| route.index == Some(link.index));
        !is_others && (!is_local || is_uplink())
    };
    host.links.iter().filter(leads_out).filter_map(LinkAnswer::ifname).collect()
}

/// Returns the default routes of all tables.
fn default_routes(host: &NsReading) -> impl Iterator<Item = &RouteAnswer> {
    host.routes.iter().filter(|route| route.dest.prefix_len() == 0 && route.kind == observe::UNICAST)
}

/// Returns the further names of a link, as far as a manifest can name them, and its name.
fn altnames(link: &LinkAnswer) -> impl Iterator<Item = (IfName, IfName)> + '_ {
    let further = link.altnames.iter().filter_map(|name| IfName::try_from(name.as_str()).ok());
    further.filter_map(|further| Some((further, link.ifname()?)))
}

/// Returns the MTU of the link that the default route leaves by; IPv4's counts when there are two.
fn uplink_mtu(host: &NsReading) -> Option<Mtu> {
    Mtu::try_from(uplink(host, |_| true)?.mtu).ok()
}

/// Returns the link of others that has the default route, by family.
fn uplinks(host: &NsReading, own: &OwnLinks) -> BTreeMap<Family, IfName> {
    let of = |family| {
        let link = uplink(host, |it| it == family).filter(|link| !own.contains_key(&link.index))?;
        Some((family, link.ifname()?))
    };
    [Family::Ipv4, Family::Ipv6].into_iter().filter_map(of).collect()
}

/// Returns the link of others by which IPv4 leaves, when the host forwards, and not what comes by it.
fn deaf(host: &NsReading, own: &OwnLinks) -> Option<IfName> {
    let is_deaf = |link: &&LinkAnswer| link.forwards == Some(false) && !own.contains_key(&link.index);
    let link = uplink(host, |family| family == Family::Ipv4).filter(is_deaf)?;
    silence::forwards(host).then(|| link.ifname())?
}

/// Returns the link that the default route of one of these families leaves by; IPv4's before IPv6's.
pub(super) fn uplink(host: &NsReading, is_meant: impl Fn(Family) -> bool) -> Option<&LinkAnswer> {
    let is_default = |route: &&RouteAnswer| {
        route.dest.prefix_len() == 0
            && route.kind == observe::UNICAST
            && route.table == u32::from(MAIN_TABLE)
            && is_meant(Family::of(route.dest.addr()))
    };
    let ranked = |route: &&RouteAnswer| (route.dest.addr().is_ipv6(), route.metric);
    let route =
        host.routes.iter().filter(is_default).filter(|route| route.index.is_some()).min_by_key(ranked)?;
    host.links.iter().find(|link| Some(link.index) == route.index)
}

/// Returns the addresses that others have given a link.
fn given(link: &LinkAnswer, host: &NsReading) -> Vec<(IpAddr, IfName)> {
    let Some(name) = link.ifname() else { return vec![] };
    let theirs = host.addresses.iter().filter(|it| it.index == link.index && it.protocol != PROTOCOL);
    let chosen = theirs.map(|it| it.addr.addr()).filter(|addr| !is_everybodys(*addr));
    chosen.map(|addr| (addr, name.clone())).collect()
}

fn routes(host: &NsReading, own: &OwnLinks, scope: &Scope) -> BTreeSet<IpNet> {
    let is_stray = |route: &RouteAnswer| {
        let rank = Rank { table: route.table, metric: route.metric };
        !scope.strays.is_empty()
            && scope.strays.contains_key(&ResourceId::Route(NsRef::Host, route.dest, rank))
    };
    let is_ours = |route: &RouteAnswer| {
        ([WITH_ADDRESS, PROTOCOL].contains(&route.protocol) || is_stray(route))
            && route.index.is_some_and(|index| own.contains_key(&index))
    };
    host.routes
        .iter()
        .filter(|route| CHOSEN_ROUTES.contains(&route.kind) && !is_ours(route))
        .map(|route| route.dest.trunc())
        .filter(|dest| dest.prefix_len() > 0 && !is_everybodys(dest.addr()))
        .collect()
}

/// Returns the subnets that others' links are on: those of their addresses, also where these bring no route
/// (`IFA_F_NOPREFIXROUTE`), and those that came with an address or that a router told to be on the link.
fn connected(host: &NsReading, own: &OwnLinks) -> BTreeMap<IpNet, IfName> {
    let is_on_link = |route: &&RouteAnswer| {
        let RouteAnswer { protocol, kind, via, .. } = route;
        *kind == observe::UNICAST && via.is_none() && [WITH_ADDRESS, BY_ROUTER].contains(protocol)
    };
    let with_addresses = host.addresses.iter().map(|it| (it.index, it.addr.trunc()));
    let on_link = host.routes.iter().filter(is_on_link).filter_map(|it| Some((it.index?, it.dest.trunc())));
    let is_subnet = |(index, dest): &(u32, IpNet)| {
        (1..dest.max_prefix_len()).contains(&dest.prefix_len())
            && !is_everybodys(dest.addr())
            && !own.contains_key(index)
    };
    let name = |index| host.links.iter().find(|link| link.index == index)?.ifname();
    let subnets = with_addresses.chain(on_link).filter(is_subnet);
    subnets.filter_map(|(index, dest)| Some((dest, name(index)?))).collect()
}

/// Returns where routes of others lead to somebody, be it by a gateway or a tunnel: not those that lead nowhere.
fn led(host: &NsReading, own: &OwnLinks, connected: &BTreeMap<IpNet, IfName>) -> BTreeSet<IpNet> {
    let is_led = |route: &&RouteAnswer| {
        route.kind == observe::UNICAST
            && route.protocol != PROTOCOL
            && !route.index.is_some_and(|index| own.contains_key(&index))
    };
    let routes = host.routes.iter().filter(is_led).map(|route| route.dest.trunc());
    routes.filter(|dest| !is_everybodys(dest.addr()) && !connected.contains_key(dest)).collect()
}

/// Tells whether every host has routes to addresses like this one.
pub(super) fn is_everybodys(addr: IpAddr) -> bool {
    addr.is_loopback()
        || addr.is_multicast()
        || match addr {
            IpAddr::V4(_) => false,
            IpAddr::V6(addr) => addr.is_unicast_link_local(),
        }
}

/// Returns the subnets of bridges whose owner is known, us aside.
fn subnets(host: &NsReading, own: &OwnLinks, scope: &Scope) -> BTreeMap<IpNet, String> {
    let mut subnets = BTreeMap::new();
    let is_bridge = |link: &&LinkAnswer| matches!(link.kind.as_str(), "bridge" | "openvswitch" | "tun");
    for link in host.links.iter().filter(is_bridge) {
        // What only bears our mark is nobody's that is known.
        let ours =
            own.contains_key(&link.index) || link.mark().is_some_and(|mark| mark.project == scope.project);
        if let (false, Some(owner)) = (ours, maker::owner_of_link(link, &host.links)) {
            subnets.extend(addresses(link, host).map(|addr| (addr.trunc(), owner.clone())));
        }
    }
    subnets
}

fn silent(link: &LinkAnswer) -> Option<Silent> {
    match (link.up, link.carrier) {
        (false, _) => Some(Silent::Down),
        (true, false) => Some(Silent::NoCarrier),
        (true, true) => None,
    }
}

fn fact(link: &LinkAnswer, host: &NsReading) -> Option<(IfName, LinkFact)> {
    let fact = LinkFact {
        mtu: Mtu::try_from(link.mtu).ok()?,
        addresses: addresses(link, host).collect(),
        mac: link.mac,
        filtering: vlans::filtering(link),
    };
    Some((link.ifname()?, fact))
}

fn addresses<'a>(link: &LinkAnswer, host: &'a NsReading) -> impl Iterator<Item = IpNet> + 'a {
    let index = link.index;
    let on_link = host.addresses.iter().filter(move |address| address.index == index);
    on_link.map(|address| address.addr).filter(|addr| !is_everybodys(addr.addr()))
}

fn namespaces(reading: &Reading, scope: &Scope) -> BTreeSet<NsRef> {
    let there = reading.namespaces.iter().map(|ns| &ns.ns).chain([&reading.host.ns]);
    there.filter(|ns| scope.namespaces.contains(ns)).cloned().collect()
}

fn live<'o>(objects: impl Iterator<Item = &'o Entry>) -> Leases {
    let mut live = Leases::default();
    for entry in objects {
        let Resource::Address(Address { ns: _, link: _, addr, lost: _, stray: _ }) = &entry.resource else {
            continue;
        };
        match &entry.owner {
            Owner::Network(network) => {
                live.subnets.entry(network.clone()).or_default().push(addr.trunc());
            }
            Owner::Attachment { container, network } => {
                let held = live.addresses.entry(container.clone()).or_default();
                held.entry(network.clone()).or_default().push(addr.addr());
            }
            Owner::Project
            | Owner::Container(_)
            | Owner::Port(_)
            | Owner::Policy(_)
            | Owner::External(_)
            | Owner::Unmarked(_) => {}
        }
    }
    live
}
