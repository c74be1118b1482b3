//! `netform explain`: what anything on this host is, ours or others'.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::args::{Common, TextOrJson};
use super::failure::{Code, Failure, chain, unreadable};
use super::runtimes::Runtimes;
use super::show;
use crate::apply::{Dirs, projects};
use crate::explain::{self, Finding, Scene};
use crate::kernel::{census, listeners, nft};
use crate::names::{ContainerName, NetName, Protocol};
use crate::resource::owner::{Origin, Owner};
use crate::runtime::list;
use crate::topology::facts::Leases;
use crate::topology::nearest;

/// What stands for what `ip addr` printed, on standard input.
const STDIN: &str = "-";

/// What was explained.
#[derive(Debug, Serialize, JsonSchema)]
struct Explanation {
    /// The version of this document, `MAJOR.MINOR`.
    format_version: &'static str,
    /// The things, in the order in which they were asked for.
    things: Vec<Explained>,
}

/// A thing, and what it is.
#[derive(Debug, Serialize, JsonSchema)]
struct Explained {
    /// What was asked for; `null` for every interface of this host, `-` for what came by standard input.
    thing: Option<String>,
    /// All that it is; empty when there is no such thing.
    findings: Vec<Finding>,
}

/// Returns the schema of the document, as `schemas/explain.v1.json` holds it.
pub(super) fn schema() -> schemars::Schema {
    schemars::schema_for!(Explanation)
}

/// Prints what things are.
pub(super) async fn run(common: &Common, words: &[String], output: TextOrJson) -> Result<(), Failure> {
    let mut warnings = vec![];
    let explained = if words == [STDIN] {
        let text = standard_input()?;
        let findings = explain::pasted(&text, &look(common, &mut warnings).await?);
        if findings.is_empty() {
            let failure =
                Failure::new(Code::Usage, "standard input holds no interface as `ip addr` prints it");
            return Err(failure.help("ip addr | netform explain -"));
        }
        vec![Explained { thing: Some(STDIN.to_owned()), findings }]
    } else if words.is_empty() {
        let scene = look(common, &mut warnings).await?;
        vec![Explained { thing: None, findings: explain::host(&scene) }]
    } else {
        let things = explain::things(words);
        let mut scene = look(common, &mut warnings).await?;
        look_closer(&mut scene, &things, &mut warnings).await;
        let explained =
            |thing: String| Explained { findings: explain::explain(&thing, &scene), thing: Some(thing) };
        let all: Vec<_> = things.into_iter().map(explained).collect();
        if let Some(failure) = unknown(&all, &scene) {
            print(all, output)?;
            warnings.iter().for_each(|warning| show::err(&format!("warning: {warning}\n")));
            return Err(failure);
        }
        all
    };
    print(explained, output)
}

fn standard_input() -> Result<String, Failure> {
    let mut bytes = vec![];
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(|error| Failure::of(Code::Failed, &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Looks at the namespaces, at what runs in them, and at what was applied last.
pub(super) async fn look(common: &Common, warnings: &mut Vec<String>) -> Result<Scene, Failure> {
    let sockets = Runtimes::new(common).sockets;
    let (namespaces, listing) = tokio::join!(census::take(), list::all(&sockets));
    let namespaces = namespaces.map_err(unreadable)?;
    let unread = namespaces.iter().filter(|ns| !ns.read).count();
    if unread > 0 {
        warnings.push(format!("{unread} network namespaces may not be looked into; root sees more"));
    }
    let mut scene = Scene { namespaces, listing, ..Scene::default() };
    recall(common, &mut scene);
    Ok(scene)
}

/// Looks at the ports and the firewall, too.
pub(super) async fn look_closer(scene: &mut Scene, things: &[String], warnings: &mut Vec<String>) {
    let projects = nft::projects().await;
    match nft::published(&projects).await {
        Ok(published) => scene.published = published,
        Err(error) => warnings.push(chain(&error)),
    }
    match nft::ruleset().await {
        Ok(ruleset) => scene.tables = explain::ruleset::parse(&ruleset),
        Err(error) => warnings.push(chain(&error)),
    }
    if things.iter().any(|thing| explain::is_port(thing)) {
        hear(scene);
    }
}

/// Looks at who listens on ports of the host.
pub(super) fn hear(scene: &mut Scene) {
    let all = listeners::listeners(&BTreeSet::from([Protocol::Tcp, Protocol::Udp, Protocol::Sctp]));
    let holders = listeners::holders(all.iter().map(|(_, listener)| listener.inode).collect());
    let held = |listener: &listeners::Listener| holders.get(&listener.inode).cloned();
    scene.listeners = all.into_iter().map(|(ports, listener)| (ports, held(&listener))).collect();
}

/// Adds where the manifests that were applied last ask for what, and what of them waited then.
fn recall(common: &Common, scene: &mut Scene) {
    for project in projects(&common.state_dir) {
        let dirs = Dirs::new(&common.state_dir, &common.run_dir, &project);
        match dirs.past() {
            Ok(past) => {
                let mut places = BTreeMap::new();
                // A resource's first object stands where the resource does: a link goes before its routes, which have
                // lines of their own.
                for entry in Vec::from(past.state()) {
                    if let Some(origin) = entry.origin {
                        places.entry(entry.owner).or_insert(origin);
                    }
                }
                scene.waiting.insert(project.clone(), waiting(&past.leases, &places));
                scene.origins.insert(project, places);
            }
            Err(error) => show::err(&format!("warning: no lines of the manifest: {}\n", chain(&error))),
        }
    }
}

/// Returns who was declared to be on which network, and had nothing there. Of what was destroyed, nothing waits.
fn waiting(leases: &Leases, places: &BTreeMap<Owner, Origin>) -> Vec<(ContainerName, NetName)> {
    let declared = leases.addresses.iter().filter(|_| !places.is_empty());
    let declared = declared.flat_map(|(container, networks)| networks.keys().map(move |on| (container, on)));
    let pairs = declared.map(|(container, network)| (container.clone(), network.clone()));
    let is_there = |(container, network): &(ContainerName, NetName)| {
        let owner = Owner::Attachment { container: container.clone(), network: network.clone() };
        places.contains_key(&owner)
    };
    pairs.filter(|pair| !is_there(pair)).collect()
}

fn print(things: Vec<Explained>, output: TextOrJson) -> Result<(), Failure> {
    match output {
        TextOrJson::Text => {
            let findings = things.iter().flat_map(|explained| &explained.findings);
            show::out(&findings.map(|finding| format!("{}\n", finding.sentence)).collect::<String>())
        }
        TextOrJson::Json => {
            let document = Explanation { format_version: "1.0", things };
            let json =
                serde_json::to_string_pretty(&document).map_err(|error| Failure::of(Code::Failed, &error))?;
            show::out(&format!("{json}\n"))
        }
    }
}

/// Returns the failure of things that are not there.
fn unknown(all: &[Explained], scene: &Scene) -> Option<Failure> {
    let missing = all.iter().filter(|explained| explained.findings.is_empty());
    let missing: Vec<_> = missing.filter_map(|explained| explained.thing.as_deref()).collect();
    let (first, message) = (missing.first()?, missing.iter().map(|thing| explain::unknown(thing)));
    let failure = Failure::new(Code::NoInput, message.collect::<Vec<_>>().join("; "));
    Some(match nearest(first, explain::names(scene)) {
        Some(nearest) => failure.help(format!("did you mean `{nearest}`?")),
        None if first.contains(' ') => {
            failure.help("`nft -a list ruleset` prints what there is, with handles")
        }
        None => failure.help("`netform explain` alone says what every interface of this host is"),
    })
}
