//! `own_external_addresses`: by which link of the host others find what is behind it.

use super::At;
use super::fields::wrong_type;
use super::node::{Entry, Kind};
use super::problem::Problem;
use super::report::Report;
use super::scalar;
use crate::names::IfName;

/// The link of the host by which others reach it.
///
/// ```yaml
/// own_external_addresses: true
/// own_external_addresses: eth0
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uplink {
    /// `true`: the one that has the default route of the family.
    Default,
    /// The one of this name.
    Named(IfName),
}

/// Returns the link that a key names; `None` for `false`.
pub(super) fn uplink(entry: &Entry, report: &mut Report) -> Option<At<Uplink>> {
    let place = entry.value.place;
    match &entry.value.kind {
        Kind::Bool(false) | Kind::Refused => None,
        Kind::Bool(true) => Some(At { value: Uplink::Default, place }),
        Kind::Text(_) => {
            let name = scalar::name::<IfName>(&entry.value, "a link's name", report)?;
            Some(At { value: Uplink::Named(name.value), place })
        }
        Kind::Null | Kind::Integer(_) | Kind::Number(_) | Kind::List(_) | Kind::Map(_) => {
            let want = format!("`{}` is `true` or the name of a link of the host", entry.key);
            report.add(wrong_type(&entry.value, &want).help("`true` is the link that has the default route"));
            None
        }
    }
}

/// Adds what another file says; what both say is reported.
pub(super) fn merge(
    ours: &mut Option<At<Uplink>>,
    (key, theirs): (&str, Option<At<Uplink>>),
    report: &mut Report,
) {
    match (&ours, theirs) {
        (None, theirs) => *ours = theirs,
        (Some(_), None) => {}
        (Some(ours), Some(theirs)) => report.add(
            Problem::new(
                "manifest::declared_twice",
                format!("`{key}` is declared in two places"),
                theirs.place,
                "here again",
            )
            .and(ours.place, "first here")
            .help("a key is declared in one file only: delete one"),
        ),
    }
}
