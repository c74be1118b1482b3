//! `sysctls` of an attachment.

use std::collections::HashMap;

use smol_str::{SmolStr, ToSmolStr};

use super::At;
use super::fields::{Fields, shortened, wrong_type};
use super::node::{Entry, Kind, Node};
use super::problem::Problem;
use super::report::Report;
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

/// Returns the parameters of a map.
pub(super) fn sysctls(fields: Fields<'_>, report: &mut Report) -> Vec<At<LinkSysctl>> {
    let Some(node) = fields.value("sysctls") else { return vec![] };
    let entries = match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Refused => return vec![],
        Kind::Null | Kind::Bool(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => {
            let problem = wrong_type(node, "`sysctls` is a map from kernel parameters to values");
            report.add(problem.help("write `sysctls: {net.ipv4.conf.IFNAME.log_martians: 1}`"));
            return vec![];
        }
    };
    let mut seen = HashMap::new();
    let mut sysctls = vec![];
    for entry in entries {
        let (key, value) = (parameter(entry, report), value(&entry.value, report));
        let (Some((family, name)), Some(value)) = (key, value) else { continue };
        if let Some(first) = seen.insert((family, name.clone()), entry.at) {
            let message = format!("the kernel parameter `{}` is there twice", shortened(&entry.key));
            let problem = Problem::new("manifest::duplicate", message, entry.at, "here again");
            report.add(problem.and(first, "first here").help("delete one"));
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
