//! Policies that never decide anything, and why.

use std::collections::BTreeSet;

use super::flatten::{Rule, Weight, flatten};
use super::{Decided, Policy, Rules, Way};

/// Returns a sentence for each policy that decides nothing.
pub(super) fn warnings(rules: &Rules, policies: &[Policy], decided: &[Decided]) -> Vec<String> {
    // That the host may have addresses of a range is nothing that the author of a policy thought of.
    let is_meant = |decided: &&Decided| {
        let mut rules = rules.0.values().flatten().filter(|rule| rule.policy == decided.policy);
        !matches!(decided.way, Way::ToHost(..)) || rules.all(|rule| rule.weight == Weight::Full)
    };
    let deciding: BTreeSet<usize> = decided.iter().filter(is_meant).map(|decided| decided.policy).collect();
    let idle = policies.iter().enumerate().filter(|(number, _)| !deciding.contains(number));
    let mut warnings = vec![];
    for (number, Policy { origin, name, verdict: _ }) in idle {
        let begin = format!("{origin}: the policy {name} never matches");
        if !rules.0.values().flatten().any(|rule| rule.policy == number) {
            warnings.push(format!("{begin}: its ends have no addresses of the same family"));
            continue;
        }
        let mut earlier = policies.iter().enumerate().take(number);
        warnings.push(match earlier.find(|(other, _)| covers(rules, *other, number)) {
            Some((_, other)) => format!("{begin}: {} decides before, as {}", other.name, other.origin),
            None => format!("{begin}: those before it decide all that it is about"),
        });
    }
    warnings
}

/// Tells whether a policy leaves nothing to a later one.
fn covers(rules: &Rules, first: usize, later: usize) -> bool {
    rules.0.values().all(|rules| {
        let full = rules.iter().filter(|rule| rule.weight == Weight::Full);
        let two = full.filter(|rule| rule.policy == first || rule.policy == later);
        let two: Vec<Rule> = two.cloned().collect();
        flatten(&two, usize::MAX).is_ok_and(|all| all.iter().all(|decided| decided.policy != later))
    })
}
