//! The verbs that read and edit the manifest's text: `network`, `get`, `set`, `fmt` and `init`.

mod draft;
mod fmt;
mod init;
pub(super) mod network;
mod place;

use serde_yaml::{Mapping, Value};

use super::Success;
use super::args::{Common, EditVerb, Get, Set, YamlOrJson};
use super::failure::{Code, Failure};
use super::loaded;
use super::show::{self, Style};
use crate::manifest::edit::path::{NoWay, Path};
use crate::manifest::edit::{EditError, meaning};
use crate::topology::nearest;
use draft::Manuscript;

/// Runs a verb.
pub(super) fn run(common: &Common, verb: &EditVerb) -> Result<Success, Failure> {
    match verb {
        EditVerb::Network { verb } => network::run(common, verb).map(|()| Success::Done),
        EditVerb::Get(wish) => get(common, wish).map(|()| Success::Done),
        EditVerb::Set(wish) => set(common, wish).map(|()| Success::Done),
        EditVerb::Fmt(wish) => fmt::run(common, wish),
        EditVerb::Init(wish) => init::run(wish).map(|()| Success::Done),
    }
}

/// Prints what the manifest says at a path.
fn get(common: &Common, wish: &Get) -> Result<(), Failure> {
    let Get { path, manifest, output } = wish;
    let path = path_of(path)?;
    let (sources, wrong) = loaded::files(manifest, Style::of_stderr(common))?;
    let texts = sources.files().iter().map(|file| meaning(&file.text));
    let whole = match texts.collect::<Option<Vec<_>>>() {
        Some(files) => merged(files),
        None => return Err(wrong.unwrap_or_else(|| unreadable(EditError::Unreadable))),
    };
    let value = path.get(&whole).map_err(|error| nowhere(&error, &whole))?;
    let text = match (output, value) {
        (YamlOrJson::Yaml, Value::String(text)) => format!("{text}\n"),
        (YamlOrJson::Yaml, value) => {
            serde_yaml::to_string(value).map_err(|error| Failure::of(Code::Failed, &error))?
        }
        (YamlOrJson::Json, value) => {
            let json = serde_json::to_string_pretty(value);
            format!("{}\n", json.map_err(|error| Failure::of(Code::Failed, &error))?)
        }
    };
    show::out(&text)
}

/// Changes what the manifest says at paths.
fn set(common: &Common, wish: &Set) -> Result<(), Failure> {
    let Set { values, unset, which, dry_run, lock_timeout } = wish;
    let mut changes = vec![];
    for text in values {
        let (path, value) = text.split_once('=').ok_or_else(|| {
            Failure::new(Code::Usage, format!("`{text}` has no `=`"))
                .help("write it like networks.front.mtu=1400; --unset PATH takes something out")
        })?;
        changes.push((entry_of(path)?, Some(value_of(value)?)));
    }
    for path in unset {
        changes.push((entry_of(path)?, None));
    }
    let manuscript = Manuscript::open(&which.manifest, *lock_timeout, Style::of_stderr(common))?;
    let paths: Vec<&Path> = changes.iter().map(|(path, _)| path).collect();
    let draft = manuscript.draft(&paths, |whole| {
        for (path, value) in &changes {
            match value {
                Some(value) => path.set(whole, value.clone()),
                None => path.unset(whole),
            }
            .map_err(|error| nowhere(&error, whole))?;
        }
        Ok(())
    })?;
    if draft.is_empty() {
        return show::out("The manifest says so already.\n");
    }
    draft.check(common)?;
    show::out(&draft.diff(Style::of_stdout(common)))?;
    let lost = draft.lost_comments();
    if let Some(first) = lost.first() {
        let more = if lost.len() > 1 { format!(", and {} more", lost.len() - 1) } else { String::new() };
        show::err(&format!("note: comments go along with what is taken out: `{first}`{more}\n"));
    }
    if *dry_run {
        return Ok(());
    }
    draft.write()?;
    show::err(&format!("{} is written; `netform plan` shows what an apply would change.\n", draft.name()));
    Ok(())
}

/// Returns what all files of a manifest say together.
fn merged(files: Vec<Value>) -> Value {
    let mut whole = Mapping::new();
    for file in files {
        let Value::Mapping(file) = file else { continue };
        for (key, value) in file {
            match (whole.get_mut(&key), value) {
                (Some(Value::Mapping(ours)), Value::Mapping(theirs)) => ours.extend(theirs),
                (Some(Value::Sequence(ours)), Value::Sequence(theirs)) => ours.extend(theirs),
                (Some(_), _) => {}
                (None, value) => drop(whole.insert(key, value)),
            }
        }
    }
    Value::Mapping(whole)
}

fn path_of(text: &str) -> Result<Path, Failure> {
    Path::try_from(text)
        .map_err(|error| Failure::of(Code::Usage, &error).help("write it like networks.front.subnets[0]"))
}

/// Returns a path to something in the manifest, not to all of it.
fn entry_of(text: &str) -> Result<Path, Failure> {
    let path = path_of(text)?;
    if path.0.is_empty() {
        return Err(Failure::new(Code::Usage, "a path is missing").help("write it like networks.front.mtu"));
    }
    Ok(path)
}

fn value_of(text: &str) -> Result<Value, Failure> {
    match (meaning(text), serde_yaml::from_str::<Value>(text)) {
        (Some(value), _) => Ok(value),
        (None, Ok(Value::Null)) => Ok(Value::Null),
        (None, Ok(_)) => Err(Failure::new(Code::Usage, format!("`{text}` is no value of a manifest"))
            .help("keys are text, each is there once, and there are no tags")),
        (None, Err(error)) => Err(Failure::new(Code::Usage, format!("`{text}` is not YAML: {error}"))
            .help("put quotes around it: 'containers.web={networks: [front]}'")),
    }
}

/// Returns the failure of a path that leads nowhere.
fn nowhere(error: &NoWay, whole: &Value) -> Failure {
    let failure = Failure::of(Code::NoInput, error);
    let NoWay::Missing(path) = error else { return failure };
    let Some((above, _)) = path.split() else { return failure };
    let keys = above.get(whole).ok().and_then(Value::as_mapping).into_iter().flat_map(Mapping::keys);
    let near: Vec<String> = keys.filter_map(Value::as_str).map(|key| above.key(key).to_string()).collect();
    match nearest(&path.to_string(), near.iter().map(String::as_str)) {
        Some(near) => failure.help(format!("did you mean `{near}`?")),
        None => failure,
    }
}

/// Returns the failure of a text that is left as it is.
fn unreadable(error: EditError) -> Failure {
    let failure = Failure::new(Code::Failed, format!("{error}; nothing was changed"));
    match error {
        EditError::Shared { .. } | EditError::Stuck { .. } | EditError::Layout => {
            failure.help("edit it by hand")
        }
        EditError::Unreadable => failure.help("`netform validate` says what is wrong with it"),
    }
}
