//! Addresses for which a link of the host answers, though they are behind another one.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::netns::NsRef;
use crate::names::IfName;

/// An address that is behind this namespace, and for which a link answers whoever asks for it there.
///
/// It stands on a link of somebody else, and dies when that goes down (`pneigh_ifdown()` in Linux `net/core/neighbour.c`). Ours
/// are told from others' by `NDA_PROTOCOL` (`include/uapi/linux/neighbour.h`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Where the link lives.
    pub ns: NsRef,
    /// The link's name.
    pub link: IfName,
    /// The address.
    pub addr: IpAddr,
}
