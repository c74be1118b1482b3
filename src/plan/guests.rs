//! Other projects on bridges of ours: what a plan takes from their containers. Their own plans change nothing meanwhile, and would say
//! so too late.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use foldhash::HashMap;
use ipnet::IpNet;

use super::{Interruption, Plan};
use crate::names::{IfName, ProjectName};
use crate::resource::link::{Link, LinkKind};
use crate::resource::netns::NsRef;
use crate::resource::nft::NftElement;
use crate::resource::nft_key::{covered, number};
use crate::resource::owner::Owner;
use crate::resource::route::Route;
use crate::resource::state::{Observed, State};
use crate::resource::sysctl::Family;
use crate::resource::{Resource, ResourceId, Slot};

/// Returns our bridges that links of others are on, by the names of these.
pub fn lodged(observed: &Observed) -> BTreeMap<&IfName, &IfName> {
    let bridge = |owner: &Owner| {
        let mut links = observed.own.iter().filter(|(_, entry)| entry.owner == *owner);
        let link = links.find_map(|(_, entry)| entry.resource.link().filter(|link| is_bridge(link)))?;
        Some(&link.name)
    };
    let mut bridges = HashMap::<&Owner, Option<&IfName>>::default();
    let mut lodged = BTreeMap::new();
    for (slot, foreign) in &observed.foreign {
        let (Slot::Ifname(NsRef::Host, name), Some(owner)) = (slot, &foreign.on) else { continue };
        if let Some(bridge) = *bridges.entry(owner).or_insert_with(|| bridge(owner)) {
            lodged.insert(name, bridge);
        }
    }
    lodged
}

/// Adds to the changes of a plan what ends by them for the containers of these projects that are [lodged] on our bridges; `judged`
/// are the families in which the firewall sees what a bridge passes from one port to another.
pub fn tell_guests(
    plan: &mut Plan,
    (states, lodged): (&BTreeMap<ProjectName, State>, &BTreeMap<&IfName, &IfName>),
    (observed, desired): (&Observed, &State),
    judged: &BTreeSet<Family>,
) {
    let guests: Vec<Guest<'_>> =
        states.iter().flat_map(|(project, state)| guests(project, state, lodged)).collect();
    let names: BTreeSet<&IfName> = guests.iter().map(|guest| guest.bridge).collect();
    let bridges: BTreeMap<&IfName, [Bridge; 2]> = names
        .into_iter()
        .map(|name| (name, [&observed.own, desired].map(|state| Bridge::of(state, name))))
        .collect();
    let denied_before: Vec<Denial> = denials(&observed.own).map(|(_, denial)| denial).collect();
    let mut denied_by = HashMap::<&Owner, Vec<Denial>>::default();
    denials(desired).for_each(|(policy, denial)| denied_by.entry(policy).or_default().push(denial));
    for guest in &guests {
        let Some([before, after]) = bridges.get(guest.bridge) else { continue };
        let was_denied = guest.denied(&denied_before, (before, judged));
        for change in &mut plan.changes {
            let whys = match &change.owner {
                Owner::Network(_) if before.owner.as_ref() == Some(&change.owner) => {
                    guest.loses((before, after), judged)
                }
                Owner::Policy(_) => {
                    let by_it = denied_by.get(&change.owner).map_or(&[][..], Vec::as_slice);
                    newly_denied(was_denied, guest.denied(by_it, (before, judged)))
                }
                Owner::Network(_)
                | Owner::Project
                | Owner::Container(_)
                | Owner::Attachment { .. }
                | Owner::Port(_)
                | Owner::External(_)
                | Owner::Unmarked(_) => vec![],
            };
            if !whys.is_empty() {
                let (attachment, why) = (guest.owner.clone(), whys.join(", "));
                change.interrupts.push(Interruption {
                    attachment,
                    why,
                    project: Some(guest.project.clone()),
                });
            }
        }
    }
}

/// What is denied: whatever one part begins with another one; `None` is the host.
struct Denial {
    family: Family,
    ends: [Option<(u128, u128)>; 2],
}

/// Returns what is denied, and by which policy.
fn denials(state: &State) -> impl Iterator<Item = (&Owner, Denial)> {
    state.iter().filter_map(|(_, entry)| {
        let element = entry.resource.element().filter(|it| it.set.starts_with("deny_"))?;
        let key = covered(&element.key)?;
        let (first, second) = (key.first().copied(), key.get(1).copied());
        // What is to the host names where on the host; what is from it names only the other end.
        let ends = match () {
            () if element.set.contains("from_host") => [None, first],
            () if element.set.contains("to_host") => [first, None],
            () => [first, second],
        };
        let family = if element.set.ends_with('6') { Family::Ipv6 } else { Family::Ipv4 };
        Some((&entry.owner, Denial { family, ends }))
    })
}

/// Returns what is denied now, of what a guest begins and of what others begin with it, that was not before.
fn newly_denied(was: [bool; 2], is: [bool; 2]) -> Vec<String> {
    let words = ["denies something that it begins", "denies something that others begin with it"];
    let new = words.into_iter().zip(was.into_iter().zip(is)).filter(|(_, (was, is))| *is && !was);
    new.map(|(word, _)| word.to_owned()).collect()
}

fn is_bridge(link: &Link) -> bool {
    match link.kind {
        LinkKind::Bridge | LinkKind::OpenVswitch(_) => true,
        LinkKind::Veth(_)
        | LinkKind::Macvlan(_)
        | LinkKind::Ipvlan(_)
        | LinkKind::Vlan(_)
        | LinkKind::Device(_)
        | LinkKind::Ifb
        | LinkKind::Other(_) => false,
    }
}

/// A container of another project on a bridge of ours.
struct Guest<'a> {
    project: &'a ProjectName,
    /// Its attachment, by its name there.
    owner: &'a Owner,
    bridge: &'a IfName,
    addresses: Vec<IpAddr>,
    routes: Vec<&'a Route>,
    /// Whether its own project has what it sends out leave with an address of the host.
    is_hidden: bool,
}

/// Returns the containers of a project that are on our bridges now.
fn guests<'a>(
    project: &'a ProjectName,
    state: &'a State,
    lodged: &BTreeMap<&'a IfName, &'a IfName>,
) -> Vec<Guest<'a>> {
    let mut guests = HashMap::<&Owner, Guest<'_>>::default();
    for (_, entry) in state.iter() {
        let Some(link) = entry.resource.link().filter(|link| link.ns == NsRef::Host) else { continue };
        let (Owner::Attachment { .. }, Some(bridge)) = (&entry.owner, lodged.get(&link.name)) else {
            continue;
        };
        let (owner, addresses, routes, is_hidden) = (&entry.owner, vec![], vec![], false);
        guests.insert(owner, Guest { project, owner, bridge, addresses, routes, is_hidden });
    }
    for (_, entry) in state.iter() {
        let Some(guest) = guests.get_mut(&entry.owner) else { continue };
        match &entry.resource {
            Resource::Address(address) if address.ns != NsRef::Host => {
                guest.addresses.push(address.addr.addr())
            }
            Resource::Route(route) if route.ns != NsRef::Host => guest.routes.push(route),
            Resource::Address(_)
            | Resource::Route(_)
            | Resource::Link(_)
            | Resource::Netns(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::Neighbour(_)
            | Resource::Qdisc(_)
            | Resource::File(_) => {}
        }
    }
    let hidden: Vec<IpNet> =
        state.iter().filter_map(|(_, entry)| hidden(entry.resource.element()?)).collect();
    for guest in guests.values_mut() {
        guest.is_hidden = guest.addresses.iter().all(|addr| is_within(&hidden, addr));
    }
    let mut guests: Vec<_> = guests.into_values().collect();
    guests.sort_by_key(|guest| guest.owner);
    guests
}

/// What a bridge is to those who are on it.
#[derive(Default)]
struct Bridge {
    owner: Option<Owner>,
    /// Whether others than the host reach what is on it, unasked.
    is_open: bool,
    is_internal: bool,
    /// Whether what is on it hears each other.
    is_apart: bool,
    /// The host's addresses there.
    hosts: Vec<IpNet>,
    /// The sources that leave with an address of the host.
    hidden: Vec<IpNet>,
}

impl Bridge {
    fn of(state: &State, name: &IfName) -> Self {
        let mut bridge = Self::default();
        for (id, entry) in state.iter() {
            match &entry.resource {
                Resource::Link(link) if *id == ResourceId::Link(NsRef::Host, name.clone()) => {
                    bridge.owner = is_bridge(link).then(|| entry.owner.clone());
                }
                Resource::Address(address) if address.ns == NsRef::Host && address.link == *name => {
                    bridge.hosts.push(address.addr);
                }
                Resource::NftElement(element) => bridge.learn(element, name),
                Resource::Link(_)
                | Resource::Address(_)
                | Resource::Route(_)
                | Resource::Netns(_)
                | Resource::Sysctl(_)
                | Resource::NftTable(_)
                | Resource::Passage(_)
                | Resource::Neighbour(_)
                | Resource::Qdisc(_)
                | Resource::File(_) => {}
            }
        }
        bridge
    }

    fn learn(&mut self, element: &NftElement, name: &IfName) {
        let is_it = element.key.first().is_some_and(|key| key == name.as_str());
        match element.set.as_str() {
            "open" => self.is_open |= is_it,
            "internal" => self.is_internal |= is_it,
            "no_icc" => self.is_apart |= is_it,
            _ => self.hidden.extend(hidden(element)),
        }
    }

    fn lets_in(&self) -> bool {
        self.is_open && !self.is_internal
    }
}

/// Returns the sources that an element has leave with an address of the host.
fn hidden(element: &NftElement) -> Option<IpNet> {
    let is_it = ["masquerade4", "masquerade6", "snat4", "snat6"].contains(&element.set.as_str());
    let key = element.key.first().filter(|_| is_it)?;
    key.parse().ok().or_else(|| key.parse::<IpAddr>().ok().map(IpNet::from))
}

fn is_within(nets: &[IpNet], addr: &IpAddr) -> bool {
    nets.iter().any(|net| net.contains(addr))
}

impl Guest<'_> {
    /// Returns what ends for it when a bridge becomes another.
    fn loses(&self, (before, after): (&Bridge, &Bridge), judged: &BTreeSet<Family>) -> Vec<String> {
        let mut whys = vec![];
        if before.lets_in() && !after.lets_in() {
            let but = if after.is_internal { "" } else { ", unless a policy allows it" };
            whys.push(format!("nobody outside this host reaches it any more{but}"));
        }
        let is_led = |route: &&&Route| {
            route.leaves_by().and_then(|(_, via)| via).is_some_and(|via| has(&before.hosts, via))
        };
        let led: Vec<&&Route> = self.routes.iter().filter(is_led).collect();
        let leaves = led.iter().any(|route| route.dest.prefix_len() == 0);
        if leaves && !before.is_internal && after.is_internal {
            whys.push("it reaches nobody outside this host any more".to_owned());
        }
        let hears = |addr: &IpAddr| judged.contains(&Family::of(*addr));
        if !before.is_apart && after.is_apart && self.addresses.iter().any(hears) {
            whys.push(format!("its neighbours on {} and it do not hear each other any more", self.bridge));
        }
        let hops = led.iter().filter_map(|route| route.leaves_by()?.1);
        let lost: BTreeSet<IpAddr> = hops.filter(|via| !has(&after.hosts, *via)).collect();
        whys.extend(lost.iter().map(|via| format!("its next hop {via} goes")));
        if let Some(over) = self.lost(&before.hosts, &after.hosts) {
            whys.push(format!("this host does not reach it any more{over}"));
        }
        let is_shown = leaves && !self.is_hidden && lost.is_empty() && !after.is_internal;
        if is_shown && let Some(over) = self.lost(&before.hidden, &after.hidden) {
            whys.push(format!("what it sends out keeps its own address{over}"));
        }
        whys
    }

    /// Tells whether an address of its is not within what it was within; says over which family, where another one stays.
    fn lost(&self, was: &[IpNet], is: &[IpNet]) -> Option<&'static str> {
        let had = self.addresses.iter().filter(|addr| is_within(was, addr));
        let (stays, lost): (Vec<&IpAddr>, Vec<&IpAddr>) = had.partition(|addr| is_within(is, addr));
        let lost = lost.first()?;
        Some(match Family::of(**lost) {
            Family::Ipv4 | Family::Ipv6 if stays.is_empty() => "",
            Family::Ipv4 => " over IPv4",
            Family::Ipv6 => " over IPv6",
        })
    }

    /// Tells whether something is denied that it begins, and something that others begin with it, by naming its subnet.
    fn denied(&self, denials: &[Denial], (bridge, judged): (&Bridge, &BTreeSet<Family>)) -> [bool; 2] {
        let mut denied = [false; 2];
        for Denial { family, ends } in denials {
            let nets = || bridge.hosts.iter().filter(|net| Family::of(net.addr()) == *family);
            let is_here = |(first, last): (u128, u128)| {
                nets().any(|net| number(net.network()) <= first && last <= number(net.broadcast()))
            };
            // What a bridge passes from one guest to another is seen by no firewall unless the host has it judged.
            if ends.iter().all(|end| end.is_some_and(is_here)) && !judged.contains(family) {
                continue;
            }
            let is_meant = |(first, last): (u128, u128)| {
                let mut own = self.addresses.iter().filter(|addr| nets().any(|net| net.contains(*addr)));
                own.any(|addr| (first..=last).contains(&number(*addr)))
            };
            for (end, denied) in ends.iter().zip(&mut denied) {
                *denied |= end.is_some_and(is_meant);
            }
        }
        denied
    }
}

fn has(hosts: &[IpNet], addr: IpAddr) -> bool {
    hosts.iter().any(|host| host.addr() == addr)
}
