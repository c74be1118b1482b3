//! `external`: a network on a bridge of somebody else, and what such a network cannot have.
//!
//! Others use the bridge, too, so its traffic is not judged and its link is not changed: keys that ask for either are
//! refused rather than kept for nothing. What concerns the attached containers alone is honoured: `subnets` with all that
//! is in them, `egress`, and `lifecycle.ignore`.

use super::At;
use super::fields::{Fields, wrong_type};
use super::node::{Entry, Kind};
use super::problem::Problem;
use super::report::Report;
use super::scalar;
use crate::names::IfName;

/// Returns the bridge of somebody else that a network is on.
pub(super) fn bridge(
    entry: &Entry,
    fields: Fields<'_>,
    interface: Option<&At<IfName>>,
    report: &mut Report,
) -> Option<At<IfName>> {
    let place = entry.value.place;
    let bridge = match &entry.value.kind {
        Kind::Bool(false) => return None,
        Kind::Bool(true) => {
            if fields.get("interface").is_none() {
                let message = "an external network needs the name of its bridge";
                let problem = Problem::new("manifest::missing_key", message, place, "which bridge?");
                report.add(problem.help("write `external: br-lan`, or add `interface: br-lan`"));
            }
            interface.map(|interface| At { value: interface.value.clone(), place })
        }
        Kind::Text(_) => {
            let named = scalar::name::<IfName>(&entry.value, "a bridge's name", report);
            if let (Some(named), Some(interface)) = (&named, interface)
                && named.value != interface.value
            {
                let message = "an external network has one bridge, and two are named";
                report.add(
                    Problem::new("manifest::two_bridges", message, interface.place, "another bridge")
                        .and(place, "the bridge")
                        .help("leave `interface` out"),
                );
            }
            named
        }
        Kind::Refused => return None,
        Kind::Null | Kind::Integer(_) | Kind::Number(_) | Kind::List(_) | Kind::Map(_) => {
            let problem = wrong_type(&entry.value, "`external` is `true` or the name of a bridge");
            report.add(problem.help("write `external: br-lan`"));
            return None;
        }
    };
    refuse_others(entry, fields, report);
    bridge
}

/// Reports the keys that a network on somebody else's bridge cannot have.
fn refuse_others(external: &Entry, fields: Fields<'_>, report: &mut Report) {
    for entry in fields.entries() {
        let Some((message, help)) = refusal(entry) else { continue };
        report.add(
            Problem::new("manifest::external_key", message, entry.at, "not ours to set")
                .and(external.at, "the bridge is external")
                .help(help),
        );
    }
    let lifecycle = fields.get("lifecycle").map(|entry| &entry.value.kind);
    let Some(Kind::Map(entries)) = lifecycle else { return };
    for entry in entries.iter().filter(|entry| entry.key == "prevent_destroy" && says(entry, true)) {
        let message = "`prevent_destroy` guards a bridge of netform's, and this one is somebody else's";
        report.add(
            Problem::new("manifest::external_key", message, entry.at, "nothing to guard")
                .and(external.at, "the bridge is external")
                .help("leave `prevent_destroy` out: netform never destroys an external bridge"),
        );
    }
}

/// Returns why a network on somebody else's bridge cannot have a key, and what to do; `None` when it can.
fn refusal(entry: &Entry) -> Option<(&'static str, &'static str)> {
    match entry.key.as_str() {
        "mtu" => Some((
            "`mtu` configures a bridge, and this one is somebody else's",
            "leave `mtu` out: containers take the bridge's",
        )),
        "ipv4" | "ipv6" => Some((
            "`ipv4` and `ipv6` say which subnets a bridge gets, and this one is somebody else's",
            "leave them out: its subnets are those of its addresses",
        )),
        // A port of the bridge may be the way out, and no firewall of the host sees what the bridge itself forwards.
        "internal" if says(entry, true) => Some((
            "`internal` closes a bridge, and this one is somebody else's",
            "leave `internal` out, or `external`: then netform makes a bridge that is internal",
        )),
        // Past the ports of the bridge, containers also meet by way of whoever routes there.
        "icc" if says(entry, false) => Some((
            "`icc: false` keeps apart who is on a bridge, and this one is somebody else's",
            "leave `icc` out, or `external`: then netform makes a bridge whose containers are apart",
        )),
        "ingress" => match &entry.value.kind {
            Kind::Text(word) if word == "published" || word == "none" => Some((
                "`ingress` closes the way to a bridge, and this one is somebody else's",
                "leave `ingress` out: what comes in by an external bridge is its owner's to judge",
            )),
            // Nothing of netform's is in the way there, which is what `open` asks for.
            Kind::Text(_)
            | Kind::Null
            | Kind::Bool(_)
            | Kind::Integer(_)
            | Kind::Number(_)
            | Kind::List(_)
            | Kind::Map(_)
            | Kind::Refused => None,
        },
        _ => None,
    }
}

fn says(entry: &Entry, word: bool) -> bool {
    matches!(entry.value.kind, Kind::Bool(value) if value == word)
}
