//! Follows a packet through namespaces: where it is sent, what the hooks do with it, where it is received.

use std::net::IpAddr;

use super::packet::{Packet, Protocol, State};
use super::{Answers, DecidedBy, Decision, Known, Question, Step};
use crate::explain::{Scene, namespace};
use crate::kernel::census::Interface;
use crate::kernel::inside::{Inside, Traveller, Way};

/// Through how many namespaces a packet is followed: then it goes round.
const HOPS: usize = 24;

/// `EXDEV`, `EINVAL` and `EHOSTUNREACH` in `include/uapi/asm-generic/errno.h`: what the kernel says of a packet whose
/// source has another way back (later kernels say the second), or may not come by that link, and where it does not forward
/// (`inet_rtm_getroute()`, `ip_route_input_slow()`).
const EXDEV: i32 = 18;
const EINVAL: i32 = 22;
const EHOSTUNREACH: i32 = 113;

/// Why a packet is followed no further.
#[derive(Debug)]
pub(super) enum Halt {
    /// Something has to be known first.
    Ask(Question),
    /// It is lost here.
    Denied(Decision),
    /// Where it goes cannot be told.
    Unknown(Decision),
}

/// Where a packet has got to.
#[derive(Debug, Clone)]
pub(super) enum Reached {
    /// A namespace that it is for.
    Inside { ns: usize, packet: Packet },
    /// Whatever is behind this interface.
    Outside { ns: usize, link: u32, next: IpAddr, packet: Packet },
}

/// A connection as a namespace follows it: the packet that began it, and what became of that.
struct Flow {
    ns: usize,
    began: Packet,
    became: Packet,
}

/// A packet under way.
pub(super) struct Walk<'a> {
    pub(super) scene: &'a Scene,
    answers: &'a Answers,
    pub(super) steps: Vec<Step>,
    /// What may lose the packet, or not: that cannot be told.
    pub(super) doubts: Vec<Decision>,
    /// What let the packet pass last.
    pub(super) passed: Option<Decision>,
    flows: Vec<Flow>,
    hops: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(scene: &'a Scene, answers: &'a Answers) -> Self {
        let (steps, doubts, flows) = (vec![], vec![], vec![]);
        Self { scene, answers, steps, doubts, passed: None, flows, hops: 0 }
    }

    /// Returns what a namespace is called.
    pub(super) fn at(&self, ns: usize) -> String {
        let Some(namespace) = self.scene.namespaces.get(ns) else { return String::new() };
        let container = namespace::whose(self.scene, namespace).container.filter(|_| !namespace.home);
        container.map_or_else(|| namespace::place(self.scene, namespace), |name| format!("container {name}"))
    }

    pub(super) fn step(&mut self, ns: usize, what: impl Into<String>) {
        let at = self.at(ns);
        self.steps.push(Step { at, what: what.into() });
    }

    pub(super) fn decision(&self, kind: DecidedBy, ns: usize, sentence: impl Into<String>) -> Decision {
        Decision { kind, at: self.at(ns), sentence: sentence.into(), rule: None, parameter: None }
    }

    pub(super) fn denied(&self, kind: DecidedBy, ns: usize, sentence: impl Into<String>) -> Halt {
        Halt::Denied(self.decision(kind, ns, sentence))
    }

    /// Says that a kernel parameter, below `net/`, loses a packet.
    fn denied_by(&self, kind: DecidedBy, (ns, parameter): (usize, &str), sentence: String) -> Halt {
        let parameter = Some((ns, format!("net/{parameter}")));
        Halt::Denied(Decision { parameter, ..self.decision(kind, ns, sentence) })
    }

    pub(super) fn known(&self, ns: usize) -> Result<&'a Known, Halt> {
        self.answers.insides.get(&ns).ok_or(Halt::Ask(Question::Inside(ns)))
    }

    pub(super) fn inside(&self, ns: usize) -> Result<&'a Inside, Halt> {
        self.known(ns).map(|known| &known.inside)
    }

    pub(super) fn way(&self, ns: usize, traveller: Traveller) -> Result<&'a Way, Halt> {
        self.answers.ways.get(&(ns, traveller)).ok_or(Halt::Ask(Question::Way(ns, traveller)))
    }

    pub(super) fn link(&self, ns: usize, index: u32) -> Result<&'a Interface, Halt> {
        let found =
            self.scene.namespaces.get(ns).and_then(|ns| ns.interfaces.iter().find(|it| it.index == index));
        found.ok_or_else(|| {
            Halt::Unknown(self.decision(DecidedBy::Unseen, ns, "it changed while it was read"))
        })
    }

    /// Returns the addresses of a namespace, with their interfaces.
    pub(super) fn own(&self, ns: usize) -> Vec<(IpAddr, &'a str)> {
        let links = self.scene.namespaces.get(ns).map(|ns| ns.interfaces.as_slice()).unwrap_or_default();
        let of = |link: &'a Interface| link.addresses.iter().map(move |it| (it.addr(), link.name.as_str()));
        links.iter().flat_map(of).collect()
    }

    /// Sends a packet that begins in a namespace.
    pub(super) fn send(&mut self, ns: usize, packet: Packet) -> Result<Reached, Halt> {
        self.known(ns)?;
        let mut packet = self.met(ns, packet.fresh());
        let began = packet;
        let mut way = self.leading(ns, &packet)?;
        let link = self.leaves_by(ns, way)?;
        self.hook((ns, "output"), &mut packet, (None, Some(link)))?;
        if packet.dest != began.dest || packet.mark != began.mark {
            way = self.leading(ns, &packet)?;
        }
        let link = self.leaves_by(ns, way)?;
        self.hook((ns, "postrouting"), &mut packet, (None, Some(link)))?;
        self.note_flow(ns, began, packet);
        match way {
            Way::Leads { link: _, via, source: _ } => {
                self.step(ns, routed(link, *via));
                self.leave((ns, link.index), via.unwrap_or(packet.dest), packet)
            }
            Way::Here { .. } | Way::Refused(..) => {
                packet.settled = true;
                self.receive((ns, link.index), packet)
            }
        }
    }

    /// Returns which way a packet goes that begins in a namespace.
    fn leading(&self, ns: usize, packet: &Packet) -> Result<&'a Way, Halt> {
        let from = Some(packet.source);
        let mark = packet.mark.unwrap_or(0);
        let way = self.way(ns, Traveller { from, to: packet.dest, arrives_by: None, mark })?;
        match way {
            Way::Refused(EINVAL, _) if packet.source.is_loopback() => Err(self.confined(ns, packet)),
            Way::Refused(_, words) => {
                let sentence = format!("there is no route to {} ({words})", packet.dest);
                Err(self.denied(DecidedBy::Route, ns, sentence))
            }
            Way::Here { .. } | Way::Leads { .. } => Ok(way),
        }
    }

    /// Says that nothing leaves from a loopback address but where `route_localnet` is 1: `ip_route_output_key_hash_rcu()` in
    /// Linux `net/ipv4/route.c`.
    fn confined(&self, ns: usize, packet: &Packet) -> Halt {
        let Packet { source, dest, .. } = packet;
        let links = self.scene.namespaces.get(ns).map(|ns| ns.interfaces.as_slice()).unwrap_or_default();
        let leads = |link: &&Interface| link.addresses.iter().any(|own| own.contains(dest));
        let by = links.iter().find(leads).map_or("the way there", |link| &link.name);
        let sentence = format!(
            "what comes from {source} is not let out to {dest}: by {by}, that takes `route_localnet`, which is not on, and \
             which netform switches on for bridges of its own alone; it gets there from another address of the host"
        );
        self.denied(DecidedBy::Route, ns, sentence)
    }

    fn leaves_by(&self, ns: usize, way: &Way) -> Result<&'a Interface, Halt> {
        match way {
            Way::Leads { link, .. } => self.link(ns, *link),
            Way::Here { .. } | Way::Refused(..) => self.link(ns, 1),
        }
    }

    /// Has a namespace receive a packet by an interface.
    pub(super) fn receive(&mut self, (ns, index): (usize, u32), packet: Packet) -> Result<Reached, Halt> {
        self.hops += 1;
        if self.hops > HOPS {
            return Err(self.denied(DecidedBy::Route, ns, "the packet goes round in a circle"));
        }
        self.known(ns)?;
        let link = self.link(ns, index)?;
        let mut packet = if packet.settled { packet } else { self.met(ns, packet.fresh()) };
        let began = packet;
        self.hook((ns, "prerouting"), &mut packet, (Some(link), None))?;
        let (from, mark) = (Some(packet.source), packet.mark.unwrap_or(0));
        let own = Way::Here { source: None };
        // What comes by `lo` has its route already.
        let way = match packet.settled {
            true => &own,
            false => self.way(ns, Traveller { from, to: packet.dest, arrives_by: Some(index), mark })?,
        };
        match way {
            Way::Refused(errno, words) => Err(self.refused((ns, link), &packet, (*errno, words))),
            Way::Here { .. } => {
                self.step(ns, format!("receives it by {}", link.name));
                self.hook((ns, "input"), &mut packet, (Some(link), None))?;
                self.note_flow(ns, began, packet);
                Ok(Reached::Inside { ns, packet })
            }
            Way::Leads { link: out, via, source: _ } => {
                let out = self.link(ns, *out)?;
                if !packet.dest.is_ipv4() && !self.forwards(ns, FORWARDING6) {
                    let sentence =
                        "net.ipv6.conf.all.forwarding is 0: no IPv6 packet is forwarded".to_owned();
                    return Err(self.denied_by(DecidedBy::Forwarding, (ns, FORWARDING6), sentence));
                }
                self.step(ns, format!("comes by {}, {}", link.name, routed(out, *via)));
                self.hook((ns, "forward"), &mut packet, (Some(link), Some(out)))?;
                self.hook((ns, "postrouting"), &mut packet, (None, Some(out)))?;
                self.note_flow(ns, began, packet);
                self.leave((ns, out.index), via.unwrap_or(packet.dest), packet)
            }
        }
    }

    /// Says why the kernel does not take a packet that arrives.
    fn refused(&self, (ns, link): (usize, &Interface), packet: &Packet, (errno, words): (i32, &str)) -> Halt {
        let name = &link.name;
        let Packet { source, dest, .. } = packet;
        if errno == EXDEV || errno == EINVAL {
            return match self.turned_away((ns, link), *source) {
                Err(halt) => halt,
                Ok(Some(sentence)) => {
                    let parameter = format!("ipv4/conf/{name}/rp_filter");
                    self.denied_by(DecidedBy::RpFilter, (ns, &parameter), sentence)
                }
                Ok(None) => {
                    let sentence =
                        format!("the kernel takes no packet from {source} to {dest} by {name} ({words})");
                    self.denied(DecidedBy::Route, ns, sentence)
                }
            };
        }
        let of_link = format!("ipv4/conf/{name}/forwarding");
        if errno == EHOSTUNREACH && dest.is_ipv4() && !self.forwards(ns, &of_link) {
            // Whoever switches all of it off switches it off for each link.
            let (parameter, sentence) = if self.forwards(ns, FORWARDING4) {
                let sentence =
                    format!("net.ipv4.conf.{name}.forwarding is 0: what comes by {name} is not forwarded");
                (of_link.as_str(), sentence)
            } else {
                (FORWARDING4, "net.ipv4.ip_forward is 0: no IPv4 packet is forwarded".to_owned())
            };
            return self.denied_by(DecidedBy::Forwarding, (ns, parameter), sentence);
        }
        self.denied(DecidedBy::Route, ns, format!("there is no route to {dest} ({words})"))
    }

    /// Tells whether a switch of forwarding, below `net/`, is on in a namespace. What could not be read counts as on.
    fn forwards(&self, ns: usize, parameter: &str) -> bool {
        self.answers.of(ns).and_then(|inside| inside.sysctls.get(parameter)).is_none_or(|it| it != "0")
    }

    /// Says that `rp_filter` does not let a source come by a link. Of the values for all links and for this one the higher
    /// counts: 1 wants the way back to be the same, 2 wants that there is one (`ip-sysctl.rst` in Linux).
    fn turned_away(&self, (ns, link): (usize, &Interface), source: IpAddr) -> Result<Option<String>, Halt> {
        let inside = self.inside(ns)?;
        let value =
            |name: &str| inside.sysctls.get(&format!("ipv4/conf/{name}/rp_filter"))?.parse::<u8>().ok();
        let strictness = value("all").max(value(&link.name)).unwrap_or(0);
        let back = self.way(ns, Traveller { from: None, to: source, arrives_by: None, mark: 0 })?;
        let other = match (strictness, back) {
            (1, Way::Leads { link: back, .. }) if *back != link.index => self.link(ns, *back)?.name.clone(),
            (1 | 2, Way::Refused(..)) => "nowhere".to_owned(),
            _ => return Ok(None),
        };
        let name = &link.name;
        Ok(Some(format!(
            "rp_filter of {name} is {strictness}: it drops what comes from {source}, since the way back leads by {other}"
        )))
    }

    /// Returns a packet with what a namespace knows of its connection.
    pub(super) fn met(&self, ns: usize, packet: Packet) -> Packet {
        let Some((place, flow)) = self.flow(ns, &packet) else {
            let state = match (packet.answers, packet.protocol) {
                (false, _) | (true, Protocol::Udp) => State::New,
                (true, Protocol::Tcp | Protocol::Sctp | Protocol::Ping) => State::Invalid,
            };
            return Packet { state, ..packet };
        };
        let Flow { ns: _, began, became } = flow;
        let (led, hidden) =
            (began.dest != became.dest || began.dest_port != became.dest_port, began.source != became.source);
        Packet { state: State::Established, led, hidden, flow: Some(place), ..packet }
    }

    /// Returns the connection that a packet answers, with its place.
    fn flow(&self, ns: usize, packet: &Packet) -> Option<(usize, &Flow)> {
        let is_of = |flow: &Flow| {
            let Packet { source, dest, dest_port, .. } = flow.became;
            flow.ns == ns && (packet.source, packet.dest, packet.source_port) == (dest, source, dest_port)
        };
        self.flows.iter().enumerate().find(|(_, flow)| is_of(flow)).filter(|_| packet.answers)
    }

    /// Returns how the connection began that a packet answers.
    pub(super) fn began(&self, packet: &Packet) -> Option<Packet> {
        self.flows.get(packet.flow?).map(|flow| flow.began)
    }

    pub(super) fn note_flow(&mut self, ns: usize, began: Packet, became: Packet) {
        if !became.answers && !became.settled {
            self.flows.push(Flow { ns, began, became });
        }
    }
}

/// What switches forwarding on and off for a namespace: `ip-sysctl.rst` in Linux.
const FORWARDING4: &str = "ipv4/ip_forward";
const FORWARDING6: &str = "ipv6/conf/all/forwarding";

pub(super) fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}

fn routed(out: &Interface, via: Option<IpAddr>) -> String {
    let via = via.map(|via| format!(" to the gateway {via}")).unwrap_or_default();
    format!("the route leads out by {}{via}", out.name)
}
