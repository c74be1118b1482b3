//! Bridges that a project has joined and another one has: what that one keeps from who is there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Cure, Facts, Finding, Joined, Severity};
use crate::names::ProjectName;
use crate::resource::Resource;
use crate::resource::host_ports::{self, HostPorts};
use crate::resource::nft::NftElement;
use crate::resource::nft_key::includes;
use crate::resource::owner::Owner;
use crate::resource::state::State;
use crate::resource::sysctl::Family;

/// What is published on a bridge that its project closes to the world outside.
pub(super) fn closed(facts: &Facts) -> Vec<Finding> {
    let finding = |(joined, state): (&Joined, &State)| {
        let Joined { guest, bridge, project, closed, apart: _, allowed } = joined;
        let (why, cure) = (*closed)?;
        let here = addresses(state, joined);
        let leads = |element: &NftElement| {
            let is_way = HostPorts::of(element).is_some() || host_ports::led(element).is_some();
            let target = element.data.as_ref().and_then(|data| data.parse::<IpAddr>().ok());
            let is_closed = |target: &IpAddr| !allowed.iter().any(|part| includes(part, *target));
            is_way && target.is_some_and(|target| here.contains(&target) && is_closed(&target))
        };
        let led = state.iter().filter(|(_, entry)| entry.resource.element().is_some_and(leads));
        let led: BTreeSet<&Owner> = led.map(|(_, entry)| &entry.owner).collect();
        let led: Vec<String> = led.into_iter().map(ToString::to_string).collect();
        (!led.is_empty()).then(|| Finding {
            code: "closed-network",
            severity: Severity::Warning,
            subject: format!("project {guest} on {bridge} of project {project}"),
            sentence: format!("nobody outside this host reaches {} of project {guest}", led.join(", ")),
            evidence: format!("project {project} {why}"),
            cure: Cure::advice(format!(
                "have {project} {cure}; or put the container on a network of project {guest}, too, by which its default route leads"
            )),
        })
    };
    joined(facts).filter_map(finding).collect()
}

/// Who is on a bridge where nobody hears anybody else.
pub(super) fn apart(facts: &Facts) -> Vec<Finding> {
    let finding = |(joined, state): (&Joined, &State)| {
        let Joined { guest, bridge, project, closed: _, apart, allowed: _ } = joined;
        let here = if apart.is_empty() { vec![] } else { addresses(state, joined) };
        here.iter().any(|addr| apart.contains(&Family::of(*addr))).then(|| Finding {
            code: "neighbours-apart",
            severity: Severity::Warning,
            subject: format!("project {guest} on {bridge} of project {project}"),
            sentence: format!("containers of project {guest} on {bridge} hear nobody else there"),
            evidence: format!(
                "project {project} says `icc: false`, and `bridge-nf-call-iptables` has its firewall judge what the bridge passes on"
            ),
            cure: Cure::advice(format!(
                "have {project} leave `icc: false` out; or put containers that talk to each other on a network of project {guest}, too"
            )),
        })
    };
    joined(facts).filter_map(finding).collect()
}

/// Returns the bridges of others that projects have joined, with what these were led to.
fn joined(facts: &Facts) -> impl Iterator<Item = (&Joined, &State)> {
    let state = |guest: &ProjectName| {
        facts.projects.iter().find(|project| project.name == *guest).map(|it| &it.state)
    };
    facts.joined.iter().filter_map(move |joined| Some((joined, state(&joined.guest)?)))
}

/// Returns the addresses of a project's containers on a bridge.
fn addresses(state: &State, joined: &Joined) -> Vec<IpAddr> {
    let is_port = |resource: &Resource| {
        resource.link().is_some_and(|link| link.master.as_ref() == Some(&joined.bridge))
    };
    let ports = state.iter().filter(|(_, entry)| is_port(&entry.resource));
    let owners: BTreeSet<&Owner> = ports.map(|(_, entry)| &entry.owner).collect();
    let own = state.iter().filter(|(_, entry)| owners.contains(&entry.owner));
    own.filter_map(|(_, entry)| Some(entry.resource.address()?.addr.addr())).collect()
}
