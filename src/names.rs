//! Names in hand are names checked: every string that has a rule is wrapped here, and built by `TryFrom` only.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use thiserror::Error;

/// Why a text cannot be the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The text has no characters.
    #[error("{what} is empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
    },
    /// The text is longer than the rule allows.
    #[error("{what} `{text}` has {} bytes, the limit is {limit}", text.len())]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// The offending text.
        text: String,
        /// The most bytes that it may have.
        limit: usize,
    },
    /// The text holds something that the rule forbids.
    #[error("{what} `{text}` is not allowed: {rule}")]
    Forbidden {
        /// Which kind of name.
        what: &'static str,
        /// The offending text.
        text: String,
        /// The rule, as a sentence for the user.
        rule: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "SmolStr", into = "SmolStr")]
        pub struct $name(SmolStr);

        impl $name {
            /// What users call this kind of name, as a message begins.
            pub const WHAT: &'static str = $what;
            /// The most bytes that it may have.
            pub const LIMIT: usize = $limit;
            /// The rule, as a sentence for the user.
            pub const RULE: &'static str = $rule;

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<SmolStr> for $name {
            type Error = NameError;

            fn try_from(text: SmolStr) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if text.is_empty() {
                    Err(NameError::Empty { what: $what })
                } else if text.len() > $limit {
                    Err(NameError::TooLong { what: $what, text: text.into(), limit: $limit })
                } else if valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(NameError::Forbidden { what: $what, text: text.into(), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::try_from(SmolStr::from(text))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::try_from(SmolStr::new(text))
            }
        }

        impl From<$name> for SmolStr {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// The name of a project, which owns all that its manifest declares, e.g. `shop`.
    ///
    /// Starts with a lower-case letter, goes on with lower-case letters, digits and `-`, at most 32 bytes.
    /// Source: the nft table and the state directory are named after it.
    ProjectName, "project name", 32,
    "use lower-case letters, digits and `-`, beginning with a letter",
    |text| text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

name! {
    /// The name of a network, e.g. `front`.
    ///
    /// Letters, digits, `_`, `.` and `-`, beginning with a letter or digit, at most 63 bytes.
    /// Source: Docker's `RestrictedNamePattern`; 63 bytes so that it can be a DNS label (RFC 1035 section 2.3.4).
    NetName, "network name", 63,
    "use letters, digits, `_`, `.` and `-`, beginning with a letter or digit",
    is_resource_name
}

name! {
    /// The name of a container, e.g. `web`.
    ///
    /// The same rule as [`NetName`]; it also names the container's network namespace and is a host name.
    ContainerName, "container name", 63,
    "use letters, digits, `_`, `.` and `-`, beginning with a letter or digit",
    is_resource_name
}

name! {
    /// A further name of a container on one network, e.g. `app` or `db.internal`.
    ///
    /// Letters, digits, `_`, `.` and `-`, no empty label, at most 253 bytes. Source: RFC 1035 section 2.3.4; `_` as
    /// in RFC 2782.
    Alias, "alias", 253,
    "use letters, digits, `_` and `-` in labels of at most 63 bytes that are separated by single dots",
    |text| text.split('.').all(|label| !label.is_empty() && label.len() <= 63
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'))
}

name! {
    /// The name of a kernel network interface, e.g. `br-web`.
    ///
    /// Holds 1 to 15 bytes, none of them `/`, `:` or white space, and is neither `.` nor `..`.
    /// Control characters and `%` (the kernel's own pattern) and quotes are refused, too, since no tool prints them well.
    /// Source: `dev_valid_name()` in Linux `net/core/dev.c`; `IFNAMSIZ` in `include/uapi/linux/if.h`.
    ///
    /// Refused as well is what a tool takes for something else, however it is quoted. nft reads a leading `@` as the name
    /// of a set, `*` as a wildcard, and the word `tcp` as the protocol's number, even where a link is meant, so that the
    /// set holds a link named "\x06": `json_parse_immediate()` and `json_parse_constant()` in nftables `src/parser_json.c`,
    /// tried with 1.0.6. `ip` prints `NAME@PEER`, and every tool takes a leading `-` for an option.
    IfName, "interface name", 15,
    "use letters, digits, `-`, `_` and `.`, but no `-` at the beginning; `.`, `..` and names of protocols like `tcp` are taken",
    |text| text != "." && text != ".." && !text.starts_with('-') && !NFT_CONSTANTS.contains(&text)
        && text.chars().all(|c| c.is_ascii_graphic()
            && !matches!(c, '/' | ':' | '%' | '*' | '@' | '"' | '\'' | '\\' | '`'))
}

/// The words that nft's JSON reads as numbers: `constant_tbl` in nftables `src/parser_json.c`.
const NFT_CONSTANTS: [&str; 10] =
    ["tcp", "udp", "udplite", "esp", "ah", "icmp", "icmpv6", "comp", "dccp", "sctp"];

name! {
    /// The name of a network namespace: a file name under `/run/netns`.
    ///
    /// Source: `ip-netns(8)`; `NAME_MAX` in `include/uapi/linux/limits.h`.
    NetnsName, "namespace name", 255,
    "a namespace name holds no `/`, white space or control character, and is not `.` or `..`",
    |text| text != "." && text != ".." && text.chars().all(|c| c.is_ascii_graphic() && c != '/')
}

impl From<&ContainerName> for NetnsName {
    fn from(name: &ContainerName) -> Self {
        Self(name.0.clone())
    }
}

name! {
    /// The name or the id of a container, as Docker or Podman knows it, e.g. `shop-db`.
    ///
    /// Source: `RestrictedNamePattern` in Docker's `daemon/names/names.go`; Podman's `define.NameRegex`.
    EngineName, "name of a container", 255,
    "use letters, digits, `_`, `.` and `-`, beginning with a letter or digit",
    is_resource_name
}

fn is_resource_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// A link-layer address, written `02:42:ac:19:03:03`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Returns the address of the port by which the one with this address is on somebody else's bridge. A bridge has the
    /// lowest address of its ports, unless it was given one (`br_stp_recalculate_bridge_id()`, Linux
    /// `net/bridge/br_stp_if.c`), and must keep its own: whoever knows it by that would not reach it.
    #[must_use]
    pub fn above_all(self) -> Self {
        let Self([_, b, c, d, e, f]) = self;
        Self([0xfe, b, c, d, e, f])
    }
}

impl TryFrom<String> for Mac {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let refused = |rule| NameError::Forbidden { what: "MAC address", text: text.clone(), rule };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2);
            let parsed = part.and_then(|part| u8::from_str_radix(part, 16).ok());
            *byte = parsed.ok_or_else(|| refused("write six bytes in hex, like 02:42:ac:19:03:03"))?;
        }
        let [first, ..] = bytes;
        if parts.next().is_some() {
            Err(refused("write six bytes in hex, like 02:42:ac:19:03:03"))
        } else if first & 1 == 1 || bytes == [0; 6] {
            // `is_valid_ether_addr()` in `include/linux/etherdevice.h`.
            Err(refused("it is a multicast or zero address, which no interface can have"))
        } else {
            Ok(Self(bytes))
        }
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The largest packet that a link carries, in bytes: 68 to 65,535.
///
/// Source: `ETH_MIN_MTU` and `ETH_MAX_MTU` in `include/uapi/linux/if_ether.h`. A network with an IPv6 subnet needs 1,280
/// (RFC 8200 section 5), which is checked where the subnets are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Mtu(u32);

impl Mtu {
    /// What Ethernet carries: 1,500 bytes.
    pub const ETHERNET: Self = Self(1500);

    /// The most that an IP packet can be: 65,535 bytes.
    pub const LARGEST: Self = Self(65_535);

    /// What IPv6 needs of every link: RFC 8200 section 5. Below it the kernel takes IPv6 off the link, with its
    /// parameters (`addrconf_notify()` in Linux `net/ipv6/addrconf.c`).
    pub const LEAST_FOR_IPV6: Self = Self(1_280);

    /// Returns the size in bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// Tells whether a link with it can have IPv6.
    pub fn carries_ipv6(self) -> bool {
        self >= Self::LEAST_FOR_IPV6
    }
}

impl TryFrom<u32> for Mtu {
    type Error = NameError;

    fn try_from(bytes: u32) -> Result<Self, NameError> {
        if (68..=65_535).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(NameError::Forbidden {
                what: "MTU",
                text: bytes.to_string(),
                rule: "it must be 68 to 65535 bytes",
            })
        }
    }
}

impl From<Mtu> for u32 {
    fn from(mtu: Mtu) -> Self {
        mtu.0
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A transport protocol whose ports can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, RFC 9293.
    Tcp,
    /// UDP, RFC 768.
    Udp,
    /// SCTP, RFC 9260.
    Sctp,
}

impl Protocol {
    /// Returns the protocol of this name; `None` when it has no ports that can be published.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// Returns the name as nft and the manifest write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_link(text: &str, valid: bool) {
        assert_eq!(IfName::try_from(text).is_ok(), valid, "{text:?}");
    }

    #[test]
    fn an_interface_name_is_one_that_the_kernel_takes() {
        check_link("fifteen-bytes-x", true);
        check_link("sixteen-bytes-xx", false);
        check_link("eth0:1", false);
        check_link("..", false);
        check_link("", false);
        check_link("a b", false);
    }

    #[test]
    fn an_interface_name_is_none_that_a_tool_takes_for_something_else() {
        for name in ["br*", "*", "a*b", "@br", "br@x", "-br", "tcp", "sctp", "icmpv6", "."] {
            check_link(name, false);
        }
        for name in ["br-x", "tcp0", "ip", "vmap", "br.1", "br+x", "10.0.0.1", "TCP"] {
            check_link(name, true);
        }
    }

    #[test]
    fn a_mac_address_is_six_bytes_of_a_single_host() {
        assert_eq!(Mac::try_from("02:42:AC:19:03:03".to_owned()).unwrap().to_string(), "02:42:ac:19:03:03");
        assert!(Mac::try_from("03:42:ac:19:03:03".to_owned()).is_err(), "multicast");
        assert!(Mac::try_from("02:42:ac:19:03".to_owned()).is_err(), "short");
        assert!(Mac::try_from("02:42:ac:19:03:03:04".to_owned()).is_err(), "long");
    }

    #[test]
    fn an_alias_is_a_host_name() {
        assert!(Alias::try_from("db.internal").is_ok());
        assert!(Alias::try_from("db..internal").is_err());
        assert!(Alias::try_from("two words").is_err());
    }
}
