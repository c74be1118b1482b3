//! Route netlink: sockets, requests and dumps.
//!
//! A socket keeps talking to the network namespace of the thread that made it, whichever thread uses it afterwards.
//!
//! The kernel carries out a request inside of `sendmsg(2)` and has its answer in the socket's queue when that returns
//! (`netlink_unicast_kernel()`, `net/netlink/af_netlink.c`): there is nothing to wait for, so nothing here is woken up.

mod channel;
mod list;
mod plain;

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CAPPED, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use smol_str::SmolStr;
use thiserror::Error;

use super::answer::attributes;
use super::{FailureKind, OpError, count};
pub(crate) use channel::Channel;
use list::DUMP_PATIENCE;
pub(crate) use list::Question;

/// How long the kernel may take to answer a request; RTNL is sometimes held for long by others.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest piece of a dump: the kernel fills at most 32 KiB (`netlink_dump()`, `net/netlink/af_netlink.c`). From
/// 64 KiB on, glibc would tidy up its whole heap each time that one is freed.
const PIECE: usize = 48 * 1024;

/// Why a request failed.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// The kernel said no.
    #[error("{}", words(*errno, said.as_deref()))]
    Kernel {
        /// The error's number.
        errno: Errno,
        /// The extended acknowledgement, when there is one.
        said: Option<String>,
    },
    /// The kernel did not answer.
    #[error("the kernel did not answer within {} s", PATIENCE.as_secs())]
    TimedOut,
    /// Changes by others kept interrupting the dump.
    #[error("the list kept changing while it was read, for {} s", DUMP_PATIENCE.as_secs())]
    Interrupted,
    /// The socket is gone, or could not be used.
    #[error("{0}")]
    Socket(#[from] io::Error),
}

/// Joins the extended acknowledgement and the text of the error number, as the user reads them.
fn words(errno: Errno, said: Option<&str>) -> String {
    let plain = io::Error::from(errno);
    said.map_or_else(|| plain.to_string(), |said| format!("{}: {plain}", said.trim_end_matches('.')))
}

impl Refusal {
    /// Returns the error's number, when the kernel gave one.
    pub(crate) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel { errno, said: _ } => Some(*errno),
            Self::Socket(error) => Errno::from_io_error(error),
            Self::TimedOut | Self::Interrupted => None,
        }
    }

    /// Tells which of the ways to fail it was.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            // Of files and system calls, that is; in netlink, `EACCES` has other meanings.
            Self::Socket(error) if error.kind() == io::ErrorKind::PermissionDenied => FailureKind::Privilege,
            Self::Kernel { .. } | Self::Socket(_) | Self::TimedOut | Self::Interrupted => {
                self.errno().map_or(FailureKind::Other, kind_of)
            }
        }
    }
}

/// Tells what the user can do about an error number.
fn kind_of(errno: Errno) -> FailureKind {
    if errno == Errno::PERM {
        FailureKind::Privilege
    } else if [Errno::OPNOTSUPP, Errno::NOSYS, Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT].contains(&errno) {
        FailureKind::Missing
    } else {
        FailureKind::Other
    }
}

impl From<Refusal> for OpError {
    fn from(refusal: Refusal) -> Self {
        Self { kind: refusal.kind(), message: refusal.to_string() }
    }
}

/// Asks the kernel to check requests strictly and to answer in words.
///
/// Kernels that lack one of these still serve us, with less to say.
fn speak_plainly(socket: &Socket) {
    let _ = socket.set_netlink_get_strict_chk(true);
    let _ = socket.set_ext_ack(true);
}

/// The same, with short acknowledgements and room for many answers.
fn prepare(socket: &Socket) {
    speak_plainly(socket);
    let _ = socket.set_cap_ack(true);
    let _ = sockopt::set_socket_recv_buffer_size(socket.as_fd(), 1 << 20);
}

fn addressed(message: RouteNetlinkMessage, flags: u16) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message))
}

/// Reads an acknowledgement: `None` when the request succeeded.
///
/// Behind the number come the request's header, then the rest of the request unless the answer is capped, then
/// attributes. Source: `struct nlmsgerr` and `enum nlmsgerr_attrs` in `include/uapi/linux/netlink.h`.
fn refused(code: i32, flags: u16, body: &[u8]) -> Option<Refusal> {
    const HEADER: usize = 16;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    if code == 0 {
        return None;
    }
    let request = body.first_chunk().map_or(0, |length| u32::from_ne_bytes(*length) as usize);
    let skip = if flags & NLM_F_CAPPED == 0 { request.next_multiple_of(4).max(HEADER) } else { HEADER };
    let said = attributes(body.get(skip..).unwrap_or_default())
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .map(|(_, said)| text(said).into());
    Some(Refusal::Kernel { errno: Errno::from_raw_os_error(code.abs()), said })
}

/// Reads a text that may end with a zero byte.
pub(crate) fn text(bytes: &[u8]) -> SmolStr {
    SmolStr::from(String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)))
}

/// A socket.
pub(crate) struct Blocking {
    socket: Socket,
    sequence: u32,
}

/// What a piece of an answer led to.
enum Piece<T> {
    /// More is to come.
    More(Vec<T>),
    /// That was the last.
    Last(Vec<T>),
}

impl Blocking {
    /// Opens a socket in the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Self::of(NETLINK_ROUTE)
    }

    /// Opens one by which only dumps are asked for, one at a time: it needs no room for what nobody waits for.
    pub(crate) fn open_to_read() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        speak_plainly(&socket);
        sockopt::set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, sequence: 0 })
    }

    fn of(protocol: isize) -> io::Result<Self> {
        let socket = Socket::new(protocol)?;
        prepare(&socket);
        sockopt::set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks for one thing, and returns what `read` makes of the answer's type and body. There is no acknowledgement to
    /// wait for behind it.
    pub(crate) fn ask<T>(
        &mut self,
        message: RouteNetlinkMessage,
        read: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let mut message = addressed(message, 0);
        message.header.flags &= !NLM_F_ACK;
        self.send(message)?;
        let mut interrupted = false;
        // What nothing is made of is an answer, too.
        let any = |kind: u16, body: &[u8]| Some(read(kind, body));
        with_room(|buffer| {
            loop {
                self.receive(buffer)?;
                match pieces(buffer, self.sequence, &mut interrupted, &any)? {
                    // Of something else.
                    Piece::More(answers) if answers.is_empty() => {}
                    Piece::More(answers) | Piece::Last(answers) => {
                        return Ok(answers.into_iter().flatten().next());
                    }
                }
            }
        })
    }

    /// Sends a request that the kernel must agree to.
    pub(crate) fn command(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Refusal> {
        self.exchange(addressed(message, flags), &|_, _| None::<()>).map(drop)
    }

    fn exchange<T>(
        &mut self,
        message: NetlinkMessage<RouteNetlinkMessage>,
        read: &impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<(Vec<T>, bool), Refusal> {
        self.send(message)?;
        self.answers(read)
    }

    fn send(&mut self, mut message: NetlinkMessage<RouteNetlinkMessage>) -> Result<(), Refusal> {
        count::request();
        self.sequence += 1;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.send_bytes(&bytes)
    }

    fn send_bytes(&self, request: &[u8]) -> Result<(), Refusal> {
        self.socket.send_to(request, &SocketAddr::new(0, 0), 0)?;
        Ok(())
    }

    fn receive(&self, buffer: &mut Vec<u8>) -> Result<(), Refusal> {
        buffer.clear();
        match self.socket.recv(buffer, 0) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Refusal::TimedOut),
            Err(error) => Err(Refusal::Socket(error)),
        }
    }

    fn answers<T>(&self, read: &impl Fn(u16, &[u8]) -> Option<T>) -> Result<(Vec<T>, bool), Refusal> {
        let (mut answers, mut interrupted) = (vec![], false);
        with_room(|buffer| {
            loop {
                self.receive(buffer)?;
                match pieces(buffer, self.sequence, &mut interrupted, read)? {
                    Piece::More(more) => gather(&mut answers, more),
                    Piece::Last(more) => {
                        gather(&mut answers, more);
                        return Ok((answers, interrupted));
                    }
                }
            }
        })
    }
}

thread_local! {
    /// Room for answers. It is kept, since for one as large as that glibc tidies up its small pieces each time
    /// (`malloc_consolidate()`, glibc `malloc/malloc.c`).
    static ROOM: Cell<Vec<u8>> = const { Cell::new(vec![]) };
}

/// Does something with room for a piece of an answer.
fn with_room<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut room = ROOM.take();
    room.reserve(PIECE.saturating_sub(room.len()));
    let done = work(&mut room);
    ROOM.set(room);
    done
}

/// Adds answers to others. Most questions have one piece of few, and each is asked in every namespace: they take no more room
/// than they need.
fn gather<T>(answers: &mut Vec<T>, mut more: Vec<T>) {
    if answers.is_empty() {
        more.shrink_to_fit();
        *answers = more;
    } else {
        answers.extend(more);
    }
}

/// Reads the messages of one datagram that answer the request `sequence`.
fn pieces<T>(
    mut datagram: &[u8],
    sequence: u32,
    interrupted: &mut bool,
    read: &impl Fn(u16, &[u8]) -> Option<T>,
) -> Result<Piece<T>, Refusal> {
    let mut answers = vec![];
    while let Ok(message) = NetlinkBuffer::new_checked(datagram) {
        let length = (message.length() as usize).next_multiple_of(4);
        datagram = datagram.get(length..).unwrap_or_default();
        if message.sequence_number() != sequence {
            continue;
        }
        *interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
        let body = message.payload();
        match message.message_type() {
            // The end of a dump carries an error number, too.
            kind @ (NLMSG_ERROR | NLMSG_DONE) => {
                let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                let rest = if kind == NLMSG_ERROR { body.get(4..).unwrap_or_default() } else { &[] };
                return refused(code, message.flags(), rest).map_or(Ok(Piece::Last(answers)), Err);
            }
            kind => answers.extend(read(kind, body)),
        }
    }
    Ok(Piece::More(answers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[track_caller]
    fn check(flags: u16, rest_of_request: usize, want: &str) {
        let mut body = (16 + rest_of_request as u32).to_ne_bytes().to_vec();
        body.resize(16, 0);
        if flags & NLM_F_CAPPED == 0 {
            body.resize(16 + rest_of_request, 7);
        }
        body.extend(attribute(2, &[0, 0, 0, 0]));
        body.extend(attribute(1, b"Nexthop has invalid gateway.\0"));
        assert_eq!(refused(-22, flags, &body).unwrap().to_string(), want);
    }

    #[test]
    fn a_list_of_attributes_ends_where_one_is_cut_off() {
        let whole = [attribute(1, b"ab"), attribute(0x8002, b"cdef")].concat();
        let read = |bytes: &[u8]| -> Vec<(u16, Vec<u8>)> {
            attributes(bytes).map(|(kind, value)| (kind, value.to_vec())).collect()
        };
        assert_eq!(read(&whole), [(1, b"ab".to_vec()), (2, b"cdef".to_vec())]);
        for length in [0_u16, 3, 200] {
            let mut cut = whole.clone();
            cut[8..10].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(read(&cut), [(1, b"ab".to_vec())], "{length}");
        }
        assert_eq!(read(&whole[..11]), [(1, b"ab".to_vec())]);
    }

    #[test]
    fn a_refusal_is_in_the_kernels_own_words() {
        let want = "Nexthop has invalid gateway: Invalid argument (os error 22)";
        check(NLM_F_CAPPED, 24, want);
        check(0, 24, want);
        assert_eq!(refused(-17, 0, &[]).unwrap().to_string(), "File exists (os error 17)");
        assert!(refused(0, 0, &[]).is_none());
    }
}
