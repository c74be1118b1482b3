//! How much the host has room for.

use std::fs;
use std::str::FromStr;

use crate::topology::facts::Limits;

/// Returns the limits, as far as they can be read: in namespaces of one's own, the tables of neighbours are not shown
/// (`neigh_sysctl_register()` in Linux `net/core/neighbour.c`).
pub(super) fn read() -> Limits {
    Limits {
        neighbours4: number("/proc/sys/net/ipv4/neigh/default/gc_thresh3"),
        neighbours6: number("/proc/sys/net/ipv6/neigh/default/gc_thresh3"),
        namespaces: number("/proc/sys/user/max_net_namespaces"),
    }
}

fn number<T: FromStr>(path: &str) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
