//! A Compose file as a manifest.
//!
//! Source: the Compose specification, `05-services.md`, `06-networks.md` and `12-interpolation.md`.
//!
//! The containers stay Docker's, named as Compose names them; what concerns their networks is taken over. Compose's network
//! `default` has names, and netform's of that name has none but links, so it is called as Docker calls it:
//! `PROJECT_default`.

mod attachment;
mod network;
mod ports;
mod reader;
mod service;
mod variables;

use std::sync::Arc;

use indexmap::IndexMap;

pub use self::variables::{Variables, of_file};
use super::{Item, Note, Sketch};
use crate::manifest::problem::Problems;
use crate::manifest::{Entry, Node, yaml_of};
use crate::names::ProjectName;
use network::Fate;
use reader::Reader;

/// A Compose file.
#[derive(Debug, Clone)]
pub struct File<'a> {
    /// Its name, as the user wrote it.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The project that the user asks for, when that is not the file's own.
    pub project: Option<String>,
    /// The directory's name, after which Compose calls the project when nobody says how.
    pub directory: String,
}

/// Returns the manifest that a Compose file is.
///
/// # Errors
///
/// Everything that Compose would refuse, or that is no YAML, at its place.
pub fn compose(file: File<'_>, variables: &Variables) -> Result<Sketch, Problems> {
    let File { name, bytes, project, directory } = file;
    let (node, sources) = yaml_of(name, bytes)?;
    let mut reader = Reader::new(variables);
    let top = reader.map(&node);
    let field = |key: &str| top.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
    let project = project
        .or_else(|| variables.get("COMPOSE_PROJECT_NAME").map(|(name, _)| name.clone()))
        .filter(|name| !name.is_empty())
        .or_else(|| field("name").and_then(|node| reader.text(node)))
        .unwrap_or(directory);
    let project = compose_name(&project);
    let mut file = Whole { project: project.clone(), networks: vec![], fates: IndexMap::new() };
    let mut sketch = Sketch { head: head(name), project: ours(&project), ..Sketch::default() };
    for entry in &top {
        top_level(entry, &mut sketch, &mut reader);
    }
    if let Some(node) = field("networks") {
        for entry in reader.map(node) {
            file.network(entry, &mut reader);
        }
    }
    match field("services") {
        Some(node) => sketch.containers = service::services(node, &mut file, &mut reader),
        None => {
            reader.wrong(node.place, "a Compose file has `services`, and this one has none", "no `services`")
        }
    }
    sketch.networks = file.networks;
    if sketch.project != project {
        let text = format!("the project is called {}: netform takes no name like {project}", sketch.project);
        sketch.notes.push(Note { origin: None, text });
    }
    let Reader { report, notes, used, unset, .. } = reader;
    if !report.is_empty() {
        return Err(Problems::new(Arc::clone(&sources), report.problems));
    }
    let noted = |(place, text)| Note { origin: Some(sources.place_to_origin(place)), text };
    let mut noted: Vec<Note> = notes.into_iter().map(noted).collect();
    noted.sort_by(|a, b| a.origin.cmp(&b.origin));
    sketch.notes.extend(noted);
    let used = used.into_iter().map(|(name, (value, from))| format!("${name} is `{value}`, from {from}"));
    let unset = unset.into_iter().map(|name| format!("${name} is not set, and nothing stands in for it"));
    sketch.notes.extend(used.chain(unset).map(|text| Note { origin: None, text }));
    Ok(sketch)
}

fn head(name: &str) -> Vec<String> {
    [
        &format!("From {name}, by `netform import compose`."),
        "The containers are Docker's. With `network_mode: none` there, they have these networks alone; else these come",
        "beside Docker's, as nf0, nf1 and so on. What Docker's networks hold - subnets, ports of the host - is theirs until",
        "`docker compose down`.",
    ]
    .map(str::to_owned)
    .into()
}

/// Says what is above services and networks.
fn top_level(entry: &Entry, sketch: &mut Sketch, reader: &mut Reader<'_>) {
    match entry.key.as_str() {
        "services" | "networks" | "name" | "version" | "volumes" | "configs" | "secrets" | "models" => {}
        "include" => {
            let mut item = Item::default();
            reader.note(
                &mut item,
                entry.at,
                ("include", "the files are not read; import `docker compose config` instead"),
            );
            sketch.head.extend(item.notes);
        }
        other => reader.wrong(entry.at, format!("a Compose file has no key `{other}`"), "not known"),
    }
}

/// What is known of the file as a whole.
struct Whole {
    /// The project, as Compose calls it.
    project: String,
    /// The networks so far.
    networks: Vec<Item>,
    /// What became of each, by Compose's name.
    fates: IndexMap<String, Fate>,
}

impl Whole {
    fn network(&mut self, entry: &Entry, reader: &mut Reader<'_>) {
        let name = if entry.key == "default" { self.default_name() } else { entry.key.to_string() };
        let (mut item, fate) = network::network(entry, &name, reader);
        if entry.key == "default" {
            item.notes.insert(0, WHY.to_owned());
        }
        if item.name.is_some() || !item.notes.is_empty() {
            self.networks.push(item);
        }
        self.fates.insert(entry.key.to_string(), fate);
    }

    /// Returns what became of a network; the one that services are on which name none comes to be by that.
    fn fate(&mut self, name: &str) -> Option<Fate> {
        if name == "default" && !self.fates.contains_key(name) {
            let mut item = Item::named(self.default_name());
            item.notes.push(WHY.to_owned());
            self.networks.push(item);
            let fate = Fate::Made { name: self.default_name(), has_ipv6: false, binding: None };
            self.fates.insert(name.to_owned(), fate);
        }
        self.fates.get(name).cloned()
    }

    /// Has the network without names be there, which stands for Docker's bridge for everybody.
    fn nameless(&mut self) {
        let is_it = |item: &Item| item.name.as_deref() == Some("default");
        if !self.networks.iter().any(is_it) {
            self.networks.push(Item::named("default"));
        }
    }

    fn default_name(&self) -> String {
        format!("{}_default", self.project)
    }
}

/// Why Compose's network `default` is called otherwise.
const WHY: &str = "Compose's `default`; netform's network of that name has no names but links.";

/// Returns a project's name as Compose makes it of any text: `NormalizeProjectName()` in compose-go `loader/loader.go`.
fn compose_name(text: &str) -> String {
    let is_part =
        |char: &char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '_' | '-');
    let name: String = text.to_lowercase().chars().filter(is_part).collect();
    let name = name.trim_start_matches(['_', '-']).to_owned();
    if name.is_empty() { "compose".to_owned() } else { name }
}

/// Returns a project's name as netform takes it.
fn ours(name: &str) -> String {
    let dashed: String = name.replace('_', "-").chars().take(ProjectName::LIMIT).collect();
    match ProjectName::try_from(dashed.as_str()) {
        Ok(_) => dashed,
        Err(_) => format!("p{dashed}").chars().take(ProjectName::LIMIT).collect(),
    }
}

/// Returns the value of a key.
fn field<'n>(fields: &[&'n Entry], key: &str) -> Option<&'n Node> {
    fields.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}
