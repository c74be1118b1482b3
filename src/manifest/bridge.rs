//! `options` of a bridge network.

use super::At;
use super::fields::{self, Fields};
use super::node::Kind;
use super::problem::Problem;
use super::report::Report;
use super::scalar;

/// What only a bridge network is asked.
///
/// ```yaml
/// options: {stp: true, hairpin: true}
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BridgeOptions {
    /// `stp`: whether it speaks the spanning tree protocol.
    pub stp: bool,
    /// `hairpin`: whether its ports are in hairpin mode, where an attachment says nothing else.
    pub hairpin: Option<At<bool>>,
}

/// Returns the options of a bridge network.
pub(super) fn options(fields: Fields<'_>, report: &mut Report) -> BridgeOptions {
    let is_bridge = fields
        .value("driver")
        .is_none_or(|node| matches!(&node.kind, Kind::Text(driver) if driver == "bridge"));
    let options = fields.value("options").filter(|_| is_bridge);
    let Some(options) = options.and_then(|node| Fields::open(node, &fields::BRIDGE, report)) else {
        return BridgeOptions::default();
    };
    let external = fields.get("external").filter(|entry| !matches!(entry.value.kind, Kind::Bool(false)));
    if let (Some(stp), Some(external)) = (options.get("stp"), external) {
        let message = "`stp` configures a bridge, and this one is somebody else's";
        report.add(
            Problem::new("manifest::external_key", message, stp.at, "not ours to set")
                .and(external.at, "the bridge is external")
                .help("leave `stp` out: whoever made the bridge decides that"),
        );
    }
    let mut flag = |key: &str| options.get(key).and_then(|entry| scalar::flag(entry, report));
    BridgeOptions { stp: flag("stp").is_some_and(|at| at.value), hairpin: flag("hairpin") }
}
