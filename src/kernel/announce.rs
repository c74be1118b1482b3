//! Tells neighbours of addresses that they may know otherwise: by an entry that says who had it before.
//!
//! The kernel does so itself only where `arp_notify` and `ndisc_notify` ask for it, which are not ours to change on links of
//! others, and never for an address that comes to a link that is up (`inetdev_event()` in Linux `net/ipv4/devinet.c`).
//! It costs nothing where nobody can be wrong: a container's link-layer address on a bridge of ours is derived from its
//! address, and moves with it.
//!
//! What is sent: an ARP announcement (RFC 5227 section 3), and an unsolicited neighbour advertisement to all nodes that
//! overrides what they know (RFC 4861 section 7.2.6). Nobody answers either, and a link that is down loses it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};

use super::answer::LinkAnswer;
use super::{Op, netns};
use crate::names::{IfName, Mac};
use crate::resource::Resource;
use crate::resource::address::Address;
use crate::resource::link::LinkKind;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;

/// How the addresses begin that are derived from those of the container.
const DERIVED: [u8; 2] = [0x02, 0x42];

/// Something that neighbours are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    link: IfName,
    /// The address; `None` is all that the link has.
    addr: Option<IpAddr>,
    /// Whether it is the host's, which forwards.
    is_router: bool,
}

/// What neighbours are told, by namespace.
pub(super) type Bulletin = BTreeMap<NsRef, Vec<News>>;

/// Adds what neighbours have to be told of an operation that was carried out; `known` is what the kernel says of a link.
pub(super) fn note(
    bulletin: &mut Bulletin,
    op: &Op,
    known: impl Fn(&NsRef, &IfName) -> Option<Rc<LinkAnswer>>,
) {
    let (ns, news) = match op {
        Op::Create(Entry { resource: Resource::Address(address), owner, .. }) => {
            let Address { ns, link, addr, lost: _, stray: _ } = address;
            let is_router = match owner {
                Owner::External(_) => true,
                Owner::Attachment { .. }
                    if known(ns, link).is_some_and(|it| may_differ((&it.kind, it.mac), addr.addr())) =>
                {
                    false
                }
                Owner::Attachment { .. }
                | Owner::Project
                | Owner::Network(_)
                | Owner::Container(_)
                | Owner::Port(_)
                | Owner::Policy(_)
                | Owner::Unmarked(_) => return,
            };
            (ns, News { link: link.clone(), addr: Some(addr.addr()), is_router })
        }
        Op::Update { from, to } => {
            let (Some(LinkKind::Veth(old)), Some(LinkKind::Veth(new))) = (kind(from), kind(to)) else {
                return;
            };
            // Where both are derived, each has gone with its address.
            if old.mac == new.mac || (is_derived(old.mac) && is_derived(new.mac)) {
                return;
            }
            (&new.ns, News { link: new.name.clone(), addr: None, is_router: false })
        }
        Op::Create(_) | Op::Delete(_) => return,
    };
    bulletin.entry(ns.clone()).or_default().push(news);
}

fn kind(entry: &Entry) -> Option<&LinkKind> {
    entry.resource.link().map(|link| &link.kind)
}

fn is_derived(Mac([first, second, ..]): Mac) -> bool {
    [first, second] == DERIVED
}

/// Tells whether somebody may know an address by another link-layer address than that of its link, which is of this kind.
fn may_differ((kind, mac): (&str, Option<Mac>), addr: IpAddr) -> bool {
    let Some(mac @ Mac([_, _, own @ ..])) = mac else { return false };
    let is_derived = is_derived(mac);
    match addr {
        _ if kind != "veth" => true,
        IpAddr::V4(addr) => !is_derived || own != addr.octets(),
        IpAddr::V6(_) => !is_derived,
    }
}

/// Tells neighbours. What cannot be told they find out when they ask again.
pub(super) async fn tell(bulletin: Bulletin) {
    for (ns, news) in bulletin {
        let _ = netns::on_thread(move || tell_in(&ns, &news)).await;
    }
}

fn tell_in(ns: &NsRef, news: &[News]) -> io::Result<()> {
    match ns {
        NsRef::Host => {}
        NsRef::Named(_) | NsRef::Path(_) | NsRef::Process(_) => netns::join(netns::open(ns)?.as_fd())?,
    }
    let there: Vec<InterfaceAddress> = getifaddrs()?.collect();
    for News { link, addr, is_router } in news {
        let on_link = || there.iter().filter(|it| it.interface_name == link.as_str());
        let Some(seat) = on_link().find_map(|it| it.address?.as_link_addr().copied()) else { continue };
        let Some(mac) = seat.addr().map(Mac) else { continue };
        let addresses = match addr {
            Some(addr) => vec![*addr],
            None => on_link().filter_map(ip).collect(),
        };
        for addr in addresses {
            let frame = match addr {
                IpAddr::V4(addr) => arp(mac, addr),
                IpAddr::V6(addr) => advertisement(mac, addr, *is_router),
            };
            // One of several links that is down keeps nobody from the rest.
            let _ = send_on(&seat, &frame);
        }
    }
    Ok(())
}

fn ip(held: &InterfaceAddress) -> Option<IpAddr> {
    let address = held.address.as_ref()?;
    let four = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    four.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
}

fn send_on(seat: &LinkAddr, frame: &[u8]) -> io::Result<()> {
    // Of protocol 0 it receives nothing: packet(7).
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), seat)?;
    send(socket.as_raw_fd(), frame, MsgFlags::empty())?;
    Ok(())
}

/// Returns a frame that says who has an address, asking for that very one: RFC 826 and RFC 5227 section 3.
fn arp(Mac(mac): Mac, addr: Ipv4Addr) -> Vec<u8> {
    // Ethernet, IPv4, the lengths of their addresses, a request.
    let head = [0, 1, 8, 0, 6, 4, 0, 1];
    let addr = addr.octets();
    [&[0xff; 6][..], &mac, &[0x08, 0x06], &head, &mac, &addr, &[0; 6], &addr].concat()
}

/// Returns a frame that says who has an address: RFC 4861 section 4.4.
fn advertisement(Mac(mac): Mac, addr: Ipv6Addr, is_router: bool) -> Vec<u8> {
    /// `ff02::1`, and its link-layer address (RFC 2464 section 7).
    const ALL_NODES: (Ipv6Addr, [u8; 6]) =
        (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), [0x33, 0x33, 0, 0, 0, 1]);
    /// The flags "router" and "override".
    const ROUTER: u8 = 0x80;
    const OVERRIDE: u8 = 0x20;
    let (nodes, nodes_mac) = ALL_NODES;
    let flags = OVERRIDE | if is_router { ROUTER } else { 0 };
    // Type 136, a checksum to be filled in; then the target, and the option of its link-layer address.
    let body = |sum: u16| {
        let [high, low] = sum.to_be_bytes();
        [&[136, 0, high, low, flags, 0, 0, 0][..], &addr.octets(), &[2, 1], &mac].concat()
    };
    let length = 32_u8;
    // Version 6, the length, ICMPv6, and a hop limit that no router has touched.
    let head = [0x60, 0, 0, 0, 0, length, 58, 255];
    let pseudo = [&addr.octets()[..], &nodes.octets(), &[0, 0, 0, length, 0, 0, 0, 58], &body(0)].concat();
    let packet = [&head[..], &addr.octets(), &nodes.octets(), &body(checksum(&pseudo))].concat();
    [&nodes_mac[..], &mac, &[0x86, 0xdd], &packet].concat()
}

/// The checksum of the Internet: RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_who_has_the_address() {
        let hex = |frame: Vec<u8>| frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mac = Mac([2, 0x42, 0xac, 0x19, 3, 3]);

        assert_eq!(
            hex(arp(mac, "203.0.113.9".parse().unwrap())),
            "ffffffffffff0242ac1903030806000108000604\
             00010242ac190303cb007109000000000000cb007109"
        );
        let six = advertisement(mac, "2001:db8::9".parse().unwrap(), true);
        assert_eq!(six.len(), 14 + 40 + 32);
        // Whoever sums up the packet with its checksum gets nothing (RFC 1071).
        let pseudo = [&six[22..54], &[0, 0, 0, 32, 0, 0, 0, 58], &six[54..]].concat();
        assert_eq!(checksum(&pseudo), 0);
        assert_eq!(hex(six[54..62].to_vec()).split_at(8).1, "a0000000");
    }

    #[test]
    fn neighbours_of_a_derived_link_layer_address_know_it_already() {
        let [four, six]: [IpAddr; 2] = ["172.25.3.3", "fd00::3"].map(|it| it.parse().unwrap());
        let (derived, given) = (Some(Mac([2, 0x42, 0xac, 0x19, 3, 3])), Some(Mac([2, 0, 0, 0, 0, 1])));

        assert!(!may_differ(("veth", derived), four) && !may_differ(("veth", derived), six));
        assert!(may_differ(("veth", derived), "172.25.3.4".parse().unwrap()));
        assert!(may_differ(("veth", given), four) && may_differ(("veth", given), six));
        assert!(may_differ(("macvlan", derived), four));
    }
}
