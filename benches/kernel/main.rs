//! What netform costs, beside the least that the same kernel objects cost, in one table.
//!
//! Everything runs in private user, network and mount namespaces, without privileges. In each round netform and the
//! floor take turns, so that their ratio holds on a noisy machine. See `--help`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    clippy::cast_precision_loss,
    reason = "a benchmark may panic, and nobody else reads its names"
)]

mod floor;
mod manifest;
mod measure;
mod packets;
mod peers;
mod round;
mod table;

use std::process::{Command, ExitCode};

use clap::Parser;
use netform::kernel::count::counts;

use manifest::Size;
use measure::Cost;
use round::{CASES, Case, Purpose, Sample, Who};

/// Measures netform on the real kernel, in private namespaces.
#[derive(Debug, Parser)]
struct Args {
    /// Attachments and networks, as 100/10,1000/100.
    #[arg(long, value_delimiter = ',', default_value = "10/1,100/10,1000/100", value_parser = size)]
    sizes: Vec<Size>,
    /// What to print of: create, plan, attachment, port, drift, destroy.
    #[arg(long, value_delimiter = ',', value_parser = case)]
    cases: Vec<Case>,
    /// How often each is measured; medians are printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Whether to measure others' programs, too.
    #[arg(long)]
    peers: bool,
    /// Whether to measure what packets pay for the rules, and nothing else.
    #[arg(long)]
    packets: bool,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    if let Some(file) = std::env::var_os(round::COUNTS) {
        let code = netform::cli::main();
        std::fs::write(file, serde_json::to_vec(&counts()).unwrap()).unwrap();
        return code;
    }
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("measure") => measure::child(args),
        Some("floor") => {
            let verb = args.next().unwrap();
            let (_, work) = floor::VERBS.into_iter().find(|(name, _)| *name == verb).unwrap();
            work(size_of(args));
        }
        Some("inside-floor") => floor_inside(args),
        Some("inside-netform") => netform_inside(args),
        Some("inside-peer") => {
            let name = args.next().unwrap();
            peers::inside(&name, size_of(args));
        }
        Some("inside-packets") => packets::inside(args),
        Some("serve") => packets::serve(),
        Some("connect") => packets::connect(args),
        _ => outside(&Args::parse()),
    }
    ExitCode::SUCCESS
}

fn floor_inside(mut args: impl Iterator<Item = String>) {
    args.next();
    round::floor_inside(size_of(args));
}

fn netform_inside(mut args: impl Iterator<Item = String>) {
    let purpose = if args.next().as_deref() == Some("count") { Purpose::Count } else { Purpose::Time };
    round::netform_inside(size_of(args), purpose);
}

fn outside(args: &Args) {
    if !Command::new("unshare").args(["-Urnm", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: private namespaces cannot be made here");
        return;
    }
    if args.packets {
        packets::run(args.rounds);
        return;
    }
    let all: Vec<Case> = CASES.into_iter().map(|(case, _)| case).collect();
    let cases = if args.cases.is_empty() { &all } else { &args.cases };
    start_up();
    table::head();
    for size in &args.sizes {
        let mut samples = round::run(*size, Purpose::Count);
        samples.retain(|sample| sample.counts.is_some());
        for _ in 0..args.rounds {
            samples.extend(round::run(*size, Purpose::Time));
        }
        table::rows(*size, cases, &samples);
        if args.peers {
            others(*size, args.rounds, &samples);
        }
    }
}

/// Prints what others need.
fn others(size: Size, rounds: usize, samples: &[Sample]) {
    for (peer, name, _) in peers::PEERS {
        let rounds: Vec<peers::Round> = (0..rounds).map_while(|_| peers::run(peer, size)).collect();
        if rounds.is_empty() {
            continue;
        }
        let (create, destroy): (Vec<Cost>, Vec<Cost>) =
            rounds.iter().map(|round| (round.create, round.destroy)).unzip();
        for (case, what, costs) in [(Case::Create, "create", create), (Case::Destroy, "destroy", destroy)] {
            let floor = table::costs(samples, case, Who::Floor);
            table::row(&format!("{what} by {name}"), size, (&costs, &floor), None);
        }
    }
}

/// Prints how long it takes to start, and to check a small manifest.
fn start_up() {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    let small = manifest::manifest(Size { attachments: 10, networks: 1 }, manifest::Variant::Plain);
    std::fs::write(file.path(), small).unwrap();
    for args in [vec!["--help".into()], vec!["validate".into(), file.path().as_os_str().to_owned()]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netform"));
        command.args(&args);
        let wall = (0..21).map(|_| measure::cost(&command).wall_us as f64 / 1000.0).collect();
        println!("`netform {}`: {:.1} ms", args[0].display(), table::median(wall));
    }
    println!();
}

fn size_of(mut args: impl Iterator<Item = String>) -> Size {
    let mut number = || args.next().unwrap().parse().unwrap();
    Size { attachments: number(), networks: number() }
}

fn size(text: &str) -> Result<Size, String> {
    let parsed = text.split_once('/').and_then(|(attachments, networks)| {
        Some(Size { attachments: attachments.parse().ok()?, networks: networks.parse().ok()? })
    });
    let fits = |size: &Size| {
        size.networks > 0 && size.attachments >= 10 && size.attachments.div_ceil(size.networks) < 200
    };
    parsed
        .filter(fits)
        .ok_or_else(|| "write ATTACHMENTS/NETWORKS, from 10, fewer than 200 on each".to_owned())
}

fn case(text: &str) -> Result<Case, String> {
    let found = CASES.into_iter().find(|(_, name)| *name == text).map(|(case, _)| case);
    found.ok_or_else(|| format!("there is no case {text}"))
}
