//! Policies that let somebody talk whom isolation keeps apart all the same.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use super::Policy;
use crate::manifest::{self, At};
use crate::names::{ContainerName, NetName};
use crate::resource::policy::{End, Verdict};
use crate::topology::resolve::Asker;
use crate::topology::{Attachment, Container, Driver, Network};

/// What isolation leaves of policies.
#[derive(Default)]
pub(super) struct Kept {
    /// Those that open nothing, by name, and why.
    pub(super) idle: BTreeMap<SmolStr, String>,
    /// A sentence for each that opens less than it says.
    pub(super) warnings: Vec<String>,
}

/// Somebody on a network.
type Member<'t> = (&'t ContainerName, &'t Attachment);

/// Two who are kept apart, and where.
type Pair<'t> = (&'t ContainerName, &'t ContainerName, &'t NetName);

/// Finds the policies that isolation leaves nothing of, or nothing between some whom they name.
pub(super) fn kept(
    policies: &[At<manifest::Policy>],
    resolved: &[Policy],
    (networks, containers): (&[Network], &[Container]),
    origin: Asker<'_>,
) -> Kept {
    let mut kept = Kept::default();
    let isolates = |container: &Container| container.attachments.iter().any(|it| it.isolated);
    if !containers.iter().any(isolates) {
        return kept;
    }
    let bridges = networks.iter().filter(|it| it.driver == Driver::Bridge && it.is_judged());
    let bridges: BTreeSet<&NetName> = bridges.map(|network| &network.name).collect();
    for (at, Policy { name, .. }) in policies.iter().zip(resolved) {
        let manifest::Policy { verdict, from, to, ports: _ } = &at.value;
        let (Verdict::Allow, false) = (*verdict, beyond(from) || beyond(to)) else { continue };
        let [from_all, to_all] = [from, to].map(|ends| members(ends, containers));
        let apart = apart(&from_all, &to_all, &bridges);
        let Some((one, two, network)) = apart.first() else { continue };
        let same = from_all.iter().map(|(from, _)| to_all.iter().filter(|(to, _)| to == from).count());
        let others = from_all.len() * to_all.len() - same.sum::<usize>() - apart.len();
        let both = format!("`{one}` and `{two}` are isolated from each other on network `{network}`");
        let place = origin(at.place);
        let more = if apart.len() > 1 { ", and so are others of it" } else { "" };
        if others == 0 {
            kept.idle.insert(name.clone(), format!("{both}{more}"));
            kept.warnings.push(format!("{place}: {both}{more}: this policy opens nothing"));
        } else if named(from) && named(to) {
            kept.warnings
                .push(format!("{place}: {both}{more}: this policy opens nothing between them there"));
        }
    }
    kept
}

/// Tells whether an end is somebody who is on no network of the project.
fn beyond(ends: &[At<End>]) -> bool {
    ends.iter().any(|end| match end.value {
        End::Host | End::World | End::Range(_) => true,
        End::Network(_) | End::Container(_) => false,
    })
}

fn named(ends: &[At<End>]) -> bool {
    ends.iter().all(|end| matches!(end.value, End::Container(_)))
}

/// Returns who is meant, on each network.
fn members<'t>(ends: &[At<End>], containers: &'t [Container]) -> Vec<Member<'t>> {
    let is_meant = |container: &Container, attachment: &Attachment| {
        ends.iter().any(|end| match &end.value {
            End::Network(name) => attachment.network == *name,
            End::Container(name) => container.names().any(|it| it == name),
            End::Host | End::World | End::Range(_) => false,
        })
    };
    let all = containers.iter().flat_map(|it| it.attachments.iter().map(move |attachment| (it, attachment)));
    all.filter(|(container, attachment)| is_meant(container, attachment))
        .map(|(container, attachment)| (&container.name, attachment))
        .collect()
}

fn apart<'t>(from: &[Member<'t>], to: &[Member<'t>], bridges: &BTreeSet<&NetName>) -> Vec<Pair<'t>> {
    let mut there: BTreeMap<&NetName, Vec<&ContainerName>> = BTreeMap::new();
    for (name, attachment) in to.iter().filter(|(_, it)| it.isolated && bridges.contains(&it.network)) {
        there.entry(&attachment.network).or_default().push(name);
    }
    let isolated = from.iter().filter(|(_, attachment)| attachment.isolated);
    let pairs = isolated.flat_map(|(name, attachment)| {
        let others = there.get(&attachment.network).into_iter().flatten().filter(move |other| *other != name);
        others.map(move |other| (*name, *other, &attachment.network))
    });
    pairs.collect()
}
