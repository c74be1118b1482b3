//! The fields that differ, each with its three values.

use std::collections::{BTreeMap, VecDeque};

use super::diff::{Act, Step};
use super::{Cause, Field};
use crate::names::IfName;
use crate::resource::address::CONNECTED;
use crate::resource::amiss::WELL;
use crate::resource::file;
use crate::resource::neighbour::Neighbour;
use crate::resource::netns::{LO, NsRef, RULES};
use crate::resource::passage::{Passage, chain, way};
use crate::resource::qdisc::Hook;
use crate::resource::route::Way;
use crate::resource::state::Entry;
use crate::resource::sysctl::Family;
use crate::resource::{Resource, ResourceId};

/// Returns the fields that differ. An address that goes and one that comes on the same link are one field that changes.
pub(super) fn fields(steps: &[&Step<'_>]) -> Vec<Field> {
    let mut leaving = BTreeMap::<(NsRef, IfName, Family), VecDeque<&Step<'_>>>::new();
    for step in steps.iter().copied().filter(|step| step.after.is_none()) {
        if let Some(place) = place(step.id) {
            leaving.entry(place).or_default().push_back(step);
        }
    }
    let mut fields = vec![];
    for step in steps {
        match &step.act {
            Act::Create => {
                let partner = place(step.id).and_then(|place| leaving.get_mut(&place)?.pop_front());
                fields.push(whole(partner, Some(step)));
            }
            Act::Update | Act::Replace(_) | Act::Restore(_) | Act::Reattach(_) => fields.extend(inside(step)),
            Act::Delete | Act::GoesWith(_) | Act::Carry => {}
        }
    }
    let unpaired = leaving.into_values().flatten();
    let others = steps.iter().copied().filter(|step| step.after.is_none() && place(step.id).is_none());
    fields.extend(unpaired.chain(others).map(|step| whole(Some(step), None)));
    fields.retain(|field| field.live != field.desired);
    fields.sort_by(|a, b| (&a.object, &a.name).cmp(&(&b.object, &b.name)));
    fields
}

fn place(id: &ResourceId) -> Option<(NsRef, IfName, Family)> {
    match id {
        ResourceId::Address(ns, link, addr) => Some((ns.clone(), link.clone(), Family::of(addr.addr()))),
        ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Route(..)
        | ResourceId::Sysctl(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..)
        | ResourceId::File(_) => None,
    }
}

/// Returns an object that comes, goes, or takes another one's place, as one field.
fn whole(old: Option<&Step<'_>>, new: Option<&Step<'_>>) -> Field {
    #[expect(clippy::expect_used, reason = "both callers give at least one")]
    let step = new.or(old).expect("a step");
    let live = old.and_then(|step| step.before.as_deref());
    let desired = new.and_then(|step| step.after.as_deref());
    let applied = old.and_then(|step| step.applied).or(new.and_then(|step| step.applied));
    let text = |entry: &Entry| brief(&entry.resource);
    triple(step, name(step.id), applied.map(text), live.map(text), desired.map(text))
}

/// Returns the fields of an object that differ inside it.
fn inside(step: &Step<'_>) -> Vec<Field> {
    let values = |entry: Option<&Entry>| entry.map_or(vec![], |entry| entry.resource.fields());
    let (live, desired) = (values(step.before.as_deref()), values(step.after.as_deref()));
    let applied = values(step.applied);
    let only_live = live.iter().filter(|(name, _)| !tells(&desired, name));
    let names: Vec<&'static str> = desired.iter().chain(only_live).map(|(name, _)| *name).collect();
    let differing = names.into_iter().filter(|name| value(&live, name) != value(&desired, name));
    differing
        .map(|part| {
            let label = match step.id {
                ResourceId::Link(..)
                | ResourceId::NftTable(_)
                | ResourceId::Neighbour(..)
                | ResourceId::Qdisc(..)
                | ResourceId::File(_)
                | ResourceId::Address(..) => part.to_owned(),
                ResourceId::Netns(_) if part != "netns" => part.to_owned(),
                ResourceId::Netns(_)
                | ResourceId::Sysctl(..)
                | ResourceId::NftElement(..)
                | ResourceId::Passage(..) => name(step.id),
                ResourceId::Route(..) => format!("{} {part}", name(step.id)),
            };
            triple(step, label, value(&applied, part), value(&live, part), value(&desired, part))
        })
        .collect()
}

fn triple(
    step: &Step<'_>,
    name: String,
    last_applied: Option<String>,
    live: Option<String>,
    desired: Option<String>,
) -> Field {
    // What was not told then was off.
    let unmoved = last_applied == live || step.applied.is_none();
    let cause = if unmoved || desired != last_applied { Cause::Config } else { Cause::Drift };
    let origin = step.after.as_deref().and_then(|entry| entry.origin.clone());
    Field { name, object: step.id.clone(), last_applied, live, desired, cause, origin }
}

/// Tells whether a field is told.
pub(super) fn tells(fields: &[(&'static str, String)], name: &str) -> bool {
    fields.iter().any(|(other, _)| *other == name)
}

/// Returns the value of a field. What is only told when something is wrong is well otherwise.
pub(super) fn value(fields: &[(&'static str, String)], name: &str) -> Option<String> {
    let told = fields.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
    let well = [CONNECTED, LO, RULES, file::MODE].into_iter().chain(WELL).find(|(other, _)| *other == name);
    told.or_else(|| well.map(|(_, value)| value.to_owned()))
}

/// Returns the field's name of an object that is one field of its resource.
pub(super) fn name(id: &ResourceId) -> String {
    match id {
        ResourceId::Netns(_) => "netns".to_owned(),
        ResourceId::Link(..) => "interface".to_owned(),
        ResourceId::Address(..) => "address".to_owned(),
        ResourceId::Route(_, dest, rank) => {
            let rank = rank.words(Family::of(dest.addr()));
            if dest.prefix_len() == 0 {
                format!("default route{rank}")
            } else {
                format!("route {dest}{rank}")
            }
        }
        ResourceId::Neighbour(..) => "neighbour".to_owned(),
        ResourceId::Sysctl(_, key) => format!("sysctl {key}"),
        ResourceId::NftTable(_) => "rules".to_owned(),
        ResourceId::NftElement(_, set, _) if set.starts_with("external_to") => "leads".to_owned(),
        ResourceId::NftElement(_, set, _) => format!("nft {set}"),
        ResourceId::Passage(family, ..) => format!("rule in {}", chain(*family)),
        ResourceId::Qdisc(_, Hook::Root) => "bandwidth".to_owned(),
        ResourceId::Qdisc(_, Hook::Ingress) => "detour".to_owned(),
        ResourceId::File(path) => format!("file {}", path.display()),
    }
}

/// Returns an object in a few words, beside [`name`].
pub(super) fn brief(resource: &Resource) -> String {
    match resource {
        Resource::Netns(netns) => netns.name.to_string(),
        Resource::Link(link) => link.name.to_string(),
        Resource::Address(address) => address.addr.to_string(),
        Resource::Route(route) => match &route.way {
            Way::By { link, via: None, onlink: _ } => format!("dev {link}"),
            Way::By { link, via: Some(via), onlink } => {
                format!("via {via} dev {link}{}", if *onlink { " onlink" } else { "" })
            }
            Way::Refused(refusal) => refusal.to_string(),
        },
        Resource::Neighbour(Neighbour { ns: _, link, addr }) => format!("{addr} on {link}"),
        Resource::Sysctl(sysctl) => sysctl.value.to_string(),
        Resource::NftTable(table) => table.digest.clone(),
        Resource::NftElement(element) => match &element.data {
            Some(data) if element.set.starts_with("external_to") => {
                format!("{} to {data}", element.key.join(" . "))
            }
            Some(data) => format!("{} : {data}", element.key.join(" . ")),
            None => element.key.join(" . "),
        },
        Resource::Passage(Passage { family: _, from, to, intact: _ }) => way(from.as_ref(), to.as_ref()),
        Resource::Qdisc(qdisc) => qdisc.to_string(),
        Resource::File(file) => file.content.to_string(),
    }
}
