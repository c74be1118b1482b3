//! `netform fmt`: one layout for all manifests.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use super::super::Success;
use super::super::args::{Common, Fmt};
use super::super::failure::{Code, Failure};
use super::super::loaded;
use super::super::show::{self, Style};
use super::draft::{difference, put};
use super::place::{self, Turn};
use crate::manifest::edit::{EditError, formatted};

/// How long another editor is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest text that is read from standard input, in bytes: the limit of a manifest's file.
const LIMIT: u64 = 4 << 20;

/// Lays out every file of a manifest anew, or shows what that would change.
pub(super) fn run(common: &Common, wish: &Fmt) -> Result<Success, Failure> {
    let Fmt { manifest, check } = wish;
    let manifest = manifest.manifest.as_path();
    if manifest == Path::new("-") {
        return standard_input(*check, Style::of_stdout(common), Style::of_stderr(common));
    }
    let _turn = Turn::take(manifest, PATIENCE)?;
    let (sources, wrong) = loaded::files(manifest, Style::of_stderr(common))?;
    let mut new = vec![];
    let mut wrong = wrong;
    for source in sources.files() {
        match formatted(&source.text) {
            Ok(after) => new.push((source, after)),
            Err(EditError::Unreadable) if wrong.is_some() => {
                return Err(wrong.take().unwrap_or_else(|| super::unreadable(EditError::Unreadable)));
            }
            Err(error) => {
                return Err(Failure::new(
                    Code::Failed,
                    format!("{}: {error}; nothing was changed", source.name),
                ));
            }
        }
    }
    new.retain(|(source, after)| *source.text != **after);
    for (source, after) in &new {
        if *check {
            show::out(&difference(&source.name, (&source.text, after), Style::of_stdout(common)))?;
            continue;
        }
        let file = place::file(Path::new(&*source.name))?;
        put(&file, &source.text, after)?;
        show::out(&format!("{}\n", source.name))?;
    }
    Ok(if *check && !new.is_empty() { Success::Changes } else { Success::Done })
}

/// Lays out what comes by standard input.
fn standard_input(check: bool, style: Style, of_errors: Style) -> Result<Success, Failure> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(LIMIT + 1);
    input.read_to_string(&mut text).map_err(|error| Failure::of(Code::Manifest, &error))?;
    if text.len() as u64 > LIMIT {
        return Err(Failure::new(
            Code::Manifest,
            format!("standard input is larger than {} MiB", LIMIT >> 20),
        ));
    }
    let after = formatted(&text).map_err(|error| {
        let told = loaded::check_text("<stdin>", &text, of_errors).err();
        told.unwrap_or_else(|| Failure::new(Code::Manifest, format!("standard input: {error}")))
    })?;
    if !check {
        return show::out(&after).map(|()| Success::Done);
    }
    show::out(&difference("<stdin>", (&text, &after), style))?;
    Ok(if after == text { Success::Done } else { Success::Changes })
}
