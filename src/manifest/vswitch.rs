//! A network on Open vSwitch: `driver: openvswitch` with its `options`.

use super::driver::chosen;
use super::fields::{self, Fields};
use super::node::{Entry, Kind};
use super::problem::Problem;
use super::report::Report;
use super::scalar;
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
