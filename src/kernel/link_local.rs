//! The link-local addresses that the kernel makes of link-layer addresses. It makes one when a link comes up, and keeps it
//! when the link gets another link-layer address: whoever gets the former one next would find its address taken.

use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;

use super::links::{NEW, Outcome, channel, found, send_unless};
use super::live::Live;
use super::message;
use crate::names::{IfName, Mac};
use crate::resource::address::link_local_of;
use crate::resource::netns::NsRef;

/// What `inet6_rtm_getaddr()`, `inet6_addr_del()` and `rtnetlink_rcv_msg()` say where there is no such address.
const NONE: [Errno; 4] = [Errno::ADDRNOTAVAIL, Errno::NXIO, Errno::OPNOTSUPP, Errno::AFNOSUPPORT];

/// Gives a link the address of its new link-layer address in place of that of the former one, where it has that: there is none
/// on a link that is down, that does not speak IPv6, or that makes its addresses otherwise.
///
/// A run that is killed in between leaves both, never none, so that doing it again does the rest.
pub(super) async fn follow(live: &Live, (ns, link): (&NsRef, &IfName), [from, to]: [Mac; 2]) -> Outcome {
    if from == to {
        return Ok(());
    }
    let here = channel(live, ns)?;
    let index = found(here, link)?;
    let former = link_local_of(from);
    match here.ask(message::find_address(former.addr(), index), |_, _| Some(())) {
        Err(refusal) if refusal.errno().is_some_and(|errno| NONE.contains(&errno)) => return Ok(()),
        answer => answer.map(drop)?,
    }
    match here.request(message::new_link_local(link_local_of(to), index), NEW).await {
        Err(refusal) if refusal.errno() == Some(Errno::EXIST) => {}
        answer => answer?,
    }
    let former = RouteNetlinkMessage::DelAddress(message::address(former, index));
    send_unless(here, former, &NONE).await
}
