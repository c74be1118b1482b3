//! What packets pay for the ruleset: TCP connections per second from another host to a published port, by the number of
//! ports and networks, in turns with a host that has no rules at all.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use crate::manifest::{gateway, within};
use crate::round::in_a_world;
use crate::table::median;

/// Where the client stands, and the host's address there.
const CLIENT: &str = "198.51.100.2";
const HOST: &str = "198.51.100.1";

/// The first published port.
const FIRST: u16 = 10_000;

/// For how long each connects.
const SPAN: Duration = Duration::from_secs(2);

/// Published ports and networks.
const SIZES: [(u16, u16); 3] = [(1, 1), (5000, 1), (1, 500)];

/// Measures all sizes, and prints them.
pub fn run(rounds: usize) {
    println!("\n| published ports | networks | connections/s | without rules | ratio |");
    println!("| ---: | ---: | ---: | ---: | ---: |");
    for (ports, networks) in SIZES {
        let mut samples: Vec<(f64, f64)> = vec![];
        for _ in 0..rounds {
            let args = ["inside-packets".to_owned(), ports.to_string(), networks.to_string()];
            let output = in_a_world(&args).stderr(Stdio::inherit()).output().unwrap();
            assert!(output.status.success(), "the round of {ports} ports failed");
            samples.push(serde_json::from_slice(&output.stdout).unwrap());
        }
        let of = |part: fn(&(f64, f64)) -> f64| median(samples.iter().map(part).collect());
        println!(
            "| {ports} | {networks} | {:.0} | {:.0} | {:.2} |",
            of(|rates| rates.0),
            of(|rates| rates.1),
            of(|rates| rates.0 / rates.1)
        );
    }
}

/// Is one round, inside its namespaces: prints the rate with the rules, and without.
pub fn inside(mut args: impl Iterator<Item = String>) {
    let mut number = || args.next().unwrap().parse().unwrap();
    let (ports, networks) = (number(), number());
    let dir = tempfile::tempdir_in("/run").unwrap();
    let file = dir.path().join("netform.yaml");
    std::fs::write(&file, manifest(ports, networks)).unwrap();
    netform(dir.path(), &["apply", "--yes"], &file);
    sh(&format!(
        "ip netns add client && ip link add up0 type veth peer name eth0 netns client
         ip addr add {HOST}/24 dev up0 && ip link set up0 up && ip -n client link set eth0 up
         ip -n client addr add {CLIENT}/24 dev eth0 && ip -n client route add default via {HOST}"
    ));
    let _server = Server(within_namespace("c0", &["serve"]).spawn().unwrap());
    let last = SocketAddr::new(HOST.parse().unwrap(), FIRST + ports - 1);
    let with = rate(last);
    sh("nft delete table inet netform-bench");
    let without = rate(SocketAddr::new(within(0, 2).into(), 80));
    println!("{}", serde_json::to_string(&(with, without)).unwrap());
}

fn manifest(ports: u16, networks: u16) -> String {
    let networks: String = (0..networks)
        .map(|network| format!("  n{network}: {{subnets: [{}/24]}}\n", within(network.into(), 0)))
        .collect();
    let publish: Vec<String> = (0..ports).map(|port| format!("'{}:80'", FIRST + port)).collect();
    format!(
        "netform: 1\nproject: bench\nnetworks:\n{networks}containers:\n  c0: {{networks: {{n0: {{address: {}}}}}, publish: [{}]}}\n",
        within(0, 2),
        publish.join(", ")
    )
}

fn netform(dir: &Path, verb: &[&str], manifest: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netform"));
    command.arg("--state-dir").arg(dir.join("state")).arg("--run-dir").arg(dir.join("run"));
    let status = command.args(verb).arg(manifest).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

fn sh(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success(), "{script}");
}

/// Returns a command that runs this program in a namespace.
fn within_namespace(ns: &str, args: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", ns]).arg(std::env::current_exe().unwrap()).args(args);
    command
}

/// Returns how many connections a second a client makes; the first ones, which learn the way, are not counted.
fn rate(to: SocketAddr) -> f64 {
    let mut client =
        within_namespace("client", &["connect", &to.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    client.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(client.wait().unwrap().success(), "no connection to {to}");
    said.trim().parse().unwrap()
}

/// A server, until the value ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Is the server: takes connections, and lets go of them.
pub fn serve() {
    let listener = TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, 80)).unwrap();
    listener.incoming().for_each(drop);
}

/// Is the client: connects again and again, and prints how often a second.
pub fn connect(mut args: impl Iterator<Item = String>) {
    let to: SocketAddr = args.next().unwrap().parse().unwrap();
    let patience = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect_timeout(&to, Duration::from_secs(1)).is_err() {
        assert!(Instant::now() < patience, "nobody answers at {to}; the gateway is {}", gateway(0));
    }
    let began = Instant::now();
    let mut made = 0_u32;
    while began.elapsed() < SPAN {
        let stream = TcpStream::connect(to).unwrap();
        // A reset leaves nobody waiting, so that the ports of the client do not run out.
        set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        made += 1;
    }
    println!("{}", f64::from(made) / began.elapsed().as_secs_f64());
}
