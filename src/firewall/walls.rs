//! The rules that judge by the manifest's policies. They are there only when there are policies, and their number does not
//! depend on them: which policy decides is found out when the manifest is resolved, so that here it is looked up.
//!
//! - What goes from one network to another, out, or in is judged in `inet`, packet by packet and in both directions: what
//!   answers a connection is judged as the connection is, so that a new `deny` ends those that are there.
//! - What concerns the host itself is judged where it arrives (`input`) and where it begins (`output`).
//! - What a bridge forwards between its ports does not come there; it is judged in the table of the bridges, which has no
//!   connection tracking. So answers are told by their ports there, and in TCP by not opening a connection.
//!
//! Neighbour discovery always passes: without it nobody reaches anybody, and it is no connection.

use nftables::expr::MetaKey;
use nftables::types::NfHook;

use super::body::{Body, Kind};
use super::skeleton::DISCOVERY;
use super::terms::{
    Part as Piece, Term, accept, concat, direction, drop, field, go_to, iif, is, is_not, jump, leave,
    mark_published, marked_published, meta, oif, one_of, opens_connection, port, prefix, protocol, range,
    redirected, state, text, within, without,
};
use crate::resource::nft_set::Part;

/// What hosts say to whoever is on the link with link-local addresses: neighbours, routers, and who hears which group.
const LINK_LOCAL: [&str; 6] = [
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
    "nd-router-solicit",
    "mld-listener-report",
    "mld-listener-done",
    "mld2-listener-report",
];

/// Ports that servers have, and those that clients are given: `net.ipv4.ip_local_port_range` begins at 32768.
const SERVERS: (u32, u32) = (0, 32_767);
const CLIENTS: (u32, u32) = (32_768, 65_535);

/// The names of the sets and fields of a family.
struct Names {
    version: &'static str,
    number: char,
    inside: &'static str,
    home: &'static str,
}

const FAMILIES: [Names; 2] = [
    Names { version: "ip", number: '4', inside: "@inside4", home: "@hairpin4" },
    Names { version: "ip6", number: '6', inside: "@inside6", home: "@hairpin6" },
];

/// Writes the rule by which packets come to the policies.
pub(super) fn begin_forward(body: &mut Body) {
    if body.has(Part::Policies) {
        body.chain("policies");
        // What a bridge forwards because the address of the host in it was translated is judged here, with its connection: the
        // table of the bridges would take an answer for a question.
        let within_one = within(concat(vec![iif(), oif()]), "@same_network");
        body.rule("forward", "policies-published", [within_one, redirected(), mark_published()]);
        body.rule("forward", "policies", [jump("policies")]);
    }
}

/// Writes the rule by which packets for the host come to the policies.
pub(super) fn begin_input(body: &mut Body) {
    if body.has(Part::Policies) {
        body.chain("policies-to-host");
        body.rule("input", "policies", [within(iif(), "@bridges"), jump("policies-to-host")]);
    }
}

/// Writes the chains of the `inet` table.
pub(super) fn inet(body: &mut Body) {
    if body.has(Part::Policies) {
        between(body);
        to_host(body);
        from_host(body);
    }
}

/// Neighbours find each other, and the errors of what passes pass.
fn pass_errors(body: &mut Body, chain: &'static str) {
    body.rule(chain, "policy-discovery", [is(field("icmpv6", "type"), one_of(&DISCOVERY)), leave()]);
    let errors = is(protocol(), one_of(&["icmp", "ipv6-icmp"]));
    body.rule(chain, "policy-errors", [state("related"), errors, leave()]);
}

fn between(body: &mut Body) {
    body.chain("policy-answers");
    pass_errors(body, "policies");
    for Names { version, number, inside, home } in FAMILIES {
        let source = || field(version, "saddr");
        // Who sends with an address of another network is nobody that a policy names. Outside, nobody has ours.
        let at_home = concat(vec![source(), iif()]);
        let key = format!("policy-stranger{number}");
        body.rule("policies", &key, [within(iif(), "@bridges"), without(at_home, home), leave()]);
        let key = format!("policy-spoofed{number}");
        body.rule("policies", &key, [without(iif(), "@bridges"), within(source(), inside), drop()]);
    }
    body.rule("policies", "policy-answers", [direction("reply"), go_to("policy-answers")]);
    for (version, sets) in [("ip", ["@allow_flow4", "@deny_flow4"]), ("ip6", ["@allow_flow6", "@deny_flow6"])]
    {
        both_ways(body, (|| flow(version), || answering_flow(version)), sets);
    }
    for (version, sets) in [("ip", ["@allow_pair4", "@deny_pair4"]), ("ip6", ["@allow_pair6", "@deny_pair6"])]
    {
        both_ways(body, (|| pair(version), || answering_pair(version)), sets);
    }
}

/// Writes what two sets say of what opens or goes on with a connection, and of what answers.
fn both_ways(
    body: &mut Body,
    (there, back): (impl Fn() -> Term, impl Fn() -> Term),
    [allow, deny]: [&'static str; 2],
) {
    body.rule("policies", "policy-allow", [within(there(), allow), direction("original"), accept()]);
    body.rule("policies", "policy-deny", [within(there(), deny), drop()]);
    body.rule("policy-answers", "policy-allow", [within(back(), allow), accept()]);
    body.rule("policy-answers", "policy-deny", [within(back(), deny), drop()]);
}

/// What containers say to the host: questions, and what answers its own.
fn to_host(body: &mut Body) {
    body.chain("policy-answers-to-host");
    pass_errors(body, "policies-to-host");
    let answers = [direction("reply"), go_to("policy-answers-to-host")];
    body.rule("policies-to-host", "policy-answers", answers);
    side(body, ("policies-to-host", &["saddr", "daddr"], "dport"), TO_HOST);
    side(body, ("policy-answers-to-host", &["saddr"], "sport"), FROM_HOST);
}

/// What the host says to containers. The hook stands behind the translation of destinations (-100), so that a published
/// port is judged as what it leads to.
fn from_host(body: &mut Body) {
    body.base("policies-from-host", Kind::Filter, NfHook::Output, 0);
    body.chain("policy-answers-from-host");
    for Names { version, number, inside, home: _ } in FAMILIES {
        let key = format!("policy-elsewhere{number}");
        body.rule("policies-from-host", &key, [without(field(version, "daddr"), inside), leave()]);
    }
    pass_errors(body, "policies-from-host");
    let answers = [direction("reply"), go_to("policy-answers-from-host")];
    body.rule("policies-from-host", "policy-answers", answers);
    side(body, ("policies-from-host", &["daddr"], "dport"), FROM_HOST);
    side(body, ("policy-answers-from-host", &["daddr", "saddr"], "sport"), TO_HOST);
}

/// The sets of connections with the host as an end: what is allowed, denied, and denied altogether, by family. Those to the
/// host also say at which of its addresses, since a range that is denied may hold some.
type Sides = [(&'static str, [&'static str; 3]); 2];

const TO_HOST: Sides = [
    ("ip", ["@allow_to_host4", "@deny_to_host4", "@deny_all_to_host4"]),
    ("ip6", ["@allow_to_host6", "@deny_to_host6", "@deny_all_to_host6"]),
];

const FROM_HOST: Sides = [
    ("ip", ["@allow_from_host4", "@deny_from_host4", "@deny_all_from_host4"]),
    ("ip6", ["@allow_from_host6", "@deny_from_host6", "@deny_all_from_host6"]),
];

fn side(body: &mut Body, (chain, ends_of, port): (&'static str, &[&'static str], &'static str), sets: Sides) {
    for (version, [allow, deny, deny_all]) in sets {
        let ends = || ends_of.iter().map(|end| field(version, end));
        let service = || concat(ends().chain([protocol(), field("th", port)]).collect());
        let all = match *ends_of {
            [one] => field(version, one),
            _ => concat(ends().collect()),
        };
        body.rule(chain, "policy-allow", [within(service(), allow), leave()]);
        body.rule(chain, "policy-deny", [within(service(), deny), drop()]);
        body.rule(chain, "policy-deny", [within(all, deny_all), drop()]);
    }
}

/// Writes what the table of the bridges needs: who sends with whose address, and what neighbours say to each other.
pub(super) fn bridge(body: &mut Body) {
    if !body.has(Part::Policies) {
        return;
    }
    sources(body);
    for chain in ["policies", "policy-opening"] {
        body.chain(chain);
    }
    body.rule(
        "forward",
        "policies",
        [within(iif(), "@guarded"), within(oif(), "@guarded"), jump("policies")],
    );
    body.rule("policies", "policies-published", [marked_published(), leave()]);
    // What has no addresses that policies are about is nobody's, and may carry anything.
    let other = is_not(meta(MetaKey::Protocol), one_of(&["arp", "ip", "ip6"]));
    body.rule("policies", "policy-only-ip", [within(iif(), "@only_ip"), other, drop()]);
    body.rule("policies", "policy-discovery", [is(field("icmpv6", "type"), one_of(&DISCOVERY)), leave()]);
    body.rule("policies", "policy-opening", [opens_connection(), go_to("policy-opening")]);
    for (version, [allow, deny]) in [
        ("ip", ["@near_allow_flow4", "@near_deny_flow4"]),
        ("ip6", ["@near_allow_flow6", "@near_deny_flow6"]),
    ] {
        neighbours_by_port(body, version, allow, deny);
    }
    for (version, [allow, deny]) in [
        ("ip", ["@near_allow_pair4", "@near_deny_pair4"]),
        ("ip6", ["@near_allow_pair6", "@near_deny_pair6"]),
    ] {
        neighbours(body, version, allow, deny);
    }
}

/// A container sends with its own addresses; link-local ones are for what finds neighbours, routers and groups.
fn sources(body: &mut Body) {
    body.base("sources", Kind::Filter, NfHook::Prerouting, -300);
    body.rule("sources", "not-guarded", [without(iif(), "@guarded"), leave()]);
    let asked = || field("arp", "saddr ip");
    let holds = |source: Term, set| without(concat(vec![iif(), source]), set);
    // By the protocol, and not by the type in the frame's header: in a frame with a tag, that says that there is one.
    let arp = is(meta(MetaKey::Protocol), text("arp"));
    let parts = [arp, is_not(asked(), text("0.0.0.0")), holds(asked(), "@held4"), drop()];
    body.rule("sources", "source-arp", parts);
    body.rule("sources", "source4", [holds(field("ip", "saddr"), "@held4"), drop()]);
    for (key, source) in [("link-local", prefix("fe80::", 10)), ("unspecified", text("::"))] {
        let found = is(field("icmpv6", "type"), one_of(&LINK_LOCAL));
        body.rule("sources", key, [is(field("ip6", "saddr"), source), found, leave()]);
    }
    body.rule("sources", "source6", [holds(field("ip6", "saddr"), "@held6"), drop()]);
}

/// What policies with ports say of neighbours. A client may be given a port that a policy names, so of a connection that
/// stands only the ports of servers tell which end is the server.
fn neighbours_by_port(body: &mut Body, version: &'static str, allow: &'static str, deny: &'static str) {
    let (there, back) = (|| flow(version), || answering_flow(version));
    let tcp = || is(protocol(), text("tcp"));
    body.rule("policy-opening", "policy-allow", [within(there(), allow), accept()]);
    body.rule("policy-opening", "policy-deny", [within(there(), deny), drop()]);
    body.rule("policies", "policy-allow", [within(there(), allow), accept()]);
    body.rule("policies", "policy-allow-answers", [within(back(), allow), accept()]);
    body.rule("policies", "policy-deny", [is_not(protocol(), text("tcp")), within(there(), deny), drop()]);
    body.rule("policies", "policy-deny", [tcp(), served("dport"), within(there(), deny), drop()]);
    body.rule("policies", "policy-deny-answers", [served("sport"), within(back(), deny), drop()]);
}

/// What policies about everything say of neighbours.
fn neighbours(body: &mut Body, version: &'static str, allow: &'static str, deny: &'static str) {
    let (there, back) = (|| pair(version), || answering_pair(version));
    let is_tcp = || is(protocol(), text("tcp"));
    body.rule("policy-opening", "policy-allow", [within(there(), allow), accept()]);
    body.rule("policy-opening", "policy-deny", [within(there(), deny), drop()]);
    body.rule("policies", "policy-allow", [within(there(), allow), accept()]);
    // Whether a datagram asks or answers cannot be told.
    body.rule("policies", "policy-deny", [is_not(protocol(), text("tcp")), within(there(), deny), drop()]);
    body.rule("policies", "policy-allow-answers", [is_tcp(), within(back(), allow), accept()]);
    let asks = [is_tcp(), served("dport"), given("sport"), within(there(), deny), drop()];
    body.rule("policies", "policy-deny", asks);
    let answers = [is_tcp(), served("sport"), given("dport"), within(back(), deny), drop()];
    body.rule("policies", "policy-deny-answers", answers);
    let both = [is_tcp(), within(there(), deny), within(back(), deny), drop()];
    body.rule("policies", "policy-deny-both", both);
    let icmp = if version == "ip" { "icmp" } else { "icmpv6" };
    let pong = is(field(icmp, "type"), text("echo-reply"));
    body.rule("policies", "policy-allow-answers", [pong, within(back(), allow), accept()]);
    let datagram = is(protocol(), text("udp"));
    let answers = [datagram, served("sport"), given("dport"), within(back(), allow), accept()];
    body.rule("policies", "policy-allow-answers", answers);
}

fn served(port: &'static str) -> Piece {
    is(field("th", port), range(SERVERS))
}

fn given(port: &'static str) -> Piece {
    is(field("th", port), range(CLIENTS))
}

fn pair(version: &'static str) -> Term {
    concat(vec![field(version, "saddr"), field(version, "daddr")])
}

fn answering_pair(version: &'static str) -> Term {
    concat(vec![field(version, "daddr"), field(version, "saddr")])
}

fn flow(version: &'static str) -> Term {
    concat(vec![field(version, "saddr"), field(version, "daddr"), protocol(), port()])
}

fn answering_flow(version: &'static str) -> Term {
    concat(vec![field(version, "daddr"), field(version, "saddr"), protocol(), field("th", "sport")])
}
