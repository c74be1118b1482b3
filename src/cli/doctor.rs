//! `netform doctor`: why a container does not reach the host or the outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::net::UdpSocket;

use super::args::{Common, Doctor, TextOrJson};
use super::explain::{hear, look, look_closer};
use super::failure::{Code, Failure, chain};
use super::loaded::load;
use super::path::{answer, follow};
use super::show::{self, Style};
use super::{Success, ask};
use crate::apply::{Dirs, projects};
use crate::dns::resolv;
use crate::doctor::{Facts, Finding, Goal, Joined, Probe, Project, Resolver, Severity, Told, examine};
use crate::explain::Scene;
use crate::explain::path::{self, Answers, Question};
use crate::kernel::nft;
use crate::names::ProjectName;
use crate::resource::Resource;
use crate::resource::netns::NsRef;
use crate::resource::owner::Owner;
use crate::resource::state::{Entry, State};
use crate::resource::vswitch::SwitchPort;
use crate::topology;
use crate::topology::facts::{self, Closure};

/// How many attachments are followed at most: each costs some requests.
const FOLLOWED: usize = 64;
/// How long a resolver may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Hosts of the internet that packets are followed to; nothing is sent.
const OUTSIDE: [&str; 2] = ["9.9.9.9:53/udp", "[2620:fe::fe]:53/udp"];

/// What was examined.
#[derive(Debug, Serialize, JsonSchema)]
struct Examined {
    /// The version of this document, `MAJOR.MINOR`.
    format_version: &'static str,
    /// The projects that were looked at.
    projects: Vec<String>,
    /// What is wrong, the worst first.
    findings: Vec<Finding>,
}

/// Returns the schema of the document, as `schemas/doctor.v1.json` holds it.
pub(super) fn schema() -> schemars::Schema {
    schemars::schema_for!(Examined)
}

/// Prints what is wrong on this host.
pub(super) async fn run(common: &Common, wish: &Doctor) -> Result<Success, Failure> {
    let Doctor { manifest, exit_code, output } = wish;
    let only = match manifest {
        Some(path) => Some(load(path, Style::of_stderr(common))?.manifest.project.value.clone()),
        None => None,
    };
    let mut warnings = vec![];
    let facts = facts(common, only.as_ref(), &mut warnings).await?;
    warnings.iter().for_each(|warning| show::err(&format!("warning: {warning}\n")));
    let findings = examine(&facts);
    let wrong = findings.iter().any(|finding| finding.severity < Severity::Note);
    let projects: Vec<_> = facts.projects.iter().map(|project| project.name.to_string()).collect();
    show::out(&match output {
        TextOrJson::Text => text(&projects, &findings),
        TextOrJson::Json => {
            let document = Examined { format_version: "1.0", projects, findings };
            let json = serde_json::to_string_pretty(&document);
            format!("{}\n", json.map_err(|error| Failure::of(Code::Failed, &error))?)
        }
    })?;
    Ok(if *exit_code && wrong { Success::Changes } else { Success::Done })
}

fn text(projects: &[String], findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { code, severity, subject, sentence, evidence, cure } in findings {
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        // Nothing can be done about a text that cannot be written to memory.
        let _ = writeln!(text, "{severity}[{code}]: {sentence}\n  about: {subject}\n  shown by: {evidence}");
        for cure in cure.command.iter().chain(&cure.advice) {
            let _ = writeln!(text, "  cure: {cure}");
        }
    }
    let names = if projects.is_empty() { "no project is applied".to_owned() } else { projects.join(", ") };
    if findings.is_empty() {
        let _ = writeln!(text, "Nothing is wrong ({names}).");
    }
    text
}

/// Reads all that the checks look at.
async fn facts(
    common: &Common,
    only: Option<&ProjectName>,
    warnings: &mut Vec<String>,
) -> Result<Facts, Failure> {
    let mut scene = look(common, warnings).await?;
    look_closer(&mut scene, &[], warnings).await;
    hear(&mut scene);
    if let Some(only) = only {
        scene.published.retain(|(project, _)| project == only);
    }
    let projects = applied(common, only, warnings).await;
    let mut facts = Facts { scene, projects, ..Facts::default() };
    let mut answers = Answers::default();
    for place in places(&facts) {
        answer(&facts.scene, Question::Inside(place), &mut answers).await?;
        facts.insides.extend(answers.of(place).map(|inside| (place, inside.clone())));
    }
    facts.joined = joined(&facts.projects).await;
    facts.probes = probes(&facts, &mut answers).await?;
    for resolver in resolvers(Path::new("/etc/resolv.conf")) {
        let resolver = heard(resolver, &facts.scene, &mut answers).await?;
        facts.resolvers.push(resolver);
    }
    facts.told = told(&facts.projects);
    facts.now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(facts)
}

/// Returns the projects, as they were applied last.
async fn applied(common: &Common, only: Option<&ProjectName>, warnings: &mut Vec<String>) -> Vec<Project> {
    let mut all = vec![];
    for name in projects(&common.state_dir).into_iter().filter(|it| only.is_none_or(|only| only == it)) {
        let dirs = Dirs::new(&common.state_dir, &common.run_dir, &name);
        let generation = match dirs.past() {
            Ok(past) => past.generation,
            Err(error) => {
                warnings.push(chain(&error));
                continue;
            }
        };
        let Some(generation) = generation else { continue };
        let (state, applied_at) = (generation.state, generation.applied_at);
        let origin = state.iter().find_map(|(_, entry)| entry.origin.as_ref());
        let manifest = origin.map_or_else(|| "MANIFEST".to_owned(), |origin| origin.file.to_string());
        let kept = ask::status(&dirs).await.is_some();
        all.push(Project { name, state, applied_at, manifest, kept });
    }
    all
}

/// Returns how a bridge is closed, and what opens it.
fn words(how: Closure) -> (&'static str, &'static str) {
    match how {
        Closure::Internal => {
            ("declares it `internal`", "leave `internal` out and say `ingress: open` for it")
        }
        Closure::Published => {
            ("lets in what it publishes itself, and nothing else", "say `ingress: open` for it")
        }
    }
}

/// Returns the bridges that projects have joined and others have.
async fn joined(projects: &[Project]) -> Vec<Joined> {
    let mut all = vec![];
    for Project { name: guest, state, .. } in projects {
        let links = state.iter().filter_map(|(_, entry)| entry.resource.link());
        let own: BTreeSet<_> =
            links.clone().filter(|link| link.ns == NsRef::Host).map(|link| &link.name).collect();
        let masters = links.filter_map(|link| link.master.clone());
        let masters: BTreeSet<_> = masters.filter(|master| !own.contains(master)).collect();
        if masters.is_empty() {
            continue;
        }
        // What cannot be read is told by another check.
        let Ok(others) = nft::bridges(&nft::others(guest).await).await else { continue };
        for (bridge, it) in topology::closed::joined(&others, &masters, &nft::judged()) {
            let facts::Joined { project, closed, apart, allowed } = it;
            // What is internal is told to be closed whatever policies say.
            let is_internal = matches!(&closed, Some(Closure::Internal));
            let allowed = if is_internal { BTreeSet::new() } else { allowed };
            all.push(Joined {
                guest: guest.clone(),
                bridge,
                project,
                closed: closed.map(words),
                apart,
                allowed,
            });
        }
    }
    all
}

/// Returns the places of the namespaces that projects have something in; the host's first.
fn places(facts: &Facts) -> Vec<usize> {
    let mut places = vec![0];
    for (_, entry) in facts.projects.iter().flat_map(|project| project.state.iter()) {
        if let Resource::Route(route) = &entry.resource {
            places.extend(facts.place(&route.ns));
        }
    }
    places.sort_unstable();
    places.dedup();
    places
}

/// A packet that is to be followed.
struct Wanted {
    project: ProjectName,
    owner: Owner,
    bridge: Option<String>,
    goal: Goal,
    from: String,
    to: String,
}

/// Returns the packets of containers to follow: to the host, to a neighbour, and outside.
fn wanted(facts: &Facts) -> Vec<Wanted> {
    let mut wanted = vec![];
    for project in &facts.projects {
        let mut last: BTreeMap<String, (String, String)> = BTreeMap::new();
        let apart = in_vlans(&project.state);
        for (_, entry) in project.state.iter().filter(|(_, entry)| !apart.contains(&entry.owner)) {
            let (Resource::Route(route), Owner::Attachment { container, network }) =
                (&entry.resource, &entry.owner)
            else {
                continue;
            };
            let (Some((_, Some(via))), 0) = (route.leaves_by(), route.dest.prefix_len()) else { continue };
            let Some(own) = facts.address(route) else { continue };
            if wanted.len() > FOLLOWED * 3 {
                break;
            }
            let bridge = facts.bridge(&project.state, network.as_str());
            let mut add = |goal: Goal, to: String| {
                let (project, owner, bridge) = (project.name.clone(), entry.owner.clone(), bridge.clone());
                wanted.push(Wanted { project, owner, bridge, goal, from: own.to_string(), to });
            };
            let gateway = if facts.is_of_host(via) { Goal::Host } else { Goal::Gateway(via) };
            add(gateway, via.to_string());
            let [v4, v6] = OUTSIDE;
            if facts.has_way_out(via.is_ipv4()) {
                add(Goal::Outside, if via.is_ipv4() { v4 } else { v6 }.to_owned());
            }
            let key = format!("{network} {}", via.is_ipv4());
            if let Some((name, address)) =
                last.get(&key).filter(|_| facts.may_talk(&project.state, bridge.as_deref()))
            {
                add(Goal::Neighbour(name.clone()), address.clone());
            }
            last.insert(key, (container.to_string(), own.to_string()));
        }
    }
    wanted
}

/// Returns the attachments that are in a VLAN: they reach whom the manifest has in the same.
fn in_vlans(state: &State) -> BTreeSet<&Owner> {
    let is_apart = |entry: &&Entry| {
        let Some(link) = entry.resource.link() else { return false };
        let is_switched = |port: &SwitchPort| port.vlan.is_some() || !port.trunks.is_empty();
        link.vlans.is_some() || link.port.as_ref().is_some_and(is_switched)
    };
    state.iter().map(|(_, entry)| entry).filter(is_apart).map(|entry| &entry.owner).collect()
}

/// Follows packets of containers.
async fn probes(facts: &Facts, answers: &mut Answers) -> Result<Vec<Probe>, Failure> {
    let mut probes = vec![];
    for Wanted { project, owner, bridge, goal, from, to } in wanted(facts) {
        // Who has lost his address is told of otherwise.
        let Ok(ends) = path::ends(&from, &to, &facts.scene) else { continue };
        let path = follow(&facts.scene, answers, &ends).await?;
        probes.push(Probe { project, owner, bridge, goal, path });
    }
    Ok(probes)
}

/// Returns whom a `resolv.conf` names; nobody when it cannot be read.
fn resolvers(path: &Path) -> Vec<IpAddr> {
    resolv::parse(&std::fs::read_to_string(path).unwrap_or_default()).servers
}

/// Asks a resolver; of one that is not heard, what on this host is why, when something is.
async fn heard(address: IpAddr, scene: &Scene, known: &mut Answers) -> Result<Resolver, Failure> {
    let answers = answers_queries(address).await;
    let to = SocketAddr::from((address, 53));
    let dropped = match path::ends("host", &format!("{to}/udp"), scene) {
        Ok(ends) if !answers => follow(scene, known, &ends).await?.dropped(),
        Ok(_) | Err(_) => None,
    };
    Ok(Resolver { address, answers, dropped })
}

/// Asks a resolver for the root's name servers; whatever it answers, it lives.
async fn answers_queries(resolver: IpAddr) -> bool {
    // A header with one question, recursion desired, then the root, NS, IN: RFC 1035 section 4.
    const QUERY: [u8; 17] = [0x6e, 0x66, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let asked = async {
        let own = if resolver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(own).await?;
        socket.connect((resolver, 53)).await?;
        socket.send(&QUERY).await?;
        socket.recv(&mut [0; 512]).await
    };
    tokio::time::timeout(PATIENCE, asked).await.is_ok_and(|answer| answer.is_ok())
}

/// Returns which resolvers containers are told to ask, by the files that netform has written.
fn told(projects: &[Project]) -> Vec<Told> {
    let mut all = vec![];
    for project in projects {
        for (_, entry) in project.state.iter() {
            let (Resource::File(file), Owner::Container(container)) = (&entry.resource, &entry.owner) else {
                continue;
            };
            if file.path.ends_with("resolv.conf") {
                let (project, container) = (project.name.clone(), container.to_string());
                let (resolvers, file) = (resolvers(&file.path), file.path.display().to_string());
                all.push(Told { project, container, file, resolvers });
            }
        }
    }
    all
}
