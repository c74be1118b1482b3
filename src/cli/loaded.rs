//! A manifest that was read, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::path::Path;
use std::sync::Arc;

use ipnet::Ipv6Net;

use super::failure::{Code, Failure, chain};
use super::scope::given_namespaces;
use super::show::Style;
use crate::apply::generation::Generation;
use crate::manifest::problem::{self, Problems, Sources};
use crate::manifest::{self, Input, LoadError, Manifest, Place};
use crate::names::Mtu;
use crate::resource::owner::Origin;
use crate::resource::vlan::Filtering;
use crate::topology::facts::{Facts, LinkFact};
use crate::topology::{Topology, resolve};

/// A manifest that is right in itself, with its files. A copy costs nothing.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) manifest: Arc<Manifest>,
    sources: Arc<Sources>,
    style: Style,
}

/// What a check finds.
pub(super) enum Found {
    /// The manifest is right, as far as can be told without the host.
    Right(Box<Topology>),
    /// It is not.
    Wrong(Problems),
}

impl Loaded {
    /// Resolves the manifest with what is known of the host.
    pub(super) fn resolve(&self, facts: &Facts) -> Result<Topology, Failure> {
        self.resolved(facts).map_err(|problems| wrong(&problems, self.style))
    }

    /// Returns all files of the manifest as one text, as generations keep it.
    pub(super) fn text(&self) -> String {
        joined(&self.sources)
    }

    /// Returns file and line of a place in it.
    pub(super) fn origin(&self, place: Place) -> Origin {
        self.sources.place_to_origin(place)
    }

    /// Returns the files that it was read from, as the user sees them.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.files().iter().map(|file| Path::new(&*file.name))
    }

    fn resolved(&self, facts: &Facts) -> Result<Topology, Problems> {
        let origin = |place| self.sources.place_to_origin(place);
        resolve(&self.manifest, facts, &origin)
            .map_err(|problems| Problems::new(Arc::clone(&self.sources), problems))
    }
}

/// Of what kind problems are with which the text is not what the file holds, so that it must not be written again.
const UNWRITABLE: [&str; 3] = ["manifest::not_utf8", "manifest::control_character", "manifest::too_large"];

/// Reads a manifest that has to be right.
pub(super) fn load(path: &Path, style: Style) -> Result<Loaded, Failure> {
    read(path, style)?.map_err(|problems| wrong(&problems, style))
}

/// Reads a manifest and resolves it as if the host had what it asks for.
pub(super) fn check(path: &Path, style: Style) -> Result<Found, Failure> {
    let loaded = match read(path, style)? {
        Ok(loaded) => loaded,
        Err(problems) => return Ok(Found::Wrong(problems)),
    };
    Ok(match loaded.resolved(&assumed(&loaded.manifest)) {
        Ok(topology) => Found::Right(Box::new(topology)),
        Err(problems) => Found::Wrong(problems),
    })
}

/// Refuses a manifest that is wrong, as far as that can be told without the host.
pub(super) fn check_text(name: &str, text: &str, style: Style) -> Result<(), Failure> {
    let parsed = manifest::parse([(name.to_owned(), text.as_bytes().to_vec())]);
    let resolved = parsed.and_then(|manifest::Loaded { manifest, sources }| {
        let facts = assumed(&manifest);
        Loaded { manifest: manifest.into(), sources, style }.resolved(&facts)
    });
    resolved.map(drop).map_err(|problems| wrong(&problems, style))
}

/// Returns the manifest that a generation keeps; `None` where its text says nothing to this netform. `path` is where a
/// manifest is that declares nothing.
///
/// Of several files their names stand in comments between them: whatever else looks like one leaves a part that is no
/// manifest, or changes nothing.
pub(super) fn kept(generation: &Generation, path: &Path, style: Style) -> Option<Loaded> {
    let text = generation.manifest.as_str();
    let origins = generation.state.iter().filter_map(|(_, entry)| entry.origin.as_ref());
    let names: BTreeSet<&str> = origins.map(|origin| origin.file.as_str()).collect();
    let is_known = |name: &str| names.contains(name);
    let is_file = |name: &str| is_known(name) || name.ends_with(".yaml") || name.ends_with(".yml");
    let name = names.first().map_or_else(|| path.display().to_string(), |name| (*name).to_owned());
    let ways = [parts(text, is_known), parts(text, is_file), vec![(name, text.to_owned())]];
    ways.into_iter().find_map(|files| {
        let files = files.into_iter().map(|(name, text)| (name, text.into_bytes()));
        let manifest::Loaded { manifest, sources } = manifest::parse(files).ok()?;
        (joined(&sources) == text).then_some(Loaded { manifest: manifest.into(), sources, style })
    })
}

/// Takes the text of several files apart at the comments that name them.
fn parts(text: &str, is_name: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut parts: Vec<(String, String)> = vec![];
    for line in text.split_inclusive('\n') {
        let name = line.trim_end().strip_prefix("# ").filter(|name| is_name(name));
        match (name, parts.last_mut()) {
            (Some(name), _) => parts.push((name.to_owned(), String::new())),
            (None, Some((_, part))) => part.push_str(line),
            (None, None) => return vec![],
        }
    }
    for (_, part) in &mut parts {
        part.truncate(part.strip_suffix('\n').map_or(part.len(), str::len));
    }
    parts
}

/// Reads a manifest as if one of its files had another text, and checks it as [`check`] does.
pub(super) fn load_edited(path: &Path, (file, text): (&Path, &str), style: Style) -> Result<Loaded, Failure> {
    let edited = manifest::load_edited(&Input::from_arg(path.as_os_str()), file, text);
    let loaded = judged(edited, style)?.map_err(|problems| wrong(&problems, style))?;
    match loaded.resolved(&assumed(&loaded.manifest)) {
        Ok(_) => Ok(loaded),
        Err(problems) => Err(wrong(&problems, style)),
    }
}

/// Returns the files of a manifest, right or wrong, and the failure that it is when it is wrong.
pub(super) fn files(path: &Path, style: Style) -> Result<(Arc<Sources>, Option<Failure>), Failure> {
    Ok(match read(path, style)? {
        Ok(loaded) => (loaded.sources, None),
        Err(problems) if problems.list().any(|problem| UNWRITABLE.contains(&problem.code)) => {
            return Err(wrong(&problems, style));
        }
        Err(problems) => (Arc::clone(problems.sources()), Some(wrong(&problems, style))),
    })
}

/// Returns the failure of a manifest that is wrong.
pub(super) fn wrong(problems: &Problems, style: Style) -> Failure {
    let style = match style {
        Style::Terminal => problem::Style::Colour { columns: columns() },
        Style::Plain => problem::Style::Plain,
    };
    let failure = Failure::new(Code::Manifest, problem::render(problems, style));
    Failure { diagnostics: problems.records(), ..failure }
}

/// Returns how many columns the terminal has.
fn columns() -> usize {
    console::Term::stderr().size_checked().map_or(100, |(_, columns)| usize::from(columns))
}

/// Returns the text of a manifest as generations keep it; `None` when it is wrong or gone.
pub(super) fn text(path: &Path) -> Option<String> {
    manifest::load(&Input::from_arg(path.as_os_str())).ok().map(|loaded| joined(&loaded.sources))
}

fn joined(sources: &Sources) -> String {
    let [only] = sources.files() else {
        return sources.files().iter().map(|file| format!("# {}\n{}\n", file.name, file.text)).collect();
    };
    only.text.to_string()
}

fn read(path: &Path, style: Style) -> Result<Result<Loaded, Problems>, Failure> {
    judged(manifest::load(&Input::from_arg(path.as_os_str())), style)
}

fn judged(
    loaded: Result<manifest::Loaded, LoadError>,
    style: Style,
) -> Result<Result<Loaded, Problems>, Failure> {
    match loaded {
        Ok(manifest::Loaded { manifest, sources }) => {
            Ok(Ok(Loaded { manifest: manifest.into(), sources, style }))
        }
        Err(LoadError::Bad(problems)) => Ok(Err(problems)),
        Err(error @ (LoadError::Read { .. } | LoadError::EmptyDirectory { .. })) => {
            Err(Failure::new(Code::NoInput, chain(&error))
                .help("name the manifest: a file, a directory, or - for standard input"))
        }
    }
}

/// Returns a host on which all links and namespaces of others are there.
fn assumed(manifest: &Manifest) -> Facts {
    let external = manifest.networks.values().filter_map(|network| network.value.external.as_ref());
    let parents = manifest.networks.values().filter_map(|network| network.value.driver.parent());
    // A mistake in the MTU is the kernel's to know.
    let link = LinkFact { mtu: Mtu::LARGEST, addresses: vec![], mac: None, filtering: None };
    let bridge = LinkFact { filtering: Some(Filtering::OURS), mtu: Mtu::ETHERNET, ..link.clone() };
    let bridges: BTreeMap<_, _> = external.map(|name| (name.value.clone(), bridge.clone())).collect();
    Facts {
        vswitches: bridges.clone(),
        bridges,
        parents: parents.map(|name| (name.value.clone(), link.clone())).collect(),
        namespaces: given_namespaces(manifest),
        own_range: Ipv6Net::new(Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0]), 48).ok(),
        is_assumed: true,
        ..Facts::default()
    }
}
