//! Interface names: of bridges, of veth pairs on the host, and in containers.

use foldhash::{HashMap, HashSet};

use super::facts::Facts;
use super::scene::{Member, Net, Party, Scene};
use super::text::digest;
use super::veth;
use crate::manifest::problem::Problem;
use crate::manifest::{self, At, Driver, Manifest, OtherEnd, Place};
use crate::names::{IfName, NetName};

/// The names of all interfaces.
pub(super) struct Interfaces {
    /// The bridges, parents and pairs, by index into the scene's networks.
    pub(super) bridges: Vec<IfName>,
    /// The veth pairs' ends on the host, by index into the scene's attachments; `None` without one.
    pub(super) hosts: Vec<Option<IfName>>,
    /// The links by which the host is beside containers that are behind one of its links, by index into the networks.
    pub(super) shims: Vec<Option<IfName>>,
    /// Their ends in containers, likewise.
    pub(super) links: Vec<IfName>,
    /// The links by which what they send goes through a limit, likewise; `None` without one.
    pub(super) detours: Vec<Option<IfName>>,
}

/// Returns the name of each interface.
pub(super) fn assign(scene: &Scene<'_>, problems: &mut Vec<Problem>) -> Interfaces {
    let mut claimed = HashSet::default();
    let bridges = bridges(scene, &mut claimed, problems);
    let hosts = host_ends(scene, &bridges, &mut claimed);
    let mut shim = |net: &Net<'_>| {
        let wanted = !net.spec.host.is_empty();
        wanted.then(|| hashed(scene, &["host", net.name.as_str()], &mut claimed))
    };
    let shims = scene.nets.iter().map(&mut shim).collect();
    let links = scene.containers.iter().flat_map(|party| links(scene, party, problems)).collect();
    let detours = detours(scene, &mut claimed);
    Interfaces { bridges, hosts, shims, links, detours }
}

fn bridges(scene: &Scene<'_>, claimed: &mut HashSet<IfName>, problems: &mut Vec<Problem>) -> Vec<IfName> {
    let mut explicit: HashMap<&IfName, (&Net<'_>, Place)> = HashMap::default();
    let wish = |net: &Net<'_>| net.spec.external.as_ref().or(net.spec.interface.as_ref()).cloned();
    let wishes: Vec<Option<At<IfName>>> = scene.nets.iter().map(wish).collect();
    for (net, at) in scene.nets.iter().zip(&wishes) {
        let Some(At { value, place }) = at else { continue };
        problems.extend(refusal(value, *place));
        match explicit.get(value) {
            None => drop(explicit.insert(value, (net, *place))),
            Some((other, there)) => problems.push(Problem {
                message: format!(
                    "networks `{}` and `{}` want the same interface `{value}`",
                    other.name, net.name
                ),
                code: "topology::interface_clash",
                labels: vec![(*place, "wanted again here".to_owned()), (*there, "wanted here".to_owned())],
                help: Some(format!("give `{}` another interface, or leave it out", net.name)),
            }),
        }
        claimed.insert(value.clone());
    }
    // Parents are there, and several networks may share one.
    let parents = scene.nets.iter().map(|net| net.spec.driver.parent().map(|at| at.value.clone()));
    // A live bridge keeps its name as long as it is one that netform would have derived: to rename it would be to make
    // all of the network anew, only because somebody's `br-front` came or went since.
    let wishes = wishes.into_iter().zip(parents);
    let mut names: Vec<Option<IfName>> =
        wishes.map(|(at, parent)| at.map(|at| at.value).or(parent)).collect();
    for (net, name) in scene.nets.iter().zip(&mut names).filter(|(_, name)| name.is_none()) {
        let live = scene.facts.interfaces.get(net.name).or_else(|| veth::host_end(scene, net));
        let live = live.filter(|live| !claimed.contains(*live));
        let derived = derived(scene.manifest, net.name, net.spec);
        if let Some(live) = live.filter(|live| derived.iter().flatten().any(|name| name == *live)) {
            claimed.insert(live.clone());
            *name = Some(live.clone());
        }
    }
    let derive = |(net, name): (&Net<'_>, Option<IfName>)| {
        name.unwrap_or_else(|| {
            let free = |name: &IfName| !claimed.contains(name) && !scene.facts.foreign_links.contains(name);
            match readable(net.name, net.spec).filter(free) {
                Some(name) => {
                    claimed.insert(name.clone());
                    name
                }
                None => hashed(scene, &["network", net.name.as_str()], claimed),
            }
        })
    };
    scene.nets.iter().zip(names).map(derive).collect()
}

/// Returns the host's ends. A live one keeps its name, whatever that is: nothing depends on it, and to rename it would be
/// to make the pair anew.
fn host_ends(scene: &Scene<'_>, networks: &[IfName], claimed: &mut HashSet<IfName>) -> Vec<Option<IfName>> {
    let live = |member: &Member<'_>| {
        scene.facts.host_ends.get(member.container)?.get(scene.net(member)?.name).cloned()
    };
    let mut kept = vec![];
    for member in &scene.members {
        kept.push(live(member).filter(|name| claimed.insert(name.clone())));
    }
    let mut derive = |(member, kept): (&Member<'_>, Option<IfName>)| {
        kept.unwrap_or_else(|| {
            let network = scene.net(member).map_or("", |net| net.name.as_str());
            hashed(scene, &["attachment", member.container.as_str(), network], claimed)
        })
    };
    let ends = scene.members.iter().zip(kept);
    ends.map(|(member, kept)| match scene.net(member).map(|net| &net.spec.driver) {
        None | Some(Driver::Bridge | Driver::OpenVswitch(_)) => Some(derive((member, kept))),
        // The network is nothing but this pair.
        Some(Driver::Veth(OtherEnd::Host)) => networks.get(member.net).cloned(),
        Some(
            Driver::Macvlan { .. }
            | Driver::Ipvlan { .. }
            | Driver::Veth(OtherEnd::Container)
            | Driver::Physical,
        ) => None,
    })
    .collect()
}

/// Returns the links by which what containers send goes through a limit.
fn detours(scene: &Scene<'_>, claimed: &mut HashSet<IfName>) -> Vec<Option<IfName>> {
    let detour = |member: &Member<'_>| {
        member.spec.bandwidth.as_ref()?.value.egress.as_ref()?;
        let network = scene.net(member).map_or("", |net| net.name.as_str());
        Some(hashed(scene, &["egress", member.container.as_str(), network], claimed))
    };
    scene.members.iter().map(detour).collect()
}

/// Returns the link of the host that a network will be which names none and is not there yet: almost always, since a name that
/// is taken twice is counted up.
pub(super) fn foreseen(
    manifest: &Manifest,
    facts: &Facts,
    name: &NetName,
    spec: &manifest::Network,
) -> Option<IfName> {
    let is_named = |name: &IfName| {
        let all = manifest.networks.values().map(|at| &at.value);
        let named = all.flat_map(|it| [it.external.as_ref(), it.interface.as_ref(), it.driver.parent()]);
        named.flatten().any(|at| at.value == *name)
    };
    let free = |name: &IfName| !facts.foreign_links.contains(name) && !is_named(name);
    derived(manifest, name, spec).into_iter().flatten().find(free)
}

/// Returns the names that a network's link may have which names none, the best first.
fn derived(manifest: &Manifest, name: &NetName, spec: &manifest::Network) -> [Option<IfName>; 2] {
    [readable(name, spec), hash_name(manifest, &["network", name.as_str()])]
}

/// Returns `br-NAME`, or `ve-NAME` for a pair, when an interface can be called that.
fn readable(name: &NetName, spec: &manifest::Network) -> Option<IfName> {
    let prefix = match &spec.driver {
        Driver::Bridge
        | Driver::Macvlan { .. }
        | Driver::Ipvlan { .. }
        | Driver::OpenVswitch(_)
        | Driver::Physical => "br",
        Driver::Veth(_) => "ve",
    };
    IfName::try_from(format!("{prefix}-{name}")).ok()
}

/// Returns `nf-` with ten hex digits.
fn hash_name(manifest: &Manifest, parts: &[&str]) -> Option<IfName> {
    let parts = [&[manifest.project.value.as_str()], parts].concat();
    let (_, hex) = digest(&parts);
    IfName::try_from(format!("nf-{hex}")).ok()
}

/// Returns the hash name that nobody has, and claims it. A name that is taken is counted up.
fn hashed(scene: &Scene<'_>, parts: &[&str], claimed: &mut HashSet<IfName>) -> IfName {
    let free = |name: &IfName| !claimed.contains(name) && !scene.facts.foreign_links.contains(name);
    let manifest = scene.manifest;
    let counted = (1_u64..).filter_map(|count| hash_name(manifest, &[parts, &[&count.to_string()]].concat()));
    let mut names = hash_name(manifest, parts).into_iter().chain(counted);
    #[expect(clippy::expect_used, reason = "there are 2^40 names, more than anybody can claim")]
    let name = names.find(free).expect("a hash name is free");
    claimed.insert(name.clone());
    name
}

fn links(scene: &Scene<'_>, party: &Party<'_>, problems: &mut Vec<Problem>) -> Vec<IfName> {
    let members = scene.of(party);
    let explicit = |member: &Member<'_>| member.spec.interface.clone();
    let mut taken: HashMap<IfName, Place> = HashMap::default();
    for At { value, place } in members.iter().filter_map(explicit) {
        problems.extend(refusal(&value, place));
        match taken.get(&value) {
            None => drop(taken.insert(value, place)),
            Some(there) => problems.push(Problem {
                message: format!("container `{}` has two interfaces `{value}`", party.name),
                code: "topology::interface_clash",
                labels: vec![(place, "again here".to_owned()), (*there, "named here".to_owned())],
                help: Some("give each attachment an interface of its own, or leave it out".to_owned()),
            }),
        }
    }
    // Whoever gives the container networks of its own numbers them from `eth0` on, those that come later, too.
    let prefix = if party.run.is_some_and(|run| run.has_networks) { "nf" } else { "eth" };
    let mut free = (0_u64..)
        .filter_map(|number| IfName::try_from(format!("{prefix}{number}")).ok())
        .filter(|name| !taken.contains_key(name));
    #[expect(clippy::expect_used, reason = "numbers do not run out before attachments do")]
    let mut next = || free.next().expect("an interface number is free");
    members.iter().map(|member| explicit(member).map_or_else(&mut next, |at| at.value)).collect()
}

/// Tells why no interface can be called that, though the name is well-formed.
///
/// `all` and `default` would shadow the directories of `/proc/sys/net/ipv4/conf`, so the kernel refuses them:
/// `sysctl_dev_name_is_allowed()` in Linux `net/ipv4/devinet.c`. `lo` is in every namespace already.
fn refusal(name: &IfName, place: Place) -> Option<Problem> {
    match name.as_str() {
        "lo" | "all" | "default" => Some(Problem {
            message: format!("no interface can be named `{name}`"),
            code: "topology::interface_reserved",
            labels: vec![(place, "a name that the kernel has a use for".to_owned())],
            help: Some("choose another name, or leave it out".to_owned()),
        }),
        _ => None,
    }
}
