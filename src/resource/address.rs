//! Addresses on links.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use ipnet::{AddrParseError, IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::netns::NsRef;
use super::{Resource, amiss};
use crate::names::{IfName, Mac};

/// An address on a link, with its subnet's prefix length.
///
/// IPv4 addresses get the subnet's broadcast address; IPv6 ones are added without duplicate address detection.
/// Ours are told from others' by `IFA_PROTO` (`include/uapi/linux/if_addr.h`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Where the link lives.
    pub ns: NsRef,
    /// The link's name.
    pub link: IfName,
    /// The address, with the prefix length of its subnet.
    pub addr: IpNet,
    /// The routes that the kernel makes with it and that no packet takes any more. Nobody asks for any; what lies there is
    /// not reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
    /// The number that stands in the place of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stray: Option<u8>,
}

impl Resource {
    /// Returns the address, when it is one.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Address(address) => Some(address),
            Self::Netns(_)
            | Self::Link(_)
            | Self::Route(_)
            | Self::Sysctl(_)
            | Self::NftTable(_)
            | Self::NftElement(_)
            | Self::Passage(_)
            | Self::Neighbour(_)
            | Self::Qdisc(_)
            | Self::File(_) => None,
        }
    }
}

/// A route that came with an address, and that no packet takes: to its subnet; with one IPv6 address of a link to all that
/// are link-local; to the address itself, without which it does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lost {
    /// Where it leads.
    pub dest: IpNet,
    /// What became of it.
    pub how: How,
}

/// What became of a route that no packet takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is gone.
    Gone,
    /// It is gone, and somebody's is in its place.
    Replaced,
    /// It is there, and somebody's comes before it.
    Covered,
    /// Somebody's of this priority comes before it, which is better than its own.
    Preceded(u32),
}

impl Lost {
    /// Tells whether the route is one of the table of what is here.
    pub fn is_local(&self) -> bool {
        is_local(self.dest)
    }
}

/// Tells whether what came with an address and leads there is a route of the table of what is here.
pub(crate) fn is_local(dest: IpNet) -> bool {
    dest.prefix_len() == dest.max_prefix_len()
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dest, how } = self;
        let how = match how {
            How::Gone => return write!(f, "{dest}"),
            How::Replaced => "replaced",
            How::Covered => "covered",
            How::Preceded(priority) => return write!(f, "{dest} preceded by {priority}"),
        };
        write!(f, "{dest} {how}")
    }
}

impl From<Lost> for String {
    fn from(lost: Lost) -> Self {
        lost.to_string()
    }
}

impl FromStr for Lost {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        let preceded = |(dest, priority): (_, &str)| Some((dest, How::Preceded(priority.parse().ok()?)));
        let suffixes = [(" replaced", How::Replaced), (" covered", How::Covered)];
        let (dest, how) = suffixes
            .into_iter()
            .find_map(|(suffix, how)| Some((text.strip_suffix(suffix)?, how)))
            .or_else(|| text.split_once(" preceded by ").and_then(preceded))
            .unwrap_or((text, How::Gone));
        Ok(Self { dest: dest.parse()?, how })
    }
}

impl TryFrom<String> for Lost {
    type Error = AddrParseError;

    fn try_from(text: String) -> Result<Self, AddrParseError> {
        text.parse()
    }
}

/// The field that says which of these routes are gone, and what it says when none is.
pub const CONNECTED: (&str, &str) = ("connected route", "there");

impl Address {
    /// Returns an address as it shall be.
    pub fn new(ns: NsRef, link: IfName, addr: IpNet) -> Self {
        Self { ns, link, addr, lost: vec![], stray: None }
    }

    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { ns: _, link: _, addr, lost, stray } = self;
        let mut fields = vec![("address", addr.to_string())];
        if !lost.is_empty() {
            fields.push((CONNECTED.0, words(lost)));
        }
        fields.extend(stray.map(amiss::protocol));
        fields
    }
}

/// Says what became of routes, those first that are gone.
fn words(lost: &[Lost]) -> String {
    let all @ [gone, replaced, behind] = ["gone", "replaced by another", "behind another"];
    let word = |how: How| match how {
        How::Gone => gone,
        How::Replaced => replaced,
        How::Covered | How::Preceded(_) => behind,
    };
    let said = all.into_iter().filter_map(|what| {
        let those: Vec<String> = lost.iter().filter(|it| word(it.how) == what).map(named).collect();
        let are = if those.len() == 1 { "is" } else { "are" };
        (!those.is_empty()).then(|| format!("{} {are} {what}", those.join(", ")))
    });
    said.collect::<Vec<_>>().join(", ")
}

fn named(lost: &Lost) -> String {
    if lost.is_local() { format!("local {}", lost.dest.addr()) } else { lost.dest.to_string() }
}

/// Returns the link-local address that the kernel makes of a link-layer address: RFC 4291 appendix A, `addrconf_ifid_eui48()`
/// in Linux `include/net/addrconf.h`.
pub fn link_local_of(Mac([a, b, c, d, e, f]): Mac) -> IpNet {
    let pair = |high, low| u16::from_be_bytes([high, low]);
    let (one, two, three, four) = (pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f));
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, one, two, three, four), 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_made_of_a_link_layer_address_as_the_kernel_does() {
        let mac = Mac([0x02, 0x42, 0xac, 0x19, 0x03, 0x03]);
        assert_eq!(link_local_of(mac).to_string(), "fe80::42:acff:fe19:303/64");
    }
}
