//! Routes.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::netns::NsRef;
use crate::names::IfName;

/// The routing protocol number, and the `IFA_PROTO` of addresses, that says "made by netform".
///
/// Free in `/etc/iproute2/rt_protos` and in `include/uapi/linux/rtnetlink.h`.
pub const PROTOCOL: u8 = 110;

/// A unicast route in the main table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The namespace whose table holds it.
    pub ns: NsRef,
    /// Where it leads; the default route is `0.0.0.0/0` or `::/0`.
    pub dest: IpNet,
    /// The link that it leaves by.
    pub link: IfName,
    /// The next hop; `None` for what is on the link itself.
    pub via: Option<IpAddr>,
    /// Its priority among routes of the same destination: the lowest wins.
    pub metric: u32,
}
