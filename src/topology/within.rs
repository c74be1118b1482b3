//! Subnets that lie within what others have: a part of a link's own network, or of what a route leads to.

use ipnet::IpNet;

use super::facts::Facts;
use super::scene::Net;
use super::subnet::Ground;
use super::{Network, Proxy};
use crate::manifest::problem::Problem;
use crate::names::IfName;
use crate::resource::sysctl::Family;

/// The longest prefix of routes that are the default route in parts: `0.0.0.0/1` and `128.0.0.0/1`, or `2000::/3`.
const DEFAULT_IN_PARTS: u8 = 3;

/// Returns the narrowest subnet of somebody's link that a subnet is a part of, and the link.
fn connected(facts: &Facts, cidr: IpNet) -> Option<(IpNet, &IfName)> {
    // Mostly there are a handful of links, and far fewer than prefixes.
    let around = facts.connected.iter().filter(|(wider, _)| **wider != cidr && wider.contains(&cidr));
    around.max_by_key(|(wider, _)| wider.prefix_len()).map(|(wider, link)| (*wider, link))
}

/// Says that a subnet is a part of what a link of others is on: who is there would look for its addresses on that link, and find
/// the host, which has the first of them, in the place of whoever had it.
pub(super) fn problem(facts: &Facts, net: &Net<'_>, ground: &Ground<'_>) -> Option<Problem> {
    let Ground { cidr, gateway: _, is_pair: _, pool: _, reserve: _, held: _, place } = ground;
    if is_answered_for(net.spec.ndp_proxy.is_some(), *cidr) {
        return None;
    }
    let ((wider, link), name) = (connected(facts, *cidr)?, net.name);
    let instead = match (facts.bridges.contains_key(link), Family::of(cidr.addr())) {
        (true, Family::Ipv4 | Family::Ipv6) => {
            format!("to be on that network, attach to the bridge with `external: {link}`")
        }
        (false, Family::Ipv4) => {
            format!("to be on that network, write `driver: macvlan` and `options: {{parent: {link}}}`")
        }
        (false, Family::Ipv6) => {
            format!("for a part of that prefix, write `egress: routed` and `ndp_proxy: {link}`")
        }
    };
    Some(Problem {
        message: format!(
            "subnet {cidr} is a part of {wider}, the network that link {link} of the host is on"
        ),
        code: "topology::subnet_routed",
        labels: vec![(*place, format!("{link} is on {wider}"))],
        help: Some(format!("give `{name}` a subnet that is nobody's; {instead}")),
    })
}

/// Tells whether neighbours on the link find the containers by neighbour discovery though the host is between.
fn is_answered_for(by_proxy: bool, cidr: IpNet) -> bool {
    by_proxy && Family::of(cidr.addr()) == Family::Ipv6
}

/// Returns a sentence for each subnet of ours that is a part of where others lead packets, or are by now.
pub(super) fn warnings(networks: &[Network], facts: &Facts) -> Vec<String> {
    let ours = networks.iter().filter(|network| !network.external && network.driver.has_host());
    let sentence = |network: &Network, cidr: IpNet| {
        let Network { name, origin, .. } = network;
        if is_answered_for(network.proxy != Proxy::Nobody, cidr) {
            return None;
        }
        if let Some((wider, link)) = connected(facts, cidr) {
            return Some(format!(
                "{origin}: subnet {cidr} of network {name} is a part of {wider}, the network that link {link} of the host is \
                 on by now: who is there and has such an address is not reached any more, and the host answers for it"
            ));
        }
        let wider = led(facts, cidr)?;
        Some(format!(
            "{origin}: the host has a route of somebody else to {wider}, of which subnet {cidr} of network {name} is a part: \
             who is there and has such an address is not reached by this host any more; see `ip route show table all root \
             {wider}`"
        ))
    };
    let subnets = ours.flat_map(|network| network.subnets.iter().map(move |subnet| (network, subnet.cidr)));
    subnets.filter_map(|(network, cidr)| sentence(network, cidr)).collect()
}

/// Returns the narrowest destination of others' routes that a subnet is a part of; default routes aside.
fn led(facts: &Facts, cidr: IpNet) -> Option<IpNet> {
    let is_around = |wider: &&IpNet| wider.prefix_len() > DEFAULT_IN_PARTS && wider.contains(&cidr);
    let around = facts.led.iter().filter(is_around);
    around.filter(|wider| **wider != cidr).max_by_key(|wider| wider.prefix_len()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::facts::Silent;
    use crate::topology::tests::{problems, topology};

    fn facts() -> Facts {
        let prefix = |it: &str| it.parse().unwrap();
        let link = |name: &str| IfName::try_from(name).unwrap();
        Facts {
            connected: [("192.0.2.0/24", "up0"), ("192.0.0.0/8", "up1"), ("2001:db8::/64", "up0")]
                .map(|(cidr, name)| (prefix(cidr), link(name)))
                .into(),
            led: ["10.200.0.0/16", "10.0.0.0/8", "128.0.0.0/1"].map(prefix).into(),
            ..Facts::default()
        }
    }

    #[test]
    fn a_part_of_the_network_that_a_link_is_on_is_refused() {
        insta::assert_snapshot!(problems("net a 192.0.2.128/25\nnet b 2001:db8::/112\nnet c 192.1.0.0/16", &facts()), @r"
        topology::subnet_routed: subnet 192.0.2.128/25 is a part of 192.0.2.0/24, the network that link up0 of the host is on
          192.0.2.128/25: up0 is on 192.0.2.0/24
          help: give `a` a subnet that is nobody's; to be on that network, write `driver: macvlan` and `options: {parent: up0}`
        topology::subnet_routed: subnet 2001:db8::/112 is a part of 2001:db8::/64, the network that link up0 of the host is on
          2001:db8::/112: up0 is on 2001:db8::/64
          help: give `b` a subnet that is nobody's; for a part of that prefix, write `egress: routed` and `ndp_proxy: up0`
        topology::subnet_routed: subnet 192.1.0.0/16 is a part of 192.0.0.0/8, the network that link up1 of the host is on
          192.1.0.0/16: up1 is on 192.0.0.0/8
          help: give `c` a subnet that is nobody's; to be on that network, write `driver: macvlan` and `options: {parent: up1}`
        ");
    }

    #[test]
    fn what_a_link_that_is_down_has_in_a_subnet_is_told() {
        let mut facts = facts();
        facts.connected.retain(|_, link| link.as_str() == "up0");
        assert_eq!(
            topology("net a 192.0.2.0/24", &facts).warnings(&facts).concat(),
            "",
            "it brings no route"
        );
        facts.silent.insert("up0".try_into().unwrap(), Silent::Down);
        let told = |net: &str| topology(net, &facts).warnings(&facts).concat();

        for (net, theirs) in [("192.0.2.0/24", "192.0.2.0/24"), ("2001:db8::/48", "2001:db8::/64")] {
            let told = told(&format!("net a {net}"));
            assert!(
                told.contains(&format!(
                    "link up0 of the host, which is down, has an address in {theirs}, which is in subnet {net}"
                )),
                "{told}"
            );
        }
        assert_eq!(told("net a 192.0.3.0/24"), "");
    }

    #[test]
    fn what_is_live_stays_and_is_told() {
        let mut facts = facts();
        facts.live.subnets.insert("a".try_into().unwrap(), vec!["192.0.2.128/25".parse().unwrap()]);

        let told = topology("net a 192.0.2.128/25", &facts).warnings(&facts).concat();

        assert!(
            told.contains("is a part of 192.0.2.0/24, the network that link up0 of the host is on by now"),
            "{told}"
        );
    }

    #[test]
    fn what_was_applied_before_a_restart_comes_back_and_is_told() {
        let a = "net a 192.0.2.128/25";
        let mut facts = facts();
        facts.leases.subnets.insert("a".try_into().unwrap(), vec!["192.0.2.128/25".parse().unwrap()]);
        assert!(problems(a, &facts).contains("topology::subnet_routed"), "it was destroyed");

        facts.is_in_force = true;
        facts.routes.insert("192.0.2.200/32".parse().unwrap());
        let told = topology(a, &facts).warnings(&facts).concat();
        assert!(
            told.contains("up0 of the host is on by now") && told.contains("to 192.0.2.200/32"),
            "{told}"
        );
        let other = problems("net b 192.0.2.128/25", &facts);
        assert!(other.contains("topology::subnet_routed"), "another network had it: {other}");

        facts.routes.insert("192.0.2.128/25".parse().unwrap());
        assert!(problems(a, &facts).contains("the host already routes 192.0.2.128/25 elsewhere"));
    }

    #[test]
    fn a_part_of_where_somebodys_route_leads_is_told() {
        let facts = facts();
        let told = |net: &str| topology(&format!("net a {net}"), &facts).warnings(&facts).concat();

        assert!(
            told("10.200.5.0/24")
                .contains("to 10.200.0.0/16, of which subnet 10.200.5.0/24 of network a is a part")
        );
        assert!(told("10.9.0.0/24").contains("to 10.0.0.0/8, of which"));
        assert_eq!(told("172.25.0.0/24"), "", "a default route in parts leads everywhere");
    }
}
