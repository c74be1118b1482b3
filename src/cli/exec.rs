//! `netform exec`: a command in a container's network namespace, with its names.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::args::Common;
use super::failure::{Code, Failure};
use super::loaded;
use super::show::Style;
use crate::kernel::netns;
use crate::names::{ContainerName, NetnsName};
use crate::resource::netns::NsRef;

/// Becomes the command; returns only when that fails.
pub(super) fn run(
    common: &Common,
    manifest: &Path,
    container: &str,
    command: &[String],
) -> Result<Infallible, Failure> {
    let ns = namespace_of(common, manifest, container)?;
    netns::enter(&ns).map_err(|error| {
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        let code = if denied { Code::Privilege } else { Code::Failed };
        let failure = Failure::new(code, format!("cannot enter container {container}: {error}"));
        failure.help("`netform status` shows what is there, `netform apply` makes it")
    })?;
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::new(Code::Usage, "no command is given"));
    };
    let error = Command::new(program).args(arguments).exec();
    Err(Failure::new(Code::NoInput, format!("cannot run `{program}`: {error}")))
}

/// Returns the namespace of a container that the manifest declares.
fn namespace_of(common: &Common, manifest: &Path, container: &str) -> Result<NsRef, Failure> {
    let loaded = loaded::load(manifest, Style::of_stderr(common))?;
    let unknown = || {
        let names: Vec<_> = loaded.manifest.containers.keys().map(ContainerName::as_str).collect();
        Failure::new(Code::Usage, format!("the manifest declares no container `{container}`"))
            .help(format!("it declares: {}", names.join(", ")))
    };
    let name = ContainerName::try_from(container).map_err(|_| unknown())?;
    let declared = loaded.manifest.containers.get(&name).ok_or_else(unknown)?;
    Ok(match &declared.value.netns {
        Some(given) => given.value.clone(),
        None => NsRef::Named(NetnsName::from(&name)),
    })
}
