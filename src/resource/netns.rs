//! Network namespaces: where a kernel object lives.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

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
    /// What is written on it in the place of the mark that says whose it is; empty when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stray: Option<SmolStr>,
}

/// The field that says whether `lo` is up and has its address, and what it says when it is.
pub const LO: (&str, &str) = ("lo", "up");

fn is_true(value: &bool) -> bool {
    *value
}

fn whole() -> bool {
    true
}

impl Netns {
    /// Returns the namespace of this name, as it shall be.
    pub fn new(name: NetnsName) -> Self {
        Self { name, whole: true, lo: true, loopback: true, stray: None }
    }

    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { name, whole, lo, loopback, stray } = self;
        let mut fields = vec![("netns", name.to_string())];
        let wrong = match (lo, loopback) {
            (true, true) => None,
            (true, false) => Some("without 127.0.0.1"),
            (false, true | false) => Some("down"),
        };
        fields.extend(wrong.map(|wrong| (LO.0, wrong.to_owned())));
        fields.extend(stray.as_ref().map(amiss::mark));
        fields.extend((!whole).then(|| ("namespace", "gone".to_owned())));
        fields
    }
}
