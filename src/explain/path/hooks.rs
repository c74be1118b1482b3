//! What the hooks of a namespace do with a packet: verdicts and translations, in the order in which the kernel does them.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::judge::{Decider, Nat, Verdict, judge};
use super::packet::{Packet, State};
use super::rules::Base;
use super::term::View;
use super::walk::{Halt, Walk, is_link_local};
use super::{DecidedBy, Decision, Known, RuleName};
use crate::kernel::census::Interface;
use crate::names::ProjectName;
use crate::resource::owner::Owner;

impl Walk<'_> {
    /// Has the chains of a hook judge a packet, and change it.
    pub(super) fn hook(
        &mut self,
        (ns, hook): (usize, &str),
        packet: &mut Packet,
        (came_by, leaves_by): (Option<&Interface>, Option<&Interface>),
    ) -> Result<(), Halt> {
        let family = if packet.dest.is_ipv4() { "ip" } else { "ip6" };
        let known = self.known(ns)?;
        self.note_unread(ns, known, family);
        let rules = known.rules.as_ref();
        let (own, name) = (self.own(ns), |link: Option<&'_ Interface>| {
            link.map_or("", |link| link.name.as_str()).to_owned()
        });
        let (came, leaves) = (name(came_by), name(leaves_by));
        let flow = self.began(packet);
        let mut turned = false;
        for (place, _, base) in rules.map(|rules| rules.base(hook, &["inet", family])).unwrap_or_default() {
            if !turned && translates_before(base, hook) {
                turned = true;
                turn(packet, hook, flow.as_ref());
            }
            let done = matches!(hook, "prerouting" | "output") && packet.led
                || matches!(hook, "postrouting" | "input") && packet.hidden;
            if base.translates && (packet.answers || packet.settled || done || packet.state == State::Unknown)
            {
                continue;
            }
            let mut view =
                View { packet: *packet, came_by: &came, leaves_by: &leaves, own: &own, is_frame: false };
            let verdict = rules.map_or(Verdict::Pass(None), |rules| judge(rules, place, &mut view));
            (packet.mark, packet.state) = (view.packet.mark, view.packet.state);
            self.settle((ns, hook), verdict, (packet, came_by, leaves_by))?;
        }
        if !turned {
            turn(packet, hook, flow.as_ref());
        }
        Ok(())
    }

    /// Says that rules could not be read.
    fn note_unread(&mut self, ns: usize, known: &Known, family: &str) {
        let legacy: Vec<&str> = known
            .inside
            .legacy
            .iter()
            .filter_map(|table| table.strip_prefix(family)?.strip_prefix(' '))
            .collect();
        let sentence = if let Some(why) = &known.inside.unread {
            format!("the firewall cannot be read ({why})")
        } else if !legacy.is_empty() {
            format!("tables of the older {family}tables cannot be read ({})", legacy.join(", "))
        } else if known.rules.as_ref().is_some_and(|rules| rules.has("netdev")) {
            "there are rules of the family netdev, which are not followed".to_owned()
        } else {
            return;
        };
        let doubt = self.decision(DecidedBy::Rule, ns, sentence);
        if !self.doubts.contains(&doubt) {
            self.doubts.push(doubt);
        }
    }

    /// Does what a chain says.
    pub(super) fn settle(
        &mut self,
        (ns, hook): (usize, &str),
        verdict: Verdict,
        (packet, came_by, leaves_by): (&mut Packet, Option<&Interface>, Option<&Interface>),
    ) -> Result<(), Halt> {
        match verdict {
            Verdict::Pass(None) => Ok(()),
            Verdict::Pass(Some(decider)) => {
                let decision = self.by(ns, &decider, "lets it pass");
                // What accepts in passing decides nothing: others' chains accept everything before they look.
                if matches!(hook, "forward" | "input") {
                    self.step(ns, decision.sentence.clone());
                    self.passed = Some(decision);
                }
                Ok(())
            }
            Verdict::Drop(decider) => Err(Halt::Denied(self.by(ns, &decider, "drops it"))),
            Verdict::Doubt(decider) => {
                let doubt =
                    self.by(ns, &decider, "may drop it or let it pass, which cannot be told from here");
                self.doubts.push(doubt);
                Ok(())
            }
            Verdict::Lost(decider) => {
                Err(Halt::Unknown(self.by(ns, &decider, "does what cannot be followed from here")))
            }
            Verdict::Translate(nat, decider) => {
                let done = self.translate((ns, nat), packet, (came_by, leaves_by))?;
                let step = self.by(ns, &decider, &done);
                self.step(ns, step.sentence);
                Ok(())
            }
        }
    }

    /// Changes the addresses of a packet; says how.
    fn translate(
        &self,
        (ns, nat): (usize, Nat),
        packet: &mut Packet,
        (came_by, leaves_by): (Option<&Interface>, Option<&Interface>),
    ) -> Result<String, Halt> {
        let v4 = packet.dest.is_ipv4();
        let first = |link: Option<&Interface>| {
            let of_family = |it: &&ipnet::IpNet| it.addr().is_ipv4() == v4 && !is_link_local(it.addr());
            link?.addresses.iter().find(of_family).map(ipnet::IpNet::addr)
        };
        let hidden = match nat {
            Nat::Lead(addr, port) => {
                (packet.dest, packet.led) = (addr.unwrap_or(packet.dest), true);
                packet.dest_port = port.or(packet.dest_port);
                None
            }
            Nat::Redirect(port) => {
                let loopback = if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
                let addr = if came_by.is_some() { first(came_by) } else { Some(loopback) };
                (packet.dest, packet.led) = (addr.unwrap_or(packet.dest), true);
                packet.dest_port = port.or(packet.dest_port);
                None
            }
            Nat::Hide(addr) => Some(addr),
            // 127.0.0.1 is no address to be hidden behind: `inet_select_addr()` passes over those of the host's scope.
            Nat::Masquerade if leaves_by.is_some_and(|link| link.name == "lo") => Some(packet.source),
            Nat::Masquerade => Some(first(leaves_by).ok_or_else(|| {
                let link = leaves_by.map_or("", |link| link.name.as_str());
                self.denied(
                    DecidedBy::Masquerade,
                    ns,
                    format!("{link} has no address to hide a source behind"),
                )
            })?),
        };
        let Some(addr) = hidden else {
            let port = packet.dest_port.map(|port| format!(", port {port}")).unwrap_or_default();
            return Ok(format!("leads it to {}{port}", packet.dest));
        };
        (packet.source, packet.hidden) = (addr, true);
        Ok(format!("hides its source behind {addr}"))
    }

    /// Returns the decision of a rule or a policy.
    pub(super) fn by(&self, ns: usize, decider: &Decider, does: &str) -> Decision {
        let (family, table, chain) = decider.place.clone();
        let at = format!("chain {chain} of table {family} {table}");
        let (kind, sentence, handle, text) = match &decider.rule {
            None => (DecidedBy::Policy, format!("the policy of {at} {does}"), None, "policy drop".to_owned()),
            Some((handle, comment, text)) => {
                let key = comment.as_deref().and_then(|comment| comment.strip_prefix("netform:"));
                let why = key.filter(|_| does == "drops it").and_then(|key| meaning(&chain, key));
                let why = self.policy(decider).or(why.map(str::to_owned));
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                (DecidedBy::Rule, format!("rule {handle} of {at} {does}{why}"), Some(*handle), text.clone())
            }
        };
        let policy = decider.element.as_deref().and_then(policy_of).map(Box::new);
        let rule = Some(RuleName { family, table, chain, handle, text, policy, ns });
        Decision { kind, at: self.at(ns), sentence, rule, parameter: None }
    }
}

impl Walk<'_> {
    /// Returns the policy for which a rule has found an element, with its place in the manifest.
    fn policy(&self, decider: &Decider) -> Option<String> {
        let owner = policy_of(decider.element.as_deref()?)?;
        let project = ProjectName::try_from(decider.place.1.strip_prefix("netform-")?).ok()?;
        let origin = self.scene.origins.get(&project).and_then(|origins| origins.get(&owner));
        let at = origin.map(|origin| format!(" ({origin})")).unwrap_or_default();
        Some(format!("{owner}{at} says so"))
    }
}

/// Returns the policy that an element is of, by its comment.
fn policy_of(comment: &str) -> Option<Owner> {
    Owner::try_from(comment).ok().filter(|owner| matches!(owner, Owner::Policy(_)))
}

/// Tells whether the kernel's own translation stands before a chain.
fn translates_before(base: &Base, hook: &str) -> bool {
    let at = if matches!(hook, "prerouting" | "output") { -100 } else { 100 };
    base.translates || base.priority >= at
}

/// Takes back, in an answer, what was translated in the packet that it answers.
fn turn(packet: &mut Packet, hook: &str, began: Option<&Packet>) {
    let Some(began) = began.filter(|_| packet.answers && packet.state == State::Established) else { return };
    match hook {
        "prerouting" | "output" if packet.hidden => packet.dest = began.source,
        "postrouting" | "input" if packet.led => {
            (packet.source, packet.source_port) = (began.dest, began.dest_port)
        }
        _ => {}
    }
}

/// Returns what a rule of netform's is for that drops packets, by its chain and key.
fn meaning(chain: &str, key: &str) -> Option<&'static str> {
    Some(match (chain, key) {
        ("enter", "other-network") => "networks reach each other by published ports only",
        ("enter" | "answered", "unpublished") => "only published ports lead into a network",
        ("forward", "internal-out" | "internal-in") => {
            "an internal network is closed, and with `icc: false` its containers are apart"
        }
        ("forward", "invalid4" | "invalid6") => "its source would not be hidden",
        ("input", "other-address") => "an internal network reaches the host by its own gateway only",
        ("before", "loopback") => "containers do not reach what listens on 127.0.0.1 of the host",
        ("guard" | "before" | "guard-answers" | "guard-answers-any", _) => {
            "`allow_from` does not name the source"
        }
        ("sources", _) => "where policies are, a container sends with its own addresses only",
        ("policies", "policy-spoofed4" | "policy-spoofed6") => "nobody outside has an address of a network",
        ("neighbours", _) => "the network says `icc: false`",
        _ => return None,
    })
}
