//! The verbs and their flags.

mod daemon;
mod doctor;
mod edit;
mod env;
mod from;
mod globals;
mod network;
mod ownership;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use super::flags::{HowMuch, Part, Rendering, Run, WhenItFails};
pub(super) use daemon::{DaemonVerb, DriftArg, Watching};
pub(super) use doctor::Doctor;
pub(super) use edit::{EditVerb, Edited, Fmt, Get, Init, Set, YamlOrJson};
pub(super) use env::EnvVerb;
pub(super) use from::From;
pub(super) use globals::in_front;
pub(super) use network::{Change, Connect, Create, Disconnect, Inspect, List, Look, NetworkVerb, Remove};
pub(super) use ownership::{Consent, Forget, Import};

/// Declarative container networking: a manifest says what shall be, netform shows the difference and applies it.
#[derive(Debug, Parser)]
#[command(
    name = "netform",
    version,
    propagate_version = true,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// Where generations and leases are kept.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "NETFORM_STATE_DIR",
        default_value = "/var/lib/netform"
    )]
    pub(super) state_dir: PathBuf,
    /// Where locks and journals are kept.
    #[arg(long, global = true, value_name = "DIR", env = "NETFORM_RUN_DIR", default_value = "/run/netform")]
    pub(super) run_dir: PathBuf,
    /// Where Docker is asked: the path of its socket, or `unix://PATH`.
    #[arg(
        long,
        global = true,
        value_name = "SOCKET",
        env = "DOCKER_HOST",
        default_value = "/var/run/docker.sock",
        hide_env_values = true
    )]
    pub(super) docker: String,
    /// Where Podman is asked.
    #[arg(
        long,
        global = true,
        value_name = "SOCKET",
        env = "CONTAINER_HOST",
        default_value = "/run/podman/podman.sock",
        hide_env_values = true
    )]
    pub(super) podman: String,
    /// Where the socket of Open vSwitch's database, db.sock, is.
    #[arg(long, global = true, value_name = "DIR", env = "OVS_RUNDIR", default_value = "/run/openvswitch")]
    pub(super) ovs_rundir: PathBuf,
    /// When to colour: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: ColorWhen,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorWhen {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Check a manifest, without privileges and without looking at the kernel.
    Validate {
        #[command(flatten)]
        manifest: ManifestArg,
        /// How to print problems.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        output: TextOrJson,
    },
    /// Show what an apply would change, and why.
    Plan {
        #[command(flatten)]
        manifest: ManifestArg,
        #[command(flatten)]
        show: Rendering,
        #[command(flatten)]
        part: Part,
        /// Plan the removal of everything that the project owns.
        #[arg(long)]
        destroy: bool,
        /// Exit with 2 when something would change.
        #[arg(long)]
        detailed_exitcode: bool,
        /// Save the plan, so that `apply FILE` does exactly this.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make the kernel what the manifest, or a saved plan, says.
    Apply {
        #[command(flatten)]
        manifest: ManifestOrPlan,
        #[command(flatten)]
        show: Rendering,
        #[command(flatten)]
        part: Part,
        #[command(flatten)]
        run: Run,
        /// Exit with 2 when something was changed.
        #[arg(long)]
        detailed_exitcode: bool,
        /// Undo it unless `netform confirm` comes within this time, e.g. 60s.
        #[arg(long, value_name = "TIME", value_parser = duration)]
        confirm_timeout: Option<Duration>,
    },
    /// Apply, and undo it unless it is confirmed: by Enter here, or by `netform confirm` from anywhere.
    Try {
        #[command(flatten)]
        manifest: ManifestArg,
        #[command(flatten)]
        show: Rendering,
        #[command(flatten)]
        run: Run,
        /// How long to wait for the confirmation.
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
        confirm_timeout: Duration,
    },
    /// Keep what waits for its confirmation.
    Confirm {
        #[command(flatten)]
        which: WhichProject,
    },
    #[command(flatten)]
    Daemon(DaemonVerb),
    /// Remove everything that the project owns.
    Destroy {
        #[command(flatten)]
        manifest: ManifestArg,
        /// The project, when its manifest is wrong or lost; no manifest is read then.
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
        #[command(flatten)]
        show: Rendering,
        #[command(flatten)]
        run: Run,
    },
    /// Go back to an earlier generation.
    Rollback {
        /// The generation; the one before the newest when none is given.
        generation: Option<u64>,
        #[command(flatten)]
        which: WhichProject,
        #[command(flatten)]
        show: Rendering,
        #[command(flatten)]
        run: Run,
        /// Only show the plan.
        #[arg(long)]
        dry_run: bool,
    },
    /// List the generations that are kept.
    History {
        #[command(flatten)]
        which: WhichProject,
        /// How to print.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        output: TextOrJson,
    },
    /// Show a saved plan, or the manifest of a generation.
    Show {
        /// The file of a saved plan, or the number of a generation.
        #[arg(value_name = "FILE|GENERATION")]
        what: String,
        #[command(flatten)]
        which: WhichProject,
        #[command(flatten)]
        show: Rendering,
    },
    /// Show what is declared, what is live, and whether they agree.
    Status {
        /// The manifest: a file, a directory, or - for standard input.
        #[arg(long, value_name = "MANIFEST", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
        manifest: PathBuf,
        /// Show networks with their containers as a tree.
        #[arg(long)]
        tree: bool,
        /// Exit with 2 when the live state differs.
        #[arg(long)]
        exit_code: bool,
        /// How to print.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        output: TextOrJson,
    },
    /// Say what something on this host is, ours or others': whose, its peer, network, container, manifest line.
    Explain {
        /// An interface, address, MAC, port, namespace, container, network or nft object; - for what `ip addr` printed;
        /// every interface of this host when none is given.
        #[arg(value_name = "THING", conflicts_with = "path")]
        things: Vec<String>,
        /// Say whether a packet gets from one to the other, and what decides: containers, `host`, addresses.
        #[arg(long, num_args = 2, value_names = ["FROM", "TO[:PORT[/udp]]"])]
        path: Option<Vec<String>>,
        /// With --path, exit with 2 unless the packet arrives and is answered.
        #[arg(long, requires = "path", conflicts_with = "things")]
        exit_code: bool,
        /// How to print.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        output: TextOrJson,
    },
    /// Find out why a container does not reach the host or the outside, with what shows it and what cures it.
    Doctor(Doctor),
    /// Run a command in a container's network namespace, with its names and what its links say.
    Exec {
        /// The manifest: a file, a directory, or - for standard input.
        #[arg(long, value_name = "MANIFEST", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
        manifest: PathBuf,
        /// The container.
        container: String,
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    #[command(flatten)]
    Env(EnvVerb),
    /// Apply a manifest in private namespaces - no root, the host untouched - and run a command or a shell there.
    Sandbox {
        /// The manifest to apply: a file, a directory, or - for standard input.
        #[arg(required_unless_present = "empty", conflicts_with = "empty")]
        manifest: Option<PathBuf>,
        /// Apply nothing.
        #[arg(long)]
        empty: bool,
        /// The command and its arguments; a shell when none is given.
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Adopt an object that is there already, or print a manifest of what could be adopted, or of what others have.
    Import(Import),
    /// Give up what a resource has in the kernel, and leave it there as it is.
    Forget(Forget),
    #[command(flatten)]
    Edit(EditVerb),
    /// Print a JSON Schema.
    Schema {
        /// Of what.
        #[arg(default_value = "manifest")]
        of: SchemaOf,
    },
    /// Undo what is not confirmed in time; netform starts it itself.
    #[command(hide = true)]
    RevertUnconfirmed {
        #[command(flatten)]
        which: WhichProject,
    },
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which manifest.
#[derive(Debug, Clone, Args)]
pub(super) struct ManifestArg {
    /// The manifest: a file, a directory, or - for standard input.
    #[arg(value_name = "MANIFEST", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
    pub(super) manifest: PathBuf,
}

impl ManifestArg {
    /// Returns which project that is, or the one that is named.
    pub(super) fn or(self, project: Option<String>) -> WhichProject {
        WhichProject { project, manifest: self.manifest }
    }
}

/// Which manifest, or which saved plan.
#[derive(Debug, Clone, Args)]
pub(super) struct ManifestOrPlan {
    /// The manifest: a file, a directory, or - for standard input; or a plan that `netform plan --out` has saved.
    #[arg(value_name = "MANIFEST|PLAN", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
    pub(super) manifest: PathBuf,
}

/// Which project.
#[derive(Debug, Clone, Args)]
pub(super) struct WhichProject {
    /// The project; no manifest is read then.
    #[arg(long, value_name = "NAME")]
    pub(super) project: Option<String>,
    /// The manifest that names the project: a file, a directory, or - for standard input.
    #[arg(long, value_name = "MANIFEST", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
    pub(super) manifest: PathBuf,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    Text,
    Json,
    Markdown,
}

/// How other things are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TextOrJson {
    Text,
    Json,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// The manifest.
    Manifest,
    /// `plan --output json`.
    Plan,
    /// The lines of `apply --output json` and its like.
    Events,
    /// The lines of `netform events`.
    Daemon,
    /// `status --output json`.
    Status,
    /// `validate --output json`.
    Validate,
    /// `explain --output json`.
    Explain,
    /// `explain --path --output json`.
    Path,
    /// What `plan` and `status` print instead of that when they fail.
    Error,
    /// `doctor --output json`.
    Doctor,
    /// `env --output json`.
    Env,
    /// `network ls --output json` and `network inspect --output json`.
    Network,
}

/// Reads a duration such as `10s`, `500ms` or `5m`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let number: u64 = digits.parse().map_err(|_| "write a time such as 10s, 500ms or 5m".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
        _ => Err("write a time such as 10s, 500ms or 5m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("soon").is_err());
    }
}
