//! What the kernel can make, found out without making it.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoBridge, InfoData, InfoKind, LinkAttribute};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcHeader, TcMessage};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use rustix::io::Errno;

use super::netlink::Blocking;
use super::netns;
use crate::resource::Resource;
use crate::resource::link::LinkKind;
use crate::resource::qdisc::QdiscKind;

/// A part of the kernel that one may lack, by the name that the kernel has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A kind of link.
    Link(&'static str),
    /// A kind of qdisc.
    Qdisc(&'static str),
}

impl Part {
    /// Returns the part that makes an object, when it is such a one.
    pub fn of(resource: &Resource) -> Option<Self> {
        match resource {
            Resource::Link(link) => match &link.kind {
                LinkKind::Macvlan(_) => Some(Self::Link("macvlan")),
                LinkKind::Ipvlan(_) => Some(Self::Link("ipvlan")),
                LinkKind::Vlan(_) => Some(Self::Link("vlan")),
                LinkKind::Ifb => Some(Self::Link("ifb")),
                LinkKind::Bridge
                | LinkKind::Veth(_)
                | LinkKind::Device(_)
                | LinkKind::OpenVswitch(_)
                | LinkKind::Other(_) => None,
            },
            Resource::Qdisc(qdisc) => Some(Self::Qdisc(match &qdisc.kind {
                QdiscKind::Limit(..) => "tbf",
                QdiscKind::Diversion(_) => "ingress",
            })),
            Resource::Netns(_)
            | Resource::Address(_)
            | Resource::Route(_)
            | Resource::Neighbour(_)
            | Resource::Sysctl(_)
            | Resource::NftTable(_)
            | Resource::NftElement(_)
            | Resource::Passage(_)
            | Resource::File(_) => None,
        }
    }

    /// Returns what it makes, in words, and the module that it is.
    pub fn words(self) -> (String, &'static str) {
        let (what, module) = match self {
            Self::Link("vlan") => ("VLANs", "8021q"),
            Self::Link("ifb") => ("links that what a container sends is led through", "ifb"),
            Self::Link(kind) => return (format!("{kind} links"), kind),
            Self::Qdisc("tbf") => ("limits of bandwidth (token buckets)", "sch_tbf"),
            Self::Qdisc("ingress") => ("room for filters of what comes in", "sch_ingress"),
            Self::Qdisc(kind) => return (format!("{kind} qdiscs"), kind),
        };
        (what.to_owned(), module)
    }

    /// Returns a request that a kernel with the part refuses as wrong.
    fn wish(self) -> RouteNetlinkMessage {
        match self {
            Self::Link(kind) => {
                let kind = InfoKind::Other(kind.to_owned());
                let link = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind);
                let mut link = link.name("nf-probe".to_owned()).build();
                link.attributes.push(LinkAttribute::NumTxQueues(0));
                RouteNetlinkMessage::NewLink(link)
            }
            Self::Qdisc(kind) => {
                /// The index of `lo`.
                const LOOPBACK: i32 = 1;
                const TCA_INGRESS_BLOCK: u16 = 13;
                let header = TcHeader { index: LOOPBACK, parent: TcHandle::ROOT, ..TcHeader::default() };
                let block = DefaultNla::new(TCA_INGRESS_BLOCK, 0_u32.to_ne_bytes().to_vec());
                let attributes = vec![TcAttribute::Kind(kind.to_owned()), TcAttribute::Other(block)];
                RouteNetlinkMessage::NewQueueDiscipline(TcMessage::from_parts(header, attributes))
            }
        }
    }

    /// Returns what a kernel says that lacks it.
    fn lack(self) -> Errno {
        match self {
            Self::Link(_) => Errno::OPNOTSUPP,
            Self::Qdisc(_) => Errno::NOENT,
        }
    }
}

/// Tells whether bridges of this kernel keep VLANs apart. One that cannot be asked is taken for one that does.
///
/// It is told to change a bridge that is not there, with a VLAN that there is not. A kernel with VLANs of bridges looks at that
/// first and says `EINVAL`; one without (`CONFIG_BRIDGE_VLAN_FILTERING`) passes over it and finds no such bridge (`br_validate()`
/// in Linux `net/bridge/br_netlink.c`, `__rtnl_newlink()` in `net/core/rtnetlink.c`).
pub async fn filters_vlans() -> bool {
    let asked = netns::on_thread(move || {
        let probe = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Bridge)
            .name("nf-probe".to_owned())
            .set_info_data(InfoData::Bridge(vec![InfoBridge::VlanDefaultPvid(4095)]));
        Blocking::open()?.command(RouteNetlinkMessage::NewLink(probe.build()), 0)
    });
    match asked.await {
        Ok(Err(refusal)) => refusal.errno() != Some(Errno::NODEV),
        Ok(Ok(())) | Err(_) => true,
    }
}

/// Tells whether the kernel has a part. One that cannot be asked is taken for one that has.
///
/// It is asked for a link without queues, and for a qdisc that shares the block of filters number 0, which nobody has. A
/// kernel that knows the kind, or loads its module at that, refuses that with `EINVAL` (`rtnl_create_link()` in Linux
/// `net/core/rtnetlink.c`, `qdisc_block_indexes_set()` in `net/sched/sch_api.c`); one that does not, says before that it
/// knows no such kind (`rtnl_newlink()`, `qdisc_create()`).
pub async fn has(part: Part) -> bool {
    let asked = netns::on_thread(move || Blocking::open()?.command(part.wish(), NLM_F_CREATE | NLM_F_EXCL));
    match asked.await {
        Ok(Err(refusal)) => refusal.errno() != Some(part.lack()),
        Ok(Ok(())) | Err(_) => true,
    }
}
