//! Containers that have no networks of their own: `mode: none`, `host` and `container:OTHER`.

use super::scene::{Party, Scene};
use super::text::did_you_mean;
use crate::manifest::problem::Problem;
use crate::manifest::{At, Home, Mode, Place};
use crate::names::ContainerName;
use crate::resource::netns::{NsRef, Process};

/// Tells whether a container has a namespace that is neither the host's nor another container's.
pub(super) fn is_alone(party: &Party<'_>) -> bool {
    match party.spec.mode.as_ref().map(|at| &at.value) {
        Some(Mode::Host | Mode::Container(_)) => false,
        Some(Mode::None) | None => true,
    }
}

/// Tells whether a container lives where nobody else may: its namespace is its own, and is known.
pub(super) fn has_its_own(party: &Party<'_>) -> bool {
    is_alone(party) && party.ns != NsRef::Process(Process::NOBODY)
}

/// Returns the container whose namespace this one shares.
pub(super) fn owner<'a>(party: &Party<'a>) -> Option<&'a ContainerName> {
    match party.spec.mode.as_ref().map(|at| &at.value) {
        Some(Mode::Container(owner)) => Some(owner),
        Some(Mode::None | Mode::Host) | None => None,
    }
}

/// Checks what cannot be had together, and that the namespaces that are shared are there to be shared.
pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    for party in &scene.containers {
        let Some(mode) = &party.spec.mode else { continue };
        problems.extend(with_networks(party, mode));
        match &mode.value {
            Mode::None => {}
            Mode::Host => problems.extend(with_more(party, mode)),
            Mode::Container(owner) => {
                problems.extend(with_more(party, mode));
                problems.extend(not_to_be_shared(scene, party, (owner, mode.place)));
            }
        }
    }
    check_homes(scene, problems);
}

fn with_networks(party: &Party<'_>, mode: &At<Mode>) -> Option<Problem> {
    let (network, at) = party.spec.networks.as_ref()?.first()?;
    let (name, mode) = (party.name, mode);
    let (label, help) = match &mode.value {
        Mode::None => {
            ("no network at all".to_owned(), "leave out either `mode: none` or `networks`".to_owned())
        }
        Mode::Host => {
            let help = "leave out either `mode: host` or `networks`".to_owned();
            ("the host's own interfaces".to_owned(), help)
        }
        Mode::Container(owner) => {
            let help = format!(
                "leave out `mode`, or move the networks to `{owner}`: `{name}` has them, too, and its name leads there"
            );
            (format!("the interfaces of `{owner}`"), help)
        }
    };
    Some(Problem {
        message: format!("`{name}` has `mode: {}`, and yet is on network `{network}`", mode.value),
        code: "topology::isolated_with_networks",
        labels: vec![(mode.place, label), (at.place, format!("network `{network}`"))],
        help: Some(help),
    })
}

/// Reports what a container without a namespace of its own cannot have: a namespace, and ports.
fn with_more(party: &Party<'_>, mode: &At<Mode>) -> Vec<Problem> {
    let ports = match &mode.value {
        Mode::None | Mode::Host => "its ports are the host's own: leave `publish` out".to_owned(),
        Mode::Container(owner) => format!("publish the port of `{owner}`, which has the same ones"),
    };
    let problem = |what: &str, place: Place, label: &str, help: String| Problem {
        message: format!("`{}` has `mode: {}`, and yet {what}", party.name, mode.value),
        code: "topology::shared_with_more",
        labels: vec![(place, label.to_owned()), (mode.place, "it has no namespace of its own".to_owned())],
        help: Some(help),
    };
    let home = party.spec.home.as_ref().map(|home| {
        let key = home.value.key();
        let help = format!("leave out either `mode: {}` or `{key}`", mode.value);
        problem(&format!("lives in a namespace by `{key}`"), home.place, "a namespace of its own", help)
    });
    let publish =
        party.spec.publish.first().map(|at| problem("publishes a port", at.place, "published here", ports));
    let sysctls = party.spec.sysctls.first().map(|at| {
        let help = "leave `sysctls` out: they are those of whoever has the namespace".to_owned();
        problem("has kernel parameters", at.place, "of a namespace of its own", help)
    });
    home.into_iter().chain(publish).chain(sysctls).collect()
}

fn not_to_be_shared(
    scene: &Scene<'_>,
    party: &Party<'_>,
    (owner, place): (&ContainerName, Place),
) -> Option<Problem> {
    let problem = |message: String, label: &str, help: String| Problem {
        message,
        code: "topology::unknown_owner",
        labels: vec![(place, label.to_owned())],
        help: Some(help),
    };
    if owner == party.name {
        let message = format!("`{owner}` shares its own namespace");
        return Some(problem(message, "itself", "leave `mode` out, or name another container".to_owned()));
    }
    let Some(at) = scene.manifest.containers.get(owner) else {
        let names = scene.manifest.containers.keys().filter(|name| *name != party.name);
        let help = did_you_mean(owner.as_str(), names.map(ContainerName::as_str), || {
            format!("declare `{owner}` under `containers`")
        });
        let message = format!("`{}` shares the namespace of `{owner}`, which is not declared", party.name);
        return Some(problem(message, "not declared", help));
    };
    let instead = match &at.value.mode.as_ref()?.value {
        Mode::None => return None,
        Mode::Host => "host".to_owned(),
        Mode::Container(whose) => format!("container:{whose}"),
    };
    let message = format!("`{}` shares the namespace of `{owner}`, which has none of its own", party.name);
    let mut problem = problem(message, "no namespace of its own", format!("write `mode: {instead}`"));
    problem.labels.extend(at.value.mode.as_ref().map(|mode| (mode.place, format!("`{owner}` shares one"))));
    Some(problem)
}

/// Checks that no two containers are the same one of Docker's or Podman's, though it may not run now.
fn check_homes(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut seen: std::collections::BTreeMap<&Home, (&Party<'_>, Place)> = std::collections::BTreeMap::new();
    for party in scene.containers.iter().filter(|party| party.ns == NsRef::Process(Process::NOBODY)) {
        let Some(home) = &party.spec.home else { continue };
        match seen.get(&home.value) {
            None => drop(seen.insert(&home.value, (party, home.place))),
            Some((other, there)) => problems.push(Problem {
                message: format!("`{}` and `{}` are the same: `{}`", other.name, party.name, home.value),
                code: "topology::shared_namespace",
                labels: vec![
                    (home.place, format!("`{}` lives here, too", party.name)),
                    (*there, format!("`{}` lives here", other.name)),
                ],
                help: Some(format!("write `mode: container:{}` for `{}`", other.name, party.name)),
            }),
        }
    }
}
