//! The answer: whether a packet arrives, what decides, and the way there and back.

use std::fmt::Write as _;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::ends::{End, Ends};
use super::packet::{Packet, Protocol, State};
use super::walk::{Halt, Reached, Walk};
use super::{DecidedBy, Decision, Step, Verdict};
use crate::kernel::census::Interface;
use crate::kernel::inside::{Traveller, Way};
use crate::names;

/// Whether a packet gets from one place to another, and what decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Path {
    /// Who sends it, as it was asked for.
    pub from: String,
    /// Whom it is for, as it was asked for.
    pub to: String,
    /// The source that it begins with; `null` when it does not begin.
    pub source: Option<IpAddr>,
    /// Its destination.
    pub destination: IpAddr,
    /// `tcp`, `udp`, `sctp`, or `icmp` when no port was named.
    pub protocol: &'static str,
    /// The port; `null` when none was named.
    pub port: Option<u16>,
    /// Whether it arrives.
    pub verdict: Verdict,
    /// Whether it leaves for where nothing can be seen from here: then that it gets out, and an answer in, is all that is
    /// told.
    pub outside: bool,
    /// What decides that.
    pub decision: Decision,
    /// The way there.
    pub there: Vec<Step>,
    /// The way of the answer.
    pub back: Vec<Step>,
    /// What is worth knowing besides.
    pub notes: Vec<String>,
}

/// Follows a packet there, and its answer back.
pub(super) fn there_and_back(walk: &mut Walk<'_>, ends: &Ends) -> Result<Path, Halt> {
    let (began, entry) = begin(walk, ends)?;
    let reached = match entry {
        Entry::Inside(ns) => walk.send(ns, began),
        Entry::Outside(link) => walk.receive((0, link), began),
    };
    let reached = match reached {
        Ok(reached) => reached,
        Err(Halt::Ask(question)) => return Err(Halt::Ask(question)),
        Err(Halt::Denied(decision)) => return Ok(path(walk, ends, (Some(began), Verdict::Denied), decision)),
        Err(Halt::Unknown(decision)) => {
            return Ok(path(walk, ends, (Some(began), Verdict::Unknown), decision));
        }
    };
    let notes = notes(walk, &reached)?;
    let passed = walk.passed.take();
    let arrival = arrival(walk, &reached);
    let there = std::mem::take(&mut walk.steps);
    let outside = matches!(reached, Reached::Outside { .. });
    let mut path = match answered(walk, (&began, entry), reached) {
        Err(Halt::Ask(question)) => return Err(Halt::Ask(question)),
        Err(Halt::Denied(decision)) => path(walk, ends, (Some(began), Verdict::NoAnswer), decision),
        Err(Halt::Unknown(decision)) => path(walk, ends, (Some(began), Verdict::Unknown), decision),
        Ok(()) => match walk.doubts.first().cloned() {
            Some(doubt) => path(walk, ends, (Some(began), Verdict::Unknown), doubt),
            None => path(walk, ends, (Some(began), Verdict::Arrives), passed.unwrap_or(arrival)),
        },
    };
    (path.back, path.there, path.notes, path.outside) = (path.there, there, notes, outside);
    Ok(path)
}

/// Where a packet begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// In this namespace.
    Inside(usize),
    /// Elsewhere: it comes to the host by this interface.
    Outside(u32),
}

/// Returns the packet as it begins, and where.
fn begin(walk: &Walk<'_>, ends: &Ends) -> Result<(Packet, Entry), Halt> {
    let Ends { from, to, protocol, port } = ends;
    // Whoever is meant has an address: `ends` sees to that.
    let dest = to.address.unwrap_or(IpAddr::from([0; 4]));
    let ask = |to| Traveller { from: None, to, arrives_by: None, mark: 0 };
    let (source, entry) = match (from.ns, from.address) {
        (Some(ns), Some(address)) => (address, Entry::Inside(ns)),
        (Some(ns), None) => match walk.way(ns, ask(dest))? {
            Way::Here { source } | Way::Leads { source, .. } => (source.unwrap_or(dest), Entry::Inside(ns)),
            Way::Refused(_, words) => {
                return Err(walk.denied(
                    DecidedBy::Route,
                    ns,
                    format!("there is no route to {dest} ({words})"),
                ));
            }
        },
        (None, address) => {
            let address = address.unwrap_or(dest);
            match walk.way(0, ask(address))? {
                Way::Leads { link, .. } => (address, Entry::Outside(*link)),
                Way::Here { .. } | Way::Refused(..) => {
                    let sentence = format!("no route tells by which interface packets from {address} come");
                    return Err(Halt::Unknown(walk.decision(DecidedBy::Unseen, 0, sentence)));
                }
            }
        }
    };
    let (state, mark) = (State::New, Some(0));
    let (protocol, dest_port, source_port) = (*protocol, *port, None);
    let packet = Packet {
        source,
        dest,
        protocol,
        source_port,
        dest_port,
        mark,
        answers: false,
        state,
        led: false,
        hidden: false,
        settled: false,
        flow: None,
    };
    Ok((packet, entry))
}

/// Follows the answer; it has to come to whoever asked, from whom was asked.
fn answered(walk: &mut Walk<'_>, (began, entry): (&Packet, Entry), reached: Reached) -> Result<(), Halt> {
    let back = match reached {
        Reached::Inside { ns, packet } => {
            walk.send(ns, packet.answer()).map_err(|halt| unhidden(walk, (began, ns), &packet, halt))?
        }
        Reached::Outside { ns, link, next: _, packet } => {
            hidden(walk, (ns, link), &packet)?;
            walk.receive((ns, link), packet.answer())?
        }
    };
    let (ns, packet) = match (&back, entry) {
        (Reached::Inside { ns, packet }, Entry::Inside(home)) if *ns == home => (*ns, packet),
        (Reached::Outside { ns, packet, .. }, Entry::Outside(_)) => (*ns, packet),
        (Reached::Inside { ns, .. } | Reached::Outside { ns, .. }, _) => {
            let sentence = format!("the answer to {} does not come back to it, but here", began.source);
            return Err(walk.denied(DecidedBy::Answer, *ns, sentence));
        }
    };
    if (packet.source, packet.source_port, packet.dest) != (began.dest, began.dest_port, began.source) {
        let sentence =
            format!("the answer comes from {}, not from {}, who was asked", packet.source, began.dest);
        return Err(walk.denied(DecidedBy::Answer, ns, sentence));
    }
    Ok(())
}

/// Says of an answer that has no route back that nothing hides whom it is for, when that would have helped.
fn unhidden(walk: &Walk<'_>, (began, ns): (&Packet, usize), packet: &Packet, halt: Halt) -> Halt {
    let at = walk.at(ns);
    match halt {
        Halt::Denied(decision)
            if decision.kind == DecidedBy::Route && decision.at == at && packet.source == began.source =>
        {
            let source = packet.source;
            let sentence = format!("no route leads back to {source}, and nothing hides that on the way");
            walk.denied(DecidedBy::Masquerade, ns, sentence)
        }
        other @ (Halt::Ask(_) | Halt::Denied(_) | Halt::Unknown(_)) => other,
    }
}

/// Tells whether who is outside can answer: he has to know the way to the source.
fn hidden(walk: &Walk<'_>, (ns, link): (usize, u32), packet: &Packet) -> Result<(), Halt> {
    let Packet { source, dest, .. } = *packet;
    if walk.own(ns).iter().any(|(own, _)| *own == source) || packet.hidden {
        return Ok(());
    }
    let link = walk.link(ns, link)?;
    let out = format!("it leaves by {} with the source {source}, which nothing hides", link.name);
    if is_private(source) && !is_private(dest) {
        let sentence = format!("{out}: nobody on the internet can answer that");
        return Err(walk.denied(DecidedBy::Masquerade, ns, sentence));
    }
    let sentence = format!("{out}: whether {dest} knows the way back cannot be seen from here");
    Err(Halt::Unknown(walk.decision(DecidedBy::Masquerade, ns, sentence)))
}

/// Tells whether an address means nothing on the internet: RFC 1918, RFC 6598, RFC 4193, RFC 3927.
pub(crate) fn is_private(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => {
            let [first, second, ..] = addr.octets();
            addr.is_private()
                || addr.is_link_local()
                || addr.is_loopback()
                || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(addr) => addr.is_unique_local() || addr.is_unicast_link_local() || addr.is_loopback(),
    }
}

/// Returns what decides when no rule does: the interface or the bridge that it arrives by.
fn arrival(walk: &Walk<'_>, reached: &Reached) -> Decision {
    match reached {
        Reached::Inside { ns, packet } => {
            let last = walk.steps.last().map(|step| step.what.clone());
            let sentence = last.unwrap_or_else(|| format!("{} is its own address", packet.dest));
            walk.decision(DecidedBy::Route, *ns, sentence)
        }
        Reached::Outside { ns, link, next, packet } => {
            let name = walk.link(*ns, *link).map_or("", |link: &Interface| link.name.as_str());
            let source = packet.source;
            let sentence = format!(
                "it leaves by {name} for {next} with the source {source}; what is behind is not seen"
            );
            walk.decision(DecidedBy::Route, *ns, sentence)
        }
    }
}

/// Returns what is worth knowing of where a packet has got to.
fn notes(walk: &Walk<'_>, reached: &Reached) -> Result<Vec<String>, Halt> {
    let Reached::Inside { ns, packet } = reached else { return Ok(vec![]) };
    let Some(port) = packet.dest_port else { return Ok(vec![]) };
    let protocol = match packet.protocol {
        Protocol::Tcp => names::Protocol::Tcp,
        Protocol::Udp => names::Protocol::Udp,
        Protocol::Sctp => names::Protocol::Sctp,
        Protocol::Ping => return Ok(vec![]),
    };
    let hears = walk.inside(*ns)?.listeners.iter().any(|it| {
        let address = it.address.is_none_or(|address| address == packet.dest);
        it.protocol == protocol
            && it.ports.contains(&port)
            && address
            && it.family == crate::resource::sysctl::Family::of(packet.dest)
    });
    let nobody = format!("{}: nobody listens on {}, port {port}/{protocol}", walk.at(*ns), packet.dest);
    Ok(if hears { vec![] } else { vec![nobody] })
}

/// Returns the answer for a packet that could not begin.
pub(super) fn broken(walk: &Walk<'_>, ends: &Ends, halt: (Verdict, Decision)) -> Path {
    path(walk, ends, (None, halt.0), halt.1)
}

fn path(
    walk: &Walk<'_>,
    ends: &Ends,
    (began, verdict): (Option<Packet>, Verdict),
    decision: Decision,
) -> Path {
    let Ends { from: End { called: from, .. }, to, protocol, port } = ends;
    Path {
        from: from.clone(),
        to: to.called.clone(),
        source: began.map(|packet| packet.source),
        destination: to.address.unwrap_or(IpAddr::from([0; 4])),
        protocol: protocol.as_str(),
        port: *port,
        verdict,
        outside: false,
        decision,
        there: walk.steps.clone(),
        back: vec![],
        notes: vec![],
    }
}

impl Path {
    /// Returns the rule or policy that drops the packet or its answer, when one does.
    pub fn dropped(self) -> Option<Decision> {
        match self.verdict {
            Verdict::Denied | Verdict::NoAnswer => Some(self.decision).filter(|it| it.rule.is_some()),
            Verdict::Arrives | Verdict::Unknown => None,
        }
    }

    /// Returns the answer as text.
    pub fn text(&self) -> String {
        let Self { from, to, source, destination, protocol, port, .. } = self;
        let Self { verdict, outside, decision, there, back, notes, .. } = self;
        let begin = source.map(|source| source.to_string()).filter(|source| source != from);
        let begin = begin.map(|source| format!(" ({source})")).unwrap_or_default();
        let end = if *to == destination.to_string() { String::new() } else { format!(" ({destination})") };
        let service = port.map_or_else(|| "ping".to_owned(), |port| format!("port {port}/{protocol}"));
        let verdict = match verdict {
            Verdict::Arrives if *outside => "gets out, and an answer gets in",
            Verdict::Arrives => "arrives, and is answered",
            Verdict::NoAnswer if *outside => "gets out, but no answer gets in",
            Verdict::NoAnswer => "arrives, but no answer comes back",
            Verdict::Denied => "does not arrive",
            Verdict::Unknown => "cannot tell",
        };
        let mut text = format!("{from}{begin} to {to}{end}, {service}: {verdict}\n");
        // Nothing can be done about a text that cannot be written to memory.
        let _ = writeln!(text, "  decided by {}: {}", decision.at, decision.sentence);
        if let Some(rule) = &decision.rule {
            let _ = writeln!(text, "    {}", rule.text);
        }
        for (name, steps) in [("there", there), ("back", back)] {
            for (number, Step { at, what }) in steps.iter().enumerate() {
                let name = if number == 0 { name } else { "" };
                let _ = writeln!(text, "  {name:<5}  {at}: {what}");
            }
        }
        for note in notes {
            let _ = writeln!(text, "  note   {note}");
        }
        text
    }
}
