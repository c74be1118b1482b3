//! Whose namespace a container lives in: `netns`, `docker`, `podman`, `pid` and `mode`.

use std::fmt;
use std::path::PathBuf;

use super::fields::{Fields, closest, listed, shortened};
use super::node::Node;
use super::problem::Problem;
use super::report::Report;
use super::scalar;
use super::{At, Home, Mode};
use crate::names::{ContainerName, EngineName, NetnsName};
use crate::resource::netns::NsRef;

/// The keys that name somebody else's namespace; a container has one of them.
const KEYS: [&str; 4] = ["netns", "docker", "podman", "pid"];

/// The most that a process may be called: `PID_MAX_LIMIT`, `include/linux/threads.h`.
const MAX_PID: i64 = 4_194_304;

impl Home {
    /// Returns the key that says so.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Netns(_) => "netns",
            Self::Docker(_) => "docker",
            Self::Podman(_) => "podman",
            Self::Process(_) => "pid",
        }
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key();
        match self {
            Self::Netns(ns) => write!(f, "{key}: {ns}"),
            Self::Docker(name) | Self::Podman(name) => write!(f, "{key}: {name}"),
            Self::Process(pid) => write!(f, "{key}: {pid}"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Host => f.pad("host"),
            Self::Container(owner) => write!(f, "container:{owner}"),
        }
    }
}

/// Returns whose namespace the map names, if somebody else's.
pub(super) fn home(fields: Fields<'_>, report: &mut Report) -> Option<At<Home>> {
    let given: Vec<_> = KEYS.iter().filter_map(|key| fields.get(key)).collect();
    if let [first, second, ..] = given.as_slice() {
        let message =
            format!("a container has one namespace, and here are `{}` and `{}`", first.key, second.key);
        let problem = Problem::new("manifest::two_namespaces", message, second.at, "another one");
        report
            .add(problem.and(first.at, "one").help(format!("leave out `{}` or `{}`", first.key, second.key)));
    }
    let entry = given.first()?;
    let node = &entry.value;
    let engine = |report: &mut Report| scalar::name::<EngineName>(node, "the name of a container", report);
    let value = match entry.key.as_str() {
        "docker" => Home::Docker(engine(report)?.value),
        "podman" => Home::Podman(engine(report)?.value),
        "pid" => {
            let pid = scalar::integer(node, "`pid`", 1..=MAX_PID, report)?;
            Home::Process(u32::try_from(pid).ok()?)
        }
        _ => Home::Netns(netns(node, report)?),
    };
    Some(At { value, place: node.place })
}

fn netns(node: &Node, report: &mut Report) -> Option<NsRef> {
    let text = scalar::text(node, "a namespace", report)?;
    if text.starts_with('/') {
        Some(NsRef::Path(PathBuf::from(text)))
    } else if text.contains('/') {
        let message = format!("the namespace path `{}` does not begin at the root", shortened(text));
        let problem = Problem::new("manifest::relative_netns", message, node.place, "a relative path");
        report.add(problem.help("write the whole path, or a name under /run/netns"));
        None
    } else {
        scalar::name::<NetnsName>(node, "a namespace name", report).map(|at| NsRef::Named(at.value))
    }
}

/// Returns where the container's networks come from.
pub(super) fn mode(node: &Node, report: &mut Report) -> Option<At<Mode>> {
    const WORDS: &[&str] = &["none", "host", "container:OTHER"];
    let text = scalar::text(node, "`mode`", report)?;
    let value = match (text, text.split_once(':')) {
        ("none", _) => Mode::None,
        ("host", _) => Mode::Host,
        (_, Some(("container", owner))) => match ContainerName::try_from(owner) {
            Ok(owner) => Mode::Container(owner),
            Err(error) => {
                report.add(scalar::bad_name(error, node.place));
                return None;
            }
        },
        (_, Some(_) | None) => {
            let message = format!("`mode` cannot be `{}`", shortened(text));
            let problem = Problem::new("manifest::unknown_word", message, node.place, "not known here");
            report.add(problem.help(instead(text, WORDS)));
            return None;
        }
    };
    Some(At { value, place: node.place })
}

/// Returns what to write in place of a word that is no mode.
fn instead(text: &str, words: &[&str]) -> String {
    match (text, text.split_once(':')) {
        ("bridge" | "default", _) => {
            "leave `mode` out: bridge networks are what a container has without it".to_owned()
        }
        (_, Some(("service", owner))) => format!("write `mode: container:{}`", shortened(owner)),
        (_, Some(_) | None) => match closest(text, words) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("it can be {}", listed(words)),
        },
    }
}
