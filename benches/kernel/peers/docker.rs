//! A Docker of its own, which is asked by its API.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::file;
use crate::manifest::{Size, gateway, within};

/// Makes namespaces that are private and yet root's, which Docker needs; all that runs in them ends with the command.
const ENTER: &str = r#"
    mount -t tmpfs tmpfs /run && mkdir -p /run/etc/upper /run/etc/work &&
    mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work /etc && ip link set lo up && code=0; "$0" "$@" || code=$?
    kill -9 -1; sleep 0.3; find /sys/fs/cgroup -depth -type d -path "*/netform-bench*" -exec rmdir {} + ; exit $code"#;

/// Starts Docker and as many containers on a network that is not measured.
const START: &str = r#"
    exec > /run/log 2>&1
    containerd --config /dev/null --root /run/c-data --state /run/c --address /run/c.sock &
    until [ -S /run/c.sock ]; do sleep 0.1; done
    dockerd --containerd /run/c.sock --data-root /run/d-data --exec-root /run/d --pidfile /run/d.pid \
        -H unix:///run/d.sock --storage-driver vfs --bridge=none &
    until ask /_ping; do sleep 0.1; done
    mkdir -p /run/image/bin && cp /bin/busybox /run/image/bin/sleep && tar -C /run/image -cf /run/image.tar .
    curl -sf --unix-socket /run/d.sock -H 'Content-Type: application/x-tar' --data-binary @/run/image.tar \
        'http://d/images/create?fromSrc=-&repo=box'
    network base 10.250.0.0/16 10.250.0.1
    for c in $(seq 0 "$1"); do
        ask /containers/create?name=c$c '{"Image":"box","Cmd":["sleep","3600"],"HostConfig":{"NetworkMode":"base","CgroupParent":"/netform-bench"}}'
        ask /containers/c$c/start '{}'
    done"#;

/// What the scripts have in common.
const ASK: &str = r#"
set -e
ask() { curl -sf --unix-socket /run/d.sock -H 'Content-Type: application/json' ${2:+-d "$2"} "http://d$1"; }
network() { ask /networks/create '{"Name":"'$1'","IPAM":{"Config":[{"Subnet":"'$2'","Gateway":"'$3'"}]}}'; }
"#;

/// Returns a command that runs `args` of this program in namespaces of root's.
pub fn in_a_world(args: &[String]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-nmpf", "--kill-child", "--mount-proc", "sh", "-c", ENTER]);
    command.arg(std::env::current_exe().unwrap()).args(args);
    command
}

/// Starts Docker, and returns the scripts that have it make and remove everything.
pub fn scripts(size: Size, dir: &Path) -> [String; 2] {
    let start = file(dir, "start", &format!("{ASK}{START}"));
    let last = (size.attachments - 1).to_string();
    let started = Command::new("sh").args([&start, &last]).stdin(Stdio::null()).status().unwrap();
    assert!(started.success(), "Docker: {}", std::fs::read_to_string("/run/log").unwrap());
    let (mut create, mut destroy) = (format!("{ASK}exec > /dev/null\n"), format!("{ASK}exec > /dev/null\n"));
    for network in 0..size.networks {
        writeln!(create, "network n{network} {}/24 {}", within(network, 0), gateway(network)).unwrap();
    }
    for container in 0..size.attachments {
        let network = size.network_of(container);
        let address = size.address(container);
        writeln!(create, r#"ask /networks/n{network}/connect '{{"Container":"c{container}","EndpointConfig":{{"IPAMConfig":{{"IPv4Address":"{address}"}}}}}}'"#).unwrap();
        writeln!(destroy, r#"ask /networks/n{network}/disconnect '{{"Container":"c{container}"}}'"#).unwrap();
    }
    for network in 0..size.networks {
        writeln!(destroy, "curl -sf --unix-socket /run/d.sock -X DELETE http://d/networks/n{network}")
            .unwrap();
    }
    [create, destroy]
}
