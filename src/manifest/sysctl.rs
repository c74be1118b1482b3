//! `sysctls` of an attachment, and of a container.

use foldhash::HashMap;
use smol_str::{SmolStr, ToSmolStr};

use super::fields::{Fields, shortened, wrong_type};
use super::node::{Entry, Kind, Node};
use super::problem::Problem;
use super::report::Report;
use super::{At, Place};
use crate::resource::sysctl::Family;

/// What stands in a key for the interface's name.
const INTERFACE: &str = "IFNAME";

/// A kernel parameter of the container's interface on a network; the place is that of the key.
///
/// ```yaml
/// sysctls: {net.ipv4.conf.IFNAME.log_martians: 1}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSysctl {
    /// `ipv4` or `ipv6`.
    pub family: Family,
    /// The parameter, e.g. `log_martians`.
    pub name: SmolStr,
    /// Its value.
    pub value: SmolStr,
}

/// A kernel parameter of a container's whole network namespace; the place is that of the key.
///
/// ```yaml
/// sysctls: {net.core.somaxconn: 1024}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeSysctl {
    /// Its path below `/proc/sys`, e.g. `net/core/somaxconn`.
    pub path: SmolStr,
    /// Its value, with one space between its words.
    pub value: SmolStr,
}

/// Returns the parameters of a container.
pub(super) fn of_container(fields: Fields<'_>, report: &mut Report) -> Vec<At<WholeSysctl>> {
    let mut sysctls: Vec<At<WholeSysctl>> = vec![];
    for entry in entries(fields, "net.core.somaxconn: 1024", report) {
        let (path, value) = (whole(entry, report), words(&entry.value, report));
        let (Some(path), Some(value)) = (path, value) else { continue };
        match sysctls.iter().find(|at| at.value.path == path) {
            Some(first) => report.add(twice(entry, first.place)),
            None => sysctls.push(At { value: WholeSysctl { path, value }, place: entry.at }),
        }
    }
    sysctls
}

/// Returns the path of a parameter of a whole namespace.
fn whole(entry: &Entry, report: &mut Report) -> Option<SmolStr> {
    let parts: Vec<&str> = entry.key.split('.').collect();
    let is_word = |part: &&str| {
        let is_of = |byte: u8| matches!(byte, b'_' | b'-' | b'a'..=b'z' | b'0'..=b'9');
        !part.is_empty() && part.bytes().all(is_of)
    };
    let (label, help) = match parts.as_slice() {
        ["net", family @ ("ipv4" | "ipv6"), "conf", link, name] if !matches!(*link, "all" | "default") => {
            let key = format!("net.{family}.conf.{INTERFACE}.{name}");
            (
                "one of an interface",
                format!("write `sysctls: {{{key}: ...}}` on the network that the interface is of"),
            )
        }
        ["net", "ipv4" | "ipv6", "neigh", ..] => (
            "one of neighbours",
            "these are not offered: a new namespace has no `default` of them".to_owned(),
        ),
        ["net", _, _, ..] if parts.iter().all(is_word) => {
            return Some(entry.key.replace('.', "/").into());
        }
        _ => (
            "not one of a network namespace",
            "these begin with `net.`, such as `net.core.somaxconn`".to_owned(),
        ),
    };
    let message = format!("`{}` is not a kernel parameter of a whole container", shortened(&entry.key));
    report.add(Problem::new("manifest::bad_sysctl", message, entry.at, label).help(help));
    None
}

/// Returns a value of one or several words.
fn words(node: &Node, report: &mut Report) -> Option<SmolStr> {
    match &node.kind {
        Kind::Text(text) if text.split_whitespace().nth(1).is_some() => {
            let words: Vec<&str> = text.split_whitespace().collect();
            let is_plain = words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_graphic()));
            if is_plain { Some(words.join(" ").into()) } else { value(node, report) }
        }
        Kind::Null
        | Kind::Bool(_)
        | Kind::Integer(_)
        | Kind::Number(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Map(_)
        | Kind::Refused => value(node, report),
    }
}

fn twice(entry: &Entry, first: Place) -> Problem {
    let message = format!("the kernel parameter `{}` is there twice", shortened(&entry.key));
    let problem = Problem::new("manifest::duplicate", message, entry.at, "here again");
    problem.and(first, "first here").help("delete one")
}

/// Returns the entries of `sysctls`, of which `example` is one.
fn entries<'n>(fields: Fields<'n>, example: &str, report: &mut Report) -> &'n [Entry] {
    match fields.value("sysctls").map(|node| (node, &node.kind)) {
        Some((_, Kind::Map(entries))) => entries,
        Some((_, Kind::Refused)) | None => &[],
        Some((
            node,
            Kind::Null | Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_),
        )) => {
            let problem = wrong_type(node, "`sysctls` is a map from kernel parameters to values");
            report.add(problem.help(format!("write `sysctls: {{{example}}}`")));
            &[]
        }
    }
}

/// Returns the parameters of a map.
pub(super) fn sysctls(fields: Fields<'_>, report: &mut Report) -> Vec<At<LinkSysctl>> {
    let mut seen = HashMap::default();
    let mut sysctls = vec![];
    for entry in entries(fields, "net.ipv4.conf.IFNAME.log_martians: 1", report) {
        let (key, value) = (parameter(entry, report), value(&entry.value, report));
        let (Some((family, name)), Some(value)) = (key, value) else { continue };
        if let Some(first) = seen.insert((family, name.clone()), entry.at) {
            report.add(twice(entry, first));
            continue;
        }
        sysctls.push(At { value: LinkSysctl { family, name, value }, place: entry.at });
    }
    sysctls
}

fn parameter(entry: &Entry, report: &mut Report) -> Option<(Family, SmolStr)> {
    let parts: Vec<&str> = entry.key.split('.').collect();
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let help = match parts.as_slice() {
        ["net", family @ ("ipv4" | "ipv6"), "conf", INTERFACE, name] if is_name(name) => {
            let family = if *family == "ipv4" { Family::Ipv4 } else { Family::Ipv6 };
            return Some((family, name.to_smolstr()));
        }
        ["net", family @ ("ipv4" | "ipv6"), "conf", _, name] => {
            format!("write `net.{family}.conf.{INTERFACE}.{name}`: the name of the interface is filled in")
        }
        _ => format!("it is `net.ipv4.conf.{INTERFACE}.NAME` or `net.ipv6.conf.{INTERFACE}.NAME`"),
    };
    let message = format!("`{}` is not a kernel parameter of an interface", shortened(&entry.key));
    let problem = Problem::new("manifest::bad_sysctl", message, entry.at, "not one of an interface");
    report.add(problem.help(help));
    None
}

fn value(node: &Node, report: &mut Report) -> Option<SmolStr> {
    let want = "the value of a kernel parameter is a number or a word";
    match &node.kind {
        Kind::Integer(number) => return Some(number.to_smolstr()),
        Kind::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            return Some(text.to_smolstr());
        }
        Kind::Refused => {}
        Kind::Bool(value) => {
            let help = format!("write {}", u8::from(*value));
            report.add(wrong_type(node, want).help(help));
        }
        Kind::Text(_) => {
            let message = want.to_owned();
            report.add(Problem::new("manifest::bad_sysctl", message, node.place, "neither of them"));
        }
        Kind::Null | Kind::Number(_) | Kind::List(_) | Kind::Map(_) => report.add(wrong_type(node, want)),
    }
    None
}
