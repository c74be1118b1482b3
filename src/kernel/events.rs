//! The kernel tells that something changed: netlink's multicast groups, of the host and of every namespace in reach.
//!
//! One socket hears all namespaces that the host has a number for (`NETLINK_LISTEN_ALL_NSID`, netlink(7)), and those of
//! our containers have one as soon as a veth pair leads there. So nothing is opened inside a namespace, which would keep
//! it alive after its name is gone.
//!
//! What is told is only that it is worth looking: whoever hears it plans anew, and an empty plan does nothing.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{AsyncSocket, AsyncSocketExt, TokioSocket};
use rustix::net::sockopt;

use super::{redirect, sysctl};
use crate::names::ProjectName;
use crate::resource::ResourceId;
use crate::resource::netns::NsRef;
use crate::resource::route::PROTOCOL;
use crate::resource::state::State;

/// `enum rtnetlink_groups` in `include/uapi/linux/rtnetlink.h`: links, addresses and routes of both families, and the
/// parameters that `RTM_NEWNETCONF` tells of, forwarding among them.
const ROUTE_GROUPS: [u32; 7] = [1, 5, 7, 9, 11, 24, 25];

/// `NFNLGRP_NFTABLES` in `include/uapi/linux/netfilter/nfnetlink.h`.
const NFTABLES_GROUP: u32 = 7;

/// Routes: `RTM_NEWROUTE` and `RTM_DELROUTE`.
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

/// `NFT_MSG_DELTABLE`, `_DELCHAIN` and `_DELRULE` of `NFNL_SUBSYS_NFTABLES`, `include/uapi/linux/netfilter/nf_tables.h`.
const REMOVALS: [u16; 3] = [0xa02, 0xa05, 0xa08];

/// Another route has taken the place of this one: `NLM_F_REPLACE`, `include/uapi/linux/netlink.h`.
const NLM_F_REPLACE: u16 = 0x100;

/// The largest message: a link with all its attributes.
const MESSAGE: usize = 64 * 1024;

/// What the kernel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Links, addresses, routes or their parameters changed somewhere.
    Network,
    /// The project's tables changed.
    Firewall,
    /// Somebody took a resolver's redirection away, in some namespace.
    Redirect,
    /// There was more to tell than the socket could hold: anything may have changed.
    Overrun,
}

/// Returns the files whose changes no group tells of: those that names need, and the host's parameters. Who watches
/// them with inotify(7) is told of writes to either.
pub fn files_of(state: &State) -> Vec<PathBuf> {
    let file = |id: &ResourceId| match id {
        ResourceId::File(path) => Some(path.clone()),
        ResourceId::Sysctl(NsRef::Host, key) => Some(sysctl::path(key)),
        ResourceId::Sysctl(NsRef::Named(_) | NsRef::Path(_), _)
        | ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..) => None,
    };
    state.iter().filter_map(|(id, _)| file(id)).collect()
}

/// Hears what the kernel tells.
pub struct Ear {
    network: TokioSocket,
    firewall: TokioSocket,
    table: String,
    buffers: [Vec<u8>; 2],
}

impl Ear {
    /// Begins to listen, in the network namespace of the calling thread and all that it has numbers for.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a socket or a group.
    pub fn open(project: &ProjectName) -> io::Result<Self> {
        let mut network = TokioSocket::new(NETLINK_ROUTE)?;
        let mut firewall = TokioSocket::new(NETLINK_NETFILTER)?;
        for socket in [&mut network, &mut firewall] {
            // Without `CAP_NET_BROADCAST` only the host is heard; the clock finds the rest.
            socket.socket_ref().set_listen_all_namespaces(true)?;
            // A socket without a number is the kernel itself to `do_one_broadcast()`, and is not told what it said.
            socket.socket_mut().bind_auto()?;
            let _ = sockopt::set_socket_recv_buffer_size(socket.socket_ref().as_fd(), 1 << 20);
        }
        for group in ROUTE_GROUPS {
            network.socket_ref().add_membership(group)?;
        }
        firewall.socket_ref().add_membership(NFTABLES_GROUP)?;
        let buffers = [(); 2].map(|()| Vec::with_capacity(MESSAGE));
        Ok(Self { network, firewall, table: format!("netform-{project}"), buffers })
    }

    /// Waits for something that may concern us.
    ///
    /// # Errors
    ///
    /// When a socket cannot be read any more.
    pub async fn hear(&mut self) -> io::Result<Notice> {
        let Self { network, firewall, table, buffers: [first, second] } = self;
        loop {
            first.clear();
            second.clear();
            let (notice, heard, relevant) = tokio::select! {
                heard = network.recv(first) => {
                    (Notice::Network, heard, any(first, concerns_network))
                }
                heard = firewall.recv(second) => {
                    let notice = firewall_notice(second, table);
                    (notice.unwrap_or(Notice::Firewall), heard, notice.is_some())
                }
            };
            match heard {
                Ok(()) if relevant => return Ok(notice),
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    return Ok(Notice::Overrun);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Tells whether any message of a datagram is one that `concerns` us.
fn any(mut datagram: &[u8], concerns: impl Fn(u16, u16, &[u8]) -> bool) -> bool {
    while let Ok(message) = NetlinkBuffer::new_checked(datagram) {
        if concerns(message.message_type(), message.flags(), message.payload()) {
            return true;
        }
        let length = (message.length() as usize).next_multiple_of(4);
        datagram = datagram.get(length..).unwrap_or_default();
    }
    false
}

/// Tells whether a message may be about something of ours. A host that speaks BGP changes routes all day, so others'
/// routes do not count, unless they replace one. The protocol is the sixth byte of `struct rtmsg`.
fn concerns_network(kind: u16, flags: u16, body: &[u8]) -> bool {
    let ours = body.get(5) == Some(&PROTOCOL);
    match kind {
        RTM_NEWROUTE => ours || flags & NLM_F_REPLACE != 0,
        RTM_DELROUTE => ours,
        _ => true,
    }
}

/// Returns what a datagram of nftables means to us.
fn firewall_notice(datagram: &[u8], table: &str) -> Option<Notice> {
    // A container's redirection that comes is one that we make ourselves.
    let gone = |kind: u16, body: &[u8]| REMOVALS.contains(&kind) && concerns_table(body, redirect::NAME);
    if any(datagram, |kind, _, body| gone(kind, body)) {
        Some(Notice::Redirect)
    } else {
        any(datagram, |_, _, body| concerns_table(body, table)).then_some(Notice::Firewall)
    }
}

/// Tells whether a message is about a table. Behind the four bytes of `struct nfgenmsg` come attributes, and the first
/// kind is the table's name in every message that has one: `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE` and so on in
/// `include/uapi/linux/netfilter/nf_tables.h`.
fn concerns_table(body: &[u8], table: &str) -> bool {
    NlasIterator::new(body.get(4..).unwrap_or_default())
        .filter_map(Result::ok)
        .any(|attribute| attribute.kind() == 1 && super::netlink::text(attribute.value()) == table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_others_do_not_count() {
        let route = |protocol| [2, 24, 0, 0, 254, protocol, 0, 1];
        assert!(concerns_network(RTM_DELROUTE, 0, &route(PROTOCOL)));
        assert!(!concerns_network(RTM_DELROUTE, 0, &route(186)));
        assert!(!concerns_network(RTM_NEWROUTE, 0, &route(186)));
        assert!(concerns_network(RTM_NEWROUTE, NLM_F_REPLACE, &route(186)));
        assert!(concerns_network(17, 0, &[]));
    }

    #[test]
    fn tables_of_others_do_not_count() {
        let about = |table: &[u8]| {
            let mut body = vec![1, 0, 0, 0];
            body.extend((table.len() as u16 + 4).to_ne_bytes());
            body.extend(1_u16.to_ne_bytes());
            body.extend(table);
            body.resize(body.len().next_multiple_of(4), 0);
            body
        };
        assert!(concerns_table(&about(b"netform-shop\0"), "netform-shop"));
        assert!(!concerns_table(&about(b"filter\0"), "netform-shop"));
        assert!(!concerns_table(&[], "netform-shop"));

        let datagram = |kind: u16, table: &[u8]| {
            let body = about(table);
            let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
            message.extend(kind.to_ne_bytes());
            message.resize(16, 0);
            message.extend(body);
            message
        };
        let notice = |kind, table| firewall_notice(&datagram(kind, table), "netform-shop");
        assert_eq!(notice(0xa00, b"netform-shop\0"), Some(Notice::Firewall));
        assert_eq!(notice(0xa00, b"netform-dns\0"), None, "we made it ourselves");
        assert_eq!(notice(0xa02, b"netform-dns\0"), Some(Notice::Redirect));
    }
}
