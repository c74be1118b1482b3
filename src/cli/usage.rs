//! What is said of a command line that is wrong.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _, Error};

use super::args::Cli;

/// Returns the error of a command line with what helps.
pub(super) fn helped(error: Error, words: &[OsString]) -> Error {
    let command = Cli::command();
    with_manifest(without_hidden(error, &command), &command, words)
}

/// Says by which option a verb takes a manifest that it takes by nothing else.
fn with_manifest(mut error: Error, command: &Command, words: &[OsString]) -> Error {
    let Some(ContextValue::String(odd)) = error.get(ContextKind::InvalidArg) else { return error };
    let words = words.iter().skip(1).filter_map(|word| word.to_str());
    let verb = words.fold(command, |command, word| command.find_subcommand(word).unwrap_or(command));
    let takes_it = || verb.get_arguments().any(|it| it.get_long() == Some("manifest"));
    let is_option = odd.len() > 1 && odd.starts_with('-');
    if error.kind() == ErrorKind::UnknownArgument && !is_option && takes_it() {
        let tip = format!("`--manifest {odd}` names a manifest");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Returns an error without suggestions of verbs that are netform's own to use.
fn without_hidden(mut error: Error, command: &Command) -> Error {
    let is_shown = |name: &String| !command.find_subcommand(name).is_some_and(Command::is_hide_set);
    match error.remove(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(names)) => {
            let shown: Vec<String> = names.into_iter().filter(is_shown).collect();
            if !shown.is_empty() {
                error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(shown));
            }
        }
        Some(ContextValue::String(name)) if !is_shown(&name) => {}
        Some(other) => drop(error.insert(ContextKind::SuggestedSubcommand, other)),
        None => {}
    }
    error
}
