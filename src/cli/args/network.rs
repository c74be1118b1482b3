//! `netform network`, with the flags that `docker network` has.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::{Edited, Run, TextOrJson};

/// What can be done with networks.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum NetworkVerb {
    /// Declare a network, and apply that.
    Create(Create),
    /// Put a container on a network, and apply that.
    Connect(Connect),
    /// Take a container off a network, and apply that.
    Disconnect(Disconnect),
    /// Take networks out of the manifest that no container is on, and apply that.
    Rm(Remove),
    /// List the networks of the manifest, with what is live of them.
    Ls(List),
    /// Show networks with their containers, addresses and counters.
    Inspect(Inspect),
}

/// How an edit is made and applied.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Change {
    #[command(flatten)]
    pub(in crate::cli) which: Edited,
    #[command(flatten)]
    pub(in crate::cli) run: Run,
    /// Change nothing: show the difference of the text, and the plan.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Edit the manifest, and apply nothing.
    #[arg(long)]
    pub(in crate::cli) no_apply: bool,
    /// Show the kernel operations, too, as their ip and nft equivalents.
    #[arg(short, long)]
    pub(in crate::cli) verbose: bool,
}

/// A new network.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Create {
    /// Its name.
    #[arg(value_name = "NETWORK")]
    pub(in crate::cli) name: String,
    /// How it is made: bridge, macvlan, ipvlan, veth, physical or openvswitch (`driver`).
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    pub(in crate::cli) driver: String,
    /// A subnet, e.g. 10.7.0.0/24; may be repeated (`subnets`). One is taken from the pools when none is given.
    #[arg(long = "subnet", value_name = "CIDR")]
    pub(in crate::cli) subnets: Vec<IpNet>,
    /// The gateway in one of the subnets; may be repeated (`gateway`).
    #[arg(long = "gateway", value_name = "ADDRESS")]
    pub(in crate::cli) gateways: Vec<IpAddr>,
    /// Where dynamic addresses come from in one of the subnets; may be repeated (`pool`).
    #[arg(long = "ip-range", value_name = "CIDR")]
    pub(in crate::cli) ranges: Vec<IpNet>,
    /// An address that no container gets; may be repeated (`reserve`).
    #[arg(long = "aux-address", value_name = "NAME=ADDRESS")]
    pub(in crate::cli) reserved: Vec<String>,
    /// An IPv6 subnet, too: one from the pools when no --subnet is of IPv6 (`ipv6`).
    #[arg(long)]
    pub(in crate::cli) ipv6: bool,
    /// Whether it has an IPv4 subnet; `--ipv4=false` with --ipv6 makes a network of IPv6 alone (`ipv4`).
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(in crate::cli) ipv4: Option<bool>,
    /// No way out, no way in (`internal`).
    #[arg(long)]
    pub(in crate::cli) internal: bool,
    /// A key of the network or of its `options`, e.g. host_address=10.7.0.9 or egress=routed, or an option as Docker has
    /// it: macvlan_mode, ipvlan_mode, ipvlan_flag, com.docker.network.driver.mtu, com.docker.network.bridge.name,
    /// .enable_icc or .enable_ip_masquerade; may be repeated.
    #[arg(short, long = "opt", value_name = "KEY=VALUE")]
    pub(in crate::cli) options: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
}

/// A container that comes to a network.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Connect {
    /// The network.
    pub(in crate::cli) network: String,
    /// The container.
    pub(in crate::cli) container: String,
    /// Its IPv4 address (`address`); the lowest that is free when none is given, and it stays.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) ip: Option<std::net::Ipv4Addr>,
    /// Its IPv6 address (`address`).
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) ip6: Option<std::net::Ipv6Addr>,
    /// A further name of it on this network; may be repeated (`aliases`).
    #[arg(long = "alias", value_name = "NAME")]
    pub(in crate::cli) aliases: Vec<String>,
    /// A name for another container that only this one has; may be repeated (`links`).
    #[arg(long = "link", value_name = "CONTAINER[:ALIAS]")]
    pub(in crate::cli) links: Vec<String>,
    /// The highest has the default route (`gateway_priority`).
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(in crate::cli) gw_priority: Option<i64>,
    /// Its link-layer address (`mac`).
    #[arg(long, value_name = "MAC")]
    pub(in crate::cli) mac_address: Option<String>,
    /// A key of the attachment, e.g. device=eth2 or bandwidth.egress=10mbit, or an option as Docker has it:
    /// com.docker.network.endpoint.ifname=NAME (`interface`) or .sysctls=KEY=VALUE,...; may be repeated.
    #[arg(long = "driver-opt", value_name = "KEY=VALUE")]
    pub(in crate::cli) options: Vec<String>,
    /// Declare the container, too, when the manifest does not: netform makes its namespace.
    #[arg(long)]
    pub(in crate::cli) create: bool,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
}

/// A container that leaves a network.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Disconnect {
    /// The network.
    pub(in crate::cli) network: String,
    /// The container.
    pub(in crate::cli) container: String,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
}

/// Networks that go.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Remove {
    /// The networks.
    #[arg(required = true, value_name = "NETWORK")]
    pub(in crate::cli) networks: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) change: Change,
}

/// Which networks are listed.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct List {
    /// Only those of which this is so: name=PART-OF-IT, driver=DRIVER or internal=true; may be repeated.
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub(in crate::cli) filters: Vec<String>,
    /// Only their names.
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,
    #[command(flatten)]
    pub(in crate::cli) look: Look,
}

/// Which networks are shown.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Inspect {
    /// The networks.
    #[arg(required = true, value_name = "NETWORK")]
    pub(in crate::cli) networks: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) look: Look,
}

/// Where is looked, and how it is printed.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Look {
    /// The manifest: a file, a directory, or - for standard input.
    #[arg(long, value_name = "MANIFEST", env = "NETFORM_MANIFEST", default_value = "netform.yaml")]
    pub(in crate::cli) manifest: PathBuf,
    /// How to print.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(in crate::cli) output: TextOrJson,
}
