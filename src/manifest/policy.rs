//! `policies`: who may connect to whom, beyond what the networks say.

use foldhash::HashMap;
use ipnet::IpNet;

use super::fields::{self, Fields, missing, shortened};
use super::network::required;
use super::node::{Entry, Kind, Node};
use super::problem::Problem;
use super::publish;
use super::report::Report;
use super::scalar;
use super::{At, Expose, Place};
use crate::names::{ContainerName, NetName};
use crate::resource::policy::{End, Verdict};

/// What an end of a policy is written like, as help shows it.
const FORMS: &str =
    "write `network.NAME`, `container.NAME`, `host`, `world`, or a range of addresses such as 10.0.0.0/8";

/// A policy as written; the first that matches a connection decides.
///
/// ```yaml
/// policies:
///   - allow: {from: container.web, to: container.db, ports: [5432/tcp]}
///   - deny: {from: [network.front, network.back], to: 10.0.0.0/8}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `allow` or `deny`.
    pub verdict: Verdict,
    /// `from`: who begins the connection.
    pub from: Vec<At<End>>,
    /// `to`: whom it is for.
    pub to: Vec<At<End>>,
    /// `ports` of those whom it is for; empty means everything, pings too.
    pub ports: Vec<At<Expose>>,
}

/// Returns `policies` with the place of the key.
pub(super) fn policies(entry: &Entry, report: &mut Report) -> At<Vec<At<Policy>>> {
    let items = scalar::list(&entry.value, "`policies`", report);
    let policies = items.iter().filter_map(|node| policy(node, report));
    At { value: policies.collect(), place: entry.at }
}

/// Adds what another file says. The order decides, and files have none, so all of them are in one.
pub(super) fn merge(
    ours: &mut Option<At<Vec<At<Policy>>>>,
    theirs: Option<At<Vec<At<Policy>>>>,
    report: &mut Report,
) {
    match (&ours, theirs) {
        (_, None) => {}
        (None, theirs @ Some(_)) => *ours = theirs,
        (Some(first), Some(again)) => report.add(
            Problem::new(
                "manifest::declared_twice",
                "`policies` is declared in two files, and their order decides",
                again.place,
                "here again",
            )
            .and(first.place, "first here")
            .help("put all policies into one file"),
        ),
    }
}

fn policy(node: &Node, report: &mut Report) -> Option<At<Policy>> {
    let fields = Fields::open(node, &fields::POLICY, report)?;
    let (verdict, entry) = match (fields.get("allow"), fields.get("deny")) {
        (Some(allow), None) => (Verdict::Allow, allow),
        (None, Some(deny)) => (Verdict::Deny, deny),
        (Some(allow), Some(deny)) => {
            let message = "a policy allows or denies, and this one does both";
            report.add(
                Problem::new("manifest::bad_policy", message, deny.at, "denies")
                    .and(allow.at, "allows")
                    .help("make two policies of it: the first that matches decides"),
            );
            return None;
        }
        (None, None) => {
            // An unknown key has been reported.
            if fields.entries().is_empty() {
                let help = "write `- deny: {from: network.front, to: world}`";
                report.add(missing(node, &fields::POLICY, "allow` or `deny").help(help));
            }
            return None;
        }
    };
    let way = Fields::open(&entry.value, &fields::POLICY_WAY, report)?;
    let from = required(way, "from", &fields::POLICY_WAY, report).map(|node| ends(node, "`from`", report));
    let to = required(way, "to", &fields::POLICY_WAY, report).map(|node| ends(node, "`to`", report));
    let ports = way.value("ports").map_or_else(Vec::new, |node| ports(node, report));
    let value = Policy { verdict, from: from?, to: to?, ports };
    Some(At { value, place: entry.at })
}

fn ends(node: &Node, what: &str, report: &mut Report) -> Vec<At<End>> {
    let items = scalar::one_or_list(node);
    if items.is_empty() {
        let message = format!("{what} names nobody");
        report.add(Problem::new("manifest::empty_list", message, node.place, "empty").help(FORMS));
    }
    let mut seen = HashMap::<End, Place>::default();
    let mut ends = vec![];
    for node in items {
        let Some(end) = end(node, report) else { continue };
        match seen.get(&end.value) {
            Some(first) => report.add(
                Problem::new(
                    "manifest::duplicate",
                    format!("{what} names `{}` twice", shown(&end.value)),
                    end.place,
                    "here again",
                )
                .and(*first, "first here")
                .help("delete one"),
            ),
            None => {
                seen.insert(end.value.clone(), end.place);
                ends.push(end);
            }
        }
    }
    ends
}

/// Returns an end as it is written.
fn shown(end: &End) -> String {
    end.to_string().replace(['[', ']'], "")
}

fn end(node: &Node, report: &mut Report) -> Option<At<End>> {
    let text = scalar::text(node, "an end of a policy", report)?;
    let at = |value| Some(At { value, place: node.place });
    if let Some(name) = text.strip_prefix("network.") {
        return named::<NetName>(name, node.place, report).and_then(|name| at(End::Network(name)));
    }
    if let Some(name) = text.strip_prefix("container.") {
        return named::<ContainerName>(name, node.place, report).and_then(|name| at(End::Container(name)));
    }
    match text {
        "host" => return at(End::Host),
        "world" => return at(End::World),
        _ => {}
    }
    if text.parse::<IpNet>().is_ok() || text.contains('/') {
        return scalar::range(node, "a range of addresses", report).and_then(|net| at(End::Range(net.value)));
    }
    let message = format!("`{}` is nobody that a policy can name", shortened(text));
    let problem = Problem::new("manifest::bad_policy", message, node.place, "not understood");
    report.add(match text.parse::<std::net::IpAddr>() {
        Ok(address) => problem.help(format!("write {address}/{}", if address.is_ipv4() { 32 } else { 128 })),
        Err(_) => problem.help(FORMS),
    });
    None
}

fn named<T>(text: &str, place: Place, report: &mut Report) -> Option<T>
where
    T: for<'a> TryFrom<&'a str, Error = crate::names::NameError>,
{
    T::try_from(text).map_err(|error| report.add(scalar::bad_name(error, place))).ok()
}

fn ports(node: &Node, report: &mut Report) -> Vec<At<Expose>> {
    let items = scalar::list(node, "`ports`", report);
    if let (Kind::List(_), []) = (&node.kind, items) {
        let problem = Problem::new("manifest::empty_list", "`ports` names no port", node.place, "empty");
        report.add(problem.help("leave it out: then the policy is about everything"));
    }
    items.iter().filter_map(|node| publish::served(node, "`ports`", report)).collect()
}
