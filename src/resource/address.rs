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
    /// Where routes led that the kernel makes with it, and that are gone: to its subnet, and with one IPv6 address of a link
    /// to all that are link-local. Nobody asks for any; what lies there is not reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<IpNet>,
}

/// The field that says which of these routes are gone, and what it says when none is.
pub const CONNECTED: (&str, &str) = ("connected route", "there");

impl Address {
    /// Returns an address as it shall be.
    pub fn new(ns: NsRef, link: IfName, addr: IpNet) -> Self {
        Self { ns, link, addr, lost: vec![] }
    }

    /// Returns the attributes that users see change.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { ns: _, link: _, addr, lost } = self;
        let mut fields = vec![("address", addr.to_string())];
        if !lost.is_empty() {
            let lost: Vec<String> = lost.iter().map(IpNet::to_string).collect();
            let are = if lost.len() == 1 { "is" } else { "are" };
            fields.push((CONNECTED.0, format!("{} {are} gone", lost.join(", "))));
        }
        fields
    }
}
