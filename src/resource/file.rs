//! The few files that names need.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::NetnsName;

/// The first words of every file of ours; what follows is the [`super::owner::Mark`].
pub const FILE_MARK: &str = "# Written by netform; edits are overwritten. ";

/// Where each namespace has a directory with files of its own.
pub const HOMES: &str = "/etc/netns";

/// A file of `/etc` that a named namespace has one of its own for; what runs there by `ip netns exec` or `netform exec` sees
/// it in place of the host's: `ip-netns(8)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetnsFile {
    /// Names with their addresses: hosts(5).
    Hosts,
    /// Who is asked for names: resolv.conf(5).
    ResolvConf,
}

impl NetnsFile {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::ResolvConf => "resolv.conf",
        }
    }

    /// Returns where a namespace has it.
    pub fn path(self, name: &NetnsName) -> PathBuf {
        Path::new(HOMES).join(name.as_str()).join(self.as_str())
    }

    /// Tells whether a path is that of this file of some container.
    pub fn is_at(self, path: &Path) -> bool {
        path.ends_with(self.as_str())
    }
}

/// A file, e.g. `/etc/netns/web/hosts`. Its first line is [`FILE_MARK`] and the owner's mark.
///
/// What lies elsewhere than under `/etc/netns` is somebody else's, and ours are only [some lines in it](super::part).
///
/// It is rewritten in place, so that a process that has it bind-mounted sees the change; see `ip-netns(8)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFile {
    /// The absolute path.
    pub path: PathBuf,
    /// All of it that is ours, the marked first line included.
    pub content: Arc<str>,
}

/// Tells whether a file is ours as a whole.
pub fn is_whole(path: &Path) -> bool {
    path.starts_with(HOMES)
}
