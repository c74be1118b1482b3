//! A world of one test: private namespaces in which `netform` runs as on a host of its own.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Set in the process that runs inside the private namespaces.
const INSIDE: &str = "NETFORM_TEST_INSIDE";
/// Names the kinds of test that must not be skipped, e.g. `live,systemd`.
const REQUIRE: &str = "NETFORM_TEST_REQUIRE";

/// Says that the machine is the test's own.
const MACHINE: &str = "NETFORM_TEST_MACHINE";

/// Names the control group that containers of a test are in.
pub const GROUP: &str = "NETFORM_TEST_GROUP";

/// Makes the private namespaces; what follows as arguments runs in them. What the host has for namespaces of the same names
/// is not for them.
const ENTER: &str = "
    mount -t tmpfs tmpfs /run && mkdir -p /run/etc/upper /run/etc/work &&
    mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work /etc &&
    if [ -e /etc/netns ]; then mount -t tmpfs tmpfs /etc/netns; fi &&
    ip link set lo up && exec \"$0\" \"$@\"";

/// Runs `story` in private namespaces. `test` is the full name of the calling test, `module_path!()` aside.
pub fn in_a_world_of_its_own(module: &str, test: &str, story: fn(&World)) {
    if std::env::var_os(INSIDE).is_some() {
        story(&World::new());
        return;
    }
    if !Command::new("unshare").args(["-Urnm", "true"]).status().is_ok_and(|status| status.success()) {
        return skip("live", "private namespaces cannot be made here");
    }
    let (_crate, module) = module.split_once("::").unwrap();
    let status = Command::new("unshare")
        .args(["-Urnm", "sh", "-ec", ENTER])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}"), "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "the story inside the namespaces failed: {status}");
}

/// Runs `story` in private namespaces that have processes of their own, too, so that whatever is started there ends with
/// it. Runtimes of containers want to be root in earnest, and `program` has to be installed.
pub fn in_a_world_with_a_runtime((program, kind): (&str, &str), module: &str, test: &str, story: fn(&World)) {
    if std::env::var_os(INSIDE).is_some() {
        story(&World::new());
        return;
    }
    let why = if Command::new(program).arg("--version").output().is_err() {
        Some(format!("{program} is not installed"))
    } else if !Command::new("unshare").args(["-nmpf", "true"]).status().is_ok_and(|status| status.success()) {
        Some("this needs to be root".to_owned())
    } else {
        None
    };
    if let Some(why) = why {
        skip(kind, &why);
        return;
    }
    let (_crate, module) = module.split_once("::").unwrap();
    let group = format!("netform-test-{}-{test}", std::process::id());
    let status = Command::new("unshare")
        .args(["-nmpf", "--mount-proc", "--kill-child", "sh", "-ec", ENTER])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}"), "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .env(GROUP, &group)
        .status()
        .unwrap();
    // Control groups are the whole host's, and empty by now.
    let clean =
        format!("find /sys/fs/cgroup -depth -type d -path '*/{group}*' -exec rmdir {{}} + 2>/dev/null");
    Command::new("sh").args(["-c", &clean]).status().ok();
    assert!(status.success(), "the story inside the namespaces failed: {status}");
}

/// Runs `story` on the host itself, its files aside: in the virtual machine that `tests/vm.sh` makes for it, and nowhere else.
pub fn in_a_machine_of_its_own(module: &str, test: &str, story: fn(&World)) {
    if std::env::var_os(INSIDE).is_some() {
        story(&World::new());
        return;
    }
    if std::env::var_os(MACHINE).is_none() {
        return skip("vm", "this needs a machine of its own: tests/vm.sh");
    }
    let (_crate, module) = module.split_once("::").unwrap();
    let status = Command::new("unshare")
        .args(["-m", "sh", "-ec", ENTER])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}"), "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "the story in the machine failed: {status}");
}

/// Says that a test, or a part of it, is skipped; fails where its kind is promised.
pub fn skip(kind: &str, why: &str) {
    let promised = std::env::var(REQUIRE).is_ok_and(|kinds| kinds.split(',').any(|one| one == kind));
    assert!(!promised, "tests of the kind `{kind}` are promised, but {why}");
    eprintln!("SKIPPED ({kind}): {why}");
}

/// Declares a test whose body runs in a world of its own.
macro_rules! live {
    ($(#[$doc:meta])* fn $name:ident($world:ident) $body:block) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            $crate::live::world::in_a_world_of_its_own(module_path!(), stringify!($name), |$world| $body);
        }
    };
}
pub(crate) use live;

/// Declares a test whose body runs in a world with processes of its own, where Docker or Podman may be started.
macro_rules! contained {
    ($(#[$doc:meta])* fn $name:ident($world:ident, $program:literal) $body:block) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            let kind = match $program {
                "dockerd" => "docker",
                "podman" => "podman",
                _ => "root",
            };
            $crate::live::world::in_a_world_with_a_runtime(($program, kind), module_path!(), stringify!($name), |$world| $body);
        }
    };
}
pub(crate) use contained;

/// The private host of one test.
pub struct World {
    dir: TempDir,
}

/// What a command did.
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Returns what the command did that has ended.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts the exit code and returns what was printed.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// The directory of the test's files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of the test and returns its path.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A `netform` command, with state of this test only.
    pub fn netform(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netform"));
        command.current_dir(self.dir.path()).env("NO_COLOR", "1");
        // Whoever runs the tests by SSH is not of this world.
        command.env("SSH_CONNECTION", "");
        command.arg("--state-dir").arg(self.dir.path().join("state"));
        command.arg("--run-dir").arg(self.dir.path().join("run"));
        command
    }

    /// Runs `netform` with these arguments.
    pub fn run(&self, args: &[&str]) -> Done {
        Done::of(self.netform().args(args).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs `netform` with these variables and arguments.
    pub fn run_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Done {
        let mut command = self.netform();
        command.args(args).envs(variables.iter().copied()).stdin(Stdio::null());
        Done::of(command.output().unwrap())
    }

    /// Writes the manifest and applies it; it must succeed.
    #[track_caller]
    pub fn apply(&self, manifest: &str) -> String {
        self.file("netform.yaml", manifest);
        self.run(&["apply", "--yes"]).exits(0).stdout
    }

    /// Plans the manifest that was written last; returns the text and whether something would change.
    #[track_caller]
    pub fn plan(&self) -> (String, bool) {
        let done = self.run(&["plan", "--detailed-exitcode"]);
        assert!(matches!(done.code, 0 | 2), "{}{}", done.stdout, done.stderr);
        (done.stdout, done.code == 2)
    }

    /// Asserts that the live state is what the manifest says.
    #[track_caller]
    pub fn assert_in_sync(&self) {
        let (plan, changes) = self.plan();
        assert!(!changes, "the plan should be empty:\n{plan}");
    }

    /// Runs a shell command that must succeed, and returns what it printed.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        let done = self.try_sh(script);
        assert_eq!(done.code, 0, "`{script}` failed:\n{}{}", done.stdout, done.stderr);
        done.stdout
    }

    /// Runs a shell command.
    pub fn try_sh(&self, script: &str) -> Done {
        Done::of(Command::new("sh").args(["-ec", script]).current_dir(self.dir.path()).output().unwrap())
    }

    /// Starts a command that runs beside what follows.
    pub fn beside(&self, command: &str) -> Child {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command}")]).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Tells whether `from` (a namespace, or `host`) gets an answer to a ping.
    pub fn pings(&self, from: &str, to: &str) -> bool {
        // An emulated machine takes its time for what a neighbour answers at once.
        let patience = if std::env::var_os(MACHINE).is_some() { 3 } else { 1 };
        self.try_sh(&format!("{}ping -n -c 1 -W {patience} {to}", inside(from))).code == 0
    }

    /// Starts a server in a namespace that answers each connection or datagram with `WORD PEER-ADDRESS`.
    #[track_caller]
    pub fn serve(&self, ns: &str, listen: &Listen, word: &str) -> Server {
        let Listen { protocol, address, port } = listen;
        let script =
            format!("exec {}python3 -u -c '{SERVER}' {protocol} '{address}' {port} {word}", inside(ns));
        let child = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut server = Server { child };
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(server.child.stdout.take().unwrap()),
            &mut line,
        )
        .unwrap();
        assert_eq!(line, "ready\n", "the server in {ns} did not start");
        server
    }

    /// Connects from a namespace; returns the server's answer, `None` when refused or unanswered.
    pub fn ask(&self, ns: &str, protocol: &str, to: &str, port: u16) -> Option<String> {
        let done = self.try_sh(&format!("{}python3 -c '{CLIENT}' {protocol} '{to}' {port}", inside(ns)));
        (done.code == 0).then(|| done.stdout.trim().to_owned())
    }
}

fn inside(ns: &str) -> String {
    if ns == "host" { String::new() } else { format!("ip netns exec {ns} ") }
}

/// Where a test server listens.
pub struct Listen {
    pub protocol: &'static str,
    pub address: &'static str,
    pub port: u16,
}

impl Listen {
    /// All addresses of both families.
    pub fn tcp(port: u16) -> Self {
        Self { protocol: "tcp", address: "::", port }
    }

    /// All addresses of both families.
    pub fn udp(port: u16) -> Self {
        Self { protocol: "udp", address: "::", port }
    }
}

/// A server that ends with its value.
pub struct Server {
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const SERVER: &str = r#"
import socket, sys, threading
protocol, address, port, word = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((address, port))
def answer(peer): return (word + " " + peer[0].replace("::ffff:", "") + "\n").encode()
def stay(c):
    try:
        while True:
            data = c.recv(100)
            if not data: return
            c.send(data)
    except OSError: pass
if protocol == "tcp":
    s.listen(64); print("ready")
    while True:
        c, peer = s.accept(); c.send(answer(peer)); threading.Thread(target=stay, args=(c,), daemon=True).start()
else:
    print("ready")
    while True:
        data, peer = s.recvfrom(100); s.sendto(answer(peer), peer)
"#;

const CLIENT: &str = r#"
import socket, sys
protocol, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
info = socket.getaddrinfo(address, port, 0, kind)[0]
s = socket.socket(info[0], kind)
s.settimeout(1)
s.connect(info[4])
if protocol == "udp": s.send(b"?")
print(s.recv(100).decode())
"#;

/// Waits until `condition` holds, at most half a minute.
#[track_caller]
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "still not so after 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The address of a link in a namespace, as JSON has it.
pub fn address_of(world: &World, ns: &str, link: &str) -> IpAddr {
    let json = world.sh(&format!("ip -j -n {ns} -4 addr show dev {link}"));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    value[0]["addr_info"][0]["local"].as_str().unwrap().parse().unwrap()
}
