//! Why a manifest is not in force, and what the daemon may do by itself.

use super::super::args::{Run, WhenItFails};
use super::super::failure::Failure;
use super::LOCK_PATIENCE;
use crate::watch::Held;

/// Says that a manifest was undone.
pub(super) fn not_confirmed() -> Held {
    let message = "it was tried and not confirmed in time; it is put in force once it is edited".to_owned();
    Held { message, may_pass: false }
}

/// Says why a manifest, or what is in force, does not stand as it is; what is in the way may go.
pub(super) fn not_yet(failure: &Failure) -> Held {
    Held { message: failure.to_string(), may_pass: true }
}

/// What a run may do that nobody watches.
pub(super) const UNATTENDED: Run = Run {
    yes: true,
    lock_timeout: LOCK_PATIENCE,
    max_destroy: None,
    allow_empty: false,
    allow_management_path: false,
    on_failure: WhenItFails::Rollback,
};
