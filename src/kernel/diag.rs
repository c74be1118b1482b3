//! Who listens by TCP, asked of the kernel: `/proc/net/tcp` walks the table of all connections, which is as large as the
//! machine's memory lets it.
//!
//! Sources: `struct inet_diag_req_v2`, `struct inet_diag_msg` and `INET_DIAG_SKV6ONLY` in
//! `include/uapi/linux/inet_diag.h`; `inet_diag_dump_icsk()` in Linux `net/ipv4/inet_diag.c`.

use std::net::{IpAddr, SocketAddr};

use super::answer::each;
use super::netlink::{Blocking, Refusal};
use crate::resource::sysctl::Family;

/// `AF_INET` and `AF_INET6`.
const FAMILIES: [(Family, u8); 2] = [(Family::Ipv4, 2), (Family::Ipv6, 10)];
const IPPROTO_TCP: u8 = 6;
/// The set of states that has `TCP_LISTEN` alone: `include/net/tcp_states.h`.
const LISTENING: u32 = 1 << 10;

/// A TCP socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TcpListener {
    /// Where.
    pub(super) at: SocketAddr,
    /// What it is known by under `/proc/PID/fd`.
    pub(super) inode: u64,
    /// Whether it hears IPv6 alone (`IPV6_V6ONLY`).
    pub(super) only_ipv6: bool,
}

/// Returns who listens by TCP in the namespace of the calling thread.
///
/// # Errors
///
/// When the kernel lacks `inet_diag` or `tcp_diag`.
pub(super) fn tcp_listeners() -> Result<Vec<TcpListener>, Refusal> {
    let mut socket = Blocking::open_sock_diag()?;
    let mut listeners = vec![];
    for (family, number) in FAMILIES {
        let mut request = vec![number, IPPROTO_TCP, 0, 0];
        request.extend(LISTENING.to_ne_bytes());
        request.resize(56, 0);
        match socket.sockets(&request, |body| read(family, body)) {
            // The kernel has no IPv6.
            Err(Refusal::Kernel { .. }) if family == Family::Ipv6 => {}
            some => listeners.extend(some?),
        }
    }
    Ok(listeners)
}

/// Reads one socket.
fn read(family: Family, body: &[u8]) -> Option<TcpListener> {
    const HEADER: usize = 72;
    const INET_DIAG_SKV6ONLY: u16 = 11;
    let port = u16::from_be_bytes(*body.get(4..)?.first_chunk()?);
    let address = body.get(8..)?;
    let address = match family {
        Family::Ipv4 => IpAddr::from(*address.first_chunk::<4>()?),
        Family::Ipv6 => IpAddr::from(*address.first_chunk::<16>()?),
    };
    let inode = u32::from_ne_bytes(*body.get(HEADER - 4..)?.first_chunk()?);
    let mut only_ipv6 = false;
    each(body.get(HEADER..)?, |kind, value| {
        only_ipv6 |= kind == INET_DIAG_SKV6ONLY && value.first().is_some_and(|only| *only != 0);
    });
    Some(TcpListener { at: SocketAddr::new(address, port), inode: inode.into(), only_ipv6 })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6, TcpListener as Socket};
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

    use super::*;

    /// Listens on any IPv6 address.
    fn anywhere(only_ipv6: bool) -> Option<OwnedFd> {
        let socket = socket(AddressFamily::INET6, SocketType::STREAM, None).ok()?;
        sockopt::set_ipv6_v6only(&socket, only_ipv6).ok()?;
        bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)).ok()?;
        listen(&socket, 1).ok()?;
        Some(socket)
    }

    #[test]
    fn a_socket_that_listens_is_found_with_its_inode() {
        let sockets = [
            (Socket::bind("127.0.0.1:0").ok().map(OwnedFd::from), false),
            (anywhere(false), false),
            (anywhere(true), true),
        ];
        for (socket, only_ipv6) in sockets {
            let Some(socket) = socket else { continue };
            let wanted = TcpListener {
                at: rustix::net::getsockname(&socket).unwrap().try_into().unwrap(),
                inode: rustix::fs::fstat(socket.as_fd()).unwrap().st_ino,
                only_ipv6,
            };
            match tcp_listeners() {
                Ok(found) => assert!(found.contains(&wanted), "{wanted:?} in {found:?}"),
                Err(refusal) => eprintln!("SKIPPED: the kernel does not tell: {refusal}"),
            }
        }
    }
}
