//! Processes, told from others of the same number.
//!
//! The kernel gives a number again once its process is gone. When it started tells one process from the other, so a
//! namespace is opened first, and then it is looked who it was opened of: a process that still has its number now had it
//! before.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::netns::{Identity, identity_of};
use crate::resource::netns::Process;

/// Returns the process that has a number, unless it has ended; one that its parent has not asked about yet has.
pub fn of(pid: u32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let (state, started) = parsed(&String::from_utf8_lossy(&stat))?;
    (!matches!(state, 'Z' | 'X' | 'x')).then_some(Process { pid, started })
}

/// Tells whether a process is there.
pub fn lives(process: Process) -> bool {
    of(process.pid) == Some(process)
}

/// Tells whether somebody has stopped a process, which goes on when it is let: `SIGSTOP`, signal(7).
pub fn is_stopped(pid: u32) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    parsed(&String::from_utf8_lossy(&stat)).is_some_and(|(state, _)| state == 'T')
}

/// Tells in which network namespace a process is; `None` when it has ended.
pub fn namespace_id(process: Process) -> Option<Identity> {
    identity_of(namespace(process).ok()??.as_fd()).ok()
}

/// Opens the network namespace of a process; `None` when it has ended.
pub(super) fn namespace(process: Process) -> io::Result<Option<OwnedFd>> {
    let path = format!("/proc/{}/ns/net", process.pid);
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    if !lives(process) {
        return Ok(None);
    }
    Ok(Some(opened?))
}

/// Returns the state and the starting time that a line of `/proc/PID/stat` tells: fields 3 and 22, proc(5).
///
/// The second field is the program's name in parentheses, which may hold anything, parentheses and spaces too.
fn parsed(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let rest = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 2 3";
        assert_eq!(parsed(&format!("42 (sh) {rest}")), Some(('S', 777)));
        assert_eq!(parsed(&format!("42 (a) Z 1 (b)) {rest}")), Some(('S', 777)));
        assert_eq!(parsed("42 (sh) S 1"), None);
    }

    #[test]
    fn a_process_is_not_another_one_of_its_number() {
        let me = of(std::process::id()).unwrap();

        assert!(lives(me) && namespace(me).unwrap().is_some());
        let before = Process { started: me.started - 1, ..me };
        assert!(!lives(before) && namespace(before).unwrap().is_none());
        assert!(!lives(Process::NOBODY) && namespace(Process::NOBODY).unwrap().is_none());
    }
}
