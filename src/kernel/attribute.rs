//! Writing netlink attributes: a length, a kind, a value, and bytes up to a multiple of four.
//!
//! Source: `struct nlattr` in `include/uapi/linux/netlink.h`.

/// `NLA_F_NESTED`: the value is attributes.
pub(super) const NESTED: u16 = 0x8000;

/// Adds an attribute.
pub(super) fn attr(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    enclose(out, kind, |out| out.extend_from_slice(value));
}

/// Adds an attribute whose value is what `body` adds.
pub(super) fn nest(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    enclose(out, kind | NESTED, body);
}

/// Adds one whose value is attributes to whom nobody says so: nftables does not.
pub(super) fn plain(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    enclose(out, kind, body);
}

/// Returns a text as messages have it, with a zero byte at the end.
pub(super) fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn enclose(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&kind.to_ne_bytes());
    body(out);
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<2>) {
        *place = length.to_ne_bytes();
    }
    out.resize(out.len().next_multiple_of(4), 0);
}
