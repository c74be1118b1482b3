//! `netform sandbox`: a manifest applied in private namespaces, and a command or a shell in there.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::stdio;

use super::args::{Common, HowMuch, PlanFormat, Rendering, Run, WhenItFails};
use super::failure::{Code, Failure};
use super::run::Request;
use super::session::Aim;
use super::show::Style;
use crate::kernel::sandbox::sandbox;

/// Where the sandbox keeps its state: in its own memory.
const STATE_DIR: &str = "/run/netform/state";
/// The largest manifest that is read from standard input, in bytes: the limit of a manifest's file.
const LIMIT: u64 = 4 << 20;
/// Where it keeps locks and journals.
const RUN_DIR: &str = "/run/netform";

/// Applies the manifest and runs the command; returns its exit code.
pub(super) fn run(common: &Common, manifest: Option<&Path>, command: &[String]) -> Result<u8, Failure> {
    let piped = manifest.filter(|path| *path == Path::new("-")).map(|_| standard_input()).transpose()?;
    let manifest = manifest.filter(|_| piped.is_none()).map(found).transpose()?;
    sandbox().map_err(|error| {
        Failure::of(Code::Privilege, &error)
            .help("this host forbids user namespaces to users (see kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns); run it as root")
    })?;
    let common = Common {
        state_dir: STATE_DIR.into(),
        run_dir: RUN_DIR.into(),
        color: common.color,
        ..common.clone()
    };
    let manifest = match piped {
        Some(text) => Some(keep(&text).map_err(|error| Failure::of(Code::Failed, &error))?),
        None => manifest,
    };
    if let Some(manifest) = &manifest {
        // Standard output is the command's.
        let aside = if command.is_empty() { None } else { aside() };
        let show = Rendering { verbose: false, detail: HowMuch::Changed, output: PlanFormat::Text };
        let run = Run {
            yes: true,
            lock_timeout: Duration::ZERO,
            max_destroy: None,
            allow_empty: true,
            // What happens here reaches nobody outside.
            allow_management_path: true,
            on_failure: WhenItFails::Rollback,
        };
        let style = if command.is_empty() { Style::of_stdout(&common) } else { Style::of_stderr(&common) };
        let request = Request::new("apply", Aim::Manifest, &show, &run, style);
        super::block_on(super::change(&common, manifest, &request))?;
        aside.map_or(Ok(()), stdio::dup2_stdout).map_err(|error| Failure::of(Code::Failed, &error))?;
    }
    let shell = || vec![std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned())];
    let command = if command.is_empty() { shell() } else { command.to_vec() };
    become_shell(&command, manifest.as_deref())
}

/// Has all that is written to standard output go to standard error from now on; returns standard output.
fn aside() -> Option<OwnedFd> {
    let kept = rustix::io::fcntl_dupfd_cloexec(stdio::stdout(), 3).ok()?;
    stdio::dup2_stdout(stdio::stderr()).ok().map(|()| kept)
}

/// Reads the manifest from standard input.
fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut text = vec![];
    std::io::stdin()
        .lock()
        .take(LIMIT + 1)
        .read_to_end(&mut text)
        .map_err(|error| Failure::new(Code::NoInput, format!("cannot read standard input: {error}")))?;
    if text.len() as u64 > LIMIT {
        let message = format!("standard input is larger than {} MiB", LIMIT >> 20);
        return Err(Failure::new(Code::Manifest, message));
    }
    Ok(text)
}

/// Keeps a manifest where the verbs that are run inside find it.
fn keep(text: &[u8]) -> std::io::Result<PathBuf> {
    let path = Path::new(RUN_DIR).join("stdin.yaml");
    std::fs::create_dir_all(RUN_DIR)?;
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Returns the manifest's path as it can be found from anywhere.
fn found(manifest: &Path) -> Result<PathBuf, Failure> {
    manifest
        .canonicalize()
        .map_err(|error| Failure::new(Code::NoInput, format!("cannot read {}: {error}", manifest.display())))
}

/// Runs the command with a `netform` that finds the sandbox's state and manifest.
fn become_shell(command: &[String], manifest: Option<&Path>) -> Result<u8, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::new(Code::Usage, "no command is given"));
    };
    let mut path = std::env::var("PATH").unwrap_or_default();
    if let Some(here) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        path = format!("{}:{path}:/usr/sbin:/sbin", here.display());
    }
    let mut child = Command::new(program);
    child
        .args(arguments)
        .env("PATH", path)
        .env("NETFORM_STATE_DIR", STATE_DIR)
        .env("NETFORM_RUN_DIR", RUN_DIR);
    if let Some(manifest) = manifest {
        child.env("NETFORM_MANIFEST", manifest);
    }
    let status = child
        .status()
        .map_err(|error| Failure::new(Code::NoInput, format!("cannot run `{program}`: {error}")))?;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    // As shells do: 128 and the signal's number.
    let code = status.code().unwrap_or_else(|| 128 + signal.unwrap_or_default());
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}
