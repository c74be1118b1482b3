//! Bridges, namespaces, pairs and what is inside.

use std::fs::{self, File, OpenOptions};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::wire::{Batch, DUMP, NEW};
use crate::manifest::{Size, gateway};

/// Message types: `include/uapi/linux/rtnetlink.h`.
pub const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
pub const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
pub const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;
pub const GET_ROUTE: u16 = 26;

/// The groups by which bridges and pairs are deleted.
const BRIDGES: u32 = 9;
const PAIRS: u32 = 7;

/// How many requests are sent together.
const TOGETHER: usize = 64;

/// Where named namespaces are.
pub const DIR: &str = "/run/netns";

/// A namespace that was made, and a socket in it.
pub struct Namespace {
    file: OwnedFd,
    socket: Socket,
}

/// Opens a socket in the namespace of the calling thread.
pub fn socket() -> Socket {
    Socket::new(NETLINK_ROUTE).unwrap()
}

/// Makes the bridges with their addresses; the creator chooses the indexes, so that nothing has to be read back.
pub fn make_bridges(host: &Socket, size: Size) {
    let mut batch = Batch::default();
    for network in 0..size.networks {
        batch.message(NEW_LINK, NEW, &link(bridge(network), true), |m| {
            m.put_text(3, &format!("br{network}"));
            m.put_u32(27, BRIDGES);
            m.nest(18, |m| m.put_text(1, "bridge"));
        });
        add_address(&mut batch, bridge(network), gateway(network));
        send_full(&mut batch, host);
    }
    batch.send(host);
}

/// Makes the namespaces on two threads, which is the one thing that the kernel does faster that way.
pub fn make_namespaces(size: Size) -> Vec<Namespace> {
    fs::create_dir_all(DIR).unwrap();
    let half = size.attachments / 2;
    let some = |range: std::ops::Range<usize>| {
        std::thread::spawn(move || range.map(|container| make_namespace(&name(container))).collect())
    };
    let (first, second) = (some(0..half), some(half..size.attachments));
    let mut namespaces: Vec<Namespace> = first.join().unwrap();
    namespaces.extend(second.join().unwrap());
    namespaces
}

/// Makes a namespace and moves the calling thread into it.
pub fn make_namespace(path: &Path) -> Namespace {
    OpenOptions::new().write(true).create_new(true).open(path).unwrap();
    #[expect(deprecated, reason = "only `FILES` makes it unsafe")]
    rustix::thread::unshare(UnshareFlags::NEWNET).unwrap();
    mount_bind("/proc/thread-self/ns/net", path).unwrap();
    Namespace { file: File::open("/proc/thread-self/ns/net").unwrap().into(), socket: socket() }
}

/// Makes the pairs, the inner end in its namespace from the start.
pub fn make_pairs(host: &Socket, namespaces: &[Namespace], size: Size) {
    let mut batch = Batch::default();
    for (container, ns) in namespaces.iter().enumerate() {
        let master = bridge(size.network_of(container));
        make_pair(&mut batch, (&format!("v{container}"), pair(container)), Some(master), ns);
        send_full(&mut batch, host);
    }
    batch.send(host);
}

/// Adds the request for a pair.
pub fn make_pair(batch: &mut Batch, (name, index): (&str, u32), master: Option<u32>, ns: &Namespace) {
    let one_queue = |m: &mut Batch| {
        m.put_u32(31, 1);
        m.put_u32(32, 1);
    };
    batch.message(NEW_LINK, NEW, &link(index, true), |m| {
        m.put_text(3, name);
        m.put_u32(27, PAIRS);
        m.put_u32(4, 1500);
        if let Some(master) = master {
            m.put_u32(10, master);
        }
        one_queue(m);
        m.nest(18, |m| {
            m.put_text(1, "veth");
            m.nest(2, |m| {
                m.nest(1, |m| {
                    m.raw(&link(2, false));
                    m.put_text(3, "eth0");
                    m.put(1, &[&[2, 0x42], index.to_be_bytes().as_slice()].concat());
                    m.put_u32(4, 1500);
                    one_queue(m);
                    m.put_u32(28, ns.file.as_raw_fd().cast_unsigned());
                });
            });
        });
    });
}

/// Gives each namespace its address and its default route.
pub fn make_insides(namespaces: &[Namespace], size: Size) {
    let mut batch = Batch::default();
    for (container, ns) in namespaces.iter().enumerate() {
        batch.message(NEW_LINK, 0, &link(1, true), |_| {});
        add_address(&mut batch, 2, size.address(container));
        batch.message(NEW_LINK, 0, &link(2, true), |_| {});
        add_route(&mut batch, gateway(size.network_of(container)));
        batch.send(&ns.socket);
    }
}

/// Replaces the address in a container.
pub fn move_address(container: usize, from: Ipv4Addr, to: Ipv4Addr, via: Ipv4Addr) {
    let mut batch = Batch::default();
    address(&mut batch, (DEL_ADDRESS, 0), 2, from);
    add_address(&mut batch, 2, to);
    add_route(&mut batch, via);
    let socket = enter(&name(container));
    batch.send(&socket);
}

/// Removes the default routes of these containers.
pub fn remove_routes(containers: impl Iterator<Item = usize>) {
    for container in containers {
        let mut batch = Batch::default();
        // Scope `RT_SCOPE_NOWHERE` and protocol 0 are those of any route.
        batch.message(DEL_ROUTE, 0, &[2, 0, 0, 0, 254, 0, 255, 1, 0, 0, 0, 0], |_| {});
        batch.send(&enter(&name(container)));
    }
}

/// Makes the default routes of these containers again.
pub fn restore_routes(containers: impl Iterator<Item = usize>, size: Size) {
    for container in containers {
        let mut batch = Batch::default();
        add_route(&mut batch, gateway(size.network_of(container)));
        batch.send(&enter(&name(container)));
    }
}

/// Moves the calling thread into a namespace and opens a socket there.
pub fn enter(path: &Path) -> Socket {
    let file = File::open(path).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    socket()
}

/// Removes everything: pairs by one request, bridges by another, then the namespaces' names.
pub fn remove(size: Size) {
    let host = socket();
    for group in [PAIRS, BRIDGES] {
        let mut batch = Batch::default();
        batch.message(DEL_LINK, 0, &link(0, false), |m| m.put_u32(27, group));
        batch.send(&host);
    }
    for container in 0..size.attachments {
        remove_namespace(&name(container));
    }
}

/// Takes away a namespace's name.
pub fn remove_namespace(path: &Path) {
    unmount(path, UnmountFlags::DETACH).unwrap();
    fs::remove_file(path).unwrap();
}

/// Tells whether there is a link of this name.
pub fn has_link(socket: &Socket, wanted: &str) -> bool {
    let mut found = false;
    let mut batch = Batch::default();
    batch.message(GET_LINK, DUMP, &link(0, false), |_| {});
    batch.dump(socket, &mut Vec::with_capacity(1 << 16), |body| {
        super::wire::attributes(&body[16..], |kind, value| {
            found |= kind == 3 && value.strip_suffix(&[0]) == Some(wanted.as_bytes());
        });
    });
    found
}

/// Returns the file of a container's namespace.
fn name(container: usize) -> PathBuf {
    Path::new(DIR).join(format!("c{container}"))
}

fn bridge(network: usize) -> u32 {
    10_000 + u32::try_from(network).unwrap()
}

fn pair(container: usize) -> u32 {
    100_000 + u32::try_from(container).unwrap()
}

fn send_full(batch: &mut Batch, socket: &Socket) {
    if batch.requests >= TOGETHER {
        batch.send(socket);
    }
}

/// `struct ifinfomsg`, with or without `IFF_UP`.
pub fn link(index: u32, up: bool) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&u32::from(up).to_ne_bytes());
    header[12..16].copy_from_slice(&u32::from(up).to_ne_bytes());
    header
}

fn add_address(batch: &mut Batch, index: u32, of: Ipv4Addr) {
    address(batch, (NEW_ADDRESS, NEW), index, of);
}

fn address(batch: &mut Batch, (kind, flags): (u16, u16), index: u32, address: Ipv4Addr) {
    // `struct ifaddrmsg`.
    let header = [[2, 24, 0, 0], index.to_ne_bytes()].concat();
    batch.message(kind, flags, &header, |m| {
        m.put_address(2, address);
        m.put_address(1, address);
    });
}

fn add_route(batch: &mut Batch, via: Ipv4Addr) {
    // `struct rtmsg`: `AF_INET`, main table, `RTPROT_STATIC`, `RTN_UNICAST`.
    batch.message(NEW_ROUTE, NEW, &[2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0], |m| {
        m.put_address(5, via);
        m.put_u32(4, 2);
    });
}
