//! Two ports of one address as one: inside a namespace, what is sent to port `from` of an address arrives at port `to`, and
//! is answered as from `from`. A process may so take port `from` of all addresses, and the address keeps its service.
//!
//! The rules rewrite ports as packets leave their sender, before connection tracking (and without it, so that no query
//! takes an entry there). Packets to a loopback address never leave the namespace, so the sender is always there.
//!
//! The messages are written by hand: the `nft` program would cost 5 ms in each namespace, these cost a tenth of one. They
//! are what `nft list table ip netform-dns` shows. Sources: `include/uapi/linux/netfilter/nf_tables.h` and `nfnetlink.h`.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;

use super::attribute::{attr, nest};
use super::listeners::{has_socket, listeners};
use super::netns;
use crate::names::Protocol;
use crate::resource::netns::NsRef;

/// The table's name.
pub(super) const NAME: &str = "netform-dns";
/// The same as messages have it.
const TABLE: &[u8] = b"netform-dns\0";

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
/// `NLM_F_EXCL`: it is an error when it is there.
const EXCL: u16 = 0x200;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
const NEWTABLE: u16 = SUBSYSTEM << 8;
const GETTABLE: u16 = NEWTABLE | 1;
const DELTABLE: u16 = NEWTABLE | 2;
const NEWCHAIN: u16 = NEWTABLE | 3;
const GETCHAIN: u16 = NEWTABLE | 4;
const NEWRULE: u16 = NEWTABLE | 6;

/// `NFPROTO_IPV4`.
const IPV4: u8 = 2;
/// `NF_INET_LOCAL_OUT`.
const OUTPUT: u32 = 3;
/// `NF_IP_PRI_RAW`: before connection tracking.
const RAW: i32 = -300;
/// `NFT_REG_1`.
const REGISTER: u32 = 1;
/// `NFT_META_L4PROTO`.
const L4PROTO: u32 = 16;
/// `NFT_PAYLOAD_NETWORK_HEADER` and `NFT_PAYLOAD_TRANSPORT_HEADER`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

/// What is redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Redirect {
    /// Of which loopback address.
    pub(crate) addr: Ipv4Addr,
    /// The port that is asked for.
    pub(crate) from: u16,
    /// The port that answers.
    pub(crate) to: u16,
}

impl Redirect {
    /// Makes sure that it is there, in the namespace of the calling thread, for UDP and TCP.
    ///
    /// It is recognised by the name of its chain, which says the port: after a restart nothing has to be written. It is looked
    /// for first, since closing the socket takes 20 ms once something was deleted, or refused.
    pub(crate) fn ensure(self) -> io::Result<()> {
        let socket = Nft::open()?;
        if socket.has_chain(&self.chain())? {
            return Ok(());
        }
        let mut batch = Batch::begin();
        batch.table(CREATE | EXCL);
        self.rules(&mut batch);
        match socket.commit(batch) {
            // To another port.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::EXIST) => self.replace(&socket),
            done => done,
        }
    }

    /// Tells whether it is there, in the namespace of the calling thread.
    pub(crate) fn is_there(self) -> io::Result<bool> {
        Nft::open()?.has_chain(&self.chain())
    }

    /// Writes it anew, whatever somebody has made of it.
    pub(crate) fn rewrite(self) -> io::Result<()> {
        self.replace(&Nft::open()?)
    }

    fn replace(self, socket: &Nft) -> io::Result<()> {
        let mut batch = Batch::begin();
        // What is not there cannot be deleted, so it is made first: nobody sees anything in between.
        batch.table(CREATE);
        batch.message(DELTABLE, 0, IPV4, |out| attr(out, 1, TABLE));
        batch.table(CREATE);
        self.rules(&mut batch);
        socket.commit(batch)
    }

    fn chain(self) -> Vec<u8> {
        chain(self.to)
    }

    fn rules(self, batch: &mut Batch) {
        let chain = self.chain();
        batch.message(NEWCHAIN, CREATE, IPV4, |out| {
            attr(out, 1, TABLE);
            attr(out, 3, &chain);
            nest(out, 4, |out| {
                attr(out, 1, &OUTPUT.to_be_bytes());
                attr(out, 2, &RAW.to_be_bytes());
            });
            attr(out, 7, b"filter\0");
        });
        // Where the checksum is in the header: RFC 768 and RFC 9293 section 3.1.
        for (protocol, checksum) in [(17, 6), (6, 16)] {
            let there =
                Rewrite { protocol, checksum, address_at: 16, port_at: 2, from: self.from, to: self.to };
            let back = Rewrite { address_at: 12, port_at: 0, from: self.to, to: self.from, ..there };
            for rewrite in [there, back] {
                batch.message(NEWRULE, CREATE | APPEND, IPV4, |out| {
                    attr(out, 1, TABLE);
                    attr(out, 2, &chain);
                    nest(out, 4, |out| rewrite.expressions(self.addr, out));
                });
            }
        }
    }
}

/// Takes the redirection away, in the namespace of the calling thread.
pub(crate) fn remove() -> io::Result<()> {
    let mut batch = Batch::begin();
    batch.message(DELTABLE, 0, IPV4, |out| attr(out, 1, TABLE));
    match Nft::open()?.commit(batch) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(()),
        done => done,
    }
}

/// Takes redirections of this address away from namespaces that nobody is served in any more, as after a daemon that was
/// stopped, or killed; returns where that failed. What is gone has none. One of the processes that may answer there may be
/// `asleep`, and does not count: it does not know yet that it is not wanted.
pub(crate) async fn leave(
    namespaces: Vec<NsRef>,
    addr: Ipv4Addr,
    asleep: Option<u32>,
) -> Vec<(NsRef, io::Error)> {
    let unseen: Vec<NsRef> = namespaces.clone();
    let leave = move || {
        let left = namespaces.into_iter().map(|ns| (leave_one(&ns, addr, asleep), ns));
        left.filter_map(|(left, ns)| Some((ns, left.err()?))).collect()
    };
    let left = netns::on_thread(leave).await;
    left.unwrap_or_else(|error| unseen.into_iter().map(|ns| (ns, error.kind().into())).collect())
}

/// Enters a namespace, and takes the redirection away unless somebody has the port that it leads to: a daemon, of this
/// project or of another that has the same container.
fn leave_one(ns: &NsRef, addr: Ipv4Addr, asleep: Option<u32>) -> io::Result<()> {
    let Some(file) = netns::open_if_namespace(ns).ok().flatten() else { return Ok(()) };
    netns::join(file.as_fd())?;
    let socket = Nft::open()?;
    if !socket.has_table()? {
        return Ok(());
    }
    for (_, listener) in listeners(&[Protocol::Udp].into()) {
        let is_there =
            listener.at.ip() == IpAddr::V4(addr) && socket.has_chain(&chain(listener.at.port()))?;
        if is_there && !asleep.is_some_and(|pid| has_socket(pid, listener.inode)) {
            return Ok(());
        }
    }
    drop(socket);
    remove()
}

/// Tells whether somebody else answers where the redirection of this address leads, in the namespace of the calling thread: the
/// daemon of another project that has the same container. Two would take it from each other for ever.
///
/// Whoever is in the container may have a socket there as well: a daemon's belongs to the user that this one runs as.
pub(crate) fn is_taken(addr: Ipv4Addr) -> io::Result<bool> {
    let (socket, own) = (Nft::open()?, rustix::process::geteuid().as_raw());
    for (_, listener) in listeners(&[Protocol::Udp].into()) {
        let is_ones = listener.at.ip() == IpAddr::V4(addr) && listener.uid == Some(own);
        let is_led_to = is_ones && socket.has_chain(&chain(listener.at.port()))?;
        if is_led_to && !has_socket(std::process::id(), listener.inode) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the name of the chain that leads to a port.
fn chain(port: u16) -> Vec<u8> {
    format!("to-{port}\0").into_bytes()
}

/// One direction of one protocol.
#[derive(Clone, Copy)]
struct Rewrite {
    protocol: u8,
    checksum: u32,
    /// Where in the IP header the address is.
    address_at: u32,
    /// Where in the transport header the port is.
    port_at: u32,
    from: u16,
    to: u16,
}

impl Rewrite {
    /// Writes `ip daddr ADDR PROTOCOL dport FROM notrack PROTOCOL dport set TO`, or the same with `saddr` and `sport`.
    fn expressions(self, addr: Ipv4Addr, out: &mut Vec<u8>) {
        expression(out, b"payload\0", |out| load(out, NETWORK, self.address_at, 4));
        expression(out, b"cmp\0", |out| equals(out, &addr.octets()));
        expression(out, b"meta\0", |out| {
            attr(out, 1, &REGISTER.to_be_bytes());
            attr(out, 2, &L4PROTO.to_be_bytes());
        });
        expression(out, b"cmp\0", |out| equals(out, &[self.protocol]));
        expression(out, b"payload\0", |out| load(out, TRANSPORT, self.port_at, 2));
        expression(out, b"cmp\0", |out| equals(out, &self.from.to_be_bytes()));
        nest(out, 1, |out| attr(out, 1, b"notrack\0"));
        expression(out, b"immediate\0", |out| {
            attr(out, 1, &REGISTER.to_be_bytes());
            nest(out, 2, |out| attr(out, 1, &self.to.to_be_bytes()));
        });
        expression(out, b"payload\0", |out| {
            let [base, offset, length] = [TRANSPORT, self.port_at, 2_u32].map(u32::to_be_bytes);
            attr(out, 2, &base);
            attr(out, 3, &offset);
            attr(out, 4, &length);
            attr(out, 5, &REGISTER.to_be_bytes());
            // `NFT_PAYLOAD_CSUM_INET`.
            attr(out, 6, &1_u32.to_be_bytes());
            attr(out, 7, &self.checksum.to_be_bytes());
        });
    }
}

fn expression(out: &mut Vec<u8>, name: &[u8], body: impl FnOnce(&mut Vec<u8>)) {
    nest(out, 1, |out| {
        attr(out, 1, name);
        nest(out, 2, body);
    });
}

fn load(out: &mut Vec<u8>, base: u32, offset: u32, length: u32) {
    attr(out, 1, &REGISTER.to_be_bytes());
    attr(out, 2, &base.to_be_bytes());
    attr(out, 3, &offset.to_be_bytes());
    attr(out, 4, &length.to_be_bytes());
}

fn equals(out: &mut Vec<u8>, value: &[u8]) {
    attr(out, 1, &REGISTER.to_be_bytes());
    // `NFT_CMP_EQ`.
    attr(out, 2, &0_u32.to_be_bytes());
    nest(out, 3, |out| attr(out, 1, value));
}

/// Messages that the kernel does all of, or none.
struct Batch {
    bytes: Vec<u8>,
    /// The number of the last message.
    last: u32,
}

impl Batch {
    fn begin() -> Self {
        let mut batch = Self { bytes: vec![], last: 0 };
        batch.write(BATCH_BEGIN, 0, (0, SUBSYSTEM), |_| {});
        batch
    }

    fn table(&mut self, flags: u16) {
        self.message(NEWTABLE, flags, IPV4, |out| attr(out, 1, TABLE));
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, body: impl FnOnce(&mut Vec<u8>)) {
        self.write(kind, flags | ACK, (family, 0), body);
    }

    fn write(&mut self, kind: u16, flags: u16, (family, id): (u8, u16), body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.last += 1;
        // `struct nlmsghdr`: length, kind, flags, number, sender.
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&self.last.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        // `struct nfgenmsg`: family, version, id.
        let [high, low] = id.to_be_bytes();
        self.bytes.extend_from_slice(&[family, 0, high, low]);
        body(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<4>) {
            *place = length.to_ne_bytes();
        }
    }
}

/// A socket to nftables, in the namespace of the thread that opened it.
struct Nft(Socket);

impl Nft {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        Ok(Self(socket))
    }

    fn commit(&self, mut batch: Batch) -> io::Result<()> {
        let last = batch.last;
        batch.write(BATCH_END, 0, (0, SUBSYSTEM), |_| {});
        self.exchange(&batch.bytes, last)
    }

    fn has_table(&self) -> io::Result<bool> {
        self.has(GETTABLE, |_| {})
    }

    fn has_chain(&self, chain: &[u8]) -> io::Result<bool> {
        self.has(GETCHAIN, |out| attr(out, 3, chain))
    }

    /// Tells whether something of the table is there, or the table itself.
    fn has(&self, kind: u16, what: impl FnOnce(&mut Vec<u8>)) -> io::Result<bool> {
        let mut request = Batch { bytes: vec![], last: 0 };
        request.message(kind, 0, IPV4, |out| {
            attr(out, 1, TABLE);
            what(out);
        });
        match self.exchange(&request.bytes, request.last) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// Sends messages, and reads their acknowledgements up to that of number `last`.
    ///
    /// The kernel has answered when the sending returns, so nothing is waited for (`nfnetlink_rcv()` in Linux
    /// `net/netfilter/nfnetlink.c`).
    fn exchange(&self, messages: &[u8], last: u32) -> io::Result<()> {
        self.0.send_to(messages, &SocketAddr::new(0, 0), 0)?;
        let mut piece: Vec<u8> = Vec::with_capacity(8192);
        loop {
            piece.clear();
            self.0.recv(&mut piece, DONTWAIT)?;
            let mut rest = piece.as_slice();
            while let Some((kind, number, error, behind)) = answer(rest) {
                match error {
                    // `NLMSG_ERROR`, with 0 for success.
                    0 if kind == 2 && number == last => return Ok(()),
                    0 => {}
                    error => return Err(io::Error::from_raw_os_error(-error)),
                }
                rest = behind;
            }
        }
    }
}

/// `MSG_DONTWAIT` of recv(2).
const DONTWAIT: i32 = 0x40;

/// Reads a message: its kind, its number, its error, and what is behind it.
fn answer(bytes: &[u8]) -> Option<(u16, u32, i32, &[u8])> {
    let (header, body) = bytes.split_first_chunk::<16>()?;
    let &[l0, l1, l2, l3, k0, k1, _, _, n0, n1, n2, n3, _, _, _, _] = header;
    let (length, kind) = (u32::from_ne_bytes([l0, l1, l2, l3]), u16::from_ne_bytes([k0, k1]));
    let error = if kind == 2 { i32::from_ne_bytes(*body.first_chunk::<4>()?) } else { 0 };
    let behind = usize::try_from(length).ok()?.next_multiple_of(4).max(16);
    Some((kind, u32::from_ne_bytes([n0, n1, n2, n3]), error, bytes.get(behind..).unwrap_or_default()))
}
