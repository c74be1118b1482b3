//! The rules, whose number does not depend on what is declared: everything that grows is looked up in sets and maps.
//!
//! All policies are `accept`, and a packet that has nothing to do with our bridges leaves each chain at once, so nobody
//! else's traffic is judged here. `accept` in a base chain ends only that chain: whatever others' tables drop stays
//! dropped.

use nftables::expr::{FibFlag, MetaKey};
use nftables::types::NfHook;

use super::body::{Body, Kind};
use super::terms::{
    Part, Term, accept, concat, direction, drop, field, go_to, iif, is, is_not, jump, kind_of, lead,
    lead_same_port, leave, mark_published, marked_published, masquerade, meta, oif, one_of, opens_connection,
    port, prefix, protocol, redirected, source_from, state, text, within, without,
};
use super::{external, isolated, tags, walls};

pub(super) const TRANSPORTS: [&str; 3] = ["tcp", "udp", "sctp"];
pub(super) const DISCOVERY: [&str; 2] = ["nd-neighbor-solicit", "nd-neighbor-advert"];

/// Writes the rules of the `inet` table.
pub(super) fn inet(body: &mut Body) {
    before(body);
    publish(body);
    external::lead(body);
    input(body);
    forward(body);
    neighbours(body);
    published(body);
    postrouting(body);
    after(body);
    walls::inet(body);
}

/// Judges packets by the port that they were sent to, before it is translated. The hook stands behind connection
/// tracking (-200) and before every destination translation (-100): the direction tells an answer, whose port may
/// look like a published one by chance, from a question.
fn before(body: &mut Body) {
    body.base("before", Kind::Filter, NfHook::Prerouting, -150);
    body.chain("guard");
    // The bridges have `route_localnet`, which would let containers into what listens on 127.0.0.1.
    body.rule(
        "before",
        "loopback",
        [within(iif(), "@bridges"), is(field("ip", "daddr"), prefix("127.0.0.0", 8)), drop()],
    );
    body.rule("before", "from-host", [is(iif(), text("lo")), leave()]);
    body.rule("before", "transports", [is_not(protocol(), one_of(&TRANSPORTS)), leave()]);
    body.rule("before", "answers", [direction("reply"), leave()]);
    for (key, version, guard, allow) in [
        ("guard-host4", "ip", "@guard_host4", "@allow_host4"),
        ("guard-host6", "ip6", "@guard_host6", "@allow_host6"),
    ] {
        let source = vec![field(version, "saddr"), field(version, "daddr"), protocol(), port()];
        body.rule("before", key, [within(service(version), guard), without(concat(source), allow), drop()]);
    }
    external::pass(body, "before", "daddr");
    let local = is(kind_of([FibFlag::Daddr]), text("local"));
    body.rule("before", "guard-any", [within(any_service(), "@guard_any"), local, go_to("guard")]);
    for (key, version, allow) in [("allow-any4", "ip", "@allow_any4"), ("allow-any6", "ip6", "@allow_any6")] {
        let source = concat(vec![field(version, "saddr"), protocol(), port()]);
        body.rule("guard", key, [within(source, allow), leave()]);
    }
    body.rule("guard", "refused", [drop()]);
}

/// Leads connections to published ports to their containers. 127/8 is never translated when it comes from outside, so
/// that a neighbour that routes it to us finds nothing. A host's own connection to ::1 cannot be led elsewhere, since
/// IPv6 has no `route_localnet`; it is refused at once, and whoever tries `localhost` goes on to 127.0.0.1. A packet
/// from a link-local address may not be forwarded (RFC 4291 section 2.5.6), so it is not translated either.
fn publish(body: &mut Body) {
    body.base("prerouting", Kind::Nat, NfHook::Prerouting, -100);
    body.base("output", Kind::Nat, NfHook::Output, -100);
    body.chain("publish");
    body.rule("prerouting", "loopback", [is(field("ip", "daddr"), prefix("127.0.0.0", 8)), leave()]);
    body.rule("prerouting", "link-local", [is(field("ip6", "saddr"), prefix("fe80::", 10)), leave()]);
    body.rule("prerouting", "from-outside", [jump("publish")]);
    body.rule("output", "loopback6", [is(field("ip6", "daddr"), text("::1")), leave()]);
    body.rule("output", "from-host", [jump("publish")]);

    body.rule("publish", "transports", [is_not(protocol(), one_of(&TRANSPORTS)), leave()]);
    one_address(body, "publish");
    external::pass(body, "publish", "daddr");
    // What is merely forwarded through the host is not for its ports.
    body.rule("publish", "not-local", [is_not(kind_of([FibFlag::Daddr]), text("local")), leave()]);
    for (key, version, addr, to_port) in
        [("any4", "ip", "@any_addr4", "@any_port4"), ("any6", "ip6", "@any_addr6", "@any_port6")]
    {
        body.rule("publish", key, [lead(version, any_service(), addr, to_port)]);
    }
    for (key, version, addr) in [("any-range4", "ip", "@any_range4"), ("any-range6", "ip6", "@any_range6")] {
        body.rule("publish", key, [lead_same_port(version, any_service(), addr)]);
    }
}

/// Leads connections to ports that are published on one address of the host.
pub(super) fn one_address(body: &mut Body, chain: &'static str) {
    for (key, version, addr, to_port) in
        [("host4", "ip", "@host_addr4", "@host_port4"), ("host6", "ip6", "@host_addr6", "@host_port6")]
    {
        body.rule(chain, key, [lead(version, service(version), addr, to_port)]);
    }
    for (key, version, addr) in
        [("host-range4", "ip", "@host_range4"), ("host-range6", "ip6", "@host_range6")]
    {
        body.rule(chain, key, [lead_same_port(version, service(version), addr)]);
    }
}

/// An internal network reaches the host by its own gateway's address, and by no other.
fn input(body: &mut Body) {
    body.base("input", Kind::Filter, NfHook::Input, 0);
    external::keep_from_host(body);
    walls::begin_input(body);
    body.rule("input", "not-internal", [without(iif(), "@internal"), leave()]);
    body.rule("input", "established", [state("established"), leave()]);
    body.rule("input", "related", [state("related"), leave()]);
    body.rule(
        "input",
        "other-address",
        [
            is(kind_of([FibFlag::Daddr]), text("local")),
            is_not(kind_of([FibFlag::Daddr, FibFlag::Iif]), text("local")),
            drop(),
        ],
    );
}

/// Judges what goes from one interface to another. With `br_netfilter`, frames that a bridge forwards between its ports
/// come here, too: from the bridge, to the bridge.
fn forward(body: &mut Body) {
    body.base("forward", Kind::Filter, NfHook::Forward, 0);
    for chain in ["neighbours", "published", "answered", "enter"] {
        body.chain(chain);
    }
    external::keep_from_others(body);
    isolated::begin_forward(body);
    let pair = || concat(vec![iif(), oif()]);
    body.rule("forward", "not-ours", [without(iif(), "@bridges"), without(oif(), "@bridges"), leave()]);
    walls::begin_forward(body);
    body.rule("forward", "same-network", [within(pair(), "@same_network"), leave()]);
    body.rule("forward", "no-icc", [within(pair(), "@no_icc"), jump("neighbours")]);
    // Before everything that lets DNATed connections pass: another network's published port is no way out either.
    body.rule("forward", "internal-out", [within(iif(), "@internal"), drop()]);
    body.rule("forward", "internal-in", [within(oif(), "@internal"), drop()]);
    body.rule("forward", "related", [state("related"), leave()]);
    // Judged packet by packet in both directions, so that a port that is no longer published ends its connections, too.
    body.rule(
        "forward",
        "redirected",
        [within(oif(), "@bridges"), direction("original"), redirected(), go_to("published")],
    );
    body.rule(
        "forward",
        "answered",
        [within(iif(), "@bridges"), direction("reply"), redirected(), go_to("answered")],
    );
    body.rule("forward", "established", [state("established"), leave()]);
    body.rule("forward", "into", [within(oif(), "@bridges"), go_to("enter")]);
    // Connection tracking does not translate what it cannot place, which would go out with the container's address.
    // Sources that are not translated may be answered on another way: theirs is nobody's business.
    for (key, version, set) in [("invalid4", "ip", "@masquerade4"), ("invalid6", "ip6", "@masquerade6")] {
        body.rule("forward", key, [state("invalid"), within(field(version, "saddr"), set), drop()]);
    }
}

/// What containers of a network with `icc: false` may say to each other; everything else falls through to the drop
/// between our bridges.
fn neighbours(body: &mut Body) {
    let discovery = is(field("icmpv6", "type"), one_of(&DISCOVERY));
    body.rule("neighbours", "discovery", [discovery, accept()]);
    for (key, version, set) in [("link4", "ip", "@link4"), ("link6", "ip6", "@link6")] {
        let way = concat(vec![iif(), field(version, "saddr"), field(version, "daddr"), protocol(), port()]);
        body.rule("neighbours", key, [within(way, set), accept()]);
    }
    // With `br_netfilter` a connection to a published port of the same network is bridged, not routed
    // (`br_nf_pre_routing_finish()`), and the bridge's own table cannot tell it from one to the container's address.
    body.rule("neighbours", "published", [redirected(), mark_published()]);
    body.rule("neighbours", "answers", [direction("reply"), state("established"), accept()]);
    body.rule("neighbours", "related", [state("related"), accept()]);
}

fn published(body: &mut Body) {
    for (key, version, set) in TARGETS {
        body.rule("published", key, [within(service(version), set), accept()]);
    }
    external::let_in(body);
    body.rule("published", "other", [go_to("enter")]);
    for (key, version, set) in TARGETS {
        let answer = concat(vec![field(version, "saddr"), protocol(), field("th", "sport")]);
        body.rule("answered", key, [within(answer, set), accept()]);
    }
    // What somebody else leads to an open network.
    body.rule("answered", "open", [within(iif(), "@open"), accept()]);
    body.rule("answered", "unpublished", [drop()]);
    // Another network of ours, by whatever address.
    body.rule("enter", "other-network", [within(iif(), "@bridges"), drop()]);
    body.rule("enter", "open", [within(oif(), "@open"), accept()]);
    body.rule("enter", "unpublished", [drop()]);
}

/// Hides sources: those that leave for outside, and those whose answer would not come back by the way it went.
fn postrouting(body: &mut Body) {
    body.base("postrouting", Kind::Nat, NfHook::Postrouting, 100);
    body.chain("redirected");
    body.chain("come-back");
    body.rule("postrouting", "redirected", [redirected(), jump("redirected")]);
    body.rule("postrouting", "own-bridge", [within(oif(), "@bridges"), leave()]);
    let home = |version| concat(vec![field(version, "saddr"), oif()]);
    for (key, version, set) in [("home4", "ip", "@hairpin4"), ("home6", "ip6", "@hairpin6")] {
        body.rule("postrouting", key, [within(home(version), set), leave()]);
    }
    external::lead_out(body);
    body.rule("postrouting", "snat4", [source_from("ip", "@snat4")]);
    body.rule("postrouting", "snat6", [source_from("ip6", "@snat6")]);
    for (key, version, set) in [("masquerade4", "ip", "@masquerade4"), ("masquerade6", "ip6", "@masquerade6")]
    {
        body.rule("postrouting", key, [within(field(version, "saddr"), set), masquerade()]);
    }
    for (key, version, set) in TARGETS {
        body.rule("redirected", key, [within(service(version), set), go_to("come-back")]);
    }
    external::come_back(body);
    // The host's own connection, from 127.0.0.1 or any other address of its own.
    let own = is(kind_of([FibFlag::Saddr]), text("local"));
    body.rule("come-back", "from-host", [own, masquerade()]);
    // A neighbour in the same subnet would be answered directly, past the translation.
    for (key, version, set) in [("hairpin4", "ip", "@hairpin4"), ("hairpin6", "ip6", "@hairpin6")] {
        body.rule("come-back", key, [within(home(version), set), masquerade()]);
    }
    // So would one on another network of the container, or the container itself, by its address there.
    for (key, version, set) in [("direct4", "ip", "@direct4"), ("direct6", "ip6", "@direct6")] {
        let way = concat(vec![field(version, "saddr"), field(version, "daddr")]);
        body.rule("come-back", key, [within(way, set), masquerade()]);
    }
}

/// Judges answers by the port that they come from and by whom they go to, as [`before`] does questions, so that a source
/// that is no longer allowed hears nothing more either. The hook stands behind every translation of sources (100), which
/// gives an answer the host's address and port again; answers to the host itself never come here.
fn after(body: &mut Body) {
    body.base("after", Kind::Filter, NfHook::Postrouting, 150);
    body.chain("guard-answers");
    body.chain("guard-answers-any");
    body.rule("after", "answers", [direction("reply"), redirected(), go_to("guard-answers")]);
    body.rule("guard-answers", "transports", [is_not(protocol(), one_of(&TRANSPORTS)), leave()]);
    let port = || field("th", "sport");
    for (key, version, guard, allow) in [
        ("guard-host4", "ip", "@guard_host4", "@allow_host4"),
        ("guard-host6", "ip6", "@guard_host6", "@allow_host6"),
    ] {
        let service = concat(vec![field(version, "saddr"), protocol(), port()]);
        let asker = concat(vec![field(version, "daddr"), field(version, "saddr"), protocol(), port()]);
        body.rule("guard-answers", key, [within(service, guard), without(asker, allow), drop()]);
    }
    external::pass(body, "guard-answers", "saddr");
    let local = is(kind_of([FibFlag::Saddr]), text("local"));
    let service = concat(vec![protocol(), port()]);
    let parts = [within(service, "@guard_any"), local, go_to("guard-answers-any")];
    body.rule("guard-answers", "guard-any", parts);
    for (key, version, allow) in [("allow-any4", "ip", "@allow_any4"), ("allow-any6", "ip6", "@allow_any6")] {
        let asker = concat(vec![field(version, "daddr"), protocol(), port()]);
        body.rule("guard-answers-any", key, [within(asker, allow), leave()]);
    }
    body.rule("guard-answers-any", "refused", [drop()]);
}

const TARGETS: [(&str, &str, &str); 4] = [
    ("target4", "ip", "@target4"),
    ("target-range4", "ip", "@target_range4"),
    ("target6", "ip6", "@target6"),
    ("target-range6", "ip6", "@target_range6"),
];

/// Destination, protocol and port; `version` is `ip` or `ip6`.
fn service(version: &'static str) -> Term {
    concat(vec![field(version, "daddr"), protocol(), port()])
}

fn any_service() -> Term {
    concat(vec![protocol(), port()])
}

/// Writes the rules of the `bridge` table: frames between containers that may not talk to each other. It works without
/// `br_netfilter` and without connection tracking of bridges, which not every kernel has, so it tells answers by their
/// port and, in TCP, by not opening a connection.
///
/// The hook stands behind `br_netfilter`'s own (`NF_BR_PRI_BRNF`, 0): one at 0 or just before it would be passed over
/// when a frame comes back from the IP layer's hooks (`br_nf_hook_thresh()`), and the mark is only there afterwards.
pub(super) fn bridge(body: &mut Body) {
    body.base("forward", Kind::Filter, NfHook::Forward, 200);
    body.chain("neighbours");
    isolated::bridge(body);
    tags::bridge(body);
    walls::bridge(body);
    body.rule("forward", "ports", [within(iif(), "@ports"), within(oif(), "@ports"), jump("neighbours")]);
    body.rule("neighbours", "arp", [is(field("ether", "type"), text("arp")), accept()]);
    body.rule("neighbours", "published", [marked_published(), accept()]);
    let discovery = is(field("icmpv6", "type"), one_of(&DISCOVERY));
    body.rule("neighbours", "discovery", [discovery, accept()]);
    let transport = || -> [Part; 2] {
        [is(field("ether", "type"), one_of(&["ip", "ip6"])), is(protocol(), one_of(&TRANSPORTS))]
    };
    let [ip, known] = transport();
    let there = concat(vec![meta(MetaKey::Iifname), meta(MetaKey::Oifname), protocol(), port()]);
    body.rule("neighbours", "link", [ip, known, within(there, "@link"), accept()]);
    body.rule("neighbours", "opening", [opens_connection(), drop()]);
    let [ip, known] = transport();
    let back = concat(vec![oif(), iif(), protocol(), field("th", "sport")]);
    body.rule("neighbours", "answers", [ip, known, within(back, "@link"), accept()]);
    body.rule("neighbours", "other", [drop()]);
}
