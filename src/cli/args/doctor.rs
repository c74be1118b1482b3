//! The flags of `doctor`.

use std::path::PathBuf;

use clap::Args;

use super::TextOrJson;

/// What is examined, and how that is told.
#[derive(Debug, Args)]
pub(in crate::cli) struct Doctor {
    /// Examine the project of this manifest alone: a file, a directory, or - for standard input.
    #[arg(long, value_name = "MANIFEST")]
    pub(in crate::cli) manifest: Option<PathBuf>,
    /// Exit with 2 when something is wrong.
    #[arg(long)]
    pub(in crate::cli) exit_code: bool,
    /// How to print.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(in crate::cli) output: TextOrJson,
}
