//! Links of the host that networks stand on.

use std::borrow::Cow;

use foldhash::HashMap;

use super::facts::{Carried, Facts, LinkFact};
use super::named;
use super::scene::{Net, Scene};
use super::text::did_you_mean;
use crate::manifest::Driver;
use crate::manifest::problem::Problem;
use crate::names::{IfName, Mtu};
use crate::resource::link::{MacvlanMode, Shares};
use crate::resource::vlan::Vlan;

/// What a network stands on.
pub(super) struct Parent<'a> {
    /// What is known of it.
    pub(super) link: Cow<'a, LinkFact>,
    /// The VLAN that netform makes, when it is one that nobody has made.
    pub(super) vlan: Option<(Vlan, Mtu)>,
    /// Whether it was there before and is not now.
    pub(super) waits: bool,
}

/// Returns the link that a network stands on; `None` when its driver needs none.
///
/// One that is not there is made when its name is that of a VLAN of one that is.
///
/// # Errors
///
/// When there is none of that name that is not ours, and never was. One that networks stood on at the last apply, and whose
/// links went with it, is waited for.
pub(super) fn parent<'a>(scene: &Scene<'a>, net: &Net<'_>) -> Result<Option<Parent<'a>>, Problem> {
    let Some(at) = net.spec.driver.parent() else { return Ok(None) };
    let facts = scene.facts;
    let known = |name: &IfName| facts.parents.get(name).or_else(|| facts.bridges.get(name));
    if let Some(link) = known(&at.value) {
        return Ok(Some(Parent { link: Cow::Borrowed(link), vlan: None, waits: false }));
    }
    let vlan = Vlan::named(&at.value).filter(|_| !facts.foreign_links.contains(&at.value));
    if let Some((vlan, below)) = vlan.and_then(|vlan| known(&vlan.parent).map(|below| (vlan, below))) {
        let link = LinkFact { addresses: vec![], ..below.clone() };
        return Ok(Some(Parent { link: Cow::Owned(link), vlan: Some((vlan, below.mtu)), waits: false }));
    }
    if let Some(problem) =
        named::further(scene, &at.value, (at.place, &format!("the parent of network `{}`", net.name)))
    {
        return Err(problem);
    }
    // Links that live on have a parent, under another name.
    let lives = facts.live.addresses.values().any(|networks| networks.contains_key(net.name));
    if facts.leases.parents.contains(&at.value) && !lives {
        let mtu = net.spec.mtu.as_ref().map_or(Mtu::LARGEST, |at| at.value);
        let link = Cow::Owned(LinkFact { mtu, addresses: vec![], mac: None, filtering: None });
        return Ok(Some(Parent { link, vlan: None, waits: true }));
    }
    if at.value.as_str() == "lo" {
        return Err(Problem {
            message: "nothing can stand on `lo`: it leads to the host itself alone".to_owned(),
            code: "topology::parent_unfit",
            labels: vec![(at.place, format!("the parent of network `{}`", net.name))],
            help: Some(
                "name a link that leads out of the host, `ip link` lists them; for containers among themselves, `driver: bridge` \
                 is a network"
                    .to_owned(),
            ),
        });
    }
    let all = facts.parents.keys().chain(facts.bridges.keys()).map(IfName::as_str);
    let other = || {
        "name a link of the host that is no bridge's port, `ip link` lists them; or a VLAN of one, 1 to 4094, such as `eth0.10`"
            .to_owned()
    };
    Err(Problem {
        message: format!("there is no link `{}` that a network could stand on", at.value),
        code: "topology::unknown_parent",
        labels: vec![(at.place, format!("the parent of network `{}`", net.name))],
        help: Some(did_you_mean(at.value.as_str(), all, other)),
    })
}

/// Tells what cannot be together on one link of the host.
pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    check_passthru(scene, problems);
    check_kinds(scene, problems);
    check_macvlan(scene, problems);
    for net in &scene.nets {
        problems.extend(gateway_of_nobody(net));
    }
}

/// A link has one receiver, so that it carries macvlan or ipvlan links; and all ipvlan links on it have one mode and flag.
fn check_kinds(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut first: HashMap<&IfName, (&Net<'_>, Shares)> = HashMap::default();
    for net in &scene.nets {
        let (Some(parent), Some(how)) = (net.spec.driver.parent(), shares(&net.spec.driver)) else {
            continue;
        };
        let (other, theirs) = *first.entry(&parent.value).or_insert((net, how));
        if let (Some(why), Some(at)) = (clash(how, theirs), other.spec.driver.parent()) {
            problems.push(Problem {
                message: format!(
                    "`{}` and `{}` cannot share `{}`: {why}",
                    other.name, net.name, parent.value
                ),
                code: "topology::parent_clash",
                labels: vec![
                    (parent.place, format!("`{}` is {how}", net.name)),
                    (at.place, format!("`{}` is {theirs}", other.name)),
                ],
                help: Some("make them alike, or give one of them another parent, such as a VLAN".to_owned()),
            });
        }
        let carried = scene.facts.carried.get(&parent.value).into_iter().flatten();
        let mut others = carried.filter_map(|carried| Some((carried, clash(how, carried.how)?)));
        if let Some((Carried { how: theirs, what, owner, is_elsewhere: _ }, why)) = others.next() {
            let whose = owner.as_ref().map_or_else(String::new, |owner| format!(" of {owner}"));
            problems.push(Problem {
                message: format!("`{}` cannot be on `{}`: {why}", net.name, parent.value),
                code: "topology::parent_taken",
                labels: vec![(parent.place, format!("{what}{whose} is {theirs} on it"))],
                help: Some(
                    "make the network alike, give it another parent, such as a VLAN, or remove what is there"
                        .to_owned(),
                ),
            });
        }
    }
}

/// Tells which links of the host carry no macvlan link, or not this one: `macvlan_port_create()` and
/// `macvlan_common_newlink()` in Linux `drivers/net/macvlan.c`.
fn check_macvlan(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let facts = scene.facts;
    for net in &scene.nets {
        let Driver::Macvlan { parent, mode } = &net.spec.driver else { continue };
        let (network, link) = (net.name, &parent.value);
        let unfit = |why: &str, label: String, help: String| Problem {
            message: format!("`{network}` cannot be on `{link}`: {why}"),
            code: "topology::parent_unfit",
            labels: vec![(parent.place, label)],
            help: Some(help),
        };
        if facts.not_ethernet.contains(link) && facts.parents.contains_key(link) {
            problems.push(unfit(
                "a macvlan link is an Ethernet link, and needs one below it",
                format!("`{link}` has no Ethernet addresses, like a tun or a tunnel"),
                "name another parent, or make it a network of `driver: bridge`, which is routed by way of it"
                    .to_owned(),
            ));
            continue;
        }
        // The kernel puts what is to be on one beside it.
        if let Some(below) = below(facts, link) {
            problems.push(unfit(
                "it is a macvlan link itself",
                format!("`{link}` is on `{below}`"),
                format!("name `{below}`: there it would be in any case"),
            ));
            continue;
        }
        let carried = facts.carried.get(link).into_iter().flatten();
        let taken = carried.filter_map(|it| match it.how {
            Shares::Macvlan(MacvlanMode::Passthru) => Some((it, " in mode passthru")),
            Shares::Macvlan(_) => (*mode == MacvlanMode::Passthru).then_some((it, "")),
            Shares::Ipvlan(..) => None,
        });
        if let Some((Carried { what, owner, how, is_elsewhere: _ }, mode)) = taken.into_iter().next() {
            let whose = owner.as_ref().map_or_else(String::new, |owner| format!(" of {owner}"));
            problems.push(Problem {
                code: "topology::parent_taken",
                ..unfit(
                    "in mode passthru, one link alone has it",
                    format!("{what}{whose} is {how}{mode} on it"),
                    "remove what is there, give the network another parent, such as a VLAN, or let both be in `mode: bridge`"
                        .to_owned(),
                )
            });
        }
    }
}

/// Returns the link that one of the host is itself a macvlan link on.
fn below<'f>(facts: &'f Facts, link: &IfName) -> Option<&'f IfName> {
    let is_it =
        |it: &Carried| matches!(it.how, Shares::Macvlan(_)) && !it.is_elsewhere && it.what == link.as_str();
    facts.carried.iter().find(|(_, carried)| carried.iter().any(is_it)).map(|(below, _)| below)
}

/// Returns how the links of a driver share their parent.
fn shares(driver: &Driver) -> Option<Shares> {
    match driver {
        Driver::Bridge | Driver::Veth(_) | Driver::OpenVswitch(_) | Driver::Physical => None,
        Driver::Macvlan { parent: _, mode } => Some(Shares::Macvlan(*mode)),
        Driver::Ipvlan { parent: _, mode, flag } => Some(Shares::Ipvlan(*mode, *flag)),
    }
}

/// Returns why links cannot be on one parent.
fn clash(one: Shares, other: Shares) -> Option<&'static str> {
    match (one, other) {
        (Shares::Macvlan(_), Shares::Macvlan(_)) => None,
        (Shares::Ipvlan(..), Shares::Ipvlan(..)) => {
            (one != other).then_some("all ipvlan links on a link have one mode and one flag")
        }
        (Shares::Macvlan(_), Shares::Ipvlan(..)) | (Shares::Ipvlan(..), Shares::Macvlan(_)) => {
            Some("a link carries macvlan or ipvlan links, not both")
        }
    }
}

/// Where packets are routed, nobody is asked for a gateway.
fn gateway_of_nobody(net: &Net<'_>) -> Option<Problem> {
    let Driver::Ipvlan { parent, mode, flag: _ } = &net.spec.driver else { return None };
    let gateway =
        net.spec.subnets.iter().find_map(|at| at.value.gateway.as_ref()).filter(|_| mode.is_routed())?;
    Some(Problem {
        message: format!(
            "network `{}` has no gateway in mode {mode}: this host routes its packets",
            net.name
        ),
        code: "topology::gateway_unused",
        labels: vec![
            (gateway.place, "nobody would be asked for it".to_owned()),
            (parent.place, format!("by way of `{}`", parent.value)),
        ],
        help: Some(
            "leave `gateway` out; whoever is behind the parent needs a route to the subnet".to_owned(),
        ),
    })
}

/// A link in passthru mode has its parent for itself: `macvlan_common_newlink()` in Linux `drivers/net/macvlan.c`.
fn check_passthru(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut users: HashMap<&IfName, Vec<(&Net<'_>, MacvlanMode)>> = HashMap::default();
    for net in &scene.nets {
        match &net.spec.driver {
            Driver::Macvlan { parent, mode } => users.entry(&parent.value).or_default().push((net, *mode)),
            Driver::Bridge
            | Driver::Ipvlan { .. }
            | Driver::Veth(_)
            | Driver::OpenVswitch(_)
            | Driver::Physical => {}
        }
    }
    for net in &scene.nets {
        let (Driver::Macvlan { parent, mode: MacvlanMode::Passthru }, members) =
            (&net.spec.driver, &net.members)
        else {
            continue;
        };
        let mut labels: Vec<_> = users
            .get(&parent.value)
            .into_iter()
            .flatten()
            .filter(|(other, _)| other.name != net.name)
            .map(|(other, _)| (other.place, format!("`{}` stands on it, too", other.name)))
            .collect();
        let second = scene.on(net).nth(1).map(|(_, member)| member);
        labels.extend(
            second
                .map(|member| (member.place, format!("`{}` is number {}", member.container, members.len()))),
        );
        if !labels.is_empty() {
            labels.insert(0, (parent.place, format!("`{}` has it for itself", net.name)));
            problems.push(Problem {
                message: format!("in mode passthru, one container alone has `{}`", parent.value),
                code: "topology::passthru_shared",
                labels,
                help: Some("use `mode: bridge` to share the parent".to_owned()),
            });
        }
    }
}
