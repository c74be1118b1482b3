//! Links that somebody has renamed: what is asked of the kernel to give them their names back.

use std::borrow::Cow;

use rustix::io::Errno;

use super::links::{Outcome, found, send};
use super::live::Live;
use super::netlink::Channel;
use super::{OpError, message, shared};
use crate::names::IfName;
use crate::resource::link::Link;

/// Gives a link another name. One that is up is not renamed before Linux 6.2 (`dev_change_name()`, `net/core/dev.c`), so it is
/// down for a moment there.
pub(super) async fn rename(live: &Live, here: &Channel, (from, to): (&IfName, &IfName)) -> Outcome {
    let index = found(here, from)?;
    let renamed = match here.request(shared::rename(index, to), 0).await {
        Err(refusal) if refusal.errno() == Some(Errno::BUSY) => {
            send(here, message::take_down(from), 0).await?;
            let renamed = send(here, shared::rename(index, to), 0).await;
            let name = if renamed.is_ok() { to } else { from };
            renamed.and(send(here, message::bring_up(name), 0).await)
        }
        answer => answer.map_err(OpError::from),
    };
    live.forget_indexes();
    renamed
}

/// Returns a link that keeps the name that somebody gave it, by that.
pub(super) fn by_its_name(mut link: Cow<'_, Link>) -> Cow<'_, Link> {
    if let Some(called) = link.amiss.name.clone() {
        let link = link.to_mut();
        (link.name, link.amiss.name) = (called, None);
    }
    link
}
