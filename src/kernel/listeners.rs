//! Who listens on the host's ports, by what the kernel and `/proc` tell.
//!
//! Sources: `get_tcp4_sock()`, `udp4_format_sock()` and `sctp_eps_seq_show()` in Linux `net/ipv4/tcp_ipv4.c`,
//! `net/ipv4/udp.c` and `net/sctp/proc.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::diag::{self, TcpListener};
use crate::names::Protocol;
use crate::resource::host_ports::HostPorts;
use crate::resource::sysctl::Family;

/// `TCP_LISTEN`, as its files write it: `include/net/tcp_states.h`.
const LISTEN: &str = "0A";
/// `TCP_CLOSE`, the state of a datagram socket that hears everybody.
const UNCONNECTED: &str = "07";
/// `SCTP_SS_LISTENING`, which SCTP writes as a decimal number.
const SCTP_LISTEN: &str = "10";

/// A socket that hears what comes to ports of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Where it listens.
    pub at: SocketAddr,
    /// By which protocol.
    pub protocol: Protocol,
    /// What it is known by under `/proc/PID/fd`.
    pub inode: u64,
    /// Whose it is; `None` where that is not told.
    pub uid: Option<u32>,
}

/// A process that has a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
}

/// Returns who listens in the namespace of the calling thread, as far as that can be read.
///
/// Whoever listens on any IPv6 address is taken to hear IPv4, too, which is the default, where `/proc` alone is there to ask:
/// it does not tell.
pub fn listeners(protocols: &BTreeSet<Protocol>) -> Vec<(HostPorts, Listener)> {
    let mut found = vec![];
    let tcp = protocols.contains(&Protocol::Tcp).then(diag::tcp_listeners).and_then(Result::ok);
    let told = tcp.is_some();
    for TcpListener { at, inode, only_ipv6 } in tcp.into_iter().flatten() {
        let heard = everywhere(Listener { at, protocol: Protocol::Tcp, inode, uid: None });
        found.extend(heard.into_iter().filter(|(ports, _)| !only_ipv6 || ports.family == Family::Ipv6));
    }
    let files = protocols.iter().flat_map(|protocol| match protocol {
        Protocol::Tcp if told => vec![],
        Protocol::Tcp => ["tcp", "tcp6"].map(|file| (file, Protocol::Tcp)).to_vec(),
        Protocol::Udp => ["udp", "udp6"].map(|file| (file, Protocol::Udp)).to_vec(),
        Protocol::Sctp => vec![("sctp/eps", Protocol::Sctp)],
    });
    for (file, protocol) in files {
        // A kernel without the protocol has no file.
        let Ok(file) = File::open(format!("/proc/thread-self/net/{file}")) else { continue };
        for line in BufReader::new(file).lines().skip(1).map_while(Result::ok) {
            found.extend(heard(&line, protocol));
        }
    }
    found
}

/// Returns which processes have these sockets, as far as we may know; looks at every process.
pub fn holders(mut inodes: BTreeSet<u64>) -> BTreeMap<u64, Process> {
    let mut holders = BTreeMap::new();
    let names = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut pids: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids {
        if inodes.is_empty() {
            break;
        }
        for inode in sockets(pid) {
            if inodes.remove(&inode) {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                holders.insert(inode, Process { pid, name: name.trim_end().to_owned() });
            }
        }
    }
    holders
}

/// Tells whether a process has a socket, as far as we may know.
pub(super) fn has_socket(pid: u32, inode: u64) -> bool {
    sockets(pid).any(|it| it == inode)
}

/// Returns the sockets of a process.
fn sockets(pid: u32) -> impl Iterator<Item = u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
    files.filter_map(|file| socket(fs::read_link(file.path()).ok()?.to_str()?))
}

fn socket(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Returns what a line of a file of `/proc/net` says of somebody who listens.
fn heard(line: &str, protocol: Protocol) -> Vec<(HostPorts, Listener)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let listeners: Vec<Listener> = match (protocol, fields.as_slice()) {
        (Protocol::Sctp, [_, _, _, SCTP_LISTEN, _, port, _, inode, addresses @ ..]) => {
            let Some((port, inode)) = port.parse().ok().zip(inode.parse().ok()) else { return vec![] };
            let addresses = addresses.iter().filter_map(|address| address.parse().ok());
            addresses
                .map(|address| Listener { at: SocketAddr::new(address, port), protocol, inode, uid: None })
                .collect()
        }
        (Protocol::Tcp, [_, local, _, LISTEN, _, _, _, uid, _, inode, ..])
        | (Protocol::Udp, [_, local, _, UNCONNECTED, _, _, _, uid, _, inode, ..]) => {
            let listener = address(local).zip(inode.parse().ok());
            let uid = uid.parse().ok();
            listener.map(|(at, inode)| Listener { at, protocol, inode, uid }).into_iter().collect()
        }
        (Protocol::Tcp | Protocol::Udp | Protocol::Sctp, _) => vec![],
    };
    listeners.into_iter().flat_map(everywhere).collect()
}

/// Returns the ports that a socket listens on, by family.
fn everywhere(listener: Listener) -> Vec<(HostPorts, Listener)> {
    let (address, port) = (listener.at.ip().to_canonical(), listener.at.port());
    let families = if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        vec![Family::Ipv4, Family::Ipv6]
    } else {
        vec![Family::of(address)]
    };
    let address = Some(address).filter(|address| !address.is_unspecified());
    let ports = |family| HostPorts { family, address, protocol: listener.protocol, ports: port..=port };
    families.into_iter().map(|family| (ports(family), listener)).collect()
}

/// Reads `0100007F:1F90`: an address as words in the host's order of bytes, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(words.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match words.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(protocol: Protocol, line: &str, want: &[&str]) {
        let heard = heard(line, protocol);
        assert_eq!(heard.iter().map(|(ports, _)| ports.to_string()).collect::<Vec<_>>(), want, "{line}");
        assert!(heard.iter().all(|(_, listener)| listener.inode == 4711), "{line}");
    }

    #[test]
    fn a_line_says_who_hears_what_comes_to_a_port() {
        let line = |local: &str, state: &str| {
            format!(
                "  0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 4711 1 0000000000000000"
            )
        };
        // What the numbers are is the host's order of bytes; these are little-endian ones.
        let order = |word: u32| format!("{:08X}", u32::from_ne_bytes(word.to_be_bytes()));
        let local4 = format!("{}:1F90", order(0x7f00_0001));
        check(Protocol::Tcp, &line(&local4, "0A"), &["127.0.0.1:8080/tcp"]);
        check(Protocol::Tcp, &line(&local4, "01"), &[]);
        check(Protocol::Tcp, &line("00000000:0050", "0A"), &["0.0.0.0:80/tcp"]);
        check(Protocol::Udp, &line("00000000:0035", "07"), &["0.0.0.0:53/udp"]);
        check(Protocol::Udp, &line("00000000:0035", "01"), &[]);
        let any6 = format!("{}:0050", "0".repeat(32));
        check(Protocol::Tcp, &line(&any6, "0A"), &["0.0.0.0:80/tcp", "[::]:80/tcp"]);
        let one = format!("{}{}{}{}:0050", order(0xfd00_0000), order(0), order(0), order(1));
        check(Protocol::Tcp, &line(&one, "0A"), &["[fd00::1]:80/tcp"]);
        let mapped = format!("{}{}{}{}:0050", order(0), order(0), order(0xffff), order(0xc000_0201));
        check(Protocol::Tcp, &line(&mapped, "0A"), &["192.0.2.1:80/tcp"]);
        check(Protocol::Tcp, "nonsense", &[]);
    }

    #[test]
    fn a_line_of_sctp_has_several_addresses() {
        let line = "ffff8880 ffff8881 2   10  1    8080     0  4711 192.0.2.1 fd00::1 ";
        check(Protocol::Sctp, line, &["192.0.2.1:8080/sctp", "[fd00::1]:8080/sctp"]);
        check(Protocol::Sctp, "ffff8880 ffff8881 2   7   1    8080     0  4711 192.0.2.1 ", &[]);
    }
}
