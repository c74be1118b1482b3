//! Follows a packet from link to link: through pairs and bridges, to whoever has the next hop's address.

use std::net::IpAddr;

use super::judge::judge;
use super::lane::{Hears, Lane};
use super::packet::{Packet, State};
use super::term::View;
use super::walk::{Halt, Reached, Walk};
use super::{DecidedBy, Decision};
use crate::explain::interface;
use crate::kernel::census::{Interface, Peer};
use crate::kernel::ovsdb::SWITCH;

/// Through how many bridges somebody is looked for.
const DEPTH: usize = 8;

/// What is behind a link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// Whoever has the address.
    Holder,
    /// Somebody, but not whoever has the address.
    Others,
    /// Another host, or a program: that cannot be seen.
    Outside,
    /// A namespace that cannot be looked into.
    Unseen,
}

impl<'a> Walk<'a> {
    /// Has a packet leave by a link, for whoever has the address of the next hop there.
    pub(super) fn leave(
        &mut self,
        (ns, index): (usize, u32),
        next: IpAddr,
        packet: Packet,
    ) -> Result<Reached, Halt> {
        let link = self.link(ns, index)?;
        self.is_up(ns, link)?;
        match (link.kind.as_str(), link.peer) {
            ("bridge" | SWITCH, _) => self.across((ns, link), None, next, packet),
            ("veth" | "netkit", Peer::At { namespace, index }) => {
                self.enter((namespace, index), next, packet)
            }
            ("veth" | "netkit", Peer::Unseen) => Err(self.unseen(ns, link)),
            ("macvlan" | "ipvlan", Peer::At { namespace, index }) => {
                self.beside((ns, link), (namespace, index), next, packet)
            }
            _ => Ok(Reached::Outside { ns, link: index, next, packet }),
        }
    }

    fn is_up(&self, ns: usize, link: &Interface) -> Result<(), Halt> {
        if link.up {
            Ok(())
        } else {
            Err(self.denied(DecidedBy::Interface, ns, format!("{} is down", link.name)))
        }
    }

    fn unseen(&self, ns: usize, link: &Interface) -> Halt {
        let sentence = format!("what is behind {} is in a namespace that may not be looked into", link.name);
        Halt::Unknown(self.decision(DecidedBy::Unseen, ns, sentence))
    }

    /// Has a frame come in by a link.
    fn enter(&mut self, (ns, index): (usize, u32), next: IpAddr, packet: Packet) -> Result<Reached, Halt> {
        let link = self.link(ns, index)?;
        self.is_up(ns, link)?;
        if let Some(master) = link.master {
            let master = self.link(ns, master)?;
            if is_bridge(master) {
                return self.across((ns, master), Some(link), next, packet);
            }
        }
        if self.stands_in((ns, link), next)? {
            self.step(ns, format!("{} answers for {next}, which is behind it", link.name));
            return self.receive((ns, index), packet);
        }
        if self.answers_for((ns, link), next)? {
            return self.receive((ns, index), packet);
        }
        if let Some((place, on_it)) = self.standing_on((ns, index), next) {
            self.step(
                ns,
                format!("{} hands it to the {} interface that has the address", link.name, on_it.kind),
            );
            return self.enter((place, on_it.index), next, packet);
        }
        Err(self.denied(
            DecidedBy::Neighbour,
            ns,
            format!("nobody behind {} has the address {next}", link.name),
        ))
    }

    /// Returns the macvlan or ipvlan interface on a link that has an address. What the host routes to its own is not asked
    /// for there.
    fn standing_on(&self, (ns, index): (usize, u32), address: IpAddr) -> Option<(usize, &'a Interface)> {
        let stands = Peer::At { namespace: ns, index };
        let spaces = self.scene.namespaces.iter().enumerate();
        let mut all = spaces.flat_map(|(place, ns)| ns.interfaces.iter().map(move |link| (place, link)));
        all.find(|(_, link)| {
            let hears = interface::is_stacked(link) && !link.routed && link.peer == stands;
            hears && link.addresses.iter().any(|own| own.addr() == address)
        })
    }

    /// Tells whether a namespace answers who asks by a link for an address: it does for all its own, and for others' where
    /// it stands in for them.
    fn answers_for(&self, (ns, link): (usize, &Interface), next: IpAddr) -> Result<bool, Halt> {
        let inside = self.inside(ns)?;
        let on = |name: &str| {
            let value = |of: &str| inside.sysctls.get(&format!("{name}/{of}")).is_some_and(|it| it != "0");
            (value("arp_ignore"), value("proxy_arp"))
        };
        let ((ignore_all, proxy_all), (ignore, proxy)) =
            (on("ipv4/conf/all"), on(&format!("ipv4/conf/{}", link.name)));
        let here = link.addresses.iter().any(|own| own.addr() == next);
        let anywhere = self.own(ns).iter().any(|(own, _)| *own == next);
        // A neighbour of IPv6 is told of the addresses of the very link alone.
        let own = here || (anywhere && next.is_ipv4() && !ignore && !ignore_all);
        if !own && (proxy || proxy_all) {
            let sentence =
                format!("{} stands in for others' addresses (proxy_arp), which is not followed", link.name);
            return Err(Halt::Unknown(self.decision(DecidedBy::Neighbour, ns, sentence)));
        }
        Ok(own)
    }

    /// Tells whether a link answers for an address that is behind its namespace, since an entry of its own says so: of
    /// IPv6 where it is told to as well (`ndisc_recv_ns()` in Linux `net/ipv6/ndisc.c`, `arp_process()` in `net/ipv4/arp.c`).
    fn stands_in(&self, (ns, link): (usize, &Interface), next: IpAddr) -> Result<bool, Halt> {
        let inside = self.inside(ns)?;
        if !inside.proxied.contains(&(next, link.index)) {
            return Ok(false);
        }
        let family = if next.is_ipv4() { "ipv4" } else { "ipv6" };
        let is_on = |of: &str, name: &str| {
            inside.sysctls.get(&format!("{family}/conf/{of}/{name}")).is_none_or(|it| it != "0")
        };
        let lacks = match (is_on(&link.name, "forwarding"), next) {
            (false, _) => "forwarding",
            (true, IpAddr::V6(_)) if !is_on(&link.name, "proxy_ndp") && !is_on("all", "proxy_ndp") => {
                "proxy_ndp"
            }
            (true, _) => return Ok(true),
        };
        let sentence = format!(
            "{} has an entry that has it answer for {next}, and does not: net.{family}.conf.{}.{lacks} is 0",
            link.name, link.name
        );
        Err(self.denied(DecidedBy::Neighbour, ns, sentence))
    }

    /// Has a bridge take a frame from one of its ports, or from its own namespace, to whoever has the address.
    fn across(
        &mut self,
        (ns, bridge): (usize, &Interface),
        from: Option<&Interface>,
        next: IpAddr,
        packet: Packet,
    ) -> Result<Reached, Halt> {
        self.is_up(ns, bridge)?;
        let lane = Lane::of(bridge, from);
        if lane == Lane::Nowhere {
            return Err(self.takes_nothing(ns, bridge, from));
        }
        if from.is_some() && lane.reaches(bridge) && self.answers_for((ns, bridge), next)? {
            self.frame((ns, "input"), (from, Some(bridge)), packet)?;
            return self.receive((ns, bridge.index), packet);
        }
        let on_it =
            self.standing_on((ns, bridge.index), next).filter(|_| from.is_some() && lane.reaches(bridge));
        if let Some((place, on_it)) = on_it {
            self.step(ns, format!("bridge {} hands it to the {} interface on it", bridge.name, on_it.kind));
            return self.enter((place, on_it.index), next, packet);
        }
        let behind = self.hearers((ns, bridge), (from, lane), next);
        let find = |what: Behind| behind.iter().find(|(_, behind)| *behind == what).map(|(port, _)| *port);
        if let Some(port) = find(Behind::Holder) {
            self.is_up(ns, port)?;
            let mut packet = packet;
            if let Some(from) = from {
                self.is_up(ns, from)?;
                self.passes_on(ns, bridge, (from, port))?;
                self.step(ns, format!("bridge {} takes it from {} to {}", bridge.name, from.name, port.name));
                packet = self.bridged((ns, bridge), packet)?;
            }
            let hook = if from.is_some() { "forward" } else { "output" };
            self.frame((ns, hook), (from, Some(port)), packet)?;
            let Peer::At { namespace, index } = port.peer else { return Err(self.unseen(ns, port)) };
            return self.enter((namespace, index), next, packet);
        }
        if let Some(port) = find(Behind::Outside) {
            self.is_up(ns, port)?;
            self.step(ns, format!("bridge {} hands it to {}", bridge.name, port.name));
            if let Some(from) = from {
                self.passes_on(ns, bridge, (from, port))?;
                self.bridged((ns, bridge), packet)?;
            }
            self.frame((ns, if from.is_some() { "forward" } else { "output" }), (from, Some(port)), packet)?;
            return Ok(Reached::Outside { ns, link: port.index, next, packet });
        }
        if let Some(port) = find(Behind::Unseen) {
            return Err(self.unseen(ns, port));
        }
        let within = lane.words();
        let sentence = format!("nobody behind bridge {}{within} has the address {next}", bridge.name);
        Err(self.denied(DecidedBy::Bridge, ns, sentence))
    }

    /// Returns the ports by which a bridge passes on what is on a lane, each with what is behind it.
    fn hearers(
        &self,
        (ns, bridge): (usize, &Interface),
        (from, lane): (Option<&Interface>, Lane),
        next: IpAddr,
    ) -> Vec<(&'a Interface, Behind)> {
        let all = self.scene.namespaces.get(ns).map(|ns| ns.interfaces.as_slice()).unwrap_or_default();
        let other = |port: &&Interface| from.is_none_or(|from| from.index != port.index);
        let is_port = |port: &&Interface| port.master == Some(bridge.index);
        let heard = |port: &'a Interface| match (lane.hears(port), self.behind(ns, port, next, DEPTH)) {
            (Hears::No, _) => None,
            // Who has the address has it where frames have no tags.
            (Hears::Tagged, Behind::Holder) => Some((port, Behind::Others)),
            (Hears::Yes | Hears::Tagged, behind) => Some((port, behind)),
        };
        all.iter().filter(is_port).filter(other).filter_map(heard).collect()
    }

    /// Says that a bridge takes nothing without a tag.
    fn takes_nothing(&self, ns: usize, bridge: &Interface, from: Option<&Interface>) -> Halt {
        let by = from.map_or_else(|| "itself".to_owned(), |from| from.name.clone());
        let sentence = format!("bridge {} takes nothing from {by} that has no tag of a VLAN", bridge.name);
        self.denied(DecidedBy::Bridge, ns, sentence)
    }

    /// Tells whether a bridge passes on what comes by one port to another: `should_deliver()` in Linux
    /// `net/bridge/br_forward.c`.
    fn passes_on(
        &self,
        ns: usize,
        bridge: &Interface,
        (from, to): (&Interface, &Interface),
    ) -> Result<(), Halt> {
        if !(from.isolated && to.isolated) {
            return Ok(());
        }
        let sentence = format!(
            "bridge {} keeps its ports {} and {} apart: both are isolated",
            bridge.name, from.name, to.name
        );
        Err(self.denied(DecidedBy::Bridge, ns, sentence))
    }

    /// Returns what is behind a port of a bridge.
    fn behind(&self, ns: usize, port: &Interface, next: IpAddr, depth: usize) -> Behind {
        let Peer::At { namespace, index } = port.peer else {
            return match (port.kind.as_str(), port.peer) {
                ("veth" | "netkit", Peer::Unseen) => Behind::Unseen,
                ("dummy", _) => Behind::Others,
                (_, Peer::None | Peer::Unseen | Peer::At { .. }) => Behind::Outside,
            };
        };
        if !matches!(port.kind.as_str(), "veth" | "netkit") {
            return Behind::Outside;
        }
        let (Ok(link), Some(there)) = (self.link(namespace, index), self.scene.namespaces.get(namespace))
        else {
            return Behind::Unseen;
        };
        if !there.read {
            return Behind::Unseen;
        }
        let is = |master: &&Interface| Some(master.index) == link.master && is_bridge(master);
        let Some(bridge) = there.interfaces.iter().find(is) else {
            let own = |link: &Interface| link.addresses.iter().any(|own| own.addr() == next);
            // Only the host is asked: whoever is there may have many neighbours.
            let stands_in =
                there.home && matches!(self.stands_in((namespace, link), next), Ok(true) | Err(_));
            let has = own(link) || stands_in || (next.is_ipv4() && there.interfaces.iter().any(own));
            // It may be the same namespace, on another leg.
            let has = has && (namespace != ns || own(link));
            let is_behind = has || self.standing_on((namespace, index), next).is_some();
            return if is_behind { Behind::Holder } else { Behind::Others };
        };
        let on_it = self.standing_on((namespace, bridge.index), next);
        if on_it.is_some() || bridge.addresses.iter().any(|own| own.addr() == next) {
            return Behind::Holder;
        }
        if depth == 0 {
            return Behind::Outside;
        }
        let ports = there.interfaces.iter().filter(|it| it.master == Some(bridge.index) && it.index != index);
        let all: Vec<_> = ports.map(|port| self.behind(namespace, port, next, depth - 1)).collect();
        let first = [Behind::Holder, Behind::Outside, Behind::Unseen].into_iter().find(|it| all.contains(it));
        first.unwrap_or(Behind::Others)
    }

    /// Follows a packet of a macvlan or ipvlan interface: to another one on the same parent, or out by that.
    fn beside(
        &mut self,
        (ns, own): (usize, &Interface),
        (home, parent): (usize, u32),
        next: IpAddr,
        packet: Packet,
    ) -> Result<Reached, Halt> {
        let up = self.link(home, parent)?;
        self.is_up(home, up)?;
        let stands = Peer::At { namespace: home, index: parent };
        let spaces = self.scene.namespaces.iter().enumerate();
        let all = spaces.flat_map(|(place, ns)| ns.interfaces.iter().map(move |link| (place, link)));
        let beside = |(place, link): &(usize, &Interface)| {
            link.kind == own.kind && link.peer == stands && (*place, link.index) != (ns, own.index)
        };
        let holder =
            all.clone().filter(beside).find(|(_, link)| link.addresses.iter().any(|it| it.addr() == next));
        if let Some((place, link)) = holder {
            self.step(home, format!("{} passes it from one {} interface to another", up.name, own.kind));
            // In other modes than `bridge` they do not hear each other, or by way of a switch only.
            self.doubts.extend(self.isolated((ns, own), (place, link)));
            return self.enter((place, link.index), next, packet);
        }
        if self.own(home).iter().any(|(address, _)| *address == next) {
            let sentence =
                format!("{next} is the host's, which does not hear {} interfaces on {}", own.kind, up.name);
            return Err(self.denied(DecidedBy::Interface, home, sentence));
        }
        if own.routed {
            let sentence = format!("the host routes what {} sends, which is not followed", own.name);
            return Err(Halt::Unknown(self.decision(DecidedBy::Unseen, ns, sentence)));
        }
        self.leave((home, parent), next, packet)
    }

    /// Says that two macvlan or ipvlan interfaces may not hear each other; which mode they have is not known here.
    fn isolated(&self, (ns, own): (usize, &Interface), (_, other): (usize, &Interface)) -> Option<Decision> {
        let both_bridge = own.joins && other.joins;
        let sentence =
            format!("the {} interface {} is of a mode that keeps it apart from others", own.kind, own.name);
        (!both_bridge).then(|| self.decision(DecidedBy::Interface, ns, sentence))
    }

    /// Has the hooks of the IP layer judge what a bridge passes on between its ports, where `br_netfilter` says so: it comes
    /// from the bridge, and leaves by it.
    fn bridged(&mut self, (ns, bridge): (usize, &Interface), packet: Packet) -> Result<Packet, Halt> {
        // What Open vSwitch forwards is judged by nobody else.
        let inside = if bridge.kind == SWITCH { return Ok(packet) } else { self.inside(ns)? };
        let name = if packet.dest.is_ipv4() { "iptables" } else { "ip6tables" };
        let sysctl = inside.sysctls.get(&format!("bridge/bridge-nf-call-{name}"));
        if sysctl.is_none_or(|value| value == "0") {
            return Ok(packet);
        }
        self.step(ns, format!("bridge-nf-call-{name} is on: the firewall judges it, too"));
        let mut seen = self.met(ns, packet.fresh());
        let began = seen;
        self.hook((ns, "prerouting"), &mut seen, (Some(bridge), None))?;
        self.hook((ns, "forward"), &mut seen, (Some(bridge), Some(bridge)))?;
        self.hook((ns, "postrouting"), &mut seen, (None, Some(bridge)))?;
        self.note_flow(ns, began, seen);
        Ok(seen)
    }

    /// Tells whether a link is a bridge of Open vSwitch or one of its ports.
    fn is_switched(&self, ns: usize, link: &Interface) -> bool {
        let master = link.master.and_then(|master| self.link(ns, master).ok());
        [Some(link), master].into_iter().flatten().any(|link| link.kind == SWITCH)
    }

    /// Has the chains of bridges judge a frame.
    fn frame(
        &mut self,
        (ns, hook): (usize, &str),
        (from, to): (Option<&Interface>, Option<&Interface>),
        packet: Packet,
    ) -> Result<(), Halt> {
        let known = self.known(ns)?;
        let switched = [from, to].into_iter().flatten().any(|link| self.is_switched(ns, link));
        let Some(rules) = known.rules.as_ref().filter(|_| !switched) else { return Ok(()) };
        let own = self.own(ns);
        let [came_by, leaves_by] = [from, to].map(|link| link.map_or("", |link| link.name.as_str()));
        let mut packet = Packet { state: State::Unknown, ..packet };
        for (place, _, _) in rules.base(hook, &["bridge"]) {
            let mut view = View { packet, came_by, leaves_by, own: &own, is_frame: true };
            let verdict = judge(rules, place, &mut view);
            packet.mark = view.packet.mark;
            self.settle((ns, hook), verdict, (&mut packet, from, to))?;
        }
        Ok(())
    }
}

fn is_bridge(link: &Interface) -> bool {
    matches!(link.kind.as_str(), "bridge" | SWITCH)
}
