//! What a command costs: wall-clock time, CPU time and peak memory, its own children included.

use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// What a command cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cost {
    /// From start to end.
    pub wall_us: u64,
    /// In user space and in the kernel, on all cores.
    pub cpu_us: u64,
    /// The most memory that it held at a time.
    pub rss_kib: u64,
}

/// Runs a command, which must succeed, from a small process of its own: the kernel counts what all children of a
/// process cost together, and a child begins with its parent's peak memory.
pub fn cost(command: &Command) -> Cost {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("measure")
        .arg(command.get_program())
        .args(command.get_args())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?} failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Is that small process: runs the command and prints what it cost.
pub fn child(mut command: impl Iterator<Item = String>) {
    let mut command = {
        let mut program = Command::new(command.next().unwrap());
        program.args(command).stdin(Stdio::null()).stdout(Stdio::null());
        program
    };
    let began = Instant::now();
    let status = command.status().unwrap();
    let wall = began.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec()).unwrap() * 1_000_000 + u64::try_from(time.tv_usec()).unwrap()
    };
    let cost = Cost {
        wall_us: u64::try_from(wall.as_micros()).unwrap(),
        cpu_us: micros(usage.user_time()) + micros(usage.system_time()),
        rss_kib: u64::try_from(usage.max_rss()).unwrap(),
    };
    println!("{}", serde_json::to_string(&cost).unwrap());
}
