//! What policies put into the sets, and what keeps containers from sending with others' addresses.

use std::net::IpAddr;

use crate::names::NetName;
use crate::resource::owner::Owner;
use crate::resource::policy::Verdict;
use crate::topology::policy::{Decided, Policies, Range, Way};
use crate::topology::{Driver, Network, Topology};

use super::elements::{attachments, by_attachment, by_network};
use super::{Asked, Elements, of_family, ports_text, prefix_text};

pub(super) fn add(topology: &Topology, out: &mut Elements) {
    let policies = &topology.policies;
    if policies.all.is_empty() {
        return;
    }
    let judged = || topology.networks.iter().filter(|it| it.is_judged());
    for network in judged() {
        for subnet in &network.subnets {
            let inside = of_family("inside", subnet.cidr.addr());
            out.put(&inside, vec![prefix_text(subnet.cidr)], None, &by_network(network));
        }
    }
    let mut guarded: Vec<&Network> =
        judged().filter(|network| policies.guarded.contains(&network.name)).collect();
    for decided in &policies.decided {
        let Some(policy) = policies.all.get(decided.policy) else { continue };
        let asked = Asked { owner: Owner::Policy(policy.name.clone()), origin: &policy.origin };
        put(decided, policy.verdict, (&guarded, &asked), out);
    }
    // What comes to a port of Open vSwitch passes no chain of the host.
    guarded.retain(|network| !matches!(network.driver, Driver::OpenVswitch(_)));
    let apart: Vec<&NetName> =
        guarded.iter().filter(|it| keeps_apart(policies, it)).map(|it| &it.name).collect();
    let names: Vec<&NetName> = guarded.iter().map(|network| &network.name).collect();
    guard(topology, (&names, &apart), out);
}

/// Tells whether a policy denies everything to somebody of a network from somebody else of it.
fn keeps_apart(policies: &Policies, network: &Network) -> bool {
    let denies = |decided: &&Decided| {
        decided.service.is_none()
            && policies.all.get(decided.policy).is_some_and(|policy| policy.verdict == Verdict::Deny)
    };
    policies.decided.iter().filter(denies).any(|decided| match &decided.way {
        Way::Between(from, to) => touches(network, from) && touches(network, to),
        Way::ToHost(..) | Way::FromHost(_) => false,
    })
}

fn put(decided: &Decided, verdict: Verdict, (guarded, asked): (&[&Network], &Asked<'_>), out: &mut Elements) {
    let Decided { way, service, policy: _ } = decided;
    let verdict_word = verdict.as_str();
    let service =
        service.map(|it| [it.protocol.to_string(), ports_text((it.first, it.last))]).into_iter().flatten();
    let service: Vec<String> = service.collect();
    let key =
        |ranges: &[Range]| -> Vec<String> { ranges.iter().map(range_text).chain(service.clone()).collect() };
    let mut with_host = |(side, first): (&str, IpAddr), ranges: &[Range]| {
        let all = if service.is_empty() { "all_" } else { "" };
        // What is allowed altogether is what nothing denies: the networks keep nobody from the host, except that an
        // internal one reaches it by its own gateway only, and goes on to.
        if !service.is_empty() || verdict == Verdict::Deny {
            let set = of_family(&format!("{verdict_word}_{all}{side}"), first);
            out.put(&set, key(ranges), None, asked);
        }
    };
    match *way {
        Way::ToHost(from, to) => with_host(("to_host", from.first), &[from, to]),
        Way::FromHost(to) => with_host(("from_host", to.first), &[to]),
        Way::Between(from, to) => {
            let kind = if service.is_empty() { "pair" } else { "flow" };
            let set = of_family(&format!("{verdict_word}_{kind}"), from.first);
            let key = key(&[from, to]);
            if guarded.iter().any(|network| touches(network, &from) && touches(network, &to)) {
                out.put(&format!("near_{set}"), key.clone(), None, asked);
            }
            out.put(&set, key, None, asked);
        }
    }
}

/// Tells whether a network has some of these addresses.
fn touches(network: &Network, range: &Range) -> bool {
    network.subnets.iter().any(|subnet| {
        let (first, last) = (subnet.cidr.network(), subnet.cidr.broadcast());
        first.is_ipv4() == range.first.is_ipv4() && first <= range.last && range.first <= last
    })
}

/// Has the containers of these networks send with addresses of their own only. A container on several networks may answer
/// with any of its addresses by any of them. On networks that are kept `apart`, nothing else goes from one to the other.
fn guard(topology: &Topology, (networks, apart): (&[&NetName], &[&NetName]), out: &mut Elements) {
    for (container, attachment) in attachments(topology).filter(|(_, it)| networks.contains(&&it.network)) {
        let Some(port) = &attachment.port else { continue };
        let asked = by_attachment(container, attachment);
        out.put("guarded", vec![port.to_string()], None, &asked);
        if apart.contains(&&attachment.network) {
            out.put("only_ip", vec![port.to_string()], None, &asked);
        }
        for address in container.attachments.iter().flat_map(|other| &other.addresses) {
            let key = vec![port.to_string(), address.addr().to_string()];
            out.put(&of_family("held", address.addr()), key, None, &asked);
        }
    }
}

/// Returns a range as the kernel's side reads it back: an address, a prefix, or the first and the last.
pub(super) fn range_text(range: &Range) -> String {
    let Range { first, last } = *range;
    if first == last {
        return first.to_string();
    }
    match prefix(first, last) {
        Some(net) => net.to_string(),
        None => format!("{first}-{last}"),
    }
}

fn prefix(first: IpAddr, last: IpAddr) -> Option<ipnet::IpNet> {
    let length = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (first.to_bits() ^ last.to_bits()).leading_zeros(),
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits() ^ last.to_bits()).leading_zeros(),
        (IpAddr::V4(_) | IpAddr::V6(_), _) => return None,
    };
    let net = ipnet::IpNet::new(first, u8::try_from(length).ok()?).ok()?;
    ((net.network(), net.broadcast()) == (first, last)).then_some(net)
}

#[cfg(test)]
mod tests {
    use crate::firewall::lower;
    use crate::resource::Resource;
    use crate::topology::facts::Facts;

    /// Lowers two networks with these policies: the bodies of the tables, and the elements that policies need, a line each.
    fn lowered(policies: &str) -> (Vec<Vec<serde_json::Value>>, String) {
        let text = format!(
            "netform: 1\nproject: shop\nnetworks: {{front: {{subnets: [172.25.0.0/24]}}, back: {{subnets: [10.7.0.0/24]}}}}\n\
             containers: {{web: {{networks: [front]}}, db: {{networks: [back, front]}}}}\npolicies: [{policies}]\n"
        );
        let loaded = crate::manifest::parse([("shop.yaml".to_owned(), text.into_bytes())]).unwrap();
        let origin = |place| loaded.sources.place_to_origin(place);
        let topology = crate::topology::resolve(&loaded.manifest, &Facts::default(), &origin).unwrap();
        let (mut tables, mut elements) = (vec![], String::new());
        for entry in lower(&topology) {
            match entry.resource {
                Resource::NftTable(table) => tables.push(table.body),
                Resource::NftElement(element) => {
                    let core = ["bridges", "same_network", "masquerade4", "hairpin4"];
                    if !core.contains(&element.set.as_str()) {
                        elements +=
                            &format!("{} {}  # {}\n", element.set, element.key.join(" . "), entry.owner);
                    }
                }
                Resource::Netns(_)
                | Resource::Link(_)
                | Resource::Address(_)
                | Resource::Route(_)
                | Resource::Sysctl(_)
                | Resource::Passage(_)
                | Resource::Neighbour(_)
                | Resource::Qdisc(_)
                | Resource::File(_) => panic!("a firewall is tables and elements"),
            }
        }
        (tables, elements)
    }

    #[test]
    fn without_policies_nothing_is_there_for_them() {
        let (tables, elements) = lowered("");

        assert_eq!((tables.len(), elements.as_str()), (1, ""));
        assert!(
            !tables
                .iter()
                .flatten()
                .any(|command| ["@inside4", "guarded"].iter().any(|it| command.to_string().contains(it)))
        );
    }

    #[test]
    fn the_rules_do_not_grow_with_policies() {
        let policy =
            |n: usize| format!("{{deny: {{from: container.web, to: 203.0.113.{n}/32, ports: [{n}]}}}}");
        let many: Vec<String> = (1..200).map(policy).collect();

        let (one, _) = lowered(&policy(1));
        let (all, elements) = lowered(&many.join(", "));

        assert_eq!(one, all);
        assert_eq!(elements.lines().filter(|line| line.starts_with("deny_flow4")).count(), 199);
    }

    #[test]
    fn a_policy_is_elements_of_what_it_is_about() {
        let (_, elements) = lowered(
            "{allow: {from: container.web, to: container.db, ports: [5432]}}, {deny: {from: container.web, to: [network.front, host]}}",
        );
        insta::assert_snapshot!(elements, @"
    inside4 172.25.0.0/24  # network.front
    inside4 10.7.0.0/24  # network.back
    allow_flow4 172.25.0.2 . 10.7.0.2 . tcp . 5432  # policy.allow:container.web:container.db:5432/tcp
    near_deny_pair4 172.25.0.2 . 172.25.0.0-172.25.0.2  # policy.deny:container.web:network.front+host
    deny_pair4 172.25.0.2 . 172.25.0.0-172.25.0.2  # policy.deny:container.web:network.front+host
    near_allow_flow4 172.25.0.2 . 172.25.0.3 . tcp . 5432  # policy.allow:container.web:container.db:5432/tcp
    allow_flow4 172.25.0.2 . 172.25.0.3 . tcp . 5432  # policy.allow:container.web:container.db:5432/tcp
    near_deny_pair4 172.25.0.2 . 172.25.0.3  # policy.deny:container.web:network.front+host
    deny_pair4 172.25.0.2 . 172.25.0.3  # policy.deny:container.web:network.front+host
    near_deny_pair4 172.25.0.2 . 172.25.0.4-172.25.0.255  # policy.deny:container.web:network.front+host
    deny_pair4 172.25.0.2 . 172.25.0.4-172.25.0.255  # policy.deny:container.web:network.front+host
    deny_all_to_host4 172.25.0.2 . 0.0.0.0/0  # policy.deny:container.web:network.front+host
    guarded nf-791db2905c  # attachment.web@front
    only_ip nf-791db2905c  # attachment.web@front
    held4 nf-791db2905c . 172.25.0.2  # attachment.web@front
    guarded nf-727baffd7d  # attachment.db@back
    held4 nf-727baffd7d . 10.7.0.2  # attachment.db@back
    held4 nf-727baffd7d . 172.25.0.3  # attachment.db@back
    guarded nf-8cea2108f4  # attachment.db@front
    only_ip nf-8cea2108f4  # attachment.db@front
    held4 nf-8cea2108f4 . 10.7.0.2  # attachment.db@front
    held4 nf-8cea2108f4 . 172.25.0.3  # attachment.db@front
    ");
    }
}
