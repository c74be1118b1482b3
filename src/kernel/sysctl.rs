//! Kernel parameters, as files below `/proc/sys`.
//!
//! `/proc/sys/net` shows the parameters of the namespace that the opening *thread* is in (`net_ctl_header_lookup()`,
//! `net/sysctl_net.c`).

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::thread::UnshareFlags;

use super::netns;
use crate::resource::netns::NsRef;
use crate::resource::sysctl::{Sysctl, SysctlKey};

/// Where the files of parameters are.
pub(super) const ROOT: &str = "/proc/sys";

/// Returns the file of a parameter.
pub(crate) fn path(key: &SysctlKey) -> PathBuf {
    Path::new(ROOT).join(key.to_string())
}

/// Returns the value that a parameter has in the calling thread's namespace, with one space between its words.
pub(crate) fn read(key: &SysctlKey) -> io::Result<String> {
    let value = fs::read_to_string(path(key))?;
    Ok(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Tells whether the kernel knows a parameter of containers: of links, whatever link and namespace it is in, or of a namespace,
/// as a new one has it. Where none can be made, nobody knows.
pub fn is_known(key: &SysctlKey) -> bool {
    match key {
        SysctlKey::Ipv4Forward | SysctlKey::Ipv6Forward => true,
        SysctlKey::PerLink { .. } => key.of_a_new_link().is_none_or(|key| path(&key).exists()),
        SysctlKey::Whole(_) => in_a_new_namespace(key).is_none_or(|value| value.is_some()),
    }
}

/// Returns what a parameter is in a new namespace, `None` inside when it is not there; `None` when no namespace can be made.
pub fn in_a_new_namespace(key: &SysctlKey) -> Option<Option<String>> {
    let key = key.clone();
    let look = move || netns::unshare(UnshareFlags::NEWNET).ok().map(|()| read(&key).ok());
    std::thread::spawn(look).join().ok().flatten()
}

/// Gives a parameter its value in the calling thread's namespace, unless it has it: where `/proc/sys` is read-only, or
/// a write would reset other parameters (`ip_forward` does), what is right already stays untouched.
pub(super) fn write_here(key: &SysctlKey, value: &str) -> io::Result<()> {
    if read(key)? == value { Ok(()) } else { fs::write(path(key), value) }
}

/// Gives parameters their values, each in its namespace; returns one result for each, in their order.
pub(crate) async fn write(sysctls: Vec<Sysctl>) -> Vec<io::Result<()>> {
    let count = sysctls.len();
    let written = netns::on_thread(move || {
        let mut here = NsRef::Host;
        let mut all: Vec<_> = sysctls.iter().enumerate().collect();
        // A host that begins to forward loses the routes that routers told by a link whose `accept_ra` is not 2 by then
        // (`rt6_purge_dflt_routers()` in Linux `net/ipv6/route.c`).
        all.sort_by_key(|(_, Sysctl { ns, key, value: _ })| (*ns != NsRef::Host, key.link().is_none()));
        let mut written: Vec<_> =
            all.into_iter().map(|(at, sysctl)| (at, write_inside(sysctl, &mut here))).collect();
        written.sort_by_key(|(at, _)| *at);
        written.into_iter().map(|(_, outcome)| outcome).collect()
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
