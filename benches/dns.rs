//! What a query costs: the resolver's CPU per answered query, and how long an asker waits, with 1,000 names, against a bare
//! loop that receives, looks up and sends. All take turns in one run, in private namespaces:
//!
//! ```sh
//! cargo bench --bench dns
//! ```
//!
//! dnsmasq and aardvark-dns take part when they are installed. Times drift from run to run; the ratios are what counts.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]

use std::collections::{BTreeSet, HashMap};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netform::dns::server::{Options, Server};
use netform::dns::zone::Zones;
use netform::resource::owner::Origin;
use netform::topology::{facts::Facts, resolve};

const NAMES: usize = 1000;
const ROUNDS: usize = 7;
/// Queries of a round, and how many are out at a time.
const QUERIES: usize = 50_000;
const WINDOW: usize = 16;
/// Queries of a round that is about waiting, one each millisecond.
const PACED: usize = 2000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["inside"] => compare(),
        ["bare", addr] => bare(addr),
        ["netform"] => netform(),
        ["flood", addr] => flood(addr),
        ["pace", addr] => pace(addr),
        _ => {
            let enter = format!(
                "mount -t tmpfs tmpfs /run; for n in $(seq 0 {}); do echo netns add c$n; done | ip -batch -
                for n in $(seq 0 {}); do ip -n c$n link set lo up alias netform:bench:container.c$n; done; exec \"$0\" inside",
                NAMES - 1,
                NAMES - 1
            );
            let me = std::env::current_exe().unwrap();
            let status =
                Command::new("unshare").args(["-Urnm", "sh", "-ec", &enter]).arg(me).status().unwrap();
            assert!(status.success());
        }
    }
}

fn me(inside: bool, args: &[&str]) -> Command {
    let me = std::env::current_exe().unwrap();
    let mut command = Command::new(if inside { "ip".as_ref() } else { me.as_os_str() });
    if inside {
        command.args(["netns", "exec", "c0"]).arg(&me);
    }
    command.args(args);
    command
}

struct Rival {
    name: &'static str,
    addr: &'static str,
    child: Child,
    /// The process that serves: the child, unless that left a daemon behind.
    pid: u32,
    cpu: Vec<f64>,
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Rival {
    /// Starts a server and waits until it answers, which a loaded machine may take long for.
    fn start(name: &'static str, addr: &'static str, mut command: Command) -> Self {
        // Peers say much, and netform what it took.
        let errors = if name == "netform" { Stdio::inherit() } else { Stdio::null() };
        let child = command.stdout(Stdio::null()).stderr(errors).spawn().unwrap();
        let pid = child.id();
        let start = Instant::now();
        while !me(true, &["pace", addr]).env("ONCE", "1").stderr(Stdio::null()).status().unwrap().success() {
            assert!(start.elapsed() < Duration::from_secs(60), "{name} does not answer");
        }
        Self { name, addr, child, pid, cpu: vec![], rate: vec![], p50: vec![], p99: vec![] }
    }

    /// Returns the microseconds that all its threads have run.
    fn ran(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        let ran = tasks.map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            text.split_whitespace().next().unwrap().parse::<f64>().unwrap()
        });
        ran.sum::<f64>() / 1000.0
    }

    fn round(&mut self) {
        let before = self.ran();
        let flood = numbers(me(true, &["flood", self.addr]));
        self.cpu.push((self.ran() - before) / flood[0]);
        self.rate.push(flood[0] / flood[1]);
        let pace = numbers(me(true, &["pace", self.addr]));
        self.p50.push(pace[0]);
        self.p99.push(pace[1]);
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        if self.pid != self.child.id() {
            Command::new("kill").arg(self.pid.to_string()).status().ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn numbers(mut command: Command) -> Vec<f64> {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn compare() {
    let mut rivals = vec![
        Rival::start("bare loop", "127.0.0.1:5300", me(true, &["bare", "127.0.0.1:5300"])),
        Rival::start("netform", "127.0.0.11:53", me(false, &["netform"])),
    ];
    rivals.extend(dnsmasq());
    rivals.extend(aardvark());
    for _ in 0..ROUNDS {
        rivals.iter_mut().for_each(Rival::round);
    }
    println!(
        "{:<12} {:>12} {:>8} {:>12} {:>8} {:>8}",
        "", "CPU us/query", "x bare", "queries/s", "p50 us", "p99 us"
    );
    let base = rivals[0].cpu.clone();
    for Rival { name, cpu, rate, p50, p99, .. } in &rivals {
        let ratio = median(cpu.iter().zip(&base).map(|(one, base)| one / base).collect());
        let [cpu, rate, p50, p99] = [cpu, rate, p50, p99].map(|values| median(values.clone()));
        println!("{name:<12} {cpu:>12.2} {ratio:>8.2} {rate:>12.0} {p50:>8.0} {p99:>8.0}");
    }
}

/// Which address each name has, in the order of their numbers.
fn addresses() -> impl Iterator<Item = (String, String)> {
    (0..NAMES).map(|n| (format!("c{n}"), format!("10.1.{}.{}", n / 250, 1 + n % 250)))
}

fn dnsmasq() -> Option<Rival> {
    if Command::new("dnsmasq").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED (dnsmasq): it is not installed");
        return None;
    }
    let hosts: String = addresses().map(|(name, addr)| format!("{addr} {name}\n")).collect();
    std::fs::write("/run/hosts", hosts).unwrap();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", "c0", "dnsmasq", "-d", "-p", "5301", "--no-resolv", "--no-hosts"]);
    command.args([
        "--addn-hosts=/run/hosts",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--pid-file=",
    ]);
    Some(Rival::start("dnsmasq", "127.0.0.1:5301", command))
}

/// Where distributions put it: Podman's helpers are in nobody's path.
const AARDVARK: [&str; 2] = ["/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns"];

fn aardvark() -> Option<Rival> {
    let Some(program) = AARDVARK.into_iter().find(|path| std::fs::exists(path).unwrap()) else {
        println!("SKIPPED (aardvark-dns): it is not installed");
        return None;
    };
    // A directory with a file for each network: where it listens, then a container a line, with its number, its IPv4 and
    // IPv6 addresses and its names. It answers none but containers, of which the asker is one.
    let entries: String = addresses().map(|(name, addr)| format!("id-{name} {addr}  {name}\n")).collect();
    std::fs::create_dir_all("/run/aardvark").unwrap();
    std::fs::write("/run/aardvark/bench", format!("127.0.0.1\nid-asker 127.0.0.1  asker\n{entries}"))
        .unwrap();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", "c0", program, "--config", "/run/aardvark", "-p", "5302", "run"]);
    let mut rival = Rival::start("aardvark-dns", "127.0.0.1:5302", command);
    // It goes to the background, and says as whom.
    let pid = std::fs::read_to_string("/run/aardvark/aardvark.pid").unwrap();
    rival.pid = pid.trim().parse().unwrap();
    Some(rival)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Serves 1,000 containers.
fn netform() {
    let containers: String = (0..NAMES).map(|number| format!("  c{number}: {{networks: [n]}}\n")).collect();
    let manifest = format!(
        "netform: 1\nproject: bench\nnetworks: {{n: {{subnets: [10.1.0.0/16]}}}}\ncontainers:\n{containers}"
    );
    let loaded = netform::manifest::parse([("bench.yaml".to_owned(), manifest.into_bytes())]).unwrap();
    let origin = |_| Origin { file: "bench.yaml".into(), line: 1, column: 1 };
    let topology = resolve(&loaded.manifest, &Facts::default(), &origin).unwrap();
    let running: BTreeSet<_> = topology.containers.iter().map(|container| container.name.clone()).collect();
    let start = Instant::now();
    let zones = Zones::new(&topology, &running);
    eprintln!("1,000 zones made in {:.1} ms", start.elapsed().as_secs_f64() * 1000.0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for what in ["opened", "opened again after a restart"] {
        let mut server = Server::new(Options::default()).unwrap();
        let start = Instant::now();
        let failures = runtime.block_on(server.set(&zones));
        eprintln!("1,000 namespaces {what} in {:.0} ms", start.elapsed().as_secs_f64() * 1000.0);
        assert!(failures.is_empty(), "{failures:?}");
        if what == "opened" {
            continue;
        }
        let start = Instant::now();
        runtime.block_on(server.set(&zones));
        eprintln!("1,000 zones swapped in {:.1} ms", start.elapsed().as_secs_f64() * 1000.0);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        eprintln!("{}", status.lines().find(|line| line.starts_with("VmRSS")).unwrap());
        std::mem::forget(server);
    }
    loop {
        std::thread::park();
    }
}

/// Answers from a map, and does nothing else.
fn bare(addr: &str) {
    let socket = UdpSocket::bind(addr).unwrap();
    let mut names = HashMap::new();
    for number in 0..NAMES {
        let name = format!("c{number}");
        let wire = [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        names.insert(wire, [10, 1, high, low]);
    }
    let mut packet = [0_u8; 1500];
    loop {
        let (length, peer) = socket.recv_from(&mut packet).unwrap();
        let mut end = 12;
        while packet[end] != 0 {
            end += 1 + usize::from(packet[end]);
        }
        let name = packet[12..end].to_ascii_lowercase();
        end += 5;
        assert!(end <= length);
        (packet[2], packet[3]) = (0x85, 0x80);
        if let Some([a, b, c, d]) = names.get(&name) {
            packet[7] = 1;
            packet[end..end + 16].copy_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, *a, *b, *c, *d]);
            end += 16;
        } else {
            packet[3] = 0x83;
        }
        socket.send_to(&packet[..end], peer).unwrap();
    }
}

fn query(number: usize) -> Vec<u8> {
    let name = format!("c{}", number.wrapping_mul(7919) % NAMES);
    let [high, low] = u16::try_from(number % 65_536).unwrap().to_be_bytes();
    let mut packet = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, u8::try_from(name.len()).unwrap()];
    packet.extend_from_slice(name.as_bytes());
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    packet
}

fn connect(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket
}

/// Asks as fast as answers come; prints how many came, and in how many seconds.
fn flood(addr: &str) {
    let (socket, start, mut packet) = (connect(addr), Instant::now(), [0; 512]);
    let mut answered = 0;
    for number in 0..QUERIES + WINDOW {
        if number < QUERIES {
            socket.send(&query(number)).unwrap();
        }
        if number >= WINDOW && socket.recv(&mut packet).is_ok() {
            assert_eq!(packet[7], 1, "one address");
            answered += 1;
        }
    }
    println!("{answered} {}", start.elapsed().as_secs_f64());
}

/// Asks once each millisecond; prints the median and the 99th percentile of the waiting, in microseconds.
fn pace(addr: &str) {
    let (socket, start, mut packet) = (connect(addr), Instant::now(), [0; 512]);
    if std::env::var_os("ONCE").is_some() {
        let answered = socket.send(&query(1)).is_ok() && socket.recv(&mut packet).is_ok();
        std::process::exit(i32::from(!answered));
    }
    let mut waited: Vec<_> = (0..PACED)
        .map(|number| {
            let due = start + Duration::from_millis(u64::try_from(number).unwrap());
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let asked = Instant::now();
            socket.send(&query(number)).unwrap();
            socket.recv(&mut packet).unwrap();
            asked.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    waited.sort_by(f64::total_cmp);
    println!("{} {}", waited[PACED / 2], waited[PACED * 99 / 100]);
}
