//! What policies and external addresses that come and go mean, in words.

use std::net::IpAddr;

use super::{Action, Change, Extra, Fate, Object};
use crate::resource::ResourceId;
use crate::resource::owner::Owner;
use crate::resource::policy::{Verdict, said};

/// Returns what a change of a policy opens or closes; `None` for everything else.
pub(super) fn effect(change: &Change, extra: &Extra) -> Option<String> {
    let is_led = !matches!(change.owner, Owner::External(_)) || external_fate(change) == Some(&Fate::Create);
    if let Some(words) = extra.effects.get(&change.owner.to_string())
        && is_led
        && change.action != Action::Destroy
    {
        return Some(words.clone());
    }
    let name = match &change.owner {
        Owner::Policy(name) => name,
        Owner::External(address) => return external(change, *address),
        Owner::Project
        | Owner::Network(_)
        | Owner::Container(_)
        | Owner::Attachment { .. }
        | Owner::Port(_)
        | Owner::Unmarked(_) => return None,
    };
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

/// Returns what becomes of all that is sent to an external address.
fn external(change: &Change, address: IpAddr) -> Option<String> {
    match external_fate(change)? {
        Fate::Create => Some(format!("opens: everything at {address}, from everybody")),
        Fate::Destroy | Fate::GoesWith(_) => Some(format!("closes: everything at {address}")),
        Fate::Update | Fate::Replace | Fate::Restored(_) => None,
    }
}

/// Returns what becomes of the element that leads an external address to its container.
fn external_fate(change: &Change) -> Option<&Fate> {
    let leads = |object: &&Object| matches!(&object.id, ResourceId::NftElement(_, set, _) if set.starts_with("external_to"));
    change.objects.iter().find(leads).map(|object| &object.fate)
}
