//! External addresses: to whom all of one leads.

use std::net::IpAddr;

use super::{Finding, Kind, Scene, Whose, interface, sentence};
use crate::names::ProjectName;
use crate::resource::host_ports;
use crate::resource::state::Entry;

/// Returns the projects that lead an address, such as `203.0.113.9` or `external.203.0.113.9`, to a container.
pub(super) fn find(thing: &str, scene: &Scene) -> Vec<Finding> {
    let Ok(address) = thing.strip_prefix("external.").unwrap_or(thing).parse::<IpAddr>() else {
        return vec![];
    };
    let all = scene.published.iter().flat_map(|(project, all)| all.iter().map(move |entry| (project, entry)));
    let leads = all.filter_map(|(project, entry)| {
        let element = entry.resource.element().filter(|it| host_ports::led(it) == Some(address))?;
        Some(finding(scene, (project, entry), address, element.data.as_deref()?))
    });
    leads.collect()
}

fn finding(
    scene: &Scene,
    (project, entry): (&ProjectName, &Entry),
    address: IpAddr,
    target: &str,
) -> Finding {
    let mut whose = Whose::of_project(project, &entry.owner);
    let holds = |addr: IpAddr| target.parse() == Ok(addr);
    let mut interfaces = scene.interfaces();
    let holder = interfaces.find(|(_, _, link)| link.addresses.iter().any(|held| holds(held.addr())));
    if let Some((place, _, link)) = holder {
        let Whose { network, container, .. } = interface::whose(scene, place, link);
        (whose.network, whose.container) = (network, container);
    }
    let container = whose.container.as_ref().map(|name| format!("container {name} at "));
    let leads = format!("all of it leads to {}{target}, which leaves with it", container.unwrap_or_default());
    let begin = format!("{address} is an external address of netform's project {project}");
    let text = sentence(&begin, [Some(leads), scene.asked_at(&whose)]);
    let addresses = vec![target.to_owned()];
    Finding { addresses, ..Finding::new(Kind::Address, address.to_string(), text).of(&whose, scene) }
}
