//! `netform exec`: a command in a container's network namespace, with its names.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use indexmap::IndexMap;

use super::args::Common;
use super::failure::{Code, Failure};
use super::loaded::{self, Loaded};
use super::runtimes::Runtimes;
use super::show::{self, Style};
use super::{block_on, env};
use crate::kernel::netns;
use crate::manifest::{Home, Manifest, Mode};
use crate::names::{ContainerName, NetnsName};
use crate::resource::netns::NsRef;
use crate::topology::facts::Leases;

/// Becomes the command; returns only when that fails.
pub(super) fn run(
    common: &Common,
    manifest: &Path,
    container: &str,
    command: &[String],
) -> Result<Infallible, Failure> {
    let loaded = loaded::load(manifest, Style::of_stderr(common))?;
    let name = env::declared(&loaded.manifest, container)?;
    let (ns, files) = home_of(common, &loaded.manifest, &name)?;
    let variables = variables(common, loaded, &name);
    netns::enter(&ns, &files).map_err(|error| {
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        let code = if denied { Code::Privilege } else { Code::Failed };
        let failure = Failure::new(code, format!("cannot enter container {container}: {error}"));
        failure.help("`netform status` shows what is there, `netform apply` makes it")
    })?;
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::new(Code::Usage, "no command is given"));
    };
    let error = Command::new(program).args(arguments).envs(variables).exec();
    Err(Failure::new(Code::NoInput, format!("cannot run `{program}`: {error}")))
}

/// Returns what the links of a container say; that it cannot be known just now is no reason to be locked out.
fn variables(common: &Common, loaded: Loaded, name: &ContainerName) -> IndexMap<String, String> {
    match block_on(env::look(common, loaded, name)) {
        // What is missing is for `netform env` to tell: standard error is the command's.
        Ok(environment) => environment.variables,
        Err(failure) => {
            show::err(&format!("warning: no variables of links: {failure}\n"));
            IndexMap::new()
        }
    }
}

/// Files that stand in for those of `/etc`, each with that one.
type Files = Vec<(PathBuf, PathBuf)>;

/// Returns the namespace of a container that the manifest declares, and the files that it has of its own.
fn home_of(
    common: &Common,
    manifest: &Manifest,
    container: &ContainerName,
) -> Result<(NsRef, Files), Failure> {
    let find = |name: &ContainerName| {
        manifest.containers.get(name).ok_or_else(|| env::undeclared(manifest, name.as_str()))
    };
    let (mut name, mut declared) = (container, find(container)?);
    match declared.value.mode.as_ref().map(|mode| &mode.value) {
        None | Some(Mode::None) => {}
        Some(Mode::Host) => return Ok((NsRef::Host, vec![])),
        Some(Mode::Container(owner)) => {
            name = owner;
            declared = find(owner)?;
        }
    }
    match declared.value.home.as_ref().map(|home| &home.value) {
        None => Ok((NsRef::Named(NetnsName::from(name)), vec![])),
        Some(Home::Netns(ns)) => Ok((ns.clone(), vec![])),
        Some(home @ (Home::Docker(_) | Home::Podman(_) | Home::Process(_))) => {
            let found = process_of(common, manifest, name)?;
            found.ok_or_else(|| {
                let message = format!("container {container} does not run ({home})");
                Failure::new(Code::Failed, message).help("`netform status` shows which are waiting")
            })
        }
    }
}

/// Returns where a container that somebody else runs lives; `None` when it does not run.
fn process_of(
    common: &Common,
    manifest: &Manifest,
    name: &ContainerName,
) -> Result<Option<(NsRef, Files)>, Failure> {
    let mut runtimes = Runtimes::new(common);
    block_on(async {
        runtimes.look(Some(manifest), &Leases::default()).await;
        Ok(())
    })?;
    let Some(run) = runtimes.look.runs.get(name) else {
        return match runtimes.look.warnings.as_slice() {
            [] => Ok(None),
            warnings => Err(Failure::new(Code::Failed, warnings.join("; "))),
        };
    };
    let hosts = run.hosts.clone().map(|file| (file, PathBuf::from("/etc/hosts")));
    let resolv_conf = run.resolv_conf.clone().map(|file| (file, PathBuf::from("/etc/resolv.conf")));
    Ok(Some((NsRef::Process(run.process), hosts.into_iter().chain(resolv_conf).collect())))
}
