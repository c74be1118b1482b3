//! Network namespaces: where a kernel object lives.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
}

impl fmt::Display for NsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.pad("host"),
            Self::Named(name) => f.pad(name.as_str()),
            Self::Path(path) => f.pad(&path.to_string_lossy()),
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
}

fn whole() -> bool {
    true
}

impl Netns {
    /// Returns the namespace of this name, as it shall be.
    pub fn new(name: NetnsName) -> Self {
        Self { name, whole: true }
    }
}
