//! Firewalls of others that drop what the networks send and get.

use super::facts::{Barrier, Facts};
use super::{Network, Topology, coexist};
use crate::resource::sysctl::Family;

/// Returns what the user should know of packets that netform lets through and somebody else does not.
pub fn warnings(topology: &Topology, facts: &Facts) -> Vec<String> {
    facts.barriers.iter().filter_map(|barrier| warning(topology, barrier)).collect()
}

fn warning(topology: &Topology, barrier: &Barrier) -> Option<String> {
    let Barrier { family, table, chain, is_dockers, bridged, from, to } = barrier;
    let families = match family.as_str() {
        "ip" => &[Family::Ipv4][..],
        "ip6" => &[Family::Ipv6],
        _ => &[Family::Ipv4, Family::Ipv6],
    };
    let is_stopped = |network: &&Network| {
        let mut subnets = network.subnets.iter();
        let is_meant = subnets.any(|subnet| families.contains(&Family::of(subnet.cidr.addr())));
        let passes = from.contains(&network.interface) && to.contains(&network.interface);
        let passes = passes || *is_dockers && coexist::passes(topology, network);
        is_meant && network.driver.has_host() && !network.waits && (!network.internal || *bridged) && !passes
    };
    let stopped: Vec<_> = topology.networks.iter().filter(is_stopped).collect();
    let names: Vec<_> = stopped.iter().map(|network| network.name.as_str()).collect();
    let bridge = &stopped.first()?.interface;
    let cure = if *is_dockers
        && !stopped.iter().all(|network| network.external)
        && topology.passages.is_empty()
    {
        "`coexist: {docker: true}` in the manifest has netform let them pass, by rules of its own in the chain that \
         Docker leaves to users"
            .to_owned()
    } else if *is_dockers {
        let program = if family == "ip6" { "ip6tables" } else { "iptables" };
        format!(
            "`{program} -I DOCKER-USER -i {bridge} -j ACCEPT` and the same with `-o {bridge}` let them pass"
        )
    } else {
        format!("let it accept `iifname {bridge}` and `oifname {bridge}`")
    };
    let bridges = if stopped.len() == 1 { "" } else { ", and so on for each" };
    let inside = if *bridged {
        ", nor, since `bridge-nf-call-iptables` is on, those between containers of one network"
    } else {
        ""
    };
    Some(format!(
        "chain {chain} of table {family} {table} is somebody else's and drops what no rule there accepts: packets between \
         {} and the world outside this host do not pass, nor those to published ports{inside}; {cure}{bridges}",
        names.join(", ")
    ))
}
