//! The elements of our sets and maps, asked of the kernel itself: to have thousands of them printed and read again costs
//! more than everything else that is read.
//!
//! Source: `enum nft_set_elem_attributes`, `nft_set_elem_flags` in `include/uapi/linux/netfilter/nf_tables.h`; how nft lays
//! out keys, ends of intervals and comments: `netlink_gen_concat_key()` in nftables `src/netlink.c`, `src/segtree.c` and
//! `include/udata.h` of libnftnl.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::NLM_F_DUMP;
use rustix::io::Errno;
use smol_str::{SmolStr, ToSmolStr, format_smolstr};

use super::rules::Object;
use super::tables;
use crate::kernel::answer::{each, ip};
use crate::kernel::attribute::{attr, terminated};
use crate::kernel::netlink::{Blocking, Refusal, text};
use crate::resource::Resource;
use crate::resource::nft::{NftElement, NftTableId};
use crate::resource::nft_set::{Field, Lookup, SETS, SetSpec};
use crate::resource::owner::Owner;
use crate::resource::state::Entry;

/// `NFNL_SUBSYS_NFTABLES` with `NFT_MSG_NEWSETELEM` and `NFT_MSG_GETSETELEM`.
const NEW_ELEMENT: u16 = 0x0a0c;
const GET_ELEMENT: u16 = 0x0a0d;

/// `NFT_SET_ELEM_INTERVAL_END`: the key is the first one behind the interval that begins before it.
const END: u32 = 1;

/// An element as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// The key's parts as text.
    pub(super) key: Vec<SmolStr>,
    /// What a map holds.
    pub(super) data: Option<SmolStr>,
    /// What its owner wrote beside it.
    pub(super) comment: Option<SmolStr>,
}

/// The elements of a set; `None` stands for one that is not of the set's form.
pub(super) type Elements = (&'static SetSpec, Vec<Option<Held>>);

/// Returns the elements of those sets of a table that are asked for. A set that is not there has none.
pub(super) fn read(
    socket: &mut Blocking,
    table: &NftTableId,
    asked: impl Fn(&SetSpec) -> bool,
) -> Result<Vec<Elements>, Refusal> {
    let mut all = vec![];
    for spec in SETS.iter().filter(|spec| spec.family == table.family && asked(spec)) {
        match dump(socket, table, spec.name, raw_element) {
            Ok(raw) => all.push((spec, decode(spec, raw))),
            Err(refusal) if refusal.errno() == Some(Errno::NOENT) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(all)
}

/// Returns the elements that are of their sets' forms as entries.
pub(super) fn entries(table: &NftTableId, elements: Vec<Elements>) -> impl Iterator<Item = Entry> {
    let all =
        elements.into_iter().flat_map(|(spec, all)| all.into_iter().flatten().map(move |held| (spec, held)));
    all.map(move |(spec, Held { key, data, comment })| {
        let owner = comment.and_then(|comment| Owner::try_from(comment).ok()).unwrap_or(Owner::Project);
        let (table, set) = (table.clone(), SmolStr::new_static(spec.name));
        let resource = Resource::NftElement(NftElement { table, set, key, data, stance: spec.stance });
        Entry { resource, owner, origin: None, ignore: vec![] }
    })
}

/// Returns what a rule compares with, in order: keys, data, flags and ends of the elements of a set without a name.
pub(super) fn anonymous(
    socket: &mut Blocking,
    table: &NftTableId,
    set: &str,
) -> Result<Vec<Object>, Refusal> {
    let mut all = dump(socket, table, set, |element| {
        let mut counted = vec![];
        each(element, |kind, value| {
            if matches!(kind, 1 | 2 | 3 | 10) {
                counted.push((kind, value.to_vec()));
            }
        });
        (element.to_vec(), counted)
    })?;
    all.sort();
    Ok(all)
}

fn dump<T>(
    socket: &mut Blocking,
    table: &NftTableId,
    set: &str,
    read: impl Fn(&[u8]) -> T,
) -> Result<Vec<T>, Refusal> {
    const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
    let mut body = tables::header(table.family);
    // `NFTA_SET_ELEM_LIST_TABLE` and `NFTA_SET_ELEM_LIST_SET`.
    attr(&mut body, 1, &terminated(&table.name));
    attr(&mut body, 2, &terminated(set));
    let some = |kind: u16, body: &[u8]| {
        let mut some = vec![];
        each(body.get(4..).filter(|_| kind == NEW_ELEMENT)?, |kind, list| {
            if kind == NFTA_SET_ELEM_LIST_ELEMENTS {
                each(list, |_, element| some.push(read(element)));
            }
        });
        Some(some)
    };
    Ok(socket.netfilter((GET_ELEMENT, NLM_F_DUMP), &body, some)?.into_iter().flatten().collect())
}

/// An element in bytes.
#[derive(Debug, Default, Clone)]
struct Raw {
    key: Vec<u8>,
    last: Option<Vec<u8>>,
    data: Option<Vec<u8>>,
    flags: u32,
    comment: Option<SmolStr>,
}

fn raw_element(element: &[u8]) -> Raw {
    let mut raw = Raw::default();
    each(element, |kind, content| match kind {
        1 => raw.key = value(content).unwrap_or_default(),
        2 => raw.data = value(content),
        3 => raw.flags = content.first_chunk().map_or(0, |flags| u32::from_be_bytes(*flags)),
        6 => raw.comment = comment(content),
        10 => raw.last = value(content),
        _ => {}
    });
    raw
}

/// Returns what a key or a map's data holds: `NFTA_DATA_VALUE`.
fn value(data: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    each(data, |kind, value| {
        if kind == 1 {
            found = Some(value.to_vec());
        }
    });
    found
}

/// Reads the comment, `NFTNL_UDATA_SET_ELEM_COMMENT`, out of pieces of a kind, a length and so many bytes.
fn comment(mut pieces: &[u8]) -> Option<SmolStr> {
    while let [kind, length, rest @ ..] = pieces {
        let (piece, after) = rest.split_at_checked(usize::from(*length))?;
        if *kind == 0 {
            return Some(text(piece));
        }
        pieces = after;
    }
    None
}

fn decode(spec: &SetSpec, raw: Vec<Raw>) -> Vec<Option<Held>> {
    match (spec.lookup, spec.key) {
        // The kernel keeps the two ends of an interval apart, unless keys have parts.
        (Lookup::Interval, [field]) => intervals(spec, *field, raw),
        (Lookup::Interval | Lookup::Exact, _) => raw.iter().map(|raw| element(spec, raw)).collect(),
    }
}

fn element(spec: &SetSpec, raw: &Raw) -> Option<Held> {
    let last = raw.last.as_ref().unwrap_or(&raw.key);
    let (firsts, lasts) = (parts(spec, &raw.key)?, parts(spec, last)?);
    let ends = spec.key.iter().zip(firsts.into_iter().zip(lasts));
    let key = ends.map(|(field, (first, last))| between(*field, first, last)).collect::<Option<_>>()?;
    held(spec, key, raw)
}

fn held(spec: &SetSpec, key: Vec<SmolStr>, raw: &Raw) -> Option<Held> {
    let data = match (spec.data, &raw.data) {
        (Some(field), Some(data)) => Some(between(field, data, data)?),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return None,
    };
    Some(Held { key, data, comment: raw.comment.clone() })
}

/// Puts the ends of intervals together. The last address of all has none behind it, so its interval has no end.
fn intervals(spec: &SetSpec, field: Field, mut raw: Vec<Raw>) -> Vec<Option<Held>> {
    // Where one interval ends and another begins, the end comes first.
    raw.sort_by(|a, b| (&a.key, a.flags & END == 0).cmp(&(&b.key, b.flags & END == 0)));
    let mut all = vec![];
    let mut ends = raw.iter().peekable();
    while let Some(first) = ends.next() {
        if first.flags & END != 0 {
            continue;
        }
        let last = match ends.peek() {
            Some(end) if end.flags & END != 0 => before(&end.key),
            // Two beginnings in a row are nothing that nft makes.
            Some(_) => None,
            None => Some(vec![0xff; first.key.len()]),
        };
        all.push(last.and_then(|last| held(spec, vec![between(field, &first.key, &last)?], first)));
    }
    all
}

/// Returns the number before a number, most significant byte first.
fn before(number: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = number.to_vec();
    for byte in bytes.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            return Some(bytes);
        }
    }
    None
}

/// Returns the parts of a key; each of several is filled up to a multiple of four bytes.
fn parts<'k>(spec: &SetSpec, mut key: &'k [u8]) -> Option<Vec<&'k [u8]>> {
    let mut parts = vec![];
    for field in spec.key {
        let length: usize = match field {
            Field::Link | Field::Ipv6 => 16,
            Field::Ipv4 => 4,
            Field::Protocol => 1,
            Field::Port => 2,
        };
        let filled = if spec.key.len() == 1 { length } else { length.next_multiple_of(4) };
        let (part, rest) = key.split_at_checked(filled)?;
        parts.push(part.get(..length)?);
        key = rest;
    }
    key.is_empty().then_some(parts)
}

/// Returns a part of a key, or what lies between two, as text.
fn between(field: Field, first: &[u8], last: &[u8]) -> Option<SmolStr> {
    match field {
        Field::Link => (first == last).then(|| {
            let name = first.split(|byte| *byte == 0).next().unwrap_or_default();
            SmolStr::from(String::from_utf8_lossy(name))
        }),
        Field::Protocol => match (first, last) {
            ([6], [6]) => Some(SmolStr::new_static("tcp")),
            ([17], [17]) => Some(SmolStr::new_static("udp")),
            ([132], [132]) => Some(SmolStr::new_static("sctp")),
            ([other], [last]) if other == last => Some(other.to_smolstr()),
            (_, _) => None,
        },
        Field::Port => {
            let [first, last] = [first, last].map(|port| port.try_into().ok().map(u16::from_be_bytes));
            Some(match (first?, last?) {
                (first, last) if first == last => first.to_smolstr(),
                (first, last) => format_smolstr!("{first}-{last}"),
            })
        }
        Field::Ipv4 | Field::Ipv6 => {
            let (first, last) = (ip(first)?, ip(last)?);
            Some(match prefix(first, last) {
                _ if first == last => first.to_smolstr(),
                Some(net) => net.to_smolstr(),
                None => format_smolstr!("{first}-{last}"),
            })
        }
    }
}

/// Returns the subnet from its first address to its last one, if there is one.
fn prefix(first: IpAddr, last: IpAddr) -> Option<IpNet> {
    let length = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (first.to_bits() ^ last.to_bits()).leading_zeros(),
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits() ^ last.to_bits()).leading_zeros(),
        (IpAddr::V4(_) | IpAddr::V6(_), _) => return None,
    };
    let net = IpNet::new(first, u8::try_from(length).ok()?).ok()?;
    ((net.network(), net.broadcast()) == (first, last)).then_some(net)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::nft::NftFamily;
    use crate::resource::nft_set;

    fn key(bytes: &[u8], flags: u32) -> Raw {
        Raw { key: bytes.to_vec(), flags, ..Raw::default() }
    }

    #[track_caller]
    fn check(set: &str, raw: &[Raw], want: &[Option<&[&str]>]) {
        let spec = nft_set::find(NftFamily::Inet, set).unwrap();
        let keys: Vec<_> = decode(spec, raw.to_vec()).into_iter().map(|held| Some(held?.key)).collect();
        let want: Vec<_> =
            want.iter().map(|key| Some(key.as_ref()?.iter().map(SmolStr::new).collect::<Vec<_>>())).collect();
        assert_eq!(keys, want);
    }

    #[test]
    fn ends_of_intervals_are_put_together() {
        check(
            "masquerade4",
            &[
                key(&[11, 0, 0, 0], 0),
                key(&[12, 0, 0, 0], END),
                key(&[11, 0, 0, 0], END),
                key(&[10, 0, 0, 0], 0),
                key(&[0, 0, 0, 0], END),
                key(&[1, 2, 3, 4], 0),
                key(&[1, 2, 3, 10], END),
                key(&[9, 9, 9, 9], 0),
                key(&[9, 9, 9, 10], END),
                key(&[255, 255, 255, 255], 0),
            ],
            &[
                Some(&["1.2.3.4-1.2.3.9"]),
                Some(&["9.9.9.9"]),
                Some(&["10.0.0.0/8"]),
                Some(&["11.0.0.0/8"]),
                Some(&["255.255.255.255"]),
            ],
        );
        check("masquerade4", &[key(&[0; 4], 0)], &[Some(&["0.0.0.0/0"])]);
        check(
            "masquerade4",
            &[key(&[1; 4], 0), key(&[2; 4], 0)],
            &[None, Some(&["2.2.2.2-255.255.255.255"])],
        );
    }

    #[test]
    fn parts_of_a_key_are_told_apart() {
        let port = key(&[6, 0, 0, 0, 0x1f, 0x90, 0, 0], 0);
        let range = Raw { last: Some(vec![6, 0, 0, 0, 0x1f, 0x9a, 0, 0]), ..port.clone() };
        check("guard_any", &[port, range], &[Some(&["tcp", "8080"]), Some(&["tcp", "8080-8090"])]);
        check("guard_any", &[key(&[6, 0, 0, 0, 0x1f], 0)], &[None]);
        let mut bridge = b"br-front".to_vec();
        bridge.resize(16, 0);
        check("bridges", &[key(&bridge, 0)], &[Some(&["br-front"])]);
    }

    #[test]
    fn a_comment_is_found_among_other_pieces() {
        assert_eq!(comment(b"\x01\x04\x01\x00\x00\x00\x00\x03ab\x00").as_deref(), Some("ab"));
        assert_eq!(comment(b"\x01\x04\x01\x00\x00\x00"), None);
        assert_eq!(comment(b"\x00\x09ab"), None, "cut off");
    }
}
