//! One question to one resolver of elsewhere.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query as Question, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::wire::Query;

/// Where resolvers listen. Source: RFC 1035 section 4.2.
const PORT: u16 = 53;

/// What an answer may have over UDP without being cut to pieces on the way. Source: RFC 9715 section 3.
const UDP_SAFE: u16 = 1232;

/// The largest answer that is read over UDP: more than anybody may send us.
const UDP_ROOM: usize = 4096;

/// The longest that an answer is kept, whatever it says. Sources: RFC 8767 section 4; RFC 2308 section 5.
const KEEP_MOST: u32 = 86_400;
const KEEP_NEGATIVE_MOST: u32 = 10_800;

/// What is asked of resolvers of elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    question: Question,
    dnssec_ok: bool,
    checking_disabled: bool,
}

/// An answer that counts.
#[derive(Debug)]
pub(super) struct Reply {
    /// The answer as bytes, without an OPT record.
    pub(super) answer: Vec<u8>,
    /// For how long it may be kept; nothing when it may not.
    pub(super) keep: Duration,
}

/// Why a resolver gave no answer that counts.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    /// It could not be talked to.
    #[error("cannot talk to the resolver")]
    Io(#[from] io::Error),
    /// It could not be asked in words that it knows.
    #[error("the question or the answer makes no sense")]
    Proto(#[from] hickory_proto::ProtoError),
    /// It said that it could not, or would not.
    #[error("the resolver said {0}")]
    Said(ResponseCode),
}

impl Asked {
    /// Returns what a container's query asks for; `None` when it makes no sense.
    pub(super) fn of(query: &Query) -> Option<Self> {
        let question = Question::read(&mut BinDecoder::new(query.question())).ok()?;
        let (dnssec_ok, checking_disabled) = (query.dnssec_ok(), query.checking_disabled());
        Some(Self { question, dnssec_ok, checking_disabled })
    }

    /// Asks a resolver, and waits for its answer for as long as the caller does.
    pub(super) async fn ask(&self, server: IpAddr) -> Result<Reply, Refusal> {
        let server = SocketAddr::new(server, PORT);
        match self.converse(server, true).await {
            // It may be too old for EDNS: RFC 6891 section 7.
            Err(Refusal::Said(ResponseCode::FormErr | ResponseCode::NotImp)) => {
                self.converse(server, false).await
            }
            done => done,
        }
    }

    async fn converse(&self, server: SocketAddr, edns: bool) -> Result<Reply, Refusal> {
        let message = self.message(edns);
        let mut answer = by_udp(server, &message).await?;
        if answer.metadata.truncation {
            answer = by_tcp(server, &message).await?;
        }
        let code = answer.metadata.response_code;
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return Err(Refusal::Said(code));
        }
        let keep = Duration::from_secs(keep(&answer).into());
        answer.edns = None;
        answer.signature = None;
        Ok(Reply { answer: answer.to_vec()?, keep })
    }

    /// Returns the query, with an id that nobody can guess.
    fn message(&self, edns: bool) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.metadata.checking_disabled = self.checking_disabled;
        message.add_query(self.question.clone());
        if edns {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_SAFE).set_dnssec_ok(self.dnssec_ok);
            message.set_edns(edns);
        }
        message
    }
}

/// Asks in a datagram, from a port that the kernel draws for this question alone; what others send there never arrives,
/// since the socket is connected. Source: RFC 5452 section 9.
async fn by_udp(server: SocketAddr, message: &Message) -> Result<Message, Refusal> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&message.to_vec()?).await?;
    let mut packet = vec![0; UDP_ROOM];
    loop {
        let length = socket.recv(&mut packet).await?;
        let answer = packet.get(..length).map(Message::from_vec);
        // What is no answer to this may be somebody's guess: the true one may still come.
        if let Some(Ok(answer)) = answer
            && answers(&answer, message)
        {
            return Ok(answer);
        }
    }
}

async fn by_tcp(server: SocketAddr, message: &Message) -> Result<Message, Refusal> {
    let mut stream = TcpStream::connect(server).await?;
    let bytes = message.to_vec()?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat()).await?;
    let mut packet = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut packet).await?;
    let answer = Message::from_vec(&packet).map_err(io::Error::other)?;
    if answers(&answer, message) { Ok(answer) } else { Err(Refusal::Said(ResponseCode::ServFail)) }
}

/// Tells whether one message is the answer to another.
fn answers(answer: &Message, to: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == to.metadata.id
        && answer.queries == to.queries
}

/// Returns for how many seconds an answer may be kept: as long as the shortest of its records, and when it says that there is
/// nothing, as long as its zone says, or not at all. Source: RFC 2308 sections 3 and 5.
fn keep(answer: &Message) -> u32 {
    let shortest = answer.all_sections().map(|record| record.ttl).min();
    let is_wanted = |kind: RecordType| {
        answer.queries.iter().any(|query| query.query_type == kind || query.query_type == RecordType::ANY)
    };
    if answer.answers.iter().any(|record| is_wanted(record.record_type())) {
        return shortest.unwrap_or_default().min(KEEP_MOST);
    }
    let minimum = answer
        .authorities
        .iter()
        .find_map(|record| if let RData::SOA(soa) = &record.data { Some(soa.minimum) } else { None });
    minimum.and_then(|minimum| Some(minimum.min(shortest?).min(KEEP_NEGATIVE_MOST))).unwrap_or_default()
}
