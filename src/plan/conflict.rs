//! What others hold of the places that we want.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::diff::{Act, Diff, Step};
use super::equivalent::In;
use super::{Plan, Touched};
use crate::names::IfName;
use crate::resource::netns::NsRef;
use crate::resource::owner::{Origin, Owner};
use crate::resource::state::{Desired, Entry, Foreign, Observed, State};
use crate::resource::sysctl::Family;
use crate::resource::{ResourceId, Slot};

/// Somebody else's object where one of ours should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{owner} {}, but {} {}", wish.as_text(object), Blocker(what, by.as_deref()), wish.why_not())]
pub struct Conflict {
    /// What cannot be done about it.
    pub wish: Wish,
    /// The resource that cannot be made or removed.
    pub owner: Owner,
    /// Where the manifest declares it.
    pub origin: Option<Origin>,
    /// The kernel object that cannot be made or removed.
    pub object: ResourceId,
    /// What is in the way.
    pub what: String,
    /// Whose that is, as far as can be told.
    pub by: Option<String>,
    /// What the user can do.
    pub help: String,
}

/// What others are in the way of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// An object is to be made where theirs is.
    Make,
    /// A link is to be removed that theirs stands on.
    Remove,
    /// A link is to be given back to the host, where theirs has its name.
    Return,
}

impl Wish {
    fn as_text(self, object: &ResourceId) -> String {
        match self {
            Self::Make => match object {
                ResourceId::NftElement(_, set, _) if set.starts_with("external") => {
                    "needs all of its address".to_owned()
                }
                ResourceId::NftElement(..) => "needs its port of the host".to_owned(),
                ResourceId::Netns(_)
                | ResourceId::Link(..)
                | ResourceId::Address(..)
                | ResourceId::Route(..)
                | ResourceId::Sysctl(..)
                | ResourceId::NftTable(_)
                | ResourceId::Passage(..)
                | ResourceId::Neighbour(..)
                | ResourceId::Qdisc(..)
                | ResourceId::File(_) => format!("needs {object}"),
            },
            Self::Remove => format!("would lose {object}"),
            Self::Return => format!("has to give back {object}"),
        }
    }

    fn why_not(self) -> &'static str {
        match self {
            Self::Make | Self::Return => "is in the way",
            Self::Remove => "stands on it",
        }
    }
}

struct Blocker<'a>(&'a str, Option<&'a str>);

impl fmt::Display for Blocker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, by) = self;
        match by {
            Some(by) => write!(f, "{what} of {by}"),
            None => f.write_str(what),
        }
    }
}

/// Returns all that is in the way, in the order of the objects that want to be there.
pub(super) fn conflicts(diff: &Diff<'_>, observed: &Observed) -> Vec<Conflict> {
    let mut conflicts: Vec<Conflict> =
        diff.steps.iter().filter_map(|step| returned(step, diff.desired)).collect();
    if observed.foreign.is_empty() {
        return conflicts;
    }
    let made = diff.steps.iter().filter(|step| match step.act {
        Act::Create | Act::Replace(_) | Act::Restore(_) => true,
        Act::Update | Act::Reattach(_) | Act::Delete | Act::GoesWith(_) | Act::Carry => false,
    });
    conflicts.extend(made.filter_map(|step| conflict(step, observed)));
    conflicts.extend(diff.steps.iter().flat_map(|step| standing_on(step, observed)));
    conflicts.extend(diff.steps.iter().filter_map(|step| homeless(step, observed)));
    conflicts
}

/// Returns what a plan touches, and what it would if others let it. Of these, what others have may have gone unheard: a
/// host has very many routes, and nobody is told of each.
pub fn at_stake(plan: &Plan, conflicts: &[Conflict], desired: &Desired) -> Vec<Touched> {
    let held_up = conflicts.iter().map(|conflict| Touched {
        id: conflict.object.clone(),
        before: None,
        after: desired.0.get(&conflict.object).cloned(),
    });
    plan.touched().into_iter().chain(held_up).collect()
}

/// Returns the links of others that would go, or lose their bridge, with a link of ours.
fn standing_on(step: &Step<'_>, observed: &Observed) -> Vec<Conflict> {
    let goes = match step.act {
        Act::Delete | Act::GoesWith(_) | Act::Replace(_) | Act::Restore(_) => true,
        Act::Create | Act::Update | Act::Reattach(_) | Act::Carry => false,
    };
    let (true, ResourceId::Link(..), Some(before)) = (goes, step.id, step.before.as_deref()) else {
        return vec![];
    };
    let links = observed.foreign.iter().filter(|(slot, foreign)| {
        // What stands on a link inside a container goes with the container.
        let is_outside = match (slot, step.id) {
            (Slot::Ifname(NsRef::Host, _), _) => true,
            (Slot::Shared(parent), ResourceId::Link(_, name)) => parent == name,
            _ => false,
        };
        is_outside && foreign.on.as_ref() == Some(&before.owner)
    });
    links
        .map(|(_, Foreign { what, owner, on: _, bears: _ })| Conflict {
            wish: Wish::Remove,
            owner: before.owner.clone(),
            origin: step.after.as_deref().and_then(|entry| entry.origin.clone()),
            object: step.id.clone(),
            what: what.clone(),
            by: owner.clone(),
            help: format!("take {what} off it first, or remove it"),
        })
        .collect()
}

/// Returns the name that a link has to have again on the host, with what it is in the container.
fn given_back<'s>(step: &'s Step<'_>) -> Option<(&'s Entry, &'s IfName)> {
    match step.act {
        Act::Delete | Act::Replace(_) => {}
        Act::Create | Act::Update | Act::Reattach(_) | Act::GoesWith(_) | Act::Restore(_) | Act::Carry => {
            return None;
        }
    }
    let before = step.before.as_deref()?;
    Some((before, &before.resource.link()?.kind.device()?.name))
}

/// Returns what of ours is to have the name that a link has to have again on the host.
fn returned(step: &Step<'_>, desired: &State) -> Option<Conflict> {
    let (before, name) = given_back(step)?;
    let wanted = desired.get(&ResourceId::Link(NsRef::Host, name.clone()))?;
    // It may go to another container at once.
    if wanted.resource.link()?.kind.device().is_some() {
        return None;
    }
    let Entry { owner, origin, .. } = wanted;
    Some(Conflict {
        wish: Wish::Make,
        owner: owner.clone(),
        origin: origin.clone(),
        object: wanted.resource.id(),
        what: format!("the host's own {name}, which {} gives back,", before.owner),
        by: None,
        help: format!("give {owner} another `interface`"),
    })
}

/// Returns what has the name that a link has to have again on the host.
fn homeless(step: &Step<'_>, observed: &Observed) -> Option<Conflict> {
    let (before, name) = given_back(step)?;
    let (_, Foreign { what, owner, on: _, bears: _ }) =
        taken(observed, &Slot::Ifname(NsRef::Host, name.clone()))?;
    Some(Conflict {
        wish: Wish::Return,
        owner: before.owner.clone(),
        origin: step.after.as_deref().and_then(|entry| entry.origin.clone()),
        object: step.id.clone(),
        what: what.clone(),
        by: owner.clone(),
        help: format!("give {what} another name: the link was called {name} before"),
    })
}

/// Returns what of others has a place; a link's name may be a further one of another link.
fn taken<'o>(observed: &'o Observed, slot: &Slot) -> Option<(&'o Slot, &'o Foreign)> {
    let further = || match slot {
        Slot::Ifname(ns, name) => {
            observed.foreign.get_key_value(&Slot::Altname(ns.clone(), name.as_str().into()))
        }
        Slot::Ns(_)
        | Slot::Altname(..)
        | Slot::Addressed(..)
        | Slot::Shared(_)
        | Slot::Device(_)
        | Slot::Filtered(_)
        | Slot::Object(_) => None,
    };
    observed.foreign.get_key_value(slot).or_else(further)
}

fn conflict(step: &Step<'_>, observed: &Observed) -> Option<Conflict> {
    let wanted = step.after.as_deref()?;
    // Many may give a link addresses, or share it; everything else has one place for one object.
    let mut slots = wanted.resource.provides().into_iter().filter(|slot| !slot.is_for_many());
    let (slot, Foreign { what, owner, on: _, bears: _ }) = slots.find_map(|slot| taken(observed, &slot))?;
    Some(Conflict {
        wish: Wish::Make,
        owner: wanted.owner.clone(),
        origin: wanted.origin.clone(),
        object: step.id.clone(),
        what: what.clone(),
        by: owner.clone(),
        help: help(&wanted.owner, step.id, (slot, owner.as_deref(), what)),
    })
}

fn help(owner: &Owner, object: &ResourceId, (slot, by, what): (&Slot, Option<&str>, &str)) -> String {
    // What is known to be somebody's is not adopted.
    let adopt = |advice: String| if by.is_none() { advice } else { String::new() };
    if let Slot::Altname(ns, name) = slot {
        let ip = In("ip", ns);
        return format!(
            "`{ip} link property del dev {name} altname {name}` takes it off there; or give {owner} another `interface`"
        );
    }
    match object {
        ResourceId::Link(..)
            if matches!(slot, Slot::Ifname(NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_), _)) =>
        {
            format!(
                "{}give {owner} another `interface`, or remove what is there",
                adopt(format!("adopt it by its other end on the host with `netform import {owner} LINK`, "))
            )
        }
        ResourceId::Link(_, name) => format!(
            "{}give {owner} another `interface`, or remove what is there",
            adopt(format!("adopt it with `netform import {owner} {name}`, "))
        ),
        ResourceId::Netns(_) if what.starts_with("file ") => {
            "remove it, if nobody needs it, or give the container another name".to_owned()
        }
        ResourceId::Netns(name) => format!(
            "{}use it as it is with `netns: {name}`, give the container another name, or remove what is there",
            adopt(format!("adopt it with `netform import {owner} {name}`, "))
        ),
        ResourceId::File(_) => format!("move {what} away; netform overwrites only its own files"),
        ResourceId::NftTable(_) => "remove the table, or give the project another name".to_owned(),
        ResourceId::Route(ns, dest, rank) => {
            let (six, family) =
                if dest.addr().is_ipv4() { ("", Family::Ipv4) } else { (" -6", Family::Ipv6) };
            let to = if dest.prefix_len() == 0 { "default".to_owned() } else { dest.to_string() };
            let del = format!("{}{six} route del {to}{}", In("ip", ns), rank.words(family));
            format!("`{del}` removes it; or change what {owner} asks for")
        }
        ResourceId::Address(..)
        | ResourceId::Sysctl(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..) => {
            format!("remove it, or change what {owner} asks for")
        }
        ResourceId::NftElement(_, set, _) if set.starts_with("external") => {
            format!("use another address, or take it out of {}", by.unwrap_or("the other project"))
        }
        ResourceId::NftElement(..) => format!(
            "publish it on another port or another address of the host, or take it out of {}",
            by.unwrap_or("the other project")
        ),
    }
}
