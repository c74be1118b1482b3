//! Links on a link of the host: macvlan and ipvlan, made in the namespace of a container, and VLANs.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVlan, IpVlanFlags, IpVlanMode, LinkAttribute,
    LinkMessage, MacVlanMode, VlanFlags,
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::links::{CLEANUP, NEW, Outcome, channel, found, send};
use super::live::Live;
use super::message::{self, NEWBORN};
use super::netlink::{Channel, Refusal};
use super::{FailureKind, OpError, netns};
use crate::names::IfName;
use crate::resource::hex::hex;
use crate::resource::link::{Ipvlan, IpvlanFlag, IpvlanMode, Link, Macvlan, MacvlanMode};
use crate::resource::netns::NsRef;
use crate::resource::vlan::Vlan;

/// How often a parent that somebody has for himself is asked for again.
const PAUSE: Duration = Duration::from_millis(10);

/// What kind of link is made, and on which one.
pub(super) enum Kind<'k> {
    Macvlan(&'k Macvlan),
    Ipvlan(&'k Ipvlan),
    Vlan(&'k Vlan),
}

impl Kind<'_> {
    fn parent(&self) -> &IfName {
        match self {
            Self::Macvlan(Macvlan { parent, mode: _ })
            | Self::Ipvlan(Ipvlan { parent, mode: _, flag: _ })
            | Self::Vlan(Vlan { parent, id: _ }) => parent,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Macvlan(_) => "macvlan links",
            Self::Ipvlan(_) => "ipvlan links",
            Self::Vlan(_) => "VLANs",
        }
    }
}

/// Makes a link in its namespace.
///
/// Before Linux 6.15, the kernel makes it beside its parent and moves it (`rtnl_newlink_create()`,
/// `net/core/rtnetlink.c`): where the host has a link of that name itself, it is made with another one and renamed.
pub(super) async fn create(live: &Live, link: &Link, kind: Kind<'_>) -> Outcome {
    let name = kind.parent();
    let (host, there) = (channel(live, &NsRef::Host)?, channel(live, &link.ns)?);
    let parent = found(host, name)?;
    let ns = netns::open(&link.ns).map_err(|error| OpError::from(Refusal::Socket(error)))?;
    let named = |name: &IfName| new(link, name, (parent, &kind), ns.as_fd());
    match patiently(host, || named(&link.name)).await {
        Err(refusal) if refusal.errno() == Some(Errno::EXIST) && found(there, &link.name).is_err() => {}
        Err(refusal) if refusal.errno() == Some(Errno::BUSY) => return Err(taken(name, refusal)),
        Err(refusal) if refusal.errno() == Some(Errno::OPNOTSUPP) => {
            let OpError { kind: failure, message } = refusal.into();
            let message = format!("this kernel makes no {}: {message}", kind.name());
            return Err(OpError { kind: failure, message });
        }
        made => return made.map_err(OpError::from),
    }
    let spare = spare_name(&link.ns, &link.name);
    send(host, named(&spare), NEW).await?;
    let renamed = match found(there, &spare) {
        Ok(index) => send(there, rename(index, &link.name), 0).await,
        Err(error) => Err(error),
    };
    if renamed.is_err() {
        let _ = send(there, message::delete_link(&spare), 0).await;
    }
    renamed
}

/// Says who may have a parent that is busy: a link has one receiver, `netdev_rx_handler_register()` in `net/core/dev.c`.
fn taken(parent: &IfName, refusal: Refusal) -> OpError {
    let OpError { kind: _, message } = refusal.into();
    let message = format!(
        "{parent} is somebody's already: it carries macvlan links or ipvlan links, not both, and neither as a bridge's port: \
         {message}"
    );
    OpError { kind: FailureKind::Other, message }
}

/// Sends a request until nobody else has the parent: a link in passthru mode shares it with none, macvlan and ipvlan links
/// do not share one, and those of a namespace that is gone go a little later (`cleanup_net()`, `net/core/net_namespace.c`).
async fn patiently(host: &Channel, new: impl Fn() -> RouteNetlinkMessage) -> Result<(), Refusal> {
    let began = tokio::time::Instant::now();
    loop {
        match host.request(new(), NEW).await {
            Err(refusal)
                if matches!(refusal.errno(), Some(Errno::INVAL | Errno::BUSY))
                    && began.elapsed() < CLEANUP =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Returns the name that a link of a namespace has until it can have its own.
pub(super) fn spare_name(ns: &NsRef, link: &IfName) -> IfName {
    let digest = Sha256::digest(format!("{ns}/{link}").as_bytes());
    let hex = hex(digest.into_iter().take(5));
    #[expect(clippy::expect_used, reason = "13 letters and digits are the name of a link")]
    IfName::try_from(format!("nf-{hex}")).expect("it is a name")
}

/// Creates a link; it is down.
fn new(
    link: &Link,
    name: &IfName,
    (parent, kind): (u32, &Kind<'_>),
    ns: BorrowedFd<'_>,
) -> RouteNetlinkMessage {
    let (kind, data) = match kind {
        Kind::Macvlan(Macvlan { parent: _, mode }) => {
            (InfoKind::MacVlan, InfoData::MacVlan(vec![InfoMacVlan::Mode(macvlan_mode(*mode))]))
        }
        Kind::Vlan(Vlan { parent: _, id }) => {
            // Without it, the VLAN is up only while its parent is, and goes down with it (`vlan_device_event()`,
            // `net/8021q/vlan.c`).
            let loose = VlanFlags::LooseBinding;
            let data = vec![InfoVlan::Id(id.number()), InfoVlan::Flags((loose, loose))];
            (InfoKind::Vlan, InfoData::Vlan(data))
        }
        Kind::Ipvlan(Ipvlan { parent: _, mode, flag }) => {
            let (mode, flag) = ipvlan_mode(*mode, *flag);
            (InfoKind::IpVlan, InfoData::IpVlan(vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(flag)]))
        }
    };
    let mut new = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind)
        .name(name.to_string())
        .set_info_data(data)
        .link(parent)
        .link_group(NEWBORN)
        .mtu(link.mtu.bytes())
        .setns_by_fd(ns.as_raw_fd());
    if let Some(mac) = link.mac {
        new = new.address(mac.0.to_vec());
    }
    RouteNetlinkMessage::NewLink(new.build())
}

fn macvlan_mode(mode: MacvlanMode) -> MacVlanMode {
    match mode {
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
    }
}

fn ipvlan_mode(mode: IpvlanMode, flag: IpvlanFlag) -> (IpVlanMode, IpVlanFlags) {
    let mode = match mode {
        IpvlanMode::L2 => IpVlanMode::L2,
        IpvlanMode::L3 => IpVlanMode::L3,
        IpvlanMode::L3s => IpVlanMode::L3S,
    };
    let flag = match flag {
        IpvlanFlag::Bridge => IpVlanFlags::empty(),
        IpvlanFlag::Private => IpVlanFlags::Private,
        IpvlanFlag::Vepa => IpVlanFlags::Vepa,
    };
    (mode, flag)
}

/// Gives a link another name.
pub(super) fn rename(index: u32, name: &IfName) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::IfName(name.to_string()));
    RouteNetlinkMessage::NewLink(message)
}
