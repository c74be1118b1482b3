//! An entry of connection tracking, as netlink tells it.

use std::net::IpAddr;
#[cfg(test)]
use std::net::Ipv4Addr;

use crate::kernel::answer::{self, ip};
use crate::kernel::attribute::{NESTED, attr};

/// `CTA_TUPLE_ORIG`, `_REPLY`, `CTA_STATUS`, `_ID` and `_ZONE`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// `IPS_SRC_NAT` and `IPS_DST_NAT` in `include/uapi/linux/netfilter/nf_conntrack_common.h`.
const SOURCE_TRANSLATED: u32 = 1 << 4;
const TRANSLATED: u32 = 1 << 5;

/// A flow between two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flow {
    /// The protocol's number.
    pub(super) protocol: u8,
    /// Who sent its first packet.
    pub(super) from: IpAddr,
    /// Where its packets were sent to; without a port 0.
    pub(super) to: (IpAddr, u16),
    /// Where they are led: the source of the answers.
    pub(super) led: (IpAddr, u16),
    /// Where the answers are sent to.
    pub(super) hidden: IpAddr,
    /// Whether its destination is translated.
    pub(super) translated: bool,
    /// Whether its source is.
    pub(super) is_hidden: bool,
    /// What the kernel knows it by: its original tuple, its number and its zone, as it told them.
    attributes: Vec<u8>,
}

impl Flow {
    /// Reads an entry.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (mut original, mut reply, mut status, mut attributes) = (None, None, 0, vec![]);
        // `struct nfgenmsg` comes first.
        for (kind, value) in answer::attributes(body.get(4..)?) {
            match kind {
                ORIGINAL => {
                    original = Some(End::read(value)?);
                    attr(&mut attributes, ORIGINAL | NESTED, value);
                }
                REPLY => reply = Some(End::read(value)?),
                STATUS => status = u32::from_be_bytes(*value.first_chunk()?),
                kind @ (ID | ZONE) => attr(&mut attributes, kind, value),
                _ => {}
            }
        }
        let (original, reply) = (original?, reply?);
        Some(Self {
            protocol: original.protocol,
            from: original.from.0,
            to: original.to,
            led: reply.from,
            hidden: reply.to.0,
            translated: status & TRANSLATED != 0,
            is_hidden: status & SOURCE_TRANSLATED != 0,
            attributes,
        })
    }

    /// Returns a flow for a test.
    #[cfg(test)]
    pub(super) fn of(protocol: u8, to: (IpAddr, u16), led: (IpAddr, u16)) -> Self {
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (translated, is_hidden) = (to != led, false);
        Self { protocol, from, to, led, hidden: from, translated, is_hidden, attributes: vec![] }
    }

    /// Returns the same flow from somebody whose address is translated.
    #[cfg(test)]
    pub(super) fn hidden(self, from: IpAddr, hidden: IpAddr) -> Self {
        Self { from, hidden, is_hidden: from != hidden, ..self }
    }

    /// Returns the body of a request about this very flow.
    pub(super) fn name(&self) -> Vec<u8> {
        // `AF_INET` and `AF_INET6`.
        let mut body = header(if self.to.0.is_ipv4() { 2 } else { 10 });
        body.extend(&self.attributes);
        body
    }
}

/// `struct nfgenmsg` in `include/uapi/linux/netfilter/nfnetlink.h`; `family` 0 is any.
pub(super) fn header(family: u8) -> Vec<u8> {
    vec![family, 0, 0, 0]
}

/// A tuple: one direction of a flow.
struct End {
    protocol: u8,
    from: (IpAddr, u16),
    to: (IpAddr, u16),
}

impl End {
    /// `enum ctattr_tuple`, `ctattr_ip` and `ctattr_l4proto` in `nfnetlink_conntrack.h`.
    fn read(tuple: &[u8]) -> Option<Self> {
        let (mut source, mut destination) = (None, None);
        // ICMP and others have no ports.
        let (mut protocol, mut source_port, mut port) = (None, 0, 0);
        for (part, fields) in answer::attributes(tuple) {
            for (field, value) in answer::attributes(fields) {
                match (part, field) {
                    (1, 1 | 3) => source = ip(value),
                    (1, 2 | 4) => destination = ip(value),
                    (2, 1) => protocol = value.first().copied(),
                    (2, 2) => source_port = u16::from_be_bytes(*value.first_chunk()?),
                    (2, 3) => port = u16::from_be_bytes(*value.first_chunk()?),
                    (_, _) => {}
                }
            }
        }
        Some(Self { protocol: protocol?, from: (source?, source_port), to: (destination?, port) })
    }
}
