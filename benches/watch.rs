//! How long drift lasts while `netform watch` runs: from the moment that somebody has broken something until it is back, as
//! another process sees it, in private namespaces:
//!
//! ```sh
//! cargo bench --bench watch                 # 10 attachments on 1 network
//! cargo bench --bench watch -- 1000/100 7   # on 100 networks; 7 rounds
//! ```
//!
//! To look takes the other process some milliseconds, which count.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ENTER: &str = "
    mount -t tmpfs tmpfs /run && mkdir -p /run/etc/upper /run/etc/work /run/bench &&
    mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work /etc &&
    if [ -e /etc/netns ]; then mount -t tmpfs tmpfs /etc/netns; fi &&
    ip link set lo up && cd /run/bench && exec \"$0\" \"$@\"";

/// What is broken, and what holds again when it is back. `NET` is a network, `LAST` the last port that is published.
const CASES: [(&str, &str, &str); 10] = [
    ("a route", "ip -n c0 route flush default", "ip -n c0 route show default | grep -q via"),
    ("an address", "ip -n c0 addr flush dev eth0", "ip -n c0 route show default | grep -q via"),
    (
        "a container's link is down",
        "ip -n c0 link set eth0 down",
        "ip -n c0 route show default | grep -q via",
    ),
    ("a pair", "ip link del netform.bench.c0.n0", "ip -n c0 route show default 2>/dev/null | grep -q via"),
    ("another MTU of a bridge", "ip link set br-n0 mtu 1400", "ip link show br-n0 | grep -q 'mtu 1500'"),
    ("a bridge is down", "ip link set br-n0 down", "ip link show br-n0 | grep -q ,UP"),
    ("a bridge", "ip link del br-n0", "ip link show master br-n0 2>/dev/null | grep -c nf- | grep -qx PORTS"),
    ("a namespace", "ip netns del c0", "ip -n c0 route show default 2>/dev/null | grep -q via"),
    ("the firewall", "nft flush ruleset", "nft list table inet netform-bench 2>/dev/null | grep -q LAST"),
    ("forwarding", "sysctl -q -w net.ipv4.ip_forward=0", "grep -q 1 /proc/sys/net/ipv4/ip_forward"),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == "inside") {
        return inside(args[1].parse().unwrap(), args[2].parse().unwrap(), args[3].parse().unwrap());
    }
    let size = args.first().map_or("10/1", String::as_str);
    let (attachments, networks) = size.split_once('/').unwrap_or((size, "1"));
    let rounds = args.get(1).map_or("7", String::as_str);
    let me = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-Urnm", "sh", "-ec", ENTER]).arg(me).args(["inside", attachments, networks, rounds]);
    assert!(command.status().unwrap().success());
}

fn inside(attachments: usize, networks: usize, rounds: usize) {
    let nets: String = (0..networks).map(|n| format!("  n{n}: {{subnets: [10.{n}.0.0/16]}}\n")).collect();
    let container =
        |n: usize| format!("  c{n}: {{networks: [n{}], publish: ['{}:80']}}\n", n % networks, 10_000 + n);
    let containers: String = (0..attachments).map(container).collect();
    let manifest = format!("netform: 1\nproject: bench\nnetworks:\n{nets}containers:\n{containers}");
    std::fs::write("netform.yaml", manifest).unwrap();
    let mut daemon = Daemon::start();
    println!("{:<28} {:>9} {:>9} {:>9}", format!("{attachments} / {networks}"), "median ms", "least", "most");
    for (what, deed, holds) in CASES {
        let last = (10_000 + attachments - 1).to_string();
        let holds =
            holds.replace("PORTS", &attachments.div_ceil(networks).to_string()).replace("LAST", &last);
        let mut times: Vec<f64> = (0..rounds).map(|_| daemon.brings_back(deed, &holds)).collect();
        times.sort_by(f64::total_cmp);
        let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{what:<28} {median:>9.0} {:>9.0} {most:>9.0}", times[0]);
    }
}

fn succeeds(script: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

struct Daemon(Child);

impl Daemon {
    fn start() -> Self {
        let log = std::fs::File::create("log").unwrap();
        let mut command = netform();
        command.args(["watch", "netform.yaml", "--contested-after", "0"]).stderr(log);
        let daemon = Self(command.spawn().unwrap());
        while !std::fs::read_to_string("log").unwrap().contains("watching") {
            std::thread::sleep(Duration::from_millis(100));
        }
        daemon
    }

    /// Breaks something once the daemon has nothing to do; returns after how many milliseconds it is back.
    fn brings_back(&mut self, deed: &str, holds: &str) -> f64 {
        self.is_idle();
        assert!(succeeds(deed), "{deed}");
        let start = Instant::now();
        while !succeeds(holds) {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{deed}: {}",
                std::fs::read_to_string("log").unwrap()
            );
        }
        start.elapsed().as_secs_f64() * 1000.0
    }

    /// Waits until the daemon has run for no time in four seconds: after a long run it rests for ten at most.
    fn is_idle(&self) {
        let (mut last, mut since) = (self.ran(), Instant::now());
        while since.elapsed() < Duration::from_secs(4) {
            std::thread::sleep(Duration::from_millis(200));
            let now = self.ran();
            if std::mem::replace(&mut last, now) != now {
                since = Instant::now();
            }
        }
    }

    /// Returns for how long it has run, in ticks of the clock.
    fn ran(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // Behind the name in brackets: proc(5).
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn netform() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netform"));
    command.args(["--state-dir", "/run/bench/state", "--run-dir", "/run/bench/run"]);
    command
}
