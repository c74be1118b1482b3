//! The commands that set a mark back, or give one.

use super::equivalent::{In, state};
use crate::resource::address::Address;
use crate::resource::netns::Netns;
use crate::resource::route::PROTOCOL;

/// Returns what gives an address its number.
pub(super) fn address(to: &Address) -> String {
    let Address { ns, link, addr, lost: _, stray: _ } = to;
    format!("{} addr replace {addr} dev {link} proto {PROTOCOL}", In("ip", ns))
}

/// Has a route put with its number.
pub(super) fn route(command: String) -> String {
    format!("{command} proto {PROTOCOL}")
}

/// Returns what has a namespace speak to itself, and bear its mark.
pub(super) fn namespace(from: &Netns, to: &Netns) -> Vec<String> {
    let ip = format!("ip -n {}", to.name);
    let mut lines = vec![];
    lines.extend((from.lo != to.lo).then(|| format!("{ip} link set lo {}", state(to.lo))));
    // The kernel itself gives it to what comes up.
    let verb = if to.loopback { "replace" } else { "del" };
    let is_other = from.loopback != to.loopback;
    lines.extend(is_other.then(|| format!("{ip} addr {verb} 127.0.0.1/8 dev lo scope host")));
    if from.stray != to.stray || lines.is_empty() {
        lines.push(format!("{ip} link set lo alias ...  # the owner's mark"));
    }
    lines
}
