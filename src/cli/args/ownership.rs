//! The flags of the verbs that adopt and give up.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{From, WhichProject};

/// What is adopted, as what.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(in crate::cli) struct Import {
    #[command(subcommand)]
    pub(in crate::cli) from: Option<From>,
    /// The resource that it becomes: network.NAME, container.NAME or attachment.CONTAINER@NETWORK.
    #[arg(required_unless_present = "discover", conflicts_with = "discover")]
    pub(in crate::cli) address: Option<String>,
    /// The object: a bridge, a named network namespace, or the host's end of a veth pair.
    #[arg(required_unless_present = "discover")]
    pub(in crate::cli) object: Option<String>,
    /// The manifest that declares it: a file, a directory, or - for standard input.
    #[arg(long, value_name = "MANIFEST", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
    pub(in crate::cli) manifest: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) consent: Consent,
    /// Print a manifest of what is live and could be adopted.
    #[arg(long)]
    pub(in crate::cli) discover: bool,
    /// The project of the manifest that is printed.
    #[arg(long, value_name = "NAME", default_value = "adopted", requires = "discover")]
    pub(in crate::cli) project: String,
}

/// What is given up.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Forget {
    /// The resource: network.NAME, container.NAME or attachment.CONTAINER@NETWORK.
    pub(in crate::cli) address: String,
    #[command(flatten)]
    pub(in crate::cli) which: WhichProject,
    #[command(flatten)]
    pub(in crate::cli) consent: Consent,
    /// Give it up even though the manifest declares it: the next apply will find it in the way.
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

/// Whether and when to go on.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Consent {
    /// Do not ask.
    #[arg(short, long, visible_alias = "auto-approve")]
    pub(in crate::cli) yes: bool,
    /// Only show what would be done.
    #[arg(long, conflicts_with = "yes")]
    pub(in crate::cli) dry_run: bool,
    /// How long to wait for another run to end, e.g. 30s or 500ms.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = super::duration)]
    pub(in crate::cli) lock_timeout: Duration,
}
