//! What a plan shows that no state holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::kernel::census::inhabitants;
use crate::kernel::listeners::Process;
use crate::kernel::stowaways::stowaways;
use crate::names::NetnsName;
use crate::plan::{Action, Extra, ForeignNote, Interruption, Plan, take_along};
use crate::resource::host_ports;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::qdisc::Hook;
use crate::resource::state::{Desired, Entry, Foreign, Observed};
use crate::resource::sysctl::SysctlKey;
use crate::resource::{Resource, ResourceId, Slot};
use crate::topology::facts::Facts;
use crate::topology::policy::Reach;
use crate::topology::{Publish, Runtime, Topology};

/// Returns who waits, whether there is anything at all, and what becomes of the host.
pub(super) fn extra(
    topology: Option<&Topology>,
    desired: &Desired,
    observed: &Observed,
    facts: &Facts,
) -> Extra {
    let uplinks = facts.devices.iter().filter(|(_, fact)| fact.is_uplink);
    let waiting = topology.into_iter().flat_map(|topology| &topology.containers);
    let waiting = waiting.filter(|container| container.runtime == Runtime::Waiting);
    Extra {
        waiting: waiting.map(|container| (container.name.clone(), Some(container.origin.clone()))).collect(),
        idle: topology.map(Topology::idle).unwrap_or_default(),
        warnings: [
            forwarding(desired, observed),
            opened(topology, desired, observed),
            unlimited(desired, observed),
            topology.map_or(vec![], |topology| elsewhere(topology, facts, (desired, observed))),
        ]
        .concat(),
        effects: topology.map(Topology::effects).unwrap_or_default(),
        manifest_empty: topology.is_some_and(|it| it.networks.is_empty() && it.containers.is_empty()),
        uplinks: uplinks.map(|(name, _)| name.clone()).collect(),
        part: None,
        joined: topology.map_or(vec![], |topology| topology.kept_from(facts)),
    }
}

/// Tells of the processes that are in namespaces which go: they lose their network.
pub(super) fn tell_inhabitants(plan: &mut Plan) {
    let going = plan.changes.iter().filter(|change| change.action == Action::Destroy);
    let going = going.flat_map(|change| &change.objects).filter_map(|object| object.id.netns().cloned());
    let inhabitants = inhabitants(going.collect());
    if inhabitants.is_empty() {
        return;
    }
    for change in &mut plan.changes {
        let lives_in =
            |id: &ResourceId| inhabitants.iter().find(|(name, _)| *id == ResourceId::Netns((*name).clone()));
        let Some((_, processes)) = change.objects.iter().find_map(|object| lives_in(&object.id)) else {
            continue;
        };
        if let Some(why) = inhabited(processes) {
            change.interrupts.push(Interruption { attachment: change.owner.clone(), why, project: None });
        }
    }
}

/// Tells of what others have in namespaces that go, and that no observation tells. Of very many nobody reads it all.
pub(super) async fn tell_stowaways(plan: &mut Plan) {
    const FEW: usize = 64;
    let going = plan.changes.iter().filter(|change| change.action == Action::Destroy);
    let going = going.flat_map(|change| {
        change.objects.iter().filter_map(|object| Some((object.id.netns()?.clone(), change.owner.clone())))
    });
    let owners: BTreeMap<NetnsName, Owner> = going.take(FEW).collect();
    let found = stowaways(owners.keys().cloned().collect()).await;
    let notes = found.into_iter().flat_map(|(name, all)| {
        let owner = owners.get(&name).cloned();
        all.into_iter()
            .filter_map(move |what| Some(ForeignNote { owner: owner.clone()?, what, by: None, goes: true }))
    });
    take_along(plan, notes.collect());
}

fn inhabited(processes: &[Process]) -> Option<String> {
    let Process { pid, name } = processes.first()?;
    Some(match processes.len() - 1 {
        0 => format!("{name}, process {pid}, is in its namespace"),
        more => format!("{name}, process {pid}, and {more} more are in its namespace"),
    })
}

/// Says that the host becomes a router.
fn forwarding(desired: &Desired, observed: &Observed) -> Vec<String> {
    let mut warnings = vec![];
    for (id, entry) in desired.0.iter() {
        if let (
            ResourceId::Sysctl(NsRef::Host, SysctlKey::Ipv4Forward | SysctlKey::Ipv6Forward),
            Resource::Sysctl(to),
        ) = (id, &entry.resource)
        {
            let live = observed.own.get(id).map(|entry| &entry.resource);
            if to.value == "1" && live.is_some_and(|live| *live != entry.resource) {
                let key = &to.key;
                warnings.push(format!(
                    "{key} becomes 1: this host will forward packets between all its interfaces"
                ));
            }
        }
    }
    warnings
}

/// Says that filters of others may let what a container sends past its limit.
fn unlimited(desired: &Desired, observed: &Observed) -> Vec<String> {
    let sentence = |(slot, foreign): (&Slot, &Foreign)| {
        let Slot::Filtered(link) = slot else { return None };
        let Entry { owner, origin, .. } = desired.0.get(&ResourceId::Qdisc(link.clone(), Hook::Ingress))?;
        let place = origin.as_ref().map_or_else(String::new, |origin| format!("{origin}: "));
        let what = &foreign.what;
        Some(format!(
            "{place}somebody's {what} comes before the limit of what {owner} sends: what it takes is not limited"
        ))
    };
    observed.foreign.iter().filter_map(sentence).collect()
}

/// Says of published ports that the host does not have their address, and is not given it either.
fn elsewhere(topology: &Topology, facts: &Facts, (desired, observed): (&Desired, &Observed)) -> Vec<String> {
    let is_known = |address: &IpAddr| {
        // What other projects have given the host is in their subnets.
        let theirs = || facts.subnets.keys().any(|subnet| subnet.contains(address));
        address.is_loopback() || facts.addresses.contains_key(address) || theirs()
    };
    let published = topology.containers.iter().flat_map(|it| &it.publish).filter(|it| !it.targets.is_empty());
    let asked = published.filter_map(|it| Some((it, it.host_address.filter(|address| !is_known(address))?)));
    let asked: Vec<(&Publish, IpAddr)> = asked.collect();
    if asked.is_empty() {
        return vec![];
    }
    let given = |id: &ResourceId| {
        if let ResourceId::Address(NsRef::Host, _, address) = id { Some(address.addr()) } else { None }
    };
    let foreign =
        observed.foreign.keys().filter_map(|slot| if let Slot::Object(id) = slot { given(id) } else { None });
    let ours = desired.0.iter().chain(observed.own.iter()).filter_map(|(id, _)| given(id));
    let here: BTreeSet<IpAddr> = ours.chain(foreign).collect();
    let sentence = |(publish, address): (&Publish, IpAddr)| {
        let Publish { origin, host_ports, protocol, .. } = publish;
        let port = host_ports.start();
        format!(
            "{origin}: this host does not have {address}: nobody reaches port {port}/{protocol} of it until it does"
        )
    };
    asked.into_iter().filter(|(_, address)| !here.contains(address)).map(sentence).collect()
}

/// Says that all of an address leads to a container from now on, and is open, as far as policies leave it so.
fn opened(topology: Option<&Topology>, desired: &Desired, observed: &Observed) -> Vec<String> {
    let sentence = |(id, entry): (&ResourceId, &Entry)| {
        let element = entry.resource.element()?;
        let (address, target) = (host_ports::led(element)?, element.data.as_deref()?);
        if observed.own.get(id).is_some() {
            return None;
        }
        let place = entry.origin.as_ref().map_or_else(String::new, |origin| format!("{origin}: "));
        let reach = topology.zip(target.parse().ok()).map(|(topology, target)| topology.reach(target));
        let but = match reach {
            Some(Reach::Everybody) => String::new(),
            Some(Reach::Except(closed)) => format!(", but for what policies close: {}", closed.join("; ")),
            // What is open is what policies say, each of which the plan shows.
            Some(Reach::Only(..)) => return None,
            None => ", unless policies say otherwise".to_owned(),
        };
        Some(format!(
            "{place}all of {address} leads to {target}: whatever listens there is open to everybody{but}"
        ))
    };
    desired.0.iter().filter_map(sentence).collect()
}
