//! What loses the packets of containers, as they were followed.

use super::host::is_internal;
use super::{
    Cure, Facts, Finding, Goal, Probe, Project, Severity, forwarding_off, inside_of, netns, parameter,
};
use crate::explain::path::{DecidedBy, Decision, RuleName, Verdict};
use crate::kernel::census::Namespace;
use crate::names::IfName;
use crate::resource::link::Link;

/// What decides against packets of containers.
pub(super) fn lost(facts: &Facts) -> Vec<Finding> {
    facts.probes.iter().filter_map(|probe| finding(facts, probe)).collect()
}

fn finding(facts: &Facts, probe: &Probe) -> Option<Finding> {
    let Probe { project: _, owner, bridge, goal, path } = probe;
    let severity = match path.verdict {
        Verdict::Arrives => return None,
        Verdict::NoAnswer | Verdict::Denied => Severity::Error,
        Verdict::Unknown => Severity::Note,
    };
    let Decision { kind, at, sentence, rule, parameter: switch } = &path.decision;
    if rule.as_ref().is_some_and(|rule| is_declared(facts, rule)) {
        return None;
    }
    if let Some(closed) = rule.as_ref().and_then(|rule| closed_by(facts, probe, rule)) {
        return Some(internal(probe, severity, closed));
    }
    let switch =
        switch.as_ref().and_then(|(ns, path)| Some((facts.scene.namespaces.get(*ns)?, path.as_str())));
    let what = match severity {
        Severity::Note => format!("whether {owner} reaches {} cannot be told", goal.called()),
        Severity::Error | Severity::Warning => format!("{owner} does not reach {}", goal.called()),
    };
    let (code, cure) = match (severity, rule) {
        (Severity::Note, _) => ("cannot-tell", Cure::advice("look at what is named")),
        (_, Some(rule)) => match facts.scene.namespaces.get(rule.ns) {
            Some(space) if !space.home => by_rule_inside(space, rule),
            Some(_) | None => by_rule(probe, rule, bridge.as_deref()),
        },
        (_, None) => by_kind(*kind, switch),
    };
    let subject = match (rule, switch) {
        (Some(rule), _) => {
            let space = facts.scene.namespaces.get(rule.ns).filter(|space| !space.home);
            let inside = space.map(|space| format!(" in {}", netns(space))).unwrap_or_default();
            format!("chain {} of table {} {}{inside}", rule.chain, rule.family, rule.table)
        }
        (None, Some((space, path))) => parameter(space, path),
        (None, None) => format!("{at}: {sentence}"),
    };
    let text = rule.as_ref().map(|rule| format!(": {}", rule.text)).unwrap_or_default();
    let evidence = format!("{at}: {sentence}{text}");
    // How somebody else has set up a namespace of his own is for him to know.
    let Decision { rule, parameter, .. } = &path.decision;
    let place = rule.as_ref().map(|rule| rule.ns).or(parameter.as_ref().map(|(place, _)| *place));
    let is_theirs = place.is_some_and(|place| !is_of_a_project(facts, place));
    let severity = if is_theirs { Severity::Note } else { severity };
    Some(Finding { code, severity, subject, sentence: what, evidence, cure })
}

impl Goal {
    fn called(&self) -> String {
        match self {
            Self::Host => "the host".to_owned(),
            Self::Gateway(addr) => format!("its gateway {addr}"),
            Self::Neighbour(name) => format!("{name} on its own network"),
            Self::Outside => "the outside".to_owned(),
        }
    }
}

/// The bridge of an attachment, the project that declares it internal, and the rule by which that is so.
struct ClosedBy<'f> {
    bridge: &'f IfName,
    project: &'f str,
    rule: &'f RuleName,
}

/// Tells whether a rule drops something because the bridge of an attachment is another project's, which declares it internal. Of
/// a project whose last apply was not read, its firewall is believed.
fn closed_by<'f>(facts: &'f Facts, probe: &'f Probe, rule: &'f RuleName) -> Option<ClosedBy<'f>> {
    let project = rule.table.strip_prefix("netform-").filter(|name| *name != probe.project.as_str())?;
    let named = |name: &str| facts.projects.iter().find(|project| project.name.as_str() == name);
    let own = named(probe.project.as_str())?.state.iter().filter(|(_, entry)| entry.owner == probe.owner);
    let bridge = own.filter_map(|(_, entry)| entry.resource.link()?.master.as_ref()).next()?;
    let is_declared = named(project).is_none_or(|project| is_internal(project, bridge.as_str()));
    let is_why = rule.chain == "forward" && rule.text.contains("netform:internal-");
    (is_declared && is_why).then_some(ClosedBy { bridge, project, rule })
}

fn internal(probe: &Probe, severity: Severity, closed: ClosedBy<'_>) -> Finding {
    let (Probe { owner, goal, path, .. }, ClosedBy { bridge, project, rule }) = (probe, closed);
    let Decision { at, sentence, .. } = &path.decision;
    Finding {
        code: "internal-network",
        severity,
        subject: format!("{bridge} of project {project}"),
        sentence: format!(
            "{owner} does not reach {}: project {project} declares `{bridge}` internal",
            goal.called()
        ),
        evidence: format!("{at}: {sentence}: {}", rule.text),
        cure: Cure::advice(format!(
            "put the container on another network, too, with a higher `gateway_priority`; or have {project} leave `internal` out"
        )),
    }
}

/// Tells whether a policy that a project declares is why a rule drops something.
fn is_declared(facts: &Facts, rule: &RuleName) -> bool {
    let Some(owner) = &rule.policy else { return false };
    let named = |project: &&Project| rule.table.strip_prefix("netform-") == Some(project.name.as_str());
    let mut of = facts.projects.iter().filter(named);
    of.any(|project| project.state.iter().any(|(_, entry)| entry.owner == **owner))
}

/// Tells whether a namespace is the host's, or has something of a project.
fn is_of_a_project(facts: &Facts, place: usize) -> bool {
    let Some(space) = facts.scene.namespaces.get(place) else { return false };
    let links = facts.projects.iter().flat_map(|project| project.state.iter());
    let links = links.filter_map(|(_, entry)| entry.resource.link());
    let mut homes = links.flat_map(Link::namespaces);
    space.home || space.mark.is_some() || homes.any(|ns| facts.place(ns) == Some(place))
}

fn by_rule(probe: &Probe, rule: &RuleName, bridge: Option<&str>) -> (&'static str, Cure) {
    let RuleName { family, table, chain, .. } = rule;
    if table.starts_with("netform-") {
        let advice = "somebody has changed netform's own table: netform apply writes it anew".to_owned();
        return ("firewall-changed", Cure { command: None, advice: Some(advice) });
    }
    let at = format!("{family} {table} {chain}");
    let by = bridge.unwrap_or("INTERFACE");
    let accepts = |way: &str| format!("nft insert rule {at} {way} {by} accept");
    let (code, command) = match (&probe.goal, rule.handle) {
        (Goal::Host, _) => ("input-dropped", accepts("iifname")),
        // What a bridge passes on between its ports is no business of a firewall of the IP layer.
        (Goal::Neighbour(_), _) if family != "bridge" => {
            let name = if family == "ip6" { "ip6tables" } else { "iptables" };
            ("bridge-filtered", format!("sysctl -w net/bridge/bridge-nf-call-{name}=0"))
        }
        (Goal::Neighbour(_), _) => {
            ("bridge-filtered", format!("nft insert rule {at} meta ibrname {by} accept"))
        }
        (Goal::Outside | Goal::Gateway(_), None) => ("forward-policy-drop", both(&accepts)),
        (Goal::Outside | Goal::Gateway(_), Some(_)) => ("forward-rule-drop", both(&accepts)),
    };
    let advice =
        "who made the chain may make it anew: tell that, too (for Docker, `coexist: {docker: true}`)"
            .to_owned();
    (code, Cure { command: Some(command), advice: Some(advice) })
}

/// What a firewall inside a container drops is a decision of whoever made it: a rule that lets packets in there opens the
/// container to all of its networks, and one like it on the host would open that.
fn by_rule_inside(space: &Namespace, rule: &RuleName) -> (&'static str, Cure) {
    let RuleName { family, table, chain, .. } = rule;
    let look = inside_of(space, &format!("nft -a list chain {family} {table} {chain}"));
    let look = look.map(|look| format!(" (`{look}` shows it)")).unwrap_or_default();
    let advice = format!(
        "it is the firewall inside {}, and not the host's: have whoever made it let these packets pass{look}",
        netns(space)
    );
    ("dropped-inside", Cure::advice(advice))
}

fn both(accepts: &impl Fn(&str) -> String) -> String {
    format!("{}; {}", accepts("iifname"), accepts("oifname"))
}

fn by_kind(kind: DecidedBy, switch: Option<(&Namespace, &str)>) -> (&'static str, Cure) {
    // Where it is set decides, be it another container's namespace.
    let set =
        |value: u8| switch.and_then(|(space, path)| inside_of(space, &format!("sysctl -w {path}={value}")));
    match kind {
        DecidedBy::Forwarding => {
            let (space, path) = switch.unzip();
            let is_inside = space.is_some_and(|space| !space.home);
            let advice = is_inside.then(|| {
                let name = path.unwrap_or_default().replace('/', ".");
                format!("or have it kept so: `sysctls: {{{name}: 1}}` of the container")
            });
            let code = path.and_then(forwarding_off).unwrap_or("link-forwarding-off");
            (code, Cure { command: set(1), advice })
        }
        DecidedBy::RpFilter => (
            "rp-filter",
            Cure {
                command: set(2),
                advice: Some("or take away the route that leads the answers another way".to_owned()),
            },
        ),
        DecidedBy::Masquerade => (
            "masquerade-missing",
            Cure::advice("write `egress: masquerade` for the network, or give the outside a route back"),
        ),
        DecidedBy::Route => ("no-route", Cure::advice("give a route, or take away the one that refuses")),
        DecidedBy::Interface => ("interface-down", Cure::advice("bring the interface up")),
        DecidedBy::Bridge | DecidedBy::Neighbour => {
            ("nobody-there", Cure::advice("see who has the address: netform explain ADDRESS"))
        }
        DecidedBy::Rule | DecidedBy::Policy => ("dropped", Cure::advice("look at the rule")),
        DecidedBy::Answer => {
            ("answer-astray", Cure::advice("see which way the answer takes: netform explain --path"))
        }
        DecidedBy::Unseen => ("cannot-tell", Cure::advice("look at what is named, as root")),
    }
}
