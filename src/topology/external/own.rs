//! External addresses that the host itself has by somebody else's will: what else is reached by them.

use std::net::IpAddr;

use super::External;
use crate::manifest::problem::Problem;
use crate::manifest::{At, Publish};
use crate::names::{ContainerName, IfName};
use crate::resource::sysctl::Family;
use crate::topology::facts::Facts;
use crate::topology::scene::Scene;
use crate::topology::text::SHOWN;
use crate::topology::{Container, Topology, device};

/// Refuses to take the one address of the uplink together with ports that are published on any: nobody would reach these.
///
/// Where the uplink has another address, they are there; and an address that the host has for our sake was never theirs.
pub(in crate::topology) fn check(scene: &Scene<'_>, containers: &[Container], problems: &mut Vec<Problem>) {
    for member in &scene.members {
        for at in &member.spec.external {
            let Some(link) = sole(scene.facts, at.value).filter(|link| !device::leaves(scene, link)) else {
                continue;
            };
            for (party, container) in scene.containers.iter().zip(containers) {
                let hit =
                    party.spec.publish.iter().filter(|port| is_everywhere(port.value.host_address, at.value));
                let hit = hit.filter(|_| has_family(container, Family::of(at.value)));
                problems.extend(hit.map(|port| shadowed(at, (member.container, link), (party.name, port))));
            }
        }
    }
}

/// Returns the link of the default route, when it has this address of the family and no other.
fn sole(facts: &Facts, address: IpAddr) -> Option<&IfName> {
    let link = facts.uplinks.get(&Family::of(address))?;
    let mut all =
        facts.addresses.iter().filter(|(own, on)| *on == link && own.is_ipv4() == address.is_ipv4());
    (all.next().is_some_and(|(own, _)| *own == address) && all.next().is_none()).then_some(link)
}

/// Tells whether a port is published on all addresses of a family, of which `of` is one.
fn is_everywhere(published: Option<IpAddr>, of: IpAddr) -> bool {
    published.is_none_or(|on| on.is_unspecified() && on.is_ipv4() == of.is_ipv4())
}

fn has_family(container: &Container, family: Family) -> bool {
    let mut targets = container.publish.iter().flat_map(|port| &port.targets);
    targets.any(|target| Family::of(*target) == family)
}

fn shadowed(
    at: &At<IpAddr>,
    (container, link): (&ContainerName, &IfName),
    (publisher, port): (&ContainerName, &At<Publish>),
) -> Problem {
    let address = at.value;
    let Publish { host_ports, protocol, .. } = &port.value;
    let (first, last) = (host_ports.start(), host_ports.end());
    let ports = if first == last { format!("port {first}") } else { format!("ports {first}-{last}") };
    Problem {
        message: format!(
            "{address} is the host's own, the one address of `{link}`: as an external address of `{container}` it would \
             take {ports}/{protocol} from `{publisher}`, too"
        ),
        code: "topology::external_own",
        labels: vec![
            (at.place, format!("all of it would lead to `{container}`")),
            (port.place, "published on every address of the host".to_owned()),
        ],
        help: Some(format!(
            "use an address for `{container}` that the host does not need itself, or publish on {address}: a port of \
             that very address goes before"
        )),
    }
}

/// Says what an external address hides that the host has already.
pub(super) fn warning(
    topology: &Topology,
    facts: &Facts,
    (container, external): (&ContainerName, &External),
) -> Option<String> {
    let External { origin, address, target: _, seat: _ } = external;
    let link = facts.addresses.get(address).filter(|link| !topology.takes(link))?;
    let its = match sole(facts, *address) {
        Some(_) => format!("the one address of {link}, by which the host itself is reached"),
        None => format!("an address of {link} already"),
    };
    let published = topology.containers.iter().flat_map(|container| &container.publish);
    let hidden = published.filter(|port| {
        port.host_address.is_none() && port.targets.iter().any(|target| target.is_ipv4() == address.is_ipv4())
    });
    let hidden: Vec<_> = hidden.map(|port| port.origin.to_string()).collect();
    let ports = match hidden.as_slice() {
        [] => String::new(),
        all => {
            let more = match all.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let all: Vec<&str> = all.iter().take(SHOWN).map(String::as_str).collect();
            format!("; nor are the ports that are published on every address ({}{more})", all.join(", "))
        }
    };
    Some(format!(
        "{origin}: {address} is {its}: what the host itself serves there, such as SSH, is not reached any more, since all \
         of it leads to container {container}{ports}"
    ))
}
