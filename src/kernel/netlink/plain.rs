//! Requests whose bodies others have written: to netfilter, about sockets, features of links, and VLANs of bridges.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_NETFILTER, NETLINK_SOCK_DIAG};
use rustix::io::Errno;

use super::{Blocking, Refusal};
use crate::kernel::count;
use crate::kernel::vlans::{self, VlanEntry};

/// A transaction of netfilter's stands between these: `include/uapi/linux/netfilter/nfnetlink.h`.
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;

impl Blocking {
    /// Opens a socket to netfilter in the namespace of the calling thread.
    pub(crate) fn open_netfilter() -> io::Result<Self> {
        Self::of(NETLINK_NETFILTER)
    }

    /// Opens a socket that tells of sockets, in the namespace of the calling thread.
    pub(crate) fn open_sock_diag() -> io::Result<Self> {
        Self::of(NETLINK_SOCK_DIAG)
    }

    /// Opens a socket to what has no protocol of its own, in the namespace of the calling thread.
    pub(crate) fn open_generic() -> io::Result<Self> {
        Self::of(NETLINK_GENERIC)
    }

    /// Sends a request to netfilter, or asks for a dump by `NLM_F_DUMP` in `flags`, and returns what `read` makes of the
    /// answers. A dump that others' changes interrupt is not begun anew: flows come and go all the time.
    pub(crate) fn netfilter<T>(
        &mut self,
        (kind, flags): (u16, u16),
        body: &[u8],
        read: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        self.sequence += 1;
        let mut bytes = vec![];
        framed(&mut bytes, (kind, NLM_F_REQUEST | flags, self.sequence), body);
        self.send_bytes(&bytes)?;
        self.answers(&read).map(|(answers, _)| answers)
    }

    /// Returns what `read` makes of the sockets that a `struct inet_diag_req_v2` asks for.
    pub(crate) fn sockets<T>(
        &mut self,
        request: &[u8],
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        // `include/uapi/linux/sock_diag.h`.
        const SOCK_DIAG_BY_FAMILY: u16 = 20;
        let found = |kind: u16, body: &[u8]| read(body).filter(|_| kind == SOCK_DIAG_BY_FAMILY);
        self.netfilter((SOCK_DIAG_BY_FAMILY, NLM_F_DUMP), request, found)
    }

    /// Has netfilter change the ruleset by messages, each of a kind and with flags, as one transaction.
    pub(crate) fn transaction(&mut self, messages: &[((u16, u16), Vec<u8>)]) -> Result<(), Refusal> {
        // `struct nfgenmsg` with `NFNL_SUBSYS_NFTABLES`, in `include/uapi/linux/netfilter/nfnetlink.h`.
        const FOR_NFTABLES: [u8; 4] = [0, 0, 0, 10];
        self.sequence += 1;
        let mut bytes = vec![];
        // A refusal may answer the beginning, so all have the same number; when there is none, the last one is answered.
        framed(&mut bytes, (NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, self.sequence), &FOR_NFTABLES);
        for (left, ((kind, flags), body)) in (0..messages.len()).rev().zip(messages) {
            let flags = NLM_F_REQUEST | flags | if left == 0 { NLM_F_ACK } else { 0 };
            framed(&mut bytes, (*kind, flags, self.sequence), body);
        }
        framed(&mut bytes, (NFNL_MSG_BATCH_END, NLM_F_REQUEST, self.sequence), &FOR_NFTABLES);
        self.send_bytes(&bytes)?;
        self.answers(&|_, _| None::<()>).map(drop)
    }
}

impl Blocking {
    /// Returns the VLANs of a bridge or a port of one by its index, or of all (0), each by its index; a link may come more than
    /// once.
    pub(crate) fn vlans(&mut self, index: u32) -> Result<Vec<(u32, Vec<VlanEntry>)>, Refusal> {
        /// `include/uapi/linux/rtnetlink.h`; `AF_BRIDGE` is 7.
        const RTM_GETVLAN: u16 = 114;
        count::request();
        let mut body = vec![7, 0, 0, 0];
        body.extend(index.to_ne_bytes());
        match self.netfilter((RTM_GETVLAN, NLM_F_DUMP), &body, vlans::read_answer) {
            // The kernel has none, the link is gone, or is nobody's port any more: `br_vlan_rtm_dump()` in Linux
            // `net/bridge/br_vlan.c`.
            Err(Refusal::Kernel { errno: Errno::OPNOTSUPP | Errno::NODEV | Errno::INVAL, said: _ }) => {
                Ok(vec![])
            }
            vlans => vlans,
        }
    }
}

/// Adds a message of a kind, with flags and a number: `struct nlmsghdr` in `include/uapi/linux/netlink.h`.
fn framed(bytes: &mut Vec<u8>, (kind, flags, sequence): (u16, u16, u32), body: &[u8]) {
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
