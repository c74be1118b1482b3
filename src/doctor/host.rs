//! The host itself: its clock, its tools, its routes, sizes of packets, ports and names.

use ipnet::IpNet;

use super::{Cure, Facts, Finding, Project, Resolver, Severity, Told};
use crate::explain::path::Decision;
use crate::resource::Resource;
use crate::resource::host_ports::HostPorts;
use crate::resource::link::LinkKind;
use crate::resource::netns::NsRef;

/// How far behind a clock may be that is set by others, in seconds.
const TOLERANCE: u64 = 60;

/// A clock that is behind what was written already.
pub(super) fn clock(facts: &Facts) -> Vec<Finding> {
    let behind = facts.projects.iter().filter(|project| project.applied_at > facts.now + TOLERANCE);
    let finding = |project: &Project| Finding {
        code: "clock-behind",
        severity: Severity::Warning,
        subject: "the clock".to_owned(),
        sentence: "the clock of this host is behind: what is newer counts as older".to_owned(),
        evidence: format!(
            "it is {} s since 1970, and project {} was applied at {}",
            facts.now, project.name, project.applied_at
        ),
        cure: Cure::run("timedatectl set-ntp true"),
    };
    behind.map(finding).take(1).collect()
}

/// What netform needs of the kernel and of programs.
pub(super) fn tools(facts: &Facts) -> Vec<Finding> {
    let Some(inside) = facts.insides.get(&0) else { return vec![] };
    let mut found = vec![];
    if let Some(why) = &inside.unread {
        found.push(Finding {
            code: "firewall-unreadable",
            severity: Severity::Error,
            subject: "nftables".to_owned(),
            sentence: "the firewall cannot be read, nor can netform change it".to_owned(),
            evidence: why.clone(),
            cure: Cure::advice(
                "run it as root; install nftables (apt-get install nftables); a kernel needs nf_tables",
            ),
        });
    }
    let wants_ipv6 = facts.projects.iter().any(|project| {
        let is = |resource: &Resource| matches!(resource, Resource::Address(it) if it.addr.addr().is_ipv6());
        project.state.iter().any(|(_, entry)| is(&entry.resource))
    });
    if wants_ipv6 && !inside.sysctls.contains_key("ipv6/conf/all/disable_ipv6") {
        found.push(Finding {
            code: "kernel-without-ipv6",
            severity: Severity::Error,
            subject: "IPv6".to_owned(),
            sentence: "networks have IPv6 subnets, and the kernel has no IPv6".to_owned(),
            evidence: "/proc/sys/net/ipv6 is not there".to_owned(),
            cure: Cure::advice("boot without ipv6.disable=1, or take the IPv6 subnets out of the manifest"),
        });
    }
    found
}

/// Returns the subnets of networks, with their bridges.
fn subnets(facts: &Facts) -> Vec<(IpNet, String)> {
    let mut all = vec![];
    for (_, entry) in facts.projects.iter().flat_map(|project| project.state.iter()) {
        if let Resource::Address(address) = &entry.resource
            && address.ns == NsRef::Host
        {
            all.push((address.addr.trunc(), address.link.to_string()));
        }
    }
    all
}

/// Routes of the host that lead a part of a network's subnet elsewhere.
pub(super) fn overlaps(facts: &Facts) -> Vec<Finding> {
    let (Some(inside), Some(host)) = (facts.insides.get(&0), facts.namespace(&NsRef::Host)) else {
        return vec![];
    };
    let mut found = vec![];
    for (subnet, bridge) in subnets(facts) {
        for (dest, link) in &inside.routes {
            let Some(by) = host.1.interfaces.iter().find(|it| it.index == *link) else { continue };
            if by.name != bridge && subnet.contains(dest) {
                found.push(Finding {
                    code: "overlapping-route",
                    severity: Severity::Error,
                    subject: dest.to_string(),
                    sentence: format!(
                        "a route leads {dest}, of the subnet {subnet} on {bridge}, out by {}",
                        by.name
                    ),
                    evidence: format!("ip route: {dest} dev {}", by.name),
                    cure: Cure {
                        command: Some(format!("ip route del {dest} dev {}", by.name)),
                        advice: Some("or give the network another subnet".to_owned()),
                    },
                });
            }
        }
    }
    found
}

/// Interfaces of one way that take packets of different sizes.
pub(super) fn sizes(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![];
    let uplink = facts.scene.namespaces.iter().find(|ns| ns.home);
    let uplink = uplink.and_then(|ns| ns.interfaces.iter().find(|link| link.default_route));
    let all = facts.projects.iter().flat_map(|it| it.state.iter().map(move |(_, entry)| (it, entry)));
    for (project, entry) in all {
        let Resource::Link(link) = &entry.resource else { continue };
        let mut ends = vec![(&link.ns, &link.name, link.mtu)];
        if let LinkKind::Veth(peer) = &link.kind {
            ends.push((&peer.ns, &peer.name, peer.mtu));
        }
        for (ns, name, mtu) in ends {
            let Some(live) = facts.link(ns, name.as_str()).filter(|live| live.mtu != mtu.bytes()) else {
                continue;
            };
            found.push(Finding {
                code: "mtu-mismatch",
                severity: Severity::Error,
                subject: format!("{name} {}", super::called(ns)),
                sentence: format!("{name} takes packets of another size than the rest of its network"),
                evidence: format!("its MTU is {}, and was {} after the last apply", live.mtu, mtu.bytes()),
                cure: Cure::run(super::inside(ns, &format!("ip link set dev {name} mtu {}", mtu.bytes()))),
            });
        }
        let live = facts.link(&link.ns, link.name.as_str()).map(|it| it.mtu);
        if let (LinkKind::Bridge, Some(live), Some(uplink)) = (&link.kind, live, uplink)
            && live > uplink.mtu
            && !is_internal(project, link.name.as_str())
        {
            found.push(Finding {
                code: "mtu-above-uplink",
                severity: Severity::Warning,
                subject: link.name.to_string(),
                sentence: format!("packets that fit {} are too large for {}", link.name, uplink.name),
                evidence: format!(
                    "the MTU of {} is {live}, that of {} is {}",
                    link.name, uplink.name, uplink.mtu
                ),
                cure: Cure::advice(format!(
                    "write `mtu: {}` for {}, or leave `mtu` out and apply: then it follows the uplink",
                    uplink.mtu, entry.owner
                )),
            });
        }
    }
    found
}

/// Tells whether nothing that comes by a bridge leaves the host.
pub(super) fn is_internal(project: &Project, bridge: &str) -> bool {
    let mut elements = project.state.iter().filter_map(|(_, entry)| entry.resource.element());
    elements.any(|it| it.set == "internal" && it.key.first().is_some_and(|key| key == bridge))
}

/// Ports that are published while a process of the host listens on them.
pub(super) fn ports(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![];
    for (project, entry) in
        facts.scene.published.iter().flat_map(|(project, all)| all.iter().map(move |it| (project, it)))
    {
        let Resource::NftElement(element) = &entry.resource else { continue };
        let Some(wanted) = HostPorts::of(element) else { continue };
        for (ports, process) in facts.listeners().filter(|(ports, _)| ports.meets(&wanted)) {
            let who = process.map_or_else(
                || "a process that may not be known".to_owned(),
                |process| format!("process {} ({})", process.pid, process.name),
            );
            found.push(Finding {
                code: "port-taken",
                severity: Severity::Warning,
                subject: entry.owner.to_string(),
                sentence: format!(
                    "{who} listens on a port that project {project} publishes, and hears nobody from outside"
                ),
                evidence: format!("{who} listens on {ports}"),
                cure: Cure::advice(format!("publish {} on another port, or end {who}", entry.owner)),
            });
        }
    }
    found
}

/// Resolvers that do not answer.
pub(super) fn names(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![];
    let dead = facts.resolvers.iter().filter(|it| !it.answers);
    let all_dead = facts.resolvers.iter().all(|it| !it.answers);
    let severity = if all_dead { Severity::Error } else { Severity::Warning };
    found.extend(dead.map(|resolver| unheard(resolver, severity)));
    for Told { project, container, file, resolvers } in &facts.told {
        let kept = facts.projects.iter().any(|it| it.name == *project && it.kept);
        let ours = resolvers.iter().any(|it| it.to_string() == "127.0.0.11");
        let manifest = facts.projects.iter().find(|it| it.name == *project).map(|it| it.manifest.as_str());
        if ours && !kept {
            found.push(Finding {
                code: "resolver-gone",
                severity: Severity::Error,
                subject: container.clone(),
                sentence: format!("container {container} asks netform's resolver, and no daemon runs"),
                evidence: format!("{file} names 127.0.0.11, and nobody answers for project {project}"),
                cure: Cure {
                    command: Some(format!("netform apply {}", manifest.unwrap_or_default())),
                    advice: Some("or start the daemon again: netform watch".to_owned()),
                },
            });
        }
    }
    found
}

/// A resolver that does not answer, or is not heard.
fn unheard(resolver: &Resolver, severity: Severity) -> Finding {
    let Resolver { address, answers: _, dropped } = resolver;
    let subject = address.to_string();
    let asked = format!("/etc/resolv.conf names it; a query to port 53/udp of {address} had no answer");
    let Some(Decision { at, sentence, rule, .. }) = dropped else {
        return Finding {
            code: "dns-dead",
            severity,
            subject,
            sentence: format!(
                "the resolver {address} does not answer: names of elsewhere are not found, or late"
            ),
            evidence: asked,
            cure: Cure::advice(
                "name another one in /etc/resolv.conf, or in `dns: {upstream: [...]}` of the network",
            ),
        };
    };
    let text = rule.as_ref().map(|rule| format!(": {}", rule.text)).unwrap_or_default();
    Finding {
        code: "dns-dropped",
        severity,
        subject,
        sentence: format!("a firewall on this host drops what {address} is asked, or answers"),
        evidence: format!("{asked}; {at}: {sentence}{text}"),
        cure: Cure::advice("have whoever made that chain let queries to port 53 and their answers pass"),
    }
}

/// A host that has no way out.
pub(super) fn uplink(facts: &Facts) -> Vec<Finding> {
    let Some((_, host)) = facts.namespace(&NsRef::Host) else { return vec![] };
    let is_way_out =
        |resource: &Resource| matches!(resource, Resource::Route(it) if it.dest.prefix_len() == 0);
    let all = facts.projects.iter().flat_map(|project| project.state.iter());
    let leaves = all.into_iter().any(|(_, entry)| is_way_out(&entry.resource));
    if !leaves || host.interfaces.iter().any(|link| link.default_route && link.up) {
        return vec![];
    }
    vec![Finding {
        code: "host-without-default-route",
        severity: Severity::Error,
        subject: "the host".to_owned(),
        sentence: "the host has no default route: it reaches nobody outside, and neither do containers"
            .to_owned(),
        evidence: "ip route: no default route leads out by an interface that is up".to_owned(),
        cure: Cure::advice("give the host one: ip route add default via GATEWAY"),
    }]
}
