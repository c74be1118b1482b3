//! The SSH session that netform was started from: by its variables, or else by the processes above.

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use super::failure::Failure;
use super::failure::unreadable;
use crate::kernel::management::{self, Management, Session};

/// What sshd tells its children: `sshd(8)`, ENVIRONMENT; the older one lacks the host's address.
const VARIABLES: [&str; 2] = ["SSH_CONNECTION", "SSH_CLIENT"];

/// How far up processes are looked at; more are a loop.
const GENERATIONS: usize = 64;

/// Returns what carries the session; `None` when there is none, or when nothing here carries it.
pub(super) async fn management() -> Result<Option<Management>, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    match session(variable, std::process::id(), Path::new("/proc")) {
        Some(session) => management::management(session).await.map_err(unreadable),
        None => Ok(None),
    }
}

/// Returns the session of a process. A variable that is there has the last word, even when it names nobody.
fn session(variable: impl Fn(&str) -> Option<String>, pid: u32, proc: &Path) -> Option<Session> {
    if let Some(text) = VARIABLES.into_iter().find_map(variable) {
        return parse(&text);
    }
    // `sudo` drops the variables, but the shell that it was typed in has them.
    let mut pid = parent(pid, proc);
    for _ in 0..GENERATIONS {
        let above = pid.filter(|pid| *pid > 1)?;
        let directory = proc.join(above.to_string());
        let found = inherited(&directory).or_else(|| connection(&directory));
        if found.is_some() {
            return found;
        }
        pid = parent(above, proc);
    }
    None
}

/// Reads `CLIENT CLIENT-PORT SERVER SERVER-PORT` or `CLIENT CLIENT-PORT SERVER-PORT`.
fn parse(text: &str) -> Option<Session> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (client, server, port) = match words.as_slice() {
        [client, _, server, port] => (client, Some(server), port),
        [client, _, port] => (client, None, port),
        _ => return None,
    };
    let (client, zone) = client.split_once('%').map_or((*client, None), |(ip, zone)| (ip, Some(zone)));
    let server = server.map(|server| server.split('%').next().unwrap_or(server));
    Some(Session {
        client: client.parse::<IpAddr>().ok()?.to_canonical(),
        zone: zone.map(str::to_owned),
        server: server.and_then(|server| server.parse::<IpAddr>().ok()).map(|server| server.to_canonical()),
        port: port.parse().ok(),
    })
}

/// Reads what the kernel tells of a process. It does not say how much that is, and mostly it is little.
fn text(path: &Path) -> Option<String> {
    let mut text = Vec::with_capacity(4096);
    File::open(path).ok()?.take(u64::MAX).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Returns the process that started another one: the fourth field of `stat`, `proc_pid_stat(5)`.
fn parent(pid: u32, proc: &Path) -> Option<u32> {
    let stat = text(&proc.join(pid.to_string()).join("stat"))?;
    // The second field is the program's name in brackets, which may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the session by the variables that a process was started with.
fn inherited(process: &Path) -> Option<Session> {
    let environ = text(&process.join("environ"))?;
    let variables = || environ.split('\0').filter_map(|variable| variable.split_once('='));
    let value = |name| variables().find(|(other, _)| *other == name).map(|(_, value)| value);
    VARIABLES.into_iter().find_map(value).and_then(parse)
}

/// Returns the session by the connection that a process of sshd holds.
fn connection(process: &Path) -> Option<Session> {
    if !text(&process.join("comm"))?.starts_with("sshd") {
        return None;
    }
    let files = std::fs::read_dir(process.join("fd")).ok()?;
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let inode = |target: std::path::PathBuf| {
        Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    let sockets: Vec<String> = targets.filter_map(inode).collect();
    let tables = ["net/tcp", "net/tcp6"].map(|table| std::fs::read_to_string(process.join(table)));
    let lines = tables.iter().flatten().flat_map(|table| table.lines());
    lines.filter_map(|line| connected(line, &sockets)).next()
}

/// Reads a line of `/proc/net/tcp` that is an established connection of one of these sockets: `proc_net(5)`.
fn connected(line: &str, sockets: &[String]) -> Option<Session> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, local, remote, state, _, _, _, _, _, inode, ..] = words.as_slice() else { return None };
    if *state != "01" || !sockets.iter().any(|socket| socket == inode) {
        return None;
    }
    let ((server, port), (client, _)) = (endpoint(local)?, endpoint(remote)?);
    Some(Session { client, zone: None, server: Some(server), port: Some(port) })
}

/// Reads an address as hexadecimal words in the machine's order, with its port.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session_of(client: &str, server: Option<&str>, port: u16) -> Session {
        let server = server.map(|server| server.parse().unwrap());
        Session { client: client.parse().unwrap(), zone: None, server, port: Some(port) }
    }

    fn process(proc: &Path, pid: u32, parent: u32, name: &str) -> std::path::PathBuf {
        let directory = proc.join(pid.to_string());
        std::fs::create_dir_all(directory.join("fd")).unwrap();
        std::fs::create_dir_all(directory.join("net")).unwrap();
        std::fs::write(directory.join("stat"), format!("{pid} ({name}) S {parent} 1 1")).unwrap();
        std::fs::write(directory.join("comm"), format!("{name}\n")).unwrap();
        std::fs::write(directory.join("environ"), "PATH=/bin\0").unwrap();
        directory
    }

    #[test]
    fn the_variables_of_sshd_name_both_ends() {
        let of = |text: &str| {
            session(|name| (name == "SSH_CONNECTION").then(|| text.to_owned()), 1, Path::new("/"))
        };

        assert_eq!(
            of("203.0.113.9 50022 192.0.2.1 22"),
            Some(session_of("203.0.113.9", Some("192.0.2.1"), 22))
        );
        assert_eq!(of("::ffff:203.0.113.9 50022 22"), Some(session_of("203.0.113.9", None, 22)));
        assert_eq!(of("fe80::1%eth0 50022 fe80::2%eth0 22").unwrap().zone.as_deref(), Some("eth0"));
        assert_eq!(of("UNKNOWN 65535 UNKNOWN 65535"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn a_process_without_variables_is_of_the_session_of_the_shell_above() {
        let proc = tempfile::tempdir().unwrap();
        let shell = process(proc.path(), 10, 9, "bash");
        std::fs::write(shell.join("environ"), "A=1\0SSH_CONNECTION=203.0.113.9 5 192.0.2.1 22\0").unwrap();
        process(proc.path(), 11, 10, "su) do");
        process(proc.path(), 12, 11, "netform");

        let found = session(|_| None, 12, proc.path());

        assert_eq!(found, Some(session_of("203.0.113.9", Some("192.0.2.1"), 22)));
    }

    #[test]
    fn a_shell_without_variables_is_of_the_session_of_the_sshd_above() {
        let proc = tempfile::tempdir().unwrap();
        let sshd = process(proc.path(), 9, 1, "sshd-session");
        std::os::unix::fs::symlink("socket:[4711]", sshd.join("fd/4")).unwrap();
        let hex = |ip: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(ip));
        let (here, there) = (hex([192, 0, 2, 1]), hex([203, 0, 113, 9]));
        let table = format!(
            "  sl  local_address rem_address   st\n   \
             0: {here}:0016 00000000:0000 0A 0:0 0:0 0 0 0 4711 1\n   \
             1: {here}:0016 {there}:C366 01 0:0 0:0 0 0 0 4711 1\n"
        );
        std::fs::write(sshd.join("net/tcp"), table).unwrap();
        process(proc.path(), 10, 9, "bash");

        let found = session(|_| None, 10, proc.path());

        assert_eq!(found, Some(session_of("203.0.113.9", Some("192.0.2.1"), 22)));
        assert_eq!(session(|_| None, 9, proc.path()), None, "a daemon has no session");
    }
}
