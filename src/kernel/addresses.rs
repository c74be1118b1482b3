//! Addresses: what is asked of the kernel for each operation, what is seen of them, and those that others have given the host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::Errno;
use smol_str::ToSmolStr;

use super::answer::AddressAnswer;
use super::links::{NOBODYS_ADDRESS, Outcome, channel, found, protocol, send_unless};
use super::live::Live;
use super::netlink::{Blocking, Channel, Refusal};
use super::observe::is_link_local;
use super::reading::{self, NsReading};
use super::sight::Sight;
use super::whose::OwnLinks;
use super::{
    FailureKind, ObserveError, OpError, Scope, answer, connected, external, message, netns, silence,
};
use crate::resource::address::Address;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::route::PROTOCOL;
use crate::resource::state::Foreign;
use crate::resource::{Resource, ResourceId, Slot};

/// Addresses that the kernel makes itself: `IFAPROT_KERNEL_LO`, `_RA`, `_LL`.
const KERNEL_ADDRESSES: [u8; 3] = [1, 2, 3];

/// Notes the addresses of a namespace that are ours, and that others put on our links.
pub(super) fn see(observed: &mut Sight, (ns, own): (&NsReading, &OwnLinks), scope: &Scope) {
    let mut lost = connected::lost(ns, |index| own.contains_key(&index));
    for address in &ns.addresses {
        let AddressAnswer { index, addr, protocol, routed: _, young: _ } = address;
        let Some((link, owner)) = own.get(index) else {
            external::see(observed, address, ns, scope);
            continue;
        };
        let resource = || Address::new(ns.ns.clone(), link.clone(), *addr);
        let id = || ResourceId::Address(ns.ns.clone(), link.clone(), *addr);
        let is_stray = *protocol != PROTOCOL && !scope.strays.is_empty() && scope.strays.contains_key(&id());
        if *protocol == PROTOCOL || is_stray {
            let (lost, stray) =
                (lost.remove(&(*index, *addr)).unwrap_or_default(), is_stray.then_some(*protocol));
            observed.insert(Resource::Address(Address { lost, stray, ..resource() }), owner.clone());
            continue;
        }
        let id = id();
        if scope.unmarked.contains(&id) {
            observed.insert(Resource::Address(resource()), Owner::Unmarked(protocol.to_smolstr()));
        } else if !KERNEL_ADDRESSES.contains(protocol) && !is_link_local(addr.addr()) {
            let what = format!("address {addr} on {link}");
            let foreign = Foreign { what, owner: None, on: Some(owner.clone()), bears: None };
            observed.foreign.insert(Slot::Object(id), foreign);
        }
    }
}

/// Returns the addresses of the host that are none of netform's, of whichever project.
///
/// # Errors
///
/// When the kernel cannot be read.
pub async fn of_host() -> Result<BTreeSet<IpAddr>, ObserveError> {
    let failed = |refusal| reading::failed("the addresses of the host".to_owned(), refusal);
    let read = || {
        let addresses = Blocking::open()?.dump(message::all_addresses(), answer::address)?;
        let theirs = addresses.into_iter().filter(|address| address.protocol != PROTOCOL);
        Ok::<_, Refusal>(theirs.map(|address| address.addr.addr()).collect())
    };
    netns::on_thread(read).await.map_err(|error| failed(error.into()))?.map_err(failed)
}

/// Gives a link an address, or changes whose it is.
pub(super) async fn add(live: &Live, address: &Address, (owner, flags): (&Owner, u16)) -> Outcome {
    let Address { ns, link, addr, lost: _, stray } = address;
    let channel = channel(live, ns)?;
    let index = found(channel, link)?;
    let protocol = stray.unwrap_or_else(|| protocol(owner, NOBODYS_ADDRESS));
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
    let mut put = channel.request(message.clone(), flags).await;
    let is_disabled = matches!(&put, Err(refusal) if refusal.errno() == Some(Errno::ACCESS));
    if is_disabled && addr.addr().is_ipv6() && *ns != NsRef::Host {
        // Hardened hosts have new links not speak it.
        silence::set_ipv6((ns, link), true).await.map_err(|OpError { kind, message }| OpError {
            kind,
            message: format!("IPv6 is disabled on {link}, and {message}"),
        })?;
        put = channel.request(message, flags).await;
    }
    put.map_err(|refusal| {
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

/// Takes an address from a link, and none of those that others have put beside it: with the first one of a subnet the kernel
/// takes away all that came after it, unless the link is to put the next one in its place (`__inet_del_ifa()`,
/// `net/ipv4/devinet.c`). A run that is killed in between leaves it so, which takes nothing from anybody.
pub(super) async fn remove(live: &Live, address: &Address) -> Outcome {
    let Address { ns, link, addr, lost: _, stray: _ } = address;
    let channel = channel(live, ns)?;
    let index = match channel.index(link) {
        Err(refusal) if refusal.errno() == Some(Errno::NODEV) => return Ok(()),
        index => index?,
    };
    let must_promote = match takes_others_along(channel, *addr, index) {
        Err(refusal) if refusal.errno() == Some(Errno::NODEV) => return Ok(()),
        takes => takes?,
    };
    let promote = async |on: bool| match must_promote {
        true => send_unless(channel, message::promote_secondaries(index, on), &[Errno::NODEV]).await,
        false => Ok(()),
    };
    promote(true).await?;
    let message = RouteNetlinkMessage::DelAddress(message::address(*addr, index));
    let outcome = send_unless(channel, message, &[Errno::ADDRNOTAVAIL, Errno::NODEV]).await;
    outcome.and(promote(false).await)
}

/// Tells whether others may go with an address: some are on the link, and it is not to put the next one in its place.
fn takes_others_along(channel: &Channel, addr: IpNet, index: u32) -> Result<bool, Refusal> {
    // Of IPv6 each goes alone, and in a subnet of one address there is no other.
    if addr.addr().is_ipv6() || addr.prefix_len() == addr.max_prefix_len() {
        return Ok(false);
    }
    let there = channel.dump(message::addresses_of(index), answer::address)?;
    let has_others = there.iter().any(|it| it.addr.addr().is_ipv4() && it.addr != addr);
    Ok(has_others && channel.ask(message::link_at(index), answer::promotes_secondaries)? == Some(false))
}
