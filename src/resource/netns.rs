//! Network namespaces: where a kernel object lives.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::sysctl::Family;
use super::{ResourceId, amiss};
use crate::names::NetnsName;

/// The network namespace in which a kernel object lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NsRef {
    /// The namespace that netform itself runs in.
    Host,
    /// A named namespace under `/run/netns`.
    Named(NetnsName),
    /// A namespace that somebody else made, by the path of its file.
    Path(PathBuf),
    /// The namespace that a process is in.
    Process(Process),
}

impl ResourceId {
    /// Returns the name of a named namespace; `None` for all else.
    pub fn netns(&self) -> Option<&NetnsName> {
        match self {
            Self::Netns(name) => Some(name),
            Self::Link(..)
            | Self::Address(..)
            | Self::Route(..)
            | Self::Sysctl(..)
            | Self::NftTable(_)
            | Self::NftElement(..)
            | Self::Passage(..)
            | Self::Neighbour(..)
            | Self::Qdisc(..)
            | Self::File(_) => None,
        }
    }
}

/// A process, told from all others that had or will have its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Its number; nobody has 0.
    pub pid: u32,
    /// When it started, in clock ticks since the host did: `starttime` in proc(5).
    pub started: u64,
}

impl Process {
    /// What stands for a process that is not there.
    pub const NOBODY: Self = Self { pid: 0, started: 0 };
}

impl fmt::Display for NsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.pad("host"),
            Self::Named(name) => f.pad(name.as_str()),
            Self::Path(path) => f.pad(&path.to_string_lossy()),
            Self::Process(Process::NOBODY) => f.pad("no process"),
            Self::Process(Process { pid, started: _ }) => f.pad(&format!("process {pid}")),
        }
    }
}

/// A named network namespace that netform makes, with its `lo` up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netns {
    /// The name under `/run/netns`.
    pub name: NetnsName,
    /// Whether there is a namespace behind the name. One that a killed run was making or removing may be a mere file.
    #[serde(default = "whole")]
    pub whole: bool,
    /// Whether its `lo` is up.
    #[serde(default = "whole", skip_serializing_if = "is_true")]
    pub lo: bool,
    /// Whether it has 127.0.0.1, with which a namespace speaks to itself. The kernel gives it when `lo` comes up.
    #[serde(default = "whole", skip_serializing_if = "is_true")]
    pub loopback: bool,
    /// What else it lacks that the kernel gives one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
    /// What is written on it in the place of the mark that says whose it is; empty when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stray: Option<SmolStr>,
}

/// What a namespace lacks that the kernel gives one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// IPv6 on its `lo`, though links in it have it.
    Ipv6,
    /// `::1`, with which it speaks to itself.
    Loopback6,
    /// The rule by which a table of routes is asked: without that of the main one nothing is sent anywhere.
    Rule(Family, Table),
}

/// A table of routes that every namespace has a rule for: `fib_default_rules_init()` in Linux `net/ipv4/fib_rules.c`,
/// `fib6_rules_net_init()` in `net/ipv6/fib6_rules.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// What is here.
    Local,
    /// Where nearly all routes are.
    Main,
    /// What is asked last; IPv4 alone has it.
    Default,
}

impl Table {
    /// Returns its number, and the priority of its rule.
    pub fn numbers(self) -> (u32, u32) {
        match self {
            Self::Local => (255, 0),
            Self::Main => (254, 32766),
            Self::Default => (253, 32767),
        }
    }

    /// Returns what ip(8) calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Main => "main",
            Self::Default => "default",
        }
    }
}

/// The field that says which of these rules are missing, and what it says when none is.
pub const RULES: (&str, &str) = ("rules", "all there");

/// The field that says whether `lo` is up and has its address, and what it says when it is.
pub const LO: (&str, &str) = ("lo", "up");

fn is_true(value: &bool) -> bool {
    *value
}

fn whole() -> bool {
    true
}

impl Lack {
    fn on_lo(&self) -> Option<&'static str> {
        match self {
            Self::Ipv6 => Some("IPv6"),
            Self::Loopback6 => Some("::1"),
            Self::Rule(..) => None,
        }
    }

    fn rule(&self) -> Option<String> {
        match self {
            Self::Ipv6 | Self::Loopback6 => None,
            Self::Rule(Family::Ipv4, table) => Some(table.name().to_owned()),
            Self::Rule(Family::Ipv6, table) => Some(format!("{} (IPv6)", table.name())),
        }
    }
}

impl Netns {
    /// Returns the namespace of this name, as it shall be.
    pub fn new(name: NetnsName) -> Self {
        Self { name, whole: true, lo: true, loopback: true, lacks: vec![], stray: None }
    }

    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { name, whole, lo, loopback, lacks, stray } = self;
        let mut fields = vec![("netns", name.to_string())];
        let missing =
            (!loopback).then_some("127.0.0.1").into_iter().chain(lacks.iter().filter_map(Lack::on_lo));
        let missing: Vec<_> = missing.collect();
        if !lo {
            fields.push((LO.0, "down".to_owned()));
        } else if !missing.is_empty() {
            fields.push((LO.0, format!("without {}", missing.join(" and "))));
        }
        let rules: Vec<_> = lacks.iter().filter_map(Lack::rule).collect();
        if !rules.is_empty() {
            fields.push((RULES.0, format!("without {}", rules.join(", "))));
        }
        fields.extend(stray.as_ref().map(amiss::mark));
        fields.extend((!whole).then(|| ("namespace", "gone".to_owned())));
        fields
    }
}
