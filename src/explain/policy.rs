//! Policies, by the elements of the firewall that are there for them.

use std::collections::{BTreeMap, BTreeSet};

use super::ruleset::Table;
use super::{Finding, Kind, Scene, Whose, firewall, sentence};
use crate::names::ProjectName;
use crate::resource::owner::Owner;
use crate::resource::policy::{Verdict, said};

/// Returns the policies of a name: `policy.deny:network.front:world`, or what stands behind `policy.`.
pub(super) fn find(thing: &str, scene: &Scene) -> Vec<Finding> {
    let name = thing.strip_prefix("policy.").unwrap_or(thing);
    let Some(said) = said(name) else { return vec![] };
    let owner = Owner::Policy(name.into());
    let comment = owner.to_string();
    let mut elements = BTreeMap::<ProjectName, usize>::new();
    let isolating: BTreeSet<ProjectName> =
        scene.tables.iter().filter(isolates).filter_map(firewall::project).collect();
    for table in &scene.tables {
        let Some(project) = firewall::project(table) else { continue };
        let all = table.sets.iter().flat_map(|set| &set.elements);
        let count = all.filter(|element| element.comment.as_ref() == Some(&comment)).count();
        *elements.entry(project).or_default() += count;
    }
    let decides = elements.into_iter().filter(|(_, count)| *count > 0);
    let verb = match said.verdict {
        Verdict::Allow => "opens",
        Verdict::Deny => "closes",
    };
    decides
        .map(|(project, count)| {
            let whose = Whose::of_project(&project, &owner);
            let plural = if count == 1 { "" } else { "s" };
            let text = sentence(
                &format!("{comment} is a policy of netform's project {project}"),
                [
                    Some(format!("it {verb} what goes {}", said.way)),
                    Some(format!("{count} element{plural} of the firewall say so")),
                    (said.verdict == Verdict::Allow && isolating.contains(&project))
                        .then(|| "containers that are isolated from each other stay apart".to_owned()),
                    scene.asked_at(&whose),
                ],
            );
            Finding::new(Kind::Policy, comment.clone(), text).of(&whose, scene)
        })
        .collect()
}

/// Tells whether a table keeps isolated containers apart.
fn isolates(table: &&Table) -> bool {
    table.sets.iter().any(|set| set.name == "isolated" && !set.elements.is_empty())
}
