//! The network that a pair of links is: `driver: veth`.

use super::fields::{self, Fields};
use super::node::Entry;
use super::problem::Problem;
use super::report::Report;
use super::{OtherEnd, scalar};

/// Returns who has the other end.
pub(super) fn veth(driver: &Entry, fields: Fields<'_>, report: &mut Report) -> OtherEnd {
    let options = fields.value("options").and_then(|node| Fields::open(node, &fields::VETH, report));
    let host = options.and_then(|options| scalar::flag(options.get("host")?, report));
    let other = if host.is_some_and(|at| at.value) { OtherEnd::Host } else { OtherEnd::Container };
    for entry in fields.entries() {
        if let Some(problem) = refusal(driver, entry, other) {
            report.add(problem);
        }
    }
    other
}

/// Returns what is wrong with a key that such a network cannot have.
fn refusal(driver: &Entry, entry: &Entry, other: OtherEnd) -> Option<Problem> {
    let (why, help) = match (entry.key.as_str(), other) {
        ("external" | "icc", _) => ("it has no bridge", "or use `driver: bridge`"),
        ("lifecycle", _) => ("it comes and goes with its container", "or use `driver: bridge`"),
        ("ndp_proxy", OtherEnd::Container) => (
            "it joins two containers, and the host reaches neither by it",
            "or join the host and one container by `options: {host: true}`",
        ),
        ("internal" | "egress" | "ingress" | "interface", OtherEnd::Container) => (
            "it joins two containers, and nothing of it is on the host",
            "or join the host and one container by `options: {host: true}`",
        ),
        _ => return None,
    };
    let message = format!("a veth network has no `{}`: {why}", entry.key);
    let problem = Problem::new("manifest::driver_key", message, entry.at, "nothing to set");
    let problem = problem.and(driver.value.place, "the driver");
    Some(problem.help(format!("leave `{}` out, {help}", entry.key)))
}
