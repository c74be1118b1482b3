//! Kernel parameters, as files below `/proc/sys`.
//!
//! `/proc/sys/net` shows the parameters of the namespace that the opening *thread* is in (`net_ctl_header_lookup()`,
//! `net/sysctl_net.c`).

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::netns;
use crate::resource::netns::NsRef;
use crate::resource::sysctl::{Sysctl, SysctlKey};

/// Where the files of parameters are.
pub(super) const ROOT: &str = "/proc/sys";

/// Returns the file of a parameter.
pub(crate) fn path(key: &SysctlKey) -> PathBuf {
    Path::new(ROOT).join(key.to_string())
}

/// Returns the value that a parameter has in the calling thread's namespace, without white space at the ends.
pub(crate) fn read(key: &SysctlKey) -> io::Result<String> {
    fs::read_to_string(path(key)).map(|value| value.trim().to_owned())
}

/// Tells whether the kernel knows a parameter of links, whatever link and namespace it is in.
pub fn is_known(key: &SysctlKey) -> bool {
    key.of_a_new_link().is_none_or(|key| path(&key).exists())
}

/// Gives a parameter its value in the calling thread's namespace, unless it has it: where `/proc/sys` is read-only, or
/// a write would reset other parameters (`ip_forward` does), what is right already stays untouched.
fn write_here(key: &SysctlKey, value: &str) -> io::Result<()> {
    if read(key)? == value { Ok(()) } else { fs::write(path(key), value) }
}

/// Gives parameters their values, each in its namespace; returns one result for each, in their order.
pub(crate) async fn write(sysctls: Vec<Sysctl>) -> Vec<io::Result<()>> {
    let count = sysctls.len();
    let written = netns::on_thread(move || {
        let mut here = NsRef::Host;
        sysctls.iter().map(|sysctl| write_inside(sysctl, &mut here)).collect()
    });
    written
        .await
        .unwrap_or_else(|error| (0..count).map(|_| Err(io::Error::other(error.to_string()))).collect())
}

/// Goes to the parameter's namespace, unless the thread is there already, which needs no privileges.
fn write_inside(sysctl: &Sysctl, here: &mut NsRef) -> io::Result<()> {
    let Sysctl { ns, key, value } = sysctl;
    if ns != here {
        netns::join(netns::open(ns)?.as_fd())?;
        *here = ns.clone();
    }
    write_here(key, value)
}
