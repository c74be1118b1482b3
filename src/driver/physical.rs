//! A container with a link of the host for itself: a NIC, or whatever somebody has made to be one.
//!
//! The link goes from the host's namespace into the container's, under the name that it has there, and comes back as it was
//! when the container has done with it, or is gone.

use super::{AltNames, entry};
use crate::names::Mac;
use crate::resource::Resource;
use crate::resource::device::Device;
use crate::resource::link::{Link, LinkKind};
use crate::resource::owner::Owner;
use crate::resource::state::Entry;
use crate::topology::{self, Attachment, Container};

/// Returns the link that attaches a container, when it is to be had.
pub(super) fn attachment(
    container: &Container,
    attachment: &Attachment,
    device: &topology::Device,
    names: &mut AltNames<'_>,
) -> Entry {
    let Attachment { network, origin, link, mac, mtu, .. } = attachment;
    let owner = Owner::Attachment { container: container.name.clone(), network: network.clone() };
    let kind = LinkKind::Device(Device { name: device.name.clone(), before: None });
    let link = Resource::from(Link {
        // A tunnel has none.
        mac: Some(*mac).filter(|mac| *mac != Mac([0; 6])),
        altname: names.give(&[container.name.as_str(), network.as_str()]),
        ..Link::alone(container.ns.clone(), link.clone(), *mtu, kind)
    });
    entry(link, &owner, origin)
}
