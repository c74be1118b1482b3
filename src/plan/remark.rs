//! The commands that set a mark back, or give one.

use super::equivalent::In;
use super::mended;
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
    let mut lines = mended::namespace(from, to);
    if from.stray != to.stray || lines.is_empty() {
        lines.push(format!("{ip} link set lo alias ...  # the owner's mark"));
    }
    lines
}
