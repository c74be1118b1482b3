//! One file's node to what it declares.

use indexmap::IndexMap;
use indexmap::map::Entry as Slot;

use super::coexist::{Coexist, coexist};
use super::fields::{self, Fields, missing, wrong_type};
use super::network;
use super::node::{Entry, Kind, Node};
use super::policy::{self, Policy};
use super::problem::Problem;
use super::report::Report;
use super::scalar;
use super::uplink::{self, Uplink, uplink};
use super::{At, Container, Network, Place, Pool, container};
use crate::halves::halves;
use crate::names::{ContainerName, NetName, ProjectName};

/// The manifest version that this netform reads.
const VERSION: i64 = 1;

/// What one file declares.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Where the first key is, to say what the file lacks; `None` when it has none.
    pub(super) head: Option<Place>,
    /// Where `netform` is.
    pub(super) version: Option<Place>,
    /// Where the key `project` is.
    pub(super) project_key: Option<Place>,
    /// `project`, when it is a good name.
    pub(super) project: Option<At<ProjectName>>,
    /// `include`.
    pub(super) includes: Vec<At<String>>,
    /// `pools`.
    pub(super) pools: Vec<At<Pool>>,
    /// `coexist`.
    pub(super) coexist: Coexist,
    /// `own_external_addresses`.
    pub(super) own_external: Option<At<Uplink>>,
    /// `policies`.
    pub(super) policies: Option<At<Vec<At<Policy>>>>,
    /// `networks`.
    pub(super) networks: IndexMap<NetName, At<Network>>,
    /// `containers`.
    pub(super) containers: IndexMap<ContainerName, At<Container>>,
}

/// Returns what a file declares, and reports what is wrong with it.
pub(super) fn document(node: &Node, report: &mut Report) -> Document {
    let Some(fields) = Fields::open(node, &fields::MANIFEST, report) else {
        return Document::default();
    };
    let version = fields.get("netform").map(|entry| {
        version(entry, report);
        entry.at
    });
    let project = fields.get("project");
    Document {
        head: Some(first_line(node)),
        version,
        project_key: project.map(|entry| entry.at),
        project: project.and_then(|entry| scalar::name(&entry.value, "a project name", report)),
        includes: fields.value("include").map_or_else(Vec::new, |node| includes(node, report)),
        pools: fields.value("pools").map_or_else(Vec::new, |node| network::pools(node, report)),
        coexist: fields.get("coexist").map_or_else(Coexist::default, |entry| coexist(entry, report)),
        own_external: fields.get("own_external_addresses").and_then(|entry| uplink(entry, report)),
        policies: fields.get("policies").map(|entry| policy::policies(entry, report)),
        networks: declared(fields.value("networks"), "`networks`", report, network::network),
        containers: declared(fields.value("containers"), "`containers`", report, container::container),
    }
}

impl Document {
    /// Adds what another file declares; what both declare is reported.
    pub(super) fn merge(&mut self, other: Self, report: &mut Report) {
        let Self {
            head,
            version,
            project_key,
            project,
            includes: _,
            pools,
            coexist,
            own_external,
            policies,
            networks,
            containers,
        } = other;
        self.head = self.head.or(head);
        self.version = self.version.or(version);
        self.project_key = self.project_key.or(project_key);
        match (&self.project, project) {
            (Some(ours), Some(theirs)) if ours.value != theirs.value => {
                let message =
                    format!("the files belong to two projects, `{}` and `{}`", ours.value, theirs.value);
                report.add(
                    Problem::new("manifest::two_projects", message, theirs.place, "another project here")
                        .and(ours.place, "first here")
                        .help("an included file needs no `project`; if it has one, it must be the same"),
                );
            }
            (Some(_), _) => {}
            (None, theirs) => self.project = theirs,
        }
        self.pools.extend(pools);
        self.coexist.merge(coexist, report);
        uplink::merge(&mut self.own_external, ("own_external_addresses", own_external), report);
        policy::merge(&mut self.policies, policies, report);
        merge_keys(&mut self.networks, networks, "network", report);
        merge_keys(&mut self.containers, containers, "container", report);
    }

    /// Returns the place to say that `netform` is missing, if it is.
    pub(super) fn lacks_version(&self) -> Option<Place> {
        if self.version.is_some() { None } else { self.head }
    }

    /// Returns the place to say that `project` is missing, if it is.
    pub(super) fn lacks_project(&self) -> Option<Place> {
        if self.project_key.is_some() { None } else { self.head }
    }
}

/// Says that the first file of a manifest lacks a key.
pub(super) fn lacks(key: &str, example: &str, place: Place) -> Problem {
    let node = Node { place, kind: Kind::Refused };
    missing(&node, &fields::MANIFEST, key).help(format!("begin with `{example}`"))
}

fn first_line(node: &Node) -> Place {
    match &node.kind {
        Kind::Map(entries) => entries.first().map_or(node.place, |entry| entry.at),
        Kind::Null
        | Kind::Bool(_)
        | Kind::Integer(_)
        | Kind::Number(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Refused => node.place,
    }
}

fn version(entry: &Entry, report: &mut Report) {
    match &entry.value.kind {
        Kind::Refused => {}
        Kind::Integer(number) if *number == VERSION => {}
        Kind::Integer(number) => {
            let message = format!("this netform reads manifests of version {VERSION}, not {number}");
            let problem = Problem::new("manifest::version", message, entry.value.place, "another version");
            report.add(if *number > VERSION {
                problem.help("install a newer netform")
            } else {
                problem.help(format!("write `netform: {VERSION}`"))
            });
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => {
            let problem =
                wrong_type(&entry.value, "`netform` is the version of the manifest, a whole number");
            report.add(problem.help(format!("write `netform: {VERSION}`")));
        }
    }
}

fn includes(node: &Node, report: &mut Report) -> Vec<At<String>> {
    let items = scalar::list(node, "`include`", report);
    let mut patterns = vec![];
    for item in items {
        if let Some(text) = scalar::text(item, "an include", report) {
            patterns.push(At { value: text.to_owned(), place: item.place });
        }
    }
    patterns
}

/// Returns a map by name; nothing at all is an empty one.
fn declared<N, T>(
    node: Option<&Node>,
    what: &str,
    report: &mut Report,
    read: fn(&Entry, &mut Report) -> T,
) -> IndexMap<N, At<T>>
where
    N: for<'a> TryFrom<&'a str, Error = crate::names::NameError> + std::hash::Hash + Eq + Send,
    T: Send,
{
    let Some(node) = node else { return IndexMap::new() };
    match &node.kind {
        Kind::Map(entries) => {
            let read_some = |some: &[Entry]| {
                let mut report = Report::default();
                let declared = some.iter().filter_map(|entry| {
                    let value = At { value: read(entry, &mut report), place: entry.at };
                    Some((scalar::key_name::<N>(entry, &mut report)?, value))
                });
                (declared.collect::<Vec<_>>(), report)
            };
            let ((first, found), (second, more)) = halves(entries, read_some);
            report.append(found);
            report.append(more);
            first.into_iter().chain(second).collect()
        }
        Kind::Null | Kind::Refused => IndexMap::new(),
        Kind::List(_) => {
            let problem = wrong_type(node, &format!("{what} is a map from names to what they mean"));
            report.add(problem.help("write `NAME:` without the dash, and its keys below"));
            IndexMap::new()
        }
        Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_) => {
            report.add(wrong_type(node, &format!("{what} is a map from names to what they mean")));
            IndexMap::new()
        }
    }
}

fn merge_keys<N, T>(
    ours: &mut IndexMap<N, At<T>>,
    theirs: IndexMap<N, At<T>>,
    what: &str,
    report: &mut Report,
) where
    N: std::hash::Hash + Eq + std::fmt::Display,
{
    for (name, value) in theirs {
        match ours.entry(name) {
            Slot::Vacant(slot) => {
                slot.insert(value);
            }
            Slot::Occupied(slot) => report.add(
                Problem::new(
                    "manifest::declared_twice",
                    format!("{what} `{}` is declared in two places", slot.key()),
                    value.place,
                    "here again",
                )
                .and(slot.get().place, "first here")
                .help("a key is declared in one file only: delete one, or give it another name"),
            ),
        }
    }
}
