//! `dns` of a network.

use std::net::IpAddr;

use super::At;
use super::fields::{self, Fields, each_once};
use super::node::{Entry, Kind, Node};
use super::problem::Problem;
use super::report::Report;
use super::scalar;

/// How names are answered on a network.
///
/// ```yaml
/// dns: {upstream: [9.9.9.9], alias_policy: first, ttl: 1}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dns {
    /// `upstream`: who is asked for names of elsewhere, in order; the host's resolvers when empty.
    pub upstream: Vec<At<IpAddr>>,
    /// `alias_policy: first | all`; the default is first.
    pub alias_policy: Option<At<AliasPolicy>>,
    /// `ttl`: for how many seconds an answer may be kept.
    pub ttl: Option<At<u32>>,
}

/// Who answers to an alias that several containers declare.
///
/// ```yaml
/// alias_policy: all
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasPolicy {
    /// The first of them that runs.
    First,
    /// All of them that run, in turns.
    All,
}

/// The words of `alias_policy`.
const POLICIES: &[&str] = &["first", "all"];

/// The longest time to live. Source: RFC 8767 section 4 advises a cap of 7 days; names of containers live shorter.
const TTL_MAX: i64 = 604_800;

/// Returns what `dns` says.
pub(super) fn dns(entry: &Entry, report: &mut Report) -> Dns {
    let Some(fields) = Fields::open(&entry.value, &fields::DNS, report) else { return Dns::default() };
    let ttl = fields.value("ttl").and_then(|node| {
        let value = scalar::integer(node, "`ttl`", 0..=TTL_MAX, report)?;
        Some(At { value: u32::try_from(value).ok()?, place: node.place })
    });
    let alias_policy = fields.value("alias_policy").and_then(|node| {
        let value = match POLICIES.get(scalar::word(node, "`alias_policy`", POLICIES, report)?) {
            Some(&"all") => AliasPolicy::All,
            Some(_) | None => AliasPolicy::First,
        };
        Some(At { value, place: node.place })
    });
    let upstream = fields.value("upstream").map_or_else(Vec::new, |node| upstream(node, report));
    Dns { upstream, alias_policy, ttl }
}

fn upstream(node: &Node, report: &mut Report) -> Vec<At<IpAddr>> {
    let servers = scalar::one_or_list(node);
    if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
        let problem = Problem::new("manifest::empty_list", "`upstream` has no address", node.place, "empty");
        report.add(problem.help("name a resolver, or leave `upstream` out to ask the host's"));
    }
    let servers: Vec<_> = servers.iter().filter_map(|node| Some((node, resolver(node, report)?))).collect();
    let texts: Vec<_> = servers.iter().map(|(node, at)| (at.value.to_string(), *node)).collect();
    each_once(texts.iter().map(|(text, node)| (text.as_str(), *node)), "the resolver", report);
    servers.into_iter().map(|(_, at)| at).collect()
}

/// Returns the address of a resolver. It may be one of the host's loopback addresses, since it is asked from there.
fn resolver(node: &Node, report: &mut Report) -> Option<At<IpAddr>> {
    let text = scalar::text(node, "an address", report)?;
    let value = scalar::parsed_address(text, node.place, report)?;
    if let Some(why) = scalar::not_a_host(value).filter(|_| !value.is_loopback()) {
        let message = format!("{value} is {why}, which no resolver can have");
        let problem = Problem::new("manifest::not_a_host_address", message, node.place, why);
        report.add(problem.help("use an address of a single host"));
        return None;
    }
    Some(At { value, place: node.place })
}
