//! External addresses: all of one leads to a container, and the container leaves with it (1:1).
//!
//! - The chains that lead stand before those of published ports (-100), of every project and of Docker: an external address
//!   is closer than any address. Only what a port is published for on that very address goes before it.
//! - What an external address does not lead anywhere is nobody's: it is neither for the host itself, which may have the
//!   address for its neighbours' sake, nor passed on. So it is while the container is not there, and within an apply.
//! - Who begins a connection is seen by the container, unless that is the host or somebody whom it would answer directly.
//!
//! Neighbour discovery is untracked (`nf_conntrack_icmpv6_init()` in Linux `net/netfilter/nf_conntrack_proto_icmpv6.c`), so
//! that what looks for the host's own neighbours is never led away.

use nftables::types::NfHook;

use super::body::{Body, Kind};
use super::elements::is_there;
use super::skeleton::{TRANSPORTS, one_address};
use super::terms::{
    accept, drop, field, go_to, is, is_not, lead_whole, leave, one_of, prefix, protocol, source_from, state,
    within,
};
use super::{Asked, Elements, of_family, ports};
use crate::resource::nft_set::Part;
use crate::resource::owner::Owner;
use crate::topology::{Attachment, Container, External, Topology};

/// The keys of rules, the word for the version, and the sets of a family.
struct Names {
    number: char,
    version: &'static str,
    all: &'static str,
    to: &'static str,
    target: &'static str,
    from: &'static str,
}

const FAMILIES: [Names; 2] = [
    Names {
        number: '4',
        version: "ip",
        all: "@external4",
        to: "@external_to4",
        target: "@external_target4",
        from: "@external_from4",
    },
    Names {
        number: '6',
        version: "ip6",
        all: "@external6",
        to: "@external_to6",
        target: "@external_target6",
        from: "@external_from6",
    },
];

/// Returns all external addresses, with whose they are.
pub(super) fn of(topology: &Topology) -> impl Iterator<Item = (&Container, &Attachment, &External)> {
    topology.containers.iter().flat_map(|container| {
        let attachments = container.attachments.iter();
        attachments.flat_map(move |it| it.external.iter().map(move |external| (container, it, external)))
    })
}

/// Puts the addresses into the sets.
pub(super) fn add(topology: &Topology, out: &mut Elements) {
    for (container, attachment, External { origin, address, target, seat: _ }) in of(topology) {
        let asked = Asked { owner: Owner::External(*address), origin };
        let set = |name: &str| of_family(name, *address);
        out.put(&set("external"), vec![address.to_string()], None, &asked);
        if !is_there(container) || attachment.waits() {
            continue;
        }
        let (outer, inner) = (address.to_string(), target.to_string());
        out.put(&set("external_to"), vec![outer.clone()], Some(inner.clone()), &asked);
        out.put(&set("external_target"), vec![inner.clone()], None, &asked);
        out.put(&set("external_from"), vec![inner], Some(outer), &asked);
        ports::hide_neighbours(container, topology, *target, out);
    }
}

/// Leads what is for an external address, before anything is led that is published on any address.
pub(super) fn lead(body: &mut Body) {
    if !body.has(Part::External) {
        return;
    }
    body.base("external", Kind::Nat, NfHook::Prerouting, -101);
    body.base("external-from-host", Kind::Nat, NfHook::Output, -101);
    for chain in ["external-lead", "external-whole"] {
        body.chain(chain);
    }
    // As with ports: from a link-local address nothing may be forwarded.
    body.rule("external", "link-local", [is(field("ip6", "saddr"), prefix("fe80::", 10)), leave()]);
    for chain in ["external", "external-from-host"] {
        for Names { number, version, all, .. } in FAMILIES {
            let key = format!("external{number}");
            body.rule(chain, &key, [within(field(version, "daddr"), all), go_to("external-lead")]);
        }
    }
    let others = [is_not(protocol(), one_of(&TRANSPORTS)), go_to("external-whole")];
    body.rule("external-lead", "transports", others);
    one_address(body, "external-lead");
    body.rule("external-lead", "external-whole", [go_to("external-whole")]);
    for Names { number, version, to, .. } in FAMILIES {
        body.rule("external-whole", &format!("external{number}"), [lead_whole(version, to)]);
    }
}

/// Has what is for an external address, or comes from one, leave a chain that is about every address of the host.
pub(super) fn pass(body: &mut Body, chain: &'static str, end: &'static str) {
    if body.has(Part::External) {
        for Names { number, version, all, .. } in FAMILIES {
            let of_container = within(field(version, end), all);
            body.rule(chain, &format!("external{number}"), [of_container, leave()]);
        }
    }
}

/// What is not led to a container is not for the host either. What the host has begun, or has been asked before, goes on.
pub(super) fn keep_from_host(body: &mut Body) {
    if body.has(Part::External) {
        for Names { number, version, all, .. } in FAMILIES {
            let unled = within(field(version, "daddr"), all);
            body.rule("input", &format!("external{number}"), [unled, state("new"), drop()]);
        }
    }
}

/// Nor does the host pass it on, which would come back from its router.
pub(super) fn keep_from_others(body: &mut Body) {
    if body.has(Part::External) {
        for Names { number, version, all, .. } in FAMILIES {
            let unled = within(field(version, "daddr"), all);
            body.rule("forward", &format!("external{number}"), [unled, drop()]);
        }
    }
}

/// Lets through what was led.
pub(super) fn let_in(body: &mut Body) {
    if body.has(Part::External) {
        for Names { number, version, target, .. } in FAMILIES {
            let led = within(field(version, "daddr"), target);
            body.rule("published", &format!("external{number}"), [led, accept()]);
            let answer = within(field(version, "saddr"), target);
            body.rule("answered", &format!("external{number}"), [answer, accept()]);
        }
    }
}

/// Gives what a container sends out the external address for its source.
pub(super) fn lead_out(body: &mut Body) {
    if body.has(Part::External) {
        for Names { number, version, from, .. } in FAMILIES {
            body.rule("postrouting", &format!("external{number}"), [source_from(version, from)]);
        }
    }
}

/// Hides those whom the container would answer directly.
pub(super) fn come_back(body: &mut Body) {
    if body.has(Part::External) {
        for Names { number, version, target, .. } in FAMILIES {
            let led = within(field(version, "daddr"), target);
            body.rule("redirected", &format!("external{number}"), [led, go_to("come-back")]);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::firewall::lower;
    use crate::resource::Resource;
    use crate::topology::facts::Facts;
    use crate::topology::sketch::resolved;

    /// Lowers a sketch: the text of the tables, and the elements that external addresses need, a line each.
    fn lowered(containers: &str) -> (String, String) {
        let text = format!("net a 10.0.0.0/24 fd00::/64\nnet b 10.1.0.0/24\n{containers}");
        let (mut tables, mut elements) = (String::new(), String::new());
        for entry in lower(&resolved(&text, &Facts::default()).unwrap()) {
            if let Resource::NftTable(table) = &entry.resource {
                tables.extend(table.body.iter().map(ToString::to_string));
            }
            if let Some(element) = entry.resource.element()
                && ["external", "direct"].iter().any(|set| element.set.starts_with(set))
            {
                let data = element.data.as_ref().map_or(String::new(), |data| format!(" : {data}"));
                elements +=
                    &format!("{} {}{data}  # {}\n", element.set, element.key.join(" . "), entry.owner);
            }
        }
        (tables, elements)
    }

    #[test]
    fn without_external_addresses_nothing_is_there_for_them() {
        let (tables, elements) = lowered("ctr x @a publish=80:80");

        assert!(!tables.contains("external"), "{tables}");
        assert_eq!(elements, "");
    }

    #[test]
    fn an_external_address_is_elements_and_the_rules_do_not_grow() {
        let many: String = (1..200).map(|n| format!("ctr c{n} @a,ext=203.0.113.{n}\n")).collect();

        let (one, elements) = lowered("ctr x @a,ext=203.0.113.9,ext=2001:db8::9 @b");
        let (all, _) = lowered(&many);

        assert_eq!(one, all);
        insta::assert_snapshot!(elements, @r"
        external4 203.0.113.9  # external.203.0.113.9
        external_to4 203.0.113.9 : 10.0.0.2  # external.203.0.113.9
        external_target4 10.0.0.2  # external.203.0.113.9
        external_from4 10.0.0.2 : 203.0.113.9  # external.203.0.113.9
        direct4 10.1.0.0/24 . 10.0.0.2  # attachment.x@b
        external6 2001:db8::9  # external.2001:db8::9
        external_to6 2001:db8::9 : fd00::2  # external.2001:db8::9
        external_target6 fd00::2  # external.2001:db8::9
        external_from6 fd00::2 : 2001:db8::9  # external.2001:db8::9
        ");
    }

    #[test]
    fn of_a_container_that_waits_only_the_address_is_known() {
        let (_, elements) = lowered("ctr x @a,ext=203.0.113.9 netns=x");

        assert_eq!(elements, "external4 203.0.113.9  # external.203.0.113.9\n");
    }
}
