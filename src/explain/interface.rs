//! An interface, by what is known of it and of what it is paired with.

use super::namespace::{self, place};
use super::{Finding, Kind, PeerName, Scene, Whose, kinds, listed, sentence};
use crate::kernel::census::{Interface, Namespace, Peer};
use crate::kernel::ovsdb::SWITCH;
use crate::resource::owner::Owner;
use crate::resource::vlan::PortVlans;

/// How many ports of a bridge are named.
const SHOWN: usize = 8;

/// Returns the interfaces of a name, written as `ip` writes it, too: `eth0@if5:`.
pub(super) fn named(thing: &str, scene: &Scene) -> Vec<Finding> {
    let thing = thing.strip_suffix(':').unwrap_or(thing);
    let (name, at) = thing.split_once('@').map_or((thing, None), |(name, at)| (name, Some(at)));
    let called = |link: &Interface| link.name == name || link.altnames.iter().any(|other| other == name);
    let all: Vec<_> = scene.interfaces().filter(|(_, _, link)| called(link)).collect();
    let index: Option<u32> = at.and_then(|at| at.strip_prefix("if")?.parse().ok());
    let is_at = |link: &Interface| match (link.peer, index) {
        (Peer::At { namespace: _, index: peer }, Some(index)) => peer == index,
        (Peer::At { .. } | Peer::None | Peer::Unseen, _) => false,
    };
    let narrows = all.iter().any(|(_, _, link)| is_at(link));
    let meant = all.into_iter().filter(|(_, _, link)| !narrows || is_at(link));
    meant.map(|(place, _, link)| finding(scene, place, link)).collect()
}

/// Returns the interface that another one is paired with or stacked on.
pub(super) fn peer<'s>(scene: &'s Scene, link: &Interface) -> Option<(usize, &'s Namespace, &'s Interface)> {
    match link.peer {
        Peer::None | Peer::Unseen => None,
        Peer::At { namespace, index } => {
            let ns = scene.namespaces.get(namespace)?;
            Some((namespace, ns, ns.interfaces.iter().find(|other| other.index == index)?))
        }
    }
}

/// Returns the interface whose port another one is.
pub(super) fn master<'s>(scene: &'s Scene, at: usize, link: &Interface) -> Option<&'s Interface> {
    scene.namespaces.get(at)?.interfaces.iter().find(|other| Some(other.index) == link.master)
}

/// Returns whose an interface is: by its mark, its peer's, its name, or its bridge's.
pub(super) fn whose(scene: &Scene, at: usize, link: &Interface) -> Whose {
    let Some(ns) = scene.namespaces.get(at) else { return Whose::default() };
    let pair = peer(scene, link).filter(|_| is_pair(link));
    let pairs_mark = || pair.filter(|(_, _, peer)| !peer.device).and_then(|(_, _, peer)| peer.mark.as_ref());
    let mark = link.mark.as_ref().or_else(pairs_mark);
    if let Some(mark) = mark {
        return Whose::of_project(&mark.project, &mark.owner);
    }
    let home = namespace::runs(scene, ns).map(|runs| runs.name.clone());
    let home = home.or_else(|| Some(ns.group.as_ref().filter(|_| !ns.home)?.id.clone()));
    let mark = || ns.mark.as_ref().and_then(|mark| Whose::of_project(&mark.project, &mark.owner).container);
    let container = home.or_else(mark);
    if link.index == 1 {
        return Whose { owner: Some("the kernel".to_owned()), container, ..Whose::default() };
    }
    let by_name = |link: &Interface| {
        let maker = || kinds::maker(&link.name, Some(&link.kind)).map(str::to_owned);
        link.maker.clone().or_else(maker)
    };
    let bridge = |at: usize, link: &Interface| {
        master(scene, at, link).and_then(|master| by_name(master).filter(|_| master.mark.is_none()))
    };
    let beyond = pair.and_then(|(at, _, peer)| by_name(peer).or_else(|| bridge(at, peer)));
    let network = network(scene, link).or_else(|| network(scene, master(scene, at, link)?));
    let network = network.or_else(|| {
        let (at, _, peer) = pair?;
        self::network(scene, master(scene, at, peer)?)
    });
    let theirs = pair.and_then(|(_, ns, _)| {
        let group = || ns.group.as_ref().filter(|_| !ns.home).map(|group| group.id.clone());
        namespace::runs(scene, ns).map(|runs| runs.name.clone()).or_else(group)
    });
    Whose {
        owner: by_name(link).or_else(|| bridge(at, link)).or(beyond),
        network,
        container: container.or(theirs),
        ..Whose::default()
    }
}

/// Returns the network of a runtime's that has a bridge.
fn network(scene: &Scene, link: &Interface) -> Option<String> {
    let has = |network: &&crate::runtime::list::Network| {
        let by_id = kinds::docker_id(&link.name).is_some_and(|id| network.id.starts_with(id));
        by_id || network.bridge.as_deref() == Some(link.name.as_str())
    };
    if link.kind != "bridge" {
        return None;
    }
    let named = scene.listing.networks.iter().find(has).map(|network| network.name.clone());
    // When Docker does not answer, what the name holds of the network's id has to do.
    named.or_else(|| kinds::docker_id(&link.name).map(str::to_owned))
}

/// Tells whether an interface is the end on the host of a pair that attaches a container.
pub(super) fn is_host_end(link: &Interface) -> bool {
    is_pair(link) && link.mark.is_some() && !link.device
}

/// Tells whether an interface is one that a container has, which nothing on the host is.
pub(super) fn is_inside(ns: &Namespace, link: &Interface) -> bool {
    // Of a pair, the end in the container has no mark.
    let is_end = link.mark.is_none() || !is_pair(link) || link.device;
    link.index != 1 && is_end && (!ns.home || link.mark.is_none())
}

/// Tells whether an interface stands on another one and shares what that receives.
pub(super) fn is_stacked(link: &Interface) -> bool {
    matches!(link.kind.as_str(), "macvlan" | "ipvlan")
}

fn is_pair(link: &Interface) -> bool {
    matches!(link.kind.as_str(), "veth" | "netkit")
}

/// Returns what an interface is.
pub(super) fn finding(scene: &Scene, at: usize, link: &Interface) -> Finding {
    let whose = whose(scene, at, link);
    let ns = scene.namespaces.get(at);
    let here = ns.filter(|ns| !ns.home).map(|ns| format!(" in {}", place(scene, ns))).unwrap_or_default();
    let begin = format!("{}{here} is {}", link.name, what(scene, at, link, &whose));
    let master = master(scene, at, link);
    let told = told_addresses(link);
    let text = sentence(
        &begin,
        [
            master.map(|master| format!("{}{}", port_of(master), in_vlans(link))),
            other_end(scene, at, link),
            ports(scene, at, link),
            Some(told).filter(|told| !told.is_empty()).map(|told| format!("it has {}", listed(&told))),
            link.default_route.then(|| "a default route leaves by it".to_owned()),
            (!link.up).then(|| "it is down".to_owned()),
            scene.asked_at(&whose),
        ],
    );
    let peer = peer(scene, link);
    Finding {
        namespace: ns.and_then(namespace::name),
        peer: peer
            .map(|(_, ns, peer)| PeerName { interface: peer.name.clone(), namespace: namespace::name(ns) }),
        master: master.map(|master| master.name.clone()),
        addresses: link.addresses.iter().map(ToString::to_string).collect(),
        ..Finding::new(Kind::Interface, link.name.clone(), text).of(&whose, scene)
    }
}

/// Returns what an interface is, in words, and whose.
fn what(scene: &Scene, at: usize, link: &Interface, whose: &Whose) -> String {
    if link.index == 1 {
        return format!(
            "the loopback interface, by which {} talks to itself",
            if at == 0 { "the host" } else { "this namespace" }
        );
    }
    if let (Some(project), Some(owner)) = (&whose.project, &whose.resource) {
        let home = scene.namespaces.get(at).is_some_and(|ns| ns.home);
        let host_end = Some(link).filter(|link| home && is_host_end(link));
        return match (link.kind.as_str(), owner) {
            ("ifb", Owner::Attachment { container, network }) => format!(
                "netform's link that limits what container {container} sends on network {network}, project {project}"
            ),
            ("macvlan" | "ipvlan", Owner::Network(network)) => format!(
                "netform's link by which the host is beside the containers of network {network}, project {project}"
            ),
            ("vlan", Owner::Network(network)) => {
                format!("the VLAN that netform's network {network} stands on, project {project}")
            }
            _ => ours(host_end, owner, project.as_str()),
        };
    }
    let kind = kinds::in_words(&link.kind).map(str::to_owned);
    let kind = kind.unwrap_or_else(|| format!("an interface of the kind `{}`", link.kind));
    let driver = link.driver.as_ref().map(|driver| format!(" (driver {driver})")).unwrap_or_default();
    let made = match &whose.owner {
        Some(owner) if link.name == "docker0" => format!(", made by {owner} for its default network"),
        Some(owner) => format!(", made by {owner}"),
        None if link.kind.is_empty() => String::new(),
        None => ", and nothing tells who made it".to_owned(),
    };
    let network = whose.network.as_ref().filter(|_| link.name != "docker0");
    let network = network.map(|network| format!(" for its network {network}")).unwrap_or_default();
    let container = whose.container.as_ref().filter(|_| scene.namespaces.get(at).is_some_and(|ns| ns.home));
    let container = container.map(|container| format!(", of container {container}")).unwrap_or_default();
    format!("{kind}{driver}{made}{network}{container}")
}

/// Returns what an interface of a project of netform's is.
fn ours(host_end: Option<&Interface>, owner: &Owner, project: &str) -> String {
    match owner {
        Owner::Network(network) => format!("the bridge of netform's network {network}, project {project}"),
        Owner::Attachment { container, network } if host_end.is_some() => format!(
            "netform's veth for container {container} on network {network}, project {project}, the end on the host"
        ),
        Owner::Attachment { container, network } => {
            format!(
                "the interface that container {container} has on netform's network {network}, project {project}"
            )
        }
        Owner::Project
        | Owner::Container(_)
        | Owner::Port(_)
        | Owner::Policy(_)
        | Owner::External(_)
        | Owner::Unmarked(_) => {
            format!("an interface of netform's, for {owner} of project {project}")
        }
    }
}

fn port_of(master: &Interface) -> String {
    let what = if matches!(master.kind.as_str(), "bridge" | SWITCH) { "bridge " } else { "" };
    format!("a port of {what}{}", master.name)
}

/// Returns in which VLANs a port of a bridge is, in words that follow the bridge.
fn in_vlans(port: &Interface) -> String {
    if let Some(vlan) = port.vlan {
        return format!(" in VLAN {vlan}");
    }
    let Some(PortVlans { vlan, trunks, intact: _ }) = &port.vlans else { return String::new() };
    let own = vlan.map_or_else(String::new, |vlan| format!(" in VLAN {vlan}"));
    let tagged: Vec<String> = trunks.iter().map(ToString::to_string).collect();
    match (own.as_str(), tagged.as_slice()) {
        ("", []) => " in no VLAN".to_owned(),
        (_, []) => own,
        (_, tagged) => format!("{own} with VLAN {} by tags", listed(tagged)),
    }
}

/// Returns what an interface is paired with or stacked on.
fn other_end(scene: &Scene, at: usize, link: &Interface) -> Option<String> {
    let Some((other, ns, peer)) = peer(scene, link) else {
        let unseen = match link.peer {
            Peer::Unseen | Peer::At { .. } if is_pair(link) => {
                "its other end is in a namespace that cannot be seen from here"
            }
            Peer::Unseen | Peer::At { .. } => "it stands on an interface that cannot be seen from here",
            Peer::None => return None,
        };
        return Some(unseen.to_owned());
    };
    let whereabouts = match place(scene, ns) {
        _ if other == at && ns.home => String::new(),
        place if ns.home => format!(" on {place}"),
        place => format!(" in {place}"),
    };
    if !is_pair(link) {
        return Some(format!("it stands on {}{whereabouts}", peer.name));
    }
    let addresses = told_addresses(peer);
    let with = if addresses.is_empty() { String::new() } else { format!(" with {}", listed(&addresses)) };
    let port = master(scene, other, peer).map(|master| format!(", {}", port_of(master))).unwrap_or_default();
    Some(format!("its other end is {}{whereabouts}{with}{port}", peer.name))
}

/// Returns the addresses of an interface that are worth a word: every interface has a link-local one.
pub(super) fn told_addresses(link: &Interface) -> Vec<String> {
    link.addresses.iter().filter(|addr| !is_link_local(addr)).map(ToString::to_string).collect()
}

fn is_link_local(addr: &ipnet::IpNet) -> bool {
    match addr {
        ipnet::IpNet::V4(_) => false,
        ipnet::IpNet::V6(addr) => addr.addr().is_unicast_link_local(),
    }
}

/// Returns the ports of a bridge.
fn ports(scene: &Scene, at: usize, link: &Interface) -> Option<String> {
    let all = scene.namespaces.get(at)?.interfaces.iter().filter(|port| port.master == Some(link.index));
    let names: Vec<_> = all.map(|port| port.name.clone()).collect();
    match names.as_slice() {
        [] if matches!(link.kind.as_str(), "bridge" | SWITCH) => Some("it has no ports".to_owned()),
        [] => None,
        [one] => Some(format!("its port is {one}")),
        names if names.len() <= SHOWN => Some(format!("its ports are {}", listed(names))),
        names => {
            let first = names.get(..SHOWN).unwrap_or_default();
            Some(format!("its ports are {} and {} more", first.join(", "), names.len() - SHOWN))
        }
    }
}
