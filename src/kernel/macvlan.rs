//! Macvlan links: made on a link of the host, in the namespace of a container.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, MacVlanMode};
use rtnetlink::LinkMacVlan;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::links::{CLEANUP, NEW, Outcome, channel, found, send};
use super::live::Live;
use super::message::{self, NEWBORN};
use super::netlink::{Channel, Refusal};
use super::{OpError, netns};
use crate::names::IfName;
use crate::resource::link::{Link, Macvlan, MacvlanMode};
use crate::resource::netns::NsRef;

/// How often a parent that somebody has for himself is asked for again.
const PAUSE: Duration = Duration::from_millis(10);

/// Makes a macvlan link in its namespace.
///
/// Before Linux 6.15, the kernel makes it beside its parent and moves it (`rtnl_newlink_create()`,
/// `net/core/rtnetlink.c`): where the host has a link of that name itself, it is made with another one and renamed.
pub(super) async fn create(live: &Live, link: &Link, macvlan: &Macvlan) -> Outcome {
    let (host, there) = (channel(live, &NsRef::Host)?, channel(live, &link.ns)?);
    let parent = found(host, &macvlan.parent)?;
    let ns = netns::open(&link.ns).map_err(|error| OpError::from(Refusal::Socket(error)))?;
    let named = |name: &IfName| new(link, name, (parent, macvlan.mode), ns.as_fd());
    match patiently(host, || named(&link.name)).await {
        Err(refusal) if refusal.errno() == Some(Errno::EXIST) && found(there, &link.name).is_err() => {}
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

/// Sends a request until nobody else has the parent: a link in passthru mode shares it with none, and those of a namespace
/// that is gone go a little later (`cleanup_net()`, `net/core/net_namespace.c`).
async fn patiently(host: &Channel, new: impl Fn() -> RouteNetlinkMessage) -> Result<(), Refusal> {
    let began = tokio::time::Instant::now();
    loop {
        match host.request(new(), NEW).await {
            Err(refusal) if refusal.errno() == Some(Errno::INVAL) && began.elapsed() < CLEANUP => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Returns the name that a link of a namespace has until it can have its own.
pub(super) fn spare_name(ns: &NsRef, link: &IfName) -> IfName {
    let digest = Sha256::digest(format!("{ns}/{link}").as_bytes());
    let hex: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    #[expect(clippy::expect_used, reason = "13 letters and digits are the name of a link")]
    IfName::try_from(format!("nf-{hex}")).expect("it is a name")
}

/// Creates a macvlan link; it is down.
fn new(
    link: &Link,
    name: &IfName,
    (parent, mode): (u32, MacvlanMode),
    ns: BorrowedFd<'_>,
) -> RouteNetlinkMessage {
    let mode = match mode {
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
    };
    let mut new = LinkMacVlan::new(name.as_str(), parent, mode)
        .link_group(NEWBORN)
        .mtu(link.mtu.bytes())
        .setns_by_fd(ns.as_raw_fd());
    if let Some(mac) = link.mac {
        new = new.address(mac.0.to_vec());
    }
    RouteNetlinkMessage::NewLink(new.build())
}

fn rename(index: u32, name: &IfName) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::IfName(name.to_string()));
    RouteNetlinkMessage::NewLink(message)
}
