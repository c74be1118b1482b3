//! What the kernel can make, found out without making it.

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::InfoKind;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use rustix::io::Errno;

use super::netlink::Blocking;
use super::netns;
use crate::resource::link::LinkKind;

/// A kind of link that a kernel may lack, and that is never made without the link that it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stacked {
    /// `CONFIG_MACVLAN`.
    Macvlan,
    /// `CONFIG_IPVLAN`.
    Ipvlan,
    /// `CONFIG_VLAN_8021Q`.
    Vlan,
}

impl Stacked {
    /// Returns the kind of a link, when it is such a one.
    pub fn of(kind: &LinkKind) -> Option<Self> {
        match kind {
            LinkKind::Macvlan(_) => Some(Self::Macvlan),
            LinkKind::Ipvlan(_) => Some(Self::Ipvlan),
            LinkKind::Vlan(_) => Some(Self::Vlan),
            LinkKind::Bridge
            | LinkKind::Veth(_)
            | LinkKind::Device(_)
            | LinkKind::OpenVswitch(_)
            | LinkKind::Ifb
            | LinkKind::Other(_) => None,
        }
    }

    /// Returns what the links are called, and the module that makes them.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Macvlan => ("macvlan links", "macvlan"),
            Self::Ipvlan => ("ipvlan links", "ipvlan"),
            Self::Vlan => ("VLANs", "8021q"),
        }
    }

    fn kind(self) -> InfoKind {
        match self {
            Self::Macvlan => InfoKind::MacVlan,
            Self::Ipvlan => InfoKind::IpVlan,
            Self::Vlan => InfoKind::Vlan,
        }
    }
}

/// Tells whether the kernel makes links of a kind. One that cannot be asked is taken for one that does.
///
/// It is asked for one that stands on nothing. A kernel that knows the kind, or loads its module at that, refuses that with
/// `EINVAL`; one that does not, with `EOPNOTSUPP` (`rtnl_newlink()` in Linux `net/core/rtnetlink.c`).
pub async fn makes(kind: Stacked) -> bool {
    let asked = netns::on_thread(move || {
        let probe =
            LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind.kind()).name("nf-probe".to_owned());
        Blocking::open()?.command(RouteNetlinkMessage::NewLink(probe.build()), NLM_F_CREATE)
    });
    match asked.await {
        Ok(Err(refusal)) => refusal.errno() != Some(Errno::OPNOTSUPP),
        Ok(Ok(())) | Err(_) => true,
    }
}
