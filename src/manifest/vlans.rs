//! `vlan` and `trunks` of an attachment.

use super::fields::{Fields, each_once};
use super::node::{Kind, Node};
use super::problem::Problem;
use super::report::Report;
use super::{At, Place, SwitchedPort, scalar};
use crate::resource::vlan::VlanId;

/// Returns which VLANs an attachment's port carries; `None` when the manifest does not say.
pub(super) fn port(fields: Fields<'_>, report: &mut Report) -> Option<At<SwitchedPort>> {
    let (vlan, trunks) = (fields.get("vlan"), fields.get("trunks"));
    let place = vlan.or(trunks)?.at;
    let own = vlan.and_then(|entry| id(&entry.value, "`vlan`", report));
    let tagged = trunks.map(|entry| (entry.at, tagged(&entry.value, entry.at, report)));
    let (at, trunks) = tagged.map_or((None, vec![]), |(at, trunks)| (Some(at), trunks));
    if let (Some(own), Some(at)) = (&own, at)
        && trunks.contains(&own.value)
    {
        let message = format!("VLAN {} is in both `vlan`, without tags, and `trunks`, with tags", own.value);
        let problem = Problem::new("manifest::vlan_twice", message, at, "with tags here");
        report.add(problem.and(own.place, "without tags here").help("leave it out of one of them"));
    }
    Some(At { value: SwitchedPort { vlan: own.map(|at| at.value), trunks, trunks_at: at }, place })
}

fn tagged(value: &Node, place: Place, report: &mut Report) -> Vec<VlanId> {
    let items = scalar::list(value, "`trunks`", report);
    let mut ids: Vec<VlanId> =
        items.iter().filter_map(|node| Some(id(node, "a VLAN", report)?.value)).collect();
    let texts: Vec<(String, &Node)> = items
        .iter()
        .filter_map(|node| match &node.kind {
            Kind::Integer(number) => Some((number.to_string(), node)),
            Kind::Null
            | Kind::Bool(_)
            | Kind::Number(_)
            | Kind::Text(_)
            | Kind::List(_)
            | Kind::Map(_)
            | Kind::Refused => None,
        })
        .collect();
    each_once(texts.iter().map(|(text, node)| (text.as_str(), *node)), "the VLAN", report);
    if items.is_empty() && matches!(&value.kind, Kind::List(_)) {
        let problem = Problem::new("manifest::empty_list", "`trunks` names no VLAN", place, "empty");
        report.add(problem.help("leave it out"));
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn id(node: &Node, what: &str, report: &mut Report) -> Option<At<VlanId>> {
    let number = scalar::integer(node, what, 1..=4094, report)?;
    let value = VlanId::try_from(u16::try_from(number).ok()?).ok()?;
    Some(At { value, place: node.place })
}
