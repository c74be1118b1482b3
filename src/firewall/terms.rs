//! Short words for the parts of nft rules, so that the skeleton reads like a ruleset.

use std::borrow::Cow;

use nftables::expr::{
    BinaryOperation, CT, Expression, Fib, FibFlag, FibResult, Map, Meta, MetaKey, NamedExpression, Payload,
    PayloadField, Prefix, Range, SetItem,
};
use nftables::stmt::{JumpTarget, Mangle, Match, NAT, NATFamily, Operator, Statement};

/// What a rule looks at, or compares it with.
pub(super) type Term = Expression<'static>;
/// A condition or an action of a rule.
pub(super) type Part = Statement<'static>;

/// The bit of a packet's mark by which the table of the IP layer tells that of the bridges that a frame belongs to a
/// connection to a published port. Only frames from a port of a bridge with `icc: false` or isolated ports back to it ever carry it, the rest
/// of the mark stays as it was, and it is gone when the frame enters the container's namespace (`skb_scrub_packet()`).
pub(super) const PUBLISHED: u32 = 0x0040_0000;

pub(super) fn meta(key: MetaKey) -> Term {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

pub(super) fn iif() -> Term {
    meta(MetaKey::Iifname)
}

pub(super) fn oif() -> Term {
    meta(MetaKey::Oifname)
}

pub(super) fn protocol() -> Term {
    meta(MetaKey::L4proto)
}

pub(super) fn field(protocol: &'static str, field: &'static str) -> Term {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

pub(super) fn port() -> Term {
    field("th", "dport")
}

pub(super) fn text(text: &'static str) -> Term {
    Expression::String(Cow::Borrowed(text))
}

pub(super) fn prefix(addr: &'static str, len: u32) -> Term {
    Expression::Named(NamedExpression::Prefix(Prefix { addr: Box::new(text(addr)), len }))
}

/// Numbers from the first to the last.
pub(super) fn range((first, last): (u32, u32)) -> Term {
    Expression::Range(Box::new(Range { range: [Expression::Number(first), Expression::Number(last)] }))
}

pub(super) fn one_of(items: &[&'static str]) -> Term {
    Expression::Named(NamedExpression::Set(items.iter().map(|item| SetItem::Element(text(item))).collect()))
}

pub(super) fn concat(terms: Vec<Term>) -> Term {
    Expression::Named(NamedExpression::Concat(terms))
}

fn compare(left: Term, op: Operator, right: Term) -> Part {
    Statement::Match(Match { left, right, op })
}

pub(super) fn is(left: Term, right: Term) -> Part {
    compare(left, Operator::EQ, right)
}

pub(super) fn is_not(left: Term, right: Term) -> Part {
    compare(left, Operator::NEQ, right)
}

/// `set` is written with `@`.
pub(super) fn within(left: Term, set: &'static str) -> Part {
    compare(left, Operator::EQ, text(set))
}

/// `set` is written with `@`.
pub(super) fn without(left: Term, set: &'static str) -> Part {
    compare(left, Operator::NEQ, text(set))
}

fn conntrack(key: &'static str) -> Term {
    Expression::Named(NamedExpression::CT(CT { key: key.into(), family: None, dir: None }))
}

pub(super) fn state(state: &'static str) -> Part {
    compare(conntrack("state"), Operator::IN, text(state))
}

pub(super) fn redirected() -> Part {
    compare(conntrack("status"), Operator::IN, text("dnat"))
}

pub(super) fn direction(direction: &'static str) -> Part {
    is(conntrack("direction"), text(direction))
}

/// The kind of an address: `flags` are [`FibFlag`]s.
pub(super) fn kind_of<const N: usize>(flags: [FibFlag; N]) -> Term {
    Expression::Named(NamedExpression::Fib(Fib {
        result: FibResult::Type,
        flags: flags.into_iter().collect(),
    }))
}

pub(super) fn mark_published() -> Part {
    let bit = Expression::Number(PUBLISHED);
    let marked = BinaryOperation::OR(vec![meta(MetaKey::Mark), bit]);
    Statement::Mangle(Mangle {
        key: meta(MetaKey::Mark),
        value: Expression::BinaryOperation(Box::new(marked)),
    })
}

pub(super) fn marked_published() -> Part {
    is(masked(meta(MetaKey::Mark), Expression::Number(PUBLISHED)), Expression::Number(PUBLISHED))
}

/// A TCP segment that begins a connection.
pub(super) fn opens_connection() -> Part {
    is(masked(field("tcp", "flags"), Expression::List(vec![text("syn"), text("ack")])), text("syn"))
}

fn masked(term: Term, mask: Term) -> Term {
    Expression::BinaryOperation(Box::new(BinaryOperation::AND(term, mask)))
}

/// What the map of this name (with `@`) holds under `key`.
fn looked_up(key: Term, map: &'static str) -> Term {
    Expression::Named(NamedExpression::Map(Box::new(Map { key, data: text(map) })))
}

fn family(version: &'static str) -> NATFamily {
    if version == "ip" { NATFamily::IP } else { NATFamily::IP6 }
}

fn translation(version: &'static str, addr: Term, port: Option<Term>) -> Option<NAT<'static>> {
    Some(NAT { addr: Some(addr), family: Some(family(version)), port, flags: None })
}

/// Leads a connection to the address and port that two maps (with `@`) hold under `key`; `version` is `ip` or `ip6`.
pub(super) fn lead(version: &'static str, key: Term, addr: &'static str, port: &'static str) -> Part {
    let to_port = looked_up(key.clone(), port);
    Statement::DNAT(translation(version, looked_up(key, addr), Some(to_port)))
}

/// Leads a connection to the address that a map (with `@`) holds under `key`, and to the same port.
pub(super) fn lead_same_port(version: &'static str, key: Term, addr: &'static str) -> Part {
    Statement::DNAT(translation(version, looked_up(key, addr), None))
}

/// Replaces the source by the address that a map (with `@`) holds under it.
pub(super) fn source_from(version: &'static str, map: &'static str) -> Part {
    Statement::SNAT(translation(version, looked_up(field(version, "saddr"), map), None))
}

/// Leads a connection to the address that a map (with `@`) holds under the one that it is for, whatever its protocol.
pub(super) fn lead_whole(version: &'static str, map: &'static str) -> Part {
    lead_same_port(version, field(version, "daddr"), map)
}

pub(super) fn masquerade() -> Part {
    Statement::Masquerade(None)
}

pub(super) fn accept() -> Part {
    Statement::Accept(None)
}

pub(super) fn drop() -> Part {
    Statement::Drop(None)
}

/// Leaves the chain; a packet that leaves a base chain goes on to everybody else's.
pub(super) fn leave() -> Part {
    Statement::Return(None)
}

pub(super) fn jump(chain: &'static str) -> Part {
    Statement::Jump(JumpTarget { target: chain.into() })
}

pub(super) fn go_to(chain: &'static str) -> Part {
    Statement::Goto(JumpTarget { target: chain.into() })
}
