//! What the rules of a namespace do with a packet at a hook: the verdict, and the rule that gave it.
//!
//! A rule that may match, or may not, as far as can be told from here, decides nothing; but what it would do counts: where
//! that differs from what is decided without it, nothing is certain.

use std::net::IpAddr;

use serde_json::Value;

use super::packet::State;
use super::rules::{Place, Rule, Rules, field};
use super::term::{View, all_of, beside, holds, looked_up};

/// How deep chains may lead into each other: `NFT_JUMP_STACK_SIZE` in `include/net/netfilter/nf_tables.h`.
const DEPTH: usize = 16;

/// What gave a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decider {
    /// The chain.
    pub(super) place: Place,
    /// The rule: its handle, comment and text; `None` is the chain's policy.
    pub(super) rule: Option<(u64, Option<String>, String)>,
    /// For whom the element is there that the rule has found; told of policies alone.
    pub(super) element: Option<String>,
}

/// Where a translation leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nat {
    /// To another destination.
    Lead(Option<IpAddr>, Option<u16>),
    /// To the host itself, by the interface that the packet came by.
    Redirect(Option<u16>),
    /// Hidden behind this address.
    Hide(IpAddr),
    /// Hidden behind the address of the interface that the packet leaves by.
    Masquerade,
}

/// What is done with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    Accept,
    Drop,
    Translate(Nat),
    /// Something that cannot be followed from here.
    Else,
}

/// What a base chain does with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on; by a rule, when one says so.
    Pass(Option<Decider>),
    /// It is dropped.
    Drop(Decider),
    /// Its addresses are changed.
    Translate(Nat, Decider),
    /// Whether it goes on depends on this rule, whose condition cannot be told.
    Doubt(Decider),
    /// Where it goes on depends on this rule, whose condition or action cannot be told.
    Lost(Decider),
}

/// How a chain ends.
enum End {
    Decided(Act, Decider),
    /// Whoever led here goes on.
    Back,
}

/// Judges a packet by a chain that packets come to at a hook; a rule may change the packet's mark.
pub(super) fn judge(rules: &Rules, place: &Place, view: &mut View<'_>) -> Verdict {
    let mut judge = Judge { rules, possible: vec![], depth: 0 };
    let drops = rules.chain(place).and_then(|chain| chain.base.as_ref()).is_some_and(|base| base.drops);
    let (act, decider) = match judge.chain(place, view) {
        End::Decided(act, decider) => (act, Some(decider)),
        End::Back if drops => (Act::Drop, Some(Decider { place: place.clone(), rule: None, element: None })),
        End::Back => (Act::Accept, None),
    };
    let leads = |act: &Act| matches!(act, Act::Translate(_) | Act::Else);
    let mut others = judge.possible.into_iter().filter(|(other, _)| *other != act);
    if let Some((other, doubtful)) = others.next() {
        let lost = leads(&other) || leads(&act) || others.any(|(other, _)| leads(&other));
        return if lost { Verdict::Lost(doubtful) } else { Verdict::Doubt(doubtful) };
    }
    match (act, decider) {
        (Act::Accept, decider) => Verdict::Pass(decider),
        (Act::Drop, Some(decider)) => Verdict::Drop(decider),
        (Act::Translate(nat), Some(decider)) => Verdict::Translate(nat, decider),
        (Act::Else, Some(decider)) => Verdict::Lost(decider),
        (Act::Drop | Act::Translate(_) | Act::Else, None) => Verdict::Pass(None),
    }
}

struct Judge<'r> {
    rules: &'r Rules,
    /// What rules would do that may match.
    possible: Vec<(Act, Decider)>,
    depth: usize,
}

impl Judge<'_> {
    fn chain(&mut self, place: &Place, view: &mut View<'_>) -> End {
        let rules = self.rules;
        self.depth += 1;
        let mut end = End::Back;
        for rule in rules.chain(place).map(|chain| chain.rules.as_slice()).unwrap_or_default() {
            if self.depth > DEPTH {
                break;
            }
            if let Some(ended) = self.rule(place, rule, view) {
                end = ended;
                break;
            }
        }
        self.depth -= 1;
        end
    }

    /// Returns how a rule ends its chain; `None` when the next one is asked.
    fn rule(&mut self, place: &Place, rule: &Rule, view: &mut View<'_>) -> Option<End> {
        let decider = self.decider((place, rule), view);
        let mut matches = Some(true);
        for part in &rule.parts {
            let (name, what) = part.as_object().and_then(|part| part.iter().next())?;
            match name.as_str() {
                "match" => {
                    let holds = holds(what, view, (self.rules, place));
                    matches = all_of([matches, holds].into_iter());
                    if matches == Some(false) {
                        return None;
                    }
                }
                "counter" | "log" | "ct helper" | "ct timeout" | "ct expectation" | "flow" | "set"
                | "map" | "last" | "secmark" => {}
                "mangle" => self.mangle(what, matches, view, &decider),
                "notrack" => view.packet.state = State::Unknown,
                "limit" | "quota" | "ct count" | "meter" | "xt" => {
                    let is_target = name == "xt" && rule.parts.last() == Some(part);
                    if is_target {
                        return self.done(xt(&decider), matches, decider);
                    }
                    matches = matches.and(None);
                }
                "vmap" => {
                    let found =
                        looked_up((field(what, "key"), field(what, "data")), view, (self.rules, place));
                    match found {
                        Ok(None) => return None,
                        Ok(Some(verdict)) => {
                            return self.verdict(&verdict, (matches, decider), (place, view));
                        }
                        Err(()) => return self.done(Some(Act::Else), None, decider),
                    }
                }
                "dnat" | "snat" | "masquerade" | "redirect" => {
                    let act = match translation((name, what), view, (self.rules, place)) {
                        Ok(None) => return None,
                        Ok(Some(nat)) => Act::Translate(nat),
                        Err(()) => Act::Else,
                    };
                    return self.done(Some(act), matches, decider);
                }
                _ => return self.verdict(part, (matches, decider), (place, view)),
            }
        }
        None
    }

    /// Follows a verdict: `{"accept": null}`, `{"jump": {"target": CHAIN}}`.
    fn verdict(
        &mut self,
        verdict: &Value,
        (matches, decider): (Option<bool>, Decider),
        (place, view): (&Place, &mut View<'_>),
    ) -> Option<End> {
        let (name, what) = verdict.as_object().and_then(|verdict| verdict.iter().next())?;
        let act = match name.as_str() {
            "accept" => Act::Accept,
            "drop" | "reject" => Act::Drop,
            "continue" => return None,
            "return" if matches == Some(true) => return Some(End::Back),
            "jump" | "goto" => {
                let target = field(what, "target").as_str().unwrap_or_default().to_owned();
                let target = (place.0.clone(), place.1.clone(), target);
                let (mark, end) = (view.packet.mark, self.chain(&target, view));
                view.packet.mark = view.packet.mark.filter(|it| matches == Some(true) || Some(*it) == mark);
                return match (matches, end, name.as_str()) {
                    (Some(true), End::Back, "jump") => None,
                    (Some(true), end, _) => Some(end),
                    (_, End::Decided(act, by), _) => {
                        self.possible.push((act, by));
                        None
                    }
                    // Where nobody knows whether the rest of the chain is passed over, all of it is in doubt.
                    (_, End::Back, "goto") => self.done(Some(Act::Else), None, decider),
                    (_, End::Back, _) => None,
                };
            }
            _ => Act::Else,
        };
        self.done(Some(act), matches, decider)
    }

    /// Ends the chain with an act, when the rule matches; notes it, when it may.
    fn done(&mut self, act: Option<Act>, matches: Option<bool>, decider: Decider) -> Option<End> {
        let act = act?;
        if matches == Some(true) {
            return Some(End::Decided(act, decider));
        }
        self.possible.push((act, decider));
        None
    }

    /// Follows a change of the packet: of its mark, or of what nobody asks about here.
    fn mangle(&mut self, what: &Value, matches: Option<bool>, view: &mut View<'_>, decider: &Decider) {
        let (key, value) = (field(what, "key"), field(what, "value"));
        if field(field(key, "meta"), "key") == "mark" {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            let added = field(value, "|").as_array().and_then(|parts| {
                let number = parts.iter().find_map(Value::as_u64)?;
                Some(view.packet.mark? | u32::try_from(number).ok()?)
            });
            view.packet.mark = number.or(added).filter(|_| matches == Some(true));
        } else if let Some(name) = field(field(key, "payload"), "field").as_str()
            && matches!(name, "saddr" | "daddr" | "sport" | "dport")
        {
            self.possible.push((Act::Else, decider.clone()));
        }
    }

    fn decider(&self, (place, rule): (&Place, &Rule), view: &View<'_>) -> Decider {
        let text = self.rules.text(place, rule.handle).unwrap_or_default().to_owned();
        let judges = rule.comment.as_ref().is_some_and(|comment| comment.starts_with("netform:policy-"));
        let mut found = rule.parts.iter().map(|part| beside(field(part, "match"), view, (self.rules, place)));
        let element = if judges { found.find_map(|element| element) } else { None };
        Decider { place: place.clone(), rule: Some((rule.handle, rule.comment.clone(), text)), element }
    }
}

/// Returns what a target of iptables does that `nft` shows by its name alone; `None` when it decides nothing.
fn xt(decider: &Decider) -> Option<Act> {
    let text = decider.rule.as_ref().map(|(_, _, text)| text.as_str()).unwrap_or_default();
    let ends = |names: &[&str]| names.iter().any(|name| text.ends_with(name));
    if ends(&["masquerade", "xt target \"MASQUERADE\""]) {
        Some(Act::Translate(Nat::Masquerade))
    } else if ends(&["xt target \"REJECT\""]) {
        Some(Act::Drop)
    } else if ends(&[
        "xt target \"LOG\"",
        "xt target \"NFLOG\"",
        "xt target \"TCPMSS\"",
        "xt target \"CHECKSUM\"",
    ]) {
        None
    } else {
        Some(Act::Else)
    }
}

/// Returns where a translation leads; `Ok(None)` when its map has nothing for the packet, `Err` when that cannot be told.
fn translation(
    (kind, what): (&str, &Value),
    view: &View<'_>,
    at: (&Rules, &Place),
) -> Result<Option<Nat>, ()> {
    let value = |of: &Value| -> Result<Option<Value>, ()> {
        match of.get("map") {
            Some(map) => looked_up((field(map, "key"), field(map, "data")), view, at),
            None => Ok(Some(of.clone())),
        }
    };
    let (Some(addr), Some(port)) = (value(field(what, "addr"))?, value(field(what, "port"))?) else {
        return Ok(None);
    };
    let addr = if addr.is_null() {
        None
    } else {
        Some(addr.as_str().and_then(|addr| addr.parse::<IpAddr>().ok()).ok_or(())?)
    };
    // Rules of one family are in tables of both.
    if addr.is_some_and(|addr| addr.is_ipv4() != view.packet.dest.is_ipv4()) {
        return Ok(None);
    }
    let port = if port.is_null() {
        None
    } else {
        Some(port.as_u64().and_then(|port| u16::try_from(port).ok()).ok_or(())?)
    };
    Ok(Some(match (kind, addr) {
        ("dnat", addr) => Nat::Lead(addr, port),
        ("redirect", _) => Nat::Redirect(port),
        ("snat", Some(addr)) => Nat::Hide(addr),
        (_, _) => Nat::Masquerade,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::packet::{Packet, Protocol};
    use super::*;

    /// What a chain of these rules, with this policy, does with a packet from 172.25.0.2 to 203.0.113.9 port 80/tcp.
    fn verdict(policy: &str, rules: &[Value]) -> String {
        let chain = |name: &str| json!({"chain": {"family": "ip", "table": "t", "name": name}});
        let mut base = chain("c");
        for (key, value) in [("hook", "forward"), ("type", "filter"), ("policy", policy)] {
            base["chain"][key] = value.into();
        }
        let mut all = vec![base, chain("other")];
        all.push(json!({"set": {"family": "ip", "table": "t", "name": "s", "elem": [
            {"elem": {"val": {"concat": [{"prefix": {"addr": "203.0.113.0", "len": 24}}, {"range": [80, 90]}]}}}]}}));
        for (handle, parts) in rules.iter().enumerate() {
            let (chain, parts) = match parts.get("other") {
                Some(parts) => ("other", parts),
                None => ("c", parts),
            };
            all.push(json!({"rule": {"family": "ip", "table": "t", "chain": chain, "handle": handle, "expr": parts}}));
        }
        let rules = Rules::parse(&json!({"nftables": all}).to_string(), "").unwrap();
        let packet = Packet {
            source: "172.25.0.2".parse().unwrap(),
            dest: "203.0.113.9".parse().unwrap(),
            protocol: Protocol::Tcp,
            source_port: None,
            dest_port: Some(80),
            mark: Some(0),
            answers: false,
            state: State::New,
            led: false,
            hidden: false,
            settled: false,
            flow: None,
        };
        let mut view = View { packet, came_by: "br0", leaves_by: "eth0", own: &[], is_frame: false };
        let number =
            |decider: Decider| decider.rule.map_or("policy".to_owned(), |(handle, ..)| handle.to_string());
        match judge(&rules, &("ip".into(), "t".into(), "c".into()), &mut view) {
            Verdict::Pass(by) => by.map_or("pass".to_owned(), |by| format!("pass by {}", number(by))),
            Verdict::Drop(by) => format!("drop by {}", number(by)),
            Verdict::Translate(_, by) => format!("translate by {}", number(by)),
            Verdict::Doubt(by) => format!("doubt for {}", number(by)),
            Verdict::Lost(by) => format!("lost at {}", number(by)),
        }
    }

    fn is(left: Value, right: Value) -> Value {
        json!({"match": {"op": "==", "left": left, "right": right}})
    }

    #[test]
    fn the_first_rule_that_matches_decides_or_else_the_policy() {
        let from = |name: &str| is(json!({"meta": {"key": "iifname"}}), name.into());
        let (accept, drop) = (json!({"accept": null}), json!({"drop": null}));

        assert_eq!(verdict("accept", &[]), "pass");
        assert_eq!(verdict("drop", &[]), "drop by policy");
        assert_eq!(verdict("drop", &[json!([from("br1"), drop]), json!([from("br*"), accept])]), "pass by 1");
        let way = json!({"concat": [{"payload": {"protocol": "ip", "field": "daddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]});
        assert_eq!(verdict("accept", &[json!([is(way.clone(), "@s".into()), drop])]), "drop by 0");
        let udp = json!({"payload": {"protocol": "udp", "field": "dport"}});
        assert_eq!(
            verdict("accept", &[json!([{"match": {"op": "!=", "left": udp, "right": 53}}, drop])]),
            "pass"
        );
        let jump = json!([{"jump": {"target": "other"}}]);
        assert_eq!(
            verdict("drop", &[jump.clone(), json!({"other": [{"return": null}]}), json!([accept])]),
            "pass by 2"
        );
        assert_eq!(verdict("accept", &[jump, json!({"other": [drop]})]), "drop by 1");
    }

    #[test]
    fn a_rule_that_may_match_decides_nothing_unless_it_makes_no_difference() {
        let limit = json!({"limit": {"rate": 1, "per": "day"}});
        let (accept, drop) = (json!({"accept": null}), json!({"drop": null}));

        assert_eq!(verdict("accept", &[json!([limit, accept])]), "pass");
        assert_eq!(verdict("accept", &[json!([limit, drop])]), "doubt for 0");
        assert_eq!(verdict("drop", &[json!([{"xt": null}, accept])]), "doubt for 0");
        assert_eq!(verdict("drop", &[json!([{"xt": null}, drop])]), "drop by policy");
        assert_eq!(verdict("accept", &[json!([{"xt": null}])]), "lost at 0");
        assert_eq!(verdict("accept", &[json!([limit, {"dnat": {"addr": "10.0.0.1"}}])]), "lost at 0");
        assert_eq!(verdict("accept", &[json!([{"queue": null}])]), "lost at 0");
        let never = is(json!({"meta": {"key": "l4proto"}}), "udp".into());
        assert_eq!(verdict("accept", &[json!([limit, never, drop])]), "pass");
        let source = is(json!({"payload": {"protocol": "th", "field": "sport"}}), 1023.into());
        assert_eq!(verdict("accept", &[json!([source, drop])]), "pass", "no port of a system is chosen");
    }
}
