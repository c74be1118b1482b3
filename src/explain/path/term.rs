//! What a rule looks at, and whether it is what the rule asks for: yes, no, or not to be known from here.
//!
//! Sources: `libnftables-json(5)`; `net/netfilter/nft_meta.c`, `nft_ct.c` and `nft_fib.c` in Linux.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::packet::{Packet, Protocol, State};
use super::rules::{Place, Rules, element, field};

/// What is seen at a hook.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    /// The packet.
    pub(super) packet: Packet,
    /// The interface that it came by; empty when it begins here.
    pub(super) came_by: &'a str,
    /// The interface that it leaves by; empty before that is decided.
    pub(super) leaves_by: &'a str,
    /// The addresses of this namespace, with their interfaces.
    pub(super) own: &'a [(IpAddr, &'a str)],
    /// Whether a frame of a bridge is looked at, and no packet of the IP layer.
    pub(super) is_frame: bool,
}

/// A value that a rule looks at.
#[derive(Debug, Clone, PartialEq)]
enum Atom {
    Address(IpAddr),
    Number(u64),
    /// A number that has names.
    Named(&'static [&'static str], u64),
    Text(String),
    /// Bits with names, and which of them are known.
    Bits(&'static [(&'static str, u64)], u64, u64),
    /// A source port that the kernel chooses.
    Ephemeral,
    Unknown,
}

/// What a rule looks at.
enum Term {
    Atoms(Vec<Atom>),
    /// The packet has no such thing, so the rule does not match.
    Absent,
}

const STATES: &[(&str, u64)] =
    &[("invalid", 1), ("established", 2), ("related", 4), ("new", 8), ("untracked", 64)];
const STATUS: &[(&str, u64)] = &[
    ("expected", 1),
    ("seen-reply", 2),
    ("assured", 4),
    ("confirmed", 8),
    ("snat", 16),
    ("dnat", 32),
    ("dying", 512),
];
const FLAGS: &[(&str, u64)] =
    &[("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ecn", 64), ("cwr", 128)];

/// Below this, no port is chosen by the kernel: `net.ipv4.ip_local_port_range` is above unless somebody changes it.
const PRIVILEGED: u64 = 1024;

/// Tells whether a condition holds: `{"match": {"op", "left", "right"}}`.
pub(super) fn holds(test: &Value, view: &View<'_>, (rules, at): (&Rules, &Place)) -> Option<bool> {
    let (left, right) = (field(test, "left"), field(test, "right"));
    let Term::Atoms(atoms) = term(left, view) else { return Some(false) };
    let any = field(test, "op") == "in";
    let is = fits(&atoms, right, any, (rules, at));
    match field(test, "op").as_str() {
        Some("==" | "in") => is,
        Some("!=") => is.map(|is| !is),
        Some(op @ ("<" | ">" | "<=" | ">=")) => compared(&atoms, op, right),
        Some(_) | None => None,
    }
}

/// Returns what is written beside the element of a set that a condition finds.
pub(super) fn beside(test: &Value, view: &View<'_>, (rules, at): (&Rules, &Place)) -> Option<String> {
    let name = field(test, "right").as_str()?.strip_prefix('@')?;
    let Term::Atoms(atoms) = term(field(test, "left"), view) else { return None };
    let set = (at.0.clone(), at.1.clone(), name.to_owned());
    let mut elements = rules.set(&set)?.iter();
    let found = elements.position(|(key, _)| fits(&atoms, key, false, (rules, at)) == Some(true))?;
    rules.beside(&set, found).map(str::to_owned)
}

fn compared(atoms: &[Atom], op: &str, right: &Value) -> Option<bool> {
    let ([Atom::Number(left)], Some(right)) = (atoms, right.as_u64()) else { return None };
    Some(match op {
        "<" => *left < right,
        ">" => *left > right,
        "<=" => *left <= right,
        _ => *left >= right,
    })
}

/// Returns what a map holds under a key; `Err` when that is not to be known, `Ok(None)` when there is nothing.
pub(super) fn looked_up(
    (key, data): (&Value, &Value),
    view: &View<'_>,
    (rules, at): (&Rules, &Place),
) -> Result<Option<Value>, ()> {
    let Term::Atoms(atoms) = term(key, view) else { return Ok(None) };
    let named = data.as_str().and_then(|name| name.strip_prefix('@'));
    let elements = match named {
        Some(name) => rules.set(&(at.0.clone(), at.1.clone(), name.to_owned())).ok_or(())?.to_vec(),
        None => field(data, "set").as_array().ok_or(())?.iter().map(element).collect(),
    };
    let mut doubtful = false;
    for (key, data) in elements {
        match fits(&atoms, &key, false, (rules, at)) {
            Some(true) => return if doubtful { Err(()) } else { Ok(data) },
            Some(false) => {}
            None => doubtful = true,
        }
    }
    if doubtful { Err(()) } else { Ok(None) }
}

/// Tells whether atoms are what the right side of a condition says.
fn fits(atoms: &[Atom], right: &Value, any: bool, (rules, at): (&Rules, &Place)) -> Option<bool> {
    if let Some(name) = right.as_str().and_then(|text| text.strip_prefix('@')) {
        let elements = rules.set(&(at.0.clone(), at.1.clone(), name.to_owned()))?;
        return any_of(elements.iter().map(|(key, _)| fits(atoms, key, any, (rules, at))));
    }
    if let Some(items) = field(right, "set").as_array() {
        return any_of(items.iter().map(|item| fits(atoms, &element(item).0, any, (rules, at))));
    }
    if let Some(parts) = field(right, "concat").as_array() {
        if parts.len() != atoms.len() {
            return None;
        }
        let each = atoms.iter().zip(parts).map(|(atom, part)| equals(atom, part, any));
        return all_of(each);
    }
    match atoms {
        [atom] => equals(atom, right, any),
        _ => None,
    }
}

/// Tells whether one of these holds.
fn any_of(each: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut known = true;
    for one in each {
        match one {
            Some(true) => return Some(true),
            Some(false) => {}
            None => known = false,
        }
    }
    known.then_some(false)
}

/// Tells whether all of these hold.
pub(super) fn all_of(each: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    any_of(each.map(|one| one.map(|one| !one))).map(|any| !any)
}

fn equals(atom: &Atom, right: &Value, any: bool) -> Option<bool> {
    if right == "*" {
        return Some(true);
    }
    if let Some(parts) = field(right, "range").as_array() {
        let [first, last] = parts.as_slice() else { return None };
        return within(atom, first, last);
    }
    match atom {
        Atom::Unknown => None,
        Atom::Ephemeral => right.as_u64().filter(|port| *port < PRIVILEGED).map(|_| false),
        Atom::Address(address) => match field(right, "prefix").as_object() {
            Some(prefix) => {
                let net = prefix.get("addr")?.as_str()?.parse().ok()?;
                let length = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
                Some(IpNet::new(net, length).ok()?.contains(address))
            }
            None => Some(right.as_str()?.parse::<IpAddr>().ok()? == *address),
        },
        Atom::Number(number) => Some(right.as_u64()? == *number),
        Atom::Named(names, number) => match right.as_str() {
            Some(text) => Some(names.contains(&text)),
            None => Some(right.as_u64()? == *number),
        },
        Atom::Text(text) => {
            let right = right.as_str()?;
            Some(right.strip_suffix('*').map_or(right == text, |start| text.starts_with(start)))
        }
        Atom::Bits(names, bits, known) => bits_are((names, *bits, *known), right, any),
    }
}

fn within(atom: &Atom, first: &Value, last: &Value) -> Option<bool> {
    match atom {
        Atom::Number(number) => Some(first.as_u64()? <= *number && *number <= last.as_u64()?),
        Atom::Address(address) => {
            let [first, last] = [first, last].map(|end| end.as_str()?.parse::<IpAddr>().ok());
            let (first, last) = (first?, last?);
            Some(first.is_ipv4() == address.is_ipv4() && first <= *address && *address <= last)
        }
        Atom::Ephemeral => match (first.as_u64()?, last.as_u64()?) {
            (_, last) if last < PRIVILEGED => Some(false),
            (first, last) if first <= PRIVILEGED && last == u64::from(u16::MAX) => Some(true),
            (_, _) => None,
        },
        Atom::Named(..) | Atom::Text(_) | Atom::Bits(..) | Atom::Unknown => None,
    }
}

/// Tells whether bits are these, or with `any` whether one of them is set.
fn bits_are((names, bits, known): (&[(&str, u64)], u64, u64), right: &Value, any: bool) -> Option<bool> {
    let wanted = bits_of(names, right)?;
    if any && bits & wanted != 0 {
        Some(true)
    } else if wanted & !known != 0 || (!any && names == STATUS) {
        None
    } else if any {
        Some(false)
    } else {
        Some(bits == wanted)
    }
}

fn bits_of(names: &[(&str, u64)], value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    if let Some(parts) = value.as_array().or_else(|| field(value, "|").as_array()) {
        return parts.iter().try_fold(0, |all, part| Some(all | bits_of(names, part)?));
    }
    let text = value.as_str()?;
    names.iter().find(|(name, _)| *name == text).map(|(_, bit)| *bit)
}

fn term(value: &Value, view: &View<'_>) -> Term {
    let one = |atom| Term::Atoms(vec![atom]);
    if let Some(parts) = field(value, "concat").as_array() {
        let mut atoms = vec![];
        for part in parts {
            match term(part, view) {
                Term::Atoms(more) => atoms.extend(more),
                Term::Absent => return Term::Absent,
            }
        }
        return Term::Atoms(atoms);
    }
    if let Some([left, mask]) = field(value, "&").as_array().map(Vec::as_slice) {
        let Term::Atoms(atoms) = term(left, view) else { return Term::Absent };
        return one(match (atoms.as_slice(), mask) {
            ([Atom::Number(number)], mask) => {
                mask.as_u64().map_or(Atom::Unknown, |mask| Atom::Number(number & mask))
            }
            ([Atom::Bits(names, bits, known)], mask) => bits_of(names, mask)
                .map_or(Atom::Unknown, |mask| Atom::Bits(names, bits & mask, known | !mask)),
            (_, _) => Atom::Unknown,
        });
    }
    if let Some(key) = field(field(value, "meta"), "key").as_str() {
        return one(meta(key, view));
    }
    if let Some(payload) = value.get("payload") {
        let [protocol, field] =
            ["protocol", "field"].map(|key| field(payload, key).as_str().unwrap_or_default());
        return self::payload((protocol, field), view);
    }
    if let Some(key) = field(field(value, "ct"), "key").as_str() {
        return one(conntrack(key, view));
    }
    if let Some(fib) = value.get("fib") {
        return one(kind_of_address(fib, view));
    }
    one(Atom::Unknown)
}

fn meta(key: &str, view: &View<'_>) -> Atom {
    let v4 = view.packet.dest.is_ipv4();
    match key {
        "iifname" | "iif" => Atom::Text(view.came_by.to_owned()),
        "oifname" | "oif" => Atom::Text(view.leaves_by.to_owned()),
        "l4proto" => protocol(view.packet.protocol, v4),
        "nfproto" => Atom::Named(if v4 { &["ipv4"] } else { &["ipv6"] }, if v4 { 2 } else { 10 }),
        "protocol" => ether(v4),
        "mark" => view.packet.mark.map_or(Atom::Unknown, |mark| Atom::Number(u64::from(mark))),
        "pkttype" => Atom::Named(&["host", "unicast"], 0),
        _ => Atom::Unknown,
    }
}

fn ether(v4: bool) -> Atom {
    if v4 { Atom::Named(&["ip", "ip4"], 0x0800) } else { Atom::Named(&["ip6"], 0x86dd) }
}

fn protocol(protocol: Protocol, v4: bool) -> Atom {
    match protocol {
        Protocol::Tcp => Atom::Named(&["tcp"], 6),
        Protocol::Udp => Atom::Named(&["udp"], 17),
        Protocol::Sctp => Atom::Named(&["sctp"], 132),
        Protocol::Ping if v4 => Atom::Named(&["icmp"], 1),
        Protocol::Ping => Atom::Named(&["ipv6-icmp", "icmpv6"], 58),
    }
}

fn payload((header, name): (&str, &str), view: &View<'_>) -> Term {
    let packet = &view.packet;
    let v4 = packet.dest.is_ipv4();
    let of_transport = match header {
        "th" => packet.protocol != Protocol::Ping,
        "tcp" | "udp" | "sctp" => packet.protocol.as_str() == header,
        _ => false,
    };
    let port = |port: Option<u16>| port.map_or(Atom::Ephemeral, |port| Atom::Number(u64::from(port)));
    let atom = match (header, name) {
        ("ip", _) if !v4 => return Term::Absent,
        ("ip6", _) if v4 => return Term::Absent,
        ("ip" | "ip6", "saddr") => Atom::Address(packet.source),
        ("ip" | "ip6", "daddr") => Atom::Address(packet.dest),
        ("ip", "protocol") | ("ip6", "nexthdr") => protocol(packet.protocol, v4),
        ("ip" | "ip6", _) => Atom::Unknown,
        ("th" | "tcp" | "udp" | "sctp", _) if !of_transport => return Term::Absent,
        ("th" | "tcp" | "udp" | "sctp", "sport") => port(packet.source_port),
        ("th" | "tcp" | "udp" | "sctp", "dport") => port(packet.dest_port),
        ("tcp", "flags") => Atom::Bits(FLAGS, if packet.answers { 18 } else { 2 }, u64::MAX),
        ("th" | "tcp" | "udp" | "sctp", _) => Atom::Unknown,
        ("icmp", _) if !(v4 && packet.protocol == Protocol::Ping) => return Term::Absent,
        ("icmpv6", _) if v4 || packet.protocol != Protocol::Ping => return Term::Absent,
        ("icmp", "type") if packet.answers => Atom::Named(&["echo-reply"], 0),
        ("icmp", "type") => Atom::Named(&["echo-request"], 8),
        ("icmpv6", "type") if packet.answers => Atom::Named(&["echo-reply"], 129),
        ("icmpv6", "type") => Atom::Named(&["echo-request"], 128),
        ("icmp" | "icmpv6", "code") => Atom::Number(0),
        ("ether", "type") if view.is_frame => ether(v4),
        ("arp" | "vlan" | "dccp" | "udplite" | "esp" | "ah" | "comp" | "igmp", _) => return Term::Absent,
        (_, _) => Atom::Unknown,
    };
    Term::Atoms(vec![atom])
}

fn conntrack(key: &str, view: &View<'_>) -> Atom {
    let bit = |state: State| match state {
        State::New => Some(8),
        State::Established => Some(2),
        State::Invalid => Some(1),
        State::Unknown => None,
    };
    match (key, bit(view.packet.state)) {
        // Whether connections of a bridge's frames are followed depends on a module of the kernel.
        (_, _) if view.is_frame => Atom::Unknown,
        (_, None) => Atom::Unknown,
        ("state", Some(state)) => Atom::Bits(STATES, state, u64::MAX),
        ("status", Some(_)) => {
            let bits = if view.packet.led { 32 } else { 0 } | if view.packet.hidden { 16 } else { 0 };
            Atom::Bits(STATUS, bits, 48)
        }
        ("direction", Some(_)) if view.packet.answers => Atom::Named(&["reply"], 1),
        ("direction", Some(_)) => Atom::Named(&["original"], 0),
        (_, Some(_)) => Atom::Unknown,
    }
}

/// The kind of an address; that of the local ones is all that is known here.
fn kind_of_address(fib: &Value, view: &View<'_>) -> Atom {
    let flags: Vec<&str> = match field(fib, "flags") {
        flags if flags.is_array() => {
            flags.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        }
        flags => flags.as_str().into_iter().collect(),
    };
    let address = match flags.as_slice() {
        flags if flags.contains(&"daddr") => view.packet.dest,
        flags if flags.contains(&"saddr") => view.packet.source,
        _ => return Atom::Unknown,
    };
    if field(fib, "result") != "type" || flags.contains(&"mark") || flags.contains(&"oif") {
        return Atom::Unknown;
    }
    let here = |link: &str| !flags.contains(&"iif") || link == view.came_by;
    let local = view.own.iter().any(|(own, link)| *own == address && here(link))
        || (address.is_loopback() && !flags.contains(&"iif"));
    let kind = match (local, address) {
        (true, _) => "local",
        (false, address) if address.is_multicast() => "multicast",
        (false, _) => "unicast",
    };
    Atom::Text(kind.to_owned())
}
