//! `routes` of a container and of an attachment.

use std::net::IpAddr;

use ipnet::IpNet;

use super::fields::{self, Fields, missing};
use super::node::Node;
use super::problem::Problem;
use super::report::Report;
use super::scalar;
use super::{At, Place};
use crate::resource::route::{LOCAL_TABLE, MAIN_TABLE, Refusal};

/// A route that a container has besides those to its networks and its default route; the place is that of the map.
///
/// ```yaml
/// routes:
///   - {to: 10.9.0.0/16, via: 10.7.0.9, metric: 100}
///   - {to: 10.66.0.0/16, type: blackhole}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `to`: where it leads.
    pub to: At<IpNet>,
    /// What becomes of the packets.
    pub hop: Hop,
    /// `metric`: the lowest of one destination wins; `None` is the kernel's.
    pub metric: Option<u32>,
    /// `table`: which table holds it; the default is the main one.
    pub table: u32,
}

/// What becomes of the packets of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// `via`: they go to a router.
    Via {
        /// The router.
        router: At<IpAddr>,
        /// `onlink: true`: the router is on the link, though no subnet says so.
        onlink: bool,
    },
    /// Neither `via` nor `type`: who they are for is on the link itself.
    Direct,
    /// `type`: they go nowhere.
    Refused(Refusal),
}

/// What the routes are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A container: its networks say by which link a router is reached.
    Container,
    /// An attachment: they leave by its link.
    Attachment,
}

/// The words of `type`.
const TYPES: [&str; 4] = ["unicast", "blackhole", "unreachable", "prohibit"];

/// Returns the routes of a list.
pub(super) fn routes(fields: Fields<'_>, of: Of, report: &mut Report) -> Vec<At<Route>> {
    let nodes = fields.value("routes").map_or(&[][..], |node| scalar::list(node, "`routes`", report));
    let route = |node| Some(At { value: route(node, of, report)?, place: node.place });
    nodes.iter().filter_map(route).collect()
}

fn route(node: &Node, of: Of, report: &mut Report) -> Option<Route> {
    let fields = Fields::open(node, &fields::ROUTE, report)?;
    let Some(to) = fields.value("to") else {
        report.add(missing(node, &fields::ROUTE, "to").help("write where it leads, like `to: 10.9.0.0/16`"));
        return None;
    };
    let to = scalar::range(to, "a range of addresses", report);
    let all = 0..=i64::from(u32::MAX);
    let metric =
        fields.value("metric").and_then(|node| scalar::integer(node, "`metric`", all.clone(), report));
    let table = fields.value("table").map(|node| table(node, report));
    let (to, hop) = (to?, hop(fields, of, report)?);
    if let Hop::Via { router, .. } = &hop
        && router.value.is_ipv4() != to.value.addr().is_ipv4()
    {
        let message =
            format!("the route to {} has its next hop {} in another family", to.value, router.value);
        let problem = Problem::new("manifest::route_families", message, router.place, "another family");
        report.add(problem.and(to.place, "where it leads").help("name a router of the same family"));
        return None;
    }
    Some(Route {
        to,
        hop,
        metric: metric.and_then(|metric| u32::try_from(metric).ok()),
        table: table.unwrap_or(Some(MAIN_TABLE))?,
    })
}

fn table(node: &Node, report: &mut Report) -> Option<u32> {
    let table = scalar::integer(node, "`table`", 1..=i64::from(u32::MAX), report)?;
    let table = u32::try_from(table).ok()?;
    if table == LOCAL_TABLE {
        let message = "the table 255 is the kernel's own, with the addresses of this machine";
        let problem = Problem::new("manifest::local_table", message, node.place, "the table `local`");
        report.add(problem.help("leave `table` out, or use another number"));
        return None;
    }
    Some(table)
}

fn hop(fields: Fields<'_>, of: Of, report: &mut Report) -> Option<Hop> {
    let kind = match fields.value("type") {
        None => 0,
        Some(node) => scalar::word(node, "`type`", &TYPES, report)?,
    };
    let refusal = match kind {
        1 => Some(Refusal::Blackhole),
        2 => Some(Refusal::Unreachable),
        3 => Some(Refusal::Prohibit),
        _ => None,
    };
    let onlink = match fields.get("onlink") {
        None => None,
        Some(entry) => Some(scalar::flag(entry, report)?),
    };
    let via = match fields.value("via") {
        None => None,
        Some(node) => Some(scalar::address(node, report)?),
    };
    let surplus = |key: &str, place: Place, why: &str, help: &str| {
        let message = format!("`{key}` says nothing here: {why}");
        Problem::new("manifest::route_key", message, place, "nothing to set").help(help)
    };
    match (refusal, via, onlink) {
        (Some(_), Some(via), _) => {
            let (why, help) = ("what a route refuses has no next hop", "leave `via` or `type` out");
            report.add(surplus("via", via.place, why, help));
            None
        }
        (Some(_) | None, None, Some(onlink)) if onlink.value => {
            let why = "it is about the next hop, and there is none";
            report.add(surplus("onlink", onlink.place, why, "leave it out, or name the router in `via`"));
            None
        }
        (Some(refusal), None, _) => Some(Hop::Refused(refusal)),
        (None, Some(router), onlink) => {
            Some(Hop::Via { router, onlink: onlink.is_some_and(|onlink| onlink.value) })
        }
        (None, None, _) if of == Of::Container => {
            let problem = missing(fields.node, &fields::ROUTE, "via");
            report.add(problem.help(
                "name the router in `via`; a route without one is written under its network, \
                 `networks: {front: {routes: [...]}}`",
            ));
            None
        }
        (None, None, _) => Some(Hop::Direct),
    }
}
