//! Networks behind links of the host that containers have for themselves: `driver: physical`.

use super::Driver;
use super::fields::Fields;
use super::node::Entry;
use super::problem::Problem;
use super::report::Report;

/// Returns the driver, and reports what such a network cannot have.
pub(super) fn physical(driver: &Entry, fields: Fields<'_>, report: &mut Report) -> Driver {
    for entry in fields.entries() {
        let why = match entry.key.as_str() {
            "internal" | "icc" | "egress" | "ingress" => "its packets do not pass the host's firewall",
            "ipv4" | "ipv6" => "its `subnets` are those of the network behind the links",
            "interface" | "external" => "it has no bridge",
            "options" => "the `device` of each attachment names its link",
            "lifecycle" => "nothing of it is on the host",
            _ => continue,
        };
        let message = format!("a physical network has no `{}`: {why}", entry.key);
        report.add(
            Problem::new("manifest::driver_key", message, entry.at, "nothing to set")
                .and(driver.value.place, "the driver")
                .help(format!("leave `{}` out", entry.key)),
        );
    }
    Driver::Physical
}
