//! The only place where errors become exit codes and last words.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::args::Common;
use crate::apply::lock::LockError;
use crate::apply::{Dirs, DiskError, RecoverError};
use crate::kernel::{FailureKind, ObserveError, process};
use crate::manifest::problem::Record;
use crate::names::ProjectName;
use crate::plan::Conflict;
use crate::plan::target::SelectError;

/// How a command ends when it does not end well; the discriminant is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    /// Failed, nothing was changed.
    Failed = 1,
    /// Failed part-way: the live state is between the old one and the new one.
    Stranded = 3,
    /// Failed, and undone: the live state is as it was.
    RolledBack = 4,
    /// The saved plan does not fit any more.
    Stale = 5,
    /// Another run holds the lock.
    Locked = 6,
    /// A guard refused.
    Guarded = 7,
    /// Not confirmed in time, and reverted.
    Unconfirmed = 8,
    /// An object in the way is somebody else's.
    Foreign = 9,
    /// The command line is wrong.
    Usage = 64,
    /// The manifest is wrong.
    Manifest = 65,
    /// A file is not there.
    NoInput = 66,
    /// The kernel lacks a feature, or a program is not installed.
    Missing = 69,
    /// A privilege is missing.
    Privilege = 77,
    /// The user interrupted.
    Interrupted = 130,
}

/// Why a command ended, for the user.
#[derive(Debug)]
pub(super) struct Failure {
    /// The exit code.
    pub(super) code: Code,
    /// What happened, with causes; may have several lines.
    pub(super) message: String,
    /// What to do about it.
    pub(super) help: Option<String>,
    /// Of a wrong manifest, what is wrong with it: what `message` says, for machines.
    pub(super) diagnostics: Vec<Record>,
}

impl Failure {
    /// Returns a failure that says `message`.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, diagnostics: vec![] }
    }

    /// Returns a failure that says an error and its causes.
    pub(super) fn of(code: Code, error: &dyn std::error::Error) -> Self {
        Self::new(code, chain(error))
    }

    /// Adds what to do about it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, message, help, diagnostics: _ } = self;
        match code {
            // Diagnostics of the manifest are rendered whole, with their own help.
            Code::Manifest => write!(f, "{}", message.trim_end())?,
            Code::Failed
            | Code::Stranded
            | Code::RolledBack
            | Code::Stale
            | Code::Locked
            | Code::Guarded
            | Code::Unconfirmed
            | Code::Foreign
            | Code::Usage
            | Code::NoInput
            | Code::Missing
            | Code::Privilege
            | Code::Interrupted => write!(f, "error: {message}")?,
        }
        if let Some(help) = help {
            write!(f, "\nhelp: {help}")?;
        }
        Ok(())
    }
}

/// Returns an error with its causes, as `doing this: because of that: for this reason`.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Returns the failure of a choice of resources that cannot be planned for.
pub(super) fn unselectable(errors: &[SelectError]) -> Failure {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let help = errors.iter().map(|error| match error {
        SelectError::Unknown { address: _, meant: Some(meant) } => format!("did you mean `{meant}`?"),
        SelectError::Unknown { address: _, meant: None } => {
            "`netform plan --show summary` lists addresses".to_owned()
        }
        SelectError::Needs { target: _, needs } => format!("do not exclude {needs}"),
        SelectError::Carries { target: _, on: other } | SelectError::Taken { from: other, .. } => {
            format!("--target {other} takes it along")
        }
    });
    let help: BTreeSet<_> = help.collect();
    Failure::new(Code::Usage, lines.join("; ")).help(help.into_iter().collect::<Vec<_>>().join("; "))
}

/// Returns the exit code of a failure that changed nothing.
pub(super) fn code_of(kind: FailureKind) -> Code {
    match kind {
        FailureKind::Privilege => Code::Privilege,
        FailureKind::Missing | FailureKind::Switch => Code::Missing,
        FailureKind::Other => Code::Failed,
    }
}

/// Returns what helps with a failure of this kind.
pub(super) fn help_for(kind: FailureKind) -> Option<&'static str> {
    match kind {
        FailureKind::Privilege => {
            Some("run it as root (CAP_NET_ADMIN and CAP_SYS_ADMIN), or try it without with `netform sandbox`")
        }
        FailureKind::Missing => {
            Some("install nftables (apt-get install nftables), and check that the kernel has nf_tables")
        }
        FailureKind::Switch => Some(
            "install Open vSwitch (apt-get install openvswitch-switch) and start it; --ovs-rundir names another directory \
             than /run/openvswitch",
        ),
        FailureKind::Other => None,
    }
}

/// Returns the failure of a kernel that cannot be read.
pub(super) fn unreadable(error: ObserveError) -> Failure {
    Failure { help: help_for(error.kind).map(str::to_owned), ..Failure::of(code_of(error.kind), &error) }
}

/// Returns the failure of a state directory that cannot be used.
pub(super) fn disk_failure(error: &DiskError) -> Failure {
    let failure = Failure::of(Code::Failed, error);
    match error {
        DiskError::Newer { .. } => failure.help("use the netform that wrote it, or a later one"),
        DiskError::Read { source, .. } | DiskError::Write { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Failure { code: Code::Privilege, ..failure }.help(
                "run it as root (CAP_NET_ADMIN and CAP_SYS_ADMIN), or try it without with `netform sandbox`; \
                 --state-dir and --run-dir name other directories",
            )
        }
        DiskError::Write { .. } if error.is_full() => failure.help(ROOM),
        DiskError::Read { .. } | DiskError::Write { .. } | DiskError::Damaged { .. } => failure,
    }
}

/// What to do where nothing can be written.
pub(super) const ROOM: &str = "make room there, or have it writable, and do it again";

/// Returns the failure of a run that cannot finish or undo what an earlier one began.
pub(super) fn unrecovered(error: &RecoverError) -> Failure {
    let failure = Failure::of(Code::Failed, error);
    match error {
        RecoverError::Unwritten(_) => {
            failure.help("make room there, or have it writable: it is written before anything else is done")
        }
        RecoverError::Journal(_) | RecoverError::Kernel(_) => failure,
    }
}

/// Returns the failure of what others have where ours should be.
pub(super) fn in_the_way(conflicts: &[Conflict]) -> Failure {
    let mut lines: Vec<String> = vec![];
    for conflict in conflicts {
        let at = conflict.origin.as_ref().map_or_else(String::new, |origin| format!("{origin}: "));
        let line = format!("  {at}{}\n      help: {}", chain(conflict), conflict.help);
        // A published port is several elements, and one to the user.
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    Failure::new(
        Code::Foreign,
        format!("objects of others are in the way; nothing was changed\n{}", lines.join("\n")),
    )
}
/// Returns the failure of a project of which there is nothing; tells which there are.
pub(super) fn unknown_project(project: &ProjectName, dirs: &Dirs, common: &Common) -> Failure {
    let known = dirs.neighbours();
    let known: Vec<&str> = known.iter().map(ProjectName::as_str).collect();
    Failure::new(Code::NoInput, format!("there is nothing of a project {project}")).help(
        match known.as_slice() {
            [] => format!("nothing was applied yet with --state-dir {}", common.state_dir.display()),
            known => format!("these are known: {}", known.join(", ")),
        },
    )
}

/// Returns what has a process go on that somebody has stopped.
pub(super) fn goes_on(pid: u32) -> String {
    format!("`kill -CONT {pid}` has it go on")
}

/// Returns the failure of a run that did not get its lock at this time.
pub(super) fn not_locked(error: &LockError, now: u64) -> Failure {
    match error {
        LockError::Held { holder } => {
            // Who has just taken it may not have said so yet.
            let since = if holder.since == 0 { 0 } else { now.saturating_sub(holder.since) };
            let since = Duration::from_secs(since);
            let held = match since.is_zero() {
                true => String::new(),
                false => format!("it has held it for {}; ", humantime::format_duration(since)),
            };
            let way_out = match process::is_stopped(holder.pid) {
                true => format!("somebody has stopped it, and {}", goes_on(holder.pid)),
                false => "--lock-timeout waits longer".to_owned(),
            };
            Failure::of(Code::Locked, error).help(format!("{held}{way_out}"))
        }
        LockError::Unusable { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            let help = help_for(FailureKind::Privilege).unwrap_or_default();
            Failure::of(Code::Privilege, error).help(help)
        }
        LockError::Unusable { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            Failure::of(Code::Failed, error).help(ROOM)
        }
        LockError::Unusable { .. } => Failure::of(Code::Failed, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::lock::Holder;

    #[test]
    fn who_holds_a_lock_and_is_stopped_is_told_so() {
        let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = sleeper.id();
        std::process::Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap();
        while !process::is_stopped(pid) {
            std::thread::yield_now();
        }

        let holder = Holder { pid, verb: "watch".to_owned(), since: 0 };
        let help = not_locked(&LockError::Held { holder }, 5000).help.unwrap();

        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert_eq!(help, format!("somebody has stopped it, and `kill -CONT {pid}` has it go on"));
    }

    #[test]
    fn how_long_a_lock_is_held_is_said_in_whole_seconds() {
        #[track_caller]
        fn check(since: u64, want: &str) {
            let holder = Holder { pid: 7, verb: "apply".to_owned(), since };
            assert_eq!(not_locked(&LockError::Held { holder }, 5000).help.as_deref(), Some(want));
        }
        check(4997, "it has held it for 3s; --lock-timeout waits longer");
        check(1000, "it has held it for 1h 6m 40s; --lock-timeout waits longer");
        // Not for a second, by a clock that was set back, or by one who has not said it yet.
        for since in [5000, 6000, 0] {
            check(since, "--lock-timeout waits longer");
        }
    }
}
