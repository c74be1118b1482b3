//! `netform history`, `show` and `rollback`: generations and saved plans.

use std::io::Read;
use std::path::Path;

use serde::Serialize;

use super::args::{Common, Rendering, TextOrJson, WhichProject};
use super::failure::{Code, Failure, disk_failure, unreadable};
use super::run::{self, Ran, Request};
use super::session::{Aim, Prepared, Session};
use super::show::{self, Style};
use crate::apply::saved::{Basis, SavedPlan, is_saved_plan};
use crate::kernel::Kernel as _;
use crate::plan::target::narrow;

/// One generation, in a list.
#[derive(Debug, Serialize)]
struct Line {
    generation: u64,
    applied_at: u64,
    manifest_sha256: String,
    objects: usize,
    newest: bool,
}

/// Lists the generations that are kept, newest last.
pub(super) fn list(common: &Common, which: &WhichProject, output: TextOrJson) -> Result<(), Failure> {
    let session = Session::of_known_project(common, which)?;
    let mut lines = vec![];
    for number in session.dirs.numbers().map_err(|error| disk_failure(&error))? {
        // A damaged one is not listed; `past` has said so.
        let Ok(Some(generation)) = session.dirs.generation(number) else { continue };
        lines.push(Line {
            generation: number,
            applied_at: generation.applied_at,
            manifest_sha256: generation.manifest_sha256,
            objects: generation.state.len(),
            newest: number == session.newest(),
        });
    }
    match output {
        TextOrJson::Json => {
            let json =
                serde_json::to_string_pretty(&lines).map_err(|error| Failure::of(Code::Failed, &error))?;
            show::out(&format!("{json}\n"))
        }
        TextOrJson::Text if lines.is_empty() => {
            show::out(&format!("Nothing was applied for project {}.\n", session.project))
        }
        TextOrJson::Text => {
            let mut text = "GENERATION  APPLIED               OBJECTS  MANIFEST\n".to_owned();
            for Line { generation, applied_at, manifest_sha256, objects, newest } in lines {
                let at = humantime::format_rfc3339_seconds(
                    std::time::UNIX_EPOCH + std::time::Duration::from_secs(applied_at),
                );
                let mark = if newest { "  (newest)" } else { "" };
                let manifest = manifest_sha256.get(..12).unwrap_or_default();
                text.push_str(&format!("{generation:<11} {at}  {objects:<8} {manifest}{mark}\n"));
            }
            show::out(&text)
        }
    }
}

/// Shows a saved plan or the manifest of a generation.
pub(super) fn show(
    common: &Common,
    what: &str,
    which: &WhichProject,
    show: &Rendering,
) -> Result<(), Failure> {
    if let Some(saved) = saved_plan(Path::new(what))? {
        return show::plan(&saved.plan, &saved.desired, show, Style::of_stdout(common), "show");
    }
    let Ok(number) = what.parse::<u64>() else {
        return Err(Failure::new(
            Code::NoInput,
            format!("`{what}` is neither a saved plan nor the number of a generation"),
        ));
    };
    let session = Session::of_project(common, which)?;
    match session.dirs.generation(number).map_err(|error| disk_failure(&error))? {
        Some(generation) => show::out(&generation.manifest),
        None => Err(Failure::new(Code::NoInput, format!("there is no generation {number}"))
            .help("`netform history` lists them")),
    }
}

/// Plans the way back, and goes it.
pub(super) async fn rollback(
    common: &Common,
    which: &WhichProject,
    generation: Option<u64>,
    request: &Request<'_>,
) -> Result<Ran, Failure> {
    let mut session = Session::of_known_project(common, which)?;
    let aim = earlier(&session, generation)?;
    run::run(&mut session, &Request { aim, ..request.clone() }).await
}

/// Plans the way back, and only shows it.
pub(super) async fn preview(
    common: &Common,
    which: &WhichProject,
    generation: Option<u64>,
    request: &Request<'_>,
) -> Result<(), Failure> {
    let mut session = Session::of_known_project(common, which)?;
    let aim = earlier(&session, generation)?;
    let prepared = session.prepare(aim).await?;
    session.check_given_away(aim, &prepared)?;
    show::plan(&prepared.plan, &prepared.desired, request.show, request.style, "plan")
}

/// Returns the generation to go back to: the one before the newest when none is given.
fn earlier(session: &Session, generation: Option<u64>) -> Result<Aim, Failure> {
    let newest = session.newest();
    let undone = session.dirs.undone_before(newest).map_err(|error| disk_failure(&error))?;
    // What was tried is the one before, and what nobody confirmed is not to come back by a slip.
    if let (None, Some(undone)) = (generation, undone.filter(|undone| *undone != newest)) {
        let message = format!("generation {undone} was not confirmed, and is undone already");
        return Err(Failure::new(Code::NoInput, message)
            .help("`netform rollback GENERATION` goes back further; `netform history` lists them"));
    }
    let before = newest.checked_sub(1).filter(|number| *number > 0);
    let number = generation.or(before).ok_or_else(|| {
        Failure::new(Code::NoInput, "there is no generation before the newest")
            .help("`netform destroy` removes everything")
    })?;
    Ok(Aim::Generation(number))
}

/// Refuses to save a plan where there is no directory, since a misspelt path should not become one, and in place of anything
/// but another plan, or a file with nothing in it.
pub(super) fn check_place(out: &Path) -> Result<(), Failure> {
    if let Some(dir) = out.parent().filter(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()) {
        let message =
            format!("cannot save the plan as {}: there is no directory {}", out.display(), dir.display());
        return Err(
            Failure::new(Code::NoInput, message).help(format!("make it with `mkdir -p {}`", dir.display()))
        );
    }
    let is_plan = |mut file: std::fs::File| {
        let mut beginning = [0; 256];
        let read = file.read(&mut beginning).unwrap_or_default();
        beginning.get(..read).is_some_and(|beginning| read == 0 || is_saved_plan(beginning))
    };
    let may_be_replaced = match std::fs::metadata(out) {
        Ok(there) => there.is_file() && std::fs::File::open(out).is_ok_and(is_plan),
        // A link that leads nowhere is somebody's all the same.
        Err(_) => out.symlink_metadata().is_err(),
    };
    if may_be_replaced {
        return Ok(());
    }
    let message =
        format!("cannot save the plan as {}: it is there already, and is no saved plan", out.display());
    Err(Failure::new(Code::Usage, message).help("name a file that is not there yet, or an older plan"))
}

/// Saves a plan.
pub(super) fn save(
    session: &Session,
    prepared: &Prepared,
    manifest: &Path,
    out: &Path,
) -> Result<(), Failure> {
    // What removes everything is not made from the manifest, and fits whatever that says by then.
    let edits_matter = manifest != Path::new("-") && prepared.topology.is_some();
    let absolute = edits_matter.then(|| std::path::absolute(manifest)).transpose();
    let basis = Basis {
        project: session.project.clone(),
        manifest_path: absolute.map_err(|error| Failure::of(Code::Failed, &error))?,
        manifest: prepared.manifest.clone(),
        base: session.newest(),
    };
    let saved =
        SavedPlan::new(basis, prepared.plan.clone(), prepared.desired.clone(), prepared.leases.clone());
    saved.write(out).map_err(|error| disk_failure(&error))
}

/// Reads a saved plan; `None` when the file is something else, or not there.
pub(super) fn saved_plan(path: &Path) -> Result<Option<SavedPlan>, Failure> {
    let mut beginning = [0; 256];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut beginning));
    let Some(beginning) = read.ok().and_then(|read| beginning.get(..read)) else { return Ok(None) };
    if !is_saved_plan(beginning) {
        return Ok(None);
    }
    SavedPlan::read(path).map_err(|error| disk_failure(&error))
}

/// Does exactly what a saved plan says, without asking, or refuses because something moved.
pub(super) async fn apply_saved(
    common: &Common,
    saved: SavedPlan,
    request: &Request<'_>,
) -> Result<Ran, Failure> {
    if !request.selection.is_everything() {
        return Err(Failure::new(Code::Usage, "a saved plan is done whole")
            .help("give --target and --exclude to `netform plan --out FILE`"));
    }
    let project = WhichProject { project: Some(saved.project.to_string()), manifest: "netform.yaml".into() };
    let mut session = Session::of_project(common, &project)?;
    session.voice = request.voice.clone();
    session.shield = request.shield.clone();
    let _lock = run::take_lock(&mut session, request.verb, request.run.lock_timeout).await?;
    run::recover(&mut session).await?;
    super::confirm::settle(&mut session, request.aim).await?;
    let began = std::time::Instant::now();
    let mut scope = session.scope();
    super::scope::widen(&mut scope, &saved.desired.0);
    let mut observed = session.survey(&mut scope).await?.observed;
    if session.leave_usurped(&mut scope, &saved.desired.0, &observed.own) {
        observed = session.kernel.observe(&scope).await.map_err(unreadable)?;
    }
    // A manifest that cannot be read now is not the one that was planned.
    let manifest = saved.manifest_path.as_ref().map(|path| super::loaded::text(path).unwrap_or_default());
    let moved = saved.moved(manifest.as_deref(), session.newest(), &observed);
    if !moved.is_empty() {
        let lines: Vec<_> = moved.iter().map(|line| format!("  {line}")).collect();
        return Err(Failure::new(
            Code::Stale,
            format!("the saved plan does not fit any more; nothing was changed\n{}", lines.join("\n")),
        )
        .help("plan again"));
    }
    let SavedPlan { manifest, plan, mut desired, leases, .. } = saved;
    let (mut applied, mut kept) = (session.past.state(), None);
    if let Some(part) = &plan.extra.part {
        let narrowed = narrow(part, &desired, &observed, &applied);
        (desired, applied, kept) = (narrowed.desired, narrowed.applied, Some(narrowed.kept));
    }
    let prepared =
        Prepared { topology: None, desired, scope, observed, applied, kept, leases, manifest, plan };
    run::shown(&prepared, request, began.elapsed())?;
    run::finish(&mut session, &prepared, request).await
}
