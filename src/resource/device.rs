//! Links of the host that a container has for itself, and what they were before, which is written on them.
//!
//! What a link was on the host is kept as further names of it (`ip link show`), in pieces: they go wherever the link goes,
//! also when the kernel takes it out of a namespace that dies (`default_device_exit_net()` in Linux `net/core/dev.c`), and
//! no file has to survive for the link to be given back as it was. They are written before anything of the link is changed
//! and removed after everything is as before, so a run that is killed leaves a link that says what is to be done with it.
//!
//! A piece is `netform=DEVICE=NN=TEXT`. iproute2 takes no `/`, `:` or white space for a name, so these are written as others.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use super::hex::hex;
use super::link::LinkKind;
use crate::names::{IfName, Mac, Mtu, ProjectName};

/// What the names begin with that say what a link was.
const PREFIX: &str = "netform=";

/// `ALTIFNAMSIZ` is 128 with the zero byte at the end: `include/uapi/linux/if.h`.
const LONGEST: usize = 127;

/// A link of the host that a container has for itself.
///
/// Two are the same when they are the same link: what it was before is of no concern to whoever wants it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Device {
    /// Its name on the host.
    pub name: IfName,
    /// What it was there; `None` as long as nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Before>>,
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, before: _ } = self;
        *name == other.name
    }
}

impl Eq for Device {}

/// What a link was on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Whether it was administratively up.
    pub up: bool,
    /// The largest packet.
    pub mtu: Mtu,
    /// Its link-layer address, when it is an Ethernet one.
    pub mac: Option<Mac>,
    /// What its owner wrote on it.
    pub alias: SmolStr,
    /// Its addresses, those left out that the kernel makes itself or that end by themselves.
    pub addresses: Vec<Held>,
    /// The routes that left by it, in all tables, those left out that the kernel makes itself or that end by themselves.
    pub routes: Vec<Led>,
}

/// An address of a link: `include/uapi/linux/if_addr.h`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The address with the prefix length of its subnet.
    pub addr: IpNet,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// The address that all in the subnet hear.
    pub broadcast: Option<Ipv4Addr>,
    /// How far it is known.
    pub scope: u8,
    /// Its flags that somebody has set: `IFA_F_NOPREFIXROUTE` and the like.
    pub flags: u32,
    /// Who says that it added it.
    pub protocol: u8,
    /// The priority of the route that comes with it.
    pub metric: u32,
    /// Its name of old, e.g. `eth2:1`.
    pub label: SmolStr,
}

/// A route that left by a link: `include/uapi/linux/rtnetlink.h`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Led {
    /// Where it leads.
    pub dest: IpNet,
    /// The next hop.
    pub via: Option<IpAddr>,
    /// The source address of packets that begin here.
    pub source: Option<IpAddr>,
    /// Its priority.
    pub metric: u32,
    /// The table that holds it.
    pub table: u32,
    /// Who says that it added it.
    pub protocol: u8,
    /// How far it leads.
    pub scope: u8,
    /// Whether the next hop is on the link though no subnet says so.
    pub onlink: bool,
    /// What else it says of packets, such as an MTU: the bytes of `RTA_METRICS`.
    pub extra: Vec<u8>,
}

/// Returns the names that say what a link was, and whose it is now; the first says most.
pub fn pieces(project: &ProjectName, name: &IfName, before: &Before) -> Vec<SmolStr> {
    let text = encoded(&text(project, before));
    let name = encoded(name.as_str());
    let room = LONGEST - PREFIX.len() - name.len() - "=00=".len();
    let pieces = text.as_bytes().chunks(room).map(String::from_utf8_lossy).enumerate();
    pieces.map(|(number, piece)| format_smolstr!("{PREFIX}{name}={number:02}={piece}")).collect()
}

/// Tells whether a further name is one of those that say what a link was.
pub fn is_piece(altname: &str) -> bool {
    altname.starts_with(PREFIX)
}

/// Returns whose a link is that is away from the host, and what it was there, from its further names; `None` when nothing
/// can be told from them.
pub fn read(altnames: &[SmolStr]) -> Option<(ProjectName, Device)> {
    let mut parts: Vec<(&str, &str, &str)> = altnames.iter().filter_map(|name| split(name)).collect();
    // Nearly no link has any.
    let device = parts.first()?.0;
    parts.retain(|(name, _, _)| *name == device);
    parts.sort_unstable_by_key(|(_, number, _)| number.parse::<usize>().unwrap_or(usize::MAX));
    let whole: String = parts.iter().map(|(_, _, text)| *text).collect();
    let (project, before) = parsed(&decoded(&whole))?;
    Some((project, Device { name: IfName::try_from(decoded(device)).ok()?, before: Some(Box::new(before)) }))
}

fn split(altname: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = altname.strip_prefix(PREFIX)?.split_once('=')?;
    let (number, text) = rest.split_once('=')?;
    Some((name, number, text))
}

/// Returns what a link was as lines, each for one thing, so that what is damaged is lost alone.
fn text(project: &ProjectName, before: &Before) -> String {
    let Before { up, mtu, mac, alias, addresses, routes } = before;
    let mac = mac.map_or_else(String::new, |mac| mac.to_string());
    let mut text = format!("{project},{},{mtu},{mac};", if *up { "up" } else { "down" });
    if !alias.is_empty() {
        let _ = write!(text, "l,{};", hex(alias.bytes()));
    }
    for Held { addr, peer, broadcast, scope, flags, protocol, metric, label } in addresses {
        let _ = write!(text, "a,{addr},s{scope},f{flags},p{protocol},m{metric}");
        text += &word("t", peer.as_ref());
        text += &word("b", broadcast.as_ref());
        text += &word("l", Some(label).filter(|label| !label.is_empty()));
        text.push(';');
    }
    for Led { dest, via, source, metric, table, protocol, scope, onlink, extra } in routes {
        let _ = write!(text, "r,{dest},t{table},m{metric},p{protocol},c{scope}");
        text += &word("v", via.as_ref());
        text += &word("s", source.as_ref());
        text.push_str(if *onlink { ",o" } else { "" });
        if !extra.is_empty() {
            let _ = write!(text, ",x{}", hex(extra.iter().copied()));
        }
        text.push(';');
    }
    text
}

fn word(key: &str, value: Option<&impl std::fmt::Display>) -> String {
    value.map_or_else(String::new, |value| format!(",{key}{value}"))
}

fn parsed(text: &str) -> Option<(ProjectName, Before)> {
    let mut lines = text.split(';').filter(|line| !line.is_empty());
    let mut words = lines.next()?.split(',');
    let project = ProjectName::try_from(words.next()?).ok()?;
    let up = words.next()? == "up";
    let mtu = Mtu::try_from(words.next()?.parse::<u32>().ok()?).ok()?;
    let mac = words.next().and_then(|mac| Mac::try_from(mac.to_owned()).ok());
    let mut before = Before { up, mtu, mac, alias: SmolStr::default(), addresses: vec![], routes: vec![] };
    for line in lines {
        match line.split_once(',') {
            Some(("l", alias)) => before.alias = String::from_utf8_lossy(&unhex(alias)).as_ref().into(),
            Some(("a", words)) => before.addresses.extend(held(words)),
            Some(("r", words)) => before.routes.extend(led(words)),
            Some(_) | None => {}
        }
    }
    Some((project, before))
}

fn held(words: &str) -> Option<Held> {
    let (addr, words) = words.split_once(',')?;
    let (addr, label) = (addr.parse().ok()?, SmolStr::default());
    let mut held =
        Held { addr, peer: None, broadcast: None, scope: 0, flags: 0, protocol: 0, metric: 0, label };
    for (key, value) in words.split(',').filter_map(|word| word.split_at_checked(1)) {
        match key {
            "s" => held.scope = value.parse().ok()?,
            "f" => held.flags = value.parse().ok()?,
            "p" => held.protocol = value.parse().ok()?,
            "m" => held.metric = value.parse().ok()?,
            "t" => held.peer = Some(value.parse().ok()?),
            "b" => held.broadcast = Some(value.parse().ok()?),
            "l" => held.label = value.into(),
            _ => {}
        }
    }
    Some(held)
}

fn led(words: &str) -> Option<Led> {
    let (dest, words) = words.split_once(',')?;
    let mut led = Led {
        dest: dest.parse().ok()?,
        via: None,
        source: None,
        metric: 0,
        table: 0,
        protocol: 0,
        scope: 0,
        onlink: false,
        extra: vec![],
    };
    for (key, value) in words.split(',').filter_map(|word| word.split_at_checked(1)) {
        match key {
            "t" => led.table = value.parse().ok()?,
            "m" => led.metric = value.parse().ok()?,
            "p" => led.protocol = value.parse().ok()?,
            "c" => led.scope = value.parse().ok()?,
            "v" => led.via = Some(value.parse().ok()?),
            "s" => led.source = Some(value.parse().ok()?),
            "o" => led.onlink = true,
            "x" => led.extra = unhex(value),
            _ => {}
        }
    }
    Some(led)
}

fn unhex(text: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map_while(pair).collect()
}

/// Writes a text with what a name may have: `:` as `_`, `/` as `|`, everything rare as `%` with two digits.
fn encoded(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b':' => name.push('_'),
            b'/' => name.push('|'),
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b',' | b';' | b'-' | b'+' | b'@' => {
                name.push(char::from(byte));
            }
            _ => drop(write!(name, "%{byte:02x}")),
        }
    }
    name
}

fn decoded(name: &str) -> String {
    let mut bytes = vec![];
    let mut rest = name.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        let escaped = others.split_at_checked(2).filter(|_| *first == b'%');
        let number = |(digits, _): (&[u8], &[u8])| unhex(std::str::from_utf8(digits).ok()?).first().copied();
        bytes.push(match (first, escaped.and_then(number)) {
            (b'%', Some(number)) => {
                rest = others.get(2..).unwrap_or_default();
                number
            }
            (b'_', _) => b':',
            (b'|', _) => b'/',
            (other, _) => *other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl LinkKind {
    /// Returns the link of the host that it is.
    pub fn device(&self) -> Option<&Device> {
        let Self::Device(device) = self else { return None };
        Some(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before() -> Before {
        let held = |addr: &str, broadcast: Option<&str>, label: &str| Held {
            addr: addr.parse().unwrap(),
            peer: None,
            broadcast: broadcast.map(|it| it.parse().unwrap()),
            scope: 0,
            flags: 0x200,
            protocol: 3,
            metric: 100,
            label: label.into(),
        };
        let led = |dest: &str, via: &str, source: Option<&str>, extra: &[u8]| Led {
            dest: dest.parse().unwrap(),
            via: Some(via.parse().unwrap()),
            source: source.map(|it| it.parse().unwrap()),
            metric: 1024,
            table: 254,
            protocol: 16,
            scope: 0,
            onlink: true,
            extra: extra.to_vec(),
        };
        Before {
            up: true,
            mtu: Mtu::try_from(9000).unwrap(),
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            alias: "uplink; to rack=4, 50% über".into(),
            addresses: vec![
                held("192.168.1.5/24", Some("192.168.1.255"), "eth2:1"),
                held("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/64", None, ""),
            ],
            routes: vec![
                led("10.0.0.0/8", "192.168.1.1", Some("192.168.1.5"), &[8, 0, 2, 0, 0x78, 5, 0, 0]),
                led("2001:db8:1:2:3:4:5:6/128", "fe80::1", Some("2001:db8::1"), &[]),
            ],
        }
    }

    #[track_caller]
    fn check(name: &str, before: Before) -> Vec<SmolStr> {
        let (project, name) = (ProjectName::try_from("shop").unwrap(), IfName::try_from(name).unwrap());
        let mut names = pieces(&project, &name, &before);
        for piece in &names {
            assert!(piece.len() <= 127 && is_piece(piece), "{piece}");
            assert!(!piece.contains(['/', ':', ' ']) && piece.is_ascii(), "{piece}");
        }
        let inorder = names.clone();
        // The kernel may list them in any order, between those that others gave.
        names.reverse();
        names.insert(1, "enp5s0".into());
        names.push("netform.shop.web.lab".into());
        let (whose, device) = read(&names).unwrap();
        assert_eq!((whose, &device.name), (project, &name));
        assert_eq!(*device.before.unwrap(), before);
        inorder
    }

    #[test]
    fn what_a_link_was_is_read_back_from_its_names() {
        assert!(check("eth2", before()).len() > 3);
        check("a_b-c.9", before());
        let plain =
            Before { alias: "".into(), addresses: vec![], routes: vec![], mac: None, up: false, ..before() };
        assert_eq!(check("tun0", plain), ["netform=tun0=00=shop,down,9000,;"]);
    }

    #[test]
    fn names_of_others_say_nothing() {
        assert!(read(&["enp5s0".into(), "netform.shop.web.lab".into()]).is_none());
        assert!(read(&["netform=eth2".into()]).is_none());
        assert!(read(&["netform=eth2=00=shop".into()]).is_none());
    }

    #[test]
    fn a_lost_piece_costs_no_more_than_what_was_in_it() {
        let (project, name) = (ProjectName::try_from("shop").unwrap(), IfName::try_from("eth2").unwrap());
        let mut names = pieces(&project, &name, &before());
        names.remove(1);
        let (_, device) = read(&names).unwrap();
        let left = device.before.unwrap();
        assert_eq!((left.mtu, left.mac), (before().mtu, before().mac));
        assert_eq!(left.routes.last(), before().routes.last());
    }
}
