//! `netform network`: the verbs of `docker network`, which edit the manifest and apply it.

pub(in crate::cli) mod look;
#[cfg(test)]
mod tests;
mod text;
mod wish;

use std::io::IsTerminal as _;
use std::time::Instant;

use super::super::args::{
    Change, Common, Connect, Create, Disconnect, HowMuch, NetworkVerb, PlanFormat, Remove, Rendering,
};
use super::super::failure::{Code, Failure};
use super::super::loaded::{self, Loaded};
use super::super::run::{self, How, Saves};
use super::super::session::{Aim, Session};
use super::super::show::{self, Style};
use super::super::{block_on, confirm};
use super::draft::{Draft, Manuscript};
use crate::names::NetName;
use crate::topology::nearest;

/// Runs a verb.
pub(super) fn run(common: &Common, verb: &NetworkVerb) -> Result<(), Failure> {
    match verb {
        NetworkVerb::Create(wish) => create(common, wish),
        NetworkVerb::Connect(wish) => connect(common, wish),
        NetworkVerb::Disconnect(wish) => disconnect(common, wish),
        NetworkVerb::Rm(wish) => remove(common, wish),
        NetworkVerb::Ls(wish) => block_on(look::list(common, wish)),
        NetworkVerb::Inspect(wish) => block_on(look::inspect(common, wish)),
    }
}

fn create(common: &Common, wish: &Create) -> Result<(), Failure> {
    let name = NetName::try_from(wish.name.as_str()).map_err(|error| Failure::of(Code::Usage, &error))?;
    let (value, path) = (wish::new_network(wish)?, wish::network(name.as_str()));
    let (loaded, manuscript) = open(common, &wish.change)?;
    if let Some(network) = loaded.manifest.networks.get(&name) {
        let place = loaded.origin(network.place);
        return Err(Failure::new(Code::Failed, format!("network {name} is declared already: {place}"))
            .help(format!("`netform set networks.{name}.KEY=VALUE` changes it")));
    }
    let draft = manuscript.draft(&[&path], |whole| wish::set(whole, &path, value))?;
    carry(common, &draft, &wish.change, "network create")
}

fn connect(common: &Common, wish: &Connect) -> Result<(), Failure> {
    let Connect { network, container, change, .. } = wish;
    let (loaded, manuscript) = open(common, change)?;
    let declared = loaded.manifest.containers.iter().find(|(name, _)| name.as_str() == container);
    let there = declared.and_then(|(_, spec)| {
        spec.value.networks.as_ref()?.iter().find(|(name, _)| name.as_str() == network)
    });
    if let Some((_, attachment)) = there {
        let place = loaded.origin(attachment.place);
        return Err(Failure::new(
            Code::Failed,
            format!("{container} is on network {network} already: {place}"),
        )
        .help(format!("`netform set containers.{container}.networks.{network}.KEY=VALUE` changes how")));
    }
    let draft = manuscript.draft(&[&wish::container(container)], |whole| wish::connect(whole, wish))?;
    carry(common, &draft, change, "network connect")
}

fn disconnect(common: &Common, wish: &Disconnect) -> Result<(), Failure> {
    let Disconnect { network, container, change } = wish;
    let (_, manuscript) = open(common, change)?;
    let edit = |whole: &mut serde_yaml::Value| wish::disconnect(whole, network, container);
    let draft = manuscript.draft(&[&wish::container(container)], edit)?;
    carry(common, &draft, change, "network disconnect")
}

fn remove(common: &Common, wish: &Remove) -> Result<(), Failure> {
    let Remove { networks, change } = wish;
    let (loaded, manuscript) = open(common, change)?;
    for name in networks {
        check_unused(&loaded, name)?;
    }
    let paths: Vec<_> = networks.iter().map(|name| wish::network(name)).collect();
    let draft = manuscript.draft(&paths.iter().collect::<Vec<_>>(), |whole| {
        paths
            .iter()
            .try_for_each(|path| path.unset(whole).map_err(|error| Failure::of(Code::NoInput, &error)))
    })?;
    carry(common, &draft, change, "network rm")
}

/// Refuses to take out a network that is not there, or that somebody is on.
fn check_unused(loaded: &Loaded, name: &str) -> Result<(), Failure> {
    let manifest = &loaded.manifest;
    if !manifest.networks.keys().any(|network| network.as_str() == name) {
        let near = nearest(name, manifest.networks.keys().map(NetName::as_str));
        let help = near.map_or_else(
            || "`netform network ls` lists what it declares".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(
            Failure::new(Code::NoInput, format!("the manifest declares no network {name}")).help(help)
        );
    }
    let mut users = vec![];
    for (container, spec) in &manifest.containers {
        let place = match (&spec.value.networks, &spec.value.mode) {
            (Some(networks), _) => {
                networks.iter().find(|(network, _)| network.as_str() == name).map(|(_, at)| at.place)
            }
            // Its silence means `default`.
            (None, None) if name == wish::DEFAULT => Some(spec.place),
            (None, _) => None,
        };
        users.extend(place.map(|place| (container, loaded.origin(place))));
    }
    let Some((first, _)) = users.first() else { return Ok(()) };
    let lines: String = users.iter().map(|(container, place)| format!("\n  {container}  {place}")).collect();
    Err(Failure::new(Code::Guarded, format!("network {name} is in use; nothing was changed{lines}"))
        .help(format!("`netform network disconnect {name} {first}` takes one off")))
}

/// Reads a manifest that is right, when nobody else edits it.
fn open(common: &Common, change: &Change) -> Result<(Loaded, Manuscript), Failure> {
    let Change { which, run, dry_run: _, no_apply: _, verbose: _ } = change;
    let style = Style::of_stderr(common);
    let manuscript = Manuscript::open(&which.manifest, run.lock_timeout, style)?;
    Ok((loaded::load(&which.manifest, style)?, manuscript))
}

/// Shows an edit and what it leads to, asks, writes it, and applies it.
fn carry(common: &Common, draft: &Draft, change: &Change, verb: &'static str) -> Result<(), Failure> {
    let loaded = draft.check(common)?;
    let Change { which: _, run, dry_run, no_apply, verbose: _ } = change;
    if !(run.yes || *dry_run || *no_apply || std::io::stdin().is_terminal()) {
        let message = "this asks before it changes anything, and there is no terminal";
        return Err(Failure::new(Code::Usage, message)
            .help("--yes answers the question; --dry-run only shows, --no-apply only edits"));
    }
    show::out(&draft.diff(Style::of_stdout(common)))?;
    if *no_apply {
        if !dry_run {
            draft.write()?;
            show::err(&format!("{} is written; `netform apply` makes it so.\n", draft.name()));
        }
        return Ok(());
    }
    block_on(async {
        let mut session = Session::of_loaded(common, loaded)?;
        let shield = session.shield.clone();
        shield.unless_interrupted(apply(common, &mut session, draft, (change, verb))).await
    })
}

async fn apply(
    common: &Common,
    session: &mut Session,
    draft: &Draft,
    (change, verb): (&Change, &'static str),
) -> Result<(), Failure> {
    let Change { which: _, run: how, dry_run, no_apply: _, verbose } = change;
    let style = Style::of_stdout(common);
    let rendering = Rendering { verbose: *verbose, detail: HowMuch::Changed, output: PlanFormat::Text };
    show::out("\n")?;
    if *dry_run {
        session.tell_of_unfinished();
        let prepared = session.prepare(Aim::Manifest).await?;
        return show::plan(&prepared.plan, &prepared.desired, &rendering, style, verb);
    }
    let _lock = run::take_lock(session, verb, how.lock_timeout).await?;
    run::recover(session).await?;
    confirm::settle(session, Aim::Manifest).await?;
    session.turn.at_once = how.yes;
    let prepared = session.prepare(Aim::Manifest).await?;
    show::plan(&prepared.plan, &prepared.desired, &rendering, style, verb)?;
    let attended = !how.yes;
    run::check_guards(&prepared, how, Aim::Manifest, attended).await?;
    if attended && !run::agreed(verb).await? {
        return show::out("Nothing was changed.\n");
    }
    let began = Instant::now();
    let _shield = session.shield.raise();
    draft.write()?;
    let how = How { style, on_failure: how.on_failure.into(), saves: Saves::WhatIsNew };
    let number =
        run::carry_out(session, &prepared, how).await.map_err(|failure| taken_back(failure, draft))?;
    let (name, count, took) = (draft.name(), prepared.plan.changes.len(), began.elapsed().as_millis());
    show::out(&match count {
        0 => format!("{name} is written; nothing of this host has to change.\n"),
        1 => format!("{name} is written. Applied 1 change in {took} ms, verified. Generation {number}.\n"),
        _ => format!(
            "{name} is written. Applied {count} changes in {took} ms, verified. Generation {number}.\n"
        ),
    })
}

/// Puts the manifest back to what it was, when what it led to was undone.
fn taken_back(mut failure: Failure, draft: &Draft) -> Failure {
    let said = match failure.code {
        // What is live is between the two, and the next apply goes on toward the new one.
        Code::Stranded => format!("{} stays as it was edited", draft.name()),
        Code::Failed
        | Code::RolledBack
        | Code::Stale
        | Code::Locked
        | Code::Guarded
        | Code::Unconfirmed
        | Code::Foreign
        | Code::Usage
        | Code::Manifest
        | Code::NoInput
        | Code::Missing
        | Code::Privilege
        | Code::Interrupted => match draft.take_back() {
            Ok(()) => format!("{} is as it was", draft.name()),
            Err(error) => format!("{} stays as it was edited: {}", draft.name(), error.message),
        },
    };
    failure.message = format!("{}\n{said}", failure.message.trim_end());
    failure
}
