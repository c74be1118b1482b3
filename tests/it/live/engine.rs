//! A Docker or Podman of one test, which touches nothing of the host's.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::daemon::patiently;
use super::world::{Done, GROUP, World};

/// The image: busybox, and what a C library wants to know.
const IMAGE: &str = "
    mkdir -p /run/image/bin /run/image/etc && cp \"$(command -v busybox)\" /run/image/bin/busybox &&
    echo 'hosts: files dns' > /run/image/etc/nsswitch.conf &&
    for applet in sh sleep ip ping nslookup cat httpd nc; do ln -sf busybox /run/image/bin/$applet; done &&
    tar -C /run/image -cf /run/image.tar .";

/// A runtime, killed when the test ends.
pub struct Engine<'w> {
    world: &'w World,
    socket: &'static str,
    command: &'static str,
    child: Mutex<Child>,
    /// What really runs the containers; Docker alone has it apart.
    containerd: Option<Child>,
}

impl<'w> Engine<'w> {
    /// Starts Docker without any network of its own, and gives it an image.
    pub fn docker(world: &'w World) -> Self {
        Self::docker_with(
            world,
            "exec dockerd --containerd /run/containerd/containerd.sock --data-root /run/docker-data --exec-root /run/docker --pidfile /run/docker.pid -H unix:///run/docker.sock --storage-driver vfs --iptables=false --ip6tables=false --bridge=none",
        )
    }

    /// Starts Docker with a command line of its own.
    pub fn docker_with(world: &'w World, command: &'static str) -> Self {
        // One that dockerd starts itself would end with it, and nobody here asks how that went.
        let containerd = spawn(
            world,
            "exec containerd --config /dev/null --root /run/containerd-data --state /run/containerd --address /run/containerd/containerd.sock",
        );
        patiently(&|| "containerd answers".to_owned(), || {
            UnixStream::connect("/run/containerd/containerd.sock").is_ok()
        });
        let mut engine = Self::start(world, "/run/docker.sock", command);
        engine.containerd = Some(containerd);
        engine
    }

    /// Starts Podman's service, and gives it an image.
    pub fn podman(world: &'w World) -> Self {
        world.sh("mkdir -p /run/podman");
        Self::start(
            world,
            "/run/podman/podman.sock",
            "exec podman --root /run/pod-data --runroot /run/pod --tmpdir /run/pod-tmp --storage-driver vfs --cgroup-manager cgroupfs --events-backend file system service -t 0 unix:///run/podman/podman.sock",
        )
    }

    fn start(world: &'w World, socket: &'static str, command: &'static str) -> Self {
        let engine =
            Self { world, socket, command, child: Mutex::new(spawn(world, command)), containerd: None };
        engine.answers();
        world.sh(IMAGE);
        let image = std::fs::read("/run/image.tar").unwrap();
        engine.post("/images/create?fromSrc=-&repo=box", &image);
        engine
    }

    fn answers(&self) {
        let log = || std::fs::read_to_string(self.world.dir().join("engine.log")).unwrap();
        let last = || log().lines().rev().take(20).map(|line| format!("{line}\n")).collect::<String>();
        patiently(&|| format!("the runtime answers:\n{}", last()), || {
            self.ask("GET", "/_ping", &[]).is_some_and(|(code, _)| code == 200)
        });
    }

    /// Kills it as nobody should, and starts it again.
    pub fn kill(&self) {
        self.child.lock().unwrap().kill().unwrap();
        self.child.lock().unwrap().wait().unwrap();
    }

    /// Starts it again.
    pub fn revive(&self) {
        *self.child.lock().unwrap() = spawn(self.world, self.command);
        self.answers();
    }

    /// Asks for something; `None` when nobody answers.
    fn ask(&self, method: &str, target: &str, body: &[u8]) -> Option<(u16, String)> {
        let mut stream = UnixStream::connect(self.socket).ok()?;
        let kind = if target.starts_with("/images") { "application/x-tar" } else { "application/json" };
        // Answers of HTTP 1.0 are not in pieces, and end with the connection.
        let head = format!(
            "{method} {target} HTTP/1.0\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = vec![];
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        Some((code, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// Asks for a change, which must succeed.
    #[track_caller]
    pub fn post(&self, target: &str, body: &[u8]) -> String {
        let (code, answer) = self.ask("POST", target, body).unwrap();
        assert!(code < 400, "POST {target}: {code} {answer}");
        answer
    }

    /// Makes a container that sleeps, in a network mode of its runtime.
    #[track_caller]
    pub fn create(&self, name: &str, mode: &str) {
        self.create_with(name, mode, &json!({}));
    }

    /// Makes one with more, in the words of the API.
    #[track_caller]
    pub fn create_with(&self, name: &str, mode: &str, more: &Value) {
        let group = std::env::var(GROUP).unwrap();
        let host = json!({"NetworkMode": mode, "CgroupParent": format!("/{group}"), "Init": false});
        let mut body = json!({"Image": "box", "Cmd": ["sleep", "600"], "HostConfig": host, "StopTimeout": 0});
        for (key, value) in more.as_object().unwrap() {
            match (body[key].as_object_mut(), value.as_object()) {
                (Some(into), Some(more)) => into.extend(more.clone()),
                _ => body[key] = value.clone(),
            }
        }
        self.post(&format!("/containers/create?name={name}"), body.to_string().as_bytes());
    }

    /// Starts, stops, restarts a container.
    #[track_caller]
    pub fn does(&self, what: &str, name: &str) {
        let time = if what == "start" { "" } else { "?t=0" };
        self.post(&format!("/containers/{name}/{what}{time}"), &[]);
    }

    /// Makes a container, and starts it.
    #[track_caller]
    pub fn run(&self, name: &str, mode: &str) {
        self.create(name, mode);
        self.does("start", name);
    }

    /// Removes a container, whether or not it runs.
    #[track_caller]
    pub fn remove(&self, name: &str) {
        let (code, answer) = self.ask("DELETE", &format!("/containers/{name}?force=true"), &[]).unwrap();
        assert!(code < 400, "{answer}");
    }

    /// What the runtime says of a container.
    pub fn inspect(&self, name: &str) -> serde_json::Value {
        let (code, answer) = self.ask("GET", &format!("/containers/{name}/json"), &[]).unwrap();
        assert_eq!(code, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Runs a command in a container, with its files.
    pub fn inside(&self, name: &str, command: &str) -> Done {
        let pid = self.inspect(name)["State"]["Pid"].to_string();
        self.world.try_sh(&format!("nsenter -t {pid} -n -m {command}"))
    }

    /// Tells whether a container reaches another by a name.
    pub fn reaches(&self, name: &str, to: &str) -> bool {
        self.inside(name, &format!("ping -c 1 -W 1 {to}")).code == 0
    }
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        self.child.lock().unwrap().kill().ok();
        self.child.lock().unwrap().wait().ok();
        if let Some(containerd) = &mut self.containerd {
            containerd.kill().ok();
            containerd.wait().ok();
        }
    }
}

fn spawn(world: &World, command: &str) -> Child {
    let log =
        std::fs::OpenOptions::new().create(true).append(true).open(world.dir().join("engine.log")).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    shell.spawn().unwrap()
}
