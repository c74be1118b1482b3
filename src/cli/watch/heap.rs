//! Memory of the daemon: its first run needs more than all that follow, and glibc keeps what it once had.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::watch::signals;

/// What glibc is to be told: one pool of memory for all threads, the end of which goes back to the kernel when more than
/// 128 KiB of it are free (mallopt(3)).
const SETTINGS: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

/// Has glibc give memory back. It reads that only where a program begins, so the process becomes the same program once
/// more, unless somebody has settled it already. When that cannot be done, the daemon is larger, and nothing else.
pub(super) fn give_back() {
    if SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let mut arguments = std::env::args_os();
    let mut same = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        same.arg0(name);
    }
    same.args(arguments).envs(SETTINGS);
    let _ = signals::put_off(|| drop(same.exec()));
}
