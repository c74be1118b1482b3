//! Tells systemd how the daemon is doing, when systemd started it: sd_notify(3). Nobody listens otherwise.

use sd_notify::NotifyState;

use super::protocol::Status;

/// Says that the daemon is ready: the first run is over.
pub(super) fn ready() {
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}

/// Says that the daemon is about to end.
pub(super) fn stopping() {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
}

/// Says how the daemon is doing, as `systemctl status` shows it.
pub(super) fn status(status: &Status) {
    let Status { state, generation, objects, .. } = status;
    let line = format!("generation {generation}, {} ({objects} objects)", state.as_str());
    let _ = sd_notify::notify(&[NotifyState::Status(&line)]);
}
