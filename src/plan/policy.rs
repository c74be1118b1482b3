//! What policies that come and go mean, in words.

use super::{Action, Change};
use crate::resource::owner::Owner;
use crate::resource::policy::{Verdict, said};

/// Returns what a change of a policy opens or closes; `None` for everything else.
pub(super) fn effect(change: &Change) -> Option<String> {
    let Owner::Policy(name) = &change.owner else { return None };
    let said = said(name)?;
    let word = match (change.action, said.verdict) {
        (Action::Create, Verdict::Allow) | (Action::Destroy, Verdict::Deny) => "opens",
        (Action::Create, Verdict::Deny) | (Action::Destroy, Verdict::Allow) => "closes",
        (Action::Update | Action::Replace, Verdict::Allow) => {
            "keeps open, as far as no policy before says otherwise"
        }
        (Action::Update | Action::Replace, Verdict::Deny) => {
            "keeps closed, as far as no policy before says otherwise"
        }
    };
    Some(format!("{word}: {}", said.way))
}
