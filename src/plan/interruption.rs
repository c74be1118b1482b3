//! Who loses packets, and why; and which connections end.

use std::collections::BTreeMap;
use std::rc::Rc;

use foldhash::HashMap;

use super::Interruption;
use super::diff::{Act, Row, Step};
use crate::names::NetName;
use crate::resource::link::LinkKind;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::{Resource, ResourceId};

/// The live attachments of each network.
pub(super) type Attachments<'a> = HashMap<&'a NetName, Vec<&'a Owner>>;

/// Returns the live attachments of each network.
pub(super) fn attachments<'a>(rows: &[Row<'a>]) -> Attachments<'a> {
    let mut attachments = Attachments::default();
    let links = rows.iter().filter(|row| matches!(row.id, ResourceId::Link(..)) && row.observed.is_some());
    for owner in links.filter_map(Row::owner) {
        match owner {
            Owner::Attachment { container: _, network } => {
                attachments.entry(network).or_default().push(owner)
            }
            Owner::Project
            | Owner::Network(_)
            | Owner::Container(_)
            | Owner::Port(_)
            | Owner::Policy(_)
            | Owner::External(_)
            | Owner::Unmarked(_) => {}
        }
    }
    attachments
}

/// Returns the attachments that lose packets by a change of `owner`. MTU, aliases and the like cost none.
pub(super) fn interruptions<'a>(
    owner: &Owner,
    steps: &[&Step<'_>],
    attachments: impl FnOnce() -> Rc<Attachments<'a>>,
) -> Vec<Interruption> {
    if let Some(why) = ended(owner, steps) {
        let is_new_deny = why == DENIED;
        // Where nobody is yet, nobody is connected.
        let is_told = !is_new_deny || !attachments().is_empty();
        let told = Interruption { attachment: owner.clone(), why: why.to_owned(), project: None };
        return is_told.then_some(told).into_iter().collect();
    }
    let whys = steps.iter().filter(|step| step.before.is_some()).filter_map(|step| why(owner, step));
    // The weightiest reason is said, and said once.
    let Some(why) = whys.min().map(|(_, why)| why) else { return vec![] };
    let interrupted = |attachment: &Owner| (attachment.clone(), why.to_owned());
    let all: BTreeMap<Owner, String> = match owner {
        Owner::Attachment { .. } => {
            let others =
                steps.iter().filter(|step| self::why(owner, step).is_some()).filter_map(|step| other(step));
            std::iter::once(owner).chain(others).map(interrupted).collect()
        }
        Owner::Network(name) => {
            attachments().get(name).into_iter().flatten().map(|attachment| interrupted(attachment)).collect()
        }
        Owner::Project
        | Owner::Container(_)
        | Owner::Port(_)
        | Owner::Policy(_)
        | Owner::External(_)
        | Owner::Unmarked(_) => BTreeMap::new(),
    };
    all.into_iter().map(|(attachment, why)| Interruption { attachment, why, project: None }).collect()
}

const DENIED: &str = "ends connections that it denies";

/// Returns which connections end by what a change does to the sets of the firewall: those that are led, those that are denied,
/// and those that are allowed no more. A set that is only made anew, with its table, ends none.
fn ended(owner: &Owner, steps: &[&Step<'_>]) -> Option<&'static str> {
    let touched = |acts: fn(&Act<'_>) -> bool, is_meant: fn(&str) -> bool| {
        let is_it = |step: &&Step<'_>| {
            matches!(step.id, ResourceId::NftElement(_, set, _) if is_meant(set)) && acts(&step.act)
        };
        steps.iter().any(is_it)
    };
    let goes: fn(&Act<'_>) -> bool = |act| matches!(act, Act::Delete | Act::GoesWith(_));
    let changes: fn(&Act<'_>) -> bool = |act| matches!(act, Act::Update | Act::Replace(_));
    let comes: fn(&Act<'_>) -> bool = |act| matches!(act, Act::Create);
    match owner {
        Owner::Port(_) => {
            let leads: fn(&str) -> bool = |set| set.starts_with("any_") || set.starts_with("host_");
            if touched(changes, leads) || touched(goes, leads) && touched(comes, leads) {
                Some("ends connections to where it led")
            } else if touched(goes, leads) {
                Some("ends connections to it")
            } else {
                let is_narrowed = touched(goes, |set| set.starts_with("allow_"))
                    || touched(comes, |set| set.starts_with("guard_")) && !touched(comes, leads);
                is_narrowed.then_some("ends connections of those for whom it is not any more")
            }
        }
        Owner::External(_) => {
            let leads: fn(&str) -> bool = |set| set.starts_with("external_to");
            (touched(goes, leads) || touched(changes, leads)).then_some("ends connections by it")
        }
        Owner::Policy(_) => {
            let allows: fn(&str) -> bool = |set| set.contains("allow_flow") || set.contains("allow_pair");
            let denies: fn(&str) -> bool = |set| set.contains("deny_");
            let refuses = touched(comes, denies).then_some(DENIED);
            refuses.or(touched(goes, allows).then_some("ends connections that nothing else allows"))
        }
        Owner::Project
        | Owner::Network(_)
        | Owner::Container(_)
        | Owner::Attachment { .. }
        | Owner::Unmarked(_) => None,
    }
}

/// Returns who else has an end of a step's link: of a pair between two containers, the other one.
fn other<'s>(step: &'s Step<'_>) -> Option<&'s Owner> {
    let Resource::Link(link) = &step.before.as_deref()?.resource else { return None };
    let tag = link.kind.peer()?.tag.as_ref()?;
    Some(&tag.owner).filter(|owner| !owner.is_unmarked())
}

/// Returns why a step costs packets, with its weight: the lower, the heavier.
fn why(owner: &Owner, step: &Step<'_>) -> Option<(u8, &'static str)> {
    let of_network = matches!(owner, Owner::Network(_));
    let goes = match step.act {
        Act::Delete | Act::GoesWith(_) => true,
        Act::Replace(_) | Act::Restore(_) => false,
        Act::Create | Act::Update | Act::Reattach(_) | Act::Carry => return None,
    };
    match step.id {
        ResourceId::Link(..) if is_detour(step) => None,
        // Nobody but the host itself is beside its containers by it.
        ResourceId::Link(..) if of_network && shares(step) => None,
        ResourceId::Address(_, _, addr) if of_network && addr.prefix_len() == addr.max_prefix_len() => None,
        ResourceId::Link(..) => Some(match (of_network, goes) {
            (true, true) if is_vlan(step) => (0, "its VLAN is removed"),
            (true, false) if is_vlan(step) => (1, "its VLAN is replaced"),
            (true, true) => (0, "its bridge is removed"),
            (true, false) => (1, "its bridge is replaced"),
            (false, true) => (0, "it is removed"),
            (false, false) => (1, "its link is replaced"),
        }),
        ResourceId::Address(..) if of_network => Some((2, "its gateway's address changes")),
        ResourceId::Address(..) => Some((2, "its address changes")),
        // By those of the host, the host alone reaches containers.
        ResourceId::Route(NsRef::Host, ..) => None,
        ResourceId::Route(..) => Some((3, "its routes change")),
        // `crate::kernel::conntrack` ends what came in by that alone.
        ResourceId::NftElement(_, set, _) if set == "open" && goes => {
            Some((4, "it is not open any more: what others began with it ends"))
        }
        ResourceId::Netns(_)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => None,
    }
}

/// Tells whether a link is none of the attachment's own ends: packets that are led to it go another way when it goes.
fn is_detour(step: &Step<'_>) -> bool {
    let link = step.before.as_deref().and_then(|entry| entry.resource.link());
    link.is_some_and(|link| link.kind == LinkKind::Ifb)
}

/// Tells whether a link shares what a link of the host receives.
fn shares(step: &Step<'_>) -> bool {
    let link = step.before.as_deref().and_then(|entry| entry.resource.link());
    link.is_some_and(|link| link.kind.shares().is_some())
}

/// Tells whether a network's link is a VLAN on a link of the host, and not its bridge.
fn is_vlan(step: &Step<'_>) -> bool {
    step.before
        .as_deref()
        .and_then(|entry| entry.resource.link())
        .is_some_and(|link| link.kind.parent().is_some())
}
