//! Netlink requests as bytes, many in one datagram of which only the last is acknowledged.

use std::net::Ipv4Addr;

use netlink_sys::{Socket, SocketAddr};

/// `NLM_F_REQUEST`, `include/uapi/linux/netlink.h`.
const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`.
const ACK: u16 = 0x4;
/// `NLM_F_CREATE | NLM_F_EXCL`.
pub const NEW: u16 = 0x600;
/// `NLM_F_DUMP`.
pub const DUMP: u16 = 0x300;
/// `NLA_F_NESTED`.
pub const NESTED: u16 = 0x8000;

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Requests that are sent together.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    last: usize,
    sequence: u32,
    /// How many requests there are.
    pub requests: usize,
}

impl Batch {
    /// Adds a request; `attributes` puts what follows the header.
    pub fn message(&mut self, kind: u16, flags: u16, header: &[u8], attributes: impl FnOnce(&mut Self)) {
        self.last = self.bytes.len();
        self.sequence += 1;
        self.requests += 1;
        let start = self.last;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.raw(header);
        attributes(self);
        let length = u32::try_from(self.bytes.len() - start).unwrap();
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Adds bytes, padded.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Adds an attribute.
    pub fn put(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.raw(value);
    }

    /// Adds a number.
    pub fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// Adds a number in network order, as nftables has them.
    pub fn put_be32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// Adds a text with its final zero.
    pub fn put_text(&mut self, kind: u16, text: &str) {
        self.put(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// Adds an address.
    pub fn put_address(&mut self, kind: u16, address: Ipv4Addr) {
        self.put(kind, &address.octets());
    }

    /// Adds an attribute of attributes.
    pub fn nest(&mut self, kind: u16, attributes: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.put(kind, &[]);
        attributes(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap();
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Has the request that was added last acknowledged; returns its number.
    pub fn acknowledge(&mut self) -> u32 {
        let at = self.last + 6;
        let flags = u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]) | ACK;
        self.bytes[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
        self.sequence
    }

    /// Sends the requests, and waits for the last one's acknowledgement; each must succeed.
    pub fn send(&mut self, socket: &Socket) {
        if self.requests > 0 {
            let last = self.acknowledge();
            self.send_until(socket, last);
        }
    }

    /// Sends the requests, and waits for the acknowledgement of the request `last`.
    pub fn send_until(&mut self, socket: &Socket, last: u32) {
        socket.send_to(&self.bytes, &SocketAddr::new(0, 0), 0).unwrap();
        self.clear();
        let mut acknowledged = false;
        let mut buffer = Vec::with_capacity(1 << 16);
        while !acknowledged {
            buffer.clear();
            socket.recv(&mut buffer, 0).unwrap();
            each(&buffer, |kind, sequence, body| {
                let error = body.first_chunk().map_or(0, |error| i32::from_ne_bytes(*error));
                assert!(kind != NLMSG_ERROR || error == 0, "request {sequence} of {last}: error {error}");
                acknowledged |= kind == NLMSG_ERROR && sequence == last;
            });
        }
    }

    /// Sends the one request, a dump, and shows each answer's body to `see`.
    pub fn dump(&mut self, socket: &Socket, buffer: &mut Vec<u8>, mut see: impl FnMut(&[u8])) {
        socket.send_to(&self.bytes, &SocketAddr::new(0, 0), 0).unwrap();
        self.clear();
        let mut done = false;
        while !done {
            buffer.clear();
            socket.recv(buffer, 0).unwrap();
            each(buffer, |kind, _, body| match kind {
                // A routing table that nobody has used does not exist.
                NLMSG_DONE | NLMSG_ERROR => done = true,
                _ => see(body),
            });
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.requests = 0;
    }
}

fn each(mut datagram: &[u8], mut see: impl FnMut(u16, u32, &[u8])) {
    while datagram.len() >= HEADER {
        let length = u32::from_ne_bytes(datagram[..4].try_into().unwrap()) as usize;
        let kind = u16::from_ne_bytes(datagram[4..6].try_into().unwrap());
        let sequence = u32::from_ne_bytes(datagram[8..12].try_into().unwrap());
        see(kind, sequence, &datagram[HEADER..length]);
        datagram = &datagram[length.next_multiple_of(4).min(datagram.len())..];
    }
}

/// Shows each attribute of `bytes` to `see`.
pub fn attributes<'a>(mut bytes: &'a [u8], mut see: impl FnMut(u16, &'a [u8])) {
    while bytes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        see(u16::from_ne_bytes([bytes[2], bytes[3]]) & 0x3fff, &bytes[4..length]);
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
}
