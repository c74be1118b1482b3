//! The past is read while the manifest is, and so is the host: of a large project each takes as long as the others.
//!
//! Whose past it is says the manifest, so the project's name is guessed from the text; a wrong guess costs nothing.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::thread::JoinHandle;

use super::args::Common;
use crate::apply::generation::{Past, Stamp};
use crate::apply::{Dirs, DiskError, lock};
use crate::halves::{join_in, make_room};
use crate::kernel::Glimpse;
use crate::names::ProjectName;

/// How much of a manifest is looked at, in bytes: one that is too large is refused later, and not to be read for a guess.
const BEGINNING: u64 = 64 << 10;

/// A past, with the stamp that it had before it was read.
pub(super) type Read = (Stamp, Result<Past, DiskError>);

/// The past of a project, being read.
pub(super) struct Ahead {
    dirs: Dirs,
    reading: JoinHandle<Read>,
    glimpsed: Option<Glimpsed>,
}

/// Whether the host is looked at ahead: who is about to plan will want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    Yes,
    No,
}

/// The host, being looked at.
pub(super) struct Glimpsed {
    pub(super) glimpse: Glimpse,
    pub(super) began: Began,
}

/// What was next when something began. Where others came first, it is past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Began {
    /// The run of the project.
    pub(super) run: u64,
    /// The turn at what all projects share.
    pub(super) turn: u64,
}

impl Glimpsed {
    /// Begins to look at the host.
    fn begin(dirs: &Dirs) -> Option<Self> {
        let began = Began { run: lock::next_run(dirs), turn: lock::next_host_turn(dirs) };
        Some(Self { glimpse: Glimpse::begin()?, began })
    }
}

impl Ahead {
    /// Begins to read the past of the project that a manifest seems to be of, and perhaps to look at the host.
    pub(super) fn begin(common: &Common, manifest: &Path, looks: Looks) -> Option<Self> {
        join_in();
        let dirs = Dirs::new(&common.state_dir, &common.run_dir, &guess(manifest)?);
        let glimpsed = match looks {
            Looks::Yes => Glimpsed::begin(&dirs),
            Looks::No => None,
        };
        let reading = {
            let dirs = dirs.clone();
            let work = move || {
                make_room();
                read(&dirs)
            };
            std::thread::Builder::new().name("past".to_owned()).spawn(work).ok()?
        };
        Some(Self { dirs, reading, glimpsed })
    }

    /// Returns the past of a project: the one that is being read, or else another one; and the host that is being looked at.
    pub(super) fn take(ahead: Option<Self>, dirs: &Dirs) -> (Read, Option<Glimpsed>) {
        let Some(Self { dirs: _, reading, glimpsed }) = ahead.filter(|ahead| ahead.dirs == *dirs) else {
            return (read(dirs), None);
        };
        (reading.join().unwrap_or_else(|_| read(dirs)), glimpsed)
    }
}

fn read(dirs: &Dirs) -> Read {
    (dirs.stamp(), dirs.past())
}

/// Returns the project that a manifest's text names in plain words; the manifest may be wrong.
pub(super) fn guess(manifest: &Path) -> Option<ProjectName> {
    // What is read from a pipe is gone.
    if !std::fs::metadata(manifest).ok()?.is_file() {
        return None;
    }
    let mut beginning = vec![];
    File::open(manifest).ok()?.take(BEGINNING).read_to_end(&mut beginning).ok()?;
    let text = String::from_utf8_lossy(&beginning);
    let name = text.lines().find_map(|line| line.strip_prefix("project:"))?;
    ProjectName::try_from(name.split('#').next()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("shop.yaml");
        std::fs::write(&file, text).unwrap();
        assert_eq!(guess(&file).as_ref().map(ProjectName::as_str), want, "{text}");
    }

    #[test]
    fn the_project_is_guessed_where_it_stands_in_plain_words() {
        check("netform: 1\nproject: shop  # ours\n", Some("shop"));
        check("netform: 1\n  project: shop\n", None);
        check("project: 'shop'\n", None);
        check("", None);
        check(&format!("{}project: shop\n", "#\n".repeat(40_000)), None);
    }
}
