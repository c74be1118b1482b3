//! Queries and answers as bytes. Pure, and never fails on what a stranger may send.
//!
//! What comes in at a container's resolver has a header, one question, and perhaps an OPT record: it is read here by hand,
//! since that is most of what answering costs. What comes from elsewhere is read by `hickory-proto`, in
//! [`super::exchange`]. Sources: RFC 1035 section 4.1; RFC 6891 section 6.1.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::{MAX, Name};

/// What a query asks for, or how it went. Source: RFC 1035 sections 3.2.2 and 4.1.1; RFC 3596; RFC 6891.
pub(super) mod code {
    /// An IPv4 address.
    pub(in crate::dns) const A: u16 = 1;
    /// The name behind a reverse name.
    pub(in crate::dns) const PTR: u16 = 12;
    /// An IPv6 address.
    pub(in crate::dns) const AAAA: u16 = 28;
    /// EDNS.
    pub(in crate::dns) const OPT: u16 = 41;
    /// Everything. Source: RFC 8482.
    pub(in crate::dns) const ANY: u16 = 255;
    /// The internet.
    pub(in crate::dns) const IN: u16 = 1;
    /// All is well.
    pub(in crate::dns) const NOERROR: u8 = 0;
    /// The query makes no sense.
    pub(in crate::dns) const FORMERR: u8 = 1;
    /// Nobody could be asked.
    pub(in crate::dns) const SERVFAIL: u8 = 2;
    /// There is no such name.
    pub(in crate::dns) const NXDOMAIN: u8 = 3;
    /// That is nothing that we do.
    pub(in crate::dns) const NOTIMP: u8 = 4;
    /// That is nothing that we are willing to do.
    pub(in crate::dns) const REFUSED: u8 = 5;
    /// A version of EDNS that nobody knows, its low four bits; the high eight are in the OPT record.
    pub(in crate::dns) const BADVERS: u16 = 16;
}

/// The bytes of a header.
pub(super) const HEADER: usize = 12;

/// The bytes of an OPT record without options.
const OPT_BYTES: usize = 11;

/// What an answer over UDP may have when the query says nothing. Source: RFC 1035 section 4.2.1.
const UDP_PLAIN: u16 = 512;

/// What an answer over UDP may have at most, and what we take: no packet on `lo` is too large, and more than this is rather
/// asked for over TCP.
pub(super) const UDP_MOST: u16 = 4096;

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// In a datagram.
    Udp,
    /// On a stream, which takes all that a message can be.
    Tcp,
}

/// A query, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// The header as it came.
    header: [u8; HEADER],
    /// The question as it came: the name in the case that the asker chose, which the answer repeats.
    question: Vec<u8>,
    /// The name in lower case.
    name: Vec<u8>,
    /// What is asked for.
    pub(super) kind: u16,
    /// In which class.
    pub(super) class: u16,
    /// What the OPT record says, when there is one.
    edns: Option<Edns>,
    transport: Transport,
}

/// What an OPT record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edns {
    size: u16,
    version: u8,
    dnssec_ok: bool,
}

/// Why a packet is no query that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is an answer, or too short to be answered to.
    Silence,
    /// It is answered with this code and nothing else.
    Code(u8),
}

impl Query {
    /// Returns a query without content, to be filled by [`Query::read`] again and again.
    pub(super) fn blank() -> Self {
        Self {
            header: [0; HEADER],
            question: Vec::with_capacity(MAX + 4),
            name: Vec::with_capacity(MAX),
            kind: 0,
            class: 0,
            edns: None,
            transport: Transport::Udp,
        }
    }

    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// When it is not a query of one question; what has been read of it is then good for [`bare`] only.
    pub(super) fn read(&mut self, packet: &[u8], transport: Transport) -> Result<(), Fault> {
        let (header, body) = packet.split_first_chunk::<HEADER>().ok_or(Fault::Silence)?;
        self.header = *header;
        self.transport = transport;
        self.edns = None;
        self.question.clear();
        self.name.clear();
        let [_, _, flags, _, counts @ ..] = header;
        // An answer to an answer could go on for ever.
        if flags & 0x80 != 0 {
            return Err(Fault::Silence);
        }
        if flags & 0x78 != 0 {
            return Err(Fault::Code(code::NOTIMP));
        }
        let &[0, 1, 0, 0, 0, 0, ar_high, ar_low] = counts else { return Err(Fault::Code(code::FORMERR)) };
        let malformed = Fault::Code(code::FORMERR);
        let rest = self.read_question(body).ok_or(malformed)?;
        self.edns = additional(rest, u16::from_be_bytes([ar_high, ar_low])).map_err(|()| malformed)?;
        Ok(())
    }

    /// Reads the question, and returns what is behind it.
    fn read_question<'p>(&mut self, body: &'p [u8]) -> Option<&'p [u8]> {
        let mut rest = body;
        loop {
            let (length, behind) = rest.split_first()?;
            // The two high bits mean a pointer, and there is nothing yet to point to: RFC 1035 section 4.1.4.
            if *length > 63 {
                return None;
            }
            let (label, behind) = behind.split_at_checked(usize::from(*length))?;
            self.name.push(*length);
            self.name.extend(label.iter().map(u8::to_ascii_lowercase));
            rest = behind;
            if *length == 0 {
                break;
            }
            if self.name.len() >= MAX {
                return None;
            }
        }
        let (&[kind_high, kind_low, class_high, class_low], behind) = rest.split_first_chunk()?;
        self.kind = u16::from_be_bytes([kind_high, kind_low]);
        self.class = u16::from_be_bytes([class_high, class_low]);
        self.question.extend_from_slice(body.get(..body.len() - behind.len())?);
        Some(behind)
    }

    /// Returns the name in lower case.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns the question as it came: name, type and class.
    pub(super) fn question(&self) -> &[u8] {
        &self.question
    }

    /// Tells whether the asker checks signatures itself: the flag `CD`, RFC 4035 section 3.2.2.
    pub(super) fn checking_disabled(&self) -> bool {
        let [_, _, _, flags, ..] = self.header;
        flags & 0x10 != 0
    }

    /// Tells whether the asker wants signatures: the flag `DO`, RFC 3225 section 3.
    pub(super) fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Tells whether the asker speaks a version of EDNS that we do not.
    pub(super) fn is_of_unknown_version(&self) -> bool {
        self.edns.is_some_and(|edns| edns.version != 0)
    }

    /// Returns how long an answer may be.
    fn limit(&self) -> usize {
        match self.transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => {
                usize::from(self.edns.map_or(UDP_PLAIN, |edns| edns.size.clamp(UDP_PLAIN, UDP_MOST)))
            }
        }
    }
}

/// Reads the records behind the question, of which only an OPT record matters.
fn additional(mut rest: &[u8], count: u16) -> Result<Option<Edns>, ()> {
    let mut edns = None;
    for _ in 0..count {
        let (is_root, record) = skip_name(rest).ok_or(())?;
        let (&[kind_high, kind_low, size_high, size_low, _, version, flags, _, len_high, len_low], data) =
            record.split_first_chunk().ok_or(())?;
        let length = usize::from(u16::from_be_bytes([len_high, len_low]));
        rest = data.get(length..).ok_or(())?;
        if u16::from_be_bytes([kind_high, kind_low]) == code::OPT {
            let size = u16::from_be_bytes([size_high, size_low]);
            let found = Edns { size, version, dnssec_ok: flags & 0x80 != 0 };
            // Its name is the root, and there is one at most: RFC 6891 section 6.1.1.
            if !is_root || edns.replace(found).is_some() {
                return Err(());
            }
        }
    }
    Ok(edns)
}

/// Returns what is behind a name, and whether the name is the root.
fn skip_name(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let mut rest = bytes;
    loop {
        let (length, behind) = rest.split_first()?;
        match length {
            0 => return Some((rest.len() == bytes.len(), behind)),
            1..=63 => rest = behind.get(usize::from(*length)..)?,
            // A pointer has two bytes and ends the name.
            0xc0.. => return Some((false, behind.get(1..)?)),
            64..0xc0 => return None,
        }
    }
}

/// Writes an answer that has a code and nothing else, not even the question, to a packet that could not be read.
pub(super) fn bare(packet: &[u8], code: u8, out: &mut Vec<u8>) {
    out.clear();
    if let Some(&[id_high, id_low, flags, ..]) = packet.first_chunk::<HEADER>() {
        // An answer, with the opcode and the wish for recursion as they came.
        out.extend_from_slice(&[id_high, id_low, 0x80 | (flags & 0x79), 0x80 | code, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}

/// An answer of our own that is being written.
pub(super) struct Answer<'o> {
    out: &'o mut Vec<u8>,
    count: u16,
    limit: usize,
    edns: Option<Edns>,
    truncated: bool,
}

impl<'o> Answer<'o> {
    /// Begins an answer: header and question.
    pub(super) fn to(query: &Query, out: &'o mut Vec<u8>) -> Self {
        let [id_high, id_low, flags, checking, ..] = query.header;
        out.clear();
        // An answer (0x80) by an authority (0x04), with recursion as wished for, which is available (0x80).
        out.extend_from_slice(&[id_high, id_low, 0x84 | (flags & 0x01), 0x80 | (checking & 0x10)]);
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&query.question);
        let reserved = if query.edns.is_some() { OPT_BYTES } else { 0 };
        let limit = query.limit().saturating_sub(reserved);
        Self { out, count: 0, limit, edns: query.edns, truncated: false }
    }

    /// Adds an IPv4 address of the name.
    pub(super) fn a(&mut self, addr: Ipv4Addr, ttl: u32) {
        self.record(code::A, ttl, &addr.octets());
    }

    /// Adds an IPv6 address of the name.
    pub(super) fn aaaa(&mut self, addr: Ipv6Addr, ttl: u32) {
        self.record(code::AAAA, ttl, &addr.octets());
    }

    /// Adds the name behind the name.
    pub(super) fn ptr(&mut self, name: &Name, ttl: u32) {
        self.record(code::PTR, ttl, name.wire());
    }

    /// Adds a record of the name in the question; when there is no room, the answer says that it is not whole. What fitted
    /// stays: RFC 2181 section 9 allows it, and it serves askers who never try TCP.
    fn record(&mut self, kind: u16, ttl: u32, data: &[u8]) {
        let Ok(length) = u16::try_from(data.len()) else { return };
        // Pointer, type, class, time to live, length: RFC 1035 sections 4.1.3 and 4.1.4.
        if self.truncated || self.out.len() + 12 + data.len() > self.limit {
            self.truncated = true;
            return;
        }
        let ([kind_high, kind_low], [t3, t2, t1, t0]) = (kind.to_be_bytes(), ttl.to_be_bytes());
        let [len_high, len_low] = length.to_be_bytes();
        let head = [0xc0, 12, kind_high, kind_low, 0, 1, t3, t2, t1, t0, len_high, len_low];
        self.out.extend_from_slice(&head);
        self.out.extend_from_slice(data);
        self.count += 1;
    }

    /// Ends the answer.
    pub(super) fn finish(self, code: u8) {
        let Self { out, count, limit: _, edns, truncated } = self;
        if let [_, _, flags, low, _, _, count_high, count_low, ..] = out.as_mut_slice() {
            *flags |= if truncated { 0x02 } else { 0 };
            *low |= code & 0x0f;
            [*count_high, *count_low] = count.to_be_bytes();
        }
        append_opt(out, edns, 0);
    }

    /// Ends the answer to a query of an unknown version of EDNS.
    pub(super) fn finish_bad_version(self) {
        append_opt(self.out, self.edns, code::BADVERS);
    }
}

/// Adds an OPT record to an answer whose query had one.
fn append_opt(out: &mut Vec<u8>, edns: Option<Edns>, extended: u16) {
    let Some(Edns { size: _, version: _, dnssec_ok }) = edns else { return };
    let [size_high, size_low] = UDP_MOST.to_be_bytes();
    let [kind_high, kind_low] = code::OPT.to_be_bytes();
    let [_, high] = (extended >> 4).to_be_bytes();
    let flags = if dnssec_ok { 0x80 } else { 0 };
    out.extend_from_slice(&[0, kind_high, kind_low, size_high, size_low, high, 0, flags, 0, 0, 0]);
    if let Some([count_high, count_low]) = out.get_mut(10..HEADER) {
        let count = u16::from_be_bytes([*count_high, *count_low]).saturating_add(1);
        [*count_high, *count_low] = count.to_be_bytes();
    }
}

/// Writes an answer from elsewhere as the answer to a query for the same name: its id, its case, its limit. `spent` is for
/// how many seconds the answer has been kept already.
pub(super) fn relay(answer: &[u8], query: &Query, spent: u32, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(answer);
    let [id_high, id_low, flags, checking, ..] = query.header;
    if let Some([to_id_high, to_id_low, to_flags, to_checking, ..]) = out.first_chunk_mut::<HEADER>() {
        (*to_id_high, *to_id_low) = (id_high, id_low);
        *to_flags = (*to_flags & !0x03) | (flags & 0x01);
        *to_checking = 0x80 | (*to_checking & 0x2f) | (checking & 0x10);
    }
    let end = HEADER + query.question.len();
    if let Some(question) = out.get_mut(HEADER..end) {
        question.copy_from_slice(&query.question);
    }
    let reserved = if query.edns.is_some() { OPT_BYTES } else { 0 };
    if out.len() + reserved > query.limit() {
        out.truncate(end);
        if let Some([_, _, flags, _, _, _, counts @ ..]) = out.first_chunk_mut::<HEADER>() {
            *flags |= 0x02;
            *counts = [0; 6];
        }
    } else if spent > 0 {
        for place in ttls(answer) {
            if let Some(ttl) = out.get_mut(place..).and_then(<[u8]>::first_chunk_mut::<4>) {
                *ttl = u32::from_be_bytes(*ttl).saturating_sub(spent).to_be_bytes();
            }
        }
    }
    append_opt(out, query.edns, 0);
}

/// Returns where the times to live of an answer stand.
fn ttls(answer: &[u8]) -> impl Iterator<Item = usize> {
    let behind_question =
        answer.get(HEADER..).and_then(|body| skip_name(body)).and_then(|(_, rest)| rest.get(4..));
    let mut rest = behind_question.unwrap_or_default();
    std::iter::from_fn(move || {
        let (_, record) = skip_name(rest)?;
        let place = answer.len() - record.len() + 4;
        let &[len_high, len_low] = record.get(8..10)? else { return None };
        rest = record.get(10 + usize::from(u16::from_be_bytes([len_high, len_low]))..)?;
        Some(place)
    })
}
