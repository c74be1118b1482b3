//! Verbs that show what they would do, and ask before they do it: `import` and `forget`.

use std::io::IsTerminal as _;

use super::args::Consent;
use super::failure::{Code, Failure};
use super::session::{Aim, Session};
use super::{confirm, run};
use crate::apply::lock::Lock;

/// Refuses a question that nobody can answer.
pub(super) fn may_ask(verb: &str, consent: &Consent) -> Result<(), Failure> {
    if consent.yes || consent.dry_run || std::io::stdin().is_terminal() {
        return Ok(());
    }
    let message = format!("`netform {verb}` asks before it changes anything, and there is no terminal");
    Err(Failure::new(Code::Usage, message).help("--yes answers the question, --dry-run only shows"))
}

/// Has the project to itself, and nothing unfinished behind it. Who only looks needs neither.
pub(super) async fn take_turn(
    session: &mut Session,
    verb: &str,
    consent: &Consent,
) -> Result<Option<Lock>, Failure> {
    if consent.dry_run {
        session.tell_of_unfinished();
        return Ok(None);
    }
    let lock = run::take_lock(session, verb, consent.lock_timeout).await?;
    run::recover(session).await?;
    confirm::settle(session, Aim::Manifest).await?;
    Ok(Some(lock))
}
