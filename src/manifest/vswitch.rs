//! A network on Open vSwitch: `driver: openvswitch` with its `options`, and `vlan` and `trunks` of an attachment.

use super::driver::chosen;
use super::fields::{self, Fields, each_once};
use super::node::{Entry, Kind, Node};
use super::problem::Problem;
use super::report::Report;
use super::{At, SwitchedPort, scalar};
use crate::resource::vlan::VlanId;
use crate::resource::vswitch::{Datapath, FailMode, Vswitch};

/// Returns how the bridge is made.
pub(super) fn vswitch(driver: &Entry, fields: Fields<'_>, report: &mut Report) -> Vswitch {
    for entry in fields.entries() {
        if let Some(problem) = refusal(driver, entry, fields) {
            report.add(problem);
        }
    }
    let options = fields.value("options").and_then(|node| Fields::open(node, &fields::OPEN_VSWITCH, report));
    let Some(options) = options else { return vswitch_of(Datapath::default(), FailMode::default()) };
    let mut flag = |key| options.get(key).and_then(|entry| scalar::flag(entry, report));
    let (stp, mcast_snooping) = (flag("stp"), flag("mcast_snooping"));
    Vswitch {
        stp: stp.is_some_and(|at| at.value),
        mcast_snooping: mcast_snooping.is_some_and(|at| at.value),
        ..vswitch_of(
            chosen(options, "datapath", &Datapath::ALL, report),
            chosen(options, "fail_mode", &FailMode::ALL, report),
        )
    }
}

fn vswitch_of(datapath: Datapath, fail_mode: FailMode) -> Vswitch {
    Vswitch { datapath, fail_mode, stp: false, mcast_snooping: false, intact: true }
}

/// Returns what is wrong with a key that such a network cannot have.
fn refusal(driver: &Entry, entry: &Entry, fields: Fields<'_>) -> Option<Problem> {
    let is = |word: bool| matches!(entry.value.kind, Kind::Bool(value) if value == word);
    match entry.key.as_str() {
        "icc" if is(false) => {
            let message = "what Open vSwitch forwards between its ports passes no firewall of the host, so `icc: false` \
                           would hold nothing back";
            let problem = Problem::new("manifest::driver_key", message, entry.at, "would hold nothing back");
            let problem = problem.and(driver.value.place, "the driver");
            Some(
                problem
                    .help("leave `icc` out and give the containers a `vlan` each, or use `driver: bridge`"),
            )
        }
        "options" => {
            let external = fields.get("external").filter(|it| !matches!(it.value.kind, Kind::Bool(false)))?;
            let message = "`options` configure a bridge, and this one is somebody else's";
            let problem = Problem::new("manifest::external_key", message, entry.at, "not ours to set");
            Some(problem.and(external.at, "the bridge is external").help("leave `options` out"))
        }
        _ => None,
    }
}

/// Returns which VLANs an attachment's port carries; `None` when the manifest does not say.
pub(super) fn port(fields: Fields<'_>, report: &mut Report) -> Option<At<SwitchedPort>> {
    let (vlan, trunks) = (fields.get("vlan"), fields.get("trunks"));
    if let (Some(vlan), Some(trunks)) = (vlan, trunks) {
        let message = "a port is in one `vlan`, without tags, or carries `trunks`, with tags";
        let problem =
            Problem::new("manifest::vlan_and_trunks", message, trunks.at, "carries these with tags");
        report.add(problem.and(vlan.at, "is in this one without tags").help("leave one of them out"));
        return None;
    }
    if let Some(entry) = vlan {
        let value = SwitchedPort { vlan: Some(id(&entry.value, "`vlan`", report)?), trunks: vec![] };
        return Some(At { value, place: entry.at });
    }
    let entry = trunks?;
    let items = scalar::list(&entry.value, "`trunks`", report);
    let mut ids: Vec<VlanId> = items.iter().filter_map(|node| id(node, "a VLAN", report)).collect();
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
    if items.is_empty() && matches!(&entry.value.kind, Kind::List(_)) {
        let problem = Problem::new("manifest::empty_list", "`trunks` names no VLAN", entry.at, "empty");
        report.add(problem.help("leave it out: without it a port carries all VLANs"));
    }
    ids.sort_unstable();
    ids.dedup();
    Some(At { value: SwitchedPort { vlan: None, trunks: ids }, place: entry.at })
}

fn id(node: &Node, what: &str, report: &mut Report) -> Option<VlanId> {
    let number = scalar::integer(node, what, 1..=4094, report)?;
    VlanId::try_from(u16::try_from(number).ok()?).ok()
}
