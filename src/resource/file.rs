//! The few files that names need.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The first words of every file of ours; what follows is the [`super::owner::Mark`].
pub const FILE_MARK: &str = "# Written by netform; edits are overwritten. ";

/// A file, e.g. `/etc/netns/web/hosts`. Its first line is [`FILE_MARK`] and the owner's mark.
///
/// It is rewritten in place, so that a process that has it bind-mounted sees the change; see `ip-netns(8)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFile {
    /// The absolute path.
    pub path: PathBuf,
    /// All of it, the marked first line included.
    pub content: String,
}
