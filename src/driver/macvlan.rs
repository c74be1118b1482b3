//! A container as one more host on the network behind a link of this host.
//!
//! Its packets do not pass the host: neither its firewall nor its routes have a say, no port of the host is published
//! there, and the host itself cannot talk to it (`macvlan_broadcast_enqueue()` and `macvlan_queue_xmit()` in Linux
//! `drivers/net/macvlan.c`). The parent is somebody else's and is not changed.
//!
//! In passthru mode the link has the parent's link-layer address, and to give it another would change the parent's.

use super::{AltNames, entry};
use crate::resource::Resource;
use crate::resource::link::{Link, LinkKind, Macvlan, MacvlanMode};
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::topology::{Attachment, Container};

/// Returns the link that attaches a container.
pub(super) fn attachment(
    container: &Container,
    attachment: &Attachment,
    mode: MacvlanMode,
    names: &mut AltNames<'_>,
) -> Entry {
    let Attachment { network, origin, interface, link, mac, mtu, .. } = attachment;
    let owner = Owner::Attachment { container: container.name.clone(), network: network.clone() };
    let kind = LinkKind::Macvlan(Macvlan { parent: interface.clone(), mode });
    let link = Resource::from(Link {
        mac: Some(*mac).filter(|_| mode != MacvlanMode::Passthru),
        altname: names.give(&[container.name.as_str(), network.as_str()]),
        ..Link::alone(container.ns.clone(), link.clone(), *mtu, kind)
    });
    entry(link, &owner, origin)
}
