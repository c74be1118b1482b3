//! What a resolver says to a packet. Pure, and never fails on what a stranger may send.

use super::wire::{self, Answer, Fault, Query, Transport, code};
use super::zone::{Forward, Found, Zone};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The answer is written.
    Answered,
    /// The answer is written, and says that the packet made no sense.
    Malformed,
    /// The query is for others to answer.
    Forward,
    /// There is nothing to say.
    Silence,
}

/// Reads a packet into `query` and writes the answer to `out`. `turn` is which of several addresses shall be first.
///
/// - A name that is known without what is asked for is answered with nothing (RFC 2308 section 2.2), whatever that is: if
///   the question went elsewhere, the name would be said not to exist.
/// - There is no SOA record with that, so nobody keeps it (RFC 2308 section 5): the next moment may have it.
/// - `ANY` is answered with all addresses (RFC 8482 section 4.1).
/// - Zone transfers, mail agents and classes other than `IN` are refused.
/// - A container without a way out is told that other names do not exist. A failure would have some C libraries wait for
///   seconds, and ask again, for what cannot change by waiting.
pub(super) fn answer(
    zone: &Zone,
    (packet, transport): (&[u8], Transport),
    turn: usize,
    query: &mut Query,
    out: &mut Vec<u8>,
) -> Verdict {
    match query.read(packet, transport) {
        Ok(()) => {}
        Err(Fault::Silence) => return Verdict::Silence,
        Err(Fault::Code(code)) => {
            wire::bare(packet, code, out);
            return Verdict::Malformed;
        }
    }
    let mut answer = Answer::to(query, out);
    if query.is_of_unknown_version() {
        answer.finish_bad_version();
        return Verdict::Answered;
    }
    // 249 to 254 are questions about the server or whole zones: RFC 6895 section 3.1.
    if query.class != code::IN || matches!(query.kind, code::OPT | 249..=254) {
        answer.finish(code::REFUSED);
        return Verdict::Answered;
    }
    let wants = |kind| query.kind == kind || query.kind == code::ANY;
    let code = match zone.find(query.name()) {
        Found::Addresses { v4, v6, ttl } => {
            if wants(code::A) {
                in_turn(v4, turn).for_each(|addr| answer.a(*addr, ttl));
            }
            if wants(code::AAAA) {
                in_turn(v6, turn).for_each(|addr| answer.aaaa(*addr, ttl));
            }
            code::NOERROR
        }
        Found::Pointer { name, ttl } => {
            if wants(code::PTR) {
                answer.ptr(name, ttl);
            }
            code::NOERROR
        }
        Found::Absent => code::NXDOMAIN,
        Found::Unknown => match zone.forward() {
            Forward::Nowhere => code::NXDOMAIN,
            Forward::Host | Forward::To(_) => return Verdict::Forward,
        },
    };
    answer.finish(code);
    Verdict::Answered
}

/// Writes that nobody could be asked.
pub(super) fn failure(query: &Query, out: &mut Vec<u8>) {
    Answer::to(query, out).finish(code::SERVFAIL);
}

/// Returns the items, beginning with another one each turn.
fn in_turn<T>(items: &[T], turn: usize) -> impl Iterator<Item = &T> {
    let (before, after) = items.split_at(turn.checked_rem(items.len()).unwrap_or_default());
    after.iter().chain(before)
}
