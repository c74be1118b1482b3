//! The verb and flags of what links say.

use std::path::PathBuf;

use clap::Subcommand;

use super::TextOrJson;

/// What a container's links say.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum EnvVerb {
    /// Print what a container's links say in environment variables, by the names that Docker gives them.
    Env {
        /// The manifest: a file, a directory, or - for standard input.
        #[arg(long, value_name = "MANIFEST", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
        manifest: PathBuf,
        /// The container.
        container: String,
        /// How to print.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        output: TextOrJson,
    },
}
