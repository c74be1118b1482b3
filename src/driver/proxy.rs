//! Neighbour discovery by proxy: a link of the host answers for the containers of a network.
//!
//! The link is somebody else's. It answers where `proxy_ndp` says so, for the addresses that are entries of its own, and
//! only while it forwards (`ndisc_recv_ns()` in Linux `net/ipv6/ndisc.c`), which the network needs anyway. A host that forwards
//! hears no router any more, and loses at once the default route that one has told it (`rt6_purge_dflt_routers()` in
//! `net/ipv6/route.c`), unless `accept_ra` is 2.

use std::collections::BTreeMap;

use super::entry;
use crate::resource::Resource;
use crate::resource::neighbour::Neighbour;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::resource::sysctl::{Family, Sysctl, SysctlKey};
use crate::topology::{Apart, Attachment, Container, Network, Proxy, Topology};

/// Returns the parameters of the links that answer: several networks may be behind one of them.
pub(super) fn parameters(topology: &Topology) -> Vec<Entry> {
    let links = topology.networks.iter().filter_map(|network| match &network.proxy {
        Proxy::By { link, heeds } => Some((link, *heeds)),
        Proxy::Nobody | Proxy::Mute(_) | Proxy::Waits(_) => None,
    });
    let links: BTreeMap<_, _> = links.collect();
    let parameters = links.into_iter().flat_map(|(link, heeds)| {
        let all = [("proxy_ndp", "1")].into_iter().chain(heeds.then_some(("accept_ra", "2")));
        all.map(move |(name, value)| {
            let key = SysctlKey::PerLink { family: Family::Ipv6, link: link.clone(), name: name.into() };
            Resource::Sysctl(Sysctl { ns: NsRef::Host, key, value: value.into() })
        })
    });
    parameters.map(|resource| entry(resource, &Owner::Project, &topology.origin)).collect()
}

/// Returns what has the link answer for a container.
pub(super) fn of_attachment(container: &Container, attachment: &Attachment, network: &Network) -> Vec<Entry> {
    let link = match &network.proxy {
        Proxy::By { link, heeds: _ } => link,
        Proxy::Nobody | Proxy::Mute(_) | Proxy::Waits(_) => return vec![],
    };
    match attachment.apart {
        Apart::No | Apart::Switched => {}
        // The host does not reach it itself.
        Apart::InVlan => return vec![],
    }
    let owner = Owner::Attachment { container: container.name.clone(), network: network.name.clone() };
    let held = attachment.addresses.iter().map(ipnet::IpNet::addr).filter(std::net::IpAddr::is_ipv6);
    let answer = |addr| Resource::Neighbour(Neighbour { ns: NsRef::Host, link: link.clone(), addr });
    held.map(|addr| entry(answer(addr), &owner, &attachment.origin)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::tests::lower;
    use crate::resource::ResourceId;
    use crate::topology::facts::Facts;
    use crate::topology::sketch::resolved;

    #[test]
    fn networks_behind_one_link_share_its_parameters_and_each_address_is_answered_for() {
        let eth0 = || crate::names::IfName::try_from("eth0").unwrap();
        let facts = Facts { foreign_links: [eth0()].into(), heeding: [eth0()].into(), ..Facts::default() };
        let text = "net a 10.0.0.0/24 2001:db8::5:0/112 egress=routed proxy=eth0\n\
                    net b 2001:db8::6:0/112 egress=routed proxy=eth0\n\
                    net c 2001:db8::7:0/112 egress=routed proxy=eth7\n\
                    ctr x @a @b @c\nctr y @a\nctr v @a,vlan=10\nctr z docker=gone @b";
        let entries = lower(&resolved(text, &facts).unwrap());

        let lines = entries.iter().filter(|entry| {
            let id = entry.resource.id();
            let is_parameter = |key: &SysctlKey| key.link() == Some(&eth0());
            matches!(id, ResourceId::Neighbour(..))
                || matches!(&id, ResourceId::Sysctl(NsRef::Host, key) if is_parameter(key))
        });
        let lines: Vec<_> = lines.map(|entry| format!("{}: {}", entry.owner, entry.resource.id())).collect();
        assert_eq!(
            lines,
            [
                "project: sysctl net/ipv6/conf/eth0/proxy_ndp",
                "project: sysctl net/ipv6/conf/eth0/accept_ra",
                "attachment.x@a: neighbour 2001:db8::5:2 on eth0",
                "attachment.x@b: neighbour 2001:db8::6:2 on eth0",
                "attachment.y@a: neighbour 2001:db8::5:3 on eth0",
            ]
        );
    }
}
