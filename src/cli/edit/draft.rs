//! A manifest that is being edited: in memory first, then in its file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_yaml::Value;
use similar::TextDiff;

use super::super::args::Common;
use super::super::failure::{Code, Failure};
use super::super::loaded::{self, Loaded};
use super::super::show::{self, Style};
use super::place::{self, Turn};
use super::unreadable;
use crate::manifest::edit::path::Path;
use crate::manifest::edit::{EditError, lost_comments, meaning, rewritten};
use crate::manifest::problem::Sources;

/// What editors of old systems write in front of a text.
const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// The files of a manifest, which nobody else edits meanwhile.
pub(super) struct Manuscript {
    /// The manifest, as the user named it.
    manifest: PathBuf,
    sources: Arc<Sources>,
    turn: Turn,
}

/// A file with another text, which is not written yet.
pub(in crate::cli) struct Draft {
    manifest: PathBuf,
    /// The file, as the user sees it.
    name: String,
    /// The file itself.
    file: PathBuf,
    before: String,
    after: String,
    _turn: Turn,
}

impl Manuscript {
    /// Reads a manifest when nobody else edits it.
    pub(super) fn open(
        manifest: &std::path::Path,
        patience: Duration,
        style: Style,
    ) -> Result<Self, Failure> {
        if manifest == std::path::Path::new("-") {
            let failure = Failure::new(Code::Usage, "standard input cannot be edited");
            return Err(failure.help("name the file with --manifest"));
        }
        let turn = Turn::take(manifest, patience)?;
        let (sources, wrong) = loaded::files(manifest, style)?;
        match wrong {
            // What can be read as YAML can be edited, and may well be wrong no longer then.
            Some(wrong) if sources.files().iter().any(|file| meaning(&file.text).is_none()) => Err(wrong),
            Some(_) | None => Ok(Self { manifest: manifest.to_owned(), sources, turn }),
        }
    }

    /// Returns the file that has something at these paths, or is to have it, as `change` makes it.
    pub(super) fn draft(
        self,
        paths: &[&Path],
        change: impl FnOnce(&mut Value) -> Result<(), Failure>,
    ) -> Result<Draft, Failure> {
        let Self { manifest, sources, turn } = self;
        let mut chosen = paths.iter().map(|path| home_of(path, &sources)).collect::<Vec<_>>();
        chosen.sort_unstable();
        chosen.dedup();
        let [number] = chosen.as_slice() else {
            return Err(
                Failure::new(Code::Usage, "these are in several files").help("change one after the other")
            );
        };
        let source = sources.get(*number).ok_or_else(|| unreadable(EditError::Unreadable))?;
        let mut want = meaning(&source.text).ok_or_else(|| unreadable(EditError::Unreadable))?;
        change(&mut want)?;
        let after = rewritten(&source.text, &want).map_err(unreadable)?;
        let name = source.name.to_string();
        let file = place::file(std::path::Path::new(&name))?;
        Ok(Draft { manifest, name, file, before: source.text.to_string(), after, _turn: turn })
    }
}

impl Draft {
    /// Tells whether nothing changes.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.before == self.after
    }

    /// Returns the file, as the user sees it.
    pub(in crate::cli) fn name(&self) -> &str {
        &self.name
    }

    /// Reads the manifest as it will be; a wrong one is refused.
    pub(in crate::cli) fn check(&self, common: &Common) -> Result<Loaded, Failure> {
        let edited = (self.file.as_path(), self.after.as_str());
        loaded::load_edited(&self.manifest, edited, Style::of_stderr(common))
            .map_err(|failure| failure.help("this is the manifest as it would be; nothing was changed"))
    }

    /// Returns the comments that the text loses.
    pub(in crate::cli) fn lost_comments(&self) -> Vec<String> {
        lost_comments(&self.before, &self.after)
    }

    /// Returns what changes, line by line.
    pub(in crate::cli) fn diff(&self, style: Style) -> String {
        difference(&self.name, (&self.before, &self.after), style)
    }

    /// Writes the file, unless somebody has changed it meanwhile.
    pub(in crate::cli) fn write(&self) -> Result<(), Failure> {
        self.put(&self.before, &self.after)
    }

    /// Puts the file back to what it was, unless somebody has changed it meanwhile.
    pub(in crate::cli) fn take_back(&self) -> Result<(), Failure> {
        self.put(&self.after, &self.before)
    }

    fn put(&self, from: &str, to: &str) -> Result<(), Failure> {
        put(&self.file, from, to)
    }
}

/// Writes a text over another one, the byte order mark kept.
pub(super) fn put(file: &std::path::Path, from: &str, to: &str) -> Result<(), Failure> {
    let further = place::further_names(file);
    let written = place::write(file, |now| {
        let marked = now.strip_prefix(BYTE_ORDER_MARK.to_string().as_bytes());
        (marked.unwrap_or(now) == from.as_bytes())
            .then(|| if marked.is_some() { format!("{BYTE_ORDER_MARK}{to}") } else { to.to_owned() })
    });
    written.map_err(|error| {
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        Failure::of(if denied { Code::Privilege } else { Code::Failed }, &*error)
    })?;
    if further > 0 {
        show::err(&format!(
            "warning: {} has {further} further name(s), hard links, which keep the text that it had\n",
            file.display()
        ));
    }
    Ok(())
}

/// Returns the number of the file that has most of a path; the first of several.
fn home_of(path: &Path, sources: &Sources) -> usize {
    let reach = |text: &str| meaning(text).map_or(0, |value| path.reaches(&value));
    let reaches = sources.files().iter().enumerate().map(|(number, file)| (reach(&file.text), number));
    reaches.min_by_key(|(reach, number)| (std::cmp::Reverse(*reach), *number)).map_or(0, |(_, number)| number)
}

/// Returns how two texts of a file differ, line by line.
pub(super) fn difference(name: &str, (before, after): (&str, &str), style: Style) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut text = diff.unified_diff().context_radius(3).header(name, name).to_string();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match style {
        Style::Plain => text,
        Style::Terminal => text.lines().map(|line| format!("{}\n", coloured(line))).collect(),
    }
}

fn coloured(line: &str) -> String {
    let code = match line.chars().next() {
        Some('+') => 32,
        Some('-') => 31,
        Some('@') => 36,
        Some(_) | None => return line.to_owned(),
    };
    format!("\x1b[{code}m{line}\x1b[0m")
}
