//! A container as one more host behind a link of this host, with that link's link-layer address.
//!
//! In mode l2 it is there as a macvlan one is, for switches that let no second address through. In modes l3 and l3s its
//! packets are routed where the parent lives and nobody asks for neighbours: it needs no gateway, and whoever is behind the
//! parent needs a route to it. The host itself cannot talk to it in any mode (`ipvlan_queue_xmit()` in Linux
//! `drivers/net/ipvlan/ipvlan_core.c`).

use super::{AltNames, entry};
use crate::resource::Resource;
use crate::resource::link::{Ipvlan, IpvlanFlag, IpvlanMode, Link, LinkKind};
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::topology::{Attachment, Container};

/// Returns the link that attaches a container.
pub(super) fn attachment(
    container: &Container,
    attachment: &Attachment,
    (mode, flag): (IpvlanMode, IpvlanFlag),
    names: &mut AltNames<'_>,
) -> Entry {
    let Attachment { network, origin, interface, link, mtu, .. } = attachment;
    let owner = Owner::Attachment { container: container.name.clone(), network: network.clone() };
    let kind = LinkKind::Ipvlan(Ipvlan { parent: interface.clone(), mode, flag });
    // Its address is its parent's.
    let link = Resource::from(Link {
        altname: names.give(&[container.name.as_str(), network.as_str()]),
        ..Link::alone(container.ns.clone(), link.clone(), *mtu, kind)
    });
    entry(link, &owner, origin)
}
