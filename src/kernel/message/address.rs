//! Requests about addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_core::DefaultNla;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope,
    CacheInfo,
};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::family;
use crate::kernel::attribute::{attr, plain};
use crate::kernel::connected::PRIORITY;
use crate::resource::address::{How, Lost};
use crate::resource::sysctl::Family;

/// An address, to be added to or removed from the link with this index.
pub(crate) fn address(addr: IpNet, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(Family::of(addr.addr()));
    message.header.prefix_len = addr.prefix_len();
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(addr.addr()), AddressAttribute::Address(addr.addr())];
    message
}

/// Adds an address: the kernel keeps the mark beside it (`IFA_PROTO`).
pub(crate) fn new_address(addr: IpNet, index: u32, protocol: u8) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewAddress(marked(addr, index, protocol))
}

/// Adds an external address, with which the host begins nothing unless somebody asks for that very one: IPv6 has a word for
/// that, and of IPv4 addresses the one goes before whose subnet has the next hop (`inet_select_addr()`, `net/ipv4/devinet.c`).
pub(crate) fn new_external_address(addr: IpNet, index: u32, protocol: u8) -> RouteNetlinkMessage {
    let mut message = marked(addr, index, protocol);
    if addr.addr().is_ipv6() {
        let mut times = CacheInfo::default();
        (times.ifa_preferred, times.ifa_valid) = (0, u32::MAX);
        message.attributes.push(AddressAttribute::CacheInfo(times));
    }
    RouteNetlinkMessage::NewAddress(message)
}

fn marked(addr: IpNet, index: u32, protocol: u8) -> AddressMessage {
    let mut message = address(addr, index);
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(protocol)));
    match addr {
        // A subnet of one or two addresses has no broadcast address (RFC 3021 section 2.2).
        IpNet::V4(net) if net.prefix_len() < 31 && net.broadcast() != Ipv4Addr::UNSPECIFIED => {
            message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
        }
        IpNet::V4(_) => {}
        IpNet::V6(_) => {
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
    }
    message
}

/// Gives a link a link-local address, as the kernel does, which would look first whether somebody has it. It is made of a
/// link-layer address, of which there is one, and whose link had it just now may not have given it up yet.
pub(crate) fn new_link_local(addr: IpNet, index: u32) -> RouteNetlinkMessage {
    /// `IFAPROT_KERNEL_LL`, `include/uapi/linux/if_addr.h`.
    const KERNEL_LL: u8 = 3;
    let mut message = address(addr, index);
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(KERNEL_LL)));
    message.header.flags = AddressHeaderFlags::Nodad;
    message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    RouteNetlinkMessage::NewAddress(message)
}

/// Asks for an IPv6 address of the link with this index: `inet6_rtm_getaddr()`, `net/ipv6/addrconf.c`, which takes it by itself.
pub(crate) fn find_address(addr: IpAddr, index: u32) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(Family::of(addr));
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Address(addr)];
    RouteNetlinkMessage::GetAddress(message)
}

/// The address that the kernel gives `lo`, the first link of every namespace: `inetdev_event()`, `net/ipv4/devinet.c`.
pub(crate) const LOOPBACK: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8));

/// Its other address: `init_loopback()`, `net/ipv6/addrconf.c`.
pub(crate) const LOOPBACK6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128));

/// Gives `lo` its address, as the kernel does.
pub(crate) fn new_loopback_address() -> RouteNetlinkMessage {
    on_loopback(LOOPBACK)
}

/// Gives it its other one.
pub(crate) fn new_loopback6_address() -> RouteNetlinkMessage {
    on_loopback(LOOPBACK6)
}

fn on_loopback(addr: IpNet) -> RouteNetlinkMessage {
    /// `IFAPROT_KERNEL_LO`, `include/uapi/linux/if_addr.h`.
    const KERNEL_LO: u8 = 1;
    let mut message = address(addr, 1);
    message.header.scope = AddressScope::Host;
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(KERNEL_LO)));
    if addr.addr().is_ipv6() {
        // What comes with another one leads to the address itself, as its own route does.
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
    }
    RouteNetlinkMessage::NewAddress(message)
}

/// Takes it away.
pub(crate) fn no_loopback_address() -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelAddress(address(LOOPBACK, 1))
}

/// The same for the other one.
pub(crate) fn no_loopback6_address() -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelAddress(address(LOOPBACK6, 1))
}

/// A route as the kernel makes it with an address on the link with this index: `fib_magic()` in Linux
/// `net/ipv4/fib_frontend.c`, `addrconf_prefix_route()` in `net/ipv6/addrconf.c`.
///
/// Before somebody's of the same priority comes in IPv4 what is put there; in IPv6 that comes behind
/// (`fib6_add_rt2node()`, `net/ipv6/ip6_fib.c`), so one of a better priority goes before it.
pub(crate) fn connected_route(addr: IpNet, lost: &Lost, index: u32) -> RouteMessage {
    /// `RT_TABLE_LOCAL`.
    const LOCAL: u8 = 255;
    let dest = lost.dest;
    let mut message = RouteMessage::default();
    message.header.address_family = family(Family::of(dest.addr()));
    message.header.destination_prefix_length = dest.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Kernel;
    message.header.kind = RouteType::Unicast;
    message.attributes =
        vec![RouteAttribute::Destination(RouteAddress::from(dest.network())), RouteAttribute::Oif(index)];
    match addr {
        IpNet::V4(net) => {
            message.header.scope = RouteScope::Link;
            if lost.is_local() {
                message.header.table = LOCAL;
                message.header.kind = RouteType::Local;
                message.header.scope = RouteScope::Host;
            }
            message.attributes.push(RouteAttribute::PrefSource(RouteAddress::Inet(net.addr())));
        }
        IpNet::V6(_) if lost.is_local() => {
            message.header.table = LOCAL;
            message.header.kind = RouteType::Local;
        }
        IpNet::V6(_) => {
            let priority = match lost.how {
                How::Gone => PRIORITY,
                How::Replaced | How::Covered => PRIORITY - 1,
                How::Preceded(priority) => priority - 1,
            };
            message.attributes.push(RouteAttribute::Priority(priority));
        }
    }
    message
}

/// Asks for all addresses.
pub(crate) fn all_addresses() -> RouteNetlinkMessage {
    all_addresses_in(AddressFamily::Unspec)
}

/// Asks for all addresses of a family.
pub(crate) fn all_addresses_in(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = family;
    RouteNetlinkMessage::GetAddress(message)
}

/// Asks for the addresses of one link.
pub(crate) fn addresses_of(index: u32) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    RouteNetlinkMessage::GetAddress(message)
}

/// Has the kernel put the next address of a subnet in the place of the first one of a link when that goes, or take all others
/// away with it. Said so it needs no file of `/proc/sys`, which may be read-only: `inet_set_link_af()`, `net/ipv4/devinet.c`.
pub(crate) fn promote_secondaries(index: u32, on: bool) -> RouteNetlinkMessage {
    const AF_INET: u16 = 2;
    const IFLA_AF_SPEC: u16 = 26;
    const IFLA_INET_CONF: u16 = 1;
    /// `IPV4_DEVCONF_PROMOTE_SECONDARIES`, `include/uapi/linux/ip.h`.
    const PROMOTE_SECONDARIES: u16 = 20;
    let mut spec = vec![];
    plain(&mut spec, AF_INET, |family| {
        plain(family, IFLA_INET_CONF, |parameters| {
            attr(parameters, PROMOTE_SECONDARIES, &u32::from(on).to_ne_bytes());
        });
    });
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Other(DefaultNla::new(IFLA_AF_SPEC, spec)));
    RouteNetlinkMessage::NewLink(message)
}
