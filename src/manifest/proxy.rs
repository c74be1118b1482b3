//! `ndp_proxy` of a network: by which link of the host neighbours find its containers, and which networks cannot have it.

use super::driver::Driver;
use super::fields::Fields;
use super::node::{Entry, Kind};
use super::problem::Problem;
use super::report::Report;
use super::uplink::{Uplink, uplink};
use super::{At, Egress};

/// Returns the link that answers for the containers of a network.
pub(super) fn ndp_proxy(
    entry: &Entry,
    (fields, driver, egress): (Fields<'_>, &Driver, Option<&At<Egress>>),
    report: &mut Report,
) -> Option<At<Uplink>> {
    let uplink = uplink(entry, report)?;
    let is_loopback = match &uplink.value {
        Uplink::Named(name) => name.as_str() == "lo",
        Uplink::Default => false,
    };
    if is_loopback {
        let message = "`ndp_proxy` cannot be `lo`: the host has no neighbours there";
        report.add(
            Problem::new("manifest::proxy_on_loopback", message, uplink.place, "nobody asks here")
                .help("name the link that the neighbours are on, or write `true` for the one that has the default route"),
        );
    }
    // Of other drivers it is said that they have no such key.
    if driver.has_host() {
        let internal = fields.get("internal").filter(|it| matches!(it.value.kind, Kind::Bool(true)));
        if let Some(internal) = internal {
            let message = "an internal network has no `ndp_proxy`: nobody outside reaches its containers";
            report.add(
                Problem::new("manifest::proxy_internal", message, entry.at, "nobody to answer")
                    .and(internal.at, "no way out, no way in")
                    .help("leave out either"),
            );
        } else {
            hidden(entry, fields, egress).into_iter().for_each(|problem| report.add(problem));
        }
    }
    Some(uplink)
}

/// Says that nobody outside sees the addresses of the containers.
fn hidden(entry: &Entry, fields: Fields<'_>, egress: Option<&At<Egress>>) -> Option<Problem> {
    let message = "`ndp_proxy` is for containers that are seen outside with their own addresses";
    let problem = |label| Problem::new("manifest::proxy_hidden", message, entry.at, label);
    let is_external = fields.get("external").is_some_and(|it| !matches!(it.value.kind, Kind::Bool(false)));
    let problem = match egress.map(|at| (&at.value, at.place)) {
        // Somebody else's bridge is routed unless it says otherwise; what cannot be read is reported already.
        None if is_external || fields.get("egress").is_some() => return None,
        Some((Egress::Routed, _)) => return None,
        None => problem("they leave with an address of the host, unless `egress` says otherwise"),
        Some((Egress::Masquerade | Egress::Snat(_), place)) => {
            problem("nobody asks for them").and(place, "they leave with an address of the host")
        }
    };
    Some(problem.help("write `egress: routed`, or leave `ndp_proxy` out"))
}
