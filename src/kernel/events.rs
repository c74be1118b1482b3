//! The kernel tells that something changed: netlink's multicast groups, of the host and of every namespace in reach.
//!
//! One socket hears all namespaces that the host has a number for (`NETLINK_LISTEN_ALL_NSID`, netlink(7)), and those of
//! our containers have one: where no veth pair leads, the daemon asks for it (`numbers.rs`). So nothing is opened inside a
//! namespace, which would keep it alive after its name is gone.
//!
//! What is told is only where it is worth looking: whoever hears it reads that anew, and an empty plan does nothing.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use rustix::net::sockopt;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::moved::{Moved, Parts, Whole};
use super::netlink::Blocking;
use super::{answer, heard, message, netns, sysctl};
use crate::names::ProjectName;
use crate::resource::netns::NsRef;
use crate::resource::state::{Observed, State};
use crate::resource::{ResourceId, Slot};

/// `enum rtnetlink_groups` in `include/uapi/linux/rtnetlink.h`: links, their qdiscs and filters, addresses and routes of both families, and the
/// parameters that `RTM_NEWNETCONF` tells of, forwarding among them.
const ROUTE_GROUPS: [u32; 10] = [1, 4, 5, 7, 8, 9, 11, 19, 24, 25];

/// `NFNLGRP_NFTABLES` in `include/uapi/linux/netfilter/nfnetlink.h`.
const NFTABLES_GROUP: u32 = 7;

/// The largest message: a link with all its attributes.
const MESSAGE: usize = 64 * 1024;

/// The number of the namespace that a message comes from: `SOL_NETLINK`, `NETLINK_LISTEN_ALL_NSID`, netlink(7).
const NUMBER: (i32, i32) = (270, 8);

/// How long the kernel may take to tell of each link that forwarding changed, after it told of all.
const WITH_ALL: Duration = Duration::from_millis(200);

/// What the kernel tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Links, addresses, routes or their parameters changed here.
    Network(Parts),
    /// The project's tables changed.
    Firewall,
    /// Somebody took a resolver's redirection away, in some namespace.
    Redirect,
    /// There was more to tell than the socket could hold: anything may have changed.
    Overrun,
}

impl Notice {
    /// Returns where to look anew.
    pub fn moved(&self) -> Moved {
        match self {
            Self::Network(parts) => parts.clone().into(),
            Self::Firewall => Parts::whole(Whole::Firewall).into(),
            Self::Redirect => Moved::default(),
            Self::Overrun => Moved::Everywhere,
        }
    }
}

/// Returns the files whose changes no group tells of: those that names need, and the host's parameters. Who watches
/// them with inotify(7) is told of writes to either.
///
/// What others have in a place that ours may want may go.
pub fn files_of(state: &State, observed: &Observed) -> Vec<PathBuf> {
    let file = |id: &ResourceId| match id {
        ResourceId::File(path) => Some(path.to_path_buf()),
        ResourceId::Sysctl(NsRef::Host, key) => Some(sysctl::path(key)),
        ResourceId::Sysctl(NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_), _)
        | ResourceId::Netns(_)
        | ResourceId::Link(..)
        | ResourceId::Address(..)
        | ResourceId::Route(..)
        | ResourceId::NftTable(_)
        | ResourceId::NftElement(..)
        | ResourceId::Passage(..)
        | ResourceId::Neighbour(..)
        | ResourceId::Qdisc(..) => None,
    };
    let theirs = observed.foreign.keys().filter_map(|slot| match slot {
        Slot::Object(id) => Some(id),
        Slot::Ns(_)
        | Slot::Ifname(..)
        | Slot::Altname(..)
        | Slot::Addressed(..)
        | Slot::Shared(_)
        | Slot::Device(_)
        | Slot::Filtered(_) => None,
    });
    state.iter().map(|(id, _)| id).chain(theirs).filter_map(file).collect()
}

/// Hears what the kernel tells.
pub struct Ear {
    network: Source,
    firewall: Source,
    table: String,
    /// The number that this namespace has for itself, when it has one.
    own: Option<i32>,
    /// When forwarding was last told to change on all links.
    switched: Option<Instant>,
}

/// A socket that messages come from.
struct Source {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
}

impl Ear {
    /// Begins to listen, in the network namespace of the calling thread and all that it has numbers for.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a socket or a group.
    pub fn open(project: &ProjectName) -> io::Result<Self> {
        let network = Source::open(NETLINK_ROUTE, &ROUTE_GROUPS)?;
        let firewall = Source::open(NETLINK_NETFILTER, &[NFTABLES_GROUP])?;
        let host = netns::open(&NsRef::Host)?;
        // A kernel that does not say has no number for it.
        let own = Blocking::open()?.ask(message::find_nsid(host.as_fd()), answer::nsid).ok().flatten();
        Ok(Self { network, firewall, table: format!("netform-{project}"), own, switched: None })
    }

    /// Waits for something that may concern us.
    ///
    /// # Errors
    ///
    /// When a socket cannot be read any more.
    pub async fn hear(&mut self) -> io::Result<Notice> {
        let Self { network, firewall, table, own, switched } = self;
        loop {
            let heard = tokio::select! {
                heard = network.receive(*own) => heard.map(|(datagram, number)| {
                    let mut parts = heard::network(datagram, number);
                    if number.is_none() {
                        parts.indexes.extend(switched_alone(datagram, switched));
                    }
                    Some(parts).filter(|parts| !parts.is_empty()).map(Notice::Network)
                }),
                heard = firewall.receive(*own) => heard.map(|(datagram, number)| {
                    heard::firewall(datagram, number, table)
                }),
            };
            match heard {
                Ok(Some(notice)) => return Ok(notice),
                Ok(None) => {}
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    return Ok(Notice::Overrun);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns the link on which alone forwarding was switched. When it is on all, the kernel tells of each right after that, and
/// there is nothing to look at but the one parameter.
fn switched_alone(datagram: &[u8], switched: &mut Option<Instant>) -> Option<u32> {
    let link = heard::forwarding(datagram)?;
    let now = Instant::now();
    let with_all = switched.is_some_and(|before| now.duration_since(before) < WITH_ALL);
    if link < 0 {
        *switched = Some(now);
    }
    u32::try_from(link).ok().filter(|_| !with_all)
}

impl Source {
    fn open(protocol: isize, groups: &[u32]) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        // Without `CAP_NET_BROADCAST` only the host is heard; the clock finds the rest.
        socket.set_listen_all_namespaces(true)?;
        // A socket without a number is the kernel itself to `do_one_broadcast()`, and is not told what it said.
        socket.bind_auto()?;
        let _ = sockopt::set_socket_recv_buffer_size(socket.as_fd(), 1 << 20);
        for group in groups {
            socket.add_membership(*group)?;
        }
        socket.set_non_blocking(true)?;
        #[expect(deprecated, reason = "what makes it unsafe is a socket that gives up its descriptor")]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self { socket, buffer: vec![0; MESSAGE] })
    }

    /// Returns the next datagram, with the number of the namespace that it comes from; `None` is this one.
    async fn receive(&mut self, own: Option<i32>) -> io::Result<(&[u8], Option<i32>)> {
        let Self { socket, buffer } = self;
        let (length, number) = socket.async_io(Interest::READABLE, |socket| receive(socket, buffer)).await?;
        Ok((buffer.get(..length).unwrap_or_default(), number.filter(|number| Some(*number) != own)))
    }
}

fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<(usize, Option<i32>)> {
    let mut pieces = [IoSliceMut::new(buffer)];
    let mut control = nix::cmsg_space!(i32);
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut pieces, Some(&mut control), MsgFlags::empty())?;
    let mut number = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::Unknown(control) = control
            && (control.cmsg_header.cmsg_level, control.cmsg_header.cmsg_type) == NUMBER
        {
            number = control.data_bytes.first_chunk().map(|number| i32::from_ne_bytes(*number));
        }
    }
    Ok((message.bytes, number))
}
