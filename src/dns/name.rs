//! Names as they are on the wire: labels, each behind its length, in lower case. Source: RFC 1035 section 3.1.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most bytes of a name, its root included. Source: RFC 1035 section 2.3.4.
pub const MAX: usize = 255;

/// The most bytes of a label. Source: RFC 1035 section 2.3.4.
const LABEL_MAX: usize = 63;

/// A name on the wire, in lower case, with its root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Returns the name that a text such as `web.front` means; `None` when no query can ask for it, as one with a label
    /// of more than 63 bytes.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.trim_end_matches('.').split('.') {
            let length = u8::try_from(label.len()).ok().filter(|length| usize::from(*length) <= LABEL_MAX)?;
            if length == 0 {
                return None;
            }
            wire.push(length);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        (wire.len() <= MAX).then(|| Self(wire.into()))
    }

    /// Returns the name under which the owner of an address is asked for. Sources: RFC 1035 section 3.5; RFC 3596
    /// section 2.5.
    pub fn reverse(addr: IpAddr) -> Option<Self> {
        let text = match addr {
            IpAddr::V4(addr) => {
                let [a, b, c, d] = addr.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(addr) => {
                let nibbles =
                    addr.octets().into_iter().rev().map(|byte| format!("{:x}.{:x}.", byte & 15, byte >> 4));
                format!("{}ip6.arpa", nibbles.collect::<String>())
            }
        };
        Self::from_text(&text)
    }

    /// Returns the bytes on the wire.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = labels(&self.0).map(String::from_utf8_lossy).collect();
        f.pad(&labels.join("."))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Returns the labels of a name on the wire, from left to right, without the root.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first()?;
        let (label, behind) =
            behind.split_at_checked(usize::from(*length)).filter(|(label, _)| !label.is_empty())?;
        rest = behind;
        Some(label)
    })
}

/// Tells whether a name on the wire is `suffix` or ends with it; both in lower case.
pub fn ends_with(wire: &[u8], suffix: &[u8]) -> bool {
    let mut rest = wire;
    while rest.len() >= suffix.len() {
        if rest == suffix {
            return true;
        }
        let Some((length, behind)) = rest.split_first() else { return false };
        let Some(behind) = behind.get(usize::from(*length)..) else { return false };
        rest = behind;
    }
    false
}

/// Returns the address that a name on the wire asks the owner of: the inverse of [`Name::reverse`].
pub fn reversed(wire: &[u8]) -> Option<IpAddr> {
    if wire.ends_with(b"\x07in-addr\x04arpa\x00") {
        let mut octets = [0; 4];
        let mut labels = labels(wire);
        for octet in octets.iter_mut().rev() {
            *octet = std::str::from_utf8(labels.next()?).ok()?.parse().ok()?;
        }
        let [b"in-addr", b"arpa"] = [labels.next()?, labels.next()?] else { return None };
        return Some(Ipv4Addr::from(octets).into());
    }
    if wire.ends_with(b"\x03ip6\x04arpa\x00") {
        let mut bits: u128 = 0;
        let mut labels = labels(wire);
        for place in 0..32 {
            let [digit] = labels.next()? else { return None };
            bits |= u128::from(char::from(*digit).to_digit(16)?) << (4 * place);
        }
        let [b"ip6", b"arpa"] = [labels.next()?, labels.next()?] else { return None };
        return Some(Ipv6Addr::from_bits(bits).into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_labels_in_lower_case() {
        let wire = |text: &str| Name::from_text(text).map(|name| name.wire().to_vec());

        assert_eq!(wire("Web.Front"), Some(b"\x03web\x05front\x00".to_vec()));
        assert_eq!(wire("web."), Some(b"\x03web\x00".to_vec()));
        assert_eq!(wire("a..b"), None);
        assert_eq!(wire(""), None);
        assert_eq!(wire(&"x".repeat(64)), None);
        assert_eq!(wire(&"abc.".repeat(64)), None, "256 bytes with the root");
        assert!(wire(&"abc.".repeat(63)).is_some());
    }

    #[test]
    fn an_address_goes_to_its_reverse_name_and_back() {
        for text in ["10.7.0.128", "255.1.0.9", "fd00:25::2", "2001:db8::ffff:1"] {
            let addr: IpAddr = text.parse().unwrap();
            let name = Name::reverse(addr).unwrap();

            assert_eq!(reversed(name.wire()), Some(addr), "{name}");
        }
        for text in [
            "7.0.10.in-addr.arpa",
            "x.1.7.0.10.in-addr.arpa",
            "300.0.7.10.in-addr.arpa",
            "1.ip6.arpa",
            "arpa",
        ] {
            assert_eq!(reversed(Name::from_text(text).unwrap().wire()), None, "{text}");
        }
    }

    #[test]
    fn a_suffix_is_one_of_whole_labels() {
        let check = |name, suffix, want| {
            let (name, suffix) = (Name::from_text(name).unwrap(), Name::from_text(suffix).unwrap());
            assert_eq!(ends_with(name.wire(), suffix.wire()), want, "{name} {suffix}");
        };
        check("a.netform.internal", "netform.internal", true);
        check("netform.internal", "netform.internal", true);
        check("xnetform.internal", "netform.internal", false);
        check("internal", "netform.internal", false);
    }
}
