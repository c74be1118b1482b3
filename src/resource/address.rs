//! Addresses on links.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::netns::NsRef;
use crate::names::IfName;

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
}
