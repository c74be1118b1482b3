//! What others need for the same namespaces, bridges, pairs, addresses, routes and published ports.
//!
//! Each makes its own in private namespaces, by a script that is the shortest way to have it do so. What is not installed
//! is skipped, and says so.

mod docker;

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::manifest::{Size, gateway, port, within};
use crate::measure::{self, Cost};
use crate::round::in_a_world;

/// Somebody else's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// `ip -batch`, and `nft -f`.
    Iproute,
    /// Podman's.
    Netavark,
    /// The plugins `bridge`, `host-local` and `portmap`.
    Cni,
    /// By its API, for containers that run already, without their published ports.
    Docker,
}

/// All of them: what they are called, what they need, and whether the time of it grows too fast to wait for thousands.
pub const PEERS: [(Peer, &str, &[&str]); 4] = [
    (Peer::Iproute, "ip -batch and nft -f", &["/sbin/ip", "/usr/sbin/nft"]),
    (Peer::Netavark, "netavark", &["/usr/lib/podman/netavark", "/usr/sbin/iptables"]),
    (Peer::Cni, "CNI plugins", &["/usr/lib/cni/bridge", "/usr/lib/cni/portmap", "/usr/sbin/iptables"]),
    (Peer::Docker, "Docker", &["/usr/sbin/dockerd", "/usr/bin/containerd", "/usr/bin/curl", "/bin/busybox"]),
];

/// What one peer cost in one round.
pub struct Round {
    /// To make everything.
    pub create: Cost,
    /// To remove everything.
    pub destroy: Cost,
}

/// Runs one round of a peer; `None` when it is not installed.
pub fn run(peer: Peer, size: Size) -> Option<Round> {
    let (_, name, needs) = PEERS.into_iter().find(|(other, _, _)| *other == peer).unwrap();
    if let Some(missing) = needs.iter().find(|path| !Path::new(path).exists()) {
        eprintln!("SKIPPED: {name}: {missing} is not installed");
        return None;
    }
    let args =
        ["inside-peer".to_owned(), name.to_owned(), size.attachments.to_string(), size.networks.to_string()];
    let mut command = match peer {
        Peer::Iproute | Peer::Netavark | Peer::Cni => in_a_world(&args),
        Peer::Docker if !rustix::process::geteuid().is_root() => {
            eprintln!("SKIPPED: {name}: it needs root");
            return None;
        }
        Peer::Docker => docker::in_a_world(&args),
    };
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the round of {name} failed");
    let lines = String::from_utf8(output.stdout).unwrap();
    let costs: Vec<Cost> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Some(Round { create: costs[0], destroy: costs[1] })
}

/// Is a peer's round, inside its namespaces.
pub fn inside(name: &str, size: Size) {
    let (peer, _, _) = PEERS.into_iter().find(|(_, other, _)| *other == name).unwrap();
    let dir = tempfile::tempdir_in("/run").unwrap();
    let scripts = match peer {
        Peer::Iproute => iproute(size, dir.path()),
        Peer::Netavark => netavark(size, dir.path()),
        Peer::Cni => cni(size, dir.path()),
        Peer::Docker => docker::scripts(size, dir.path()),
    };
    for script in scripts {
        let file = dir.path().join("script");
        std::fs::write(&file, script).unwrap();
        let mut command = Command::new("sh");
        command.arg("-e").arg(&file);
        println!("{}", serde_json::to_string(&measure::cost(&command)).unwrap());
    }
}

/// Writes a file beside the script and returns its path.
fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Returns the batch for `ip` that makes or deletes the namespaces.
fn namespaces(size: Size, verb: &str) -> String {
    (0..size.attachments)
        .fold(String::new(), |text, container| text + &format!("netns {verb} c{container}\n"))
}

fn iproute(size: Size, dir: &Path) -> [String; 2] {
    let mut host = namespaces(size, "add");
    let mut gone = "link del group 7\n".to_owned();
    for network in 0..size.networks {
        writeln!(host, "link add br{network} up type bridge").unwrap();
        writeln!(host, "addr add {}/24 dev br{network}", gateway(network)).unwrap();
        writeln!(gone, "link del br{network}").unwrap();
    }
    gone.push_str(&namespaces(size, "del"));
    let mut script = format!("ip -batch {}\n", dir.join("host").display());
    for container in 0..size.attachments {
        let network = size.network_of(container);
        writeln!(
            host,
            "link add v{container} up group 7 numtxqueues 1 numrxqueues 1 master br{network} type veth \
             peer name eth0 numtxqueues 1 numrxqueues 1 netns c{container}"
        )
        .unwrap();
        let inside = format!(
            "link set lo up\naddr add {}/24 dev eth0\nlink set eth0 up\nroute add default via {}\n",
            size.address(container),
            gateway(network)
        );
        let inside = file(dir, &format!("c{container}"), &inside);
        writeln!(script, "ip -n c{container} -batch {inside}").unwrap();
    }
    file(dir, "host", &host);
    writeln!(script, "nft -f {}", file(dir, "nft", &ruleset(size))).unwrap();
    [script, format!("ip -batch {}\nnft delete table ip bench\n", file(dir, "gone", &gone))]
}

/// Returns a firewall of sets and maps, such as netform's is.
fn ruleset(size: Size) -> String {
    let nets: Vec<String> = (0..size.networks).map(|network| format!("{}/24", within(network, 0))).collect();
    let ports: Vec<String> =
        size.ports().map(|(container, port)| format!("{port} : {} . 80", size.address(container))).collect();
    format!(
        "table ip bench {{
  set nets {{ type ipv4_addr; flags interval; elements = {{ {} }}; }}
  map ports {{ type inet_service : ipv4_addr . inet_service; elements = {{ {} }}; }}
  chain pre {{ type nat hook prerouting priority -100; fib daddr type local dnat ip to tcp dport map @ports; }}
  chain out {{ type nat hook output priority -100; fib daddr type local dnat ip to tcp dport map @ports; }}
  chain post {{ type nat hook postrouting priority 100; ip saddr @nets masquerade; }}
}}\n",
        nets.join(", "),
        ports.join(", ")
    )
}

fn netavark(size: Size, dir: &Path) -> [String; 2] {
    let run = |verb: &str| {
        (0..size.attachments).fold(String::new(), |text, container| {
            let options = dir.join(format!("c{container}"));
            text + &format!(
                "/usr/lib/podman/netavark --config {} {verb} /run/netns/c{container} < {}\n",
                dir.display(),
                options.display()
            )
        })
    };
    for container in 0..size.attachments {
        let network = size.network_of(container);
        let ports = match container % 5 {
            0 => format!(
                r#"[{{"host_ip":"","container_port":80,"host_port":{},"range":1,"protocol":"tcp"}}]"#,
                port(container)
            ),
            _ => "[]".to_owned(),
        };
        let options = format!(
            r#"{{"container_id":"{container:064}","container_name":"c{container}","port_mappings":{ports},
"networks":{{"n{network}":{{"interface_name":"eth0","static_ips":["{}"]}}}},
"network_info":{{"n{network}":{{"name":"n{network}","id":"{network:064}","driver":"bridge",
"network_interface":"br{network}","subnets":[{{"subnet":"{}/24","gateway":"{}"}}],
"ipv6_enabled":false,"internal":false,"dns_enabled":false,"ipam_options":{{"driver":"host-local"}}}}}}}}"#,
            size.address(container),
            within(network, 0),
            gateway(network)
        );
        file(dir, &format!("c{container}"), &options);
    }
    let (add, del) = (file(dir, "add", &namespaces(size, "add")), file(dir, "del", &namespaces(size, "del")));
    [format!("ip -batch {add}\n{}", run("setup")), format!("{}ip -batch {del}\n", run("teardown"))]
}

fn cni(size: Size, dir: &Path) -> [String; 2] {
    let (add, del) = (file(dir, "add", &namespaces(size, "add")), file(dir, "del", &namespaces(size, "del")));
    let mut scripts = ["ADD", "DEL"]
        .map(|verb| format!("export CNI_PATH=/usr/lib/cni CNI_IFNAME=eth0 CNI_COMMAND={verb}\n"));
    scripts[0].push_str(&format!("ip -batch {add}\n"));
    for script in &mut scripts {
        for container in 0..size.attachments {
            let network = size.network_of(container);
            writeln!(script, "export CNI_CONTAINERID=c{container} CNI_NETNS=/run/netns/c{container}")
                .unwrap();
            let bridge = format!(
                r#"{{"cniVersion":"0.4.0","name":"n{network}","type":"bridge","bridge":"br{network}","isGateway":true,"ipMasq":true,"ipam":{{"type":"host-local","subnet":"{}/24","dataDir":"/run/cni"}}}}"#,
                within(network, 0)
            );
            writeln!(script, "result=$(echo '{bridge}' | /usr/lib/cni/bridge)").unwrap();
            if container % 5 == 0 {
                let ports =
                    format!(r#"{{"hostPort":{},"containerPort":80,"protocol":"tcp"}}"#, port(container));
                writeln!(
                    script,
                    r#"echo '{{"cniVersion":"0.4.0","name":"n{network}","type":"portmap","runtimeConfig":{{"portMappings":[{ports}]}},"prevResult":'"${{result:-null}}"'}}' | /usr/lib/cni/portmap"#
                )
                .unwrap();
            }
        }
    }
    scripts[1].push_str(&format!("ip -batch {del}\n"));
    scripts
}
