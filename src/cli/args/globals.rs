//! What every verb takes, where clap would not have it.

use std::ffi::OsString;

use clap::Command;

/// Puts what every verb takes before `import` where it stands between that and what is imported: there, clap takes it for an
/// argument of `import` and what follows for the resource (`args_conflicts_with_subcommands`, so that an object may be
/// called `compose`).
pub(in crate::cli) fn in_front(mut words: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let behind = |from: usize| {
        let mut at = from;
        while let Some(more) = words.get(at).and_then(|word| global(command, word)) {
            at += more;
        }
        at
    };
    let verb = behind(1);
    if words.get(verb).is_none_or(|word| word != "import") {
        return words;
    }
    let what = behind(verb + 1);
    let is_whose = words.get(what).is_some_and(|word| word == "compose" || word == "docker");
    if let Some(between) = words.get_mut(verb..what).filter(|_| is_whose) {
        between.rotate_left(1);
    }
    words
}

/// Returns how many words an option takes that every verb has; `None` for anything else.
fn global(command: &Command, word: &OsString) -> Option<usize> {
    let word = word.to_str()?.strip_prefix("--")?;
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    let option = command.get_arguments().find(|it| it.is_global_set() && it.get_long() == Some(name))?;
    Some(if option.get_action().takes_values() && name == word { 2 } else { 1 })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Cli;

    #[track_caller]
    fn check(words: &str, want: &str) {
        let words = words.split(' ').map(OsString::from).collect();
        let words = in_front(words, &Cli::command());
        assert_eq!(words.join(" ".as_ref()), want);
    }

    #[test]
    fn what_every_verb_takes_may_stand_before_what_is_imported() {
        check("netform import --color never compose a.yaml", "netform --color never import compose a.yaml");
        check(
            "netform --run-dir /r import --color=never --state-dir /s docker",
            "netform --run-dir /r --color=never --state-dir /s import docker",
        );
        for same in [
            "netform import compose a.yaml --color never",
            "netform import network.lan compose",
            "netform import --color never network.lan docker",
            "netform import --yes compose",
            "netform plan --color never compose",
            "netform import --color",
        ] {
            check(same, same);
        }
    }
}
