//! `netform env`: what a container's links say in environment variables; `exec` sets them.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::args::{Common, EnvVerb, TextOrJson};
use super::failure::{Code, Failure, unreadable};
use super::loaded::{self, Loaded};
use super::session::Session;
use super::show::{self, Style};
use crate::manifest::{Manifest, Mode};
use crate::names::ContainerName;
use crate::topology::environment::{Environment, environment};

/// What a container's links say.
#[derive(Debug, Serialize, JsonSchema)]
struct Told {
    /// The version of this document, `MAJOR.MINOR`.
    format_version: &'static str,
    /// The container.
    container: String,
    /// The variables, with their values.
    variables: IndexMap<String, String>,
    /// The links whose targets are not there.
    absent: Vec<Absent>,
}

/// A link whose target is not there.
#[derive(Debug, Serialize, JsonSchema)]
struct Absent {
    /// The link's name for it.
    alias: String,
    /// The container that it leads to.
    target: String,
}

/// Returns the schema of the document, as `schemas/env.v1.json` holds it.
pub(super) fn schema() -> schemars::Schema {
    schemars::schema_for!(Told)
}

/// Prints what a container's links say.
pub(super) async fn run(common: &Common, verb: &EnvVerb) -> Result<(), Failure> {
    let EnvVerb::Env { manifest, container, output } = verb;
    let loaded = loaded::load(manifest, Style::of_stderr(common))?;
    let name = declared(&loaded.manifest, container)?;
    let environment = look(common, loaded, &name).await?;
    match output {
        TextOrJson::Text => {
            warn(&environment);
            let lines = environment.variables.iter().map(|(key, value)| format!("{key}={value}\n"));
            show::out(&lines.collect::<String>())
        }
        TextOrJson::Json => {
            let absent = environment.absent.iter();
            let absent =
                absent.map(|(alias, target)| Absent { alias: alias.to_string(), target: target.to_string() });
            let told = Told {
                format_version: "1.0",
                container: name.to_string(),
                absent: absent.collect(),
                variables: environment.variables,
            };
            let json =
                serde_json::to_string_pretty(&told).map_err(|error| Failure::of(Code::Failed, &error))?;
            show::out(&format!("{json}\n"))
        }
    }
}

/// Returns what the links of a container say as things are now.
pub(super) async fn look(
    common: &Common,
    loaded: Loaded,
    name: &ContainerName,
) -> Result<Environment, Failure> {
    if !has_links(&loaded.manifest, name) {
        return Ok(Environment::default());
    }
    let mut session = Session::of_loaded(common, loaded)?;
    session.look_who_runs().await;
    let facts = session.kernel.survey(&session.scope()).await.map_err(unreadable)?.facts;
    let facts = session.acquainted(session.completed(facts)).await?;
    let topology = session.loaded.as_ref().map(|loaded| loaded.resolve(&facts)).transpose()?;
    Ok(topology.map_or_else(Environment::default, |topology| environment(&topology, name)))
}

/// Says which links say nothing.
pub(super) fn warn(environment: &Environment) {
    for (alias, target) in &environment.absent {
        show::err(&format!("warning: link `{alias}` says nothing: container `{target}` is not there\n"));
    }
}

/// Returns the name of a container that the manifest declares.
pub(super) fn declared(manifest: &Manifest, container: &str) -> Result<ContainerName, Failure> {
    let name = ContainerName::try_from(container).ok().filter(|name| manifest.containers.contains_key(name));
    name.ok_or_else(|| undeclared(manifest, container))
}

/// Returns the failure of a container that the manifest does not declare.
pub(super) fn undeclared(manifest: &Manifest, container: &str) -> Failure {
    let names: Vec<_> = manifest.containers.keys().map(ContainerName::as_str).collect();
    Failure::new(Code::Usage, format!("the manifest declares no container `{container}`"))
        .help(format!("it declares: {}", names.join(", ")))
}

/// Tells whether a container has links, or whoever owns the namespace that it shares.
fn has_links(manifest: &Manifest, name: &ContainerName) -> bool {
    let spec = |name: &ContainerName| manifest.containers.get(name).map(|at| &at.value);
    let owner = spec(name).and_then(|spec| match spec.mode.as_ref().map(|mode| &mode.value) {
        Some(Mode::Container(owner)) => Some(owner),
        Some(Mode::Host | Mode::None) | None => None,
    });
    let networks = spec(owner.unwrap_or(name)).and_then(|spec| spec.networks.as_ref());
    networks.is_some_and(|networks| networks.values().any(|at| !at.value.links.is_empty()))
}
