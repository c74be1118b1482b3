//! Links of the host that networks stand on.

use std::collections::HashMap;

use super::facts::LinkFact;
use super::scene::{Net, Scene};
use super::text::did_you_mean;
use crate::manifest::Driver;
use crate::manifest::problem::Problem;
use crate::names::IfName;
use crate::resource::link::MacvlanMode;

/// Returns the link that a network stands on; `None` when its driver needs none.
///
/// # Errors
///
/// When there is none of that name that is not ours.
pub(super) fn parent<'a>(scene: &Scene<'a>, net: &Net<'_>) -> Result<Option<&'a LinkFact>, Problem> {
    let Some(at) = net.spec.driver.parent() else { return Ok(None) };
    let facts = scene.facts;
    let known = facts.parents.get(&at.value).or_else(|| facts.bridges.get(&at.value));
    known.map(Some).ok_or_else(|| {
        let all = facts.parents.keys().chain(facts.bridges.keys()).map(IfName::as_str);
        let other = || "name a link of the host that is no bridge's port; `ip link` lists them".to_owned();
        Problem {
            message: format!("there is no link `{}` that a network could stand on", at.value),
            code: "topology::unknown_parent",
            labels: vec![(at.place, format!("the parent of network `{}`", net.name))],
            help: Some(did_you_mean(at.value.as_str(), all, other)),
        }
    })
}

/// A link in passthru mode has its parent for itself: `macvlan_common_newlink()` in Linux `drivers/net/macvlan.c`.
pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut users: HashMap<&IfName, Vec<(&Net<'_>, MacvlanMode)>> = HashMap::new();
    for net in &scene.nets {
        match &net.spec.driver {
            Driver::Macvlan { parent, mode } => users.entry(&parent.value).or_default().push((net, *mode)),
            Driver::Bridge => {}
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
