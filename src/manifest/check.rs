//! What one network's values can be judged by alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::network::subnet_label;
use super::node::Node;
use super::problem::Problem;
use super::report::Report;
use super::{At, Driver, Network, Place};

/// Ranges that no subnet may touch, with the name of what they are for. Source: RFC 6890 section 2.2.
const SPECIAL: &[(IpNet, &str)] = &[
    (v4([0, 0, 0, 0], 8), "addresses of \"this network\""),
    (v4([127, 0, 0, 0], 8), "loopback addresses"),
    (v4([224, 0, 0, 0], 4), "multicast addresses"),
    (v4([255, 255, 255, 255], 32), "the broadcast address"),
    (v6(0, 8), "unspecified, loopback and IPv4 addresses in IPv6 form"),
    (v6(0xfe80, 10), "link-local addresses, which every interface has of its own"),
    (v6(0xff00, 8), "multicast addresses"),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(first: u16, prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), prefix))
}

/// Whether a subnet of a driver's network can hold containers at all; reports why not.
pub(super) fn cidr(cidr: &At<IpNet>, driver: &Driver, report: &mut Report) -> bool {
    let net = cidr.value;
    if let Some((_, what)) = touched(net) {
        let message = format!("a subnet of containers cannot have {what}");
        report.add(
            Problem::new("manifest::special_subnet", message, cidr.place, format!("{net} has some"))
                .help("use private addresses: of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or fd00::/8"),
        );
        return false;
    }
    // Gateway and one container; IPv4 loses network and broadcast address (RFC 1122 section 3.2.1.3), IPv6 the
    // subnet-router anycast address (RFC 4291 section 2.6.1).
    // A pair's two ends need no more than two addresses (RFC 3021, RFC 6164).
    let (bits, whom) = match driver {
        Driver::Bridge
        | Driver::Macvlan { .. }
        | Driver::Ipvlan { .. }
        | Driver::OpenVswitch(_)
        | Driver::Physical => (2, "a gateway and a container"),
        Driver::Veth(_) => (1, "the two ends of a pair"),
    };
    let longest = net.max_prefix_len() - bits;
    if net.prefix_len() > longest {
        let message = format!("{net} has no room for {whom}");
        report.add(
            Problem::new("manifest::subnet_too_small", message, cidr.place, "too few addresses")
                .help(format!("use a prefix length of at most {longest}")),
        );
        return false;
    }
    true
}

/// Whether a pool can give subnets; reports why not.
pub(super) fn pool(range: &At<IpNet>, size: &At<u8>, report: &mut Report) -> bool {
    let net = range.value;
    if let Some((_, what)) = touched(net) {
        let message = format!("a pool cannot have {what}");
        let problem =
            Problem::new("manifest::special_subnet", message, range.place, format!("{net} has some"));
        report.add(problem.help("use private addresses, such as 10.0.0.0/8 or fd00::/8"));
        return false;
    }
    let longest = net.max_prefix_len() - 2;
    if size.value < net.prefix_len() || size.value > longest {
        let message = format!("{net} cannot be cut into subnets of prefix length {}", size.value);
        report.add(
            Problem::new("manifest::pool_size", message, size.place, "the prefix length of each subnet")
                .and(range.place, "the pool")
                .help(format!("`size` can be {} to {longest}", net.prefix_len().min(longest))),
        );
        return false;
    }
    true
}

/// Checks what a subnet names inside of it.
pub(super) fn subnet(
    cidr: &At<IpNet>,
    gateway: Option<&At<IpAddr>>,
    pool: Option<&At<IpNet>>,
    reserve: &[(String, At<IpAddr>)],
    report: &mut Report,
) {
    let net = cidr.value;
    if let Some(gateway) = gateway {
        host("the gateway", "manifest::bad_gateway", gateway, cidr, report);
    }
    if let Some(pool) = pool
        && !net.contains(&pool.value)
    {
        let message = format!("the pool {} is not inside of its subnet {net}", pool.value);
        report.add(
            Problem::new("manifest::pool_outside", message, pool.place, "not in the subnet")
                .and(cidr.place, subnet_label(net))
                .help("dynamic addresses come from the pool: name a part of the subnet"),
        );
    }
    for (name, address) in reserve {
        let what = format!("the reserved address `{}`", super::fields::shortened(name));
        host(&what, "manifest::bad_reserve", address, cidr, report);
    }
}

/// Checks that an address is one of a subnet's hosts.
fn host(what: &str, code: &'static str, address: &At<IpAddr>, cidr: &At<IpNet>, report: &mut Report) {
    let net = cidr.value;
    let first = first_host(net);
    let is_point_to_point = net.max_prefix_len() - net.prefix_len() < 2;
    let problem = if !net.contains(&address.value) {
        let message = format!("{what} {} is outside of its subnet {net}", address.value);
        Problem::new(code, message, address.place, "not in the subnet")
    } else if is_point_to_point {
        return;
    } else if address.value == net.network() {
        let message = format!("{what} {} is the address of the subnet itself", address.value);
        Problem::new(code, message, address.place, "the first of the subnet, which no host has")
    } else if net.addr().is_ipv4() && address.value == net.broadcast() {
        let message = format!("{what} {} is the broadcast address of its subnet", address.value);
        Problem::new(code, message, address.place, "the last of the subnet, which no host has")
    } else {
        return;
    };
    report.add(
        problem
            .and(cidr.place, subnet_label(net))
            .help(format!("use an address of the subnet, {first} for example")),
    );
}

/// Checks what several values of a network say together.
pub(super) fn network(network: &Network, report: &mut Report) {
    let six = network.subnets.iter().find(|subnet| subnet.value.cidr.addr().is_ipv6());
    if let (Some(mtu), Some(six)) = (&network.mtu, six)
        && !mtu.value.carries_ipv6()
    {
        let message = format!("an MTU of {} is too small for IPv6", mtu.value);
        report.add(
            Problem::new("manifest::mtu_too_small", message, mtu.place, "too small")
                .and(six.place, "an IPv6 subnet")
                // RFC 8200 section 5.
                .help("IPv6 needs 1280 bytes: use more, or leave the IPv6 subnet out"),
        );
    }
}

/// Checks that at most one address per family is given; `code` is of two of a family, `help` for a list without any.
pub(super) fn one_per_family(
    (key, code, help): (&str, &'static str, &str),
    node: &Node,
    addresses: &[At<IpAddr>],
    report: &mut Report,
) {
    if let super::node::Kind::List(items) = &node.kind
        && items.is_empty()
    {
        let message = format!("`{key}` has no address");
        report.add(Problem::new("manifest::empty_list", message, node.place, "empty").help(help));
    }
    let mut first: [Option<Place>; 2] = [None, None];
    for address in addresses {
        let [four, six] = &mut first;
        let slot = if address.value.is_ipv4() { four } else { six };
        match slot {
            None => *slot = Some(address.place),
            Some(first) => {
                let family = if address.value.is_ipv4() { "IPv4" } else { "IPv6" };
                let message = format!("`{key}` has more than one {family} address");
                let problem = Problem::new(code, message, address.place, "one too many");
                report.add(problem.and(*first, "the first").help("keep one for each family"));
            }
        }
    }
}

fn touched(net: IpNet) -> Option<&'static (IpNet, &'static str)> {
    SPECIAL.iter().find(|(special, _)| special.contains(&net) || net.contains(special))
}

fn first_host(net: IpNet) -> IpAddr {
    match net.network() {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits().saturating_add(1))),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits().saturating_add(1))),
    }
}
