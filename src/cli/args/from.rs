//! The flags of `import compose` and `import docker`.

use std::path::PathBuf;

use clap::Subcommand;

/// Whose networks become a manifest.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum From {
    /// Print a manifest of a Compose file's networks; what has no equivalent is listed.
    Compose {
        /// The Compose file, its directory, or - for standard input.
        file: PathBuf,
        /// The project, as Compose's --project-name.
        #[arg(short, long, value_name = "NAME")]
        project_name: Option<String>,
        /// A file of variables, instead of the `.env` beside the Compose file.
        #[arg(long, value_name = "FILE")]
        env_file: Option<PathBuf>,
    },
    /// Print a manifest of the networks and containers of the Docker that runs here; it stays as it is.
    Docker {
        /// The project of the manifest that is printed.
        #[arg(short, long, value_name = "NAME", default_value = "docker")]
        project_name: String,
    },
}
