//! What a policy of the manifest is called, and what that says.
//!
//! A policy has no name of its own: it is known by what it says, `deny:network.front:world:25/tcp`, so that it stays the
//! same when others come and go before it.

use std::fmt;

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use smol_str::{SmolStr, ToSmolStr, format_smolstr};

use super::hex::hex;
use crate::names::{ContainerName, NetName, Protocol};

/// The longest name, so that it fits into the comment of an element (`NFTNL_UDATA_COMMENT_MAXLEN` in
/// `libnftnl/udata.h`) with `policy.` before it.
const LIMIT: usize = 110;

/// How many bytes of a name that is too long are kept; a digest of all of it follows.
const KEPT: usize = 96;

/// Whether a policy lets connections through or refuses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// They pass.
    Allow,
    /// They are dropped.
    Deny,
}

impl Verdict {
    /// Returns the word that the manifest has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Who begins a connection, or whom it is for, as the manifest names him.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Every container of a network: `network.front`.
    Network(NetName),
    /// A container: `container.web`.
    Container(ContainerName),
    /// The host itself: `host`.
    Host,
    /// Everybody who is neither the host nor on a network of the project: `world`.
    World,
    /// Those among them who have such an address: `198.51.100.0/24`.
    Range(IpNet),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => write!(f, "network.{name}"),
            Self::Container(name) => write!(f, "container.{name}"),
            Self::Host => f.write_str("host"),
            Self::World => f.write_str("world"),
            Self::Range(IpNet::V4(net)) => write!(f, "{net}"),
            // As in `port.[::]:80/tcp`: the colons are its own.
            Self::Range(IpNet::V6(net)) => write!(f, "[{net}]"),
        }
    }
}

/// Ports of a protocol, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// The protocol.
    pub protocol: Protocol,
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, first, last } = self;
        if first == last { write!(f, "{first}/{protocol}") } else { write!(f, "{first}-{last}/{protocol}") }
    }
}

/// Returns what a policy is called; without `services` it is about everything.
pub fn name(verdict: Verdict, from: &[End], to: &[End], services: &[Service]) -> SmolStr {
    let mut name = format!("{}:{}:{}", verdict.as_str(), joined(from), joined(to));
    if !services.is_empty() {
        name = format!("{name}:{}", joined(services));
    }
    if name.len() <= LIMIT {
        return name.into();
    }
    let digest = hex(Sha256::digest(&name).into_iter().take(4));
    // Names of networks and containers are ASCII, as is all else.
    let kept: String = name.chars().take(KEPT).collect();
    format_smolstr!("{kept}~{digest}")
}

fn joined(items: &[impl fmt::Display]) -> String {
    items.iter().map(ToSmolStr::to_smolstr).collect::<Vec<_>>().join("+")
}

/// What a policy's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it lets through or refuses.
    pub verdict: Verdict,
    /// `from network.front to world on 25/tcp`.
    pub way: String,
}

/// Reads a policy's name; `None` when it is none.
pub fn said(name: &str) -> Option<Said> {
    let (verdict, rest) = name.split_once(':')?;
    let verdict = [Verdict::Allow, Verdict::Deny].into_iter().find(|it| it.as_str() == verdict)?;
    let way = match parts(rest).as_slice() {
        _ if rest.contains('~') => rest.to_owned(),
        [from, to] => format!("from {} to {}", ends(from), ends(to)),
        [from, to, services] => format!("from {} to {} on {}", ends(from), ends(to), listed(services)),
        _ => return None,
    };
    Some(Said { verdict, way })
}

/// Splits a text at its colons, those in brackets aside.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ':' && depth == 0
    })
    .collect()
}

fn ends(text: &str) -> String {
    listed(text).replace(['[', ']'], "")
}

fn listed(text: &str) -> String {
    match text.rsplit_once('+') {
        None => text.to_owned(),
        Some((first, last)) => format!("{} and {last}", first.replace('+', ", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str) -> End {
        End::Network(NetName::try_from(name).unwrap())
    }

    #[track_caller]
    fn check(from: &[End], to: &[End], services: &[Service], want: (&str, &str)) {
        let name = name(Verdict::Deny, from, to, services);
        assert_eq!((name.as_str(), said(&name).unwrap().way.as_str()), want);
    }

    #[test]
    fn a_policy_is_called_what_it_says() {
        let mail = Service { protocol: Protocol::Tcp, first: 25, last: 25 };
        let names = Service { protocol: Protocol::Udp, first: 53, last: 54 };
        check(
            &[network("front")],
            &[End::World],
            &[mail],
            ("deny:network.front:world:25/tcp", "from network.front to world on 25/tcp"),
        );
        check(
            &[End::Host, End::Range("fd00::/8".parse().unwrap())],
            &[network("front"), network("back"), End::Container("web".try_into().unwrap())],
            &[mail, names],
            (
                "deny:host+[fd00::/8]:network.front+network.back+container.web:25/tcp+53-54/udp",
                "from host and fd00::/8 to network.front, network.back and container.web on 25/tcp and 53-54/udp",
            ),
        );
    }

    #[test]
    fn a_name_that_is_too_long_ends_in_a_digest() {
        let many: Vec<End> = (0..20).map(|n| network(&format!("network-number-{n}"))).collect();
        let other: Vec<End> = many.iter().rev().take(19).rev().cloned().chain([End::World]).collect();
        let [one, two] = [&many, &other].map(|from| name(Verdict::Allow, &[network("a")], from, &[]));

        assert!(one.len() <= LIMIT, "{one}");
        assert_ne!(one, two);
        assert_eq!(said(&one).unwrap().verdict, Verdict::Allow);
    }

    #[test]
    fn what_is_no_name_says_nothing() {
        assert_eq!(said("accept:host:world"), None);
        assert_eq!(said("deny:host"), None);
        assert_eq!(said(""), None);
    }
}
