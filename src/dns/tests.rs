//! Packets in, packets out: what a resolver says, read by an implementation that is not ours.

use std::sync::{Arc, LazyLock};

use hickory_proto::op::{Edns, Message, OpCode, Query as Question, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::*;

use super::answer::{Verdict, answer};
use super::wire::{self, Fault, HEADER, Query, Transport};
use super::zone::{Zone, Zones};
use crate::resource::netns::NsRef;
use crate::topology::facts::Facts;
use crate::topology::sketch::resolved;

fn zone(text: &str, container: &str) -> Arc<Zone> {
    let topology = resolved(text, &Facts::default()).unwrap();
    let running = topology.containers.iter().map(|container| container.name.clone()).collect();
    Arc::clone(Zones::new(&topology, &running).get(&NsRef::Named(container.try_into().unwrap())).unwrap())
}

static SHOP: LazyLock<Arc<Zone>> = LazyLock::new(|| {
    zone(
        "net front 10.1.0.0/24 fd00:1::/64\nnet back 10.2.0.0/24\n\
         ctr web @front,addr=10.1.0.2,addr=fd00:1::2 @back\nctr old @back,addr=10.2.0.3",
        "web",
    )
});

/// A zone in which 100 containers have the alias `app`, and nobody is asked for other names.
static CROWD: LazyLock<Arc<Zone>> = LazyLock::new(|| {
    let crowd: String =
        (2..102).map(|last| format!("\nctr c{last} @n,addr=10.1.0.{last},alias=app")).collect();
    zone(&format!("net n 10.1.0.0/24 policy=all internal{crowd}"), "c2")
});

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    let mut question = Question::new();
    question.name = Name::from_ascii(name).unwrap();
    question.query_type = kind;
    message.metadata.recursion_desired = true;
    message.add_query(question);
    message
}

fn with_edns(mut message: Message, size: u16, version: u8) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(size).set_version(version);
    message.set_edns(edns);
    message
}

/// Returns the verdict, and the answer's bytes.
fn raw(zone: &Zone, packet: &[u8], transport: Transport) -> (Verdict, Vec<u8>) {
    let (mut query, mut out) = (Query::blank(), vec![]);
    (answer(zone, (packet, transport), 0, &mut query, &mut out), out)
}

fn said(zone: &Zone, message: &Message, transport: Transport) -> Message {
    let (verdict, out) = raw(zone, &message.to_vec().unwrap(), transport);
    assert_eq!(verdict, Verdict::Answered);
    let said = Message::from_vec(&out).unwrap();
    assert_eq!((said.metadata.id, &said.queries), (message.metadata.id, &message.queries));
    said
}

#[track_caller]
fn check(name: &str, kind: RecordType, want: &str) {
    let message = question(name, kind);
    let (verdict, out) = raw(&SHOP, &message.to_vec().unwrap(), Transport::Udp);
    let found = match verdict {
        Verdict::Answered => {
            let said = Message::from_vec(&out).unwrap();
            assert!(said.metadata.authoritative && said.metadata.recursion_available);
            assert_eq!(said.queries.first().unwrap().name.to_ascii(), name, "the case is the asker's");
            let data: Vec<_> = said.answers.iter().map(|record| record.data.to_string()).collect();
            format!("{:?} {}", said.metadata.response_code, data.join(" "))
        }
        Verdict::Malformed | Verdict::Forward | Verdict::Silence => format!("{verdict:?}"),
    };
    assert_eq!(found.trim_end(), want, "{name} {kind}");
}

#[test]
fn a_name_is_answered_with_what_is_asked_for_or_with_nothing() {
    check("web.", RecordType::A, "NoError 10.1.0.2");
    check("WeB.Front.", RecordType::AAAA, "NoError fd00:1::2");
    check("old.", RecordType::AAAA, "NoError");
    check("web.", RecordType::MX, "NoError");
    check("web.", RecordType::HTTPS, "NoError");
    check("web.", RecordType::ANY, "NoError 10.1.0.2 fd00:1::2");
    check("2.0.1.10.in-addr.arpa.", RecordType::PTR, "NoError web.front.");
    check("2.0.1.10.in-addr.arpa.", RecordType::A, "NoError");
    check("x.netform.internal.", RecordType::A, "NXDomain");
    check("example.org.", RecordType::A, "Forward");
    check("example.org.", RecordType::AXFR, "Refused");
    check(".", RecordType::NS, "Forward");
}

#[test]
fn who_has_no_way_out_is_told_that_there_is_no_such_name() {
    let said = said(&CROWD, &question("example.org.", RecordType::A), Transport::Udp);

    assert_eq!(said.metadata.response_code, ResponseCode::NXDomain);
    assert!(said.authorities.is_empty(), "so nobody keeps it");
}

#[test]
fn an_answer_that_is_too_long_says_so_and_tcp_has_it_whole() {
    let message = question("app.", RecordType::A);
    let plain = said(&CROWD, &message, Transport::Udp);
    let whole = said(&CROWD, &message, Transport::Tcp);
    let large = said(&CROWD, &with_edns(message.clone(), 4096, 0), Transport::Udp);
    let small = said(&CROWD, &with_edns(message, 700, 0), Transport::Udp);

    assert!(plain.metadata.truncation && small.metadata.truncation);
    assert!(plain.to_vec().unwrap().len() <= 512 && small.to_vec().unwrap().len() <= 700);
    assert!(small.edns.is_some() && plain.edns.is_none());
    assert!(small.answers.len() > plain.answers.len());
    for whole in [whole, large] {
        assert!(!whole.metadata.truncation);
        assert_eq!(whole.answers.len(), 100);
    }
}

#[test]
fn the_addresses_of_an_alias_take_turns() {
    let (zone, packet) = (&CROWD, question("app.", RecordType::A).to_vec().unwrap());
    let first = |turn| {
        let (mut query, mut out) = (Query::blank(), vec![]);
        answer(zone, (&packet, Transport::Tcp), turn, &mut query, &mut out);
        Message::from_vec(&out).unwrap().answers.first().unwrap().data.to_string()
    };

    assert_eq!(
        [first(0), first(1), first(99), first(100)],
        ["10.1.0.2", "10.1.0.3", "10.1.0.101", "10.1.0.2"]
    );
}

#[test]
fn what_makes_no_sense_is_answered_with_a_code_or_not_at_all() {
    let code = |packet: &[u8]| {
        let (verdict, out) = raw(&SHOP, packet, Transport::Udp);
        (verdict, Message::from_vec(&out).map(|said| said.metadata.response_code).ok())
    };
    let good = question("web.", RecordType::A).to_vec().unwrap();
    let changed = |at: usize, to: u8| {
        let mut packet = good.clone();
        packet[at] = to;
        packet
    };
    let mut twice = with_edns(question("web.", RecordType::A), 1232, 0).to_vec().unwrap();
    twice.extend_from_slice(&twice.clone()[good.len()..]);
    twice[11] = 2;
    let mut update = question("web.", RecordType::A);
    update.metadata.op_code = OpCode::Update;

    assert_eq!(code(&good[..11]), (Verdict::Silence, None), "too short to be answered to");
    assert_eq!(code(&changed(2, 0x81)), (Verdict::Silence, None), "an answer");
    let malformed = (Verdict::Malformed, Some(ResponseCode::FormErr));
    assert_eq!(code(&good[..20]), malformed, "cut off");
    assert_eq!(code(&changed(5, 2)), malformed, "two questions, or so it says");
    assert_eq!(code(&changed(5, 0)), malformed, "no question");
    assert_eq!(code(&changed(7, 1)), malformed, "an answer in a question");
    assert_eq!(code(&changed(HEADER, 0xc0)), malformed, "a pointer to itself");
    assert_eq!(code(&twice), malformed, "two OPT records");
    assert_eq!(code(&update.to_vec().unwrap()), (Verdict::Malformed, Some(ResponseCode::NotImp)));
    assert_eq!(
        code(&changed(good.len() - 1, 3)),
        (Verdict::Answered, Some(ResponseCode::Refused)),
        "class CH"
    );
    let newer = with_edns(question("web.", RecordType::A), 1232, 1).to_vec().unwrap();
    let said = Message::from_vec(&raw(&SHOP, &newer, Transport::Udp).1).unwrap();
    assert_eq!((u16::from(said.metadata.response_code), said.answers.len()), (wire::code::BADVERS, 0));
}

/// Returns an answer of elsewhere to a query for `Example.org`, with the times to live 300 and 60.
fn elsewhere() -> Vec<u8> {
    let mut text = question("example.org.", RecordType::A).to_vec().unwrap();
    (text[2], text[3], text[7]) = (0x81, 0x80, 2);
    for (ttl, last) in [(300_u32, 1), (60, 2)] {
        text.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        text.extend_from_slice(&ttl.to_be_bytes());
        text.extend_from_slice(&[0, 4, 203, 0, 113, last]);
    }
    text
}

#[test]
fn an_answer_of_elsewhere_becomes_the_answer_to_whoever_asks() {
    let asked = with_edns(question("EXAMPLE.org.", RecordType::A), 1232, 0);
    let (mut query, mut out) = (Query::blank(), vec![]);
    query.read(&asked.to_vec().unwrap(), Transport::Udp).unwrap();

    wire::relay(&elsewhere(), &query, 100, &mut out);

    let said = Message::from_vec(&out).unwrap();
    assert_eq!((said.metadata.id, &said.queries), (asked.metadata.id, &asked.queries));
    assert_eq!(said.queries.first().unwrap().name.to_ascii(), "EXAMPLE.org.");
    assert_eq!(said.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [200, 0]);
    assert!(said.edns.is_some());
}

#[test]
fn an_answer_of_elsewhere_that_is_too_long_is_cut_to_its_question() {
    let mut long = elsewhere();
    for _ in 0..40 {
        long.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 203, 0, 113, 3]);
        long[7] += 1;
    }
    let (mut query, mut out) = (Query::blank(), vec![]);
    query.read(&question("example.org.", RecordType::A).to_vec().unwrap(), Transport::Udp).unwrap();

    wire::relay(&long, &query, 0, &mut out);

    let said = Message::from_vec(&out).unwrap();
    assert!(said.metadata.truncation && said.answers.is_empty());
}

/// Packets that are nearly queries: a good one with some bytes changed, and cut off somewhere.
fn nearly_a_query() -> impl Strategy<Value = Vec<u8>> {
    let good =
        (any::<bool>(), prop::sample::select(vec!["web.", "app.", "example.org.", "2.0.1.10.in-addr.arpa."]));
    let good = good.prop_map(|(edns, name)| {
        let message = question(name, RecordType::A);
        let message = if edns { with_edns(message, 1232, 0) } else { message };
        message.to_vec().unwrap()
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (good, changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(mut packet, changes, cut, whole)| {
            for (place, byte) in changes {
                let place = place.index(packet.len());
                packet[place] = byte;
            }
            packet.truncate(if whole { packet.len() } else { cut.index(packet.len()) });
            packet
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_packet_is_fatal_and_every_answer_can_be_read(
        packet in prop_oneof![nearly_a_query(), prop::collection::vec(any::<u8>(), 0..600)],
        tcp in any::<bool>(),
        turn in any::<usize>(),
    ) {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        for zone in [&SHOP, &CROWD] {
            let (mut query, mut out) = (Query::blank(), vec![]);
            let verdict = answer(zone, (&packet, transport), turn, &mut query, &mut out);
            match verdict {
                Verdict::Answered | Verdict::Malformed => {
                    let said = Message::from_vec(&out).unwrap();
                    prop_assert_eq!(said.metadata.id.to_be_bytes(), [packet[0], packet[1]]);
                    prop_assert!(tcp || out.len() <= usize::from(wire::UDP_MOST));
                }
                Verdict::Forward => prop_assert!(Query::blank().read(&packet, transport).is_ok()),
                Verdict::Silence => {
                    prop_assert_eq!(Query::blank().read(&packet, transport), Err(Fault::Silence));
                }
            }
        }
    }

    #[test]
    fn no_answer_of_elsewhere_is_fatal(answer in prop::collection::vec(any::<u8>(), 0..600), spent in any::<u32>()) {
        let (mut query, mut out) = (Query::blank(), vec![]);
        query.read(&question("example.org.", RecordType::A).to_vec().unwrap(), Transport::Udp).unwrap();
        wire::relay(&answer, &query, spent, &mut out);
    }
}
