//! Rules that let packets pass the firewall of Docker: the one thing that netform puts into a table of somebody else's, on
//! request (`coexist: {docker: true}`).
//!
//! Docker leaves a chain to the rules of users, `DOCKER-USER`, that it asks first. A rule of ours says in its comment
//! whose it is; no other rule is ever touched.

use serde::{Deserialize, Serialize};

use super::sysctl::Family;
use crate::names::IfName;

/// A rule that accepts what passes from one link to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Whether it is in the table of IPv4 or in that of IPv6.
    pub family: Family,
    /// The link that packets come from; `None` is any.
    pub from: Option<IfName>,
    /// The link that they go to; `None` is any.
    pub to: Option<IfName>,
    /// Whether it is there once, and says just that.
    pub intact: bool,
}

/// Returns from where to where packets pass, as users read it.
pub fn way(from: Option<&IfName>, to: Option<&IfName>) -> String {
    let name = |link: Option<&IfName>| link.map_or_else(|| "anywhere".to_owned(), IfName::to_string);
    format!("from {} to {}", name(from), name(to))
}

/// Returns the table and chain that such rules are in, as users read it.
pub fn chain(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip filter DOCKER-USER",
        Family::Ipv6 => "ip6 filter DOCKER-USER",
    }
}
