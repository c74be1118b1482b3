//! The few files that names need.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ResourceId;
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
    pub fn path(self, name: &NetnsName) -> FilePath {
        Path::new(&[HOMES, "/", name.as_str(), "/", self.as_str()].concat()).into()
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
    pub path: FilePath,
    /// All of it that is ours, the marked first line included.
    pub content: Arc<str>,
    /// The mode that somebody has given a file that is ours as a whole, when it is not the one that it shall have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

/// The field that says who may do what with a file of ours, and what it says of one that all may read.
pub const MODE: (&str, &str) = ("mode", "644");

impl TextFile {
    /// Returns a file as it shall be.
    pub fn new(path: FilePath, content: Arc<str>) -> Self {
        Self { path, content, mode: None }
    }

    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { path: _, content, mode } = self;
        let mode = mode.map(|mode| (MODE.0, format!("{mode:o}")));
        [("content", content.to_string())].into_iter().chain(mode).collect()
    }

    /// Tells whether it is to say whose it is, and does not.
    pub(super) fn is_unmarked(&self) -> bool {
        is_whole(&self.path) && !self.content.starts_with(FILE_MARK)
    }
}

impl ResourceId {
    /// Returns the path of a file; `None` for everything else.
    pub fn file(&self) -> Option<&FilePath> {
        match self {
            Self::File(path) => Some(path),
            Self::Netns(_)
            | Self::Link(..)
            | Self::Address(..)
            | Self::Route(..)
            | Self::Neighbour(..)
            | Self::Sysctl(..)
            | Self::NftTable(_)
            | Self::NftElement(..)
            | Self::Passage(..)
            | Self::Qdisc(..) => None,
        }
    }
}

/// The path of a file. Paths are told apart byte by byte: part by part, as the library does it, takes several times as long,
/// and of thousands of files it is most of the work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilePath(Arc<Path>);

impl FilePath {
    fn bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }
}

impl Deref for FilePath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl From<PathBuf> for FilePath {
    fn from(path: PathBuf) -> Self {
        Self(path.into())
    }
}

impl From<&Path> for FilePath {
    fn from(path: &Path) -> Self {
        Self(path.into())
    }
}

impl PartialEq for FilePath {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for FilePath {}

impl PartialOrd for FilePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FilePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Hash for FilePath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

/// Tells whether a file is ours as a whole.
pub fn is_whole(path: &Path) -> bool {
    path.starts_with(HOMES)
}
