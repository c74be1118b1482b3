//! The verbs that read and edit the manifest's text.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{ManifestArg, NetworkVerb, duration};

/// The verbs that read and edit the manifest's text.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum EditVerb {
    /// Create, connect, disconnect, remove, list and inspect networks, as `docker network` does: edits the manifest,
    /// shows the plan, and applies it.
    Network {
        /// What to do.
        #[command(subcommand)]
        verb: NetworkVerb,
    },
    /// Write a manifest to begin with.
    Init(Init),
    /// Print what the manifest says at a path, e.g. networks.front.subnets[0].
    Get(Get),
    /// Change what the manifest says at a path, with its comments, order and style kept; nothing is applied.
    Set(Set),
    /// Lay out the manifest anew, with its comments kept.
    Fmt(Fmt),
}

/// What is printed of a manifest.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Get {
    /// Keys with dots between them, items in brackets: networks.front.subnets[0]; a key with a dot in double quotes.
    #[arg(default_value = "")]
    pub(in crate::cli) path: String,
    /// The manifest: a file, a directory, or - for standard input.
    #[arg(long, value_name = "MANIFEST", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
    pub(in crate::cli) manifest: PathBuf,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    pub(in crate::cli) output: YamlOrJson,
}

/// How a value is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum YamlOrJson {
    Yaml,
    Json,
}

/// What is changed in a manifest.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Set {
    /// What shall be where, as YAML: networks.front.mtu=1400, 'containers.web={networks: [front]}'; the item behind the
    /// last of a list is added.
    #[arg(value_name = "PATH=VALUE", required_unless_present = "unset")]
    pub(in crate::cli) values: Vec<String>,
    /// What shall be no longer there; may be repeated.
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) unset: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) which: Edited,
    /// Only show what would change.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// How long to wait for somebody else who edits it, e.g. 30s or 500ms.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(in crate::cli) lock_timeout: Duration,
}

/// Which manifest is edited.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Edited {
    /// The manifest: a file or a directory; of several files, the one that declares it is edited.
    #[arg(long, value_name = "MANIFEST", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
    pub(in crate::cli) manifest: PathBuf,
}

/// What is laid out anew.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Fmt {
    #[command(flatten)]
    pub(in crate::cli) manifest: ManifestArg,
    /// Write nothing: show what would change, and exit with 2 when something would.
    #[arg(long)]
    pub(in crate::cli) check: bool,
}

/// Where a new manifest is written.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Init {
    /// The file; one that is there is not overwritten.
    #[arg(value_name = "FILE", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
    pub(in crate::cli) file: PathBuf,
    /// The project; the directory's name when that is one, else `demo`.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) project: Option<String>,
}
