//! Addresses: what is asked of the kernel for each operation.

use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;

use super::links::{NOBODYS_ADDRESS, Outcome, channel, found, protocol, send_unless};
use super::live::Live;
use super::{FailureKind, OpError, message};
use crate::resource::address::Address;
use crate::resource::owner::Owner;

/// Gives a link an address, or changes whose it is.
pub(super) async fn add(live: &Live, address: &Address, (owner, flags): (&Owner, u16)) -> Outcome {
    let Address { ns, link, addr } = address;
    let channel = channel(live, ns)?;
    let index = found(channel, link)?;
    let protocol = protocol(owner, NOBODYS_ADDRESS);
    let message = match owner {
        Owner::External(_) => message::new_external_address(*addr, index, protocol),
        Owner::Project
        | Owner::Network(_)
        | Owner::Container(_)
        | Owner::Attachment { .. }
        | Owner::Port(_)
        | Owner::Policy(_)
        | Owner::Unmarked(_) => message::new_address(*addr, index, protocol),
    };
    channel.request(message, flags).await.map_err(|refusal| {
        let disabled = addr.addr().is_ipv6() && refusal.errno() == Some(Errno::ACCESS);
        let OpError { kind, message } = refusal.into();
        if disabled {
            // `ipv6_add_dev()` in `net/ipv6/addrconf.c`; older kernels do not say it in words.
            let words = if message.contains("IPv6") { "" } else { "IPv6 is disabled on the link: " };
            OpError { kind: FailureKind::Missing, message: format!("{words}{message}") }
        } else {
            OpError { kind, message }
        }
    })
}

/// Takes an address from a link.
pub(super) async fn remove(live: &Live, address: &Address) -> Outcome {
    let Address { ns, link, addr } = address;
    let channel = channel(live, ns)?;
    let index = match channel.index(link) {
        Err(refusal) if refusal.errno() == Some(Errno::NODEV) => return Ok(()),
        index => index?,
    };
    let message = RouteNetlinkMessage::DelAddress(message::address(*addr, index));
    send_unless(channel, message, &[Errno::ADDRNOTAVAIL, Errno::NODEV]).await
}
