//! A network as a Linux bridge or one of Open vSwitch, a container on it as a veth pair whose host end is the bridge's port.
//!
//! Kernel parameters are few, since each costs a read and a write per link, and all of them stand on the bridge:
//!
//! - `ipv6 accept_ra` = 0: a container must not give the host a default route by a router advertisement
//!   (CVE-2020-13401). Forwarding, which turns it off as well, need not be on.
//! - `ipv6 disable_ipv6` = 0 where the network has IPv6: hardened hosts turn it off for new links, and then no IPv6
//!   address can be added.
//! - `ipv4 route_localnet` = 1 where a port published on 127.0.0.1 leads to the network: without it, packets from and
//!   to 127/8 are martians on the bridge (`ip_route_input_slow()` in Linux `net/ipv4/route.c`). The firewall has to
//!   keep containers from 127/8.
//! - `ipv4 rp_filter` = 2 (loose) where answers of a container come in by another bridge than the connection went out
//!   by: the strict filter of some hosts drops them (`fib_validate_source()` in `net/ipv4/fib_frontend.c`).
//!
//! The port of a container that publishes has hairpin mode: with `br_netfilter`, which every host of Docker has, the
//! bridge itself leads the container's connection to its own published port back to where it came from
//! (`br_nf_pre_routing_finish()` in `net/bridge/br_netfilter_hooks.c`), and would drop it otherwise (`should_deliver()` in
//! `net/bridge/br_forward.c`). The module may be loaded at any time, so it is not asked for. The container then hears its
//! own multicasts: IPv4 drops them, duplicate address detection knows its own probes by their nonce (RFC 7527,
//! `ndisc_recv_ns()` in `net/ipv6/ndisc.c`), and who listens to an IPv6 group that he sends to himself hears it twice.
//!
//! What deliberately is not there: `disable_ipv6` = 1 on networks without IPv6. A link-local way to the host opens
//! nothing that the gateway's IPv4 address does not, it is never forwarded, and to turn it back on when the network gets
//! an IPv6 subnet would be one more thing to go wrong. Nor is there any parameter inside containers: who can send router
//! advertisements on a network can as well answer for its gateway. On existing bridges (`external`), nothing is set.

use std::iter;

use foldhash::HashSet;
use ipnet::IpNet;

use super::{AltNames, entry};
use crate::manifest::Ingress;
use crate::names::NetName;
use crate::resource::Resource;
use crate::resource::address::Address;
use crate::resource::amiss::Amiss;
use crate::resource::link::{Link, LinkKind, Peer};
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::resource::sysctl::{Family, Sysctl, SysctlKey};
use crate::topology::{Attachment, Container, Driver, Network, Publish, Runtime, Subnet, Topology};

/// Returns the bridge with its addresses and parameters; nothing for somebody else's.
pub(super) fn network(network: &Network, wants: &Wants<'_>, names: &mut AltNames<'_>) -> Vec<Entry> {
    if network.external {
        return vec![];
    }
    let owner = Owner::Network(network.name.clone());
    let kind = match network.driver {
        Driver::OpenVswitch(switch) => LinkKind::OpenVswitch(switch),
        Driver::Bridge | Driver::Macvlan(_) | Driver::Ipvlan(..) | Driver::Veth(_) | Driver::Physical => {
            LinkKind::Bridge
        }
    };
    let bridge = Resource::from(Link {
        mac: Some(network.mac),
        stp: network.stp,
        filtering: network.filtering,
        altname: names.give(&[network.name.as_str()]),
        protected: network.prevent_destroy,
        ..Link::alone(NsRef::Host, network.interface.clone(), network.mtu, kind)
    });
    let bridge = Entry { ignore: network.ignore.clone(), ..entry(bridge, &owner, &network.origin) };
    iter::once(bridge).chain(on_host(network, wants)).collect()
}

/// Returns what stands on the host's link of a network: the gateway's addresses, and kernel parameters.
pub(super) fn on_host(network: &Network, wants: &Wants<'_>) -> Vec<Entry> {
    let owner = Owner::Network(network.name.clone());
    let gateway = |subnet: &Subnet| {
        let addr = IpNet::new(subnet.gateway?, subnet.cidr.prefix_len()).ok()?;
        let link = network.interface.clone();
        Some(Resource::Address(Address::new(NsRef::Host, link, addr)))
    };
    let others = network.subnets.iter().filter_map(gateway).chain(sysctls(network, wants));
    others.map(|resource| entry(resource, &owner, &network.origin)).collect()
}

/// The networks whose bridges need more than others'.
pub(super) struct Wants<'t> {
    /// A port published on 127.0.0.1 leads there.
    localnet: HashSet<&'t NetName>,
    /// Answers of its containers come in by it for connections that went out by another.
    loose: HashSet<&'t NetName>,
}

impl<'t> Wants<'t> {
    /// Returns what the containers make necessary.
    pub(super) fn of(topology: &'t Topology) -> Self {
        let open = topology.networks.iter().filter(|network| !network.internal && network.driver.has_host());
        let open: HashSet<&NetName> =
            open.filter(|network| network.ingress == Ingress::Open).map(|network| &network.name).collect();
        let mut wants = Self { localnet: HashSet::default(), loose: HashSet::default() };
        for container in &topology.containers {
            match container.runtime {
                Runtime::Waiting | Runtime::Shared => continue,
                Runtime::Netform | Runtime::Given => {}
            }
            let local = container.publish.iter().filter(|port| match port.host_address {
                None => true,
                Some(addr) => addr.is_loopback(),
            });
            wants.localnet.extend(local.filter_map(|port| entrance(container, port)));

            let whole =
                container.attachments.iter().filter(|it| it.external.iter().any(|to| to.address.is_ipv4()));
            let whole = whole.map(|attachment| &attachment.network);
            let entrances =
                container.publish.iter().filter_map(|port| entrance(container, port)).chain(whole);
            let reached = container.attachments.iter().filter(|attachment| has_ipv4(attachment));
            let reached = reached.map(|attachment| &attachment.network).filter(|name| open.contains(*name));
            let mut reached = entrances.chain(reached);
            let leaves_by_ipv4 = |attachment: &&Attachment| attachment.leads_out(Family::Ipv4);
            if let Some(exit) = container.attachments.iter().find(leaves_by_ipv4)
                && reached.any(|entrance| *entrance != exit.network)
            {
                wants.loose.insert(&exit.network);
            }
        }
        wants
    }
}

/// Returns the network by which connections to a published port reach the container over IPv4.
fn entrance<'t>(container: &'t Container, port: &Publish) -> Option<&'t NetName> {
    let target = port.targets.iter().find(|target| target.is_ipv4())?;
    let has_it = |attachment: &&Attachment| attachment.addresses.iter().any(|net| net.addr() == *target);
    container.attachments.iter().find(has_it).map(|attachment| &attachment.network)
}

fn has_ipv4(attachment: &Attachment) -> bool {
    attachment.addresses.iter().any(|net| net.addr().is_ipv4())
}

fn sysctls(network: &Network, wants: &Wants<'_>) -> Vec<Resource> {
    let ipv6 = network.subnets.iter().any(|subnet| subnet.cidr.addr().is_ipv6());
    let wanted = [
        (network.mtu.carries_ipv6(), Family::Ipv6, "accept_ra", "0"),
        (ipv6, Family::Ipv6, "disable_ipv6", "0"),
        // Its link-local address comes from a link-layer address of our own making. Until that were known to be nobody
        // else's, the host could not ask for a container's (`ndisc_send_ns()`, `net/ipv6/ndisc.c`).
        (ipv6, Family::Ipv6, "accept_dad", "0"),
        (wants.localnet.contains(&network.name), Family::Ipv4, "route_localnet", "1"),
        (wants.loose.contains(&network.name), Family::Ipv4, "rp_filter", "2"),
    ];
    let sysctl = |(_, family, name, value): (bool, Family, &str, &str)| {
        let key = SysctlKey::PerLink { family, link: network.interface.clone(), name: name.into() };
        Resource::Sysctl(Sysctl { ns: NsRef::Host, key, value: value.into() })
    };
    wanted.into_iter().filter(|(wanted, ..)| *wanted).map(sysctl).collect()
}

/// Returns the veth pair that attaches a container: to the bridge, or, where the pair is all that the network is, to nothing.
pub(super) fn attachment(
    container: &Container,
    attachment: &Attachment,
    network: &Network,
    names: &mut AltNames<'_>,
) -> Option<Entry> {
    let Attachment {
        network: name,
        origin,
        interface,
        port,
        vlans,
        switched,
        link,
        mac,
        mtu,
        addresses,
        external,
        isolated,
        hairpin,
        ..
    } = attachment;
    let owner = Owner::Attachment { container: container.name.clone(), network: name.clone() };
    let ns = &container.ns;
    let is_led_to = is_led_to(container, addresses) || !external.is_empty();
    let (is_port, is_linux) = match network.driver {
        Driver::Bridge => (true, true),
        Driver::OpenVswitch(_) => (true, false),
        Driver::Macvlan(_) | Driver::Ipvlan(..) | Driver::Veth(_) | Driver::Physical => (false, false),
    };
    let veth = Resource::from(Link {
        ns: NsRef::Host,
        name: port.clone()?,
        // Nobody talks to this end, so the kernel may choose its address.
        mac: network.external.then(|| mac.above_all()),
        mtu: *mtu,
        up: true,
        master: is_port.then(|| interface.clone()),
        hairpin: is_linux && hairpin.or(network.hairpin).unwrap_or(is_led_to),
        // What is led to one by `br_netfilter` shall pass: see `firewall/isolated.rs`.
        isolated: is_linux && *isolated && !is_led_to,
        stp: false,
        filtering: None,
        vlans: vlans.clone().filter(|vlans| !vlans.is_usual(network.filtering.and_then(|it| it.default))),
        port: switched.clone(),
        altname: names.give(&[container.name.as_str(), name.as_str()]),
        protected: false,
        amiss: Amiss::default(),
        kind: LinkKind::Veth(Peer {
            ns: ns.clone(),
            name: link.clone(),
            mac: *mac,
            mtu: *mtu,
            up: true,
            tag: None,
        }),
    });
    let veth = Entry { ignore: ignored(&network.ignore), ..entry(veth, &owner, origin) };
    Some(veth)
}

/// Tells whether a published port leads to one of these addresses of the container.
fn is_led_to(container: &Container, addresses: &[IpNet]) -> bool {
    let mut targets = container.publish.iter().flat_map(|port| &port.targets);
    targets.any(|target| addresses.iter().any(|net| net.addr() == *target))
}

/// Returns a network's ignored fields in the words of a veth pair, which has them at both ends.
fn ignored(fields: &[String]) -> Vec<String> {
    fields.iter().flat_map(|field| [field.clone(), format!("peer {field}")]).collect()
}
