//! `driver` with its `options`, and what the networks of a driver cannot have.

use super::Driver;
use super::fields::{self, Fields, missing};
use super::node::{Entry, Kind};
use super::problem::Problem;
use super::report::Report;
use super::scalar;
use crate::names::IfName;
use crate::resource::link::MacvlanMode;

/// The words of `driver`.
const DRIVERS: &[&str] = &["bridge", "macvlan"];
/// Drivers that netform will have.
const LATER: &[&str] = &["overlay", "ipvlan", "veth", "openvswitch"];

/// Returns the driver of a network.
pub(super) fn driver(fields: Fields<'_>, report: &mut Report) -> Driver {
    let options = fields.get("options");
    let Some(driver) = fields.get("driver") else { return bridge(options, report) };
    let Some(text) = scalar::text(&driver.value, "a driver", report) else { return Driver::Bridge };
    match text {
        "bridge" => bridge(options, report),
        "macvlan" => macvlan(driver, fields, report).unwrap_or_default(),
        later if LATER.contains(&later) => {
            let message = format!("the driver `{later}` is not supported by this version of netform");
            let problem =
                Problem::new("manifest::unsupported", message, driver.value.place, "not supported yet");
            report.add(problem.help(format!("use one of {}", DRIVERS.join(", "))));
            Driver::Bridge
        }
        _ => {
            scalar::word(&driver.value, "`driver`", DRIVERS, report);
            Driver::Bridge
        }
    }
}

fn bridge(options: Option<&Entry>, report: &mut Report) -> Driver {
    if let Some(options) = options {
        let message = "a bridge network takes no `options`";
        let problem = Problem::new("manifest::driver_key", message, options.at, "nothing to set");
        report.add(problem.help("leave `options` out, or write `driver: macvlan`"));
    }
    Driver::Bridge
}

fn macvlan(driver: &Entry, fields: Fields<'_>, report: &mut Report) -> Option<Driver> {
    refuse_others(driver, fields, report);
    if fields
        .get("subnets")
        .is_none_or(|entry| matches!(&entry.value.kind, Kind::List(list) if list.is_empty()))
    {
        let message =
            "a macvlan network needs its `subnets`: they are those of the network behind its parent";
        let problem = Problem::new("manifest::missing_key", message, driver.value.place, "which subnet?");
        report.add(problem.help(
            "write `subnets: [{cidr: 192.168.1.0/24, gateway: 192.168.1.1, pool: 192.168.1.192/27}]`, the pool being what \
             no router there gives away",
        ));
    }
    let Some(entry) = fields.get("options") else {
        let message = "a macvlan network needs its parent, a link of the host";
        let problem = Problem::new("manifest::missing_key", message, driver.value.place, "on which link?");
        report.add(problem.help("write `options: {parent: eth0}`"));
        return None;
    };
    let options = Fields::open(&entry.value, &fields::MACVLAN, report)?;
    let words = MacvlanMode::ALL.map(|(_, word)| word);
    let mode = options.value("mode").and_then(|node| scalar::word(node, "`mode`", &words, report));
    let mode = mode.and_then(|at| MacvlanMode::ALL.get(at)).map(|(mode, _)| *mode);
    let Some(parent) = options.value("parent") else {
        report.add(missing(options.node, &fields::MACVLAN, "parent"));
        return None;
    };
    let parent = scalar::name::<IfName>(parent, "a link's name", report)?;
    Some(Driver::Macvlan { parent, mode: mode.unwrap_or_default() })
}

/// Reports the keys that a network without the host cannot have.
fn refuse_others(driver: &Entry, fields: Fields<'_>, report: &mut Report) {
    for entry in fields.entries() {
        let why = match entry.key.as_str() {
            "internal" | "icc" | "egress" | "ingress" => "its packets do not pass the host's firewall",
            "interface" | "external" => "it has no bridge; `options.parent` names the link that it stands on",
            "lifecycle" => "nothing of it is on the host",
            _ => continue,
        };
        let message = format!("a macvlan network has no `{}`: {why}", entry.key);
        report.add(
            Problem::new("manifest::driver_key", message, entry.at, "nothing to set")
                .and(driver.value.place, "the driver")
                .help(format!("leave `{}` out, or use `driver: bridge`", entry.key)),
        );
    }
}
