//! Links of the host that containers have for themselves.

use foldhash::HashMap;

use super::facts::{DeviceFact, Facts};
use super::named::{self, Made};
use super::scene::{Member, Net, Scene};
use super::{Attachment, Ground, Topology};
use crate::manifest::problem::Problem;
use crate::manifest::{At, Driver, Uplink};
use crate::names::{IfName, Mac, Mtu};

/// The link of the host that is to be an attachment's interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name on the host.
    pub name: IfName,
    /// The MTU that it has as long as the network has none of its own.
    pub mtu: Mtu,
    /// Whether it is not to be found: nothing of the attachment is in the desired state until it is.
    pub waits: bool,
}

impl Attachment {
    /// Tells whether it waits for a link of the host that is not there: its own, or that of its network.
    pub fn waits(&self) -> bool {
        self.ground == Ground::Waits || self.device.as_ref().is_some_and(|device| device.waits)
    }
}

impl Topology {
    /// Tells whether a container has a link of the host for itself.
    pub(super) fn takes(&self, link: &IfName) -> bool {
        let mut attachments = self.containers.iter().flat_map(|container| &container.attachments);
        attachments.any(|it| it.device.as_ref().is_some_and(|device| device.name == *link && !device.waits))
    }
}

/// Returns the link that an attachment has for itself; `None` on a network of another driver.
pub(super) fn device(scene: &Scene<'_>, member: &Member<'_>) -> Option<Device> {
    let At { value: name, place: _ } = member.spec.device.as_ref()?;
    let fact = scene.facts.devices.get(name);
    let mtu = scene.net(member).and_then(|net| net.spec.mtu.as_ref()).map(|at| at.value);
    let mtu = mtu.or(fact.map(|fact| fact.mtu)).unwrap_or(Mtu::ETHERNET);
    Some(Device { name: name.clone(), mtu, waits: fact.is_none() })
}

/// Tells whether a link leaves the host for a container.
pub(super) fn leaves(scene: &Scene<'_>, link: &IfName) -> bool {
    let named = |member: &Member<'_>| member.spec.device.as_ref().is_some_and(|at| at.value == *link);
    scene.facts.devices.contains_key(link) && scene.members.iter().any(named)
}

/// Returns the link-layer address of an attachment: what the manifest says, or what the link has on the host.
pub(super) fn mac(scene: &Scene<'_>, member: &Member<'_>) -> Mac {
    let fact = || scene.facts.devices.get(&member.spec.device.as_ref()?.value)?.mac;
    member.spec.mac.as_ref().map(|at| at.value).or_else(fact).unwrap_or(Mac([0; 6]))
}

/// Checks that each attachment of a physical network has a link of its own that can be had, and others have none.
pub(super) fn check(scene: &Scene<'_>, made: &Made<'_>, problems: &mut Vec<Problem>) {
    let mut users: HashMap<&IfName, &Member<'_>> = HashMap::default();
    for member in &scene.members {
        let Some(net) = scene.net(member) else { continue };
        let is_physical = net.spec.driver == Driver::Physical;
        match &member.spec.device {
            None if is_physical => problems.push(missing(net, member)),
            None => {}
            Some(at) if !is_physical => problems.push(misplaced(net, member, at)),
            Some(at) => {
                let why = (at.place, "it is to go into a container");
                let ours = made.refusal(&at.value, why);
                problems.extend(ours.or_else(|| unavailable(scene, at)));
                match users.get(&at.value) {
                    None => drop(users.insert(&at.value, member)),
                    Some(other) => problems.push(taken(at, member, other)),
                }
            }
        }
    }
    if let Some(At { value: Uplink::Named(name), place }) = &scene.manifest.own_external
        && let Some((member, at)) =
            users.get(name).and_then(|member| Some((member, member.spec.device.as_ref()?)))
    {
        problems.push(Problem {
            message: format!(
                "`{}` cannot have `{name}` for itself: external addresses are given to it",
                member.container
            ),
            code: "topology::device_taken",
            labels: vec![
                (at.place, "it leaves the host".to_owned()),
                (*place, "it has external addresses".to_owned()),
            ],
            help: Some("give one of them another link".to_owned()),
        });
    }
    for net in &scene.nets {
        let Some(parent) = net.spec.driver.parent() else { continue };
        let user = users.get(&parent.value).and_then(|member| Some((member, member.spec.device.as_ref()?)));
        problems.extend(user.map(|(member, at)| Problem {
            message: format!(
                "`{}` cannot have `{}` for itself: network `{}` stands on it",
                member.container, at.value, net.name
            ),
            code: "topology::device_taken",
            labels: vec![
                (at.place, "it leaves the host".to_owned()),
                (parent.place, format!("the parent of `{}`", net.name)),
            ],
            help: Some("give one of them another link".to_owned()),
        }));
    }
}

fn missing(net: &Net<'_>, member: &Member<'_>) -> Problem {
    Problem {
        message: format!("`{}` has no device on network `{}`, which is physical", member.container, net.name),
        code: "topology::device_missing",
        labels: vec![
            (member.place, "which link of the host?".to_owned()),
            (net.place, "`driver: physical`".to_owned()),
        ],
        help: Some(format!("write `{}: {{device: eth2}}`; `ip link` lists the links", net.name)),
    }
}

fn misplaced(net: &Net<'_>, member: &Member<'_>, at: &At<IfName>) -> Problem {
    Problem {
        message: format!("`{}` cannot have a device on network `{}`", member.container, net.name),
        code: "topology::device_unused",
        labels: vec![
            (at.place, format!("`{}` would not be used", at.value)),
            (net.place, "its driver makes the interfaces".to_owned()),
        ],
        help: Some("leave `device` out, or give the network `driver: physical`".to_owned()),
    }
}

fn taken(at: &At<IfName>, member: &Member<'_>, other: &Member<'_>) -> Problem {
    let first = other.spec.device.as_ref().map_or(other.place, |at| at.place);
    Problem {
        message: format!("`{}` and `{}` cannot both have `{}`", other.container, member.container, at.value),
        code: "topology::device_taken",
        labels: vec![
            (at.place, format!("`{}` wants it, too", member.container)),
            (first, format!("`{}` has it", other.container)),
        ],
        help: Some("a link is in one container at a time: give one of them another".to_owned()),
    }
}

fn unavailable(scene: &Scene<'_>, at: &At<IfName>) -> Option<Problem> {
    let Some(fact) = scene.facts.devices.get(&at.value) else {
        return named::further(scene, &at.value, (at.place, "it is to go into a container"));
    };
    let why = fact.obstacle.as_ref()?;
    Some(Problem {
        message: format!("`{}` cannot go into a container: it {why}", at.value),
        code: "topology::device_unavailable",
        labels: vec![(at.place, format!("it {why}"))],
        help: Some("name a link that is free, or free this one".to_owned()),
    })
}

/// Returns what becomes of the host, in sentences: what leaves with a link, and who waits for one.
pub(super) fn warnings(topology: &Topology, facts: &Facts) -> Vec<String> {
    let mut warnings = vec![];
    for container in &topology.containers {
        for Attachment { network, device, .. } in &container.attachments {
            let Some(Device { name, waits, mtu: _ }) = device else { continue };
            let who = &container.name;
            match facts.devices.get(name) {
                _ if *waits => warnings.push(format!(
                    "there is no link `{name}`: `{who}` waits for it to be on network `{network}`"
                )),
                Some(DeviceFact { held, .. }) if !held.is_empty() => warnings.push(format!(
                    "`{name}` leaves the host for `{who}`: {} go with it, and come back with it",
                    held.join(", ")
                )),
                Some(_) | None => {}
            }
        }
    }
    warnings
}
