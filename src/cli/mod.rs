//! The command line: one file for each verb; `failure` alone turns errors into exit codes.

mod ahead;
mod args;
mod ask;
mod confirm;
mod consent;
mod declared;
mod destroy;
mod discover;
mod doctor;
mod edit;
mod env;
mod events;
mod exec;
mod explain;
mod extra;
mod failure;
mod flags;
mod foresight;
mod forget;
mod history;
mod housing;
mod import;
mod interrupt;
mod lacking;
mod loaded;
mod meeting;
mod naming;
mod originals;
mod path;
mod ports;
mod prepared;
mod refusal;
mod report;
mod resolver;
mod reunite;
mod run;
mod runtimes;
mod sandbox;
mod scope;
mod session;
mod show;
mod signals;
mod ssh;
mod status;
mod strays;
mod translate;
mod turns;
mod usage;
mod validate;
mod voice;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::halves;
use crate::kernel::ovsdb;
use crate::plan::target::Selection;
use crate::watch::protocol;
use args::{Cli, Common, DaemonVerb, PlanFormat, Rendering, SchemaOf, TextOrJson, Verb, in_front};
use failure::{Code, Failure};
use run::{Ran, Request};
use session::{Aim, Session};
use show::Style;

/// How a command ends when it ends well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Success {
    /// Done, or nothing to do.
    Done,
    /// There are, or were, changes, and the user asked to be told by the exit code.
    Changes,
    /// The command that was run ended with this code.
    Exited(u8),
}

impl Success {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Changes => 2,
            Self::Exited(code) => code,
        }
    }
}

/// Runs the command.
pub fn main() -> ExitCode {
    let words = in_front(std::env::args_os().collect(), &Cli::command());
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => {
            let error = usage::helped(error, &words);
            // Nobody reads: nothing to be done about it.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(Code::Usage as u8) } else { ExitCode::SUCCESS };
        }
    };
    if !matches!(cli.verb, Verb::Daemon(_)) {
        keep_what_is_freed();
        halves::end_soon();
    }
    match dispatch(cli) {
        Ok(success) => ExitCode::from(success.code()),
        Err(failure) => {
            show::err(&format!("{failure}\n"));
            ExitCode::from(failure.code as u8)
        }
    }
}

/// Has the allocator use again what is freed, instead of giving it back and asking for it anew: a plan for 1,000 attachments
/// takes 5 % less. A daemon shall give back instead.
///
/// Of a large piece that is freed glibc learns from which size on to give back (`M_MMAP_THRESHOLD`, mallopt(3)); the piece is
/// never touched, so it takes no memory.
fn keep_what_is_freed() {
    halves::make_room();
    // What it has learned counts from now on.
    halves::make_room();
}

fn dispatch(cli: Cli) -> Result<Success, Failure> {
    let Cli { common, verb } = cli;
    let style = Style::of_stdout(&common);
    ovsdb::set_directory(&common.ovs_rundir);
    match verb {
        Verb::Validate { manifest, output } => validate::run(&common, &manifest.manifest, output),
        Verb::Plan { manifest, show, part, destroy, detailed_exitcode, out } => {
            let aim = if destroy { Aim::Nothing } else { Aim::Manifest };
            let of = (aim, part.into());
            let changes = block_on(plan(&common, &manifest.manifest, &of, (&show, out.as_deref())))?;
            Ok(if changes && detailed_exitcode { Success::Changes } else { Success::Done })
        }
        Verb::Apply { manifest, show, part, run, detailed_exitcode, confirm_timeout } => {
            let request = Request {
                confirm: confirm_timeout,
                selection: part.into(),
                ..Request::new("apply", Aim::Manifest, &show, &run, style)
            };
            let changed = if detailed_exitcode { Success::Changes } else { Success::Done };
            told(&request, changed, change(&common, &manifest.manifest, &request))
        }
        Verb::Try { manifest, show, run, confirm_timeout } => {
            let request = Request {
                confirm: Some(confirm_timeout),
                ..Request::new("try", Aim::Manifest, &show, &run, style)
            };
            told(&request, Success::Done, attempt(&common, &manifest.manifest, &request))
        }
        Verb::Confirm { which } => block_on(confirm::confirm(&common, &which)).map(|()| Success::Done),
        Verb::RevertUnconfirmed { which } => {
            block_on(confirm::guard(&common, &which)).map(|()| Success::Done)
        }
        Verb::Daemon(verb) => block_on(daemon(&common, &verb)).map(|()| Success::Done),
        Verb::Edit(verb) => edit::run(&common, &verb),
        Verb::Destroy { manifest, project, show, run } => {
            let request = Request::new("destroy", Aim::Nothing, &show, &run, style);
            told(&request, Success::Done, destroy::run(&common, &manifest.or(project), &request))
        }
        Verb::Rollback { generation, which, show, run, dry_run } => {
            // Which generation is known when the project is.
            let request = Request::new("rollback", Aim::Nothing, &show, &run, style);
            if dry_run {
                block_on(history::preview(&common, &which, generation, &request)).map(|()| Success::Done)
            } else {
                told(&request, Success::Done, history::rollback(&common, &which, generation, &request))
            }
        }
        Verb::History { which, output } => history::list(&common, &which, output).map(|()| Success::Done),
        Verb::Show { what, which, show } => {
            history::show(&common, &what, &which, &show).map(|()| Success::Done)
        }
        Verb::Status { manifest, tree, exit_code, output } => {
            let in_sync = block_on(status(&common, &manifest, tree, output))?;
            Ok(if exit_code && !in_sync { Success::Changes } else { Success::Done })
        }
        Verb::Explain { things, path, exit_code, output } => match path.as_deref() {
            Some([from, to]) => block_on(path::run(&common, (from, to), exit_code, output)),
            Some(_) | None => block_on(explain::run(&common, &things, output)).map(|()| Success::Done),
        },
        Verb::Env(verb) => block_on(env::run(&common, &verb)).map(|()| Success::Done),
        Verb::Doctor(wish) => block_on(doctor::run(&common, &wish)),
        Verb::Exec { manifest, container, command } => {
            match exec::run(&common, &manifest, &container, &command)? {}
        }
        Verb::Sandbox { manifest, empty: _, command } => {
            sandbox::run(&common, manifest.as_deref(), &command).map(Success::Exited)
        }
        Verb::Import(wish) => block_on(import::run(&common, &wish)).map(|()| Success::Done),
        Verb::Forget(wish) => block_on(forget::run(&common, &wish)).map(|()| Success::Done),
        Verb::Schema { of } => schema(of).map(|()| Success::Done),
        Verb::Completion { shell } => completion(shell).map(|()| Success::Done),
    }
}

fn schema(of: SchemaOf) -> Result<(), Failure> {
    let schema = match of {
        SchemaOf::Manifest => crate::manifest::schema(),
        SchemaOf::Plan => crate::plan::render::json::schema().to_value(),
        SchemaOf::Events => events::schema().to_value(),
        SchemaOf::Daemon => schemars::schema_for!(crate::watch::protocol::Line).to_value(),
        SchemaOf::Status => status::schema().to_value(),
        SchemaOf::Validate => validate::schema().to_value(),
        SchemaOf::Explain => explain::schema().to_value(),
        SchemaOf::Path => path::schema().to_value(),
        SchemaOf::Doctor => doctor::schema().to_value(),
        SchemaOf::Env => env::schema().to_value(),
        SchemaOf::Error => refusal::schema().to_value(),
        SchemaOf::Network => edit::network::look::schema().to_value(),
    };
    show::out(&format!("{schema:#}\n"))
}

fn completion(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "netform", &mut script);
    show::out(&String::from_utf8_lossy(&script))
}

/// Runs what waits for the kernel; everything is on one thread.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::of(Code::Failed, &error))?.block_on(work)
}

async fn daemon(common: &Common, verb: &DaemonVerb) -> Result<(), Failure> {
    match verb {
        DaemonVerb::Watch { manifest, how } => watch::run(common, &manifest.manifest, how).await,
        DaemonVerb::Reconcile { which } => ask::ask(common, which, &protocol::Request::Reconcile).await,
        DaemonVerb::Suspend { time, which } => {
            ask::ask(common, which, &protocol::Request::Suspend { seconds: time.as_secs() }).await
        }
        DaemonVerb::Resume { which } => ask::ask(common, which, &protocol::Request::Resume).await,
        DaemonVerb::Events { which } => ask::events(common, which).await,
    }
}

/// Changes something, and tells how that began and ended.
fn told(
    request: &Request<'_>,
    changed: Success,
    work: impl Future<Output = Result<Ran, Failure>>,
) -> Result<Success, Failure> {
    let (voice, shield) = (&request.voice, &request.shield);
    voice.begin(request.verb);
    let ran = block_on(shield.unless_interrupted(work));
    let ended = match &ran {
        Ok(Ran::Changed) => changed,
        Ok(Ran::Nothing | Ran::Declined) | Err(_) => Success::Done,
    };
    let code = match (&ran, ended) {
        (Err(failure), _) => failure.code as u8,
        (Ok(_), ended) => ended.code(),
    };
    voice.end(&ran, code);
    ran?;
    // All is done, and whoever waits for the last line does not know.
    let unheard = |failure: Failure| Failure { code: Code::Stranded, ..failure };
    voice
        .heard()
        .map_err(|failure| unheard(failure).help("all was done; standard output could not be written"))?;
    Ok(ended)
}

async fn plan(
    common: &Common,
    manifest: &Path,
    (aim, selection): &(Aim, Selection),
    (show, out): (&Rendering, Option<&Path>),
) -> Result<bool, Failure> {
    let planned = async {
        out.map_or(Ok(()), history::check_place)?;
        let mut session = Session::open_to_plan(common, manifest)?;
        session.tell_of_unfinished();
        let prepared = session.prepare_part(*aim, selection).await?;
        Ok((session, prepared))
    };
    let (session, mut prepared) = refusal::told(show.output == PlanFormat::Json, planned.await)?;
    lacking::warn(&mut prepared.plan).await;
    show::plan(&prepared.plan, &prepared.desired, show, Style::of_stdout(common), "plan")?;
    if let Some(out) = out {
        history::save(&session, &prepared, manifest, out)?;
        show::err(&format!("Saved. Apply exactly this with: netform apply {}\n", out.display()));
    }
    let changes = !prepared.plan.is_empty();
    // To free a large state piece by piece takes long, and the process ends: the kernel frees it at once.
    std::mem::forget((session, prepared));
    Ok(changes)
}

async fn change(common: &Common, manifest: &Path, request: &Request<'_>) -> Result<Ran, Failure> {
    if let Some(saved) = history::saved_plan(manifest)? {
        return history::apply_saved(common, saved, request).await;
    }
    let mut session = Session::open_to_plan(common, manifest)?;
    let ran = run::run(&mut session, request).await;
    // As in `plan`.
    std::mem::forget(session);
    ran
}

async fn attempt(common: &Common, manifest: &Path, request: &Request<'_>) -> Result<Ran, Failure> {
    let mut session = Session::open_to_plan(common, manifest)?;
    match run::run(&mut session, request).await? {
        Ran::Changed => confirm::wait(&mut session).await,
        ran @ (Ran::Nothing | Ran::Declined) => Ok(ran),
    }
}

async fn status(common: &Common, manifest: &Path, tree: bool, output: TextOrJson) -> Result<bool, Failure> {
    let shown = show_status(common, manifest, tree, output).await;
    refusal::told(output == TextOrJson::Json, shown)
}

/// Shows the status; tells whether the live state is what is declared.
async fn show_status(
    common: &Common,
    manifest: &Path,
    tree: bool,
    output: TextOrJson,
) -> Result<bool, Failure> {
    let mut session = Session::open_to_plan(common, manifest)?;
    session.tell_of_unfinished();
    let (prepared, conflicts) = session.prepare_around(Aim::Manifest, &Selection::default()).await?;
    let Some(topology) = &prepared.topology else { return Ok(true) };
    let generation = session.past.generation.as_ref().map(|generation| generation.number);
    let daemon = ask::status(&session.dirs).await;
    let status = status::Status::new(topology, &prepared.plan, &conflicts, generation);
    let status = status.remembering(&session.past).kept_by(daemon);
    let text = match (output, tree) {
        (TextOrJson::Json, _) => {
            let json =
                serde_json::to_string_pretty(&status).map_err(|error| Failure::of(Code::Failed, &error))?;
            format!("{json}\n")
        }
        (TextOrJson::Text, true) => status.tree(),
        (TextOrJson::Text, false) => status.table(),
    };
    show::out(&text)?;
    Ok(status.in_sync())
}
