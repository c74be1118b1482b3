//! Containers that are kept apart from each other on one network, each from the others that are.
//!
//! Between ports that are isolated the bridge passes nothing on. Two ways are left to the firewall:
//!
//! - One may send what is for the other to the host, which would route it back to where it came from. The table of the
//!   bridges drops that where the bridge hands it to the host, by the port that it came by: what a container sends may have
//!   any source. Nobody sends so who means well, since who is on the same network is reached directly.
//! - With `br_netfilter` the bridge itself passes on what is for a published port (`br_nf_pre_routing_finish_bridge()`), and
//!   would drop it between isolated ports. So the port of a container that publishes is not isolated: here it is kept apart.
//!
//! Both are about ports of our own containers, so it is the same on somebody else's bridge, but for the way round: which
//! addresses the host has there is not ours to say, and may change at any time, so nothing that is sent to it is dropped.

use std::net::IpAddr;

use foldhash::HashSet;
use nftables::types::NfHook;

use super::body::{Body, Kind};
use super::elements::{attachments, by_attachment, by_name, by_network};
use super::policies::range_text;
use super::terms::{
    accept, concat, drop, field, iif, jump, mark_published, marked_published, oif, redirected, within,
};
use super::{Elements, of_family};
use crate::resource::nft_set::Part;
use crate::topology::policy::Range;
use crate::topology::{Attachment, Container, Driver, Network, Subnet, Topology};

/// The networks on which somebody is isolated.
pub(super) fn networks(topology: &Topology) -> impl Iterator<Item = &Network> {
    let names: HashSet<_> = isolated(topology).map(|(_, it)| &it.network).collect();
    let isolates = move |network: &&Network| names.contains(&network.name);
    topology.networks.iter().filter(|network| network.driver == Driver::Bridge).filter(isolates)
}

fn isolated(topology: &Topology) -> impl Iterator<Item = (&Container, &Attachment)> {
    attachments(topology).filter(|(_, it)| it.isolated)
}

/// Puts those who are isolated into the sets.
pub(super) fn add(topology: &Topology, out: &mut Elements) {
    for network in networks(topology) {
        let bridge = network.interface.to_string();
        out.put("isolating", vec![bridge.clone(), bridge], None, &by_network(network));
    }
    let networks = by_name(topology, |network| network.driver == Driver::Bridge);
    for (container, attachment) in isolated(topology) {
        let Some(network) = networks.get(&attachment.network) else { continue };
        let Some(port) = &attachment.port else { continue };
        let asked = by_attachment(container, attachment);
        out.put("isolated", vec![port.to_string()], None, &asked);
        for range in network.subnets.iter().filter(|_| !network.external).flat_map(neighbours) {
            let key = vec![port.to_string(), range_text(&range)];
            out.put(&of_family("around", range.first), key, None, &asked);
        }
    }
}

/// Returns the addresses of a subnet that neighbours may have: all but the gateway's, which is the host, and the broadcast.
fn neighbours(subnet: &Subnet) -> Vec<Range> {
    let Subnet { cidr, gateway } = subnet;
    let has_broadcast = cidr.addr().is_ipv4() && cidr.prefix_len() < 31;
    let last = if has_broadcast { before(cidr.broadcast()) } else { Some(cidr.broadcast()) };
    let (first, Some(last)) = (cidr.network(), last) else { return vec![] };
    let Some(gateway) = *gateway else { return vec![Range { first, last }] };
    let below = before(gateway).map(|last| Range { first, last });
    let above = after(gateway).map(|first| Range { first, last });
    below.into_iter().chain(above).filter(|range| range.first <= range.last).collect()
}

fn before(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(addr) => Some(IpAddr::V4(addr.to_bits().checked_sub(1)?.into())),
        IpAddr::V6(addr) => Some(IpAddr::V6(addr.to_bits().checked_sub(1)?.into())),
    }
}

fn after(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(addr) => Some(IpAddr::V4(addr.to_bits().checked_add(1)?.into())),
        IpAddr::V6(addr) => Some(IpAddr::V6(addr.to_bits().checked_add(1)?.into())),
    }
}

/// Writes the rule by which the table of the bridges knows frames of connections to published ports.
pub(super) fn begin_forward(body: &mut Body) {
    if body.has(Part::Isolation) {
        let pair = concat(vec![iif(), oif()]);
        body.rule("forward", "isolating", [within(pair, "@isolating"), redirected(), mark_published()]);
    }
}

/// Writes the rules of the `bridge` table.
pub(super) fn bridge(body: &mut Body) {
    if !body.has(Part::Isolation) {
        return;
    }
    body.chain("isolated");
    body.rule(
        "forward",
        "isolated",
        [within(iif(), "@isolated"), within(oif(), "@isolated"), jump("isolated")],
    );
    body.rule("isolated", "published", [marked_published(), accept()]);
    body.rule("isolated", "apart", [drop()]);
    body.base("input", Kind::Filter, NfHook::Input, -200);
    for (key, version, set) in [("around4", "ip", "@around4"), ("around6", "ip6", "@around6")] {
        body.rule("input", key, [within(concat(vec![iif(), field(version, "daddr")]), set), drop()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cidr: &str, gateway: Option<&str>, want: &[&str]) {
        let subnet =
            Subnet { cidr: cidr.parse().unwrap(), gateway: gateway.map(|gateway| gateway.parse().unwrap()) };
        let ranges: Vec<_> = neighbours(&subnet).iter().map(range_text).collect();
        assert_eq!(ranges, want, "{cidr}");
    }

    #[test]
    fn neighbours_are_all_but_the_gateway_and_the_broadcast() {
        check("10.7.0.0/24", Some("10.7.0.1"), &["10.7.0.0", "10.7.0.2-10.7.0.254"]);
        check("10.7.0.0/30", Some("10.7.0.2"), &["10.7.0.0/31"]);
        check("10.7.0.0/24", Some("10.7.0.254"), &["10.7.0.0-10.7.0.253"]);
        check("10.7.0.0/24", None, &["10.7.0.0-10.7.0.254"]);
        check("10.7.0.0/31", Some("10.7.0.1"), &["10.7.0.0"]);
        check("fd00::/126", Some("fd00::1"), &["fd00::", "fd00::2/127"]);
    }
}
