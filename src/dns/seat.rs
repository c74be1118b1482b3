//! The sockets of one namespace.
//!
//! They are at a port of their own, and 127.0.0.11:53 is redirected there. A container that itself serves port 53 on all
//! addresses could not start otherwise: the kernel refuses an address that somebody else has a socket on, unless *both* allow
//! it with `SO_REUSEADDR` (UDP; for TCP that never covers two listeners), and ours cannot speak for theirs (`udp_lib_lport_inuse()`
//! in Linux `net/ipv4/udp.c`, `inet_bind_conflict()` in `net/ipv4/inet_connection_sock.c`).

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use rustix::net::sockopt;
use tokio::sync::watch;

use super::resolv::ADDRESS;
use super::zone::Zone;
use crate::kernel::netns::{self, Identity};
use crate::kernel::redirect::{self, Redirect};
use crate::names::ProjectName;
use crate::resource::netns::NsRef;

/// Where a resolver listens for those who ask at 127.0.0.11:53. It lies above the ports that the kernel gives to whoever
/// asks for any (32768 to 60999, `ip_local_port_range`), and is the same after a restart, so that nothing has to be redirected
/// anew. When somebody has it, any other will do.
const PORT: u16 = 61_053;

/// The port that is asked for. Source: RFC 1035 section 4.2.
const DNS: u16 = 53;

/// How many bytes of queries may lie before the resolver, the kernel's own included.
const BUFFER: usize = 1 << 20;

/// How often another port is tried, until one is free for UDP and for TCP.
const TRIES: usize = 16;

/// A namespace with a resolver.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) identity: Identity,
    pub(super) udp: UdpSocket,
    pub(super) zone: ArcSwap<Zone>,
    /// Questions of its container that others are being asked.
    pub(super) waiting: Arc<AtomicUsize>,
    port: u16,
    /// Says that it is closed.
    closed: watch::Sender<bool>,
}

/// The sockets of a namespace that was just opened.
#[derive(Debug)]
pub(super) struct Opened {
    identity: Identity,
    udp: UdpSocket,
    tcp: TcpListener,
    port: u16,
}

impl Seat {
    /// Returns a seat, and the listener that belongs to it.
    pub(super) fn new(opened: Opened, zone: &Arc<Zone>) -> (Self, TcpListener) {
        let Opened { identity, udp, tcp, port } = opened;
        let zone = ArcSwap::new(Arc::clone(zone));
        let closed = watch::Sender::new(false);
        (Self { identity, udp, zone, waiting: Arc::default(), port, closed }, tcp)
    }

    /// Tells those who serve the seat's streams to stop.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits until the seat is closed.
    pub(super) fn until_closed(&self) -> impl Future<Output = ()> + use<> {
        let mut closed = self.closed.subscribe();
        async move {
            // The sender is part of the seat; without it, nobody needs the seat any more.
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }

    /// Returns where 127.0.0.11:53 leads to.
    pub(super) fn redirect(&self) -> Redirect {
        redirect_to(self.port)
    }
}

fn redirect_to(port: u16) -> Redirect {
    Redirect { addr: ADDRESS, from: DNS, to: port }
}

/// Opens the sockets of a namespace. To be called on a thread that may move there.
///
/// # Errors
///
/// `AddrNotAvailable` when its `lo` is down: 127.0.0.11 is an address of that. `ResourceBusy` when another daemon answers there.
/// `StaleNetworkFileHandle` when its `maker` has not made it: something else is mounted there, and nothing is written to it.
pub(super) fn open(ns: &NsRef, maker: Option<&ProjectName>) -> io::Result<Opened> {
    let file = netns::open(ns)?;
    let identity = netns::identity_of(file.as_fd())?;
    netns::join(file.as_fd())?;
    if let Some(maker) = maker
        && !netns::is_made_by(maker, ns).map_err(io::Error::other)?
    {
        return Err(io::ErrorKind::StaleNetworkFileHandle.into());
    }
    if !is_ours_to_answer_from()? {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    }
    let (udp, tcp, port) = bind()?;
    // Whoever gets the port that all begin with is the only one.
    if port != PORT && redirect::is_taken(ADDRESS)? {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    // Without it 300 queries at once are too many. Whoever may not have that much gets as much as they may.
    if sockopt::set_socket_recv_buffer_size_force(&udp, BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(&udp, BUFFER)?;
    }
    redirect_to(port).ensure()?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok(Opened { identity, udp, tcp, port })
}

/// Tells whether 127.0.0.11 is an address here, in the namespace of the calling thread.
///
/// To bind to it does not tell. In a namespace whose `lo` has never been up, and where nothing else has an IPv4 address,
/// there is no table of local addresses, and the kernel takes every address for one of broadcasts: the socket hears what is sent there, and answers
/// as from 127.0.0.1 for as long as it lives (`__inet_dev_addr_type()` in Linux `net/ipv4/fib_frontend.c`, `__inet_bind()` in
/// `net/ipv4/af_inet.c`). Once there is a table, it stays.
fn is_ours_to_answer_from() -> io::Result<bool> {
    let asker = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Nothing is sent. Without a way there is none; one that leads out of the namespace is not that of `lo`.
    Ok(asker.connect((ADDRESS, DNS)).is_ok() && asker.local_addr()?.ip().is_loopback())
}

fn bind() -> io::Result<(UdpSocket, TcpListener, u16)> {
    let mut refused = None;
    for wanted in [PORT].into_iter().chain(std::iter::repeat_n(0, TRIES)) {
        match bind_at(wanted) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => refused = Some(error),
            done => return done,
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn bind_at(port: u16) -> io::Result<(UdpSocket, TcpListener, u16)> {
    let addr: Ipv4Addr = ADDRESS;
    let udp = UdpSocket::bind((addr, port))?;
    let port = udp.local_addr()?.port();
    let tcp = TcpListener::bind((addr, port))?;
    Ok((udp, tcp, port))
}

/// Tells whether the redirection of a seat is there, or its namespace is not. To be called on a thread that may move there.
pub(super) fn is_redirected(ns: &NsRef, seat: &Seat) -> io::Result<bool> {
    Ok(!enter(ns, seat.identity)? || seat.redirect().is_there()?)
}

/// Tells whether another daemon answers in a namespace. To be called on a thread that may move there.
pub(super) fn is_taken(ns: &NsRef) -> io::Result<bool> {
    netns::join(netns::open(ns)?.as_fd())?;
    redirect::is_taken(ADDRESS)
}

/// Writes the redirection of a seat anew, unless its namespace is gone. To be called on a thread that may move there.
///
/// # Errors
///
/// `ResourceBusy` when it leads to another daemon.
pub(super) fn mend(ns: &NsRef, seat: &Seat) -> io::Result<()> {
    if !enter(ns, seat.identity)? {
        return Ok(());
    }
    let redirect = seat.redirect();
    if redirect.to != PORT && redirect::is_taken(ADDRESS)? {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    redirect.rewrite()
}

/// Takes what was written to a namespace away, unless the namespace is gone. To be called on a thread that may move there.
pub(super) fn forsake(ns: &NsRef, identity: Identity) -> io::Result<()> {
    if netns::is_there(ns) && enter(ns, identity)? { redirect::remove() } else { Ok(()) }
}

/// Moves the calling thread into a namespace; tells whether it is the one that had the name.
fn enter(ns: &NsRef, identity: Identity) -> io::Result<bool> {
    let file = netns::open(ns)?;
    if netns::identity_of(file.as_fd())? != identity {
        return Ok(false);
    }
    netns::join(file.as_fd())?;
    Ok(true)
}
